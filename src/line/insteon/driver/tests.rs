//! The driver in virtual time, against literal bytes: captured conversations and what a modem does wrong.

use super::super::message::Outgoing;
use super::super::options::DeviceOptions;
use super::*;
use crate::device::{Quantity, Reading};
use crate::line::Cause;

mod bytes;
mod captured;
mod linking;
mod modem;
mod simulated;

const SECOND: Duration = Duration::from_secs(1);
/// The outlet of the maker's captures.
const SOCKET: &str = "000004";
const METER: &str = "1987b7";
const INFO: &str = "02 60 1a 77 7b 03 15 9b 06";

fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    assert_eq!(digits.len() % 2, 0, "{text}");
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

fn target(address: &str, channel: Option<u8>) -> Target {
    Target { address: address.into(), channel }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A line, a clock, and hands that play the modem.
struct Bench {
    line: Insteon,
    now: Duration,
    tickets: u64,
    happenings: Vec<Happening>,
    written: Vec<(Duration, Vec<u8>)>,
    persisted: Vec<Vec<u8>>,
    reopened: usize,
}

impl Bench {
    /// A line whose port was just opened: it has asked who the modem is.
    fn opened(options: Options) -> Self {
        let mut bench = Self {
            line: Insteon::new(options),
            now: SECOND,
            tickets: 0,
            happenings: Vec::new(),
            written: Vec::new(),
            persisted: Vec::new(),
            reopened: 0,
        };
        bench.line.handle_port(true, bench.clock());
        bench.drain();
        bench
    }

    /// A line whose modem is known and holds no links, with an outlet, a dual outlet and a meter attached.
    fn new() -> Self {
        let kinds =
            [(SOCKET, Kind::Outlet), ("22920d", Kind::Dual), (METER, Kind::Meter), ("1006d0", Kind::Outlet)];
        let devices = kinds.map(|(address, kind)| (address.into(), DeviceOptions { kind: Some(kind) }));
        let mut bench = Self::opened(Options { devices: devices.into(), ..Options::default() });
        bench.hear(INFO);
        bench.wait(SECOND);
        bench.hear("02 73 00 00 00 06");
        bench.end_links();
        for (address, channel) in [(SOCKET, None), ("22920d", Some(1)), ("22920d", Some(2)), (METER, None)] {
            bench.line.attach(&target(address, channel));
        }
        bench.clear();
        bench
    }

    /// The modem says twice that it has no (more) links.
    fn end_links(&mut self) {
        for _ in 0..2 {
            self.wait(SECOND);
            let asked = self.written.last().unwrap().1.clone();
            self.bytes(&[&asked[..], &[0x15]].concat());
        }
    }

    fn clock(&self) -> Now {
        Now { mono: Moment(self.now), unix_ms: 0, synchronised: true }
    }

    fn clear(&mut self) {
        self.drain();
        self.happenings.clear();
        self.written.clear();
        self.persisted.clear();
    }

    fn drain(&mut self) {
        while let Some(output) = self.line.poll_output() {
            match output {
                LineOutput::Write(bytes) => self.written.push((self.now, bytes)),
                LineOutput::Happening(happening) => self.happenings.push(happening),
                LineOutput::Persist(record) => self.persisted.push(record),
                LineOutput::Reopen(settings) => {
                    assert_eq!(settings, SETTINGS);
                    self.reopened += 1;
                }
            }
        }
    }

    /// Lets time pass, with every timer at its moment.
    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.line.poll_timeout().filter(|due| due.0 <= until) {
            self.now = self.now.max(due.0);
            self.line.handle_timeout(self.clock());
            self.drain();
        }
        self.now = until;
    }

    /// Lets time pass until the next command is written.
    fn next_write(&mut self) {
        let before = self.written.len();
        while self.written.len() == before {
            let due = self.line.poll_timeout().expect("a command is on its way").0;
            self.wait(due.saturating_sub(self.now));
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.line.handle_bytes(bytes, self.clock());
        self.drain();
    }

    fn hear(&mut self, text: &str) {
        self.bytes(&hex(text));
    }

    /// The modem takes what was written last.
    fn echo(&mut self) {
        let bytes = [&self.written.last().expect("something was written").1[..], &[0x06]].concat();
        self.bytes(&bytes);
    }

    fn start(&mut self, operation: Operation) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.line.start(operation, ticket, Moment(self.now + 60 * SECOND), self.clock());
        self.drain();
        ticket
    }

    /// Starts an operation a second later and sees its first command written.
    fn begin(&mut self, operation: Operation) {
        self.wait(SECOND);
        self.clear();
        self.start(operation);
    }

    fn switch(&mut self, address: &str, channel: Option<u8>, on: bool) {
        self.begin(Operation::Switch { target: target(address, channel), on });
    }

    fn read(&mut self, address: &str, channel: Option<u8>) {
        self.begin(Operation::Read { target: target(address, channel) });
    }

    fn last(&self) -> &[u8] {
        &self.written.last().expect("something was written").1
    }

    fn progress(&self) -> Vec<Progress> {
        let progress = self.happenings.iter().filter_map(|happening| match happening {
            Happening::Progress { progress, .. } => Some(progress.clone()),
            _ => None,
        });
        progress.collect()
    }

    fn failure(&self) -> Failure {
        match self.progress().pop() {
            Some(Progress::Failed(failure)) => failure,
            other => panic!("{other:?}"),
        }
    }

    fn failed(&self) -> (&'static str, Outcome, bool) {
        let failure = self.failure();
        (failure.code, failure.outcome, failure.silent)
    }

    fn relays(&self) -> Vec<(Target, bool, Cause)> {
        let relays = self.happenings.iter().filter_map(|happening| match happening {
            Happening::Relay { target, on, cause } => Some((target.clone(), *on, *cause)),
            _ => None,
        });
        relays.collect()
    }

    fn readings(&self) -> Vec<Reading> {
        let readings = self.happenings.iter().filter_map(|happening| match happening {
            Happening::Reading { reading, .. } => Some(*reading),
            _ => None,
        });
        readings.collect()
    }

    fn malformed(&self, wanted: &str) -> usize {
        self.happenings
            .iter()
            .filter(|happening| **happening == Happening::Malformed { kind: kind(wanted) })
            .count()
    }

    fn noticed(&self, wanted: &str) -> usize {
        let fits =
            |happening: &&Happening| matches!(happening, Happening::Notice { code, .. } if *code == wanted);
        self.happenings.iter().filter(fits).count()
    }

    fn joined(&self) -> Vec<Target> {
        let joined = self.happenings.iter().filter_map(|happening| match happening {
            Happening::Joined { target } => Some(target.clone()),
            _ => None,
        });
        joined.collect()
    }
}

fn kind(wanted: &str) -> &'static str {
    let kinds =
        ["checksum", "echo_twice", "foreign_echo", "stray_nak", "late", "truncated", "link_database", "ack"];
    kinds.into_iter().find(|kind| *kind == wanted).expect("a kind that the tests name")
}

fn done() -> Vec<Progress> {
    vec![Progress::Sent { attempt: 1 }, Progress::Acknowledged, Progress::Done]
}
