//! Reading the feed for MQTT: what happens now, and beside it what the broker missed while it was away. Knows no topic.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::sleep;

use super::backoff::Backoff;
use super::publish::Message;
use crate::door::Door;
use crate::source::{Entry, Source};

/// Events read from the feed at once.
const BATCH: usize = 256;

/// The next entries after `cursor`, and where the reader stands after them.
pub(super) async fn next_batch(door: Door, cursor: u64) -> (Vec<Arc<Entry>>, u64) {
    let mut backoff = Backoff::new(cursor);
    loop {
        door.wait(cursor).await;
        let head = door.span().head;
        match door.since(cursor, BATCH).await {
            Ok(entries) => {
                // An empty answer below the head is the hole of a gap whose own event is yet to come.
                let last = entries.last().map_or(head, |entry| entry.event.seq);
                return (entries, last);
            }
            Err(error) => {
                tracing::warn!(%error, "the feed cannot be read for MQTT");
                sleep(backoff.wait()).await;
            }
        }
    }
}

/// The part of the feed that the broker missed.
pub(super) struct Missed {
    /// Told up to here, or on its way.
    pub(super) cursor: u64,
    /// What comes behind this happens now.
    pub(super) end: u64,
    pub(super) outbox: VecDeque<(u64, Message)>,
}

impl Missed {
    /// All of it was handed over.
    pub(super) fn over(&self) -> bool {
        self.cursor >= self.end && self.outbox.is_empty()
    }
}

/// The next entries of the past; never, when there is none.
pub(super) async fn next_missed(door: Door, missed: Option<(u64, u64)>) -> (Vec<Arc<Entry>>, u64) {
    match missed.filter(|(cursor, end)| cursor < end) {
        Some((cursor, end)) => {
            let (mut entries, last) = next_batch(door, cursor).await;
            entries.retain(|entry| entry.event.seq <= end);
            (entries, last.min(end))
        }
        None => std::future::pending().await,
    }
}
