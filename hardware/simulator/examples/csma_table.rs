//! Prints the published CSMA table beside what the simulated line makes of the same traffic.
//!
//! `cargo run --release -p plugline-simulator --example csma_table [minutes] [seed]`; with 120 minutes it takes a minute or two.

use plugline_simulator::mains::csma::published::TABLE;

fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>().ok());
    let minutes = arguments.next().flatten().unwrap_or(120);
    let seed = arguments.next().flatten().unwrap_or(1);
    println!("{minutes} minutes, seed {seed}; each pair is published, here");
    println!("  rate    N loss  hid |   busy %    | delivered %   | command p50, p95, p99 in ms");
    for row in &TABLE {
        let got = row.run(minutes, seed);
        let [p50, p95, p99] = row.command_ms;
        println!(
            "{:6} {:4} {:3}% {:3}% | {:5.1} {:5.1} | {:6.2} {:6.2} | {p50} {}, {p95} {}, {p99} {}",
            row.bit_rate,
            row.stations,
            row.loss_percent,
            row.hidden_percent,
            row.busy,
            got.busy * 100.0,
            row.delivered,
            got.delivered * 100.0,
            got.command_ms(500),
            got.command_ms(950),
            got.command_ms(990),
        );
    }
}
