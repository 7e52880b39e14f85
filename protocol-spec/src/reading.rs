//! The metering values and flags inside REPORT and RESPONSE. `messages.md` §6.2.
//!
//! ```text
//!  0 flags u16 | 2 voltage u16 10 mV | 4 current u16 mA | 6 power i24 10 mW | 9 energy u32 0.1 Wh | 13 temperature i8 °C
//! ```

use crate::fields::{Fields, Value, Visit};
use crate::wire::{Full, ParseError, Reader, Writer};

/// Octets of a reading.
pub const READING_LEN: usize = 14;

const RELAY: u16 = 1 << 0;
const CAUSE_SHIFT: u32 = 1;
const BOOTED: u16 = 1 << 4;
const ENERGY_RESET: u16 = 1 << 5;
const EXPORT: u16 = 1 << 6;
const FREE_RUNNING: u16 = 1 << 7;
const LOCKED_OUT: u16 = 1 << 8;
const HOT: u16 = 1 << 9;
const BUTTON: u16 = 1 << 10;
const SYNC: u16 = 1 << 11;
const MORE: u16 = 1 << 15;

const NO_VOLTAGE: u16 = 0xFFFF;
const NO_CURRENT: u16 = 0xFFFF;
const NO_POWER: i32 = -0x80_0000;
const NO_ENERGY: u32 = 0xFFFF_FFFF;
const NO_TEMPERATURE: i8 = -128;

/// The largest power that fits, in units of 10 mW: 83.8 kW.
pub const POWER_MAX: i32 = 0x7F_FFFF;

/// Why the relay is as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Cause {
    /// Power came: the power-on behaviour set it.
    #[default]
    PowerOn = 0,
    /// A COMMAND.
    Command = 1,
    /// Somebody pressed the button.
    Button = 2,
    /// The over-current trip.
    OverCurrent = 3,
    /// The over-temperature trip.
    OverTemperature = 4,
    /// A cause of a later version.
    Other = 7,
}

impl Cause {
    fn of(number: u16) -> Self {
        match number {
            0 => Self::PowerOn,
            1 => Self::Command,
            2 => Self::Button,
            3 => Self::OverCurrent,
            4 => Self::OverTemperature,
            _ => Self::Other,
        }
    }

    /// `command`, `over_current` …
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::PowerOn => "power_on",
            Self::Command => "command",
            Self::Button => "button",
            Self::OverCurrent => "over_current",
            Self::OverTemperature => "over_temperature",
            Self::Other => "other",
        }
    }
}

/// The flags of a reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags {
    /// The relay is closed: power is on.
    pub relay_on: bool,
    /// Why.
    pub cause: Cause,
    /// The socket started and no REPORT that says so was acknowledged yet.
    pub booted: bool,
    /// The energy register started anew, and no REPORT that says so was acknowledged yet.
    pub energy_reset: bool,
    /// `energy` and the history are the export register.
    pub export: bool,
    /// `minute` counts from the socket's own start: no BEACON was heard for three minutes.
    pub free_running: bool,
    /// The over-current trip is latched: switching on is refused.
    pub locked_out: bool,
    /// Too hot now.
    pub hot: bool,
    /// The button was pressed since the last acknowledged REPORT.
    pub button: bool,
    /// A SYNC is wanted: set from the start, and when the group counter is too far ahead, until one was accepted.
    pub sync: bool,
    /// REPORT only: extensions follow. Set by the emitter, from what follows.
    pub more: bool,
}

impl Flags {
    fn bits(self) -> u16 {
        let bit = |set: bool, mask| if set { mask } else { 0 };
        bit(self.relay_on, RELAY)
            | (self.cause as u16) << CAUSE_SHIFT
            | bit(self.booted, BOOTED)
            | bit(self.energy_reset, ENERGY_RESET)
            | bit(self.export, EXPORT)
            | bit(self.free_running, FREE_RUNNING)
            | bit(self.locked_out, LOCKED_OUT)
            | bit(self.hot, HOT)
            | bit(self.button, BUTTON)
            | bit(self.sync, SYNC)
            | bit(self.more, MORE)
    }

    /// Reserved bits are ignored.
    fn of(bits: u16) -> Self {
        Self {
            relay_on: bits & RELAY != 0,
            cause: Cause::of(bits >> CAUSE_SHIFT & 7),
            booted: bits & BOOTED != 0,
            energy_reset: bits & ENERGY_RESET != 0,
            export: bits & EXPORT != 0,
            free_running: bits & FREE_RUNNING != 0,
            locked_out: bits & LOCKED_OUT != 0,
            hot: bits & HOT != 0,
            button: bits & BUTTON != 0,
            sync: bits & SYNC != 0,
            more: bits & MORE != 0,
        }
    }
}

/// What a socket measured. Absent is absent, never 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Reading {
    /// Relay, causes, alarms.
    pub flags: Flags,
    /// RMS voltage in 10 mV, 0 … 655.34 V.
    pub voltage_10mv: Option<u16>,
    /// RMS current in mA, 0 … 65.534 A.
    pub current_ma: Option<u16>,
    /// Active power in 10 mW, ±83.8 kW; negative is export. [`Self::clamped`] keeps it in range.
    pub power_10mw: Option<i32>,
    /// The register that [`Flags::export`] names, in 0.1 Wh; after 4,294,967,294 comes 0.
    pub energy_100mwh: Option<u32>,
    /// Inside the socket, −127 … 127 °C.
    pub temperature_c: Option<i8>,
}

impl Reading {
    /// Voltage in mV.
    #[must_use]
    pub fn voltage_mv(&self) -> Option<u32> {
        self.voltage_10mv.map(|value| u32::from(value) * 10)
    }

    /// Power in mW; negative is export.
    #[must_use]
    pub fn power_mw(&self) -> Option<i32> {
        self.power_10mw.map(|value| value.saturating_mul(10))
    }

    /// The energy register in mWh.
    #[must_use]
    pub fn energy_mwh(&self) -> Option<u64> {
        self.energy_100mwh.map(|value| u64::from(value) * 100)
    }

    /// The nearest reading that the wire can carry: values that mean "absent" become the largest that do not.
    #[must_use]
    pub fn clamped(mut self) -> Self {
        self.voltage_10mv = self.voltage_10mv.map(|value| value.min(NO_VOLTAGE - 1));
        self.current_ma = self.current_ma.map(|value| value.min(NO_CURRENT - 1));
        self.power_10mw = self.power_10mw.map(|value| value.clamp(-POWER_MAX, POWER_MAX));
        self.energy_100mwh = self.energy_100mwh.map(|value| if value == NO_ENERGY { 0 } else { value });
        self.temperature_c = self.temperature_c.map(|value| value.max(NO_TEMPERATURE + 1));
        self
    }

    pub(crate) fn emit(&self, out: &mut Writer<'_>) -> Result<(), Full> {
        let this = self.clamped();
        out.u16(this.flags.bits())?;
        out.u16(this.voltage_10mv.unwrap_or(NO_VOLTAGE))?;
        out.u16(this.current_ma.unwrap_or(NO_CURRENT))?;
        let [_, power @ ..] = this.power_10mw.unwrap_or(NO_POWER).to_be_bytes();
        out.bytes(&power)?;
        out.u32(this.energy_100mwh.unwrap_or(NO_ENERGY))?;
        out.bytes(&this.temperature_c.unwrap_or(NO_TEMPERATURE).to_be_bytes())
    }

    pub(crate) fn read(from: &mut Reader<'_>) -> Result<Self, ParseError> {
        let flags = Flags::of(from.u16("flags")?);
        let voltage = from.u16("voltage")?;
        let current = from.u16("current")?;
        let [p0, p1, p2] = from.array("power")?;
        // Three octets, moved to the top so that the shift back carries the sign.
        let power = i32::from_be_bytes([p0, p1, p2, 0]) >> 8;
        let energy = from.u32("energy")?;
        let [temperature] = from.array("temperature")?;
        let temperature = temperature.cast_signed();
        Ok(Self {
            flags,
            voltage_10mv: (voltage != NO_VOLTAGE).then_some(voltage),
            current_ma: (current != NO_CURRENT).then_some(current),
            power_10mw: (power != NO_POWER).then_some(power),
            energy_100mwh: (energy != NO_ENERGY).then_some(energy),
            temperature_c: (temperature != NO_TEMPERATURE).then_some(temperature),
        })
    }
}

impl Fields for Reading {
    fn fields(&self, visit: &mut Visit<'_>) {
        let flags = &self.flags;
        visit("relay_on", Value::Flag(flags.relay_on));
        visit("cause", Value::Word(flags.cause.name()));
        visit("booted", Value::Flag(flags.booted));
        visit("energy_reset", Value::Flag(flags.energy_reset));
        visit("export", Value::Flag(flags.export));
        visit("free_running", Value::Flag(flags.free_running));
        visit("locked_out", Value::Flag(flags.locked_out));
        visit("hot", Value::Flag(flags.hot));
        visit("button", Value::Flag(flags.button));
        visit("sync", Value::Flag(flags.sync));
        visit("voltage_10mv", Value::maybe(self.voltage_10mv.map(i64::from)));
        visit("current_ma", Value::maybe(self.current_ma.map(i64::from)));
        visit("power_10mw", Value::maybe(self.power_10mw.map(i64::from)));
        visit("energy_100mwh", Value::maybe(self.energy_100mwh.map(i64::from)));
        visit("temperature_c", Value::maybe(self.temperature_c.map(i64::from)));
    }
}
