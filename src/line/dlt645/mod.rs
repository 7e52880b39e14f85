//! The dialect of DL/T 645-2007 meters.

pub mod decode;
mod driver;
mod exchange;
pub mod frame;
pub mod item;
pub mod options;
pub mod plan;
mod switching;

pub use driver::Dlt645;
pub use options::{BadOption, Closing, DeviceOptions, Expiring, Medium, Operator, Options, Password};
pub use plan::names as plan_names;
