//! A reader that takes nothing any more, among fifty that do.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::reader::{Readers, Way};
use super::server::Server;
use super::tell;
use crate::broker::PATIENCE;
use crate::report::{Report, Row};
use crate::rounds::percentile;

const FAST: usize = 50;
const ALONE: &str = "without the slow one";
/// 2,000 events a second: what the kernel holds for the slow reader is full within seconds.
const PERIOD: Duration = Duration::from_millis(10);
const BURST: usize = 20;
/// The first figure is taken over this time.
const BEFORE: Duration = Duration::from_secs(5);
/// A slow reader that is still connected then is a failure: its buffers filled long ago.
const AFTER: Duration = Duration::from_secs(60);
/// What the slow reader's kernel takes for it.
const RECEIVE_BUFFER: u32 = 4096;

/// The load and what the fast readers notice of it.
struct Load {
    server: Server,
    fast: Readers,
    /// Numbers and times of the newest bursts.
    sent: VecDeque<(u64, Instant)>,
    head: u64,
}

impl Load {
    /// Bursts until `end` says so, which hears how many connections and files the server has open: milliseconds
    /// from a burst to the last fast reader, and the most memory.
    async fn run(
        &mut self,
        mut end: impl FnMut(usize) -> anyhow::Result<bool>,
    ) -> anyhow::Result<(Vec<f64>, f64)> {
        let mut tick = interval(PERIOD);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut times, mut most) = (Vec::new(), 0.0_f64);
        while !end(self.server.handles()?)? {
            most = most.max(self.server.memory()?);
            tick.tick().await;
            let took = tell(&mut self.server, &self.fast, BURST).await?;
            times.push(took.as_secs_f64() * 1e3);
            self.head += BURST as u64;
            self.sent.push_back((self.head, Instant::now()));
        }
        Ok((times, most))
    }
}

pub(crate) async fn run(report: &mut Report) -> anyhow::Result<()> {
    let server = Server::gateway().await?;
    let target = server.target(Way::Sse, false);
    let fast = Readers::connect(&target, FAST).await?;
    let mut slow = stream(target.port, "").await?;
    // Head and first words may come apart.
    let mut opening = String::new();
    let first = loop {
        opening.push_str(&read_some(&mut slow).await?);
        if let Some(first) = newest(&opening) {
            break first;
        }
    };
    let handles = server.handles()?;
    let mut load = Load { server, fast, sent: VecDeque::new(), head: first };

    // The slow one reads along at first.
    let along = tokio::spawn(async move {
        let mut last = first;
        let end = Instant::now() + BEFORE;
        while Instant::now() < end {
            last = newest(&read_some(&mut slow).await?).unwrap_or(last);
        }
        anyhow::Ok((slow, last))
    });
    let (mut alone, before) = load.run(|_| Ok(along.is_finished())).await?;
    let (mut slow, mut last) = along.await??;
    let start = Instant::now();
    let (mut beside, most) = load
        .run(|open| {
            anyhow::ensure!(start.elapsed() < AFTER, "the slow reader is never closed");
            Ok(open < handles)
        })
        .await?;
    let closed = Instant::now();

    // What its kernel still holds, then the rest by its cursor: every number once.
    let mut text = String::new();
    while let Ok(more) = read_some(&mut slow).await {
        text.push_str(&more);
        last = follow(&mut text, last)?;
    }
    let stalled = load.sent.iter().find(|(head, _)| *head > last).map_or(closed, |(_, at)| *at);
    let missed = load.head - last;
    resume(target.port, last, load.head).await?;

    let mut row = |case: &str, value, unit, against, goal| {
        let case = format!("slow reader among {FAST}: {case}");
        report.row(Row { bench: "fanout", case, value, unit, against, goal });
    };
    let p99 = Some((ALONE, percentile(&mut alone, 0.99)));
    row("20 events to the last fast one, p99", percentile(&mut beside, 0.99), "ms", p99, "≤ 1×");
    row("memory while it stalls, at most", most / 1e6, "MB", Some((ALONE, before / 1e6)), "≤ 1×");
    row("closed after its last taken event", (closed - stalled).as_secs_f64(), "s", None, "10");
    row("missed meanwhile, then read by its cursor without a hole", missed as f64, "events", None, "all");
    Ok(())
}

async fn stream(port: u16, more: &str) -> anyhow::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    let mut stream = socket.connect(([127, 0, 0, 1], port).into()).await?;
    let request =
        format!("GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{more}\r\n");
    stream.write_all(request.as_bytes()).await?;
    Ok(stream)
}

/// What comes next, without the marks of chunks.
async fn read_some(stream: &mut TcpStream) -> anyhow::Result<String> {
    let mut buffer = [0; 16 * 1024];
    let count = timeout(PATIENCE, stream.read(&mut buffer)).await.context("nothing comes")??;
    anyhow::ensure!(count > 0, "the stream ends");
    Ok(String::from_utf8_lossy(&buffer[..count]).into_owned())
}

/// The last number that stands whole in the text.
fn newest(text: &str) -> Option<u64> {
    ids(text).last()
}

fn ids(text: &str) -> impl Iterator<Item = u64> {
    let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    lines.filter_map(|line| line.strip_prefix("id: ")?.trim_end().split('.').nth(1)?.parse().ok())
}

/// Takes the whole lines off the text; each number must be the next one.
fn follow(text: &mut String, mut last: u64) -> anyhow::Result<u64> {
    let whole = text.rfind('\n').map_or(0, |at| at + 1);
    for id in ids(&text[..whole]) {
        anyhow::ensure!(id <= last + 1, "after {last} comes {id}");
        last = last.max(id);
    }
    text.drain(..whole);
    Ok(last)
}

/// Reads from `last` to `head`.
async fn resume(port: u16, mut last: u64, head: u64) -> anyhow::Result<()> {
    let epoch = crate::gateway::epoch(port).await?;
    let mut stream = stream(port, &format!("Last-Event-ID: {epoch}.{last}\r\n")).await?;
    let mut text = String::new();
    while last < head {
        text.push_str(&read_some(&mut stream).await?);
        last = follow(&mut text, last)?;
    }
    Ok(())
}
