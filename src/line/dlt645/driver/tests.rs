//! The driver against simulated meters, in virtual time, and against literal bytes.

use plugline_simulator as sim;
use plugline_simulator::{Bus, Fault, Meter};
use proptest::prelude::*;

use super::super::exchange::is_one_meter as one;
use super::super::options::{Expiring, Medium, Operator, Password};
use super::super::plan::PAUSE;
use super::*;
use crate::device::{Quantity, Reading};

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

#[test]
fn a_meter_is_asked_with_the_very_bytes_of_the_standard() {
    let mut bench = Bench::with_kettle();
    assert_eq!(bench.poll("power"), Progress::Done);
    let ask = [
        0xFE, 0xFE, 0xFE, 0xFE, 0x68, 0x11, 0x47, 0, 0, 0, 0, 0x68, 0x11, 0x04, 0x33, 0x33, 0x36, 0x35, 0x0E,
    ];
    assert_eq!(bench.written[0].1, [&ask[..], &[0x16]].concat());
    assert!(bench.saw(&reading(KETTLE, Quantity::Power, 118_300)));
    assert_eq!(
        bench.happenings[0],
        Happening::Progress { ticket: Ticket(1), progress: Progress::Sent { attempt: 1 } }
    );
}

#[test]
fn a_meter_is_switched_with_the_very_bytes_of_the_captures() {
    // 02 000000 | operator 00000000 | 1A, 1C, 1B | 00 | 99-12-30 00:00:00, each byte plus 33.
    let request = |n1: u8, check: u8| {
        let mut bytes = vec![0xFE, 0xFE, 0xFE, 0xFE, 0x68, 0x11, 0x47, 0, 0, 0, 0, 0x68, 0x1C, 0x10, 0x35];
        bytes.extend([0x33; 7]);
        bytes.extend([n1, 0x33, 0x33, 0x33, 0x33, 0x63, 0x45, 0xCC, check, 0x16]);
        bytes
    };
    let mut bench = Bench::with_kettle();
    assert_eq!(bench.switch(false), Progress::Done);
    assert_eq!(bench.written[0].1, request(0x4D, 0x7B));
    assert_eq!(bench.switch(true), Progress::Done);
    assert_eq!(bench.written[0].1, request(0x4F, 0x7D));
    let mut bench = Bench::new(hand(), vec![meter(KETTLE).with_relay(false)]);
    bench.switch(true);
    assert_eq!(bench.written[0].1, request(0x4E, 0x7C));
}

#[test]
fn the_captured_trip_of_151230011061_is_made_from_its_options() {
    let mut options = Options::default();
    options.device.password = Password::parse("020637").unwrap();
    options.device.operator = Operator::parse("00000001").unwrap();
    options.wake_ups = 0;
    let mut bench = Bench::new(options, Vec::new());
    bench.line.attach(&target("151230011061"));
    bench.start(Operation::Switch { target: target("151230011061"), on: false });
    let capture = [
        0x68, 0x61, 0x10, 0x01, 0x30, 0x12, 0x15, 0x68, 0x1C, 0x10, 0x35, 0x6A, 0x39, 0x35, 0x34, 0x33, 0x33,
        0x33, 0x4D, 0x33, 0x33, 0x33, 0x33, 0x63, 0x45, 0xCC, 0x2C, 0x16,
    ];
    assert_eq!(bench.written[0].1, capture);
}

#[test]
fn a_switch_is_done_when_the_meter_shows_its_relay() {
    let mut bench = Bench::with_kettle();
    let begun = bench.now;
    assert_eq!(bench.switch(false), Progress::Done);
    assert!(!bench.kettle_closed());
    let steps: Vec<_> = bench.happenings.iter().filter(|h| !matches!(h, Happening::Modem { .. })).collect();
    let progress = |progress| Happening::Progress { ticket: Ticket(1), progress };
    let wanted = [
        progress(Progress::Sent { attempt: 1 }),
        heard(KETTLE),
        progress(Progress::Acknowledged),
        relay(false, Cause::Command),
        progress(Progress::Done),
    ];
    assert_eq!(steps, wanted.iter().collect::<Vec<_>>());
    assert_eq!(bench.written.len(), 2);
    let took = bench.now - begun;
    assert!(took >= SECOND && took < 2 * SECOND, "{took:?}");
}

#[test]
fn a_slow_relay_is_looked_at_three_times() {
    let mut bench = Bench::new(Options::default(), vec![meter(KETTLE).with_relay_delay(5 * SECOND)]);
    assert_eq!(bench.switch(false), Progress::Done);
    assert_eq!(bench.written.len(), 4);
    assert!(bench.saw(&relay(true, Cause::Poll)) && bench.saw(&relay(false, Cause::Command)));
}

#[test]
fn a_relay_that_stays_open_after_the_meter_agreed_is_not_closed() {
    let stuck = meter(KETTLE).with_relay(false).with_relay_delay(600 * SECOND);
    let mut bench = Bench::new(Options::default(), vec![stuck]);
    assert_eq!(brief(bench.switch(true)), ("not_shown", Outcome::NotApplied, false));
}

#[test]
fn a_meter_that_closes_by_hand_waits_for_its_button() {
    let by_hand = meter(KETTLE).with_closing(sim::Closing::ByHand).with_relay(false);
    let mut bench = Bench::new(hand(), vec![by_hand]);
    let failure = failed(bench.switch(true));
    assert_eq!(
        (failure.code, failure.outcome, failure.silent),
        ("awaits_button", Outcome::NotApplied, false)
    );
    assert_eq!(failure.detail, "the meter allows closing; press its button");
    bench.poll("relay");
    assert!(bench.saw(&relay(false, Cause::Poll)));
    assert!(bench.bus.meter_mut(sim_address(KETTLE)).unwrap().press_button());
    bench.poll("relay");
    assert!(bench.saw(&relay(true, Cause::Button)), "{:?}", bench.happenings);
    bench.poll("relay");
    assert!(bench.saw(&relay(true, Cause::Poll)));
}

#[test]
fn a_button_that_was_not_allowed_from_here_is_seen_as_a_poll() {
    let mut bench = Bench::new(hand(), vec![meter(KETTLE)]);
    bench.poll("relay");
    assert!(bench.saw(&relay(true, Cause::Poll)));
}

#[test]
fn a_wrong_password_is_tried_once_and_names_the_way_out() {
    let password = sim::Password { level: 2, wire: [1, 2, 3] };
    let mut bench = Bench::new(Options::default(), vec![meter(KETTLE).with_password(password)]);
    let failure = failed(bench.switch(false));
    assert_eq!((failure.code, failure.outcome, failure.silent), ("password", Outcome::NotApplied, false));
    assert!(failure.detail.contains("password_file"), "{}", failure.detail);
    assert_eq!(bench.written.len(), 1);
    assert!(bench.kettle_closed() && bench.saw(&heard(KETTLE)));
}

#[test]
fn a_switch_whose_answers_are_lost_is_seen_in_the_relay() {
    let mut bench = Bench::with_kettle();
    bench.bus.set_fault_times(Fault::LoseReplies(sim_address(KETTLE)), 3);
    assert_eq!(bench.switch(false), Progress::Done);
    assert!(bench.saw(&relay(false, Cause::Command)));
    assert_eq!(bench.written.len(), 4);
}

#[test]
fn a_switch_that_never_reached_the_meter_is_surely_not_done() {
    let mut bench = Bench::with_kettle();
    bench.bus.set_fault_times(Fault::Mute(sim_address(KETTLE)), 3);
    assert_eq!(brief(bench.switch(false)), ("no_answer", Outcome::NotApplied, false));
    assert!(bench.kettle_closed() && bench.saw(&relay(true, Cause::Poll)));
}

#[test]
fn a_switch_into_silence_ends_unknown() {
    let mut bench = Bench::with_kettle();
    bench.bus.set_fault(Fault::LoseReplies(sim_address(KETTLE)));
    assert_eq!(brief(bench.switch(false)), ("no_answer", Outcome::Unknown, true));
    assert_eq!(bench.written.len(), 4, "three tries and one look");
    assert!(!bench.kettle_closed(), "which is why it is unknown");
}

#[test]
fn a_meter_that_falls_silent_after_it_agreed_leaves_the_switch_unknown() {
    let mut bench = Bench::with_kettle();
    bench.bus.set_fault(Fault::Delay(Duration::ZERO));
    let ticket = bench.start(Operation::Switch { target: target(KETTLE), on: false });
    while !bench.saw(&Happening::Progress { ticket, progress: Progress::Acknowledged }) {
        assert!(bench.step(bench.now + SECOND));
    }
    bench.bus.set_fault(Fault::Mute(sim_address(KETTLE)));
    bench.wait(20 * SECOND);
    let end = bench.end_of(ticket).unwrap();
    assert_eq!(brief(end), ("unconfirmed", Outcome::Unknown, false));
}

#[test]
fn a_meter_without_status_word_3_cannot_confirm() {
    let mut bench = Bench::without_meters();
    let ticket = bench.start(Operation::Switch { target: target(KETTLE), on: false });
    bench.hear(&frame(KETTLE, 0x9C, &[]));
    bench.wait(SECOND + SECOND / 10);
    bench.hear(&frame(KETTLE, 0xD1, &[2]));
    let failure = failed(bench.end_of(ticket).unwrap());
    assert_eq!((failure.code, failure.outcome), ("unconfirmed", Outcome::Unknown));
    assert!(failure.detail.contains("no_such_data"), "{}", failure.detail);
}

#[test]
fn a_dated_switch_fails_without_a_clock_and_carries_a_date_with_one() {
    let mut options = Options::default();
    options.device.expiring = Expiring::Dated;
    let mut bench = Bench::new(options, vec![meter(KETTLE)]);
    bench.synchronised = false;
    assert_eq!(brief(bench.switch(false)), ("clock_unknown", Outcome::NotApplied, false));
    assert!(bench.written.is_empty());
    bench.synchronised = true;
    assert_eq!(bench.switch(false), Progress::Done);
    // One day after 2026-11-21 04:00: 33 added to DD MM YY.
    let date = &bench.written[0].1[27..30];
    assert_eq!(date, [0x22 + 0x33, 0x11 + 0x33, 0x26 + 0x33]);
}

#[test]
fn a_late_reply_of_another_meter_is_a_reading_and_settles_nothing() {
    let mut bench = Bench::without_meters();
    let ticket = bench.start(bench.poll_of(KETTLE, "power"));
    bench.hear(&frame(FRIDGE, 0x91, &[0, 0, 3, 2, 0x10, 0, 0]));
    assert!(bench.saw(&reading(FRIDGE, Quantity::Power, 1_000)));
    bench.hear(&frame(KETTLE, 0x91, &[0, 1, 1, 2, 0x01, 0x23]));
    assert!(bench.saw(&reading(KETTLE, Quantity::Voltage, 230_100)));
    assert_eq!(bench.end_of(ticket), None);
    bench.hear(&POWER_OF_KETTLE);
    assert!(bench.saw(&reading(KETTLE, Quantity::Power, 251_200)));
    assert_eq!(bench.end_of(ticket), Some(Progress::Done));
}

#[test]
fn another_meters_agreement_does_not_acknowledge_a_switch() {
    let mut bench = Bench::without_meters();
    let ticket = bench.start(Operation::Switch { target: target(KETTLE), on: true });
    bench.hear(&frame(FRIDGE, 0x9C, &[]));
    bench.hear(&frame(FRIDGE, 0xDC, &[4]));
    assert!(!bench.saw(&Happening::Progress { ticket, progress: Progress::Acknowledged }));
    assert_eq!(bench.end_of(ticket), None);
    assert!(bench.saw(&heard(FRIDGE)));
}

#[test]
fn a_meter_that_answers_under_anothers_address_counts_as_silent_and_the_other_as_foreign() {
    let mut bench = Bench::with_kettle();
    let (asked, answers_as) = (sim_address(KETTLE), sim_address("000000000099"));
    bench.bus.set_fault(Fault::AnswerForAnother { asked, answers_as });
    assert_eq!(brief(bench.poll("power")), ("no_answer", Outcome::Unknown, true));
    assert!(bench.saw(&Happening::Foreign { address: "000000000099".into() }));
    bench.bus.clear_faults();
    assert_eq!(bench.poll("power"), Progress::Done);
}

#[test]
fn an_unasked_reply_is_a_reading() {
    let mut bench = Bench::without_meters();
    bench.hear(&POWER_OF_KETTLE);
    bench.hear(&frame(KETTLE, 0x91, &[3, 5, 0, 4, 0x50, 0]));
    assert_eq!(
        bench.happenings,
        [
            Happening::Modem { answers: true },
            reading(KETTLE, Quantity::Power, 251_200),
            relay(false, Cause::Poll)
        ]
    );
}

#[test]
fn an_absent_phase_is_heard_and_is_no_figure() {
    let mut bench = Bench::without_meters();
    let ticket = bench.start(bench.poll_of(KETTLE, "voltage"));
    bench.hear(&frame(KETTLE, 0x91, &[0, 1, 1, 2, 0xFF, 0xFF]));
    assert!(bench.saw(&heard(KETTLE)));
    assert_eq!(bench.end_of(ticket), Some(Progress::Done));
    assert!(!bench.happenings.iter().any(|happening| matches!(happening, Happening::Reading { .. })));
}

#[test]
fn an_echo_of_our_own_words_is_counted_and_answers_nothing() {
    let mut bench = Bench::with_kettle();
    bench.bus.set_fault(Fault::Echo);
    assert_eq!(bench.poll("power"), Progress::Done);
    assert_eq!(bench.kinds(), ["echo"]);
    assert_eq!(bench.switch(false), Progress::Done);
    assert_eq!(bench.written.len(), 2);
}

#[test]
fn whatever_stands_around_a_reply_the_reply_is_read() {
    let gap = Duration::from_millis(80);
    let faults = [Fault::Garbage, Fault::Split { gap }, Fault::DuplicateStart, Fault::Repeat(gap)];
    for fault in faults {
        let mut bench = Bench::with_kettle();
        bench.bus.set_fault(fault);
        for name in ["power", "energy", "relay"] {
            assert_eq!(bench.poll(name), Progress::Done, "{fault:?}");
            bench.wait(SECOND);
        }
        assert!(bench.happenings.iter().all(|h| !matches!(h, Happening::Foreign { .. })), "{fault:?}");
    }
}

#[test]
fn a_reply_with_a_wrong_sum_is_counted_and_asked_for_again() {
    let mut bench = Bench::without_meters();
    let ticket = bench.start(bench.poll_of(KETTLE, "power"));
    let mut wrong = POWER_OF_KETTLE;
    wrong[14] ^= 1;
    bench.hear(&wrong);
    bench.wait(3 * SECOND / 2);
    assert_eq!(bench.kinds(), ["checksum"]);
    assert_eq!(bench.written.len(), 2);
    bench.hear(&POWER_OF_KETTLE);
    assert_eq!(bench.end_of(ticket), Some(Progress::Done));
}

#[test]
fn a_reply_that_breaks_off_is_counted_and_the_next_one_is_read() {
    let mut bench = Bench::without_meters();
    let ticket = bench.start(bench.poll_of(KETTLE, "power"));
    bench.hear(&POWER_OF_KETTLE[..11]);
    bench.wait(BYTE_GAP);
    assert_eq!(bench.kinds(), ["truncated"]);
    bench.hear(&POWER_OF_KETTLE);
    assert_eq!(bench.end_of(ticket), Some(Progress::Done));
    assert_eq!(bench.kinds().len(), 1);
}

#[test]
fn replies_that_come_as_one_are_two_readings() {
    let mut bench = Bench::without_meters();
    let ticket = bench.start(bench.poll_of(KETTLE, "power"));
    bench.hear(&[&frame(FRIDGE, 0x91, &[0, 0, 3, 2, 0x10, 0, 0])[..], &POWER_OF_KETTLE].concat());
    assert!(bench.saw(&reading(FRIDGE, Quantity::Power, 1_000)));
    assert!(bench.saw(&reading(KETTLE, Quantity::Power, 251_200)));
    assert_eq!(bench.end_of(ticket), Some(Progress::Done));
}

#[test]
fn a_reply_that_comes_in_just_as_time_is_over_is_not_talked_over() {
    let mut bench = Bench::without_meters();
    let ticket = bench.start(bench.poll_of(KETTLE, "power"));
    bench.wait(SECOND);
    bench.hear(&POWER_OF_KETTLE[..12]);
    bench.wait(SECOND / 5);
    assert_eq!(bench.written.len(), 1);
    bench.hear(&POWER_OF_KETTLE[12..]);
    assert_eq!(bench.end_of(ticket), Some(Progress::Done));
    assert!(bench.kinds().is_empty());
}

#[test]
fn noise_without_end_does_not_hold_the_line_for_ever() {
    let mut bench = Bench::without_meters();
    let ticket = bench.start(bench.poll_of(KETTLE, "power"));
    for _ in 0..120 {
        bench.wait(SECOND / 10);
        bench.hear(&[0x68, 0, 0, 0, 0, 0, 0, 0x68, 0x91, 0xC8]);
    }
    assert_eq!(brief(bench.end_of(ticket).unwrap()), ("no_answer", Outcome::Unknown, true));
    assert_eq!(bench.written.len(), 3);
}

#[test]
fn a_meter_that_never_answers_is_asked_three_times() {
    let mut bench = Bench::without_meters();
    let begun = bench.now;
    assert_eq!(brief(bench.poll("power")), ("no_answer", Outcome::Unknown, true));
    assert_eq!(bench.written.len(), 3);
    assert!((3 * SECOND..4 * SECOND).contains(&(bench.now - begun)));
    let told = bench.happenings.iter().filter(|h| matches!(h, Happening::Progress { .. })).count();
    assert_eq!(told, 4, "three times sent, once failed");
}

#[test]
fn a_carrier_is_given_the_time_that_it_needs() {
    let options = Options { medium: Medium::Narrowband, ..Options::default() };
    let mut bench = Bench::new(options, vec![meter(KETTLE).with_reply_delay(8 * SECOND)]);
    assert_eq!(bench.poll("power"), Progress::Done);
    assert_eq!(bench.written.len(), 1);
    bench.bus.set_fault(Fault::Mute(sim_address(KETTLE)));
    assert_eq!(brief(bench.switch(true)), ("no_answer", Outcome::Unknown, true), "within its deadline");
}

#[test]
fn nobody_answers_only_when_every_meter_is_silent() {
    let mut bench = Bench::new(Options::default(), vec![meter(KETTLE), meter(FRIDGE)]);
    bench.bus.set_fault(Fault::Mute(sim_address(KETTLE)));
    let modem = |answers| Happening::Modem { answers };
    for _ in 0..4 {
        bench.poll("power");
        assert!(!bench.saw(&modem(false)), "the fridge was not asked yet");
    }
    bench.run(bench.poll_of(FRIDGE, "power"));
    assert!(bench.saw(&modem(true)));
    bench.bus.set_fault(Fault::Mute(sim_address(FRIDGE)));
    bench.poll("power");
    bench.run(bench.poll_of(FRIDGE, "power"));
    assert!(!bench.saw(&modem(false)), "two are a coincidence");
    bench.poll("power");
    assert!(bench.saw(&modem(false)));
    bench.bus.clear_faults();
    bench.poll("power");
    assert!(bench.saw(&modem(true)));
}

#[test]
fn a_reading_that_the_meter_does_not_have_is_unsupported_and_it_counts_as_heard() {
    let mut bench = Bench::without_meters();
    let ticket = bench.start(bench.poll_of(KETTLE, "frequency"));
    bench.hear(&frame(KETTLE, 0xD1, &[2]));
    assert_eq!(brief(bench.end_of(ticket).unwrap()), ("unsupported", Outcome::NotApplied, false));
    assert!(bench.saw(&heard(KETTLE)));
    bench.happenings.clear();
    bench.wait(SECOND);
    let ticket = bench.start(bench.poll_of(KETTLE, "frequency"));
    bench.hear(&frame(KETTLE, 0xD1, &[4]));
    let failure = failed(bench.end_of(ticket).unwrap());
    assert_eq!((failure.code, failure.silent), ("refused", false));
    assert_eq!(failure.detail, "the meter refused frequency of 000000004711: not_authorised (04)");
}

#[test]
fn a_late_error_reply_is_not_taken_for_the_answer_to_the_next_question() {
    let mut bench = Bench::without_meters();
    bench.poll("frequency");
    bench.wait(SECOND);
    bench.happenings.clear();
    let ticket = bench.start(bench.poll_of(KETTLE, "power"));
    bench.hear(&frame(KETTLE, 0xD1, &[2]));
    assert_eq!(bench.end_of(ticket), None);
    bench.wait(SECOND / 10);
    bench.hear(&POWER_OF_KETTLE);
    assert_eq!(bench.end_of(ticket), Some(Progress::Done));
}

#[test]
fn reading_asks_for_everything_and_passes_over_what_the_meter_does_not_have() {
    let mut bench = Bench::with_kettle();
    assert_eq!(bench.run(Operation::Read { target: target(KETTLE) }), Progress::Done);
    assert_eq!(bench.written.len(), 7);
    for (quantity, value) in [
        (Quantity::Power, 118_300),
        (Quantity::Energy, 12_345_670_000),
        (Quantity::Voltage, 230_100),
        (Quantity::Current, 523),
        (Quantity::PowerFactor, 983),
        (Quantity::Frequency, 49_980),
    ] {
        assert!(bench.saw(&reading(KETTLE, quantity, value)), "{quantity:?}: {:?}", bench.happenings);
    }
    assert!(bench.saw(&relay(true, Cause::Poll)));
    let mut bench = Bench::without_meters();
    let ticket = bench.start(Operation::Read { target: target(KETTLE) });
    bench.hear(&POWER_OF_KETTLE);
    for _ in 1..7 {
        bench.wait(SECOND / 10);
        assert_eq!(bench.end_of(ticket), None);
        bench.hear(&frame(KETTLE, 0xD1, &[2]));
    }
    assert_eq!(bench.end_of(ticket), Some(Progress::Done));
}

#[test]
fn a_question_waits_until_the_answer_before_has_left_the_wire() {
    let mut bench = Bench::with_kettle();
    bench.run(Operation::Read { target: target(KETTLE) });
    let ends: Vec<_> = bench.written.iter().map(|(at, _)| *at).collect();
    assert!(ends.windows(2).all(|pair| pair[1] - pair[0] >= 2 * PAUSE), "20 ms each way: {ends:?}");
    bench.written.clear();
    let operation = bench.poll_of(KETTLE, "power");
    let begun = bench.now;
    bench.start(operation);
    assert!(bench.written.is_empty());
    bench.wait(SECOND);
    assert_eq!(bench.written[0].0, begun + PAUSE);
}

#[test]
fn a_long_answer_is_fetched_in_parts() {
    let mut bench = Bench::with_kettle();
    bench.bus.set_fault(Fault::MoreData { chunk: 1 });
    assert_eq!(bench.poll("energy"), Progress::Done);
    assert_eq!(bench.written.len(), 4);
    assert!(bench.saw(&reading(KETTLE, Quantity::Energy, 12_345_670_000)));
    let readings = bench.happenings.iter().filter(|h| matches!(h, Happening::Reading { .. })).count();
    assert_eq!(readings, 1);
}

#[test]
fn a_lonely_meter_names_itself() {
    let mut bench = Bench::new(Options::default(), Vec::new());
    bench.bus = Bus::new(3, vec![meter(KETTLE)]);
    assert!(bench.line.discovers());
    assert_eq!(bench.run(Operation::Discover), Progress::Done);
    let ask = [0xFE, 0xFE, 0xFE, 0xFE, 0x68, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0x68, 0x13, 0, 0xDF, 0x16];
    assert_eq!(bench.written[0].1, ask);
    assert!(bench.saw(&Happening::Joined { target: target(KETTLE) }));
}

#[test]
fn meters_that_answer_at_once_are_not_taken_for_silence() {
    let mut bench = Bench::new(Options::default(), Vec::new());
    bench.bus = Bus::new(3, vec![meter(KETTLE), meter(FRIDGE), meter("123456789012")]);
    let failure = failed(bench.run(Operation::Discover));
    assert_eq!((failure.code, failure.silent), ("garbled", false));
    assert!(failure.detail.contains("several meters"), "{}", failure.detail);
    assert!(!bench.happenings.iter().any(|happening| matches!(happening, Happening::Joined { .. })));
}

#[test]
fn two_meters_that_answer_one_after_the_other_both_join() {
    let mut bench = Bench::new(Options::default(), Vec::new());
    let ticket = bench.start(Operation::Discover);
    for address in [KETTLE, FRIDGE] {
        bench.wait(SECOND / 10);
        let own = Address::parse(address).unwrap();
        bench.hear(&frame(address, 0x93, &own.0));
        assert!(bench.saw(&Happening::Joined { target: target(address) }));
    }
    bench.wait(SECOND);
    assert_eq!(bench.end_of(ticket), Some(Progress::Done));
}

#[test]
fn a_port_lost_in_mid_operation_ends_it_and_forgets_half_a_frame() {
    let mut bench = Bench::without_meters();
    let ticket = bench.start(Operation::Switch { target: target(KETTLE), on: false });
    bench.hear(&POWER_OF_KETTLE[..9]);
    bench.line.handle_port(false, bench.clock());
    bench.drain();
    assert_eq!(brief(bench.end_of(ticket).unwrap()), ("port_lost", Outcome::Unknown, false));
    assert!(!bench.line.ready() && bench.line.poll_timeout().is_none());
    bench.line.handle_port(true, bench.clock());
    bench.drain();
    bench.happenings.clear();
    bench.hear(&POWER_OF_KETTLE);
    let again = [Happening::Modem { answers: true }, reading(KETTLE, Quantity::Power, 251_200)];
    assert_eq!(bench.happenings, again);
}

#[test]
fn a_port_lost_before_anything_was_written_applied_nothing() {
    let mut bench = Bench::without_meters();
    bench.hear(&POWER_OF_KETTLE);
    let ticket = bench.start(Operation::Switch { target: target(KETTLE), on: false });
    bench.line.handle_port(false, bench.clock());
    bench.drain();
    assert!(bench.written.is_empty());
    assert_eq!(brief(bench.end_of(ticket).unwrap()), ("port_lost", Outcome::NotApplied, false));
}

#[test]
fn an_operation_ends_at_its_deadline() {
    let mut bench = Bench::without_meters();
    let deadline = Moment(bench.now + SECOND / 2);
    let switch = Operation::Switch { target: target(KETTLE), on: false };
    bench.line.start(switch.clone(), Ticket(9), deadline, bench.clock());
    bench.wait(SECOND / 2);
    assert_eq!(brief(bench.end_of(Ticket(9)).unwrap()), ("no_answer", Outcome::Unknown, true));
    assert!(bench.line.ready());
    let past = Moment(bench.now);
    bench.line.start(switch, Ticket(10), past, bench.clock());
    bench.drain();
    assert_eq!(brief(bench.end_of(Ticket(10)).unwrap()), ("too_late", Outcome::NotApplied, false));
    assert_eq!(bench.written.len(), 1);
}

#[test]
fn what_the_line_does_not_have_is_refused_without_a_word_on_the_wire() {
    let mut options = Options::default();
    options.devices.insert(KETTLE.into(), DeviceOptions { relay: false, ..DeviceOptions::default() });
    let mut bench = Bench::new(options, Vec::new());
    assert_eq!(bench.line.attach(&target(KETTLE)).abilities, Abilities::default());
    assert!(bench.line.attach(&target(FRIDGE)).abilities.relay, "others have one");
    let refused = brief(bench.switch(true));
    assert_eq!(refused, ("unsupported", Outcome::NotApplied, false));
    let nobody = Operation::Read { target: target("000000000001") };
    assert_eq!(brief(bench.run(nobody)), ("not_attached", Outcome::NotApplied, false));
    let beyond = Operation::Poll { target: target(FRIDGE), item: 99 };
    assert_eq!(brief(bench.run(beyond)), ("unsupported", Outcome::NotApplied, false));
    assert!(bench.written.is_empty());
}

#[test]
fn an_address_is_up_to_twelve_digits_of_one_meter() {
    let line = Dlt645::new(Options::default());
    assert_eq!(&*line.canonical_address("4711").unwrap(), KETTLE);
    assert_eq!(&*line.canonical_address("151230011061").unwrap(), "151230011061");
    for bad in
        ["", "1234567890123", "47x1", "aaaaaaaaaaaa", "aa4711", " 4711", "-1", "四七一一", "999999999999"]
    {
        let error = line.canonical_address(bad).unwrap_err();
        assert_eq!(error.given, bad);
    }
    let shown = line.canonical_address("47x1").unwrap_err().to_string();
    assert_eq!(shown, "address `47x1`: a meter's address has 1 to 12 decimal digits");
    assert!(!one(Address::BROADCAST) && !one(Address::ANY));
}

#[test]
fn the_port_is_opened_as_meters_leave_the_factory() {
    let settings = Dlt645::new(Options::default()).serial_settings();
    assert_eq!(settings, SerialSettings { baud: 2400, parity: Parity::Even });
}

proptest! {
    #[test]
    fn after_any_noise_the_next_good_reply_is_read(
        noise in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..40), 0_u64..700), 0..20)
    ) {
        let mut bench = Bench::without_meters();
        let first = bench.start(bench.poll_of(KETTLE, "power"));
        for (bytes, pause_ms) in noise {
            bench.hear(&bytes);
            bench.wait(Duration::from_millis(pause_ms));
        }
        bench.wait(10 * SECOND);
        prop_assert!(bench.end_of(first).is_some());
        prop_assert!(bench.line.ready());
        bench.happenings.clear();
        let ticket = bench.start(bench.poll_of(KETTLE, "power"));
        bench.hear(&POWER_OF_KETTLE);
        prop_assert!(bench.saw(&reading(KETTLE, Quantity::Power, 251_200)));
        prop_assert_eq!(bench.end_of(ticket), Some(Progress::Done));
    }
}
