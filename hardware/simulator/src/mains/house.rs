//! A house: one line, the modem behind its serial line, sockets with what is plugged into them, and the street outside.
//!
//! Everything that happens is decided by the scenario and its seed. Pure, in virtual time; a [`crate::Front`] lets it
//! run with the clock.
//!
//! ```
//! use plugline_simulator::mains::House;
//! use plugline_simulator::scenario::{HOUSEHOLD, Scenario};
//!
//! let mut house = House::new(&Scenario::parse(HOUSEHOLD).expect("it comes with the program"));
//! house.run_until(60_000_000);
//! assert!(house.stations()[0].label().starts_with("PLG1:"));
//! let asked_to_join = house.overheard().filter(|frame| frame.from == 1).count();
//! assert!(asked_to_join > 0);
//! ```

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use plugline_protocol::timing::LineRate;

use crate::bus::{Output, Recorded};
use crate::mains::host::Host;
use crate::mains::line::{Delivery, Line, Refused};
use crate::mains::wiring::{Node, Phase};
use crate::scenario::{self, Scenario};
use crate::wire::Wire;

mod flash;
mod memory;
mod neighbour;
mod station;

pub use memory::{BadMemory, Memory};
use neighbour::Neighbour;
pub use station::{Move, Station};

/// The street is as far from everybody in the house, in hundredths of a dB.
const STREET_CDB: u16 = 4_500;
/// Frames that the street has heard; the oldest go.
const OVERHEARD_MAX: usize = 4_096;
/// Relays that moved; the oldest go.
const MOVES_MAX: usize = 65_536;
/// Packets of the host that are kept for curious people.
const REQUESTS_MAX: usize = 4_096;
/// Meters look so often.
const SECOND_US: u64 = 1_000_000;

/// A frame as the street heard it, CRC included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overheard {
    /// When its last bit was through, in µs.
    pub end_us: u64,
    /// Who sent it: 0 is the modem.
    pub from: Node,
    /// Its bytes.
    pub bytes: Arc<[u8]>,
}

/// A house in virtual time.
#[derive(Debug)]
pub struct House {
    line: Line,
    host: Host,
    stations: Vec<Station>,
    /// The node outside: neighbours and people with bad intentions speak from here.
    street: Node,
    neighbours: Vec<Neighbour>,
    now_us: u64,
    second_us: u64,
    fresh: Vec<Move>,
    moves: VecDeque<Move>,
    overheard: VecDeque<Overheard>,
    requests: VecDeque<Recorded>,
}

impl House {
    /// The house of a scenario, at time 0: all sockets are plugged in, none has joined, all relays are open.
    #[must_use]
    pub fn new(scenario: &Scenario) -> Self {
        Self::with_memory(scenario, &Memory::default())
    }

    /// The same, with sockets that remember what they were in an earlier run: networks, energy, relays.
    #[must_use]
    pub fn with_memory(scenario: &Scenario, memory: &Memory) -> Self {
        let mut setup = scenario.line().setup().clone();
        setup.wiring = setup.wiring.with_node(Phase::L1, STREET_CDB);
        let modem = scenario.modem();
        let overhead = u8::try_from(setup.phy.overhead_bytes).unwrap_or(u8::MAX);
        let make = station::Make {
            rate: LineRate { bit_per_s: setup.phy.bit_rate.max(1), overhead },
            crc: modem.has_crc(),
            seed: scenario.seed(),
        };
        let station = |plan: &scenario::Socket| {
            let mut station = Station::new(plan, make);
            if let Some(flash) = memory.flash(station.eui()) {
                station.remember(flash.clone());
            }
            station
        };
        let stations: Vec<_> = scenario.sockets().iter().map(station).collect();
        let mut house = Self {
            host: Host::new(modem, &setup.phy),
            street: setup.wiring.len() - 1,
            line: Line::new(setup),
            neighbours: Vec::new(),
            now_us: 0,
            second_us: 0,
            fresh: Vec::new(),
            moves: VecDeque::new(),
            overheard: VecDeque::new(),
            requests: VecDeque::new(),
            stations,
        };
        for station in &house.stations {
            house.line.set_power(station.node(), false, 0);
        }
        house.restore();
        house
    }

    /// The sockets, the one at node 1 first.
    #[must_use]
    pub fn stations(&self) -> &[Station] {
        &self.stations
    }

    /// The socket at a node.
    #[must_use]
    pub fn station(&self, socket: Node) -> Option<&Station> {
        self.stations.get(socket.checked_sub(1)?)
    }

    /// The wire.
    #[must_use]
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// The modem and its serial line.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The latest moment that it has seen, in µs.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        self.now_us
    }

    /// Relays that moved, oldest first.
    pub fn moves(&self) -> impl Iterator<Item = &Move> {
        self.moves.iter()
    }

    /// Frames that came whole to the street, oldest first.
    pub fn overheard(&self) -> impl Iterator<Item = &Overheard> {
        self.overheard.iter()
    }

    /// What the sockets remember.
    #[must_use]
    pub fn memory(&self) -> Memory {
        Memory::of(self.stations.iter().filter_map(|station| Some((station.eui(), station.flash()?))))
    }

    /// Pulls a socket out of the wall. `false`: there is no such socket.
    pub fn pull(&mut self, socket: Node) -> bool {
        self.touch(socket, |station, line, _, now_us| station.power_off(now_us, line))
    }

    /// Puts a socket back.
    pub fn plug(&mut self, socket: Node) -> bool {
        self.touch(socket, |station, line, moves, now_us| station.power_on(now_us, line, moves))
    }

    /// Presses the button of a socket.
    pub fn press(&mut self, socket: Node) -> bool {
        self.touch(socket, |station, line, moves, now_us| station.press(false, now_us, line, moves))
    }

    /// Holds the button of a socket for ten seconds: it leaves its network.
    pub fn hold(&mut self, socket: Node) -> bool {
        self.touch(socket, |station, line, moves, now_us| station.press(true, now_us, line, moves))
    }

    /// Power goes for all sockets; the modem has a supply of its own.
    pub fn cut(&mut self) {
        for socket in 1..=self.stations.len() {
            self.pull(socket);
        }
    }

    /// Power is back for all.
    pub fn restore(&mut self) {
        for socket in 1..=self.stations.len() {
            self.plug(socket);
        }
    }

    /// A factory's mistake: from now on `socket` has the label of `like`, and nothing in its memory. `false`: one of
    /// them does not exist.
    pub fn relabel(&mut self, socket: Node, like: Node) -> bool {
        let Some(factory) = self.station(like).map(|station| station.factory().clone()) else { return false };
        self.touch(socket, |station, line, moves, now_us| station.relabel(factory, (now_us, line), moves))
    }

    /// Somebody outside puts bytes on the line, now or later, without listening first.
    ///
    /// # Errors
    /// [`Refused`] as by [`Line::transmit`].
    pub fn inject(&mut self, bytes: &[u8], at_us: u64) -> Result<u64, Refused> {
        self.line.transmit(self.street, bytes, at_us)
    }

    /// A house next door, with a network and so many sockets of its own, begins to be heard.
    pub fn add_neighbour(&mut self, network: u16, sockets: u16) {
        let seed = self.line.setup().seed;
        self.neighbours.push(Neighbour::new(network, sockets, seed, self.now_us));
    }

    /// When something will happen by itself, in µs.
    #[must_use]
    pub fn next_us(&self) -> u64 {
        let stations = self.stations.iter().map(Station::wake_us).min();
        let neighbours = self.neighbours.iter().map(Neighbour::wake_us).min();
        let others = [self.line.poll_timeout(), self.host.poll_timeout(), stations, neighbours];
        others.into_iter().flatten().min().unwrap_or(u64::MAX).min(self.second_us)
    }

    /// Lets time pass up to `now_us`; earlier times than before are taken as now.
    pub fn run_until(&mut self, now_us: u64) {
        loop {
            let next_us = self.next_us().max(self.now_us);
            if next_us > now_us {
                break;
            }
            self.step(next_us);
        }
        self.now_us = self.now_us.max(now_us);
        self.line.handle_timeout(self.now_us);
    }

    /// Bytes that the host begins to write now.
    pub fn write(&mut self, bytes: &[u8]) {
        self.host.handle_bytes(bytes, self.now_us);
    }

    /// The next bytes for the host that are complete by now, with the time at which they were.
    pub fn read(&mut self) -> Option<(u64, Vec<u8>)> {
        self.host.poll_output(self.now_us)
    }

    fn step(&mut self, now_us: u64) {
        self.now_us = now_us;
        self.line.handle_timeout(now_us);
        while let Some(delivery) = self.line.poll_delivery() {
            self.deliver(&delivery);
        }
        self.host.handle_timeout(now_us, &mut self.line);
        for station in self.stations.iter_mut().filter(|station| station.wake_us() <= now_us) {
            station.handle_timeout(now_us, &mut self.line, &mut self.fresh);
        }
        for neighbour in self.neighbours.iter_mut().filter(|neighbour| neighbour.wake_us() <= now_us) {
            neighbour.handle_timeout(self.street, now_us, &mut self.line);
        }
        if self.second_us <= now_us {
            self.second_us = now_us - now_us % SECOND_US + SECOND_US;
            for station in &mut self.stations {
                station.measure(now_us, &mut self.line, &mut self.fresh);
            }
        }
        self.keep_moves();
    }

    fn deliver(&mut self, delivery: &Delivery) {
        match delivery.node {
            0 => self.host.handle_delivery(delivery),
            node if node == self.street => self.overhear(delivery),
            node => {
                if let Some(station) = self.stations.get_mut(node - 1) {
                    station.handle_delivery(delivery, &mut self.line, &mut self.fresh);
                }
            }
        }
    }

    fn overhear(&mut self, delivery: &Delivery) {
        if !delivery.truth.intact {
            return;
        }
        if self.overheard.len() >= OVERHEARD_MAX {
            self.overheard.pop_front();
        }
        let (end_us, from) = (delivery.end_us, delivery.truth.from);
        self.overheard.push_back(Overheard { end_us, from, bytes: Arc::clone(&delivery.bytes) });
    }

    fn keep_moves(&mut self) {
        for moved in self.fresh.drain(..) {
            if self.moves.len() >= MOVES_MAX {
                self.moves.pop_front();
            }
            self.moves.push_back(moved);
        }
    }

    fn touch(
        &mut self,
        socket: Node,
        act: impl FnOnce(&mut Station, &mut Line, &mut Vec<Move>, u64),
    ) -> bool {
        let Some(station) = socket.checked_sub(1).and_then(|at| self.stations.get_mut(at)) else {
            return false;
        };
        act(station, &mut self.line, &mut self.fresh, self.now_us);
        self.keep_moves();
        true
    }
}

fn micros(now: Duration) -> u64 {
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}

impl Wire for House {
    fn handle_bytes(&mut self, bytes: &[u8], now: Duration, _: i64) {
        self.run_until(micros(now));
        if self.requests.len() >= REQUESTS_MAX {
            self.requests.pop_front();
        }
        self.requests.push_back(Recorded { at: now, bytes: bytes.to_vec(), preamble: 0 });
        self.write(bytes);
    }

    fn poll_output(&mut self, now: Duration) -> Option<Output> {
        self.run_until(micros(now));
        self.read().map(|(due_us, bytes)| Output { due: Duration::from_micros(due_us), bytes })
    }

    fn poll_timeout(&self) -> Option<Duration> {
        let next_us = self.next_us().min(self.host.output_due_us().unwrap_or(u64::MAX));
        Some(Duration::from_micros(next_us))
    }

    fn advance(&mut self, now: Duration) {
        self.run_until(micros(now));
    }

    fn now(&self) -> Duration {
        Duration::from_micros(self.now_us)
    }

    fn requests(&self) -> Vec<Recorded> {
        self.requests.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests;
