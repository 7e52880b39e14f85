//! A house for demonstrations, and what of it outlives the program: energy counted and relays' positions.
//!
//! The text form has one meter a line, `address=energy_mwh,closed|open`; where it is kept is the caller's business.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::appliance::Kind;
use crate::dlt645::Address;
use crate::meter::Meter;
use crate::random::mix;

/// Addresses, names, appliances, energy at the start in mWh, and wake-up bytes of the demo's meters.
const DEMO: [(&str, &str, Kind, u64, usize); 3] = [
    ("000000004711", "Kettle", Kind::Kettle, 83_420_000, 0),
    ("000000004712", "Fridge", Kind::Fridge, 412_870_000, 4),
    ("000000004713", "Desk", Kind::Desk, 196_050_000, 0),
];

/// Three meters with a kettle, a fridge and a desk; relays that close from afar, the factory's password.
#[must_use]
pub fn demo_house(seed: u64) -> Vec<Meter> {
    let meter = |(n, row): (u64, &(&str, &str, Kind, u64, usize))| {
        let (address, name, kind, energy_mwh, preamble) = *row;
        let address = Address::parse(address).expect("the table holds twelve digits each");
        Meter::new(address, mix(seed, n))
            .with_name(name)
            .with_appliance(kind)
            .with_energy_mwh(energy_mwh)
            .with_preamble(preamble)
    };
    (0..).zip(&DEMO).map(meter).collect()
}

/// What a line of saved text should have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// Number of the line, from 1.
    pub line: usize,
    /// The line as it stands.
    pub got: String,
}

impl std::fmt::Display for BadLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: got `{}`, wanted `address=energy_mwh,closed|open`", self.line, self.got)
    }
}

impl std::error::Error for BadLine {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kept {
    energy_mwh: u64,
    closed: bool,
}

/// What of a house is kept between two runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct House(BTreeMap<Address, Kept>);

impl House {
    /// Notes how the meters stand.
    #[must_use]
    pub fn of(meters: &[Meter]) -> Self {
        let kept = |meter: &Meter| Kept { energy_mwh: meter.energy_mwh(), closed: meter.relay_closed() };
        Self(meters.iter().map(|meter| (meter.address(), kept(meter))).collect())
    }

    /// The text form, a line for each meter.
    #[must_use]
    pub fn save(&self) -> String {
        self.0.iter().fold(String::new(), |mut text, (address, kept)| {
            let relay = if kept.closed { "closed" } else { "open" };
            let line = writeln!(text, "{address}={},{relay}", kept.energy_mwh);
            debug_assert!(line.is_ok(), "writing to a string does not fail");
            text
        })
    }

    /// Reads the text form; empty lines are skipped.
    ///
    /// # Errors
    /// [`BadLine`] names the first line that is not one of [`House::save`].
    pub fn load(text: &str) -> Result<Self, BadLine> {
        let mut house = BTreeMap::new();
        for (n, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let entry = parse(line.trim()).ok_or_else(|| BadLine { line: n + 1, got: line.to_owned() })?;
            house.insert(entry.0, entry.1);
        }
        Ok(Self(house))
    }

    /// Puts meters back where they stood; a meter that has counted more keeps its count. Meters that are not
    /// remembered stay as they are.
    #[must_use]
    pub fn restore(&self, meters: Vec<Meter>) -> Vec<Meter> {
        let back = |meter: Meter| match self.0.get(&meter.address()) {
            Some(kept) => {
                let energy_mwh = kept.energy_mwh.max(meter.energy_mwh());
                meter.with_energy_mwh(energy_mwh).with_relay(kept.closed)
            }
            None => meter,
        };
        meters.into_iter().map(back).collect()
    }
}

fn parse(line: &str) -> Option<(Address, Kept)> {
    let (address, rest) = line.split_once('=')?;
    let (energy, relay) = rest.split_once(',')?;
    let closed = match relay {
        "closed" => true,
        "open" => false,
        _ => return None,
    };
    Some((Address::parse(address)?, Kept { energy_mwh: energy.parse().ok()?, closed }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_house_continues_where_it_stopped() {
        let mut meters = demo_house(1);
        meters.iter_mut().for_each(|meter| meter.advance(Duration::from_secs(600)));
        meters[2].set_relay(false);
        let text = House::of(&meters).save();
        let again = House::load(&text).unwrap().restore(demo_house(1));
        let stand = |meters: &[Meter]| -> Vec<_> {
            meters.iter().map(|meter| (meter.energy_mwh(), meter.relay_closed())).collect()
        };
        assert_eq!(stand(&again), stand(&meters));
        assert!(again[0].energy_mwh() > 83_420_000, "the kettle has boiled");
    }

    #[test]
    fn an_old_note_does_not_take_energy_back() {
        let old = House::load("000000004711=5,closed\n").unwrap();
        assert_eq!(old.restore(demo_house(1))[0].energy_mwh(), 83_420_000);
    }

    #[test]
    fn a_damaged_note_is_named_by_its_line() {
        for line in ["000000004711=5", "4711=5,closed", "000000004711=x,closed", "000000004711=5,ajar"] {
            let text = format!("\n000000004712=7,open\n{line}\n");
            assert_eq!(House::load(&text), Err(BadLine { line: 3, got: line.to_owned() }));
        }
    }

    #[test]
    fn the_demo_house_differs_by_seed_only() {
        let energy = |seed| {
            let mut meters = demo_house(seed);
            meters.iter_mut().for_each(|meter| meter.advance(Duration::from_secs(3600)));
            meters.iter().map(Meter::energy_mwh).collect::<Vec<_>>()
        };
        assert_eq!(energy(1), energy(1));
        assert_ne!(energy(1), energy(2));
    }
}
