//! What one receiver makes of one frame: distance, collisions with capture, loss, noise. No time passes here.
//!
//! Each pair of a frame and a receiver draws its own numbers, so that what one node hears does not depend on who else
//! listens.

use crate::mains::line::{Overlap, Setup, Transmission};
use crate::mains::noise::Class;
use crate::mains::phy::{Phy, cdb, power};
use crate::mains::wiring::Node;
use crate::random::{Random, mix};

/// Signal over noise in the steps of the table of bit errors, in hundredths of a dB.
const TABLE_STEP_CDB: i32 = 25;
/// Below this every other bit is wrong.
const TABLE_FIRST_CDB: i32 = -2_000;
/// Above this one bit in 10¹² is wrong.
const TABLE_LAST_CDB: i32 = 1_400;
/// An interferer weaker by this plus the capture ratio is left out of the sum, in hundredths of a dB.
const NEGLIGIBLE_CDB: i32 = 2_000;
/// No signal.
const NOTHING: i16 = i16::MIN;

/// How a frame fared at one receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Intact { snr_db: i8 },
    Damaged { snr_db: i8, bytes: Vec<u8> },
    Unheard,
    Lost,
    Collided,
    Deaf,
}

/// Levels of everyone at everyone, and what a receiver can do.
#[derive(Clone, Debug)]
pub(crate) struct Receiver {
    phy: Phy,
    nodes: usize,
    /// Row after row from sender to receiver, in hundredths of a dBµV.
    levels: Vec<i16>,
    extra_noise_cdb: Vec<i32>,
    /// ln(1 − p) of the bit errors p, from [`TABLE_FIRST_CDB`] on.
    ln_good: Vec<f64>,
    loss_ppm: u32,
    seed: u64,
}

impl Receiver {
    pub(crate) fn new(setup: &Setup) -> Self {
        let (wiring, phy) = (&setup.wiring, setup.phy);
        let nodes = wiring.len();
        let level = |from: Node, to: Node| {
            wiring.attenuation_cdb(from, to).map_or(NOTHING, |attenuation| {
                i16::try_from(phy.transmit_cdbuv - i32::from(attenuation)).unwrap_or(NOTHING)
            })
        };
        let steps = (TABLE_LAST_CDB - TABLE_FIRST_CDB) / TABLE_STEP_CDB;
        let ln_good = |step: i32| {
            let snr = power(TABLE_FIRST_CDB + step * TABLE_STEP_CDB);
            libm::log1p(-0.5 * libm::erfc(libm::sqrt(snr)))
        };
        Self {
            phy,
            nodes,
            levels: (0..nodes).flat_map(|from| (0..nodes).map(move |to| level(from, to))).collect(),
            extra_noise_cdb: (0..nodes).map(|node| wiring.extra_noise_cdb(node)).collect(),
            ln_good: (0..=steps).map(ln_good).collect(),
            loss_ppm: setup.loss_ppm,
            seed: setup.seed,
        }
    }

    /// The level of a sender at a receiver, in hundredths of a dBµV; `None` if nothing arrives.
    pub(crate) fn level_cdbuv(&self, from: Node, to: Node) -> Option<i32> {
        let level = self.levels.get(from * self.nodes + to).copied().filter(|level| *level != NOTHING)?;
        Some(i32::from(level))
    }

    /// What `node`, which listened all the time, makes of a frame in this noise.
    pub(crate) fn fate(&self, frame: &Transmission, node: Node, noise: &[Class]) -> Fate {
        let Some(level) =
            self.level_cdbuv(frame.from, node).filter(|level| *level >= self.phy.sensitivity_cdbuv)
        else {
            return Fate::Unheard;
        };
        if frame.overlaps.iter().any(|overlap| overlap.from == node) {
            return Fate::Deaf;
        }
        let mut wrong = Wrong::default();
        let mut random = Random::new(mix(mix(self.seed, frame.number), node as u64));
        match self.collisions(frame, node, level) {
            Collision::Drowned => return Fate::Collided,
            Collision::Spoilt(stretches) => {
                for stretch in stretches {
                    wrong.half_of(stretch, &mut random);
                }
            }
        }
        if wrong.within(self.phy.overhead_bits()) > self.phy.sync_errors_max {
            return Fate::Collided;
        }
        if random.chance(self.loss_ppm) {
            return Fate::Lost;
        }
        let extra = self.extra_noise_cdb[node];
        for class in noise {
            self.bit_errors(level - class.level_cdbuv - extra, &class.bits, &mut wrong, &mut random);
        }
        if wrong.within(self.phy.overhead_bits()) > self.phy.sync_errors_max {
            return Fate::Unheard;
        }
        let snr_db = snr_db(level - extra, noise);
        match wrong.applied(&frame.bytes, self.phy.overhead_bits()) {
            Some(bytes) => Fate::Damaged { snr_db, bytes },
            None => Fate::Intact { snr_db },
        }
    }

    /// The stretches of bits that other frames, or the sender's own end, spoil at a receiver.
    fn collisions(&self, frame: &Transmission, node: Node, level: i32) -> Collision {
        let mut spoilt = Vec::new();
        if frame.silent_us < frame.end_us {
            spoilt.push(self.bits(frame, frame.silent_us, frame.end_us));
        }
        for overlap in &frame.overlaps {
            let over = level - self.interference(frame, overlap, node, level);
            if over >= self.phy.capture_cdb {
                continue;
            }
            let bits = self.bits(frame, overlap.start_us, overlap.end_us);
            // A receiver turns to a frame that is stronger by the capture ratio, and never finds one that starts
            // under another.
            if over <= -self.phy.capture_cdb || bits.0 < self.phy.overhead_bits() {
                return Collision::Drowned;
            }
            spoilt.push(bits);
        }
        Collision::Spoilt(spoilt)
    }

    /// The sum of all that lies over the stretch of one overlap, in hundredths of a dBµV.
    fn interference(&self, frame: &Transmission, at: &Overlap, node: Node, level: i32) -> i32 {
        let counts = |overlap: &&Overlap| overlap.start_us < at.end_us && at.start_us < overlap.end_us;
        let levels =
            frame.overlaps.iter().filter(counts).filter_map(|other| self.level_cdbuv(other.from, node));
        let floor = level - self.phy.capture_cdb - NEGLIGIBLE_CDB;
        let mut heard = levels.filter(|other| *other > floor);
        match (heard.next(), heard.next()) {
            (None, _) => floor,
            (Some(one), None) => one,
            (Some(one), Some(two)) => cdb(power(one) + power(two) + heard.map(power).sum::<f64>()),
        }
    }

    /// The bits of a frame between two moments.
    fn bits(&self, frame: &Transmission, from_us: u64, to_us: u64) -> (u64, u64) {
        let last = self.phy.overhead_bits() + frame.bytes.len() as u64 * 8;
        let first = self.phy.bit_of(from_us.saturating_sub(frame.start_us));
        let end = self.phy.bit_of(to_us.saturating_sub(frame.start_us)) + 1;
        (first.min(last), end.min(last))
    }

    /// Draws the wrong ones of `bits`, jumping from one to the next.
    fn bit_errors(&self, snr_cdb: i32, bits: &[u16], wrong: &mut Wrong, random: &mut Random) {
        let step = (snr_cdb + self.phy.coding_gain_cdb - TABLE_FIRST_CDB).div_euclid(TABLE_STEP_CDB);
        let Some(ln_good) = self.ln_good.get(usize::try_from(step).unwrap_or(0)) else { return };
        let mut at = 0.0;
        loop {
            at += libm::floor(libm::log(random.unit()) / ln_good);
            // A float beyond the slice ends it; the conversion saturates.
            let Some(bit) = bits.get(at as usize) else { return };
            wrong.0.push(*bit);
            at += 1.0;
        }
    }
}

enum Collision {
    Drowned,
    Spoilt(Vec<(u64, u64)>),
}

/// Numbers of wrong bits, overhead included; twice wrong is right.
#[derive(Default)]
struct Wrong(Vec<u16>);

impl Wrong {
    fn half_of(&mut self, stretch: (u64, u64), random: &mut Random) {
        let bits = (stretch.0..stretch.1).filter_map(|bit| u16::try_from(bit).ok());
        self.0.extend(bits.filter(|_| random.below(2) == 1));
    }

    fn within(&self, bits: u64) -> u32 {
        u32::try_from(self.0.iter().filter(|bit| u64::from(**bit) < bits).count()).unwrap_or(u32::MAX)
    }

    /// The bytes with their wrong bits; `None` if none is.
    fn applied(&self, bytes: &[u8], overhead_bits: u64) -> Option<Vec<u8>> {
        let mut changed: Option<Vec<u8>> = None;
        for bit in self.0.iter().filter_map(|bit| u64::from(*bit).checked_sub(overhead_bits)) {
            let copy = changed.get_or_insert_with(|| bytes.to_vec());
            if let Some(byte) = usize::try_from(bit / 8).ok().and_then(|at| copy.get_mut(at)) {
                *byte ^= 0x80 >> (bit % 8);
            }
        }
        changed.filter(|changed| changed != bytes)
    }
}

/// Signal over the mean of the noise, in whole dB.
fn snr_db(level_cdbuv: i32, noise: &[Class]) -> i8 {
    let bits: usize = noise.iter().map(|class| class.bits.len()).sum();
    let sum: f64 = noise.iter().map(|class| power(class.level_cdbuv) * class.bits.len() as f64).sum();
    let mean = if bits == 0 { 0 } else { cdb(sum / bits as f64) };
    i8::try_from((level_cdbuv - mean).div_euclid(100)).unwrap_or(if level_cdbuv > mean {
        i8::MAX
    } else {
        i8::MIN
    })
}
