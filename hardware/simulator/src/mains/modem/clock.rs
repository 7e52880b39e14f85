//! The modem's own clock: it starts at 0 with each boot and runs a little too fast or too slow.

/// A clock that is off by so many parts in a million.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clock {
    started_us: u64,
    ppm: i32,
}

const MILLION: i128 = 1_000_000;

impl Clock {
    pub(crate) fn new(started_us: u64, ppm: i32) -> Self {
        // A clock that stands still or runs backwards is no clock.
        Self { started_us, ppm: ppm.clamp(-999_999, 999_999) }
    }

    /// What it shows at a time of the line; 0 before it started.
    pub(crate) fn shown_us(self, line_us: u64) -> u64 {
        let since = i128::from(line_us.saturating_sub(self.started_us));
        u64::try_from(since * (MILLION + i128::from(self.ppm)) / MILLION).unwrap_or(u64::MAX)
    }

    /// The first time of the line at which it shows as much.
    pub(crate) fn line_us(self, shown_us: u64) -> u64 {
        let rate = (MILLION + i128::from(self.ppm)).cast_unsigned();
        let since = (u128::from(shown_us) * MILLION.cast_unsigned()).div_ceil(rate);
        self.started_us.saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fifty_parts_in_a_million_are_three_milliseconds_a_minute() {
        assert_eq!(Clock::new(5_000, 50).shown_us(60_005_000), 60_003_000);
        assert_eq!(Clock::new(5_000, -50).shown_us(60_005_000), 59_997_000);
    }

    #[test]
    fn a_time_planned_by_it_has_come_when_it_shows_it() {
        for ppm in [-80, -1, 0, 7, 50] {
            let clock = Clock::new(123, ppm);
            for shown_us in [0, 1, 999_983, 60_000_001, 86_400_000_000] {
                assert_eq!(clock.shown_us(clock.line_us(shown_us)), shown_us, "{ppm} ppm");
            }
        }
    }
}
