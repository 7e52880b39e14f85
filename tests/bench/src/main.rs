//! Benchmarks: each figure beside a floor or a peer that was measured in the same run, in alternating rounds.
//!
//! `cargo run --release -p plugline-bench -- NAME [--quick] [--json]`. Figures are minima over rounds: what else the
//! machine does only ever makes them worse.

use clap::{Parser, ValueEnum};

mod broker;
mod decode;
mod fanout;
mod floor;
mod frames;
mod gateway;
mod house;
mod line;
mod path;
mod process;
mod report;
mod rounds;
mod startup;
mod store;
mod subscriber;
mod wire;

use report::Report;

/// Benchmarks with floors and peers of the same run.
#[derive(Debug, Parser)]
#[command(name = "plugline-bench", arg_required_else_help = true)]
struct Arguments {
    /// What to measure
    name: Bench,
    /// Fewer and shorter rounds: enough to see that it works
    #[arg(long)]
    quick: bool,
    /// One JSON object a line instead of a table
    #[arg(long)]
    json: bool,
    /// For `floor`, which the benchmarks start themselves: its port and where its readings go
    #[arg(hide = true)]
    rest: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Bench {
    /// All of them
    All,
    /// Bytes to values, beside copy, checksum and number conversion alone
    Decode,
    /// A serial byte on its way to MQTT and SSE, beside the least program that does it
    Path,
    /// Start, first reading, memory
    Startup,
    /// The event log, beside sled
    Store,
    /// A simulated Plugline house in virtual time, beside plain CSMA; sealing, beside the AEAD alone
    Line,
    /// Many readers of the feed, beside nginx with nchan
    Fanout,
    /// The least program itself
    #[value(hide = true)]
    Floor,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if arguments.name == Bench::Floor {
        return runtime.block_on(floor::run(&arguments.rest));
    }
    let mut report = Report::new(arguments.json);
    let wanted = |bench| arguments.name == bench || arguments.name == Bench::All;
    if wanted(Bench::Decode) {
        decode::run(arguments.quick, &mut report);
    }
    if wanted(Bench::Store) {
        store::run(arguments.quick, &mut report)?;
    }
    if wanted(Bench::Line) {
        line::run(arguments.quick, &mut report);
    }
    if wanted(Bench::Startup) {
        runtime.block_on(startup::run(arguments.quick, &mut report))?;
    }
    if wanted(Bench::Path) {
        runtime.block_on(path::run(arguments.quick, &mut report))?;
    }
    if wanted(Bench::Fanout) {
        runtime.block_on(fanout::run(arguments.quick, &mut report))?;
    }
    report.end();
    Ok(())
}
