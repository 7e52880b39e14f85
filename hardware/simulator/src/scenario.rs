//! Houses written down: how many sockets, what is plugged into them, the wiring, the noise, the modem's moods.
//!
//! A scenario and its seed decide all that happens. The files that come with the program are in `scenarios/` and say
//! on top what they are for.
//!
//! ```
//! use plugline_simulator::scenario::{HOUSEHOLD, Scenario};
//!
//! let house = Scenario::parse(HOUSEHOLD).expect("it comes with the program").with_seed(7);
//! assert_eq!(house.sockets().len(), 20);
//! let line = house.line();
//! assert_eq!(line.setup().wiring.len(), 21, "the modem is node 0");
//! ```

mod error;
mod file;
mod read;

pub use error::ScenarioError;

use crate::appliance::{Appliance, Kind};
use crate::mains::modem::{Modem, ModemSetup};
use crate::mains::{Line, Node, Noise, Phase, Phy, Rule, Setup, Source, Wiring};
use crate::random::mix;

/// Twenty sockets on three phases, a quiet house.
pub const HOUSEHOLD: &str = include_str!("../scenarios/household.toml");
/// The same house on a bad day: dimmers, impulses, a fifth of the pairs deaf to each other, a modem that sulks.
pub const NOISY: &str = include_str!("../scenarios/noisy.toml");
/// 250 sockets in a block of flats.
pub const BLOCK: &str = include_str!("../scenarios/block.toml");

/// Sockets of a house that does not say.
pub const SOCKETS_DEFAULT: usize = 20;
/// More would need more addresses than a slot plan has, and the table of attenuations grows with the square.
pub const SOCKETS_MAX: usize = 1_000;

/// A house that can be.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    name: String,
    seed: u64,
    start_of_day_s: u32,
    mains_hz: u32,
    sockets: usize,
    named: Vec<SocketPlan>,
    others: Vec<Kind>,
    phy: Phy,
    rule: Rule,
    phases: Vec<Phase>,
    modem_phase: Phase,
    hidden_ppm: u32,
    loss_ppm: u32,
    sources: Vec<Source>,
    modem: ModemSetup,
}

/// A socket as its table says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SocketPlan {
    name: String,
    kind: Kind,
    phase: Option<Phase>,
    to_modem_cdb: Option<u16>,
    extra_noise_cdb: i32,
}

/// A socket of a house.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// Where it is on the line, from 1.
    pub node: Node,
    /// What people call it.
    pub name: String,
    /// Its conductor.
    pub phase: Phase,
    /// What is plugged in.
    pub appliance: Appliance,
}

impl Scenario {
    /// Reads a scenario file.
    ///
    /// # Errors
    /// [`ScenarioError`] names line, column and reason of the first thing that cannot be.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        read::scenario(text)
    }

    /// What the file calls itself.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The seed of everything.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The time of day at virtual time 0, in seconds after midnight.
    #[must_use]
    pub fn start_of_day_s(&self) -> u32 {
        self.start_of_day_s
    }

    /// The same house with other dice; the modem's sulks stay at their times.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self.modem.seed = seed;
        self
    }

    /// The same house with another number of sockets, 1 … [`SOCKETS_MAX`]. Named ones go last.
    #[must_use]
    pub fn with_sockets(mut self, sockets: usize) -> Self {
        self.sockets = sockets.clamp(1, SOCKETS_MAX);
        self.named.truncate(self.sockets);
        self
    }

    /// The same house with the noise, the loss and the hidden pairs of another one.
    #[must_use]
    pub fn with_troubles_of(self, other: &Self) -> Self {
        let sources = other.sources.clone();
        Self { sources, loss_ppm: other.loss_ppm, hidden_ppm: other.hidden_ppm, ..self }
    }

    /// Its sockets, in the order of their nodes.
    #[must_use]
    pub fn sockets(&self) -> Vec<Socket> {
        let dealt = (self.named.len()..self.sockets).map(|n| SocketPlan {
            name: String::new(),
            kind: self.others[(n - self.named.len()) % self.others.len()],
            phase: None,
            to_modem_cdb: None,
            extra_noise_cdb: 0,
        });
        let socket = |(n, plan): (usize, SocketPlan)| Socket {
            node: n + 1,
            phase: plan.phase.unwrap_or(self.phases[n % self.phases.len()]),
            appliance: Appliance::new(plan.kind, mix(self.seed, n as u64 + 1))
                .starting_at(self.start_of_day_s),
            name: if plan.name.is_empty() { format!("{} {}", label(plan.kind), n + 1) } else { plan.name },
        };
        self.named.iter().cloned().chain(dealt).enumerate().map(socket).collect()
    }

    /// Its line at time 0. Node 0 is the modem.
    #[must_use]
    pub fn line(&self) -> Line {
        let sockets = self.sockets().into_iter().map(|socket| socket.phase);
        let phases: Vec<Phase> = std::iter::once(self.modem_phase).chain(sockets).collect();
        let mut wiring = Wiring::new(&phases, &self.rule, self.seed).with_hidden(self.hidden_ppm, self.seed);
        for (node, plan) in (1..).zip(&self.named) {
            if plan.to_modem_cdb.is_some() {
                wiring = wiring.with_pair(0, node, plan.to_modem_cdb);
            }
            wiring = wiring.with_extra_noise(node, plan.extra_noise_cdb);
        }
        Line::new(Setup {
            phy: self.phy,
            wiring,
            noise: Noise::new(self.sources.clone(), self.mains_hz, self.seed),
            loss_ppm: self.loss_ppm,
            seed: self.seed,
        })
    }

    /// Its modem, without power until time 0.
    #[must_use]
    pub fn modem(&self) -> Modem {
        Modem::new(self.modem.clone())
    }
}

fn label(kind: Kind) -> &'static str {
    match kind {
        Kind::Nothing => "Empty",
        Kind::Kettle => "Kettle",
        Kind::Fridge => "Fridge",
        Kind::Charger => "Charger",
        Kind::LedLamp | Kind::Lamp => "Lamp",
        Kind::Heater => "Heater",
        Kind::Desk => "Desk",
        Kind::Television => "Television",
        Kind::WashingMachine => "Washing machine",
        Kind::Panel { .. } => "Panel",
        Kind::Constant { .. } => "Load",
    }
}

#[cfg(test)]
mod tests;
