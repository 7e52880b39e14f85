//! What readers of the feed, callers of commands and askers for the past need, and what tells callers apart, as four
//! traits: the gateway's door implements all, and so can a relay's view of one gateway. Positions and their rules:
//! `protocol-spec/http.md`, Cursors.

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::watch;

use crate::access::{Book, By, Grant};
pub use crate::device::Identity;
use crate::device::{CommandId, Device, DeviceId};
use crate::hub::command::Command;
use crate::hub::days::{Day, DayTotal};
use crate::hub::feed::Event;
use crate::hub::history::{Page, Wanted};
use crate::hub::{Answer, LineHealth, Request};
use crate::json;

/// An event and its JSON, made at the first use and shared by all readers.
#[derive(Debug)]
pub struct Entry {
    /// The event.
    pub event: Event,
    json: OnceLock<Box<str>>,
}

impl Entry {
    /// Wraps an event.
    #[must_use]
    pub fn new(event: Event) -> Self {
        Self { event, json: OnceLock::new() }
    }

    /// The Event object of the contract, on one line.
    pub fn json(&self, identity: &Identity) -> &str {
        self.json.get_or_init(|| json::event(&self.event, identity).into_boxed_str())
    }
}

/// Where the log begins and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// (First kept seq) − 1: the smallest position that can be read from.
    pub oldest: u64,
    /// The last seq, as local readers see it.
    pub head: u64,
    /// The last seq that is synced to disk.
    pub durable: u64,
}

/// Why a position cannot be read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expired {
    /// Below `oldest`: removed by age or size.
    Trimmed,
    /// Of another log.
    EpochChanged,
    /// Above the head.
    Ahead,
}

impl Expired {
    /// The word of the contract.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Trimmed => "trimmed",
            Self::EpochChanged => "epoch_changed",
            Self::Ahead => "ahead",
        }
    }
}

impl Span {
    /// Checks a position of this log.
    ///
    /// # Errors
    /// [`Expired`] when events after it are gone, or it lies ahead.
    pub fn check(self, after: u64) -> Result<(), Expired> {
        match after {
            _ if after < self.oldest => Err(Expired::Trimmed),
            _ if after > self.head => Err(Expired::Ahead),
            _ => Ok(()),
        }
    }
}

/// The log could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the event log could not be read: {0}")]
pub struct ReadBroken(#[from] pub std::io::Error);

/// A feed that can be read from a position, waited for, and searched.
pub trait Source: History + Clone + Send + Sync + 'static {
    /// Whose log it is.
    fn identity(&self) -> &Identity;

    /// Where it begins and ends now.
    fn span(&self) -> Span;

    /// What it takes on disk, where that is known.
    fn bytes(&self) -> Option<u64> {
        None
    }

    /// Up to `limit` entries with a seq above `after`, in order; empty at the head. Holes are those of declared gaps.
    ///
    /// # Errors
    /// [`ReadBroken`] when the disk fails.
    fn since(
        &self,
        after: u64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Arc<Entry>>, ReadBroken>> + Send;

    /// Waits until the head is above `after`. Cancel-safe.
    fn wait(&self, after: u64) -> impl Future<Output = ()> + Send;

    /// Its reader may see this event.
    fn shows(&self, _event: &Event) -> bool {
        true
    }
}

/// What was measured, from the log.
pub trait History: Clone + Send + Sync + 'static {
    /// One page of readings, at most `rows_max` rows.
    ///
    /// # Errors
    /// [`ReadBroken`] when the disk fails.
    fn readings(
        &self,
        wanted: Wanted,
        rows_max: usize,
    ) -> impl Future<Output = Result<Page, ReadBroken>> + Send;

    /// A reading or a total of the device is kept, also when the registry knows it no longer.
    ///
    /// # Errors
    /// [`ReadBroken`] when the disk fails.
    fn remembers(&self, device: &DeviceId) -> impl Future<Output = Result<bool, ReadBroken>> + Send;

    /// What a device consumed on each of the last `days` days, the one of `unix_ms` being the last.
    fn energy(&self, device: &DeviceId, days: u16, unix_ms: i64) -> Energy;
}

/// What was consumed each day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Energy {
    /// By whose midnights.
    pub timezone: Arc<str>,
    /// Days of which something is known, oldest first.
    pub days: Vec<(Day, DayTotal)>,
}

/// What a part of the gateway says of itself for health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// It works; what there is to know about it.
    Good(Arc<str>),
    /// It does not; why, and since when it is tried again.
    Broken(Arc<str>),
}

/// The registry as people see it, and the way to ask for something.
pub trait Commands: Access + Clone + Send + Sync + 'static {
    /// All devices, by id.
    fn devices(&self) -> Vec<Arc<Device>>;

    /// One device.
    fn device(&self, id: &DeviceId) -> Option<Arc<Device>>;

    /// One command, as far as it has come.
    fn command(&self, id: &CommandId) -> Option<Arc<Command>>;

    /// All commands that have not settled.
    fn open_commands(&self) -> Vec<Arc<Command>>;

    /// All lines.
    fn lines(&self) -> Vec<Arc<LineHealth>>;

    /// Named parts: `store`, `broker`, `feed`.
    fn parts(&self) -> Vec<(&'static str, Part)>;

    /// In whose name it asks.
    fn by(&self) -> By {
        By::Gateway
    }

    /// Asks the hub in somebody's name; answers when what changed is on disk.
    fn ask(&self, by: By, request: Request) -> impl Future<Output = Answer> + Send;

    /// Asks in the name of whom it belongs to.
    fn request(&self, request: Request) -> impl Future<Output = Answer> + Send {
        self.ask(self.by(), request)
    }

    /// Waits until a command has another version than `version` (with `None`: until it settled) or `wait` is over;
    /// gives it as it is then. `None` when it is not known.
    fn command_after(
        &self,
        id: &CommandId,
        version: Option<u32>,
        wait: Duration,
    ) -> impl Future<Output = Option<Arc<Command>>> + Send;
}

/// Who may do what.
pub trait Access: Clone + Send + Sync + 'static {
    /// Looks at tokens, sessions, and who changed what.
    fn book<R>(&self, look: impl FnOnce(&Book) -> R) -> R;

    /// A right was used at this time, milliseconds since 1970 UTC. Kept by the minute, soon.
    fn used(&self, grant: &Grant, unix_ms: i64);

    /// Tells of every change of tokens and sessions.
    fn rights(&self) -> watch::Receiver<u64>;
}
