//! The modem's clock as seen from here, and the superframes counted on it.
//!
//! What the modem says comes late, by the serial port and the operating system, and never early: of all that it said,
//! what came soonest is believed.

use std::time::Duration;

use plugline_protocol::NetworkId;
use plugline_protocol::timing::SUPERFRAME_MS;

use crate::device::{Moment, Now};

const SUPERFRAME_US: u64 = SUPERFRAME_MS as u64 * 1_000;
/// The first superframe has this number, or a multiple of it more: its low octet is that of the minute, and a little
/// before the epoch there is still a number.
const FIRST: u64 = 256;
/// What the modem says is never further from what its clock should show.
const PLAUSIBLE: Duration = Duration::from_secs(10);
/// Two clocks drift apart by less than this: 200 ppm.
const DRIFT_DIVISOR: u64 = 5_000;

/// The modem's clock, in µs from any start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ModemClock {
    /// What it showed, and when that was heard; less the drift it can be only more by now.
    heard: Option<(u64, Moment)>,
}

impl ModemClock {
    /// The modem showed `us` at this moment or earlier.
    pub(super) fn observe(&mut self, us: u64, now: Moment) {
        let sooner = self.heard.is_none_or(|(_, then)| {
            let drift = micros(now.since(then)) / DRIFT_DIVISOR;
            us.wrapping_add(drift).wrapping_sub(self.at(now)).cast_signed() >= 0
        });
        if sooner {
            self.heard = Some((us, now));
        }
    }

    /// It may have shown `us` shortly before this moment.
    pub(super) fn fits(&self, us: u64, now: Moment) -> bool {
        let away = us.wrapping_sub(self.at(now)).cast_signed().unsigned_abs();
        self.heard.is_none() || away <= micros(PLAUSIBLE)
    }

    /// What it shows at a moment; 0 when nothing is known.
    pub(super) fn at(&self, moment: Moment) -> u64 {
        self.heard.map_or(0, |(us, then)| {
            us.wrapping_add(micros(moment.since(then))).wrapping_sub(micros(then.since(moment)))
        })
    }

    /// The moment at which it shows `us`.
    pub(super) fn moment(&self, us: u64) -> Moment {
        let Some((shown, then)) = self.heard else { return Moment::default() };
        let ahead = us.wrapping_sub(shown).cast_signed();
        let distance = Duration::from_micros(ahead.unsigned_abs());
        if ahead >= 0 { then + distance } else { Moment(then.0.saturating_sub(distance)) }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Superframes: one number, and where it starts on the modem's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Superframes {
    number: u64,
    start_us: u64,
    /// The numbers follow a wall clock that is right: they go on after a restart.
    pub(super) by_wall: bool,
}

impl Superframes {
    /// Superframes are the minutes of the wall clock, moved by a part that each network has for itself, so that two
    /// networks on one wiring do not send their beacons together, and a gateway that starts anew goes on as before.
    pub(super) fn of(now: Now, clock: &ModemClock, network: NetworkId) -> Self {
        let phase_ms = u64::from(network.0) * u64::from(SUPERFRAME_MS) / 0x1_0000;
        let ms = u64::try_from(now.unix_ms).unwrap_or(0) + u64::from(SUPERFRAME_MS) - phase_ms;
        let into_us = ms % u64::from(SUPERFRAME_MS) * 1_000;
        Self {
            number: ms / u64::from(SUPERFRAME_MS) + FIRST,
            start_us: clock.at(now.mono).wrapping_sub(into_us),
            by_wall: now.synchronised,
        }
    }

    /// The same superframes on another clock: the modem started anew.
    pub(super) fn moved(&self, from: &ModemClock, to: &ModemClock, now: Moment) -> Self {
        let into_us = from.at(now).wrapping_sub(self.start_us);
        Self { start_us: to.at(now).wrapping_sub(into_us), ..*self }
    }

    /// Number and µs since its start, at a time of the modem's clock.
    pub(super) fn at(&self, us: u64) -> (u64, u64) {
        let since = us.wrapping_sub(self.start_us).cast_signed();
        let frames = since.div_euclid(SUPERFRAME_US.cast_signed());
        (
            self.number.wrapping_add_signed(frames),
            since.rem_euclid(SUPERFRAME_US.cast_signed()).cast_unsigned(),
        )
    }

    /// Where a superframe starts on the modem's clock.
    pub(super) fn start_of(&self, number: u64) -> u64 {
        self.start_us.wrapping_add(number.wrapping_sub(self.number).wrapping_mul(SUPERFRAME_US))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment(Duration::from_millis(ms))
    }

    #[test]
    fn what_came_soonest_is_believed() {
        let mut clock = ModemClock::default();
        clock.observe(1_000_000, at(100));
        clock.observe(2_000_000, at(1_150));
        assert_eq!(clock.at(at(1_200)), 2_100_000, "the second word was 50 ms late");
        clock.observe(3_000_000, at(2_090));
        assert_eq!(clock.at(at(2_090)), 3_000_000, "this one came 10 ms sooner");
        assert_eq!(clock.moment(3_500_000), at(2_590));
        assert_eq!(clock.moment(2_500_000), at(1_590));
    }

    #[test]
    fn a_late_word_is_believed_once_the_clocks_may_have_drifted_that_far() {
        let mut clock = ModemClock::default();
        clock.observe(0, at(0));
        clock.observe(99_990_000, at(100_000));
        assert_eq!(clock.at(at(100_000)), 99_990_000);
    }

    #[test]
    fn there_is_a_superframe_before_the_first_one_of_a_box_without_a_clock() {
        let now = Now { mono: at(5_000), unix_ms: 0, synchronised: false };
        let mut clock = ModemClock::default();
        clock.observe(7, at(5_000));
        let frames = Superframes::of(now, &clock, NetworkId(0xFFFE));
        let (number, _) = frames.at(7);
        assert_eq!(frames.at(7_u64.wrapping_sub(120_000_000)).0, number - 2);
    }

    #[test]
    fn a_time_far_away_is_none() {
        let mut clock = ModemClock::default();
        assert!(clock.fits(u64::MAX, at(0)), "the first word is believed");
        clock.observe(1_000_000, at(0));
        assert!(clock.fits(3_000_000, at(1_000)) && !clock.fits(60_000_000, at(1_000)));
        assert!(!clock.fits(u64::MAX, at(20_000)));
    }

    #[test]
    fn superframes_are_the_same_after_a_restart() {
        let now = |ms: i64| Now { mono: at(5_000), unix_ms: ms, synchronised: true };
        let mut clock = ModemClock::default();
        clock.observe(7_000_000, at(5_000));
        let frames = Superframes::of(now(1_700_000_012_345), &clock, NetworkId(0x8000));
        let (number, into) = frames.at(7_000_000);
        let mut later = ModemClock::default();
        later.observe(u64::MAX - 3, at(5_000));
        let again = Superframes::of(now(1_700_000_012_345 + 60_000), &later, NetworkId(0x8000));
        assert_eq!(again.at(u64::MAX - 3), (number + 1, into));
        assert_eq!(again.at(60_000_000 - 4), (number + 2, into), "over the end of the clock");
        assert_eq!(again.at(again.start_of(number)), (number, 0));
    }

    #[test]
    fn superframes_go_on_when_the_modem_starts_anew() {
        let mut clock = ModemClock::default();
        clock.observe(500_000_000, at(1_000));
        let now = Now { mono: at(1_000), unix_ms: 90_000, synchronised: false };
        let frames = Superframes::of(now, &clock, NetworkId(1));
        let mut other = ModemClock::default();
        other.observe(3, at(2_000));
        let moved = frames.moved(&clock, &other, at(2_000));
        assert_eq!(moved.at(other.at(at(9_000))), frames.at(clock.at(at(9_000))));
    }
}
