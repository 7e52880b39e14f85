//! Writes the tail to segments, syncs it, opens new segments and removes old ones. One thread owns it.
//!
//! After an error nothing is lost: the tail is in memory until it is synced, and the next attempt writes all of it
//! again at the same place (a failed sync may have dropped pages silently).

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::reserve::Reserve;
use super::segment::{self, HEADER, Header};
use super::shared::{Segment, Shared};
use super::{DAY_MS, Options};

/// The one hand that writes the log.
#[derive(Debug)]
pub struct LogWriter {
    pub(super) dir: PathBuf,
    pub(super) options: Options,
    pub(super) shared: Arc<Shared>,
    pub(super) reserve: Reserve,
    /// The active segment's file.
    pub(super) file: Option<File>,
    /// What of the tail was written and not synced.
    pub(super) written: Written,
    /// A gap that must be declared stands open until an event above this seq is in the log.
    pub(super) open_gap: Option<u64>,
    /// Bytes written by this process, for the figures.
    pub(super) bytes_written: u64,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Written {
    bytes: usize,
    upto: u64,
}

impl LogWriter {
    /// Writes what was appended, without a sync: a killed process loses none of it, a power cut may.
    ///
    /// # Errors
    /// When the disk fails; the next call tries all of it again.
    pub fn write(&mut self) -> io::Result<()> {
        let result = self.write_tail();
        if result.is_err() {
            self.written = Written::default();
        }
        result
    }

    /// Writes and syncs what was appended; gives the last seq that is synced.
    ///
    /// # Errors
    /// When the disk fails; the next call tries all of it again.
    pub fn sync(&mut self) -> io::Result<u64> {
        self.write()?;
        self.sync_written()?;
        Ok(self.shared.lock().synced)
    }

    /// Something was appended and is not synced yet.
    #[must_use]
    pub fn unsynced_bytes(&self) -> usize {
        self.shared.lock().tail.len()
    }

    /// The last number that may be given.
    #[must_use]
    pub fn ceiling(&self) -> u64 {
        self.reserve.slot().ceiling
    }

    /// Reserves another block when less than half of one is left above `head`; gives the new ceiling.
    ///
    /// # Errors
    /// When the disk fails; the old ceiling holds.
    pub fn reserve_ahead(&mut self, head: u64) -> io::Result<Option<u64>> {
        if self.ceiling().saturating_sub(head) >= self.options.block / 2 {
            return Ok(None);
        }
        let synced = self.shared.lock().synced;
        self.reserve.raise(head.saturating_add(self.options.block), synced)?;
        self.bytes_written += 41;
        Ok(Some(self.ceiling()))
    }

    /// Syncs everything and notes that no number above the last one was given, so that the next start finds no gap.
    /// The note is left out when `complete` is false (events were refused) or a gap was never declared.
    ///
    /// # Errors
    /// When the disk fails; the next start declares a gap.
    pub fn close(mut self, complete: bool) -> io::Result<()> {
        let last = self.sync()?;
        if !complete || self.open_gap.is_some_and(|to| last <= to) {
            return Ok(());
        }
        self.reserve.raise(last, last)
    }

    /// Removes segments beyond the limits; says when that hurts.
    ///
    /// Age comes first: a segment goes when its newest event is older than the limit. Bytes come next: the oldest
    /// goes while the log is too large, but nothing younger than a day. Above twice the limit the bytes win over
    /// the day, and it is told.
    pub fn trim(&mut self) -> Option<String> {
        let mut told = None;
        while let Some((gone, hurts)) = self.take_removable() {
            if let Err(error) = std::fs::remove_file(&gone.path) {
                tracing::warn!(path = %gone.path.display(), %error, "a segment of the log could not be removed");
            }
            if hurts {
                told = Some(format!(
                    "the event log reached twice its limit of {} bytes; events up to {} less than a day old were removed",
                    self.options.keep_bytes, gone.first
                ));
            }
        }
        told
    }

    /// Records that readers met and could not read.
    #[must_use]
    pub fn damaged(&self) -> u64 {
        self.shared.damaged.load(Ordering::Relaxed)
    }

    /// Bytes that this process has written to the log.
    #[must_use]
    pub fn bytes_written(&self) -> u64 {
        self.bytes_written
    }

    fn take_removable(&self) -> Option<(Arc<Segment>, bool)> {
        let mut state = self.shared.lock();
        let total: u64 = state.sealed.iter().map(|sealed| sealed.len).sum::<u64>() + state.base;
        // Its newest event is older than the opening of the next segment.
        let next = state.sealed.get(1).map(|next| &next.segment).or(state.active.as_ref());
        let ended = next.and_then(|next| next.opened_unix_ms);
        let age_ms = ended.zip(state.clock_unix_ms).map(|(ended, now)| now.saturating_sub(ended));
        let keep_ms = i64::try_from(self.options.keep_age.as_millis()).unwrap_or(i64::MAX).max(DAY_MS);
        let older = |limit| age_ms.is_some_and(|age| age > limit);
        let due = older(keep_ms) || total > self.options.keep_bytes && older(DAY_MS);
        let hurts = !due && total > self.options.keep_bytes.saturating_mul(2);
        if !due && !hurts {
            return None;
        }
        state.sealed.pop_front().map(|sealed| (Arc::clone(&sealed.segment), hurts))
    }

    fn write_tail(&mut self) -> io::Result<()> {
        if self.roll_is_due() {
            self.sync_written()?;
            self.roll()?;
        }
        let (chunk, at, upto) = {
            let state = self.shared.lock();
            let chunk = state.tail[self.written.bytes..].to_vec();
            (chunk, state.base + self.written.bytes as u64, state.last)
        };
        let Some(file) = self.file.as_ref().filter(|_| !chunk.is_empty()) else { return Ok(()) };
        file.write_all_at(&chunk, at)?;
        self.bytes_written += chunk.len() as u64;
        self.written = Written { bytes: self.written.bytes + chunk.len(), upto };
        Ok(())
    }

    fn sync_written(&mut self) -> io::Result<()> {
        let written = std::mem::take(&mut self.written);
        if let Some(file) = self.file.as_ref().filter(|_| written.bytes > 0) {
            file.sync_data()?;
            self.shared.lock().settle(written.bytes, written.upto);
        }
        Ok(())
    }

    /// There is something to write that no longer belongs to the active segment: none is open, it is full, or it is
    /// a day old, so that retention by age works in a quiet house too.
    fn roll_is_due(&self) -> bool {
        let state = self.shared.lock();
        if state.tail.len() == self.written.bytes {
            return false;
        }
        let opened = state.active.as_ref().and_then(|active| active.opened_unix_ms);
        let age_ms = opened.zip(state.clock_unix_ms).map(|(opened, now)| now.saturating_sub(opened));
        let full = state.base + self.written.bytes as u64 >= self.options.segment_bytes;
        self.file.is_none() || full || age_ms.is_some_and(|age| age > DAY_MS)
    }

    fn roll(&mut self) -> io::Result<()> {
        let header = {
            let state = self.shared.lock();
            let first = state.tail.get(segment::RECORD_HEAD..).and_then(crate::record::seq_of);
            let Some(first) = first else { return Ok(()) };
            Header { epoch: self.reserve.slot().epoch.clone(), first, opened_unix_ms: state.clock_unix_ms }
        };
        let path = self.dir.join(segment::file_name(header.first));
        let file = create(&path, &header.bytes())?;
        sync_dir(&self.dir)?;
        self.bytes_written += HEADER;
        self.file = Some(file);
        let next = Segment { path, first: header.first, opened_unix_ms: header.opened_unix_ms };
        self.shared.lock().roll(next);
        Ok(())
    }
}

fn create(path: &Path, header: &[u8]) -> io::Result<File> {
    let file =
        OpenOptions::new().create(true).truncate(true).read(true).write(true).mode(0o600).open(path)?;
    file.write_all_at(header, 0)?;
    file.sync_all()?;
    Ok(file)
}

/// Makes names in a folder durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
