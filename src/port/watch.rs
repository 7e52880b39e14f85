//! Who looks at a port right now: what passes it goes to all of them, and none can hold it up. Whoever is too slow
//! loses the oldest of it and is told how much.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::PortEvent;
use super::recording::{CHUNK_MAX, What};

/// What a watcher may be behind: a few seconds of a busy line.
const BEHIND_MAX: usize = 256;

/// Watchers of one port at once; each costs a connection and a decoder.
pub const WATCHERS_MAX: usize = 8;

/// Something that passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When, since 1970 UTC.
    pub at: Duration,
    /// What.
    pub what: What,
}

/// The port's end, and the way to look. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Watch {
    /// Name of the line.
    pub line: Arc<str>,
    /// Its dialect.
    pub dialect: &'static str,
    /// Where the port is.
    pub port: Arc<str>,
    sender: broadcast::Sender<Arc<Seen>>,
}

/// One who looks.
#[derive(Debug)]
pub struct Watcher(broadcast::Receiver<Arc<Seen>>);

impl Watch {
    /// Nobody looks yet.
    #[must_use]
    pub fn new(line: &str, dialect: &'static str, port: &str) -> Self {
        Self { line: line.into(), dialect, port: port.into(), sender: broadcast::Sender::new(BEHIND_MAX) }
    }

    /// Starts to look; `None` when [`WATCHERS_MAX`] do already.
    #[must_use]
    pub fn look(&self) -> Option<Watcher> {
        (self.sender.receiver_count() < WATCHERS_MAX).then(|| Watcher(self.sender.subscribe()))
    }

    /// The port told something.
    pub(super) fn told(&self, event: &PortEvent) {
        match event {
            _ if self.sender.receiver_count() == 0 => {}
            PortEvent::Open => self.show(What::Open),
            PortEvent::Lost(reason) => self.show(What::Lost(reason.to_string())),
            PortEvent::Bytes(bytes) => self.show_chunks(bytes, What::From),
        }
    }

    /// Bytes were written to the port.
    pub(super) fn wrote(&self, bytes: &[u8]) {
        if self.sender.receiver_count() > 0 {
            self.show_chunks(bytes, What::To);
        }
    }

    fn show_chunks(&self, bytes: &[u8], what: fn(Vec<u8>) -> What) {
        bytes.chunks(CHUNK_MAX).for_each(|chunk| self.show(what(chunk.to_vec())));
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "it is said when bytes passed the port, not when they were handled"
    )]
    fn show(&self, what: What) {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let at = since_epoch.unwrap_or_default();
        // The last one may have gone just now.
        let _ = self.sender.send(Arc::new(Seen { at, what }));
    }
}

impl Watcher {
    /// What passed next, or how much was missed; `None` when the port is no more. Cancel-safe.
    pub async fn next(&mut self) -> Option<Result<Arc<Seen>, u64>> {
        match self.0.recv().await {
            Ok(seen) => Some(Ok(seen)),
            Err(RecvError::Lagged(missed)) => Some(Err(missed)),
            Err(RecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_is_too_slow_is_told_what_he_missed_and_holds_up_nobody() {
        let watch = Watch::new("a", "dlt645", "/dev/x");
        watch.wrote(&[9]);
        let (mut slow, mut quick) = (watch.look().expect("room"), watch.look().expect("room"));
        for byte in 0..=255 {
            watch.wrote(&[byte]);
            assert_eq!(quick.next().await.expect("open").expect("nothing missed").what, What::To(vec![byte]));
        }
        watch.told(&PortEvent::Open);
        watch.told(&PortEvent::Lost("pulled".into()));
        assert_eq!(slow.next().await, Some(Err(2)));
        assert_eq!(slow.next().await.expect("open").expect("the third").what, What::To(vec![2]));
        drop(watch);
        let mut left = 0;
        while slow.next().await.is_some() {
            left += 1;
        }
        assert_eq!(left, 255);
    }

    #[test]
    fn there_are_only_so_many_watchers() {
        let watch = Watch::new("a", "dlt645", "/dev/x");
        let all: Vec<_> = std::iter::repeat_with(|| watch.look()).take(WATCHERS_MAX).collect();
        assert!(all.iter().all(Option::is_some) && watch.look().is_none());
        drop(all);
        assert!(watch.look().is_some());
    }
}
