//! Bytes in and out of a port, opened again for ever: a pulled cable is news, never an end.
//!
//! A read of 0 bytes is an unplugged cable or a closed connection. Refuses to know frames and dialects. Errors of
//! opening say the way out. Each kind of port has a file of its own; `recorder.rs` writes down what passes.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::config::Place;
use crate::hub::LineIndex;
use crate::line::SerialSettings;

mod conversation;
pub mod pcap;
pub mod recorder;
pub mod recording;
pub mod replay;
mod serial;
mod tcp;
pub mod watch;

/// First pause before a port is tried again; doubled up to [`BACK_OFF_MAX`].
const BACK_OFF_MIN: Duration = Duration::from_millis(200);

/// Longest pause: somebody who plugs the cable back in does not want to wait.
const BACK_OFF_MAX: Duration = Duration::from_secs(3);

/// A port that stayed open for this long starts again with the shortest pause when it is lost. One that opens and
/// closes by turns is tried ever less often.
const STEADY: Duration = Duration::from_secs(10);

/// A write that makes no progress for this long means that the adapter hangs.
const WRITE_MAX: Duration = Duration::from_secs(5);

/// Bytes taken from the port at once.
const CHUNK: usize = 4096;

/// Orders on their way to a port.
const QUEUE: usize = 64;

/// What a port tells.
#[derive(Debug, PartialEq, Eq)]
pub enum PortEvent {
    /// It is open.
    Open,
    /// These came.
    Bytes(Vec<u8>),
    /// It cannot be opened, or is gone, and why.
    Lost(Arc<str>),
}

/// What a port is told.
#[derive(Debug)]
enum Order {
    Write(Vec<u8>),
    Reopen(SerialSettings),
}

/// Where a port reports to.
#[derive(Debug)]
pub struct Outlet {
    /// Under which name.
    pub line: LineIndex,
    /// To whom.
    pub events: mpsc::Sender<(LineIndex, PortEvent)>,
    /// And into which recording.
    pub tap: Option<recorder::Tap>,
    /// Who looks.
    pub watch: Option<watch::Watch>,
}

impl Outlet {
    /// `false` when nobody listens any more.
    async fn tell(&self, event: PortEvent) -> bool {
        if let Some(tap) = &self.tap {
            tap.told(&event);
        }
        if let Some(watch) = &self.watch {
            watch.told(&event);
        }
        self.events.send((self.line, event)).await.is_ok()
    }

    fn wrote(&self, bytes: &[u8]) {
        if let Some(tap) = &self.tap {
            tap.wrote(bytes);
        }
        if let Some(watch) = &self.watch {
            watch.wrote(bytes);
        }
    }
}

/// The event loop's end of a port. Dropping it closes the port.
#[derive(Debug)]
pub struct Port {
    orders: mpsc::Sender<Order>,
}

impl Port {
    /// Starts a task that keeps the port at `place` open and reports to `outlet`.
    #[must_use]
    pub fn start(place: Place, settings: SerialSettings, outlet: Outlet) -> Self {
        let (orders, inbox) = mpsc::channel(QUEUE);
        match place {
            Place::Replay { file, pace } => {
                tokio::spawn(replay::run(file, pace, outlet, inbox));
            }
            place => {
                tokio::spawn(Task { place, settings, outlet, orders: inbox }.run());
            }
        }
        Self { orders }
    }

    /// Hands bytes to the port. Dropped when it hangs: the line's own timers notice that nobody answers.
    pub fn write(&self, bytes: Vec<u8>) {
        self.order(Order::Write(bytes));
    }

    /// Closes the port and opens it with other settings.
    pub fn reopen(&self, settings: SerialSettings) {
        self.order(Order::Reopen(settings));
    }

    fn order(&self, order: Order) {
        if let Err(refused) = self.orders.try_send(order) {
            tracing::warn!("port does not take orders: {refused}");
        }
    }
}

/// Bytes both ways.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// An open port.
struct Opened {
    stream: Box<dyn Stream>,
    /// What a read of 0 bytes means.
    gone: &'static str,
    /// What the far end said, where it may be for people.
    said: Option<tcp::Said>,
}

struct Task {
    place: Place,
    settings: SerialSettings,
    outlet: Outlet,
    orders: mpsc::Receiver<Order>,
}

/// Why a session with an open port ended.
enum End {
    /// The event loop is gone.
    Stop,
    /// The settings changed.
    Reopen,
    /// The port is gone.
    Lost {
        reason: String,
        /// It had been open for [`STEADY`].
        steady: bool,
    },
}

impl Task {
    async fn run(mut self) {
        let mut pause = BACK_OFF_MIN;
        let mut last_reason = String::new();
        loop {
            let (place, settings) = (self.place.clone(), self.settings);
            let Some(opened) = self.meanwhile(open(&place, settings)).await else { return };
            let reason = match opened {
                Ok(opened) => {
                    last_reason.clear();
                    tracing::info!(port = %self.place, "open");
                    match self.session(opened).await {
                        End::Stop => return,
                        End::Reopen => continue,
                        End::Lost { reason, steady } => {
                            pause = if steady { BACK_OFF_MIN } else { pause };
                            reason
                        }
                    }
                }
                Err(reason) => format!("{}: {reason}", self.place),
            };
            if reason != last_reason {
                tracing::warn!(port = %self.place, "{reason}");
                if !self.outlet.tell(PortEvent::Lost(reason.as_str().into())).await {
                    return;
                }
                last_reason = reason;
            }
            if self.meanwhile(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
            pause = (pause * 2).min(BACK_OFF_MAX);
        }
    }

    /// Waits for something while the port is closed; `None` when the event loop is gone. Bytes meant for a closed port
    /// are dropped: their line knows that it is closed.
    async fn meanwhile<T>(&mut self, something: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(something);
        loop {
            tokio::select! {
                done = &mut something => return Some(done),
                order = self.orders.recv() => match order? {
                    Order::Reopen(settings) => self.settings = settings,
                    Order::Write(_) => {}
                },
            }
        }
    }

    async fn session(&mut self, mut opened: Opened) -> End {
        if !self.outlet.tell(PortEvent::Open).await {
            return End::Stop;
        }
        let mut buffer = [0; CHUNK];
        let mut steady = false;
        let steady_at = tokio::time::sleep(STEADY);
        tokio::pin!(steady_at);
        let reason = loop {
            tokio::select! {
                () = &mut steady_at, if !steady => steady = true,
                read = opened.stream.read(&mut buffer) => match read {
                    Ok(0) => break gone(&opened),
                    Ok(count) => {
                        let bytes = &buffer[..count];
                        opened.said.iter_mut().for_each(|said| said.push(bytes));
                        if !self.outlet.tell(PortEvent::Bytes(bytes.to_vec())).await {
                            return End::Stop;
                        }
                    }
                    Err(error) => break format!("reading failed: {error}"),
                },
                order = self.orders.recv() => match order {
                    None => return End::Stop,
                    Some(Order::Reopen(settings)) => {
                        self.settings = settings;
                        return End::Reopen;
                    }
                    Some(Order::Write(bytes)) => {
                        self.outlet.wrote(&bytes);
                        if let Err(reason) = write(&mut opened, &bytes).await {
                            break reason;
                        }
                    }
                },
            }
        };
        End::Lost { reason, steady }
    }
}

/// Whether a port could be opened now, by doing it for a moment. A device that somebody holds is left alone.
///
/// # Errors
/// One sentence with the way out.
pub async fn probe(place: &Place, settings: SerialSettings) -> Result<(), String> {
    match place {
        Place::Serial(path) => serial::probe(path, settings),
        Place::Tcp { host, port } => tcp::open(host, *port).await.map(drop),
        Place::Replay { file, .. } => std::fs::File::open(file).map(drop).map_err(|error| error.to_string()),
    }
}

async fn open(place: &Place, settings: SerialSettings) -> Result<Opened, String> {
    match place {
        Place::Serial(path) => serial::open(path, settings),
        Place::Tcp { host, port } => tcp::open(host, *port).await,
        Place::Replay { .. } => Err("a recording is no port".into()),
    }
}

async fn write(opened: &mut Opened, bytes: &[u8]) -> Result<(), String> {
    match tokio::time::timeout(WRITE_MAX, opened.stream.write_all(bytes)).await {
        Ok(done) => done.map_err(|error| format!("writing failed: {error}")),
        Err(_) => Err("the adapter takes no bytes".into()),
    }
}

fn gone(opened: &Opened) -> String {
    match opened.said.as_ref().and_then(tcp::Said::text) {
        Some(text) => format!("{} and said: {text}", opened.gone),
        None => opened.gone.into(),
    }
}
