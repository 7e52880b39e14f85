//! What else is on the wire: noise as a pure function of the time and a seed, so that it is the same whoever listens.
//!
//! Each source adds its power to the bits that it touches, by the share of the bit that it covers: a 64 µs impulse is
//! a sixth of a bit at 2400 bit/s. Models and constants: background that follows the mains (Katayama 2006), impulses
//! by Poisson (Zimmermann and Dostert), mains-locked bursts, and sources that switch on and off (two-state Markov,
//! Gilbert and Elliott; also narrow-band interferers).

use crate::mains::phy::{Phy, cdb, power};
use crate::mains::wiring::Phase;
use crate::random::{Random, mix};

/// Finest step of the background's shape.
const SHAPE_STEP_US: u64 = 5;
/// Impulses are drawn afresh for each such stretch; their process has no memory, so nothing shows.
const IMPULSE_WINDOW_US: u64 = 1_000_000;
/// A switching source starts afresh after so many mean cycles.
const SWITCHING_CYCLES: u64 = 200;
/// What stands for silence, in hundredths of a dBµV.
const SILENCE_CDBUV: i32 = -10_000;

/// One source of noise. Levels are in hundredths of a dBµV at every receiver.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Source {
    /// Always there.
    Background {
        /// The mean level.
        level_cdbuv: i32,
        /// Whether it rises and falls with the half-cycle.
        shape: Option<Shape>,
    },
    /// A burst in each half-cycle: dimmers, phone chargers.
    Locked {
        /// After the zero crossing.
        offset_us: u64,
        /// How long each lasts.
        width_us: u64,
        /// Level during the burst.
        level_cdbuv: i32,
    },
    /// Short strokes at random.
    Impulses {
        /// Mean time between two, in µs.
        mean_gap_us: f64,
        /// Mean length, in µs.
        mean_width_us: f64,
        /// Mean level.
        level_cdbuv: i32,
        /// How much the level varies, in hundredths of a dB.
        deviation_cdb: i32,
    },
    /// On for a while, off for a while.
    Switching {
        /// Mean length of the bad times, in µs.
        mean_on_us: f64,
        /// Mean length of the good ones, in µs.
        mean_off_us: f64,
        /// Level while it is on.
        level_cdbuv: i32,
    },
}

/// σ²(t) = Σ `a`·|sin(2πt/T + θ)|^`n` with T the mains period (Katayama 2006); only the ratios count here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Weights.
    pub a: [f64; 3],
    /// Angles in degrees.
    pub theta_deg: [f64; 3],
    /// Exponents.
    pub n: [f64; 3],
}

impl Default for Shape {
    /// The values published for a Japanese house.
    fn default() -> Self {
        Self { a: [0.230, 1.38, 7.17], theta_deg: [0.0, -6.0, -35.0], n: [0.0, 1.91, 157_000.0] }
    }
}

/// All noise of a line.
#[derive(Clone, Debug)]
pub struct Noise {
    sources: Vec<Source>,
    /// Sums of each background's shape up to each step, its mean being 1.
    shapes: Vec<Vec<f64>>,
    half_cycle_us: u64,
    seed: u64,
}

/// Bits of a frame that share one level of noise, to the nearest dB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Class {
    pub(crate) level_cdbuv: i32,
    pub(crate) bits: Vec<u16>,
}

impl Noise {
    /// The noise of a list of sources; `mains_hz` is 50 or 60.
    #[must_use]
    pub fn new(sources: Vec<Source>, mains_hz: u32, seed: u64) -> Self {
        let half_cycle_us = 500_000 / u64::from(mains_hz.clamp(1, 1_000));
        let shapes = sources.iter().map(|source| match source {
            Source::Background { shape: Some(shape), .. } => sums(shape, half_cycle_us),
            _ => Vec::new(),
        });
        Self { shapes: shapes.collect(), sources, half_cycle_us, seed }
    }

    /// No noise at all.
    #[must_use]
    pub fn quiet() -> Self {
        Self::new(Vec::new(), 50, 0)
    }

    /// True if there is nothing to reckon with.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.sources.is_empty()
    }

    /// The mean level over a stretch of time as a receiver on `phase` sees it, in hundredths of a dBµV.
    #[must_use]
    pub fn level_cdbuv(&self, from_us: u64, to_us: u64, phase: Phase) -> i32 {
        let mut one = [0.0];
        self.add_all(&[from_us, to_us.max(from_us + 1)], &mut one, phase);
        if one[0] > 0.0 { cdb(one[0]) } else { SILENCE_CDBUV }
    }

    /// The levels during the bits of a frame that starts at `start_us`.
    pub(crate) fn classes(&self, phy: &Phy, start_us: u64, bits: u16, phase: Phase) -> Vec<Class> {
        if self.is_quiet() {
            return Vec::new();
        }
        let edges: Vec<u64> = (0..=bits).map(|bit| start_us + phy.bit_at_us(u64::from(bit))).collect();
        let mut powers = vec![0.0; usize::from(bits)];
        self.add_all(&edges, &mut powers, phase);
        let mut classes: Vec<Class> = Vec::new();
        for (bit, power) in (0..bits).zip(powers).filter(|(_, power)| *power > 0.0) {
            let level_cdbuv = (cdb(power) + 50).div_euclid(100) * 100;
            match classes.iter_mut().find(|class| class.level_cdbuv == level_cdbuv) {
                Some(class) => class.bits.push(bit),
                None => classes.push(Class { level_cdbuv, bits: vec![bit] }),
            }
        }
        classes
    }

    /// Adds every source's power to the stretches between neighbouring `edges`.
    fn add_all(&self, edges: &[u64], powers: &mut [f64], phase: Phase) {
        for (n, source) in self.sources.iter().enumerate() {
            let seed = mix(self.seed, n as u64);
            let (first, last) = (edges[0], edges[edges.len() - 1]);
            match *source {
                Source::Background { level_cdbuv, .. } => {
                    let level = power(level_cdbuv);
                    for (value, edge) in powers.iter_mut().zip(edges.windows(2)) {
                        *value += level * self.shape_mean(n, self.angle(edge[0], phase), edge[1] - edge[0]);
                    }
                }
                Source::Locked { offset_us, width_us, level_cdbuv } => {
                    let level = power(level_cdbuv);
                    let crossing = first.cast_signed() - self.angle(first, phase).cast_signed();
                    let mut start = crossing + (offset_us.cast_signed() - self.half_cycle_us.cast_signed());
                    while start < last.cast_signed() {
                        let hit = (
                            start.max(0).cast_unsigned(),
                            (start + width_us.cast_signed()).max(0).cast_unsigned(),
                        );
                        cover(edges, powers, hit, level);
                        start += self.half_cycle_us.cast_signed();
                    }
                }
                Source::Impulses { mean_gap_us, mean_width_us, level_cdbuv, deviation_cdb } => {
                    impulses(seed, (mean_gap_us, mean_width_us), (first, last), |hit, random| {
                        let level = random.normal(f64::from(level_cdbuv), f64::from(deviation_cdb));
                        cover(edges, powers, hit, power(level as i32));
                    });
                }
                Source::Switching { mean_on_us, mean_off_us, level_cdbuv } => {
                    let means = (mean_on_us.max(1.0), mean_off_us.max(1.0));
                    switching(seed, means, (first, last), |on| {
                        cover(edges, powers, on, power(level_cdbuv));
                    });
                }
            }
        }
    }

    /// Time since the last zero crossing of a phase.
    fn angle(&self, at_us: u64, phase: Phase) -> u64 {
        // A third of a period is two thirds of a half-cycle.
        let shift = 2 * self.half_cycle_us * phase.index() as u64 / 3;
        (at_us + 3 * self.half_cycle_us - shift) % self.half_cycle_us
    }

    /// The mean of a background's shape over a stretch that starts at an angle.
    fn shape_mean(&self, source: usize, angle_us: u64, length_us: u64) -> f64 {
        let sums = &self.shapes[source];
        let Some(whole) = sums.last().copied() else { return 1.0 };
        let steps = sums.len() as u64 - 1;
        let upto = |us: u64| {
            let step = us / SHAPE_STEP_US;
            (step / steps) as f64 * whole + sums[usize::try_from(step % steps).unwrap_or(0)]
        };
        let first = angle_us / SHAPE_STEP_US * SHAPE_STEP_US;
        let last = (angle_us + length_us).max(first + SHAPE_STEP_US) / SHAPE_STEP_US * SHAPE_STEP_US;
        (upto(last) - upto(first)) / ((last - first) / SHAPE_STEP_US) as f64
    }
}

fn sums(shape: &Shape, half_cycle_us: u64) -> Vec<f64> {
    let steps = (half_cycle_us / SHAPE_STEP_US).max(1);
    let variance = |step: u64| -> f64 {
        let turn = (step as f64 + 0.5) / steps as f64 * core::f64::consts::PI;
        let term = |l: usize| {
            let sine = libm::fabs(libm::sin(turn + shape.theta_deg[l].to_radians()));
            shape.a[l] * libm::pow(sine, shape.n[l])
        };
        (0..3).map(term).sum()
    };
    let raw: Vec<f64> = (0..steps).map(variance).collect();
    let mean = (raw.iter().sum::<f64>() / steps as f64).max(f64::MIN_POSITIVE);
    let mut sum = 0.0;
    let mut sums = vec![0.0];
    sums.extend(raw.iter().map(|value| {
        sum += value / mean;
        sum
    }));
    sums
}

/// Calls `hit` with each stroke that may touch `span`, means in µs, and with what draws its level.
fn impulses(
    seed: u64,
    (mean_gap, mean_width): (f64, f64),
    span: (u64, u64),
    mut hit: impl FnMut((u64, u64), &mut Random),
) {
    // A stroke of the window before may last into this one.
    for window in (span.0 / IMPULSE_WINDOW_US).saturating_sub(1)..=span.1 / IMPULSE_WINDOW_US {
        let mut random = Random::new(mix(seed, window));
        let mut at = (window * IMPULSE_WINDOW_US) as f64;
        let end = at + IMPULSE_WINDOW_US as f64;
        loop {
            at += random.exponential(mean_gap.max(1.0));
            if at >= end {
                break;
            }
            let width = random.exponential(mean_width).max(1.0);
            hit((at as u64, (at + width) as u64), &mut random);
        }
    }
}

/// Calls `on` with each stretch between `span` during which a source is on.
fn switching(seed: u64, (mean_on, mean_off): (f64, f64), span: (u64, u64), mut on: impl FnMut((u64, u64))) {
    let window_us = ((mean_on + mean_off) * SWITCHING_CYCLES as f64).max(1.0) as u64;
    for window in span.0 / window_us..=span.1 / window_us {
        let mut random = Random::new(mix(seed, window));
        let start = (window * window_us) as f64;
        let end = start + window_us as f64;
        let mut at = start;
        let mut is_on = random.unit() <= mean_on / (mean_on + mean_off);
        while at < end && at <= span.1 as f64 {
            let until = (at + random.exponential(if is_on { mean_on } else { mean_off })).min(end);
            if is_on && until > span.0 as f64 {
                on((at as u64, until as u64));
            }
            at = until;
            is_on = !is_on;
        }
    }
}

/// Adds `level` to the stretches between `edges` by the share of each that `hit` covers.
fn cover(edges: &[u64], powers: &mut [f64], hit: (u64, u64), level: f64) {
    let first = edges.partition_point(|edge| *edge <= hit.0).saturating_sub(1);
    for (value, edge) in powers.iter_mut().zip(edges.windows(2)).skip(first) {
        if edge[0] >= hit.1 {
            break;
        }
        let covered = hit.1.min(edge[1]).saturating_sub(hit.0.max(edge[0]));
        *value += level * covered as f64 / (edge[1] - edge[0]) as f64;
    }
}

#[cfg(test)]
mod tests;
