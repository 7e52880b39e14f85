//! Recordings: what a gateway records, replayed, gives the same readings; text that is none is refused by its line.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use plugline::config::{Config, Pace, Place};
use plugline::hub::LineIndex;
use plugline::line::{Parity, SerialSettings};
use plugline::port::recording::{CHUNK_MAX, Entry, Header, Parser, What};
use plugline::port::replay::Reader;
use plugline::port::{Outlet, Port, PortEvent};
use proptest::prelude::*;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use tokio::sync::mpsc;

use crate::parts::PATIENCE;
use crate::rig::{Gateway, is_reading_of, line, meters, within};

const SETTINGS: SerialSettings = SerialSettings { baud: 9600, parity: Parity::Even };

fn header() -> Header {
    Header {
        start: "2026-11-21T10:00:00.000Z".into(),
        line: "attic".into(),
        dialect: "dlt645".into(),
        port: "/dev/serial/by-id/x y".into(),
    }
}

fn text_of(entries: &[Entry]) -> String {
    entries.iter().fold(header().to_string(), |text, entry| text + &entry.to_string())
}

fn read(text: &[u8]) -> std::io::Result<Vec<Entry>> {
    Reader::new(text).collect()
}

fn what() -> impl Strategy<Value = What> {
    let chunk = || proptest::collection::vec(any::<u8>(), 1..=64);
    prop_oneof![
        Just(What::Open),
        "[a-z(][a-z0-9 ()é]{0,30}[a-z)]".prop_map(What::Lost),
        chunk().prop_map(What::From),
        chunk().prop_map(What::To),
        any::<u64>().prop_map(What::Missed),
    ]
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let steps = proptest::collection::vec((0..100_000_000_u64, what()), 0..20);
    steps.prop_map(|steps| {
        let mut at = Duration::ZERO;
        let entry = |(step, what)| {
            at += Duration::from_micros(step);
            Entry { at, what }
        };
        steps.into_iter().map(entry).collect()
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(entries in entries()) {
        let text = text_of(&entries);
        let mut reader = Reader::new(text.as_bytes());
        let back: Vec<Entry> = reader.by_ref().collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(back, entries);
        prop_assert_eq!(reader.header(), Some(&header()));
    }

    #[test]
    fn a_line_of_garbage_is_refused_with_its_number(entries in entries(), garbage in "[^#\r\n].{0,40}", at in 0..20_usize) {
        let mut parser = Parser::default();
        let good = text_of(&entries);
        let mut lines: Vec<&str> = good.lines().collect();
        let at = lines.len() - at.min(entries.len());
        lines.insert(at, &garbage);
        let mut refused = None;
        for line in &lines {
            if let Err(bad) = parser.line(line.as_bytes()) {
                refused = Some(bad);
                break;
            }
        }
        // Chance may write a good entry, one day.
        if let Some(bad) = refused {
            prop_assert!(bad.number > at as u64, "{} stands at {}", bad, at + 1);
            prop_assert!(!bad.to_string().chars().any(char::is_control));
        } else {
            prop_assert!(garbage.starts_with(|c: char| c.is_ascii_digit()));
        }
    }

    #[test]
    fn any_bytes_are_read_to_their_end_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let with_header = [header().to_string().as_bytes(), &bytes].concat();
        for text in [bytes, with_header] {
            if let Ok(entries) = read(&text) {
                let fit = |entry: &Entry| !matches!(&entry.what, What::From(bytes) if bytes.len() > CHUNK_MAX);
                prop_assert!(entries.iter().all(fit));
            }
        }
    }
}

fn replaying(file: &Path, pace: Pace) -> (Port, mpsc::Receiver<(LineIndex, PortEvent)>) {
    let (events, inbox) = mpsc::channel(4);
    let place = Place::Replay { file: file.to_owned(), pace };
    (Port::start(place, SETTINGS, Outlet { line: LineIndex(0), events, tap: None, watch: None }), inbox)
}

fn entry(at_ms: u64, what: What) -> Entry {
    Entry { at: Duration::from_millis(at_ms), what }
}

#[tokio::test]
async fn a_recording_opens_says_its_bytes_at_their_times_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("recording");
    let entries = [
        entry(0, What::Open),
        entry(10, What::To(vec![1])),
        entry(20, What::From(vec![2])),
        entry(200, What::Lost("cable".into())),
        entry(300, What::Open),
        entry(400, What::From(vec![3])),
    ];
    std::fs::write(&file, text_of(&entries)).unwrap();
    for pace in [Pace::Milli(1000), Pace::Milli(4000), Pace::Fast] {
        let begun = tokio::time::Instant::now();
        let (port, mut events) = replaying(&file, pace);
        port.write(vec![9]);
        let mut got = Vec::new();
        while got.len() < 6 {
            got.push(within("an event", events.recv()).await.expect("it runs").1);
            port.write(vec![9]);
        }
        let took = begun.elapsed();
        let wanted = [
            PortEvent::Open,
            PortEvent::Bytes(vec![2]),
            PortEvent::Lost("cable".into()),
            PortEvent::Open,
            PortEvent::Bytes(vec![3]),
            PortEvent::Lost("the recording ended".into()),
        ];
        assert_eq!(got, wanted, "{pace:?}");
        let least = match pace {
            Pace::Milli(thousandths) => Duration::from_millis(400) * 1000 / thousandths,
            Pace::Fast => Duration::ZERO,
        };
        assert!(took >= least, "{pace:?} took {took:?}");
    }
}

#[tokio::test]
async fn a_recording_that_is_none_is_lost_with_the_line_at_fault() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("recording");
    let (_port, mut events) = replaying(&file, Pace::Fast);
    let (_, event) = within("an event", events.recv()).await.unwrap();
    assert!(matches!(&event, PortEvent::Lost(reason) if reason.contains("No such file")), "{event:?}");
    std::fs::write(&file, format!("{}0.000000 open\nnonsense\n", header())).unwrap();
    let (_port, mut events) = replaying(&file, Pace::Fast);
    assert_eq!(within("an event", events.recv()).await.unwrap().1, PortEvent::Open);
    let (_, event) = within("an event", events.recv()).await.unwrap();
    assert!(matches!(&event, PortEvent::Lost(reason) if reason.contains("line 8")), "{event:?}");
}

/// Device, kind and data of every reading and relay, in order.
fn told(events: &[Value]) -> Vec<(String, Value)> {
    let of_meters = events.iter().filter(|event| event["kind"] == "reading" || event["kind"] == "relay");
    of_meters.map(|event| (event["device"].to_string(), event["data"].clone())).collect()
}

fn config(state: &Path, lines: &str) -> Config {
    let text = format!(
        "[http]\nlisten = \"127.0.0.1:0\"\n[mqtt.embedded]\nlisten = \"127.0.0.1:0\"\n[store]\ndir = {state:?}\n{lines}"
    );
    Config::parse(&text, std::iter::empty(), &|path| std::fs::read_to_string(path)).expect("it is right")
}

/// Runs a gateway on simulated meters for some readings, with a cable pulled in between; what the feed told of them.
async fn recorded(folder: &Path, file: &Path) -> Vec<(String, Value)> {
    let serial = folder.join("modem");
    let front = meters(1, &serial);
    let capture = format!("capture = {file:?}\n");
    let lines = line("dlt645", serial.to_str().unwrap(), &capture);
    let mut gateway = Gateway::run(config(&folder.join("live"), &lines)).await;
    for _ in 0..10 {
        gateway.next("a reading", |event| is_reading_of(event, "dlt645_000000004711")).await;
    }
    front.unplug().unwrap();
    gateway.next("the line is down", |event| event["data"]["event"] == "line_down").await;
    front.plug().unwrap();
    for _ in 0..10 {
        gateway.next("a reading", |event| is_reading_of(event, "dlt645_000000004713")).await;
    }
    let events = told(gateway.all().await);
    gateway.stop().await;
    events
}

fn lasts(file: &Path) -> Entry {
    let entries = Reader::open(file).unwrap().map(Result::unwrap);
    entries.last().expect("entries")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorded_run_replayed_gives_the_same_readings_in_the_same_order() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("recording");
    let live = recorded(folder.path(), &file).await;
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "passwords of meters are in it");
    assert!(live.len() >= 20, "{}", live.len());
    assert!(lasts(&file).at > Duration::ZERO);

    let port = format!("replay:{}", file.display());
    let again = folder.path().join("again");
    let mut config =
        config(&folder.path().join("replayed"), &line("dlt645", &port, &format!("capture = {again:?}\n")));
    config.lines[0].port = Place::Replay { file: file.clone(), pace: Pace::Fast };
    let mut gateway = Gateway::run(config).await;
    let ended = |event: &Value| event["data"]["reason"] == "the recording ended";
    gateway.next("the recording ends", ended).await;
    let replayed = told(gateway.all().await);
    gateway.stop().await;
    assert_eq!(replayed[..live.len()], live[..]);
    // What the port had delivered and the live gateway did not handle any more when it stopped.
    assert!(replayed.len() - live.len() < 10, "{} instead of {}", replayed.len(), live.len());

    let from = |file: &Path| -> Vec<Vec<u8>> {
        let entries = Reader::open(file).unwrap().map(Result::unwrap);
        entries
            .filter_map(|entry| match entry.what {
                What::From(bytes) => Some(bytes),
                _ => None,
            })
            .collect()
    };
    assert_eq!(from(&file), from(&again), "a replay recorded holds the same chunks");
}

fn plugline(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plugline"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PLUGLINE")) {
        command.env_remove(name);
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

/// A program that does not outlive its test.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn interrupt(pid: u32) {
    let done = Command::new("kill").args(["-INT", &pid.to_string()]).status().expect("kill");
    assert!(done.success());
}

fn failed(arguments: &[&str]) -> String {
    let output = plugline(arguments).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    String::from_utf8(output.stderr).expect("text")
}

#[test]
fn the_verbs_refuse_what_cannot_be_done_and_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (file, toml) = (path("recording"), path("plugline.toml"));
    let two = line("attic", "/dev/null", "") + &line("cellar", "/dev/zero", "");
    std::fs::write(&toml, format!("[store]\ndir = {:?}\n{two}", path("state"))).unwrap();
    let error = failed(&["capture", &file, "--config", &toml]);
    assert!(error.contains("there are: attic, cellar"), "{error}");
    let error = failed(&["capture", &file, "--config", &toml, "--line", "roof"]);
    assert!(error.contains("no line is called `roof`"), "{error}");
    std::fs::write(&file, "keep me").unwrap();
    let error = failed(&["capture", &file, "--config", &toml, "--line", "attic"]);
    assert!(error.contains("exists"), "{error}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "keep me");
    let error = failed(&["replay", &file]);
    assert!(error.contains("line 1: "), "{error}");
    std::fs::write(&file, header().to_string().replace("dlt645", "x10")).unwrap();
    let error = failed(&["replay", &file]);
    assert!(error.contains("`x10` is not one of"), "{error}");
}

/// What stands in each packet of a file for Wireshark, tags and bytes.
fn packets(file: &[u8]) -> Vec<String> {
    let (magic, mut rest) = file.split_at(24);
    assert_eq!(magic[..4], [0xd4, 0xc3, 0xb2, 0xa1]);
    let mut packets = Vec::new();
    while let Some((head, after)) = rest.split_first_chunk::<16>() {
        let length = usize::try_from(u32::from_le_bytes(head[8..12].try_into().unwrap())).unwrap();
        packets.push(String::from_utf8_lossy(&after[..length]).into_owned());
        rest = &after[length..];
    }
    assert!(rest.is_empty());
    packets
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_capture_verb_records_the_replay_verb_plays() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (file, toml) = (path("recording"), path("plugline.toml"));
    let front = meters(1, Path::new(&path("modem")));
    let head = "[http]\nlisten = \"127.0.0.1:0\"\n[mqtt.embedded]\nlisten = \"127.0.0.1:0\"\n";
    let text = format!("{head}[store]\ndir = {:?}\n{}", path("state"), line("attic", &path("modem"), ""));
    std::fs::write(&toml, text).unwrap();
    let pcap = path("recording.pcap");
    let mut capture = plugline(&["capture", &file, "--config", &toml, "--seconds", "600", "--pcap", &pcap]);
    let mut child = Ended(capture.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    within("all meters were asked a lot", async {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        while front.requests().len() < 40 {
            tick.tick().await;
        }
    })
    .await;
    interrupt(child.0.id());
    let mut out = child.0.stdout.take().unwrap();
    let said = tokio::task::spawn_blocking(move || std::io::read_to_string(&mut out)).await.unwrap().unwrap();
    assert!(child.0.wait().unwrap().success(), "{said}");
    assert!(said.contains("Recording line attic") && said.contains("chunks from the line"), "{said}");
    let chunks = |what: &Entry| matches!(what.what, What::From(_) | What::To(_));
    let recorded = Reader::open(Path::new(&file)).unwrap().map(Result::unwrap).filter(chunks).count();
    let packets = packets(&std::fs::read(&pcap).unwrap());
    assert_eq!(packets.len(), recorded);
    let replies = packets.iter().filter(|packet| packet.contains("\"frame\":\"read_reply\"")).count();
    assert!(replies > 10, "{replies}");

    let mut replay = plugline(&["replay", &file, "--fast", "--json"]);
    let mut child = Ended(replay.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let mut out = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let first = tokio::task::spawn_blocking(move || out.next()).await.unwrap().expect("a line").unwrap();
    let addresses: Value = serde_json::from_str(&first).expect("JSON");
    let client = plugline::cli::client::Client::new(addresses["http"].as_str().unwrap()).unwrap();
    let names = ["attic_000000004711", "attic_000000004712", "attic_000000004713"];
    let heard = within("all meters are heard again", async {
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        loop {
            tick.tick().await;
            let body = client.get("/v1/devices", PATIENCE).await.unwrap().good().unwrap();
            let devices = body["devices"].as_array().unwrap().clone();
            if devices.len() == 3 && devices.iter().all(|device| device["last_reading"].is_object()) {
                return devices;
            }
        }
    })
    .await;
    let ids: Vec<&str> = heard.iter().map(|device| device["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), names.len(), "{ids:?}");
    interrupt(child.0.id());
    let ended = tokio::task::spawn_blocking(move || child.0.wait()).await.unwrap().unwrap();
    assert!(ended.success());
}

#[test]
fn the_example_of_the_specification_is_a_recording() {
    let spec = include_str!("../../protocol-spec/capture.md");
    let example =
        spec.split("```text\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let entries = read(example.as_bytes()).expect("it is right");
    assert_eq!(entries.len(), 5);
    let written: String = entries.iter().map(Entry::to_string).collect();
    assert!(example.ends_with(&written), "{written}");
}
