//! Who has which slot, and who is given another one: somebody else may speak just there, each minute.
//!
//! A neighbour's frames are avoided where they are heard. Where they are not, whose REPORTs do not arrive tells.

use std::collections::BTreeMap;
use std::time::Duration;

use plugline_protocol::Eui64;
use plugline_protocol::timing::SUPERFRAME_MS;

use super::Plugline;
use super::beacons::is_set;
use crate::device::Moment;
use crate::line::plugline::member::Member;

/// A socket that answers, and whose last three REPORTs did not come, is in a bad place: its history reaches back four.
const IN_A_ROW: u8 = 0b111;
/// Or so many of the last eight.
const OF_EIGHT: u32 = 6;
/// A socket on a bad path loses its REPORTs anywhere: it is moved no sooner than this, twice as late each time …
const REST: Duration = Duration::from_secs(600);
/// … up to so many times: some five hours.
const RESTS_MAX: u32 = 5;
/// A slot that was left is given to nobody for this long, if there is another one.
const SHUNNED: Duration = Duration::from_secs(6 * 3_600);

/// And where a frame of another network was heard, for this long: it comes again, each minute.
const NEIGHBOUR: Duration = Duration::from_secs(900);

/// What is known of slots beside whose they are.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// The last superframe whose REPORTs were counted.
    judged: u64,
    /// Slots that somebody had to leave, and when.
    shunned: BTreeMap<u16, Moment>,
    /// Slots in which another network was heard, and when last.
    foreign: BTreeMap<u16, Moment>,
}

/// How a socket fares in its slot.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::line::plugline) struct Fares {
    /// Bit k: the REPORT of k superframes before the last one did not come.
    missed: u8,
    moved: Option<Moment>,
    moves: u32,
}

impl Fares {
    fn may_move(self, now: Moment) -> bool {
        let rest = REST * (1 << self.moves.min(RESTS_MAX));
        self.moved.is_none_or(|moved| now.since(moved) >= rest)
    }

    fn badly(self, answers: bool) -> bool {
        (answers && self.missed & IN_A_ROW == IN_A_ROW) || self.missed.count_ones() >= OF_EIGHT
    }
}

impl Plugline {
    /// The slot that a socket has or gets; `None` when none is left.
    pub(super) fn slot_for(&self, eui: Eui64) -> Option<u16> {
        let schedule = self.schedule?;
        let own =
            self.member_of(eui).and_then(|member| member.own.slot).filter(|slot| schedule.usable(*slot));
        own.or_else(|| self.free_slot(eui))
    }

    fn free_slot(&self, eui: Eui64) -> Option<u16> {
        let schedule = self.schedule?;
        let free = |slot: &u16| !self.taken(*slot) && !self.joining.promised(*slot, eui);
        let Places { shunned, foreign, .. } = &self.places;
        let good = |slot: &u16| !shunned.contains_key(slot) && !foreign.contains_key(slot);
        let mut slots = schedule.order().filter(free);
        slots.find(good).or_else(|| schedule.order().find(free))
    }

    /// Somebody reports in this slot, or was not told yet that he is not to.
    fn taken(&self, slot: u16) -> bool {
        self.members.values().any(|member| [member.own.slot, member.own.told_slot].contains(&Some(slot)))
    }

    /// Gives slots to sockets that have none, or one that this line does not have.
    pub(super) fn assign_slots(&mut self) {
        let Some(schedule) = self.schedule else { return };
        for member in self.members.values_mut() {
            member.own.slot = member.own.slot.filter(|slot| schedule.usable(*slot));
        }
        let without: Vec<Eui64> =
            self.members.values().filter(|m| m.own.slot.is_none()).map(Member::eui).collect();
        for eui in without {
            let slot = self.slot_for(eui);
            if let Some(member) = self.member_of_mut(eui) {
                member.own.slot = slot;
            }
        }
    }

    /// A frame of another network ended on the line.
    pub(super) fn neighbour_heard(&mut self, airtime_us: u64, end_us: u64, now: Moment) {
        let Some(schedule) = self.schedule else { return };
        let (_, end_us) = self.superframe(end_us);
        let slots = schedule.during(end_us.saturating_sub(airtime_us), end_us);
        self.places.foreign.extend(slots.map(|slot| (slot, now)));
    }

    /// Counts whose REPORT came in the superframe that is over, and moves those who fare badly.
    pub(super) fn judge_slots(&mut self, now: Moment) {
        let (number, into_us) = self.superframe(self.host.clock.at(now));
        let Some(over) = number.checked_sub(1).filter(|over| *over != self.places.judged) else { return };
        let follows = self.places.judged + 1 == over;
        self.places.judged = over;
        self.places.shunned.retain(|_, since| now.since(*since) < SHUNNED);
        self.places.foreign.retain(|_, since| now.since(*since) < NEIGHBOUR);
        let received = self.received.before(number).to_vec();
        let run = Duration::from_millis(u64::from(SUPERFRAME_MS) * 3) + Duration::from_micros(into_us);
        let mut badly = Vec::new();
        for member in self.members.values_mut() {
            let slot = member.own.slot.filter(|slot| {
                follows && member.own.told_slot == Some(*slot) && member.own.told.minutes <= 1
            });
            let Some(slot) = slot.filter(|_| !member.leaving && !member.silent) else {
                member.fares.missed = 0;
                continue;
            };
            let fares = &mut member.fares;
            fares.missed = fares.missed << 1 | u8::from(!is_set(&received, slot));
            let answers = member.heard.is_some_and(|heard| now.since(heard) <= run);
            if fares.may_move(now) && fares.badly(answers) {
                badly.push((member.eui(), slot));
            }
        }
        badly.into_iter().for_each(|(eui, slot)| self.move_from(slot, eui, now));
    }

    fn move_from(&mut self, slot: u16, eui: Eui64, now: Moment) {
        self.places.shunned.insert(slot, now);
        let Some(other) = self.free_slot(eui) else { return };
        if let Some(member) = self.member_of_mut(eui) {
            member.own.slot = Some(other);
            let moves = member.fares.moves + 1;
            member.fares = Fares { missed: 0, moved: Some(now), moves };
        }
    }
}
