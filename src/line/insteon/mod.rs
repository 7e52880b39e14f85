//! The dialect of INSTEON power-line modems.

pub mod checksum;
pub mod decode;
pub mod frame;
pub mod framer;
pub mod message;
pub mod table;
