//! What happens on the mains: hops, tries, answers, groups, buttons, and traffic of others.
//!
//! A message and its answer take (hops + 1) slots each. With up to five tries that raise the hops, a sender gives
//! up after 1.4 … 2.0 s for standard and 2.2 … 3.2 s for extended messages, as the maker's guide says.

use std::collections::VecDeque;
use std::time::Duration;

use super::device::{Answer, Effect, Engine, reason};
use super::fault::{Fault, NakForm};
use super::message::{EXTENDED_SLOT, Id, MAX_HOPS, Message, Purpose, STANDARD_SLOT};
use super::plm::{Event, Plm, Sending};

/// Tries of a sender that hears no answer.
const TRIES: u8 = 5;
/// The 2413 asks for so many hops at least, whatever the host says (python-insteonplm issue 36).
const LEAST_HOPS: u8 = 2;
/// A message that all hops are used for.
const BROADCAST_TIME: Duration = Duration::from_millis(200);
/// A message to one member of a group, and its answer.
const CLEANUP_TIME: Duration = Duration::from_millis(400);
/// From an extended message to the next of the same sender: it, and the answer of the modem.
const EXTENDED_TIME: Duration = Duration::from_millis(634);
/// From "this will take long" to the answer.
const SEARCH_TIME: Duration = Duration::from_millis(500);
/// The success report of a group command.
const REPORT: u8 = 0x06;

impl Plm {
    pub(crate) fn next_turn(&mut self) {
        self.turn += 1;
        self.sending = None;
        if std::mem::take(&mut self.cleaning) {
            self.say(vec![0x02, 0x58, 0x15]);
        }
    }

    /// `62`: a message to one device. What was under way is given up.
    pub(crate) fn send(&mut self, command: &[u8], message: Message) {
        if message.flags & 0xE0 != 0 {
            return self.nak(command, NakForm::Echoed);
        }
        self.next_turn();
        self.sending = Some(Sending { message, attempts: 0, answered: false, loses_replies: None });
        self.echo(command, Vec::new());
        self.later(Duration::ZERO, Event::Attempt { turn: self.turn });
    }

    pub(crate) fn attempt(&mut self, turn: u64) {
        let Some(sending) = self.sending.as_mut().filter(|sending| turn == self.turn && !sending.answered)
        else {
            return;
        };
        if sending.attempts == TRIES {
            self.sending = None;
            return;
        }
        let message = sending.message;
        let hops = ((message.flags & MAX_HOPS).max(LEAST_HOPS) + sending.attempts).min(MAX_HOPS);
        sending.attempts += 1;
        let slots = u32::from(hops) + 1;
        self.later((message.slot() + STANDARD_SLOT) * slots, Event::Attempt { turn });
        let near = |distance: u8| distance <= hops;
        if self.device(message.to).is_some_and(|device| near(device.distance(false))) && !self.faults.loses()
        {
            self.later(message.slot() * slots, Event::Arrives { turn, message, hops });
        }
    }

    /// The device does as told and answers; the answer is on its way for as many hops as the message was.
    pub(crate) fn arrives(&mut self, turn: u64, message: Message, hops: u8) {
        let Some(index) = self.devices.iter().position(|device| device.id() == message.to) else { return };
        let Some(answer) = self.answer_of(index, &message) else { return };
        match answer.effect {
            Some(Effect::Linking(group)) => {
                self.devices[index].linking = Some((group, self.now()));
                self.try_to_link();
            }
            Some(Effect::Announce) => self.announce(index, BROADCAST_TIME * 2),
            None => {}
        }
        if self.answer_is_lost(turn, message.to) {
            return;
        }
        if let Some(sending) = self.sending.as_mut().filter(|_| turn == self.turn) {
            sending.answered = true;
        }
        let mut pause = STANDARD_SLOT * (u32::from(hops) + 1);
        let purpose = if answer.ack { Purpose::Ack } else { Purpose::Nak };
        let reply = Message { from: message.to, to: message.from, flags: 0, data: None, ..message };
        if self.faults.strikes(Fault::PreNak(message.to)) {
            let early = Message { cmd2: reason::PRE_NAK, ..reply };
            self.reply(pause, turn, early, Purpose::Nak, hops);
            pause += SEARCH_TIME;
        }
        self.reply(pause, turn, Message { cmd1: answer.cmd1, cmd2: answer.cmd2, ..reply }, purpose, hops);
        for data in answer.data {
            pause += EXTENDED_TIME;
            self.reply(pause, turn, Message { data: Some(data), ..reply }, Purpose::Direct, MAX_HOPS);
        }
    }

    fn answer_of(&mut self, index: usize, message: &Message) -> Option<Answer> {
        if self.faults.strikes(Fault::EngineByTurns(message.to)) {
            let next = match self.devices[index].engine() {
                Engine::I1 => Engine::I2,
                Engine::I2 => Engine::I2cs,
                Engine::I2cs => Engine::I1,
            };
            self.devices[index].set_engine(next);
        }
        let refuses = |fault| match fault {
            Fault::Refuse { asked, reason } if asked == message.to => Some(reason),
            _ => None,
        };
        match self.faults.strike(refuses) {
            Some(reason) => Answer::nak(message.cmd1, reason),
            None => self.devices[index].answer(message),
        }
    }

    fn answer_is_lost(&mut self, turn: u64, asked: Id) -> bool {
        let decided =
            self.sending.as_ref().filter(|_| turn == self.turn).and_then(|sending| sending.loses_replies);
        let lost = match decided {
            Some(lost) => lost,
            None => self.faults.strikes(Fault::LoseReplies(asked)),
        };
        if let Some(sending) = self.sending.as_mut().filter(|_| turn == self.turn) {
            sending.loses_replies = Some(lost);
        }
        lost || self.faults.loses()
    }

    /// Sends a device's reply on its way.
    fn reply(&mut self, pause: Duration, turn: u64, mut reply: Message, purpose: Purpose, hops: u8) {
        let asked = reply.from;
        let disguise = |fault| match fault {
            Fault::AnswerForAnother { asked: one, answers_as } if one == asked => Some(answers_as),
            _ => None,
        };
        reply.from = self.faults.strike(disguise).unwrap_or(asked);
        if let Some(data) = reply.data.as_mut().filter(|_| reply.cmd1 == 0x82) {
            data[13] ^= u8::from(self.faults.strikes(Fault::BadCrc));
        }
        let distance = self.distance_of(asked, reply.data.is_some(), hops);
        self.carry(pause, Some(turn), reply.heard(purpose, hops, distance));
    }

    fn distance_of(&mut self, id: Id, extended: bool, hops: u8) -> u8 {
        if self.faults.strikes(Fault::HopsVary) {
            return self.faults.random.below(u64::from(hops) + 1).to_le_bytes()[0];
        }
        self.device(id).map_or(0, |device| device.distance(extended))
    }

    /// A message on its way to the modem, perhaps late, perhaps twice. What nobody waits for is not tried again when
    /// it is lost.
    fn carry(&mut self, pause: Duration, turn: Option<u64>, message: Message) {
        if turn.is_none() && self.faults.loses() {
            return;
        }
        let late = |fault| if let Fault::Late(pause) = fault { Some(pause) } else { None };
        let pause = pause + self.faults.strike(late).unwrap_or_default();
        self.later(pause, Event::Heard { turn, message });
        let again = |fault| if let Fault::Repeat(gap) = fault { Some(gap) } else { None };
        if let Some(gap) = self.faults.strike(again) {
            let left = message.flags >> 2 & MAX_HOPS;
            let flags = message.flags & !(MAX_HOPS << 2) | left.saturating_sub(1) << 2;
            self.later(pause + gap, Event::Heard { turn, message: Message { flags, ..message } });
        }
    }

    pub(crate) fn heard(&mut self, turn: Option<u64>, message: Message) {
        if self.modem.booting || turn.is_some_and(|turn| turn != self.turn) {
            return;
        }
        self.modem.last_sender = Some(message.from);
        self.say(message.event());
    }

    /// A device says what it is.
    fn announce(&mut self, index: usize, pause: Duration) {
        let device = &self.devices[index];
        let (from, to) = (device.id(), Id(device.product()));
        let message = Message { from, to, flags: 0, cmd1: 0x01, cmd2: 0x00, data: None };
        let distance = self.distance_of(from, false, MAX_HOPS);
        self.carry(pause, None, message.heard(Purpose::Broadcast, MAX_HOPS, distance));
    }

    /// Presses a device's button: its relay changes over, and those that are linked are told. `false` where there
    /// is no such outlet, or no mains.
    pub fn press(&mut self, id: Id, group: u8) -> bool {
        let Some(device) = self.device_mut(id).filter(|device| device.has_mains()) else { return false };
        let Some(on) = device.is_on(group) else { return false };
        device.set_relay(group, !on);
        let mine = device.links().in_use().filter(|link| link.is_controller() && link.group == group);
        let told: Vec<Id> = mine.map(|link| link.id).collect();
        let cmd1 = if on { 0x13 } else { 0x11 };
        self.push(id, group, cmd1, &told);
        true
    }

    /// The three messages of a button: to the group, to each of its members, and how many did not answer.
    fn push(&mut self, from: Id, group: u8, cmd1: u8, members: &[Id]) {
        let modem = self.modem.id;
        if members.is_empty() || self.modem.links.obeys(from, group).is_none() {
            return;
        }
        let failed = members.iter().filter(|id| **id != modem && self.device(**id).is_none()).count();
        let count = |n: usize| u8::try_from(n).unwrap_or(u8::MAX);
        let distance = self.distance_of(from, false, MAX_HOPS);
        let message = Message { from, to: Id([0, 0, group]), flags: 0, cmd1, cmd2: 0, data: None };
        self.carry(BROADCAST_TIME, None, message.heard(Purpose::GroupBroadcast, MAX_HOPS, distance));
        let mut pause = BROADCAST_TIME;
        for member in members {
            pause += CLEANUP_TIME;
            if *member == modem {
                let cleanup = Message { to: modem, cmd2: group, ..message };
                self.carry(pause, None, cleanup.heard(Purpose::Cleanup, MAX_HOPS, distance));
            }
        }
        let to = Id([cmd1, count(members.len()), group]);
        let report = Message { to, cmd1: REPORT, cmd2: count(failed), ..message };
        let report = report.heard(Purpose::GroupBroadcast, MAX_HOPS, distance);
        self.carry(pause + BROADCAST_TIME, None, report);
    }

    /// Holds a device's SET button until it waits to be linked in this group. `false` where there is no such
    /// device, or no mains.
    pub fn hold_set(&mut self, id: Id, group: u8) -> bool {
        let found = self.devices.iter().position(|device| device.id() == id && device.has_mains());
        let Some(index) = found else { return false };
        self.devices[index].linking = Some((group, self.now()));
        self.announce(index, BROADCAST_TIME);
        self.try_to_link();
        true
    }

    /// `61`: a group command, then each member by itself.
    pub(crate) fn send_group(&mut self, command: &[u8], group: u8, cmd1: u8) {
        self.next_turn();
        self.cleaning = true;
        self.echo(command, Vec::new());
        self.later(BROADCAST_TIME, Event::GroupHeard { turn: self.turn, group, cmd1 });
    }

    pub(crate) fn group_heard(&mut self, turn: u64, group: u8, cmd1: u8) {
        let from = self.modem.id;
        for device in &mut self.devices {
            device.obey_group(from, group, cmd1);
        }
        let mine = self.modem.links.in_use().filter(|link| link.is_controller() && link.group == group);
        let members: VecDeque<Id> = mine.map(|link| link.id).collect();
        if turn == self.turn {
            self.later(CLEANUP_TIME, Event::Cleanup { turn, group, cmd1, members });
        }
    }

    pub(crate) fn clean_up(&mut self, turn: u64, group: u8, cmd1: u8, mut members: VecDeque<Id>) {
        if turn != self.turn {
            return;
        }
        let Some(id) = members.pop_front() else {
            self.cleaning = false;
            return self.say(vec![0x02, 0x58, 0x06]);
        };
        let modem = self.modem.id;
        let heard = !self.faults.loses() && !self.faults.strikes(Fault::LoseReplies(id));
        let done = self.device_mut(id).is_some_and(|device| device.obey_group(modem, group, cmd1)) && heard;
        if done {
            let distance = self.distance_of(id, false, MAX_HOPS);
            let ack = Message { from: id, to: modem, flags: 0, cmd1, cmd2: group, data: None };
            self.carry(Duration::ZERO, Some(turn), ack.heard(Purpose::CleanupAck, MAX_HOPS, distance));
        } else {
            let [a, b, c] = id.0;
            self.say(vec![0x02, 0x56, 0x01, group, a, b, c]);
        }
        self.later(CLEANUP_TIME, Event::Cleanup { turn, group, cmd1, members });
    }

    /// Traffic of others, for as long as the fault lasts.
    pub(crate) fn traffic(&mut self, fault: Fault) {
        if !self.faults.strikes(fault) {
            return;
        }
        match fault {
            Fault::Foreign { every } => {
                self.foreign();
                self.traffic_later(fault, every);
            }
            Fault::SecondHost { every } => {
                self.second_host();
                self.traffic_later(fault, every);
            }
            _ => {}
        }
    }

    fn foreign(&mut self) {
        let random = &mut self.faults.random;
        let mut byte = || random.below(256).to_le_bytes()[0];
        // Ids from F0.00.00 on: nobody here has one.
        let (from, other) =
            (Id([0xF0 | byte() & 7, byte(), byte()]), Id([0xF8 | byte() & 7, byte(), byte()]));
        let (kind, group) = (byte() % 7, 1 + byte() % 4);
        let on = if byte() % 2 == 0 { 0x11 } else { 0x13 };
        let x10 = [0x02, 0x52, byte(), 0x80 * (byte() % 2)];
        let mut message = Message { from, to: self.modem.id, flags: 0, cmd1: on, cmd2: group, data: None };
        let purpose = match kind {
            0 => return self.say(x10.to_vec()),
            1 => {
                message = Message { to: Id([0, 0, group]), cmd2: 0, ..message };
                Purpose::GroupBroadcast
            }
            2 => Purpose::Cleanup,
            3 => Purpose::Direct,
            4 => {
                message = Message { to: other, cmd2: 0xFF, ..message };
                Purpose::Ack
            }
            5 => {
                message = Message { to: Id([0x01, 0x20, 0x41]), cmd1: 0x01, cmd2: 0, ..message };
                Purpose::Broadcast
            }
            _ => {
                message = Message { cmd1: 0x2E, cmd2: 0, data: Some([0x5A; 14]), ..message };
                Purpose::Direct
            }
        };
        self.later(EXTENDED_SLOT, Event::Heard { turn: None, message: message.heard(purpose, MAX_HOPS, 2) });
    }

    /// A status request, a look into the modem's links, or who it is.
    fn second_host(&mut self) {
        if self.modem.booting {
            return;
        }
        let drawn = self.faults.random.below(3 + self.devices.len() as u64);
        let device = usize::try_from(drawn).ok().and_then(|at| self.devices.get(at));
        match device.map(|device| device.id().0) {
            Some([a, b, c]) => self.obey(&[0x02, 0x62, a, b, c, 0x0F, 0x19, 0x00]),
            None if drawn.is_multiple_of(3) => self.obey(&[0x02, 0x60]),
            None if drawn % 3 == 1 => self.obey(&[0x02, 0x69]),
            None => self.obey(&[0x02, 0x73]),
        }
    }
}
