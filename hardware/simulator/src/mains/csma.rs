//! Stations that listen before they talk, without slots: what the line is measured with, and what our own protocol is
//! compared to.
//!
//! Each station reports once in a period at a time of its own and wants an acknowledgement; the gateway (node 0)
//! acknowledges, and sends commands at random. Non-persistent: who finds a carrier waits a random time before looking
//! again. Frames carry a kind, a station and a number, nothing else.

pub mod published;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::mains::line::{Delivery, Line, Setup};
use crate::mains::wiring::Node;
use crate::random::{Random, mix};

/// How the stations behave. The default is what the published table was made with, as far as it says so; the waits are
/// our choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// How long to run, in µs of virtual time.
    pub length_us: u64,
    /// One report of each station in this time.
    pub period_us: u64,
    /// Bytes of a report, of an acknowledgement, of a command.
    pub bytes: (usize, usize, usize),
    /// Mean time between two commands; 0 for none.
    pub command_gap_us: u64,
    /// From the end of a frame to its acknowledgement.
    pub turnaround_us: u64,
    /// A station talks only after so long a silence, so that acknowledgements come first.
    pub interframe_us: u64,
    /// How often a frame is sent again.
    pub retries: u32,
    /// The unit of waiting.
    pub backoff_slot_us: u64,
    /// A wait is 1 slot up to so many, doubled with every attempt from the first number up to the second.
    pub backoff_slots: (u64, u64),
    /// How long the gateway listens before a command.
    pub listen_us: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            length_us: 3_600_000_000,
            period_us: 60_000_000,
            bytes: (34, 12, 26),
            command_gap_us: 20_000_000,
            turnaround_us: 10_000,
            interframe_us: 15_000,
            retries: 4,
            backoff_slot_us: 15_000,
            backoff_slots: (8, 64),
            listen_us: 8_000,
        }
    }
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// The share of time with a frame on the wire.
    pub busy: f64,
    /// The share of reports that reached the gateway.
    pub delivered: f64,
    /// From the wish to the command's arrival, in µs, in rising order.
    pub command_us: Vec<u64>,
    /// Reports that were due.
    pub reports: u64,
}

impl Figures {
    /// The time within which so many of a thousand commands arrived, in ms.
    #[must_use]
    pub fn command_ms(&self, per_mille: usize) -> u64 {
        let last = self.command_us.len().saturating_sub(1);
        self.command_us.get(last * per_mille / 1000).map_or(0, |us| us / 1000)
    }
}

/// Lets the stations of `setup` (all nodes but 0) run.
#[must_use]
pub fn run(setup: Setup, plan: &Plan) -> Figures {
    let seed = setup.seed;
    let mut net = Net::new(Line::new(setup), *plan, seed);
    net.run();
    net.figures()
}

const REPORT: u8 = 1;
const ACK: u8 = 2;
const COMMAND: u8 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A report falls due.
    Due(Node),
    /// Listens, and talks if nobody else does; the number tells old plans from new ones.
    Try(Node, u32),
    /// No acknowledgement came.
    Missed(Node, u32),
    /// An acknowledgement is sent to this node, by the gateway or by a station.
    Acknowledge { by: Node, to: Node, number: u8 },
    /// Somebody wants something.
    Wish,
}

/// What a node wants to get rid of.
#[derive(Clone, Copy, Debug)]
struct Sending {
    kind: u8,
    /// Whom the frame names: the reporting station, or the one commanded.
    station: Node,
    number: u8,
    tries: u32,
    since_us: u64,
}

#[derive(Clone, Debug, Default)]
struct Member {
    sending: Option<Sending>,
    plan: u32,
    number: u8,
    /// The number of the last command that it took.
    taken: Option<u8>,
}

struct Net {
    line: Line,
    plan: Plan,
    random: Random,
    now_us: u64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    queued: u64,
    members: Vec<Member>,
    wishes: VecDeque<(Node, u64)>,
    /// When the gateway's acknowledgement will be over.
    owed_until_us: u64,
    /// For each station the number of the last report that arrived.
    arrived: Vec<Option<u8>>,
    delivered: u64,
    reports: u64,
    command_us: Vec<u64>,
}

impl Net {
    fn new(line: Line, plan: Plan, seed: u64) -> Self {
        let nodes = line.setup().wiring.len();
        let mut net = Self {
            line,
            plan,
            random: Random::new(mix(seed, 0x6373_6d61)),
            now_us: 0,
            events: BinaryHeap::new(),
            queued: 0,
            members: vec![Member::default(); nodes],
            wishes: VecDeque::new(),
            owed_until_us: 0,
            arrived: vec![None; nodes],
            delivered: 0,
            reports: 0,
            command_us: Vec::new(),
        };
        for station in 1..nodes {
            let first_us = net.random.below(plan.period_us);
            net.after(first_us, Event::Due(station));
        }
        if plan.command_gap_us > 0 && nodes > 1 {
            net.next_wish();
        }
        net
    }

    fn run(&mut self) {
        loop {
            let event_us = self.events.peek().map(|Reverse((at_us, ..))| *at_us);
            let Some(next_us) = event_us.into_iter().chain(self.line.poll_timeout()).min() else { return };
            if next_us >= self.plan.length_us {
                return;
            }
            self.now_us = next_us;
            self.line.handle_timeout(next_us);
            while let Some(delivery) = self.line.poll_delivery() {
                self.received(&delivery);
            }
            while let Some(Reverse((_, _, event))) = self.events.peek().filter(|e| e.0.0 <= next_us).copied()
            {
                self.events.pop();
                self.happen(event);
            }
        }
    }

    fn figures(mut self) -> Figures {
        self.command_us.sort_unstable();
        // Reports still under way are not counted as lost.
        let open = self.members.iter().skip(1).enumerate().filter(|(n, member)| {
            let pending = member.sending.filter(|sending| sending.kind == REPORT);
            pending.is_some_and(|sending| self.arrived[n + 1] != Some(sending.number))
        });
        let reports = self.reports - open.count() as u64;
        Figures {
            busy: self.line.stats().busy_us as f64 / self.plan.length_us as f64,
            delivered: self.delivered as f64 / reports.max(1) as f64,
            command_us: self.command_us,
            reports,
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Due(station) => {
                self.after(self.plan.period_us, Event::Due(station));
                self.reports += 1;
                let member = &mut self.members[station];
                member.number = member.number.wrapping_add(1);
                let (number, since_us) = (member.number, self.now_us);
                self.start(station, Sending { kind: REPORT, station, number, tries: 0, since_us });
            }
            Event::Try(node, plan) if self.members[node].plan == plan => self.attempt(node),
            Event::Missed(node, plan) if self.members[node].plan == plan => self.missed(node),
            Event::Try(..) | Event::Missed(..) => {}
            Event::Acknowledge { by, to, number } => {
                let station = if by == 0 { to } else { by };
                let frame = frame(ACK, station, number, self.plan.bytes.1);
                // Who is sending already stays silent; the other side asks again.
                let _ = self.line.transmit(by, &frame, self.now_us);
            }
            Event::Wish => {
                let station = 1 + self.random.below(self.members.len() as u64 - 1) as usize;
                self.wishes.push_back((station, self.now_us));
                self.next_wish();
                self.next_command();
            }
        }
    }

    fn next_wish(&mut self) {
        let gap_us = self.random.exponential(self.plan.command_gap_us as f64) as u64;
        self.after(gap_us, Event::Wish);
    }

    fn next_command(&mut self) {
        if self.members[0].sending.is_some() {
            return;
        }
        let Some((station, since_us)) = self.wishes.pop_front() else { return };
        self.members[0].number = self.members[0].number.wrapping_add(1);
        let number = self.members[0].number;
        self.start(0, Sending { kind: COMMAND, station, number, tries: 0, since_us });
    }

    fn start(&mut self, node: Node, sending: Sending) {
        self.members[node].sending = Some(sending);
        let listen_us = if node == 0 { self.plan.listen_us } else { 0 };
        self.plan_try(node, listen_us);
    }

    fn plan_try(&mut self, node: Node, after_us: u64) {
        self.members[node].plan += 1;
        self.after(after_us, Event::Try(node, self.members[node].plan));
    }

    fn attempt(&mut self, node: Node) {
        let Some(mut sending) = self.members[node].sending else { return };
        if let Some(wait_us) = self.held(node, sending) {
            return self.plan_try(node, wait_us);
        }
        let bytes = if sending.kind == REPORT { self.plan.bytes.0 } else { self.plan.bytes.2 };
        let frame = frame(sending.kind, sending.station, sending.number, bytes);
        let Ok(end_us) = self.line.transmit(node, &frame, self.now_us) else {
            let wait_us = self.backoff(sending);
            return self.plan_try(node, wait_us);
        };
        sending.tries += 1;
        let answer_us = self.line.setup().phy.airtime_us(self.plan.bytes.1) + 2 * self.plan.turnaround_us;
        let member = &mut self.members[node];
        member.sending = Some(sending);
        member.plan += 1;
        let plan = member.plan;
        self.after(end_us - self.now_us + answer_us, Event::Missed(node, plan));
    }

    /// How long a node looks away if it must not talk now. The gateway waits for the end of what it hears and of what
    /// it owes; a station looks again at random.
    fn held(&mut self, node: Node, sending: Sending) -> Option<u64> {
        if node == 0 {
            let heard_us = self.line.busy_until_us(0, self.now_us).unwrap_or(0);
            let until_us = heard_us.max(self.owed_until_us);
            return (until_us > self.now_us).then(|| until_us - self.now_us + self.plan.listen_us);
        }
        let since_us = self.line.idle_since_us(node, self.now_us);
        let silent = since_us.is_some_and(|since_us| since_us + self.plan.interframe_us <= self.now_us);
        (!silent).then(|| self.backoff(sending))
    }

    fn missed(&mut self, node: Node) {
        let Some(sending) = self.members[node].sending else { return };
        if sending.tries > self.plan.retries {
            self.members[node].sending = None;
            if node == 0 {
                self.next_command();
            }
            return;
        }
        let wait_us = if node == 0 { self.plan.listen_us } else { self.backoff(sending) };
        self.plan_try(node, wait_us);
    }

    fn backoff(&mut self, sending: Sending) -> u64 {
        let (least, most) = self.plan.backoff_slots;
        let slots = (least << sending.tries.min(16)).min(most);
        (1 + self.random.below(slots)) * self.plan.backoff_slot_us
    }

    fn received(&mut self, delivery: &Delivery) {
        let [kind, high, low, number, ..] = *delivery.bytes else { return };
        let station = usize::from(u16::from_be_bytes([high, low]));
        if !delivery.truth.intact {
            return;
        }
        match (kind, delivery.node) {
            (REPORT, 0) => {
                if self.arrived[station].replace(number) != Some(number) {
                    self.delivered += 1;
                }
                let answer_us = self.plan.turnaround_us + self.line.setup().phy.airtime_us(self.plan.bytes.1);
                self.owed_until_us = self.now_us + answer_us;
                self.after(self.plan.turnaround_us, Event::Acknowledge { by: 0, to: station, number });
            }
            (COMMAND, node) if node == station => {
                if self.members[node].taken.replace(number) != Some(number)
                    && let Some(sending) = self.members[0].sending
                {
                    self.command_us.push(self.now_us - sending.since_us);
                }
                self.after(self.plan.turnaround_us, Event::Acknowledge { by: node, to: 0, number });
            }
            (ACK, 0) => self.acknowledged(0, station, number, COMMAND),
            (ACK, node) if node == station => self.acknowledged(node, station, number, REPORT),
            _ => {}
        }
    }

    fn acknowledged(&mut self, node: Node, station: Node, number: u8, kind: u8) {
        let meant = |sending: &Sending| {
            sending.kind == kind && sending.station == station && sending.number == number
        };
        if self.members[node].sending.is_some_and(|sending| meant(&sending)) {
            self.members[node].sending = None;
            self.members[node].plan += 1;
            if node == 0 {
                self.next_command();
            }
        }
    }

    fn after(&mut self, wait_us: u64, event: Event) {
        self.queued += 1;
        self.events.push(Reverse((self.now_us + wait_us, self.queued, event)));
    }
}

fn frame(kind: u8, station: Node, number: u8, bytes: usize) -> Vec<u8> {
    let [.., high, low] = station.to_be_bytes();
    let mut frame = vec![kind, high, low, number];
    frame.resize(bytes.max(4), 0);
    frame
}

#[cfg(test)]
mod tests;
