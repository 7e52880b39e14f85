//! The dialect of INSTEON power-line modems.

pub mod checksum;
pub mod decode;
mod driver;
mod exchange;
pub mod frame;
pub mod framer;
mod kept;
pub mod message;
pub mod options;
pub mod plan;
mod presses;
pub mod table;

pub use driver::Insteon;
pub use options::{BadOption, DeviceOptions, Kind, Options};
pub use plan::names as plan_names;
