//! A recording in place of a port: opens, delivers what came from the line, and is lost at the end.
//!
//! What comes when is `conversation.rs`'s; this file has the clock. A thread reads the recording, so that a slow disk
//! holds up nothing else.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::conversation::Conversation;
use super::recording::{Entry, Header, LINE_MAX, Parser, What};
use super::{Order, Outlet, PortEvent};
use crate::config::Pace;

/// What the port says at last.
pub const ENDED: &str = "the recording ended";

/// Entries on their way from the file.
const AHEAD: usize = 64;

/// The entries of a recording, in order.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    parser: Parser,
    /// Nothing comes any more: the end, or something wrong.
    over: bool,
}

impl Reader<BufReader<File>> {
    /// Opens a recording.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self::new(BufReader::new(File::open(path)?)))
    }
}

impl<R: BufRead> Reader<R> {
    /// Reads a recording from anywhere.
    pub fn new(input: R) -> Self {
        Self { input, parser: Parser::default(), over: false }
    }

    /// The header, once an entry was read or the end reached.
    pub fn header(&self) -> Option<&Header> {
        self.parser.header()
    }

    fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        let wrong = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
        let mut line = Vec::new();
        loop {
            line.clear();
            (&mut self.input).take(LINE_MAX as u64 + 2).read_until(b'\n', &mut line)?;
            if line.len() > LINE_MAX + 1 {
                return Err(wrong(format!("a line is longer than {LINE_MAX} bytes")));
            }
            // A last line without its end: the writer was killed within it.
            let cut = line.pop_if(|last| *last == b'\n').is_none();
            if cut && self.header().is_some() {
                return Ok(None);
            }
            if cut && line.is_empty() {
                return Err(wrong("it ends before its header does".into()));
            }
            let read = self.parser.line(&line).map_err(|bad| wrong(bad.to_string()))?;
            if read.is_some() {
                return Ok(read);
            }
        }
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let next = self.next_entry().transpose();
        self.over = !matches!(next, Some(Ok(_)));
        next
    }
}

/// Plays a recording to `outlet`; ends when nobody listens any more.
pub(super) async fn run(file: PathBuf, pace: Pace, outlet: Outlet, orders: mpsc::Receiver<Order>) {
    tracing::info!(file = %file.display(), "replaying");
    let player = Player {
        pace,
        outlet,
        orders,
        start: Instant::now(),
        open: false,
        conversation: Conversation::new(pace == Pace::Fast),
        coming: BTreeMap::new(),
        given: 0,
        error: None,
    };
    let Some(mut player) = player.play(read_ahead(file.clone())).await else { return };
    let ended = player.error.take();
    let reason = ended.map_or_else(|| ENDED.to_owned(), |error| format!("{}: {error}", file.display()));
    tracing::warn!("{reason}");
    if !player.outlet.tell(PortEvent::Lost(reason.as_str().into())).await {
        return;
    }
    while player.orders.recv().await.is_some() {}
}

fn read_ahead(file: PathBuf) -> mpsc::Receiver<io::Result<Entry>> {
    let (sender, entries) = mpsc::channel(AHEAD);
    let read = move || {
        let reader = match Reader::open(&file) {
            Ok(reader) => reader,
            Err(error) => return drop(sender.blocking_send(Err(error))),
        };
        for entry in reader {
            if sender.blocking_send(entry).is_err() {
                return;
            }
        }
    };
    if let Err(error) = std::thread::Builder::new().name("replay".into()).spawn(read) {
        tracing::error!("no thread for the recording: {error}");
    }
    entries
}

struct Player {
    pace: Pace,
    outlet: Outlet,
    orders: mpsc::Receiver<Order>,
    start: Instant,
    open: bool,
    conversation: Conversation,
    /// Answers on their way.
    coming: BTreeMap<(Instant, u64), Vec<u8>>,
    /// Chunks of answers so far.
    given: u64,
    /// What is wrong with the recording.
    error: Option<io::Error>,
}

impl Player {
    /// Plays everything. `None` when nobody listens any more.
    async fn play(mut self, mut entries: mpsc::Receiver<io::Result<Entry>>) -> Option<Self> {
        loop {
            self.read(&mut entries).await;
            let answer = self.coming.first_key_value().map(|(key, _)| *key);
            let own = self.conversation.due().map(|at| self.due(at));
            let next = answer.map(|(at, _)| at).into_iter().chain(own).min();
            let Some(next) = next else { return Some(self) };
            tokio::select! {
                biased;
                order = self.orders.recv() => self.obey(order?).await?,
                () = tokio::time::sleep_until(next) => {
                    let answer = answer.filter(|(at, _)| *at <= next).and_then(|key| self.coming.remove(&key));
                    let what = answer.map(What::From).or_else(|| self.conversation.next());
                    if let Some(what) = what {
                        self.tell(what).await?;
                    }
                }
            }
        }
    }

    async fn read(&mut self, entries: &mut mpsc::Receiver<io::Result<Entry>>) {
        while !self.conversation.full() {
            match entries.recv().await {
                Some(Ok(entry)) => self.conversation.push(entry),
                ended => {
                    self.error = ended.and_then(Result::err);
                    self.conversation.end();
                }
            }
        }
    }

    async fn obey(&mut self, order: Order) -> Option<()> {
        match order {
            Order::Reopen(_) if self.open => self.say(PortEvent::Open).await,
            Order::Write(request) if self.open => {
                let now = Instant::now();
                let at = self.recorded(now);
                for (after, bytes) in self.conversation.answer(&request, at).unwrap_or_default() {
                    self.given += 1;
                    self.coming.insert((now + self.scaled(after), self.given), bytes);
                }
                Some(())
            }
            _ => Some(()),
        }
    }

    fn due(&self, at: Duration) -> Instant {
        self.start + self.scaled(at)
    }

    /// Where the recording is now.
    fn recorded(&self, now: Instant) -> Duration {
        match self.pace {
            Pace::Fast => Duration::ZERO,
            Pace::Milli(thousandths) => (now - self.start).saturating_mul(thousandths) / 1000,
        }
    }

    /// So much of the recording's time, on the clock.
    fn scaled(&self, time: Duration) -> Duration {
        match self.pace {
            Pace::Fast => Duration::ZERO,
            Pace::Milli(thousandths) => {
                let micros = time.as_micros() * 1000 / u128::from(thousandths.max(1));
                Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
            }
        }
    }

    async fn tell(&mut self, what: What) -> Option<()> {
        match what {
            What::Open => {
                self.open = true;
                self.say(PortEvent::Open).await
            }
            What::Lost(reason) => {
                self.open = false;
                self.coming.clear();
                self.say(PortEvent::Lost(reason.into())).await
            }
            What::From(bytes) => {
                if !self.open {
                    self.open = true;
                    self.say(PortEvent::Open).await?;
                }
                self.say(PortEvent::Bytes(bytes)).await
            }
            What::To(_) => Some(()),
            What::Missed(count) => {
                tracing::warn!("{count} entries are missing here in the recording");
                Some(())
            }
        }
    }

    async fn say(&self, event: PortEvent) -> Option<()> {
        self.outlet.tell(event).await.then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "plugline-capture 1\nstart x\nline a\ndialect dlt645\nport /dev/x\n";

    #[test]
    fn a_line_that_was_cut_off_at_the_end_is_skipped() {
        let text = format!("{HEADER}0.000000 open\n0.000001 < 68");
        let entries: Vec<Entry> = Reader::new(text.as_bytes()).map(|entry| entry.expect("good")).collect();
        assert_eq!(entries, [Entry { at: Duration::ZERO, what: What::Open }]);
    }

    #[test]
    fn a_file_without_line_ends_is_refused_and_not_swallowed() {
        let text = vec![b'a'; LINE_MAX * 2];
        let error = Reader::new(text.as_slice()).next().expect("something").expect_err("no recording");
        assert!(error.to_string().contains("longer"), "{error}");
    }
}
