//! What of a shelf of INSTEON devices outlives the program: energy counted and relays' positions.
//!
//! The text form has one device a line, `id=energy_mwh,on|off,on|off`; where it is kept is the caller's business.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use super::device::Device;
use super::message::Id;

/// What a line of saved text should have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// Number of the line, from 1.
    pub line: usize,
    /// The line as it stands.
    pub got: String,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: got `{}`, wanted `id=energy_mwh,on|off,on|off`", self.line, self.got)
    }
}

impl std::error::Error for BadLine {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kept {
    energy_mwh: u64,
    relays: [bool; 2],
}

/// What is kept between two runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shelf(BTreeMap<Id, Kept>);

impl Shelf {
    /// How devices stand now.
    #[must_use]
    pub fn of(devices: &[Device]) -> Self {
        let relay = |device: &Device, group| device.is_on(group).unwrap_or(false);
        let kept = |device: &Device| Kept {
            energy_mwh: device.energy_mwh().unwrap_or(0),
            relays: [relay(device, 1), relay(device, 2)],
        };
        Self(devices.iter().map(|device| (device.id(), kept(device))).collect())
    }

    /// The text form, a line for each device.
    #[must_use]
    pub fn save(&self) -> String {
        let word = |on| if on { "on" } else { "off" };
        self.0.iter().fold(String::new(), |mut text, (id, kept)| {
            let [top, bottom] = kept.relays.map(word);
            let line = writeln!(text, "{id}={},{top},{bottom}", kept.energy_mwh);
            debug_assert!(line.is_ok(), "writing to a string does not fail");
            text
        })
    }

    /// Reads the text form; empty lines are skipped.
    ///
    /// # Errors
    /// [`BadLine`] names the first line that is not one of [`Shelf::save`].
    pub fn load(text: &str) -> Result<Self, BadLine> {
        let mut shelf = BTreeMap::new();
        for (n, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let entry = parse(line.trim()).ok_or_else(|| BadLine { line: n + 1, got: line.to_owned() })?;
            shelf.insert(entry.0, entry.1);
        }
        Ok(Self(shelf))
    }

    /// Puts devices back as they stood; a meter that has counted more keeps its count. Devices that are not
    /// remembered stay as they are.
    pub fn restore(&self, devices: &mut [Device]) {
        for device in devices {
            let Some(kept) = self.0.get(&device.id()) else { continue };
            for (group, on) in (1..).zip(kept.relays) {
                device.set_relay(group, on);
            }
            device.count_at_least(kept.energy_mwh);
        }
    }
}

fn parse(line: &str) -> Option<(Id, Kept)> {
    let (id, rest) = line.split_once('=')?;
    let mut fields = rest.split(',');
    let energy_mwh = fields.next()?.parse().ok()?;
    let mut relay = || match fields.next()? {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    };
    let relays = [relay()?, relay()?];
    fields.next().is_none().then_some((Id::parse(id)?, Kept { energy_mwh, relays }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::insteon::demo_insteon;
    use std::time::Duration;

    #[test]
    fn a_shelf_continues_where_it_stopped() {
        let mut plm = demo_insteon(1);
        plm.advance(Duration::from_secs(3600));
        plm.devices_mut()[2].set_relay(2, true);
        plm.devices_mut()[0].set_relay(1, false);
        let text = Shelf::of(plm.devices()).save();
        let mut again = demo_insteon(1);
        Shelf::load(&text).unwrap().restore(again.devices_mut());
        assert_eq!(Shelf::of(again.devices()), Shelf::of(plm.devices()));
        assert!(again.devices()[3].energy_mwh().unwrap() > 57_310_000, "the freezer has run");
    }

    #[test]
    fn an_old_note_does_not_take_energy_back() {
        let mut plm = demo_insteon(1);
        Shelf::load("1987b7=5,off,off\n").unwrap().restore(plm.devices_mut());
        assert_eq!(plm.devices()[3].energy_mwh(), Some(57_310_000));
    }

    #[test]
    fn a_damaged_note_is_named_by_its_line() {
        for line in [
            "1987b7=5",
            "1987b7=5,on",
            "87b7=5,on,off",
            "1987b7=x,on,on",
            "1987b7=5,on,ajar",
            "1987b7=5,on,on,on",
        ] {
            let text = format!("\n1a777b=7,on,off\n{line}\n");
            assert_eq!(Shelf::load(&text), Err(BadLine { line: 3, got: line.to_owned() }));
        }
    }
}
