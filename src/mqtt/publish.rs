//! What goes out: messages made from the state of things, and what the broker was told so far, so that only what
//! differs is said again. Pure; knows no client.
//!
//! Retained topics are a picture of now (a slow broker gets the newest); `result` and `history` are made from events.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::device::{Device, DeviceId, GatewayId, LineName, Reading};
use crate::hub::LineHealth;
use crate::hub::command::{Command, State};
use crate::json;
use crate::source::Identity;

use super::discovery::{self, Site};
use super::gone::Gone;
use super::topics::{Leaf, Topic, Topics};

/// A message for the broker; QoS 1 always.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where.
    pub topic: String,
    /// What; an empty retained one clears the topic.
    pub payload: String,
    /// The broker keeps it for later subscribers.
    pub retain: bool,
    /// MQTT 5 correlation data of an answer.
    pub correlation: Option<Arc<[u8]>>,
}

impl Message {
    fn retained(topic: String, payload: impl Into<String>) -> Self {
        Self { topic, payload: payload.into(), retain: true, correlation: None }
    }

    /// Clears a retained topic.
    #[must_use]
    pub fn clear(topic: String) -> Self {
        Self::retained(topic, "")
    }

    /// A passing message.
    #[must_use]
    pub fn passing(topic: String, payload: impl Into<String>) -> Self {
        Self { topic, payload: payload.into(), retain: false, correlation: None }
    }
}

fn presence(there: bool) -> &'static str {
    match there {
        true => "online",
        false => "offline",
    }
}

fn line_up(line: &LineHealth) -> bool {
    line.port.is_ok() && line.modem == Some(true)
}

/// One thing that a full refresh says; made into messages when its turn comes, from what is true then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// `status`.
    Status,
    /// Discovery of the gateway itself.
    GatewayConfig,
    /// Discovery of the devices that share a root.
    Config(String),
    /// A line's topic.
    Line(LineName),
    /// A device's availability.
    Availability(DeviceId),
    /// A device's relay.
    Relay(DeviceId),
    /// A device's newest reading.
    Reading(DeviceId),
    /// `gateway`.
    Gateway,
}

/// What the gateway says of itself.
#[derive(Clone, Debug)]
pub struct About {
    /// Whose log it is.
    pub identity: Identity,
    /// When it started, milliseconds since 1970 UTC.
    pub started_unix_ms: i64,
}

/// What the broker was told on this connection.
#[derive(Debug)]
pub struct Told {
    topics: Topics,
    about: About,
    devices: BTreeMap<DeviceId, Arc<Device>>,
    lines: BTreeMap<LineName, Option<Arc<LineHealth>>>,
    /// Home Assistant is known to listen.
    heard: bool,
    gone: Gone,
}

impl Told {
    /// Nothing was told; `gone` is what earlier connections took back unheard.
    #[must_use]
    pub fn new(topics: Topics, about: About, gone: Gone) -> Self {
        Self { topics, about, devices: BTreeMap::new(), lines: BTreeMap::new(), heard: false, gone }
    }

    /// Home Assistant came or went: what is taken back while it may be away is kept for its birth.
    pub fn home_assistant(&mut self, there: bool) {
        self.heard = there;
    }

    /// After a birth: what was taken back unheard is taken back again.
    pub fn take_back(&mut self) -> Vec<Message> {
        let mut gone = std::mem::take(&mut self.gone);
        let taken = gone.take_back(|root| self.site().config(&self.group(root)));
        let messages = taken.into_iter().flat_map(|(root, payloads)| {
            let topic = self.config_topic(&root);
            payloads.map(|payload| Message::passing(topic.clone(), payload))
        });
        messages.collect()
    }

    /// What was taken back unheard, for the next connection.
    #[must_use]
    pub fn into_gone(self) -> Gone {
        self.gone
    }

    fn site(&self) -> Site<'_> {
        Site { topics: &self.topics, gateway: self.gateway() }
    }

    fn gateway(&self) -> &GatewayId {
        &self.about.identity.gateway
    }

    /// Takes everything as it is now and lists what is to be said, in the order in which Home Assistant needs it.
    pub fn refresh(&mut self, devices: Vec<Arc<Device>>, lines: Vec<Arc<LineHealth>>) -> Vec<Step> {
        self.devices = devices.into_iter().map(|device| (device.id.clone(), device)).collect();
        // A line that devices name and nobody runs is offline, not unheard of.
        let named = self.devices.values().filter_map(|device| device.line.clone());
        self.lines = named.map(|line| (line, None)).collect();
        self.lines.extend(lines.into_iter().map(|line| (line.line.clone(), Some(line))));
        let mut roots: Vec<String> = self.devices.values().map(|device| discovery::root(device)).collect();
        roots.sort_unstable();
        roots.dedup();
        let ids = || self.devices.keys().cloned();
        let mut steps = vec![Step::Status, Step::GatewayConfig];
        steps.extend(roots.into_iter().map(Step::Config));
        steps.extend(self.lines.keys().cloned().map(Step::Line));
        steps.extend(ids().map(Step::Availability));
        steps.extend(ids().map(Step::Relay));
        steps.extend(ids().map(Step::Reading));
        steps.push(Step::Gateway);
        steps
    }

    /// The message of a step; `None` when there is nothing to say (any more).
    #[must_use]
    pub fn step(&self, step: &Step) -> Option<Message> {
        match step {
            Step::Status => Some(self.status(true)),
            Step::GatewayConfig => Some(self.gateway_config()),
            Step::Config(root) => {
                let config = self.site().config(&self.group(root))?;
                Some(Message::retained(self.config_topic(root), config.to_string()))
            }
            Step::Line(line) => Some(self.line(line)),
            Step::Availability(id) => Some(self.availability(self.devices.get(id)?)),
            Step::Relay(id) => self.relay(self.devices.get(id)?),
            // What stands there from an earlier life bears its own time; it is replaced by the first new value.
            Step::Reading(id) => {
                let device = self.devices.get(id)?;
                device.last_reading.is_some().then(|| self.reading(device))
            }
            Step::Gateway => Some(self.gateway_message()),
        }
    }

    /// A device may have changed: says what differs.
    pub fn device(&mut self, id: &DeviceId, now: Option<Arc<Device>>, out: &mut Vec<Message>) {
        let before = self.devices.get(id).cloned();
        match (before, now) {
            (None, None) => {}
            (Some(before), Some(now)) if Arc::ptr_eq(&before, &now) => {}
            (Some(before), None) => self.removed(&before, out),
            (before, Some(now)) => self.changed(before.as_deref(), &now, out),
        }
    }

    fn changed(&mut self, before: Option<&Device>, now: &Arc<Device>, out: &mut Vec<Message>) {
        let news = |of: fn(&Device, &Device) -> bool| before.is_none_or(|before| !of(before, now));
        if news(discovery::same) {
            self.regroup(&discovery::root(now), out, |devices| {
                devices.insert(now.id.clone(), Arc::clone(now));
            });
            if let Some(line) = now.line.as_ref().filter(|line| !self.lines.contains_key(line)) {
                self.lines.insert(line.clone(), None);
                out.push(self.line(line));
            }
        } else {
            self.devices.insert(now.id.clone(), Arc::clone(now));
        }
        if news(|a, b| a.online == b.online) {
            out.push(self.availability(now));
        }
        if news(|a, b| a.relay == b.relay) {
            out.extend(self.relay(now));
        }
        let had_reading = before.is_some_and(|before| before.last_reading.is_some());
        if news(|a, b| a.last_reading == b.last_reading) && (had_reading || now.last_reading.is_some()) {
            out.push(self.reading(now));
        }
    }

    /// A device is gone: clears what it left, also when it was never told of on this connection.
    pub fn removed(&mut self, gone: &Device, out: &mut Vec<Message>) {
        self.devices.entry(gone.id.clone()).or_insert_with(|| Arc::new(gone.clone()));
        self.regroup(&discovery::root(gone), out, |devices| {
            devices.remove(&gone.id);
        });
        let leaves = [Leaf::Availability, Leaf::Relay, Leaf::Reading];
        out.extend(leaves.map(|leaf| Message::clear(self.topics.device(&gone.id, leaf))));
    }

    /// Changes the devices of a root and publishes its payload. Home Assistant forgets a component only when it is
    /// named once more with nothing but its platform.
    fn regroup(
        &mut self,
        root: &str,
        out: &mut Vec<Message>,
        change: impl FnOnce(&mut BTreeMap<DeviceId, Arc<Device>>),
    ) {
        let before = discovery::keys(&self.topics, &self.group(root));
        let shown = self.site().config(&self.group(root)).filter(|_| !self.heard);
        change(&mut self.devices);
        let group = self.group(root);
        let topic = self.config_topic(root);
        let kept = discovery::keys(&self.topics, &group);
        if let Some(shown) = shown {
            self.gone.lose(root, shown, &kept);
        }
        let Some(config) = self.site().config(&group) else {
            if !before.is_empty() {
                out.push(Message::clear(topic));
            }
            return;
        };
        let gone: Vec<_> = before.iter().filter(|(key, _)| !kept.iter().any(|(k, _)| k == key)).collect();
        if !gone.is_empty() {
            let mut last = config.clone();
            for (key, platform) in gone {
                last["cmps"][key] = json!({ "p": platform });
            }
            out.push(Message::retained(topic.clone(), last.to_string()));
        }
        out.push(Message::retained(topic, config.to_string()));
    }

    fn group(&self, root: &str) -> Vec<Arc<Device>> {
        // Ids of one root begin alike, so they stand together.
        let stem = root.rsplit_once("_x").map_or(root, |(stem, _)| stem);
        let Some(first) = DeviceId::parse(stem) else { return Vec::new() };
        let near = self.devices.range(first..).take_while(|(id, _)| id.as_str().starts_with(stem));
        let mut group: Vec<_> = near
            .filter(|(_, device)| discovery::root(device) == root)
            .map(|(_, device)| device.clone())
            .collect();
        group.sort_by_key(|device| device.target.channel);
        group
    }

    /// Lines may have changed: says what differs; `true` when any did.
    pub fn lines(&mut self, now: Vec<Arc<LineHealth>>, out: &mut Vec<Message>) -> bool {
        let mut any = false;
        for health in now {
            let name = health.line.clone();
            let up = line_up(&health);
            let before = self.lines.insert(name.clone(), Some(health));
            if before.is_none() {
                out.push(self.gateway_config());
            }
            if before.is_none_or(|before| before.as_deref().is_some_and(line_up) != up) {
                out.push(self.line(&name));
                any = true;
            }
        }
        any
    }

    /// Everything retained that we publish, cleared; for a demonstration that leaves no trace.
    pub fn clear_all(&self) -> Vec<Message> {
        let mut roots: Vec<String> = self.devices.values().map(|device| discovery::root(device)).collect();
        roots.dedup();
        let configs = roots.iter().map(|root| self.config_topic(root));
        let leaves = [Leaf::Availability, Leaf::Relay, Leaf::Reading];
        let devices =
            self.devices.keys().flat_map(|id| leaves.map(|leaf| self.topics.device(id, leaf)).into_iter());
        let lines = self.lines.keys().map(|line| self.topics.name(&Topic::Line(line.clone())));
        let own = [self.config_topic(self.gateway().as_str()), self.topics.name(&Topic::Gateway)];
        let status = [self.topics.name(&Topic::Status)];
        configs.chain(devices).chain(lines).chain(own).chain(status).map(Message::clear).collect()
    }

    /// `status`.
    #[must_use]
    pub fn status(&self, there: bool) -> Message {
        Message::retained(self.topics.name(&Topic::Status), presence(there))
    }

    /// The `gateway` topic.
    #[must_use]
    pub fn gateway_message(&self) -> Message {
        let lines: serde_json::Map<String, Value> = self
            .lines
            .iter()
            .map(|(name, health)| {
                (name.to_string(), health.as_ref().map_or(Value::Null, |line| json::line(line)))
            })
            .collect();
        let about = json!({
            "version": env!("CARGO_PKG_VERSION"), "started_at": json::time(self.about.started_unix_ms),
            "feed": { "epoch": self.about.identity.epoch.as_str() }, "lines": lines,
        });
        Message::retained(self.topics.name(&Topic::Gateway), about.to_string())
    }

    fn gateway_config(&self) -> Message {
        let lines: Vec<LineName> = self.lines.keys().cloned().collect();
        let topic = self.config_topic(self.gateway().as_str());
        Message::retained(topic, self.site().gateway_config(&lines).to_string())
    }

    fn config_topic(&self, root: &str) -> String {
        self.topics.name(&Topic::Discovery(root.into()))
    }

    fn line(&self, name: &LineName) -> Message {
        let up = self.lines.get(name).is_some_and(|health| health.as_deref().is_some_and(line_up));
        Message::retained(self.topics.name(&Topic::Line(name.clone())), presence(up))
    }

    fn availability(&self, device: &Device) -> Message {
        let topic = self.topics.device(&device.id, Leaf::Availability);
        Message::retained(topic, presence(device.online == Some(true)))
    }

    /// The relay as it stands; nothing for a device without one.
    #[must_use]
    pub fn relay(&self, device: &Device) -> Option<Message> {
        let payload = match device.relay {
            Some(true) => "ON",
            Some(false) => "OFF",
            // Not heard yet: an old retained position would be a guess.
            None => "",
        };
        let topic = self.topics.device(&device.id, Leaf::Relay);
        device.abilities.relay.then(|| Message::retained(topic, payload))
    }

    fn reading(&self, device: &Device) -> Message {
        let topic = self.topics.device(&device.id, Leaf::Reading);
        match device.last_reading {
            Some(last) => Message::retained(topic, json::text(&json::ReadingView::from(last))),
            None => Message::clear(topic),
        }
    }
}

/// A reading that came late or that the broker missed; never goes onto `reading`.
#[must_use]
pub fn history(
    topics: &Topics,
    device: &DeviceId,
    reading: Reading,
    unix_ms: i64,
    estimated: bool,
) -> Message {
    let view = json::ReadingView { reading, unix_ms: Some(unix_ms) };
    let mut payload = json::text(&view);
    payload.truncate(payload.len() - 1);
    payload.push_str(r#","late":true"#);
    payload.push_str(if estimated { r#","estimated":true}"# } else { "}" });
    Message::passing(topics.device(device, Leaf::History), payload)
}

/// How a settled command ended, for `result` and its caller's response topic.
#[must_use]
pub fn result(topics: &Topics, command: &Command) -> Vec<Message> {
    let settled_at = command.times_unix_ms[command.state as usize].unwrap_or(command.created_unix_ms);
    let mut view = json!({
        "event_type": command.state.name(), "command": command.id.as_str(), "t": json::time(settled_at),
    });
    if let Some(transaction) = &command.reply_to.transaction {
        view["transaction"] = (**transaction).into();
    }
    if let Some(outcome) = command.outcome {
        view["outcome"] = json::outcome(outcome).into();
    }
    if let Some(error) = &command.error {
        view["error"] = json::command_error(error);
    }
    let payload = view.to_string();
    let mut out = vec![Message::passing(topics.device(&command.device, Leaf::Result), payload.clone())];
    if let Some(response) = &command.reply_to.response_topic {
        let correlation = command.reply_to.correlation.clone();
        out.push(Message { correlation, ..Message::passing(response.to_string(), payload) });
    }
    out
}

/// The relay is worth saying again: whoever asked for another position must see that it is not there.
#[must_use]
pub fn disappoints(command: &Command) -> bool {
    command.state.settled() && command.state != State::Confirmed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Abilities, Epoch, Measured, Quantity, StampedReading, Target};

    fn id(text: &str) -> DeviceId {
        DeviceId::parse(text).expect("an id")
    }

    fn device(text: &str, channel: Option<u8>) -> Device {
        Device {
            id: id(text),
            name: "Lamp".into(),
            line: LineName::parse("mains"),
            dialect: "insteon".into(),
            target: Target { address: "2c0d11".into(), channel },
            model: None,
            abilities: Abilities { relay: true, dim: false, identify: false },
            measured: Arc::new([Measured { quantity: Quantity::Power, period: None }]),
            relay: None,
            online: None,
            last_seen_unix_ms: None,
            last_reading: None,
            options: Default::default(),
            carry_over: Default::default(),
            configured: None,
            groups: Default::default(),
            members: None,
        }
    }

    fn told(devices: &[Device]) -> Told {
        let identity = Identity {
            gateway: GatewayId::parse("gw_aaaaaaaaaa").expect("an id"),
            epoch: Epoch::parse("k3f9q2mz").expect("an epoch"),
        };
        let topics = Topics::new("p", "ha", &identity.gateway);
        let mut told = Told::new(topics, About { identity, started_unix_ms: 0 }, Gone::default());
        told.refresh(devices.iter().cloned().map(Arc::new).collect(), Vec::new());
        told
    }

    fn update(told: &mut Told, now: Device) -> Vec<(String, String)> {
        let mut out = Vec::new();
        told.device(&now.id.clone(), Some(Arc::new(now)), &mut out);
        out.into_iter().map(|message| (message.topic, message.payload)).collect()
    }

    #[test]
    fn a_refresh_speaks_of_devices_before_their_states() {
        let mut told = told(&[]);
        let mut lamp = device("a", None);
        lamp.relay = Some(true);
        let steps = told.refresh(vec![Arc::new(lamp)], Vec::new());
        let topics: Vec<String> =
            steps.iter().filter_map(|step| told.step(step)).map(|message| message.topic).collect();
        assert_eq!(
            topics,
            [
                "p/status",
                "ha/device/plugline_gw_aaaaaaaaaa/config",
                "ha/device/plugline_a/config",
                "p/line/mains",
                "p/device/a/availability",
                "p/device/a/relay",
                "p/gateway"
            ]
        );
    }

    #[test]
    fn a_relay_not_heard_yet_is_cleared_and_a_missing_one_is_not_spoken_of() {
        let mut meter = device("b", None);
        meter.abilities.relay = false;
        let told = told(&[device("a", None), meter]);
        let cleared = told.step(&Step::Relay(id("a"))).expect("a message");
        assert_eq!((cleared.payload.as_str(), cleared.retain), ("", true));
        assert_eq!(told.step(&Step::Relay(id("b"))), None);
    }

    #[test]
    fn only_what_differs_is_said_again() {
        let mut told = told(&[device("a", None)]);
        let mut now = device("a", None);
        now.relay = Some(true);
        assert_eq!(update(&mut told, now.clone()), [("p/device/a/relay".to_owned(), "ON".to_owned())]);
        assert_eq!(update(&mut told, now.clone()), []);
        let reading = Reading::of(Quantity::Power, 41_700);
        now.last_reading = Some(StampedReading { unix_ms: 0, reading });
        assert_eq!(
            update(&mut told, now.clone()),
            [(
                "p/device/a/reading".to_owned(),
                r#"{"t":"1970-01-01T00:00:00.000Z","power_w":41.7}"#.to_owned()
            )]
        );
        now.last_reading = None;
        assert_eq!(update(&mut told, now), [("p/device/a/reading".to_owned(), String::new())]);
    }

    #[test]
    fn a_channel_that_leaves_takes_its_components_back_and_leaves_its_sibling() {
        let (one, two) = (device("a", Some(1)), device("a_2", Some(2)));
        let mut told = told(&[one, two.clone()]);
        let mut out = Vec::new();
        told.device(&two.id, None, &mut out);
        assert_eq!(out[0].topic, "ha/device/plugline_a/config");
        let last: Value = serde_json::from_str(&out[0].payload).expect("JSON");
        assert_eq!(last["cmps"]["relay_2"], json!({"p": "switch"}));
        let then: Value = serde_json::from_str(&out[1].payload).expect("JSON");
        assert!(then["cmps"].get("relay_2").is_none());
        assert!(then["cmps"].get("relay").is_some());
        let cleared: Vec<&str> =
            out[2..].iter().filter(|m| m.payload.is_empty()).map(|m| &*m.topic).collect();
        assert_eq!(cleared, ["p/device/a_2/availability", "p/device/a_2/relay", "p/device/a_2/reading"]);
    }

    #[test]
    fn an_ability_that_is_lost_takes_its_component_back_once() {
        let mut able = device("a", None);
        able.abilities.identify = true;
        let mut told = told(&[able.clone()]);
        able.abilities.identify = false;
        let configs = |messages: Vec<(String, String)>| {
            let of = |(_, payload): (String, String)| -> Value {
                serde_json::from_str::<Value>(&payload).expect("JSON")["cmps"]["identify"].clone()
            };
            messages.into_iter().map(of).collect::<Vec<_>>()
        };
        assert_eq!(configs(update(&mut told, able.clone())), [json!({"p": "button"}), Value::Null]);
        able.abilities.identify = true;
        let back = configs(update(&mut told, able));
        assert_eq!((back.len(), &back[0]["dev_cla"]), (1, &json!("identify")));
    }

    #[test]
    fn a_device_removed_while_the_broker_was_away_is_cleared_too() {
        let mut told = told(&[]);
        let mut out = Vec::new();
        told.removed(&device("a", None), &mut out);
        let cleared: Vec<_> = out.iter().map(|m| (m.topic.as_str(), m.payload.as_str())).collect();
        assert_eq!(cleared[0], ("ha/device/plugline_a/config", ""));
        assert_eq!(cleared.len(), 4);
    }

    #[test]
    fn history_is_marked_and_never_on_the_topic_of_readings() {
        let told = told(&[]);
        let message = history(&told.topics, &id("a"), Reading::of(Quantity::Power, 5_000), 0, true);
        assert_eq!(message.topic, "p/device/a/history");
        assert_eq!(
            message.payload,
            r#"{"t":"1970-01-01T00:00:00.000Z","power_w":5,"late":true,"estimated":true}"#
        );
        assert!(!message.retain);
    }

    #[test]
    fn clearing_covers_every_retained_topic_of_a_refresh() {
        let mut told = told(&[]);
        let mut lamp = device("a", None);
        lamp.last_reading = Some(StampedReading { unix_ms: 0, reading: Reading::of(Quantity::Power, 1) });
        let steps = told.refresh(vec![Arc::new(lamp)], Vec::new());
        let cleared: Vec<String> = told.clear_all().into_iter().map(|message| message.topic).collect();
        for message in steps.iter().filter_map(|step| told.step(step)) {
            assert!(cleared.contains(&message.topic), "{}", message.topic);
        }
    }
}
