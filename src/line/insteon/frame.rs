//! Frames on the host link of an INSTEON modem, both ways: taking them apart, making them.
//!
//! ```text
//! 02 code …              an event or a reply from the modem; a reply repeats the command and ends in 06 or 15
//! 02 code 15 · 15        the modem is not ready
//! ```
//!
//! Codes mean different things each way, so that direction is part of the question: [`Frame`] is what comes from the
//! modem, [`Command`] is what goes to it. Refuses to know where frames begin in a stream (`framer.rs`).

use super::message::{Address, Flags, LinkRecord, Message, Outgoing};
use super::table::{host_len, row};
use crate::line::framing::Fault;

pub use super::framer::Framer;
pub use super::table::MAX_FRAME;

pub(super) const START: u8 = 0x02;
pub(super) const ACK: u8 = 0x06;
pub(super) const NAK: u8 = 0x15;

/// A command to the modem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// 60: who are you.
    GetInfo,
    /// 61: a command to a group that the modem controls.
    SendGroup {
        /// Group.
        group: u8,
        /// Command.
        cmd1: u8,
        /// Argument.
        cmd2: u8,
    },
    /// 62: a message to one device.
    Send(Outgoing),
    /// 63: X10.
    SendX10 {
        /// Codes.
        raw: u8,
        /// 00 address, 80 command.
        flag: u8,
    },
    /// 64: link with the device whose button is held.
    StartLinking {
        /// 00 responder, 01 controller, 03 whichever starts, FF delete.
        mode: u8,
        /// Group.
        group: u8,
    },
    /// 65: stop linking.
    CancelLinking,
    /// 67: factory reset; answered after up to 20 s.
    Reset,
    /// 69: the first record of the modem's link database.
    FirstLink,
    /// 6A: the next one.
    NextLink,
    /// 6B: configuration bits.
    SetConfig(u8),
    /// 6D and 6E: the modem's lamp.
    Led(bool),
    /// 6F: change the modem's link database.
    ManageLink {
        /// 00 find, 01 find next, 20 update or add, 40 add controller, 41 add responder, 80 delete.
        action: u8,
        /// The record.
        record: LinkRecord,
    },
    /// 73: configuration, please.
    GetConfig,
    /// Any other command of the table, as it stands.
    Other(Raw),
}

/// A code and its bytes, not looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raw {
    /// The byte behind `02`.
    pub code: u8,
    len: u8,
    body: [u8; 16],
}

impl Raw {
    /// `body` is what follows the code; `None` if it is longer than any command's 16 bytes.
    #[must_use]
    pub fn new(code: u8, body: &[u8]) -> Option<Self> {
        let mut all = [0; 16];
        all.get_mut(..body.len())?.copy_from_slice(body);
        Some(Self { code, len: u8::try_from(body.len()).ok()?, body: all })
    }

    /// What follows the code.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body[..usize::from(self.len)]
    }
}

impl Command {
    /// Reads bytes that should be exactly one command to the modem.
    ///
    /// # Errors
    /// `garbage` where no command starts, `truncated` and `trailing` where the length is not the command's.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let fault = |kind, at| Fault { kind, start: 0, len: bytes.len(), at, got: 0, want: 0 };
        let row = match bytes {
            [START, code, ..] => row(*code).filter(|row| row.host > 0).ok_or(fault("garbage", 1))?,
            [] | [START] => return Err(fault("truncated", bytes.len())),
            _ => return Err(fault("garbage", 0)),
        };
        let len = host_len(row, bytes);
        if bytes.len() < len {
            return Err(fault("truncated", bytes.len()));
        }
        if bytes.len() > len {
            return Err(Fault { len: bytes.len() - len, ..fault("trailing", len) });
        }
        Ok(Self::of_body(bytes[1], &bytes[2..]))
    }

    /// `body` has the length of the table.
    fn of_body(code: u8, body: &[u8]) -> Self {
        match (code, body) {
            (0x60, []) => Self::GetInfo,
            (0x61, &[group, cmd1, cmd2]) => Self::SendGroup { group, cmd1, cmd2 },
            (0x62, &[a, b, c, flags, cmd1, cmd2, ref data @ ..]) => Self::Send(Outgoing {
                to: Address([a, b, c]),
                flags: Flags(flags),
                cmd1,
                cmd2,
                data: data.try_into().ok(),
            }),
            (0x63, &[raw, flag]) => Self::SendX10 { raw, flag },
            (0x64, &[mode, group]) => Self::StartLinking { mode, group },
            (0x65, []) => Self::CancelLinking,
            (0x67, []) => Self::Reset,
            (0x69, []) => Self::FirstLink,
            (0x6A, []) => Self::NextLink,
            (0x6B, &[bits]) => Self::SetConfig(bits),
            (0x6D, []) => Self::Led(true),
            (0x6E, []) => Self::Led(false),
            (0x6F, &[action, ref record @ ..]) => {
                Self::ManageLink { action, record: LinkRecord::parse(array(record)) }
            }
            (0x73, []) => Self::GetConfig,
            _ => Self::Other(Raw::new(code, body).expect("the table's commands are at most 16 bytes long")),
        }
    }

    /// The byte behind `02`.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::GetInfo => 0x60,
            Self::SendGroup { .. } => 0x61,
            Self::Send(_) => 0x62,
            Self::SendX10 { .. } => 0x63,
            Self::StartLinking { .. } => 0x64,
            Self::CancelLinking => 0x65,
            Self::Reset => 0x67,
            Self::FirstLink => 0x69,
            Self::NextLink => 0x6A,
            Self::SetConfig(_) => 0x6B,
            Self::Led(true) => 0x6D,
            Self::Led(false) => 0x6E,
            Self::ManageLink { .. } => 0x6F,
            Self::GetConfig => 0x73,
            Self::Other(raw) => raw.code,
        }
    }

    /// Appends the command's bytes.
    pub fn emit(&self, out: &mut Vec<u8>) {
        out.extend([START, self.code()]);
        match *self {
            Self::SendGroup { group, cmd1, cmd2 } => out.extend([group, cmd1, cmd2]),
            Self::Send(Outgoing { to, flags, cmd1, cmd2, data }) => {
                out.extend(to.0);
                out.extend([flags.with_extended(data.is_some()).0, cmd1, cmd2]);
                out.extend(data.iter().flatten());
            }
            Self::SendX10 { raw, flag } => out.extend([raw, flag]),
            Self::StartLinking { mode, group } => out.extend([mode, group]),
            Self::SetConfig(bits) => out.push(bits),
            Self::ManageLink { action, record } => {
                out.push(action);
                out.extend(record.emit());
            }
            Self::Other(raw) => out.extend(raw.body()),
            Self::GetInfo
            | Self::CancelLinking
            | Self::Reset
            | Self::FirstLink
            | Self::NextLink
            | Self::Led(_)
            | Self::GetConfig => {}
        }
    }

    /// The command's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(MAX_FRAME);
        self.emit(&mut out);
        out
    }
}

/// A frame from the modem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// 50: a standard message came over the line.
    Standard(Message),
    /// 51: an extended message came over the line.
    Extended(Message, [u8; 14]),
    /// 52: X10 came over the line.
    X10 {
        /// Codes.
        raw: u8,
        /// 00 address, 80 command.
        flag: u8,
    },
    /// 53: linking is done.
    LinkCompleted {
        /// 00 the modem responds, 01 it controls, FF the link was deleted.
        code: u8,
        /// Group.
        group: u8,
        /// The other end.
        id: Address,
        /// Category, subcategory, firmware.
        product: [u8; 3],
    },
    /// 54: the modem's button: 02 tapped, 03 held, 04 released; +10 and +20 for buttons 2 and 3.
    Button(u8),
    /// 55: the modem was reset to factory state; its links are gone.
    UserReset,
    /// 56: a member of a group did not answer.
    CleanupFailure {
        /// The byte 01 in front of the group is there (7 bytes), or not (6).
        marked: bool,
        /// Group.
        group: u8,
        /// The member.
        id: Address,
    },
    /// 57: a record of the modem's link database.
    LinkRecord(LinkRecord),
    /// 58: a group command ended; `false`: it was given up.
    CleanupStatus(bool),
    /// 59: a record of the database, with its place.
    DatabaseRecord {
        /// Address in the database.
        at: u16,
        /// The record.
        record: LinkRecord,
    },
    /// 5C: formed like 50; nobody knows what for.
    Unnamed5c(Message),
    /// 60: the modem names itself.
    Info {
        /// Its id.
        id: Address,
        /// Category, subcategory, firmware.
        product: [u8; 3],
        /// Accepted.
        ack: bool,
    },
    /// 73: the modem's configuration.
    Config {
        /// Configuration bits.
        bits: u8,
        /// Two bytes without meaning.
        spare: [u8; 2],
        /// Accepted.
        ack: bool,
    },
    /// 61 … 7F: a command repeated, with the modem's answer.
    Reply {
        /// The command.
        command: Command,
        /// Accepted.
        ack: bool,
    },
    /// `02 code 15`: the modem was not ready for the command.
    ShortNak(u8),
    /// A lone `15`, or `02 15`: the modem was not ready.
    NotReady {
        /// It came with an `02`.
        marked: bool,
    },
    /// A lone `06`.
    LoneAck,
}

impl Frame {
    /// `bytes` are a frame that the framer found good.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let body = bytes.get(2..).unwrap_or_default();
        let (ack, echo) = body.split_last().map_or((false, body), |(last, rest)| (*last == ACK, rest));
        match (bytes, body) {
            ([ACK], _) => Self::LoneAck,
            ([NAK] | [START, NAK], _) => Self::NotReady { marked: bytes.len() == 2 },
            ([_, 0x50, ..], _) => Self::Standard(message(body)),
            ([_, 0x51, ..], [_, _, _, _, _, _, _, _, _, data @ ..]) => {
                Self::Extended(message(body), array(data))
            }
            ([_, 0x52, ..], &[raw, flag]) => Self::X10 { raw, flag },
            ([_, 0x53, ..], &[code, group, a, b, c, x, y, z]) => {
                Self::LinkCompleted { code, group, id: Address([a, b, c]), product: [x, y, z] }
            }
            ([_, 0x54, ..], &[event]) => Self::Button(event),
            ([_, 0x55], _) => Self::UserReset,
            ([_, 0x56, ..], &[.., group, a, b, c]) => {
                Self::CleanupFailure { marked: body.len() == 5, group, id: Address([a, b, c]) }
            }
            ([_, 0x57, ..], _) => Self::LinkRecord(LinkRecord::parse(array(body))),
            ([_, 0x58, ..], _) => Self::CleanupStatus(ack),
            ([_, 0x59, ..], &[high, low, ref record @ ..]) => Self::DatabaseRecord {
                at: u16::from_be_bytes([high, low]),
                record: LinkRecord::parse(array(record)),
            },
            ([_, 0x5C, ..], _) => Self::Unnamed5c(message(body)),
            ([_, code], _) => Self::ShortNak(*code),
            ([_, code, NAK], _) if row(*code).is_some_and(|row| row.modem > 3 && *code != 0x77) => {
                Self::ShortNak(*code)
            }
            ([_, 0x60, ..], &[a, b, c, x, y, z, _]) => {
                Self::Info { id: Address([a, b, c]), product: [x, y, z], ack }
            }
            ([_, 0x73, ..], &[bits, s, t, _]) => Self::Config { bits, spare: [s, t], ack },
            ([_, code, ..], _) => Self::Reply { command: Command::of_body(*code, echo), ack },
            ([] | [_], _) => unreachable!("a good frame has a code"),
        }
    }

    /// Appends the frame's bytes, as the modem sends them.
    pub fn emit(&self, out: &mut Vec<u8>) {
        let answer = |ack| if ack { ACK } else { NAK };
        match *self {
            Self::Standard(message) => event(0x50, &message_bytes(&message), out),
            Self::Extended(message, data) => {
                event(0x51, &message_bytes(&message), out);
                out.extend(data);
            }
            Self::X10 { raw, flag } => event(0x52, &[raw, flag], out),
            Self::LinkCompleted { code, group, id, product } => {
                event(0x53, &[code, group], out);
                out.extend(id.0.into_iter().chain(product));
            }
            Self::Button(button) => event(0x54, &[button], out),
            Self::UserReset => event(0x55, &[], out),
            Self::CleanupFailure { marked, group, id } => {
                event(0x56, if marked { &[0x01] } else { &[] }, out);
                out.push(group);
                out.extend(id.0);
            }
            Self::LinkRecord(record) => event(0x57, &record.emit(), out),
            Self::CleanupStatus(ack) => event(0x58, &[answer(ack)], out),
            Self::DatabaseRecord { at, record } => {
                event(0x59, &at.to_be_bytes(), out);
                out.extend(record.emit());
            }
            Self::Unnamed5c(message) => event(0x5C, &message_bytes(&message), out),
            Self::Info { id, product, ack } => {
                event(0x60, &id.0, out);
                out.extend(product);
                out.push(answer(ack));
            }
            Self::Config { bits, spare: [s, t], ack } => event(0x73, &[bits, s, t, answer(ack)], out),
            Self::Reply { command, ack } => {
                command.emit(out);
                out.push(answer(ack));
            }
            Self::ShortNak(code) => event(code, &[NAK], out),
            Self::NotReady { marked } => out.extend_from_slice(if marked { &[START, NAK] } else { &[NAK] }),
            Self::LoneAck => out.push(ACK),
        }
    }

    /// The frame's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(MAX_FRAME);
        self.emit(&mut out);
        out
    }
}

fn event(code: u8, body: &[u8], out: &mut Vec<u8>) {
    out.extend([START, code]);
    out.extend_from_slice(body);
}

fn message(body: &[u8]) -> Message {
    let [a, b, c, x, y, z, flags, cmd1, cmd2] = array(&body[..9]);
    Message { from: Address([a, b, c]), to: Address([x, y, z]), flags: Flags(flags), cmd1, cmd2 }
}

fn message_bytes(message: &Message) -> [u8; 9] {
    let ([a, b, c], [x, y, z]) = (message.from.0, message.to.0);
    [a, b, c, x, y, z, message.flags.0, message.cmd1, message.cmd2]
}

pub(super) fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("the table of lengths and the frame's form agree")
}
