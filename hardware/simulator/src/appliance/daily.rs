//! Loads that follow the time of day: a lamp, a television, the sun on a panel.

use crate::appliance::Draw;
use crate::random::{mix, wave};

const DAY_S: u64 = 86_400;
const HOUR_S: u64 = 3_600;
/// People are not punctual: every switching is up to so much later, by seed and day.
const LATE_S: u64 = 1_500;

/// A second of the simulated calendar.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) seed: u64,
    /// Since midnight before virtual time 0.
    pub(crate) second: u64,
}

impl Moment {
    fn of_day(self) -> u64 {
        self.second % DAY_S
    }

    /// Whether this is between two times of day, each late by its own.
    fn between(self, from_s: u64, to_s: u64) -> bool {
        let late = |what: u64| mix(self.seed ^ what, self.second / DAY_S) % LATE_S;
        (from_s + late(from_s)..to_s + late(to_s)).contains(&self.of_day())
    }
}

/// Lit in the morning and in the evening.
pub(crate) fn lamp(moment: Moment) -> Draw {
    let lit = moment.between(6 * HOUR_S, 8 * HOUR_S) || moment.between(17 * HOUR_S, 22 * HOUR_S);
    let power_mw = if lit { 11_000 + wave(moment.seed, moment.second, 7, 80) } else { 0 };
    Draw { power_mw, power_factor_milli: if lit { 880 } else { 1000 } }
}

/// On for the news in the morning and for the evening, else on stand-by.
pub(crate) fn television(moment: Moment) -> Draw {
    let on = moment.between(7 * HOUR_S, 7 * HOUR_S + 2_700) || moment.between(18 * HOUR_S, 22 * HOUR_S);
    if on {
        // Bright and dark scenes.
        let picture_mw = wave(moment.seed, moment.second, 12, 22_000);
        return Draw { power_mw: 96_000 + picture_mw, power_factor_milli: 930 };
    }
    Draw { power_mw: 480 + wave(moment.seed, moment.second, 30, 20), power_factor_milli: 380 }
}

/// A panel with its inverter on a plug: feeds back from six to twenty o'clock, less under clouds; at night it takes
/// 0.4 W.
pub(crate) fn panel(moment: Moment, peak_mw: u32) -> Draw {
    let (sunrise_s, sunset_s) = (6 * HOUR_S, 20 * HOUR_S);
    let Some(since_s) =
        moment.of_day().checked_sub(sunrise_s).filter(|since_s| *since_s < sunset_s - sunrise_s)
    else {
        return Draw { power_mw: 400, power_factor_milli: 300 };
    };
    let height = libm::sin(since_s as f64 / (sunset_s - sunrise_s) as f64 * core::f64::consts::PI);
    // Clear sky most of the time, a third of it under a cloud.
    let sky_milli = (1_150 + wave(moment.seed, moment.second, 400, 550)).clamp(300, 1_000);
    let clear_mw = f64::from(peak_mw) * height * height;
    let power_mw = (clear_mw as i64) * sky_milli / 1_000;
    Draw { power_mw: -power_mw, power_factor_milli: if power_mw > 5_000 { 990 } else { 600 } }
}
