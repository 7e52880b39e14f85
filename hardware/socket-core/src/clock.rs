//! The superframe as this socket sees it: which minute it is, where the slots are, whether the BEACON was lost.
//! Spec: protocol-spec/timing.md §4.1. Knows no frames and keeps no time of its own.

use plugline_protocol::messages::{Beacon, SlotPlan};
use plugline_protocol::timing::{BEACON_LOST_MS, SUPERFRAME_MS};

use crate::time::{Alarm, ms};

const BEACON_LOST_US: u64 = ms(BEACON_LOST_MS);
/// A BEACON that moves the superframe by more than this begins a new count of minutes: a crystal of 50 ppm that heard
/// none for three minutes is off by 18 ms at most.
const STEP_MAX_US: u64 = 1_000_000;
/// Of two BEACONs so far apart one was lost, and no more than one; of other pairs nothing is learnt.
const FAR_US: u64 = 45_000_000;
const TOO_FAR_US: u64 = 70_000_000;
/// A BEACON further off than two crystals of 50 ppm and the jitter of two BEACONs explain is no measure of the crystal.
const ERROR_MAX_US: i32 = 10_000;
/// 100 ppm: two crystals of 50 ppm in opposite directions.
const RATE_MAX: i32 = 6_554;
/// Minutes that are caught up one by one when the caller was away; after a longer absence the count begins anew.
const CATCH_UP: u8 = 8;

/// What time does with the samples of the minutes before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Minutes {
    /// They are as they were.
    Same,
    /// They are those of other minutes: forget them.
    Anew,
}

/// The superframe.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    start_us: u64,
    minute: u8,
    /// How many µs this clock gains on the gateway's in 65,536 ms.
    rate: i16,
    /// When the last BEACON counts as lost; none was heard when it is off.
    lost: Alarm,
    plan: SlotPlan,
}

impl Clock {
    /// Free-running from minute 0.
    pub(crate) fn new(now_us: u64) -> Self {
        Self { start_us: now_us, minute: 0, rate: 0, lost: Alarm::OFF, plan: SlotPlan::default() }
    }

    /// Low octet of the number of the superframe.
    pub(crate) fn minute(&self) -> u8 {
        self.minute
    }

    /// When the next minute begins.
    pub(crate) fn next_us(&self) -> u64 {
        self.start_us + self.own_us(SUPERFRAME_MS)
    }

    /// How long so many ms of the gateway, up to a superframe, are on this clock.
    fn own_us(&self, gateway_ms: u32) -> u64 {
        let gained = (i32::from(self.rate) * gateway_ms.cast_signed()) >> 16;
        ms(gateway_ms).wrapping_add_signed(gained.into())
    }

    /// Goes on by one minute if it is over; call until `None`.
    pub(crate) fn tick(&mut self, now_us: u64) -> Option<Minutes> {
        if now_us < self.next_us() {
            return None;
        }
        let late_us = now_us - self.start_us;
        self.minute = self.minute.wrapping_add(1);
        if late_us > ms(SUPERFRAME_MS) * u64::from(CATCH_UP) {
            self.start_us = now_us;
            self.lost = Alarm::OFF;
            return Some(Minutes::Anew);
        }
        self.start_us = self.next_us();
        Some(Minutes::Same)
    }

    /// A genuine, fresh BEACON whose last octet ended at `received_us`. The caller has ticked before.
    pub(crate) fn sync(&mut self, beacon: &Beacon<'_>, received_us: u64) -> Minutes {
        let start_us = received_us.saturating_sub(self.own_us(beacon.offset_ms.into()));
        // Just before the turn of a minute by this clock, just after it by the gateway's.
        let early =
            beacon.minute == self.minute.wrapping_add(1) && start_us.abs_diff(self.next_us()) <= STEP_MAX_US;
        let same = beacon.minute == self.minute && start_us.abs_diff(self.start_us) <= STEP_MAX_US;
        if early || same {
            let expected_us = if early { self.next_us() } else { self.start_us };
            self.measure(start_us.wrapping_sub(expected_us).cast_signed(), received_us);
        }
        self.plan = beacon.plan;
        self.lost = Alarm::at(received_us + BEACON_LOST_US);
        if early {
            // The minute is over by the gateway's clock: the next tick comes at once.
            self.start_us = start_us.saturating_sub(self.own_us(SUPERFRAME_MS));
            return Minutes::Same;
        }
        (self.start_us, self.minute) = (start_us, beacon.minute);
        if same { Minutes::Same } else { Minutes::Anew }
    }

    /// Learns from a BEACON that came `late_us` later than the one before let expect. An eighth of what is seen is
    /// believed: a BEACON may be off by a millisecond, the crystal changes slowly.
    fn measure(&mut self, late_us: i64, received_us: u64) {
        let since_us = (received_us + BEACON_LOST_US).saturating_sub(self.lost.us());
        let Ok(late_us) = i32::try_from(late_us) else { return };
        if !self.lost.is_set() || since_us > TOO_FAR_US || late_us.abs() > ERROR_MAX_US {
            return;
        }
        let rate = i32::from(self.rate) + (late_us >> if since_us > FAR_US { 3 } else { 2 });
        self.rate = rate.clamp(-RATE_MAX, RATE_MAX) as i16;
    }

    /// The network changed: its BEACON says nothing any more.
    pub(crate) fn forget(&mut self) {
        self.lost = Alarm::OFF;
        self.plan = SlotPlan::default();
    }

    /// No BEACON was heard for three minutes.
    pub(crate) fn is_free_running(&self, now_us: u64) -> bool {
        !self.lost.is_set() || self.lost.is_due(now_us)
    }

    /// When the slot begins in this superframe; off when it is to be left: no such slot, or BEACON lost.
    pub(crate) fn slot(&self, slot: Option<u16>, now_us: u64) -> Alarm {
        match slot.and_then(|slot| self.plan.start_ms(slot)) {
            Some(start_ms) if !self.is_free_running(now_us) => {
                Alarm::at(self.start_us + self.own_us(start_ms))
            }
            Some(_) | None => Alarm::OFF,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::LAST_US;

    const MINUTE: u64 = ms(SUPERFRAME_MS);

    fn beacon(minute: u8, offset_ms: u16) -> Beacon<'static> {
        let plan = SlotPlan { first_ms: 500, pitch_ms: 190, slots: 100 };
        Beacon { minute, offset_ms, plan, ..Beacon::default() }
    }

    #[test]
    fn minutes_run_from_the_start_until_a_beacon_is_heard() {
        let mut clock = Clock::new(7);
        assert_eq!(clock.tick(7 + MINUTE - 1), None);
        assert_eq!(clock.tick(7 + MINUTE), Some(Minutes::Same));
        assert_eq!((clock.minute(), clock.is_free_running(7 + MINUTE)), (1, true));
        assert_eq!(clock.sync(&beacon(90, 200), 10 * MINUTE + 200_000), Minutes::Anew);
        assert_eq!((clock.minute(), clock.next_us()), (90, 11 * MINUTE));
    }

    #[test]
    fn a_slot_stands_where_the_beacon_says_and_is_left_three_minutes_after_the_last_one() {
        let mut clock = Clock::new(0);
        assert_eq!(clock.slot(Some(3), 0), Alarm::OFF);
        clock.sync(&beacon(1, 200), 1_200_000);
        assert_eq!(clock.slot(Some(3), 1_200_000), Alarm::at(1_000_000 + 500_000 + 570_000));
        assert_eq!(clock.slot(Some(100), 1_200_000), Alarm::OFF);
        assert_eq!(clock.slot(None, 1_200_000), Alarm::OFF);
        let lost_us = 1_200_000 + BEACON_LOST_US;
        assert!(clock.slot(Some(3), lost_us - 1).is_set());
        assert_eq!(clock.slot(Some(3), lost_us), Alarm::OFF);
    }

    #[test]
    fn a_beacon_that_the_own_crystal_is_late_for_turns_the_minute() {
        let mut clock = Clock::new(0);
        clock.sync(&beacon(5, 0), MINUTE);
        assert_eq!(clock.sync(&beacon(6, 10), 2 * MINUTE - 1), Minutes::Same);
        assert_eq!(clock.tick(2 * MINUTE - 1), Some(Minutes::Same));
        assert_eq!(clock.minute(), 6);
        assert_eq!(clock.tick(2 * MINUTE - 1), None);
    }

    /// BEACONs of `gateway`, each half a minute, on a clock that gains `ppm`; gives when the last superframe began.
    fn beacons(clock: &mut Clock, ppm: i64, halves: std::ops::Range<u64>) -> u64 {
        let own = |us: u64| us.wrapping_add_signed(us.cast_signed() * ppm / 1_000_000);
        let mut start_us = 0;
        for half in halves {
            // As modems have it: up to a millisecond late, never early.
            let jitter_us = half * 7_919 % 1_000;
            let now_us = own(half * MINUTE / 2 + 200_000 + jitter_us);
            while clock.tick(now_us).is_some() {}
            clock.sync(&beacon((half / 2) as u8, if half % 2 == 0 { 200 } else { 30_200 }), now_us);
            start_us = own(half / 2 * MINUTE);
        }
        start_us
    }

    // [PLG-4.1-4]
    #[test]
    fn a_clock_that_is_off_by_100_ppm_learns_it_from_beacons_and_keeps_its_slot_without_them() {
        for ppm in [-100, -37, 0, 50, 100] {
            let mut clock = Clock::new(0);
            let start_us = beacons(&mut clock, ppm, 0..80);
            // Two and a half minutes without a BEACON: a plain clock is up to 15 ms off by then, and hits the next slot.
            let own = |us: u64| us.wrapping_add_signed(us.cast_signed() * ppm / 1_000_000);
            for _ in 0..2 {
                assert_eq!(clock.tick(clock.next_us()), Some(Minutes::Same));
            }
            let slot = clock.slot(Some(99), start_us).us();
            let right = start_us + own(2 * MINUTE + 500_000 + 99 * 190_000);
            assert!(slot.abs_diff(right) <= 2_500, "{ppm} ppm: {} µs off", slot.abs_diff(right));
        }
    }

    #[test]
    fn a_beacon_that_is_far_off_moves_the_superframe_and_teaches_nothing() {
        let mut clock = Clock::new(0);
        beacons(&mut clock, 40, 0..80);
        let rate = clock.rate;
        assert!((2_300..2_900).contains(&rate), "40 ppm are 2,621: {rate}");
        let now_us = clock.next_us() + 900_000;
        assert_eq!(clock.tick(now_us), Some(Minutes::Same));
        assert_eq!(clock.sync(&beacon(40, 200), now_us), Minutes::Same);
        assert_eq!((clock.rate, clock.start_us.abs_diff(now_us - 200_000) < 20), (rate, true));
        // Nor does one after a long silence.
        for _ in 0..2 {
            clock.tick(clock.next_us());
        }
        clock.sync(&beacon(42, 200), clock.start_us + 205_000);
        assert_eq!(clock.rate, rate);
    }

    #[test]
    fn a_caller_that_was_away_for_long_starts_a_new_count() {
        let mut clock = Clock::new(0);
        clock.sync(&beacon(5, 0), 0);
        assert_eq!(clock.tick(LAST_US), Some(Minutes::Anew));
        assert_eq!(clock.tick(LAST_US), None);
        assert!(clock.is_free_running(LAST_US));
    }
}
