//! One line as the hub sees it: the operation in flight, the commands that wait, the poll plan, its health. Pure.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::device::{CommandId, DeviceId, LineName, Moment, Now, Target};
use crate::hub::effect::{LineHealth, Persisted};
use crate::hub::joining::Window;
use crate::hub::plan::Plan;
use crate::hub::quality::Quality;
use crate::hub::queue::Queue;
use crate::line::{Line, Profile, Ticket};

/// Foreign addresses remembered per line, so that each is told once; a line with more of them is told of no further ones.
const FOREIGN_MAX: usize = 256;

/// A device that the configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceSetup {
    /// Where it sits, in the dialect's spelling.
    pub target: Target,
    /// What people call it, if the configuration says.
    pub name: Option<Arc<str>>,
}

/// A line as configured.
pub struct LineSetup {
    /// Its name.
    pub name: LineName,
    /// Its dialect's name.
    pub dialect: &'static str,
    /// Its state machine.
    pub line: Box<dyn Line>,
    /// Its named devices.
    pub devices: Vec<DeviceSetup>,
}

/// What the operation in flight is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// A command.
    Command(CommandId),
    /// An item of the poll plan.
    Poll(DeviceId, usize),
    /// Looking for devices.
    Discover,
    /// A part of a joining window.
    Window,
    /// Linking a device that was added.
    Link(DeviceId),
}

/// The one place in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// A command whose record is on its way to disk; it starts when it is there.
    Reserved(CommandId, Persisted),
    /// The line is at work.
    Busy(Ticket, Job),
}

pub(super) struct Lane {
    pub(super) name: LineName,
    pub(super) dialect: &'static str,
    pub(super) line: Box<dyn Line>,
    /// Devices to register at the start.
    pub(super) configured: Vec<DeviceSetup>,
    pub(super) slot: Option<Slot>,
    pub(super) waiting: Queue,
    pub(super) plan: Plan,
    pub(super) profiles: BTreeMap<DeviceId, Profile>,
    pub(super) discover_due: Option<Moment>,
    /// The last joining window.
    pub(super) window: Option<Window>,
    /// Records of the line on their way to disk, oldest first, and how many are there.
    pub(super) keeping: VecDeque<Persisted>,
    kept: u64,
    /// Devices that were added and are to be linked.
    pub(super) to_link: VecDeque<DeviceId>,
    /// The port's state: open, or why not.
    pub(super) port: Result<(), Arc<str>>,
    pub(super) modem: Option<bool>,
    /// What people were last told: up or down.
    pub(super) told_up: Option<bool>,
    pub(super) last_heard_unix_ms: Option<i64>,
    heard: u64,
    malformed: BTreeMap<&'static str, u64>,
    foreign: Arc<BTreeSet<Arc<str>>>,
    pub(super) changed: bool,
    pub(super) quality: Quality,
}

impl Lane {
    pub(super) fn new(setup: LineSetup) -> Self {
        Self {
            name: setup.name,
            dialect: setup.dialect,
            line: setup.line,
            configured: setup.devices,
            slot: None,
            waiting: Queue::default(),
            plan: Plan::default(),
            profiles: BTreeMap::new(),
            discover_due: None,
            window: None,
            keeping: VecDeque::new(),
            kept: 0,
            to_link: VecDeque::new(),
            port: Err("not opened yet".into()),
            modem: None,
            told_up: None,
            last_heard_unix_ms: None,
            heard: 0,
            malformed: BTreeMap::new(),
            foreign: Arc::default(),
            changed: true,
            quality: Quality::default(),
        }
    }

    /// Tells the line which of its records are on disk.
    pub(super) fn tell_kept(&mut self, on_disk: Persisted, now: Now) {
        let before = self.kept;
        while self.keeping.pop_front_if(|ticket| *ticket <= on_disk).is_some() {
            self.kept += 1;
        }
        if self.kept > before {
            self.line.handle_kept(self.kept, now);
        }
    }

    /// A device is no longer asked, nor heard at its place.
    pub(super) fn forget(&mut self, device: &DeviceId, target: &Target) {
        self.plan.remove(device);
        self.quality.forget(device);
        self.profiles.remove(device);
        self.to_link.retain(|waiting| waiting != device);
        self.line.detach(target);
    }

    /// Counts something that could not be used.
    pub(super) fn count(&mut self, kind: &'static str) {
        *self.malformed.entry(kind).or_default() += 1;
        self.changed = true;
    }

    /// A foreign address; `true` when people should be told of it.
    pub(super) fn foreign(&mut self, address: &Arc<str>) -> bool {
        self.count("foreign");
        self.foreign.len() < FOREIGN_MAX
            && !self.foreign.contains(address)
            && Arc::make_mut(&mut self.foreign).insert(Arc::clone(address))
    }

    /// An address is foreign no longer.
    pub(super) fn welcome(&mut self, address: &str) {
        self.changed |= self.foreign.contains(address) && Arc::make_mut(&mut self.foreign).remove(address);
    }

    /// Something good was heard.
    pub(super) fn heard(&mut self, unix_ms: i64) {
        self.last_heard_unix_ms = Some(unix_ms);
        self.quality.heard(unix_ms);
        self.heard += 1;
        self.changed = true;
    }

    /// Nothing is in flight, nothing about to be, and the line can take an operation.
    pub(super) fn idle(&self) -> bool {
        self.slot.is_none() && self.port.is_ok() && self.line.ready()
    }

    pub(super) fn health(&self) -> LineHealth {
        LineHealth {
            line: self.name.clone(),
            dialect: self.dialect,
            port: self.port.clone(),
            modem: self.modem,
            last_heard_unix_ms: self.last_heard_unix_ms,
            heard: self.heard,
            malformed: self.malformed.iter().map(|(kind, count)| (*kind, *count)).collect(),
            foreign: Arc::clone(&self.foreign),
            joining: self.window.as_ref().map(|window| Arc::clone(&window.shown)),
            joins: self.line.joins(),
            options: self.line.options(),
        }
    }
}
