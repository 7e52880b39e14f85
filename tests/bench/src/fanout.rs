//! `fanout`: many readers of one feed. The real gateway beside nginx with nchan, in alternating rounds of one run,
//! with the same readers and the same events; then readers that were away, and a slow one among fast ones.

use std::time::Duration;

use anyhow::Context;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::time::{Instant, sleep};

mod nchan;
mod reader;
mod server;
mod slow;

use crate::report::{Report, Row};
use crate::rounds::{least, percentile};
use nchan::MISSING;
use reader::{Readers, Way};
use server::Server;

const NCHAN: &str = "nginx + nchan";
/// Handles beside those of the readers.
const HANDLES_BESIDE: u64 = 100;
/// So many readers make memory of one worth a figure: the heap grows in steps.
const MEMORY_READERS: usize = 1000;

/// What one round is made of.
#[derive(Clone, Copy)]
struct Plan {
    way: Way,
    readers: usize,
    /// Events told one at a time.
    quiet: usize,
    /// Events told at once.
    flood: usize,
}

/// What one round measured.
#[derive(Clone, Copy, Default)]
struct Round {
    idle: f64,
    p50: f64,
    p99: f64,
    quiet_cpu: f64,
    rate: f64,
    flood_cpu: f64,
    after: f64,
}

/// A figure of a round, and how it is shown.
struct Column {
    name: &'static str,
    unit: &'static str,
    goal: &'static str,
    of: fn(&Round) -> f64,
}

const COLUMNS: [Column; 7] = [
    Column { name: "idle", unit: "B/reader", goal: "≤ 10,200, ≤ 1×", of: |round| round.idle },
    Column { name: "one event to the last reader, p50", unit: "ms", goal: "≤ 1×", of: |round| round.p50 },
    Column { name: "one event to the last reader, p99", unit: "ms", goal: "≤ 1×", of: |round| round.p99 },
    Column { name: "one event, CPU", unit: "µs/delivery", goal: "≤ 1×", of: |round| round.quiet_cpu },
    Column { name: "flooded", unit: "deliveries/s", goal: "≥ 1×", of: |round| round.rate },
    Column { name: "flooded, CPU", unit: "µs/delivery", goal: "≤ 1×", of: |round| round.flood_cpu },
    Column { name: "after the flood", unit: "B/reader", goal: "", of: |round| round.after },
];

pub(crate) async fn run(quick: bool, report: &mut Report) -> anyhow::Result<()> {
    let counts: &[usize] = if quick { &[1, 100, 1000] } else { &[1, 100, 1000, 5000] };
    let handles = open_files();
    let event = server::event().await?;
    if Server::nchan(&event).await?.is_none() {
        report.skipped("fanout", MISSING);
    }
    for way in [Way::Sse, Way::LongPoll] {
        for &readers in counts {
            if handles < readers as u64 + HANDLES_BESIDE {
                report.skipped("fanout", &format!("{readers} readers: ulimit -n is {handles}"));
                continue;
            }
            live(&event, plan(way, readers, quick), if quick { 1 } else { 3 }, report).await?;
        }
    }
    for (way, readers) in [(Way::Sse, 1), (Way::Sse, 100), (Way::LongPoll, 10)] {
        catch_up(&event, way, readers, quick, report).await?;
    }
    slow::run(report).await
}

/// Raises the limit of open files as far as it goes; servers inherit it.
fn open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

fn plan(way: Way, readers: usize, quick: bool) -> Plan {
    let deliveries = match way {
        _ if quick => 100_000,
        Way::Sse => 1_000_000,
        // An answer for each of them at nchan.
        Way::LongPoll => 200_000,
    };
    let quiet = match readers {
        _ if quick => 40,
        0..=100 => 300,
        101..=1000 => 200,
        _ => 100,
    };
    Plan { way, readers, quiet, flood: (deliveries / readers).clamp(20, 10_000) }
}

fn case(way: Way, readers: usize, what: &str) -> String {
    let name = if way == Way::Sse { "SSE" } else { "long-poll" };
    format!("{name}, {readers} readers, {what}")
}

async fn live(event: &str, plan: Plan, rounds: usize, report: &mut Report) -> anyhow::Result<()> {
    let (mut own, mut peer) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        own.push(round(Server::gateway().await?, plan).await.context("the gateway")?);
        if let Some(server) = Server::nchan(event).await? {
            peer.push(round(server, plan).await.context(NCHAN)?);
        }
    }
    for Column { name, unit, goal, of } in COLUMNS {
        if unit == "B/reader" && plan.readers < MEMORY_READERS {
            continue;
        }
        let best = |rounds: &[Round]| match unit.ends_with("/s") {
            true => rounds.iter().map(of).fold(0.0, f64::max),
            false => least(rounds.iter().map(of)),
        };
        let against = (!peer.is_empty()).then(|| (NCHAN, best(&peer)));
        let held = plan.way == Way::LongPoll && unit == "ms";
        let goal = if held { "≤ 1× beside 20 ms for company" } else { goal };
        let case = case(plan.way, plan.readers, name);
        report.row(Row { bench: "fanout", case, value: best(&own), unit, against, goal });
    }
    Ok(())
}

async fn round(mut server: Server, plan: Plan) -> anyhow::Result<Round> {
    let mut round = Round::default();
    let per_reader = |bytes: f64| bytes / plan.readers as f64;
    let empty = server.memory()?;
    let readers = Readers::connect(&server.target(plan.way, false), plan.readers).await?;
    // A reader that polls is held a moment after it asked.
    readers.settle().await;
    round.idle = per_reader(server.memory()? - empty);
    while !readers.all_begun() {
        server.publish(1).await?;
        readers.settle().await;
    }

    let cpu = server.cpu_s()?;
    let mut times = Vec::new();
    for _ in 0..plan.quiet {
        sleep(pause(plan.readers)).await;
        times.push(tell(&mut server, &readers, 1).await?.as_secs_f64() * 1e3);
    }
    let deliveries = (plan.quiet * plan.readers) as f64;
    round.quiet_cpu = (server.cpu_s()? - cpu) * 1e6 / deliveries;
    round.p50 = percentile(&mut times, 0.5);
    round.p99 = percentile(&mut times, 0.99);

    sleep(pause(plan.readers)).await;
    let cpu = server.cpu_s()?;
    let took = tell(&mut server, &readers, plan.flood).await?;
    let deliveries = (plan.flood * plan.readers) as f64;
    round.rate = deliveries / took.as_secs_f64();
    round.flood_cpu = (server.cpu_s()? - cpu) * 1e6 / deliveries;
    sleep(pause(plan.readers)).await;
    round.after = per_reader(server.memory()? - empty);
    Ok(round)
}

/// Between two events: time for all polls to be held again.
fn pause(readers: usize) -> Duration {
    Duration::from_millis(5) + Duration::from_micros(30) * u32::try_from(readers).unwrap_or(u32::MAX)
}

/// Hands over `count` events and waits until every reader has them all; how long that took.
async fn tell(server: &mut Server, readers: &Readers, count: usize) -> anyhow::Result<Duration> {
    let wanted = readers.seen() + (count * readers.count()) as u64;
    let start = Instant::now();
    let (told, reached) = tokio::join!(server.publish(count), readers.reach(wanted));
    told?;
    Ok(reached? - start)
}

/// Readers that ask for everything that is kept, all at once.
async fn catch_up(
    event: &str,
    way: Way,
    readers: usize,
    quick: bool,
    report: &mut Report,
) -> anyhow::Result<()> {
    let (rounds, events) = if quick { (1, 10_000) } else { (3, 10_000) };
    let (mut own, mut peer) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        own.push(fetch(Server::gateway().await?, way, readers, events).await.context("the gateway")?);
        if let Some(server) = Server::nchan(event).await? {
            peer.push(fetch(server, way, readers, events).await.context(NCHAN)?);
        }
    }
    let most = |figures: &[(f64, f64)]| figures.iter().map(|figure| figure.0).fold(0.0, f64::max);
    let cheapest = |figures: &[(f64, f64)]| least(figures.iter().map(|figure| figure.1));
    let what = format!("catch-up of {events} events");
    let mut row = |what: String, value, other, unit, goal| {
        let against = (!peer.is_empty()).then_some((NCHAN, other));
        report.row(Row { bench: "fanout", case: case(way, readers, &what), value, unit, against, goal });
    };
    row(what.clone(), most(&own), most(&peer), "deliveries/s", "≥ 5×");
    row(format!("{what}, CPU"), cheapest(&own), cheapest(&peer), "µs/delivery", "≤ 1×");
    Ok(())
}

/// Deliveries a second, and processor microseconds each.
async fn fetch(mut server: Server, way: Way, readers: usize, events: usize) -> anyhow::Result<(f64, f64)> {
    let witness = Readers::connect(&server.target(Way::Sse, false), 1).await?;
    tell(&mut server, &witness, events).await?;
    drop(witness);
    let deliveries = (readers * events) as f64;
    let (cpu, start) = (server.cpu_s()?, Instant::now());
    let reading = Readers::connect(&server.target(way, true), readers).await?;
    let done = reading.reach((readers * events) as u64).await?;
    let rate = deliveries / (done - start).as_secs_f64();
    Ok((rate, (server.cpu_s()? - cpu) * 1e6 / deliveries))
}
