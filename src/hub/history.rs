//! Readings of the past as rows: which are asked for, and the gathering of one page of them in the order of their
//! times, whatever order they come in. Pure; holds one page at most.

use std::collections::BTreeMap;

use crate::device::{DeviceId, QUANTITIES, Quantity, Reading};

/// Rows of one page: about 1.5 MB while it is gathered.
pub const PAGE_ROWS: usize = 10_000;

/// The place of a row in the order of rows: its time in milliseconds since 1970 UTC, then the number of its event
/// (0 for a step).
pub type Place = (i64, u64);

/// A reading of the sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The number of its event.
    pub seq: u64,
    /// When it was measured, milliseconds since 1970 UTC.
    pub unix_ms: i64,
    /// What was measured.
    pub reading: Reading,
}

/// Which readings are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Of which device.
    pub device: DeviceId,
    /// From this time on, milliseconds since 1970 UTC.
    pub from_ms: i64,
    /// Before this time.
    pub to_ms: i64,
    /// One row for each so many milliseconds, from 1; `None`: one for each reading.
    pub step_ms: Option<i64>,
    /// Only rows behind this place: the last one of the page before.
    pub after: Option<Place>,
}

impl Wanted {
    /// The earliest time of a reading that can matter.
    #[must_use]
    pub fn starts_ms(&self) -> i64 {
        let behind = self.after.map(|(unix_ms, _)| unix_ms + self.step_ms.unwrap_or(0));
        behind.map_or(self.from_ms, |behind| behind.max(self.from_ms))
    }

    fn place(&self, sample: &Sample) -> Option<Place> {
        if sample.unix_ms < self.from_ms || sample.unix_ms >= self.to_ms {
            return None;
        }
        let place = match self.step_ms {
            Some(step) => (sample.unix_ms - sample.unix_ms.rem_euclid(step.max(1)), 0),
            None => (sample.unix_ms, sample.seq),
        };
        self.after.is_none_or(|after| place > after).then_some(place)
    }
}

/// One row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its time: of the reading, or of the step's beginning.
    pub unix_ms: i64,
    /// What was measured; of a step the mean of what is instantaneous and the last of totals.
    pub reading: Reading,
}

/// One page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// In the order of their times.
    pub rows: Vec<Row>,
    /// Everything that was measured in the span, on this page or a later one.
    pub measured: Reading,
    /// Where the next page begins, if there is one.
    pub next: Option<Place>,
}

/// What falls into one row.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    sums: [i128; QUANTITIES.len()],
    counts: [u32; QUANTITIES.len()],
    /// Of the newest reading that told a total.
    newest: [Place; QUANTITIES.len()],
}

impl Cell {
    fn add(&mut self, sample: &Sample) {
        for (quantity, value) in sample.reading.iter() {
            let index = quantity as usize;
            let place = (sample.unix_ms, sample.seq);
            if quantity.is_total() {
                if self.counts[index] == 0 || place > self.newest[index] {
                    self.sums[index] = value.into();
                    self.newest[index] = place;
                }
                self.counts[index] = 1;
            } else {
                self.sums[index] += i128::from(value);
                self.counts[index] = self.counts[index].saturating_add(1);
            }
        }
    }

    fn reading(&self) -> Reading {
        let mut reading = Reading::default();
        for row in &QUANTITIES {
            let index = row.quantity as usize;
            let count = i128::from(self.counts[index]);
            if count > 0 {
                let half = count / 2 * self.sums[index].signum();
                // A mean lies between its values, so it fits.
                reading.set(row.quantity, i64::try_from((self.sums[index] + half) / count).unwrap_or(0));
            }
        }
        reading
    }
}

/// Gathers one page: the rows with the smallest places behind [`Wanted::after`].
#[derive(Debug)]
pub struct Gatherer {
    wanted: Wanted,
    rows_max: usize,
    single: BTreeMap<Place, Reading>,
    steps: BTreeMap<Place, Cell>,
    /// There was a row behind the last one of the page.
    more: bool,
    measured: Reading,
}

impl Gatherer {
    /// Nothing was gathered yet; the page will have at most `rows_max` rows.
    #[must_use]
    pub fn new(wanted: Wanted, rows_max: usize) -> Self {
        Self {
            wanted,
            rows_max,
            single: BTreeMap::new(),
            steps: BTreeMap::new(),
            more: false,
            measured: Reading::default(),
        }
    }

    /// Takes in a reading of the device, in any order, each once.
    pub fn take(&mut self, sample: &Sample) {
        let Some(place) = self.wanted.place(sample) else { return };
        self.measured.merge(&sample.reading);
        if self.wanted.step_ms.is_some() {
            // A step that a fuller page has pushed out does not come back: every place beyond the page's last is out.
            if !self.beyond(place, self.steps.last_key_value().map(|(place, _)| *place)) {
                self.steps.entry(place).or_default().add(sample);
            }
            if self.steps.len() > self.rows_max {
                self.steps.pop_last();
                self.more = true;
            }
        } else {
            if !self.beyond(place, self.single.last_key_value().map(|(place, _)| *place)) {
                self.single.insert(place, sample.reading);
            }
            if self.single.len() > self.rows_max {
                self.single.pop_last();
                self.more = true;
            }
        }
    }

    fn beyond(&mut self, place: Place, last: Option<Place>) -> bool {
        let full = self.more || self.single.len().max(self.steps.len()) == self.rows_max;
        let beyond = full && last.is_some_and(|last| place > last);
        self.more |= beyond;
        beyond
    }

    /// The page.
    #[must_use]
    pub fn page(self) -> Page {
        let last = self.steps.last_key_value().map(|(place, _)| *place);
        let last = last.or(self.single.last_key_value().map(|(place, _)| *place));
        let steps = self.steps.iter().map(|((unix_ms, _), cell)| (*unix_ms, cell.reading()));
        let single = self.single.iter().map(|((unix_ms, _), reading)| (*unix_ms, *reading));
        let rows = steps.chain(single).map(|(unix_ms, reading)| Row { unix_ms, reading });
        Page { rows: rows.collect(), measured: self.measured, next: last.filter(|_| self.more) }
    }
}

/// The quantities of a table, in the order of [`QUANTITIES`]: what the device is known to measure, and what it did.
#[must_use]
pub fn columns(known: impl IntoIterator<Item = Quantity>, measured: &Reading) -> Vec<Quantity> {
    let known: Vec<Quantity> = known.into_iter().collect();
    let all = QUANTITIES.iter().map(|row| row.quantity);
    all.filter(|quantity| known.contains(quantity) || measured.get(*quantity).is_some()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wanted(step_ms: Option<i64>) -> Wanted {
        let device = DeviceId::parse("a").expect("an id");
        Wanted { device, from_ms: 0, to_ms: 100_000, step_ms, after: None }
    }

    fn sample(seq: u64, unix_ms: i64, power: i64) -> Sample {
        Sample { seq, unix_ms, reading: Reading::of(Quantity::Power, power) }
    }

    fn times(page: &Page) -> Vec<i64> {
        page.rows.iter().map(|row| row.unix_ms).collect()
    }

    fn gathered(wanted: &Wanted, rows_max: usize, samples: &[Sample]) -> Page {
        let mut gatherer = Gatherer::new(wanted.clone(), rows_max);
        samples.iter().for_each(|sample| gatherer.take(sample));
        gatherer.page()
    }

    #[test]
    fn a_late_reading_takes_the_place_of_its_own_time() {
        let samples =
            [sample(1, 10, 1), sample(2, 30, 3), sample(3, 20, 2), sample(4, 100_000, 9), sample(5, -1, 9)];
        let page = gathered(&wanted(None), 10, &samples);
        assert_eq!(times(&page), [10, 20, 30]);
        assert_eq!((page.rows[1].reading.get(Quantity::Power), page.next), (Some(2), None));
    }

    #[test]
    fn a_step_has_the_mean_of_powers_and_the_last_of_totals() {
        let mut first = sample(1, 1_000, 10);
        first.reading.set(Quantity::Energy, 500);
        let mut late = sample(9, 500, 21);
        late.reading.set(Quantity::Energy, 400);
        let page = gathered(&wanted(Some(60_000)), 10, &[first, late, sample(10, 60_000, -3)]);
        assert_eq!(times(&page), [0, 60_000]);
        assert_eq!(page.rows[0].reading.get(Quantity::Power), Some(16));
        assert_eq!(page.rows[0].reading.get(Quantity::Energy), Some(500));
        assert_eq!(page.rows[1].reading.get(Quantity::Energy), None);
    }

    #[test]
    fn steps_before_1970_begin_before_their_readings() {
        let wanted = Wanted { from_ms: -100, ..wanted(Some(30)) };
        assert_eq!(times(&gathered(&wanted, 9, &[sample(1, -1, 1)])), [-30]);
    }

    #[test]
    fn columns_are_what_is_measured_and_what_was() {
        let energy = Reading::of(Quantity::Energy, 0);
        assert_eq!(columns([Quantity::Voltage], &energy), [Quantity::Energy, Quantity::Voltage]);
    }

    proptest! {
        #[test]
        fn pages_of_any_size_are_the_whole_in_pieces(
            raw in prop::collection::vec((0..200_i64, 0..100_i64), 0..80),
            rows_max in 1..12_usize,
            step in prop::option::of(1..50_i64),
        ) {
            let samples: Vec<Sample> = (1..).zip(&raw).map(|(seq, (at, power))| sample(seq, *at, *power)).collect();
            let mut wanted = wanted(step);
            let whole = gathered(&wanted, 1000, &samples);
            prop_assert_eq!(whole.next, None);
            let mut rows = Vec::new();
            loop {
                let page = gathered(&wanted, rows_max, &samples);
                prop_assert!(page.rows.len() <= rows_max);
                rows.extend(page.rows);
                let Some(next) = page.next else { break };
                wanted.after = Some(next);
            }
            prop_assert_eq!(rows, whole.rows);
        }
    }
}
