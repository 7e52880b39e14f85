//! What is reported, when, and until when it counts as not yet told. Spec: protocol-spec/messages.md §6.1, timing.md
//! §4.2, §4.3.

use plugline_protocol::messages::{Extensions, History, Report};
use plugline_protocol::reading::{Flags, Reading};
use plugline_protocol::timing::{
    CSMA_DOUBLINGS_MAX, CSMA_JITTER_PERCENT, LineRate, REPORT_TRIES, SUPERFRAME_MS,
};

use super::Socket;
use crate::Board;
use crate::outbox::{LEAD_US, Lane, ack_wait_us};
use crate::time::{Alarm, ms};

/// A pending socket whose REPORT nobody acknowledged makes the next one after this …
const PENDING_AGAIN_MIN_MS: u32 = 5_000;
/// … or up to this, twice as late for each one before …
const PENDING_AGAIN_MAX_MS: u32 = 10_000;
/// … up to 40 … 80 s: a line that is full because many join must not be kept full by them.
const PENDING_DOUBLINGS_MAX: u8 = 3;

/// What happened and was not acknowledged yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct News(u8);

impl News {
    pub(super) const BOOTED: Self = Self(1);
    pub(super) const ENERGY_RESET: Self = Self(2);
    pub(super) const BUTTON: Self = Self(4);
    pub(super) const RELAY: Self = Self(8);

    pub(super) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// A REPORT that asked for an ACK.
#[derive(Clone, Copy, Debug)]
struct Asked {
    counter: u32,
    told: News,
    /// How often it may still be sent.
    tries: u8,
    /// Nobody acknowledged it by then.
    ack: Alarm,
}

/// What is to be reported.
#[derive(Clone, Debug)]
pub(super) struct Reports {
    news: News,
    /// What each REPORT of this superframe told; `None`: there was none yet.
    told_now: Option<News>,
    /// The same of the superframe before, until a BEACON says that one of them arrived.
    told_before: Option<News>,
    /// The next scheduled report …
    due: Alarm,
    /// … in the slot that begins then, or by listening from then on.
    in_slot: bool,
    /// This superframe's scheduled report is over, or was left out.
    done: bool,
    /// Superframes until the next scheduled report.
    countdown: u8,
    /// A REPORT with ACK-REQUEST is to be made at this time.
    event: Alarm,
    asked: Option<Asked>,
    /// REPORTs in a row that nobody acknowledged, since a BEACON was heard.
    unheard: u8,
}

impl Reports {
    pub(super) fn new(news: News) -> Self {
        Self {
            news,
            told_now: None,
            told_before: None,
            due: Alarm::OFF,
            in_slot: false,
            done: false,
            countdown: 0,
            event: Alarm::OFF,
            asked: None,
            unheard: 0,
        }
    }

    /// A REPORT with ACK-REQUEST is made at this time.
    pub(super) fn event_at(&mut self, at_us: u64) {
        self.event = Alarm::at(at_us);
    }

    /// A superframe is over.
    pub(super) fn turn(&mut self) {
        self.told_before = self.told_now.take();
        self.done = false;
        self.countdown = self.countdown.saturating_sub(1);
    }

    /// Superframes are numbered anew.
    pub(super) fn count_anew(&mut self) {
        (self.told_now, self.told_before, self.done) = (None, None, false);
        self.countdown = self.countdown.saturating_sub(1);
    }

    /// The socket is in no network any more. News stay news.
    pub(super) fn stop(&mut self) {
        let news = self.news;
        *self = Self::new(news);
    }

    /// The frame of the listening lane is on its way: wait for its ACK.
    pub(super) fn sent(&mut self, now_us: u64, rate: LineRate) {
        if let Some(asked) = &mut self.asked {
            asked.tries = asked.tries.saturating_sub(1);
            asked.ack = Alarm::at(now_us + ack_wait_us(rate));
        }
    }

    /// The counter of the REPORT that waits for an acknowledgement.
    pub(super) fn asked_counter(&self) -> Option<u32> {
        self.asked.as_ref().map(|asked| asked.counter)
    }

    /// A BEACON says that a REPORT of the superframe before arrived.
    pub(super) fn arrived(&mut self) {
        if let Some(told) = self.told_before.take() {
            self.news = self.news.without(told);
        }
    }

    fn made(&mut self) {
        self.told_now = Some(self.told_now.map_or(self.news, |told| told.both(self.news)));
    }

    /// Something that happened again was not told by frames made before.
    fn happened(&mut self, news: News) {
        self.news = self.news.with(news);
        let told = [
            self.told_now.as_mut(),
            self.told_before.as_mut(),
            self.asked.as_mut().map(|asked| &mut asked.told),
        ];
        told.into_iter().flatten().for_each(|told| *told = told.without(news));
    }

    /// When there is something to do; `free`: an event could be made now.
    pub(super) fn alarm(&self, free: bool) -> Alarm {
        let due = match self.in_slot && self.due.is_set() {
            true => Alarm::at(self.due.us().saturating_sub(LEAD_US)),
            false => self.due,
        };
        let ack = self.asked.as_ref().map_or(Alarm::OFF, |asked| asked.ack);
        due.min(ack).min(if free { self.event } else { Alarm::OFF })
    }
}

impl<B: Board> Socket<B> {
    /// Something happened that the gateway is to know at once.
    pub(super) fn tell(&mut self, news: News) {
        self.reports.happened(news);
        self.reports.event_at(self.now_us.max(self.hold_us));
    }

    /// Slots may have moved, come or gone.
    pub(super) fn plan_report(&mut self) {
        let Some(place) = &self.settings.place else {
            self.reports.due = Alarm::OFF;
            return;
        };
        let slot = self.clock.slot(place.slot, self.now_us);
        let reports = &mut self.reports;
        if slot.is_set() {
            (reports.in_slot, reports.unheard) = (true, 0);
            reports.due = if reports.done || slot.us() < self.now_us { Alarm::OFF } else { slot };
        } else if reports.in_slot || !reports.due.is_set() {
            // All sockets lose a BEACON at once: they begin spread over a minute.
            reports.in_slot = false;
            reports.due = Alarm::at(self.now_us + ms(self.random.up_to(SUPERFRAME_MS)));
        }
    }

    /// Makes the REPORTs whose time has come.
    pub(super) fn report(&mut self) {
        self.await_ack();
        let due = self.reports.due;
        if self.reports.in_slot && due.is_due(self.now_us + LEAD_US) {
            self.report_in_slot(due);
        } else if !self.reports.in_slot && due.is_due(self.now_us) {
            self.report_by_listening();
        }
        if !self.outbox.is_on_air(Lane::Listen) && self.reports.event.take_if_due(self.now_us) {
            self.report_event();
        }
    }

    fn report_in_slot(&mut self, slot: Alarm) {
        if self.clock.is_free_running(self.now_us) {
            // The BEACON was lost since this was planned.
            return self.plan_report();
        }
        self.meter.sample_minute();
        (self.reports.due, self.reports.done) = (Alarm::OFF, true);
        if self.reports.countdown > 0 || self.now_us < self.hold_us {
            return;
        }
        self.reports.countdown = self.settings.options.interval_min;
        if self.make_report(Lane::Slot, false).is_some() {
            self.outbox.at_slot(slot);
        }
    }

    fn report_by_listening(&mut self) {
        self.meter.sample_minute();
        let percent = 100 - CSMA_JITTER_PERCENT + self.random.up_to(2 * CSMA_JITTER_PERCENT);
        let doubled = 1 << self.reports.unheard.min(CSMA_DOUBLINGS_MAX);
        let minutes = u32::from(self.settings.options.interval_min).max(doubled);
        let interval_ms = SUPERFRAME_MS / 100 * percent * minutes;
        self.reports.due = Alarm::at(self.now_us + ms(interval_ms));
        self.reports.event_at(self.now_us.max(self.hold_us));
    }

    fn report_event(&mut self) {
        if let Some(counter) = self.make_report(Lane::Listen, true) {
            let told = self.reports.news;
            self.reports.asked = Some(Asked { counter, told, tries: REPORT_TRIES, ack: Alarm::OFF });
            self.outbox.contend(self.now_us, false);
        }
    }

    /// Sends a REPORT again that nobody acknowledged, or gives it up.
    fn await_ack(&mut self) {
        let now_us = self.now_us;
        let Some(asked) = &mut self.reports.asked else { return };
        if !asked.ack.take_if_due(now_us) {
            return;
        }
        if asked.tries > 0 {
            self.outbox.contend(now_us.max(self.hold_us), true);
            return;
        }
        let doublings = self.reports.unheard.min(PENDING_DOUBLINGS_MAX);
        self.reports.unheard = self.reports.unheard.saturating_add(1);
        if self.commit.is_set() {
            let wait_ms =
                PENDING_AGAIN_MIN_MS + self.random.up_to(PENDING_AGAIN_MAX_MS - PENDING_AGAIN_MIN_MS);
            self.reports.event_at(now_us + ms(wait_ms << doublings));
        }
    }

    /// The REPORT that waited arrived.
    pub(super) fn acknowledged(&mut self) {
        let Some(asked) = self.reports.asked.take() else { return };
        self.outbox.stop_listening();
        self.reports.unheard = 0;
        self.reports.news = self.reports.news.without(asked.told);
        self.commit();
    }

    /// The gateway has shown that it uses these keys: the socket belongs to the network.
    pub(super) fn commit(&mut self) {
        if let Some(place) = self.settings.place.as_mut().filter(|place| !place.committed) {
            place.committed = true;
            self.commit = Alarm::OFF;
            self.save();
        }
    }

    /// Makes a REPORT in a lane's frame; gives its counter.
    fn make_report(&mut self, lane: Lane, ack_request: bool) -> Option<u32> {
        let export = self.meter.tells_export();
        let (reading, history) = self.reading(export);
        let report = Report { minute: self.clock.minute(), reading, history, extensions: Extensions::NONE };
        let counter = self.take_counter()?;
        let place = self.settings.place.as_ref()?;
        let made =
            self.outbox.fill(lane, self.factory.crc, |out| place.seal(ack_request, counter, &report, out));
        self.meter.reported(export);
        self.reports.made();
        made.then_some(counter)
    }

    /// The reading as of now; its energy is in the journal.
    pub(super) fn reading(&mut self, export: bool) -> (Reading, History) {
        let stored = self.stored_energy();
        let (reading, history) = self.meter.reading(export, stored, self.now_us);
        let news = self.reports.news;
        let flags = Flags {
            booted: news.has(News::BOOTED),
            energy_reset: news.has(News::ENERGY_RESET),
            button: news.has(News::BUTTON),
            export,
            free_running: self.clock.is_free_running(self.now_us),
            sync: self.wants_sync,
            ..self.relay.flags()
        };
        (Reading { flags, ..reading }, history)
    }

    /// The counter of the next frame under K_up; `None` while the board does not store the ceiling, or when it is used
    /// up: then the socket leaves.
    pub(super) fn take_counter(&mut self) -> Option<u32> {
        if self.fault {
            return None;
        }
        let place = self.settings.place.as_mut()?;
        if let Some(counter) = place.counters.take() {
            return Some(counter);
        }
        if place.counters.raise().is_none() {
            self.leave();
            return None;
        }
        if !self.save() {
            return None;
        }
        self.settings.place.as_mut()?.counters.take()
    }

    /// `received` of a BEACON, for this socket's slot. A pending socket's may have been given to another one.
    pub(super) fn reports_arrived(&mut self) {
        if !self.commit.is_set() {
            self.reports.arrived();
        }
    }
}
