//! What a plug-in energy meter counts, and how it tells it. It has no relay.
//!
//! The payload is the one of the public captures; nobody has published what D4 … D6 mean.

use std::time::Duration;

use super::message::with_crc;
use crate::appliance::{Appliance, Kind};

const MW_NS_PER_MWH: u128 = 3_600_000_000_000;
/// The accumulator counts 65535 W·s / 60 / 1000: 216 counts are 65,535 mWh.
const COUNTS: u64 = 216;
const COUNTS_MWH: u64 = 65_535;
/// What the accumulator shows from a reset until the first count; readers take FE… for 0.
const JUST_RESET: u32 = 0xFE00_0000;

/// The metering part of an energy meter.
#[derive(Clone, Debug)]
pub(crate) struct Counter {
    appliance: Appliance,
    energy_mwh: u64,
    rest_mw_ns: u128,
    reset: bool,
    undocumented: [u8; 3],
    at: Duration,
}

impl Counter {
    pub(crate) fn new(kind: Kind, seed: u64) -> Self {
        Self {
            appliance: Appliance::new(kind, seed),
            energy_mwh: 0,
            rest_mw_ns: 0,
            reset: false,
            undocumented: [0x0D, 0x00, 0x91],
            at: Duration::ZERO,
        }
    }

    pub(crate) fn set_appliance(&mut self, appliance: Appliance) {
        self.appliance = appliance;
    }

    pub(crate) fn set_energy_mwh(&mut self, energy_mwh: u64) {
        (self.energy_mwh, self.rest_mw_ns, self.reset) = (energy_mwh, 0, false);
    }

    pub(crate) fn set_undocumented(&mut self, bytes: [u8; 3]) {
        self.undocumented = bytes;
    }

    pub(crate) fn energy_mwh(&self) -> u64 {
        self.energy_mwh
    }

    pub(crate) fn power_mw(&self) -> i64 {
        self.appliance.draw(self.at).power_mw
    }

    pub(crate) fn reset(&mut self) {
        (self.energy_mwh, self.rest_mw_ns, self.reset) = (0, 0, true);
    }

    /// Counts up to `now`, or lets the time pass without mains. What is fed back is not counted.
    pub(crate) fn advance(&mut self, now: Duration, powered: bool) {
        while self.at < now {
            let until = now.min(Duration::from_secs(self.at.as_secs() + 1));
            let power_mw = if powered { self.power_mw().max(0) } else { 0 };
            self.rest_mw_ns += u128::from(power_mw.unsigned_abs()) * (until - self.at).as_nanos();
            let whole = self.rest_mw_ns / MW_NS_PER_MWH;
            self.energy_mwh += u64::try_from(whole).unwrap_or(u64::MAX);
            self.rest_mw_ns %= MW_NS_PER_MWH;
            self.at = until;
        }
    }

    /// D1 … D14 of its reply to 82.
    pub(crate) fn payload(&self) -> [u8; 14] {
        let watts = (self.power_mw() + self.power_mw().signum() * 500) / 1000;
        let watts = i16::try_from(watts).unwrap_or(if watts < 0 { i16::MIN } else { i16::MAX });
        let count = u32::try_from(u128::from(self.energy_mwh) * u128::from(COUNTS) / u128::from(COUNTS_MWH));
        let count = match count {
            Ok(0) if self.reset => JUST_RESET,
            Ok(count) => count.min(JUST_RESET - 1),
            Err(_) => JUST_RESET - 1,
        };
        let mut data = [0; 14];
        data[1..3].copy_from_slice(&[0x02, 0x01]);
        data[3..6].copy_from_slice(&self.undocumented);
        data[6..8].copy_from_slice(&watts.to_be_bytes());
        data[8..12].copy_from_slice(&count.to_be_bytes());
        with_crc(0x82, 0x00, data)
    }
}

/// Energy in mWh at which the accumulator shows `count`.
#[must_use]
pub fn energy_of_count(count: u32) -> u64 {
    (u64::from(count) * COUNTS_MWH).div_ceil(COUNTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(power_mw: i64) -> Counter {
        Counter::new(Kind::Constant { power_mw, power_factor_milli: 1000 }, 1)
    }

    #[test]
    fn the_captured_payload_comes_out_of_its_figures() {
        let mut meter = counter(3_000);
        meter.set_energy_mwh(energy_of_count(42));
        assert_eq!(meter.payload(), [0, 2, 1, 0x0D, 0, 0x91, 0, 3, 0, 0, 0, 0x2A, 0x74, 0xD8]);
    }

    #[test]
    fn energy_is_power_over_time_and_only_with_mains() {
        let mut meter = counter(60_000);
        meter.advance(Duration::from_secs(60), true);
        assert_eq!(meter.energy_mwh(), 1_000);
        meter.advance(Duration::from_secs(600), false);
        assert_eq!(meter.energy_mwh(), 1_000);
        assert_eq!(meter.payload()[11], 3, "a count is 0.3034 Wh");
    }

    #[test]
    fn export_is_signed_and_not_counted() {
        let mut meter = counter(-1_600);
        meter.advance(Duration::from_secs(3600), true);
        assert_eq!(meter.payload()[6..12], [0xFF, 0xFE, 0, 0, 0, 0]);
    }

    #[test]
    fn a_reset_shows_until_something_is_counted() {
        let mut meter = counter(60_000);
        meter.set_energy_mwh(5_000);
        meter.reset();
        assert_eq!(meter.payload()[8], 0xFE);
        meter.advance(Duration::from_secs(60), true);
        assert_eq!(meter.payload()[8..12], [0, 0, 0, 3]);
    }
}
