//! The hub: registry, commands, poll plan and events of all lines, as one state machine. Pure.
//!
//! Verbs: `handle_*` (the world tells), [`Hub::poll_output`] (what to do, in order), [`Hub::poll_timeout`]. Drain the
//! outputs after every other call. A state changes only when the line says so; there is no optimistic state.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

pub mod command;
pub mod days;
mod effect;
pub mod energy;
pub mod erase;
mod fanout;
pub mod feed;
pub mod groups;
mod happening;
pub mod history;
mod housekeeping;
pub mod joining;
mod lane;
mod manage;
pub mod plan;
pub mod quality;
mod queue;
pub mod registry;
mod request;
mod tokens;

pub use effect::{
    Answer, Asked, Choices, Effect, Given, LineHealth, LineIndex, NewCommand, Output, Persisted, Record,
    Refused, Request, RequestId, Wish,
};
pub use lane::{DeviceSetup, LineSetup};
pub use tokens::{AccessRequest, NewToken};

use crate::access::{Book, Grant};
use crate::device::{CommandId, Configured, Device, DeviceId, LineName, Moment, Now, Target};
use crate::line::{Operation, Ticket};
use command::Command;
use feed::{Body, Change, Event, Fresh, GatewayEvent};
use joining::Window;
use lane::{Job, Lane, Slot};
use registry::Registry;
use request::{Dice, Pending};

/// How often aged quantities, expired commands and forgotten ones are looked for.
const HOUSEKEEPING_PERIOD: Duration = Duration::from_secs(1);

/// How often figures and states go to the registry on disk; between, they are in the feed's log, which is read again
/// at the start. A checkpoint writes about 820 bytes a changed device, so it is rare beside readings of 61 bytes.
const CHECKPOINT_PERIOD: Duration = Duration::from_secs(1800);

/// How often a line that can name its devices is asked while none is known.
const DISCOVER_PERIOD: Duration = Duration::from_secs(15);

/// A wall clock that moved this much against the monotonic one was set.
const CLOCK_STEP_MIN_MS: i64 = 2_000;

/// No operation may hold a line longer than this, whatever its dialect thinks.
const OPERATION_MAX: Duration = Duration::from_secs(60);

/// What was on disk.
#[derive(Debug, Default)]
pub struct Kept {
    /// Devices as of the last checkpoint.
    pub devices: Vec<Arc<Device>>,
    /// Commands, settled ones too.
    pub commands: Vec<Arc<Command>>,
    /// The lines' own records.
    pub lines: Vec<(LineName, Arc<[u8]>)>,
    /// Tokens, sessions, and who changed what.
    pub book: Book,
    /// Lines whose record is older than what they did since.
    pub resume: BTreeSet<LineName>,
}

/// The hub.
pub struct Hub {
    lanes: Vec<Lane>,
    registry: Registry,
    commands: BTreeMap<CommandId, Pending>,
    book: Book,
    /// Used since the last checkpoint.
    used: BTreeSet<Grant>,
    outputs: VecDeque<Output>,
    last_ticket: Ticket,
    last_persist: Persisted,
    on_disk: Persisted,
    dice: Dice,
    housekeeping_due: Moment,
    checkpoint_due: Moment,
    wall_minus_mono_ms: i64,
    version: Arc<str>,
}

impl Hub {
    /// A hub over configured lines. Give it what was on disk with [`Hub::restore`], then [`Hub::begin`].
    #[must_use]
    pub fn new(lines: Vec<LineSetup>, version: &str, seed: u64) -> Self {
        Self {
            lanes: lines.into_iter().map(Lane::new).collect(),
            registry: Registry::default(),
            commands: BTreeMap::new(),
            book: Book::default(),
            used: BTreeSet::new(),
            outputs: VecDeque::new(),
            last_ticket: Ticket(0),
            last_persist: Persisted(0),
            on_disk: Persisted(0),
            dice: Dice::new(seed),
            housekeeping_due: Moment::default(),
            checkpoint_due: Moment::default(),
            wall_minus_mono_ms: 0,
            version: version.into(),
        }
    }

    /// Takes back what was on disk; `since_checkpoint` are the feed's events after the checkpoint.
    pub fn restore(&mut self, kept: Kept, since_checkpoint: impl IntoIterator<Item = Event>, now: Now) {
        self.book = kept.book;
        for (name, record) in &kept.lines {
            if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.name == *name) {
                lane.line.restore(record);
                if kept.resume.contains(name) {
                    lane.line.resume();
                }
            }
        }
        for device in kept.devices {
            self.registry.restore(Arc::unwrap_or_clone(device));
        }
        for event in since_checkpoint {
            self.replay(&event, now);
        }
        self.registry.doubt_availability(now);
        self.restore_groups();
        self.restore_commands(kept.commands, now);
    }

    fn replay(&mut self, event: &Event, now: Now) {
        let Some(member) = event.fresh.device.as_ref().and_then(|id| self.registry.get_mut(id)) else {
            return;
        };
        match &event.fresh.body {
            Body::Reading(reading) if !event.fresh.late => {
                member.published(reading);
                member.take(*reading, Now { unix_ms: event.fresh.unix_ms, ..now });
            }
            Body::Relay { on, .. } => {
                member.change(|device| device.relay = Some(*on));
            }
            Body::Online { online, .. } => {
                member.change(|device| device.online = Some(*online));
            }
            _ => {}
        }
    }

    /// Starts: registers the configured devices and shows everything that is known.
    pub fn begin(&mut self, now: Now) {
        self.wall_minus_mono_ms = wall_minus_mono_ms(now);
        self.housekeeping_due = now.mono + HOUSEKEEPING_PERIOD;
        self.checkpoint_due = now.mono + CHECKPOINT_PERIOD;
        let version = Arc::clone(&self.version);
        self.event(None, Body::Gateway(GatewayEvent::Started { version }), None, now);
        let known: Vec<Arc<Device>> = self.registry.iter().map(|member| Arc::clone(&member.device)).collect();
        for device in known {
            // What is on disk may be seen at once; what the configuration changes in it waits for the disk.
            self.show(&device);
            if let Some(lane) = self.lane_at(device.line.as_ref()) {
                self.attach(lane, &device, now);
            }
        }
        for index in 0..self.lanes.len() {
            let configured = std::mem::take(&mut self.lanes[index].configured);
            let added: Vec<DeviceId> =
                configured.iter().filter_map(|setup| self.configure(LineIndex(index), setup, now)).collect();
            let lane = &mut self.lanes[index];
            if lane.profiles.is_empty() && lane.line.discovers() {
                lane.discover_due = Some(now.mono);
            }
            // Once for all: each device on a full line stretches the periods of all others.
            self.refresh_measured(LineIndex(index), now);
            for id in &added {
                self.tell_added(id, now);
            }
        }
        self.show_lines();
    }

    /// Makes the registry hold a device of the configuration; its id if it is new.
    fn configure(&mut self, lane: LineIndex, setup: &DeviceSetup, now: Now) -> Option<DeviceId> {
        let line = &self.lanes[lane.0].name;
        let configured = Configured { target: setup.target.clone(), name: setup.name.clone() };
        // A device that was replaced sits elsewhere now; the configuration still means it.
        let known = self.registry.configured_at(line, &setup.target);
        let Some(id) = known.or_else(|| self.registry.at(line, &setup.target)).cloned() else {
            return Some(self.enroll(lane, &setup.target, setup.name.as_deref(), Some(configured), now));
        };
        let member = self.registry.get_mut(&id)?;
        if member.device.configured.as_ref() == Some(&configured) {
            return None;
        }
        // A name given by command stays until the configuration says something new.
        let device = member.change(|device| {
            if let Some(name) = &configured.name {
                device.name = Arc::clone(name);
            }
            device.configured = Some(configured);
        });
        self.changed_device(Change::Changed, device, now);
        None
    }

    /// Registers a device that was not known; gives it as it is then, and the ticket after which people see it.
    fn register(
        &mut self,
        lane: LineIndex,
        target: &Target,
        name: Option<&str>,
        now: Now,
    ) -> (Persisted, Arc<Device>) {
        let id = self.enroll(lane, target, name, None, now);
        self.refresh_measured(lane, now);
        self.tell_added(&id, now)
    }

    fn enroll(
        &mut self,
        lane: LineIndex,
        target: &Target,
        name: Option<&str>,
        configured: Option<Configured>,
        now: Now,
    ) -> DeviceId {
        let (line, dialect) = (self.lanes[lane.0].name.clone(), self.lanes[lane.0].dialect);
        let id = self.registry.add(&line, dialect, target, name).id.clone();
        let member = self.registry.get_mut(&id).expect("it was added just now");
        let device = member.change(|device| device.configured = configured);
        self.attach(lane, &device, now);
        id
    }

    fn tell_added(&mut self, id: &DeviceId, now: Now) -> (Persisted, Arc<Device>) {
        let member = self.registry.get(id).expect("it was added just now");
        let device = Arc::clone(&member.device);
        (self.changed_device(Change::Added, Arc::clone(&device), now), device)
    }

    /// The line of this name, if it is configured.
    fn lane_at(&self, line: Option<&LineName>) -> Option<LineIndex> {
        self.lanes.iter().position(|lane| Some(&lane.name) == line).map(LineIndex)
    }

    fn attach(&mut self, lane: LineIndex, device: &Arc<Device>, now: Now) {
        let lane = &mut self.lanes[lane.0];
        lane.line.set_options(&device.target, &device.options);
        let profile = lane.line.attach(&device.target);
        lane.welcome(&device.target.address);
        lane.plan.add(&device.id, &profile.plan, now.mono);
        lane.discover_due = None;
        if let Some(member) = self.registry.get_mut(&device.id) {
            member.change(|device| device.abilities = profile.abilities);
        }
        lane.profiles.insert(device.id.clone(), profile);
    }

    /// Tells people how often each quantity of a line's devices really comes.
    fn refresh_measured(&mut self, lane: LineIndex, now: Now) {
        let lane = &self.lanes[lane.0];
        let stretch = lane.plan.stretch();
        let mut changed = Vec::new();
        for (id, profile) in &lane.profiles {
            let Some(member) = self.registry.get_mut(id) else { continue };
            let measured = registry::measured(profile, stretch);
            let known = !member.device.measured.is_empty();
            if member.device.measured != measured {
                let device = member.change(|device| device.measured = measured);
                if known {
                    changed.push(device);
                    continue;
                }
            }
            let device = Arc::clone(&member.device);
            self.outputs.push_back(Output { after: None, effect: Effect::ShowDevice(device) });
        }
        for device in changed {
            self.changed_device(Change::Changed, device, now);
        }
    }

    /// Bytes came from a line's port.
    pub fn handle_bytes(&mut self, line: LineIndex, bytes: &[u8], now: Now) {
        self.lanes[line.0].line.handle_bytes(bytes, now);
        self.turn(line, now);
    }

    /// A line's port opened, or is gone and why.
    pub fn handle_port(&mut self, line: LineIndex, state: Result<(), Arc<str>>, now: Now) {
        let lane = &mut self.lanes[line.0];
        let open = state.is_ok();
        let was_open = lane.port.is_ok();
        lane.changed |= lane.port != state;
        lane.port = state;
        if open || was_open {
            lane.line.handle_port(open, now);
        }
        if open {
            lane.plan.resume_all(now.mono);
        } else {
            lane.modem = None;
        }
        self.turn(line, now);
        self.tell_line(line, now);
        self.show_lines();
    }

    /// What was persisted under this ticket (and all before it) is on disk.
    pub fn handle_persisted(&mut self, ticket: Persisted, now: Now) {
        self.on_disk = self.on_disk.max(ticket);
        for index in 0..self.lanes.len() {
            self.lanes[index].tell_kept(self.on_disk, now);
            self.turn(LineIndex(index), now);
        }
    }

    /// A deadline has passed.
    pub fn handle_timeout(&mut self, now: Now) {
        for index in 0..self.lanes.len() {
            if self.lanes[index].line.poll_timeout().is_some_and(|due| due <= now.mono) {
                self.lanes[index].line.handle_timeout(now);
            }
            self.expire_joining(LineIndex(index), now);
            self.turn(LineIndex(index), now);
        }
        if self.housekeeping_due <= now.mono {
            self.housekeeping_due = now.mono + HOUSEKEEPING_PERIOD;
            self.housekeep(now);
        }
    }

    /// The gateway is about to stop: everything that people see goes to disk.
    pub fn handle_stop(&mut self, now: Now) {
        self.event(None, Body::Gateway(GatewayEvent::Stopping), None, now);
        self.checkpoint(now);
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Hub::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Moment {
        let lanes = self.lanes.iter().filter_map(|lane| {
            let window = lane.window.as_ref();
            let next_start = lane.idle().then(|| {
                let asked = earlier(lane.plan.next_due(), lane.discover_due);
                earlier(asked, window.and_then(Window::next_due))
            });
            let closes = window.and_then(Window::closes);
            earlier(earlier(lane.line.poll_timeout(), closes), next_start.flatten())
        });
        lanes.fold(self.housekeeping_due, Ord::min)
    }

    /// Drains a line and starts what is next on it.
    fn turn(&mut self, line: LineIndex, now: Now) {
        self.drain(line, now);
        self.start_next(line, now);
        if self.lanes[line.0].changed {
            self.show_lines();
        }
    }

    fn start_next(&mut self, line: LineIndex, now: Now) {
        if let Some(Slot::Reserved(id, ticket)) = self.lanes[line.0].slot.clone() {
            if ticket <= self.on_disk && (self.lanes[line.0].line.ready() || self.expired(&id, now)) {
                self.lanes[line.0].slot = None;
                self.start_command(line, &id, now);
            }
            return;
        }
        self.give_way(line, now);
        if !self.lanes[line.0].idle() || self.reserve_command(line, now) {
            return;
        }
        if let Some((id, operation)) = self.linking_turn(line) {
            return self.start(line, operation, Job::Link(id), now);
        }
        if let Some(operation) = self.joining_turn(line, now) {
            return self.start(line, operation, Job::Window, now);
        }
        let lane = &mut self.lanes[line.0];
        if lane.discover_due.is_some_and(|due| due <= now.mono) {
            lane.discover_due = Some(now.mono + DISCOVER_PERIOD);
            self.start(line, Operation::Discover, Job::Discover, now);
        } else if let Some((id, item)) = lane.plan.take(now.mono) {
            let Some(member) = self.registry.get(&id) else { return };
            let target = member.device.target.clone();
            lane.quality.asked(&id, now.unix_ms);
            self.start(line, Operation::Poll { target, item }, Job::Poll(id, item), now);
        }
    }

    /// A joining window does not keep a command waiting.
    fn give_way(&mut self, line: LineIndex, now: Now) {
        let lane = &mut self.lanes[line.0];
        if matches!(lane.slot, Some(Slot::Busy(_, Job::Window))) && !lane.waiting.is_empty() {
            lane.line.give_way(now);
        }
    }

    fn start(&mut self, line: LineIndex, operation: Operation, job: Job, now: Now) {
        self.last_ticket.0 += 1;
        let lane = &mut self.lanes[line.0];
        lane.slot = Some(Slot::Busy(self.last_ticket, job));
        lane.line.start(operation, self.last_ticket, now.mono + OPERATION_MAX, now);
        self.drain(line, now);
    }

    /// Keeps a registry change, and shows it once it is on disk: after the ticket that it gives.
    fn changed_device(&mut self, change: Change, device: Arc<Device>, now: Now) -> Persisted {
        let ticket = self.persist(vec![Record::Device(Arc::clone(&device))]);
        self.tell_device(change, device, ticket, now);
        ticket
    }

    /// Shows a registry change that is kept under `ticket`.
    fn tell_device(&mut self, change: Change, device: Arc<Device>, ticket: Persisted, now: Now) {
        self.outputs
            .push_back(Output { after: Some(ticket), effect: Effect::ShowDevice(Arc::clone(&device)) });
        let id = device.id.clone();
        self.event(Some(&id), Body::Device { change, device }, Some(ticket), now);
    }

    fn persist(&mut self, records: Vec<Record>) -> Persisted {
        self.last_persist.0 += 1;
        self.effect(Effect::Persist(self.last_persist, records));
        self.last_persist
    }

    fn effect(&mut self, effect: Effect) {
        self.outputs.push_back(Output { after: None, effect });
    }

    fn show(&mut self, device: &Arc<Device>) {
        self.effect(Effect::ShowDevice(Arc::clone(device)));
    }

    fn event(&mut self, device: Option<&DeviceId>, body: Body, after: Option<Persisted>, now: Now) {
        let fresh = Fresh {
            unix_ms: now.unix_ms,
            t_estimated: !now.synchronised,
            late: false,
            estimated: false,
            device: device.cloned(),
            body,
        };
        self.outputs.push_back(Output { after, effect: Effect::Event(fresh) });
    }

    fn show_lines(&mut self) {
        for lane in self.lanes.iter_mut().filter(|lane| lane.changed) {
            lane.changed = false;
            let health = Arc::new(lane.health());
            self.outputs.push_back(Output { after: None, effect: Effect::ShowLine(health) });
        }
    }
}

fn earlier(a: Option<Moment>, b: Option<Moment>) -> Option<Moment> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

fn wall_minus_mono_ms(now: Now) -> i64 {
    now.unix_ms - i64::try_from(now.mono.0.as_millis()).unwrap_or(i64::MAX)
}
