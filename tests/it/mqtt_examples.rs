//! The examples of `protocol-spec/mqtt.md` are run, in their order, between a gateway with simulated meters and a mosquitto.
//! `→` is published, `←` is waited for, and what stands in brackets on a line of its own is done.

use plugline::config::Config;
use plugline::device::QUANTITIES;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Publish, PublishProperties};
use serde_json::Value;

use crate::gateway::seq;
use crate::mqtt::{Listener, plain};
use crate::parts::{Mosquitto, Wire, free_port};
use crate::patterns::{fits, pattern};
use crate::rig::{self, Gateway, is_reading_of};

const TEXT: &str = include_str!("../../protocol-spec/mqtt.md");
/// The gateway of the text.
const SHOWN: &str = "gw_7k2m9x4q1c";
const KETTLE: &str = "dlt645_000000004711";

/// A message of an example.
#[derive(Debug)]
struct Shown {
    topic: String,
    /// What stands in brackets behind the topic.
    notes: String,
    payload: String,
}

#[derive(Debug)]
enum Step {
    Publish(Shown),
    Hear(Shown),
    /// Something happens.
    Stage(String),
}

impl Shown {
    fn parse(text: &str) -> Self {
        let (topic, rest) = text.split_once(' ').unwrap_or((text, ""));
        let rest = rest.trim();
        let (notes, payload) = match rest.strip_prefix('(') {
            Some(rest) => rest.split_once(')').expect("a closing bracket"),
            None => ("", rest),
        };
        Self { topic: topic.to_owned(), notes: notes.to_owned(), payload: payload.trim().to_owned() }
    }

    /// What is said in the brackets behind these words.
    fn note(&self, words: &str) -> Option<&str> {
        self.notes.split(", ").find_map(|note| note.strip_prefix(words)).map(str::trim)
    }
}

/// Every step of every fenced block, with the block's number.
fn steps() -> Vec<(usize, Step)> {
    let blocks = TEXT.split("\n```mqtt\n").skip(1).map(|rest| rest.split("\n```").next().unwrap_or(rest));
    let step = |text: &str| match text.split_once(' ') {
        Some(("→", rest)) => Step::Publish(Shown::parse(rest)),
        Some(("←", rest)) => Step::Hear(Shown::parse(rest)),
        _ => Step::Stage(text.to_owned()),
    };
    let steps = |(number, block): (usize, &str)| {
        let mut lines: Vec<String> = Vec::new();
        for line in block.lines() {
            match line.strip_prefix("  ") {
                Some(more) => lines.last_mut().expect("a line goes on").push_str(more.trim_start()),
                None => lines.push(line.to_owned()),
            }
        }
        lines.into_iter().map(move |line| (number, step(&line))).collect::<Vec<_>>()
    };
    blocks.enumerate().flat_map(steps).collect()
}

/// Times, and figures that were measured, are never those of the text.
fn alike(name: &str, wanted: &Value, got: &Value) -> bool {
    let is_time = |value: &Value| {
        value
            .as_str()
            .is_some_and(|text| text.len() == 24 && text.ends_with('Z') && text.as_bytes()[10] == b'T')
    };
    let measured = QUANTITIES.iter().any(|row| row.json_name == name);
    wanted == got || (is_time(wanted) && is_time(got)) || (measured && wanted.is_number() && got.is_number())
}

/// The gateway, its broker, and a program that hears everything.
struct Stage {
    base: String,
    id: String,
    port: u16,
    wire: Wire,
    listener: Listener,
    gateway: Option<Gateway>,
    /// What was heard before the last publishing or happening counts no more.
    from: usize,
    done: usize,
}

impl Stage {
    fn topic(&self, shown: &str) -> String {
        match shown.starts_with("homeassistant/") || shown.starts_with("mine/") {
            true => shown.replace(SHOWN, &self.id),
            false => format!("{}/{shown}", self.base),
        }
    }

    /// What was heard, in the words of the text.
    fn text(&self, heard: &Publish) -> (String, String) {
        let (topic, payload) = plain(heard);
        (topic, payload.replace(&self.id, SHOWN))
    }

    async fn publish(&mut self, shown: &Shown) {
        self.from = self.listener.count();
        let properties = PublishProperties {
            response_topic: shown.note("response topic").map(str::to_owned),
            correlation_data: shown.note("correlation data").map(|data| data.to_owned().into()),
            message_expiry_interval: shown
                .note("expiry")
                .map(|time| time.trim_end_matches(" s").parse().expect("seconds")),
            ..PublishProperties::default()
        };
        let retain = shown.note("retained").is_some();
        let (topic, payload) = (self.topic(&shown.topic), shown.payload.clone());
        let sent = self.listener.client.publish_with_properties(
            topic,
            QoS::AtLeastOnce,
            retain,
            payload,
            properties,
        );
        sent.await.expect("handed over");
    }

    fn is_shown(&self, shown: &Shown, heard: &Publish) -> bool {
        let (topic, payload) = self.text(heard);
        if topic != self.topic(&shown.topic) {
            return false;
        }
        let properties = heard.properties.clone().unwrap_or_default();
        let data = properties.correlation_data.map(|data| String::from_utf8_lossy(&data).into_owned());
        let correlated = shown.note("correlation data").is_none_or(|wanted| data.as_deref() == Some(wanted));
        let same = match shown.payload.starts_with('{') {
            true => {
                serde_json::from_str(&payload).is_ok_and(|got| fits(&pattern(&shown.payload), &got, alike))
            }
            false => payload == shown.payload,
        };
        same && correlated
    }

    async fn hear(&self, number: usize, shown: &Shown) {
        if shown.note("retained").is_some() {
            // To whoever comes late.
            let late = Listener::on(self.port, &self.topic(&shown.topic)).await;
            let found = late.wait_for(0, |heard| heard.retain && self.is_shown(shown, heard)).await;
            assert!(found.is_some(), "block {number}: {shown:?}: kept is {:?}", late.all());
            return;
        }
        if self.listener.wait_for(self.from, |heard| self.is_shown(shown, heard)).await.is_none() {
            let topic = self.topic(&shown.topic);
            let all = self.listener.all().into_iter().skip(self.from);
            let there: Vec<_> = all.filter(|(heard, _)| *heard == topic).collect();
            panic!("block {number}: {shown:?} was not heard, but {there:#?}");
        }
    }

    async fn act(&mut self, words: &str) {
        self.from = self.listener.count();
        match words {
            "(the broker is away while the kettle is read three times)" => {
                let gateway = self.gateway.as_mut().expect("it runs");
                self.wire.cut();
                let last = seq(gateway.all().await.last().expect("an event"));
                for _ in 0..3 {
                    let missed = |event: &Value| is_reading_of(event, KETTLE) && seq(event) > last;
                    gateway.next("a reading of the kettle", missed).await;
                }
                self.wire.mend();
            }
            "(the gateway ends)" => self.gateway.take().expect("it runs").stop().await,
            other => panic!("nobody knows how to play {other}"),
        }
        self.done += 1;
    }
}

/// Three meters that are there and one that is not.
fn configuration(port: u16, store: &std::path::Path, serial: &std::path::Path) -> Config {
    let devices: String = [("4711", "Kettle"), ("4712", "Fridge"), ("4713", "Desk"), ("4799", "Attic")]
        .map(|(address, name)| format!("[[line.device]]\naddress = \"{address}\"\nname = \"{name}\"\n"))
        .concat();
    let text = format!(
        "[http]\nlisten = \"127.0.0.1:0\"\n[mqtt]\nbroker = \"mqtt://127.0.0.1:{port}\"\n[store]\ndir = {store:?}\n\
         [[line]]\nname = \"dlt645\"\ndialect = \"dlt645\"\nport = {serial:?}\nbaud = 115200\n\
         periods = {{ power = 1, relay = 1, energy = 1, voltage = 1 }}\n{devices}"
    );
    Config::parse(&text, std::iter::empty(), &|path| std::fs::read_to_string(path)).expect("it is right")
}

#[tokio::test]
async fn every_example_of_the_specification_of_mqtt_happens_as_it_stands_there() {
    let port = free_port();
    let _broker = Mosquitto::start(port, None).await;
    let wire = Wire::to(port).await;
    let folder = tempfile::tempdir().expect("a folder");
    let serial = folder.path().join("tty");
    let _meters = rig::meters(1, &serial);
    let listener = Listener::on(port, "#").await;
    let mut gateway = Gateway::run(configuration(wire.port, folder.path(), &serial)).await;
    let about = gateway.get("/v1/gateway").await;
    let id = about["id"].as_str().expect("an id").to_owned();
    gateway.next("a reading of the kettle", |event| is_reading_of(event, KETTLE)).await;
    let base = format!("plugline/{id}");
    let mut stage = Stage { base, id, port, wire, listener, gateway: Some(gateway), from: 0, done: 0 };
    let steps = steps();
    for (number, step) in &steps {
        match step {
            Step::Publish(shown) => stage.publish(shown).await,
            Step::Hear(shown) => stage.hear(*number, shown).await,
            Step::Stage(words) => stage.act(words).await,
        }
    }
    let counted = |wanted: fn(&Step) -> bool| steps.iter().filter(|(_, step)| wanted(step)).count();
    let (published, heard) =
        (counted(|step| matches!(step, Step::Publish(_))), counted(|step| matches!(step, Step::Hear(_))));
    assert!(published > 15 && heard > 30 && stage.done == 2, "{published} {heard} {}", stage.done);
    let verbs = ["devices", "health", "permit_join", "rename", "options", "identify", "groups"];
    for verb in verbs {
        assert!(TEXT.contains(&format!("\n→ request/{verb}")), "{verb} has no example");
    }
}

#[test]
fn nothing_in_a_fence_is_left_out() {
    let fences: Vec<&str> =
        TEXT.split("\n```").skip(1).step_by(2).map(|f| f.lines().next().unwrap_or("")).collect();
    assert!(fences.iter().all(|kind| ["mqtt", "sh"].contains(kind)), "{fences:?}");
    assert!(
        !TEXT.lines().any(|line| line.starts_with("    ") && line.contains('{')),
        "an example outside of a fence"
    );
}
