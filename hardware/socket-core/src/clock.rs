//! The superframe as this socket sees it: which minute it is, where the slots are, whether the BEACON was lost.
//! Spec: protocol-spec/timing.md §4.1. Knows no frames and keeps no time of its own.

use plugline_protocol::messages::{Beacon, SlotPlan};
use plugline_protocol::timing::{BEACON_LOST_MS, SUPERFRAME_MS};

use crate::time::{Alarm, ms};

const SUPERFRAME_US: u64 = ms(SUPERFRAME_MS);
const BEACON_LOST_US: u64 = ms(BEACON_LOST_MS);
/// A BEACON that moves the superframe by more than this begins a new count of minutes: a crystal of 50 ppm that heard
/// none for three minutes is off by 18 ms at most.
const STEP_MAX_US: u64 = 1_000_000;
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
    /// When the last BEACON counts as lost; none was heard when it is off.
    lost: Alarm,
    plan: SlotPlan,
}

impl Clock {
    /// Free-running from minute 0.
    pub(crate) fn new(now_us: u64) -> Self {
        Self { start_us: now_us, minute: 0, lost: Alarm::OFF, plan: SlotPlan::default() }
    }

    /// Low octet of the number of the superframe.
    pub(crate) fn minute(&self) -> u8 {
        self.minute
    }

    /// When the next minute begins.
    pub(crate) fn next_us(&self) -> u64 {
        self.start_us + SUPERFRAME_US
    }

    /// Goes on by one minute if it is over; call until `None`.
    pub(crate) fn tick(&mut self, now_us: u64) -> Option<Minutes> {
        if now_us < self.next_us() {
            return None;
        }
        let late_us = now_us - self.start_us;
        self.minute = self.minute.wrapping_add(1);
        if late_us > SUPERFRAME_US * u64::from(CATCH_UP) {
            self.start_us = now_us;
            self.lost = Alarm::OFF;
            return Some(Minutes::Anew);
        }
        self.start_us = self.next_us();
        Some(Minutes::Same)
    }

    /// A genuine, fresh BEACON whose last octet ended at `received_us`. The caller has ticked before.
    pub(crate) fn sync(&mut self, beacon: &Beacon<'_>, received_us: u64) -> Minutes {
        let start_us = received_us.saturating_sub(ms(beacon.offset_ms.into()));
        // Just before the turn of a minute by this clock, just after it by the gateway's.
        let early =
            beacon.minute == self.minute.wrapping_add(1) && start_us.abs_diff(self.next_us()) <= STEP_MAX_US;
        let same = beacon.minute == self.minute && start_us.abs_diff(self.start_us) <= STEP_MAX_US;
        self.plan = beacon.plan;
        self.lost = Alarm::at(received_us + BEACON_LOST_US);
        if early {
            // The minute is over by the gateway's clock: the next tick comes at once.
            self.start_us = start_us.saturating_sub(SUPERFRAME_US);
            return Minutes::Same;
        }
        (self.start_us, self.minute) = (start_us, beacon.minute);
        if same { Minutes::Same } else { Minutes::Anew }
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
            Some(start_ms) if !self.is_free_running(now_us) => Alarm::at(self.start_us + ms(start_ms)),
            Some(_) | None => Alarm::OFF,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::LAST_US;

    const MINUTE: u64 = SUPERFRAME_US;

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

    #[test]
    fn a_caller_that_was_away_for_long_starts_a_new_count() {
        let mut clock = Clock::new(0);
        clock.sync(&beacon(5, 0), 0);
        assert_eq!(clock.tick(LAST_US), Some(Minutes::Anew));
        assert_eq!(clock.tick(LAST_US), None);
        assert!(clock.is_free_running(LAST_US));
    }
}
