//! The frame: kinds, header, lengths and the CRC. Knows no keys and no payload. `line.md` §3.
//!
//! ```text
//!  0  FC      version(2) = 01 | kind(4) | ACK-REQUEST | RELAY-OK
//!  1  HOP     hops allowed(4) | hops left(4)        changed by relays; not authenticated
//!  2  NETID   u16
//!  4  SHORT   u16
//!  6  ...     by kind; secured kinds: COUNTER u32, ciphertext, tag 8
//!     CRC     u16 little-endian over all before; not on bearers with a check of their own
//! ```
//!
//! [`Frame`] is a view: right in version, kind, addresses and length, nothing more. A *PDU* is the frame without CRC.

use core::fmt;

use crc::{CRC_16_IBM_SDLC, Crc};

use crate::fields::{Fields, Value, Visit};
use crate::wire::{Full, Writer};
use crate::{NetworkId, ShortAddress};

/// The major version of this text, in the two top bits of a frame.
pub const VERSION: u8 = 1;
/// FC, HOP, NETID, SHORT.
pub const HEADER_LEN: usize = 6;
/// The header of a secured frame: [`HEADER_LEN`] and the counter.
pub const SECURED_HEADER_LEN: usize = HEADER_LEN + 4;
/// Tag of a secured frame.
pub const TAG_LEN: usize = 8;
/// Tag of ACK and ANSWER.
pub const SHORT_TAG_LEN: usize = 4;
/// CRC of a frame on the line.
pub const CRC_LEN: usize = 2;
/// The longest frame on the line: half a second at 2400 bit/s, and any bearer can carry it.
pub const MAX_FRAME: usize = 128;
/// The longest frame without its CRC.
pub const MAX_PDU: usize = MAX_FRAME - CRC_LEN;
/// The longest payload of a secured frame.
pub const MAX_PAYLOAD: usize = MAX_PDU - SECURED_HEADER_LEN - TAG_LEN;

#[cfg(feature = "table")]
type Way = crc::Table<1>;
#[cfg(not(feature = "table"))]
type Way = crc::NoTable;

const CRC: Crc<u16, Way> = Crc::<u16, Way>::new(&CRC_16_IBM_SDLC);

/// CRC-16/X-25 of a PDU; it goes on the line low octet first. `line.md` §3.4.
#[must_use]
pub fn crc(pdu: &[u8]) -> u16 {
    CRC.checksum(pdu)
}

/// The PDU within a frame with CRC; `None` when the CRC is wrong or there is nothing in front of it.
#[must_use]
pub fn without_crc(frame: &[u8]) -> Option<&[u8]> {
    let (pdu, got) = frame.split_last_chunk::<CRC_LEN>()?;
    (!pdu.is_empty() && u16::from_le_bytes(*got) == crc(pdu)).then_some(pdu)
}

/// Writes PDU and CRC to `out`; gives the octets written.
///
/// # Errors
/// [`Full`] when `out` is too small.
pub fn with_crc<'o>(pdu: &[u8], out: &'o mut [u8]) -> Result<&'o [u8], Full> {
    let mut writer = Writer::new(out);
    writer.bytes(pdu)?;
    writer.bytes(&crc(pdu).to_le_bytes())?;
    Ok(writer.finish())
}

/// What a frame is for, and so its direction, key and length. `line.md` §3.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Down, group key: time, slots, which reports arrived.
    Beacon = 0,
    /// Up: a reading with the minutes before.
    Report = 1,
    /// Down: something asked of one socket.
    Command = 2,
    /// Up: the result of a COMMAND with a reading or other data.
    Response = 3,
    /// Up, short: the result of a COMMAND and the relay's state.
    Answer = 4,
    /// Down, short: a REPORT that asked for it arrived.
    Ack = 5,
    /// Up: an unjoined socket asks to be let in.
    JoinUp = 6,
    /// Down: it is.
    JoinDown = 7,
    /// Down: a new key set is wanted. Laid out; its behaviour comes with a later version of the text.
    ResumeAsk = 8,
    /// Up: the socket's half of it.
    ResumeUp = 9,
    /// Down: the rest of it.
    ResumeDown = 10,
    /// Down, group key: blocks for many sockets. Reserved.
    Bulk = 11,
}

/// Which way a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Socket to gateway.
    Up,
    /// Gateway to one socket.
    Down,
    /// Gateway to all sockets of its network.
    Group,
}

const KINDS: [(Kind, &str); 12] = [
    (Kind::Beacon, "beacon"),
    (Kind::Report, "report"),
    (Kind::Command, "command"),
    (Kind::Response, "response"),
    (Kind::Answer, "answer"),
    (Kind::Ack, "ack"),
    (Kind::JoinUp, "join_up"),
    (Kind::JoinDown, "join_down"),
    (Kind::ResumeAsk, "resume_ask"),
    (Kind::ResumeUp, "resume_up"),
    (Kind::ResumeDown, "resume_down"),
    (Kind::Bulk, "bulk"),
];

impl Kind {
    /// The kind of this number; `None` for the reserved 12 … 14 and the experimental 15. Not by the table of names: a
    /// socket never asks for one, and so has none in its flash.
    #[must_use]
    pub fn of(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Beacon,
            1 => Self::Report,
            2 => Self::Command,
            3 => Self::Response,
            4 => Self::Answer,
            5 => Self::Ack,
            6 => Self::JoinUp,
            7 => Self::JoinDown,
            8 => Self::ResumeAsk,
            9 => Self::ResumeUp,
            10 => Self::ResumeDown,
            11 => Self::Bulk,
            _ => return None,
        })
    }

    /// `report`, `join_up` …
    #[must_use]
    pub fn name(self) -> &'static str {
        KINDS[self as usize].1
    }

    /// Which way frames of this kind go.
    #[must_use]
    pub fn direction(self) -> Direction {
        match self {
            Self::Beacon | Self::Bulk => Direction::Group,
            Self::Report | Self::Response | Self::Answer | Self::JoinUp | Self::ResumeUp => Direction::Up,
            Self::Command | Self::Ack | Self::JoinDown | Self::ResumeAsk | Self::ResumeDown => {
                Direction::Down
            }
        }
    }

    /// Frames of this kind carry a counter, a ciphertext and a tag of 8 octets.
    #[must_use]
    pub fn is_secured(self) -> bool {
        matches!(self, Self::Beacon | Self::Report | Self::Command | Self::Response | Self::Bulk)
    }

    /// Octets after the header, shortest and longest.
    fn body_len(self) -> (usize, usize) {
        let exactly = |len| (len, len);
        match self {
            Self::Beacon | Self::Report | Self::Command | Self::Response | Self::Bulk => {
                (4 + TAG_LEN, MAX_PDU - HEADER_LEN)
            }
            Self::Answer => exactly(2 + SHORT_TAG_LEN),
            Self::Ack => exactly(1 + SHORT_TAG_LEN),
            Self::JoinUp => exactly(crate::messages::JOIN_UP_LEN),
            Self::JoinDown => exactly(crate::messages::JOIN_DOWN_LEN),
            Self::ResumeAsk | Self::ResumeUp => exactly(crate::messages::RESUME_HALF_LEN),
            Self::ResumeDown => exactly(crate::messages::RESUME_DOWN_LEN),
        }
    }
}

/// What the sender of a frame may choose in its header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Options {
    /// REPORT only: an ACK is wanted.
    pub ack_request: bool,
    /// Relays may pass the frame on. Authenticated, so that no relay can start it.
    pub relay_ok: bool,
    /// How many relays at most, 0 … 15. Both halves of HOP start with it.
    pub hops: u8,
}

/// The first six octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// What for.
    pub kind: Kind,
    /// An ACK is wanted.
    pub ack_request: bool,
    /// Relays may pass it on.
    pub relay_ok: bool,
    /// Hops allowed at the start, 0 … 15.
    pub hops_allowed: u8,
    /// Hops left, 0 … 15.
    pub hops_left: u8,
    /// Whose network.
    pub network: NetworkId,
    /// The socket that it comes from or goes to.
    pub short: ShortAddress,
}

impl Header {
    /// A header as its originator sends it. ACK-REQUEST is set in a REPORT only.
    #[must_use]
    pub fn new(kind: Kind, network: NetworkId, short: ShortAddress, options: Options) -> Self {
        let hops = options.hops & 0x0F;
        let ack_request = options.ack_request && kind == Kind::Report;
        let relay_ok = options.relay_ok;
        Self { kind, ack_request, relay_ok, hops_allowed: hops, hops_left: hops, network, short }
    }

    /// The first octet.
    #[must_use]
    pub fn fc(&self) -> u8 {
        VERSION << 6 | (self.kind as u8) << 2 | u8::from(self.ack_request) << 1 | u8::from(self.relay_ok)
    }

    /// The six octets.
    #[must_use]
    pub fn octets(&self) -> [u8; HEADER_LEN] {
        let [n0, n1] = self.network.0.to_be_bytes();
        let [s0, s1] = self.short.0.to_be_bytes();
        [self.fc(), self.hops_allowed << 4 | self.hops_left & 0x0F, n0, n1, s0, s1]
    }

    /// The octets that tags cover: FC, NETID, SHORT. HOP is not among them.
    #[must_use]
    pub fn authenticated(&self) -> [u8; HEADER_LEN - 1] {
        let [fc, _, n0, n1, s0, s1] = self.octets();
        [fc, n0, n1, s0, s1]
    }
}

/// Why octets are not a frame of this version. All of them are counted and dropped. `line.md` §3.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// Another major version: nothing more may be concluded about it.
    Version(u8),
    /// A reserved or experimental kind.
    Kind(u8),
    /// Too short or too long for its kind.
    Length {
        /// Octets of the PDU.
        got: usize,
        /// The shortest that its kind allows.
        min: usize,
        /// The longest.
        max: usize,
    },
    /// NETID or SHORT has a value that this kind does not allow.
    Address {
        /// NETID.
        network: NetworkId,
        /// SHORT.
        short: ShortAddress,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(got) => write!(f, "version {got}, want {VERSION}"),
            Self::Kind(got) => write!(f, "kind {got} is reserved"),
            Self::Length { got, min, max } => write!(f, "{got} octets, want {min} to {max}"),
            Self::Address { network, short } => {
                write!(f, "network {:04X} short {:04X} do not fit the kind", network.0, short.0)
            }
        }
    }
}

impl core::error::Error for FrameError {}

/// A view of a PDU whose version, kind, length and addresses are right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    header: Header,
    pdu: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Looks at a PDU, the CRC already taken off ([`without_crc`]).
    ///
    /// # Errors
    /// What is wrong with it; see [`FrameError`].
    pub fn parse(pdu: &'a [u8]) -> Result<Self, FrameError> {
        let too_short = FrameError::Length { got: pdu.len(), min: HEADER_LEN, max: MAX_PDU };
        let fc = *pdu.first().ok_or(too_short)?;
        if fc >> 6 != VERSION {
            return Err(FrameError::Version(fc >> 6));
        }
        let number = fc >> 2 & 0x0F;
        let kind = Kind::of(number).ok_or(FrameError::Kind(number))?;
        let (body, body_max) = kind.body_len();
        let (min, max) = (HEADER_LEN + body, HEADER_LEN + body_max);
        let [_, hop, n0, n1, s0, s1, ..] = *pdu else { return Err(too_short) };
        if !(min..=max).contains(&pdu.len()) {
            return Err(FrameError::Length { got: pdu.len(), min, max });
        }
        let header = Header {
            kind,
            ack_request: fc & 2 != 0,
            relay_ok: fc & 1 != 0,
            hops_allowed: hop >> 4,
            hops_left: hop & 0x0F,
            network: NetworkId(u16::from_be_bytes([n0, n1])),
            short: ShortAddress(u16::from_be_bytes([s0, s1])),
        };
        let Header { network, short, .. } = header;
        let fits = match kind {
            Kind::JoinUp => network == NetworkId::NONE && short == ShortAddress::NONE,
            Kind::Beacon | Kind::Bulk => network.is_assignable() && short == ShortAddress::GROUP,
            _ => network.is_assignable() && short.is_assignable(),
        };
        if fits { Ok(Self { header, pdu }) } else { Err(FrameError::Address { network, short }) }
    }

    /// The first six octets, taken apart.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What for.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.header.kind
    }

    /// Whose network.
    #[must_use]
    pub fn network(&self) -> NetworkId {
        self.header.network
    }

    /// From or to which socket.
    #[must_use]
    pub fn short(&self) -> ShortAddress {
        self.header.short
    }

    /// The whole PDU.
    #[must_use]
    pub fn pdu(&self) -> &'a [u8] {
        self.pdu
    }

    /// Everything behind the six octets of the header.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.pdu.get(HEADER_LEN..).unwrap_or_default()
    }

    /// The counter of a secured frame.
    #[must_use]
    pub fn counter(&self) -> Option<u32> {
        let octets = self.body().first_chunk().filter(|_| self.kind().is_secured())?;
        Some(u32::from_be_bytes(*octets))
    }

    /// The low octet of the counter that an ACK or ANSWER is about.
    #[must_use]
    pub fn counter_low(&self) -> Option<u8> {
        match self.kind() {
            Kind::Ack | Kind::Answer => self.body().first().copied(),
            _ => self.counter().map(|counter| counter as u8),
        }
    }

    /// The tag at the end: 8 octets, or 4 in ACK and ANSWER.
    #[must_use]
    pub fn tag(&self) -> &'a [u8] {
        let len = match self.kind() {
            Kind::Ack | Kind::Answer => SHORT_TAG_LEN,
            _ => TAG_LEN,
        };
        self.pdu.get(self.pdu.len().saturating_sub(len)..).unwrap_or_default()
    }
}

impl Fields for Frame<'_> {
    fn fields(&self, visit: &mut Visit<'_>) {
        let header = self.header();
        visit("frame", Value::Word(header.kind.name()));
        visit("ack_request", Value::Flag(header.ack_request));
        visit("relay_ok", Value::Flag(header.relay_ok));
        visit("hops_allowed", Value::Number(header.hops_allowed.into()));
        visit("hops_left", Value::Number(header.hops_left.into()));
        visit("network", Value::Bytes(&header.network.0.to_be_bytes()));
        visit("short", Value::Bytes(&header.short.0.to_be_bytes()));
        if let Some(counter) = self.counter() {
            visit("counter", Value::Number(counter.into()));
        } else if let Some(low) = self.counter_low() {
            visit("counter_low", Value::Number(low.into()));
        }
    }
}

/// Writes header and body; for the kinds that [`crate::security`] does not seal itself.
pub(crate) fn emit<'o>(header: &Header, body: &[&[u8]], out: &'o mut [u8]) -> Result<&'o [u8], Full> {
    let mut writer = Writer::new(out);
    writer.bytes(&header.octets())?;
    body.iter().try_for_each(|part| writer.bytes(part))?;
    Ok(writer.finish())
}
