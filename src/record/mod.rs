//! Stored forms of the nouns: what stands in the registry, in its sidecar file and in the log. Pure.
//!
//! The only place that knows them. The nouns themselves have no encoding; each has a mirror here, and each stored
//! value starts with the number of its schema. Mirrors only grow at their end (the log's encoding knows variants
//! by their place); any other change is a new schema number and a reader for the old one.
//!
//! ```text
//! registry value:  schema u8 | CRC-32C u32 LE over schema and payload | payload (JSON; a line's own bytes as they are)
//! log payload:     schema u8 | postcard, seq first                        (record/event.rs)
//! ```

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crc::{CRC_32_ISCSI, Crc, Table};
use serde::{Deserialize, Serialize};

use crate::device::{
    Abilities, CarryOver, Configured, Device, DeviceId, LineName, Measured, OptionValue, Quantity, Reading,
    StampedReading, Target,
};
use crate::hub::command::Command;

mod access;
pub mod backup;
mod command;
mod day;
mod event;
mod registry;
#[cfg(test)]
pub(crate) mod samples;

pub use access::{seal_noted, seal_session, seal_token, unseal_noted, unseal_session, unseal_token};
use command::CommandV1;
pub use day::{day_key, day_of_key, seal_day, unseal_day};
pub use event::{Head, append_event, event_of, head_of, overwrite_event, seq_of};
pub use registry::{Meta, Registry, seal_meta, sidecar_of, sidecar_text, unseal_meta};

/// The newest schema that is written and read.
pub const SCHEMA: u8 = 1;

/// Bytes of a sealed value before its payload.
const SEAL: usize = 5;

static CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// CRC-32C (Castagnoli), as of iSCSI.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    CRC.checksum(bytes)
}

/// Why a stored value does not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Fewer bytes than any value has.
    #[error("it has {got} bytes, wanted at least {wanted}")]
    Short {
        /// Its length.
        got: usize,
        /// The least.
        wanted: usize,
    },
    /// The bytes are not those that were written.
    #[error("its checksum is {got:08x}, wanted {wanted:08x}")]
    Checksum {
        /// Of the bytes as they are.
        got: u32,
        /// As noted when written.
        wanted: u32,
    },
    /// Written by a later version.
    #[error("its schema is {got}, wanted 1 … {SCHEMA}")]
    Schema {
        /// Its number.
        got: u8,
    },
    /// The payload has another shape.
    #[error("its payload has another shape: {0}")]
    Shape(String),
    /// A field holds what it never may.
    #[error("its field `{field}` holds `{got}`")]
    Field {
        /// Which.
        field: &'static str,
        /// What stands there.
        got: String,
    },
}

/// Puts schema and checksum before a payload.
#[must_use]
pub fn seal(payload: &[u8]) -> Vec<u8> {
    let mut digest = CRC.digest();
    digest.update(&[SCHEMA]);
    digest.update(payload);
    let mut sealed = Vec::with_capacity(SEAL + payload.len());
    sealed.push(SCHEMA);
    sealed.extend(digest.finalize().to_le_bytes());
    sealed.extend(payload);
    sealed
}

/// The payload of a sealed value.
///
/// # Errors
/// [`Unreadable`] when it is short, damaged or of a later schema.
pub fn unseal(sealed: &[u8]) -> Result<&[u8], Unreadable> {
    let (Some((&schema, rest)), true) = (sealed.split_first(), sealed.len() >= SEAL) else {
        return Err(Unreadable::Short { got: sealed.len(), wanted: SEAL });
    };
    let (noted, payload) = rest.split_at(SEAL - 1);
    let wanted = u32::from_le_bytes(noted.try_into().expect("split at four bytes"));
    let mut digest = CRC.digest();
    digest.update(&[schema]);
    digest.update(payload);
    match digest.finalize() {
        got if got != wanted => Err(Unreadable::Checksum { got, wanted }),
        _ if schema != SCHEMA => Err(Unreadable::Schema { got: schema }),
        _ => Ok(payload),
    }
}

/// A device as a sealed value.
#[must_use]
pub fn seal_device(device: &Device) -> Vec<u8> {
    seal_json(&DeviceV1::from(device))
}

/// A device from a sealed value.
///
/// # Errors
/// [`Unreadable`], as for all of these.
pub fn unseal_device(sealed: &[u8]) -> Result<Device, Unreadable> {
    unseal_json::<DeviceV1<'_>>(sealed)?.device()
}

/// A command as a sealed value.
#[must_use]
pub fn seal_command(command: &Command) -> Vec<u8> {
    seal_json(&CommandV1::from(command))
}

/// A command from a sealed value.
///
/// # Errors
/// [`Unreadable`].
pub fn unseal_command(sealed: &[u8]) -> Result<Command, Unreadable> {
    unseal_json::<CommandV1<'_>>(sealed)?.command()
}

/// A number as a sealed value.
#[must_use]
pub fn seal_number(number: u64) -> Vec<u8> {
    seal_json(&number)
}

/// A number from a sealed value.
///
/// # Errors
/// [`Unreadable`].
pub fn unseal_number(sealed: &[u8]) -> Result<u64, Unreadable> {
    unseal_json(sealed)
}

fn seal_json(view: &impl Serialize) -> Vec<u8> {
    seal(json_text(view).as_bytes())
}

fn json_text(view: &impl Serialize) -> String {
    serde_json::to_string(view).expect("mirrors have text keys and cannot fail")
}

fn unseal_json<'a, T: Deserialize<'a>>(sealed: &'a [u8]) -> Result<T, Unreadable> {
    serde_json::from_slice(unseal(sealed)?).map_err(shape)
}

fn shape(error: impl std::fmt::Display) -> Unreadable {
    Unreadable::Shape(error.to_string())
}

fn id<T>(field: &'static str, text: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, Unreadable> {
    parse(text).ok_or_else(|| Unreadable::Field { field, got: text.to_owned() })
}

/// Mirrors an enum without fields, both ways.
macro_rules! mirror {
    ($name:ident = $of:ty { $($variant:ident),+ }) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub(super) enum $name { $($variant),+ }

        impl From<$of> for $name {
            fn from(of: $of) -> Self {
                match of { $(<$of>::$variant => Self::$variant),+ }
            }
        }

        impl From<$name> for $of {
            fn from(of: $name) -> Self {
                match of { $($name::$variant => Self::$variant),+ }
            }
        }
    };
}
use mirror;

mirror!(
    QuantityV1 =
        Quantity { Power, Energy, EnergyExport, Voltage, Current, Frequency, PowerFactor, Temperature }
);

type Text<'a> = Cow<'a, str>;

/// A field that older records lack: theirs end before it. Only the last fields of what stands last in its record may be
/// such; damage is told by the checksum.
#[derive(Default)]
struct Tail<T>(T);

impl<T: Serialize> Serialize for Tail<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for Tail<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(T::deserialize(deserializer).unwrap_or_default()))
    }
}

fn texts(ids: &[DeviceId]) -> Vec<Text<'_>> {
    ids.iter().map(|id| id.as_str().into()).collect()
}

fn ids(field: &'static str, texts: &[Text<'_>]) -> Result<Arc<[DeviceId]>, Unreadable> {
    texts.iter().map(|text| id(field, text, DeviceId::parse)).collect()
}

#[derive(Serialize, Deserialize)]
struct StampedV1 {
    unix_ms: i64,
    values: BTreeMap<QuantityV1, i64>,
}

#[derive(Serialize, Deserialize)]
struct MeasuredV1 {
    quantity: QuantityV1,
    period_ms: Option<u64>,
}

impl From<&Measured> for MeasuredV1 {
    fn from(measured: &Measured) -> Self {
        let ms = |period: Duration| u64::try_from(period.as_millis()).unwrap_or(u64::MAX);
        Self { quantity: measured.quantity.into(), period_ms: measured.period.map(ms) }
    }
}

impl From<MeasuredV1> for Measured {
    fn from(measured: MeasuredV1) -> Self {
        Self { quantity: measured.quantity.into(), period: measured.period_ms.map(Duration::from_millis) }
    }
}

#[derive(Serialize, Deserialize)]
struct DeviceV1<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    name: Text<'a>,
    line: Text<'a>,
    dialect: Text<'a>,
    address: Text<'a>,
    channel: Option<u8>,
    model: Option<Text<'a>>,
    can_switch: bool,
    can_dim: bool,
    measured: Vec<MeasuredV1>,
    relay: Option<bool>,
    online: Option<bool>,
    last_seen_unix_ms: Option<i64>,
    last_reading: Option<StampedV1>,
    /// Of imported and exported energy, mWh; `None` while a replaced meter has not told its total.
    carry_over: [Option<i64>; 2],
    configured: Option<ConfiguredV1<'a>>,
    can_identify: bool,
    options: Vec<(Text<'a>, OptionV1<'a>)>,
    #[serde(borrow, default)]
    groups: Tail<Vec<Text<'a>>>,
    #[serde(borrow, default)]
    members: Tail<Option<Vec<Text<'a>>>>,
}

#[derive(Serialize, Deserialize)]
enum OptionV1<'a> {
    Flag(bool),
    #[serde(borrow)]
    Word(Text<'a>),
}

impl<'a> From<&'a OptionValue> for OptionV1<'a> {
    fn from(value: &'a OptionValue) -> Self {
        match value {
            OptionValue::Flag(flag) => Self::Flag(*flag),
            OptionValue::Word(word) => Self::Word((&**word).into()),
        }
    }
}

impl From<OptionV1<'_>> for OptionValue {
    fn from(value: OptionV1<'_>) -> Self {
        match value {
            OptionV1::Flag(flag) => Self::Flag(flag),
            OptionV1::Word(word) => Self::Word((&*word).into()),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct ConfiguredV1<'a> {
    #[serde(borrow)]
    address: Text<'a>,
    channel: Option<u8>,
    name: Option<Text<'a>>,
}

impl<'a> From<&'a Configured> for ConfiguredV1<'a> {
    fn from(configured: &'a Configured) -> Self {
        Self {
            address: (&*configured.target.address).into(),
            channel: configured.target.channel,
            name: configured.name.as_deref().map(Into::into),
        }
    }
}

impl From<ConfiguredV1<'_>> for Configured {
    fn from(configured: ConfiguredV1<'_>) -> Self {
        Self {
            target: Target { address: (&*configured.address).into(), channel: configured.channel },
            name: configured.name.as_deref().map(Into::into),
        }
    }
}

impl<'a> From<&'a Device> for DeviceV1<'a> {
    fn from(device: &'a Device) -> Self {
        Self {
            id: device.id.as_str().into(),
            name: (&*device.name).into(),
            line: device.line.as_ref().map_or("", LineName::as_str).into(),
            dialect: (&*device.dialect).into(),
            address: (&*device.target.address).into(),
            channel: device.target.channel,
            model: device.model.as_deref().map(Into::into),
            can_switch: device.abilities.relay,
            can_dim: device.abilities.dim,
            measured: device.measured.iter().map(MeasuredV1::from).collect(),
            relay: device.relay,
            online: device.online,
            last_seen_unix_ms: device.last_seen_unix_ms,
            last_reading: device.last_reading.map(|stamped| StampedV1 {
                unix_ms: stamped.unix_ms,
                values: stamped.reading.iter().map(|(quantity, value)| (quantity.into(), value)).collect(),
            }),
            carry_over: device.carry_over.map(|carry| match carry {
                CarryOver::Offset(offset) => Some(offset),
                CarryOver::Pending => None,
            }),
            configured: device.configured.as_ref().map(Into::into),
            can_identify: device.abilities.identify,
            options: device.options.iter().map(|(name, value)| ((&**name).into(), value.into())).collect(),
            groups: Tail(texts(&device.groups)),
            members: Tail(device.members.as_deref().map(texts)),
        }
    }
}

impl DeviceV1<'_> {
    fn device(self) -> Result<Device, Unreadable> {
        Ok(Device {
            id: id("id", &self.id, DeviceId::parse)?,
            name: (&*self.name).into(),
            line: (!self.line.is_empty()).then(|| id("line", &self.line, LineName::parse)).transpose()?,
            dialect: (&*self.dialect).into(),
            target: Target { address: (&*self.address).into(), channel: self.channel },
            model: self.model.as_deref().map(Into::into),
            abilities: Abilities { relay: self.can_switch, dim: self.can_dim, identify: self.can_identify },
            measured: self.measured.into_iter().map(Into::into).collect(),
            relay: self.relay,
            online: self.online,
            last_seen_unix_ms: self.last_seen_unix_ms,
            last_reading: self.last_reading.map(|stamped| {
                let mut reading = Reading::default();
                for (quantity, value) in stamped.values {
                    reading.set(quantity.into(), value);
                }
                StampedReading { unix_ms: stamped.unix_ms, reading }
            }),
            carry_over: self.carry_over.map(|carry| carry.map_or(CarryOver::Pending, CarryOver::Offset)),
            configured: self.configured.map(Into::into),
            options: self.options.into_iter().map(|(name, value)| ((&*name).into(), value.into())).collect(),
            groups: ids("groups", &self.groups.0)?,
            members: self.members.0.map(|members| ids("members", &members)).transpose()?,
        })
    }
}

#[cfg(test)]
mod tests;
