//! Tokens and sessions at the door: what counts now, who is told when that changes, and which were used.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use tokio::sync::watch;

use super::{Door, Keeper};
use crate::access::{Book, Change, Digest, Grant};
use crate::source::Access;

/// Uses of a right are told apart by the minute.
const MINUTE_MS: i64 = 60_000;

impl Keeper {
    /// Starts with the tokens and sessions that were kept, and the token of this run.
    pub fn open_book(&self, mut book: Book, run: Option<Digest>) {
        if let Some(run) = run {
            book.set_run_token(run);
        }
        self.door.change(|shown| shown.book = book);
        self.door.0.rights.send_modify(|changes| *changes += 1);
    }

    /// Lets a change of tokens and sessions count.
    pub fn show_access(&self, change: Change) {
        let news = !matches!(change, Change::Noted(_) | Change::NotedGone(_));
        self.door.change(|shown| shown.book.take(change));
        if news {
            self.door.0.rights.send_modify(|changes| *changes += 1);
        }
    }

    /// Rights that were used since the last call, each with its minute.
    #[must_use]
    pub fn take_uses(&self) -> BTreeMap<Grant, i64> {
        std::mem::take(&mut self.door.0.uses.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Access for Door {
    fn book<R>(&self, look: impl FnOnce(&Book) -> R) -> R {
        self.look(|shown| look(&shown.book))
    }

    fn used(&self, grant: &Grant, unix_ms: i64) {
        let minute = unix_ms - unix_ms.rem_euclid(MINUTE_MS);
        let known = self.look(|shown| shown.book.last_used_unix_ms(grant));
        if matches!(grant, Grant::Token(_) | Grant::Session(_)) && known.is_none_or(|known| known < minute) {
            let mut uses = self.0.uses.lock().unwrap_or_else(PoisonError::into_inner);
            uses.insert(grant.clone(), minute);
        }
    }

    fn rights(&self) -> watch::Receiver<u64> {
        self.0.rights.subscribe()
    }
}
