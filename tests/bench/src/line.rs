//! `line`: the Plugline line in a simulated house, gateway and sockets included, in virtual time, with a plain CSMA
//! network beside it in the same simulator; what sealing a frame costs; and how fast a house is simulated.
//!
//! The words of the figures: *loss 20 %* is of any frame, each time, at each receiver; *hidden 20 %* is a fifth of the
//! pairs of sockets. Every socket reaches the gateway. Seeds are named with the figures.

use plugline::hub::command::State;
use plugline_protocol::frame::{Frame, Kind, without_crc};
use plugline_simulator::mains::csma::{self, Plan};
use plugline_simulator::mains::{LEVEL, Noise, Phy, Setup, Wiring, dealt_phases};
use plugline_simulator::scenario::{BLOCK, Scenario};
use tokio::time::Instant;

use crate::report::{Report, Row};
use crate::rounds::percentile;
use lab::{Lab, MILLISECOND, MINUTE, SECOND};

mod codec;
#[path = "../../it/grid/lab.rs"]
#[expect(dead_code, reason = "the bench of the tests; not all of it is measured")]
mod lab;

const SEED: u64 = 1;
/// Sockets at which the line is to be full, and at which commands are to be quick.
const MANY: usize = 180;
const SOME: usize = 60;
const SIMULATED: usize = 250;

pub(crate) fn run(quick: bool, report: &mut Report) {
    codec::run(quick, report);
    readings(if quick { 10 } else { 60 }, report);
    commands(if quick { 150 } else { 3_000 }, report);
    speed(if quick { 3 } else { 20 }, report);
}

/// 2400 bit/s, 20 % loss, a fifth of the pairs hidden, nothing else.
fn reach(sockets: usize) -> Scenario {
    let text = format!(
        "name = \"reach\"\nseed = {SEED}\nsockets = {sockets}\nothers = [\"desk\", \"fridge\", \"television\"]\n\
         loss_percent = 20\n[wiring]\nphases = [\"L1\"]\ndeviation_db = 0\nother_phase_db = 0\nhidden_percent = 20\n"
    );
    Scenario::parse(&text).expect("the scenario is right")
}

/// A house so many of whose sockets have joined.
fn house(scenario: &Scenario, joined: usize) -> Lab {
    let mut lab = Lab::house_with(scenario, joined);
    lab.checks = false;
    lab
}

fn baseline(
    sockets: usize,
    minutes: u64,
    command_gap_us: u64,
    bytes: (usize, usize, usize),
) -> csma::Figures {
    let wiring = Wiring::new(&dealt_phases(sockets + 1), &LEVEL, SEED).with_hidden(200_000, SEED);
    let phy = Phy::default();
    let setup = Setup { phy, wiring, noise: Noise::quiet(), loss_ppm: 200_000, seed: SEED };
    let length_us = minutes * 60_000_000;
    csma::run(setup, &Plan { length_us, command_gap_us, bytes, ..Plan::default() })
}

fn row(
    case: String,
    value: f64,
    unit: &'static str,
    against: Option<(&'static str, f64)>,
    goal: &'static str,
) -> Row {
    Row { bench: "line", case, value, unit, against, goal }
}

/// The shares of minutes that a full line brings into the feed, and how long a report is.
fn readings(minutes: u32, report: &mut Report) {
    let mut lab = house(&reach(MANY), MANY);
    let members = lab.joined();
    let joined = lab.now();
    lab.run_for(5 * MINUTE);
    (1..=MANY).for_each(|socket| lab.press(socket));
    lab.run_for(MINUTE);
    let before = lab.unix_ms();
    lab.run_for(minutes * MINUTE);
    let until = lab.unix_ms();
    // What is late comes within four minutes: all of these minutes had their five chances.
    lab.run_for(5 * MINUTE);
    let wanted = minutes as usize - 1;
    let told: usize =
        (1..=MANY).map(|socket| lab.minutes_between(socket, before, until).len().min(wanted)).sum();
    let share = told as f64 * 100.0 / (wanted * members) as f64;
    let plain = baseline(MANY, minutes.into(), 0, (34, 12, 26)).delivered * 100.0;
    let csma = Some(("plain CSMA, one report a minute, 4 retries", plain));
    let case =
        |what: &str| format!("{members} sockets, 2400 bit/s, 20 % loss, 20 % hidden, seed {SEED}: {what}");
    report.row(row(case("minute readings in the feed within 5 min"), share, "%", csma, "≥ 99.9 %"));
    report.row(row(case("until they had joined"), joined.as_secs_f64() / 60.0, "min", None, ""));
    let reports = lab.house.overheard().filter(|frame| {
        let pdu = without_crc(&frame.bytes);
        pdu.and_then(|pdu| Frame::parse(pdu).ok()).is_some_and(|frame| frame.kind() == Kind::Report)
    });
    let longest = reports.map(|frame| frame.bytes.len()).max().unwrap_or(0);
    report.row(row("a secured report with its history".to_owned(), longest as f64, "B", None, "≤ 44 B"));
}

/// How long commands take from their wish to `confirmed`.
fn commands(count: usize, report: &mut Report) {
    let mut lab = house(&reach(SOME), SOME);
    lab.run_for(5 * MINUTE);
    let (mut took, mut dice) = (Vec::new(), SEED);
    let mut confirmed_in_time = 0;
    for n in 0..count {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        lab.run_for(MILLISECOND * (u32::try_from(dice >> 48).unwrap_or(0) / 20));
        let socket = usize::try_from((dice >> 32) % SOME as u64).unwrap_or(0) + 1;
        let id = lab.switch(socket, n % 2 == 0);
        let settled = lab.settle(&id);
        let time = settled.took.unwrap_or(MINUTE);
        confirmed_in_time += usize::from(settled.command.state == State::Confirmed && time <= 3 * SECOND);
        took.push(if settled.command.state == State::Confirmed {
            time.as_secs_f64() * 1e3
        } else {
            f64::INFINITY
        });
    }
    // The peer's time is one way: until the socket has it.
    let plain = baseline(SOME, (count as u64 / 18).max(10), 3_300_000, (34, 12, 24));
    let case =
        |what: &str| format!("{SOME} sockets, 20 % loss, 20 % hidden, seed {SEED}, {count} commands: {what}");
    for (name, part, per_mille, goal) in [
        ("p50 to confirmed", 0.50, 500, "≤ 300 ms"),
        ("p95 to confirmed", 0.95, 950, "≤ 900 ms"),
        ("p99 to confirmed", 0.99, 990, "≤ 1300 ms"),
    ] {
        let against = Some(("plain CSMA, one way, no answer", plain.command_ms(per_mille) as f64));
        report.row(row(case(name), percentile(&mut took, part), "ms", against, goal));
    }
    let share = confirmed_in_time as f64 * 100.0 / count as f64;
    report.row(row(case("confirmed within 3 s"), share, "%", None, "≥ 99.9 %"));
}

/// Virtual seconds in a second of one core: 250 sockets of the firmware, the line, the modem and the whole gateway.
fn speed(minutes: u32, report: &mut Report) {
    let scenario = Scenario::parse(BLOCK).expect("it comes with the program").with_sockets(SIMULATED);
    let mut lab = house(&scenario, SIMULATED);
    let (joined, start) = (lab.joined(), Instant::now());
    lab.run_for(minutes * MINUTE);
    let times = f64::from(minutes) * 60.0 / start.elapsed().as_secs_f64();
    let case = format!(
        "{SIMULATED} sockets ({joined} joined), block.toml, simulated with their gateway on one core"
    );
    report.row(row(case, times, "times real time/s", None, "≥ 200"));
}
