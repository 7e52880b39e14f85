//! Long-poll: one page of the feed, answered at once when something is ready, held otherwise.
//! Spec: `protocol-spec/http.md`, Long-poll.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::ask::Filter;
use super::pen::Pen;
use super::{App, stopped};
use crate::json;
use crate::source::{Commands, Entry, Expired, Identity, ReadBroken, Source};

/// Events of one answer together have at most this many bytes (one that is larger alone still goes).
const PAGE_BYTES: usize = 256 * 1024;
/// Entries read at once.
const BATCH: usize = 500;
/// Between two looks at a log that is behind its own head.
pub(super) const LAG_LOOK: Duration = Duration::from_millis(20);
/// Looks before the page ends where the log ends: one second.
const LAG_LOOKS: u32 = 50;
/// What keeps proxies quiet: whitespace before a JSON text means nothing.
const SPACE: &str = " ";

/// One answer.
#[derive(Debug)]
pub(super) struct Page {
    events: Vec<Arc<Entry>>,
    /// Where to read on.
    pub(super) cursor: u64,
    latest: u64,
    more: bool,
}

impl Page {
    /// It has something to tell.
    pub(super) fn ready(&self) -> bool {
        !self.events.is_empty()
    }

    /// The body of the contract.
    pub(super) fn body(&self, identity: &Identity, oldest: u64) -> String {
        let at = |seq| json::cursor(identity, seq);
        let size: usize = self.events.iter().map(|entry| entry.json(identity).len() + 1).sum();
        let mut body = String::with_capacity(size + 160);
        body.push_str(&format!(
            r#"{{"epoch":"{}","cursor":"{}","oldest":"{}","latest":"{}","more":{},"events":["#,
            identity.epoch,
            at(self.cursor),
            at(oldest),
            at(self.latest),
            self.more
        ));
        for (index, entry) in self.events.iter().enumerate() {
            if index > 0 {
                body.push(',');
            }
            body.push_str(entry.json(identity));
        }
        body.push_str("]}");
        body
    }
}

/// Why there is no page.
#[derive(Debug)]
pub(super) enum NoPage {
    /// The log was trimmed meanwhile.
    Expired(Expired),
    /// The disk fails.
    Broken(ReadBroken),
}

/// Reads what passes the filter after `after`, up to the head as it is now.
pub(super) async fn page<S: Source>(
    source: &S,
    after: u64,
    filter: &Filter,
    limit: usize,
) -> Result<Page, NoPage> {
    let identity = source.identity();
    let mut page = Page { events: Vec::new(), cursor: after, latest: source.span().head, more: false };
    let (mut bytes, mut looks) = (0_usize, 0);
    while page.cursor < page.latest {
        let entries = source.since(page.cursor, BATCH).await.map_err(NoPage::Broken)?;
        let whole = entries.first().is_some_and(|entry| entry.event.seq == page.cursor + 1);
        if !whole && page.cursor < source.span().oldest {
            // Trimmed under our hands. What was collected goes out; the next request is told.
            match page.events.last() {
                None => return Err(NoPage::Expired(Expired::Trimmed)),
                Some(last) => page.cursor = last.event.seq,
            }
            page.more = true;
            return Ok(page);
        }
        if entries.is_empty() {
            // The writer is behind the head. It is on its way, or the page ends where the log does.
            looks += 1;
            if looks > LAG_LOOKS {
                page.latest = page.cursor;
                break;
            }
            sleep(LAG_LOOK).await;
            continue;
        }
        for entry in entries {
            let seq = entry.event.seq;
            if seq > page.latest {
                page.cursor = page.latest;
                break;
            }
            let mine = filter.lets(&entry.event) && source.shows(&entry.event);
            if mine {
                bytes += entry.json(identity).len() + 1;
                if bytes > PAGE_BYTES && page.ready() {
                    page.cursor = page.events.last().map_or(after, |last| last.event.seq);
                    page.more = true;
                    return Ok(page);
                }
                page.events.push(entry);
            }
            page.cursor = seq;
            if mine && page.events.len() == limit {
                page.more = seq < page.latest;
                return Ok(page);
            }
        }
    }
    Ok(page)
}

/// A request that found nothing ready.
pub(super) struct Held<S> {
    pub(super) app: App<S>,
    pub(super) filter: Filter,
    pub(super) limit: usize,
    pub(super) after: u64,
    pub(super) until: Instant,
}

impl<S: Source + Commands> Held<S> {
    /// Waits for the first event that passes, then writes the page; whitespace meanwhile.
    pub(super) async fn write(mut self, mut pen: Pen) -> io::Result<()> {
        let _reader = self.app.settings.upkeep.meters.hold(|meters| &meters.polls);
        let mut quiet = Instant::now() + self.app.settings.silence;
        let right = self.app.source.clone();
        let mut over = pin!(right.over());
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut self.app.stop) => break,
                // What it was to be told is no longer its business.
                () = &mut over => {
                    let nothing = Page { events: Vec::new(), cursor: self.after, latest: self.after, more: false };
                    pen.put(self.body(&nothing)).await;
                    return Ok(());
                }
                () = sleep_until(self.until) => break,
                () = sleep_until(quiet) => {
                    pen.put(SPACE).await;
                    quiet = Instant::now() + self.app.settings.silence;
                }
                // Last: a feed that is busy with what the filter skips must not keep the clocks from being looked at.
                () = self.app.source.wait(self.after) => {
                    let page = self.page().await?;
                    if page.ready() {
                        self.company().await;
                        // Most events come alone.
                        let alone = page.latest == self.app.source.span().head;
                        let page = if alone { page } else { self.page().await? };
                        pen.put(self.body(&page)).await;
                        return Ok(());
                    }
                    self.after = page.cursor;
                }
            }
        }
        let page = self.page().await?;
        pen.put(self.body(&page)).await;
        Ok(())
    }

    fn body(&self, page: &Page) -> String {
        page.body(self.app.source.identity(), self.app.source.span().oldest)
    }

    async fn company(&mut self) {
        tokio::select! {
            () = stopped(&mut self.app.stop) => {}
            () = sleep(self.app.settings.company) => {}
        }
    }

    /// The head of the answer is out, so all that is left for an error is to break off.
    async fn page(&self) -> io::Result<Page> {
        page(&self.app.source, self.after, &self.filter, self.limit).await.map_err(|no| match no {
            NoPage::Expired(why) => io::Error::other(why.name()),
            NoPage::Broken(broken) => io::Error::other(broken),
        })
    }
}
