//! How many times faster than the clock a house of sockets is simulated on one core: every socket reports 43 bytes a
//! minute in a slot of its own, two beacons a minute, every frame weighed at every socket.
//!
//! `cargo run --release -p plugline-simulator --example line_speed [sockets] [minutes] [seed]`

use std::time::Instant;

use plugline_simulator::mains::Line;
use plugline_simulator::scenario::{BLOCK, HOUSEHOLD, NOISY, Scenario};

const MINUTE_US: u64 = 60_000_000;

/// Runs a line; how many frames came to somebody.
fn run(line: &mut Line, sockets: usize, minutes: u64) -> u64 {
    let slot_us = line.setup().phy.airtime_us(43) + 8_000;
    let mut heard = 0;
    for minute in 0..minutes {
        let frames = (0..=sockets).map(|n| (n, n as u64 * slot_us)).chain([(0, 57 * MINUTE_US / 60)]);
        for (node, offset_us) in frames {
            let at_us = minute * MINUTE_US + offset_us;
            line.handle_timeout(at_us);
            heard += std::iter::from_fn(|| line.poll_delivery()).count() as u64;
            if let Err(refused) = line.transmit(node, &[0x5a; 43], at_us) {
                eprintln!("node {node} at {at_us} µs: {refused}");
            }
        }
    }
    heard
}

#[expect(clippy::disallowed_methods, reason = "the measurement is of real time")]
fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>().ok());
    let sockets = arguments.next().flatten().and_then(|n| usize::try_from(n).ok()).unwrap_or(250);
    let minutes = arguments.next().flatten().unwrap_or(60);
    let seed = arguments.next().flatten().unwrap_or(1);
    for text in [HOUSEHOLD, NOISY, BLOCK] {
        let scenario = match Scenario::parse(text) {
            Ok(scenario) => scenario.with_sockets(sockets).with_seed(seed),
            Err(error) => return eprintln!("{error}"),
        };
        let mut line = scenario.line();
        let begun = Instant::now();
        let heard = run(&mut line, scenario.sockets().len(), minutes);
        let took_s = begun.elapsed().as_secs_f64();
        let times = minutes as f64 * 60.0 / took_s;
        println!(
            "{}: {sockets} sockets, {minutes} min, seed {seed}: {took_s:.2} s, {times:.0} times real time, {heard} frames heard",
            scenario.name()
        );
    }
}
