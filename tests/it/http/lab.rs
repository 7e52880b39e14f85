//! A server on a port of its own, a log in memory, and a client that sees every byte.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use plugline::device::{
    Abilities, CommandId, Device, DeviceId, Epoch, GatewayId, LineName, Measured, Quantity, Reading,
    StampedReading, Target,
};
use plugline::door::{self, Door, Envelope, Keeper, Past, Positions};
use plugline::http::limits::figures::Figures;
use plugline::http::{self, Settings};
use plugline::hub::command::{Action, Command, ReplyTo, STATES, State};
use plugline::hub::feed::{Body, Event, Fresh, Notification};
use plugline::source::Identity;
use plugline::upkeep::Upkeep;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::description;

pub(crate) const EPOCH: &str = "k3f9q2mz";
/// Far longer than anything here takes; a test that waits this long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A log in memory.
#[derive(Clone, Default)]
pub(crate) struct Memory {
    pub(crate) events: Arc<Mutex<Vec<Event>>>,
    pub(crate) oldest: Arc<AtomicU64>,
    pub(crate) reads: Arc<AtomicU64>,
    /// The first read moves `oldest` here, as retention would.
    pub(crate) trim_at_read: Arc<AtomicU64>,
}

impl Past for Memory {
    fn read(&self, after: u64, limit: usize) -> io::Result<Vec<Event>> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.oldest.fetch_max(self.trim_at_read.load(Ordering::SeqCst), Ordering::SeqCst);
        let from = after.max(self.oldest());
        let events = self.events.lock().expect("not poisoned");
        Ok(events.iter().filter(|event| event.seq > from).take(limit).cloned().collect())
    }

    fn oldest(&self) -> u64 {
        self.oldest.load(Ordering::SeqCst)
    }
}

pub(crate) struct Lab {
    pub(crate) address: SocketAddr,
    pub(crate) door: Door,
    pub(crate) keeper: Keeper,
    pub(crate) requests: mpsc::Receiver<Envelope>,
    pub(crate) past: Memory,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) upkeep: Upkeep,
    pub(crate) served: JoinHandle<()>,
}

/// Nothing is limited: what is tested here comes quicker than people.
pub(crate) fn settings() -> Settings {
    let mut upkeep = Upkeep::default();
    upkeep.state = Some("/nowhere".into());
    Settings {
        limits: Figures::NONE,
        version: "1.2.3".into(),
        started_unix_ms: 1_795_000_000_000,
        upkeep,
        ..Settings::default()
    }
}

impl Lab {
    pub(crate) async fn new() -> Self {
        Self::with(settings(), 0, Memory::default()).await
    }

    pub(crate) async fn with(settings: Settings, head: u64, past: Memory) -> Self {
        let identity = Identity {
            gateway: GatewayId::parse("gw_aaaaaaaaaa").expect("an id"),
            epoch: Epoch::parse(EPOCH).expect("an epoch"),
        };
        let (door, mut keeper) = door::open(identity, head, Box::new(past.clone()), Positions::new());
        keeper.raise_ceiling(head + 1_000_000);
        let requests = std::mem::replace(&mut keeper.requests, mpsc::channel(1).1);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = watch::channel(false);
        let upkeep = settings.upkeep.clone();
        let served = tokio::spawn(http::serve(listener, door.clone(), settings, stopped));
        Self { address, door, keeper, requests, past, stop, upkeep, served }
    }

    /// The number of the last event.
    pub(crate) fn head(&self) -> u64 {
        self.past.events.lock().expect("not poisoned").len() as u64
    }

    /// Appends a reading of one device; gives its number.
    pub(crate) fn reading(&self, device: &str) -> u64 {
        self.append(Some(device), Body::Reading(Reading::of(Quantity::Power, 41_700)))
    }

    pub(crate) fn note(&self, detail: &str) -> u64 {
        self.append(None, Body::Notification(Notification { code: "test".into(), detail: detail.into() }))
    }

    pub(crate) fn append(&self, device: Option<&str>, body: Body) -> u64 {
        self.append_fresh(fresh(device, body))
    }

    /// Appends a reading that was measured at another time.
    pub(crate) fn measured(&self, device: &str, unix_ms: i64, reading: Reading) -> u64 {
        self.append_fresh(Fresh { unix_ms, ..fresh(Some(device), Body::Reading(reading)) })
    }

    fn append_fresh(&self, fresh: Fresh) -> u64 {
        let entry = self.keeper.append(fresh).expect("below the ceiling");
        self.past.events.lock().expect("not poisoned").push(entry.event.clone());
        entry.event.seq
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.ask(&format!("GET {path} HTTP/1.1\r\n"), "").await
    }

    /// Sends a request line with headers, and a body; reads until the server closes.
    pub(crate) async fn ask(&self, head: &str, body: &str) -> Reply {
        ask(self.address, head.to_owned(), body.to_owned()).await
    }

    /// The same with a head that says itself to whom it is addressed.
    pub(crate) async fn ask_host(&self, head: &str, body: &str) -> Reply {
        exchange(self.address, head.to_owned(), body.to_owned()).await
    }

    /// The same in the background.
    pub(crate) fn send_later(&self, head: &str) -> JoinHandle<Reply> {
        tokio::spawn(ask(self.address, head.to_owned(), String::new()))
    }

    pub(crate) fn get_later(&self, path: &str, headers: &str) -> JoinHandle<Reply> {
        self.send_later(&format!("GET {path} HTTP/1.1\r\n{headers}"))
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("connected")
    }

    /// Opens a request whose answer is read piece by piece.
    pub(crate) async fn open(&self, path: &str, headers: &str) -> Wire {
        self.open_with("GET", path, headers, "").await
    }

    /// The same with a method and a body.
    pub(crate) async fn open_with(&self, method: &str, path: &str, headers: &str, body: &str) -> Wire {
        let mut stream = self.connect().await;
        let length =
            if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}{length}\r\n{body}");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut wire = Wire { stream, raw: Vec::new(), at: 0, left: 0, head: String::new(), ended: false };
        wire.read_head().await;
        wire
    }

    pub(crate) async fn stream(&self, path: &str) -> Wire {
        self.open(path, "Accept: text/event-stream\r\n").await
    }

    /// The next request that came through the door.
    pub(crate) async fn request(&mut self) -> Envelope {
        tokio::time::timeout(PATIENCE, self.requests.recv()).await.expect("in time").expect("a request")
    }
}

async fn ask(address: SocketAddr, head: String, body: String) -> Reply {
    exchange(address, format!("{head}Host: localhost\r\n"), body).await
}

async fn exchange(address: SocketAddr, head: String, body: String) -> Reply {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let request = format!("{head}Connection: close\r\n{length}\r\n{body}");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes));
    read.await.expect("an answer in time").expect("read");
    let reply = Reply::parse(&bytes);
    description::hold(address, &head, &body, &reply).await;
    reply
}

pub(crate) fn fresh(device: Option<&str>, body: Body) -> Fresh {
    Fresh {
        unix_ms: 1_795_000_000_123,
        t_estimated: false,
        late: false,
        estimated: false,
        device: device.and_then(DeviceId::parse),
        body,
    }
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8(bytes.to_vec()).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head in {text:?}"));
        let mut reply = Self { status: status(head), head: head.to_owned(), body: body.to_owned() };
        if reply.header("transfer-encoding") == Some("chunked") {
            reply.body = dechunk(body);
        }
        reply
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.body))
    }

    /// The numbers of the events of a page.
    pub(crate) fn seqs(&self) -> Vec<u64> {
        let body = self.json();
        let events = body["events"].as_array().expect("a page");
        events.iter().map(|event| seq(event["id"].as_str().expect("an id"))).collect()
    }

    /// The name of a problem, and the field at fault.
    pub(crate) fn problem(&self) -> (u16, String, Value) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.head);
        let body = self.json();
        assert_eq!(body["status"], self.status);
        let kind = body["type"].as_str().expect("a type");
        let name = kind.strip_prefix("/problems/").expect("a path").to_owned();
        (self.status, name, body["field"].clone())
    }
}

pub(crate) fn seq(cursor: &str) -> u64 {
    let number = cursor.strip_prefix(EPOCH).and_then(|rest| rest.strip_prefix('.')).expect("our epoch");
    number.parse().expect("a number")
}

fn status(head: &str) -> u16 {
    head.split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .unwrap_or_else(|| panic!("no status in {head:?}"))
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .find_map(|(key, value)| key.eq_ignore_ascii_case(name).then(|| value.trim()))
}

fn dechunk(mut body: &str) -> String {
    let mut whole = String::new();
    loop {
        let (size, rest) = body.split_once("\r\n").expect("a chunk's size");
        let size = usize::from_str_radix(size, 16).expect("hex");
        if size == 0 {
            return whole;
        }
        whole.push_str(&rest[..size]);
        body = rest[size..].strip_prefix("\r\n").expect("the end of a chunk");
    }
}

/// A chunked answer, byte by byte.
pub(crate) struct Wire {
    stream: TcpStream,
    raw: Vec<u8>,
    at: usize,
    left: usize,
    pub(crate) head: String,
    ended: bool,
}

impl Wire {
    async fn raw_byte(&mut self) -> Option<u8> {
        if self.at == self.raw.len() {
            self.raw.clear();
            self.at = 0;
            let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.raw));
            if read.await.expect("bytes in time").unwrap_or(0) == 0 {
                return None;
            }
        }
        self.at += 1;
        Some(self.raw[self.at - 1])
    }

    async fn raw_line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        loop {
            match self.raw_byte().await? {
                b'\n' => return Some(String::from_utf8(line).expect("text")),
                b'\r' => {}
                byte => line.push(byte),
            }
        }
    }

    async fn read_head(&mut self) {
        loop {
            let line = self.raw_line().await.expect("a head");
            if line.is_empty() {
                return;
            }
            self.head.push_str(&line);
            self.head.push('\n');
        }
    }

    pub(crate) fn status(&self) -> u16 {
        status(&self.head)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// The next byte of the body; `None` at its end.
    pub(crate) async fn byte(&mut self) -> Option<u8> {
        if self.ended {
            return None;
        }
        if self.left == 0 {
            let mut line = self.raw_line().await?;
            if line.is_empty() {
                line = self.raw_line().await?;
            }
            self.left = usize::from_str_radix(&line, 16).expect("a chunk's size");
            if self.left == 0 {
                self.ended = true;
                return None;
            }
        }
        self.left -= 1;
        self.raw_byte().await
    }

    /// The body ended as it should, and was not cut off.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// The next block of a stream, with the blank line that ends it.
    pub(crate) async fn block(&mut self) -> Option<String> {
        let mut block = Vec::new();
        while !block.ends_with(b"\n\n") {
            match self.byte().await {
                Some(byte) => block.push(byte),
                None if block.is_empty() => return None,
                None => panic!("the stream ended inside {:?}", String::from_utf8_lossy(&block)),
            }
        }
        Some(String::from_utf8(block).expect("text"))
    }

    pub(crate) async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        while let Some(byte) = self.byte().await {
            rest.push(byte);
        }
        String::from_utf8(rest).expect("text")
    }
}

pub(crate) fn device(id: &str, name: &str) -> Arc<Device> {
    Arc::new(Device {
        id: DeviceId::parse(id).expect("an id"),
        name: name.into(),
        line: LineName::parse("dlt645"),
        dialect: "dlt645".into(),
        target: Target { address: "000000004711".into(), channel: None },
        model: None,
        abilities: Abilities { relay: true, ..Abilities::default() },
        measured: Arc::new([Measured { quantity: Quantity::Power, period: None }]),
        relay: Some(true),
        online: Some(true),
        last_seen_unix_ms: Some(1_795_000_000_123),
        last_reading: Some(StampedReading {
            unix_ms: 1_795_000_000_123,
            reading: Reading::of(Quantity::Power, 41_700),
        }),
        options: Default::default(),
        carry_over: Default::default(),
        configured: None,
        groups: Default::default(),
        members: None,
    })
}

pub(crate) fn command(action: Action) -> Command {
    let mut times_unix_ms = [None; STATES.len()];
    times_unix_ms[0] = Some(1_795_000_000_000);
    Command {
        id: CommandId::parse("cmd_01kagx5ej0000000000000000a").expect("an id"),
        device: DeviceId::parse("dlt645_1").expect("an id"),
        action,
        state: State::Accepted,
        version: 1,
        outcome: None,
        error: None,
        attempts: 0,
        created_unix_ms: 1_795_000_000_000,
        expires_unix_ms: 1_795_000_030_000,
        times_unix_ms,
        requested_by: "local".into(),
        idempotency: None,
        reply_to: ReplyTo::default(),
        started: false,
        parts: Vec::new(),
        part_of: None,
    }
}
