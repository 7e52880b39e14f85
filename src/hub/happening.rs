//! What lines tell, turned into devices, events and outcomes. Pure.

use std::sync::Arc;
use std::time::Duration;

use crate::device::{Device, DeviceId, LineName, Now, Reading, Target};
use crate::hub::Hub;
use crate::hub::command::State;
use crate::hub::effect::{Effect, Given, LineIndex, Record, Refused};
use crate::hub::feed::{Body, Change, Fresh, GatewayEvent, Notification};
use crate::hub::lane::{Job, Slot};
use crate::hub::registry::MISSED_OFFLINE;
use crate::hub::request::Accepted;
use crate::line::{Cause, Failure, Happening, LineOutput, Progress, Reception, Ticket};

/// A failure with this code says that the device does not have what it was asked for.
const UNSUPPORTED: &str = "unsupported";

impl Hub {
    /// Takes everything that a line has to say.
    pub(super) fn drain(&mut self, line: LineIndex, now: Now) {
        while let Some(output) = self.lanes[line.0].line.poll_output() {
            match output {
                LineOutput::Write(bytes) => self.effect(Effect::Write(line, bytes)),
                LineOutput::Reopen(settings) => self.effect(Effect::Reopen(line, settings)),
                LineOutput::Persist(record) => {
                    let name = self.lanes[line.0].name.clone();
                    let ticket = self.persist(vec![Record::Line(name, record.into())]);
                    self.lanes[line.0].keeping.push_back(ticket);
                }
                LineOutput::Happening(happening) => self.happen(line, happening, now),
            }
        }
    }

    fn happen(&mut self, line: LineIndex, happening: Happening, now: Now) {
        match happening {
            Happening::Reading { target, reading } => self.reading(line, &target, reading, now),
            Happening::LateReading { target, reading, age } => {
                self.late_reading(line, &target, reading, (age, now));
            }
            Happening::Silent { target, reason } => {
                if let Some(id) = self.registry.at(&self.lanes[line.0].name, &target).cloned() {
                    self.offline(&id, &reason, now);
                }
            }
            Happening::Relay { target, on, cause } => self.relay(line, &target, on, cause, now),
            Happening::Heard { target } => {
                self.heard(line, &target, now);
            }
            Happening::Received { target, reception } => self.received(line, &target, &reception, now),
            Happening::Joined { target } => self.joined(line, &target, now),
            Happening::Foreign { address } => self.foreign(line, &address, now),
            Happening::Progress { ticket, progress } => self.progress(line, ticket, progress, now),
            Happening::Modem { answers } => {
                let lane = &mut self.lanes[line.0];
                lane.changed |= lane.modem != Some(answers);
                lane.modem = Some(answers);
                self.tell_line(line, now);
            }
            Happening::Malformed { kind } => {
                self.lanes[line.0].quality.malformed(now.unix_ms);
                self.lanes[line.0].count(kind);
            }
            Happening::Learned { target } => self.learned(line, &target, now),
            Happening::Recovery { step } => self.lanes[line.0].count(step),
            Happening::Notice { code, detail } => {
                let note = Notification { code: code.into(), detail: detail.into() };
                self.event(None, Body::Notification(note), None, now);
            }
        }
    }

    /// The device at a place, now known to answer.
    fn heard(&mut self, line: LineIndex, target: &Target, now: Now) -> Option<DeviceId> {
        let lane = &mut self.lanes[line.0];
        lane.heard(now.unix_ms);
        let id = self.registry.at(&lane.name, target)?.clone();
        lane.quality.device_heard(&id, now.unix_ms);
        let member = self.registry.get_mut(&id)?;
        member.missed = 0;
        if member.device.online != Some(true) {
            let device = member.change(|device| {
                device.online = Some(true);
                device.last_seen_unix_ms = Some(now.unix_ms);
            });
            self.lanes[line.0].plan.resume(&id, now.mono);
            self.show(&device);
            self.event(Some(&id), Body::Online { online: true, reason: "answers".into() }, None, now);
            self.groups_follow(&id, Cause::Unknown, now);
        }
        Some(id)
    }

    fn reading(&mut self, line: LineIndex, target: &Target, reading: Reading, now: Now) {
        let Some(id) = self.heard(line, target, now) else {
            return self.foreign(line, &Arc::clone(&target.address), now);
        };
        self.lanes[line.0].quality.reading(&id, now.unix_ms);
        let Some(member) = self.registry.get_mut(&id) else { return };
        let judged = member.judge(reading);
        let device = (!judged.reading.is_empty()).then(|| member.take(judged.reading, now));
        for _ in 0..judged.held {
            self.lanes[line.0].count("energy_fell");
        }
        if let Some(device) = device {
            if judged.carried {
                self.persist(vec![Record::Device(Arc::clone(&device))]);
            }
            self.show(&device);
            self.event(Some(&id), Body::Reading(judged.reading), None, now);
        }
        if let Some((quantity, reported, published)) = judged.fell {
            let row = quantity.row();
            let show = |value| crate::device::Decimal { value, digits: row.digits };
            let detail = format!(
                "{} fell from {} to {} {}; it is held back until it passes the published total",
                row.json_name,
                show(published),
                show(reported),
                row.unit
            );
            let note = Notification { code: "energy_fell".into(), detail: detail.into() };
            self.event(Some(&id), Body::Notification(note), None, now);
        }
    }

    /// A reading that fills a hole in the past: it goes to the feed with its own time, and nowhere else.
    fn late_reading(
        &mut self,
        line: LineIndex,
        target: &Target,
        reading: Reading,
        (age, now): (Duration, Now),
    ) {
        let Some(id) = self.registry.at(&self.lanes[line.0].name, target).cloned() else { return };
        let carried = self.registry.get(&id).and_then(|member| member.carried(reading));
        let Some(reading) = carried else { return self.lanes[line.0].count("late_total") };
        let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        let fresh = Fresh {
            unix_ms: now.unix_ms.saturating_sub(age_ms),
            t_estimated: !now.synchronised,
            late: true,
            estimated: false,
            device: Some(id),
            body: Body::Reading(reading),
        };
        self.effect(Effect::Event(fresh));
    }

    fn relay(&mut self, line: LineIndex, target: &Target, on: bool, cause: Cause, now: Now) {
        let Some(id) = self.heard(line, target, now) else {
            return self.foreign(line, &Arc::clone(&target.address), now);
        };
        let cause = self.cause_of(line, &id, cause);
        let Some(member) = self.registry.get_mut(&id) else { return };
        if member.device.relay != Some(on) {
            let device = member.change(|device| {
                device.relay = Some(on);
                device.last_seen_unix_ms = Some(now.unix_ms);
            });
            self.show(&device);
            self.event(Some(&id), Body::Relay { on, cause }, None, now);
            self.groups_follow(&id, cause, now);
        }
    }

    fn joined(&mut self, line: LineIndex, target: &Target, now: Now) {
        self.lanes[line.0].heard(now.unix_ms);
        let id = match self.registry.at(&self.lanes[line.0].name, target).cloned() {
            Some(known) => known,
            None => self.register(line, target, None, now).1.id.clone(),
        };
        self.window_joined(line, &id, now);
    }

    /// A device turned out to be something else than it was taken for: its profile is taken anew.
    fn learned(&mut self, line: LineIndex, target: &Target, now: Now) {
        let Some(id) = self.registry.at(&self.lanes[line.0].name, target).cloned() else { return };
        let Some(member) = self.registry.get_mut(&id) else { return };
        let (device, before) = (Arc::clone(&member.device), member.device.abilities);
        self.attach_again(line, &device, now);
        let Some(member) = self.registry.get(&id) else { return };
        if member.device.abilities != before {
            let device = Arc::clone(&member.device);
            self.changed_device(Change::Changed, device, now);
        }
    }

    /// Takes the profile of a known device anew.
    pub(super) fn attach_again(&mut self, line: LineIndex, device: &Arc<Device>, now: Now) {
        self.lanes[line.0].plan.remove(&device.id);
        self.attach(line, device, now);
        self.refresh_measured(line, now);
    }

    fn foreign(&mut self, line: LineIndex, address: &Arc<str>, now: Now) {
        if self.lanes[line.0].foreign(address) {
            let line = self.lanes[line.0].name.clone();
            let about = GatewayEvent::ForeignDevice { line, address: Arc::clone(address) };
            self.event(None, Body::Gateway(about), None, now);
        }
    }

    fn progress(&mut self, line: LineIndex, ticket: Ticket, progress: Progress, now: Now) {
        let Some(Slot::Busy(busy, job)) = self.lanes[line.0].slot.clone() else { return };
        if busy != ticket {
            return;
        }
        if matches!(progress, Progress::Done | Progress::Failed(_)) {
            self.lanes[line.0].slot = None;
        }
        self.count_progress(line, &job, &progress, now);
        match (job, progress) {
            (Job::Command(id), progress) => self.command_progress(line, &id, progress, now),
            (Job::Poll(id, item), Progress::Failed(failure)) => {
                self.poll_failed(line, &id, item, &failure, now)
            }
            (Job::Window, progress) => self.window_progress(line, &progress, now),
            (Job::Link(id), progress) => self.linking_progress(&id, &progress, now),
            (Job::Poll(..) | Job::Discover, _) => {}
        }
    }

    /// Counts what was sent to whom, and what nobody answered.
    fn count_progress(&mut self, line: LineIndex, job: &Job, progress: &Progress, now: Now) {
        let device = match job {
            Job::Command(id) => self.commands.get(id).map(|pending| &pending.command.device),
            Job::Poll(id, _) | Job::Link(id) => Some(id),
            Job::Discover | Job::Window => None,
        };
        let (Some(device), quality) = (device, &mut self.lanes[line.0].quality) else { return };
        match progress {
            Progress::Sent { .. } => quality.attempt(device, now.unix_ms),
            Progress::Failed(failure) if failure.silent => quality.unanswered(device, now.unix_ms),
            _ => {}
        }
    }

    fn received(&mut self, line: LineIndex, target: &Target, reception: &Reception, now: Now) {
        let lane = &mut self.lanes[line.0];
        if let Some(id) = self.registry.at(&lane.name, target) {
            lane.quality.received(id, reception, now.unix_ms);
        }
    }

    /// How a line fares.
    pub(super) fn quality(&self, line: &LineName, hours: u8, now: Now) -> Accepted {
        let Some(lane) = self.lanes.iter().find(|lane| lane.name == *line) else {
            let known: Vec<&str> = self.lanes.iter().map(|lane| lane.name.as_str()).collect();
            return Err(Refused::UnknownLine { line: line.clone(), known: known.join(", ") });
        };
        let period_ms = |id: &DeviceId| {
            let profile = lane.profiles.get(id).filter(|profile| profile.plan.is_empty())?;
            i64::try_from(profile.push_period?.as_millis()).ok()
        };
        let view = lane.quality.view(line.clone(), (hours, now.unix_ms), period_ms);
        Ok((None, Given::Quality(Box::new(view))))
    }

    fn command_progress(
        &mut self,
        line: LineIndex,
        id: &crate::device::CommandId,
        progress: Progress,
        now: Now,
    ) {
        let silent_device = match &progress {
            Progress::Failed(failure) if failure.silent => {
                self.commands.get(id).map(|pending| pending.command.device.clone())
            }
            _ => None,
        };
        self.note_progress(id, progress, now);
        if let Some(device) = silent_device {
            self.missed(line, &device, now);
        }
    }

    fn note_progress(&mut self, id: &crate::device::CommandId, progress: Progress, now: Now) {
        let Some(pending) = self.commands.get_mut(id) else { return };
        let state = pending.command.state;
        match progress {
            Progress::Sent { attempt } => {
                pending.command.attempts = attempt;
                if state < State::Sent {
                    self.advance(id, now, |command| command.enter(State::Sent, now.unix_ms));
                }
            }
            Progress::Acknowledged if state < State::Acknowledged => {
                self.advance(id, now, |command| command.enter(State::Acknowledged, now.unix_ms));
            }
            Progress::Acknowledged => {}
            Progress::Done => {
                self.advance(id, now, |command| command.enter(State::Confirmed, now.unix_ms));
            }
            Progress::Failed(failure) => {
                self.advance(id, now, |command| {
                    command.fail(failure.outcome, failure.code, &failure.detail, now.unix_ms);
                });
            }
        }
    }

    fn poll_failed(&mut self, line: LineIndex, id: &DeviceId, item: usize, failure: &Failure, now: Now) {
        if failure.code == UNSUPPORTED {
            self.lanes[line.0].plan.unsupported(id, item, now.mono);
        }
        if failure.silent && self.lanes[line.0].port.is_ok() {
            self.missed(line, id, now);
        }
    }

    fn missed(&mut self, line: LineIndex, id: &DeviceId, now: Now) {
        let Some(member) = self.registry.get_mut(id) else { return };
        member.missed += 1;
        let missed = member.missed;
        if missed < MISSED_OFFLINE {
            return;
        }
        self.lanes[line.0].plan.put_off(id, missed - MISSED_OFFLINE, now.mono);
        self.offline(id, &format!("no answer to {MISSED_OFFLINE} questions in a row"), now);
    }

    fn offline(&mut self, id: &DeviceId, reason: &str, now: Now) {
        let Some(member) = self.registry.get_mut(id) else { return };
        if member.device.online == Some(false) {
            return;
        }
        let device: Arc<Device> = member.change(|device| device.online = Some(false));
        self.show(&device);
        self.event(Some(id), Body::Online { online: false, reason: reason.into() }, None, now);
        self.groups_follow(id, Cause::Unknown, now);
    }

    /// Tells people when a line comes up or goes down; with its port, all its devices go.
    pub(super) fn tell_line(&mut self, line: LineIndex, now: Now) {
        let lane = &mut self.lanes[line.0];
        let (up, reason): (_, Arc<str>) = match (&lane.port, lane.modem) {
            (Err(reason), _) => (false, Arc::clone(reason)),
            (Ok(()), Some(false)) => (false, "the port is open and nobody answers".into()),
            (Ok(()), Some(true)) => (true, "".into()),
            (Ok(()), None) => return,
        };
        let devices: Vec<DeviceId> =
            if lane.port.is_err() { lane.profiles.keys().cloned().collect() } else { Vec::new() };
        if lane.told_up != Some(up) {
            lane.told_up = Some(up);
            let line = lane.name.clone();
            let about =
                if up { GatewayEvent::LineUp { line } } else { GatewayEvent::LineDown { line, reason } };
            self.event(None, Body::Gateway(about), None, now);
        }
        for id in devices {
            self.offline(&id, "the line is down", now);
        }
    }
}
