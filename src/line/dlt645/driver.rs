//! A line of DL/T 645-2007 meters: one question in flight, its tries and waits, and what the answers say.
//!
//! Every good frame of an attached meter is told, whoever it answers; only the answer to the question in flight moves
//! an operation on. Refuses to know when to ask whom (the hub's poll plan) and where frames begin (`frame.rs`).
//! Pure: no clock, no port.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::exchange::{Answer, Exchange, is_one_meter};
use super::frame::{Address, Frame, Framer, control};
use super::item::parse_figures;
use super::options::{Closing, DeviceOptions, Options, ROWS};
use super::plan::Questions;
use super::switching::Switching;
use crate::device::{Abilities, DeviceOptions as ChosenOptions, Moment, Now, OptionRow, Target};
use crate::line::{
    BadAddress, Cause, Failure, Happening, Joins, Line, LineOutput, Operation, Outcome, Outputs, Parity,
    Profile, Progress, SerialSettings, Ticket,
};

mod operation;

/// A silence within a frame that ends it (Tb of DL/T 645-2007).
const BYTE_GAP: Duration = Duration::from_millis(500);
/// Operations in a row without any answer, after which nobody is there: as many as make one device offline.
const SILENT_OPERATIONS: u32 = 3;

/// A line of DL/T 645-2007 meters.
pub struct Dlt645 {
    options: Options,
    framer: Framer,
    devices: HashMap<Address, Device>,
    /// Meters about which a person chose something.
    chosen: BTreeMap<Arc<str>, DeviceOptions>,
    open: bool,
    job: Option<Job>,
    /// What was last told of [`Happening::Modem`].
    answers: Option<bool>,
    silent_operations: u32,
    last_byte: Option<Moment>,
    /// When an unfinished frame is given up.
    gap_due: Option<Moment>,
    outputs: Outputs,
}

struct Device {
    target: Target,
    options: DeviceOptions,
    questions: Questions,
    /// It did not answer when it was last asked: an answer of then may still be on its way.
    silent: bool,
    /// A person was allowed to close its relay.
    allowed: bool,
}

/// The operation in flight.
struct Job {
    ticket: Ticket,
    deadline: Moment,
    address: Address,
    work: Work,
    exchange: Exchange,
    /// Highest attempt told.
    sent: u8,
    /// The meter answered something.
    heard: bool,
    /// An error reply may be a late one to an earlier question: ask once more before it is believed.
    doubt: bool,
}

enum Work {
    Poll,
    /// Asks for this item of the plan, then the next; `refused` is the first error reply.
    Read {
        item: usize,
        answered: bool,
        refused: Option<Failure>,
    },
    Switch(Switching),
    Discover {
        found: bool,
    },
}

impl Dlt645 {
    /// A line with these options; its port counts as closed.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            options,
            framer: Framer::new(),
            devices: HashMap::new(),
            chosen: BTreeMap::new(),
            open: false,
            job: None,
            answers: None,
            silent_operations: 0,
            last_byte: None,
            gap_due: None,
            outputs: Outputs::default(),
        }
    }

    fn options_of(&self, address: &str) -> &DeviceOptions {
        let configured = || self.options.devices.get(address).unwrap_or(&self.options.device);
        self.chosen.get(address).unwrap_or_else(configured)
    }

    fn tries(&self) -> u8 {
        self.options.tries.max(1)
    }

    fn settle(&mut self, job: &Job, problem: Option<Failure>) {
        match problem {
            None => self.progress(job.ticket, Progress::Done),
            Some(failure) => self.fail(job, failure),
        }
    }

    fn fail(&mut self, job: &Job, failure: Failure) {
        let silent = failure.silent;
        self.progress(job.ticket, Progress::Failed(failure));
        if !silent {
            return;
        }
        self.device(job.address, |device| device.silent = true);
        self.silent_operations = self.silent_operations.saturating_add(1);
        let all = self.devices.values().all(|device| device.silent);
        if all && self.silent_operations >= SILENT_OPERATIONS {
            self.tell_answers(false);
        }
    }

    fn tell_answers(&mut self, answers: bool) {
        if self.answers != Some(answers) {
            self.answers = Some(answers);
            self.outputs.happen(Happening::Modem { answers });
        }
    }

    fn device(&mut self, address: Address, change: impl FnOnce(&mut Device)) {
        if let Some(device) = self.devices.get_mut(&address) {
            change(device);
        }
    }

    fn progress(&mut self, ticket: Ticket, progress: Progress) {
        self.outputs.happen(Happening::Progress { ticket, progress });
    }

    /// Takes every frame and every fault out of the framer.
    fn drain(&mut self, now: Moment) {
        let mut framer = std::mem::take(&mut self.framer);
        let mut whole = false;
        while let Some(next) = framer.next() {
            whole = next.is_ok();
            match next {
                Ok(frame) => self.hear(&frame, now),
                Err(fault) => {
                    self.outputs.happen(Happening::Malformed { kind: fault.kind });
                    if let Some(job) = &mut self.job {
                        job.exchange.garbled = true;
                    }
                }
            }
        }
        if whole && !framer.has_partial() {
            self.gap_due = None;
        }
        self.framer = framer;
    }

    fn hear(&mut self, frame: &Frame<'_>, now: Moment) {
        if frame.control & control::REPLY == 0 {
            // Our own words, given back by a half-duplex adapter, or another master's.
            return self.outputs.happen(Happening::Malformed { kind: "echo" });
        }
        self.silent_operations = 0;
        self.tell_answers(true);
        self.device(frame.address, |device| device.silent = false);
        let answer = self.job.as_mut().and_then(|job| job.exchange.hear(frame));
        let Some(answer) = answer else { return self.overhear(frame) };
        if matches!(answer, Answer::Accepted | Answer::Refused(_) | Answer::More) {
            self.told(frame.address);
        }
        if let Some(job) = self.job.take() {
            self.job = self.go_on(job, answer, now);
        }
    }

    /// A reply that is not the answer: a late one, or one to somebody else.
    fn overhear(&mut self, frame: &Frame<'_>) {
        match frame.item().filter(|_| frame.control == control::READ | control::REPLY) {
            Some((di, data)) if self.devices.contains_key(&frame.address) => {
                self.show(frame.address, di, data, None);
            }
            _ => self.told(frame.address),
        }
    }

    /// A meter was heard.
    fn told(&mut self, address: Address) {
        let happening = match self.devices.get(&address) {
            Some(device) => Happening::Heard { target: device.target.clone() },
            None => Happening::Foreign { address: address.to_text() },
        };
        self.outputs.happen(happening);
    }

    /// Tells what the data of an identifier says.
    fn show(&mut self, address: Address, di: u32, data: &[u8], cause: Option<Cause>) {
        let Some(device) = self.devices.get_mut(&address) else { return self.told(address) };
        let (reading, relay) = parse_figures(di, data);
        let relay = relay.filter(|_| device.options.relay);
        let target = device.target.clone();
        if !reading.is_empty() {
            return self.outputs.happen(Happening::Reading { target, reading });
        }
        let Some(on) = relay else { return self.outputs.happen(Happening::Heard { target }) };
        let pressed = on && std::mem::take(&mut device.allowed) && device.options.closing == Closing::Hand;
        let seen = if pressed { Cause::Button } else { Cause::Poll };
        self.outputs.happen(Happening::Relay { target, on, cause: cause.unwrap_or(seen) });
    }
}

impl Line for Dlt645 {
    fn serial_settings(&self) -> SerialSettings {
        SerialSettings { baud: self.options.baud, parity: Parity::Even }
    }

    /// Nothing is kept: a meter remembers all that matters.
    fn restore(&mut self, _record: &[u8]) {}

    fn canonical_address(&self, text: &str) -> Result<Arc<str>, BadAddress> {
        let bad = |want| BadAddress { given: text.to_owned(), want };
        if text.is_empty() || text.len() > 12 || !text.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(bad("a meter's address has 1 to 12 decimal digits"));
        }
        let address = Address::parse(text).filter(|address| is_one_meter(*address));
        Ok(address.ok_or_else(|| bad("999999999999 means all meters; one is wanted"))?.to_text())
    }

    fn attach(&mut self, target: &Target) -> Profile {
        let Some(address) = Address::parse(&target.address).filter(|address| is_one_meter(*address)) else {
            return Profile::default();
        };
        let options = self.options_of(&target.address).clone();
        let questions = Questions::new(&self.options, &options);
        let abilities = Abilities { relay: options.relay, dim: false, identify: false };
        let plan = Arc::clone(&questions.plan);
        let target = target.clone();
        self.devices.insert(address, Device { target, options, questions, silent: false, allowed: false });
        Profile { abilities, plan, ..Profile::default() }
    }

    fn detach(&mut self, target: &Target) {
        if let Some(address) = Address::parse(&target.address) {
            self.devices.remove(&address);
        }
    }

    fn options(&self) -> &'static [OptionRow] {
        &ROWS
    }

    fn set_options(&mut self, target: &Target, options: &ChosenOptions) {
        self.chosen.remove(&target.address);
        if !options.is_empty() {
            let chosen = self.options_of(&target.address).clone().with(options);
            self.chosen.insert(Arc::clone(&target.address), chosen);
        }
    }

    fn joins(&self) -> Joins {
        Joins { by_call: true, ..Joins::default() }
    }

    fn discovers(&self) -> bool {
        self.options.discover
    }

    fn handle_port(&mut self, open: bool, _now: Now) {
        if let Some(job) = self.job.take() {
            let outcome = if job.sent > 0 { Outcome::Unknown } else { Outcome::NotApplied };
            let detail = format!("the port was lost while waiting for {}", self.asked(&job));
            self.fail(&job, Failure { outcome, silent: false, code: "port_lost", detail });
        }
        self.open = open;
        self.framer = Framer::new();
        (self.answers, self.silent_operations) = (None, 0);
        (self.last_byte, self.gap_due) = (None, None);
    }

    fn ready(&self) -> bool {
        self.open && self.job.is_none()
    }

    fn start(&mut self, operation: Operation, ticket: Ticket, deadline: Moment, now: Now) {
        debug_assert!(self.ready(), "an operation is started only on a line that is ready");
        let prepared = if !self.ready() {
            Err(not_started("busy", "the line is not ready for an operation".to_owned()))
        } else if deadline <= now.mono {
            Err(not_started("too_late", "the time for the operation was over before it began".to_owned()))
        } else {
            self.prepare(operation, now)
        };
        let (address, work, request) = match prepared {
            Ok(prepared) => prepared,
            Err(failure) => return self.progress(ticket, Progress::Failed(failure)),
        };
        // A second wrong password in doubt would bring a meter closer to locking itself.
        let doubt = !matches!(work, Work::Switch(_))
            && self.devices.get(&address).is_some_and(|device| device.silent);
        let exchange = Exchange::new(request, self.tries(), now.mono);
        let mut job = Job { ticket, deadline, address, work, exchange, sent: 0, heard: false, doubt };
        self.hold(&mut job, now.mono, now.mono);
        self.job = Some(job);
    }

    /// No operation only waits.
    fn give_way(&mut self, _now: Now) {}

    fn handle_bytes(&mut self, bytes: &[u8], now: Now) {
        if bytes.is_empty() {
            return;
        }
        self.last_byte = Some(now.mono);
        self.gap_due = Some(now.mono + BYTE_GAP);
        self.framer.push(bytes);
        self.drain(now.mono);
    }

    fn handle_timeout(&mut self, now: Now) {
        let now = now.mono;
        if self.gap_due.is_some_and(|due| due <= now) {
            self.gap_due = None;
            self.framer.drop_partial();
            self.drain(now);
        }
        let Some(job) = self.job.take() else { return };
        if job.deadline <= now {
            self.give_up(&job);
        } else if job.exchange.due() <= now {
            self.job = self.wake(job, now);
        } else {
            self.job = Some(job);
        }
    }

    fn poll_output(&mut self) -> Option<LineOutput> {
        self.outputs.pop()
    }

    fn poll_timeout(&self) -> Option<Moment> {
        let job = self.job.as_ref().map(|job| job.exchange.due().min(job.deadline));
        job.into_iter().chain(self.gap_due).min()
    }
}

/// Surely nothing was done.
fn not_started(code: &'static str, detail: String) -> Failure {
    Failure { outcome: Outcome::NotApplied, silent: false, code, detail }
}

/// Asked, and no answer.
fn silence(job: &Job, code: &'static str, detail: String) -> Failure {
    // Several meters that answer at once are heard, if not understood.
    let collided = matches!(job.work, Work::Discover { .. }) && job.exchange.garbled;
    Failure { outcome: Outcome::Unknown, silent: !job.heard && !collided, code, detail }
}

#[cfg(test)]
mod tests;
