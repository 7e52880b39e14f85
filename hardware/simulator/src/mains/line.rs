//! The shared wire in virtual time: who sends when, what overlaps, and what arrives where.
//!
//! Frames are opaque bytes and time is whole microseconds. No clock, no I/O: the caller asks [`Line::poll_timeout`],
//! calls [`Line::handle_timeout`] at that time and drains [`Line::poll_delivery`]. What a receiver makes of a
//! frame is [`super::reception`]'s business.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use crate::mains::noise::{Class, Noise};
use crate::mains::phy::Phy;
use crate::mains::reception::{Fate, Receiver};
use crate::mains::wiring::{Node, Phase, Wiring};

/// The longest frame, in bytes: what the host link carries at most.
pub const FRAME_BYTES_MAX: usize = 512;

/// What a line is made of.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The bearer.
    pub phy: Phy,
    /// Who hears whom.
    pub wiring: Wiring,
    /// What else is on the wire.
    pub noise: Noise,
    /// The share of frames that every receiver loses for no reason of its own, in ppm.
    pub loss_ppm: u32,
    /// Decides all that is left to chance.
    pub seed: u64,
}

/// A frame as it came to one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Who received it.
    pub node: Node,
    /// The bytes, wrong ones included.
    pub bytes: Arc<[u8]>,
    /// When its preamble started, in µs.
    pub start_us: u64,
    /// When its last bit was through: the time of the delivery.
    pub end_us: u64,
    /// Signal over noise as the receiver sees it, in dB.
    pub snr_db: i8,
    /// What no receiver can know.
    pub truth: Truth,
}

/// For statistics and tests; a receiver has no access to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truth {
    /// Who sent it.
    pub from: Node,
    /// Number of the transmission, from 0.
    pub transmission: u64,
    /// Whether all bits are as they were sent.
    pub intact: bool,
}

/// Why a node may not send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no such node.
    UnknownNode {
        /// What was asked.
        got: Node,
        /// Nodes of the line.
        nodes: usize,
    },
    /// That moment is over.
    Past {
        /// What was asked, in µs.
        got_us: u64,
        /// The time of the line.
        now_us: u64,
    },
    /// It is still sending.
    StillSending {
        /// Until then, in µs.
        until_us: u64,
    },
    /// The node has no power.
    Off,
    /// 1 … [`FRAME_BYTES_MAX`] bytes are wanted.
    BadLength {
        /// What was asked.
        got: usize,
    },
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::UnknownNode { got, nodes } => {
                write!(f, "node: got {got}, wanted 0 … {}", nodes.saturating_sub(1))
            }
            Self::Past { got_us, now_us } => write!(f, "at: got {got_us} µs, wanted {now_us} µs or later"),
            Self::StillSending { until_us } => write!(f, "the node sends until {until_us} µs"),
            Self::Off => write!(f, "the node has no power"),
            Self::BadLength { got } => write!(f, "frame: got {got} bytes, wanted 1 … {FRAME_BYTES_MAX}"),
        }
    }
}

impl std::error::Error for Refused {}

/// What happened so far. One frame counts once for each node that could have received it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Frames sent.
    pub frames: u64,
    /// Time with at least one frame on the wire, in µs, up to the end of those that are on it.
    pub busy_us: u64,
    /// Arrived whole.
    pub intact: u64,
    /// Arrived with wrong bits.
    pub damaged: u64,
    /// Too weak, hidden, or not found in the noise.
    pub unheard: u64,
    /// Lost by [`Setup::loss_ppm`].
    pub lost: u64,
    /// Not found because another frame lay over it.
    pub collided: u64,
    /// The node sent, was off, or came too late.
    pub deaf: u64,
}

/// A frame on the wire.
#[derive(Clone, Debug)]
pub(crate) struct Transmission {
    pub(crate) number: u64,
    pub(crate) from: Node,
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) start_us: u64,
    pub(crate) end_us: u64,
    /// When the sender fell silent; before `end_us` if it was cut off.
    pub(crate) silent_us: u64,
    pub(crate) overlaps: Vec<Overlap>,
}

/// Another frame during a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Overlap {
    pub(crate) number: u64,
    pub(crate) from: Node,
    pub(crate) start_us: u64,
    pub(crate) end_us: u64,
}

type Planned = Reverse<(u64, u64, Node, Arc<[u8]>)>;

/// The wire.
#[derive(Clone, Debug)]
pub struct Line {
    setup: Setup,
    receiver: Receiver,
    now_us: u64,
    next_number: u64,
    planned: BinaryHeap<Planned>,
    on_air: Vec<Transmission>,
    /// Since when each node listens; `None` while it is off.
    awake_since_us: Vec<Option<u64>>,
    /// Until when each node last heard a carrier or sent.
    heard_until_us: Vec<u64>,
    ready: VecDeque<Delivery>,
    /// The end of the latest frame so far: up to here busy time is counted.
    busy_to_us: u64,
    stats: Stats,
}

impl Line {
    /// A silent line at time 0 with every node listening.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let nodes = setup.wiring.len();
        Self {
            receiver: Receiver::new(&setup),
            setup,
            now_us: 0,
            next_number: 0,
            planned: BinaryHeap::new(),
            on_air: Vec::new(),
            awake_since_us: vec![Some(0); nodes],
            heard_until_us: vec![0; nodes],
            ready: VecDeque::new(),
            busy_to_us: 0,
            stats: Stats::default(),
        }
    }

    /// What it is made of.
    #[must_use]
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// What happened up to now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Sends a frame from `at_us` on, without listening first. Returns when it will be over.
    ///
    /// # Errors
    /// [`Refused`]; nothing was sent. A frame planned for later is dropped if the node is off or still sending then.
    pub fn transmit(&mut self, node: Node, bytes: &[u8], at_us: u64) -> Result<u64, Refused> {
        if bytes.is_empty() || bytes.len() > FRAME_BYTES_MAX {
            return Err(Refused::BadLength { got: bytes.len() });
        }
        if at_us < self.now_us {
            return Err(Refused::Past { got_us: at_us, now_us: self.now_us });
        }
        match self.awake_since_us.get(node) {
            None => return Err(Refused::UnknownNode { got: node, nodes: self.awake_since_us.len() }),
            Some(None) => return Err(Refused::Off),
            Some(_) => {}
        }
        if let Some(until_us) = self.sending_until_us(node).filter(|until_us| *until_us > at_us) {
            return Err(Refused::StillSending { until_us });
        }
        let number = self.next_number;
        self.next_number += 1;
        self.planned.push(Reverse((at_us, number, node, bytes.into())));
        if at_us == self.now_us {
            self.handle_timeout(at_us);
        }
        Ok(at_us + self.setup.phy.airtime_us(bytes.len()))
    }

    /// Cuts a node off in mid-frame; receivers get noise in place of the rest. What it had planned is dropped.
    pub fn abort(&mut self, node: Node, now_us: u64) {
        self.handle_timeout(now_us);
        self.planned.retain(|Reverse((_, _, from, _))| *from != node);
        let cut = self.on_air.iter_mut().find(|frame| frame.from == node && frame.silent_us > now_us);
        let Some(number) = cut.map(|frame| {
            frame.silent_us = now_us;
            frame.number
        }) else {
            return;
        };
        let overlaps = self.on_air.iter_mut().flat_map(|frame| &mut frame.overlaps);
        overlaps.filter(|overlap| overlap.number == number).for_each(|overlap| overlap.end_us = now_us);
        let still_us = self.on_air.iter().map(|frame| frame.silent_us).max().unwrap_or(now_us);
        self.stats.busy_us -= self.busy_to_us.saturating_sub(still_us);
        self.busy_to_us = self.busy_to_us.min(still_us);
    }

    /// Plugs a node in or out. What it was sending is cut off; it hears frames that start later.
    pub fn set_power(&mut self, node: Node, on: bool, now_us: u64) {
        self.handle_timeout(now_us);
        if !on {
            self.abort(node, now_us);
        }
        let Some(awake) = self.awake_since_us.get_mut(node) else { return };
        *awake = if on { awake.or(Some(now_us)) } else { None };
    }

    /// Whether the node notices a carrier now. Valid after [`Line::handle_timeout`] for the same time.
    #[must_use]
    pub fn carrier(&self, node: Node, at_us: u64) -> bool {
        self.carriers(node, at_us).next().is_some()
    }

    /// When the carriers that the node notices now will be over; `None` if there are none. For scheduling only: a
    /// node cannot know.
    #[must_use]
    pub fn busy_until_us(&self, node: Node, at_us: u64) -> Option<u64> {
        self.carriers(node, at_us).map(|frame| frame.silent_us).max()
    }

    /// Since when the node has heard and sent nothing; `None` while it notices a carrier.
    #[must_use]
    pub fn idle_since_us(&self, node: Node, at_us: u64) -> Option<u64> {
        let since = self.heard_until_us.get(node).copied().unwrap_or(0);
        (!self.carrier(node, at_us)).then_some(since.min(at_us))
    }

    /// When the next frame starts or ends.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        let start = self.planned.peek().map(|Reverse((at_us, ..))| *at_us);
        let end = self.on_air.iter().map(|frame| frame.end_us).min();
        start.into_iter().chain(end).min()
    }

    /// Lets time pass; earlier times than before are taken as now.
    pub fn handle_timeout(&mut self, now_us: u64) {
        while let Some(at_us) = self.poll_timeout().filter(|at_us| *at_us <= now_us) {
            self.now_us = self.now_us.max(at_us);
            // Ends first: a frame that starts as another one ends does not touch it.
            if let Some(ended) = self.on_air.iter().position(|frame| frame.end_us <= at_us) {
                let frame = self.on_air.remove(ended);
                self.deliver(&frame);
            } else if let Some(Reverse((at_us, number, from, bytes))) = self.planned.pop() {
                self.begin(Transmission {
                    number,
                    from,
                    start_us: at_us,
                    end_us: at_us + self.setup.phy.airtime_us(bytes.len()),
                    silent_us: at_us + self.setup.phy.airtime_us(bytes.len()),
                    bytes,
                    overlaps: Vec::new(),
                });
            }
        }
        self.now_us = self.now_us.max(now_us);
    }

    /// The next frame that came to a node, in the order of their ends.
    pub fn poll_delivery(&mut self) -> Option<Delivery> {
        self.ready.pop_front()
    }

    fn carriers(&self, node: Node, at_us: u64) -> impl Iterator<Item = &Transmission> {
        let phy = &self.setup.phy;
        self.on_air.iter().filter(move |frame| {
            let on = frame.start_us + phy.sense_delay_us <= at_us && at_us < frame.silent_us;
            let level = self.receiver.level_cdbuv(frame.from, node);
            on && frame.from != node && level.is_some_and(|level| level >= phy.carrier_cdbuv)
        })
    }

    fn sending_until_us(&self, node: Node) -> Option<u64> {
        self.on_air.iter().filter(|frame| frame.from == node).map(|frame| frame.silent_us).max()
    }

    fn begin(&mut self, mut frame: Transmission) {
        let busy = self.sending_until_us(frame.from).is_some_and(|until_us| until_us > frame.start_us);
        if busy || self.awake_since_us[frame.from].is_none() {
            return;
        }
        let start_us = frame.start_us;
        for other in self.on_air.iter_mut().filter(|other| other.silent_us > start_us) {
            let overlap = |of: u64, from: Node, end_us: u64| Overlap { number: of, from, start_us, end_us };
            other.overlaps.push(overlap(frame.number, frame.from, frame.end_us));
            frame.overlaps.push(overlap(other.number, other.from, other.silent_us));
        }
        self.stats.frames += 1;
        self.stats.busy_us += frame.end_us.saturating_sub(self.busy_to_us.max(start_us));
        self.busy_to_us = self.busy_to_us.max(frame.end_us);
        self.on_air.push(frame);
    }

    /// Brings a frame that is over to all nodes.
    fn deliver(&mut self, frame: &Transmission) {
        let bits =
            u16::try_from(self.setup.phy.overhead_bits() + frame.bytes.len() as u64 * 8).unwrap_or(u16::MAX);
        let mut noise: [Option<Vec<Class>>; 3] = [None, None, None];
        for node in 0..self.awake_since_us.len() {
            let level = self.receiver.level_cdbuv(frame.from, node);
            let carrier = level.is_some_and(|level| level >= self.setup.phy.carrier_cdbuv);
            if carrier || node == frame.from {
                self.heard_until_us[node] = self.heard_until_us[node].max(frame.silent_us);
            }
            if node == frame.from {
                continue;
            }
            let awake = self.awake_since_us[node].is_some_and(|since_us| since_us <= frame.start_us);
            let phase = self.setup.wiring.phase(node);
            let classes = noise[phase.index()].get_or_insert_with(|| {
                self.setup.noise.classes(&self.setup.phy, frame.start_us, bits, phase)
            });
            let fate = if awake { self.receiver.fate(frame, node, classes) } else { Fate::Deaf };
            self.settle(frame, node, fate);
        }
    }

    fn settle(&mut self, frame: &Transmission, node: Node, fate: Fate) {
        let stats = &mut self.stats;
        let (bytes, snr_db, intact) = match fate {
            Fate::Unheard => return stats.unheard += 1,
            Fate::Lost => return stats.lost += 1,
            Fate::Collided => return stats.collided += 1,
            Fate::Deaf => return stats.deaf += 1,
            Fate::Intact { snr_db } => {
                stats.intact += 1;
                (Arc::clone(&frame.bytes), snr_db, true)
            }
            Fate::Damaged { snr_db, bytes } => {
                stats.damaged += 1;
                (bytes.into(), snr_db, false)
            }
        };
        let truth = Truth { from: frame.from, transmission: frame.number, intact };
        let (start_us, end_us) = (frame.start_us, frame.end_us);
        self.ready.push_back(Delivery { node, bytes, start_us, end_us, snr_db, truth });
    }
}

/// The phase of each of `nodes` nodes when they are dealt round; node 0 hangs on L1.
#[must_use]
pub fn dealt_phases(nodes: usize) -> Vec<Phase> {
    (0..nodes).map(|node| if node == 0 { Phase::L1 } else { Phase::ALL[(node - 1) % 3] }).collect()
}

#[cfg(test)]
mod tests;
