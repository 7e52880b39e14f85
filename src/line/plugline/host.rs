//! The modem: requests under numbers, their confirms, and whether it answers at all. `protocol-spec/host-link.md`.
//!
//! ```text
//! port open ─▶ RESET ─▶ HELLO ─▶ up ─▶ STATUS-REQ when nothing was heard for long
//!               ╲▶ silent: RESET again, ever later; every third time the port is opened anew
//! ```
//! Refuses to know what the frames say, and when they should go.

use std::collections::VecDeque;
use std::time::Duration;

use plugline_protocol::hostlink::{
    Confirm, Deframer, Hello, LINK_VERSION, MAX_ENCODED, Message, Signal, Transmit, TxResult, encode,
};

use super::clock::ModemClock;
use crate::device::Moment;
use crate::line::{Happening, LineOutput, Outputs, Parity, Reception, SerialSettings};

/// The modem's port: a USB bridge or the microcontroller itself.
pub(super) const SETTINGS: SerialSettings = SerialSettings { baud: 115_200, parity: Parity::None };
/// A modem that is there says HELLO within this time, a slow start included.
const HELLO_WAIT: Duration = Duration::from_millis(1_500);
/// Wait after the first silence; doubled after each further one.
const PROBE_PAUSE: Duration = Duration::from_secs(1);
const PROBE_PAUSE_MAX: Duration = Duration::from_secs(120);
/// Every so many probes the port is opened anew.
const PROBES_PER_REOPEN: u32 = 3;
/// After so many of these a person is asked for help.
const REOPENS_TO_NOTICE: u32 = 2;
/// A modem is asked this often how it is.
const STATUS_PERIOD: Duration = Duration::from_secs(10);
/// So many questions without an answer, and it is asked to begin anew.
const UNANSWERED_MAX: u8 = 3;
/// A request is confirmed within this, at least as waiting.
const CONFIRM_WAIT: Duration = Duration::from_millis(100);
/// From the last moment at which a waiting frame may start until its confirm: the longest frame at 2400 bit/s, and the
/// port.
const END_WAIT: Duration = Duration::from_millis(700);
/// What was written and not confirmed is written so often in all.
const WRITES_MAX: u8 = 4;
/// Requests that wait for the modem's queue.
const WAITING_MAX: usize = 32;

/// What the modem did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HostEvent {
    /// It said HELLO. All requests are gone if it started anew.
    Up {
        /// Its boot number is another one than before, or the first.
        restarted: bool,
    },
    /// A frame was heard; its last octet was on the line at `end_us`.
    Heard { pdu: Vec<u8>, end_us: u64, reception: Reception },
    /// A request ended.
    Ended { number: u8, confirm: Confirm },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Closed,
    /// The next RESET goes out then.
    Probe(Moment),
    /// One went out; HELLO is awaited until then.
    Asked(Moment),
    Up,
}

/// A request on its way.
#[derive(Debug)]
struct Request {
    number: u8,
    transmit: (u64, u64),
    pdu: Vec<u8>,
    writes: u8,
    /// When the confirm counts as lost; `None` while it waits for room in the modem's queue.
    due: Option<Moment>,
}

/// The modem.
#[derive(Debug, Default)]
pub(super) struct Host {
    deframer: Deframer,
    stage: Stage,
    answers: Option<bool>,
    failed_probes: u32,
    pub(super) hello: Option<Hello>,
    pub(super) clock: ModemClock,
    number: u8,
    /// What it says next without being asked bears this number.
    expected: Option<u8>,
    requests: Vec<Request>,
    /// When it is next asked how it is, and how often it did not answer.
    status_due: Moment,
    unanswered: u8,
    events: VecDeque<HostEvent>,
}

impl Host {
    /// It answers and takes requests.
    pub(super) fn up(&self) -> bool {
        self.stage == Stage::Up
    }

    pub(super) fn port_changed(&mut self, open: bool, now: Moment) {
        self.deframer.reset();
        self.requests.clear();
        self.expected = None;
        self.stage = if open { Stage::Probe(now) } else { Stage::Closed };
        self.answers = self.answers.filter(|_| open);
        if !open {
            self.failed_probes = 0;
        }
    }

    /// Asks for a frame to be sent; gives the number under which it will end. `None`: too many wait.
    pub(super) fn send(
        &mut self,
        pdu: &[u8],
        window: (u64, u64),
        now: Moment,
        out: &mut Outputs,
    ) -> Option<u8> {
        if self.requests.len() >= WAITING_MAX {
            return None;
        }
        let number = self.numbered();
        self.requests.push(Request { number, transmit: window, pdu: pdu.to_vec(), writes: 0, due: None });
        self.feed(now, out);
        Some(number)
    }

    /// A number for a message: the next one that no open request has, of which there are 32 at most.
    fn numbered(&mut self) -> u8 {
        loop {
            let number = self.number;
            self.number = number.wrapping_add(1);
            if self.requests.iter().all(|request| request.number != number) {
                return number;
            }
        }
    }

    /// Counts a gap in the numbers of what the modem says without being asked: something of it was lost.
    fn in_step(&mut self, number: u8, out: &mut Outputs) {
        if self.expected.replace(number.wrapping_add(1)).is_some_and(|expected| expected != number) {
            out.happen(Happening::Malformed { kind: "gap" });
        }
    }

    /// Takes a request back, if the modem has not begun with it.
    pub(super) fn cancel(&mut self, number: u8, out: &mut Outputs) {
        let Some(at) = self.requests.iter().position(|request| request.number == number) else { return };
        if self.requests.remove(at).due.is_some() && self.up() {
            write(self.numbered(), &Message::Cancel { number }, out);
        }
    }

    /// Writes requests as far as the modem's queue has room.
    fn feed(&mut self, now: Moment, out: &mut Outputs) {
        let room = self.hello.map_or(1, |hello| usize::from(hello.queue.max(1)));
        let written = self.requests.iter().filter(|request| request.due.is_some()).count();
        let waiting = self.requests.iter_mut().filter(|request| request.due.is_none());
        for request in waiting.take(room.saturating_sub(written)) {
            request.writes = 1;
            request.due = Some(now + CONFIRM_WAIT);
            write_request(request, out);
        }
    }

    /// Takes bytes from the port.
    pub(super) fn handle_bytes(&mut self, bytes: &[u8], now: Moment, out: &mut Outputs) {
        let mut deframer = std::mem::take(&mut self.deframer);
        for byte in bytes {
            match deframer.push(*byte) {
                None => {}
                Some(Err(error)) => out.happen(Happening::Malformed { kind: error.name() }),
                Some(Ok(packet)) => match Message::parse(&packet) {
                    Ok(message) => self.hear(packet.seq, &message, now, out),
                    Err(_) => out.happen(Happening::Malformed { kind: "message" }),
                },
            }
        }
        self.deframer = deframer;
        self.feed(now, out);
    }

    fn hear(&mut self, number: u8, message: &Message<'_>, now: Moment, out: &mut Outputs) {
        if matches!(message, Message::Receive(_)) {
            self.in_step(number, out);
        }
        match message {
            Message::Hello(hello) => {
                // One that started anew begins to count anew.
                self.expected.take_if(|_| self.hello.is_none_or(|before| before.boot != hello.boot));
                self.in_step(number, out);
                self.greeted(hello, now, out);
            }
            Message::Receive(receive) if self.up() => {
                let end_us = self.told(receive.end_us, now, out);
                let Signal { snr_db, level } = receive.signal;
                let reception =
                    Reception { snr_db, level_dbuv: level.map(|level| level.0), ..Reception::default() };
                self.events.push_back(HostEvent::Heard { pdu: receive.pdu.to_vec(), end_us, reception });
            }
            Message::Confirm(confirm) if self.up() => self.confirmed(number, *confirm, now, out),
            Message::Status(status) if self.up() => {
                self.unanswered = 0;
                self.told(status.clock_us, now, out);
            }
            // It speaks, and its HELLO was lost: ask again at once.
            Message::Receive(_) | Message::Confirm(_) | Message::Status(_) => self.hurry(now),
            _ => out.happen(Happening::Malformed { kind: "echo" }),
        }
    }

    /// A time that the modem told; its present one instead of one that cannot be.
    fn told(&mut self, us: u64, now: Moment, out: &mut Outputs) -> u64 {
        if !self.clock.fits(us, now) {
            out.happen(Happening::Malformed { kind: "clock" });
            return self.clock.at(now);
        }
        self.clock.observe(us, now);
        us
    }

    fn hurry(&mut self, now: Moment) {
        if let Stage::Probe(due) = &mut self.stage {
            *due = now.min(*due);
        }
    }

    fn greeted(&mut self, hello: &Hello, now: Moment, out: &mut Outputs) {
        if self.stage == Stage::Closed {
            return;
        }
        if hello.version != LINK_VERSION {
            if self.failed_probes == 0 {
                let detail = format!(
                    "the modem speaks version {} of the host link, this gateway version {LINK_VERSION}: update the older one",
                    hello.version
                );
                out.happen(Happening::Notice { code: "modem_version", detail });
            }
            return self.probe_failed(now, out);
        }
        let before = self.hello.replace(*hello);
        let another = before.is_none_or(|before| before.boot != hello.boot);
        let restarted = another || !self.clock.fits(hello.clock_us, now);
        if restarted {
            self.clock = ModemClock::default();
            if before.is_some() && self.up() {
                let detail = format!("the modem started anew ({:?})", hello.reason).to_lowercase();
                out.happen(Happening::Notice { code: "modem_reset", detail });
            }
        }
        self.clock.observe(hello.clock_us, now);
        self.stage = Stage::Up;
        self.failed_probes = 0;
        (self.status_due, self.unanswered) = (now + STATUS_PERIOD, 0);
        // Whatever was asked before a HELLO is not known to it any more.
        self.requests.clear();
        self.tell_answers(true, out);
        self.events.push_back(HostEvent::Up { restarted });
    }

    fn confirmed(&mut self, number: u8, mut confirm: Confirm, now: Moment, out: &mut Outputs) {
        let Some(at) = self.requests.iter().position(|request| request.number == number) else { return };
        if confirm.result == TxResult::Queued {
            let (before, after) = self.requests[at].transmit;
            // It may wait for as long as it was told to, and then be on the line.
            let latest = if after == u64::MAX {
                before.max(self.clock.at(now)).saturating_add(60_000_000)
            } else {
                after
            };
            self.requests[at].due = Some(self.clock.moment(latest).max(now) + END_WAIT);
            return;
        }
        if confirm.end_us != 0 {
            confirm.end_us = self.told(confirm.end_us, now, out);
        }
        self.requests.remove(at);
        self.events.push_back(HostEvent::Ended { number, confirm });
    }

    /// What happened since; takes it.
    pub(super) fn next_event(&mut self) -> Option<HostEvent> {
        self.events.pop_front()
    }

    pub(super) fn handle_timeout(&mut self, now: Moment, out: &mut Outputs) {
        match self.stage {
            Stage::Probe(due) if due <= now => {
                self.stage = Stage::Asked(now + HELLO_WAIT);
                write(self.numbered(), &Message::Reset { version: LINK_VERSION }, out);
            }
            Stage::Asked(due) if due <= now => {
                out.happen(Happening::Recovery { step: "probe" });
                self.probe_failed(now, out);
            }
            Stage::Up => self.watch(now, out),
            Stage::Closed | Stage::Probe(_) | Stage::Asked(_) => {}
        }
    }

    fn watch(&mut self, now: Moment, out: &mut Outputs) {
        if self.status_due <= now {
            if self.unanswered >= UNANSWERED_MAX {
                return self.lost(now);
            }
            self.unanswered += 1;
            self.status_due = now + STATUS_PERIOD;
            write(self.numbered(), &Message::StatusAsk, out);
        }
        let mut given_up = None;
        for request in self.requests.iter_mut().filter(|request| request.due.is_some_and(|due| due <= now)) {
            if request.writes >= WRITES_MAX {
                given_up = Some(request.number);
                break;
            }
            request.writes += 1;
            request.due = Some(now + CONFIRM_WAIT);
            write_request(request, out);
        }
        if given_up.is_some() {
            out.happen(Happening::Malformed { kind: "no_confirm" });
            self.lost(now);
        }
    }

    /// It does not do its work: everything under way is lost, and it is asked to begin anew.
    fn lost(&mut self, now: Moment) {
        for request in std::mem::take(&mut self.requests) {
            let confirm = Confirm { result: TxResult::Other, end_us: 0, airtime_us: 0 };
            self.events.push_back(HostEvent::Ended { number: request.number, confirm });
        }
        self.stage = Stage::Probe(now);
    }

    fn probe_failed(&mut self, now: Moment, out: &mut Outputs) {
        self.tell_answers(false, out);
        self.failed_probes = self.failed_probes.saturating_add(1);
        let failed = self.failed_probes;
        let pause = PROBE_PAUSE.saturating_mul(1 << failed.min(10)).min(PROBE_PAUSE_MAX);
        self.stage = Stage::Probe(now + pause);
        if failed.is_multiple_of(PROBES_PER_REOPEN) {
            out.happen(Happening::Recovery { step: "reopen" });
            out.push(LineOutput::Reopen(SETTINGS));
        }
        if failed == PROBES_PER_REOPEN * REOPENS_TO_NOTICE {
            let detail = "the modem does not answer, though its port was opened anew: see its cable and its supply, \
                          and that no other program uses the port";
            out.happen(Happening::Notice { code: "modem_silent", detail: detail.to_owned() });
        }
    }

    fn tell_answers(&mut self, answers: bool, out: &mut Outputs) {
        if self.answers != Some(answers) {
            self.answers = Some(answers);
            out.happen(Happening::Modem { answers });
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Moment> {
        match self.stage {
            Stage::Closed => None,
            Stage::Probe(due) | Stage::Asked(due) => Some(due),
            Stage::Up => {
                self.requests.iter().filter_map(|request| request.due).chain([self.status_due]).min()
            }
        }
    }
}

fn write_request(request: &Request, out: &mut Outputs) {
    let (not_before_us, not_after_us) = request.transmit;
    let transmit = Transmit { not_before_us, not_after_us, pdu: &request.pdu };
    write(request.number, &Message::Transmit(transmit), out);
}

fn write(number: u8, message: &Message<'_>, out: &mut Outputs) {
    let mut room = [0; MAX_ENCODED];
    let bytes = encode(number, message, &mut room).expect("the longest PDU fits the longest packet");
    out.push(LineOutput::Write(bytes.to_vec()));
}
