//! `plugline demo` as a stranger meets it.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use tokio::process::Command;

use crate::gateway::{
    DESK, FRIDGE, Feed, KETTLE, Numbered, Program, check_again, curl, get, numbered, plugline, port_of, seq,
    subscribe, switch, until, within,
};
use crate::parts::{Mosquitto, PATIENCE, free_port};

struct Demo {
    program: Program,
    http: String,
    mqtt: String,
    state: String,
    /// Of the socket that nobody has let in.
    label: String,
}

impl Demo {
    async fn start(arguments: &[&str]) -> Self {
        let arguments = [&["demo", "--json", "--http", "127.0.0.1:0"], arguments].concat();
        Self::announced(Program::start(&mut plugline(&arguments))).await
    }

    async fn announced(program: Program) -> Self {
        let line = program.out.first("a line of JSON", |_| true).await;
        let line: Value = serde_json::from_str(&line).expect("the first line is JSON");
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("no text: {line}")).to_owned();
        let serial = line["serial"].as_array().expect("a list");
        assert_eq!(serial.len(), 3, "{line}");
        assert!(serial.iter().all(|port| Path::new(&text(port)).exists()), "{line}");
        let [http, mqtt, state, label] = ["http", "mqtt", "state", "label"].map(|name| text(&line[name]));
        Self { program, http, mqtt, state, label }
    }
}

/// The demo's INSTEON devices: two outlets, both halves of a dual one, a meter.
const LAMP: &str = "insteon_1a777b";
const RADIO: &str = "insteon_1a7810";
const TOP: &str = "insteon_2c0d11";
const BOTTOM: &str = "insteon_2c0d11_2";
const FREEZER: &str = "insteon_1987b7";

fn is_reading(event: &Value) -> bool {
    event["kind"] == "reading"
}

#[tokio::test]
async fn readings_move_on_every_way_out_within_seconds() {
    let demo = Demo::start(&[]).await;
    let mut feed = Feed::after(&demo.http, "earliest");
    let old = subscribe(port_of(&demo.mqtt), "mqttv311");
    let new = subscribe(port_of(&demo.mqtt), "mqttv5");
    let stream = Program::start(Command::new("curl").args([
        "-sN",
        "-H",
        "Accept: text/event-stream",
        &format!("{}/v1/events?after=earliest", demo.http),
    ]));
    let own =
        Program::start(&mut plugline(&["events", "--since", "earliest", "--json", "--url", &demo.http]));
    for device in [KETTLE, FRIDGE, DESK] {
        let power = |event: &Value| event["device"] == device && event["data"]["power_w"].is_number();
        feed.next("power", power).await;
        feed.next("power again", power).await;
        let shown = |line: &str| serde_json::from_str(line).is_ok_and(|event: Value| power(&event));
        own.out.first("power in `plugline events`", shown).await;
        stream.out.first("power in the stream", |line| line.strip_prefix("data: ").is_some_and(shown)).await;
        let base = get(&format!("{}/v1/gateway", demo.http)).await;
        let base = format!("plugline/{}/device/{device}", base["id"].as_str().expect("an id"));
        for program in [&old, &new] {
            program.out.has(&format!("homeassistant/device/plugline_{device}/config {{")).await;
            program.out.has(&format!("{base}/availability online")).await;
            program.out.has(&format!("{base}/relay ON")).await;
            program.out.has(&format!("{base}/reading {{\"t\":")).await;
        }
    }
    assert!(stream.out.all().iter().any(|line| line == "event: hello"), "{:#?}", stream.out.all());
    assert_eq!(demo.program.stop("INT").await.code(), Some(0));
    // Both streams end with it; so does `events | head`.
    stream.out.end().await;
}

#[tokio::test]
async fn the_insteon_line_of_the_demo_is_heard_and_switched() {
    let demo = Demo::start(&[]).await;
    let mut feed = Feed::after(&demo.http, "earliest");
    let all = subscribe(port_of(&demo.mqtt), "mqttv5");
    let figures =
        |event: &Value| event["data"]["power_w"].is_number() && event["data"]["energy_kwh"].is_number();
    feed.next("figures", |event| event["device"] == FREEZER && figures(event)).await;
    for (device, relay) in [(LAMP, "ON"), (RADIO, "OFF"), (TOP, "OFF"), (BOTTOM, "OFF")] {
        all.out.has(&format!("device/{device}/relay {relay}")).await;
    }
    all.out.has(&format!("device/{FREEZER}/reading {{\"t\":")).await;
    for device in [LAMP, RADIO, TOP, FREEZER] {
        all.out.has(&format!("homeassistant/device/plugline_{device}/config {{")).await;
    }
    assert_eq!(switch(&demo.http, BOTTOM, true).await["state"], "confirmed");
    all.out.has(&format!("device/{BOTTOM}/relay ON")).await;
    let devices = get(&format!("{}/v1/devices", demo.http)).await;
    let named = |id: &str| {
        let devices = devices["devices"].as_array().expect("a list");
        let device = devices.iter().find(|device| device["id"] == id).unwrap_or_else(|| panic!("no {id}"));
        (device["name"].as_str().expect("a name").to_owned(), device["state"]["relay"].clone())
    };
    assert_eq!(named(TOP), ("Shelf, top".into(), false.into()));
    assert_eq!(named(BOTTOM), ("Shelf, bottom".into(), true.into()));
    assert_eq!(named(FREEZER), ("Freezer".into(), Value::Null));
    assert_eq!(demo.program.stop("INT").await.code(), Some(0));
}

#[tokio::test]
async fn plugline_sockets_join_by_themselves_and_one_more_by_its_printed_label() {
    let demo = Demo::start(&["--speed", "10", "--sockets", "6"]).await;
    let mut feed = Feed::after(&demo.http, "earliest");
    for _ in 0..6 {
        let joined =
            |event: &Value| event["data"]["event"] == "joining" && event["data"]["state"] == "joined";
        feed.next("a socket joins", joined).await;
    }
    let window_closed =
        |event: &Value| event["data"]["event"] == "joining" && event["data"]["state"] == "closed";
    feed.next("the door is closed behind them", window_closed).await;
    let spare = format!("plugline_{}", demo.label[5..21].to_lowercase());
    let devices = get(&format!("{}/v1/devices", demo.http)).await;
    assert!(!devices.to_string().contains(&spare));
    let listed = devices["devices"].as_array().expect("a list");
    let names: BTreeSet<&str> = listed.iter().filter_map(|device| device["name"].as_str()).collect();
    assert_eq!(names.len(), listed.len(), "a name belongs to one device: {names:?}");
    // Without the name of the line, as the demo prints it: the label tells.
    let join = Program::start(&mut plugline(&[
        "join",
        "--url",
        &demo.http,
        "--seconds",
        "600",
        "--code",
        &demo.label,
    ]));
    join.out.first("it joins", |line| line.starts_with("joined: ") && line.contains(&spare)).await;
    assert_eq!(switch(&demo.http, &spare, true).await["state"], "confirmed");
    let all = subscribe(port_of(&demo.mqtt), "mqttv5");
    all.out.has(&format!("device/{spare}/relay ON")).await;
    all.out.has(&format!("homeassistant/device/plugline_{spare}/config {{")).await;
    assert_eq!(demo.program.stop("INT").await.code(), Some(0));
}

#[tokio::test]
async fn either_signal_ends_it_cleanly_and_nothing_of_it_stays() {
    for signal in ["INT", "TERM"] {
        let demo = Demo::start(&[]).await;
        let _reader = subscribe(port_of(&demo.mqtt), "mqttv5");
        let _stream = Program::start(Command::new("curl").args([
            "-sN",
            "-H",
            "Accept: text/event-stream",
            &format!("{}/v1/events", demo.http),
        ]));
        let held = tokio::spawn({
            let url = format!("{}/v1/events?wait=50&kind=nothing", demo.http);
            async move { curl(&[&url]).await }
        });
        Feed::after(&demo.http, "earliest").next("a reading", is_reading).await;
        assert!(Path::new(&demo.state).exists());
        assert_eq!(demo.program.stop(signal).await.code(), Some(0), "SIG{signal}");
        assert!(!Path::new(&demo.state).exists(), "{} is still there", demo.state);
        let (status, page) = within("the held request", held).await.expect("no panic");
        assert!(status == 200 || status == 0, "{status} {page}");
    }
}

#[tokio::test]
async fn a_signal_during_the_start_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = plugline(&["demo", "--json", "--http", "127.0.0.1:0"]);
    let program = Program::start(command.env("TMPDIR", folder.path()));
    let appeared = async {
        let mut tick = tokio::time::interval(std::time::Duration::from_millis(1));
        while std::fs::read_dir(folder.path()).expect("a folder").next().is_none() {
            tick.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, appeared).await.expect("a state folder");
    assert_eq!(program.stop("INT").await.code(), Some(0));
    let left: Vec<_> = std::fs::read_dir(folder.path()).expect("a folder").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn demos_started_at_once_run_side_by_side() {
    // Without --http: each finds ports of its own.
    let start = || Program::start(&mut plugline(&["demo", "--json"]));
    let programs = [start(), start(), start()];
    let mut demos = Vec::new();
    for program in programs {
        demos.push(Demo::announced(program).await);
    }
    for demo in &demos {
        Feed::after(&demo.http, "earliest").next("a reading", is_reading).await;
        let all = subscribe(port_of(&demo.mqtt), "mqttv5");
        all.out.has("/reading {").await;
    }
    let places: BTreeSet<_> = demos.iter().flat_map(|demo| [&demo.http, &demo.mqtt, &demo.state]).collect();
    assert_eq!(places.len(), 9, "{places:?}");
    for demo in demos {
        assert_eq!(demo.program.stop("INT").await.code(), Some(0));
    }
}

#[tokio::test]
async fn a_broker_of_ones_own_is_used_and_left_as_it_was() {
    let port = free_port();
    let _broker = Mosquitto::start(port, None).await;
    let url = format!("mqtt://127.0.0.1:{port}");
    let demo = Demo::start(&["--mqtt", &url]).await;
    assert_eq!(demo.mqtt, url);
    let all = subscribe(port, "mqttv5");
    for device in [KETTLE, FRIDGE, DESK] {
        all.out.has(&format!("homeassistant/device/plugline_{device}/config {{")).await;
        all.out.has(&format!("device/{device}/reading {{")).await;
        all.out.has(&format!("device/{device}/relay ON")).await;
    }
    assert_eq!(demo.program.stop("INT").await.code(), Some(0));
    crate::gateway::publish(port, "done", "yes").await;
    all.out.has("done yes").await;
    let late = Program::start(Command::new("mosquitto_sub").args([
        "-h",
        "127.0.0.1",
        "-p",
        &port.to_string(),
        "-t",
        "#",
        "-v",
        "-W",
        "1",
    ]));
    assert_eq!(late.out.end().await, Vec::<String>::new(), "retained topics are left");
}

/// What a continued demo must keep, read before and after.
struct Stand {
    gateway: Value,
    devices: BTreeSet<String>,
    events: Numbered,
}

impl Stand {
    async fn of(demo: &Demo) -> Self {
        let devices = get(&format!("{}/v1/devices", demo.http)).await;
        let devices = devices["devices"].as_array().expect("devices");
        Self {
            gateway: get(&format!("{}/v1/gateway", demo.http)).await,
            devices: devices.iter().map(|device| device["id"].as_str().expect("an id").to_owned()).collect(),
            events: numbered(Feed::all(&demo.http).await),
        }
    }
}

/// Nothing that was seen has changed, what is missing is declared, energy does not fall; gives the gaps.
async fn compare(before: &Stand, demo: &Demo) -> Vec<(u64, u64)> {
    let after = Stand::of(demo).await;
    assert_eq!(after.gateway["id"], before.gateway["id"]);
    assert_eq!(after.gateway["feed"]["epoch"], before.gateway["feed"]["epoch"]);
    assert_eq!(after.devices, before.devices);
    let gaps = check_again(&before.events, &after.events);
    let epoch = after.gateway["feed"]["epoch"].as_str().expect("an epoch");
    for (from, to) in &gaps {
        let inside = from.midpoint(*to);
        let page = get(&format!("{}/v1/events?after={epoch}.{inside}&limit=1", demo.http)).await;
        assert_eq!(seq(&page["events"][0]), to + 1, "a cursor inside a gap gives what follows it");
    }
    gaps
}

#[tokio::test]
async fn a_kept_demo_goes_on_after_a_kill_and_declares_what_is_missing() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().to_str().expect("text");
    let demo = Demo::start(&["--state", state]).await;
    let mut feed = Feed::after(&demo.http, "earliest");
    for device in [KETTLE, FRIDGE, DESK] {
        feed.next("energy", |event| event["device"] == device && event["data"]["energy_kwh"].is_number())
            .await;
    }
    feed.next("energy", |event| event["device"] == FREEZER && event["data"]["energy_kwh"].is_number()).await;
    assert_eq!(switch(&demo.http, DESK, false).await["state"], "confirmed");
    assert_eq!(switch(&demo.http, BOTTOM, true).await["state"], "confirmed");
    feed.next("a reading after it", is_reading).await;
    // It is written down each second.
    for (file, device, relays) in
        [("demo-house", "000000004713=", ",open"), ("demo-shelf", "2c0d11=", ",off,on")]
    {
        until(relays, || async {
            let text = std::fs::read_to_string(folder.path().join(file)).unwrap_or_default();
            let written = text.lines().any(|line| line.starts_with(device) && line.ends_with(relays));
            written.then_some(())
        })
        .await;
    }
    let before = Stand::of(&demo).await;
    demo.program.kill().await;

    let demo = Demo::start(&["--state", state]).await;
    let energy = |event: &Value| event["data"]["energy_kwh"].is_number();
    let mut feed = Feed::now(&demo.http).await;
    feed.next("energy again", energy).await;
    feed.next("the shelf again", |event| event["device"] == BOTTOM && event["data"]["online"] == true).await;
    let gaps = compare(&before, &demo).await;
    assert_eq!(gaps.len(), 1, "a kill is declared once: {gaps:?}");
    let desk = get(&format!("{}/v1/devices/{DESK}", demo.http)).await;
    assert_eq!(desk["state"]["relay"], false, "the relay stays where it was");
    let bottom = get(&format!("{}/v1/devices/{BOTTOM}", demo.http)).await;
    assert_eq!(bottom["state"]["relay"], true, "so does the outlet");

    let before = Stand::of(&demo).await;
    assert_eq!(demo.program.stop("TERM").await.code(), Some(0));
    let demo = Demo::start(&["--state", state]).await;
    Feed::now(&demo.http).await.next("energy again", energy).await;
    assert_eq!(compare(&before, &demo).await, gaps, "a clean stop leaves no gap");
    assert_eq!(demo.program.stop("INT").await.code(), Some(0));
    for file in ["demo-house", "demo-shelf"] {
        assert!(folder.path().join(file).exists(), "the folder was given, so {file} stays");
    }
}
