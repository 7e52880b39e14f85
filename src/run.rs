//! The event loop: the one place where clock, disk, ports, edges and hub meet.
//!
//! One task owns the hub. It takes what has happened, drains the hub's outputs in order, and holds back those that
//! wait for the disk. It never waits for a disk, a broker or a reader.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::config::Config;
use crate::device::{Moment, Now};
use crate::disk::{self, Disk, Done};
use crate::door::{self, Door, Envelope, Keeper, Past};
use crate::hub::feed::{Body, Fresh, GapReason, GatewayEvent, Notification};
use crate::hub::{Answer, Effect, Hub, Kept, LineIndex, Output, Persisted, Record, RequestId};
use crate::port::{Port, PortEvent};
use crate::source::Part;
use crate::{http, mqtt};

/// Version and commit, as `--version` and the `gateway` topic show them.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("PLUGLINE_COMMIT"), ")");

/// Chunks from all ports on their way to the loop.
const PORT_QUEUE: usize = 256;

/// Port events handled before other work gets its turn.
const PORT_BURST: usize = 32;

/// Events that wait for a reserved number while the disk hangs. Beyond it the oldest are given up, which a notification tells.
const UNNUMBERED_MAX: usize = 10_000;

/// How often readers' positions go to disk.
const POSITIONS_PERIOD: Duration = Duration::from_secs(5);

/// How long edges may take to say good-bye.
const STOP_MAX: Duration = Duration::from_secs(4);

/// Events read at once from the log while catching up with it at the start.
const REPLAY_PAGE: usize = 4096;

/// Both clocks.
struct Clock {
    start: std::time::Instant,
    /// The commit that this program was built from was made then; a clock before it is wrong for sure.
    committed_unix_ms: i64,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the event loop reads the clock; everybody else is told")]
    fn new() -> Self {
        let committed_unix_s: i64 = env!("PLUGLINE_COMMITTED_UNIX_S").parse().unwrap_or(0);
        Self { start: std::time::Instant::now(), committed_unix_ms: committed_unix_s * 1000 }
    }

    #[expect(clippy::disallowed_methods, reason = "the event loop reads the clock; everybody else is told")]
    fn now(&self) -> Now {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let unix_ms = i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX);
        let synchronised = unix_ms >= self.committed_unix_ms;
        Now { mono: Moment(self.start.elapsed()), unix_ms, synchronised }
    }

    fn instant(&self, moment: Moment) -> Instant {
        Instant::from_std(self.start + moment.0)
    }
}

/// Where a running gateway is reached.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// Its HTTP API.
    pub http: SocketAddr,
    /// Its own broker, or the one that it is told to use, as a URL without secrets.
    pub mqtt: String,
}

/// Runs the gateway until `stop` is over. `ready` is told the addresses once everything listens.
///
/// # Errors
/// When the state folder, a listener or the configuration cannot be used at the start. Later trouble is no error:
/// it is logged, shown in health and retried.
pub async fn run(
    config: Config,
    ready: oneshot::Sender<Addresses>,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let clock = Clock::new();
    let seed = seed()?;
    let now = clock.now();
    let (disk, restored, past, done) = disk::start(&config.store_dir, config.disk, seed, now.unix_ms)
        .with_context(|| format!("the state folder {}", config.store_dir.display()))?;
    for report in &restored.reports {
        tracing::warn!("{report}");
    }
    let identity = restored.identity.clone();
    let lines = config.lines();
    let mut hub = Hub::new(lines.setups, VERSION, u64::from_le_bytes(first_bytes(&seed)));
    let missed = read_since(&past, restored.checkpoint)?;
    let kept = Kept { devices: restored.devices, commands: restored.commands, lines: restored.lines };
    hub.restore(kept, missed, now);
    let (door, keeper) = door::open(identity, restored.head, Box::new(past), restored.positions);
    keeper.raise_ceiling(restored.ceiling);
    let settings = config.mqtt.clone();
    let listener = listen(config.http_listen).await?;
    let http_address = listener.local_addr().context("the HTTP listener")?;
    write_url(&config.store_dir, http_address)?;
    let (stop_edges, stopped) = watch::channel(false);
    let (port_events, ports) = mpsc::channel(PORT_QUEUE);
    let mut this = Loop {
        clock,
        hub,
        keeper,
        disk: Some(disk),
        done,
        ports: Vec::new(),
        port_inbox: ports,
        held: VecDeque::new(),
        on_disk: Persisted(0),
        unnumbered: VecDeque::new(),
        given_up: 0,
        answers: VecDeque::new(),
        last_request: RequestId(0),
    };
    this.begin(restored.gap, &restored.reports, now);
    let mut edges = JoinSet::new();
    edges.spawn(http::serve(listener, door.clone(), http::Settings::default(), stopped.clone()));
    let mqtt = mqtt::start(door.clone(), settings, u64::from_le_bytes(first_bytes(&seed[8..])), stopped).await?;
    let mqtt_address = mqtt.url.clone();
    edges.spawn(mqtt.run());
    for (index, (path, settings)) in lines.ports.into_iter().enumerate() {
        this.ports.push(Port::start(path, settings, LineIndex(index), port_events.clone()));
    }
    drop(port_events);
    // Nobody may be listening; that is their choice.
    let _ = ready.send(Addresses { http: http_address, mqtt: mqtt_address });
    this.turn_until(stop).await;
    tracing::info!("stopping");
    this.stop(stop_edges, edges).await;
    Ok(())
}
