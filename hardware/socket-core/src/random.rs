//! Numbers nobody can foresee, from entropy given once. Not for keys: waits, back-off, and nonces that must not repeat.

/// Marsaglia's xorshift of 128 bits: a handful of instructions on a Cortex-M0.
#[derive(Clone, Debug)]
pub(crate) struct Random([u32; 4]);

impl Random {
    /// `starts` sets apart two starts that were given the same entropy.
    pub(crate) fn new(entropy: [u32; 4], starts: u16) -> Self {
        let mut random = Self(entropy);
        random.stir(starts);
        random
    }

    /// As in [`Self::new`].
    pub(crate) fn stir(&mut self, starts: u16) {
        let [a, _, _, d] = &mut self.0;
        // A state of zeros would stay one.
        (*a, *d) = (*a | 1, *d ^ u32::from(starts).wrapping_mul(0x9E37_79B9));
        // Spreads what is in few bits over all of them.
        for _ in 0..16 {
            self.next();
        }
    }

    fn next(&mut self) -> u32 {
        let [a, b, c, d] = self.0;
        let mixed = d ^ d << 11;
        let mixed = mixed ^ mixed >> 8 ^ a ^ a >> 19;
        self.0 = [mixed, a, b, c];
        mixed
    }

    /// 0 … `most`.
    pub(crate) fn up_to(&mut self, most: u32) -> u32 {
        let scaled = u64::from(self.next()) * (u64::from(most) + 1);
        (scaled >> 32) as u32
    }

    pub(crate) fn nonce(&mut self) -> [u8; 8] {
        let [a, b, c, d] = self.next().to_be_bytes();
        let [e, f, g, h] = self.next().to_be_bytes();
        [a, b, c, d, e, f, g, h]
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn two_starts_with_the_same_entropy_differ() {
        let nonces: Vec<_> = (0..100).map(|starts| Random::new([0; 4], starts).nonce()).collect();
        let distinct: std::collections::BTreeSet<_> = nonces.iter().collect();
        assert_eq!(distinct.len(), nonces.len());
    }

    #[test]
    fn waits_reach_both_ends_and_not_beyond() {
        let mut random = Random::new([1, 2, 3, 4], 0);
        let seen: std::collections::BTreeSet<_> = (0..1000).map(|_| random.up_to(4)).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    }
}
