//! The messages of the host link, one variant each. `host-link.md` §9.2.
//!
//! ```text
//! 01 RESET       version u8
//! 02 HELLO       version u8 | boot u32 | kind u8 | reason u8 | rate u32 bit/s | overhead u8 | flags u8 | max PDU u8 | queue u8 | clock u64
//! 20 TX-REQ      flags u8 | not before u64 | not after u64 | PDU
//! 21 RX-IND      snr i8 dB | level u8 dBµV | end u64 | PDU
//! 22 CANCEL      number u8
//! 23 TX-CONF     result u8 | end u64 | airtime u32 µs               under the number of its TX-REQ
//! 24 STATUS-REQ
//! 25 STATUS      clock u64 | received u32 | bad u32 | sent u32 | link errors u32 | busy ms u32 | queued u8
//! ```
//! All times are µs of the modem's clock, which starts at any value and never goes back.

use crate::fields::{Fields, Value, Visit};
use crate::timing::LineRate;
use crate::wire::{Full, ParseError, Reader, Writer};

/// Version of the host link.
pub const LINK_VERSION: u8 = 1;

const NO_SNR: i8 = 127;
const NO_LEVEL: u8 = 255;
const OWN_CHECK: u8 = 1;
const NO_SLOTS: u8 = 2;

/// What carries the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ModemKind {
    /// One of a later version.
    Other = 0,
    /// ST7580 behind a microcontroller.
    St7580 = 1,
    /// No hardware: a simulated line.
    Simulated = 2,
    /// PL360 or PL460.
    Pl360 = 3,
}

/// Why the modem says HELLO.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum StartReason {
    /// One of a later version.
    Other = 0,
    /// Power came.
    Power = 1,
    /// The gateway sent RESET. The boot number is the same as before.
    Asked = 2,
    /// Its watchdog.
    Watchdog = 3,
    /// The supply sagged.
    BrownOut = 4,
    /// Its firmware gave up.
    Fault = 5,
}

/// The modem is there. A boot number that changed means that all requests are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Version of the host link.
    pub version: u8,
    /// Another one at each start.
    pub boot: u32,
    /// What carries the frames.
    pub kind: ModemKind,
    /// Why it says so.
    pub reason: StartReason,
    /// Rate and overhead of the line.
    pub rate: LineRate,
    /// The bearer has a check of its own: no CRC-16 on the line.
    pub own_check: bool,
    /// It cannot start a frame at a given millisecond: no slots on this line.
    pub no_slots: bool,
    /// The longest PDU that it carries.
    pub max_pdu: u8,
    /// TX-REQs that it holds at once.
    pub queue: u8,
    /// Its clock.
    pub clock_us: u64,
}

/// Send this frame. Its confirm comes under the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit<'a> {
    /// The first octet starts no earlier; 0 is now.
    pub not_before_us: u64,
    /// And no later, or not at all. `u64::MAX` is whenever.
    pub not_after_us: u64,
    /// The PDU; the modem adds the CRC.
    pub pdu: &'a [u8],
}

/// How a TX-REQ ended, or that it did not yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum TxResult {
    /// It waits; another confirm follows.
    Queued = 0,
    /// It was on the line.
    Sent = 1,
    /// The line was not free until `not after`, or that was over already. Nothing was sent.
    Late = 2,
    /// The queue is full.
    Full = 3,
    /// No PDU, too long, or `not after` before `not before`.
    Bad = 4,
    /// By CANCEL or RESET.
    Cancelled = 5,
    /// A result of a later version: not sent.
    Other = 255,
}

/// The modem's word about a TX-REQ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirm {
    /// What became of it.
    pub result: TxResult,
    /// When the last octet was on the line; 0 when nothing was sent.
    pub end_us: u64,
    /// How long it held the line.
    pub airtime_us: u32,
}

/// How well a frame was heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signal {
    /// Signal-to-noise ratio in dB, −128 … 126.
    pub snr_db: Option<i8>,
    /// Level in dBµV, 0 … 254.
    pub level: Option<Level>,
}

/// A level in dBµV.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(pub u8);

/// A frame was heard, its CRC right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receive<'a> {
    /// How well.
    pub signal: Signal,
    /// When its last octet was on the line.
    pub end_us: u64,
    /// The PDU, the CRC taken off.
    pub pdu: &'a [u8],
}

/// The modem's counters since its start. They wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Its clock.
    pub clock_us: u64,
    /// Frames heard with a right CRC.
    pub received: u32,
    /// Frames heard with a wrong one.
    pub bad: u32,
    /// Frames sent.
    pub sent: u32,
    /// Bytes from the gateway that were no packet, counted by packets.
    pub link_errors: u32,
    /// How long the line was not idle, own frames included.
    pub busy_ms: u32,
    /// TX-REQs that wait.
    pub queued: u8,
}

/// All messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Gateway: forget all requests and say HELLO.
    Reset {
        /// Version of the host link that the gateway speaks.
        version: u8,
    },
    /// Modem: here I am.
    Hello(Hello),
    /// Gateway: send this.
    Transmit(Transmit<'a>),
    /// Modem: what became of it.
    Confirm(Confirm),
    /// Gateway: do not send that one, if it still waits.
    Cancel {
        /// Number of the TX-REQ.
        number: u8,
    },
    /// Modem: I heard this.
    Receive(Receive<'a>),
    /// Gateway: how are you?
    StatusAsk,
    /// Modem: like this.
    Status(Status),
}

impl<'a> Message<'a> {
    /// The type octet.
    #[must_use]
    pub fn kind(&self) -> u8 {
        match self {
            Self::Reset { .. } => 0x01,
            Self::Hello(_) => 0x02,
            Self::Transmit(_) => 0x20,
            Self::Receive(_) => 0x21,
            Self::Cancel { .. } => 0x22,
            Self::Confirm(_) => 0x23,
            Self::StatusAsk => 0x24,
            Self::Status(_) => 0x25,
        }
    }

    /// `tx_req`, `rx_ind` …
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Reset { .. } => "reset",
            Self::Hello(_) => "hello",
            Self::Transmit(_) => "tx_req",
            Self::Receive(_) => "rx_ind",
            Self::Cancel { .. } => "cancel",
            Self::Confirm(_) => "tx_conf",
            Self::StatusAsk => "status_req",
            Self::Status(_) => "status",
        }
    }

    /// The message in a packet. Octets behind the known ones are of a later version and are ignored, but for PDUs,
    /// which last to the end.
    ///
    /// # Errors
    /// [`ParseError::Value`] for an unknown type, [`ParseError::Length`] for a body too short.
    pub fn parse(packet: &super::Packet<'a>) -> Result<Self, ParseError> {
        let mut body = Reader::new(packet.body);
        Ok(match packet.kind {
            0x01 => Self::Reset { version: body.u8("version")? },
            0x02 => Self::Hello(Hello::read(&mut body)?),
            0x20 => {
                body.u8("flags")?;
                let (not_before_us, not_after_us) = (body.u64("not before")?, body.u64("not after")?);
                Self::Transmit(Transmit { not_before_us, not_after_us, pdu: body.rest() })
            }
            0x21 => {
                let [snr] = body.array("snr")?;
                let level = body.u8("level")?;
                let end_us = body.u64("end")?;
                let snr_db = Some(snr.cast_signed()).filter(|snr| *snr != NO_SNR);
                let level = Some(level).filter(|level| *level != NO_LEVEL).map(Level);
                Self::Receive(Receive { signal: Signal { snr_db, level }, end_us, pdu: body.rest() })
            }
            0x22 => Self::Cancel { number: body.u8("number")? },
            0x23 => Self::Confirm(Confirm {
                result: TxResult::of(body.u8("result")?),
                end_us: body.u64("end")?,
                airtime_us: body.u32("airtime")?,
            }),
            0x24 => Self::StatusAsk,
            0x25 => Self::Status(Status {
                clock_us: body.u64("clock")?,
                received: body.u32("received")?,
                bad: body.u32("bad")?,
                sent: body.u32("sent")?,
                link_errors: body.u32("link errors")?,
                busy_ms: body.u32("busy")?,
                queued: body.u8("queued")?,
            }),
            other => return Err(ParseError::Value { field: "type", got: other.into() }),
        })
    }

    pub(super) fn emit(&self, out: &mut Writer<'_>) -> Result<(), Full> {
        match self {
            Self::Reset { version } => out.u8(*version),
            Self::Hello(hello) => hello.emit(out),
            Self::Transmit(Transmit { not_before_us, not_after_us, pdu }) => {
                out.u8(0)?;
                out.u64(*not_before_us)?;
                out.u64(*not_after_us)?;
                out.bytes(pdu)
            }
            Self::Receive(Receive { signal, end_us, pdu }) => {
                out.u8(signal.snr_db.unwrap_or(NO_SNR).cast_unsigned())?;
                out.u8(signal.level.map_or(NO_LEVEL, |level| level.0))?;
                out.u64(*end_us)?;
                out.bytes(pdu)
            }
            Self::Cancel { number } => out.u8(*number),
            Self::Confirm(Confirm { result, end_us, airtime_us }) => {
                out.u8(*result as u8)?;
                out.u64(*end_us)?;
                out.u32(*airtime_us)
            }
            Self::StatusAsk => Ok(()),
            Self::Status(status) => {
                let Status { clock_us, received, bad, sent, link_errors, busy_ms, queued } = *status;
                out.u64(clock_us)?;
                [received, bad, sent, link_errors, busy_ms].iter().try_for_each(|count| out.u32(*count))?;
                out.u8(queued)
            }
        }
    }
}

impl TxResult {
    fn of(number: u8) -> Self {
        match number {
            0 => Self::Queued,
            1 => Self::Sent,
            2 => Self::Late,
            3 => Self::Full,
            4 => Self::Bad,
            5 => Self::Cancelled,
            _ => Self::Other,
        }
    }

    /// `sent`, `late` …
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Late => "late",
            Self::Full => "full",
            Self::Bad => "bad",
            Self::Cancelled => "cancelled",
            Self::Other => "other",
        }
    }
}

impl Hello {
    fn read(body: &mut Reader<'_>) -> Result<Self, ParseError> {
        let (version, boot) = (body.u8("version")?, body.u32("boot")?);
        let kind = match body.u8("kind")? {
            1 => ModemKind::St7580,
            2 => ModemKind::Simulated,
            3 => ModemKind::Pl360,
            _ => ModemKind::Other,
        };
        let reason = match body.u8("reason")? {
            1 => StartReason::Power,
            2 => StartReason::Asked,
            3 => StartReason::Watchdog,
            4 => StartReason::BrownOut,
            5 => StartReason::Fault,
            _ => StartReason::Other,
        };
        let bit_per_s = body.u32("rate")?;
        if bit_per_s == 0 {
            return Err(ParseError::Value { field: "rate", got: 0 });
        }
        let rate = LineRate { bit_per_s, overhead: body.u8("overhead")? };
        let flags = body.u8("flags")?;
        let (max_pdu, queue) = (body.u8("max PDU")?, body.u8("queue")?);
        Ok(Self {
            version,
            boot,
            kind,
            reason,
            rate,
            own_check: flags & OWN_CHECK != 0,
            no_slots: flags & NO_SLOTS != 0,
            max_pdu,
            queue,
            clock_us: body.u64("clock")?,
        })
    }

    fn emit(&self, out: &mut Writer<'_>) -> Result<(), Full> {
        out.u8(self.version)?;
        out.u32(self.boot)?;
        out.u8(self.kind as u8)?;
        out.u8(self.reason as u8)?;
        out.u32(self.rate.bit_per_s)?;
        out.u8(self.rate.overhead)?;
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        out.u8(flag(self.own_check, OWN_CHECK) | flag(self.no_slots, NO_SLOTS))?;
        out.u8(self.max_pdu)?;
        out.u8(self.queue)?;
        out.u64(self.clock_us)
    }
}

/// Times beyond 2^63 µs do not happen; "whenever" is absent.
fn time(us: u64) -> Value<'static> {
    Value::maybe(i64::try_from(us).ok())
}

impl Fields for Message<'_> {
    fn fields(&self, visit: &mut Visit<'_>) {
        let number = |value: u32| Value::Number(value.into());
        visit("message", Value::Word(self.name()));
        match self {
            Self::Reset { version } => visit("version", number((*version).into())),
            Self::Hello(hello) => {
                visit("version", number(hello.version.into()));
                visit("boot", number(hello.boot));
                let known = |number: u8| Value::maybe((number > 0).then_some(number.into()));
                visit("kind", known(hello.kind as u8));
                visit("reason", known(hello.reason as u8));
                visit("bit_per_s", number(hello.rate.bit_per_s));
                visit("overhead", number(hello.rate.overhead.into()));
                visit("own_check", Value::Flag(hello.own_check));
                visit("no_slots", Value::Flag(hello.no_slots));
                visit("max_pdu", number(hello.max_pdu.into()));
                visit("queue", number(hello.queue.into()));
                visit("clock_us", time(hello.clock_us));
            }
            Self::Transmit(Transmit { not_before_us, not_after_us, pdu }) => {
                visit("not_before_us", time(*not_before_us));
                visit("not_after_us", time(*not_after_us));
                visit("pdu", Value::Bytes(pdu));
            }
            Self::Confirm(Confirm { result, end_us, airtime_us }) => {
                visit("result", Value::Word(result.name()));
                visit("end_us", time(*end_us));
                visit("airtime_us", number(*airtime_us));
            }
            Self::Cancel { number: which } => visit("request", number((*which).into())),
            Self::Receive(Receive { signal, end_us, pdu }) => {
                visit("snr_db", Value::maybe(signal.snr_db.map(i64::from)));
                visit("level_dbuv", Value::maybe(signal.level.map(|level| level.0.into())));
                visit("end_us", time(*end_us));
                visit("pdu", Value::Bytes(pdu));
            }
            Self::StatusAsk => {}
            Self::Status(status) => {
                visit("clock_us", time(status.clock_us));
                visit("received", number(status.received));
                visit("bad", number(status.bad));
                visit("sent", number(status.sent));
                visit("link_errors", number(status.link_errors));
                visit("busy_ms", number(status.busy_ms));
                visit("queued", number(status.queued.into()));
            }
        }
    }
}
