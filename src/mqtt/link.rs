//! One connection: what it was told, what is in flight, how far the feed is delivered; what it hears.
//!
//! Handing over never waits: one future polls the client's event loop, this one only looks at what it tells. What a
//! lost connection had in flight is said again by the refresh and from the position in the feed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, Filter, PubAckReason, Publish, PublishProperties, RetainForwardRule, SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, Event, Incoming};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, sleep_until, timeout};

use crate::hub::feed::{Body, Change, Event as FeedEvent, GatewayEvent};
use crate::source::{Commands, Entry, Part, Source};

use super::commands::Job;
use super::gone::Gone;
use super::inbound::{self, Inbound};
use super::missed::{Missed, next_batch, next_missed};
use super::publish::{self, Message, Step, Told};
use super::reason::reason;
use super::requests::{self, Judged, View};
use super::session::{End, Keeper, PACKET_MAX, POLLED, Polled, unix_ms};
use super::topics::{Leaf, Topic};
use super::window::Window;
use super::{PART, READER, stopped};

/// A connection that lived so long was a good one.
const GOOD_LIFE: Duration = Duration::from_secs(10);
/// Home Assistant asks for a random delay after its birth, so that not everybody speaks at once.
const BIRTH_DELAY: Duration = Duration::from_secs(5);
/// How often state that changes without an event (a value that aged out) is looked for.
const SWEEP: Duration = Duration::from_secs(5);
/// Sweeps between two looks at the `gateway` topic, whose figures change all the time.
const GATEWAY_SWEEPS: u32 = 12;
/// How long the last words may take.
const FAREWELL: Duration = Duration::from_secs(3);
/// Fixed header, packet id and the lengths of properties, at most.
const HEADERS_MAX: usize = 32;

/// One connection.
pub(super) struct Link<'a> {
    keeper: &'a mut Keeper,
    client: AsyncClient,
    told: Told,
    window: Window,
    steps: VecDeque<Step>,
    outbox: VecDeque<(u64, Message)>,
    cursor: u64,
    kept: u64,
    /// What was missed while the broker was away; told beside what happens now, never before it.
    missed: Option<Missed>,
    packet_max: usize,
    connected_at: Option<Instant>,
    birth_at: Option<Instant>,
    sweeps: u32,
    complained: bool,
}

impl<'a> Link<'a> {
    pub(super) fn new(keeper: &'a mut Keeper, client: AsyncClient) -> Self {
        let gone = std::mem::take(&mut keeper.gone);
        let told = Told::new(keeper.topics.clone(), keeper.about.clone(), gone);
        Self {
            keeper,
            client,
            told,
            window: Window::default(),
            steps: VecDeque::new(),
            outbox: VecDeque::new(),
            cursor: 0,
            kept: 0,
            missed: None,
            packet_max: PACKET_MAX as usize,
            connected_at: None,
            birth_at: None,
            sweeps: 0,
            complained: false,
        }
    }

    pub(super) fn into_gone(self) -> Gone {
        self.told.into_gone()
    }

    /// Lives until the connection is lost or `stop`.
    pub(super) async fn drive(&mut self, mut events: mpsc::Receiver<Polled>) -> End {
        let mut stop = self.keeper.stop.clone();
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Box::pin(next_batch(self.keeper.door.clone(), self.cursor));
        let mut past = Box::pin(next_missed(self.keeper.door.clone(), None));
        let mut polled = Vec::with_capacity(POLLED);
        loop {
            self.fill();
            self.keep_position();
            self.keeper.meters.mqtt_in_flight.set(self.window.in_flight());
            let connected = self.connected_at.is_some();
            let idle = connected && self.outbox.is_empty() && self.steps.is_empty() && self.window.has_room();
            let birth_at = self.birth_at;
            let missed = self.missed.as_ref();
            let past_idle = idle && missed.is_some_and(|missed| missed.outbox.is_empty());
            tokio::select! {
                biased;
                () = stopped(&mut stop) => return self.leave(&mut events).await,
                _ = events.recv_many(&mut polled, POLLED) => {
                    for event in polled.drain(..) {
                        if let Some(end) = self.handle(event) {
                            return end;
                        }
                    }
                    if !connected && self.connected_at.is_some() {
                        batch.set(next_batch(self.keeper.door.clone(), self.cursor));
                        past.set(next_missed(self.keeper.door.clone(), self.span_missed()));
                    }
                }
                Some(messages) = self.keeper.answers.recv(), if connected => self.say(messages),
                () = sleep_until(birth_at.unwrap_or_else(Instant::now)), if birth_at.is_some() => {
                    self.birth_at = None;
                    self.refresh();
                    let messages = self.told.take_back();
                    self.say(messages);
                }
                _ = sweep.tick(), if idle => self.sweep(),
                (entries, last) = &mut batch, if idle => {
                    let messages = self.take(&entries, false);
                    self.outbox.extend(messages);
                    self.cursor = last;
                    batch.set(next_batch(self.keeper.door.clone(), self.cursor));
                }
                (entries, last) = &mut past, if past_idle => {
                    let messages = self.take(&entries, true);
                    if let Some(missed) = &mut self.missed {
                        missed.outbox.extend(messages);
                        missed.cursor = last;
                    }
                    past.set(next_missed(self.keeper.door.clone(), self.span_missed()));
                }
            }
        }
    }

    fn handle(&mut self, event: Polled) -> Option<End> {
        match event {
            Ok(Event::Outgoing(Outgoing::Publish(packet))) => self.window.sent(packet),
            Ok(Event::Incoming(Incoming::PubAck(ack))) => {
                let fine = matches!(ack.reason, PubAckReason::Success | PubAckReason::NoMatchingSubscribers);
                if !fine && !std::mem::replace(&mut self.complained, true) {
                    tracing::warn!(reason = ?ack.reason, "the broker does not take a message of ours");
                }
                self.window.acked(ack.pkid);
            }
            Ok(Event::Incoming(Incoming::ConnAck(ack))) => self.connected(&ack),
            Ok(Event::Incoming(Incoming::SubAck(ack))) => {
                if ack.return_codes.iter().any(|code| !matches!(code, SubscribeReasonCode::Success(_))) {
                    let why = format!(
                        "{}: connected, but a subscription was refused: commands do not arrive",
                        self.keeper.address
                    );
                    tracing::warn!("{why}");
                    self.keeper.door.set_part(PART, Part::Broken(why.into()));
                }
            }
            Ok(Event::Incoming(Incoming::Publish(publish))) => self.hear(&publish),
            Ok(_) => {}
            Err(error) => {
                let good = self.connected_at.is_some_and(|at| at.elapsed() >= GOOD_LIFE);
                let was_connected = self.connected_at.is_some();
                return Some(End::Lost { reason: reason(&error, &self.keeper.address, was_connected), good });
            }
        }
        None
    }

    fn connected(&mut self, ack: &ConnAck) {
        if let Some(max) = ack.properties.as_ref().and_then(|properties| properties.max_packet_size) {
            self.packet_max = self.packet_max.min(max as usize);
        }
        let door = &self.keeper.door;
        let span = door.span();
        let position = door.position(READER).unwrap_or(span.head);
        // What is kept of the outage is told all the same.
        let from = position.clamp(span.oldest, span.head);
        if let Err(expired) = span.check(position) {
            let reason = expired.name();
            tracing::warn!(
                position,
                from,
                reason,
                "a part of what MQTT had not published is gone from the feed"
            );
        }
        self.cursor = span.head;
        self.missed = Some(Missed { cursor: from, end: span.head, outbox: VecDeque::new() });
        self.kept = from;
        door.keep_position(READER, self.kept);
        door.set_part(PART, Part::Good(format!("connected to {}", self.keeper.address).into()));
        if std::mem::take(&mut self.keeper.down) {
            tracing::info!(broker = %self.keeper.address, "the broker is back");
        } else {
            tracing::info!(broker = %self.keeper.address, "connected to the broker");
        }
        self.connected_at = Some(Instant::now());
        self.subscribe();
        self.refresh();
    }

    fn subscribe(&self) {
        let inward = self.keeper.topics.inward().into_iter().map(|path| Filter {
            // The flag must tell a retained command from a live one, at connect and later.
            preserve_retain: true,
            ..Filter::new(path, QoS::AtLeastOnce)
        });
        let birth = Filter {
            retain_forward_rule: RetainForwardRule::Never,
            ..Filter::new(self.keeper.topics.name(&Topic::Birth), QoS::AtLeastOnce)
        };
        if self.client.try_subscribe_many(inward.chain([birth])).is_err() {
            tracing::error!("the client of a fresh connection takes no subscription");
        }
    }

    fn refresh(&mut self) {
        let door = &self.keeper.door;
        self.steps = self.told.refresh(door.devices(), door.lines()).into();
    }

    /// Queues messages that no event of the feed stands for.
    fn say(&mut self, messages: impl IntoIterator<Item = Message>) {
        let seq = self.cursor + 1;
        self.outbox.extend(messages.into_iter().map(|message| (seq, message)));
    }

    /// Hands over what the window has room for: what is queued, then the refresh.
    fn fill(&mut self) {
        while self.connected_at.is_some() && self.window.has_room() {
            if let Some((seq, message)) = self.outbox.pop_front() {
                self.hand_over(seq, message);
            } else if let Some(step) = self.steps.pop_front() {
                let message = self.told.step(&step);
                self.say(message);
            } else {
                break;
            }
        }
        if self.outbox.is_empty() && self.steps.is_empty() {
            self.fill_past();
        }
    }

    /// Hands over what was missed, as far as that leaves room for what happens now.
    fn fill_past(&mut self) {
        while self.window.has_room_for_past()
            && let Some(message) = self.missed.as_mut().and_then(|missed| missed.outbox.pop_front())
        {
            self.hand_over(message.0, message.1);
        }
    }

    /// Where the past is read from, and where it ends.
    fn span_missed(&self) -> Option<(u64, u64)> {
        self.missed.as_ref().map(|missed| (missed.cursor, missed.end))
    }

    fn hand_over(&mut self, seq: u64, message: Message) {
        let correlated = message.correlation.as_ref().map_or(0, |data| data.len());
        let size = message.topic.len() + message.payload.len() + correlated + HEADERS_MAX;
        if size > self.packet_max {
            tracing::warn!(
                topic = message.topic,
                size,
                max = self.packet_max,
                "too large for the broker; not published"
            );
            return;
        }
        let correlation = message.correlation.map(|data| data.to_vec().into());
        let properties = PublishProperties { correlation_data: correlation, ..PublishProperties::default() };
        let (retain, payload) = (message.retain, message.payload);
        let handed = self.client.try_publish_with_properties(
            message.topic,
            QoS::AtLeastOnce,
            retain,
            payload,
            properties,
        );
        match handed {
            Ok(()) => {
                self.window.handed(seq);
                self.keeper.meters.published();
            }
            Err(error) => tracing::error!(%error, "the client does not take a message; not published"),
        }
    }

    /// Everything before the oldest message that the broker may not have is delivered.
    fn keep_position(&mut self) {
        if self.missed.as_ref().is_some_and(Missed::over) {
            self.missed = None;
        }
        let queued = self.outbox.front().map(|(seq, _)| *seq);
        let missed = self.missed.as_ref();
        let behind = missed.map(|missed| missed.outbox.front().map_or(missed.cursor + 1, |(seq, _)| *seq));
        let oldest = [self.window.oldest(), queued, behind].into_iter().flatten().min();
        let done = oldest.map_or(self.cursor, |seq| (seq - 1).min(self.cursor));
        if done > self.kept {
            self.kept = done;
            self.keeper.door.keep_position(READER, done);
        }
    }

    fn take(&mut self, entries: &[Arc<Entry>], missed: bool) -> Vec<(u64, Message)> {
        let mut messages = Vec::new();
        for entry in entries {
            let mut out = Vec::new();
            self.event(&entry.event, missed, &mut out);
            messages.extend(out.into_iter().map(|message| (entry.event.seq, message)));
        }
        messages
    }

    /// Events say what to look at; retained topics show what is true now.
    fn event(&mut self, event: &FeedEvent, missed: bool, out: &mut Vec<Message>) {
        let fresh = &event.fresh;
        let topics = &self.keeper.topics;
        let now = fresh.device.as_ref().and_then(|id| self.keeper.door.device(id));
        match (&fresh.body, &fresh.device) {
            (Body::Reading(reading), Some(id)) if fresh.late || missed => {
                out.push(publish::history(topics, id, *reading, fresh.unix_ms, fresh.estimated));
            }
            (Body::Command(command), _) if command.state.settled() => {
                out.extend(publish::result(topics, command));
                if publish::disappoints(command) {
                    out.extend(now.as_ref().and_then(|device| self.told.relay(device)));
                }
            }
            (Body::Device { change: Change::Removed, device }, _) if now.is_none() => {
                self.told.removed(device, out);
            }
            (Body::Gateway(GatewayEvent::LineUp { .. } | GatewayEvent::LineDown { .. }), _) => {
                self.lines(out)
            }
            _ => {}
        }
        if let Some(id) = &fresh.device {
            self.told.device(id, now, out);
        }
    }

    fn lines(&mut self, out: &mut Vec<Message>) {
        if self.told.lines(self.keeper.door.lines(), out) {
            out.push(self.told.gateway_message());
        }
    }

    /// Looks for what changed without an event.
    fn sweep(&mut self) {
        let mut out = Vec::new();
        for device in self.keeper.door.devices() {
            self.told.device(&device.id.clone(), Some(device), &mut out);
        }
        self.lines(&mut out);
        self.sweeps += 1;
        if self.sweeps.is_multiple_of(GATEWAY_SWEEPS) {
            out.push(self.told.gateway_message());
        }
        self.say(out);
    }

    fn hear(&mut self, publish: &Publish) {
        let properties = publish.properties.as_ref();
        let message = Inbound {
            payload: &publish.payload,
            retain: publish.retain,
            expiry_s: properties.and_then(|p| p.message_expiry_interval),
            response_topic: properties.and_then(|p| p.response_topic.as_deref()),
            correlation: properties.and_then(|p| p.correlation_data.as_deref()),
        };
        let topic = std::str::from_utf8(&publish.topic).ok();
        match topic.and_then(|text| self.keeper.topics.parse(text)) {
            Some(Topic::Device(id, Leaf::Set)) => match inbound::set(&self.keeper.topics, &id, message) {
                Ok(None) => {}
                Ok(Some(command)) => self.ask(Job::Command(command)),
                Err(rejection) => self.say(rejection.messages(&self.keeper.topics, &id, unix_ms())),
            },
            Some(Topic::Request(verb)) => {
                let door = &self.keeper.door;
                let view = || View { devices: door.devices(), lines: door.lines(), parts: door.parts() };
                match requests::judge(&self.keeper.topics, &verb, message, view) {
                    Judged::Answer(messages) => self.say(messages),
                    Judged::Ask(question) => self.ask(Job::Question(question)),
                }
            }
            Some(Topic::Birth) if message.payload == b"online" => {
                self.told.home_assistant(true);
                let at = Instant::now() + self.keeper.dice.up_to(BIRTH_DELAY);
                self.birth_at = Some(self.birth_at.map_or(at, |earlier| earlier.min(at)));
            }
            Some(Topic::Birth) => self.told.home_assistant(false),
            _ => tracing::debug!(topic, "a message that is not for us"),
        }
    }

    fn ask(&mut self, job: Job) {
        if let Err(error) = self.keeper.jobs.try_send(job) {
            let messages = error.into_inner().busy(&self.keeper.topics);
            self.say(messages);
        }
    }

    /// The last words, then a clean end: the broker must not send the will.
    async fn leave(&mut self, events: &mut mpsc::Receiver<Polled>) -> End {
        if self.connected_at.is_none() {
            return End::Stopped;
        }
        self.steps.clear();
        match self.keeper.clear_at_end {
            true => self.say(self.told.clear_all()),
            false => self.say([self.told.status(false)]),
        }
        let farewell = async {
            self.fill();
            while !(self.window.is_empty() && self.outbox.is_empty()) {
                let Some(event) = events.recv().await else { return };
                if self.handle(event).is_some() {
                    return;
                }
                self.fill();
            }
            self.keep_position();
            self.keeper.meters.mqtt_in_flight.set(self.window.in_flight());
            let _ = self.client.try_disconnect();
            while let Some(Ok(_)) = events.recv().await {}
        };
        if timeout(FAREWELL, farewell).await.is_err() {
            tracing::warn!("the broker did not take the last words in time");
        }
        End::Stopped
    }
}
