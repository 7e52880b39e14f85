//! Numbers that nobody can foresee, from entropy given once at the start: nonces, and waits.

use plugline_protocol::security::Key;

/// Nonces of joining: they must never come back, and must not be guessed. AES-CMAC under the entropy, so that no wait
/// that somebody times tells him anything of them.
#[derive(Clone, Debug)]
pub(crate) struct Draws {
    key: Key,
    number: u32,
}

impl Draws {
    pub(crate) fn new(entropy: [u32; 4]) -> Self {
        let mut octets = [0; 16];
        octets
            .chunks_exact_mut(4)
            .zip(entropy)
            .for_each(|(to, from)| to.copy_from_slice(&from.to_be_bytes()));
        Self { key: Key::new(octets), number: 0 }
    }

    /// Sets apart two starts that were given the same entropy.
    pub(crate) fn begin(&mut self, starts: u16) {
        self.number = u32::from(starts) << 16;
    }

    pub(crate) fn nonce(&mut self) -> [u8; 8] {
        self.number = self.number.wrapping_add(1);
        self.key.draw(self.number)
    }
}

/// Waits: Marsaglia's xorshift of 64 bits, a handful of instructions on a Cortex-M0.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: [u8; 8]) -> Self {
        // A state of zeros would stay one.
        Self(u64::from_be_bytes(seed) | 1)
    }

    /// 0 … `most`.
    pub(crate) fn up_to(&mut self, most: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let scaled = (self.0 >> 32) * (u64::from(most) + 1);
        (scaled >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::vec::Vec;

    use super::*;

    // [PLG-5.2-2] [PLG-5.2-6]
    #[test]
    fn nonces_do_not_come_back_even_when_the_entropy_does() {
        let mut seen = BTreeSet::new();
        for starts in 0..100 {
            let mut draws = Draws::new([0; 4]);
            draws.begin(starts);
            assert!((0..10).all(|_| seen.insert(draws.nonce())));
        }
        assert!(seen.insert(Draws::new([1, 0, 0, 0]).nonce()));
    }

    #[test]
    fn waits_reach_both_ends_and_not_beyond() {
        let mut random = Random::new([0; 8]);
        let seen: BTreeSet<_> = (0..1000).map(|_| random.up_to(4)).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn waits_are_spread_evenly() {
        let mut random = Random::new([1, 2, 3, 4, 5, 6, 7, 8]);
        let mut tally = [0_u32; 10];
        (0..10_000).for_each(|_| tally[random.up_to(9) as usize] += 1);
        assert!(tally.iter().all(|count| (900..1_100).contains(count)), "{tally:?}");
    }
}
