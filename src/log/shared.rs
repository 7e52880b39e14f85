//! What writer, appender and readers of one log share: the list of segments, and in memory the tail that is not
//! synced yet. Readers never look at unsynced bytes of a file, so the writer may write those again after an error.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::segment::{self, HEADER, Mark, RECORD_HEAD};
use crate::hub::feed::Event;
use crate::record;

/// Bytes in memory that wait for a disk that does not take them: 8 MiB are about 150,000 readings. Beyond that
/// events are refused and become a declared gap.
pub const TAIL_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Bytes of the tail that a reader copies at once; holds the largest record behind a mark's reach.
const TAIL_COPY: usize = 512 * 1024;

/// A segment on disk. Only the last one grows.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    /// Every seq in it is at least this, and every one before it smaller.
    pub(super) first: u64,
    pub(super) opened_unix_ms: Option<i64>,
}

/// A segment that no longer grows.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) segment: Arc<Segment>,
    pub(super) len: u64,
    marks: OnceLock<Vec<Mark>>,
}

impl Sealed {
    pub(super) fn new(segment: Arc<Segment>, len: u64) -> Self {
        Self { segment, len, marks: OnceLock::new() }
    }

    /// Offset from which to walk for `seq`; the first call reads the whole file once.
    pub(super) fn offset_before(&self, seq: u64, file: &File) -> io::Result<u64> {
        if let Some(marks) = self.marks.get() {
            return Ok(segment::offset_before(marks, seq));
        }
        let marks = segment::marks_of(file, self.len)?;
        Ok(segment::offset_before(self.marks.get_or_init(|| marks), seq))
    }
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) sealed: VecDeque<Arc<Sealed>>,
    /// The segment that grows; `None` before the first write.
    pub(super) active: Option<Arc<Segment>>,
    /// Synced bytes of the active segment, header included: where the tail starts.
    pub(super) base: u64,
    /// Marks of the active segment and of the tail behind it.
    pub(super) marks: Vec<Mark>,
    /// Whole records that are not synced.
    pub(super) tail: Vec<u8>,
    /// The last seq in the files, synced.
    pub(super) synced: u64,
    /// The last seq of all.
    pub(super) last: u64,
    /// Wall clock of the newest event that came at its time from a synchronised clock.
    pub(super) clock_unix_ms: Option<i64>,
    /// The oldest position that can be read from while there is no segment.
    pub(super) head_at_open: u64,
}

#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Records that readers could not read.
    pub(super) damaged: AtomicU64,
}

/// Why an event was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// [`TAIL_BYTES_MAX`] bytes already wait for the disk.
    Full,
    /// It is larger than any event may be.
    TooLarge,
}

impl Shared {
    pub(super) fn new(state: State) -> Self {
        Self { state: Mutex::new(state), damaged: AtomicU64::new(0) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // Every change below leaves the state whole before anything that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an event at the tail.
    pub(super) fn append(&self, event: &Event) -> Result<(), NotTaken> {
        let mut state = self.lock();
        let start = state.tail.len();
        if start >= TAIL_BYTES_MAX {
            return Err(NotTaken::Full);
        }
        debug_assert!(event.seq > state.last, "seq {} after {}", event.seq, state.last);
        state.tail.extend([0; RECORD_HEAD]);
        record::append_event(event, &mut state.tail);
        if state.tail.len() - start - RECORD_HEAD > segment::PAYLOAD_MAX {
            state.tail.truncate(start);
            return Err(NotTaken::TooLarge);
        }
        segment::finish_record(&mut state.tail, start);
        let offset = state.base + start as u64;
        segment::mark(&mut state.marks, event.seq, offset);
        state.last = event.seq;
        if !event.fresh.late && !event.fresh.t_estimated {
            state.clock_unix_ms = Some(event.fresh.unix_ms);
        }
        Ok(())
    }
}

/// Where to read next, and what everything up to `until` was read after that.
pub(super) enum Plan {
    Sealed { sealed: Arc<Sealed>, until: u64 },
    Active { segment: Arc<Segment>, from: u64, end: u64, until: u64 },
    Tail(Vec<u8>),
}

impl State {
    pub(super) fn plan(&self, after: u64) -> Plan {
        let wanted = after.saturating_add(1);
        if after >= self.synced {
            return Plan::Tail(self.tail_from(wanted));
        }
        let index = self.sealed.partition_point(|sealed| sealed.segment.first <= wanted).saturating_sub(1);
        let active = self.active.as_ref();
        match (self.sealed.get(index), active) {
            (Some(sealed), active) if active.is_none_or(|active| active.first > wanted) => {
                let next = self.sealed.get(index + 1).map(|next| next.segment.first);
                let next = next.or(active.map(|active| active.first));
                Plan::Sealed {
                    sealed: Arc::clone(sealed),
                    until: next.map_or(self.synced, |next| next - 1).max(after),
                }
            }
            (_, Some(active)) => Plan::Active {
                segment: Arc::clone(active),
                from: segment::offset_before(&self.marks, wanted).min(self.base),
                end: self.base,
                until: self.synced,
            },
            (_, None) => Plan::Tail(self.tail_from(wanted)),
        }
    }

    fn tail_from(&self, seq: u64) -> Vec<u8> {
        let offset = segment::offset_before(&self.marks, seq).max(self.base) - self.base;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(self.tail.len());
        self.tail[from..self.tail.len().min(from + TAIL_COPY)].to_vec()
    }

    /// (First kept seq) − 1.
    pub(super) fn oldest(&self) -> u64 {
        let first = self.sealed.front().map(|sealed| sealed.segment.first);
        let first = first.or(self.active.as_ref().map(|active| active.first));
        first.map_or(self.head_at_open, |first| first - 1)
    }

    /// A position before everything that was measured at `unix_ms` or later: nothing is noted before its time, so
    /// segments that were closed before it hold nothing of it.
    pub(super) fn before(&self, unix_ms: i64) -> u64 {
        let active = self.active.as_ref();
        let opened = self.sealed.iter().map(|sealed| &sealed.segment).chain(active);
        let closed = opened.clone().skip(1).map(|next| (next.first, next.opened_unix_ms));
        let earlier = closed.take_while(|(_, at)| at.is_some_and(|at| at < unix_ms));
        earlier.last().map_or_else(|| self.oldest(), |(first, _)| first - 1)
    }

    /// What is on disk, headers included.
    pub(super) fn bytes(&self) -> u64 {
        let sealed: u64 = self.sealed.iter().map(|sealed| sealed.len).sum();
        sealed + self.active.as_ref().map_or(0, |_| self.base)
    }

    /// The grown part of the active segment was synced: its first `bytes` leave the tail.
    pub(super) fn settle(&mut self, bytes: usize, upto: u64) {
        self.tail.drain(..bytes);
        self.tail.shrink_to(64 * 1024);
        self.base += bytes as u64;
        self.synced = upto;
    }

    /// What follows goes to `next`; the segment before it is sealed.
    pub(super) fn roll(&mut self, next: Segment) {
        self.seal();
        self.active = Some(Arc::new(next));
    }

    /// The growing segment, if there is one, grows no more.
    pub(super) fn seal(&mut self) {
        let Some(old) = self.active.take() else { return };
        let (base, header) = (self.base, HEADER);
        let split = self.marks.partition_point(|mark| mark.offset < base);
        let mut moved = self.marks.split_off(split);
        moved.iter_mut().for_each(|mark| mark.offset = mark.offset - base + header);
        let old_marks = std::mem::replace(&mut self.marks, moved);
        self.base = header;
        let sealed = Sealed::new(old, base);
        let _ = sealed.marks.set(old_marks);
        self.sealed.push_back(Arc::new(sealed));
    }
}
