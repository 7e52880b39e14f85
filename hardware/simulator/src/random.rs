//! Seeded numbers: the same seed tells the same story on every machine. No entropy enters here.

/// A number that depends on all bits of both arguments (the finaliser of SplitMix64).
pub(crate) fn mix(seed: u64, n: u64) -> u64 {
    let mut z = seed ^ n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A sequence of numbers.
#[derive(Clone, Debug)]
pub(crate) struct Random {
    seed: u64,
    drawn: u64,
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, drawn: 0 }
    }

    /// The next number below `limit`; 0 when `limit` is 0.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.drawn += 1;
        mix(self.seed, self.drawn).checked_rem(limit).unwrap_or(0)
    }

    /// The next number above 0, up to 1.
    pub(crate) fn unit(&mut self) -> f64 {
        const STEPS: u64 = 1 << 53;
        (self.below(STEPS) + 1) as f64 / STEPS as f64
    }

    /// The next waiting time of a process without memory.
    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        -libm::log(self.unit()) * mean
    }

    /// The next number around `mean`, never further off than six times `deviation` (a sum of twelve even draws).
    pub(crate) fn normal(&mut self, mean: f64, deviation: f64) -> f64 {
        let sum: f64 = (0..12).map(|_| self.unit()).sum();
        mean + (sum - 6.0) * deviation
    }

    /// True in so many of a million cases.
    pub(crate) fn chance(&mut self, ppm: u32) -> bool {
        self.below(1_000_000) < u64::from(ppm)
    }
}

/// A curve that wanders between `-swing` and `swing`: straight lines between seeded knots `knot_s` seconds apart.
pub(crate) fn wave(seed: u64, second: u64, knot_s: u64, swing: i64) -> i64 {
    let knot = |n: u64| {
        let span = swing.unsigned_abs() * 2 + 1;
        (mix(seed, n) % span).cast_signed() - swing
    };
    let (index, offset) = (second / knot_s, second % knot_s);
    let (from, to) = (knot(index), knot(index + 1));
    from + (to - from) * offset.cast_signed() / knot_s.cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wave_stays_within_its_swing_and_moves() {
        let values: Vec<i64> = (0..5000).map(|second| wave(7, second, 60, 2500)).collect();
        assert!(values.iter().all(|v| (-2500..=2500).contains(v)));
        assert!(values.iter().any(|v| *v > 1000) && values.iter().any(|v| *v < -1000));
    }

    #[test]
    fn waiting_times_and_bells_have_the_mean_and_spread_that_was_asked() {
        let mut random = Random::new(3);
        let mean = (0..20_000).map(|_| random.exponential(50.0)).sum::<f64>() / 20_000.0;
        assert!((49.0..51.0).contains(&mean), "{mean}");
        let bell: Vec<f64> = (0..20_000).map(|_| random.normal(35.0, 12.0)).collect();
        let mean = bell.iter().sum::<f64>() / 20_000.0;
        let variance = bell.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / 20_000.0;
        assert!((34.7..35.3).contains(&mean), "{mean}");
        assert!((11.8..12.2).contains(&variance.sqrt()), "{}", variance.sqrt());
    }

    #[test]
    fn the_same_seed_draws_the_same_numbers() {
        let draw = |seed| {
            let mut random = Random::new(seed);
            (0..20).map(|_| random.below(1000)).collect::<Vec<_>>()
        };
        assert_eq!(draw(5), draw(5));
        assert_ne!(draw(5), draw(6));
    }
}
