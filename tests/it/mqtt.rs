//! The MQTT edge against real brokers: mosquitto and the embedded one. The door is the real one; the test plays the
//! hub behind it.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plugline::device::{
    Abilities, CommandId, Device, DeviceId, Epoch, GatewayId, LineName, Measured, Quantity, Reading,
    StampedReading, Target,
};
use plugline::door::{self, Door, Keeper, Past, Positions};
use plugline::hub::command::{Action, Command, ReplyTo, State};
use plugline::hub::feed::{Body, Change, Event, Fresh};
use plugline::hub::{Given, LineHealth, NewCommand, Refused, Request, Wish};
use plugline::line::Cause;
use plugline::mqtt::backoff::Dice;
use plugline::mqtt::{self, Address, BrokerChoice, Login, Secret, Settings, Told, broker};
use plugline::source::{Commands, Identity, Part};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Publish, PublishProperties};
use rumqttc::v5::{AsyncClient, Event as ClientEvent, Incoming, MqttOptions};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::parts::{Mosquitto, PATIENCE, Wire, free_port};

const BASE: &str = "plugline/gw_aaaaaaaaaa";

/// The log behind the ring, kept in memory.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<Event>>>);

impl Past for Memory {
    fn read(&self, after: u64, limit: usize) -> std::io::Result<Vec<Event>> {
        let kept = self.0.lock().expect("no panic");
        Ok(kept.iter().filter(|event| event.seq > after).take(limit).cloned().collect())
    }

    fn oldest(&self) -> u64 {
        0
    }
}

/// The hub's side of the door.
pub(crate) struct House {
    keeper: Keeper,
    memory: Memory,
}

impl House {
    pub(crate) fn new() -> Self {
        Self::since(Memory::default(), 0, Positions::new())
    }

    fn since(memory: Memory, head: u64, positions: Positions) -> Self {
        let identity = Identity {
            gateway: GatewayId::parse("gw_aaaaaaaaaa").expect("an id"),
            epoch: Epoch::parse("k3f9q2mz").expect("an epoch"),
        };
        let (_, keeper) = door::open(identity, head, Box::new(memory.clone()), positions);
        keeper.raise_ceiling(1_000_000);
        let house = Self { keeper, memory };
        house.keeper.show_line(Arc::new(LineHealth {
            dialect: "dlt645",
            foreign: Arc::default(),
            joining: None,
            joins: Default::default(),
            options: &[],
            line: LineName::parse("mains").expect("a name"),
            port: Ok(()),
            modem: Some(true),
            last_heard_unix_ms: None,
            heard: 7,
            malformed: Vec::new(),
        }));
        house
    }

    pub(crate) fn door(&self) -> Door {
        self.keeper.door().clone()
    }

    fn show(&self, device: &Device) {
        self.keeper.show_device(Arc::new(device.clone()));
    }

    fn tell(&self, device: &DeviceId, body: Body) -> u64 {
        let fresh = Fresh {
            unix_ms: 1_795_000_000_000,
            t_estimated: false,
            late: false,
            estimated: false,
            device: Some(device.clone()),
            body,
        };
        let entry = self.keeper.append(fresh).expect("numbers are left");
        self.memory.0.lock().expect("no panic").push(entry.event.clone());
        entry.event.seq
    }

    fn switch(&self, device: &mut Device, on: bool) {
        device.relay = Some(on);
        self.show(device);
        self.tell(&device.id, Body::Relay { on, cause: Cause::Button });
    }

    fn measure(&self, device: &mut Device, power_mw: i64) {
        let reading = Reading::of(Quantity::Power, power_mw);
        device.last_reading = Some(StampedReading { unix_ms: 1_795_000_000_000, reading });
        self.show(device);
        self.tell(&device.id, Body::Reading(reading));
    }

    fn settle(&self, command: Command) {
        let command = Arc::new(command);
        self.keeper.show_command(Arc::clone(&command));
        self.tell(&command.device.clone(), Body::Command(command));
    }

    /// Takes the next command in as the hub would.
    async fn accept(&mut self) -> NewCommand {
        let envelope = within(self.keeper.requests.recv()).await.expect("the door is open");
        let Request::Command(command) = envelope.request else { panic!("a command was asked for") };
        envelope.answer.send(Ok(Given::Nothing)).expect("the asker waits");
        command
    }
}

async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("in time")
}

fn lamp(id: &str) -> Device {
    Device {
        id: DeviceId::parse(id).expect("an id"),
        name: "Lamp".into(),
        line: LineName::parse("mains"),
        dialect: "dlt645".into(),
        target: Target { address: "000000004711".into(), channel: None },
        model: None,
        abilities: Abilities { relay: true, dim: false, identify: false },
        measured: Arc::new([Measured { quantity: Quantity::Power, period: Some(Duration::from_secs(20)) }]),
        relay: Some(false),
        online: Some(true),
        last_seen_unix_ms: None,
        last_reading: None,
        options: Default::default(),
        carry_over: Default::default(),
        configured: None,
        groups: Default::default(),
        members: None,
    }
}

fn group(members: &[&str]) -> Device {
    Device {
        name: "Lamps".into(),
        line: None,
        dialect: "group".into(),
        target: Target { address: "".into(), channel: None },
        measured: Arc::new([]),
        members: Some(members.iter().filter_map(|id| DeviceId::parse(id)).collect()),
        ..lamp("group_lamps")
    }
}

fn ended(device: &DeviceId, state: State, reply_to: ReplyTo) -> Command {
    let mut times_unix_ms = [None; 9];
    times_unix_ms[state as usize] = Some(1_795_000_000_000);
    Command {
        id: CommandId::parse("cmd_01jd0000000000000000000000").expect("an id"),
        device: device.clone(),
        action: Action::Switch { on: true },
        state,
        version: 5,
        outcome: None,
        error: None,
        attempts: 1,
        created_unix_ms: 0,
        expires_unix_ms: 0,
        times_unix_ms,
        requested_by: "mqtt".into(),
        idempotency: None,
        reply_to,
        started: true,
        parts: Vec::new(),
        part_of: None,
    }
}

/// A running edge.
pub(crate) struct Edge {
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Edge {
    pub(crate) fn start(door: Door, settings: Settings) -> Self {
        Self::seeded(door, settings, 1)
    }

    fn seeded(door: Door, settings: Settings, seed: u64) -> Self {
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(mqtt::run(
            door,
            settings,
            Told { seed, stop: stopped, listening: watch::Sender::new(None), meters: Default::default() },
        ));
        Self { stop, task }
    }

    pub(crate) async fn stop(self) {
        self.stop.send(true).expect("it runs");
        within(self.task).await.expect("no panic");
    }

    /// As a power cut would.
    async fn vanish(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

fn at(port: u16) -> Settings {
    Settings::new(BrokerChoice::External(Address { host: "127.0.0.1".into(), port, login: None, tls: None }))
}

pub(crate) async fn health(door: &Door, word: &str) -> String {
    let looking = async {
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        loop {
            let parts = door.parts();
            let shown = parts.iter().find(|(name, _)| *name == "broker").map(|(_, part)| match part {
                Part::Good(text) => format!("good: {text}"),
                Part::Broken(text) => format!("broken: {text}"),
            });
            if let Some(text) = shown.filter(|text| text.contains(word)) {
                return text;
            }
            tick.tick().await;
        }
    };
    match tokio::time::timeout(PATIENCE, looking).await {
        Ok(text) => text,
        Err(_) => panic!("health never said `{word}`: {:?}", door.parts()),
    }
}

/// A program on the broker that remembers all it heard.
pub(crate) struct Listener {
    pub(crate) client: AsyncClient,
    heard: Arc<Mutex<Vec<Publish>>>,
    grown: Arc<tokio::sync::Notify>,
    task: tokio::task::JoinHandle<()>,
}

impl Listener {
    pub(crate) async fn on(port: u16, filter: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let id = format!("listener-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let mut options = MqttOptions::new(id, "127.0.0.1", port);
        options.set_max_packet_size(Some(1 << 20));
        let (client, mut event_loop) = AsyncClient::new(options, 64);
        client.subscribe(filter, QoS::AtLeastOnce).await.expect("handed over");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let grown = Arc::new(tokio::sync::Notify::new());
        let (ours, bell) = (Arc::clone(&heard), Arc::clone(&grown));
        let (ready, subscribed) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(async move {
            let mut ready = Some(ready);
            while let Ok(event) = event_loop.poll().await {
                match event {
                    ClientEvent::Incoming(Incoming::Publish(publish)) => {
                        ours.lock().expect("no panic").push(publish);
                        bell.notify_one();
                    }
                    ClientEvent::Incoming(Incoming::SubAck(_)) => {
                        ready.take().map(|ready| ready.send(()));
                    }
                    _ => {}
                }
            }
        });
        within(subscribed).await.expect("subscribed");
        Self { client, heard, grown, task }
    }

    pub(crate) fn all(&self) -> Vec<(String, String)> {
        self.heard.lock().expect("no panic").iter().map(plain).collect()
    }

    /// How many messages were heard.
    pub(crate) fn count(&self) -> usize {
        self.heard.lock().expect("no panic").len()
    }

    /// Waits for the first message that fits, among those behind `from`.
    pub(crate) async fn wait_for(&self, from: usize, fits: impl Fn(&Publish) -> bool) -> Option<Publish> {
        let looking = async {
            loop {
                if let Some(found) = self.heard.lock().expect("no panic").iter().skip(from).find(|p| fits(p))
                {
                    return found.clone();
                }
                self.grown.notified().await;
            }
        };
        tokio::time::timeout(PATIENCE, looking).await.ok()
    }

    /// Waits for the first message that fits.
    async fn find(&self, fits: impl Fn(&Publish) -> bool) -> Publish {
        let found = self.wait_for(0, fits).await;
        found.unwrap_or_else(|| panic!("never heard; heard {:#?}", self.all()))
    }

    async fn hear(&self, topic: &str, payload: &str) -> Publish {
        self.find(|p| plain(p) == (topic.to_owned(), payload.to_owned())).await
    }

    async fn hear_json(&self, topic: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let parsed = |p: &Publish| serde_json::from_slice::<Value>(&p.payload).ok();
        let found = self.find(|p| plain(p).0 == topic && parsed(p).as_ref().is_some_and(&fits)).await;
        parsed(&found).expect("parsed above")
    }

    fn forget(&self) {
        self.heard.lock().expect("no panic").clear();
    }

    async fn publish(&self, topic: &str, retain: bool, payload: &str) {
        self.client.publish(topic, QoS::AtLeastOnce, retain, payload.to_owned()).await.expect("handed over");
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn plain(publish: &Publish) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&publish.topic), text(&publish.payload))
}

fn topic(device: &Device, leaf: &str) -> String {
    format!("{BASE}/device/{}/{leaf}", device.id)
}

fn config_topic(device: &Device) -> String {
    format!("homeassistant/device/plugline_{}/config", device.id)
}

fn is_retained(payload: &Value) -> bool {
    payload["event_type"] == "failed" && payload["error"]["code"] == "retained"
}

#[tokio::test]
async fn devices_are_announced_before_their_states_and_both_are_retained() {
    let port = free_port();
    let _broker = Mosquitto::start(port, None).await;
    let house = House::new();
    let mut lamp = lamp("dlt645_000000004711");
    house.measure(&mut lamp, 41_700);
    let early = Listener::on(port, "#").await;
    let edge = Edge::start(house.door(), at(port));
    let gateway = format!("{BASE}/gateway");
    early.find(|p| plain(p).0 == gateway).await;
    let order: Vec<String> = early.all().into_iter().map(|(topic, _)| topic).collect();
    assert_eq!(
        order,
        [
            format!("{BASE}/status"),
            "homeassistant/device/plugline_gw_aaaaaaaaaa/config".into(),
            config_topic(&lamp),
            format!("{BASE}/line/mains"),
            topic(&lamp, "availability"),
            topic(&lamp, "relay"),
            topic(&lamp, "reading"),
            gateway.clone(),
        ]
    );
    let late = Listener::on(port, "#").await;
    late.find(|p| plain(p).0 == gateway).await;
    late.hear(&topic(&lamp, "reading"), r#"{"t":"2026-11-18T11:06:40.000Z","power_w":41.7}"#).await;
    let kept = late.heard.lock().expect("no panic").clone();
    assert_eq!(kept.len(), order.len());
    assert!(kept.iter().all(|publish| publish.retain));
    edge.stop().await;
}

#[tokio::test]
async fn a_broker_that_comes_back_with_an_empty_memory_is_told_everything_again() {
    let port = free_port();
    let broker = Mosquitto::start(port, None).await;
    let house = House::new();
    let mut lamp = lamp("dlt645_000000004711");
    house.measure(&mut lamp, 5_000);
    let edge = Edge::start(house.door(), at(port));
    health(&house.door(), "good").await;
    broker.kill();
    health(&house.door(), "broken").await;
    house.switch(&mut lamp, true);
    let _broker = Mosquitto::start(port, None).await;
    let listener = Listener::on(port, "#").await;
    health(&house.door(), "good").await;
    listener.find(|p| plain(p).0 == config_topic(&lamp)).await;
    listener.hear(&topic(&lamp, "availability"), "online").await;
    listener.hear(&topic(&lamp, "relay"), "ON").await;
    listener.hear(&topic(&lamp, "reading"), r#"{"t":"2026-11-18T11:06:40.000Z","power_w":5}"#).await;
    edge.stop().await;
}

#[tokio::test]
async fn what_happens_while_the_broker_is_away_arrives_as_newest_state_and_lost_results() {
    let port = free_port();
    let _broker = Mosquitto::start(port, None).await;
    let wire = Wire::to(port).await;
    let house = House::new();
    let mut lamp = lamp("dlt645_000000004711");
    house.measure(&mut lamp, 1_000);
    let listener = Listener::on(port, &format!("{BASE}/#")).await;
    let edge = Edge::start(house.door(), at(wire.port));
    listener.find(|p| plain(p).0 == format!("{BASE}/gateway")).await;
    wire.cut();
    health(&house.door(), "broken").await;
    listener.hear(&format!("{BASE}/status"), "offline").await;
    listener.forget();
    house.measure(&mut lamp, 2_000);
    house.switch(&mut lamp, true);
    let reply_to = ReplyTo { transaction: Some("t1".into()), ..ReplyTo::default() };
    house.settle(ended(&lamp.id, State::Confirmed, reply_to));
    house.measure(&mut lamp, 3_000);
    wire.mend();
    let result = listener.hear_json(&topic(&lamp, "result"), |_| true).await;
    assert_eq!(
        result,
        json!({
            "event_type": "confirmed", "command": "cmd_01jd0000000000000000000000", "transaction": "t1",
            "t": "2026-11-18T11:06:40.000Z",
        })
    );
    listener.hear(&topic(&lamp, "relay"), "ON").await;
    let at_w = |w: u8| format!(r#"{{"t":"2026-11-18T11:06:40.000Z","power_w":{w}}}"#);
    listener.hear(&topic(&lamp, "reading"), &at_w(3)).await;
    let late = |w: u8| format!(r#"{{"t":"2026-11-18T11:06:40.000Z","power_w":{w},"late":true}}"#);
    listener.hear(&topic(&lamp, "history"), &late(2)).await;
    listener.hear(&topic(&lamp, "history"), &late(3)).await;
    let replayed = listener.all().into_iter().filter(|m| *m == (topic(&lamp, "reading"), at_w(2))).count();
    assert_eq!(replayed, 0, "a reading of the past came back as the newest");
    edge.stop().await;
}

/// What stands in `power_w` of the messages on a topic, in their order.
fn watts(listener: &Listener, topic: &str) -> Vec<i64> {
    let payloads = listener.all().into_iter().filter(|(of, _)| of == topic).map(|(_, payload)| payload);
    let power = |payload: String| serde_json::from_str::<Value>(&payload).ok()?["power_w"].as_i64();
    payloads.filter_map(power).collect()
}

#[tokio::test]
async fn an_outage_reaches_history_in_order_while_what_happens_now_goes_before_it() {
    const MISSED: i64 = 900;
    let port = free_port();
    let broker = Mosquitto::start(port, None).await;
    let house = House::new();
    let (mut other, mut lamp) = (lamp("dlt645_000000004712"), lamp("dlt645_000000004711"));
    house.measure(&mut lamp, 0);
    house.measure(&mut other, 0);
    let edge = Edge::start(house.door(), at(port));
    health(&house.door(), "good").await;
    broker.kill();
    health(&house.door(), "broken").await;
    for watt in 1..=MISSED {
        house.measure(&mut lamp, watt * 1000);
    }
    let _broker = Mosquitto::start(port, None).await;
    let listener = Listener::on(port, &format!("{BASE}/#")).await;
    listener.find(|p| plain(p).0 == topic(&lamp, "history")).await;
    house.measure(&mut other, 7_000);
    let last = listener.hear_json(&topic(&lamp, "history"), |told| told["power_w"] == MISSED).await;
    assert_eq!(last["late"], true);
    // The first reading may have been in flight when the broker went; of the outage nothing is missing or twice.
    let told = watts(&listener, &topic(&lamp, "history"));
    let told: Vec<i64> = told.into_iter().filter(|watt| *watt > 0).collect();
    assert_eq!(told, (1..=MISSED).collect::<Vec<_>>());
    let all = listener.all();
    let place = |of: &str, part: &str| {
        all.iter().position(|(topic, payload)| topic == of && payload.contains(part)).expect("heard")
    };
    let live = place(&topic(&other, "reading"), r#""power_w":7"#);
    assert!(
        live < place(&topic(&lamp, "history"), r#""power_w":900,"#),
        "what happens now waited for the past"
    );
    assert_eq!(watts(&listener, &topic(&lamp, "reading")), [MISSED], "the past went onto the topic of now");
    edge.stop().await;
}

#[tokio::test]
async fn an_outage_that_spans_a_restart_of_the_gateway_reaches_history_whole() {
    const MISSED: i64 = 900;
    let port = free_port();
    let house = House::new();
    let mut lamp = lamp("dlt645_000000004711");
    house.show(&lamp);
    let broker = Mosquitto::start(port, None).await;
    let edge = Edge::start(house.door(), at(port));
    health(&house.door(), "good").await;
    broker.kill();
    health(&house.door(), "broken").await;
    for watt in 1..=MISSED / 2 {
        house.measure(&mut lamp, watt * 1000);
    }
    edge.vanish().await;
    let reborn = House::since(house.memory.clone(), 450, house.keeper.positions());
    reborn.show(&lamp);
    let edge = Edge::start(reborn.door(), at(port));
    for watt in MISSED / 2 + 1..=MISSED {
        reborn.measure(&mut lamp, watt * 1000);
    }
    let _broker = Mosquitto::start(port, None).await;
    let listener = Listener::on(port, &format!("{BASE}/#")).await;
    // Cut off in the middle of telling, by another restart.
    listener.hear_json(&topic(&lamp, "history"), |told| told["power_w"].as_i64() > Some(100)).await;
    edge.vanish().await;
    let again = House::since(house.memory.clone(), 900, reborn.keeper.positions());
    again.show(&lamp);
    let edge = Edge::start(again.door(), at(port));
    listener.hear_json(&topic(&lamp, "history"), |told| told["power_w"] == MISSED).await;
    let mut told = watts(&listener, &topic(&lamp, "history"));
    // Behind the restart it goes on where it was sure of, in order.
    let breaks = told.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
    assert!(breaks <= 1, "{breaks} jumps");
    told.sort_unstable();
    told.dedup();
    assert_eq!(told, (1..=MISSED).collect::<Vec<_>>());
    edge.stop().await;
}

#[tokio::test]
async fn results_settled_across_a_restart_of_the_gateway_are_told_after_it() {
    let port = free_port();
    let _broker = Mosquitto::start(port, None).await;
    let house = House::new();
    let lamp = lamp("dlt645_000000004711");
    house.show(&lamp);
    let listener = Listener::on(port, &format!("{BASE}/#")).await;
    let edge = Edge::start(house.door(), at(port));
    health(&house.door(), "good").await;
    house.settle(ended(&lamp.id, State::Confirmed, ReplyTo::default()));
    listener.hear_json(&topic(&lamp, "result"), |_| true).await;
    let told = house.door();
    within(async {
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        while told.position("mqtt") != Some(1) {
            tick.tick().await;
        }
    })
    .await;
    edge.vanish().await;
    listener.hear(&format!("{BASE}/status"), "offline").await;
    listener.forget();
    house.settle(ended(&lamp.id, State::Expired, ReplyTo::default()));
    let reborn = House::since(house.memory.clone(), 2, house.keeper.positions());
    reborn.show(&lamp);
    let edge = Edge::start(reborn.door(), at(port));
    listener.hear_json(&topic(&lamp, "result"), |result| result["event_type"] == "expired").await;
    let confirmed = listener.all().into_iter().filter(|(_, payload)| payload.contains("confirmed")).count();
    assert_eq!(confirmed, 0, "a result that was delivered came again");
    edge.stop().await;
}

#[tokio::test]
async fn a_result_goes_back_to_the_response_topic_with_its_correlation() {
    let port = free_port();
    let _broker = Mosquitto::start(port, None).await;
    let mut house = House::new();
    let lamp = lamp("dlt645_000000004711");
    house.show(&lamp);
    let edge = Edge::start(house.door(), at(port));
    health(&house.door(), "good").await;
    let asker = Listener::on(port, "mine/#").await;
    let properties = PublishProperties {
        response_topic: Some("mine/7".into()),
        correlation_data: Some(b"\x00\xff7".to_vec().into()),
        message_expiry_interval: Some(9),
        ..PublishProperties::default()
    };
    let set = topic(&lamp, "set");
    asker
        .client
        .publish_with_properties(set, QoS::AtLeastOnce, false, "TOGGLE", properties)
        .await
        .expect("sent");
    let taken = house.accept().await;
    assert_eq!((taken.wish, taken.ttl), (Wish::Toggle, Duration::from_secs(9)));
    house.settle(ended(&lamp.id, State::Confirmed, taken.reply_to));
    let answer = asker.find(|p| plain(p).0 == "mine/7").await;
    assert!(plain(&answer).1.contains(r#""event_type":"confirmed""#));
    assert_eq!(answer.properties.expect("properties").correlation_data.as_deref(), Some(&b"\x00\xff7"[..]));
    edge.stop().await;
}

#[tokio::test]
async fn a_retained_command_is_refused_at_connect_and_live_and_never_acts() {
    let port = free_port();
    let _broker = Mosquitto::start(port, None).await;
    let mut house = House::new();
    let lamp = lamp("dlt645_000000004711");
    house.show(&lamp);
    let listener = Listener::on(port, &format!("{BASE}/+/+/result")).await;
    listener.publish(&topic(&lamp, "set"), true, "ON").await;
    let settled = Listener::on(port, &topic(&lamp, "set")).await;
    settled.hear(&topic(&lamp, "set"), "ON").await;
    let edge = Edge::start(house.door(), at(port));
    listener.hear_json(&topic(&lamp, "result"), is_retained).await;
    listener.forget();
    listener.publish(&topic(&lamp, "set"), true, r#"{"on":true,"transaction":"live"}"#).await;
    let refused = listener.hear_json(&topic(&lamp, "result"), is_retained).await;
    assert_eq!(refused["transaction"], "live");
    listener.publish(&topic(&lamp, "set"), false, "OFF").await;
    assert_eq!(house.accept().await.wish, Wish::Do(Action::Switch { on: false }));
    assert!(house.keeper.requests.try_recv().is_err(), "a retained command came through");
    edge.stop().await;
}

#[tokio::test]
async fn refusals_and_nonsense_come_back_on_result() {
    let port = free_port();
    let _broker = Mosquitto::start(port, None).await;
    let mut house = House::new();
    let lamp = lamp("dlt645_000000004711");
    house.show(&lamp);
    let listener = Listener::on(port, &format!("{BASE}/+/+/result")).await;
    let edge = Edge::start(house.door(), at(port));
    health(&house.door(), "good").await;
    let has_code = |code: &'static str| move |result: &Value| result["error"]["code"] == code;
    listener.publish(&topic(&lamp, "set"), false, "perhaps").await;
    listener.hear_json(&topic(&lamp, "result"), has_code("bad_payload")).await;
    listener.publish(&format!("{BASE}/device/nobody/set"), false, "ON").await;
    let envelope = within(house.keeper.requests.recv()).await.expect("asked");
    let nobody = DeviceId::parse("nobody").expect("an id");
    envelope.answer.send(Err(Refused::UnknownDevice(nobody))).expect("the asker waits");
    listener.hear_json(&format!("{BASE}/device/nobody/result"), has_code("unknown_device")).await;
    edge.stop().await;
}

#[tokio::test]
async fn commands_for_one_relay_reach_the_hub_in_their_order() {
    let port = free_port();
    let _broker = Mosquitto::start(port, None).await;
    let mut house = House::new();
    let lamp = lamp("dlt645_000000004711");
    house.show(&lamp);
    let edge = Edge::start(house.door(), at(port));
    health(&house.door(), "good").await;
    let asker = Listener::on(port, "mine").await;
    for n in 0..200 {
        let payload = format!(r#"{{"on":true,"transaction":"{n}"}}"#);
        asker.publish(&topic(&lamp, "set"), false, &payload).await;
    }
    for n in 0..200 {
        assert_eq!(house.accept().await.reply_to.transaction.as_deref(), Some(n.to_string().as_str()));
    }
    edge.stop().await;
}

#[tokio::test]
async fn requests_are_answered() {
    let port = free_port();
    let _broker = Mosquitto::start(port, None).await;
    let house = House::new();
    house.show(&lamp("dlt645_000000004711"));
    house.show(&group(&["dlt645_000000004711"]));
    let edge = Edge::start(house.door(), at(port));
    health(&house.door(), "good").await;
    let asker = Listener::on(port, &format!("{BASE}/response/#")).await;
    asker.publish(&format!("{BASE}/request/devices"), false, r#"{"transaction":"a"}"#).await;
    let devices = asker.hear_json(&format!("{BASE}/response/devices"), |a| a["transaction"] == "a").await;
    assert_eq!(devices["data"]["devices"][0]["id"], "dlt645_000000004711");
    asker.publish(&format!("{BASE}/request/health"), false, "").await;
    let shown = asker.hear_json(&format!("{BASE}/response/health"), |_| true).await;
    assert_eq!(shown["data"]["parts"]["broker"], true);
    assert_eq!(shown["data"]["status"], "ok");
    asker.publish(&format!("{BASE}/request/groups"), false, "").await;
    let groups = asker.hear_json(&format!("{BASE}/response/groups"), |_| true).await;
    let groups = groups["data"]["groups"].as_array().expect("a list").clone();
    assert_eq!((groups.len(), &groups[0]["id"]), (1, &json!("group_lamps")));
    assert_eq!(groups[0]["members"], json!(["dlt645_000000004711"]));
    edge.stop().await;
}

#[tokio::test]
async fn requests_that_change_something_are_the_hubs_to_answer_in_their_order() {
    let port = free_port();
    let _broker = Mosquitto::start(port, None).await;
    let mut house = House::new();
    let mut lamp = lamp("dlt645_000000004711");
    house.show(&lamp);
    let edge = Edge::start(house.door(), at(port));
    health(&house.door(), "good").await;
    let asker = Listener::on(port, &format!("{BASE}/response/#")).await;
    let there = Listener::on(port, "mine").await;
    let request = |verb: &str| format!("{BASE}/request/{verb}");
    let rename = format!(r#"{{"id":"{}","name":"Desk","transaction":"a"}}"#, lamp.id);
    let properties = PublishProperties {
        response_topic: Some("mine".into()),
        correlation_data: Some(b"7".to_vec().into()),
        ..PublishProperties::default()
    };
    let sent =
        asker.client.publish_with_properties(request("rename"), QoS::AtLeastOnce, false, rename, properties);
    sent.await.expect("handed over");
    asker.publish(&topic(&lamp, "set"), false, "ON").await;
    asker.publish(&request("identify"), false, &format!(r#"{{"id":"{}","seconds":9}}"#, lamp.id)).await;
    asker.publish(&request("permit_join"), false, r#"{"seconds":0}"#).await;

    let first = within(house.keeper.requests.recv()).await.expect("asked");
    let change =
        Request::Change { device: lamp.id.clone(), name: Some("Desk".into()), options: Default::default() };
    assert_eq!(first.request, change);
    lamp.name = "Desk".into();
    first.answer.send(Ok(Given::Device(Arc::new(lamp.clone())))).expect("the asker waits");
    let renamed = asker.hear_json(&format!("{BASE}/response/rename"), |_| true).await;
    assert_eq!((&renamed["transaction"], &renamed["data"]["name"]), (&json!("a"), &json!("Desk")));
    let answer = there.find(|_| true).await;
    assert_eq!(answer.properties.expect("properties").correlation_data.as_deref(), Some(&b"7"[..]));

    assert_eq!(house.accept().await.wish, Wish::Do(Action::Switch { on: true }));
    let third = within(house.keeper.requests.recv()).await.expect("asked");
    let Request::Command(identify) = &third.request else { panic!("{:?}", third.request) };
    assert_eq!(identify.wish, Wish::Do(Action::Identify { seconds: 9 }));
    let refused = Refused::NotSupported { device: lamp.id.clone(), command: "identify" };
    third.answer.send(Err(refused)).expect("the asker waits");
    let refused = asker.hear_json(&format!("{BASE}/response/identify"), |_| true).await;
    assert_eq!((&refused["status"], &refused["error"]["code"]), (&json!("error"), &json!("not_supported")));

    let last = within(house.keeper.requests.recv()).await.expect("asked");
    assert_eq!(last.request, Request::CloseJoining { line: None });
    last.answer.send(Ok(Given::Nothing)).expect("the asker waits");
    asker.hear(&format!("{BASE}/response/permit_join"), r#"{"status":"ok"}"#).await;
    edge.stop().await;
}

#[tokio::test]
async fn a_retained_request_is_refused_at_connect_and_never_reaches_the_hub() {
    let port = free_port();
    let _broker = Mosquitto::start(port, None).await;
    let mut house = House::new();
    let asker = Listener::on(port, &format!("{BASE}/+/permit_join")).await;
    asker.publish(&format!("{BASE}/request/permit_join"), true, r#"{"seconds":600}"#).await;
    asker.find(|p| plain(p).0.ends_with("/request/permit_join")).await;
    let edge = Edge::start(house.door(), at(port));
    let refused = asker.hear_json(&format!("{BASE}/response/permit_join"), |_| true).await;
    assert_eq!(refused["error"]["code"], "retained");
    assert!(house.keeper.requests.try_recv().is_err(), "a retained request came through");
    edge.stop().await;
}

#[tokio::test]
async fn home_assistants_birth_brings_everything_again() {
    let port = free_port();
    let _broker = Mosquitto::start(port, None).await;
    let house = House::new();
    let lamp = lamp("dlt645_000000004711");
    house.show(&lamp);
    let quick = |seed: &u64| Dice::new(*seed).up_to(Duration::from_secs(5)) < Duration::from_millis(50);
    let seed = (0..).find(quick).expect("one in a hundred");
    let listener = Listener::on(port, "#").await;
    let edge = Edge::seeded(house.door(), at(port), seed);
    listener.find(|p| plain(p).0 == format!("{BASE}/gateway")).await;
    listener.forget();
    listener.publish("homeassistant/status", false, "online").await;
    listener.find(|p| plain(p).0 == format!("{BASE}/gateway")).await;
    let order: Vec<String> = listener.all().into_iter().map(|(topic, _)| topic).collect();
    let place = |wanted: &str| order.iter().position(|topic| topic == wanted);
    assert!(place(&config_topic(&lamp)).is_some(), "{order:?}");
    assert!(place(&config_topic(&lamp)) < place(&topic(&lamp, "relay")), "{order:?}");
    edge.stop().await;
}

#[tokio::test]
async fn what_went_unheard_is_taken_back_again_at_home_assistants_birth() {
    let port = free_port();
    let _broker = Mosquitto::start(port, None).await;
    let wire = Wire::to(port).await;
    let house = House::new();
    let (unheard, heard) = (lamp("dlt645_000000000001"), lamp("dlt645_000000000002"));
    house.show(&unheard);
    house.show(&heard);
    let quick = |seed: &u64| {
        let mut dice = Dice::new(*seed);
        [(); 2].iter().all(|()| dice.up_to(Duration::from_secs(5)) < Duration::from_millis(100))
    };
    let seed = (0..).find(quick).expect("one in thousands");
    let edge = Edge::seeded(house.door(), at(wire.port), seed);
    let listener = Listener::on(port, "#").await;
    listener.find(|p| plain(p).0 == format!("{BASE}/gateway")).await;
    let remove = |device: &Device| {
        house.keeper.hide_device(&device.id);
        let body = Body::Device { change: Change::Removed, device: Arc::new(device.clone()) };
        house.tell(&device.id, body);
    };
    remove(&unheard);
    listener.hear(&topic(&unheard, "reading"), "").await;
    // What waits for the birth outlives the connection.
    wire.cut();
    health(&house.door(), "broken").await;
    wire.mend();
    health(&house.door(), "good").await;
    listener.forget();
    let birth = || listener.publish("homeassistant/status", false, "online");
    birth().await;
    listener.hear_json(&config_topic(&unheard), |config| config["cmps"]["power"]["p"] == "sensor").await;
    listener.hear(&config_topic(&unheard), "").await;
    listener.find(|p| plain(p).0 == format!("{BASE}/gateway")).await;

    remove(&heard);
    listener.hear(&topic(&heard, "reading"), "").await;
    listener.forget();
    birth().await;
    listener.find(|p| plain(p).0 == format!("{BASE}/gateway")).await;
    let again: Vec<_> = listener.all().into_iter().filter(|(topic, _)| topic.contains("dlt645_")).collect();
    assert!(again.is_empty(), "Home Assistant was there: {again:?}");
    let late = Listener::on(port, "#").await;
    late.find(|p| plain(p).0 == format!("{BASE}/gateway")).await;
    assert!(late.all().iter().all(|(topic, _)| !topic.contains("dlt645_")), "{:?}", late.all());
    edge.stop().await;
}

#[tokio::test]
async fn a_removed_device_leaves_nothing_behind() {
    let port = free_port();
    let _broker = Mosquitto::start(port, None).await;
    let wire = Wire::to(port).await;
    let house = House::new();
    let (one, two) = (lamp("dlt645_000000000001"), lamp("dlt645_000000000002"));
    house.show(&one);
    house.show(&two);
    let edge = Edge::start(house.door(), at(wire.port));
    let listener = Listener::on(port, "#").await;
    listener.find(|p| plain(p).0 == format!("{BASE}/gateway")).await;
    let remove = |device: &Device| {
        house.keeper.hide_device(&device.id);
        let body = Body::Device { change: Change::Removed, device: Arc::new(device.clone()) };
        house.tell(&device.id, body);
    };
    remove(&one);
    listener.hear(&topic(&one, "reading"), "").await;
    wire.cut();
    health(&house.door(), "broken").await;
    remove(&two);
    wire.mend();
    listener.hear(&topic(&two, "reading"), "").await;
    let late = Listener::on(port, "#").await;
    late.find(|p| plain(p).0 == format!("{BASE}/gateway")).await;
    let left: Vec<String> =
        late.all().into_iter().map(|(topic, _)| topic).filter(|topic| topic.contains("dlt645_")).collect();
    assert!(left.is_empty(), "{left:?}");
    edge.stop().await;
}

#[tokio::test]
async fn a_group_is_announced_like_a_relay_without_a_line_and_leaves_nothing_behind() {
    let port = free_port();
    let _broker = Mosquitto::start(port, None).await;
    let mut house = House::new();
    house.show(&lamp("dlt645_000000004711"));
    let edge = Edge::start(house.door(), at(port));
    let listener = Listener::on(port, "#").await;
    health(&house.door(), "good").await;
    let mut group = group(&["dlt645_000000004711"]);
    house.show(&group);
    house.tell(&group.id, Body::Device { change: Change::Added, device: Arc::new(group.clone()) });
    let config = listener.hear_json(&config_topic(&group), |_| true).await;
    let availability = topic(&group, "availability");
    assert_eq!(
        config["cmps"]["relay"],
        json!({
            "p": "switch", "uniq_id": "plugline_group_lamps_relay", "name": null, "dev_cla": "outlet",
            "cmd_t": topic(&group, "set"), "stat_t": topic(&group, "relay"),
            "avty": [{ "t": format!("{BASE}/status") }, { "t": availability }], "avty_mode": "all",
        })
    );
    assert_eq!(config["dev"]["name"], "Lamps");
    assert!(config["dev"].get("sn").is_none(), "it has no address");
    listener.hear(&availability, "online").await;
    listener.hear(&topic(&group, "relay"), "OFF").await;
    house.switch(&mut group, true);
    listener.hear(&topic(&group, "relay"), "ON").await;
    listener.publish(&topic(&group, "set"), false, "TOGGLE").await;
    assert_eq!(house.accept().await.device, group.id);
    house.keeper.hide_device(&group.id);
    house.tell(&group.id, Body::Device { change: Change::Removed, device: Arc::new(group.clone()) });
    listener.hear(&topic(&group, "reading"), "").await;
    let late = Listener::on(port, "#").await;
    late.find(|p| plain(p).0 == format!("{BASE}/gateway")).await;
    let left = late.all().into_iter().filter(|(topic, _)| topic.contains("group_lamps"));
    assert_eq!(left.collect::<Vec<_>>(), []);
    edge.stop().await;
}

#[tokio::test]
async fn a_clean_end_says_offline_and_a_power_cut_lets_the_will_say_it() {
    let port = free_port();
    let _broker = Mosquitto::start(port, None).await;
    let house = House::new();
    let listener = Listener::on(port, &format!("{BASE}/status")).await;
    let status = format!("{BASE}/status");
    for clean in [true, false] {
        let edge = Edge::start(house.door(), at(port));
        listener.hear(&status, "online").await;
        match clean {
            true => edge.stop().await,
            false => edge.vanish().await,
        }
        listener.hear(&status, "offline").await;
        listener.forget();
    }
}

#[tokio::test]
async fn a_demonstration_clears_its_topics_at_the_end() {
    let port = free_port();
    let _broker = Mosquitto::start(port, None).await;
    let house = House::new();
    let mut lamp = lamp("dlt645_000000004711");
    house.measure(&mut lamp, 5_000);
    let edge = Edge::start(house.door(), Settings { clear_at_end: true, ..at(port) });
    let listener = Listener::on(port, "#").await;
    listener.find(|p| plain(p).0 == format!("{BASE}/gateway")).await;
    edge.stop().await;
    listener.publish("done", true, "yes").await;
    let late = Listener::on(port, "#").await;
    late.hear("done", "yes").await;
    assert_eq!(late.all(), [("done".to_owned(), "yes".to_owned())]);
}

#[tokio::test]
async fn a_wrong_password_is_said_plainly_and_without_the_password() {
    let port = free_port();
    let _broker = Mosquitto::start(port, Some(("ha", "right"))).await;
    let embedded = broker::start(loopback(), &[login("ha", "right")]).await.expect("it serves");
    for port in [port, embedded.addr.port()] {
        let house = House::new();
        let with = |password| {
            let login = Some(login("ha", password));
            Settings::new(BrokerChoice::External(Address {
                host: "127.0.0.1".into(),
                port,
                login,
                tls: None,
            }))
        };
        let edge = Edge::start(house.door(), with("hush"));
        let text = health(&house.door(), "wrong user or password").await;
        assert!(text.contains(&format!("127.0.0.1:{port}")) && text.contains("`ha`"), "{text}");
        assert!(text.contains("next try in") && !text.contains("hush"), "{text}");
        edge.stop().await;
        let edge = Edge::start(house.door(), with("right"));
        health(&house.door(), "good").await;
        edge.stop().await;
    }
    embedded.stop().await;
}

fn login(user: &str, password: &str) -> Login {
    Login { user: user.into(), password: Secret(password.into()) }
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// What `mosquitto_sub` of a protocol version prints until it has heard `count` messages, sorted.
async fn overheard(port: u16, version: &str, filter: &str, count: usize) -> Vec<String> {
    let child = tokio::process::Command::new("mosquitto_sub")
        .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-V", version, "-q", "1"])
        .args(["-t", filter, "-C", &count.to_string(), "-F", "%r %t %p"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("mosquitto_sub is installed");
    let output = within(child.wait_with_output()).await.expect("it ran");
    let text = String::from_utf8(output.stdout).expect("text");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

#[tokio::test]
async fn clients_of_both_protocol_versions_see_and_do_the_same_at_the_embedded_broker() {
    let embedded = broker::start(loopback(), &[]).await.expect("it serves");
    let port = embedded.addr.port();
    let mut house = House::new();
    let mut lamp = lamp("dlt645_000000004711");
    house.measure(&mut lamp, 41_700);
    let edge = Edge::start(house.door(), at(port));
    health(&house.door(), "good").await;
    let (old, new) = tokio::join!(overheard(port, "mqttv311", "#", 8), overheard(port, "mqttv5", "#", 8));
    assert_eq!(old, new);
    assert!(old.contains(&format!("1 {} OFF", topic(&lamp, "relay"))), "{old:#?}");
    for (version, word, on) in [("mqttv311", "ON", true), ("mqttv5", "OFF", false)] {
        let done = tokio::process::Command::new("mosquitto_pub")
            .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-V", version, "-q", "1"])
            .args(["-t", &topic(&lamp, "set"), "-m", word])
            .status();
        assert!(within(done).await.expect("it ran").success());
        assert_eq!(house.accept().await.wish, Wish::Do(Action::Switch { on }));
    }
    edge.stop().await;
    embedded.stop().await;
}

#[tokio::test]
async fn three_hundred_devices_reach_a_late_subscriber_of_the_embedded_broker() {
    let embedded = broker::start(loopback(), &[]).await.expect("it serves");
    let port = embedded.addr.port();
    let house = House::new();
    for n in 0..300 {
        house.show(&lamp(&format!("dlt645_{n:012}")));
    }
    let edge = Edge::start(house.door(), at(port));
    let gateway = Listener::on(port, &format!("{BASE}/gateway")).await;
    gateway.find(|_| true).await;
    for version in ["mqttv311", "mqttv5"] {
        let configs = overheard(port, version, "homeassistant/device/+/config", 301).await;
        assert_eq!(configs.len(), 301);
        let relays = overheard(port, version, &format!("{BASE}/device/+/relay"), 300).await;
        assert!(relays.iter().all(|line| line.starts_with("1 ") && line.ends_with(" OFF")));
        assert_eq!(relays.len(), 300);
    }
    edge.stop().await;
    embedded.stop().await;
}

#[tokio::test]
async fn a_taken_port_is_named_in_health_and_taken_when_it_is_free() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let listen = taken.local_addr().expect("an address");
    let house = House::new();
    let settings = Settings::new(BrokerChoice::Embedded { listen, users: vec![login("ha", "hush")] });
    let edge = Edge::start(house.door(), settings);
    let text = health(&house.door(), "broken").await;
    assert!(text.contains(&listen.to_string()), "{text}");
    drop(taken);
    health(&house.door(), "good").await;
    edge.stop().await;
}

#[tokio::test]
async fn no_result_is_lost_however_often_the_wire_is_cut() {
    let port = free_port();
    let _broker = Mosquitto::start(port, None).await;
    let wire = Wire::to(port).await;
    let house = House::new();
    let lamp = lamp("dlt645_000000004711");
    house.show(&lamp);
    let listener = Listener::on(port, &topic(&lamp, "result")).await;
    let edge = Edge::start(house.door(), at(wire.port));
    health(&house.door(), "good").await;
    for round in 0..3 {
        for n in 0..500 {
            let reply_to = ReplyTo { transaction: Some(format!("{round}/{n}").into()), ..ReplyTo::default() };
            house.settle(ended(&lamp.id, State::Confirmed, reply_to));
            if n == 250 {
                // Somewhere in the middle: what is in flight then is lost.
                listener.find(|p| plain(p).1.contains(&format!("\"{round}/1"))).await;
                wire.cut();
            }
        }
        health(&house.door(), "broken").await;
        wire.mend();
        listener.find(|p| plain(p).1.contains(&format!("\"{round}/499\""))).await;
        health(&house.door(), "good").await;
    }
    let mut seen = std::collections::BTreeSet::new();
    let mut order = Vec::new();
    for (_, payload) in listener.all() {
        let result: Value = serde_json::from_str(&payload).expect("JSON");
        let transaction = result["transaction"].as_str().expect("a text").to_owned();
        if seen.insert(transaction.clone()) {
            order.push(transaction);
        }
    }
    let wanted: Vec<String> =
        (0..3).flat_map(|round| (0..500).map(move |n| format!("{round}/{n}"))).collect();
    assert_eq!(order, wanted, "each result at least once, first seen in order");
    edge.stop().await;
}

const SPEC: &str = include_str!("../../protocol-spec/mqtt.md");

#[test]
fn the_specification_names_every_topic_and_every_end_of_a_command() {
    for (_, word) in plugline::mqtt::topics::LEAVES {
        assert!(SPEC.contains(&format!("`device/{{id}}/{word}`")), "{word} is not in the table of topics");
    }
    for (state, word) in plugline::hub::command::STATES {
        assert_eq!(SPEC.contains(&format!("| `{word}` |")), state.settled(), "{word}");
    }
}
