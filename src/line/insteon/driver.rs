//! A line of INSTEON devices behind a power-line modem: one command in flight, what the modem and the devices answer,
//! and what devices say unasked.
//!
//! What a device says of itself is told, whoever asked; only the answer to the command in flight moves an operation
//! on. Refuses to know when to ask whom (the hub's poll plan) and where frames begin (`frame.rs`). Pure: no clock, no
//! port. Timers and bytes: the maker's 2412S and 2663-222 notes, `power-line.md` §A.1 has the figures.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::exchange::Exchange;
use super::frame::{Framer, START};
use super::kept::Kept;
use super::message::Address;
use super::options::{Kind, Options, ROWS};
use super::plan::profile;
use super::presses::{Presses, Repeats};
use super::table::row;
use crate::device::{DeviceOptions, Moment, Now, OptionRow, OptionValue, Target};
use crate::line::{
    BadAddress, Failure, Happening, Joins, Line, LineOutput, Operation, Outcome, Outputs, Parity, Profile,
    Progress, SerialSettings, Ticket,
};

mod bring_up;
mod hearing;
mod linking;
mod operation;

use bring_up::Modem;
use linking::Linking;
use operation::Switching;

const SETTINGS: SerialSettings = SerialSettings { baud: 19_200, parity: Parity::None };
/// The modem's dead-man: what is unfinished after so long a silence stays so.
const BYTE_GAP: Duration = Duration::from_millis(240);
/// What begins like a frame after so long a silence is one, and ends an unfinished one before it: bytes of a frame
/// follow each other at once, and a message on the mains takes this long.
const FRAME_PAUSE: Duration = Duration::from_millis(50);
/// Least time between two commands; a modem that is given one earlier may drop what is under way.
const COMMAND_GAP: Duration = Duration::from_millis(500);
/// An answer that was given up may still come within this time: a device repeats itself for 3.2 s, a modem in the
/// middle of a clean-up keeps it for 2.2 s.
const LATE: Duration = Duration::from_secs(6);
/// Two outlets behind one address, and nothing has more.
const CHANNELS: std::ops::RangeInclusive<u8> = 1..=2;

/// A line of INSTEON devices.
pub struct Insteon {
    options: Options,
    framer: Framer,
    devices: HashMap<Address, Device>,
    /// What a person said that a device is.
    chosen: HashMap<Address, Kind>,
    kept: Kept,
    modem: Modem,
    job: Option<Job>,
    repeats: Repeats,
    presses: Presses,
    last_write: Option<Moment>,
    last_byte: Option<Moment>,
    /// When an unfinished frame is given up.
    gap_due: Option<Moment>,
    outputs: Outputs,
}

/// What is attached behind one address.
#[derive(Default)]
struct Device {
    /// Each relay or meter, and what was told of it.
    attached: Vec<(Target, Profile)>,
    /// An answer to something else that may still come.
    late: Option<Late>,
    /// Until then it may answer somebody else on the same modem.
    disturbed_until: Moment,
    /// People know that it does not know this modem.
    told_unlinked: bool,
}

/// Answers that were given up, and how many of them.
struct Late {
    cmd1: u8,
    cmd2: u8,
    left: u8,
    until: Moment,
}

/// What is in flight: an operation of the hub, or the driver's own business with the modem (no ticket).
struct Job {
    ticket: Option<Ticket>,
    deadline: Moment,
    work: Work,
    exchange: Exchange,
    /// Highest attempt told.
    sent: u8,
    /// The device answered something.
    heard: bool,
    /// Something went out whose fate is not known.
    doubt: bool,
    /// A device found the sum of this message wrong, and was told once more.
    resummed: bool,
}

enum Work {
    Probe,
    Config,
    Dump,
    CancelLinking,
    Status { both: bool },
    Meter,
    Product,
    Switch(Switching),
    Beep { until: Moment },
    Join,
    Link(Linking),
}

impl Insteon {
    /// A line with these options; its port counts as closed.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            options,
            framer: Framer::new(),
            devices: HashMap::new(),
            chosen: HashMap::new(),
            kept: Kept::default(),
            modem: Modem::default(),
            job: None,
            repeats: Repeats::default(),
            presses: Presses::default(),
            last_write: None,
            last_byte: None,
            gap_due: None,
            outputs: Outputs::default(),
        }
    }

    /// What a device is: by a person's choice, by the configuration, by a channel that only one kind has, or by its own word.
    fn kind_of(&self, address: Address) -> Option<Kind> {
        let attached =
            self.devices.get(&address).map(|device| device.attached.as_slice()).unwrap_or_default();
        let dual = attached.iter().any(|(target, _)| target.channel.is_some()).then_some(Kind::Dual);
        let told = || self.kept.product(address).map(Kind::of_product);
        let chosen = self.chosen.get(&address).copied();
        chosen.or_else(|| self.options.kind_of(&address.to_string())).or(dual).or_else(told)
    }

    fn profile_of(&self, target: &Target, address: Address) -> Profile {
        let hears = self.kept.hears(target.channel.unwrap_or(1), address);
        profile(&self.options, self.kind_of(address), hears)
    }

    /// Tells of every device that is not what it was thought to be when it was attached.
    fn relearn(&mut self) {
        let mut learned = Vec::new();
        for (address, device) in &self.devices {
            let changed =
                device.attached.iter().filter(|(target, told)| self.profile_of(target, *address) != *told);
            learned.extend(changed.map(|(target, _)| target.clone()));
        }
        learned.sort();
        for target in learned {
            self.outputs.happen(Happening::Learned { target });
        }
    }

    fn persist(&mut self) {
        self.outputs.push(LineOutput::Persist(self.kept.emit()));
    }

    fn count(&mut self, kind: &'static str) {
        self.outputs.happen(Happening::Malformed { kind });
    }

    fn notice(&mut self, code: &'static str, detail: String) {
        self.outputs.happen(Happening::Notice { code, detail });
    }

    fn progress(&mut self, job: &Job, progress: Progress) {
        if let Some(ticket) = job.ticket {
            self.outputs.happen(Happening::Progress { ticket, progress });
        }
    }

    fn fail(&mut self, job: &Job, code: &'static str, detail: String) {
        let outcome = if job.doubt { Outcome::Unknown } else { Outcome::NotApplied };
        self.progress(job, Progress::Failed(Failure { outcome, silent: false, code, detail }));
    }

    /// Lets the command of a job go out at `at`, or when the modem may be given one.
    fn hold(&self, job: &mut Job, at: Moment) {
        job.exchange.hold(self.last_write.map_or(at, |last| at.max(last + COMMAND_GAP)));
    }

    /// Writes the command in flight if its time has come. While a frame is coming in, it waits: the host link has no
    /// check, and the echo would be read as the rest of that frame if that is lost.
    fn flush(&mut self, now: Moment) {
        let Some(job) = self.job.as_mut().filter(|job| job.exchange.held_until().is_some_and(|at| at <= now))
        else {
            return;
        };
        if let Some(gap) = self.gap_due.filter(|_| self.framer.has_partial()) {
            return job.exchange.hold(gap);
        }
        self.last_write = Some(now);
        job.exchange.written(now);
        self.outputs.push(LineOutput::Write(job.exchange.command.to_bytes()));
    }

    /// Puts another command of the same job in flight.
    fn ask(&mut self, mut job: Job, exchange: Exchange, at: Moment, now: Moment) -> Option<Job> {
        self.leave_late(&job, true, now);
        job.exchange = exchange;
        self.hold(&mut job, at);
        Some(job)
    }

    /// Remembers which answers to the command in flight may still come.
    fn leave_late(&mut self, job: &Job, answered: bool, now: Moment) {
        let super::frame::Command::Send(sent) = job.exchange.command else { return };
        let left = job.exchange.attempt - u8::from(answered);
        if let Some(device) = self.devices.get_mut(&sent.to).filter(|_| left > 0) {
            device.late = Some(Late { cmd1: sent.cmd1, cmd2: sent.cmd2, left, until: now + LATE });
        }
    }

    /// A job without an operation of the hub.
    fn begin(&mut self, work: Work, exchange: Exchange, now: Moment) {
        let deadline = now + Duration::from_secs(60);
        self.launch(None, work, exchange, (deadline, now));
    }

    fn launch(
        &mut self,
        ticket: Option<Ticket>,
        work: Work,
        exchange: Exchange,
        (deadline, now): (Moment, Moment),
    ) {
        let mut job =
            Job { ticket, deadline, work, exchange, sent: 0, heard: false, doubt: false, resummed: false };
        self.hold(&mut job, now);
        self.job = Some(job);
    }

    /// Takes every frame and every fault out of the framer.
    fn drain(&mut self, now: Moment) {
        let mut framer = std::mem::take(&mut self.framer);
        while let Some(next) = framer.next() {
            match next {
                Ok(frame) => self.hear(&frame, now),
                Err(fault) => self.count(fault.kind),
            }
        }
        if !framer.has_partial() {
            self.gap_due = None;
        }
        self.framer = framer;
    }

    /// Gives up the operation in flight, whatever it waits for.
    fn give_up(&mut self, mut job: Job, code: &'static str, why: &str, now: Moment) {
        self.leave_late(&job, false, now);
        job.doubt |= job.exchange.in_flight() && !matches!(job.work, Work::Join);
        let silent = code == "no_answer" && job.sent > 0 && !job.heard;
        let outcome = if job.doubt { Outcome::Unknown } else { Outcome::NotApplied };
        let code = if job.sent == 0 && code == "no_answer" { "too_late" } else { code };
        let detail = format!("{why} while waiting for {}", self.asked(&job));
        self.progress(&job, Progress::Failed(Failure { outcome, silent, code, detail }));
    }
}

impl Line for Insteon {
    fn serial_settings(&self) -> SerialSettings {
        SETTINGS
    }

    fn restore(&mut self, record: &[u8]) {
        if let Some(kept) = Kept::parse(record) {
            self.kept = kept;
        }
    }

    fn canonical_address(&self, text: &str) -> Result<Arc<str>, BadAddress> {
        let bad = |want| BadAddress { given: text.to_owned(), want };
        let address = Address::parse(text);
        let address =
            address.ok_or(bad("an INSTEON address has six hex digits, as on the label: 1A.77.7B"))?;
        if address == Address::default() {
            return Err(bad("000000 is no device; see the label"));
        }
        Ok(address.to_string().into())
    }

    fn attach(&mut self, target: &Target) -> Profile {
        let channel = target.channel.is_none_or(|channel| CHANNELS.contains(&channel));
        let Some(address) = Address::parse(&target.address).filter(|_| channel) else {
            return Profile::default();
        };
        let device = self.devices.entry(address).or_default();
        device.attached.retain(|(known, _)| known != target);
        device.attached.push((target.clone(), Profile::default()));
        let profile = self.profile_of(target, address);
        if let Some((_, told)) = self.devices.get_mut(&address).and_then(|device| device.attached.last_mut())
        {
            *told = profile.clone();
        }
        profile
    }

    fn detach(&mut self, target: &Target) {
        let Some(address) = Address::parse(&target.address) else { return };
        let Some(device) = self.devices.get_mut(&address) else { return };
        device.attached.retain(|(known, _)| known != target);
        if device.attached.is_empty() {
            self.devices.remove(&address);
        }
    }

    fn options(&self) -> &'static [OptionRow] {
        &ROWS
    }

    /// Both halves of a dual outlet are one thing: what is chosen for one of them goes for it.
    fn set_options(&mut self, target: &Target, options: &DeviceOptions) {
        let Some(address) = Address::parse(&target.address) else { return };
        match options.get("kind") {
            Some(OptionValue::Word(word)) => {
                let kind = Kind::parse(word).expect("the hub lets through what the table allows");
                self.chosen.insert(address, kind);
            }
            _ => {
                self.chosen.remove(&address);
            }
        }
    }

    fn joins(&self) -> Joins {
        Joins { by_button: true, by_address: true, ..Joins::default() }
    }

    fn discovers(&self) -> bool {
        false
    }

    fn handle_port(&mut self, open: bool, now: Now) {
        if let Some(job) = self.job.take() {
            self.give_up(job, "port_lost", "the port was lost", now.mono);
        }
        self.framer = Framer::new();
        (self.last_write, self.last_byte, self.gap_due) = (None, None, None);
        self.port_changed(open, now.mono);
        self.tend(now.mono);
        self.flush(now.mono);
    }

    fn ready(&self) -> bool {
        self.modem.up() && self.job.is_none()
    }

    fn start(&mut self, operation: Operation, ticket: Ticket, deadline: Moment, now: Now) {
        debug_assert!(self.ready(), "an operation is started only on a line that is ready");
        let prepared = if !self.ready() {
            Err(("busy", "the line is not ready for an operation".to_owned()))
        } else if deadline <= now.mono {
            Err(("too_late", "the time for the operation was over before it began".to_owned()))
        } else {
            self.prepare(&operation, deadline, now.mono)
        };
        match prepared {
            Ok((work, exchange)) => {
                self.launch(Some(ticket), work, exchange, (deadline, now.mono));
                self.flush(now.mono);
            }
            Err((code, detail)) => {
                let failure = Failure { outcome: Outcome::NotApplied, silent: false, code, detail };
                self.outputs.happen(Happening::Progress { ticket, progress: Progress::Failed(failure) });
            }
        }
    }

    fn give_way(&mut self, now: Now) {
        if let Some(job) = self.job.as_mut().filter(|job| matches!(job.work, Work::Join)) {
            job.exchange.wait_no_longer(now.mono);
        }
    }

    fn handle_bytes(&mut self, bytes: &[u8], now: Now) {
        if bytes.is_empty() {
            return;
        }
        if self.last_byte.is_some_and(|last| now.mono.since(last) >= FRAME_PAUSE) && starts_frame(bytes) {
            self.framer.drop_partial();
            self.drain(now.mono);
        }
        self.last_byte = Some(now.mono);
        self.gap_due = Some(now.mono + BYTE_GAP);
        self.framer.push(bytes);
        self.drain(now.mono);
        self.tend(now.mono);
        self.flush(now.mono);
    }

    fn handle_timeout(&mut self, now: Now) {
        let now = now.mono;
        if self.gap_due.is_some_and(|due| due <= now) {
            self.gap_due = None;
            self.framer.drop_partial();
            self.drain(now);
        }
        if let Some(mut job) = self.job.take() {
            if job.deadline <= now {
                self.give_up(job, "no_answer", "the time for the operation was over", now);
            } else if job.exchange.due() > now {
                self.job = Some(job);
            } else if let Some(answer) = job.exchange.wake() {
                self.job = self.answered(job, answer, now);
            } else {
                self.job = Some(job);
            }
        }
        self.tend(now);
        self.read_links(now);
        self.flush(now);
    }

    fn poll_output(&mut self) -> Option<LineOutput> {
        self.outputs.pop()
    }

    fn poll_timeout(&self) -> Option<Moment> {
        let own = match &self.job {
            Some(job) => Some(job.exchange.due().min(job.deadline)),
            None => self.modem.due(),
        };
        own.into_iter().chain(self.gap_due).min()
    }
}

/// These bytes look like the start of a frame from the modem.
fn starts_frame(bytes: &[u8]) -> bool {
    match bytes {
        [START, code, ..] => row(*code).is_some(),
        [byte] => *byte == START,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
