//! The bench: hub, Plugline line, modem, wire and sockets in virtual time; no port, no disk, no waiting.
//!
//! Standing checks hold after every step of every test: no relay moves but by a command that somebody gave, a button or
//! a trip; a command settles once; what is told of a minute is told once and is what that socket measured; no total
//! falls.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use plugline::device::{CommandId, Device, DeviceId, LineName, Moment, Now, Quantity};
use plugline::hub::command::{Action, Command};
use plugline::hub::feed::{Body, Fresh};
use plugline::hub::{
    Answer, Effect, Given, Hub, Kept, LineHealth, LineIndex, LineSetup, NewCommand, Output, Persisted,
    Record, Refused, Request, RequestId, Wish,
};
use plugline::line::plugline::{Entropy, NoEntropy, Options, Plugline};
use plugline_simulator::mains::{House, Led, Membership, Move, Station};
use plugline_simulator::scenario::Scenario;

const LINE: LineIndex = LineIndex(0);
const START_UNIX_MS: i64 = 1_795_000_000_000;
pub(crate) const MILLISECOND: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
/// A relay moves so soon after the button or the command, or not because of it.
const EFFECT_US: u64 = 5_000_000;
/// A reading is what the register was within this time before it was told.
const AGE_US: u64 = 20_000_000;
/// The times of what is told late are those of its slot in its minute.
const LATE_US: u64 = 3_000_000;
/// A minute that is told late and once more would have the time of its slot both times. Somebody who asked for a reading
/// got it at another.
const SAME_MS: i64 = 50;
/// The clocks of two parties need not agree about events so near to the turn of a minute.
const EDGE_MS: i64 = 500;

/// Randomness that can be repeated.
struct Seeded(u64);

impl Entropy for Seeded {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        for byte in bytes {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = self.0.to_be_bytes()[0];
        }
        Ok(())
    }
}

/// What a disk would hold.
#[derive(Clone, Default)]
struct Records {
    devices: BTreeMap<DeviceId, Arc<Device>>,
    commands: BTreeMap<CommandId, Arc<Command>>,
    lines: BTreeMap<LineName, Arc<[u8]>>,
}

impl Records {
    fn keep(&mut self, record: &Record) {
        match record {
            Record::Device(device) => {
                self.devices.insert(device.id.clone(), Arc::clone(device));
            }
            Record::DeviceGone(id) => {
                self.devices.remove(id);
            }
            Record::Command(command) => {
                self.commands.insert(command.id.clone(), Arc::clone(command));
            }
            Record::CommandGone(id) => {
                self.commands.remove(id);
            }
            Record::Line(line, record) => {
                self.lines.insert(line.clone(), Arc::clone(record));
            }
            Record::Day(..) | Record::Checkpoint(_) | Record::Access(_) => {}
        }
    }
}

/// A command with the times of its life, in virtual time.
#[derive(Clone, Debug)]
pub(crate) struct Followed {
    pub(crate) command: Arc<Command>,
    asked: Duration,
    pub(crate) took: Option<Duration>,
}

/// A house and its gateway.
pub(crate) struct Lab {
    hub: Hub,
    pub(crate) house: House,
    options: Options,
    seed: u64,
    now: Now,
    plugged: bool,
    held: VecDeque<(Persisted, Effect)>,
    on_disk: Persisted,
    disk: Records,
    last_request: u64,
    answers: BTreeMap<u64, Answer>,
    pub(crate) events: Vec<Fresh>,
    pub(crate) devices: BTreeMap<DeviceId, Arc<Device>>,
    pub(crate) commands: BTreeMap<CommandId, Followed>,
    pub(crate) line: Option<Arc<LineHealth>>,
    /// Sockets of the house by their id in the gateway.
    ids: BTreeMap<DeviceId, usize>,
    /// Hands on buttons: when, whose.
    pressed: Vec<(u64, usize)>,
    moves_checked: usize,
    /// The registers of each socket, second by second.
    registers: Vec<VecDeque<(u64, (u32, u32))>>,
    /// Of which times the energy of a socket was told, and whether late.
    told: BTreeMap<(DeviceId, bool), Vec<(i64, bool)>>,
    totals: BTreeMap<(DeviceId, bool), i64>,
    /// Two sockets have one label: what is told is of either.
    twins: bool,
    /// The standing checks are made; where time is measured they are left out.
    pub(crate) checks: bool,
}

impl Lab {
    /// The house of a scenario with an empty gateway before it, the modem's cable plugged in.
    pub(crate) fn new(scenario: &Scenario) -> Self {
        Self::with(scenario, Options::default())
    }

    /// The same with options of the line.
    pub(crate) fn with(scenario: &Scenario, options: Options) -> Self {
        let house = House::new(scenario);
        let seed = scenario.seed();
        let ids = house.stations().iter().map(|station| (id_of(station), station.node())).collect();
        let mut lab = Self {
            hub: hub(&options, seed),
            registers: vec![VecDeque::new(); house.stations().len()],
            house,
            options,
            seed,
            now: Now { mono: Moment(Duration::ZERO), unix_ms: START_UNIX_MS, synchronised: true },
            plugged: false,
            held: VecDeque::new(),
            on_disk: Persisted(0),
            disk: Records::default(),
            last_request: 0,
            answers: BTreeMap::new(),
            events: Vec::new(),
            devices: BTreeMap::new(),
            commands: BTreeMap::new(),
            line: None,
            ids,
            pressed: Vec::new(),
            moves_checked: 0,
            told: BTreeMap::new(),
            totals: BTreeMap::new(),
            twins: false,
            checks: true,
        };
        lab.begin();
        lab
    }

    fn begin(&mut self) {
        self.hub.begin(self.now);
        self.carry_out();
        self.plugged = true;
        self.hub.handle_port(LINE, Ok(()), self.now);
        self.carry_out();
    }

    /// The gateway dies and starts again with what is on its disk.
    pub(crate) fn restart(&mut self) {
        self.seed += 1;
        self.hub = hub(&self.options, self.seed);
        self.held.clear();
        self.on_disk = Persisted(0);
        let Records { devices, commands, lines } = self.disk.clone();
        let kept = Kept {
            devices: devices.into_values().collect(),
            commands: commands.into_values().collect(),
            lines: lines.into_iter().collect(),
            ..Kept::default()
        };
        self.hub.restore(kept, Vec::new(), self.now);
        self.begin();
    }

    pub(crate) fn now(&self) -> Duration {
        self.now.mono.0
    }

    /// Runs for a while.
    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now.mono + time;
        while self.step(end) {}
    }

    /// Runs until `done`, at most for `time`; panics when that was not enough.
    pub(crate) fn run_until(&mut self, time: Duration, what: &str, done: impl Fn(&Self) -> bool) {
        let end = self.now.mono + time;
        while !done(self) {
            assert!(self.step(end), "{what}: not within {time:?}; {:?}", self.notices());
        }
    }

    /// The next thing that happens before `end`; `false` when there is none.
    fn step(&mut self, end: Moment) -> bool {
        let wire_us = self.house.next_us().min(self.house.host().output_due_us().unwrap_or(u64::MAX));
        let wire = Moment(Duration::from_micros(wire_us));
        let due = self.hub.poll_timeout().min(wire).max(self.now.mono).min(end);
        self.go_to(due);
        self.house.run_until(micros(due.0));
        self.check_moves();
        while let Some((_, bytes)) = self.house.read() {
            if self.plugged {
                self.hub.handle_bytes(LINE, &bytes, self.now);
                self.carry_out();
            }
        }
        if self.hub.poll_timeout() <= self.now.mono {
            self.hub.handle_timeout(self.now);
            self.carry_out();
        }
        self.note_registers();
        due < end
    }

    fn go_to(&mut self, moment: Moment) {
        self.now.mono = moment;
        self.now.unix_ms = START_UNIX_MS + i64::try_from(moment.0.as_millis()).expect("centuries");
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
            Effect::Write(_, bytes) if self.plugged => self.house.write(&bytes),
            Effect::Persist(ticket, records) => {
                records.iter().for_each(|record| self.disk.keep(record));
                self.on_disk = ticket;
                while self.held.front().is_some_and(|(after, _)| *after <= ticket) {
                    let (_, effect) = self.held.pop_front().expect("it was looked at");
                    self.perform(effect);
                }
                self.hub.handle_persisted(ticket, self.now);
            }
            Effect::Checkpoint(records) => records.iter().for_each(|record| self.disk.keep(record)),
            Effect::Event(fresh) => self.check_event(fresh),
            Effect::ShowDevice(device) => {
                self.devices.insert(device.id.clone(), device);
            }
            Effect::HideDevice(id) => {
                self.devices.remove(&id);
            }
            Effect::ShowCommand(command) => self.check_command(command),
            Effect::ShowLine(line) => self.line = Some(line),
            Effect::Answer(id, answer) => {
                self.answers.insert(id.0, answer);
            }
            Effect::HideCommand(_) | Effect::Write(..) | Effect::Reopen(..) => {}
            Effect::ShowAccess(_) | Effect::Erase(..) => {}
        }
    }

    fn check_command(&mut self, command: Arc<Command>) {
        let now = self.now();
        let settled = command.state.settled();
        let followed = self.commands.entry(command.id.clone()).or_insert_with(|| Followed {
            command: Arc::clone(&command),
            asked: now,
            took: None,
        });
        let before = std::mem::replace(&mut followed.command, Arc::clone(&command));
        assert!(before == command || !before.state.settled(), "settled twice: {before:?} then {command:?}");
        if settled {
            followed.took = Some(now - followed.asked);
        }
    }

    fn check_moves(&mut self) {
        if !self.checks {
            return;
        }
        let moves: Vec<Move> = self.house.moves().skip(self.moves_checked).copied().collect();
        self.moves_checked += moves.len();
        for moved in moves {
            let station = self.house.station(moved.socket).expect("its socket");
            let recent = |at_us: u64| at_us <= moved.at_us && moved.at_us - at_us <= EFFECT_US;
            let by_hand =
                self.pressed.iter().any(|(at_us, socket)| *socket == moved.socket && recent(*at_us));
            let by_trip = !moved.on && station.led() == Some(Led::LockedOut);
            let id = id_of(station);
            let by_command = self.commands.values().any(|followed| {
                let ended = followed.took.map_or(self.now(), |took| followed.asked + took);
                followed.command.device == id
                    && followed.command.action == Action::Switch { on: moved.on }
                    && micros(followed.asked) <= moved.at_us
                    && moved.at_us <= micros(ended) + EFFECT_US
            });
            assert!(
                moved.at_start || by_hand || by_trip || by_command,
                "{moved:?} of {id}: nobody wanted it; commands {:?}",
                self.commands.values().filter(|f| f.command.device == id).collect::<Vec<_>>()
            );
        }
    }

    fn check_event(&mut self, fresh: Fresh) {
        if let (Body::Reading(reading), Some(id)) = (&fresh.body, &fresh.device) {
            for (export, quantity) in [(false, Quantity::Energy), (true, Quantity::EnergyExport)] {
                if let Some(total) = reading.get(quantity) {
                    self.check_total(id, export, total, &fresh);
                }
            }
        }
        self.events.push(fresh);
    }

    /// It is the socket's own, of the time that is told, of no minute that was told before, and not less.
    fn check_total(&mut self, id: &DeviceId, export: bool, total: i64, fresh: &Fresh) {
        if self.twins || !self.checks {
            return;
        }
        let socket = *self.ids.get(id).unwrap_or_else(|| panic!("{id} is no socket of this house"));
        let age_us = u64::try_from(self.now.unix_ms - fresh.unix_ms).unwrap_or(0) * 1_000;
        let at_us = micros(self.now()).saturating_sub(age_us);
        let (before_us, at_us) = match fresh.late {
            true => (at_us.saturating_sub(LATE_US), at_us + LATE_US),
            false => (at_us.saturating_sub(AGE_US), at_us),
        };
        let of = |(import, exported): (u32, u32)| i64::from(if export { exported } else { import }) * 100;
        let station = self.house.station(socket).expect("its socket");
        let now_at = station.registers_100mwh().map(of);
        let known = &self.registers[socket - 1];
        let least = known.iter().rev().find(|(when, _)| *when <= before_us).map_or(0, |(_, r)| of(*r));
        let most = known.iter().find(|(when, _)| *when >= at_us).map(|(_, r)| of(*r)).or(now_at);
        let most = most.or(known.back().map(|(_, r)| of(*r))).unwrap_or(0);
        assert!(least <= total && total <= most, "{id} told {total} mWh, wanted {least} … {most}: {fresh:?}");
        let told = self.told.entry((id.clone(), export)).or_default();
        let same = |when: &&(i64, bool)| (when.0 - fresh.unix_ms).abs() < SAME_MS && (when.1 || fresh.late);
        assert_eq!(told.iter().rev().find(same), None, "{id} told of a minute again: {fresh:?}");
        told.push((fresh.unix_ms, fresh.late));
        if !fresh.late {
            let before = self.totals.insert((id.clone(), export), total);
            assert!(before <= Some(total), "a total of {id} fell from {before:?} to {total}");
        }
    }

    /// Two sockets of this house are of one label: what they tell is not held against one of them.
    pub(crate) fn allow_twins(&mut self) {
        self.twins = true;
    }

    /// The superframe of a time, by the rule of the gateway; `None` near its ends.
    fn minute_of(&self, socket: usize, unix_ms: i64) -> Option<i64> {
        let network = match self.house.station(socket)?.membership()? {
            Membership::Joined(network, _) | Membership::Pending(network, _) => network.0,
            Membership::Unjoined => return None,
        };
        let ms = unix_ms + 60_000 - i64::from(network) * 60_000 / 0x1_0000;
        (EDGE_MS..60_000 - EDGE_MS).contains(&(ms % 60_000)).then_some(ms / 60_000)
    }

    fn note_registers(&mut self) {
        if !self.checks {
            return;
        }
        let now_us = micros(self.now());
        for (station, registers) in self.house.stations().iter().zip(&mut self.registers) {
            let due = registers.back().is_none_or(|(at_us, _)| now_us >= at_us + 1_000_000);
            if let Some(now) = station.registers_100mwh().filter(|_| due) {
                registers.push_back((now_us, now));
                if registers.len() > 900 {
                    registers.pop_front();
                }
            }
        }
    }

    pub(crate) fn ask(&mut self, request: Request) -> Answer {
        self.last_request += 1;
        self.hub.handle_request(RequestId(self.last_request), request, self.now);
        self.carry_out();
        self.answers.remove(&self.last_request).expect("every request has its answer")
    }

    /// Opens a joining window, for one code or for all codes that are known.
    pub(crate) fn open_window(&mut self, code: Option<&str>, duration: Duration) -> Answer {
        self.ask(Request::OpenJoining { line: None, duration, address: code.map(Into::into) })
    }

    /// Lets a socket in by the code of its label, as a person would.
    pub(crate) fn join(&mut self, socket: usize) {
        let (id, code) = (self.id(socket), self.house.station(socket).expect("a socket").label());
        self.open_window(Some(&code), 10 * MINUTE).expect("the window opens");
        self.run_until(5 * MINUTE, "the socket joins", |lab| {
            lab.devices.contains_key(&id) && lab.is_joined(socket)
        });
    }

    pub(crate) fn is_joined(&self, socket: usize) -> bool {
        matches!(self.house.station(socket).and_then(Station::membership), Some(Membership::Joined(..)))
    }

    pub(crate) fn joined(&self) -> usize {
        (1..=self.house.stations().len()).filter(|socket| self.is_joined(*socket)).count()
    }

    /// The labels of all sockets, as a file of the installer has them.
    pub(crate) fn labels(scenario: &Scenario) -> Options {
        let house = House::new(scenario);
        let label = |station: &Station| {
            plugline_protocol::label::Label::parse(&station.label()).expect("labels are right")
        };
        Options { labels: house.stations().iter().map(label).collect(), ..Options::default() }
    }

    /// A house all of whose sockets have joined.
    pub(crate) fn joined_house(scenario: &Scenario) -> Self {
        Self::house_with(scenario, scenario.sockets().len())
    }

    /// A house so many of whose sockets have joined: some may be out of reach.
    pub(crate) fn house_with(scenario: &Scenario, wanted: usize) -> Self {
        let mut lab = Self::with(scenario, Self::labels(scenario));
        for _ in 0..6 {
            lab.open_window(None, 10 * MINUTE).expect("the window opens");
            let end = lab.now.mono + 10 * MINUTE;
            while lab.joined() < wanted && lab.step(end) {}
        }
        assert!(lab.joined() >= wanted, "{} of {wanted} joined; {:?}", lab.joined(), lab.notices());
        lab.ask(Request::CloseJoining { line: None }).expect("it closes");
        lab
    }

    pub(crate) fn id(&self, socket: usize) -> DeviceId {
        id_of(self.house.station(socket).expect("a socket"))
    }

    pub(crate) fn press(&mut self, socket: usize) {
        self.pressed.push((self.house.now_us(), socket));
        assert!(self.house.press(socket));
    }

    pub(crate) fn command(&mut self, socket: usize, wish: Wish, ttl: Duration) -> Result<CommandId, Refused> {
        let new = NewCommand {
            device: self.id(socket),
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

    pub(crate) fn switch(&mut self, socket: usize, on: bool) -> CommandId {
        let wish = Wish::Do(Action::Switch { on });
        self.command(socket, wish, 30 * SECOND).expect("it is taken")
    }

    /// Waits until a command has settled; how, and after how long.
    pub(crate) fn settle(&mut self, id: &CommandId) -> Followed {
        self.run_until(2 * MINUTE, "the command settles", |lab| lab.commands[id].took.is_some());
        self.commands[id].clone()
    }

    pub(crate) fn device(&self, socket: usize) -> &Device {
        &self.devices[&self.id(socket)]
    }

    pub(crate) fn malformed(&self) -> BTreeMap<&'static str, u64> {
        self.line.iter().flat_map(|line| line.malformed.iter().copied()).collect()
    }

    /// Words for people, by their codes.
    pub(crate) fn notices(&self) -> BTreeSet<String> {
        let notice = |fresh: &Fresh| match &fresh.body {
            Body::Notification(notification) => Some(format!("{notification:?}")),
            _ => None,
        };
        self.events.iter().filter_map(notice).collect()
    }

    /// Minutes of which the energy of a socket was told, live and late, since a time.
    pub(crate) fn minutes_told(&self, socket: usize, since_unix_ms: i64) -> BTreeSet<i64> {
        self.minutes_between(socket, since_unix_ms, i64::MAX)
    }

    /// The same, up to another time.
    pub(crate) fn minutes_between(
        &self,
        socket: usize,
        since_unix_ms: i64,
        until_unix_ms: i64,
    ) -> BTreeSet<i64> {
        let id = self.id(socket);
        let told = self.events.iter().filter(|fresh| {
            fresh.device.as_ref() == Some(&id)
                && (since_unix_ms..until_unix_ms).contains(&fresh.unix_ms)
                && matches!(&fresh.body, Body::Reading(reading)
                    if reading.get(Quantity::Energy).or(reading.get(Quantity::EnergyExport)).is_some())
        });
        told.filter_map(|fresh| self.minute_of(socket, fresh.unix_ms)).collect()
    }

    pub(crate) fn unix_ms(&self) -> i64 {
        self.now.unix_ms
    }
}

fn hub(options: &Options, seed: u64) -> Hub {
    let line = Plugline::new(options.clone(), Box::new(Seeded(seed)));
    let setup = LineSetup {
        name: LineName::parse("mains").expect("a name"),
        dialect: "plugline",
        devices: Vec::new(),
        line: Box::new(line),
    };
    Hub::new(vec![setup], "test", seed)
}

/// How the gateway calls a socket.
pub(crate) fn id_of(station: &Station) -> DeviceId {
    DeviceId::parse(&format!("plugline_{}", station.eui().to_string().to_ascii_lowercase())).expect("an id")
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).expect("centuries")
}
