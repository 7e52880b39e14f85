//! Who hears whom: the loss of signal between each two points of the wiring, drawn once from a rule and a seed.
//!
//! It knows nothing of frames or of time.

use crate::random::{Random, mix};

/// A point on the wiring; the modem is 0 by custom.
pub type Node = usize;

/// The conductor that a node hangs on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The first one.
    #[default]
    L1,
    /// Its zero crossing comes a third of a period (at 50 Hz 6.67 ms) later.
    L2,
    /// Two thirds later.
    L3,
}

impl Phase {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::L1, Self::L2, Self::L3];

    pub(crate) fn index(self) -> usize {
        match self {
            Self::L1 => 0,
            Self::L2 => 1,
            Self::L3 => 2,
        }
    }
}

/// How attenuations are drawn (power-line measurements in houses: 10 … 60 dB, 10 … 30 dB more across phases).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// Mean between two nodes of one phase, in dB.
    pub mean_db: f64,
    /// Standard deviation, in dB.
    pub deviation_db: f64,
    /// Added between two phases, in dB.
    pub other_phase_db: f64,
    /// The least and the most that anything is attenuated, in dB.
    pub range_db: (f64, f64),
    /// The most between the modem (node 0) and any other node, in dB: it sits at the meter board.
    pub modem_max_db: f64,
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            mean_db: 35.0,
            deviation_db: 12.0,
            other_phase_db: 20.0,
            range_db: (5.0, 110.0),
            modem_max_db: 60.0,
        }
    }
}

/// Everybody hears everybody alike; the ground for arithmetic.
pub const LEVEL: Rule = Rule {
    mean_db: 35.0,
    deviation_db: 0.0,
    other_phase_db: 0.0,
    range_db: (5.0, 110.0),
    modem_max_db: 60.0,
};

/// No signal passes.
const HIDDEN_CDB: u16 = u16::MAX;

/// Attenuation between all pairs, alike both ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wiring {
    phases: Vec<Phase>,
    /// Row after row, in hundredths of a dB.
    attenuation: Vec<u16>,
    /// What an appliance beside the node adds to its noise, in hundredths of a dB.
    extra_noise: Vec<i32>,
}

impl Wiring {
    /// One node for each phase named, node 0 first.
    #[must_use]
    pub fn new(phases: &[Phase], rule: &Rule, seed: u64) -> Self {
        let nodes = phases.len();
        let mut wiring = Self {
            phases: phases.to_vec(),
            attenuation: vec![0; nodes * nodes],
            extra_noise: vec![0; nodes],
        };
        let mut random = Random::new(mix(seed, 0x0077_6972));
        for a in 0..nodes {
            for b in a + 1..nodes {
                let across = if phases[a] == phases[b] { 0.0 } else { rule.other_phase_db };
                let drawn = random.normal(rule.mean_db, rule.deviation_db) + across;
                let most = if a == 0 { rule.modem_max_db.min(rule.range_db.1) } else { rule.range_db.1 };
                wiring.set(a, b, (drawn.min(most).max(rule.range_db.0) * 100.0) as u16);
            }
        }
        wiring
    }

    /// Hides so many of the pairs that are not with node 0 from each other, to the nearest pair; `ppm` 200 000 is a
    /// fifth.
    #[must_use]
    pub fn with_hidden(mut self, ppm: u32, seed: u64) -> Self {
        let nodes = self.len();
        let mut pairs: Vec<_> = (1..nodes).flat_map(|a| (a + 1..nodes).map(move |b| (a, b))).collect();
        let wanted = (pairs.len() as u64 * u64::from(ppm.min(1_000_000)) + 500_000) / 1_000_000;
        let mut random = Random::new(mix(seed, 0x6869_6465));
        for n in 0..usize::try_from(wanted).unwrap_or(0) {
            let other = n + usize::try_from(random.below((pairs.len() - n) as u64)).unwrap_or(0);
            pairs.swap(n, other);
            let (a, b) = pairs[n];
            self.set(a, b, HIDDEN_CDB);
        }
        self
    }

    /// Sets one pair, both ways, in hundredths of a dB; `None` hides them from each other. Unknown nodes are left out.
    #[must_use]
    pub fn with_pair(mut self, a: Node, b: Node, attenuation_cdb: Option<u16>) -> Self {
        if a < self.len() && b < self.len() {
            self.set(a, b, attenuation_cdb.unwrap_or(HIDDEN_CDB));
        }
        self
    }

    /// Adds noise at one node, in hundredths of a dB: a dimmer or a cheap supply beside it.
    #[must_use]
    pub fn with_extra_noise(mut self, node: Node, extra_cdb: i32) -> Self {
        if let Some(extra) = self.extra_noise.get_mut(node) {
            *extra = extra_cdb;
        }
        self
    }

    /// Puts one more node behind the others, as far from each of them as from every other.
    #[must_use]
    pub fn with_node(self, phase: Phase, attenuation_cdb: u16) -> Self {
        let (old, nodes) = (self.len(), self.len() + 1);
        let mut wider = Self {
            phases: [&self.phases[..], &[phase]].concat(),
            attenuation: vec![0; nodes * nodes],
            extra_noise: [&self.extra_noise[..], &[0]].concat(),
        };
        for a in 0..old {
            for b in 0..a {
                wider.set(a, b, self.attenuation[a * old + b]);
            }
            wider.set(a, old, attenuation_cdb);
        }
        wider
    }

    /// How many nodes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.phases.len()
    }

    /// True without any node.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.phases.is_empty()
    }

    /// The phase of a node; unknown nodes hang on L1.
    #[must_use]
    pub fn phase(&self, node: Node) -> Phase {
        self.phases.get(node).copied().unwrap_or_default()
    }

    /// Attenuation in hundredths of a dB; `None` if nothing passes.
    #[must_use]
    pub fn attenuation_cdb(&self, from: Node, to: Node) -> Option<u16> {
        let known = from < self.len() && to < self.len();
        let attenuation = known.then(|| self.attenuation[from * self.len() + to])?;
        (attenuation != HIDDEN_CDB).then_some(attenuation)
    }

    /// The share of the pairs without node 0 that lose more than `most_cdb`, in ppm.
    #[must_use]
    pub fn hidden_ppm(&self, most_cdb: i32) -> u32 {
        let nodes = self.len();
        let pairs = || (1..nodes).flat_map(|a| (a + 1..nodes).map(move |b| (a, b)));
        let deaf = |&(a, b): &(Node, Node)| {
            self.attenuation_cdb(a, b).is_none_or(|attenuation| i32::from(attenuation) > most_cdb)
        };
        let hidden = pairs().filter(deaf).count() as u64;
        u32::try_from((hidden * 1_000_000).checked_div(pairs().count() as u64).unwrap_or(0))
            .unwrap_or(u32::MAX)
    }

    pub(crate) fn extra_noise_cdb(&self, node: Node) -> i32 {
        self.extra_noise.get(node).copied().unwrap_or(0)
    }

    fn set(&mut self, a: Node, b: Node, attenuation_cdb: u16) {
        let nodes = self.len();
        self.attenuation[a * nodes + b] = attenuation_cdb;
        self.attenuation[b * nodes + a] = attenuation_cdb;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn house(nodes: usize, seed: u64) -> Wiring {
        let phases: Vec<Phase> = (0..nodes).map(|n| Phase::ALL[n % 3]).collect();
        Wiring::new(&phases, &Rule::default(), seed)
    }

    #[test]
    fn a_fifth_of_the_socket_pairs_is_hidden_to_the_nearest_pair_and_none_with_the_modem() {
        let wiring = Wiring::new(&[Phase::L1; 61], &LEVEL, 1).with_hidden(200_000, 7);
        assert_eq!(wiring.hidden_ppm(11_000), 200_000, "354 of 1770 pairs");
        assert!((1..61).all(|node| wiring.attenuation_cdb(0, node) == Some(3_500)));
    }

    #[test]
    fn one_more_node_changes_nothing_between_the_others() {
        let (before, after) = (house(20, 5), house(20, 5).with_node(Phase::L2, 4_500));
        let pairs = (0..20).flat_map(|a| (0..20).map(move |b| (a, b)));
        assert!(pairs.clone().all(|(a, b)| before.attenuation_cdb(a, b) == after.attenuation_cdb(a, b)));
        assert!((0..20).all(|node| after.attenuation_cdb(20, node) == Some(4_500)));
        assert_eq!((after.len(), after.phase(20), after.phase(7)), (21, Phase::L2, before.phase(7)));
    }

    #[test]
    fn other_phases_are_twenty_decibels_further_away() {
        let wiring = house(200, 5);
        let mean = |same: bool| {
            let pairs = (1..200).flat_map(|a| (a + 1..200).map(move |b| (a, b)));
            let of = pairs.filter(|(a, b)| (wiring.phase(*a) == wiring.phase(*b)) == same);
            let values: Vec<f64> =
                of.filter_map(|(a, b)| wiring.attenuation_cdb(a, b)).map(f64::from).collect();
            values.iter().sum::<f64>() / values.len() as f64 / 100.0
        };
        assert!((34.5..35.5).contains(&mean(true)), "{}", mean(true));
        assert!((54.5..55.5).contains(&mean(false)), "{}", mean(false));
    }

    #[test]
    fn the_way_there_is_as_long_as_the_way_back_and_the_seed_alone_decides() {
        let wiring = house(30, 5);
        assert_eq!(wiring.attenuation_cdb(3, 17), wiring.attenuation_cdb(17, 3));
        assert_eq!(wiring, house(30, 5));
        assert_ne!(wiring, house(30, 6));
        assert_eq!(wiring.attenuation_cdb(3, 30), None, "there is no node 30");
    }
}
