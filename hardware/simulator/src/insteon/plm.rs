//! A power-line modem (2413) with devices around it: bytes in, bytes out with the moment at which they are due.
//!
//! No port, no clock. What the host's commands do is in `command.rs`, what happens on the mains in `air.rs`.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::command::Linking;
use super::device::Device;
use super::fault::{Fault, Faults};
use super::host::{Ear, Told};
use super::links::Links;
use super::message::{Id, Message};
use crate::bus::{Output, Recorded};
use crate::random::mix;

/// Commands kept for tests and curious people.
const MAX_RECORDED: usize = 4096;
/// One byte at 19200 baud, 8N1.
const BYTE_TIME: Duration = Duration::from_micros(521);
/// Slots of the modem's link database, unless told otherwise. The 2413 has 1,000 or so.
const SLOTS: usize = 1000;
/// Category, subcategory and firmware of a modem in a public log (home-controller's tests).
const PRODUCT: [u8; 3] = [0x03, 0x15, 0x9B];
/// How long a modem is away when it starts again.
const BOOT_TIME: Duration = Duration::from_secs(2);
/// How long the factory reset takes.
const RESET_TIME: Duration = Duration::from_secs(20);

/// Something that will happen.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A frame goes to the host.
    Say(Vec<u8>),
    /// The modem puts a message on the mains, for the first time or again.
    Attempt { turn: u64 },
    /// A message from the modem is at its device.
    Arrives { turn: u64, message: Message, hops: u8 },
    /// A message from the mains is at the modem; it is lost if it belongs to a turn that is over.
    Heard { turn: Option<u64>, message: Message },
    /// A group command is at everybody.
    GroupHeard { turn: u64, group: u8, cmd1: u8 },
    /// The modem asks the next member whether it heard the group command.
    Cleanup { turn: u64, group: u8, cmd1: u8, members: VecDeque<Id> },
    /// The modem has started again.
    Booted,
    /// The factory reset is through.
    ResetDone,
    /// Traffic of others, by the fault that makes it.
    Traffic(Fault),
}

/// The modem proper.
#[derive(Clone, Debug)]
pub(crate) struct Modem {
    pub(crate) id: Id,
    pub(crate) product: [u8; 3],
    pub(crate) config: u8,
    pub(crate) links: Links,
    /// The slot from which `6A` reads on.
    pub(crate) cursor: Option<usize>,
    /// The slot from which a "find next" of `6F` searches on.
    pub(crate) found: usize,
    pub(crate) linking: Option<Linking>,
    pub(crate) last_sender: Option<Id>,
    /// It hears nothing until it has started again.
    pub(crate) booting: bool,
    /// It refuses everything until the factory reset is through.
    pub(crate) resetting: bool,
}

/// A message that waits for its device's answer.
#[derive(Clone, Debug)]
pub(crate) struct Sending {
    pub(crate) message: Message,
    pub(crate) attempts: u8,
    pub(crate) answered: bool,
    /// Whether all replies to it are lost, once that is decided.
    pub(crate) loses_replies: Option<bool>,
}

/// A modem with devices around it.
#[derive(Clone, Debug)]
pub struct Plm {
    pub(crate) modem: Modem,
    pub(crate) devices: Vec<Device>,
    pub(crate) faults: Faults,
    pub(crate) sending: Option<Sending>,
    /// Counts messages of the modem; what belongs to an older one is lost.
    pub(crate) turn: u64,
    /// A group command is being confirmed by its members.
    pub(crate) cleaning: bool,
    ear: Ear,
    events: BTreeMap<(Duration, u64), Event>,
    made: u64,
    outputs: VecDeque<Output>,
    recorded: VecDeque<Recorded>,
    now: Duration,
}

impl Plm {
    /// A modem as it comes from the factory; the seed decides what its faults do.
    #[must_use]
    pub fn new(id: Id, seed: u64, devices: Vec<Device>) -> Self {
        let modem = Modem {
            id,
            product: PRODUCT,
            config: 0,
            links: Links::new(SLOTS),
            cursor: None,
            found: 0,
            linking: None,
            last_sender: None,
            booting: false,
            resetting: false,
        };
        Self {
            modem,
            devices,
            faults: Faults::new(mix(seed, 0x1457_3704)),
            sending: None,
            turn: 0,
            cleaning: false,
            ear: Ear::default(),
            events: BTreeMap::new(),
            made: 0,
            outputs: VecDeque::new(),
            recorded: VecDeque::new(),
            now: Duration::ZERO,
        }
    }

    /// Its link database.
    #[must_use]
    pub fn with_links(mut self, links: Links) -> Self {
        self.modem.links = links;
        self
    }

    /// Bytes from the host, at `now` on the virtual clock.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Duration) {
        self.advance(now);
        if self.modem.booting || self.faults.strikes(Fault::Mute) {
            self.ear.forget();
            return;
        }
        for told in self.ear.push(bytes, now, self.modem.config & 0x10 == 0) {
            match told {
                Told::Command(command) => {
                    self.record(&command);
                    self.obey(&command);
                }
                Told::Unknown(code) => self.say(vec![0x02, code, 0x15]),
            }
        }
    }

    /// The next bytes due at or before `now`, in order.
    pub fn poll_output(&mut self, now: Duration) -> Option<Output> {
        self.advance(now);
        self.outputs.front().filter(|output| output.due <= now)?;
        self.outputs.pop_front()
    }

    /// When something will happen by itself, if anything will.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let event = self.events.first_key_value().map(|((at, _), _)| *at);
        event.into_iter().chain(self.outputs.front().map(|output| output.due)).min()
    }

    /// Lets everything happen that is due up to `now`.
    pub fn advance(&mut self, now: Duration) {
        while let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((at, _), event) = entry.remove_entry();
            self.pass(at);
            self.happen(event);
        }
        self.pass(now);
    }

    fn pass(&mut self, now: Duration) {
        self.now = self.now.max(now);
        self.devices.iter_mut().for_each(|device| device.advance(now));
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Say(frame) => self.say(frame),
            Event::Attempt { turn } => self.attempt(turn),
            Event::Arrives { turn, message, hops } => self.arrives(turn, message, hops),
            Event::Heard { turn, message } => self.heard(turn, message),
            Event::GroupHeard { turn, group, cmd1 } => self.group_heard(turn, group, cmd1),
            Event::Cleanup { turn, group, cmd1, members } => self.clean_up(turn, group, cmd1, members),
            Event::Booted => self.booted(),
            Event::ResetDone => self.reset_done(),
            Event::Traffic(fault) => self.traffic(fault),
        }
    }

    /// The latest moment that it has seen.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.now
    }

    /// Lets this go wrong until it is cleared. A fault that is already set is not set twice.
    pub fn set_fault(&mut self, fault: Fault) {
        self.set(fault, None);
    }

    /// Lets this go wrong the next `times` times.
    pub fn set_fault_times(&mut self, fault: Fault, times: u32) {
        self.set(fault, Some(times));
    }

    fn set(&mut self, fault: Fault, left: Option<u32>) {
        self.faults.set(fault, left);
        if let Fault::Foreign { every } | Fault::SecondHost { every } = fault {
            self.events.retain(|_, event| !matches!(event, Event::Traffic(old) if *old == fault));
            self.traffic_later(fault, every);
        }
    }

    pub(crate) fn traffic_later(&mut self, fault: Fault, every: Duration) {
        let pause = self.faults.about(every);
        self.later(pause, Event::Traffic(fault));
    }

    /// Ends one fault.
    pub fn clear_fault(&mut self, fault: Fault) {
        self.faults.clear(fault);
    }

    /// Ends all faults.
    pub fn clear_faults(&mut self) {
        self.faults.clear_all();
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> Id {
        self.modem.id
    }

    /// Its configuration bits, as `6B` sets them.
    #[must_use]
    pub fn config(&self) -> u8 {
        self.modem.config
    }

    /// Its link database.
    #[must_use]
    pub fn links(&self) -> &Links {
        &self.modem.links
    }

    /// Its link database, to change it: to fill it, to make it small, to punch holes into it.
    pub fn links_mut(&mut self) -> &mut Links {
        &mut self.modem.links
    }

    /// It waits to be linked with a device.
    #[must_use]
    pub fn is_linking(&self) -> bool {
        self.linking_now().is_some()
    }

    /// The devices around it.
    #[must_use]
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// The devices, to change them.
    pub fn devices_mut(&mut self) -> &mut [Device] {
        &mut self.devices
    }

    /// Plugs in one more device.
    pub fn add(&mut self, device: Device) {
        self.devices.push(device);
    }

    /// One device.
    #[must_use]
    pub fn device(&self, id: Id) -> Option<&Device> {
        self.devices.iter().find(|device| device.id() == id)
    }

    /// One device, to change it.
    pub fn device_mut(&mut self, id: Id) -> Option<&mut Device> {
        self.devices.iter_mut().find(|device| device.id() == id)
    }

    /// Commands heard from the host so far, oldest first; the last 4096.
    pub fn requests(&self) -> impl Iterator<Item = &Recorded> {
        self.recorded.iter()
    }

    /// Forgets the commands heard so far.
    pub fn clear_requests(&mut self) {
        self.recorded.clear();
    }

    /// Bytes from the host that belonged to no command.
    #[must_use]
    pub fn junk_bytes(&self) -> u64 {
        self.ear.junk_bytes
    }

    /// Cuts the modem off its mains for a moment: what runs is lost, its links stay.
    pub fn reboot(&mut self) {
        self.ear.forget();
        self.outputs.clear();
        self.next_turn();
        (self.sending, self.modem.linking, self.modem.cursor) = (None, None, None);
        self.modem.booting = true;
        self.later(BOOT_TIME, Event::Booted);
    }

    /// Holds the modem's button at power-up: it says `02 55`, and its links are gone.
    pub fn press_reset(&mut self) {
        self.next_turn();
        self.say(vec![0x02, 0x55]);
        self.forget_everything();
    }

    fn booted(&mut self) {
        self.modem.booting = false;
        let noise = 1 + self.faults.random.below(12);
        let noise = (0..noise).map(|_| self.faults.random.below(256).to_le_bytes()[0]).collect();
        self.say(noise);
    }

    pub(crate) fn start_reset(&mut self) {
        self.next_turn();
        self.modem.resetting = true;
        self.later(RESET_TIME, Event::ResetDone);
    }

    fn reset_done(&mut self) {
        self.modem.resetting = false;
        self.forget_everything();
        self.echo(&[0x02, 0x67], Vec::new());
    }

    fn forget_everything(&mut self) {
        self.modem.links.clear();
        self.modem.config = 0;
        self.modem.product = PRODUCT;
        (self.modem.cursor, self.modem.linking, self.modem.last_sender) = (None, None, None);
    }

    pub(crate) fn later(&mut self, pause: Duration, event: Event) {
        self.events.insert((self.now + pause, self.made), event);
        self.made += 1;
    }

    /// Sends a frame to the host, behind what is on its way already.
    pub(crate) fn say(&mut self, frame: Vec<u8>) {
        if self.modem.booting || self.faults.strikes(Fault::Mute) {
            return;
        }
        for (gap, bytes) in self.faults.pieces(frame) {
            let free = self.outputs.back().map_or(self.now, |output| output.due.max(self.now));
            let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            self.outputs.push_back(Output { due: free + gap + BYTE_TIME * length, bytes });
        }
    }

    /// Repeats a command with `06`, and `then` what belongs to it.
    pub(crate) fn echo(&mut self, command: &[u8], then: Vec<Vec<u8>>) {
        let echo = [command, &[0x06]].concat();
        let twice = if self.faults.strikes(Fault::EchoTwice) { 2 } else { 1 };
        let late = |fault| if let Fault::EchoLate(pause) = fault { Some(pause) } else { None };
        let late = self.faults.strike(late);
        for frame in std::iter::repeat_n(echo, twice).chain(then) {
            match late {
                Some(pause) => self.later(pause, Event::Say(frame)),
                None => self.say(frame),
            }
        }
    }

    fn record(&mut self, command: &[u8]) {
        if self.recorded.len() == MAX_RECORDED {
            self.recorded.pop_front();
        }
        self.recorded.push_back(Recorded { at: self.now, bytes: command.to_vec(), preamble: 0 });
    }
}
