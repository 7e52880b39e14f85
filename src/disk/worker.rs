//! What the disk's thread does, turn by turn. Reads the monotonic clock: its intervals are nobody else's business.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::{Done, Options, Signals, ballast};
use crate::door::Positions;
use crate::hub::erase::Erase;
use crate::hub::{Persisted, Record, RequestId};
use crate::log::{Erasing, LogWriter};
use crate::record::backup::Entry;
use crate::store::Store;

/// Orders taken together: their records share one transaction and one sync.
const BATCH_OPS: usize = 256;

/// Unsynced bytes that are synced before the interval is over: about 20,000 readings, lost at most at a power cut.
const UNSYNCED_BYTES_MAX: usize = 1 << 20;

/// After a write the thread looks again this long later, and until then nobody wakes it for a reading: waking a
/// thread costs more than all else that a reading does. A killed process loses so much at most, which the next start
/// declares.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// The sidecar follows the registry this late, so that a burst of joins writes it once.
const SIDECAR_DELAY: Duration = Duration::from_secs(1);

const BACKOFF_FIRST: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// What the loop asks for.
#[derive(Debug)]
pub(super) enum Op {
    Keep(Option<Persisted>, Vec<Record>),
    Wake,
    Positions(Positions),
    Lost(u64),
    Erase(RequestId, Erase, u64),
    Export(oneshot::Sender<Vec<Entry>>),
    Stop { complete: bool },
}

/// Whether a part works, and when it is tried again if not.
#[derive(Debug)]
struct Trouble {
    part: &'static str,
    retry_at: Option<Instant>,
    backoff: Duration,
}

impl Trouble {
    fn new(part: &'static str) -> Self {
        Self { part, retry_at: None, backoff: BACKOFF_FIRST }
    }

    fn may_try(&self, now: Instant) -> bool {
        self.retry_at.is_none_or(|at| at <= now)
    }

    /// Tells a change from good to bad or back, once.
    fn settle(&mut self, result: Result<(), String>, now: Instant) -> Option<Done> {
        let part = self.part;
        match result {
            Ok(()) if self.retry_at.is_none() => None,
            Ok(()) => {
                tracing::info!(part, "the disk works again");
                *self = Self::new(part);
                Some(Done::Mended { part })
            }
            Err(detail) => {
                let first = self.retry_at.replace(now + self.backoff).is_none();
                self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
                if first {
                    tracing::error!(part, detail, "the disk failed; it is tried again");
                }
                first.then_some(Done::Broken { part, detail })
            }
        }
    }
}

/// Where and how.
pub(super) struct Place {
    pub(super) dir: PathBuf,
    pub(super) options: Options,
    pub(super) unix_ms: i64,
}

pub(super) struct Worker {
    place: Place,
    ops: Receiver<Op>,
    done: UnboundedSender<Done>,
    signals: Arc<Signals>,
    store: Store,
    log: LogWriter,
    /// Staged in the store, to be reported when on disk.
    tickets: Vec<Persisted>,
    positions: Option<Positions>,
    lost: Option<u64>,
    /// Erasures asked for, the first one under way.
    to_erase: VecDeque<(RequestId, Erase, u64)>,
    erasing: Option<Erasing>,
    /// The last seq reported durable.
    durable: u64,
    damaged: u64,
    look_at: Option<Instant>,
    sync_at: Option<Instant>,
    positions_at: Option<Instant>,
    sidecar_at: Option<Instant>,
    feed_trouble: Trouble,
    store_trouble: Trouble,
    sidecar_trouble: Trouble,
}

#[expect(clippy::disallowed_methods, reason = "intervals and back-off of the disk's own thread")]
fn now() -> Instant {
    Instant::now()
}

impl Worker {
    pub(super) fn new(
        place: Place,
        (ops, done): (Receiver<Op>, UnboundedSender<Done>),
        signals: Arc<Signals>,
        store: Store,
        log: LogWriter,
    ) -> Self {
        Self {
            place,
            ops,
            done,
            signals,
            store,
            log,
            tickets: Vec::new(),
            positions: None,
            lost: None,
            to_erase: VecDeque::new(),
            erasing: None,
            durable: 0,
            damaged: 0,
            look_at: None,
            sync_at: None,
            positions_at: None,
            sidecar_at: None,
            feed_trouble: Trouble::new("feed"),
            store_trouble: Trouble::new("store"),
            sidecar_trouble: Trouble::new("sidecar"),
        }
    }

    /// Runs until it is stopped, or its handle is dropped: then nothing more is written, as in a crash.
    pub(super) fn run(mut self) {
        self.turn(now());
        if let Err(error) = ballast::make(&self.place.dir, self.place.options.ballast_bytes) {
            tracing::warn!(%error, "there is no room for the ballast file");
        }
        loop {
            let next = match self.next_deadline() {
                Some(at) => self.ops.recv_timeout(at.saturating_duration_since(now())),
                None => self.ops.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match next {
                Err(RecvTimeoutError::Disconnected) => return,
                Ok(Op::Stop { complete }) => return self.stop(complete),
                Ok(op) => self.take(op),
                Err(RecvTimeoutError::Timeout) => {}
            }
            for _ in 0..BATCH_OPS {
                match self.ops.try_recv() {
                    Ok(Op::Stop { complete }) => return self.stop(complete),
                    Ok(op) => self.take(op),
                    Err(_) => break,
                }
            }
            self.turn(now());
        }
    }

    fn take(&mut self, op: Op) {
        match op {
            Op::Keep(ticket, records) => {
                self.store.stage(records);
                self.tickets.extend(ticket);
            }
            Op::Positions(positions) => {
                self.positions = Some(positions);
                self.positions_at.get_or_insert(now() + self.place.options.positions_interval);
            }
            Op::Lost(from) => self.lost = Some(from),
            Op::Erase(id, what, upto) => self.to_erase.push_back((id, what, upto)),
            // Who asked may have gone.
            Op::Export(answer) => drop(answer.send(self.store.entries())),
            Op::Wake | Op::Stop { .. } => {}
        }
    }

    fn turn(&mut self, now: Instant) {
        if self.feed_trouble.may_try(now) {
            let result = self.feed(now).map_err(|error| error.to_string());
            self.settle(|worker| &mut worker.feed_trouble, result, now);
        }
        if self.positions_at.is_some_and(|at| at <= now) {
            self.stage_positions();
        }
        if self.store_trouble.may_try(now) {
            let result = self.registry();
            self.settle(|worker| &mut worker.store_trouble, result, now);
        }
        self.sidecar(now);
        self.erase();
    }

    /// A step of the erasure under way: a segment at a time, so that what else waits comes between.
    fn erase(&mut self) {
        let Some((id, what, upto)) = self.to_erase.front() else { return };
        let step = match &mut self.erasing {
            Some(erasing) => self.log.erase_on(erasing),
            None => self.log.begin_erasing(what.clone(), *upto).map(|begun| {
                self.erasing = Some(begun);
                None
            }),
        };
        let told = match step {
            Ok(None) => return,
            Ok(Some(erased)) => Ok(erased),
            Err(error) => Err(error.to_string()),
        };
        let done = Done::Erased(*id, told);
        self.erasing = None;
        self.to_erase.pop_front();
        self.tell(done);
    }

    /// Writes what was appended, reserves ahead, syncs what is due.
    fn feed(&mut self, now: Instant) -> std::io::Result<()> {
        self.look_at = self.look_at.filter(|at| *at > now);
        let looking = self.look_at.is_some();
        self.signals.awake.store(looking, Ordering::Release);
        // A full disk still takes this one: its blocks are there.
        let reserved = self.log.reserve_ahead(self.signals.head.load(Ordering::Relaxed));
        let urgent = self.signals.urgent.swap(false, Ordering::Relaxed);
        let before = self.log.bytes_written();
        self.log.write().inspect_err(|_| self.sync_at = Some(now))?;
        if self.log.bytes_written() > before && !looking {
            self.look_at = Some(now + LOOK_AGAIN);
            self.signals.awake.store(true, Ordering::Release);
        }
        let unsynced = self.log.unsynced_bytes();
        if unsynced > 0 {
            let at = *self.sync_at.get_or_insert(now + self.place.options.sync_interval);
            if urgent || at <= now || unsynced > UNSYNCED_BYTES_MAX {
                // Stays due when it fails.
                self.sync_at = Some(now);
                self.sync()?;
            }
        }
        if let Some(ceiling) = reserved? {
            self.tell(Done::Ceiling(ceiling));
        }
        if let Some(from) = self.lost.take() {
            self.tell(Done::Lost { from });
        }
        Ok(())
    }

    fn sync(&mut self) -> std::io::Result<()> {
        let synced = self.log.sync()?;
        self.sync_at = None;
        if synced > self.durable {
            self.durable = synced;
            self.tell(Done::Durable(synced));
        }
        if let Some(told) = self.log.trim() {
            self.tell(Done::Notice(told));
        }
        let damaged = self.log.damaged();
        if damaged > std::mem::replace(&mut self.damaged, damaged) {
            tracing::warn!(damaged, "records of the log do not read; readers skip them");
            self.tell(Done::Notice(format!(
                "records of the event log do not read ({damaged} so far); readers skip them"
            )));
        }
        Ok(())
    }

    fn registry(&mut self) -> Result<(), String> {
        if self.store_trouble.retry_at.is_some() {
            let recovered = self.store.recover(self.place.unix_ms).map_err(|error| error.to_string())?;
            if let Some(told) = recovered {
                tracing::warn!(told);
                self.tell(Done::Notice(told));
            }
        }
        self.store.commit().map_err(|error| error.to_string())?;
        for ticket in std::mem::take(&mut self.tickets) {
            self.tell(Done::Kept(ticket));
        }
        Ok(())
    }

    fn sidecar(&mut self, now: Instant) {
        if !self.store.sidecar_due() || self.store.staged() {
            return;
        }
        let at = *self.sidecar_at.get_or_insert(now + SIDECAR_DELAY);
        if at <= now && self.sidecar_trouble.may_try(now) {
            let result = self.store.write_sidecar().map_err(|error| format!("registry.json: {error}"));
            if result.is_ok() {
                self.sidecar_at = None;
            }
            self.settle(|worker| &mut worker.sidecar_trouble, result, now);
        }
    }

    fn stage_positions(&mut self) {
        self.positions_at = None;
        if let Some(positions) = self.positions.take() {
            self.store.stage_positions(&positions);
        }
    }

    fn settle(&mut self, of: impl Fn(&mut Self) -> &mut Trouble, result: Result<(), String>, now: Instant) {
        let Some(told) = of(self).settle(result, now) else { return };
        if matches!(told, Done::Broken { .. }) && ballast::release(&self.place.dir) {
            tracing::warn!("the ballast file was given up to make room");
        }
        self.tell(told);
    }

    fn tell(&self, done: Done) {
        // Nobody listens any more while stopping.
        let _ = self.done.send(done);
    }

    fn next_deadline(&self) -> Option<Instant> {
        let sidecar = self.sidecar_trouble.retry_at.or(self.sidecar_at).filter(|_| !self.store.staged());
        let all = [
            self.feed_trouble.retry_at.or(self.look_at.into_iter().chain(self.sync_at).min()),
            self.store_trouble.retry_at,
            self.positions_at,
            sidecar,
            self.to_erase.front().map(|_| now()),
        ];
        all.into_iter().flatten().min()
    }

    /// One last try of everything, also of what is in trouble.
    fn stop(mut self, complete: bool) {
        self.stage_positions();
        let kept = self.registry();
        if let Err(error) = &kept {
            tracing::error!(error, "the registry could not be written at the end");
        }
        if kept.is_ok()
            && self.store.sidecar_due()
            && let Err(error) = self.store.write_sidecar()
        {
            tracing::error!(%error, "registry.json could not be written at the end");
        }
        if let Err(error) = self.log.sync().and_then(|synced| {
            self.tell(Done::Durable(synced));
            self.log.close(complete)
        }) {
            tracing::error!(%error, "the event log could not be closed cleanly; the next start declares a gap");
        }
    }
}
