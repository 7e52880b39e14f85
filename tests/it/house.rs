//! The bench: hub, DL/T 645 line and simulated meters in virtual time; no port, no disk, no waiting. Standing checks
//! hold after every step of every test: a command settles once, a relay is shown as the meter last showed it, and no
//! published total falls.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use plugline::device::{CommandId, Device, DeviceId, LineName, Moment, Now, Quantity, Target};
use plugline::hub::command::{Action, Command};
use plugline::hub::feed::{Body, Event, Fresh};
use plugline::hub::{
    Answer, DeviceSetup, Effect, Given, Hub, Kept, LineIndex, LineSetup, NewCommand, Output, Persisted,
    Record, Refused, Request, RequestId, Wish,
};
use plugline::line::dlt645::{Dlt645, Options};
use plugline_simulator::{Bus, Meter};

const LINE: LineIndex = LineIndex(0);
const START_UNIX_MS: i64 = 1_795_000_000_000;
pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// What a disk would hold.
#[derive(Clone, Default)]
pub(crate) struct Records {
    devices: BTreeMap<DeviceId, Device>,
    commands: BTreeMap<CommandId, Command>,
}

impl Records {
    /// Commands that were handed to their line, or about to be, and had not settled.
    pub(crate) fn started(&self) -> Vec<CommandId> {
        let open = self.commands.values().filter(|command| command.started && !command.state.settled());
        open.map(|command| command.id.clone()).collect()
    }

    fn keep(&mut self, record: &Record) {
        match record {
            Record::Device(device) => {
                self.devices.insert(device.id.clone(), (**device).clone());
            }
            Record::DeviceGone(id) => {
                self.devices.remove(id);
            }
            Record::Command(command) => {
                self.commands.insert(command.id.clone(), (**command).clone());
            }
            Record::CommandGone(id) => {
                self.commands.remove(id);
            }
            Record::Line(..) | Record::Day(..) | Record::Checkpoint(_) | Record::Access(_) => {}
        }
    }
}

pub(crate) struct House {
    hub: Hub,
    pub(crate) bus: Bus,
    now: Now,
    plugged: bool,
    held: VecDeque<(Persisted, Effect)>,
    on_disk: Persisted,
    last_request: u64,
    pub(crate) events: Vec<Fresh>,
    pub(crate) devices: BTreeMap<DeviceId, Arc<Device>>,
    pub(crate) commands: BTreeMap<CommandId, Arc<Command>>,
    answers: BTreeMap<u64, Answer>,
    /// The disk after each write, oldest first.
    pub(crate) disk: Vec<Records>,
    pub(crate) line: Option<Arc<plugline::hub::LineHealth>>,
}

pub(crate) fn setup(meters: &[Meter], options: Options) -> LineSetup {
    let devices = meters.iter().map(|meter| DeviceSetup {
        target: Target { address: meter.address().to_string().into(), channel: None },
        name: Some(meter.name().into()),
    });
    LineSetup {
        name: LineName::parse("mains").unwrap(),
        dialect: "dlt645",
        devices: devices.collect(),
        line: Box::new(Dlt645::new(options)),
    }
}

impl House {
    pub(crate) fn new(seed: u64, meters: Vec<Meter>) -> Self {
        Self::with(seed, meters, Options { baud: 9600, ..Options::default() }, Records::default(), Vec::new())
    }

    /// A house whose gateway finds `records` on its disk and `since_checkpoint` in its log.
    pub(crate) fn with(
        seed: u64,
        meters: Vec<Meter>,
        options: Options,
        records: Records,
        since_checkpoint: Vec<Event>,
    ) -> Self {
        let mut hub = Hub::new(vec![setup(&meters, options)], "test", seed);
        let now = Now { mono: Moment(Duration::ZERO), unix_ms: START_UNIX_MS, synchronised: true };
        let kept = Kept {
            devices: records.devices.values().cloned().map(Arc::new).collect(),
            commands: records.commands.values().cloned().map(Arc::new).collect(),
            ..Kept::default()
        };
        hub.restore(kept, since_checkpoint, now);
        hub.begin(now);
        let mut house = Self {
            hub,
            bus: Bus::new(seed, meters),
            now,
            plugged: false,
            held: VecDeque::new(),
            on_disk: Persisted(0),
            last_request: 0,
            events: Vec::new(),
            devices: BTreeMap::new(),
            commands: BTreeMap::new(),
            answers: BTreeMap::new(),
            disk: vec![records],
            line: None,
        };
        house.carry_out();
        house.plug();
        house
    }

    pub(crate) fn plug(&mut self) {
        self.plugged = true;
        self.hub.handle_port(LINE, Ok(()), self.now);
        self.carry_out();
    }

    pub(crate) fn unplug(&mut self) {
        self.plugged = false;
        self.hub.handle_port(LINE, Err("the cable was pulled".into()), self.now);
        self.carry_out();
    }

    /// Bytes on the line that no meter of this house sent.
    pub(crate) fn inject(&mut self, bytes: &[u8]) {
        self.hub.handle_bytes(LINE, bytes, self.now);
        self.carry_out();
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now.mono + time;
        while self.step(end) {}
        self.go_to(end);
    }

    /// Runs until `done`, at most for `time`; panics when that was not enough.
    pub(crate) fn run_until(&mut self, time: Duration, what: &str, done: impl Fn(&Self) -> bool) {
        let end = self.now.mono + time;
        while !done(self) {
            assert!(self.step(end), "{what}: not within {time:?}");
        }
    }

    fn go_to(&mut self, moment: Moment) {
        let passed = moment.since(self.now.mono);
        self.now.mono = moment;
        self.now.unix_ms += i64::try_from(passed.as_millis()).unwrap();
    }

    /// The next thing that happens before `end`; `false` when there is none.
    fn step(&mut self, end: Moment) -> bool {
        let bus_due = self.bus.poll_timeout().map_or(end, Moment);
        let due = self.hub.poll_timeout().min(bus_due).max(self.now.mono);
        if due >= end {
            return false;
        }
        self.go_to(due);
        while let Some(output) = self.bus.poll_output(self.now.mono.0) {
            if self.plugged {
                self.hub.handle_bytes(LINE, &output.bytes, self.now);
                self.carry_out();
            }
        }
        if self.hub.poll_timeout() <= self.now.mono {
            self.hub.handle_timeout(self.now);
            self.carry_out();
        }
        true
    }

    fn carry_out(&mut self) {
        while let Some(Output { after, effect }) = self.hub.poll_output() {
            match after.filter(|after| *after > self.on_disk) {
                Some(after) => self.held.push_back((after, effect)),
                None => self.perform(effect),
            }
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Write(_, bytes) if self.plugged => {
                self.bus.handle_bytes(&bytes, self.now.mono.0, self.now.unix_ms);
            }
            Effect::Persist(ticket, records) => {
                let mut disk = self.disk.last().cloned().unwrap_or_default();
                records.iter().for_each(|record| disk.keep(record));
                self.disk.push(disk);
                self.on_disk = ticket;
                while self.held.front().is_some_and(|(after, _)| *after <= ticket) {
                    let (_, effect) = self.held.pop_front().unwrap();
                    self.perform(effect);
                }
                self.hub.handle_persisted(ticket, self.now);
            }
            Effect::Event(fresh) => self.check_event(fresh),
            Effect::ShowDevice(device) => {
                self.devices.insert(device.id.clone(), device);
            }
            Effect::ShowCommand(command) => self.check_command(command),
            Effect::ShowLine(line) => self.line = Some(line),
            Effect::Answer(id, answer) => {
                self.answers.insert(id.0, answer);
            }
            Effect::HideDevice(id) => {
                self.devices.remove(&id);
            }
            Effect::HideCommand(_) | Effect::Write(..) | Effect::Reopen(..) => {}
            Effect::Checkpoint(_) | Effect::Erase(..) | Effect::ShowAccess(_) => {}
        }
    }

    fn check_command(&mut self, command: Arc<Command>) {
        if let Some(before) = self.commands.insert(command.id.clone(), Arc::clone(&command)) {
            assert!(!before.state.settled(), "settled twice: {before:?} then {command:?}");
            assert!(before.version < command.version, "{before:?} then {command:?}");
        }
    }

    fn check_event(&mut self, fresh: Fresh) {
        if let Body::Reading(reading) = &fresh.body
            && let Some(total) = reading.get(Quantity::Energy)
        {
            let before = self.totals(fresh.device.as_ref()).last().copied();
            assert!(before <= Some(total), "a total fell from {before:?} to {total}");
        }
        if let Body::Relay { on, .. } = &fresh.body {
            let id = fresh.device.as_ref().unwrap();
            let shown = match &self.devices[id].members {
                Some(members) => members.iter().filter_map(|member| self.devices[member].relay).max(),
                None => {
                    let mut meters = self.bus.meters().iter();
                    let meter = meters.find(|meter| id.as_str().ends_with(&meter.address().to_string()));
                    meter.map(Meter::relay_closed)
                }
            };
            assert_eq!(shown, Some(*on), "{id} shows a relay that is not so");
        }
        self.events.push(fresh);
    }

    /// Published totals of a device, in mWh.
    pub(crate) fn totals(&self, device: Option<&DeviceId>) -> Vec<i64> {
        let of = self.events.iter().filter(|event| event.device.as_ref() == device);
        of.filter_map(|event| match &event.body {
            Body::Reading(reading) => reading.get(Quantity::Energy),
            _ => None,
        })
        .collect()
    }

    pub(crate) fn ask(&mut self, request: Request) -> Answer {
        self.last_request += 1;
        self.hub.handle_request(RequestId(self.last_request), request, self.now);
        self.carry_out();
        self.answers.remove(&self.last_request).expect("every request has its answer")
    }

    pub(crate) fn command(&mut self, device: &str, wish: Wish, ttl: Duration) -> Result<CommandId, Refused> {
        let new = NewCommand {
            device: id(device),
            wish,
            ttl,
            requested_by: "test".into(),
            idempotency: None,
            reply_to: Default::default(),
        };
        self.ask(Request::Command(new)).map(|given| match given {
            Given::Command { command, .. } => command.id.clone(),
            other => panic!("a command was asked for, not {other:?}"),
        })
    }

    pub(crate) fn switch(&mut self, device: &str, on: bool) -> CommandId {
        self.command(device, Wish::Do(Action::Switch { on }), Duration::from_secs(30)).unwrap()
    }

    pub(crate) fn device(&self, device: &str) -> &Device {
        &self.devices[&id(device)]
    }

    /// Requests with this control byte that the meters have heard.
    pub(crate) fn heard(&self, control: u8) -> usize {
        self.bus.requests().filter(|request| request.frame().get(8) == Some(&control)).count()
    }

    pub(crate) fn readings_of(&self, device: &str) -> usize {
        let of = |event: &&Fresh| event.device == Some(id(device)) && matches!(event.body, Body::Reading(_));
        self.events.iter().filter(of).count()
    }

    pub(crate) fn malformed(&self) -> BTreeMap<&'static str, u64> {
        self.line.iter().flat_map(|line| line.malformed.iter().copied()).collect()
    }
}

pub(crate) fn id(text: &str) -> DeviceId {
    DeviceId::parse(text).unwrap()
}
