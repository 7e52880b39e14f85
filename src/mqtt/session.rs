//! The client: one connection after another, each with a client and an event loop of its own: the library's own way
//! of resuming loses messages and can fall silent for good. Knows no topic but that of the will.

use std::sync::Arc;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::LastWill;
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use rumqttc::{NetworkOptions, Transport};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use crate::door::Door;
use crate::source::{Part, Source};
use crate::upkeep::Meters;

use super::backoff::{Backoff, Dice};
use super::commands::{self, JOBS, Job};
use super::gone::Gone;
use super::link::Link;
use super::publish::{About, Message};
use super::settings::{Address, Settings};
use super::topics::{Topic, Topics};
use super::window::IN_FLIGHT;
use super::{PART, READER, stopped, transport};

/// Largest packet either way: a large house's list of devices; the library's own 10 KiB would drop the connection.
pub(super) const PACKET_MAX: u32 = 1 << 20;
/// Requests that the client takes without waiting; above [`IN_FLIGHT`], so handing over never fails.
const REQUESTS: usize = 4 * IN_FLIGHT;
/// Events of the client on their way to us.
pub(super) const POLLED: usize = 256;
/// Refusals and answers on their way to the broker.
const ANSWERS: usize = 256;
/// A dead connection is noticed after at most twice this.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// The wall clock, milliseconds since 1970 UTC.
#[expect(
    clippy::disallowed_methods,
    reason = "stamps of refusals and of the start; the edge's I/O reads the clock"
)]
pub(super) fn unix_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// How a connection ended.
pub(super) enum End {
    Stopped,
    Lost { reason: String, good: bool },
}

/// Connects for ever until `stop`.
pub(super) async fn run(door: &Door, settings: &Settings, address: &Address, told: &super::Told) {
    // From here on nothing is lost, also when the broker is away from the beginning.
    if door.position(READER).is_none() {
        door.keep_position(READER, door.span().head);
    }
    let topics = Topics::new(&settings.base, &settings.discovery_prefix, &door.identity().gateway);
    let (jobs, waiting) = mpsc::channel(JOBS);
    let (answered, answers) = mpsc::channel(ANSWERS);
    let about = About { identity: door.identity().clone(), started_unix_ms: unix_ms() };
    let mut keeper = Keeper {
        door: door.clone(),
        topics: topics.clone(),
        about,
        clear_at_end: settings.clear_at_end,
        address: address.clone(),
        dice: Dice::new(told.seed),
        jobs,
        answers,
        stop: told.stop.clone(),
        meters: Arc::clone(&told.meters),
        down: false,
        gone: Gone::default(),
    };
    tokio::select! {
        () = keeper.keep_connected(told.seed) => {}
        () = commands::take_in(door, &topics, waiting, answered) => {}
    }
}

/// What outlives a connection.
pub(super) struct Keeper {
    pub(super) door: Door,
    pub(super) topics: Topics,
    pub(super) about: About,
    pub(super) clear_at_end: bool,
    pub(super) address: Address,
    pub(super) dice: Dice,
    pub(super) jobs: mpsc::Sender<Job>,
    pub(super) answers: mpsc::Receiver<Vec<Message>>,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) meters: Arc<Meters>,
    pub(super) down: bool,
    pub(super) gone: Gone,
}

impl Keeper {
    async fn keep_connected(&mut self, seed: u64) {
        let mut backoff = Backoff::new(seed);
        loop {
            let end = match transport::of(&self.address).await {
                Ok(transport) => self.live(transport).await,
                Err(reason) => End::Lost { reason, good: false },
            };
            let End::Lost { reason, good } = end else { return };
            if good {
                backoff.reset();
            }
            let wait = backoff.wait();
            self.lost(&reason, wait);
            let mut stop = self.stop.clone();
            tokio::select! {
                () = sleep(wait) => {}
                () = stopped(&mut stop) => return,
            }
        }
    }

    /// One connection, from the first byte to its end.
    async fn live(&mut self, transport: Transport) -> End {
        let (client, event_loop) = AsyncClient::new(self.options(transport), REQUESTS);
        let (polled, events) = mpsc::channel(POLLED);
        let mut link = Link::new(self, client);
        let end = tokio::select! {
            end = link.drive(events) => end,
            () = pump(event_loop, polled) => End::Stopped,
        };
        self.gone = link.into_gone();
        self.meters.mqtt_in_flight.set(0);
        end
    }

    /// Says once that the broker is away; health always knows the newest reason.
    fn lost(&mut self, reason: &str, wait: Duration) {
        let text = format!("{}: {reason}; next try in {:.1} s", self.address, wait.as_secs_f32());
        match std::mem::replace(&mut self.down, true) {
            false => {
                tracing::warn!(broker = %self.address, reason, "the broker is away; it is tried again for ever")
            }
            true => tracing::debug!(broker = %self.address, reason, "the broker is still away"),
        }
        self.door.set_part(PART, Part::Broken(text.into()));
    }

    fn options(&self, transport: Transport) -> MqttOptions {
        let client_id = format!("plugline-{}", self.about.identity.gateway);
        // The library resolves `host:port` and wants this same text as the name in the certificate: without brackets
        // an IPv6 address is good for both.
        let mut options = MqttOptions::new(client_id, &self.address.host, self.address.port);
        let will = LastWill::new(self.topics.name(&Topic::Status), "offline", QoS::AtLeastOnce, true, None);
        let mut network = NetworkOptions::new();
        // A reading is smaller than a segment; waiting for company would cost up to 40 ms.
        network.set_tcp_nodelay(true);
        options
            .set_transport(transport)
            .set_clean_start(true)
            .set_keep_alive(KEEP_ALIVE)
            .set_outgoing_inflight_upper_limit(IN_FLIGHT as u16)
            .set_max_packet_size(Some(PACKET_MAX))
            .set_network_options(network)
            .set_last_will(will);
        if let Some(login) = &self.address.login {
            options.set_credentials(&login.user, &login.password.0);
        }
        options
    }
}

pub(super) type Polled = Result<Event, ConnectionError>;

/// Polls the event loop, and nothing else; its first error is the last thing it tells.
async fn pump(mut event_loop: EventLoop, polled: mpsc::Sender<Polled>) {
    loop {
        let event = event_loop.poll().await;
        let last = event.is_err();
        if polled.send(event).await.is_err() || last {
            return std::future::pending().await;
        }
    }
}
