//! The readers: one task each, the same program for both servers. They count events by the first bytes that every
//! event has, and keep nothing of them.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::Context;
use memchr::memmem::{self, Finder};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::broker::PATIENCE;

/// Starts every event, in a stream and in a page.
const EVENT: &[u8] = br#"{"id":""#;
/// Readers that share an address of their own: far fewer than it has ports.
const READERS_PER_ADDRESS: usize = 2000;

/// Nothing is on its way any more after this long without an arrival.
const QUIET: Duration = Duration::from_millis(200);

/// A slow peer on a busy machine may take its time; one that takes longer hangs.
const ROUND_MAX: Duration = Duration::from_mins(5);

/// One buffer for all: what it holds is counted before another task reads.
const BUFFER: usize = 256 * 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; BUFFER]);
}

/// Which of the two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Sse,
    LongPoll,
}

/// Where the readers of a server ask, and how its long-poll answers say where to read on.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) port: u16,
    pub(crate) way: Way,
    /// Path of the first request.
    pub(crate) path: String,
    /// The gateway's: a cursor in the body; nchan's: two headers.
    pub(crate) cursor_in_body: bool,
}

/// What all readers together have seen.
#[derive(Default)]
struct Tally {
    seen: AtomicU64,
    wanted: AtomicU64,
    /// Readers that have seen something.
    begun: AtomicU64,
    lost: AtomicU64,
    reached: Notify,
}

impl Tally {
    fn add(&self, events: u64) {
        let before = self.seen.fetch_add(events, Relaxed);
        let wanted = self.wanted.load(Relaxed);
        if before < wanted && before + events >= wanted {
            self.reached.notify_one();
        }
    }
}

/// Connected readers; they end with it.
pub(crate) struct Readers {
    tally: Arc<Tally>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Readers {
    /// Connects `count` readers, one after the other; streams have begun afterwards, polls are asked.
    pub(crate) async fn connect(target: &Target, count: usize) -> anyhow::Result<Self> {
        let mut readers = Self { tally: Arc::default(), tasks: Vec::new() };
        for index in 0..count {
            let mut stream = connect(target.port, index).await?;
            stream.write_all(request(target, "").as_bytes()).await?;
            let tally = Arc::clone(&readers.tally);
            let task = match target.way {
                Way::Sse => {
                    let carry =
                        timeout(PATIENCE, opening(&stream, &tally)).await.context("no stream begins")??;
                    tokio::spawn(async move {
                        let _ = follow(stream, carry, &tally).await;
                        tally.lost.fetch_add(1, Relaxed);
                    })
                }
                Way::LongPoll => {
                    let target = target.clone();
                    tokio::spawn(async move {
                        let _ = poll(stream, &target, &tally).await;
                        tally.lost.fetch_add(1, Relaxed);
                    })
                }
            };
            readers.tasks.push(task);
        }
        Ok(readers)
    }

    pub(crate) fn count(&self) -> usize {
        self.tasks.len()
    }

    /// Every reader has seen an event: from then on none can be missed, wherever its next poll is.
    pub(crate) fn all_begun(&self) -> bool {
        self.tally.begun.load(Relaxed) >= self.count() as u64
    }

    /// Waits until nothing arrives any more.
    pub(crate) async fn settle(&self) {
        let mut seen = None;
        while seen != Some(self.seen()) {
            seen = Some(self.seen());
            sleep(QUIET).await;
        }
    }

    /// Events seen so far by all together.
    pub(crate) fn seen(&self) -> u64 {
        self.tally.seen.load(Relaxed)
    }

    /// Waits until all together have seen `wanted` events; when that was.
    pub(crate) async fn reach(&self, wanted: u64) -> anyhow::Result<Instant> {
        self.tally.wanted.store(wanted, Relaxed);
        let end = Instant::now() + ROUND_MAX;
        while self.seen() < wanted {
            let lost = self.tally.lost.load(Relaxed);
            anyhow::ensure!(lost == 0, "{lost} readers lost their connection");
            let _ = timeout_at(end, self.tally.reached.notified()).await;
            anyhow::ensure!(Instant::now() < end, "{} of {wanted} deliveries arrived", self.seen());
        }
        Ok(Instant::now())
    }
}

/// A connection from an address of its own for every few readers, so that ports do not run out.
pub(crate) async fn connect(port: u16, index: usize) -> anyhow::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    let low = u8::try_from(1 + index / READERS_PER_ADDRESS).context("too many readers")?;
    socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, low), 0)))?;
    let stream = socket.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn request(target: &Target, more: &str) -> String {
    let accept = if target.way == Way::Sse { "text/event-stream" } else { "application/json" };
    format!("GET {} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n{more}\r\n", target.path)
}

/// Reads once; what `with` makes of the bytes. `None` at the end of the stream.
async fn read<R>(stream: &TcpStream, mut with: impl FnMut(&[u8]) -> R) -> anyhow::Result<Option<R>> {
    loop {
        stream.readable().await?;
        let read = SCRATCH.with_borrow_mut(|buffer| match stream.try_read(buffer) {
            Ok(0) => Ok(Some(None)),
            Ok(count) => Ok(Some(Some(with(&buffer[..count])))),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        })?;
        if let Some(done) = read {
            return Ok(done);
        }
    }
}

/// The end of what was read last: an event's first bytes may be half there.
#[derive(Default)]
struct Carry(Vec<u8>);

impl Carry {
    fn count(&mut self, finder: &Finder<'_>, bytes: &[u8]) -> u64 {
        let mut seam = std::mem::take(&mut self.0);
        let over = seam.len();
        seam.extend_from_slice(&bytes[..bytes.len().min(EVENT.len() - 1)]);
        let across = finder.find_iter(&seam).count();
        let found = finder.find_iter(bytes).count() + across;
        if bytes.len() < EVENT.len() - 1 {
            seam.drain(..(over + bytes.len()).saturating_sub(EVENT.len() - 1));
            self.0 = seam;
        } else {
            seam.clear();
            seam.extend_from_slice(&bytes[bytes.len() + 1 - EVENT.len()..]);
            self.0 = seam;
        }
        found as u64
    }
}

/// Until the stream's first words are there.
async fn opening(stream: &TcpStream, tally: &Tally) -> anyhow::Result<Carry> {
    let (mut text, mut carry) = (Vec::new(), Carry::default());
    let finder = Finder::new(EVENT);
    loop {
        read(stream, |bytes| text.extend_from_slice(bytes)).await?.context("the stream ends at once")?;
        anyhow::ensure!(!text.starts_with(b"HTTP/1.1 503"), "the server holds no more connections");
        if memmem::find(&text, b"\n\n").is_some() {
            tally.add(carry.count(&finder, &text));
            return Ok(carry);
        }
    }
}

async fn follow(stream: TcpStream, mut carry: Carry, tally: &Tally) -> anyhow::Result<()> {
    let finder = Finder::new(EVENT);
    let mut begun = false;
    loop {
        let found = read(&stream, |bytes| carry.count(&finder, bytes)).await?.context("the stream ends")?;
        if found > 0 && !std::mem::replace(&mut begun, true) {
            tally.begun.fetch_add(1, Relaxed);
        }
        tally.add(found);
    }
}

/// One poll after the other, each from where the last one ended.
async fn poll(mut stream: TcpStream, target: &Target, tally: &Tally) -> anyhow::Result<()> {
    let finder = Finder::new(EVENT);
    let mut text = Vec::new();
    let (mut next, mut begun) = (target.clone(), false);
    loop {
        text.clear();
        while !whole(&text) {
            read(&stream, |bytes| text.extend_from_slice(bytes)).await?.context("the connection ends")?;
        }
        anyhow::ensure!(text.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&text));
        let more = if target.cursor_in_body {
            let base = target.path.split("after=").next().context("a path")?;
            let cursor = between(&text, b"\"cursor\":\"", b'"').context("a page has a cursor")?;
            next.path = format!("{base}after={cursor}");
            String::new()
        } else {
            let time = between(&text, b"Last-Modified: ", b'\r').context("nchan tells a time")?;
            let tag = between(&text, b"Etag: ", b'\r').context("nchan tells a tag")?;
            format!("If-Modified-Since: {time}\r\nIf-None-Match: {tag}\r\n")
        };
        let found = finder.find_iter(&text).count() as u64;
        stream.write_all(request(&next, &more).as_bytes()).await?;
        if found > 0 && !std::mem::replace(&mut begun, true) {
            tally.begun.fetch_add(1, Relaxed);
        }
        tally.add(found);
    }
}

/// An answer is there to its last byte.
fn whole(text: &[u8]) -> bool {
    let Some(head) = memmem::find(text, b"\r\n\r\n") else { return false };
    // hyper writes lower case, nginx does not.
    let length = between(&text[..head + 2], b"ontent-Length: ", b'\r');
    let length = length.or_else(|| between(&text[..head + 2], b"ontent-length: ", b'\r'));
    match length.and_then(|length| length.parse::<usize>().ok()) {
        Some(length) => text.len() >= head + 4 + length,
        None => text.ends_with(b"\r\n0\r\n\r\n"),
    }
}

fn between<'a>(text: &'a [u8], before: &[u8], end: u8) -> Option<&'a str> {
    let from = memmem::find(text, before)? + before.len();
    let len = memchr::memchr(end, &text[from..])?;
    std::str::from_utf8(&text[from..from + len]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_counted_once_wherever_the_reads_end() {
        let text = br#"id: 1 data: {"id":"a"} {"id":"b","data":{}} {"{"id":"c"}"#;
        let finder = Finder::new(EVENT);
        for size in 1..text.len() {
            let mut carry = Carry::default();
            let found: u64 = text.chunks(size).map(|part| carry.count(&finder, part)).sum();
            assert_eq!(found, 3, "in parts of {size}");
        }
    }

    #[test]
    fn an_answer_is_whole_with_its_last_byte() {
        for text in [
            &b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"[..],
            b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        ] {
            assert!(whole(text));
            assert!((0..text.len()).all(|len| !whole(&text[..len])));
        }
    }
}
