//! Erases on disk: a segment is written anew without what goes, beside the old one, and takes its name. A crash leaves
//! the old one or the new one, each whole; every record keeps its length and its place, so that a reader in the middle
//! of the file goes on in either.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use super::segment::{HEADER, RECORD_HEAD, Step, Walk, finish_record};
use super::shared::Sealed;
use super::writer::{LogWriter, Written, sync_dir};
use crate::hub::erase::Erase;
use crate::hub::feed::Body;
use crate::record;

/// What a segment is called while it is written anew. What a crash left of it is removed at the next start.
pub(super) const UNFINISHED: &str = "new";

/// An erasure under way: segments are taken one by one, so that what else waits for the disk goes between.
#[derive(Debug)]
pub struct Erasing {
    what: Erase,
    /// Events behind this one stay: they were not there when it was asked for.
    upto: u64,
    pub(super) segments: VecDeque<Arc<Sealed>>,
    /// Readings erased so far.
    erased: u64,
}

impl LogWriter {
    /// Begins to erase among the events up to `upto`: everything goes to disk, and the growing segment is closed, so
    /// that nobody writes to what is written anew.
    ///
    /// # Errors
    /// When the disk fails; nothing is erased.
    pub fn begin_erasing(&mut self, what: Erase, upto: u64) -> io::Result<Erasing> {
        self.sync()?;
        let segments = {
            let mut state = self.shared.lock();
            state.seal();
            state.sealed.iter().filter(|sealed| sealed.segment.first <= upto).cloned().collect()
        };
        self.file = None;
        self.written = Written::default();
        Ok(Erasing { what, upto, segments, erased: 0 })
    }

    /// Erases in the next segment; the count of readings erased when there is none left. What was set aside because it
    /// could not be read goes whole then: nobody can say what it holds.
    ///
    /// # Errors
    /// When the disk fails. What was erased stays erased, and it can be begun anew.
    pub fn erase_on(&mut self, erasing: &mut Erasing) -> io::Result<Option<u64>> {
        let Some(sealed) = erasing.segments.pop_front() else {
            super::forget_aside(&self.dir)?;
            super::forget_bad(&self.dir)?;
            return Ok(Some(erasing.erased));
        };
        let path = &sealed.segment.path;
        let mut bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            // Retention was faster.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let (changed, readings) = blank(&mut bytes, &File::open(path)?, sealed.len, erasing)?;
        if changed {
            replace(path, &bytes)?;
            sync_dir(&self.dir)?;
            self.bytes_written += bytes.len() as u64;
        }
        erasing.erased += readings;
        Ok(None)
    }
}

/// Blanks in the bytes of a segment what goes; whether anything did, and how many readings.
fn blank(bytes: &mut [u8], file: &File, end: u64, erasing: &Erasing) -> io::Result<(bool, u64)> {
    let mut walk = Walk::file(file, HEADER, end);
    let (mut changed, mut readings) = (false, 0);
    loop {
        let (offset, payload) = match walk.step()? {
            Step::Good { offset, payload } => (offset, payload),
            Step::Bad => continue,
            Step::End => return Ok((changed, readings)),
        };
        let looked = record::head_of(payload);
        let wanted = looked.is_some_and(|head| {
            head.seq <= erasing.upto && erasing.what.may_take(head.device, head.unix_ms, head.reading)
        });
        if !wanted {
            continue;
        }
        let left = record::event_of(payload).ok().and_then(|event| erasing.what.applied(&event));
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let place = start.checked_add(RECORD_HEAD + payload.len()).and_then(|end| bytes.get_mut(start..end));
        let (Some(left), Some(place)) = (left, place) else { continue };
        if record::overwrite_event(&left, &mut place[RECORD_HEAD..]) {
            finish_record(place, 0);
            changed = true;
            readings += u64::from(matches!(left.fresh.body, Body::Erased));
        }
    }
}

/// Puts a file in the place of another, all or nothing.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension(UNFINISHED);
    let write = || {
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(true).write(true).mode(0o600).open(&unfinished)?;
        file.write_all_at(bytes, 0)?;
        file.sync_all()?;
        std::fs::rename(&unfinished, path)
    };
    // Half of it would hold what was to go, and room on a full disk.
    write().inspect_err(|_| drop(std::fs::remove_file(&unfinished)))
}
