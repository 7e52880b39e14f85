//! The event stream: a position that moves along the log as fast as the connection takes bytes.
//!
//! Between two pieces nothing is held but the position: what a slow reader has not taken stays in the log.
//! Spec: `protocol-spec/http.md`, Streams.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::ask::Filter;
use super::pen::Pen;
use super::poll::LAG_LOOK;
use super::problem::Problem;
use super::{App, devices, stopped};
use crate::json;
use crate::source::{Commands, Entry, Expired, Identity, Source};

/// Entries read at once.
const BATCH: usize = 256;
/// A piece handed to the connection ends after the event that passes this size.
const PIECE_BYTES: usize = 64 * 1024;
/// Skipped events after which the reader gets a bookmark.
const BOOKMARK_SKIPPED: u64 = 1000;
/// What a reader waits before it connects again, ms; spread so that many do not come at once.
const RETRY_MS: std::ops::Range<u64> = 2000..5000;
/// The same when the gateway stops: it needs time to start again.
const RETRY_STOPPING_MS: std::ops::Range<u64> = 1000..15_000;
const COMMENT: &str = ":\n\n";

/// A stream about to start.
pub(super) struct Stream<S> {
    app: App<S>,
    filter: Filter,
    start: Result<u64, Expired>,
    /// Everything up to here was sent or skipped.
    at: u64,
    /// The last id that the reader was told.
    told: u64,
    /// It begins with everything as it is.
    snapshot: bool,
}

enum Woken {
    Stopped,
    /// The reader's right is over.
    Over,
    News,
    Timer,
}

/// When to say something although nothing happens.
struct Clocks {
    silence: Instant,
    bookmark: Instant,
    end: Instant,
}

impl Clocks {
    fn next(&self) -> Instant {
        self.silence.min(self.bookmark).min(self.end)
    }
}

impl<S: Source + Commands> Stream<S> {
    /// A stream that begins at `start`, or with a `reset`.
    pub(super) fn new(app: App<S>, filter: Filter, start: Result<u64, Expired>) -> Self {
        let at = start.unwrap_or_else(|_| app.source.span().head);
        Self { app, filter, start, at, told: at, snapshot: false }
    }

    /// Tells everything as it is before what happens.
    pub(super) fn with_snapshot(self, snapshot: bool) -> Self {
        Self { snapshot, ..self }
    }

    fn identity(&self) -> &Identity {
        self.app.source.identity()
    }

    /// Writes the stream until its life is over, the server stops or the log cannot be read.
    pub(super) async fn write(mut self, mut pen: Pen) -> io::Result<()> {
        let _reader = self.app.settings.upkeep.meters.hold(|meters| &meters.streams);
        let mut stop = self.app.stop.clone();
        let mut stop = pin!(stopped(&mut stop));
        let right = self.app.source.clone();
        let mut over = pin!(right.over());
        pen.put(self.opening()).await;
        if self.snapshot {
            pen.put(self.picture()).await;
        }
        let mut clocks = self.clocks();
        // Armed for the nearest clock; activity only moves the clocks, and the timer finds out when it fires.
        let mut timer = pin!(sleep_until(clocks.next()));
        loop {
            let (piece, lagging) = self.piece().await?;
            if !piece.is_empty() {
                pen.put(piece).await;
                let now = Instant::now();
                clocks.silence = now + self.app.settings.silence;
                clocks.bookmark = now + self.app.settings.bookmark;
            }
            let woken = tokio::select! {
                biased;
                () = &mut stop => Woken::Stopped,
                () = &mut over => Woken::Over,
                () = &mut timer => Woken::Timer,
                () = self.news(lagging) => Woken::News,
            };
            match woken {
                Woken::News => {}
                Woken::Over => return Ok(()),
                Woken::Stopped => {
                    pen.put(format!("retry: {}\n\n", random(RETRY_STOPPING_MS))).await;
                    return Ok(());
                }
                Woken::Timer => {
                    let now = Instant::now();
                    if now >= clocks.end {
                        return Ok(());
                    }
                    pen.put(self.beat(&mut clocks, now)).await;
                    timer.as_mut().reset(clocks.next());
                }
            }
        }
    }

    async fn news(&self, lagging: bool) {
        if lagging {
            // The head is ahead of what can be read: its writer is on the way.
            sleep(LAG_LOOK).await;
        } else {
            self.app.source.wait(self.at).await;
        }
    }

    fn clocks(&self) -> Clocks {
        let (now, settings) = (Instant::now(), &self.app.settings);
        let life_ms = u64::try_from(settings.life.as_millis()).unwrap_or(u64::MAX);
        let spread = Duration::from_millis(random(0..(life_ms / 5 * 2).max(1)));
        let shortest = Duration::from_millis(life_ms - life_ms / 5);
        Clocks {
            silence: now + settings.silence,
            bookmark: now + settings.bookmark,
            end: now + shortest + spread,
        }
    }

    /// What a clock that has run out makes us say; empty when activity had moved it on.
    fn beat(&mut self, clocks: &mut Clocks, now: Instant) -> String {
        let settings = &self.app.settings;
        if now >= clocks.bookmark {
            clocks.bookmark = now + settings.bookmark;
            clocks.silence = now + settings.silence;
            return self.bookmark();
        }
        if now >= clocks.silence {
            clocks.silence = now + settings.silence;
            return COMMENT.to_owned();
        }
        String::new()
    }

    fn bookmark(&mut self) -> String {
        self.told = self.at;
        format!("id: {}\n\n", json::cursor(self.identity(), self.at))
    }

    /// The position was taken before the state is looked at: what happens meanwhile is seen twice, never missed.
    fn picture(&self) -> String {
        let cursor = json::cursor(self.identity(), self.at);
        let view = json::text(&devices::picture(&self.app, &cursor));
        format!("id: {cursor}\nevent: snapshot\ndata: {view}\n\n")
    }

    fn opening(&self) -> String {
        let reset = self.start.err().map(|why| self.reset(why)).unwrap_or_default();
        let (identity, span) = (self.identity(), self.app.source.span());
        let at = |seq| json::cursor(identity, seq);
        format!(
            "retry: {}\n{reset}id: {}\nevent: hello\n\
             data: {{\"epoch\":\"{}\",\"oldest\":\"{}\",\"latest\":\"{}\",\"gateway\":\"{}\"}}\n\n",
            random(RETRY_MS),
            at(self.at),
            identity.epoch,
            at(span.oldest),
            at(span.head.max(self.at)),
            identity.gateway
        )
    }

    /// Comes before anything else with an id, so that a reader that loses the connection is either told of its
    /// loss or still holds the position that tells it next time.
    fn reset(&self, why: Expired) -> String {
        let (identity, mut span) = (self.identity(), self.app.source.span());
        span.head = self.at;
        format!(
            "id: {}\nevent: reset\ndata: {}\n\n",
            json::cursor(identity, self.at),
            Problem::expired(why, identity, span).body()
        )
    }

    /// The next bytes after the position, and whether the log is behind its head. Empty bytes: nothing to tell.
    async fn piece(&mut self) -> io::Result<(Vec<u8>, bool)> {
        // The head before the entries: one that moves meanwhile is news to wait for, not a log that is behind.
        let head = self.app.source.span().head;
        let entries = self.app.source.since(self.at, BATCH).await.map_err(io::Error::other)?;
        let whole = entries.first().is_some_and(|entry| entry.event.seq == self.at + 1);
        if !whole {
            let span = self.app.source.span();
            if self.at < span.oldest {
                // Trimmed under a reader that was too slow: said, never skipped.
                self.at = span.head;
                self.told = self.at;
                return Ok((self.reset(Expired::Trimmed).into_bytes(), false));
            }
        }
        let lagging = entries.is_empty() && self.at < head;
        Ok((self.encode(entries), lagging))
    }

    fn encode(&mut self, entries: Vec<Arc<Entry>>) -> Vec<u8> {
        let mut piece = Vec::new();
        for entry in entries {
            self.at = entry.event.seq;
            if self.filter.lets(&entry.event) && self.app.source.shows(&entry.event) {
                self.told = self.at;
                self.event(&entry, &mut piece);
            } else if self.at - self.told >= BOOKMARK_SKIPPED {
                let bookmark = self.bookmark();
                piece.extend_from_slice(bookmark.as_bytes());
            }
            if piece.len() >= PIECE_BYTES {
                break;
            }
        }
        piece
    }

    fn event(&self, entry: &Entry, piece: &mut Vec<u8>) {
        let identity = self.identity();
        let json = entry.json(identity);
        let (epoch, kind) = (identity.epoch.as_str(), entry.event.fresh.body.kind());
        let mut digits = [0_u8; 20];
        // Room for the longest number and kind: one allocation for a single event.
        piece.reserve(json.len() + 64);
        for part in ["id: ", epoch, ".", decimal(entry.event.seq, &mut digits)] {
            piece.extend_from_slice(part.as_bytes());
        }
        for part in ["\nevent: ", kind, "\ndata: ", json, "\n\n"] {
            piece.extend_from_slice(part.as_bytes());
        }
    }
}

/// The decimal digits of a number, without an allocation.
fn decimal(mut value: u64, digits: &mut [u8; 20]) -> &str {
    let mut from = digits.len();
    loop {
        from -= 1;
        // A digit fits a byte.
        digits[from] = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
        if value == 0 {
            break;
        }
    }
    std::str::from_utf8(&digits[from..]).unwrap_or("0")
}

/// A number of the range; its middle when there is no randomness. Only spreads load, keeps no secret.
fn random(range: std::ops::Range<u64>) -> u64 {
    let width = range.end - range.start;
    getrandom::u64().map_or(range.start + width / 2, |random| range.start + random % width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_whole() {
        let mut digits = [0; 20];
        for value in [0, 9, 10, 184_471, u64::MAX] {
            assert_eq!(decimal(value, &mut digits), value.to_string());
        }
    }

    #[test]
    fn random_numbers_stay_in_their_range() {
        for _ in 0..1000 {
            assert!(RETRY_MS.contains(&random(RETRY_MS)));
        }
        assert_eq!(random(7..8), 7);
    }
}
