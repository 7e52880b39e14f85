//! Reads the log from a position, beside the writer and off its thread. Changes nothing on disk.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::segment::{Step, Walk};
use super::shared::{Plan, Sealed, Shared};
use crate::device::DeviceId;
use crate::door::Past;
use crate::hub::feed::Event;
use crate::record;

/// Reads what the log holds, written or not. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LogReader(pub(super) Arc<Shared>);

/// Events gathered for one answer.
struct Page<'a> {
    after: u64,
    /// Events that may be looked at.
    left: usize,
    /// Only readings of this device are gathered.
    only: Option<&'a str>,
    events: Vec<Event>,
    damaged: u64,
}

impl<'a> Page<'a> {
    fn new(after: u64, left: usize, only: Option<&'a str>) -> Self {
        Self { after, left, only, events: Vec::new(), damaged: 0 }
    }

    fn full(&self) -> bool {
        self.left == 0
    }

    /// It is known without its body that nobody asks for it; its number, if so.
    fn skips(&self, payload: &[u8]) -> Option<u64> {
        let only = self.only?;
        let head = record::head_of(payload)?;
        (!head.reading || head.device != Some(only)).then_some(head.seq)
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
        self.left -= 1;
        if let Some(seq) = self.skips(payload) {
            self.after = seq;
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

impl LogReader {
    /// What cannot be read is skipped and counted: the rest of its segment if the damage hides where the next
    /// record starts.
    fn gather(&self, page: &mut Page<'_>) -> io::Result<()> {
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
        Ok(())
    }

    /// Records that readers met and could not read, since the start. One may be counted more than once.
    #[must_use]
    pub fn damaged(&self) -> u64 {
        self.0.damaged.load(Ordering::Relaxed)
    }
}

impl Past for LogReader {
    fn read(&self, after: u64, limit: usize) -> io::Result<Vec<Event>> {
        let mut page = Page::new(after, limit, None);
        self.gather(&mut page)?;
        Ok(page.events)
    }

    fn readings(&self, device: &DeviceId, after: u64, look: usize) -> io::Result<(Vec<Event>, u64)> {
        let mut page = Page::new(after, look, Some(device.as_str()));
        self.gather(&mut page)?;
        Ok((page.events, page.after))
    }

    fn before(&self, unix_ms: i64) -> u64 {
        self.0.lock().before(unix_ms)
    }

    fn oldest(&self) -> u64 {
        self.0.lock().oldest()
    }

    fn bytes(&self) -> Option<u64> {
        Some(self.0.lock().bytes())
    }
}
