//! What a person may choose about a line of INSTEON devices, and about each device on it.
//!
//! Refuses to know files and their syntax: the configuration fills these in.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::device::OptionRow;

/// What a device is, as far as the driver treats devices differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One relay: 2635-222 and other switches.
    Outlet,
    /// Two relays behind one address: 2663-222.
    Dual,
    /// An energy meter without a relay: iMeter Solo.
    Meter,
    /// Anything else: it is heard and not asked.
    Other,
}

/// The words of the configuration.
const KINDS: [(&str, Kind); 3] = [("outlet", Kind::Outlet), ("dual", Kind::Dual), ("meter", Kind::Meter)];

/// What can be chosen about a device.
pub(super) const ROWS: [OptionRow; 1] = [OptionRow {
    name: "kind",
    words: &["outlet", "dual", "meter"],
    about: "what the device is; unless chosen, it is asked",
}];

impl Kind {
    /// Reads `outlet`, `dual` or `meter`.
    ///
    /// # Errors
    /// [`BadOption`] for anything else.
    pub fn parse(text: &str) -> Result<Self, BadOption> {
        let found = KINDS.iter().find(|(word, _)| *word == text).map(|(_, kind)| *kind);
        found.ok_or_else(|| BadOption {
            field: "kind",
            got: text.to_owned(),
            want: "`outlet`, `dual` or `meter`",
        })
    }

    /// What a device of this category and subcategory is. 01 dims (and switches), 02 switches, 09 07 is the iMeter;
    /// the 2663-222 names itself 02 39.
    #[must_use]
    pub fn of_product(product: [u8; 3]) -> Self {
        match product {
            [0x02, 0x39, _] => Self::Dual,
            [0x01 | 0x02, _, _] => Self::Outlet,
            [0x09, 0x07, _] => Self::Meter,
            _ => Self::Other,
        }
    }
}

/// An option that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: got `{got}`, wanted {want}")]
pub struct BadOption {
    /// Name of the option.
    pub field: &'static str,
    /// What was given.
    pub got: String,
    /// What is wanted.
    pub want: &'static str,
}

/// One address: a thing with two relays is one of these and two devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceOptions {
    /// What it is; `None`: it is asked once, and its answer kept.
    pub kind: Option<Kind>,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How often a message is sent before its device counts as silent, from 1.
    pub tries: u8,
    /// Periods of the poll plan that differ from the usual ones, by [`super::plan::names`]; zero is "do not ask".
    pub periods: BTreeMap<String, Duration>,
    /// Devices by their canonical address (six hex digits, lower case).
    pub devices: BTreeMap<Arc<str>, DeviceOptions>,
}

impl Default for Options {
    /// Three tries, the usual periods, every device asked what it is.
    fn default() -> Self {
        Self { tries: 3, periods: BTreeMap::new(), devices: BTreeMap::new() }
    }
}

impl Options {
    /// What the configuration says that a device is.
    #[must_use]
    pub fn kind_of(&self, address: &str) -> Option<Kind> {
        self.devices.get(address)?.kind
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_one_of_three_words() {
        assert_eq!(Kind::parse("dual"), Ok(Kind::Dual));
        let told = Kind::parse("Dual").unwrap_err().to_string();
        assert_eq!(told, "kind: got `Dual`, wanted `outlet`, `dual` or `meter`");
    }

    #[test]
    fn products_are_told_by_category_and_subcategory() {
        assert_eq!(Kind::of_product([2, 0x37, 0x41]), Kind::Outlet);
        assert_eq!(Kind::of_product([2, 0x39, 0xC2]), Kind::Dual);
        assert_eq!(Kind::of_product([9, 7, 0]), Kind::Meter);
        assert_eq!(Kind::of_product([0x10, 1, 0]), Kind::Other);
    }
}
