//! An energy register of 32 bits as a total that goes on: over its end, and over a register that started anew.
//!
//! Whether a total may be published is the ledger's business, not this file's.

/// The value after the last one is 0; 0xFFFF_FFFF means "absent" and is stepped over.
const VALUES: u64 = 0xFFFF_FFFF;
/// A fall from the top quarter to the bottom quarter is the end of the register; any other fall is not explained
/// here, and the ledger holds it back.
const QUARTER: u32 = 0x4000_0000;

/// One register of one socket, in 0.1 Wh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Register {
    /// What earlier runs of the register counted.
    pub(super) base: u64,
    /// The register as last heard.
    pub(super) last: Option<u32>,
    /// The socket says that it started anew, and that was taken into account.
    pub(super) restarted: bool,
}

impl Register {
    /// Takes the register as it is now; gives the total in 0.1 Wh, and whether the base changed and must be kept.
    pub(super) fn take(&mut self, value: u32, restarted: bool) -> (u64, bool) {
        let before = self.base;
        let last = self.last.unwrap_or(value);
        if restarted && !self.restarted && value < last {
            self.base += u64::from(last);
        } else if last >= VALUES as u32 - QUARTER && value < QUARTER {
            self.base += VALUES;
        }
        self.restarted = restarted;
        self.last = Some(value);
        (self.base + u64::from(value), self.base != before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_register_goes_on_over_its_end() {
        let mut register = Register::default();
        assert_eq!(register.take(0xFFFF_FFFE, false), (0xFFFF_FFFE, false));
        assert_eq!(register.take(0, false), (0xFFFF_FFFF, true), "one step further");
        assert_eq!(register.take(5, false), (0x1_0000_0004, false));
    }

    #[test]
    fn a_register_that_started_anew_goes_on_from_where_it_was_once() {
        let mut register = Register::default();
        register.take(1_000, false);
        assert_eq!(register.take(3, true), (1_003, true));
        assert_eq!(register.take(4, true), (1_004, false), "the flag stays until it was acknowledged");
        assert_eq!(register.take(6, false), (1_006, false));
        assert_eq!(register.take(1, true), (1_007, true), "and a second time");
    }

    #[test]
    fn a_fall_without_a_reason_stays_a_fall() {
        let mut register = Register::default();
        register.take(1_000, false);
        assert_eq!(register.take(990, false), (990, false));
    }
}
