//! What was consumed each day: of each device and local day the first and the last total that was told, which outlive
//! the feed's log. Pure; when days begin is told.
//!
//! Totals between two that were told are taken to have risen evenly. So days add up to what the meter counted, a late
//! reading only makes them more exact, and the same readings taken in twice change nothing.

use std::collections::BTreeMap;

use crate::device::{DeviceId, Quantity, Reading};

/// A local day, counted from 1970-01-01.
pub type Day = i32;

/// Days kept of a device.
pub const DAYS_MAX: Day = 400;

/// A midnight in a longer silence than this makes a day's figure an estimate.
const SILENCE_MS: i64 = 3600 * 1000;

/// A total at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    /// When, milliseconds since 1970 UTC.
    pub unix_ms: i64,
    /// The total in mWh.
    pub total: i64,
}

/// The first and the last total of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edges {
    /// The first.
    pub first: Point,
    /// The last; the same when there was one only.
    pub last: Point,
}

/// What is kept of a day: imported and exported energy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayRow {
    /// `energy`.
    pub energy: Option<Edges>,
    /// `energy_export`.
    pub export: Option<Edges>,
}

impl DayRow {
    fn take(&mut self, unix_ms: i64, reading: &Reading) -> bool {
        let totals = [Quantity::Energy, Quantity::EnergyExport];
        let mut changed = false;
        for (edges, quantity) in [&mut self.energy, &mut self.export].into_iter().zip(totals) {
            let Some(total) = reading.get(quantity) else { continue };
            let point = Point { unix_ms, total };
            let before = *edges;
            let known = edges.get_or_insert(Edges { first: point, last: point });
            known.first = known.first.min(point);
            known.last = known.last.max(point);
            changed |= before != *edges;
        }
        changed
    }
}

/// What was consumed on a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayTotal {
    /// Imported, mWh.
    pub energy: Option<i64>,
    /// Exported, mWh.
    pub export: Option<i64>,
    /// The figures cover a part of the day only.
    pub partial: bool,
    /// A midnight fell into a long silence: the days beside it share what was counted by time.
    pub estimated: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Kept {
    row: DayRow,
    dirty: bool,
}

/// The days of all devices.
#[derive(Debug, Default)]
pub struct Days(BTreeMap<DeviceId, BTreeMap<Day, Kept>>);

impl Days {
    /// Takes back what was on disk.
    pub fn restore(&mut self, device: DeviceId, day: Day, row: DayRow) {
        self.0.entry(device).or_default().insert(day, Kept { row, dirty: false });
    }

    /// Nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A total was told, now or late.
    pub fn take(&mut self, device: &DeviceId, day: Day, unix_ms: i64, reading: &Reading) {
        if !self.0.contains_key(device) {
            self.0.insert(device.clone(), BTreeMap::new());
        }
        if let Some(days) = self.0.get_mut(device) {
            let kept = days.entry(day).or_default();
            kept.dirty |= kept.row.take(unix_ms, reading);
        }
    }

    /// Something is known of a device.
    #[must_use]
    pub fn knows(&self, device: &DeviceId) -> bool {
        self.0.contains_key(device)
    }

    /// What is to be brought to disk: rows that changed, and `None` for those before `oldest`, which are forgotten.
    pub fn settle(&mut self, oldest: Day) -> Vec<(DeviceId, Day, Option<DayRow>)> {
        let mut told = Vec::new();
        for (device, days) in &mut self.0 {
            let kept = days.split_off(&oldest);
            let gone = std::mem::replace(days, kept);
            told.extend(gone.into_keys().map(|day| (device.clone(), day, None)));
            for (day, kept) in days.iter_mut().filter(|(_, kept)| kept.dirty) {
                kept.dirty = false;
                told.push((device.clone(), *day, Some(kept.row)));
            }
        }
        self.0.retain(|_, days| !days.is_empty());
        told
    }

    /// Forgets a device's days, or those of all devices before a day; gives what is to be removed from disk.
    pub fn erase(&mut self, device: Option<&DeviceId>, before: Day) -> Vec<(DeviceId, Day)> {
        let mut gone = Vec::new();
        for (id, days) in self.0.iter_mut().filter(|(id, _)| device.is_none_or(|device| device == *id)) {
            let kept = days.split_off(&before);
            gone.extend(std::mem::replace(days, kept).into_keys().map(|day| (id.clone(), day)));
        }
        self.0.retain(|_, days| !days.is_empty());
        gone
    }

    /// What a device consumed on the days that begin at the first … last but one of `starts_ms` and end where the next
    /// one begins; `None` for a day of which nothing is known.
    #[must_use]
    pub fn totals(&self, device: &DeviceId, starts_ms: &[i64]) -> Vec<Option<DayTotal>> {
        let rows = || self.0.get(device).into_iter().flat_map(BTreeMap::values).map(|kept| kept.row);
        let curves = [Curve::of(rows().map(|row| row.energy)), Curve::of(rows().map(|row| row.export))];
        let spans = starts_ms.iter().zip(starts_ms.iter().skip(1));
        let total = |(start, end): (&i64, &i64)| {
            let [energy, export] = curves.each_ref().map(|curve| curve.between(*start, *end));
            let parts = [energy, export];
            energy.or(export)?;
            Some(DayTotal {
                energy: energy.map(|part| part.total),
                export: export.map(|part| part.total),
                partial: parts.iter().flatten().any(|part| part.partial),
                estimated: parts.iter().flatten().any(|part| part.estimated),
            })
        };
        spans.map(total).collect()
    }
}

/// A total over time.
struct Curve(Vec<Point>);

#[derive(Clone, Copy)]
struct Part {
    total: i64,
    partial: bool,
    estimated: bool,
}

impl Curve {
    fn of(edges: impl Iterator<Item = Option<Edges>>) -> Self {
        let mut points: Vec<Point> = edges.flatten().flat_map(|edges| [edges.first, edges.last]).collect();
        // Rows of another time zone may overlap.
        points.sort_unstable();
        Self(points)
    }

    /// The total at a moment within the curve, and how long the silence is that it falls into.
    fn at(&self, unix_ms: i64) -> Option<(i64, i64)> {
        let behind = self.0.partition_point(|point| point.unix_ms < unix_ms);
        let after = self.0.get(behind)?;
        if after.unix_ms == unix_ms {
            return Some((after.total, 0));
        }
        let before = self.0.get(behind.checked_sub(1)?)?;
        let (silence, past) = (after.unix_ms - before.unix_ms, unix_ms - before.unix_ms);
        let rise = i128::from(after.total - before.total) * i128::from(past) / i128::from(silence);
        // It lies between both.
        Some((before.total + i64::try_from(rise).unwrap_or(0), silence))
    }

    fn between(&self, start_ms: i64, end_ms: i64) -> Option<Part> {
        let (first, last) = (self.0.first()?.unix_ms, self.0.last()?.unix_ms);
        let (from, to) = (start_ms.max(first), end_ms.min(last));
        if from > to || to == start_ms || from == end_ms {
            return None;
        }
        let ((low, silence_before), (high, silence_behind)) = (self.at(from)?, self.at(to)?);
        Some(Part {
            total: (high - low).max(0),
            partial: from > start_ms || to < end_ms,
            estimated: silence_before.max(silence_behind) > SILENCE_MS,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = 3_600_000;
    const DAY: i64 = 24 * HOUR;

    fn id() -> DeviceId {
        DeviceId::parse("a").expect("an id")
    }

    fn days(points: &[(i64, i64)]) -> Days {
        let mut days = Days::default();
        for (at, total) in points {
            let day = Day::try_from(at.div_euclid(DAY)).expect("small");
            days.take(&id(), day, *at, &Reading::of(Quantity::Energy, *total));
        }
        days
    }

    fn starts(count: i64) -> Vec<i64> {
        (0..=count).map(|day| day * DAY).collect()
    }

    fn energy(of: Option<DayTotal>) -> Option<i64> {
        of.and_then(|day| day.energy)
    }

    #[test]
    fn a_day_is_what_the_total_rose_from_midnight_to_midnight() {
        let days = days(&[
            (-60_000, 900),
            (60_000, 1_100),
            (12 * HOUR, 3_000),
            (DAY - 60_000, 5_000),
            (DAY + 60_000, 5_200),
        ]);
        let totals = days.totals(&id(), &starts(2));
        assert_eq!(
            totals[0],
            Some(DayTotal { energy: Some(4_100), export: None, partial: false, estimated: false })
        );
        assert_eq!(
            totals[1],
            Some(DayTotal { energy: Some(100), export: None, partial: true, estimated: false })
        );
    }

    #[test]
    fn the_days_of_a_silence_share_what_was_counted_and_say_so() {
        let days = days(&[(12 * HOUR, 0), (3 * DAY + 12 * HOUR, 300), (4 * DAY, 400)]);
        let totals = days.totals(&id(), &starts(6));
        let parts: Vec<_> = totals.iter().map(|day| energy(*day)).collect();
        assert_eq!(parts, [Some(50), Some(100), Some(100), Some(150), None, None]);
        let flags: Vec<_> = totals.iter().flatten().map(|day| (day.partial, day.estimated)).collect();
        assert_eq!(flags, [(true, true), (false, true), (false, true), (false, true)]);
    }

    #[test]
    fn nothing_told_is_no_figure_and_one_reading_is_none_of_consumption() {
        assert_eq!(Days::default().totals(&id(), &starts(1)), [None]);
        let one = days(&[(HOUR, 7)]).totals(&id(), &starts(2));
        assert_eq!(one, [Some(DayTotal { energy: Some(0), partial: true, ..DayTotal::default() }), None]);
    }

    #[test]
    fn what_changed_goes_to_disk_once_and_old_days_are_forgotten() {
        let mut days = days(&[(0, 1), (DAY, 2), (DAY + 1, 3)]);
        assert_eq!(days.settle(0).len(), 2);
        days.take(&id(), 1, DAY + 1, &Reading::of(Quantity::Energy, 3));
        assert_eq!(days.settle(0), []);
        assert_eq!(days.settle(1), [(id(), 0, None)]);
        assert_eq!(days.settle(2), [(id(), 1, None)]);
        assert!(days.is_empty() && !days.knows(&id()));
    }

    #[test]
    fn what_is_erased_is_forgotten_and_named_for_the_disk() {
        let mut days = days(&[(0, 1), (DAY, 2), (2 * DAY, 3)]);
        let other = DeviceId::parse("b").expect("an id");
        days.take(&other, 1, DAY, &Reading::of(Quantity::Energy, 1));
        assert_eq!(days.erase(None, 1), [(id(), 0)]);
        assert_eq!(days.erase(Some(&id()), Day::MAX), [(id(), 1), (id(), 2)]);
        assert!(!days.knows(&id()) && days.knows(&other));
    }

    proptest! {
        #[test]
        fn days_add_up_whatever_order_readings_come_in(
            mut points in prop::collection::vec((0..4 * DAY, 0..1000_i64), 2..40),
            shift in 0..40_usize,
        ) {
            points.sort_unstable();
            points.dedup_by_key(|(at, _)| *at);
            let mut total = 0;
            for point in &mut points {
                total += point.1;
                point.1 = total;
            }
            let in_order = days(&points).totals(&id(), &starts(4));
            let rose = points[points.len() - 1].1 - points[0].1;
            prop_assert_eq!(in_order.iter().filter_map(|day| energy(*day)).sum::<i64>(), rose);
            let middle = shift % points.len();
            points.rotate_left(middle);
            let again = [points.clone(), points].concat();
            prop_assert_eq!(days(&again).totals(&id(), &starts(4)), in_order);
        }
    }
}
