//! The modem's side towards the wire: it owns carrier sense and the slot clock, and now and then it sulks.
//!
//! Requests and events are plain values; how they are framed towards the host is not known here. What is in a frame
//! is not known either, but for the CRC that the modem adds and takes off. Its times are those of its own clock,
//! which starts at 0 with each boot.
//!
//! The caller advances the [`Line`] first, hands over what came to the modem's node, then calls
//! [`Modem::handle_timeout`] and drains [`Modem::poll_event`].

pub(crate) mod clock;
mod sulk;

use std::collections::VecDeque;

pub use sulk::{Sulk, SulkKind};

use crate::mains::line::{Delivery, FRAME_BYTES_MAX, Line};
use crate::mains::modem::clock::Clock;
use crate::mains::wiring::Node;
use crate::random::{Random, mix};

/// The CRC at the end of a frame on the wire, low byte first.
const CRC: crc::Crc<u16> = crc::Crc::<u16>::new(&crc::CRC_16_IBM_SDLC);
/// Its length.
const CRC_BYTES: usize = 2;
/// The longest run of garbage at a boot, in bytes.
const GARBAGE_BYTES_MAX: u64 = 48;
/// Events that a host has not fetched; older ones are lost, as in a UART.
const EVENTS_MAX: usize = 1024;

/// How a modem is made. The default is a good one on node 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModemSetup {
    /// Where it is plugged in.
    pub node: Node,
    /// How much its clock is too fast, in parts in a million.
    pub clock_ppm: i32,
    /// How long the line must have been silent before it sends, in µs.
    pub listen_us: u64,
    /// A request that found the line taken waits up to so much longer, in µs: two that waited for the same frame to end
    /// do not meet.
    pub shift_us: u64,
    /// Requests that it keeps; one more is refused as busy.
    pub queue_max: usize,
    /// From power to its first word, in µs.
    pub boot_us: u64,
    /// Whether it adds a CRC-16/X-25 to frames and drops those whose CRC is wrong.
    pub crc: bool,
    /// What goes wrong, by time.
    pub sulks: Vec<Sulk>,
    /// Decides the rest.
    pub seed: u64,
}

impl Default for ModemSetup {
    fn default() -> Self {
        Self {
            node: 0,
            clock_ppm: 0,
            listen_us: 4_000,
            shift_us: 10_000,
            queue_max: 4,
            boot_us: 300_000,
            crc: true,
            sulks: Vec::new(),
            seed: 1,
        }
    }
}

/// A frame to be sent within a window of the modem's time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxRequest {
    /// Comes back in the confirm.
    pub id: u32,
    /// Not earlier than this; 0 for at once.
    pub not_before_us: u64,
    /// Its first bit not later than this.
    pub not_after_us: u64,
    /// The bytes, without the CRC.
    pub frame: Vec<u8>,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TxResult {
    /// The last bit is on the wire.
    Sent,
    /// No room in the queue, or no wish to work.
    Busy,
    /// Its window was over when it came.
    Late,
    /// The line was not free within its window.
    ChannelBusy,
    /// Empty or too long.
    BadFrame,
}

/// Why a modem started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BootReason {
    /// It got power.
    PowerOn,
    /// It fell over by itself.
    Fault,
    /// The host asked.
    Host,
}

/// What a modem tells its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModemEvent {
    /// Bytes without meaning on the serial line, at a boot.
    Garbage(Vec<u8>),
    /// It started, its clock at 0 a boot time ago. All requests from before are lost.
    Started {
        /// Another one each time.
        boot_id: u32,
        /// Why.
        reason: BootReason,
    },
    /// A frame from the wire.
    Received {
        /// When its preamble started, by the modem's clock.
        start_us: u64,
        /// When it was over.
        end_us: u64,
        /// Signal over noise in dB.
        snr_db: i8,
        /// The bytes, without the CRC.
        frame: Vec<u8>,
    },
    /// What became of a request.
    Confirmed {
        /// The request's.
        id: u32,
        /// How it ended.
        result: TxResult,
        /// When its first bit went out by the modem's clock; 0 if it did not.
        started_us: u64,
        /// How long it held the line; 0 if it did not.
        airtime_us: u64,
    },
}

/// Counters since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModemStats {
    /// Frames sent to their end.
    pub sent: u64,
    /// Frames handed to the host.
    pub received: u64,
    /// Frames dropped for their CRC.
    pub crc_errors: u64,
    /// Requests that ended without being sent.
    pub refused: u64,
    /// Boots, the first one included.
    pub boots: u32,
    /// Frames and requests lost in a boot or a hang.
    pub swallowed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Booting { until_us: u64, reason: BootReason },
    Running,
    Hung { until_us: Option<u64> },
}

/// A request in the queue.
#[derive(Clone, Debug)]
struct Waiting {
    request: TxRequest,
    /// It found the line taken: it does not look before this time of the line.
    look_us: u64,
}

/// A frame on its way out, times of the line.
#[derive(Clone, Copy, Debug)]
struct Sending {
    id: u32,
    start_us: u64,
    end_us: u64,
}

/// The modem.
#[derive(Clone, Debug)]
pub struct Modem {
    setup: ModemSetup,
    state: State,
    clock: Clock,
    random: Random,
    queue: Vec<Waiting>,
    sending: Option<Sending>,
    /// It has not listened before this time of the line.
    deaf_us: u64,
    busy_until_us: u64,
    lose_confirm: bool,
    next_sulk: usize,
    events: VecDeque<ModemEvent>,
    stats: ModemStats,
}

impl Modem {
    /// A modem that gets power at time 0.
    #[must_use]
    pub fn new(mut setup: ModemSetup) -> Self {
        setup.sulks.sort_by_key(|sulk| sulk.at_us);
        let until_us = setup.boot_us;
        Self {
            state: State::Booting { until_us, reason: BootReason::PowerOn },
            clock: Clock::new(0, setup.clock_ppm),
            random: Random::new(mix(setup.seed, 0x6d6f_6465)),
            queue: Vec::new(),
            sending: None,
            deaf_us: 0,
            busy_until_us: 0,
            lose_confirm: false,
            next_sulk: 0,
            events: VecDeque::new(),
            stats: ModemStats::default(),
            setup,
        }
    }

    /// What its clock shows.
    #[must_use]
    pub fn clock_us(&self, now_us: u64) -> u64 {
        self.clock.shown_us(now_us)
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> ModemStats {
        self.stats
    }

    /// Whether it hears its host: it neither boots nor hangs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.state == State::Running
    }

    /// Requests that wait.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Requests that it keeps at once.
    #[must_use]
    pub fn queue_max(&self) -> usize {
        self.setup.queue_max
    }

    /// Whether it adds and takes off the CRC of frames.
    #[must_use]
    pub fn has_crc(&self) -> bool {
        self.setup.crc
    }

    /// Takes a request out of the queue; `false` if it does not wait there. Nothing is told about it.
    pub fn cancel(&mut self, id: u32) -> bool {
        let before = self.queue.len();
        self.queue.retain(|waiting| waiting.request.id != id);
        self.queue.len() < before
    }

    /// Takes all requests out of the queue. What is on the wire goes to its end.
    pub fn cancel_all(&mut self) {
        self.queue.clear();
    }

    /// Asks it to send. The answer is a confirm, or none if it does not listen.
    pub fn request(&mut self, request: TxRequest, now_us: u64) {
        if self.state != State::Running {
            self.stats.swallowed += 1;
            return;
        }
        let room = FRAME_BYTES_MAX - if self.setup.crc { CRC_BYTES } else { 0 };
        let refused = if request.frame.is_empty() || request.frame.len() > room {
            Some(TxResult::BadFrame)
        } else if now_us < self.busy_until_us || self.queue.len() >= self.setup.queue_max {
            Some(TxResult::Busy)
        } else if request.not_after_us < self.clock_us(now_us).max(request.not_before_us) {
            Some(TxResult::Late)
        } else {
            None
        };
        match refused {
            Some(result) => self.refuse(request.id, result),
            None => self.queue.push(Waiting { request, look_us: 0 }),
        }
    }

    /// The host resets it.
    pub fn reset(&mut self, now_us: u64, line: &mut Line) {
        self.fall(BootReason::Host, now_us, line);
    }

    /// A frame that came to its node, at the time of the delivery.
    pub fn handle_delivery(&mut self, delivery: &Delivery) {
        if delivery.node != self.setup.node {
            return;
        }
        if self.state != State::Running {
            self.stats.swallowed += 1;
            return;
        }
        let Some(frame) = self.checked(&delivery.bytes) else {
            self.stats.crc_errors += 1;
            return;
        };
        self.stats.received += 1;
        self.tell(ModemEvent::Received {
            start_us: self.clock.shown_us(delivery.start_us),
            end_us: self.clock.shown_us(delivery.end_us),
            snr_db: delivery.snr_db,
            frame: frame.to_vec(),
        });
    }

    /// When it wants to be called next; may be earlier than needed, never later.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        let sulk = self.setup.sulks.get(self.next_sulk).map(|sulk| sulk.at_us);
        let state = match self.state {
            State::Booting { until_us, .. } => Some(until_us),
            State::Hung { until_us } => until_us,
            State::Running => self.next_work_us(),
        };
        sulk.into_iter().chain(state).min()
    }

    /// Does what is due. The line must have been advanced to `now_us`.
    pub fn handle_timeout(&mut self, now_us: u64, line: &mut Line) {
        while let Some(sulk) =
            self.setup.sulks.get(self.next_sulk).filter(|sulk| sulk.at_us <= now_us).copied()
        {
            self.next_sulk += 1;
            self.sulk(sulk.kind, now_us, line);
        }
        match self.state {
            State::Booting { until_us, reason } if until_us <= now_us => self.start(reason, now_us, line),
            State::Hung { until_us: Some(until_us) } if until_us <= now_us => self.state = State::Running,
            _ => {}
        }
        if self.state == State::Running {
            self.work(now_us, line);
        }
    }

    /// The next thing that it tells, in order.
    pub fn poll_event(&mut self) -> Option<ModemEvent> {
        self.events.pop_front()
    }

    fn next_work_us(&self) -> Option<u64> {
        if let Some(sending) = self.sending {
            return Some(sending.end_us);
        }
        let due_us = |Waiting { request, look_us }: &Waiting| {
            let open = self.clock.line_us(request.not_before_us).max(*look_us).max(self.deaf_us);
            open.min(self.clock.line_us(request.not_after_us.saturating_add(1)))
        };
        self.queue.iter().map(due_us).min()
    }

    fn work(&mut self, now_us: u64, line: &mut Line) {
        if let Some(sending) = self.sending.filter(|sending| sending.end_us <= now_us) {
            self.sending = None;
            self.sent(sending);
        }
        let shown_us = self.clock.shown_us(now_us);
        let (open, over) =
            std::mem::take(&mut self.queue).into_iter().partition(|w| w.request.not_after_us >= shown_us);
        self.queue = open;
        for waiting in over {
            self.refuse(waiting.request.id, TxResult::ChannelBusy);
        }
        if self.sending.is_some() || now_us < self.deaf_us {
            return;
        }
        // Of those whose time has come, the most urgent.
        let open = |w: &Waiting| w.request.not_before_us <= shown_us && w.look_us <= now_us;
        let due = self.queue.iter().enumerate().filter(|(_, waiting)| open(waiting));
        let Some(at) = due.min_by_key(|(_, w)| w.request.not_after_us).map(|(at, _)| at) else { return };
        if let Some(free_us) = self.line_taken(now_us, line) {
            for waiting in self.queue.iter_mut().filter(|waiting| open(waiting)) {
                waiting.look_us = free_us + self.random.below(self.setup.shift_us + 1);
            }
            return;
        }
        let request = self.queue.remove(at).request;
        let bytes = self.with_crc(&request.frame);
        match line.transmit(self.setup.node, &bytes, now_us) {
            Ok(end_us) => self.sending = Some(Sending { id: request.id, start_us: now_us, end_us }),
            Err(_) => self.refuse(request.id, TxResult::Busy),
        }
    }

    /// When the line will have been silent for long enough, as far as that is known; `None` if it was.
    fn line_taken(&self, now_us: u64, line: &Line) -> Option<u64> {
        let node = self.setup.node;
        let silent_us =
            line.busy_until_us(node, now_us).or(line.idle_since_us(node, now_us)).unwrap_or(now_us);
        Some(silent_us + self.setup.listen_us).filter(|free_us| *free_us > now_us)
    }

    fn sent(&mut self, sending: Sending) {
        self.stats.sent += 1;
        if std::mem::take(&mut self.lose_confirm) {
            return;
        }
        self.tell(ModemEvent::Confirmed {
            id: sending.id,
            result: TxResult::Sent,
            started_us: self.clock.shown_us(sending.start_us),
            airtime_us: sending.end_us - sending.start_us,
        });
    }

    fn refuse(&mut self, id: u32, result: TxResult) {
        self.stats.refused += 1;
        self.tell(ModemEvent::Confirmed { id, result, started_us: 0, airtime_us: 0 });
    }

    fn sulk(&mut self, kind: SulkKind, now_us: u64, line: &mut Line) {
        match kind {
            SulkKind::Busy { for_us } => self.busy_until_us = now_us + for_us,
            SulkKind::Reset => self.fall(BootReason::Fault, now_us, line),
            SulkKind::LoseConfirm => self.lose_confirm = true,
            // A booting modem is silent already.
            SulkKind::Hang { for_us } if self.state == State::Running => {
                self.state = State::Hung { until_us: Some(now_us + for_us) };
            }
            SulkKind::HangForGood if self.state == State::Running => {
                self.state = State::Hung { until_us: None }
            }
            SulkKind::Hang { .. } | SulkKind::HangForGood => {}
        }
    }

    fn fall(&mut self, reason: BootReason, now_us: u64, line: &mut Line) {
        line.set_power(self.setup.node, false, now_us);
        self.stats.swallowed += self.queue.len() as u64 + u64::from(self.sending.is_some());
        self.queue.clear();
        self.sending = None;
        self.lose_confirm = false;
        self.busy_until_us = 0;
        self.deaf_us = 0;
        // What was not fetched is gone with its buffer.
        self.events.clear();
        self.clock = Clock::new(now_us, self.setup.clock_ppm);
        self.state = State::Booting { until_us: now_us + self.setup.boot_us, reason };
    }

    fn start(&mut self, reason: BootReason, now_us: u64, line: &mut Line) {
        line.set_power(self.setup.node, true, now_us);
        self.state = State::Running;
        // It has not listened yet.
        self.deaf_us = now_us + self.setup.listen_us;
        self.stats.boots += 1;
        let length = self.random.below(GARBAGE_BYTES_MAX + 1);
        if length > 0 {
            let garbage = (0..length).map(|_| self.random.below(256).to_le_bytes()[0]).collect();
            self.tell(ModemEvent::Garbage(garbage));
        }
        let [a, b, c, d, ..] = mix(self.setup.seed, u64::from(self.stats.boots)).to_be_bytes();
        self.tell(ModemEvent::Started { boot_id: u32::from_be_bytes([a, b, c, d]), reason });
    }

    fn tell(&mut self, event: ModemEvent) {
        if self.events.len() >= EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    fn with_crc(&self, frame: &[u8]) -> Vec<u8> {
        let mut bytes = frame.to_vec();
        if self.setup.crc {
            bytes.extend(CRC.checksum(frame).to_le_bytes());
        }
        bytes
    }

    /// The frame without its CRC, if that is right.
    fn checked<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        if !self.setup.crc {
            return Some(bytes);
        }
        let (frame, crc) = bytes.split_last_chunk::<CRC_BYTES>()?;
        (!frame.is_empty() && CRC.checksum(frame).to_le_bytes() == *crc).then_some(frame)
    }
}

#[cfg(test)]
mod tests;
