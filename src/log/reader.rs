//! Reads the log from a position, beside the writer and off its thread. Changes nothing on disk.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::segment::{Step, Walk};
use super::shared::{Plan, Sealed, Shared};
use crate::door::Past;
use crate::hub::feed::Event;
use crate::record;

/// Reads what the log holds, written or not. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LogReader(pub(super) Arc<Shared>);

/// Events gathered for one answer.
struct Page {
    after: u64,
    limit: usize,
    events: Vec<Event>,
    damaged: u64,
}

impl Page {
    fn full(&self) -> bool {
        self.events.len() >= self.limit
    }

    /// Takes what a walk meets until the page is full.
    fn take(&mut self, mut walk: Walk<'_>) -> io::Result<()> {
        while !self.full() {
            match walk.step()? {
                Step::Good { payload, .. } => self.take_record(payload),
                Step::Bad => self.damaged += 1,
                Step::End => break,
            }
        }
        Ok(())
    }

    fn take_record(&mut self, payload: &[u8]) {
        if record::seq_of(payload).is_some_and(|seq| seq <= self.after) {
            return;
        }
        match record::event_of(payload) {
            Ok(event) => {
                self.after = event.seq;
                self.events.push(event);
            }
            Err(_) => self.damaged += 1,
        }
    }

    /// A segment that retention removed meanwhile reads as empty.
    fn take_file(&mut self, segment: &super::shared::Segment, range: impl Range) -> io::Result<()> {
        match File::open(&segment.path) {
            Ok(file) => {
                let (from, end) = range.of(&file, self.after + 1)?;
                self.take(Walk::file(&file, from, end))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Which part of a file is to be walked.
trait Range {
    fn of(&self, file: &File, seq: u64) -> io::Result<(u64, u64)>;
}

impl Range for (u64, u64) {
    fn of(&self, _: &File, _: u64) -> io::Result<(u64, u64)> {
        Ok(*self)
    }
}

impl Range for &Sealed {
    fn of(&self, file: &File, seq: u64) -> io::Result<(u64, u64)> {
        Ok((self.offset_before(seq, file)?, self.len))
    }
}

impl Past for LogReader {
    /// What cannot be read is skipped and counted: the rest of its segment if the damage hides where the next
    /// record starts.
    fn read(&self, after: u64, limit: usize) -> io::Result<Vec<Event>> {
        let mut page = Page { after, limit, events: Vec::new(), damaged: 0 };
        while !page.full() {
            let plan = self.0.lock().plan(page.after);
            let until = match plan {
                Plan::Sealed { sealed, until } => {
                    page.take_file(&sealed.segment, &*sealed)?;
                    until
                }
                Plan::Active { segment, from, end, until } => {
                    page.take_file(&segment, (from, end))?;
                    until
                }
                Plan::Tail(records) => {
                    page.take(Walk::memory(records))?;
                    break;
                }
            };
            if !page.full() {
                page.after = page.after.max(until);
            }
        }
        self.0.damaged.fetch_add(page.damaged, Ordering::Relaxed);
        Ok(page.events)
    }

    fn oldest(&self) -> u64 {
        self.0.lock().oldest()
    }
}

impl LogReader {
    /// Records that readers met and could not read, since the start. One may be counted more than once.
    #[must_use]
    pub fn damaged(&self) -> u64 {
        self.0.damaged.load(Ordering::Relaxed)
    }
}
