//! When a modem does not do as it should, on purpose and by plan.

use crate::random::{Random, mix};

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sulk {
    /// When it starts, in µs of the line's time.
    pub at_us: u64,
    /// What it is.
    pub kind: SulkKind,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SulkKind {
    /// Every request is answered with [`super::TxResult::Busy`].
    Busy {
        /// For so long, in µs.
        for_us: u64,
    },
    /// It loses what it had, a frame in mid-air included, and starts anew with garbage.
    Reset,
    /// Nothing comes from it, and what it is told is lost; it goes on by itself.
    Hang {
        /// For so long, in µs.
        for_us: u64,
    },
    /// Like [`SulkKind::Hang`], until the host resets it.
    HangForGood,
    /// The next frame is sent, but its confirm is lost.
    LoseConfirm,
}

impl Sulk {
    /// A plan of all kinds but the last one that needs a host, `mean_gap_us` apart on average.
    #[must_use]
    pub fn scattered(length_us: u64, mean_gap_us: u64, seed: u64) -> Vec<Self> {
        let mut random = Random::new(mix(seed, 0x7375_6c6b));
        let mut sulks = Vec::new();
        let mut at = 0.0;
        loop {
            at += random.exponential(mean_gap_us.max(1) as f64);
            let at_us = at as u64;
            if at_us >= length_us {
                return sulks;
            }
            let kind = match random.below(4) {
                0 => SulkKind::Busy { for_us: 50_000 + random.below(2_000_000) },
                1 => SulkKind::Reset,
                2 => SulkKind::Hang { for_us: 500_000 + random.below(8_000_000) },
                _ => SulkKind::LoseConfirm,
            };
            sulks.push(Self { at_us, kind });
        }
    }
}
