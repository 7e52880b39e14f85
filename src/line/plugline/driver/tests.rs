//! The driver in virtual time, against a small scripted modem and a socket that knows its keys.

use plugline_protocol::frame::{Header, MAX_PDU, Options as FrameOptions};
use plugline_protocol::hostlink::{
    Confirm, Deframer, Hello, LINK_VERSION, MAX_ENCODED, Message, ModemKind, Receive, Signal, StartReason,
    Status, TxResult, encode,
};
use plugline_protocol::label::Label;
use plugline_protocol::messages::{
    Answer, Ask, Beacon, Capabilities, Command, Form, History, JoinUp, Outcome as Ended, Report, Response,
};
use plugline_protocol::reading::{Cause as Why, Flags, Reading as Figures};
use plugline_protocol::security::{Channel, Joined, Key, ShortKey, accept_join, ask_to_join};
use plugline_protocol::timing::LineRate;

use super::*;
use crate::device::Reading;
use crate::line::Cause;

mod joining;
mod modem;
mod reports;
mod switching;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const EUI: Eui64 = Eui64([2, 0xA0, 0xB1, 0xFF, 0xFE, 0, 0x12, 0x34]);
const OTHER: Eui64 = Eui64([2, 0xA0, 0xB1, 0xFF, 0xFE, 0, 0x56, 0x78]);
/// `protocol-spec/join.md` §7.1.
const LABEL: &str = "PLG1:02A0B1FFFE001234:000G40R40M30E209185GR38E1W:08Y6";
/// The modem's clock is this much ahead of the bench's.
const AHEAD_US: u64 = 5_000_000;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn install() -> Key {
    Label::parse(LABEL).expect("an example of the text").install_key
}

fn target() -> Target {
    target_of(EUI)
}

fn target_of(eui: Eui64) -> Target {
    Target { address: spelled(eui).into(), channel: None }
}

/// Randomness that a test can repeat.
struct Counting(u8);

impl Entropy for Counting {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        for byte in bytes {
            self.0 = self.0.wrapping_mul(13).wrapping_add(7);
            *byte = self.0;
        }
        Ok(())
    }
}

/// What went to the modem to be sent.
#[derive(Clone, Debug)]
struct Sent {
    at: Duration,
    number: u8,
    not_before: u64,
    not_after: u64,
    pdu: Vec<u8>,
}

impl Sent {
    /// When its last octet is on a line that is free.
    fn ends(&self) -> Duration {
        let start = self.not_before.max(AHEAD_US + self.at.as_micros() as u64);
        let octets = self.pdu.len() + 2;
        Duration::from_micros(start + u64::from(LineRate::REFERENCE.airtime_us(octets)) - AHEAD_US)
    }

    fn kind(&self) -> plugline_protocol::frame::Kind {
        plugline_protocol::frame::Frame::parse(&self.pdu).expect("the driver sends frames").kind()
    }
}

/// A socket as far as the driver can tell: keys and counters.
struct Socket {
    eui: Eui64,
    install: Key,
    nonce: [u8; 8],
    joined: Option<Joined>,
    up: u32,
    energy: u32,
    relay: bool,
    flags: Flags,
}

impl Socket {
    fn new(eui: Eui64, install: Key) -> Self {
        Self {
            eui,
            install,
            nonce: [5; 8],
            joined: None,
            up: 0,
            energy: 123_456,
            relay: true,
            flags: Flags::default(),
        }
    }

    fn capabilities() -> Capabilities {
        Capabilities { relay: true, meter: true, ..Capabilities::default() }
    }

    fn join_up(&self) -> Vec<u8> {
        let up = JoinUp {
            eui: self.eui,
            minor: 0,
            capabilities: Self::capabilities(),
            hardware: 1,
            nonce: self.nonce,
        };
        let mut room = [0; MAX_PDU];
        ask_to_join(&self.install, FrameOptions::default(), &up, &mut room).expect("it fits").to_vec()
    }

    fn take(&mut self, pdu: &[u8]) {
        let frame = plugline_protocol::frame::Frame::parse(pdu).expect("a frame");
        self.joined =
            Some(accept_join(&self.install, self.eui, self.nonce, &frame).expect("it is for this socket"));
        self.up = 0;
    }

    fn place(&self) -> &Joined {
        self.joined.as_ref().expect("it has joined")
    }

    fn figures(&self) -> Figures {
        Figures {
            flags: Flags { relay_on: self.relay, ..self.flags },
            voltage_10mv: Some(23_041),
            current_ma: Some(523),
            power_10mw: Some(11_834),
            energy_100mwh: Some(self.energy),
            temperature_c: Some(34),
        }
    }

    fn seal(
        &mut self,
        options: FrameOptions,
        payload: &impl plugline_protocol::messages::Payload,
    ) -> Vec<u8> {
        self.up += 1;
        let place = self.place();
        let channel = Channel::up(&place.keys.up, &place.identity);
        let mut room = [0; MAX_PDU];
        channel.seal(options, self.up, payload, &mut room).expect("it fits").to_vec()
    }

    fn report(&mut self, minute: u8, ack: bool, before: [Option<u32>; 4]) -> Vec<u8> {
        let report = Report {
            minute,
            reading: self.figures(),
            history: History::from_samples(self.energy, before),
            ..Report::default()
        };
        self.seal(FrameOptions { ack_request: ack, ..FrameOptions::default() }, &report)
    }

    fn command(&self, pdu: &[u8]) -> (u32, Command) {
        let frame = plugline_protocol::frame::Frame::parse(pdu).expect("a frame");
        let place = self.place();
        let mut clear = [0; 128];
        let clear = Channel::down(&place.keys.down, &place.identity)
            .open(&frame, &mut clear)
            .expect("a COMMAND for it");
        (frame.counter().expect("it has one"), Command::parse(clear).expect("right"))
    }

    fn answer(&self, counter: u32, outcome: Ended) -> Vec<u8> {
        let place = self.place();
        let mut room = [0; MAX_PDU];
        let answer = Answer { outcome, relay_on: self.relay };
        let short = ShortKey::new(&place.keys.ack, &place.identity);
        short.answer(FrameOptions::default(), counter, answer, &mut room).expect("it fits").to_vec()
    }

    fn response(&mut self, counter: u32, outcome: Ended, with_reading: bool) -> Vec<u8> {
        let form = if with_reading { Form::Reading(self.figures()) } else { Form::Empty };
        self.seal(FrameOptions::default(), &Response { command_low: counter as u16, outcome, form })
    }
}

/// A line, a clock, a modem that takes every request, and a disk.
struct Bench {
    line: Plugline,
    now: Duration,
    tickets: u64,
    happenings: Vec<Happening>,
    sent: Vec<Sent>,
    /// Frames that a test has looked at.
    seen: usize,
    /// Requests that the modem holds.
    held: Vec<Sent>,
    /// What it says next.
    replies: Vec<(u8, Message<'static>)>,
    other: Vec<(Duration, u8)>,
    records: Vec<Vec<u8>>,
    reopened: usize,
    boot: u32,
    /// What its HELLO says of slots.
    no_slots: bool,
    /// Of the next packet that nobody asked the modem for.
    unasked: u8,
    deframer: Deframer,
    /// The modem confirms requests by itself; the disk keeps records at once.
    confirms: bool,
    /// A socket answers what it hears: a repeat finds the line busy.
    answering: bool,
    keeps: bool,
    kept: u64,
}

impl Bench {
    /// A line whose port is open and whose modem has not said anything.
    fn silent(options: Options) -> Self {
        let mut bench = Self {
            line: Plugline::new(options, Box::new(Counting(1))),
            now: 100 * SECOND,
            tickets: 0,
            happenings: Vec::new(),
            sent: Vec::new(),
            seen: 0,
            held: Vec::new(),
            replies: Vec::new(),
            other: Vec::new(),
            records: Vec::new(),
            reopened: 0,
            boot: 1,
            no_slots: false,
            unasked: 0,
            deframer: Deframer::new(),
            confirms: true,
            answering: false,
            keeps: true,
            kept: 0,
        };
        bench.open();
        bench
    }

    fn open(&mut self) {
        self.line.handle_port(true, self.clock());
        self.drain();
    }

    /// One whose modem answers.
    fn new() -> Self {
        Self::with(Options::default())
    }

    fn with(options: Options) -> Self {
        let mut bench = Self::silent(options);
        bench.hello(StartReason::Asked);
        bench
    }

    /// One with a socket in it, known to the hub.
    fn joined() -> (Self, Socket) {
        let mut bench = Self::new();
        let mut socket = Socket::new(EUI, install());
        bench.join(&mut socket, Some(LABEL));
        bench.wait(MINUTE);
        bench.clear();
        (bench, socket)
    }

    /// Lets a socket in, up to its first REPORT and the SYNC after it.
    fn join(&mut self, socket: &mut Socket, code: Option<&str>) {
        if let Some(code) = code {
            let address = self.line.take_code(code).expect("a label");
            self.start(Operation::Link { target: Target { address, channel: None } });
        }
        self.hear(&socket.join_up());
        self.wait(ms(300));
        let down = self.last().pdu.clone();
        socket.take(&down);
        let report = socket.report(self.minute(), true, [None; 4]);
        self.hear(&report);
        self.line.attach(&target_of(socket.eui));
        self.drain();
    }

    fn us(&self) -> u64 {
        AHEAD_US + self.now.as_micros() as u64
    }

    fn clock(&self) -> Now {
        let unix_ms = 1_700_000_000_000 + self.now.as_millis() as i64;
        Now { mono: Moment(self.now), unix_ms, synchronised: true }
    }

    /// The present minute as sockets know it.
    fn minute(&self) -> u8 {
        self.line.superframe(self.us()).0 as u8
    }

    fn clear(&mut self) {
        self.drain();
        self.happenings.clear();
        self.sent.clear();
        self.seen = 0;
        self.other.clear();
    }

    fn drain(&mut self) {
        self.take_outputs();
        while !self.replies.is_empty() {
            let (number, reply) = self.replies.remove(0);
            self.said(number, &reply);
        }
    }

    fn take_outputs(&mut self) {
        while let Some(output) = self.line.poll_output() {
            match output {
                LineOutput::Write(bytes) => self.written(&bytes),
                LineOutput::Happening(happening) => self.happenings.push(happening),
                LineOutput::Persist(record) => {
                    self.records.push(record);
                    if self.keeps {
                        self.keep();
                    }
                }
                LineOutput::Reopen(settings) => {
                    assert_eq!(settings, SETTINGS);
                    self.reopened += 1;
                }
            }
        }
    }

    /// All records are on disk.
    fn keep(&mut self) {
        self.kept = self.records.len() as u64;
        self.line.handle_kept(self.kept, self.clock());
    }

    /// What the modem gets: it confirms requests when their time comes, unless told otherwise.
    fn written(&mut self, bytes: &[u8]) {
        let mut deframer = std::mem::take(&mut self.deframer);
        for byte in bytes {
            let Some(packet) = deframer.push(*byte) else { continue };
            let packet = packet.expect("the driver writes packets");
            match Message::parse(&packet).expect("that are messages") {
                Message::Transmit(transmit) => {
                    let (not_before, not_after) = (transmit.not_before_us, transmit.not_after_us);
                    let pdu = transmit.pdu.to_vec();
                    let sent = Sent { at: self.now, number: packet.seq, not_before, not_after, pdu };
                    if self.confirms {
                        let confirm = Confirm { result: TxResult::Queued, end_us: 0, airtime_us: 0 };
                        self.replies.push((packet.seq, Message::Confirm(confirm)));
                        self.held.push(sent.clone());
                    }
                    self.sent.push(sent);
                }
                Message::Cancel { number } => self.held.retain(|sent| sent.number != number),
                Message::StatusAsk => {
                    self.other.push((self.now, 0x24));
                    if self.confirms {
                        let status = Status { clock_us: self.us(), ..Status::default() };
                        self.replies.push((packet.seq, Message::Status(status)));
                    }
                }
                message => self.other.push((self.now, message.kind())),
            }
        }
        self.deframer = deframer;
    }

    fn said(&mut self, number: u8, message: &Message<'_>) {
        let mut room = [0; MAX_ENCODED];
        let bytes = encode(number, message, &mut room).expect("it fits").to_vec();
        self.line.handle_bytes(&bytes, self.clock());
        self.drain();
    }

    /// What the modem says without being asked.
    fn unasked_for(&mut self, message: &Message<'_>) {
        let number = self.unasked;
        self.unasked = number.wrapping_add(1);
        self.said(number, message);
    }

    fn hello(&mut self, reason: StartReason) {
        let hello = Hello {
            version: LINK_VERSION,
            boot: self.boot,
            kind: ModemKind::Simulated,
            reason,
            rate: LineRate::REFERENCE,
            own_check: false,
            no_slots: self.no_slots,
            max_pdu: 126,
            queue: 8,
            clock_us: self.us(),
        };
        self.unasked_for(&Message::Hello(hello));
    }

    fn confirm(&mut self, number: u8, result: TxResult, end_us: u64) {
        self.said(number, &Message::Confirm(Confirm { result, end_us, airtime_us: 0 }));
    }

    /// A frame was heard on the line just now.
    fn hear(&mut self, pdu: &[u8]) {
        self.hear_with(pdu, Signal::default());
    }

    fn hear_with(&mut self, pdu: &[u8], signal: Signal) {
        let receive = Receive { signal, end_us: self.us(), pdu };
        self.unasked_for(&Message::Receive(receive));
    }

    /// Lets time pass, with every timer at its moment, and every request on the line at its own.
    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            let timer = self.line.poll_timeout().map_or(until, |due| due.0.max(self.now));
            let first = self.held.iter().map(Sent::ends).min().map_or(until, |end| end.max(self.now));
            let next = timer.min(first);
            if next >= until {
                break;
            }
            self.now = next;
            if let (Some(at), true) = (self.held.iter().position(|sent| sent.ends() <= next), first <= timer)
            {
                let held = self.held.remove(at);
                let repeated = self.sent.iter().filter(|sent| sent.pdu == held.pdu).count() > 1;
                let result = if self.answering && repeated { TxResult::Late } else { TxResult::Sent };
                self.confirm(held.number, result, self.us());
            } else {
                self.line.handle_timeout(self.clock());
                self.drain();
            }
        }
        self.now = until;
    }

    fn start(&mut self, operation: Operation) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.line.start(operation, ticket, Moment(self.now + 60 * SECOND), self.clock());
        self.drain();
        ticket
    }

    fn switch(&mut self, on: bool) {
        self.start(Operation::Switch { target: target(), on });
    }

    /// The next frame that goes to the modem; lets time pass until there is one.
    fn next_frame(&mut self) -> Sent {
        for _ in 0..4_000 {
            if let Some(sent) = self.sent.get(self.seen).cloned() {
                self.seen += 1;
                return sent;
            }
            self.wait(ms(5));
        }
        panic!("nothing was sent in 20 s");
    }

    fn last(&self) -> &Sent {
        self.sent.last().expect("something was sent")
    }

    fn of_kind(&self, kind: plugline_protocol::frame::Kind) -> Vec<Sent> {
        self.sent.iter().filter(|sent| sent.kind() == kind).cloned().collect()
    }

    fn progress(&self) -> Vec<Progress> {
        let progress = self.happenings.iter().filter_map(|happening| match happening {
            Happening::Progress { progress, .. } => Some(progress.clone()),
            _ => None,
        });
        progress.collect()
    }

    fn failed(&self) -> (&'static str, Outcome, bool) {
        match self.progress().pop() {
            Some(Progress::Failed(failure)) => (failure.code, failure.outcome, failure.silent),
            other => panic!("{other:?}"),
        }
    }

    fn readings(&self) -> Vec<Reading> {
        let readings = self.happenings.iter().filter_map(|happening| match happening {
            Happening::Reading { reading, .. } => Some(*reading),
            _ => None,
        });
        readings.collect()
    }

    fn late(&self) -> Vec<(u64, i64)> {
        let late = self.happenings.iter().filter_map(|happening| match happening {
            Happening::LateReading { reading, age, .. } => {
                Some((age.as_secs() / 60, reading.get(crate::device::Quantity::Energy).unwrap()))
            }
            _ => None,
        });
        late.collect()
    }

    fn relays(&self) -> Vec<(bool, Cause)> {
        let relays = self.happenings.iter().filter_map(|happening| match happening {
            Happening::Relay { on, cause, .. } => Some((*on, *cause)),
            _ => None,
        });
        relays.collect()
    }

    fn counted(&self, wanted: &str) -> usize {
        let fits =
            |happening: &&Happening| matches!(happening, Happening::Malformed { kind } if *kind == wanted);
        self.happenings.iter().filter(fits).count()
    }

    fn noticed(&self, wanted: &str) -> usize {
        let fits =
            |happening: &&Happening| matches!(happening, Happening::Notice { code, .. } if *code == wanted);
        self.happenings.iter().filter(fits).count()
    }

    fn foreign(&self) -> Vec<&str> {
        let foreign = self.happenings.iter().filter_map(|happening| match happening {
            Happening::Foreign { address } => Some(&**address),
            _ => None,
        });
        foreign.collect()
    }

    fn has_joined(&self) -> usize {
        self.happenings.iter().filter(|happening| matches!(happening, Happening::Joined { .. })).count()
    }

    /// Nothing of what happened is believed: no figures, no relay, no joining, no progress.
    fn nothing_came_of_it(&self) -> bool {
        self.readings().is_empty()
            && self.late().is_empty()
            && self.relays().is_empty()
            && self.has_joined() == 0
            && !self.progress().contains(&Progress::Done)
    }
}

fn done(attempts: u8) -> Vec<Progress> {
    let sent = (1..=attempts).map(|attempt| Progress::Sent { attempt });
    sent.chain([Progress::Done]).collect()
}
