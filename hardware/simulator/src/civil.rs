//! Calendar dates of a meter's clock. A meter counts years from 2000 and knows no time zone; here it keeps UTC.

/// A date and a time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Civil {
    pub(crate) year: i64,
    /// 1 … 12.
    pub(crate) month: i64,
    /// 1 … 31.
    pub(crate) day: i64,
    pub(crate) hour: i64,
    pub(crate) minute: i64,
    pub(crate) second: i64,
}

/// Days of the 400-year cycle of the Gregorian calendar.
const CYCLE_DAYS: i64 = 146_097;
/// Days from 0000-03-01, where a cycle starts, to 1970-01-01.
const EPOCH_DAYS: i64 = 719_468;

impl Civil {
    /// The date of a moment given in seconds since 1970 UTC.
    pub(crate) fn from_unix(seconds: i64) -> Self {
        let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let shifted = days + EPOCH_DAYS;
        let (cycle, of_cycle) = (shifted.div_euclid(CYCLE_DAYS), shifted.rem_euclid(CYCLE_DAYS));
        let year_of_cycle = (of_cycle - of_cycle / 1460 + of_cycle / 36_524 - of_cycle / 146_096) / 365;
        let of_year = of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
        // Months are counted from March, so that the leap day is the last of a year.
        let from_march = (5 * of_year + 2) / 153;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        Self {
            year: cycle * 400 + year_of_cycle + i64::from(month <= 2),
            month,
            day: of_year - (153 * from_march + 2) / 5 + 1,
            hour: rest / 3600,
            minute: rest / 60 % 60,
            second: rest % 60,
        }
    }

    /// Seconds since 1970 UTC.
    pub(crate) fn to_unix(self) -> i64 {
        let year = self.year - i64::from(self.month <= 2);
        let (cycle, year_of_cycle) = (year.div_euclid(400), year.rem_euclid(400));
        let from_march = if self.month > 2 { self.month - 3 } else { self.month + 9 };
        let of_year = (153 * from_march + 2) / 5 + self.day - 1;
        let of_cycle = year_of_cycle * 365 + year_of_cycle / 4 - year_of_cycle / 100 + of_year;
        let days = cycle * CYCLE_DAYS + of_cycle - EPOCH_DAYS;
        days * 86_400 + self.hour * 3600 + self.minute * 60 + self.second
    }
}

/// Day of the week of a moment, 0 = Sunday.
pub(crate) fn weekday(seconds: i64) -> i64 {
    (seconds.div_euclid(86_400) + 4).rem_euclid(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates_come_out_right() {
        let leap = Civil { year: 2024, month: 2, day: 29, hour: 23, minute: 59, second: 58 };
        assert_eq!(leap.to_unix(), 1_709_251_198);
        assert_eq!(Civil::from_unix(1_709_251_198), leap);
        assert_eq!(weekday(1_709_251_198), 4, "29 February 2024 was a Thursday");
        assert_eq!(weekday(0), 4, "1 January 1970 was a Thursday");
    }

    #[test]
    fn every_day_of_two_centuries_survives_the_way_there_and_back() {
        for day in 0..73_000 {
            let seconds = day * 86_400 + 4711;
            assert_eq!(Civil::from_unix(seconds).to_unix(), seconds);
        }
    }
}
