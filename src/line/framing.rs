//! Finding frames in a stream of bytes: buffer, resynchronisation, and the account of what was no frame.
//!
//! Owns where frames begin and end; refuses to know what they mean (a [`Grammar`] says what a frame looks like).
//! Every byte that comes in goes out exactly once: in a frame, in a [`Fault`], or as an idle byte. The work per byte
//! is bounded whatever the bytes are, so that a noisy line costs no more than a quiet one.
//!
//! A candidate that fails its checks is one fault over its whole length; the search goes on inside it, one byte
//! further, and a good frame in there ends the fault early. Bytes that nobody could take for a frame are one fault
//! of kind `garbage` per run.

use std::ops::Range;

use super::{DecodedFrame, Malformed};

/// Consumed bytes are kept this long before the rest is moved to the front, so that moving costs little per byte.
const COMPACT_AT: usize = 1024;

/// What stands at the front of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// No frame starts here.
    Nothing,
    /// A frame may start here; more bytes are needed to say.
    More,
    /// A frame seems to start here, and is not one.
    Bad(Bad),
    /// A good frame of so many bytes.
    Good(usize),
}

/// Why a candidate is no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bad {
    /// Stable word: `checksum`, `length`, `end`, …
    pub kind: &'static str,
    /// Length of the candidate in bytes.
    pub len: usize,
    /// Offset of the byte at fault from the candidate's start.
    pub at: usize,
    /// What stands there.
    pub got: u16,
    /// What should.
    pub want: u16,
}

/// A run of bytes that is no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Stable word: `checksum`, `garbage`, `truncated`, `length`, `end`, `ack`.
    pub kind: &'static str,
    /// Offset of the run from the first byte ever pushed.
    pub start: u64,
    /// How many bytes it holds; fewer than the candidate if a good frame starts inside it.
    pub len: usize,
    /// Offset of the byte at fault from `start`.
    pub at: usize,
    /// What stands there.
    pub got: u16,
    /// What should.
    pub want: u16,
}

impl From<Fault> for Malformed {
    fn from(fault: Fault) -> Self {
        let Fault { len, got, want, .. } = fault;
        let detail = match fault.kind {
            "garbage" => format!("{len} bytes that start no frame"),
            "truncated" => format!("the frame ends after {len} bytes"),
            "length" => format!("got length {got}, wanted at most {want}"),
            _ => format!("got {got:02x}, wanted {want:02x}"),
        };
        let offset = usize::try_from(fault.start).unwrap_or(usize::MAX).saturating_add(fault.at);
        Self { kind: fault.kind, offset, detail }
    }
}

/// What frames of a dialect look like.
pub trait Grammar {
    /// Judges what starts at `buffer[at]` (which exists). `ended`: nothing more will come. `inside`: the bytes lie
    /// within a candidate that already failed, where only frames that are hard to find by chance should count.
    fn look(&mut self, buffer: &[u8], at: usize, ended: bool, inside: bool) -> Look;

    /// The byte may stand between frames without harm.
    fn idle(&self, byte: u8) -> bool;

    /// How many of these bytes can start nothing and are not idle; a lower figure is allowed.
    fn skip(&self, bytes: &[u8], inside: bool) -> usize;

    /// Positions in the buffer changed their meaning.
    fn moved(&mut self) {}
}

/// The bytes under way and the search for frames in them.
#[derive(Debug, Default)]
pub struct Scanner<G> {
    grammar: G,
    buffer: Vec<u8>,
    at: usize,
    /// Offset of `buffer[0]` from the first byte ever pushed.
    base: u64,
    /// Bytes before this index have nothing coming after them in time.
    ended: Option<usize>,
    run: Option<Run>,
    /// Length of the good frame at `at`, when it was found while a run had to be told first.
    good: usize,
    idle: u64,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    bad: Bad,
    start: u64,
    /// Where the failed candidate ends; `start` for garbage, which has no end of its own.
    until: u64,
}

impl<G: Grammar> Scanner<G> {
    /// Takes bytes from the line, in any portions. Drain [`Scanner::next_span`] before the next call, so that the
    /// buffer stays as small as one portion and one unfinished frame.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.at == self.buffer.len() || self.at >= COMPACT_AT {
            self.base += self.at as u64;
            self.ended = self.ended.map(|end| end.saturating_sub(self.at));
            if self.at == self.buffer.len() {
                self.buffer.clear();
            } else {
                self.buffer.drain(..self.at);
            }
            self.at = 0;
            self.grammar.moved();
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The line fell silent: what is unfinished will not be finished. Reported as `truncated` by the next calls of
    /// [`Scanner::next_span`], which still finds good frames inside.
    pub fn drop_partial(&mut self) {
        self.ended = Some(self.buffer.len());
    }

    /// Bytes are waiting for the rest of their frame.
    #[must_use]
    pub fn has_partial(&self) -> bool {
        self.at < self.buffer.len()
    }

    /// Idle bytes skipped so far.
    #[must_use]
    pub fn idle_bytes(&self) -> u64 {
        self.idle
    }

    /// The bytes of a span just returned.
    pub fn span(&mut self, span: Range<usize>) -> &mut [u8] {
        &mut self.buffer[span]
    }

    /// The next frame, as a span for [`Scanner::span`], or the next run of bytes that is none; `None` when more
    /// bytes are needed.
    pub fn next_span(&mut self) -> Option<Result<Range<usize>, Fault>> {
        loop {
            if self.good > 0 {
                let len = std::mem::take(&mut self.good);
                return Some(Ok(self.consume(len)));
            }
            let here = self.base + self.at as u64;
            if self.run.as_ref().is_some_and(|run| run.until == here) {
                return self.close_run().map(Err);
            }
            let limit = self.ended.unwrap_or(self.buffer.len());
            if self.at >= limit {
                // What came after the silence, if anything, is looked at in the next turn.
                self.ended.take()?;
                match self.close_run() {
                    Some(fault) => return Some(Err(fault)),
                    None => continue,
                }
            }
            let ended = self.ended.is_some();
            let window = self.run.as_ref().map_or(0, |run| to_index(run.until.saturating_sub(here)));
            let inside = window > 0;
            if inside && self.pass_inside(limit.min(self.at + window), limit, ended) {
                continue;
            }
            let len = limit - self.at;
            match self.grammar.look(&self.buffer[..limit], self.at, ended, inside) {
                Look::Good(len) if self.run.is_some() => {
                    self.good = len;
                    return self.close_run().map(Err);
                }
                Look::Good(len) => return Some(Ok(self.consume(len))),
                Look::More if !ended => return None,
                Look::More => {
                    let bad = Bad { kind: "truncated", len, at: len, got: 0, want: 0 };
                    if let Some(fault) = self.open_run(bad) {
                        return Some(Err(fault));
                    }
                }
                Look::Bad(bad) => {
                    if let Some(fault) = self.open_run(bad) {
                        return Some(Err(fault));
                    }
                }
                Look::Nothing => {
                    if let Some(fault) = self.pass(limit) {
                        return Some(Err(fault));
                    }
                }
            }
        }
    }

    fn consume(&mut self, len: usize) -> Range<usize> {
        let span = self.at..self.at + len;
        self.at = span.end;
        span
    }

    fn close_run(&mut self) -> Option<Fault> {
        let Run { bad, start, .. } = self.run.take()?;
        let len = usize::try_from(self.base + self.at as u64 - start).unwrap_or(usize::MAX);
        Some(Fault { kind: bad.kind, start, len, at: bad.at, got: bad.got, want: bad.want })
    }

    /// Starts a run at a failed candidate, or hands out the run before it, which must be told first.
    fn open_run(&mut self, bad: Bad) -> Option<Fault> {
        if self.run.is_some() {
            return self.close_run();
        }
        let start = self.base + self.at as u64;
        self.run = Some(Run { bad, start, until: start + bad.len as u64 });
        self.at += 1;
        None
    }

    /// Goes on within a failed candidate, up to `until`, as far as nothing there starts a good frame or may start
    /// one; `true` if it went at all.
    fn pass_inside(&mut self, until: usize, limit: usize, ended: bool) -> bool {
        let start = self.at;
        while self.at < until {
            match self.grammar.look(&self.buffer[..limit], self.at, ended, true) {
                Look::Good(_) => break,
                Look::More if !ended => break,
                Look::More | Look::Bad(_) => self.at += 1,
                Look::Nothing => {
                    self.at += 1;
                    self.at += self.grammar.skip(&self.buffer[self.at..until], true);
                }
            }
        }
        self.at > start
    }

    /// Goes past bytes between frames that start nothing.
    fn pass(&mut self, limit: usize) -> Option<Fault> {
        if self.grammar.idle(self.buffer[self.at]) {
            if self.run.is_some() {
                return self.close_run();
            }
            self.at += 1;
            self.idle += 1;
            return None;
        }
        if self.run.is_none() {
            let start = self.base + self.at as u64;
            let bad = Bad { kind: "garbage", len: 0, at: 0, got: 0, want: 0 };
            self.run = Some(Run { bad, start, until: start });
        }
        let ended = self.ended.is_some();
        loop {
            self.at += 1;
            self.at += self.grammar.skip(&self.buffer[self.at..limit], false);
            let goes_on = self.buffer[..limit].get(self.at).is_some_and(|byte| !self.grammar.idle(*byte));
            if !goes_on || self.grammar.look(&self.buffer[..limit], self.at, ended, false) != Look::Nothing {
                return None;
            }
        }
    }
}

fn to_index(distance: u64) -> usize {
    usize::try_from(distance).unwrap_or(usize::MAX)
}

/// A stream of bytes turned into decoded frames; what `decode` and captures read.
pub trait StreamDecoder: Send {
    /// Takes bytes, in any portions.
    fn push(&mut self, bytes: &[u8]);
    /// Nothing more will come.
    fn end(&mut self);
    /// The next frame or fault.
    fn next_decoded(&mut self) -> Option<DecodedFrame>;
}

/// Decodes bytes that should be exactly one frame.
///
/// # Errors
/// The first fault; or `truncated` without any frame, or `trailing` where a second one follows.
pub fn decode_one(mut decoder: impl StreamDecoder, bytes: &[u8]) -> DecodedFrame {
    decoder.push(bytes);
    decoder.end();
    let mut found = None;
    while let Some(next) = decoder.next_decoded() {
        let frame = next?;
        if found.replace(frame).is_some() {
            let detail = "got a second frame, wanted exactly one".to_owned();
            return Err(Malformed { kind: "trailing", offset: bytes.len(), detail });
        }
    }
    found.ok_or_else(|| Malformed {
        kind: "truncated",
        offset: bytes.len(),
        detail: format!("no frame in {} bytes", bytes.len()),
    })
}
