//! Writes what happens at a port into a file: a queue that never blocks its port, and a thread behind it.
//!
//! A full file is renamed and a new one begun, so that a recording that runs for weeks holds the last hours.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::PortEvent;
use super::recording::{CHUNK_MAX, Entry, Header, What};
use crate::json;

/// A full file is renamed to `FILE.1`; a busy line at 9600 baud fills it in about half a day.
pub const FILE_BYTES_MAX: u64 = 64 << 20;

/// Entries on their way to the disk; some seconds of a busy line, at most 4 MiB.
const QUEUE: usize = 1024;

/// The port's end of a recording. Dropping it ends the recording.
#[derive(Debug)]
pub struct Tap {
    queue: SyncSender<Entry>,
    /// Entries that the queue had no room for, not yet told in the file.
    missed: Arc<AtomicU64>,
    start: Instant,
}

/// Is over once the tap is gone and everything is in the file.
pub type Written = oneshot::Receiver<()>;

/// Starts recording into `path`; what stood there becomes `path.1`.
///
/// # Errors
/// When the file cannot be made there.
pub fn start(path: &Path, line: &str, dialect: &str, port: &str) -> io::Result<(Tap, Written)> {
    let about = Header { line: line.into(), dialect: dialect.into(), port: port.into(), ..Header::default() };
    start_limited(path, about, FILE_BYTES_MAX)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a recording says when bytes passed the port, not when they were handled"
)]
fn start_limited(path: &Path, about: Header, bytes_max: u64) -> io::Result<(Tap, Written)> {
    let (queue, inbox) = sync_channel(QUEUE);
    let missed = Arc::new(AtomicU64::new(0));
    let (over, written) = oneshot::channel();
    let start = Instant::now();
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let mut writer = Writer {
        path: path.to_owned(),
        about,
        start_unix: since_epoch.unwrap_or_default(),
        bytes_max,
        file: None,
        bytes: 0,
        base: Duration::ZERO,
        open: false,
    };
    writer.begin(Duration::ZERO)?;
    let seen = Arc::clone(&missed);
    std::thread::Builder::new().name("recorder".into()).spawn(move || {
        if let Err(error) = writer.run(&inbox, &seen) {
            tracing::error!(file = %writer.path.display(), "the recording ends here: {error}");
        }
        // Nobody may wait for it.
        let _ = over.send(());
    })?;
    Ok((Tap { queue, missed, start }, written))
}

impl Tap {
    /// Records what the port told.
    pub fn told(&self, event: &PortEvent) {
        match event {
            PortEvent::Open => self.put(What::Open),
            PortEvent::Lost(reason) => self.put(What::Lost(reason.to_string())),
            PortEvent::Bytes(bytes) => self.put_chunks(bytes, What::From),
        }
    }

    /// Records what was written to the port.
    pub fn wrote(&self, bytes: &[u8]) {
        self.put_chunks(bytes, What::To);
    }

    fn put_chunks(&self, bytes: &[u8], what: fn(Vec<u8>) -> What) {
        bytes.chunks(CHUNK_MAX).for_each(|chunk| self.put(what(chunk.to_vec())));
    }

    fn put(&self, what: What) {
        let at = self.start.elapsed();
        let missed = self.missed.swap(0, Ordering::Relaxed);
        let told = missed == 0 || self.send(Entry { at, what: What::Missed(missed) });
        if !told {
            self.missed.fetch_add(missed + 1, Ordering::Relaxed);
        } else if !self.send(Entry { at, what }) {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// `false` when there is no room. A writer that has ended said so.
    fn send(&self, entry: Entry) -> bool {
        !matches!(self.queue.try_send(entry), Err(TrySendError::Full(_)))
    }
}

struct Writer {
    path: PathBuf,
    about: Header,
    start_unix: Duration,
    bytes_max: u64,
    file: Option<BufWriter<File>>,
    /// In the file so far.
    bytes: u64,
    /// Where the file begins, since the start of the recording.
    base: Duration,
    /// The port is open.
    open: bool,
}

impl Writer {
    fn run(&mut self, inbox: &Receiver<Entry>, missed: &AtomicU64) -> io::Result<()> {
        let mut last = Duration::ZERO;
        while let Ok(entry) = inbox.recv() {
            last = entry.at;
            self.put(entry)?;
            while let Ok(entry) = inbox.try_recv() {
                last = entry.at;
                self.put(entry)?;
            }
            self.flush()?;
        }
        let missed = missed.load(Ordering::Relaxed);
        if missed > 0 {
            self.put(Entry { at: last, what: What::Missed(missed) })?;
        }
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }

    fn put(&mut self, entry: Entry) -> io::Result<()> {
        if self.bytes >= self.bytes_max {
            self.flush()?;
            self.begin(entry.at)?;
            if self.open {
                self.write(&Entry { at: entry.at, what: What::Open })?;
            }
        }
        match entry.what {
            What::Open => self.open = true,
            What::Lost(_) => self.open = false,
            _ => {}
        }
        self.write(&entry)
    }

    fn write(&mut self, entry: &Entry) -> io::Result<()> {
        let at = entry.at.saturating_sub(self.base);
        self.write_text(&Entry { at, what: entry.what.clone() }.to_string())
    }

    fn write_text(&mut self, text: &str) -> io::Result<()> {
        self.bytes += text.len() as u64;
        self.file.as_mut().map_or(Ok(()), |file| file.write_all(text.as_bytes()))
    }

    /// A new file that begins `at`; what stands in its place is kept under another name.
    fn begin(&mut self, at: Duration) -> io::Result<()> {
        put_aside(&self.path)?;
        // It holds passwords of meters.
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.path)?;
        self.file = Some(BufWriter::new(file));
        (self.bytes, self.base) = (0, at);
        let unix_ms = i64::try_from((self.start_unix + at).as_millis()).unwrap_or(i64::MAX);
        let header = Header { start: json::time(unix_ms), ..self.about.clone() };
        self.write_text(&header.to_string())?;
        self.flush()
    }
}

fn put_aside(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_file() && found.len() == 0 => std::fs::remove_file(path),
        Ok(found) if found.is_file() => {
            let mut aside = path.as_os_str().to_owned();
            aside.push(".1");
            std::fs::rename(path, aside)
        }
        Ok(_) => Err(io::Error::new(io::ErrorKind::AlreadyExists, "it exists and is no regular file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::super::recording::Parser;
    use super::*;

    fn entries(path: &Path) -> Vec<What> {
        let mut parser = Parser::default();
        let text = std::fs::read_to_string(path).expect("a file");
        let read = text.lines().filter_map(|line| parser.line(line.as_bytes()).expect("a good line"));
        read.map(|entry| entry.what).collect()
    }

    fn about() -> Header {
        Header { line: "a".into(), dialect: "dlt645".into(), port: "/dev/x".into(), ..Header::default() }
    }

    #[test]
    fn a_full_file_is_put_aside_and_the_next_one_stands_by_itself() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("line.txt");
        let (tap, written) = start_limited(&path, about(), 300).expect("started");
        tap.told(&PortEvent::Open);
        for byte in 0..30 {
            tap.wrote(&[byte]);
        }
        drop(tap);
        written.blocking_recv().expect("written");
        let (old, new) = (entries(&path.with_extension("txt.1")), entries(&path));
        assert_eq!((&old[0], &new[0]), (&What::Open, &What::Open));
        assert_eq!(new.last(), Some(&What::To(vec![29])));
        let What::To(before) = old.last().expect("entries") else { panic!("no bytes: {old:?}") };
        assert_eq!(new[1], What::To(vec![before[0] + 1]), "nothing is lost between the files");
    }

    #[test]
    fn what_the_queue_has_no_room_for_is_told_in_its_place() {
        let (queue, inbox) = sync_channel(2);
        #[expect(clippy::disallowed_methods, reason = "a tap has a start")]
        let tap = Tap { queue, missed: Arc::default(), start: Instant::now() };
        for byte in 0..5 {
            tap.wrote(&[byte]);
        }
        let mut got: Vec<What> = inbox.try_iter().map(|entry| entry.what).collect();
        tap.wrote(&[5]);
        got.extend(inbox.try_iter().map(|entry| entry.what));
        assert_eq!(got, [What::To(vec![0]), What::To(vec![1]), What::Missed(3), What::To(vec![5])]);
    }

    #[test]
    fn a_device_file_is_never_put_aside() {
        let error = start_limited(Path::new("/dev/null"), about(), 1).expect_err("no regular file");
        assert!(error.to_string().contains("no regular file"), "{error}");
        assert!(Path::new("/dev/null").exists());
    }
}
