//! The nouns: ids, quantities, readings, devices. Pure: no clock, no I/O, no encoding.
//!
//! Vocabulary: `protocol-spec/README.md` (quantities) and `protocol-spec/http.md` (ids, Device).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A moment on the monotonic clock, counted from an arbitrary start. Deadlines are moments, so that a step of
/// the wall clock never touches a timer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub Duration);

impl std::ops::Add<Duration> for Moment {
    type Output = Self;
    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(rhs))
    }
}

impl Moment {
    /// Time from `earlier` until this moment; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// Both clocks, read once per turn of the event loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Monotonic clock, for deadlines.
    pub mono: Moment,
    /// Wall clock in milliseconds since 1970-01-01 UTC, for stamps.
    pub unix_ms: i64,
    /// The wall clock is known to be right (synchronised since boot).
    pub synchronised: bool,
}

/// A measured quantity. Values are integers in the unit named by [`QuantityRow::json_name`] divided by
/// 10^[`QuantityRow::digits`]: `Power` is in milliwatts, `Energy` in milliwatt-hours, `Temperature` in tenths of a degree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Quantity {
    /// Active power in mW; negative is export. OBIS 1-0:1.7.0.
    Power,
    /// Total imported energy in mWh; only rises. OBIS 1-0:1.8.0.
    Energy,
    /// Total exported energy in mWh; only rises. OBIS 1-0:2.8.0.
    EnergyExport,
    /// Voltage in mV. OBIS 1-0:32.7.0.
    Voltage,
    /// Current in mA, signed. OBIS 1-0:31.7.0.
    Current,
    /// Mains frequency in mHz. OBIS 1-0:14.7.0.
    Frequency,
    /// Power factor in thousandths, −1000 … 1000. OBIS 1-0:13.7.0.
    PowerFactor,
    /// Temperature in tenths of a degree Celsius.
    Temperature,
}

/// One row of the table of quantities (`protocol-spec/README.md`): everything that names a quantity anywhere.
#[derive(Debug)]
pub struct QuantityRow {
    /// The quantity of this row.
    pub quantity: Quantity,
    /// Capability and Home Assistant component key, without a unit: `power`.
    pub name: &'static str,
    /// Field in every JSON, with its unit: `power_w`.
    pub json_name: &'static str,
    /// Decimal digits between the stored integer and the JSON unit.
    pub digits: u8,
    /// Home Assistant device class, where it differs from nothing.
    pub device_class: &'static str,
    /// Home Assistant state class.
    pub state_class: &'static str,
    /// Unit as Home Assistant spells it; empty for a bare number.
    pub unit: &'static str,
}

const fn row(
    quantity: Quantity,
    name: &'static str,
    json: (&'static str, u8),
    state_class: &'static str,
    unit: &'static str,
) -> QuantityRow {
    let device_class = match quantity {
        Quantity::EnergyExport => "energy",
        _ => name,
    };
    QuantityRow { quantity, name, json_name: json.0, digits: json.1, device_class, state_class, unit }
}

/// The table of quantities. A new quantity is one variant and one row here.
pub const QUANTITIES: [QuantityRow; 8] = [
    row(Quantity::Power, "power", ("power_w", 3), "measurement", "W"),
    row(Quantity::Energy, "energy", ("energy_kwh", 6), "total_increasing", "kWh"),
    row(Quantity::EnergyExport, "energy_export", ("energy_export_kwh", 6), "total_increasing", "kWh"),
    row(Quantity::Voltage, "voltage", ("voltage_v", 3), "measurement", "V"),
    row(Quantity::Current, "current", ("current_a", 3), "measurement", "A"),
    row(Quantity::Frequency, "frequency", ("frequency_hz", 3), "measurement", "Hz"),
    row(Quantity::PowerFactor, "power_factor", ("power_factor", 3), "measurement", ""),
    row(Quantity::Temperature, "temperature", ("temperature_c", 1), "measurement", "°C"),
];

impl Quantity {
    /// This quantity's row of [`QUANTITIES`].
    #[must_use]
    pub fn row(self) -> &'static QuantityRow {
        &QUANTITIES[self as usize]
    }

    /// A total that only rises and never ages (`energy`, `energy_export`).
    #[must_use]
    pub fn is_total(self) -> bool {
        matches!(self, Self::Energy | Self::EnergyExport)
    }
}

/// Values of quantities measured together; what was not measured is absent, never 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    values: [Option<i64>; QUANTITIES.len()],
}

impl Reading {
    /// A reading of one quantity, in its stored unit ([`Quantity`]).
    #[must_use]
    pub fn of(quantity: Quantity, value: i64) -> Self {
        let mut reading = Self::default();
        reading.set(quantity, value);
        reading
    }

    /// Sets a quantity, in its stored unit.
    pub fn set(&mut self, quantity: Quantity, value: i64) {
        self.values[quantity as usize] = Some(value);
    }

    /// Removes a quantity.
    pub fn clear(&mut self, quantity: Quantity) {
        self.values[quantity as usize] = None;
    }

    /// The value of a quantity in its stored unit, if measured.
    #[must_use]
    pub fn get(&self, quantity: Quantity) -> Option<i64> {
        self.values[quantity as usize]
    }

    /// What was measured, in the table's order.
    pub fn iter(&self) -> impl Iterator<Item = (Quantity, i64)> + '_ {
        QUANTITIES.iter().filter_map(|row| self.get(row.quantity).map(|value| (row.quantity, value)))
    }

    /// Nothing was measured.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.iter().all(Option::is_none)
    }

    /// Takes over every quantity that `newer` holds.
    pub fn merge(&mut self, newer: &Self) {
        for (quantity, value) in newer.iter() {
            self.set(quantity, value);
        }
    }
}

/// Writes an integer of a unit with `digits` decimals as an exact decimal number without trailing zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal {
    /// The stored integer.
    pub value: i64,
    /// Decimal digits, 0 … 18.
    pub digits: u8,
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scale = 10_u64.pow(u32::from(self.digits));
        let magnitude = self.value.unsigned_abs();
        let (whole, rest) = (magnitude / scale, magnitude % scale);
        if self.value < 0 {
            f.write_str("-")?;
        }
        write!(f, "{whole}")?;
        if rest == 0 {
            return Ok(());
        }
        let text = format!("{rest:0width$}", width = usize::from(self.digits));
        write!(f, ".{}", text.trim_end_matches('0'))
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $max:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            #[doc = concat!("Parses the id; `None` unless it is 1 … ", stringify!($max), " of `[a-z0-9_]`.")]
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                let fits = (1..=$max).contains(&text.len())
                    && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
                fits.then(|| Self(text.into()))
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id! {
    /// A device for ever: `dialect_address[_channel]`, minted at first registration, never changed.
    DeviceId, 48
}
text_id! {
    /// A line's name from the configuration.
    LineName, 16
}
text_id! {
    /// A gateway: `gw_` and ten base32 characters.
    GatewayId, 13
}
text_id! {
    /// A command: `cmd_` and a lower-case ULID.
    CommandId, 30
}
text_id! {
    /// A token of the HTTP API: `tok_` and ten characters; no secret.
    TokenId, 14
}
text_id! {
    /// A browser's session: `ses_` and ten characters; no secret.
    SessionId, 14
}
text_id! {
    /// The life of one log: eight characters, new only when the log is lost or restored.
    Epoch, 8
}

/// Whose log it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The gateway.
    pub gateway: GatewayId,
    /// The life of its log.
    pub epoch: Epoch,
}

/// Where a device sits on its line: the dialect's own spelling of the address, and the channel of a thing with several relays.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// Address in the dialect's canonical spelling: `000000004711`, `1a777b`.
    pub address: Arc<str>,
    /// 1, 2, … of a thing with several relays; `None` for a single one.
    pub channel: Option<u8>,
}

/// What a device can do besides measuring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    /// Its relay can be switched from here.
    pub relay: bool,
    /// It can be dimmed.
    pub dim: bool,
    /// It can show itself: by a beep, a lamp.
    pub identify: bool,
}

/// What a person chose about a device, by the names of its line's options.
pub type DeviceOptions = BTreeMap<Arc<str>, OptionValue>;

/// The value of an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptionValue {
    /// Yes or no.
    Flag(bool),
    /// One of several words.
    Word(Arc<str>),
}

/// An option that devices of a dialect have: one row of its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionRow {
    /// Its name, as in the configuration.
    pub name: &'static str,
    /// What it may be; empty for yes or no.
    pub words: &'static [&'static str],
    /// What it does, in half a sentence.
    pub about: &'static str,
}

impl OptionRow {
    /// The value may stand there.
    #[must_use]
    pub fn allows(&self, value: &OptionValue) -> bool {
        match value {
            OptionValue::Flag(_) => self.words.is_empty(),
            OptionValue::Word(word) => self.words.contains(&&**word),
        }
    }
}

/// A quantity that a device gives, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// Which.
    pub quantity: Quantity,
    /// How often a new value is expected; `None` when it comes as it pleases.
    pub period: Option<Duration>,
}

/// A reading and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StampedReading {
    /// Time of the youngest quantity, milliseconds since 1970 UTC.
    pub unix_ms: i64,
    /// The newest value of every quantity.
    pub reading: Reading,
}

/// What is added to a meter's own total, so that the published one goes on when the meter was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CarryOver {
    /// This much, in mWh.
    Offset(i64),
    /// The new meter has not told its total yet; the first one becomes the published total.
    Pending,
}

impl Default for CarryOver {
    fn default() -> Self {
        Self::Offset(0)
    }
}

/// What the configuration says of a device, as of the last start: a later change there is told from a change here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configured {
    /// Where the configuration puts it; it may have been replaced since.
    pub target: Target,
    /// How the configuration calls it.
    pub name: Option<Arc<str>>,
}

/// One relay or meter, as people see it; or a group of such, whose state is made from theirs. State comes from the
/// line only; `None` is "not heard yet".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Never changes.
    pub id: DeviceId,
    /// What people call it.
    pub name: Arc<str>,
    /// The line it sits on; a group sits on none.
    pub line: Option<LineName>,
    /// The language of that line: `dlt645`; of a group `group`.
    pub dialect: Arc<str>,
    /// Where on the line; of a group, an empty address.
    pub target: Target,
    /// Model, if the device or the configuration tells.
    pub model: Option<Arc<str>>,
    /// Relay and dimmer.
    pub abilities: Abilities,
    /// Quantities that it is asked for or reports, in the table's order.
    pub measured: Arc<[Measured]>,
    /// The relay, as last shown by the line.
    pub relay: Option<bool>,
    /// Whether it answers.
    pub online: Option<bool>,
    /// When anything was last heard from it, milliseconds since 1970 UTC.
    pub last_seen_unix_ms: Option<i64>,
    /// The newest value of every quantity that has not aged out.
    pub last_reading: Option<StampedReading>,
    /// What a person chose beside the configuration.
    pub options: DeviceOptions,
    /// Of `energy` and `energy_export`; not shown.
    pub carry_over: [CarryOver; 2],
    /// Set when the configuration names it; not shown.
    pub configured: Option<Configured>,
    /// The groups that it is a member of, by id. The groups' own lists decide; this follows them.
    pub groups: Arc<[DeviceId]>,
    /// Of a group: who belongs to it, in the order that was given. `None` for everything else.
    pub members: Option<Arc<[DeviceId]>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_stands_in_the_order_of_the_enum() {
        for (index, row) in QUANTITIES.iter().enumerate() {
            assert_eq!(row.quantity as usize, index, "{}", row.name);
        }
    }

    #[test]
    fn decimals_are_exact_and_short() {
        let show = |value, digits| Decimal { value, digits }.to_string();
        assert_eq!(show(41_700, 3), "41.7");
        assert_eq!(show(230_000, 3), "230");
        assert_eq!(show(-1, 3), "-0.001");
        assert_eq!(show(260_000, 6), "0.26");
        assert_eq!(show(i64::MIN, 3), "-9223372036854775.808");
        assert_eq!(show(0, 6), "0");
    }

    #[test]
    fn ids_refuse_what_a_topic_or_a_url_could_not_carry() {
        assert!(DeviceId::parse("dlt645_000000004711").is_some());
        for bad in ["", "A", "a b", "a/b", "ä", &"a".repeat(49)] {
            assert!(DeviceId::parse(bad).is_none(), "{bad}");
        }
    }
}
