//! The feed on disk: append-only segments of checksummed records, numbers reserved ahead in durable blocks. Knows
//! nothing of the registry, of sockets or of readers' protocols; a relay can keep its gateways' events with it.
//!
//! Promises, kept at a power cut too:
//! - a number never comes back with other content: numbering goes on above the ceiling that was reserved durably;
//! - what is missing is declared: [`Opened::gap`], again and again until an event above it is in the log;
//! - a clean end leaves no gap: the ceiling is then noted as the last number given.
//!
//! The epoch is new only when it cannot be known which numbers were given: there is no log, its `reserve` file does
//! not read, it holds less than the segments do, or less than the registry remembers (an old copy was put back).
//! Then what was there is set aside as `log.bad-<ms>`. Segments that are gone or shorter than they were are a gap.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::device::Epoch;
use crate::hub::feed::Event;

mod erase;
mod reader;
mod reserve;
mod segment;
mod shared;
mod writer;

pub use erase::Erasing;
pub use reader::LogReader;
use reserve::Reserve;
use segment::{HEADER, Header, Scan};
pub use shared::{NotTaken, TAIL_BYTES_MAX};
use shared::{Sealed, Segment, Shared, State};
pub use writer::LogWriter;
use writer::{Written, sync_dir};

const DAY_MS: i64 = 86_400_000;

/// Limits of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Older events are removed; less than 24 h counts as 24 h.
    pub keep_age: Duration,
    /// A larger log loses its oldest segments.
    pub keep_bytes: u64,
    /// A segment of this size is followed by a new one.
    pub segment_bytes: u64,
    /// Numbers reserved at once, 2 … 1,048,576. After a crash what is left of a block is skipped.
    pub block: u64,
}

impl Default for Options {
    /// A week, 200 MB; segments of 4 MiB (read at start in milliseconds, removed as a whole); blocks of 65,536.
    fn default() -> Self {
        Self {
            keep_age: Duration::from_secs(7 * 86_400),
            keep_bytes: 200_000_000,
            segment_bytes: 4 << 20,
            block: 65_536,
        }
    }
}

/// Takes events at the log's end. Cheap to clone; only one hand gives numbers.
#[derive(Clone, Debug)]
pub struct LogAppender(Arc<Shared>);

impl LogAppender {
    /// Takes an event in memory; readers see it at once, the writer writes it.
    ///
    /// # Errors
    /// [`NotTaken`] when too much waits for the disk already, or the event is too large.
    pub fn append(&self, event: &Event) -> Result<(), NotTaken> {
        self.0.append(event)
    }
}

/// A log, opened.
#[derive(Debug)]
pub struct Opened {
    /// Writes.
    pub writer: LogWriter,
    /// Appends.
    pub appender: LogAppender,
    /// Reads.
    pub reader: LogReader,
    /// The life of this log.
    pub epoch: Epoch,
    /// The last number given or skipped: numbering goes on above it.
    pub head: u64,
    /// What is missing, to be declared by the event `head` + 1: seq > .0 and ≤ .1.
    pub gap: Option<(u64, u64)>,
    /// For a person: what was found damaged and what was done.
    pub reports: Vec<String>,
}

/// Opens the log in `dir`, or makes it with the epoch `fresh`.
///
/// `known` is the highest number that somebody else remembers of the log `epoch`, and `unix_ms` names what is set aside.
///
/// # Errors
/// When the disk fails or the folder cannot be used; damage is no error.
pub fn open(
    dir: &Path,
    options: Options,
    known: Option<(&Epoch, u64)>,
    new: (Epoch, i64),
) -> io::Result<Opened> {
    let (fresh, unix_ms) = new;
    let mut reports = Vec::new();
    make_dir(dir)?;
    let mut found = Found::read(dir, &mut reports)?;
    if let Some(why) = found.lost(known) {
        let aside = set_aside(dir, unix_ms)?;
        let aside = aside.display();
        reports.push(format!(
            "the event log was lost ({why}); a new one starts, what was left of the old one is in {aside}"
        ));
        make_dir(dir)?;
        found = Found::default();
    }
    let mut reserve = match found.reserve {
        Some(reserve) => reserve,
        None => Reserve::create(&dir.join(reserve::FILE_NAME), fresh)?,
    };
    sync_dir(dir)?;
    let (ceiling, synced) = (reserve.slot().ceiling, reserve.slot().synced);
    let last = found.scan.last.unwrap_or(0);
    if last < synced {
        reports
            .push(format!("events {} to {synced} were on disk and are gone; a gap declares them", last + 1));
    }
    let gap = (last < ceiling).then_some((last, ceiling));
    let head = last.max(ceiling);
    // Twice when a slot was unreadable: both must hold before a number is given.
    for _ in 0..2 {
        reserve.raise(head.saturating_add(options.block), last)?;
    }
    let state = State {
        sealed: found.sealed.into(),
        base: if found.active.is_some() { found.scan.good } else { HEADER },
        active: found.active.map(Arc::new),
        marks: found.scan.marks,
        tail: Vec::new(),
        synced: last,
        last,
        clock_unix_ms: None,
        head_at_open: head,
    };
    let epoch = reserve.slot().epoch.clone();
    let shared = Arc::new(Shared::new(state));
    let writer = LogWriter {
        dir: dir.to_owned(),
        options,
        shared: Arc::clone(&shared),
        reserve,
        file: found.file,
        written: Written::default(),
        open_gap: gap.map(|(_, to)| to),
        bytes_written: 0,
    };
    let (appender, reader) = (LogAppender(Arc::clone(&shared)), LogReader(shared));
    Ok(Opened { writer, appender, reader, epoch, head, gap, reports })
}

fn make_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    dir.parent().map_or(Ok(()), sync_dir)
}

/// Moves a folder out of the way; only the newest one is kept.
fn set_aside(dir: &Path, unix_ms: i64) -> io::Result<PathBuf> {
    let aside = dir.with_file_name(format!("{}{unix_ms}", prefix_aside(dir)));
    forget_aside(dir)?;
    std::fs::rename(dir, &aside)?;
    Ok(aside)
}

fn prefix_aside(dir: &Path) -> String {
    format!("{}.bad-", dir.file_name().unwrap_or_default().to_string_lossy())
}

/// Removes what was moved out of the folder's way.
fn forget_aside(dir: &Path) -> io::Result<()> {
    let prefix = prefix_aside(dir);
    for old in std::fs::read_dir(dir.parent().unwrap_or(dir))?.flatten() {
        if old.file_name().to_string_lossy().starts_with(&prefix) {
            std::fs::remove_dir_all(old.path())?;
        }
    }
    Ok(())
}

/// Removes files that were put away.
fn forget_bad(dir: &Path) -> io::Result<()> {
    for file in std::fs::read_dir(dir)?.flatten() {
        if file.path().extension().is_some_and(|extension| extension == BAD) {
            std::fs::remove_file(file.path())?;
        }
    }
    Ok(())
}

/// What stands in the folder.
#[derive(Default)]
struct Found {
    reserve: Option<Reserve>,
    sealed: Vec<Arc<Sealed>>,
    active: Option<Segment>,
    file: Option<File>,
    scan: Scan,
    /// There are segments.
    any: bool,
}

impl Found {
    fn read(dir: &Path, reports: &mut Vec<String>) -> io::Result<Self> {
        let mut found = Self { reserve: Reserve::open(&dir.join(reserve::FILE_NAME))?, ..Self::default() };
        let mut paths: Vec<PathBuf> = std::fs::read_dir(dir)?.flatten().map(|entry| entry.path()).collect();
        let unfinished = |path: &&PathBuf| path.extension().is_some_and(|word| word == erase::UNFINISHED);
        paths.iter().filter(unfinished).try_for_each(std::fs::remove_file)?;
        paths.retain(|path| segment::first_of(path).is_some());
        paths.sort();
        found.any = !paths.is_empty();
        let Some(reserve) = &found.reserve else { return Ok(found) };
        let epoch = reserve.slot().epoch.clone();
        let mut segments = Vec::new();
        for path in paths {
            let file = OpenOptions::new().read(true).write(true).open(&path)?;
            let header = Header::read(&file)?;
            match header
                .filter(|header| header.epoch == epoch && Some(header.first) == segment::first_of(&path))
            {
                Some(Header { first, opened_unix_ms, .. }) => {
                    segments.push((file, Segment { path, first, opened_unix_ms }));
                }
                None => put_away(&path, reports)?,
            }
        }
        // The last one that holds anything grows on; empty ones behind it are what a crash left.
        while let Some((file, segment)) = segments.pop() {
            found.scan = cut(&file, &segment, reports)?;
            if found.scan.last.is_some() {
                (found.file, found.active) = (Some(file), Some(segment));
                break;
            }
            std::fs::remove_file(&segment.path)?;
        }
        for (file, segment) in segments {
            let len = file.metadata()?.len();
            found.sealed.push(Arc::new(Sealed::new(Arc::new(segment), len)));
        }
        Ok(found)
    }

    /// Why it cannot be known which numbers were given, if so.
    fn lost(&self, known: Option<(&Epoch, u64)>) -> Option<String> {
        let Some(slot) = self.reserve.as_ref().map(Reserve::slot) else {
            let remembered = known.is_some().then(|| "its folder is empty".to_owned());
            return self.any.then(|| "its reserve file does not read".to_owned()).or(remembered);
        };
        let last = self.scan.last.unwrap_or(0);
        match known {
            _ if last > slot.ceiling => {
                Some(format!("it holds event {last} but reserved only {}", slot.ceiling))
            }
            Some((epoch, seq)) if *epoch == slot.epoch && seq > slot.ceiling => {
                Some(format!("event {seq} was seen, but this copy reserved only {}", slot.ceiling))
            }
            Some((epoch, _)) if *epoch != slot.epoch => {
                Some(format!("it is of epoch {}, the registry knows {epoch}", slot.epoch))
            }
            _ => None,
        }
    }
}

/// What a file is called that was put away.
const BAD: &str = "bad";

/// A file that is no segment of this log: an opened one whose header never came to disk, or a stranger.
fn put_away(path: &Path, reports: &mut Vec<String>) -> io::Result<()> {
    if std::fs::metadata(path)?.len() <= HEADER {
        return std::fs::remove_file(path);
    }
    reports.push(format!("{} is no segment of this log and was renamed to .bad", path.display()));
    std::fs::rename(path, path.with_extension(BAD))
}

/// Cuts a segment behind its last good record and syncs what is left: it was only read from memory until now.
fn cut(file: &File, segment: &Segment, reports: &mut Vec<String>) -> io::Result<Scan> {
    let len = file.metadata()?.len();
    let scan = segment::scan(file, len)?;
    if scan.good < len {
        let (cut, name) = (len - scan.good, segment.path.display());
        reports.push(format!("{cut} bytes behind the last good record of {name} were cut off"));
        file.set_len(scan.good)?;
    }
    file.sync_all()?;
    Ok(scan)
}

#[cfg(test)]
mod tests;
