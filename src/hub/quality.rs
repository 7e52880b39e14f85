//! How well a line carries: what was heard, asked and missed, by the hour of a day, and how well each device is heard.
//! Pure; counters only, nothing here decides anything.

use std::collections::{BTreeMap, VecDeque};

use crate::device::{DeviceId, LineName};
use crate::line::Reception;

/// Hours kept.
pub const HOURS_MAX: usize = 24;

const HOUR_MS: i64 = 3_600_000;

/// Parts of a unit in which means are kept.
const FINE: i32 = 256;

/// A mean follows a new value by this part of the difference: the last dozen of messages make it.
const FOLLOW: i32 = 8;

/// What happened on a line in an hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HourCounts {
    /// Good messages.
    pub heard: u64,
    /// Bytes that were no frame.
    pub malformed: u64,
    /// Questions and commands that nobody answered.
    pub unanswered: u64,
}

/// What happened with a device in an hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceCounts {
    /// Good messages of it.
    pub heard: u64,
    /// Readings among them that were not late.
    pub readings: u64,
    /// Questions of the poll plan.
    pub asked: u64,
    /// Questions and commands that it did not answer.
    pub unanswered: u64,
    /// Times that something was sent to it, repeats included.
    pub attempts: u64,
}

impl DeviceCounts {
    fn add(&mut self, other: Self) {
        self.heard += other.heard;
        self.readings += other.readings;
        self.asked += other.asked;
        self.unanswered += other.unanswered;
        self.attempts += other.attempts;
    }
}

/// A mean of the newest values, in tenths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Mean(Option<i32>);

impl Mean {
    fn take(&mut self, value: Option<i32>) {
        let Some(value) = value.map(|value| value * FINE) else { return };
        let mean = self.0.unwrap_or(value);
        self.0 = Some(mean + (value - mean) / FOLLOW);
    }

    fn tenths(self) -> Option<i32> {
        self.0.map(|mean| (mean * 10 + FINE / 2).div_euclid(FINE))
    }
}

/// Counters by the hour, oldest first, at most [`HOURS_MAX`].
#[derive(Clone, Debug)]
struct Hours<T>(VecDeque<(i64, T)>);

impl<T> Default for Hours<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T: Default> Hours<T> {
    /// The counters of the hour of a moment. A clock that was set back goes on counting in the newest hour.
    fn at(&mut self, unix_ms: i64) -> &mut T {
        let hour = unix_ms.div_euclid(HOUR_MS);
        if self.0.back().is_none_or(|(newest, _)| *newest < hour) {
            if self.0.len() == HOURS_MAX {
                self.0.pop_front();
            }
            self.0.push_back((hour, T::default()));
        }
        let (_, counts) = self.0.back_mut().expect("one was just made sure of");
        counts
    }

    fn since(&self, hour: i64) -> impl Iterator<Item = &(i64, T)> {
        self.0.iter().filter(move |(at, _)| *at >= hour)
    }
}

#[derive(Clone, Debug, Default)]
struct OfDevice {
    hours: Hours<DeviceCounts>,
    since_ms: i64,
    last_heard_unix_ms: Option<i64>,
    snr: Mean,
    level: Mean,
    hops: Mean,
}

/// The counters of one line.
#[derive(Debug, Default)]
pub struct Quality {
    line: Hours<HourCounts>,
    devices: BTreeMap<DeviceId, OfDevice>,
}

impl Quality {
    /// A good message came.
    pub fn heard(&mut self, unix_ms: i64) {
        self.line.at(unix_ms).heard += 1;
    }

    /// Bytes came that are no frame.
    pub fn malformed(&mut self, unix_ms: i64) {
        self.line.at(unix_ms).malformed += 1;
    }

    /// Something was sent and nobody answered.
    pub fn unanswered(&mut self, device: &DeviceId, unix_ms: i64) {
        self.line.at(unix_ms).unanswered += 1;
        self.count(device, unix_ms, |counts| counts.unanswered += 1);
    }

    /// A good message of a device came.
    pub fn device_heard(&mut self, device: &DeviceId, unix_ms: i64) {
        let of = self.of(device, unix_ms);
        of.last_heard_unix_ms = Some(unix_ms);
        of.hours.at(unix_ms).heard += 1;
    }

    /// A device told figures.
    pub fn reading(&mut self, device: &DeviceId, unix_ms: i64) {
        self.count(device, unix_ms, |counts| counts.readings += 1);
    }

    /// A device is asked by the poll plan.
    pub fn asked(&mut self, device: &DeviceId, unix_ms: i64) {
        self.count(device, unix_ms, |counts| counts.asked += 1);
    }

    /// Something was sent to a device.
    pub fn attempt(&mut self, device: &DeviceId, unix_ms: i64) {
        self.count(device, unix_ms, |counts| counts.attempts += 1);
    }

    /// How well a device was heard.
    pub fn received(&mut self, device: &DeviceId, reception: &Reception, unix_ms: i64) {
        let of = self.of(device, unix_ms);
        of.snr.take(reception.snr_db.map(i32::from));
        of.level.take(reception.level_dbuv.map(i32::from));
        of.hops.take(reception.hops.map(i32::from));
    }

    /// A device is gone.
    pub fn forget(&mut self, device: &DeviceId) {
        self.devices.remove(device);
    }

    fn of(&mut self, device: &DeviceId, unix_ms: i64) -> &mut OfDevice {
        if !self.devices.contains_key(device) {
            let of = OfDevice { since_ms: unix_ms, ..OfDevice::default() };
            self.devices.insert(device.clone(), of);
        }
        self.devices.get_mut(device).expect("it is there by now")
    }

    fn count(&mut self, device: &DeviceId, unix_ms: i64, with: impl FnOnce(&mut DeviceCounts)) {
        with(self.of(device, unix_ms).hours.at(unix_ms));
    }

    /// The last `hours` hours, the one of `unix_ms` included. `period_ms` tells how often a device speaks unasked; a
    /// device that has no such period is expected to answer what it is asked.
    #[must_use]
    pub fn view(
        &self,
        line: LineName,
        (hours, unix_ms): (u8, i64),
        period_ms: impl Fn(&DeviceId) -> Option<i64>,
    ) -> QualityView {
        let from = unix_ms.div_euclid(HOUR_MS) + 1 - i64::from(hours);
        let devices = self.devices.iter().map(|(id, of)| {
            let mut counts = DeviceCounts::default();
            of.hours.since(from).for_each(|(_, hour)| counts.add(*hour));
            let (expected, missed) = match period_ms(id) {
                Some(period) if counts.asked == 0 => {
                    let watched = unix_ms.saturating_sub(of.since_ms.max(from * HOUR_MS)).max(0);
                    let expected = u64::try_from(watched / period.max(1)).unwrap_or(0);
                    (Some(expected), expected.saturating_sub(counts.readings))
                }
                _ => (Some(counts.asked).filter(|asked| *asked > 0), counts.unanswered),
            };
            DeviceQuality {
                device: id.clone(),
                heard: counts.heard,
                expected,
                missed,
                attempts: counts.attempts,
                last_heard_unix_ms: of.last_heard_unix_ms,
                snr_tenths: of.snr.tenths(),
                level_tenths: of.level.tenths(),
                hops_tenths: of.hops.tenths(),
            }
        });
        let hours = self.line.since(from).map(|(hour, counts)| (hour * HOUR_MS, *counts));
        QualityView { hours: hours.collect(), devices: devices.collect(), line }
    }
}

/// How a line fares, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QualityView {
    /// Which line.
    pub line: LineName,
    /// Hours in which anything happened, by their beginning in milliseconds since 1970 UTC, oldest first.
    pub hours: Vec<(i64, HourCounts)>,
    /// Its devices, by id.
    pub devices: Vec<DeviceQuality>,
}

/// How a device is heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceQuality {
    /// Which.
    pub device: DeviceId,
    /// Good messages of it.
    pub heard: u64,
    /// Answers or reports that should have come; `None` when none was due.
    pub expected: Option<u64>,
    /// Those that did not, and commands that were not answered.
    pub missed: u64,
    /// Times that something was sent to it, repeats included.
    pub attempts: u64,
    /// When it was last heard, milliseconds since 1970 UTC.
    pub last_heard_unix_ms: Option<i64>,
    /// Signal-to-noise ratio, tenths of a dB; a mean of the last dozen of messages, as are the next two.
    pub snr_tenths: Option<i32>,
    /// Level, tenths of a dBµV.
    pub level_tenths: Option<i32>,
    /// Repeats on its way, tenths.
    pub hops_tenths: Option<i32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> DeviceId {
        DeviceId::parse(text).expect("an id")
    }

    fn view(quality: &Quality, hours: u8, unix_ms: i64, period_ms: Option<i64>) -> QualityView {
        quality.view(LineName::parse("mains").expect("a name"), (hours, unix_ms), |_| period_ms)
    }

    #[test]
    fn hours_are_counted_apart_and_a_day_is_kept() {
        let mut quality = Quality::default();
        for hour in 0..30 {
            quality.heard(hour * HOUR_MS);
            quality.malformed(hour * HOUR_MS + 1);
        }
        let all = view(&quality, 24, 29 * HOUR_MS + 5, None).hours;
        assert_eq!((all.len(), all[0].0), (24, 6 * HOUR_MS));
        assert_eq!(all[0].1, HourCounts { heard: 1, malformed: 1, unanswered: 0 });
        assert_eq!(view(&quality, 1, 29 * HOUR_MS + 5, None).hours.len(), 1);
        // An hour in which nothing happened, and a clock that was set back.
        assert_eq!(view(&quality, 1, 31 * HOUR_MS, None).hours, []);
        quality.heard(3 * HOUR_MS);
        assert_eq!(view(&quality, 1, 29 * HOUR_MS, None).hours[0].1.heard, 2);
    }

    #[test]
    fn a_device_that_is_asked_misses_what_it_did_not_answer() {
        let mut quality = Quality::default();
        for at in 0..10 {
            quality.asked(&id("a"), at);
            quality.attempt(&id("a"), at);
        }
        for at in 0..8 {
            quality.device_heard(&id("a"), at);
        }
        quality.unanswered(&id("a"), 8);
        quality.unanswered(&id("a"), 9);
        let device = &view(&quality, 24, 10, None).devices[0];
        assert_eq!((device.heard, device.expected, device.missed, device.attempts), (8, Some(10), 2, 10));
        assert_eq!(device.last_heard_unix_ms, Some(7));
        quality.forget(&id("a"));
        assert_eq!(view(&quality, 24, 10, None).devices, []);
    }

    #[test]
    fn a_device_that_speaks_unasked_misses_what_its_period_promised() {
        let mut quality = Quality::default();
        let start = 5 * HOUR_MS + 600_000;
        for minute in 0..30 {
            quality.device_heard(&id("a"), start + minute * 60_000);
            if minute % 3 > 0 {
                quality.reading(&id("a"), start + minute * 60_000);
            }
        }
        let device = &view(&quality, 24, start + 30 * 60_000, Some(60_000)).devices[0];
        assert_eq!((device.expected, device.missed), (Some(30), 10));
        let later = &view(&quality, 1, 6 * HOUR_MS + 120_000, Some(60_000)).devices[0];
        assert_eq!((later.expected, later.missed, later.heard), (Some(2), 2, 0));
    }

    #[test]
    fn reception_is_a_mean_of_the_last_messages() {
        let mut quality = Quality::default();
        let told = |snr_db| Reception { snr_db: Some(snr_db), hops: Some(1), level_dbuv: None };
        quality.received(&id("a"), &told(-20), 0);
        assert_eq!(view(&quality, 1, 0, None).devices[0].snr_tenths, Some(-200));
        for _ in 0..100 {
            quality.received(&id("a"), &told(20), 0);
        }
        let device = &view(&quality, 1, 0, None).devices[0];
        assert!((198..=200).contains(&device.snr_tenths.expect("told")), "{device:?}");
        assert_eq!((device.hops_tenths, device.level_tenths, device.expected), (Some(10), None, None));
    }
}
