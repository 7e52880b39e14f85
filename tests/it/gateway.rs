//! The real program, started and asked as a stranger would: processes, curl, mosquitto's clients, signals. In front of
//! `run` stand simulated meters behind a real pty whose requests are recorded.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use plugline_simulator::{Bus, Front, Pty, Recorded, demo_house};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::parts::PATIENCE;

/// The devices of the demo's house, in its order.
pub(crate) const KETTLE: &str = "dlt645_000000004711";
pub(crate) const FRIDGE: &str = "dlt645_000000004712";
pub(crate) const DESK: &str = "dlt645_000000004713";

/// A program told to end does so within this.
const STOP: Duration = Duration::from_secs(5);

/// What a person would not wait for any longer; how often something is looked at that cannot be waited for.
const LOOK: Duration = Duration::from_millis(20);

/// Lines and events that a failure shows.
const TAIL: usize = 40;

pub(crate) async fn within<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

/// Looks again and again until there is something to see.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    within(what, async {
        let mut tick = tokio::time::interval(LOOK);
        loop {
            tick.tick().await;
            if let Some(seen) = look().await {
                return seen;
            }
        }
    })
    .await
}

/// Lines that a program prints, kept as they come.
pub(crate) struct Lines(watch::Receiver<Vec<String>>);

impl Lines {
    fn of(from: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let (sender, receiver) = watch::channel(Vec::new());
        tokio::spawn(async move {
            let mut lines = BufReader::new(from).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                sender.send_modify(|kept| kept.push(line));
            }
        });
        Self(receiver)
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.borrow().clone()
    }

    /// The beginnings of the last lines, for a failure.
    fn tail(&self) -> String {
        let all = self.all();
        let last = all.iter().rev().take(TAIL).rev();
        last.map(|line| format!("\n  {}", line.chars().take(200).collect::<String>())).collect()
    }

    /// The first line that is `wanted`, once it has come.
    pub(crate) async fn first(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let mut kept = self.0.clone();
        let found = |kept: &Vec<String>| kept.iter().find(|line| wanted(line)).cloned();
        let waiting = kept.wait_for(|kept| found(kept).is_some());
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(Ok(kept)) => found(&kept).expect("just seen"),
            Ok(Err(_)) => panic!("{what}: not before the end of {}", self.tail()),
            Err(_) => panic!("{what}: not within {PATIENCE:?} in {}", self.tail()),
        }
    }

    pub(crate) async fn has(&self, part: &str) -> String {
        self.first(part, |line| line.contains(part)).await
    }

    /// Waits for the end of the output.
    pub(crate) async fn end(&self) -> Vec<String> {
        let mut kept = self.0.clone();
        within("the end of the output", async { while kept.changed().await.is_ok() {} }).await;
        self.all()
    }
}

/// A running program; killed when dropped.
pub(crate) struct Program {
    child: Child,
    pub(crate) out: Lines,
    pub(crate) log: Lines,
}

impl Program {
    pub(crate) fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let out = Lines::of(child.stdout.take().expect("piped"));
        let log = Lines::of(child.stderr.take().expect("piped"));
        Self { child, out, log }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("it was not waited for")
    }

    /// Ends it without a word.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.expect("killed");
    }

    /// Sends a signal and waits for the end, which must come in time.
    pub(crate) async fn stop(mut self, signal: &str) -> ExitStatus {
        send_signal(signal, self.pid()).await;
        let ended = tokio::time::timeout(STOP, self.child.wait()).await;
        ended
            .unwrap_or_else(|_| panic!("runs {STOP:?} after SIG{signal}: {:#?}", self.log.all()))
            .expect("waited")
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        within("its end", self.child.wait()).await.expect("waited")
    }

    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().expect("asked").is_none()
    }
}

pub(crate) async fn send_signal(name: &str, pid: u32) {
    let kill = format!("kill -{name} {pid}");
    let done = Command::new("sh").args(["-c", &kill]).status().await.expect("a shell");
    assert!(done.success(), "{kill}");
}

/// The program of this package with these arguments, and nothing of it in its environment.
pub(crate) fn plugline(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plugline"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PLUGLINE")) {
        command.env_remove(name);
    }
    command.args(arguments);
    command
}

/// How a program ended that ends by itself.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) async fn ended(command: &mut Command) -> Ended {
    let mut program = Program::start(command);
    let status = program.ended().await;
    let (out, err) = (program.out.end().await, program.log.end().await);
    Ended { code: status.code(), out: out.join("\n"), err: err.join("\n") }
}

/// What curl gets with these arguments: status and JSON.
pub(crate) async fn curl(arguments: &[&str]) -> (u16, Value) {
    let mut command = Command::new("curl");
    command.args(["-s", "-m", "60", "-w", "\n%{http_code}"]).args(arguments);
    let output = within("curl", command.kill_on_drop(true).output()).await.expect("curl is installed");
    let text = String::from_utf8(output.stdout).expect("text");
    let (body, status) = text.rsplit_once('\n').expect("curl writes the status");
    let json =
        if body.is_empty() { Value::Null } else { serde_json::from_str(body).unwrap_or(Value::from(body)) };
    (status.parse().expect("a status"), json)
}

/// `GET`, which must succeed.
pub(crate) async fn get(url: &str) -> Value {
    let (status, body) = curl(&[url]).await;
    assert_eq!(status, 200, "{url}: {body}");
    body
}

pub(crate) async fn post(url: &str, body: &str) -> (u16, Value) {
    curl(&["-H", "Content-Type: application/json", "-d", body, url]).await
}

/// Switches by HTTP and waits for the outcome: the settled command.
pub(crate) async fn switch(http: &str, device: &str, on: bool) -> Value {
    let url = format!("{http}/v1/devices/{device}/commands?wait=15");
    let (status, command) = post(&url, &format!(r#"{{"command":"switch","args":{{"on":{on}}}}}"#)).await;
    assert_eq!(status, 200, "{command}");
    command
}

/// The health of a gateway, once it is `wanted`.
pub(crate) async fn health(http: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let url = format!("{http}/healthz");
    until(what, || async { Some(get(&url).await).filter(&wanted) }).await
}

pub(crate) fn seq(event: &Value) -> u64 {
    let id = event["id"].as_str().expect("an event has an id");
    id.split_once('.').expect("epoch and number").1.parse().expect("a number")
}

/// A reader of the feed by long-poll.
pub(crate) struct Feed {
    http: String,
    cursor: String,
    pub(crate) seen: Vec<Value>,
    /// So many of them were looked at.
    at: usize,
}

impl Feed {
    pub(crate) fn after(http: &str, cursor: &str) -> Self {
        Self { http: http.to_owned(), cursor: cursor.to_owned(), seen: Vec::new(), at: 0 }
    }

    /// What comes from now on.
    pub(crate) async fn now(http: &str) -> Self {
        let page = get(&format!("{http}/v1/events")).await;
        Self::after(http, page["cursor"].as_str().expect("a cursor"))
    }

    /// Everything that is kept now.
    pub(crate) async fn all(http: &str) -> Vec<Value> {
        let mut feed = Self::after(http, "earliest");
        while feed.page(0).await {}
        feed.seen
    }

    /// Takes the next page; `true` when there is more at once.
    async fn page(&mut self, wait_s: u32) -> bool {
        let page = get(&format!("{}/v1/events?after={}&wait={wait_s}", self.http, self.cursor)).await;
        page["cursor"].as_str().expect("a cursor").clone_into(&mut self.cursor);
        self.seen.extend(page["events"].as_array().expect("events").iter().cloned());
        page["more"] == true
    }

    /// The next event that is `wanted`.
    pub(crate) async fn next(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let looking = async {
            loop {
                while let Some(event) = self.seen.get(self.at) {
                    self.at += 1;
                    if wanted(event) {
                        return event.clone();
                    }
                }
                self.page(5).await;
            }
        };
        match tokio::time::timeout(PATIENCE, looking).await {
            Ok(event) => event,
            Err(_) => {
                let last = self.seen.iter().rev().take(TAIL).rev();
                let last: String =
                    last.map(|event| format!("\n  {} {}", event["kind"], event["data"])).collect();
                panic!("{what}: not in the feed: {last}");
            }
        }
    }
}

/// `mosquitto_sub -v -t '#'` on a broker.
pub(crate) fn subscribe(port: u16, version: &str) -> Program {
    let port = port.to_string();
    Program::start(Command::new("mosquitto_sub").args([
        "-h",
        "127.0.0.1",
        "-p",
        &port,
        "-V",
        version,
        "-q",
        "1",
        "-v",
        "-t",
        "#",
    ]))
}

pub(crate) async fn publish(port: u16, topic: &str, payload: &str) {
    let mut command = Command::new("mosquitto_pub");
    command.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-q", "1", "-t", topic, "-m", payload]);
    let done = within("mosquitto_pub", command.status()).await.expect("it is installed");
    assert!(done.success());
}

/// The port of `mqtt://127.0.0.1:PORT`.
pub(crate) fn port_of(url: &str) -> u16 {
    let address = url.trim_start_matches("mqtt://");
    address.parse::<SocketAddr>().unwrap_or_else(|_| panic!("no address: {url:?}")).port()
}

/// Three meters behind a pty, a state folder, and a configuration for `run` in front of them.
pub(crate) struct Site {
    pub(crate) front: Front,
    folder: TempDir,
    mqtt: String,
    http: String,
    pub(crate) store: PathBuf,
    pub(crate) port: PathBuf,
}

impl Site {
    /// Quick meters, and a gateway with a broker of its own.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let port = folder.path().join("modem");
        let meters = demo_house(1).into_iter().map(|meter| {
            let quick = Duration::from_millis(1);
            meter.with_reply_delay(quick).with_relay_delay(quick)
        });
        let pty = Pty::open(Some(&port)).expect("a pty");
        let front = Front::start(Bus::new(1, meters.collect()), pty).expect("a thread");
        let store = folder.path().join("state");
        let mqtt = "[mqtt.embedded]\nlisten = \"127.0.0.1:0\"".to_owned();
        Self { front, folder, mqtt, http: String::new(), store, port }
    }

    pub(crate) fn with_mqtt(self, mqtt: &str) -> Self {
        Self { mqtt: mqtt.to_owned(), ..self }
    }

    /// With more keys in `[http]`.
    pub(crate) fn with_http(self, http: &str) -> Self {
        Self { http: http.to_owned(), ..self }
    }

    pub(crate) fn with_broker(self, port: u16) -> Self {
        self.with_mqtt(&format!("[mqtt]\nbroker = \"mqtt://127.0.0.1:{port}\""))
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes the configuration; its path.
    pub(crate) fn config(&self) -> PathBuf {
        let devices: String = [("4711", "Kettle"), ("4712", "Fridge"), ("4713", "Desk")]
            .map(|(address, name)| format!("[[line.device]]\naddress = \"{address}\"\nname = \"{name}\"\n"))
            .concat();
        let text = format!(
            "[http]\nlisten = \"127.0.0.1:0\"\n{}\n{}\n[store]\ndir = {:?}\n\
             [[line]]\ndialect = \"dlt645\"\nport = {:?}\nbaud = 115200\n\
             periods = {{ power = 1, relay = 1, energy = 1, voltage = 2, current = 2, power_factor = 2, frequency = 2 }}\n\
             {devices}",
            self.http, self.mqtt, self.store, self.port,
        );
        let path = self.folder().join("plugline.toml");
        std::fs::write(&path, text).expect("written");
        path
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = plugline(&["run"]);
        command.arg("--config").arg(self.config()).env("PLUGLINE_LOG_FORMAT", "json");
        command
    }

    /// Starts the gateway and waits until it says that it runs.
    pub(crate) async fn run(&self) -> Running {
        let program = Program::start(&mut self.command());
        let line = program.log.has(r#""message":"running""#).await;
        let line: Value = serde_json::from_str(&line).expect("a line of JSON");
        let told = |name: &str| line["fields"][name].as_str().expect("an address").to_owned();
        Running { http: format!("http://{}", told("http")), mqtt: told("mqtt"), program }
    }

    /// Requests for a relay that the meters have heard.
    pub(crate) fn relay_requests(&self) -> Vec<Recorded> {
        let requests = self.front.requests();
        requests.into_iter().filter(|request| request.frame().get(8) == Some(&0x1c)).collect()
    }
}

/// A gateway that runs.
pub(crate) struct Running {
    pub(crate) http: String,
    pub(crate) mqtt: String,
    pub(crate) program: Program,
}

impl Running {
    /// Waits until every device has a relay and a reading.
    pub(crate) async fn devices(&self) -> Vec<Value> {
        let url = format!("{}/v1/devices", self.http);
        until("three devices that were heard", || async {
            let devices = get(&url).await["devices"].as_array().cloned().unwrap_or_default();
            let heard = |device: &Value| {
                device["online"] == true
                    && device["state"]["relay"].is_boolean()
                    && device["last_reading"].is_object()
            };
            (devices.len() == 3 && devices.iter().all(heard)).then_some(devices)
        })
        .await
    }
}

/// Checks what must hold of every feed that was read as a whole: numbers without holes but for declared gaps, energy
/// that never falls. Gives the gaps: missing are the numbers above the first, up to the second.
pub(crate) fn check_feed<'e>(events: impl IntoIterator<Item = &'e Value>) -> Vec<(u64, u64)> {
    let mut gaps = Vec::new();
    let mut last = 0;
    let mut energy: BTreeMap<String, f64> = BTreeMap::new();
    for event in events {
        let number = seq(event);
        let cursor = |name: &str| seq(&serde_json::json!({ "id": event["data"][name] }));
        if event["kind"] == "gateway" && event["data"]["event"] == "gap" {
            gaps.push((cursor("from"), cursor("to")));
            assert_eq!((cursor("from"), cursor("to") + 1), (last, number), "a gap that is none: {event}");
        } else {
            assert_eq!(number, last + 1, "a hole that is not declared, before {event}");
        }
        last = number;
        if let (Some(device), Some(kwh)) = (event["device"].as_str(), event["data"]["energy_kwh"].as_f64()) {
            let before = energy.insert(device.to_owned(), kwh).unwrap_or(0.0);
            assert!(before <= kwh, "energy fell from {before}: {event}");
        }
    }
    gaps
}

/// Checks that every event seen before is the same now, or declared missing; gives the gaps. Events by their number.
pub(crate) fn check_again(before: &Numbered, now: &Numbered) -> Vec<(u64, u64)> {
    let gaps = check_feed(now.values());
    for (seq, event) in before {
        match now.get(seq) {
            Some(again) => assert_eq!(again, event, "a number came back with other content"),
            None => assert!(gaps.iter().any(|(from, to)| from < seq && seq <= to), "{seq} is missing"),
        }
    }
    gaps
}

pub(crate) type Numbered = BTreeMap<u64, Value>;

pub(crate) fn numbered(events: Vec<Value>) -> Numbered {
    events.into_iter().map(|event| (seq(&event), event)).collect()
}
