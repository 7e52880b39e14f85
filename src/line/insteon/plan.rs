//! What an INSTEON device is asked, how often, and what a question costs. One row a question.

use std::sync::Arc;
use std::time::Duration;

use super::options::{Kind, Options};
use crate::device::{Abilities, Quantity};
use crate::line::{PollItem, Profile};

/// Nothing is asked more often than this, whatever the configuration says: a modem that is kept busy does not hear.
const PERIOD_MIN: Duration = Duration::from_secs(5);

const STATUS: &str = "status";
const METER: &str = "meter";
const IDENTITY: &str = "identity";

struct Row {
    name: &'static str,
    quantities: &'static [Quantity],
    relay: bool,
    period_s: u64,
    cost_ms: u64,
}

/// A relay tells when it is pressed, so it is asked rarely. The meter's cost makes the hub's plan (seven tenths of
/// the line for polls) ask n meters every 60 s × n/20 once there are more than 20, and never more than 30 a minute
/// (`power-line.md` §A.1).
const ROWS: [Row; 3] = [
    Row { name: STATUS, quantities: &[], relay: true, period_s: 300, cost_ms: 1_050 },
    Row {
        name: METER,
        quantities: &[Quantity::Power, Quantity::Energy],
        relay: false,
        period_s: 60,
        cost_ms: 2_100,
    },
    Row { name: IDENTITY, quantities: &[], relay: false, period_s: 300, cost_ms: 1_500 },
];

/// Period of the status of a relay whose presses do not reach the modem, because no link for them is there.
const UNPUSHED_PERIOD: Duration = Duration::from_secs(60);

/// Names of the questions, for [`Options::periods`].
pub fn names() -> impl Iterator<Item = &'static str> {
    [STATUS, METER].into_iter()
}

/// What is known of a device to the hub. `pushes`: its presses reach the modem, as far as known.
pub(super) fn profile(options: &Options, kind: Option<Kind>, pushes: bool) -> Profile {
    let name = match kind {
        Some(Kind::Outlet | Kind::Dual) => STATUS,
        Some(Kind::Meter) => METER,
        None => IDENTITY,
        Some(Kind::Other) => return Profile::default(),
    };
    let row = ROWS.iter().find(|row| row.name == name);
    let item = |row: &Row| {
        let usual = if row.relay && !pushes { UNPUSHED_PERIOD } else { Duration::from_secs(row.period_s) };
        let period = options.periods.get(row.name).copied().unwrap_or(usual);
        (!period.is_zero()).then(|| PollItem {
            name: row.name,
            quantities: row.quantities,
            relay: row.relay,
            period: period.max(PERIOD_MIN),
            cost: Duration::from_millis(row.cost_ms),
        })
    };
    let plan: Arc<[PollItem]> = row.and_then(item).into_iter().collect();
    let abilities = Abilities { relay: name == STATUS, dim: false, identify: name == STATUS };
    Profile { abilities, plan, ..Profile::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_meters_fit_a_minute_and_more_are_asked_in_proportion() {
        let profile = profile(&Options::default(), Some(Kind::Meter), true);
        let PollItem { period, cost, .. } = profile.plan[0];
        assert_eq!(period, Duration::from_secs(60));
        let load = 20.0 * cost.as_secs_f64() / period.as_secs_f64();
        assert!((load - 0.7).abs() < 1e-9, "{load}");
    }

    #[test]
    fn a_relay_that_pushes_is_asked_rarely_and_zero_leaves_the_question_out() {
        let mut options = Options::default();
        let period = |options: &Options, pushes| {
            profile(options, Some(Kind::Outlet), pushes).plan.first().map(|item| item.period.as_secs())
        };
        assert_eq!((period(&options, true), period(&options, false)), (Some(300), Some(60)));
        options.periods.insert(STATUS.to_owned(), Duration::ZERO);
        assert_eq!(period(&options, true), None);
    }

    #[test]
    fn what_is_not_known_is_not_promised() {
        let unknown = profile(&Options::default(), None, true);
        assert!(!unknown.abilities.relay);
        assert_eq!(unknown.plan[0].name, IDENTITY);
        assert_eq!(profile(&Options::default(), Some(Kind::Other), true), Profile::default());
    }
}
