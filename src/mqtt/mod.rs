//! The MQTT edge: a reader of the feed that keeps the broker's picture of the house, and the way in for commands.
//!
//! Pure files: [`settings`], [`topics`], [`discovery`], [`publish`], [`gone`], [`inbound`], [`requests`], [`window`], [`backoff`],
//! [`tls`], `reason`. I/O: `session`, `link`, `missed` and `transport` (the client, rumqttc), `commands` (their way to the hub),
//! [`broker`] (the embedded one, mqtt5).
//! Spec: `protocol-spec/mqtt.md`.

use std::sync::Arc;

use tokio::sync::watch;

use crate::door::Door;
use crate::source::Part;
use crate::upkeep::Meters;

pub mod backoff;
#[cfg(feature = "broker")]
pub mod broker;
mod commands;
pub mod discovery;
pub mod gone;
pub mod inbound;
mod link;
mod missed;
pub mod publish;
mod reason;
pub mod requests;
mod session;
pub mod settings;
pub mod tls;
pub mod topics;
mod transport;
pub mod window;

pub use settings::{Address, BadAddress, BrokerChoice, ClientFiles, Login, Secret, Settings, Tls};

/// The part of health, and the name of the reader's position.
const PART: &str = "broker";
/// The name under which the position in the feed is kept.
const READER: &str = "mqtt";

/// What the edge is told of this run.
#[derive(Debug)]
pub struct Told {
    /// Spreads the waits.
    pub seed: u64,
    /// Turns true when it is time to stop.
    pub stop: watch::Receiver<bool>,
    /// Where clients find the broker, as a URL without a login; set once it is known.
    pub listening: watch::Sender<Option<String>>,
    /// Where messages are counted.
    pub meters: Arc<Meters>,
}

/// Publishes and takes commands until it is told to stop; then says `offline` (or clears its topics) and disconnects.
/// Never ends because a broker is away: health says why, and it is tried again for ever.
pub async fn run(door: Door, settings: Settings, told: Told) {
    door.set_part(PART, Part::Broken("not connected yet".into()));
    match settings.broker.clone() {
        BrokerChoice::External(address) => {
            told.listening.send_replace(Some(address.url()));
            session::run(&door, &settings, &address, &told).await;
        }
        #[cfg(feature = "broker")]
        BrokerChoice::Embedded { listen, users } => {
            broker::serve(&door, &settings, (listen, &users), told).await;
        }
        #[cfg(not(feature = "broker"))]
        BrokerChoice::Embedded { .. } => {
            let why = "this build has no embedded broker; set `mqtt.broker` to an address";
            door.set_part(PART, Part::Broken(why.into()));
            stopped(&mut told.stop.clone()).await;
        }
    }
}

/// Waits until it is time to stop; whoever drops the other end wants that, too.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
