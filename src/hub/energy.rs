//! The ledger of energy totals: what is published never falls. Pure.

/// One total of one device, in mWh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    published: Option<i64>,
    held: bool,
}

/// What becomes of a total that a meter reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is published.
    Publish,
    /// It fell: held back and counted. `first` marks the first of a run, which a person should know of.
    Hold {
        /// No total was held since the last one published.
        first: bool,
        /// The last published total in mWh.
        published: i64,
    },
}

impl Ledger {
    /// The last published total, in mWh.
    #[must_use]
    pub fn published(&self) -> Option<i64> {
        self.published
    }

    /// Judges a reported total, in mWh.
    pub fn judge(&mut self, total: i64) -> Verdict {
        match self.published {
            Some(published) if total < published => {
                let first = !self.held;
                self.held = true;
                Verdict::Hold { first, published }
            }
            _ => {
                self.published = Some(total);
                self.held = false;
                Verdict::Publish
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_total_that_falls_is_held_until_it_passes_the_published_one() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.judge(1_000), Verdict::Publish);
        assert_eq!(ledger.judge(0), Verdict::Hold { first: true, published: 1_000 });
        assert_eq!(ledger.judge(999), Verdict::Hold { first: false, published: 1_000 });
        assert_eq!(ledger.judge(1_000), Verdict::Publish);
        assert_eq!(ledger.judge(10), Verdict::Hold { first: true, published: 1_000 });
    }
}
