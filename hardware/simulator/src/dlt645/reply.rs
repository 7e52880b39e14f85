//! Builds a meter's replies. It does not know which reply is right.

use super::{Address, END, OFFSET, START, checksum, control};

const REPLY: u8 = 0x80;
const REFUSED: u8 = 0x40;
const MORE: u8 = 0x20;

/// Bits of the error byte in a refusing reply, from memory of the standard; they may be combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Error {
    /// Another reason.
    Other = 0x01,
    /// No such data.
    NoData = 0x02,
    /// Password wrong, or not authorised.
    Password = 0x04,
}

/// A frame with this control code and this data (without offset). Data beyond 255 bytes cannot be said and is cut.
pub(crate) fn reply(address: Address, control: u8, data: &[u8]) -> Vec<u8> {
    let length = u8::try_from(data.len()).unwrap_or(u8::MAX);
    let mut frame = vec![START];
    frame.extend_from_slice(&address.wire());
    frame.extend_from_slice(&[START, control, length]);
    frame.extend(data.iter().take(usize::from(length)).map(|byte| byte.wrapping_add(OFFSET)));
    frame.push(checksum(&frame));
    frame.push(END);
    frame
}

/// An accepting reply to `control`.
pub(crate) fn accepted(address: Address, control: u8, data: &[u8]) -> Vec<u8> {
    reply(address, control | REPLY, data)
}

/// A refusing reply to `control`.
pub(crate) fn refused(address: Address, control: u8, error: Error) -> Vec<u8> {
    reply(address, control | REPLY | REFUSED, &[error as u8])
}

/// The reply to a read: identifier and data; `more` says that a part follows.
pub(crate) fn read(address: Address, identifier: [u8; 4], data: &[u8], more: bool) -> Vec<u8> {
    let control = control::READ | REPLY | if more { MORE } else { 0 };
    reply(address, control, &[identifier.as_slice(), data].concat())
}

/// The reply to "read following": as [`read`], with the part's number behind.
pub(crate) fn following(address: Address, identifier: [u8; 4], part: (u8, &[u8]), more: bool) -> Vec<u8> {
    let control = control::READ_FOLLOWING | REPLY | if more { MORE } else { 0 };
    reply(address, control, &[identifier.as_slice(), part.1, &[part.0]].concat())
}
