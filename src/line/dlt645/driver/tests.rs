//! The driver against simulated meters, in virtual time, and against literal bytes.

use plugline_simulator as sim;
use plugline_simulator::{Bus, Fault, Meter};
use proptest::prelude::*;

use super::super::exchange::is_one_meter as one;
use super::super::options::{Expiring, Medium, Operator, Password};
use super::super::plan::PAUSE;
use super::*;
use crate::device::{Quantity, Reading};

mod asking;
mod hearing;
mod port;
mod switching;

const KETTLE: &str = "000000004711";
const FRIDGE: &str = "000000004712";
const SECOND: Duration = Duration::from_secs(1);
/// 2026-11-21 04:00:00 UTC.
const UNIX_MS: i64 = 1_795_233_600_000;

/// A line, the meters on it, and a clock.
struct Bench {
    line: Dlt645,
    bus: Bus,
    now: Duration,
    synchronised: bool,
    tickets: u64,
    happenings: Vec<Happening>,
    written: Vec<(Duration, Vec<u8>)>,
}

fn sim_address(text: &str) -> sim::Address {
    sim::Address::parse(text).unwrap()
}

fn meter(text: &str) -> Meter {
    let figures = sim::Figures {
        voltage_mv: 230_100,
        current_ma: 523,
        power_mw: 118_300,
        reactive_mvar: 0,
        apparent_mva: 120_300,
        power_factor_milli: 983,
        frequency_mhz: 49_980,
    };
    Meter::new(sim_address(text), 7).with_figures(figures).with_energy_mwh(12_345_670_000)
}

fn target(text: &str) -> Target {
    Target { address: text.into(), channel: None }
}

impl Bench {
    /// An open line with these options; every meter is attached.
    fn new(options: Options, meters: Vec<Meter>) -> Self {
        let addresses: Vec<String> = meters.iter().map(|meter| meter.address().to_string()).collect();
        let mut bench = Self {
            line: Dlt645::new(options),
            bus: Bus::new(3, meters),
            now: SECOND,
            synchronised: true,
            tickets: 0,
            happenings: Vec::new(),
            written: Vec::new(),
        };
        bench.line.handle_port(true, bench.clock());
        for address in addresses {
            bench.line.attach(&target(&address));
        }
        bench
    }

    fn with_kettle() -> Self {
        Self::new(Options::default(), vec![meter(KETTLE)])
    }

    /// No meter answers by itself; the kettle and the fridge are attached.
    fn without_meters() -> Self {
        let mut bench = Self::new(Options::default(), Vec::new());
        bench.line.attach(&target(KETTLE));
        bench.line.attach(&target(FRIDGE));
        bench
    }

    fn clock(&self) -> Now {
        let passed = i64::try_from(self.now.as_millis()).unwrap();
        Now { mono: Moment(self.now), unix_ms: UNIX_MS + passed, synchronised: self.synchronised }
    }

    fn drain(&mut self) {
        while let Some(output) = self.line.poll_output() {
            match output {
                LineOutput::Write(bytes) => {
                    self.bus.handle_bytes(&bytes, self.now, self.clock().unix_ms);
                    self.written.push((self.now, bytes));
                }
                LineOutput::Happening(happening) => self.happenings.push(happening),
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next thing happens, if it happens until then.
    fn step(&mut self, until: Duration) -> bool {
        self.drain();
        let line = self.line.poll_timeout().map(|due| due.0);
        let Some(next) = line.into_iter().chain(self.bus.poll_timeout()).min().filter(|next| *next <= until)
        else {
            return false;
        };
        self.now = self.now.max(next);
        while let Some(output) = self.bus.poll_output(self.now) {
            self.line.handle_bytes(&output.bytes, self.clock());
            self.drain();
        }
        if self.line.poll_timeout().is_some_and(|due| due.0 <= self.now) {
            self.line.handle_timeout(self.clock());
        }
        self.drain();
        true
    }

    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while self.step(until) {}
        self.now = until;
        self.bus.advance(until);
    }

    fn hear(&mut self, bytes: &[u8]) {
        self.line.handle_bytes(bytes, self.clock());
        self.drain();
    }

    fn start(&mut self, operation: Operation) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let deadline = Moment(self.now + 60 * SECOND);
        self.line.start(operation, ticket, deadline, self.clock());
        self.drain();
        ticket
    }

    /// Starts an operation and lets it come to its end; returns how.
    fn run(&mut self, operation: Operation) -> Progress {
        self.happenings.clear();
        self.written.clear();
        let ticket = self.start(operation);
        while self.end_of(ticket).is_none() {
            assert!(self.step(self.now + 61 * SECOND), "the operation never ends");
        }
        self.end_of(ticket).unwrap()
    }

    fn end_of(&self, wanted: Ticket) -> Option<Progress> {
        let ends = self.happenings.iter().filter_map(|happening| match happening {
            Happening::Progress { ticket, progress: end @ (Progress::Done | Progress::Failed(_)) }
                if *ticket == wanted =>
            {
                Some(end.clone())
            }
            _ => None,
        });
        let ends: Vec<_> = ends.collect();
        assert!(ends.len() <= 1, "an operation ends once: {ends:?}");
        ends.into_iter().next()
    }

    fn poll(&mut self, name: &str) -> Progress {
        let operation = self.poll_of(KETTLE, name);
        self.run(operation)
    }

    fn poll_of(&self, address: &str, name: &str) -> Operation {
        let device = &self.line.devices[&Address::parse(address).unwrap()];
        let item = device.questions.plan.iter().position(|item| item.name == name).unwrap();
        Operation::Poll { target: target(address), item }
    }

    fn switch(&mut self, on: bool) -> Progress {
        self.run(Operation::Switch { target: target(KETTLE), on })
    }

    fn kinds(&self) -> Vec<&'static str> {
        let kinds = self.happenings.iter().filter_map(|happening| match happening {
            Happening::Malformed { kind } => Some(*kind),
            _ => None,
        });
        kinds.collect()
    }

    fn saw(&self, happening: &Happening) -> bool {
        self.happenings.contains(happening)
    }

    fn kettle_closed(&self) -> bool {
        self.bus.meter(sim_address(KETTLE)).unwrap().relay_closed()
    }
}

fn reading(address: &str, quantity: Quantity, value: i64) -> Happening {
    Happening::Reading { target: target(address), reading: Reading::of(quantity, value) }
}

fn relay(on: bool, cause: Cause) -> Happening {
    Happening::Relay { target: target(KETTLE), on, cause }
}

fn heard(address: &str) -> Happening {
    Happening::Heard { target: target(address) }
}

fn failed(progress: Progress) -> Failure {
    match progress {
        Progress::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

/// Code, outcome, silent.
fn brief(progress: Progress) -> (&'static str, Outcome, bool) {
    let failure = failed(progress);
    (failure.code, failure.outcome, failure.silent)
}

fn hand() -> Options {
    let mut options = Options::default();
    options.device.closing = Closing::Hand;
    options
}

/// A reply frame of a meter.
fn frame(address: &str, control: u8, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Frame { address: Address::parse(address).unwrap(), control, data }.emit(0, &mut out);
    out
}

const POWER_OF_KETTLE: [u8; 19] =
    [0x68, 0x11, 0x47, 0, 0, 0, 0, 0x68, 0x91, 0x07, 0x33, 0x33, 0x36, 0x35, 0x45, 0x58, 0x33, 0x61, 0x16];
