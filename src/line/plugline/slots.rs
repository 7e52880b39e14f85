//! Who may speak when: the slot plan of a line's rate, the order in which slots are given, and gaps for commands.
//!
//! The plan depends on the rate alone, so that a socket keeps its slot. Of five slots in a row the first is given to
//! the first sixty sockets, the second to the next sixty, and so on: what is not given yet is room for commands, and
//! is spread over the minute.

use plugline_protocol::messages::SlotPlan;
use plugline_protocol::timing::{BEACON_REPEAT_MS, BEACON_WINDOW_MS, LineRate, SLOTS_MAX, SUPERFRAME_MS};

/// A BEACON that finds the line busy is tried again after this long, so many times in all. On a line full of sockets that
/// lost their BEACON the only rest is the one behind each frame, which is the gateway's own (4.3): of so many tries one
/// falls into it, and the sockets are back in their slots.
pub(super) const BEACON_STEP_MS: u32 = 25;
pub(super) const BEACON_TRIES: u8 = 17;
/// The last slot ends this long before the superframe: what it carries can still stand in the next BEACON.
const TAIL_MS: u32 = 500;
/// Slots that lie together and are given one after the other.
const STRIDE: u16 = 5;
/// Octets of the longest BEACON on the line: header and counter 10, payload 13 and a bitmap, tag 8, CRC 2.
const BEACON_OCTETS: usize = 33 + (SLOTS_MAX as usize).div_ceil(8);

/// The slots of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Schedule {
    pub(super) plan: SlotPlan,
    /// A slot's frame and the guard behind it.
    busy_ms: u32,
    /// From the start of a superframe until its first BEACON is over.
    beacon_ms: u32,
}

impl Schedule {
    pub(super) fn new(rate: LineRate) -> Self {
        let busy_ms = rate.slot_pitch_min_ms();
        let first_ms = first_ms(rate);
        let second_ms = first_ms.max(BEACON_REPEAT_MS + BEACON_WINDOW_MS);
        let slots = |pitch: u32| {
            let early = BEACON_REPEAT_MS.saturating_sub(first_ms) / pitch;
            early + (SUPERFRAME_MS - TAIL_MS).saturating_sub(second_ms) / pitch
        };
        let pitch_ms = (busy_ms..).find(|pitch| slots(*pitch) <= SLOTS_MAX.into()).unwrap_or(busy_ms);
        let narrow = |value: u32| u16::try_from(value).unwrap_or(u16::MAX);
        let plan = SlotPlan {
            first_ms: narrow(first_ms),
            pitch_ms: narrow(pitch_ms),
            slots: narrow(slots(pitch_ms)),
        };
        // A slow line has no slot at all: then sockets listen before they talk.
        let plan = if plan.slots > 0 && plan.fits() { plan } else { SlotPlan::default() };
        Self { plan, busy_ms, beacon_ms: rate.airtime_us(BEACON_OCTETS).div_ceil(1_000) + 8 }
    }

    /// The same line where nobody can start at a given millisecond: all listen before they talk.
    pub(super) fn without_slots(self) -> Self {
        Self { plan: SlotPlan::default(), ..self }
    }

    /// This line has such a slot.
    pub(super) fn usable(&self, slot: u16) -> bool {
        slot < self.plan.slots
    }

    /// Slots whose REPORT would lie over these µs of a superframe.
    pub(super) fn during(self, from_us: u64, to_us: u64) -> impl Iterator<Item = u16> {
        let over = move |slot: &u16| {
            let start_us = u64::from(self.plan.start_ms(*slot).unwrap_or(0)) * 1_000;
            start_us < to_us && from_us < start_us + u64::from(self.busy_ms) * 1_000
        };
        (0..self.plan.slots).filter(over)
    }

    /// Slots in the order in which they are given.
    pub(super) fn order(self) -> impl Iterator<Item = u16> {
        let groups = self.plan.slots.div_ceil(STRIDE);
        let bits = 16 - groups.saturating_sub(1).leading_zeros();
        let spread = move |index: u16| if bits == 0 { 0 } else { index.reverse_bits() >> (16 - bits) };
        let in_pass = move |place: u16| {
            (0..1u16 << bits)
                .map(spread)
                .filter(move |group| *group < groups)
                .map(move |g| g * STRIDE + place)
        };
        (0..STRIDE).flat_map(in_pass).filter(move |slot| self.usable(*slot))
    }

    /// The first time from `from_us` (since the start of a superframe) on at which the line is nobody's for `need_us`,
    /// and when that ends. `taken` says which slots are somebody's. `None`: not within a superframe.
    pub(super) fn gap(&self, from_us: u64, need_us: u64, taken: impl Fn(u16) -> bool) -> Option<(u64, u64)> {
        let us = |ms: u32| u64::from(ms) * 1_000;
        let whole = us(SUPERFRAME_MS);
        let slots = (0..self.plan.slots).filter(|slot| taken(*slot)).filter_map(|slot| {
            let start = self.plan.start_ms(slot)?;
            Some((us(start), us(start + self.busy_ms)))
        });
        let beacons = [0, BEACON_REPEAT_MS].map(|start| (us(start), us(start + self.beacon_ms)));
        let mut busy: Vec<(u64, u64)> = slots.chain(beacons).collect();
        busy.sort_unstable();
        let again = busy.clone().into_iter().map(|(start, end)| (start + whole, end + whole));
        let mut at = from_us;
        for (start, end) in busy.into_iter().chain(again) {
            if start >= at + need_us {
                return Some((at, start));
            }
            at = at.max(end);
        }
        None
    }
}

fn first_ms(rate: LineRate) -> u32 {
    let tries = BEACON_STEP_MS * u32::from(BEACON_TRIES - 1);
    tries + rate.airtime_us(BEACON_OCTETS).div_ceil(1_000) + 8
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn reference() -> Schedule {
        Schedule::new(LineRate::REFERENCE)
    }

    #[test]
    fn at_2400_bit_s_there_are_slots_for_the_house_that_is_promised() {
        let schedule = reference();
        assert!(schedule.plan.fits());
        let order: Vec<u16> = schedule.order().collect();
        assert!(order.len() >= 250, "{} slots", order.len());
        let distinct: BTreeSet<u16> = order.iter().copied().collect();
        assert_eq!(distinct.len(), order.len());
    }

    #[test]
    fn the_first_hundred_and_eighty_leave_room_for_a_command_in_every_few_slots() {
        let schedule = reference();
        let taken: BTreeSet<u16> = schedule.order().take(175).collect();
        let mut from = 0;
        while from < 60_000_000 {
            let (start, _) =
                schedule.gap(from, 300_000, |slot| taken.contains(&slot)).expect("there is a gap");
            assert!(start - from <= 1_000_000, "after {from} only at {start}");
            from += 100_000;
        }
    }

    #[test]
    fn no_slot_lies_under_a_beacon_or_over_the_end() {
        for rate in [LineRate::REFERENCE, LineRate { bit_per_s: 28_800, overhead: 10 }] {
            let schedule = Schedule::new(rate);
            assert!(schedule.plan.fits());
            for slot in schedule.order() {
                let start = schedule.plan.start_ms(slot).expect("it exists");
                let end = start + schedule.busy_ms;
                assert!(end <= 59_500 && start >= schedule.beacon_ms, "{slot}");
                assert!(end <= 30_000 || start >= 30_000 + schedule.beacon_ms, "{slot}");
            }
        }
    }

    #[test]
    fn a_line_of_a_hundred_bits_a_second_has_few_slots_or_none_and_no_panic() {
        for bit_per_s in [1, 50, 100, 600] {
            let schedule = Schedule::new(LineRate { bit_per_s, overhead: 10 });
            assert!(schedule.plan.fits());
            assert!(schedule.order().count() <= 90);
        }
    }

    #[test]
    fn a_gap_ends_where_the_next_slot_begins() {
        let schedule = reference();
        let start = u64::from(schedule.plan.start_ms(2).expect("it exists")) * 1_000;
        let gap = schedule.gap(1_000_000, 50_000, |slot| slot == 2);
        let busy = u64::from(schedule.busy_ms) * 1_000;
        let wanted = if start <= 1_000_000 { start + busy } else { 1_000_000 };
        assert_eq!(gap.map(|(at, _)| at), Some(wanted.max(1_000_000)));
        let (_, end) = schedule.gap(start - 60_000, 50_000, |slot| slot == 2).expect("before it");
        assert_eq!(end, start);
    }
}
