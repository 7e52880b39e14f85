//! What comes from the modem: answers to the command in flight, and what is said unasked.

use std::time::Duration;

use super::super::exchange::{Answer, Heard};
use super::super::frame::{Command, Frame};
use super::super::message::{Address, Kind as Sort, METER_CMD1, Message, NakReason, meter_reading};
use super::super::options::Kind;
use super::super::presses::Press;
use super::{Insteon, Job, Work};
use crate::device::{Moment, Target};
use crate::line::{Cause, Happening, Progress, Reception};

/// A device that somebody else spoke to through the same modem may answer that for so long.
const DISTURBED: Duration = Duration::from_millis(2_500);
/// A device names its product: its button was held, or it was asked.
const SET_BUTTON: [u8; 2] = [0x01, 0x02];

impl Insteon {
    pub(super) fn hear(&mut self, frame: &Frame, now: Moment) {
        match frame {
            Frame::Standard(message) | Frame::Unnamed5c(message) => self.message(message, None, now),
            Frame::Extended(message, data) => self.message(message, Some(data), now),
            Frame::Reply { command, ack } => self.echo(frame, command, *ack, now),
            Frame::Info { ack, .. } => self.echo(frame, &Command::GetInfo, *ack, now),
            Frame::Config { ack, .. } => self.echo(frame, &Command::GetConfig, *ack, now),
            Frame::ShortNak(code) => {
                self.offer(now, |job| job.exchange.refused(Some(*code), now), "stray_nak")
            }
            Frame::NotReady { .. } => self.offer(now, |job| job.exchange.refused(None, now), "stray_nak"),
            Frame::LoneAck => self.count("stray_ack"),
            Frame::LinkRecord(record) => self.offer(now, |job| job.exchange.record(*record), "stray_record"),
            Frame::LinkCompleted { code, group, id, product } => {
                self.link_completed(*code, *group, (*id, *product), now);
            }
            Frame::UserReset => self.user_reset(now),
            Frame::X10 { .. }
            | Frame::Button(_)
            | Frame::CleanupFailure { .. }
            | Frame::CleanupStatus(_)
            | Frame::DatabaseRecord { .. } => {}
        }
    }

    /// Lets the command in flight have a frame; counts it as `stray` where it was nothing to it.
    fn offer(&mut self, now: Moment, hear: impl FnOnce(&mut Job) -> Heard, stray: &'static str) {
        let Some(mut job) = self.job.take() else { return self.count(stray) };
        let heard = hear(&mut job);
        if heard == Heard::Nothing {
            self.count(stray);
        }
        self.job = self.follow(job, heard, now);
    }

    /// Takes the job on by what was heard.
    pub(super) fn follow(&mut self, mut job: Job, heard: Heard, now: Moment) -> Option<Job> {
        match heard {
            Heard::Nothing | Heard::NotReady => Some(job),
            Heard::Echo => {
                self.sent(&mut job);
                Some(job)
            }
            Heard::Step => {
                job.heard = true;
                Some(job)
            }
            Heard::Answer(answer) => self.answered(job, answer, now),
        }
    }

    /// The modem took the job's command.
    pub(super) fn sent(&mut self, job: &mut Job) {
        self.tell_answers(true);
        if matches!(job.exchange.command, Command::StartLinking { .. }) {
            self.modem.linking = true;
        }
        let looks = matches!(&job.work, Work::Switch(switching) if switching.confirming());
        let attempt = job.exchange.attempt;
        if attempt > job.sent && !looks {
            job.sent = attempt;
            self.progress(job, Progress::Sent { attempt });
        }
    }

    fn echo(&mut self, frame: &Frame, command: &Command, ack: bool, now: Moment) {
        if let Some(mut job) = self.job.take_if(|job| job.exchange.echoes(command)) {
            let heard = job.exchange.echo(frame, ack, now);
            if heard == Heard::Nothing {
                self.count("echo_twice");
            }
            self.job = self.follow(job, heard, now);
            return;
        }
        // Said twice after all was over, or to somebody else who has the modem's port as well.
        self.count("foreign_echo");
        match command {
            Command::Send(outgoing) => {
                if let Some(device) = self.devices.get_mut(&outgoing.to) {
                    device.disturbed_until = now + DISTURBED;
                }
            }
            Command::FirstLink | Command::NextLink => self.disturb_dump(),
            _ => {}
        }
    }

    fn message(&mut self, message: &Message, data: Option<&[u8; 14]>, now: Moment) {
        if self.repeats.repeated(message, data.copied(), now) {
            return;
        }
        self.hurry_probe(now);
        self.received(message);
        let sort = message.flags.kind();
        let asked = self.job.as_ref().and_then(|job| job.exchange.to()) == Some(message.from);
        if !asked || self.devices.contains_key(&message.from) {
            self.told(message.from);
        }
        if sort == Sort::Broadcast && SET_BUTTON.contains(&message.cmd1) {
            self.learn(message.from, message.to.0);
        }
        let answers = matches!(sort, Sort::Direct | Sort::DirectAck | Sort::DirectNak);
        let astray = answers && self.kept.modem.is_some_and(|modem| modem != message.to);
        if astray || self.is_late(message, now) {
            return;
        }
        if sort == Sort::DirectAck
            && let Some(device) = self.devices.get_mut(&message.from)
        {
            device.told_unlinked = false;
        }
        let heard = self.job.as_mut().map(|job| job.exchange.message(message, data, now));
        match (heard, self.job.take()) {
            (Some(heard @ (Heard::Answer(_) | Heard::Step)), Some(mut job)) => {
                job.heard = true;
                self.job = self.follow(job, heard, now);
            }
            (_, job) => {
                self.job = job;
                self.overhear(message, data, now);
            }
        }
    }

    /// An acknowledgement of something that was given up, while the level of a relay is awaited: it would look like
    /// one.
    fn is_late(&mut self, message: &Message, now: Moment) -> bool {
        let awaits_level = self.job.as_ref().is_some_and(|job| match &job.work {
            Work::Status { .. } => true,
            Work::Switch(switching) => switching.confirming(),
            _ => false,
        });
        let Some(device) = self.devices.get_mut(&message.from) else { return false };
        let late = device.late.as_mut().filter(|late| {
            let fits = (late.cmd1, late.cmd2) == (message.cmd1, message.cmd2);
            fits && late.left > 0 && late.until > now && message.flags.kind() == Sort::DirectAck
        });
        let Some(late) = late.filter(|_| awaits_level) else { return false };
        late.left -= 1;
        self.count("late");
        true
    }

    /// A message that answers nothing.
    fn overhear(&mut self, message: &Message, data: Option<&[u8; 14]>, now: Moment) {
        if let Some(data) = data.filter(|_| message.cmd1 == METER_CMD1) {
            return self.show_figures(message.from, data);
        }
        let Some(Press { group, cmd1 }) = self.presses.hear(message, now) else { return };
        let on = match cmd1 {
            0x11 | 0x12 => true,
            0x13 | 0x14 => false,
            _ => return,
        };
        let dual = self.kind_of(message.from) == Some(Kind::Dual);
        let pressed = |target: &Target| if dual { target.channel.unwrap_or(1) == group } else { group == 1 };
        self.show(message.from, |target| pressed(target).then_some((on, Cause::Button)));
    }

    /// How many repeats brought a message here.
    fn received(&mut self, message: &Message) {
        let Some(device) = self.devices.get(&message.from) else { return };
        let hops = message.flags.max_hops().checked_sub(message.flags.hops_left());
        for (target, _) in &device.attached {
            let reception = Reception { hops, ..Reception::default() };
            self.outputs.happen(Happening::Received { target: target.clone(), reception });
        }
    }

    /// Somebody was heard.
    pub(super) fn told(&mut self, address: Address) {
        let Some(device) = self.devices.get(&address) else {
            let address = address.to_string().into();
            return self.outputs.happen(Happening::Foreign { address });
        };
        for (target, _) in &device.attached {
            self.outputs.happen(Happening::Heard { target: target.clone() });
        }
    }

    /// A device said what it is.
    pub(super) fn learn(&mut self, address: Address, product: [u8; 3]) {
        if self.kept.learn(address, product) {
            self.persist();
            self.relearn();
        }
    }

    /// Tells of each relay behind an address what `position` says.
    pub(super) fn show(&mut self, address: Address, position: impl Fn(&Target) -> Option<(bool, Cause)>) {
        let Some(device) = self.devices.get(&address) else { return };
        for (target, profile) in &device.attached {
            if let Some((on, cause)) = position(target).filter(|_| profile.abilities.relay) {
                self.outputs.happen(Happening::Relay { target: target.clone(), on, cause });
            }
        }
    }

    pub(super) fn show_figures(&mut self, address: Address, data: &[u8; 14]) {
        let meter = self.kind_of(address) == Some(Kind::Meter);
        let Some(device) = self.devices.get(&address).filter(|_| meter) else { return };
        for (target, _) in &device.attached {
            let reading = meter_reading(data);
            self.outputs.happen(Happening::Reading { target: target.clone(), reading });
        }
    }

    /// A device refused because it does not know this modem: people are told once.
    pub(super) fn tell_unlinked(&mut self, answer: Answer, address: Option<Address>) {
        let Some(address) = address.filter(|_| answer == Answer::Nak(NakReason::NotLinked)) else { return };
        let Some(device) = self.devices.get_mut(&address).filter(|device| !device.told_unlinked) else {
            return;
        };
        device.told_unlinked = true;
        self.notice("not_linked", format!("{address} does not obey this modem; {WAY_TO_LINK}"));
    }
}

/// What a person can do about it.
pub(super) const WAY_TO_LINK: &str =
    "link it: join it by the address on its label, or open a joining window and hold its button";
