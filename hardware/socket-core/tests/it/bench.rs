//! One socket on a bench: virtual time, a line that can be busy, flash whose power can be cut, and a gateway that knows
//! the text and nothing of the socket.

use plugline_protocol::frame::{self, Frame, Kind, Options};
use plugline_protocol::messages::{
    Answer, Ask, Beacon, Capabilities, Command, Grant, JoinUp, Report, Response, SlotPlan,
};
use plugline_protocol::security::{Channel, Joined, Key, KeySet, Nonces, ShortKey, answer_join};
use plugline_protocol::timing::LineRate;
use plugline_protocol::{Eui64, Identity, NetworkId, ShortAddress};
use plugline_socket::{Factory, Led, Limits, Output, Sample, Socket, Start, Transmitted};

use crate::testing::Flash;

pub(crate) const SECOND: u64 = 1_000_000;
pub(crate) const MINUTE: u64 = 60 * SECOND;

pub(crate) fn factory() -> Factory {
    Factory {
        eui: Eui64(*b"\x02\xA0\xB1\xFF\xFE\0\x124"),
        install_key: Key::new([7; 16]),
        hardware: 0x31,
        capabilities: Capabilities { relay: true, meter: true, ring: true, ..Capabilities::default() },
        limits: Limits { current_ma: 16_000, temperature_c: 85 },
        rate: LineRate::REFERENCE,
        crc: true,
    }
}

/// A frame that the socket put on the line.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) pdu: Vec<u8>,
    pub(crate) start_us: u64,
    pub(crate) listen: bool,
}

impl Sent {
    pub(crate) fn kind(&self) -> Kind {
        Frame::parse(&self.pdu).expect("a socket sends frames").kind()
    }
}

/// The socket and what is around it.
pub(crate) struct Bench {
    pub(crate) socket: Socket<Flash>,
    pub(crate) now_us: u64,
    pub(crate) sent: Vec<Sent>,
    /// How many of them [`Self::next_frame`] gave, or were passed over.
    seen: usize,
    pub(crate) relay: Option<bool>,
    pub(crate) led: Option<Led>,
    pub(crate) restarts: u32,
    /// Somebody else speaks all the time: whoever listens gets `Busy`.
    pub(crate) busy: bool,
    /// The meter's power, added up each second.
    pub(crate) power_mw: u32,
    /// With the board's power everything else goes as well.
    pub(crate) dies_with_board: bool,
    metered_us: u64,
    ending: Option<u64>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(factory(), Flash::new(), Start::PowerOn, 1)
    }

    pub(crate) fn with(factory: Factory, flash: Flash, start: Start, seed: u32) -> Self {
        let socket = Socket::new(factory, flash, start, [seed, 2, 3, 4], 0);
        let mut bench = Self {
            socket,
            now_us: 0,
            sent: Vec::new(),
            seen: 0,
            relay: None,
            led: None,
            restarts: 0,
            busy: false,
            power_mw: 0,
            dies_with_board: false,
            metered_us: 0,
            ending: None,
        };
        bench.socket.handle_timeout(0);
        bench.drain();
        bench
    }

    /// Power goes, and comes back at once.
    pub(crate) fn cut_power(self) -> Self {
        self.restart(Start::PowerOn)
    }

    pub(crate) fn restart(self, start: Start) -> Self {
        let (factory, seed) = (self.socket.factory().clone(), self.socket.starts().into());
        let flash = self.socket.into_board();
        flash.power_on();
        Self::with(factory, flash, start, seed)
    }

    pub(crate) fn run_for(&mut self, us: u64) {
        self.run_until(|_| false, us);
    }

    /// Lets time go on until the condition holds; `true` when it did within `us`.
    pub(crate) fn run_until(&mut self, mut holds: impl FnMut(&Self) -> bool, us: u64) -> bool {
        let end_us = self.now_us + us;
        while !holds(self) && !self.is_dead() {
            let metered_us = self.metered_us + SECOND;
            let next_us = self.socket.poll_timeout().min(self.ending.unwrap_or(u64::MAX)).min(metered_us);
            if next_us > end_us {
                self.now_us = end_us;
                return holds(self);
            }
            self.now_us = self.now_us.max(next_us);
            self.step(metered_us);
        }
        !self.is_dead()
    }

    fn step(&mut self, metered_us: u64) {
        if let Some(ended_us) = self.ending.take_if(|end_us| self.now_us >= *end_us) {
            self.socket.handle_transmitted(Transmitted::Sent { ended_us }, self.now_us);
        } else if self.now_us >= metered_us {
            self.metered_us = metered_us;
            // A second at P mW is P / 3.6 µWh.
            let imported_uwh = self.power_mw * 10 / 36;
            self.meter(&Sample {
                imported_uwh,
                current_ma: Some(500),
                voltage_10mv: Some(23_000),
                ..Sample::default()
            });
        } else {
            self.socket.handle_timeout(self.now_us);
        }
        self.drain();
        let woken = self.socket.poll_timeout() <= self.now_us;
        assert!(!woken || self.is_dead(), "the socket wakes for nothing");
    }

    pub(crate) fn meter(&mut self, sample: &Sample) {
        self.socket.handle_metering(sample, self.now_us);
        self.drain();
    }

    /// A person presses the button for so long.
    pub(crate) fn press(&mut self, us: u64) {
        self.socket.handle_button(true, self.now_us);
        self.drain();
        self.run_for(us);
        self.socket.handle_button(false, self.now_us);
        self.drain();
    }

    /// The bearer says something, whether it was asked or not.
    pub(crate) fn confirm(&mut self, how: Transmitted) {
        self.ending = None;
        self.socket.handle_transmitted(how, self.now_us);
        self.drain();
    }

    /// Somebody begins or stops to be heard.
    pub(crate) fn carrier(&mut self, busy: bool) {
        self.socket.handle_carrier(busy, self.now_us);
        self.drain();
    }

    /// A frame ends on the line now.
    pub(crate) fn hear(&mut self, pdu: &[u8]) {
        let mut room = [0; frame::MAX_FRAME];
        let octets = frame::with_crc(pdu, &mut room).expect("a frame fits").to_vec();
        self.hear_octets(&octets);
    }

    pub(crate) fn hear_octets(&mut self, octets: &[u8]) {
        self.socket.handle_frame(octets, self.now_us, self.now_us);
        self.drain();
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dies_with_board && self.socket.board().is_dead()
    }

    fn drain(&mut self) {
        while !self.is_dead() {
            let how = match self.socket.poll_output() {
                None => return,
                Some(Output::Relay { on }) => {
                    self.relay = Some(on);
                    continue;
                }
                Some(Output::Led(led)) => {
                    self.led = Some(led);
                    continue;
                }
                Some(Output::Restart) => {
                    self.restarts += 1;
                    continue;
                }
                Some(Output::Transmit(transmit)) if self.busy && transmit.listen => Transmitted::Busy,
                Some(Output::Transmit(transmit)) => {
                    assert!(self.ending.is_none(), "two frames at once");
                    let start_us = transmit.not_before_us.max(self.now_us);
                    assert!(start_us <= transmit.not_after_us, "handed out too late");
                    let airtime = LineRate::REFERENCE.airtime_us(transmit.frame.len());
                    let end_us = start_us + u64::from(airtime);
                    let pdu = frame::without_crc(transmit.frame).expect("its CRC is right").to_vec();
                    self.sent.push(Sent { pdu, start_us, listen: transmit.listen });
                    self.ending = Some(end_us);
                    continue;
                }
            };
            self.socket.handle_transmitted(how, self.now_us);
        }
    }

    /// Runs until the next frame that was not seen yet is on the line whole, and gives it.
    pub(crate) fn next_frame(&mut self, within_us: u64) -> Option<Sent> {
        let came = self.run_until(|bench| bench.sent.len() > bench.seen && bench.ending.is_none(), within_us);
        self.seen += usize::from(came);
        came.then(|| self.sent[self.seen - 1].clone())
    }

    /// What was sent up to now does not count.
    pub(crate) fn pass_over(&mut self) {
        self.run_until(|bench| bench.ending.is_none(), SECOND);
        self.seen = self.sent.len();
    }
}

/// What a gateway knows of one socket.
pub(crate) struct Gateway {
    pub(crate) who: Identity,
    pub(crate) keys: KeySet,
    pub(crate) group_key: Key,
    pub(crate) group_counter: u32,
    pub(crate) down_counter: u32,
    /// The newest counter heard.
    pub(crate) heard: u32,
    pub(crate) plan: SlotPlan,
    pub(crate) minute: u8,
}

impl Gateway {
    pub(crate) const SLOT: u16 = 3;

    /// Answers a JOIN-UP.
    pub(crate) fn admit(up: &Sent, slot: Option<u16>) -> (Self, Vec<u8>) {
        let frame = Frame::parse(&up.pdu).expect("a frame");
        let up = JoinUp::parse(&frame).expect("a JOIN-UP");
        let who = Identity { eui: up.eui, network: NetworkId(0x4A17), short: ShortAddress(0x12) };
        let nonces = Nonces { socket: up.nonce, gateway: [9; 8] };
        let keys = KeySet::joined(&factory().install_key, &who, &nonces);
        let group_key = Key::new([5; 16]);
        let grant = Grant { group_key: group_key.clone(), group_counter: 100, slot };
        let joined = Joined { identity: who, keys: keys.clone(), grant };
        let mut out = [0; frame::MAX_PDU];
        let pdu =
            answer_join(&joined, nonces.gateway, Options::default(), &mut out).expect("it fits").to_vec();
        let plan = SlotPlan { first_ms: 1_500, pitch_ms: 190, slots: 60 };
        let gateway =
            Self { who, keys, group_key, group_counter: 100, down_counter: 0, heard: 0, plan, minute: 40 };
        (gateway, pdu)
    }

    /// A joined socket with a slot, the first REPORT acknowledged, SYNC done.
    pub(crate) fn with_joined_socket() -> (Self, Bench) {
        let mut bench = Bench::new();
        let gateway = Self::join(&mut bench);
        (gateway, bench)
    }

    pub(crate) fn join(bench: &mut Bench) -> Self {
        let up = bench.next_frame(2 * MINUTE).expect("an unjoined socket asks");
        let (mut gateway, down) = Self::admit(&up, Some(Self::SLOT));
        bench.hear(&down);
        gateway.welcome(bench);
        gateway
    }

    /// Hears the REPORT that asks for a SYNC, and gives it.
    pub(crate) fn welcome(&mut self, bench: &mut Bench) {
        // One that nobody acknowledged for long waits for up to 16 minutes.
        while let Some(sent) = bench.next_frame(20 * MINUTE) {
            if sent.kind() == Kind::Report {
                self.report(&sent);
                let sync = Ask::Sync { group_counter: self.group_counter };
                assert!(self.ask(bench, sync).is_some(), "a SYNC is answered");
                return;
            }
        }
        panic!("no REPORT came");
    }

    /// Opens a frame from the socket.
    pub(crate) fn open(&mut self, sent: &Sent) -> (u32, Vec<u8>) {
        let frame = Frame::parse(&sent.pdu).expect("a frame");
        let mut clear = [0; frame::MAX_PAYLOAD];
        let up = Channel::up(&self.keys.up, &self.who);
        let payload = up.open(&frame, &mut clear).expect("it is from the socket").to_vec();
        let counter = frame.counter().expect("it is secured");
        self.heard = self.heard.max(counter);
        (counter, payload)
    }

    /// Hears the counter of a frame, whatever is in it.
    fn note(&mut self, sent: &Sent) {
        let counter = Frame::parse(&sent.pdu).ok().and_then(|frame| frame.counter());
        self.heard = self.heard.max(counter.unwrap_or(0));
    }

    /// Opens a REPORT; extensions apart.
    pub(crate) fn report(&mut self, sent: &Sent) -> Report<'static> {
        let (_, payload) = self.open(sent);
        let report = Report::parse(&payload).expect("a REPORT");
        Report { extensions: plugline_protocol::messages::Extensions::NONE, ..report }
    }

    pub(crate) fn ack(&self, sent: &Sent) -> Vec<u8> {
        let counter = Frame::parse(&sent.pdu).ok().and_then(|frame| frame.counter()).expect("a REPORT");
        let mut out = [0; frame::MAX_PDU];
        let key = ShortKey::new(&self.keys.ack, &self.who);
        key.ack(Options::default(), counter, &mut out).expect("it fits").to_vec()
    }

    /// Seals a COMMAND with the next counter.
    pub(crate) fn command(&mut self, ask: Ask) -> Vec<u8> {
        self.down_counter += 1;
        self.command_with(self.down_counter, self.heard, ask)
    }

    pub(crate) fn command_with(&self, counter: u32, reference: u32, ask: Ask) -> Vec<u8> {
        let mut out = [0; frame::MAX_PDU];
        let down = Channel::down(&self.keys.down, &self.who);
        let command = Command { reference, ask };
        down.seal(Options::default(), counter, &command, &mut out).expect("it fits").to_vec()
    }

    /// Sends a COMMAND and gives what came back within the time for answers.
    pub(crate) fn ask(&mut self, bench: &mut Bench, ask: Ask) -> Option<Sent> {
        bench.pass_over();
        bench.sent.iter().for_each(|sent| self.note(sent));
        let pdu = self.command(ask);
        bench.hear(&pdu);
        bench.next_frame(200_000)
    }

    /// The outcome in an ANSWER to the last COMMAND.
    pub(crate) fn answer(&self, sent: &Sent) -> Answer {
        let frame = Frame::parse(&sent.pdu).expect("a frame");
        let key = ShortKey::new(&self.keys.ack, &self.who);
        key.open_answer(&frame, self.down_counter).expect("an ANSWER to the last COMMAND")
    }

    pub(crate) fn response<'p>(&mut self, sent: &Sent, payload: &'p mut Vec<u8>) -> Response<'p> {
        *payload = self.open(sent).1;
        Response::parse(payload).expect("a RESPONSE")
    }

    /// A BEACON that ends now, `offset_ms` after the start of its superframe.
    pub(crate) fn beacon(&mut self, beacon: &Beacon<'_>) -> Vec<u8> {
        self.group_counter += 1;
        self.beacon_with(self.group_counter, beacon)
    }

    pub(crate) fn beacon_with(&self, counter: u32, beacon: &Beacon<'_>) -> Vec<u8> {
        let mut out = [0; frame::MAX_PDU];
        let group = Channel::group(&self.group_key, self.who.network);
        group.seal(Options::default(), counter, beacon, &mut out).expect("it fits").to_vec()
    }

    /// Starts a superframe with a BEACON that ends 200 ms after its start.
    pub(crate) fn begin_superframe(&mut self, bench: &mut Bench, received: &[u8]) {
        self.minute = self.minute.wrapping_add(1);
        let (minute, plan) = (self.minute, self.plan);
        let received = plugline_protocol::messages::SlotBits(received);
        let pdu = self.beacon(&Beacon { minute, offset_ms: 200, plan, received, ..Beacon::default() });
        bench.hear(&pdu);
    }

    /// Where the socket's slot begins in the superframe that began with a BEACON at `heard_us`.
    pub(crate) fn slot_us(&self, heard_us: u64) -> u64 {
        let start_ms = self.plan.start_ms(Self::SLOT).expect("the plan has it");
        heard_us - 200_000 + u64::from(start_ms) * 1000
    }
}
