//! The stored form of events: `schema u8 | postcard`. Pure.
//!
//! Every schema, also later ones, starts its postcard with the seq, so that a log can be walked by a version that
//! does not understand all of it. A reading of four quantities takes about 50 bytes.

use serde::{Deserialize, Serialize};

use super::{CommandV1, DeviceV1, QuantityV1, SCHEMA, Text, Unreadable, id, mirror, shape};
use crate::device::{DeviceId, LineName, QUANTITIES, Reading};
use crate::hub::feed::{Body, Change, Event, Fresh, GapReason, GatewayEvent, JoiningNews, Notification};
use crate::line::Cause;
use std::sync::Arc;

/// Appends the stored form of an event.
pub fn append_event(event: &Event, to: &mut Vec<u8>) {
    to.push(SCHEMA);
    postcard::to_io(&EventV1::from(event), to).expect("a vector takes every byte and mirrors cannot fail");
}

/// Puts an event in the place of a longer one; `false`, and nothing changed, when it does not fit. Whoever reads it
/// does not look at what is left behind it, which is zeros.
pub fn overwrite_event(event: &Event, stored: &mut [u8]) -> bool {
    let mut written = Vec::with_capacity(stored.len());
    append_event(event, &mut written);
    let fits = written.len() <= stored.len();
    if fits {
        written.resize(stored.len(), 0);
        stored.copy_from_slice(&written);
    }
    fits
}

/// An event from its stored form.
///
/// # Errors
/// [`Unreadable`] when it is of a later schema or has another shape.
pub fn event_of(stored: &[u8]) -> Result<Event, Unreadable> {
    match stored.split_first() {
        None => Err(Unreadable::Short { got: 0, wanted: 2 }),
        Some((&SCHEMA, payload)) => postcard::from_bytes::<EventV1<'_>>(payload).map_err(shape)?.event(),
        Some((&got, _)) => Err(Unreadable::Schema { got }),
    }
}

/// The seq of a stored event, of any schema.
#[must_use]
pub fn seq_of(stored: &[u8]) -> Option<u64> {
    postcard::take_from_bytes(stored.get(1..)?).ok().map(|(seq, _)| seq)
}

/// What a stored event says before its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// Its number.
    pub seq: u64,
    /// Its time, milliseconds since 1970 UTC.
    pub unix_ms: i64,
    /// About which device.
    pub device: Option<&'a str>,
    /// It is a reading.
    pub reading: bool,
}

/// The head of a stored event, read without its body; `None` when it is of a later schema or has another shape.
#[must_use]
pub fn head_of(stored: &[u8]) -> Option<Head<'_>> {
    let payload = stored.strip_prefix(&[SCHEMA])?;
    // Variants are told by their place as a number; readings are the first.
    let (head, _) = postcard::take_from_bytes::<(u64, i64, u8, Option<&str>, u32)>(payload).ok()?;
    let (seq, unix_ms, _, device, body) = head;
    Some(Head { seq, unix_ms, device, reading: body == 0 })
}

mirror!(CauseV1 = Cause { Command, Button, PowerOn, Poll, Group, Trip, Unknown });
mirror!(ChangeV1 = Change { Added, Changed, Removed, Replaced });
mirror!(GapReasonV1 = GapReason { Crash, Storage });

const T_ESTIMATED: u8 = 1;
const LATE: u8 = 2;
const ESTIMATED: u8 = 4;

#[derive(Serialize, Deserialize)]
struct EventV1<'a> {
    seq: u64,
    unix_ms: i64,
    flags: u8,
    device: Option<&'a str>,
    #[serde(borrow)]
    body: BodyV1<'a>,
}

#[derive(Serialize, Deserialize)]
enum BodyV1<'a> {
    Reading(PackedV1),
    Relay {
        on: bool,
        cause: CauseV1,
    },
    Online {
        online: bool,
        reason: Text<'a>,
    },
    Device {
        change: ChangeV1,
        #[serde(borrow)]
        device: Box<DeviceV1<'a>>,
    },
    Command(#[serde(borrow)] Box<CommandV1<'a>>),
    Notification {
        code: Text<'a>,
        detail: Text<'a>,
    },
    Gateway(GatewayV1<'a>),
    Erased,
}

#[derive(Serialize, Deserialize)]
enum GatewayV1<'a> {
    Started {
        version: Text<'a>,
    },
    Stopping,
    LineUp {
        line: Text<'a>,
    },
    LineDown {
        line: Text<'a>,
        reason: Text<'a>,
    },
    ForeignDevice {
        line: Text<'a>,
        address: Text<'a>,
    },
    ClockStep {
        step_ms: i64,
    },
    Gap {
        from: u64,
        to: u64,
        reason: GapReasonV1,
    },
    Joining {
        line: Text<'a>,
        #[serde(borrow)]
        news: JoiningV1<'a>,
    },
}

#[derive(Serialize, Deserialize)]
enum JoiningV1<'a> {
    Opened {
        closes_unix_ms: i64,
    },
    Joined {
        #[serde(borrow)]
        device: Text<'a>,
    },
    Failed {
        code: Text<'a>,
        detail: Text<'a>,
    },
    Closed {
        reason: Text<'a>,
    },
}

impl<'a> From<&'a JoiningNews> for JoiningV1<'a> {
    fn from(news: &'a JoiningNews) -> Self {
        match news {
            JoiningNews::Opened { closes_unix_ms } => Self::Opened { closes_unix_ms: *closes_unix_ms },
            JoiningNews::Joined { device } => Self::Joined { device: device.as_str().into() },
            JoiningNews::Failed { code, detail } => {
                Self::Failed { code: (&**code).into(), detail: (&**detail).into() }
            }
            JoiningNews::Closed { reason } => Self::Closed { reason: (&**reason).into() },
        }
    }
}

impl JoiningV1<'_> {
    fn news(self) -> Result<JoiningNews, Unreadable> {
        Ok(match self {
            Self::Opened { closes_unix_ms } => JoiningNews::Opened { closes_unix_ms },
            Self::Joined { device } => {
                JoiningNews::Joined { device: id("device", &device, DeviceId::parse)? }
            }
            Self::Failed { code, detail } => {
                JoiningNews::Failed { code: (&*code).into(), detail: (&*detail).into() }
            }
            Self::Closed { reason } => JoiningNews::Closed { reason: (&*reason).into() },
        })
    }
}

/// A reading: bit n of the mask is the nth quantity of [`QuantityV1`]; values in that order.
#[derive(Serialize, Deserialize)]
struct PackedV1 {
    mask: u16,
    values: Vec<i64>,
}

impl From<Reading> for PackedV1 {
    fn from(reading: Reading) -> Self {
        // By place in the mirror, so that a table in another order reads what this one wrote.
        let mut places: Vec<_> =
            reading.iter().map(|(quantity, value)| (QuantityV1::from(quantity) as u16, value)).collect();
        places.sort_unstable_by_key(|(place, _)| *place);
        Self {
            mask: places.iter().fold(0, |mask, (place, _)| mask | 1 << place),
            values: places.iter().map(|(_, value)| *value).collect(),
        }
    }
}

impl PackedV1 {
    fn reading(&self) -> Result<Reading, Unreadable> {
        let wrong = || Unreadable::Field { field: "mask", got: format!("{:#b}", self.mask) };
        if self.mask.count_ones() as usize != self.values.len() || self.mask >> QUANTITIES.len() != 0 {
            return Err(wrong());
        }
        let mut reading = Reading::default();
        let mut values = self.values.iter();
        let mut quantities: Vec<_> = QUANTITIES.iter().map(|row| row.quantity).collect();
        quantities.sort_unstable_by_key(|quantity| QuantityV1::from(*quantity));
        for quantity in quantities {
            if self.mask & (1 << QuantityV1::from(quantity) as u16) != 0 {
                reading.set(quantity, *values.next().ok_or_else(wrong)?);
            }
        }
        Ok(reading)
    }
}

impl<'a> From<&'a Event> for EventV1<'a> {
    fn from(event: &'a Event) -> Self {
        let fresh = &event.fresh;
        let flags = [(fresh.t_estimated, T_ESTIMATED), (fresh.late, LATE), (fresh.estimated, ESTIMATED)];
        Self {
            seq: event.seq,
            unix_ms: fresh.unix_ms,
            flags: flags.iter().filter(|(set, _)| *set).fold(0, |all, (_, flag)| all | flag),
            device: fresh.device.as_ref().map(DeviceId::as_str),
            body: (&fresh.body).into(),
        }
    }
}

impl EventV1<'_> {
    fn event(self) -> Result<Event, Unreadable> {
        Ok(Event {
            seq: self.seq,
            fresh: Fresh {
                unix_ms: self.unix_ms,
                t_estimated: self.flags & T_ESTIMATED != 0,
                late: self.flags & LATE != 0,
                estimated: self.flags & ESTIMATED != 0,
                device: self.device.map(|device| id("device", device, DeviceId::parse)).transpose()?,
                body: self.body.body()?,
            },
        })
    }
}

impl<'a> From<&'a Body> for BodyV1<'a> {
    fn from(body: &'a Body) -> Self {
        match body {
            Body::Reading(reading) => Self::Reading((*reading).into()),
            Body::Relay { on, cause } => Self::Relay { on: *on, cause: (*cause).into() },
            Body::Online { online, reason } => Self::Online { online: *online, reason: (&**reason).into() },
            Body::Device { change, device } => {
                Self::Device { change: (*change).into(), device: Box::new((&**device).into()) }
            }
            Body::Command(command) => Self::Command(Box::new((&**command).into())),
            Body::Notification(note) => {
                Self::Notification { code: (&*note.code).into(), detail: (&*note.detail).into() }
            }
            Body::Gateway(about) => Self::Gateway(about.into()),
            Body::Erased => Self::Erased,
        }
    }
}

impl BodyV1<'_> {
    fn body(self) -> Result<Body, Unreadable> {
        Ok(match self {
            Self::Reading(packed) => Body::Reading(packed.reading()?),
            Self::Relay { on, cause } => Body::Relay { on, cause: cause.into() },
            Self::Online { online, reason } => Body::Online { online, reason: (&*reason).into() },
            Self::Device { change, device } => {
                Body::Device { change: change.into(), device: Arc::new(device.device()?) }
            }
            Self::Command(command) => Body::Command(Arc::new(command.command()?)),
            Self::Notification { code, detail } => {
                Body::Notification(Notification { code: (&*code).into(), detail: (&*detail).into() })
            }
            Self::Gateway(about) => Body::Gateway(about.event()?),
            Self::Erased => Body::Erased,
        })
    }
}

impl<'a> From<&'a GatewayEvent> for GatewayV1<'a> {
    fn from(about: &'a GatewayEvent) -> Self {
        match about {
            GatewayEvent::Started { version } => Self::Started { version: (&**version).into() },
            GatewayEvent::Stopping => Self::Stopping,
            GatewayEvent::LineUp { line } => Self::LineUp { line: line.as_str().into() },
            GatewayEvent::LineDown { line, reason } => {
                Self::LineDown { line: line.as_str().into(), reason: (&**reason).into() }
            }
            GatewayEvent::ForeignDevice { line, address } => {
                Self::ForeignDevice { line: line.as_str().into(), address: (&**address).into() }
            }
            GatewayEvent::ClockStep { step_ms } => Self::ClockStep { step_ms: *step_ms },
            GatewayEvent::Gap { from, to, reason } => {
                Self::Gap { from: *from, to: *to, reason: (*reason).into() }
            }
            GatewayEvent::Joining { line, news } => {
                Self::Joining { line: line.as_str().into(), news: news.into() }
            }
        }
    }
}

impl GatewayV1<'_> {
    fn event(self) -> Result<GatewayEvent, Unreadable> {
        let name = |line: &str| id("line", line, LineName::parse);
        Ok(match self {
            Self::Started { version } => GatewayEvent::Started { version: (&*version).into() },
            Self::Stopping => GatewayEvent::Stopping,
            Self::LineUp { line } => GatewayEvent::LineUp { line: name(&line)? },
            Self::LineDown { line, reason } => {
                GatewayEvent::LineDown { line: name(&line)?, reason: (&*reason).into() }
            }
            Self::ForeignDevice { line, address } => {
                GatewayEvent::ForeignDevice { line: name(&line)?, address: (&*address).into() }
            }
            Self::ClockStep { step_ms } => GatewayEvent::ClockStep { step_ms },
            Self::Gap { from, to, reason } => GatewayEvent::Gap { from, to, reason: reason.into() },
            Self::Joining { line, news } => GatewayEvent::Joining { line: name(&line)?, news: news.news()? },
        })
    }
}
