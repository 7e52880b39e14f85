//! The last lines of the log, so that they can be read where no terminal is. A ring: the oldest line goes.
//!
//! What the program itself says comes in at every level that is logged; of libraries only warnings and errors:
//! they may speak of what passes through them. Passwords in addresses are blotted out all the same.

use std::collections::VecDeque;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// Lines kept: some days of a house at rest, half an hour of one in trouble.
pub const LINES: usize = 1000;

/// Longest message kept, in bytes; a list of devices may be longer.
const MESSAGE_MAX: usize = 2048;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// From 1, without holes while the process lives.
    pub n: u64,
    /// When, milliseconds since 1970 UTC.
    pub unix_ms: i64,
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: &'static str,
    /// The part of the program that speaks.
    pub target: String,
    /// What it says, fields behind the words.
    pub message: String,
}

#[derive(Debug, Default)]
struct Ring {
    lines: VecDeque<Arc<Line>>,
    last: u64,
}

/// The ring. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Logbook {
    ring: Arc<Mutex<Ring>>,
    last: watch::Sender<u64>,
}

impl Default for Logbook {
    fn default() -> Self {
        Self { ring: Arc::default(), last: watch::Sender::new(0) }
    }
}

/// The one that this process logs into.
#[must_use]
pub fn of_this_process() -> &'static Logbook {
    static BOOK: LazyLock<Logbook> = LazyLock::new(Logbook::default);
    &BOOK
}

impl Logbook {
    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line; the oldest one goes when there are [`LINES`].
    pub fn add(&self, unix_ms: i64, level: &'static str, target: &str, message: &str) {
        let mut message = without_passwords(message);
        message.truncate(message.floor_char_boundary(MESSAGE_MAX));
        let mut ring = self.lock();
        ring.last += 1;
        let n = ring.last;
        if ring.lines.len() == LINES {
            ring.lines.pop_front();
        }
        ring.lines.push_back(Arc::new(Line { n, unix_ms, level, target: target.to_owned(), message }));
        drop(ring);
        self.last.send_replace(n);
    }

    /// Up to `limit` lines behind number `after`, oldest first; those that are gone are passed over.
    #[must_use]
    pub fn after(&self, after: u64, limit: usize) -> Vec<Arc<Line>> {
        let ring = self.lock();
        ring.lines.iter().filter(|line| line.n > after).take(limit).cloned().collect()
    }

    /// The number of the newest line; 0 before the first.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.lock().last
    }

    /// Waits for a line behind number `after`. Cancel-safe.
    pub async fn wait(&self, after: u64) {
        let mut last = self.last.subscribe();
        // The sender lives in the book itself.
        let _ = last.wait_for(|last| *last > after).await;
    }
}

/// Blots out what stands between `://` and `@`: a login in an address.
fn without_passwords(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, behind) = rest.split_at(at + 3);
        clean.push_str(before);
        let end =
            behind.find(|c: char| c.is_whitespace() || matches!(c, '/' | '"' | '\'')).unwrap_or(behind.len());
        rest = match behind[..end].rfind('@') {
            Some(sign) => {
                clean.push('…');
                &behind[sign..]
            }
            None => behind,
        };
    }
    clean + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(lines: &[Arc<Line>]) -> Vec<u64> {
        lines.iter().map(|line| line.n).collect()
    }

    #[test]
    fn the_oldest_line_goes_and_numbers_go_on() {
        let book = Logbook::default();
        for n in 0..LINES as u64 + 3 {
            book.add(1, "info", "plugline", &format!("line {n}"));
        }
        assert_eq!(book.last(), 1003);
        assert_eq!(numbers(&book.after(0, 2)), [4, 5]);
        assert_eq!(numbers(&book.after(1001, 10)), [1002, 1003]);
        assert_eq!(book.after(1003, 10), []);
        assert_eq!(book.after(0, usize::MAX).len(), LINES);
    }

    #[test]
    fn a_password_in_an_address_is_not_kept() {
        let book = Logbook::default();
        for said in
            ["mqtt://ha:s3cr@t@host:1883/x away", "url=\"tcp://s3cr@h\"", "(mqtts://u:s3cr@h)", "a://b @s3"]
        {
            book.add(1, "warn", "plugline", said);
        }
        let kept: Vec<String> = book.after(0, 10).iter().map(|line| line.message.clone()).collect();
        assert_eq!(kept, ["mqtt://…@host:1883/x away", "url=\"tcp://…@h\"", "(mqtts://…@h)", "a://b @s3"]);
    }

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        let book = Logbook::default();
        book.add(1, "info", "plugline", &"é".repeat(MESSAGE_MAX));
        assert_eq!(book.after(0, 1)[0].message.len(), MESSAGE_MAX);
    }

    #[tokio::test]
    async fn who_waits_for_a_line_gets_it() {
        let book = Logbook::default();
        book.add(1, "info", "plugline", "first");
        let waiting = tokio::spawn({
            let book = book.clone();
            async move {
                book.wait(1).await;
                numbers(&book.after(1, 10))
            }
        });
        tokio::task::yield_now().await;
        book.add(2, "info", "plugline", "second");
        assert_eq!(waiting.await.expect("no panic"), [2]);
    }
}
