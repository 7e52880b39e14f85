//! What was measured: the latest sample, the energy registers, the minutes before. Knows no relay and no frames.
//!
//! Energy is told only once the journal has it: what was told outlives every power cut, so no register ever falls.
//! Spec: protocol-spec/messages.md §6.1, §6.2.

use plugline_protocol::messages::{HISTORY_LEN, History};
use plugline_protocol::reading::Reading;

/// Micro-watt-hours in one unit of a register, 0.1 Wh.
const UNIT_UWH: u32 = 100_000;
/// A register never shows this value: on the wire it means "absent".
const ABSENT: u32 = u32::MAX;
/// Voltage, current, power and temperature older than this are not told.
const SAMPLE_LIFE_US: u64 = 10_000_000;
/// REPORTs in a row that tell one register; the next one tells the other.
const ONE_SIDED_MAX: u8 = 14;

/// What the metering chip says. Absent is absent, never 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// RMS voltage in 10 mV.
    pub voltage_10mv: Option<u16>,
    /// RMS current in mA.
    pub current_ma: Option<u16>,
    /// Active power in 10 mW, negative when exporting.
    pub power_10mw: Option<i32>,
    /// Temperature inside in °C.
    pub temperature_c: Option<i8>,
    /// Energy drawn since the sample before, in µWh; pulses of the chip are a few hundred mWh.
    pub imported_uwh: u32,
    /// Energy given back since the sample before, in µWh.
    pub exported_uwh: u32,
}

/// A register that only rises, in 0.1 Wh, and wraps after 429,496.7 kWh. [`ABSENT`] stands for samples that there are
/// not: `Option`s would take twice the room.
#[derive(Clone, Debug)]
struct Register {
    units: u32,
    /// Below one unit. Lost in a power cut.
    rest_uwh: u32,
    /// The sample of this minute.
    sample: u32,
    /// Those of the minutes before, newest first.
    before: [u32; HISTORY_LEN],
    /// As in the last REPORT, whichever register that told.
    reported: u32,
}

impl Default for Register {
    fn default() -> Self {
        Self { units: 0, rest_uwh: 0, sample: ABSENT, before: [ABSENT; HISTORY_LEN], reported: 0 }
    }
}

impl Register {
    fn restore(&mut self, units: u32) {
        let units = if units == ABSENT { 0 } else { units };
        (self.units, self.reported) = (units, units);
    }

    fn add(&mut self, energy_uwh: u32) {
        let (mut rest_uwh, mut more) = (energy_uwh, 0);
        // At most 42,949 units in one sample.
        while rest_uwh >= UNIT_UWH {
            rest_uwh -= UNIT_UWH;
            more += 1;
        }
        self.rest_uwh += rest_uwh;
        if self.rest_uwh >= UNIT_UWH {
            self.rest_uwh -= UNIT_UWH;
            more += 1;
        }
        // The value that means "absent" is stepped over.
        let (sum, wrapped) = self.units.overflowing_add(more);
        self.units = if wrapped { sum + 1 } else { sum };
        if self.units == ABSENT {
            self.units = 0;
        }
    }

    fn turn(&mut self) {
        self.sample();
        let mut newer = core::mem::replace(&mut self.sample, ABSENT);
        self.before.iter_mut().for_each(|sample| core::mem::swap(sample, &mut newer));
    }

    fn sample(&mut self) {
        if self.sample == ABSENT {
            self.sample = self.units;
        }
    }

    fn moved(&self) -> u32 {
        self.units.wrapping_sub(self.reported)
    }
}

/// The meter's memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter {
    sample: Option<(Sample, u64)>,
    import: Register,
    export: Register,
    has_export: bool,
    /// REPORTs since the one that told the other register than they.
    one_sided: u8,
    told_export: bool,
}

impl Meter {
    /// With the registers that the journal had, in 0.1 Wh.
    pub(crate) fn restore(&mut self, import: u32, export: u32, has_export: bool) {
        self.import.restore(import);
        self.export.restore(export);
        self.has_export = has_export;
    }

    /// The chip said something.
    pub(crate) fn measure(&mut self, sample: &Sample, now_us: u64) {
        self.import.add(sample.imported_uwh);
        self.export.add(sample.exported_uwh);
        self.sample = Some((*sample, now_us));
    }

    /// Import and export now, in 0.1 Wh: what the journal must have before it is told.
    pub(crate) fn registers(&self) -> (u32, u32) {
        (self.import.units, self.export.units)
    }

    /// The moment of this minute's scheduled report.
    pub(crate) fn sample_minute(&mut self) {
        for register in [&mut self.import, &mut self.export] {
            register.sample();
        }
    }

    /// A minute is over; one without a sample gets it now.
    pub(crate) fn turn(&mut self) {
        self.import.turn();
        self.export.turn();
    }

    /// The minutes before are those of another count.
    pub(crate) fn forget_minutes(&mut self) {
        for register in [&mut self.import, &mut self.export] {
            (register.sample, register.before) = (ABSENT, [ABSENT; HISTORY_LEN]);
        }
    }

    /// Which register the next REPORT tells: `true` for export. The one that moved more, and the other at least each
    /// fifteenth time.
    pub(crate) fn tells_export(&self) -> bool {
        let more = self.has_export && self.export.moved() > self.import.moved();
        if self.has_export && self.one_sided >= ONE_SIDED_MAX { !self.told_export } else { more }
    }

    /// A REPORT was made that told this register.
    pub(crate) fn reported(&mut self, export: bool) {
        self.one_sided = if export == self.told_export { self.one_sided.saturating_add(1) } else { 1 };
        self.told_export = export;
        self.import.reported = self.import.units;
        self.export.reported = self.export.units;
    }

    /// The values to be told now, flags apart. Energy is absent unless `stored`: the journal has the registers.
    pub(crate) fn reading(&self, export: bool, stored: bool, now_us: u64) -> (Reading, History) {
        let fresh = self.sample.filter(|(_, at_us)| now_us.saturating_sub(*at_us) <= SAMPLE_LIFE_US);
        let sample = fresh.map(|(sample, _)| sample).unwrap_or_default();
        let register = if export { &self.export } else { &self.import };
        let reading = Reading {
            voltage_10mv: sample.voltage_10mv,
            current_ma: sample.current_ma,
            power_10mw: sample.power_10mw,
            energy_100mwh: stored.then_some(register.units),
            temperature_c: sample.temperature_c,
            ..Reading::default()
        };
        let before = register.before.map(|sample| Some(sample).filter(|sample| stored && *sample != ABSENT));
        (reading, History::from_samples(register.units, before))
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    fn restored(import: u32, export: u32, has_export: bool) -> Meter {
        let mut meter = Meter::default();
        meter.restore(import, export, has_export);
        meter
    }

    fn energy(import: u32, export: u32) -> Sample {
        Sample { imported_uwh: import * UNIT_UWH, exported_uwh: export * UNIT_UWH, ..Sample::default() }
    }

    #[test]
    fn energy_is_counted_without_loss_below_a_unit() {
        let mut meter = restored(10, 0, true);
        for _ in 0..30 {
            meter.measure(&Sample { imported_uwh: 33_334, exported_uwh: 150_000, ..Sample::default() }, 0);
        }
        assert_eq!(meter.registers(), (20, 45));
    }

    // [PLG-6.2-2]
    #[test]
    fn a_register_wraps_over_the_value_that_means_absent() {
        let mut meter = restored(ABSENT - 2, ABSENT - 1, true);
        meter.measure(&energy(1, 3), 0);
        assert_eq!(meter.registers(), (ABSENT - 1, 2));
        meter.measure(&energy(1, 0), 0);
        assert_eq!(meter.registers().0, 0);
    }

    // [PLG-6.1-1] [PLG-6.2-4]
    #[test]
    fn the_history_steps_from_the_register_now_over_the_samples_of_four_minutes() {
        let mut meter = restored(100, 0, false);
        for _ in 0..6 {
            meter.measure(&energy(5, 0), 0);
            meter.sample_minute();
            // Behind the sample: it belongs to the next minute.
            meter.measure(&energy(2, 0), 0);
            meter.turn();
        }
        meter.measure(&energy(4, 0), 0);
        let (reading, history) = meter.reading(false, true, 0);
        assert_eq!(reading.energy_100mwh, Some(100 + 6 * 7 + 4));
        assert_eq!(history.deltas(), [Some(6), Some(7), Some(7), Some(7)]);
        meter.forget_minutes();
        assert_eq!(meter.reading(false, true, 0).1, History::default());
    }

    #[test]
    fn a_minute_without_a_report_has_a_sample_all_the_same() {
        let mut meter = restored(0, 0, false);
        meter.measure(&energy(3, 0), 0);
        meter.turn();
        meter.measure(&energy(1, 0), 0);
        assert_eq!(meter.reading(false, true, 0).1.deltas(), [Some(1), None, None, None]);
    }

    #[test]
    fn energy_that_the_journal_does_not_have_is_not_told() {
        let meter = restored(100, 0, false);
        assert_eq!(meter.reading(false, false, 0).0.energy_100mwh, None);
        assert_eq!(meter.reading(false, true, 0).0.energy_100mwh, Some(100));
    }

    // [PLG-6.2-1]
    #[test]
    fn a_sample_that_got_old_is_not_told() {
        let mut meter = restored(0, 0, false);
        let sample = Sample { voltage_10mv: Some(23_000), power_10mw: Some(0), ..Sample::default() };
        meter.measure(&sample, 5);
        assert_eq!(meter.reading(false, true, 5 + SAMPLE_LIFE_US).0.voltage_10mv, Some(23_000));
        assert_eq!(meter.reading(false, true, 6 + SAMPLE_LIFE_US).0.voltage_10mv, None);
        assert_eq!(meter.reading(false, true, 6 + SAMPLE_LIFE_US).0.power_10mw, None);
    }

    // [PLG-6.2-3]
    #[test]
    fn the_register_that_moved_more_is_told_and_the_other_each_fifteenth_time() {
        let mut meter = restored(0, 0, true);
        let mut told = Vec::new();
        for _ in 0..30 {
            meter.measure(&energy(1, 2), 0);
            let export = meter.tells_export();
            meter.reported(export);
            told.push(export);
        }
        assert_eq!(told.iter().filter(|export| !**export).count(), 2);
        assert!(told.windows(15).all(|some| some.contains(&false)));
        meter.measure(&energy(1, 1), 0);
        assert!(!restored(0, 0, true).tells_export(), "on a tie the imported");
    }
}
