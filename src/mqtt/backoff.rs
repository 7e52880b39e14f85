//! Waits between attempts: doubling, capped, spread by a seed so that a house full of clients does not come back in
//! step. Pure.

use std::time::Duration;

/// First wait: a broker that restarts is back in less than a second.
const FIRST: Duration = Duration::from_millis(500);
/// Longest wait: a person who has mended something does not want to wait longer.
const LONGEST: Duration = Duration::from_secs(30);

/// Numbers from a seed (SplitMix64: Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The same seed gives the same numbers.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A time from zero to `most`, in milliseconds' steps.
    pub fn up_to(&mut self, most: Duration) -> Duration {
        let most_ms = u64::try_from(most.as_millis()).unwrap_or(u64::MAX - 1);
        Duration::from_millis(self.next() % (most_ms + 1))
    }
}

/// The waits of one thing that is tried again and again.
#[derive(Clone, Debug)]
pub struct Backoff {
    dice: Dice,
    next: Duration,
}

impl Backoff {
    /// Starts at half a second.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { dice: Dice::new(seed), next: FIRST }
    }

    /// The wait before the next attempt: half fixed, half by chance.
    pub fn wait(&mut self) -> Duration {
        let half = self.next / 2;
        self.next = (self.next * 2).min(LONGEST);
        half + self.dice.up_to(half)
    }

    /// It worked: begin anew.
    pub fn reset(&mut self) {
        self.next = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_limit_and_begin_anew_after_success() {
        let mut backoff = Backoff::new(7);
        let waits: Vec<Duration> = (0..12).map(|_| backoff.wait()).collect();
        assert!((FIRST / 2..=FIRST).contains(&waits[0]), "{waits:?}");
        assert!((LONGEST / 2..=LONGEST).contains(&waits[11]), "{waits:?}");
        backoff.reset();
        assert!(backoff.wait() <= FIRST);
    }

    #[test]
    fn two_seeds_do_not_keep_step() {
        let waits = |seed| (0..6).map(move |_| ()).scan(Backoff::new(seed), |b, ()| Some(b.wait()));
        assert!(!waits(1).eq(waits(2)));
        assert!(waits(3).eq(waits(3)));
    }
}
