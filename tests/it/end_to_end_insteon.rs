//! `plugline run` on a real pty with an INSTEON modem behind it: simulated with its devices, or speaking what was
//! recorded of real ones.

use std::path::PathBuf;

use plugline_simulator::insteon::{Device, Fault, Id, Script, energy_of_count, recorded};
use plugline_simulator::{Front, Plm, Pty, Wire, demo_insteon};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::end_to_end::{base, hex, is_line};
use crate::gateway::{
    Ended, Feed, Program, Running, check_feed, ended, get, health, plugline, port_of, post, publish,
    subscribe, switch, until,
};

const LAMP: &str = "insteon_1a777b";
const RADIO: &str = "insteon_1a7810";
const TOP: &str = "insteon_2c0d11";
const BOTTOM: &str = "insteon_2c0d11_2";
const METER: &str = "insteon_1987b7";

const LAMP_ID: Id = Id([0x1A, 0x77, 0x7B]);
const SHELF_ID: Id = Id([0x2C, 0x0D, 0x11]);
const METER_ID: Id = Id([0x19, 0x87, 0xB7]);

/// Bytes 11 … 22 of a message to the bottom outlet.
const ZEROS: &str = "00 00 00 00 00 00 00 00 00 00 00 00";

/// A modem behind a pty, and a gateway's configuration in front of it.
struct Lab<W> {
    front: Front<W>,
    folder: TempDir,
    devices: String,
}

/// The demo's shelf, where the dual outlet is one entry.
fn shelf() -> Lab<Plm> {
    let devices = [
        ("1A.77.7B", "outlet", "Floor lamp"),
        ("1A.78.10", "outlet", "Radio"),
        ("2C.0D.11", "dual", "Shelf"),
        ("19.87.B7", "meter", "Freezer"),
    ];
    Lab::new(demo_insteon(1), &devices)
}

impl<W: Wire + Send + 'static> Lab<W> {
    fn new(wire: W, devices: &[(&str, &str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let pty = Pty::open(Some(&folder.path().join("modem"))).expect("a pty");
        let front = Front::start(wire, pty).expect("a thread");
        let entry = |(address, kind, name): &(&str, &str, &str)| {
            format!("[[line.device]]\naddress = \"{address}\"\nkind = \"{kind}\"\nname = \"{name}\"\n")
        };
        Self { front, folder, devices: devices.iter().map(entry).collect() }
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Writes the configuration; its path.
    fn config(&self) -> PathBuf {
        let text = format!(
            "[http]\nlisten = \"127.0.0.1:0\"\n[mqtt.embedded]\nlisten = \"127.0.0.1:0\"\n[store]\ndir = {:?}\n\
             [[line]]\ndialect = \"insteon\"\nport = {:?}\nperiods = {{ status = 5, meter = 5 }}\n{}",
            self.store(),
            self.front.path(),
            self.devices,
        );
        let path = self.folder.path().join("plugline.toml");
        std::fs::write(&path, text).expect("written");
        path
    }

    /// Starts the gateway and waits until it says that it runs.
    async fn run(&self) -> Running {
        let mut command = plugline(&["run"]);
        command.arg("--config").arg(self.config()).env("PLUGLINE_LOG_FORMAT", "json");
        let program = Program::start(&mut command);
        let line = program.log.has(r#""message":"running""#).await;
        let line: Value = serde_json::from_str(&line).expect("a line of JSON");
        let told = |name: &str| line["fields"][name].as_str().expect("an address").to_owned();
        Running { http: format!("http://{}", told("http")), mqtt: told("mqtt"), program }
    }

    /// Messages that switch something, as the modem got them.
    fn switches(&self) -> Vec<String> {
        let requests = self.front.requests();
        let mut sent = requests.iter().map(|request| &request.bytes);
        let switching = |bytes: &&Vec<u8>| bytes[1] == 0x62 && matches!(bytes[6], 0x11..=0x14 | 0x32 | 0x33);
        sent.by_ref().filter(switching).map(|bytes| hex(bytes)).collect()
    }
}

impl Lab<Plm> {
    fn device<T>(&self, id: Id, look: impl FnOnce(&Device) -> T) -> T {
        self.front.with(|plm| look(plm.device(id).expect("it is there")))
    }
}

/// Waits until each of these was heard.
async fn heard(gateway: &Running, ids: &[&str]) {
    heard_at(&gateway.http, ids).await;
}

async fn heard_at(http: &str, ids: &[&str]) {
    until("devices that were heard", || async {
        let devices = get(&format!("{http}/v1/devices")).await;
        let devices = devices["devices"].as_array().cloned().unwrap_or_default();
        let online =
            |id: &&str| devices.iter().any(|device| device["id"] == **id && device["online"] == true);
        ids.iter().all(online).then_some(())
    })
    .await;
}

/// Switches off what must be done within a second: the settled command.
async fn expiring(gateway: &Running, device: &str) -> Value {
    let url = format!("{}/v1/devices/{device}/commands?wait=10", gateway.http);
    let (status, command) = post(&url, r#"{"command":"switch","args":{"on":false},"ttl_s":1}"#).await;
    assert_eq!(status, 200, "{command}");
    command
}

const ALL: [&str; 5] = [LAMP, RADIO, TOP, BOTTOM, METER];

#[tokio::test]
async fn a_switch_by_mqtt_by_http_and_by_the_command_line_is_one_message_each() {
    let lab = shelf();
    let gateway = lab.run().await;
    heard(&gateway, &ALL).await;
    let broker = port_of(&gateway.mqtt);
    let all = subscribe(broker, "mqttv5");
    let lamp = format!("{}/device/{LAMP}", base(&gateway).await);
    all.out.has(&format!("{lamp}/relay ON")).await;
    let mut feed = Feed::now(&gateway.http).await;

    publish(broker, &format!("{lamp}/set"), "OFF").await;
    let result = all.out.has(&format!("{lamp}/result ")).await;
    assert!(result.contains(r#""event_type":"confirmed""#), "{result}");
    all.out.has(&format!("{lamp}/relay OFF")).await;
    assert_eq!(lab.device(LAMP_ID, |lamp| lamp.is_on(1)), Some(false));

    let command = switch(&gateway.http, LAMP, true).await;
    assert_eq!(command["state"], "confirmed", "{command}");
    assert!(command["times"]["acknowledged"].is_string(), "{command}");
    assert_eq!(lab.device(LAMP_ID, |lamp| lamp.is_on(1)), Some(true));

    let state = lab.store();
    let told = ended(plugline(&["off", "Floor lamp", "--state"]).arg(&state)).await;
    let wanted = "Floor lamp (insteon_1a777b): off confirmed";
    assert_eq!((told.code, told.out.as_str()), (Some(0), wanted), "{}", told.err);
    assert_eq!(lab.device(LAMP_ID, |lamp| lamp.is_on(1)), Some(false));

    let (on, off) = ("02 62 1A 77 7B 0F 11 FF", "02 62 1A 77 7B 0F 13 00");
    assert_eq!(lab.switches(), [off, on, off]);
    for on in [false, true, false] {
        let shown = |event: &Value| event["device"] == LAMP && event["data"]["relay"].is_boolean();
        let event = feed.next("the relay", shown).await;
        assert_eq!(event["data"], json!({ "relay": on, "cause": "command" }));
    }
    assert_eq!(gateway.program.stop("TERM").await.code(), Some(0));
    all.out.has("/status offline").await;
}

#[tokio::test]
async fn the_halves_of_a_dual_outlet_are_two_switches_of_one_device() {
    let lab = shelf();
    let gateway = lab.run().await;
    heard(&gateway, &ALL).await;
    let broker = port_of(&gateway.mqtt);
    let all = subscribe(broker, "mqttv5");
    let base = base(&gateway).await;
    let both = || lab.device(SHELF_ID, |shelf| [1, 2].map(|group| shelf.is_on(group)));

    publish(broker, &format!("{base}/device/{BOTTOM}/set"), "ON").await;
    all.out.has(&format!("{base}/device/{BOTTOM}/relay ON")).await;
    assert_eq!(both(), [Some(false), Some(true)]);
    for (device, on, wanted) in [
        (TOP, true, [Some(true), Some(true)]),
        (BOTTOM, false, [Some(true), Some(false)]),
        (TOP, false, [Some(false), Some(false)]),
    ] {
        assert_eq!(switch(&gateway.http, device, on).await["state"], "confirmed");
        assert_eq!(both(), wanted);
        let shown = |id: &str| {
            let url = format!("{}/v1/devices/{id}", gateway.http);
            async move { get(&url).await["state"]["relay"].clone() }
        };
        let shown = [shown(TOP).await, shown(BOTTOM).await];
        assert_eq!(shown.map(|relay| relay.as_bool()), wanted);
    }
    let bottom = |what: &str, sum: &str| format!("02 62 2C 0D 11 1F {what} 02 {ZEROS} {sum}");
    let wanted = [
        bottom("11 01", "EC"),
        "02 62 2C 0D 11 0F 11 FF".into(),
        bottom("13 00", "EB"),
        "02 62 2C 0D 11 0F 13 00".into(),
    ];
    assert_eq!(lab.switches(), wanted);

    let config = all.out.has(&format!("homeassistant/device/plugline_{TOP}/config {{")).await;
    let (_, config) = config.split_once(' ').expect("topic and payload");
    let config: Value = serde_json::from_str(config).expect("JSON");
    let topics = ["relay", "relay_2"].map(|key| config["cmps"][key]["cmd_t"].as_str().unwrap_or("none"));
    assert_eq!(topics, [TOP, BOTTOM].map(|id| format!("{base}/device/{id}/set")), "{config}");
    let own = format!("homeassistant/device/plugline_{BOTTOM}/");
    assert!(all.out.all().iter().all(|line| !line.starts_with(&own)), "one device in Home Assistant");
}

#[tokio::test]
async fn a_button_pressed_by_hand_is_seen_once() {
    let lab = shelf();
    let gateway = lab.run().await;
    heard(&gateway, &ALL).await;
    let all = subscribe(port_of(&gateway.mqtt), "mqttv5");
    all.out.has(&format!("device/{LAMP}/relay ON")).await;
    all.out.has(&format!("device/{BOTTOM}/relay OFF")).await;
    let mut feed = Feed::now(&gateway.http).await;
    for (id, group, device, on) in [(LAMP_ID, 1, LAMP, false), (SHELF_ID, 2, BOTTOM, true)] {
        assert!(lab.front.with(|plm| plm.press(id, group)));
        let relay = |event: &Value| event["device"] == device && event["data"]["relay"].is_boolean();
        let event = feed.next("the press", relay).await;
        assert_eq!(event["data"], json!({ "relay": on, "cause": "button" }));
        all.out.has(&format!("device/{device}/relay {}", if on { "ON" } else { "OFF" })).await;
    }
    // All three messages of each press are through when what was asked later is answered.
    assert_eq!(switch(&gateway.http, RADIO, true).await["state"], "confirmed");
    let figures = |event: &Value| event["device"] == METER && event["kind"] == "reading";
    feed.next("figures", figures).await;
    feed.next("figures after them", figures).await;
    let presses = feed.seen.iter().filter(|event| event["data"]["cause"] == "button").count();
    assert_eq!(presses, 2);
    assert_eq!(lab.switches(), ["02 62 1A 78 10 0F 11 FF"], "nothing else was switched");
}

#[tokio::test]
async fn figures_of_the_meter_reach_mqtt_as_it_counted_them() {
    let lab = shelf();
    let before = lab.device(METER_ID, Device::energy_mwh).expect("it counts");
    let gateway = lab.run().await;
    let all = subscribe(port_of(&gateway.mqtt), "mqttv5");
    let line = all.out.has(&format!("device/{METER}/reading {{")).await;
    let after = lab.device(METER_ID, Device::energy_mwh).expect("it counts");
    let (_, reading) = line.split_once(' ').expect("topic and payload");
    let reading: Value = serde_json::from_str(reading).expect("JSON");
    let kwh = reading["energy_kwh"].as_f64().expect("a number");
    // It counts in steps of 0.3 Wh.
    let step = energy_of_count(1) as f64 * 1e-6;
    assert!(kwh > before as f64 * 1e-6 - 2.0 * step && kwh <= after as f64 * 1e-6 + 1e-6, "{reading}");
    assert!((0.0..500.0).contains(&reading["power_w"].as_f64().expect("a number")), "{reading}");
    let device = get(&format!("{}/v1/devices/{METER}", gateway.http)).await;
    assert_eq!((&device["state"]["relay"], &device["name"]), (&Value::Null, &json!("Freezer")));
    assert!(all.out.all().iter().all(|line| !line.contains(&format!("device/{METER}/relay "))));
}

#[tokio::test]
async fn a_cable_that_was_pulled_is_seen_and_everything_is_back_with_it() {
    let lab = shelf();
    let gateway = lab.run().await;
    heard(&gateway, &ALL).await;
    let all = subscribe(port_of(&gateway.mqtt), "mqttv5");
    let base = base(&gateway).await;
    all.out.has(&format!("{base}/line/insteon online")).await;
    let mut feed = Feed::now(&gateway.http).await;

    lab.front.unplug().expect("unplugged");
    feed.next("the line is down", |event| is_line(event, "line_down")).await;
    all.out.has(&format!("{base}/line/insteon offline")).await;
    for device in ALL {
        all.out.has(&format!("{base}/device/{device}/availability offline")).await;
    }
    let sick = health(&gateway.http, "degraded", |health| health["status"] == "degraded").await;
    assert_eq!(sick["parts"]["lines"]["insteon"]["port"], false, "{sick}");
    let command = expiring(&gateway, LAMP).await;
    assert_eq!(command["state"], "expired", "{command}");

    // Somebody turns it by hand while nobody listens.
    lab.front.with(|plm| plm.press(LAMP_ID, 1));
    lab.front.plug().expect("plugged");
    feed.next("the line is up", |event| is_line(event, "line_up")).await;
    let off = |event: &Value| event["device"] == LAMP && event["data"]["relay"] == false;
    let event = feed.next("the lamp as it is", off).await;
    assert_eq!(event["data"]["cause"], "poll");
    heard(&gateway, &ALL).await;
    assert_eq!(switch(&gateway.http, BOTTOM, true).await["state"], "confirmed");
    health(&gateway.http, "well again", |health| health["status"] == "ok").await;
    assert_eq!(lab.switches().len(), 1, "what expired is not sent later");
    check_feed(&Feed::all(&gateway.http).await);
}

#[tokio::test]
async fn a_modem_that_stops_answering_takes_its_line_down_and_brings_it_back() {
    let lab = shelf();
    let mut gateway = lab.run().await;
    heard(&gateway, &ALL).await;
    let all = subscribe(port_of(&gateway.mqtt), "mqttv5");
    all.out.has("/line/insteon online").await;
    let mut feed = Feed::now(&gateway.http).await;
    lab.front.with(|plm| plm.set_fault(Fault::Mute));
    feed.next("the line is down", |event| is_line(event, "line_down")).await;
    let sick = health(&gateway.http, "degraded", |health| health["status"] == "degraded").await;
    let line = &sick["parts"]["lines"]["insteon"];
    assert_eq!((&line["port"], &line["modem"]), (&json!(true), &json!(false)), "{sick}");
    all.out.has("/line/insteon offline").await;
    let command = expiring(&gateway, LAMP).await;
    assert_eq!(command["state"], "expired", "{command}");
    assert_eq!(lab.device(LAMP_ID, |lamp| lamp.is_on(1)), Some(true));

    lab.front.with(Plm::clear_faults);
    feed.next("the line is up", |event| is_line(event, "line_up")).await;
    health(&gateway.http, "well again", |health| health["status"] == "ok").await;
    assert_eq!(switch(&gateway.http, LAMP, false).await["state"], "confirmed");
    assert!(gateway.program.runs());
}

#[tokio::test]
async fn recorded_conversations_are_had_from_end_to_end() {
    let devices = [
        ("00.00.04", "dual", "Shelf"),
        ("10.06.D0", "outlet", "Lamp"),
        ("3A.10.43", "outlet", "Fan"),
        ("19.87.B7", "meter", "Freezer"),
    ];
    let (top, bottom, lamp, fan) = ("insteon_000004", "insteon_000004_2", "insteon_1006d0", "insteon_3a1043");
    let lab: Lab<Script> = Lab::new(recorded(), &devices);
    let gateway = lab.run().await;
    heard(&gateway, &[top, bottom, lamp, fan, METER]).await;
    let all = subscribe(port_of(&gateway.mqtt), "mqttv5");
    for (device, on) in
        [(top, true), (bottom, true), (fan, true), (lamp, true), (bottom, false), (fan, false)]
    {
        assert_eq!(switch(&gateway.http, device, on).await["state"], "confirmed", "{device} {on}");
        all.out.has(&format!("device/{device}/relay {}", if on { "ON" } else { "OFF" })).await;
    }
    let to_bottom = |what: &str, sum: &str| format!("02 62 00 00 04 1F {what} 02 {ZEROS} {sum}");
    let wanted = [
        "02 62 00 00 04 0F 11 FF".into(),
        to_bottom("11 01", "EC"),
        "02 62 3A 10 43 0F 11 FF".into(),
        "02 62 10 06 D0 0F 11 FF".into(),
        to_bottom("13 00", "EB"),
        "02 62 3A 10 43 0F 13 00".into(),
    ];
    assert_eq!(lab.switches(), wanted);
    // The two captured replies of the meter: 3 W at 42 counts, 2 W at 111; a count is 65535 / 216,000,000 kWh.
    let mut feed = Feed::after(&gateway.http, "earliest");
    for (power, energy) in [(3, 0.012_743), (2, 0.033_678)] {
        let event =
            feed.next("figures", |event| event["device"] == METER && event["kind"] == "reading").await;
        assert_eq!(
            (&event["data"]["power_w"], &event["data"]["energy_kwh"]),
            (&json!(power), &json!(energy))
        );
    }
    // Asked again, all stand where they were left.
    let asked = || {
        let requests = lab.front.requests();
        requests.iter().filter(|request| request.bytes.get(6) == Some(&0x19)).count()
    };
    let before = asked();
    until("every relay was asked again", || async { (asked() >= before + 4).then_some(()) }).await;
    feed.next("figures after it", |event| event["device"] == METER && event["kind"] == "reading").await;
    let relays = [(top, true), (bottom, false), (lamp, true), (fan, false)];
    for (device, on) in relays {
        let shown = get(&format!("{}/v1/devices/{device}", gateway.http)).await;
        assert_eq!(shown["state"]["relay"], on, "{shown}");
    }
    check_feed(&Feed::all(&gateway.http).await);
}

#[tokio::test]
async fn a_recorded_line_replayed_answers_the_driver_as_the_modem_did() {
    let lab = shelf();
    let (file, state) = (lab.folder.path().join("recording"), lab.store());
    let mut capture = plugline(&["capture"]);
    let recording = Program::start(capture.arg(&file).arg("--config").arg(lab.config()));
    let http = until("its address", || async {
        let told = std::fs::read_to_string(state.join("cli.token")).ok()?;
        Some(told.lines().next()?.to_owned()).filter(|address| address.starts_with("http://"))
    })
    .await;
    heard_at(&http, &ALL).await;
    assert!(lab.front.with(|plm| plm.press(LAMP_ID, 1)));
    assert_eq!(switch(&http, BOTTOM, true).await["state"], "confirmed");
    let figures = |event: &Value| event["device"] == METER && event["kind"] == "reading";
    let mut live = Feed::after(&http, "earliest");
    let counted = [live.next("figures", figures).await, live.next("figures again", figures).await];
    assert_eq!(recording.stop("INT").await.code(), Some(0));

    let mut replay = plugline(&["replay"]);
    let replay = Program::start(replay.arg(&file).arg("--json"));
    let addresses = replay.out.first("a line of JSON", |_| true).await;
    let addresses: Value = serde_json::from_str(&addresses).expect("JSON");
    let http = addresses["http"].as_str().expect("an address").to_owned();
    let mut feed = Feed::after(&http, "earliest");
    let up = feed.next("the modem answers", |event| is_line(event, "line_up")).await;
    assert_eq!(up["data"]["line"], "insteon", "{up}");
    heard_at(&http, &ALL).await;
    assert_eq!(switch(&http, BOTTOM, true).await["state"], "confirmed");
    let pressed = |event: &Value| event["device"] == LAMP && event["data"]["cause"] == "button";
    let mut feed = Feed::after(&http, "earliest");
    assert_eq!(feed.next("the press", pressed).await["data"]["relay"], false);
    let mut feed = Feed::after(&http, "earliest");
    for live in &counted {
        assert_eq!(feed.next("figures", figures).await["data"], live["data"]);
    }
    feed.next("its end", |event| event["data"]["reason"] == "the recording ended").await;
    check_feed(&Feed::all(&http).await);
    assert_eq!(replay.stop("INT").await.code(), Some(0));
}

/// Runs a verb against the lab's gateway.
async fn verb<W: Wire + Send + 'static>(lab: &Lab<W>, arguments: &[&str]) -> Ended {
    ended(plugline(arguments).arg("--state").arg(lab.store())).await
}

#[tokio::test]
async fn devices_fresh_from_their_boxes_join_by_code_and_by_button_and_are_used_at_once() {
    let mut plm = demo_insteon(1);
    plm.unlink_all();
    let lab = Lab::new(plm, &[]);
    let gateway = lab.run().await;
    health(&gateway.http, "the modem", |health| health["parts"]["lines"]["insteon"]["modem"] == true).await;

    let told = verb(&lab, &["join", "--code", "2C.0D.11"]).await;
    let wanted = "insteon is open for 60 s: linking 2c0d11\n\
                  joined: insteon 2c0d11 1 (insteon_2c0d11)\n\
                  joined: insteon 2c0d11 2 (insteon_2c0d11_2)";
    assert_eq!((told.code, told.out.as_str()), (Some(0), wanted), "{}", told.err);
    assert_eq!(switch(&gateway.http, BOTTOM, true).await["state"], "confirmed");
    assert_eq!(
        lab.device(SHELF_ID, |shelf| [1, 2].map(|group| shelf.is_on(group))),
        [Some(false), Some(true)]
    );

    let mut joining =
        Program::start(plugline(&["join", "--seconds", "15", "--json", "--state"]).arg(lab.store()));
    joining.out.has(r#""state":"open""#).await;
    until("the modem to wait for a button", || async {
        lab.front.with(|plm| plm.is_linking().then(|| plm.hold_set(LAMP_ID, 1))).filter(|held| *held)
    })
    .await;
    joining.out.has(r#""device":"insteon_1a777b""#).await;
    assert_eq!(joining.ended().await.code(), Some(0));
    let shown = get(&format!("{}/v1/joining", gateway.http)).await;
    assert_eq!(shown["joining"][0]["joined"], json!([LAMP]), "{shown}");
    assert_eq!(shown["joining"][0]["open"], false);

    let told = verb(&lab, &["identify", LAMP, "--seconds", "1"]).await;
    assert_eq!(
        (told.code, told.out.as_str()),
        (Some(0), "insteon 1a777b (insteon_1a777b): identify confirmed")
    );
    let told = verb(&lab, &["options", LAMP, "kind=outlet"]).await;
    assert_eq!((told.code, told.out.as_str()), (Some(0), "insteon 1a777b (insteon_1a777b): kind=outlet"));
    let told = verb(&lab, &["options", LAMP, "kind=lamp"]).await;
    assert_eq!(told.code, Some(1));
    assert!(told.err.contains("`kind` is one of outlet, dual, meter"), "{}", told.err);
    let told = verb(&lab, &["join", "cellar"]).await;
    assert!(told.code == Some(1) && told.err.contains("insteon"), "{}", told.err);
    assert_eq!(gateway.program.stop("TERM").await.code(), Some(0));
}

#[tokio::test]
async fn a_window_in_which_nothing_joins_ends_in_time_with_a_failure() {
    let lab = shelf();
    let gateway = lab.run().await;
    heard(&gateway, &[LAMP]).await;
    let told = verb(&lab, &["join", "insteon", "--seconds", "2"]).await;
    assert_eq!(told.code, Some(1), "{}", told.err);
    assert!(told.out.ends_with("\nnothing joined"), "{}", told.out);
    assert!(!lab.front.with(|plm| plm.is_linking()));
    assert_eq!(gateway.program.stop("TERM").await.code(), Some(0));
}
