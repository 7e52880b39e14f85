//! The thread that runs store and log, so that the event loop never waits for a disk. Decides when to sync, when to
//! try again, and what is told; holds no state of devices or events of its own.
//!
//! ```text
//! loop ── append ──▶ tail in memory (readers see it) ──▶ segment ──▶ synced ── Durable(seq) ──▶ loop
//!      ── keep ────▶ staged ──▶ one transaction, synced ── Kept(ticket), in order ──────────▶ loop
//! ```
//!
//! When the disk does not take events for so long that memory runs out, the following ones are left out of the log
//! until the loop declares the gap: see [`Done::Lost`].

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::access::Book;
use crate::device::{Device, Epoch, GatewayId, LineName};
use crate::door::{Past, Positions};
use crate::hub::command::Command;
use crate::hub::erase::Erase;
use crate::hub::feed::{Body, Event, GapReason, GatewayEvent};
use crate::hub::{Persisted, Record, RequestId};
use crate::log::{self, LogAppender, LogReader, NotTaken};
use crate::record::backup;
use crate::source::{Entry, Identity};
use crate::store::{DayRows, Store, StoreBroken};

mod ballast;
mod restore;
mod worker;

use worker::{Op, Place, Worker};

/// Events after which the thread is woken although it is about to look by itself: a flood must find numbers reserved
/// ahead and room in memory.
const UNWOKEN_MAX: u32 = 4096;

/// How the disk is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Limits of the log.
    pub log: log::Options,
    /// Readings are synced together, this long after the first of them.
    pub sync_interval: Duration,
    /// Readers' positions are kept this often; after a crash they hear at most so much again.
    pub positions_interval: Duration,
    /// Room held for the day when the disk is full; 0 holds none.
    pub ballast_bytes: u64,
}

impl Default for Options {
    /// 5 s for readings; a minute for positions, since each time costs the database a few hundred bytes; 4 MiB of
    /// ballast: the database opens anew with a few segments of 512 KiB, the log with one record.
    fn default() -> Self {
        Self {
            log: log::Options::default(),
            sync_interval: Duration::from_secs(5),
            positions_interval: Duration::from_secs(60),
            ballast_bytes: 4 << 20,
        }
    }
}

/// What the disk held at the start.
#[derive(Clone, Debug)]
pub struct Restored {
    /// Gateway and epoch.
    pub identity: Identity,
    /// Numbering goes on above this.
    pub head: u64,
    /// Numbers up to this may be given.
    pub ceiling: u64,
    /// Missing are seq > .0 and ≤ .1 = `head`: the first event must declare it.
    pub gap: Option<(u64, u64)>,
    /// All devices.
    pub devices: Vec<Arc<Device>>,
    /// All commands, settled ones too.
    pub commands: Vec<Arc<Command>>,
    /// Lines' own records.
    pub lines: Vec<(LineName, Arc<[u8]>)>,
    /// Devices hold everything that the feed says up to this seq; what follows is in the log.
    pub checkpoint: u64,
    /// Readers' positions in this log.
    pub positions: Positions,
    /// Totals of days.
    pub days: DayRows,
    /// Tokens, sessions, and who changed what.
    pub book: Book,
    /// Lines whose record is an older state than it was: their counters go on far above it.
    pub rolled_back: BTreeSet<LineName>,
    /// For a person: what was damaged and what was done about it.
    pub reports: Vec<String>,
}

/// What the disk tells the loop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// The records of this ticket are on disk. In the order of [`Disk::keep`].
    Kept(Persisted),
    /// Events up to this seq are synced.
    Durable(u64),
    /// Numbers up to this may be given.
    Ceiling(u64),
    /// Events above `from` were left out of the log because the disk did not take them. It takes them again: the
    /// next event must be a gap from `from` to the head, reason `storage`; until it comes everything is left out.
    Lost {
        /// The last seq in the log.
        from: u64,
    },
    /// An erasure is over: so many readings are gone, or why not all are.
    Erased(RequestId, Result<u64, String>),
    /// A part does not work; it is tried again. Told once.
    Broken {
        /// `store`, `feed` or `sidecar`.
        part: &'static str,
        /// Why, for people.
        detail: String,
    },
    /// A part works again.
    Mended {
        /// Which.
        part: &'static str,
    },
    /// Something a person should know.
    Notice(String),
}

/// Why the gateway cannot start on this folder.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another gateway runs on it.
    #[error("{} is in use by another gateway; stop that one, or give this one a folder of its own ([store] dir)", .0.display())]
    InUse(PathBuf),
    /// The folder cannot be used.
    #[error("the folder {} cannot be used: {error}", dir.display())]
    Folder {
        /// Which.
        dir: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The registry cannot be used.
    #[error(transparent)]
    Store(#[from] StoreBroken),
}

/// What loop and thread share besides the channel.
#[derive(Debug, Default)]
struct Signals {
    /// Something was appended since the thread looked, or it is about to look by itself.
    awake: AtomicBool,
    /// Something appended must be synced at once.
    urgent: AtomicBool,
    /// The last number given.
    head: AtomicU64,
}

/// The loop's hand on the disk. Nothing here waits, [`Disk::stop`] apart. Dropping it is a crash to what it holds.
#[derive(Debug)]
pub struct Disk {
    ops: Option<Sender<Op>>,
    appender: LogAppender,
    signals: Arc<Signals>,
    /// The last seq before events were left out.
    lost_from: Option<u64>,
    /// Events appended since the thread was last woken.
    unwoken: u32,
    thread: Option<JoinHandle<()>>,
}

/// Everything that [`start`] gives.
#[derive(Debug)]
pub struct Started {
    /// Takes what is to be kept.
    pub disk: Disk,
    /// What was kept.
    pub restored: Restored,
    /// Reads the log.
    pub reader: LogReader,
    /// What the disk tells.
    pub done: mpsc::UnboundedReceiver<Done>,
}

/// Opens what stands in `dir`, or begins there, and starts the thread. `seed` makes new ids, `unix_ms` names what
/// is set aside. Blocks while it reads.
///
/// # Errors
/// [`StartError`]; damage is none.
pub fn start(dir: &Path, options: Options, seed: [u8; 32], unix_ms: i64) -> Result<Started, StartError> {
    let lock = hold(dir)?;
    let mut reports = Vec::new();
    restore::finish(dir, &mut reports)?;
    let (mut store, opened) = match open(dir, options, (&seed, unix_ms), &mut reports) {
        Err(error) if ballast::release(dir) => {
            reports.push(format!("{error}; the ballast file was given up to make room"));
            open(dir, options, (&seed, unix_ms), &mut reports)?
        }
        opened => opened?,
    };
    reports.extend(opened.reports);
    let oldest = opened.reader.oldest();
    if store.contents().meta.epoch.as_ref() != Some(&opened.epoch) {
        store.stage_epoch(opened.epoch.clone(), oldest);
    }
    if let Err(error) = store.commit() {
        reports.push(error.to_string());
    }
    let contents = store.contents();
    let restored = Restored {
        identity: Identity { gateway: contents.meta.gateway.clone(), epoch: opened.epoch },
        head: opened.head,
        ceiling: opened.writer.ceiling(),
        gap: opened.gap,
        devices: contents.devices.values().cloned().collect(),
        commands: contents.commands.values().cloned().collect(),
        lines: contents.lines.iter().map(|(name, bytes)| (name.clone(), Arc::clone(bytes))).collect(),
        checkpoint: contents.meta.checkpoint.clamp(oldest, opened.head.max(oldest)),
        positions: contents.positions.clone(),
        days: contents.days.clone(),
        book: contents.book.clone(),
        rolled_back: contents.meta.resume.clone(),
        reports,
    };
    let signals = Arc::new(Signals::default());
    signals.head.store(opened.head, Ordering::Relaxed);
    let (ops, queue) = std::sync::mpsc::channel();
    let (done_sender, done) = mpsc::unbounded_channel();
    let place = Place { dir: dir.to_owned(), options, unix_ms };
    let worker = Worker::new(place, (queue, done_sender), Arc::clone(&signals), store, opened.writer);
    let work = move || {
        worker.run();
        drop(lock);
    };
    let thread = std::thread::Builder::new().name("disk".to_owned()).spawn(work);
    let thread = thread.map_err(|error| StartError::Folder { dir: dir.to_owned(), error })?;
    let disk = Disk {
        ops: Some(ops),
        appender: opened.appender,
        signals,
        lost_from: None,
        unwoken: 0,
        thread: Some(thread),
    };
    Ok(Started { disk, restored, reader: opened.reader, done })
}

fn open(
    dir: &Path,
    options: Options,
    (seed, unix_ms): (&[u8; 32], i64),
    reports: &mut Vec<String>,
) -> Result<(Store, log::Opened), StartError> {
    let store = Store::open(dir, unix_ms, &new_gateway(seed), reports)?;
    let meta = &store.contents().meta;
    let positions = store.contents().positions.values();
    // What was taken back from a file may speak of an older log; the log itself is believed then.
    let known = positions.copied().chain([meta.checkpoint]).max().unwrap_or(0);
    let known = meta.epoch.as_ref().filter(|_| !store.imported()).map(|epoch| (epoch, known));
    let opened = log::open(&dir.join("log"), options.log, known, (new_epoch(seed), unix_ms));
    let opened = opened.map_err(|error| StartError::Folder { dir: dir.to_owned(), error })?;
    Ok((store, opened))
}

impl Disk {
    /// Keeps records; [`Done::Kept`] follows.
    pub fn keep(&self, ticket: Persisted, records: Vec<Record>) {
        self.send(Op::Keep(Some(ticket), records));
    }

    /// Keeps records of which nobody waits to hear: checkpoints.
    pub fn keep_quietly(&self, records: Vec<Record>) {
        self.send(Op::Keep(None, records));
    }

    /// Puts a numbered event at the log's end, in the order of numbers. Readers of the log see it at once; it is
    /// written and synced at once unless it is a reading, which is written within a quarter of a second.
    pub fn append(&mut self, entry: &Entry) {
        let event = &entry.event;
        self.signals.head.store(event.seq, Ordering::Relaxed);
        if self.lost_from.is_none() || declares_storage_gap(event) {
            match self.appender.append(event) {
                Ok(()) => self.lost_from = None,
                Err(why) => self.lose(event.seq, why),
            }
        }
        // Both after what they tell of, so that the thread finds it.
        let urgent = event.fresh.body.urgent();
        self.signals.urgent.fetch_or(urgent, Ordering::Relaxed);
        let asleep = !self.signals.awake.swap(true, Ordering::AcqRel);
        self.unwoken += 1;
        if asleep || urgent || self.unwoken >= UNWOKEN_MAX {
            self.unwoken = 0;
            self.send(Op::Wake);
        }
    }

    /// Erases among the events up to `upto`; [`Done::Erased`] follows under the same name.
    pub fn erase(&self, id: RequestId, what: Erase, upto: u64) {
        self.send(Op::Erase(id, what, upto));
    }

    /// Hands out the registry as a backup holds it.
    pub fn export(&self, answer: oneshot::Sender<Vec<backup::Entry>>) {
        self.send(Op::Export(answer));
    }

    /// Keeps readers' positions, soon.
    pub fn positions(&self, positions: Positions) {
        self.send(Op::Positions(positions));
    }

    /// Syncs everything, notes a clean end, and waits for the thread: call it where blocking is allowed.
    pub fn stop(mut self) {
        self.send(Op::Stop { complete: self.lost_from.is_none() });
        self.join();
    }

    fn lose(&mut self, seq: u64, why: NotTaken) {
        let from = *self.lost_from.get_or_insert(seq - 1);
        tracing::warn!(?why, from, "events are left out of the log");
        self.send(Op::Lost(from));
    }

    fn send(&self, op: Op) {
        // Without a thread (it panicked) nothing is kept and nothing is ever reported as kept.
        if let Some(ops) = &self.ops {
            let _ = ops.send(op);
        }
    }

    fn join(&mut self) {
        self.ops = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the disk thread ended in a panic");
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.join();
    }
}

fn declares_storage_gap(event: &Event) -> bool {
    matches!(event.fresh.body, Body::Gateway(GatewayEvent::Gap { reason: GapReason::Storage, .. }))
}

/// Makes the folder ours for as long as the file is open; the lock goes with the process.
///
/// # Errors
/// [`StartError::InUse`] while another has it, [`StartError::Folder`] when it cannot be made.
pub fn hold(dir: &Path) -> Result<File, StartError> {
    let folder = |error| StartError::Folder { dir: dir.to_owned(), error };
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(folder)?;
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(dir.join("lock"));
    let file = file.map_err(folder)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StartError::InUse(dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(folder(error)),
    }
}

/// Whether a gateway holds the folder. Makes nothing.
#[must_use]
pub fn is_held(dir: &Path) -> bool {
    let file = OpenOptions::new().write(true).open(dir.join("lock"));
    file.is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

fn letters<const N: usize>(bytes: &[u8], alphabet: [u8; N]) -> String {
    bytes.iter().map(|byte| char::from(alphabet[usize::from(*byte) % N])).collect()
}

fn new_gateway(seed: &[u8; 32]) -> GatewayId {
    let id = format!("gw_{}", letters(&seed[..10], *b"abcdefghijklmnopqrstuvwxyz234567"));
    GatewayId::parse(&id).expect("gw_ and ten letters of base32")
}

fn new_epoch(seed: &[u8; 32]) -> Epoch {
    let id = letters(&seed[10..18], *b"abcdefghijklmnopqrstuvwxyz0123456789");
    Epoch::parse(&id).expect("eight letters and digits")
}

#[cfg(test)]
mod tests;
