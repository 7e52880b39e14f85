//! Where the house stands: its time zone, and when its days begin. The only place that knows the rules of time zones:
//! those of the system, and where it has none those that come with the program.

use std::sync::Arc;

use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Span, Timestamp};

use crate::hub::days::Day;

/// The time zone of the house.
#[derive(Clone, Debug)]
pub struct Site {
    zone: TimeZone,
    name: Arc<str>,
}

impl Default for Site {
    /// UTC.
    fn default() -> Self {
        Self { zone: TimeZone::UTC, name: "UTC".into() }
    }
}

impl Site {
    /// The zone of this IANA name: `Europe/Paris`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let zone = TimeZone::get(name).or_else(|_| TimeZoneDatabase::bundled().get(name)).ok()?;
        let name = zone.iana_name().unwrap_or(name).into();
        Some(Self { zone, name })
    }

    /// The zone that the system is set to; UTC when it has none.
    #[must_use]
    pub fn of_system() -> Self {
        let zone = TimeZone::try_system().ok();
        zone.and_then(|zone| Self::named(zone.iana_name()?)).unwrap_or_default()
    }

    /// Its IANA name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The local day of a moment, in milliseconds since 1970 UTC.
    #[must_use]
    pub fn day(&self, unix_ms: i64) -> Day {
        let stamp = Timestamp::from_millisecond(unix_ms).unwrap_or(Timestamp::UNIX_EPOCH);
        let local_s = stamp.as_second() + i64::from(self.zone.to_offset(stamp).seconds());
        // Timestamps reach to the year 9999.
        Day::try_from(local_s.div_euclid(86_400)).unwrap_or(0)
    }

    /// When a local day begins, milliseconds since 1970 UTC: at midnight, or where the clocks skip it right behind.
    #[must_use]
    pub fn start_ms(&self, day: Day) -> i64 {
        let start = date(day).to_zoned(self.zone.clone());
        start.map_or(i64::from(day) * 86_400_000, |start| start.timestamp().as_millisecond())
    }
}

/// A day as the calendar writes it: `2026-11-20`.
#[must_use]
pub fn date_text(day: Day) -> String {
    date(day).to_string()
}

fn date(day: Day) -> Date {
    let epoch = Date::constant(1970, 1, 1);
    Span::new().try_days(day).and_then(|span| epoch.checked_add(span)).unwrap_or(epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().expect("a time").as_millisecond()
    }

    fn paris() -> Site {
        Site::named("Europe/Paris").expect("a zone")
    }

    #[test]
    fn days_begin_at_local_midnight_and_change_of_clocks_makes_them_23_or_25_hours_long() {
        let site = paris();
        for (date, hours) in [("2026-03-28", 24), ("2026-03-29", 23), ("2026-10-25", 25), ("2026-10-26", 24)]
        {
            let day = site.day(at(&format!("{date}T12:00:00Z")));
            assert_eq!(date_text(day), date);
            let (start, end) = (site.start_ms(day), site.start_ms(day + 1));
            assert_eq!((end - start) / 3_600_000, hours, "{date}");
            assert_eq!((site.day(start - 1), site.day(start), site.day(end - 1)), (day - 1, day, day));
        }
        assert_eq!(site.start_ms(site.day(at("2026-11-20T12:00:00Z"))), at("2026-11-19T23:00:00Z"));
    }

    #[test]
    fn a_midnight_that_the_clocks_skip_is_right_behind() {
        // Clocks went from 00:00 to 01:00 in São Paulo on 2018-11-04.
        let site = Site::named("America/Sao_Paulo").expect("a zone");
        let day = site.day(at("2018-11-04T12:00:00Z"));
        assert_eq!(site.start_ms(day), at("2018-11-04T03:00:00Z"));
        assert_eq!(site.start_ms(day + 1) - site.start_ms(day), 23 * 3_600_000);
    }

    #[test]
    fn names_are_looked_up_in_what_comes_with_the_program_too() {
        let bundled = TimeZoneDatabase::bundled();
        assert!(bundled.get("Asia/Shanghai").is_ok());
        assert!(Site::named("Middle/Earth").is_none());
        assert_eq!(&**Site::named("europe/paris").expect("a zone").name(), "Europe/Paris");
        assert_eq!(date_text(0), "1970-01-01");
    }
}
