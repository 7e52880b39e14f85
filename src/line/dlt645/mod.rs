//! The dialect of DL/T 645-2007 meters.

pub mod decode;
pub mod frame;
pub mod item;
