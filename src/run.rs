//! The gateway put together: disk, doors, hub, ports and edges, started in order and stopped in order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

mod event_loop;
mod secrets;
mod web;

use crate::access::TokenText;
use crate::config::{Config, LineConfig};
use crate::device::{Moment, Now};
use crate::disk::{self, Restored, Started};
use crate::door::{self, Door, Past};
use crate::hub::feed::Event;
use crate::hub::{Hub, Kept, LineIndex};
use crate::line::SerialSettings;
use crate::port::recorder::{self, Written};
use crate::port::watch::Watch;
use crate::port::{Outlet, Port, PortEvent};
use crate::upkeep::backup::Export;
use crate::upkeep::{Configuration, Next, Upkeep};
use crate::{http, mqtt};
use event_loop::EventLoop;
use secrets::Secrets;

/// Version and commit, as `--version` and the API show them.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("PLUGLINE_COMMIT"), ")");

/// The commit that this program was built from was made then, milliseconds since 1970 UTC, as far as that is known: a
/// clock before it is wrong for sure. 0 otherwise.
pub const COMMITTED_UNIX_MS: i64 = match i64::from_str_radix(env!("PLUGLINE_COMMITTED_UNIX_S"), 10) {
    Ok(seconds) => seconds * 1000,
    Err(_) => 0,
};

/// The file in the state folder by which the command line finds the gateway; mode 0600.
pub const CLI_FILE: &str = "cli.token";

/// Chunks from all ports on their way to the loop.
const PORT_QUEUE: usize = 256;

/// How long edges may take to say good-bye.
const STOP_MAX: Duration = Duration::from_secs(5);

/// How long the start is held up by a broker that does not listen yet; it is tried again for ever.
const BROKER_WAIT: Duration = Duration::from_secs(3);

/// Events read at once from the log while catching up with it at the start.
const REPLAY_PAGE: usize = 4096;

/// Both clocks.
struct Clock {
    start: std::time::Instant,
    start_unix_ms: i64,
    /// See [`Config::speed`].
    speed: f64,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the event loop reads the clock; everybody else is told")]
    fn new(speed: f64) -> Self {
        let start = std::time::Instant::now();
        Self { start, start_unix_ms: wall_ms(), speed }
    }

    fn now(&self) -> Now {
        let real = self.start.elapsed();
        let (mono, unix_ms) = if self.is_real() {
            (real, wall_ms())
        } else {
            let lived = real.mul_f64(self.speed);
            (lived, self.start_unix_ms + i64::try_from(lived.as_millis()).unwrap_or(i64::MAX))
        };
        Now { mono: Moment(mono), unix_ms, synchronised: unix_ms >= COMMITTED_UNIX_MS }
    }

    fn instant(&self, moment: Moment) -> Instant {
        let real = if self.is_real() { moment.0 } else { moment.0.div_f64(self.speed) };
        Instant::from_std(self.start + real)
    }

    fn is_real(&self) -> bool {
        (self.speed - 1.0).abs() < f64::EPSILON
    }
}

#[expect(clippy::disallowed_methods, reason = "the event loop reads the clock; everybody else is told")]
fn wall_ms() -> i64 {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

/// Where a running gateway is reached.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// Its HTTP API.
    pub http: SocketAddr,
    /// Its broker, or the one that it is told to use, as a URL without secrets.
    pub mqtt: String,
    /// The first token with all rights, where there was none: to be shown this once.
    pub first_token: Option<TokenText>,
}

/// Runs the gateway until `stop` is over. `ready` is told the addresses once everything listens.
///
/// # Errors
/// As [`keep`].
pub async fn run(
    config: Config,
    ready: oneshot::Sender<Addresses>,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    keep(Configuration::made(config.clone()), config, ready, stop).await
}

/// Runs the gateway until `stop` is over, through all restarts that are asked for meanwhile; `config` is what
/// `configuration` reads as now. The port of the HTTP API stays open throughout: who connects while the gateway
/// starts anew waits for it.
///
/// # Errors
/// When the state folder or the HTTP listener cannot be used at a start. Later trouble is no error: it is logged,
/// shown in health and retried.
pub async fn keep(
    configuration: Configuration,
    mut config: Config,
    ready: oneshot::Sender<Addresses>,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let (mut upkeep, mut restarts) = Upkeep::new(configuration);
    config = upkeep.finish_restore(config);
    let mut listener = Some(listen(config.http_listen)?);
    let mut ready = Some(ready);
    tokio::pin!(stop);
    loop {
        upkeep.listen = Some(config.http_listen);
        upkeep.state = Some(config.store_dir.clone());
        let served = listener.as_ref().map(std::net::TcpListener::try_clone).transpose()?;
        let served = served.context("the HTTP listener was let go before the end")?;
        let asked = async {
            tokio::select! {
                // Nobody is to wait for a gateway that does not come back.
                () = &mut stop => {
                    listener = None;
                    None
                }
                next = restarts.recv() => next,
            }
        };
        let (asking, exports) = mpsc::channel(1);
        upkeep.exports = Some(asking);
        let Some(next) = once(&config, (served, &upkeep, exports), ready.take(), asked).await? else {
            return Ok(());
        };
        tracing::info!("starting anew");
        config = next.config;
        listener = next.listener.or(listener);
    }
}

/// One life, from start to end. Gives what ended it.
async fn once(
    config: &Config,
    (listener, upkeep, exports): (std::net::TcpListener, &Upkeep, mpsc::Receiver<Export>),
    ready: Option<oneshot::Sender<Addresses>>,
    end: impl Future<Output = Option<Next>>,
) -> anyhow::Result<Option<Next>> {
    let clock = Clock::new(config.speed);
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).context("the system gives no randomness")?;
    let secrets = Secrets::new()?;
    let listener = served(listener).context("the HTTP listener")?;
    let http = listener.local_addr().context("the HTTP listener")?;
    let started = disk::start(&config.store_dir, disk_options(config), seed, clock.now().unix_ms)
        .with_context(|| format!("state folder {}", config.store_dir.display()))?;
    let web = web::settings(config, http, secrets.tickets)?;
    let (port_events, port_inbox) = mpsc::channel(PORT_QUEUE);
    let (setups, ports): (Vec<_>, Vec<_>) = config.lines.iter().map(|line| line.setup()).unzip();
    let mut hub = Hub::new(setups, VERSION, number(&seed, 0));
    let (mut event_loop, door) = {
        let Started { disk, restored, reader, done } = started;
        let missed = read_since(&reader, restored.checkpoint).context("the event log")?;
        let Restored { identity, head, ceiling, gap, devices, commands, lines, positions, .. } = restored;
        let (days, checkpoint, reports) = (restored.days, restored.checkpoint, restored.reports);
        let (book, resume) = (restored.book, restored.rolled_back);
        let kept = Kept { devices, commands, lines, book: book.clone(), resume };
        hub.restore(kept, missed, clock.now());
        let (door, keeper) = door::open(identity, head, Box::new(reader), positions);
        keeper.open_book(book, Some(secrets.cli.digest()));
        keeper.raise_ceiling(ceiling);
        keeper.restore_days(config.site.clone(), days, checkpoint).context("the event log")?;
        reports.iter().for_each(|report| tracing::warn!("{report}"));
        let mut event_loop = EventLoop::new(clock, hub, keeper, (disk, done), port_inbox);
        event_loop.meters = Arc::clone(&upkeep.meters);
        event_loop.exports = Some(exports);
        event_loop.begin(gap, &reports);
        (event_loop, door)
    };
    let (watches, recordings) = open_ports(config, ports, &mut event_loop, &port_events);
    let web = http::Settings { watches: watches.into(), ..web };
    let (stop_edges, stopped) = watch::channel(false);
    let started_unix_ms = event_loop.clock.now().unix_ms;
    let url = web::url(&web, http);
    let running = Running { stopped, started_unix_ms, seed: number(&seed, 8), upkeep: upkeep.clone(), web };
    secrets::write_cli_file(&config.store_dir, &url, &secrets.cli)?;
    let (mut edges, broker) = start_edges(config, listener, &door, running);
    if let Some(ready) = ready {
        let first = config.shows_first_token.then(|| door.clone());
        tokio::spawn(announce(ready, http, broker, first));
    }
    let mut ended_by = None;
    event_loop.turn_until(async { ended_by = end.await }).await;
    tracing::info!("stopping");
    event_loop.say_stopping();
    stop_edges.send_replace(true);
    event_loop
        .turn_until(async {
            let _ =
                tokio::time::timeout(STOP_MAX, async { while edges.join_next().await.is_some() {} }).await;
        })
        .await;
    let _ = std::fs::remove_file(config.store_dir.join(CLI_FILE));
    tokio::task::spawn_blocking(|| event_loop.close()).await.context("the disk")?;
    for written in recordings {
        // Its thread is over, or hangs on its disk; both are good-byes.
        let _ = tokio::time::timeout(STOP_MAX, written).await;
    }
    Ok(ended_by)
}

/// Opens the lines' ports. Gives who can look at them, and the recordings that are to be waited for.
fn open_ports(
    config: &Config,
    settings: Vec<SerialSettings>,
    event_loop: &mut EventLoop,
    events: &mpsc::Sender<(LineIndex, PortEvent)>,
) -> (Vec<Watch>, Vec<Written>) {
    let (mut recordings, mut watches) = (Vec::new(), Vec::new());
    for (index, (line, settings)) in config.lines.iter().zip(settings).enumerate() {
        let (tap, written) = record(line).unzip();
        let watch = Watch::new(line.name.as_str(), line.dialect.name(), &line.port.to_string());
        watches.push(watch.clone());
        let outlet = Outlet { line: LineIndex(index), events: events.clone(), tap, watch: Some(watch) };
        event_loop.ports.push(Port::start(line.port.clone(), settings, outlet));
        recordings.extend(written);
    }
    (watches, recordings)
}

/// Starts to record a line, if it is to be. A recording that cannot be made stops nothing else.
fn record(line: &LineConfig) -> Option<(recorder::Tap, Written)> {
    let path = line.capture.as_ref()?;
    let started = recorder::start(path, line.name.as_str(), line.dialect.name(), &line.port.to_string());
    match &started {
        Ok(_) => tracing::info!(line = line.name.as_str(), file = %path.display(), "recording"),
        Err(error) => tracing::error!(file = %path.display(), "line {} is not recorded: {error}", line.name),
    }
    started.ok()
}

/// What edges are told of this run.
struct Running {
    stopped: watch::Receiver<bool>,
    started_unix_ms: i64,
    seed: u64,
    upkeep: Upkeep,
    /// What the machine and the configuration say of the HTTP API.
    web: http::Settings,
}

fn start_edges(
    config: &Config,
    listener: TcpListener,
    door: &Door,
    running: Running,
) -> (JoinSet<()>, watch::Receiver<Option<String>>) {
    let (listening, broker) = watch::channel(None);
    let mut edges = JoinSet::new();
    let upkeep = running.upkeep;
    let meters = Arc::clone(&upkeep.meters);
    let settings = http::Settings {
        upkeep,
        version: VERSION.into(),
        started_unix_ms: running.started_unix_ms,
        ..running.web
    };
    edges.spawn(http::serve(listener, door.clone(), settings, running.stopped.clone()));
    let told = mqtt::Told { seed: running.seed, stop: running.stopped, listening, meters };
    edges.spawn(mqtt::run(door.clone(), config.mqtt.clone(), told));
    (edges, broker)
}

async fn announce(
    ready: oneshot::Sender<Addresses>,
    http: SocketAddr,
    mut broker: watch::Receiver<Option<String>>,
    first: Option<Door>,
) {
    let first_token = match first {
        Some(door) => secrets::first_token(&door).await,
        None => None,
    };
    let known = tokio::time::timeout(BROKER_WAIT, broker.wait_for(Option::is_some)).await;
    let mqtt = match known {
        Ok(Ok(url)) => url.clone().unwrap_or_default(),
        _ => String::new(),
    };
    // Nobody may want to know; that is their choice.
    let _ = ready.send(Addresses { http, mqtt, first_token });
}

fn listen(address: SocketAddr) -> anyhow::Result<std::net::TcpListener> {
    std::net::TcpListener::bind(address).with_context(|| {
        format!("http.listen = \"{address}\": cannot listen there; choose another port or end the program that has it")
    })
}

fn served(listener: std::net::TcpListener) -> std::io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

fn disk_options(config: &Config) -> disk::Options {
    let mut options = disk::Options::default();
    options.log.keep_age = Duration::from_secs(u64::from(config.keep_days) * 86_400);
    options.log.keep_bytes = u64::from(config.keep_mb) * 1_000_000;
    options
}

/// Events behind the checkpoint: what the registry on disk does not know yet.
fn read_since(past: &impl Past, checkpoint: u64) -> std::io::Result<Vec<Event>> {
    let mut events: Vec<Event> = Vec::new();
    loop {
        let after = events.last().map_or_else(|| checkpoint.max(past.oldest()), |event| event.seq);
        let mut page = past.read(after, REPLAY_PAGE)?;
        if page.is_empty() {
            return Ok(events);
        }
        events.append(&mut page);
    }
}

/// Eight bytes of the seed as a number.
fn number(seed: &[u8; 32], at: usize) -> u64 {
    seed[at..at + 8].iter().fold(0, |number, byte| (number << 8) | u64::from(*byte))
}
