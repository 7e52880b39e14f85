//! The socket's verbs, and what goes on in it without anybody asking. What comes and goes is in the files beside.

use plugline_protocol::messages::Capabilities;
use plugline_protocol::security::Key;
use plugline_protocol::timing::{JOIN_COMMIT_MS, LineRate, POWER_UP_WAIT_MAX_MS};
use plugline_protocol::{Eui64, NetworkId, ShortAddress};

use crate::clock::{Clock, Minutes};
use crate::counts::Counts;
use crate::log::Log;
use crate::meter::Meter;
use crate::outbox::{Lane, Outbox};
use crate::panel::{Button, Touch};
use crate::random::{Draws, Random};
use crate::relay::Relay;
use crate::settings::Settings;
use crate::time::{Alarm, LAST_US, ms};
use crate::{Board, Led, Limits, Options, Sample, Transmit, Transmitted};

mod command;
mod joining;
mod memory;
mod receive;
mod report;

use report::{News, Reports};

/// Answers that need a counter want it without a wait for the board: the ceiling is raised this much ahead of need.
const CEILING_AHEAD: u32 = 64;

/// What the maker wrote into this socket.
#[derive(Clone, Debug)]
pub struct Factory {
    /// Its name.
    pub eui: Eui64,
    /// The key on its label.
    pub install_key: Key,
    /// The maker's number of this hardware.
    pub hardware: u16,
    /// What it can do.
    pub capabilities: Capabilities,
    /// What it may carry.
    pub limits: Limits,
    /// The bearer's rate.
    pub rate: LineRate,
    /// Frames on the line carry a CRC: the bearer has no check of its own.
    pub crc: bool,
}

/// Why the socket starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Power came: the relay does what its option says.
    PowerOn,
    /// [`Output::Restart`], a watchdog, new firmware: the relay stays as it is.
    Restart,
}

/// Whether the socket belongs to a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    /// It asks to be let in.
    Unjoined,
    /// It has keys; the gateway has not acknowledged a REPORT under them yet.
    Pending(NetworkId, ShortAddress),
    /// It belongs.
    Joined(NetworkId, ShortAddress),
}

/// What the socket wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output<'a> {
    /// Close or open the relay.
    Relay {
        /// `true` closes it: power on.
        on: bool,
    },
    /// Show this until told otherwise.
    Led(Led),
    /// Put a frame on the line, then tell [`Socket::handle_transmitted`]. There is never a second one before that.
    Transmit(Transmit<'a>),
    /// Start anew ([`Start::Restart`]).
    Restart,
}

/// One try to join.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    nonce: [u8; 8],
    since_us: u64,
}

/// The socket. See the crate's page for how to drive it.
#[derive(Debug)]
pub struct Socket<B> {
    factory: Factory,
    board: B,
    settings_log: Log,
    journal: Log,
    settings: Settings,
    /// The board did not take the settings: nothing is sent that could need them.
    fault: bool,
    /// Its life began: what a start writes is written.
    alive: bool,
    /// Import and export as the journal has them.
    stored: Option<(u32, u32)>,
    now_us: u64,
    draws: Draws,
    random: Random,
    clock: Clock,
    meter: Meter,
    relay: Relay,
    button: Button,
    outbox: Outbox,
    reports: Reports,
    counts: Counts,
    wants_sync: bool,
    /// Nothing unasked is sent before this.
    hold_us: u64,
    attempt: Option<Attempt>,
    /// The next JOIN-UP.
    join: Alarm,
    /// How often it asked since somebody had his hand on it.
    asked: u8,
    /// A place that nobody confirmed is given up.
    commit: Alarm,
    /// The light is normal again.
    identify: Alarm,
    leave: Alarm,
    restart: Alarm,
    /// A minute after each of the last RESPONSEs `stale`; the next one waits for the oldest.
    stale: [Alarm; command::STALE_A_MINUTE],
    stale_next: usize,
    shown_relay: Option<bool>,
    shown_led: Option<Led>,
}

impl<B: Board> Socket<B> {
    /// Starts with what the board has; what a start writes is written at the first `handle_…`, which is due at once.
    /// `entropy` is 128 fresh random bits: noise of a converter, a generator of the
    /// chip; the nonces of joining come from it.
    #[must_use]
    #[inline(never)] // the caller's stack holds the socket once
    pub fn new(factory: Factory, board: B, start: Start, entropy: [u32; 4], now_us: u64) -> Self {
        let now_us = now_us.min(LAST_US);
        let mut socket = Self {
            factory,
            board,
            settings_log: Log::EMPTY,
            journal: Log::EMPTY,
            settings: Settings::default(),
            fault: false,
            alive: false,
            stored: None,
            now_us,
            draws: Draws::new(entropy),
            random: Random::new([0; 8]),
            clock: Clock::new(now_us),
            meter: Meter::default(),
            relay: Relay::default(),
            button: Button::default(),
            outbox: Outbox::new(),
            reports: Reports::new(News::BOOTED),
            counts: Counts::default(),
            wants_sync: true,
            hold_us: now_us,
            attempt: None,
            join: Alarm::OFF,
            asked: 0,
            commit: Alarm::OFF,
            identify: Alarm::OFF,
            leave: Alarm::OFF,
            restart: Alarm::OFF,
            stale: [Alarm::at(0); command::STALE_A_MINUTE],
            stale_next: 0,
            shown_relay: None,
            shown_led: None,
        };
        let known = socket.recall_settings();
        socket.recall_journal(known, start);
        socket
    }

    /// A frame was on the line; its last octet ended at `received_us`. It has its CRC where the bearer has no check of
    /// its own.
    pub fn handle_frame(&mut self, frame: &[u8], received_us: u64, now_us: u64) {
        self.begin(now_us);
        self.receive(frame, received_us.min(self.now_us));
        self.settle();
    }

    /// The [`Output::Transmit`] ended so.
    pub fn handle_transmitted(&mut self, how: Transmitted, now_us: u64) {
        self.begin(now_us);
        if self.outbox.transmitted(how, self.now_us) == Some(Lane::Listen) {
            self.reports.sent(self.now_us, self.factory.rate);
        }
        self.settle();
    }

    /// Somebody began or stopped to be heard. A bearer that cannot tell need not; the socket then learns it from
    /// [`Transmitted::Busy`].
    pub fn handle_carrier(&mut self, busy: bool, now_us: u64) {
        self.begin(now_us);
        self.outbox.carrier(busy, self.now_us);
        self.settle();
    }

    /// The meter says something, several times a second: the protections live on it.
    pub fn handle_metering(&mut self, sample: &Sample, now_us: u64) {
        self.begin(now_us);
        self.meter.measure(sample, self.now_us);
        let limits = self.limits();
        if self.relay.protect(sample, &limits, self.now_us) {
            self.store_energy();
            self.tell(News::RELAY);
        }
        self.settle();
    }

    /// The button went down or came up, bounces taken out. Held for ten seconds it makes the socket leave its network.
    pub fn handle_button(&mut self, down: bool, now_us: u64) {
        self.begin(now_us);
        let touch = self.button.moved(down, self.now_us);
        self.touched(touch);
        self.settle();
    }

    /// The supply is going: milliseconds are left. Energy since the last minute is stored.
    pub fn handle_power_failing(&mut self, now_us: u64) {
        self.begin(now_us);
        self.stored_energy();
    }

    /// Time went on.
    pub fn handle_timeout(&mut self, now_us: u64) {
        self.begin(now_us);
        let touch = self.button.tick(self.now_us);
        self.touched(touch);
        self.settle();
    }

    /// What is to be done now; call until `None`. The frame of a [`Transmit`] is to be copied.
    pub fn poll_output(&mut self) -> Option<Output<'_>> {
        let on = self.relay.is_on();
        if self.factory.capabilities.relay && self.shown_relay != Some(on) {
            self.shown_relay = Some(on);
            return Some(Output::Relay { on });
        }
        let led = self.led();
        if self.shown_led != Some(led) {
            self.shown_led = Some(led);
            return Some(Output::Led(led));
        }
        if self.restart.take_if_due(self.now_us) {
            return Some(Output::Restart);
        }
        self.outbox.poll(self.now_us).map(Output::Transmit)
    }

    /// When [`Self::handle_timeout`] is to be called, if nothing happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> u64 {
        if !self.alive {
            return self.now_us;
        }
        let mut next = self.outbox.alarm().min(self.button.alarm());
        for alarm in [self.commit, self.identify, self.leave, self.restart] {
            next = next.min(alarm);
        }
        // While the bearer has the frame of the listening lane, no other one is made.
        let free = !self.outbox.is_on_air(Lane::Listen);
        if self.settings.place.is_none() {
            next = if free && !self.fault { next.min(self.join) } else { next };
        } else if !self.leave.is_set() {
            next = next.min(self.reports.alarm(free));
        }
        next.us().min(self.clock.next_us())
    }

    /// Whether it belongs to a network.
    #[must_use]
    pub fn membership(&self) -> Membership {
        match &self.settings.place {
            Some(place) if place.committed => Membership::Joined(place.identity.network, place.short()),
            Some(place) => Membership::Pending(place.identity.network, place.short()),
            None => Membership::Unjoined,
        }
    }

    /// The relay is closed.
    #[must_use]
    pub fn relay_on(&self) -> bool {
        self.relay.is_on()
    }

    /// What commands have set.
    #[must_use]
    pub fn options(&self) -> Options {
        self.settings.options
    }

    /// What was dropped.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The registers of imported and exported energy, in 0.1 Wh.
    #[must_use]
    pub fn energy_100mwh(&self) -> (u32, u32) {
        self.meter.registers()
    }

    /// Starts since manufacture, this one included.
    #[must_use]
    pub fn starts(&self) -> u16 {
        self.settings.starts
    }

    /// The maker's part.
    #[must_use]
    pub fn factory(&self) -> &Factory {
        &self.factory
    }

    /// The board.
    #[must_use]
    pub fn board(&self) -> &B {
        &self.board
    }

    /// Power goes: what is left is the board.
    #[must_use]
    pub fn into_board(self) -> B {
        self.board
    }
}

/// The start.
impl<B: Board> Socket<B> {
    /// Not in [`Self::new`], whose stack holds the socket twice. Not inlined: its own is gone when work begins.
    #[inline(never)]
    fn begin_life(&mut self) {
        self.alive = true;
        self.draws.begin(self.settings.starts);
        self.random = Random::new(self.draws.nonce());
        self.hold_us = self.now_us + ms(self.random.up_to(POWER_UP_WAIT_MAX_MS));
        self.join = Alarm::at(self.hold_us);
        self.commit = pending_until(&self.settings, self.now_us);
        // The new ceiling and the number of this start, before anything is sent.
        self.save();
        self.store_energy();
        self.reports.event_at(self.hold_us);
        self.plan_report();
    }
}

/// What goes on.
impl<B: Board> Socket<B> {
    fn begin(&mut self, now_us: u64) {
        self.now_us = self.now_us.max(now_us.min(LAST_US));
        if !self.alive {
            self.begin_life();
        }
        self.turn_minutes();
    }

    fn turn_minutes(&mut self) {
        while let Some(minutes) = self.clock.tick(self.now_us) {
            self.meter.turn();
            self.reports.turn();
            self.store_energy();
            if minutes == Minutes::Anew {
                self.count_anew();
            }
            self.plan_report();
        }
        // Erasing takes long; here nobody waits for an answer.
        self.journal.prepare(&mut self.board);
        self.settings_log.prepare(&mut self.board);
        self.raise_ceiling();
    }

    fn count_anew(&mut self) {
        self.meter.forget_minutes();
        self.reports.count_anew();
    }

    fn raise_ceiling(&mut self) {
        let near =
            |place: &crate::place::Place| place.counters.ceiling() - place.counters.sent() < CEILING_AHEAD;
        if self.fault {
            self.save();
        } else if let Some(place) = self.settings.place.as_mut().filter(|place| near(place)) {
            // Used up: the socket leaves when it wants the next one.
            if place.counters.raise().is_some() {
                self.save();
            }
        }
    }

    fn settle(&mut self) {
        let now_us = self.now_us;
        self.identify.take_if_due(now_us);
        if self.leave.is_due(now_us) || self.commit.is_due(now_us) {
            self.leave();
        }
        if self.settings.place.is_none() {
            self.ask_to_join();
        } else if !self.leave.is_set() {
            self.report();
        }
        self.outbox.settle(now_us, &mut self.random);
    }

    /// Forgets network and keys, and asks to be let in again.
    fn leave(&mut self) {
        self.settings.place = None;
        (self.leave, self.commit, self.attempt) = (Alarm::OFF, Alarm::OFF, None);
        self.outbox.stop_unasked();
        self.reports.stop();
        self.clock.forget();
        self.ask_soon();
        self.save();
    }

    fn touched(&mut self, touch: Option<Touch>) {
        match touch {
            Some(Touch::Leave) if self.settings.place.is_some() => self.leave(),
            Some(Touch::Press) => {
                if self.settings.place.is_none() {
                    self.ask_soon();
                }
                let changed = self.factory.capabilities.relay && self.relay.press();
                if changed {
                    self.store_energy();
                }
                self.tell(if changed { News::BUTTON.with(News::RELAY) } else { News::BUTTON });
            }
            Some(Touch::Leave) | None => {}
        }
    }

    fn limits(&self) -> Limits {
        let own = self.factory.limits;
        match self.settings.options.limit_ma {
            0 => own,
            limit_ma => Limits { current_ma: limit_ma.min(own.current_ma), ..own },
        }
    }

    fn led(&self) -> Led {
        if self.identify.is_set() {
            Led::Identify
        } else if self.fault {
            Led::Fault
        } else if self.relay.is_locked_out() {
            Led::LockedOut
        } else if self.settings.place.is_none() {
            Led::Searching
        } else if self.relay.is_on() {
            Led::On
        } else {
            Led::Off
        }
    }
}

fn pending_until(settings: &Settings, now_us: u64) -> Alarm {
    match &settings.place {
        Some(place) if !place.committed => Alarm::at(now_us + ms(JOIN_COMMIT_MS)),
        Some(_) | None => Alarm::OFF,
    }
}
