//! The two doors. In: requests through one bounded mailbox, each with one answer. Out: the ring of events, read
//! without the mailbox; what has left the ring comes from the log. The event loop alone holds the [`Keeper`].

mod rights;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use crate::access::{Book, By, Grant};
use crate::device::{CommandId, Device, DeviceId};
use crate::hub::command::Command;
use crate::hub::days::{DAYS_MAX, Day, DayRow, Days};
use crate::hub::erase::Erase;
use crate::hub::feed::{Body, Event, Fresh, Ring};
use crate::hub::history::{self, Gatherer, Page, Wanted};
use crate::hub::{Answer, LineHealth, Refused, Request};
use crate::site::Site;
use crate::source::{Commands, Energy, Entry, History, Identity, Part, ReadBroken, Source, Span};

/// Requests waiting for the loop; more callers wait their turn.
const MAILBOX: usize = 64;

/// Events looked at in one go while the past is searched: some milliseconds of a thread, and whoever has gone is
/// noticed after each.
const LOOK: usize = 16_384;

/// Searches of the past at once: each holds a page of rows in memory and keeps a core busy.
const SEARCHES: usize = 2;

/// Reads what has left the ring; implemented by the log.
pub trait Past: Send + Sync + 'static {
    /// Up to `limit` events with a seq above `after`, in order.
    ///
    /// # Errors
    /// When the disk fails.
    fn read(&self, after: u64, limit: usize) -> std::io::Result<Vec<Event>>;

    /// (First kept seq) − 1.
    fn oldest(&self) -> u64;

    /// The readings of `device` among the next `look` events behind `after`, and the last seq looked at; `after`
    /// itself when there is none.
    ///
    /// # Errors
    /// When the disk fails.
    fn readings(&self, device: &DeviceId, after: u64, look: usize) -> std::io::Result<(Vec<Event>, u64)> {
        let mut events = self.read(after, look)?;
        let upto = events.last().map_or(after, |event| event.seq);
        events.retain(|event| {
            event.fresh.device.as_ref() == Some(device) && matches!(event.fresh.body, Body::Reading(_))
        });
        Ok((events, upto))
    }

    /// A position before everything that was measured at `unix_ms` or later.
    fn before(&self, _unix_ms: i64) -> u64 {
        self.oldest()
    }

    /// What is kept on disk, in bytes, where that is known.
    fn bytes(&self) -> Option<u64> {
        None
    }
}

/// A request and the way its answer goes.
#[derive(Debug)]
pub struct Envelope {
    /// In whose name.
    pub by: By,
    /// What is asked.
    pub request: Request,
    /// Where the answer goes; the asker may be gone.
    pub answer: oneshot::Sender<Answer>,
}

#[derive(Default)]
struct Shown {
    devices: BTreeMap<DeviceId, Arc<Device>>,
    commands: BTreeMap<CommandId, Arc<Command>>,
    lines: Vec<Arc<LineHealth>>,
    parts: BTreeMap<&'static str, Part>,
    positions: Positions,
    book: Book,
}

impl Shown {
    /// An open command to a group with its members' commands as they are now: the hub does not tell it anew for each
    /// step of each of them.
    fn as_of_now(&self, command: &Arc<Command>) -> Arc<Command> {
        let mut seen = Arc::clone(command);
        if command.is_whole() && !command.state.settled() {
            Arc::make_mut(&mut seen).look_at_parts(|id| self.commands.get(id).map(|part| &**part));
        }
        seen
    }
}

struct Inner {
    identity: Identity,
    ring: Mutex<Ring<Entry>>,
    shown: RwLock<Shown>,
    head: watch::Sender<u64>,
    durable: watch::Sender<u64>,
    /// Counts changes of tokens and sessions.
    rights: watch::Sender<u64>,
    uses: Mutex<BTreeMap<Grant, i64>>,
    requests: mpsc::Sender<Envelope>,
    past: Box<dyn Past>,
    searches: Semaphore,
    days: Mutex<Ledger>,
}

/// Totals of days, and when days begin.
#[derive(Default)]
struct Ledger {
    site: Site,
    days: Days,
}

impl Ledger {
    fn take(&mut self, fresh: &Fresh) {
        let (Body::Reading(reading), Some(device)) = (&fresh.body, &fresh.device) else { return };
        if reading.iter().any(|(quantity, _)| quantity.is_total()) {
            let day = self.site.day(fresh.unix_ms);
            self.days.take(device, day, fresh.unix_ms, reading);
        }
    }
}

/// What every edge holds.
#[derive(Clone)]
pub struct Door(Arc<Inner>);

/// What the event loop holds: the only hand that changes what the door shows.
pub struct Keeper {
    door: Door,
    /// The mailbox.
    pub requests: mpsc::Receiver<Envelope>,
}

/// How far readers with a memory have come, by their name, as a seq of this log.
pub type Positions = BTreeMap<String, u64>;

/// Opens the doors of a log whose last given number is `head`.
#[must_use]
pub fn open(identity: Identity, head: u64, past: Box<dyn Past>, positions: Positions) -> (Door, Keeper) {
    let (requests, mailbox) = mpsc::channel(MAILBOX);
    let door = Door(Arc::new(Inner {
        identity,
        ring: Mutex::new(Ring::new(head)),
        shown: RwLock::new(Shown { positions, ..Shown::default() }),
        head: watch::Sender::new(head),
        durable: watch::Sender::new(head),
        rights: watch::Sender::new(0),
        uses: Mutex::default(),
        requests,
        past,
        searches: Semaphore::new(SEARCHES),
        days: Mutex::default(),
    }));
    (door.clone(), Keeper { door, requests: mailbox })
}

impl Keeper {
    /// The door it keeps.
    #[must_use]
    pub fn door(&self) -> &Door {
        &self.door
    }

    /// Numbers an event and shows it; `None` when no reserved number is left.
    pub fn append(&self, fresh: Fresh) -> Option<Arc<Entry>> {
        let entry = self.door.ring().append(|seq| Entry::new(Event { seq, fresh }))?;
        self.door.ledger().take(&entry.event.fresh);
        self.door.0.head.send_replace(entry.event.seq);
        Some(entry)
    }

    /// From now on totals of days are kept, by the days of `site`; `rows` are those that were on disk, and `log`
    /// holds the readings behind `after`.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn restore_days(
        &self,
        site: Site,
        rows: impl IntoIterator<Item = ((DeviceId, Day), DayRow)>,
        after: u64,
    ) -> std::io::Result<()> {
        let mut ledger = self.door.ledger();
        ledger.site = site;
        rows.into_iter().for_each(|((device, day), row)| ledger.days.restore(device, day, row));
        let past = &self.door.0.past;
        // Where nothing is known yet, what the log still holds is the beginning.
        let mut after = if ledger.days.is_empty() { past.oldest() } else { after.max(past.oldest()) };
        loop {
            let events = past.read(after, LOOK)?;
            let Some(last) = events.last() else { return Ok(()) };
            after = last.seq;
            events.iter().for_each(|event| ledger.take(&event.fresh));
        }
    }

    /// Erases from memory; gives the totals of days that go with it.
    #[must_use]
    pub fn erase(&self, what: &Erase) -> Vec<(DeviceId, Day)> {
        self.door.ring().replace(|entry| what.applied(&entry.event).map(Entry::new));
        let mut ledger = self.door.ledger();
        match what {
            Erase::Of(device) => ledger.days.erase(Some(device), Day::MAX),
            Erase::Before(unix_ms) => {
                // The day of that moment is not over.
                let day = ledger.site.day(*unix_ms);
                ledger.days.erase(None, day)
            }
        }
    }

    /// Totals of days that are not on disk.
    #[must_use]
    pub fn settle_days(&self, unix_ms: i64) -> Vec<(DeviceId, Day, Option<DayRow>)> {
        let mut ledger = self.door.ledger();
        let today = ledger.site.day(unix_ms);
        ledger.days.settle(today - DAYS_MAX)
    }

    /// Numbers left below the reserved ceiling.
    #[must_use]
    pub fn reserve_left(&self) -> u64 {
        self.door.ring().reserve_left()
    }

    /// The log has reserved numbers up to `ceiling`.
    pub fn raise_ceiling(&self, ceiling: u64) {
        self.door.ring().raise_ceiling(ceiling);
    }

    /// Events up to `seq` are synced.
    pub fn set_durable(&self, seq: u64) {
        self.door.0.durable.send_replace(seq);
    }

    /// All readers' positions, to be kept on disk.
    #[must_use]
    pub fn positions(&self) -> Positions {
        self.door.look(|shown| shown.positions.clone())
    }

    /// Shows a device as it is now.
    pub fn show_device(&self, device: Arc<Device>) {
        self.door.change(|shown| shown.devices.insert(device.id.clone(), device));
    }

    /// A device is gone.
    pub fn hide_device(&self, id: &DeviceId) {
        self.door.change(|shown| shown.devices.remove(id));
    }

    /// Shows a command as it is now.
    pub fn show_command(&self, command: Arc<Command>) {
        self.door.change(|shown| shown.commands.insert(command.id.clone(), command));
    }

    /// A command is no longer kept.
    pub fn hide_command(&self, id: &CommandId) {
        self.door.change(|shown| shown.commands.remove(id));
    }

    /// Shows a line as it is now.
    pub fn show_line(&self, health: Arc<LineHealth>) {
        self.door.change(|shown| match shown.lines.iter_mut().find(|line| line.line == health.line) {
            Some(line) => *line = health,
            None => shown.lines.push(health),
        });
    }
}

impl Door {
    fn ring(&self) -> MutexGuard<'_, Ring<Entry>> {
        self.0.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.days.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<R>(&self, with: impl FnOnce(&mut Shown) -> R) -> R {
        with(&mut self.0.shown.write().unwrap_or_else(PoisonError::into_inner))
    }

    fn look<R>(&self, with: impl FnOnce(&Shown) -> R) -> R {
        with(&self.0.shown.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A part of the gateway says how it fares; `true` when that is news.
    pub fn set_part(&self, name: &'static str, part: Part) -> bool {
        self.change(|shown| shown.parts.insert(name, part.clone()) != Some(part))
    }

    /// How far the reader `name` had come, when it last said so; survives a restart.
    #[must_use]
    pub fn position(&self, name: &str) -> Option<u64> {
        self.look(|shown| shown.positions.get(name).copied())
    }

    /// The reader `name` has delivered everything up to `seq`. Kept on disk soon, not at once: after a crash it
    /// may hear some events again.
    pub fn keep_position(&self, name: &str, seq: u64) {
        self.change(|shown| shown.positions.insert(name.to_owned(), seq));
    }

    /// Follows the durable head.
    #[must_use]
    pub fn durable(&self) -> watch::Receiver<u64> {
        self.0.durable.subscribe()
    }
}

impl Source for Door {
    fn identity(&self) -> &Identity {
        &self.0.identity
    }

    fn span(&self) -> Span {
        // The durable head first: it can only lag behind the head read after it.
        let durable = *self.0.durable.borrow();
        Span { oldest: self.0.past.oldest(), head: self.ring().head(), durable }
    }

    fn bytes(&self) -> Option<u64> {
        self.0.past.bytes()
    }

    async fn since(&self, after: u64, limit: usize) -> Result<Vec<Arc<Entry>>, ReadBroken> {
        if let Some(entries) = self.ring().since(after, limit) {
            return Ok(entries);
        }
        let inner = Arc::clone(&self.0);
        let events = tokio::task::spawn_blocking(move || inner.past.read(after, limit))
            .await
            .map_err(std::io::Error::other)??;
        Ok(events.into_iter().map(|event| Arc::new(Entry::new(event))).collect())
    }

    async fn wait(&self, after: u64) {
        let mut head = self.0.head.subscribe();
        // The sender lives in the door itself, so it cannot be gone while we wait.
        let _ = head.wait_for(|head| *head > after).await;
    }
}

impl Door {
    /// Looks at a device's readings behind `after`, a piece at a time, until `enough` or the head as it is now.
    async fn search(
        &self,
        device: &DeviceId,
        mut after: u64,
        mut enough: impl FnMut(Event) -> bool,
    ) -> Result<(), ReadBroken> {
        let head = self.span().head;
        while after < head {
            let (inner, device) = (Arc::clone(&self.0), device.clone());
            let looked = move || inner.past.readings(&device, after, LOOK);
            let (events, upto) =
                tokio::task::spawn_blocking(looked).await.map_err(std::io::Error::other)??;
            if events.into_iter().any(&mut enough) || upto == after {
                break;
            }
            after = upto;
        }
        Ok(())
    }
}

impl History for Door {
    async fn readings(&self, wanted: Wanted, rows_max: usize) -> Result<Page, ReadBroken> {
        // Closed never: it lives as long as the door.
        let _turn = self.0.searches.acquire().await;
        let (device, after) = (wanted.device.clone(), self.0.past.before(wanted.starts_ms()));
        let mut gatherer = Gatherer::new(wanted, rows_max);
        self.search(&device, after, |event| {
            if let Body::Reading(reading) = event.fresh.body {
                gatherer.take(&history::Sample { seq: event.seq, unix_ms: event.fresh.unix_ms, reading });
            }
            false
        })
        .await?;
        Ok(gatherer.page())
    }

    async fn remembers(&self, device: &DeviceId) -> Result<bool, ReadBroken> {
        if self.ledger().days.knows(device) {
            return Ok(true);
        }
        let _turn = self.0.searches.acquire().await;
        let mut found = false;
        self.search(device, self.0.past.oldest(), |_| {
            found = true;
            true
        })
        .await?;
        Ok(found)
    }

    fn energy(&self, device: &DeviceId, days: u16, unix_ms: i64) -> Energy {
        let ledger = self.ledger();
        let today = ledger.site.day(unix_ms);
        let days: Vec<Day> = (today + 1 - Day::from(days)..=today).collect();
        let starts: Vec<i64> =
            days.iter().chain([&(today + 1)]).map(|day| ledger.site.start_ms(*day)).collect();
        let totals = ledger.days.totals(device, &starts);
        let told = days.into_iter().zip(totals).filter_map(|(day, total)| Some((day, total?)));
        Energy { timezone: Arc::clone(ledger.site.name()), days: told.collect() }
    }
}

impl Commands for Door {
    fn devices(&self) -> Vec<Arc<Device>> {
        self.look(|shown| shown.devices.values().cloned().collect())
    }

    fn device(&self, id: &DeviceId) -> Option<Arc<Device>> {
        self.look(|shown| shown.devices.get(id).cloned())
    }

    fn command(&self, id: &CommandId) -> Option<Arc<Command>> {
        self.look(|shown| shown.commands.get(id).map(|command| shown.as_of_now(command)))
    }

    fn open_commands(&self) -> Vec<Arc<Command>> {
        self.look(|shown| {
            let open = shown.commands.values().filter(|command| !command.state.settled());
            open.map(|command| shown.as_of_now(command)).collect()
        })
    }

    fn lines(&self) -> Vec<Arc<LineHealth>> {
        self.look(|shown| shown.lines.clone())
    }

    fn parts(&self) -> Vec<(&'static str, Part)> {
        self.look(|shown| shown.parts.iter().map(|(name, part)| (*name, part.clone())).collect())
    }

    async fn ask(&self, by: By, request: Request) -> Answer {
        let (answer, answered) = oneshot::channel();
        self.0.requests.send(Envelope { by, request, answer }).await.map_err(|_| Refused::Stopping)?;
        answered.await.map_err(|_| Refused::Stopping)?
    }

    async fn command_after(
        &self,
        id: &CommandId,
        version: Option<u32>,
        wait: Duration,
    ) -> Option<Arc<Command>> {
        let news = |command: &Command| match version {
            Some(version) => command.version != version,
            None => command.state.settled(),
        };
        let mut head = self.0.head.subscribe();
        let waiting = async {
            // Every transition is an event, and is shown before its event: looking after each step of the head is enough.
            while self.command(id).is_some_and(|command| !news(&command)) {
                if head.changed().await.is_err() {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(wait, waiting).await;
        self.command(id)
    }
}
