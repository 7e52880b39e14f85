//! When this socket speaks: answers at once, scheduled REPORTs at their slot, everything else by listening.
//! Spec: protocol-spec/timing.md §4.2 – §4.4. Knows no contents but the octets of four frames.

use plugline_protocol::frame::crc;
use plugline_protocol::timing::{
    BACKOFF_FIRST_UNITS, BACKOFF_MAX_UNITS, BACKOFF_UNIT_MS, IDLE_LISTEN_US, LineRate, SLOT_FRAME_MAX,
    TURNAROUND_MAX_US, TURNAROUND_MIN_US,
};
use plugline_protocol::wire::Full;

use crate::random::Random;

/// A frame is handed out this much ahead of a slot, so that a slow loop is still in time.
pub(crate) const LEAD_US: u64 = 5_000;
/// A slot is begun within this, or skipped.
const SLOT_LATE_US: u64 = 1_000;
/// A start by listening may be this late; the line is listened to until then.
const LISTEN_LATE_US: u64 = 5_000;
/// A start that nobody confirmed within this time did not happen.
const CONFIRM_US: u64 = 1_500_000;
/// After a frame that somebody will answer the line belongs to the answer.
const HELD_US: u64 = 25_000;

/// Octets of a frame, CRC included.
const ROOM: usize = SLOT_FRAME_MAX;

/// A frame for the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit<'a> {
    /// Its octets; with CRC unless the bearer has a check of its own.
    pub frame: &'a [u8],
    /// The first octet starts at this time …
    pub not_before_us: u64,
    /// … and not later than this; else the frame is thrown away.
    pub not_after_us: u64,
    /// Start only if nobody was heard for 4 ms before.
    pub listen: bool,
}

/// How a [`Transmit`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transmitted {
    /// Its last octet was on the line at this time.
    Sent {
        /// In µs of the socket's clock.
        ended_us: u64,
    },
    /// Somebody else spoke.
    Busy,
    /// The time was over before it could start.
    Late,
}

/// Which of the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// ANSWER or RESPONSE; kept, because the same question gets the same octets.
    Answer,
    /// RESPONSE `stale`; not kept.
    Stale,
    /// The scheduled REPORT.
    Slot,
    /// JOIN-UP, or a REPORT with ACK-REQUEST.
    Listen,
}

#[derive(Clone, Debug)]
struct Frame {
    octets: [u8; ROOM],
    len: usize,
}

impl Frame {
    const EMPTY: Self = Self { octets: [0; ROOM], len: 0 };
}

/// Contention of the listening lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contend {
    Off,
    /// Until the line is idle, and not before this.
    Wait {
        from_us: u64,
    },
    /// The drawn wait is over at this time.
    Count {
        until_us: u64,
    },
}

/// The frames and the line as far as it was heard.
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    frames: [Frame; 4],
    /// The frame that is answered ended at this time.
    asked: Option<(Lane, u64)>,
    slot_us: Option<u64>,
    contend: Contend,
    window: u32,
    on_air: Option<(Lane, u64)>,
    busy: bool,
    /// Nobody was heard after this.
    quiet_us: u64,
    held_us: u64,
}

impl Outbox {
    pub(crate) fn new() -> Self {
        Self {
            frames: [Frame::EMPTY; 4],
            asked: None,
            slot_us: None,
            contend: Contend::Off,
            window: BACKOFF_FIRST_UNITS,
            on_air: None,
            busy: false,
            quiet_us: 0,
            held_us: 0,
        }
    }

    /// Fills the frame of a lane; `with_crc` where the bearer has no check of its own. `false` when it has no room.
    pub(crate) fn fill(
        &mut self,
        lane: Lane,
        with_crc: bool,
        make: impl FnOnce(&mut [u8]) -> Result<&[u8], Full>,
    ) -> bool {
        let Frame { octets, len } = &mut self.frames[lane as usize];
        let room = octets.len() - 2;
        *len = make(&mut octets[..room]).map_or(0, <[u8]>::len);
        if with_crc && *len > 0 {
            let check = crc(&octets[..*len]).to_le_bytes();
            octets[*len..*len + 2].copy_from_slice(&check);
            *len += 2;
        }
        *len > 0
    }

    /// The answer goes out in the time after `asked_us` that belongs to it.
    pub(crate) fn answer(&mut self, lane: Lane, asked_us: u64) {
        self.asked = Some((lane, asked_us));
    }

    /// The scheduled REPORT goes out at `slot_us`.
    pub(crate) fn at_slot(&mut self, slot_us: u64) {
        self.slot_us = Some(slot_us);
    }

    /// The frame of the listening lane goes out as soon as the line lets it. `again`: it was tried before.
    pub(crate) fn contend(&mut self, from_us: u64, again: bool) {
        self.window = if again { (self.window * 2).min(BACKOFF_MAX_UNITS) } else { BACKOFF_FIRST_UNITS };
        self.contend = Contend::Wait { from_us };
    }

    /// The frame of the listening lane is not to be sent any more.
    pub(crate) fn stop_listening(&mut self) {
        self.contend = Contend::Off;
    }

    /// Nothing unasked is to be sent any more.
    pub(crate) fn stop_unasked(&mut self) {
        self.slot_us = None;
        self.stop_listening();
    }

    /// Nothing unasked is to be sent before this.
    pub(crate) fn hold(&mut self, until_us: u64) {
        self.slot_us.take_if(|slot_us| *slot_us < until_us);
        if self.contend != Contend::Off {
            self.contend = Contend::Wait { from_us: until_us };
        }
    }

    /// The frame of this lane is with the bearer.
    pub(crate) fn is_on_air(&self, lane: Lane) -> bool {
        self.on_air.is_some_and(|(on_air, _)| on_air == lane)
    }

    /// The carrier came or went.
    pub(crate) fn carrier(&mut self, busy: bool, now_us: u64) {
        self.busy = busy;
        self.quiet_us = self.quiet_us.max(now_us);
    }

    /// A frame ended; `held`: somebody else will answer it.
    pub(crate) fn heard(&mut self, ended_us: u64, held: bool) {
        self.quiet_us = self.quiet_us.max(ended_us);
        if held {
            self.held_us = ended_us.saturating_add(HELD_US);
        }
    }

    fn idle_from_us(&self) -> u64 {
        self.quiet_us.saturating_add(IDLE_LISTEN_US.into()).max(self.held_us)
    }

    /// Time goes on: what was not confirmed is over, waits are drawn.
    pub(crate) fn settle(&mut self, now_us: u64, random: &mut Random) {
        if self.on_air.is_some_and(|(_, until_us)| now_us >= until_us) {
            // Nobody will tell any more.
            self.transmitted(Transmitted::Late, now_us);
        }
        if self.busy {
            return;
        }
        match self.contend {
            Contend::Wait { from_us } if now_us >= self.idle_from_us().max(from_us) => {
                let units = random.up_to(self.window - 1);
                let wait_us = u64::from(units * BACKOFF_UNIT_MS) * 1000;
                self.contend = Contend::Count { until_us: now_us.saturating_add(wait_us) };
            }
            Contend::Count { until_us } if now_us >= until_us && now_us < self.idle_from_us() => {
                self.contend(now_us, true);
            }
            Contend::Wait { .. } | Contend::Count { .. } | Contend::Off => {}
        }
    }

    /// The frame to be sent now, if there is one and none is on its way.
    pub(crate) fn poll(&mut self, now_us: u64) -> Option<Transmit<'_>> {
        if self.on_air.is_some() {
            return None;
        }
        let (lane, not_before_us, not_after_us) = self.due(now_us)?;
        self.on_air = Some((lane, not_after_us.saturating_add(CONFIRM_US)));
        let Frame { octets, len } = &self.frames[lane as usize];
        let frame = octets.get(..*len).unwrap_or_default();
        Some(Transmit {
            frame,
            not_before_us,
            not_after_us,
            listen: matches!(lane, Lane::Slot | Lane::Listen),
        })
    }

    fn due(&mut self, now_us: u64) -> Option<(Lane, u64, u64)> {
        if let Some((lane, asked_us)) = self.asked.take() {
            let at = |us: u32| asked_us.saturating_add(us.into());
            if now_us <= at(TURNAROUND_MAX_US) {
                return Some((lane, at(TURNAROUND_MIN_US), at(TURNAROUND_MAX_US)));
            }
        }
        if let Some(slot_us) = self.slot_us.take_if(|slot_us| now_us.saturating_add(LEAD_US) >= *slot_us) {
            let late_us = slot_us.saturating_add(SLOT_LATE_US);
            if now_us <= late_us {
                return Some((Lane::Slot, slot_us, late_us));
            }
        }
        match self.contend {
            Contend::Count { until_us } if !self.busy && now_us >= until_us => {
                self.contend = Contend::Off;
                Some((Lane::Listen, now_us, now_us.saturating_add(LISTEN_LATE_US)))
            }
            _ => None,
        }
    }

    /// How the frame on its way ended; gives its lane if it was sent.
    pub(crate) fn transmitted(&mut self, how: Transmitted, now_us: u64) -> Option<Lane> {
        let (lane, _) = self.on_air.take()?;
        match how {
            Transmitted::Sent { ended_us } => {
                self.heard(ended_us, false);
                Some(lane)
            }
            Transmitted::Busy | Transmitted::Late => {
                if how == Transmitted::Busy {
                    self.quiet_us = self.quiet_us.max(now_us);
                }
                if lane == Lane::Listen {
                    self.contend(now_us, true);
                }
                None
            }
        }
    }

    /// When [`Self::settle`] or [`Self::poll`] has something to do.
    pub(crate) fn timeout_us(&self) -> Option<u64> {
        if let Some((_, until_us)) = self.on_air {
            return Some(until_us);
        }
        let slot_us = self.slot_us.map(|slot_us| slot_us.saturating_sub(LEAD_US));
        let listen_us = match self.contend {
            _ if self.busy => None,
            Contend::Off => None,
            Contend::Wait { from_us } => Some(from_us.max(self.idle_from_us())),
            Contend::Count { until_us } => Some(until_us),
        };
        let asked_us = self.asked.map(|(_, asked_us)| asked_us);
        [asked_us, slot_us, listen_us].into_iter().flatten().min()
    }
}

/// How long after a REPORT its acknowledgement may take: the turnaround, and a COMMAND SYNC on the line.
pub(crate) fn ack_wait_us(rate: LineRate) -> u64 {
    /// COMMAND SYNC with CRC; an ACK is shorter.
    const LONGEST: usize = 27;
    /// The gateway's modem and this socket's own way.
    const SLACK_US: u32 = 10_000;
    u64::from(TURNAROUND_MAX_US) + u64::from(rate.airtime_us(LONGEST)) + u64::from(SLACK_US)
}
