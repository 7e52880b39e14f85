//! What a person may choose about a line of DL/T 645 meters, and about each meter on it.
//!
//! Refuses to know files and their syntax: the configuration fills these in. Passwords never show in `Debug` or in an
//! error.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::device::{self, OptionRow, OptionValue};

/// What carries the bytes between the port and the meters; decides how long an answer may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Medium {
    /// Two wires.
    #[default]
    Rs485,
    /// A narrowband carrier adapter: the network routes, and answers take seconds.
    Narrowband,
    /// A broadband (HPLC) carrier adapter.
    Broadband,
}

impl Medium {
    /// How long after a request its answer may begin. A meter answers within 500 ms (Td, DL/T 645-2007); carriers
    /// take longer by what their routing needs.
    #[must_use]
    pub fn reply_max(self) -> Duration {
        Duration::from_secs(match self {
            Self::Rs485 => 1,
            Self::Broadband => 3,
            Self::Narrowband => 10,
        })
    }

    /// How long an answer usually lets wait, for the cost of a poll; an estimate (RS-485: a fifth of the Td that is
    /// allowed; carriers: the middle of what owners report).
    #[must_use]
    pub fn reply_typical(self) -> Duration {
        Duration::from_millis(match self {
            Self::Rs485 => 100,
            Self::Broadband => 600,
            Self::Narrowband => 3_000,
        })
    }
}

/// How the relay of a meter closes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Closing {
    /// From here (request 1C).
    #[default]
    Remote,
    /// By a person at the meter's button, once it is allowed from here (request 1B).
    Hand,
}

/// Until when a relay request is good. Meters refuse one whose time has passed on their own clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expiring {
    /// 2099-12-30 00:00:00, as in public captures. Needs no clock here and bears any clock in the meter; the
    /// password goes over the line in clear either way.
    #[default]
    Never,
    /// One day from now. A recorded request cannot be replayed later; needs a clock that is right here and roughly
    /// right in the meter.
    Dated,
}

/// An option that cannot be used. Never holds what was given: it may be a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: wanted {want}")]
pub struct BadOption {
    /// Name of the option.
    pub field: &'static str,
    /// What is wanted.
    pub want: &'static str,
}

/// Password of a meter's relay, with its level.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Password {
    level: u8,
    wire: [u8; 3],
}

impl Password {
    /// Reads six digits (level 02), or eight of which the first two are the level. The most significant digit comes
    /// first, as with addresses: `020637` goes over the line as 37 06 02.
    ///
    /// # Errors
    /// [`BadOption`] for anything else.
    pub fn parse(text: &str) -> Result<Self, BadOption> {
        let (level, digits) = match text.len() {
            8 => text.split_at_checked(2).unwrap_or(("", text)),
            _ => ("02", text),
        };
        let parsed = wire_digits(level).zip(wire_digits(digits));
        let (level, wire) = parsed.ok_or(BadOption {
            field: "password",
            want: "six digits, or two digits of level (02) and six digits",
        })?;
        let [level] = level;
        Ok(Self { level, wire })
    }

    /// Level, PA of the request; 02 on meters without a security module.
    #[must_use]
    pub fn level(self) -> u8 {
        self.level
    }

    /// P0 P1 P2 in the order of the line.
    #[must_use]
    pub(super) fn wire(self) -> [u8; 3] {
        self.wire
    }
}

impl Default for Password {
    /// Level 02, digits 000000: how meters leave the factory.
    fn default() -> Self {
        Self { level: 2, wire: [0; 3] }
    }
}

impl fmt::Debug for Password {
    /// The level only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Password").field("level", &self.level).finish_non_exhaustive()
    }
}

/// The code that a meter notes as who switched it: eight digits, most significant first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Operator([u8; 4]);

impl Operator {
    /// Reads eight digits.
    ///
    /// # Errors
    /// [`BadOption`] for anything else.
    pub fn parse(text: &str) -> Result<Self, BadOption> {
        wire_digits(text).map(Self).ok_or(BadOption { field: "operator", want: "eight digits" })
    }

    /// C0 … C3 in the order of the line.
    #[must_use]
    pub(super) fn wire(self) -> [u8; 4] {
        self.0
    }
}

/// Exactly 2·`N` decimal digits, packed, least significant byte first.
fn wire_digits<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let mut wire = [0; N];
    for (place, digit) in text.bytes().rev().enumerate() {
        wire[place / 2] |= (digit - b'0') << (4 * (place % 2));
    }
    Some(wire)
}

/// One meter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceOptions {
    /// What its relay wants to be told.
    pub password: Password,
    /// What it notes as who switched it.
    pub operator: Operator,
    /// How its relay closes.
    pub closing: Closing,
    /// Until when a relay request is good.
    pub expiring: Expiring,
    /// It has a relay.
    pub relay: bool,
    /// It counts exported energy, and is asked for it.
    pub export: bool,
}

/// What can be chosen about a meter beside the configuration; never its password.
pub(super) const ROWS: [OptionRow; 4] = [
    OptionRow { name: "relay", words: &[], about: "the meter has a relay" },
    OptionRow { name: "export", words: &[], about: "the meter counts exported energy and is asked for it" },
    OptionRow {
        name: "close",
        words: &["remote", "hand"],
        about: "the relay closes from here, or by a person at the meter",
    },
    OptionRow { name: "expiry", words: &["never", "dated"], about: "until when a relay request is good" },
];

impl DeviceOptions {
    /// With what was chosen over it.
    pub(super) fn with(mut self, chosen: &device::DeviceOptions) -> Self {
        for (name, value) in chosen {
            match (&**name, value) {
                ("relay", OptionValue::Flag(relay)) => self.relay = *relay,
                ("export", OptionValue::Flag(export)) => self.export = *export,
                ("close", OptionValue::Word(word)) => {
                    self.closing = if &**word == "hand" { Closing::Hand } else { Closing::Remote };
                }
                ("expiry", OptionValue::Word(word)) => {
                    self.expiring = if &**word == "dated" { Expiring::Dated } else { Expiring::Never };
                }
                // Of a later version that knew more of them.
                _ => {}
            }
        }
        self
    }
}

impl Default for DeviceOptions {
    /// A meter with a relay that closes from here, the factory's password, no export.
    fn default() -> Self {
        Self {
            password: Password::default(),
            operator: Operator::default(),
            closing: Closing::default(),
            expiring: Expiring::default(),
            relay: true,
            export: false,
        }
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Rate of the port. RS-485 meters leave the factory at 2400; carrier adapters are mostly at 9600.
    pub baud: u32,
    /// FE bytes before each request, which wake a receiver: 0 … 4 by the standard; a few meters want more.
    pub wake_ups: u8,
    /// What carries the bytes.
    pub medium: Medium,
    /// How often a request is sent before its meter counts as silent, from 1.
    pub tries: u8,
    /// Ask "who is there"; answered well only where there is a single meter.
    pub discover: bool,
    /// Periods of the poll plan that differ from the usual ones, by [`super::plan::names`]; zero is "do not ask".
    pub periods: BTreeMap<String, Duration>,
    /// Meters that nothing else is said about, such as those that discovery finds.
    pub device: DeviceOptions,
    /// Meters by their canonical address (twelve digits).
    pub devices: BTreeMap<Arc<str>, DeviceOptions>,
}

impl Default for Options {
    /// RS-485 at 2400 baud, four wake-up bytes, three tries, discovery on.
    fn default() -> Self {
        Self {
            baud: 2400,
            wake_ups: 4,
            medium: Medium::default(),
            tries: 3,
            discover: true,
            periods: BTreeMap::new(),
            device: DeviceOptions::default(),
            devices: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_read_high_digit_first_with_or_without_its_level() {
        let captured = Password::parse("020637").unwrap();
        assert_eq!((captured.level(), captured.wire()), (2, [0x37, 0x06, 0x02]));
        assert_eq!(Password::parse("02020637").unwrap(), captured);
        assert_eq!(Password::parse("04000000").unwrap().level(), 4);
        assert_eq!(Password::parse("000000").unwrap(), Password::default());
        for bad in ["", "12345", "1234567", "12345a", "äää", "ääää", "123456789"] {
            let told = Password::parse(bad).unwrap_err().to_string();
            assert!(told.starts_with("password: wanted six digits"), "{told}");
            assert!(bad.is_empty() || !told.contains(bad), "{told}");
        }
    }

    #[test]
    fn no_password_shows_in_a_log() {
        let password = Password::parse("987654").unwrap();
        let options =
            Options { device: DeviceOptions { password, ..DeviceOptions::default() }, ..Options::default() };
        let shown = format!("{options:?}");
        for secret in ["98", "76", "54", "152", "118", "84"] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
    }

    #[test]
    fn an_operator_is_eight_digits() {
        assert_eq!(Operator::parse("00000001").unwrap().wire(), [1, 0, 0, 0]);
        assert!(Operator::parse("1").is_err());
    }
}
