//! Commands: who may command, what is done, how it is answered. Spec: protocol-spec/messages.md §6.3 – §6.5,
//! security.md §5.6.

use plugline_protocol::frame::{Frame, MAX_PAYLOAD, TAG_LEN};
use plugline_protocol::messages::{Ask, Command, Form, Outcome, Rejected, Response};
use plugline_protocol::reading::Cause;
use plugline_protocol::security::{Channel, GroupGate, OpenError, Verdict};
use plugline_protocol::timing::SUPERFRAME_MS;

use super::Socket;
use crate::Board;
use crate::counts::count;
use crate::outbox::Lane;
use crate::time::{Alarm, ms};

/// RESPONSEs `stale` a minute: somebody may send old commands again as fast as he likes.
pub(super) const STALE_A_MINUTE: usize = 4;
/// After LEAVE and REBOOT the answer can be asked for again for so long: eight tries of the gateway.
const AFTER_ANSWER_US: u64 = 3_000_000;

impl<B: Board> Socket<B> {
    pub(super) fn on_command(&mut self, frame: &Frame<'_>, received_us: u64) {
        let (Some(place), Some(counter)) = (&mut self.settings.place, frame.counter()) else { return };
        let tag: &[u8] = frame.tag();
        debug_assert_eq!(tag.len(), TAG_LEN);
        if place.commands.is_repeat(counter, tag) {
            count(&mut self.counts.repeated);
            return self.outbox.answer(Lane::Answer, received_us);
        }
        let mut clear = [0; MAX_PAYLOAD];
        let payload = match Channel::down(&place.down, &place.identity).open(frame, &mut clear) {
            Ok(payload) => payload,
            Err(OpenError::Forged) => return count(&mut self.counts.forged),
            Err(OpenError::NotForUs | OpenError::Full) => return,
        };
        let parsed = Command::parse(payload);
        let reference = match &parsed {
            Ok(command) => Some(command.reference),
            Err(rejected) => rejected.reference,
        };
        let leaving = self.leave.is_set() || self.restart.is_set();
        match place.commands.judge(counter, tag, reference, place.counters.sent()) {
            Verdict::Fresh if leaving => {}
            Verdict::Fresh => {
                // Only a gateway that took a REPORT under these keys has them in use.
                self.commit();
                self.take_as_acknowledgement(reference);
                self.obey(counter, parsed, received_us);
            }
            Verdict::Stale => {
                self.commit();
                count(&mut self.counts.stale);
                self.answer_stale(counter, received_us);
            }
            Verdict::Repeat | Verdict::Replayed | Verdict::TooFar => count(&mut self.counts.replayed),
        }
    }

    fn take_as_acknowledgement(&mut self, reference: Option<u32>) {
        let asked = self.reports.asked_counter();
        if asked.is_some() && asked == reference {
            self.acknowledged();
        }
    }

    fn obey(&mut self, counter: u32, parsed: Result<Command, Rejected>, asked_us: u64) {
        let made = match parsed {
            Ok(Command { ask: Ask::Read, .. }) => self.respond(Lane::Answer, counter, Outcome::Done, true),
            Ok(Command { ask, .. }) => {
                let outcome = self.execute(ask);
                self.answer(counter, outcome)
            }
            Err(rejected) => self.answer(counter, rejected.outcome),
        };
        if made {
            self.outbox.answer(Lane::Answer, asked_us);
        }
    }

    fn answer(&mut self, counter: u32, outcome: Outcome) -> bool {
        let Some(place) = &self.settings.place else { return false };
        let relay_on = self.relay.is_on();
        let crc = self.factory.crc;
        self.outbox.fill(Lane::Answer, crc, |out| place.answer(counter, outcome, relay_on, out))
    }

    fn respond(&mut self, lane: Lane, command: u32, outcome: Outcome, with_reading: bool) -> bool {
        let form = if with_reading {
            let export = self.meter.tells_export();
            Form::Reading(self.reading(export).0)
        } else {
            Form::Empty
        };
        let Some(counter) = self.take_counter() else { return false };
        let Some(place) = &self.settings.place else { return false };
        let response = Response { command_low: command as u16, outcome, form };
        let crc = self.factory.crc;
        self.outbox.fill(lane, crc, |out| place.seal(false, counter, &response, out))
    }

    fn answer_stale(&mut self, counter: u32, asked_us: u64) {
        let oldest = &mut self.stale[self.stale_next];
        if !oldest.is_due(self.now_us) {
            return;
        }
        *oldest = Alarm::at(self.now_us + ms(SUPERFRAME_MS));
        self.stale_next = (self.stale_next + 1) % STALE_A_MINUTE;
        if self.respond(Lane::Stale, counter, Outcome::Stale, false) {
            self.outbox.answer(Lane::Stale, asked_us);
        }
    }

    fn execute(&mut self, ask: Ask) -> Outcome {
        match ask {
            Ask::Switch { on } => self.switch(on),
            Ask::Identify { seconds } => {
                let until_us = self.now_us + ms(u32::from(seconds) * 1000);
                self.identify = if seconds > 0 { Alarm::at(until_us) } else { Alarm::OFF };
                Outcome::Done
            }
            Ask::Reboot => {
                self.restart = Alarm::at(self.now_us + AFTER_ANSWER_US);
                Outcome::Done
            }
            Ask::Leave => {
                self.leave = Alarm::at(self.now_us + AFTER_ANSWER_US);
                self.outbox.stop_unasked();
                if self.save() {
                    return Outcome::Done;
                }
                self.leave = Alarm::OFF;
                Outcome::Busy
            }
            Ask::OverCurrent { limit_ma } if limit_ma > self.factory.limits.current_ma => Outcome::Refused,
            // READ is answered otherwise.
            Ask::Read => Outcome::Done,
            Ask::Interval { .. }
            | Ask::OverCurrent { .. }
            | Ask::PowerOn(_)
            | Ask::Slot { .. }
            | Ask::Sync { .. }
            | Ask::GroupKey { .. } => self.set(ask),
        }
    }

    fn switch(&mut self, on: bool) -> Outcome {
        if !self.factory.capabilities.relay {
            return Outcome::Unsupported;
        }
        match self.relay.switch(on, Cause::Command) {
            Ok(changed) => {
                if changed {
                    self.store_energy();
                }
                Outcome::Done
            }
            Err(_) => Outcome::Refused,
        }
    }

    /// Settings are stored before they are answered.
    fn set(&mut self, ask: Ask) -> Outcome {
        let Some(place) = &mut self.settings.place else { return Outcome::Busy };
        let options = &mut self.settings.options;
        match ask {
            Ask::Interval { minutes } => options.interval_min = minutes,
            Ask::OverCurrent { limit_ma } => options.limit_ma = limit_ma,
            Ask::PowerOn(what) => options.power_on = what,
            Ask::Slot { slot } => place.slot = slot,
            Ask::Sync { group_counter } => {
                place.group = Some(GroupGate::from_floor(group_counter));
                self.wants_sync = false;
                self.plan_report();
                return Outcome::Done;
            }
            Ask::GroupKey { key, group_counter } => {
                place.group_key = key;
                place.group = Some(GroupGate::from_floor(group_counter));
            }
            Ask::Switch { .. } | Ask::Read | Ask::Identify { .. } | Ask::Reboot | Ask::Leave => {}
        }
        self.plan_report();
        if self.save() { Outcome::Done } else { Outcome::Busy }
    }
}
