//! Bytes in and out of a serial port, opened again for ever: a pulled cable is news, never an end.
//!
//! A read of 0 bytes is an unplugged cable. Refuses to know frames and dialects. Errors of opening say the way out.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_serial::{SerialPortBuilderExt, SerialStream};

use crate::hub::LineIndex;
use crate::line::{Parity, SerialSettings};

/// First pause before a port is tried again; doubled up to [`BACK_OFF_MAX`].
const BACK_OFF_MIN: Duration = Duration::from_millis(200);

/// Longest pause: somebody who plugs the cable back in does not want to wait.
const BACK_OFF_MAX: Duration = Duration::from_secs(3);

/// A write that makes no progress for this long means that the adapter hangs.
const WRITE_MAX: Duration = Duration::from_secs(5);

/// Bytes taken from the port at once.
const CHUNK: usize = 4096;

/// Orders and chunks on their way between a port and the event loop.
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

/// The event loop's end of a port. Dropping it closes the port.
#[derive(Debug)]
pub struct Port {
    orders: mpsc::Sender<Order>,
}

impl Port {
    /// Starts a task that keeps `path` open and reports to `events` under `line`.
    #[must_use]
    pub fn start(
        path: Arc<str>,
        settings: SerialSettings,
        line: LineIndex,
        events: mpsc::Sender<(LineIndex, PortEvent)>,
    ) -> Self {
        let (orders, inbox) = mpsc::channel(QUEUE);
        tokio::spawn(Task { path, settings, line, events, orders: inbox }.run());
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

/// The path of a port's device file: `/dev/serial/by-id/…`.
type PortPath = Arc<str>;

struct Task {
    path: PortPath,
    settings: SerialSettings,
    line: LineIndex,
    events: mpsc::Sender<(LineIndex, PortEvent)>,
    orders: mpsc::Receiver<Order>,
}

/// Why a session with an open port ended.
enum End {
    /// The event loop is gone.
    Stop,
    /// The settings changed.
    Reopen,
    /// The port is gone.
    Lost(String),
}

impl Task {
    async fn run(mut self) {
        let mut pause = BACK_OFF_MIN;
        let mut last_reason = String::new();
        loop {
            let reason = match open(&self.path, self.settings) {
                Ok(stream) => {
                    pause = BACK_OFF_MIN;
                    last_reason.clear();
                    tracing::info!(port = %self.path, "open");
                    match self.session(stream).await {
                        End::Stop => return,
                        End::Reopen => continue,
                        End::Lost(reason) => reason,
                    }
                }
                Err(error) => explain(&self.path, &error),
            };
            if reason != last_reason {
                tracing::warn!(port = %self.path, "{reason}");
                if !self.tell(PortEvent::Lost(reason.as_str().into())).await {
                    return;
                }
                last_reason = reason;
            }
            if !self.rest(pause).await {
                return;
            }
            pause = (pause * 2).min(BACK_OFF_MAX);
        }
    }

    async fn tell(&self, event: PortEvent) -> bool {
        self.events.send((self.line, event)).await.is_ok()
    }

    /// Waits before the next try. Bytes meant for a closed port are dropped: their line knows that it is closed.
    async fn rest(&mut self, pause: Duration) -> bool {
        let end = tokio::time::sleep(pause);
        tokio::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => return true,
                order = self.orders.recv() => match order {
                    None => return false,
                    Some(Order::Reopen(settings)) => self.settings = settings,
                    Some(Order::Write(_)) => {}
                },
            }
        }
    }

    async fn session(&mut self, mut stream: SerialStream) -> End {
        if !self.tell(PortEvent::Open).await {
            return End::Stop;
        }
        let mut buffer = [0; CHUNK];
        loop {
            tokio::select! {
                read = stream.read(&mut buffer) => match read {
                    Ok(0) => return End::Lost("the cable was pulled (end of input)".into()),
                    Ok(count) => {
                        if !self.tell(PortEvent::Bytes(buffer[..count].to_vec())).await {
                            return End::Stop;
                        }
                    }
                    Err(error) => return End::Lost(format!("reading failed: {error}")),
                },
                order = self.orders.recv() => match order {
                    None => return End::Stop,
                    Some(Order::Reopen(settings)) => {
                        self.settings = settings;
                        return End::Reopen;
                    }
                    Some(Order::Write(bytes)) => {
                        match tokio::time::timeout(WRITE_MAX, stream.write_all(&bytes)).await {
                            Ok(Ok(())) => {}
                            Ok(Err(error)) => return End::Lost(format!("writing failed: {error}")),
                            Err(_) => return End::Lost("the adapter takes no bytes".into()),
                        }
                    }
                },
            }
        }
    }
}

fn open(path: &str, settings: SerialSettings) -> Result<SerialStream, tokio_serial::Error> {
    let parity = match settings.parity {
        Parity::None => tokio_serial::Parity::None,
        Parity::Even => tokio_serial::Parity::Even,
    };
    tokio_serial::new(path, settings.baud).parity(parity).open_native_async()
}

/// What went wrong with a port, and the way out.
fn explain(path: &str, error: &tokio_serial::Error) -> String {
    let kind = match error.kind() {
        tokio_serial::ErrorKind::Io(kind) => kind,
        // What the library says of a port that another program has locked.
        tokio_serial::ErrorKind::NoDevice => io::ErrorKind::ResourceBusy,
        _ => io::ErrorKind::Other,
    };
    let text = error.to_string();
    if kind == io::ErrorKind::NotFound || !Path::new(path).exists() {
        return format!("{path}: no such port; {}", existing_ports());
    }
    if kind == io::ErrorKind::PermissionDenied {
        return format!(
            "{path}: permission denied; add the user to the `dialout` group (sudo usermod -aG dialout $USER) and log in again"
        );
    }
    if kind == io::ErrorKind::ResourceBusy {
        return format!("{path}: in use{}", holders(path));
    }
    if text.contains("typewriter") || text.contains("ioctl") {
        return format!("{path}: not a serial port");
    }
    format!("{path}: {text}")
}

fn existing_ports() -> String {
    let by_id = names_in("/dev/serial/by-id", "");
    let plain = ["ttyUSB", "ttyACM", "ttyAMA"].iter().flat_map(|prefix| names_in("/dev", prefix));
    let ports: Vec<String> = by_id.into_iter().chain(plain).collect();
    if ports.is_empty() {
        return "no serial adapter is plugged in".into();
    }
    format!("there are: {}", ports.join(", "))
}

fn names_in(folder: &str, prefix: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut paths: Vec<String> =
        names.filter(|name| name.starts_with(prefix)).map(|name| format!("{folder}/{name}")).collect();
    paths.sort();
    paths
}

/// Who holds a port open, as far as `/proc` shows it to us.
fn holders(path: &str) -> String {
    let Ok(device) = std::fs::canonicalize(path) else { return String::new() };
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let holding = processes.filter_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let files = std::fs::read_dir(process.path().join("fd")).ok()?;
        let held = files.flatten().any(|file| std::fs::read_link(file.path()).is_ok_and(|to| to == device));
        let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
        (held && pid != std::process::id()).then(|| (pid, name.trim().to_owned()))
    });
    let mut text = String::new();
    for (pid, name) in holding {
        text += &format!(" by {name} (pid {pid})");
        if name == "ModemManager" {
            text += "; tell ModemManager to leave it alone with a udev rule: ENV{ID_MM_DEVICE_IGNORE}=\"1\"";
        }
    }
    if text.is_empty() { " by another program".into() } else { text }
}
