//! Believable loads: the power that an appliance draws is a pure function of virtual time and a seed.
//!
//! Power is constant within each whole second, so that energy is an exact sum. What is behind an open relay, and
//! what is counted, is the meter's business.

mod daily;
mod washing;

use std::time::Duration;

use crate::appliance::daily::Moment;
use crate::random::{mix, wave};

/// The time of day at virtual time 0 unless another one is set: ten o'clock, so that a panel feeds back at once.
const START_OF_DAY_S: u32 = 10 * 3_600;

/// The kinds of appliances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An empty socket.
    Nothing,
    /// 2 kW for three minutes, every ten minutes or so; the first time after eight seconds.
    Kettle,
    /// A 90 W compressor, a third of the time, with an inrush at each start.
    Fridge,
    /// A telephone: 18 W, tapering to almost nothing, every two hours.
    Charger,
    /// A lamp that is always lit.
    LedLamp,
    /// 1.5 kW with a thermostat, four minutes of seven.
    Heater,
    /// A computer and a screen: 45 … 85 W, restless.
    Desk,
    /// A lamp that is lit in the morning and in the evening.
    Lamp,
    /// A television: half a watt on stand-by, near 100 W in the morning and in the evening.
    Television,
    /// A washing machine: a programme of 70 minutes every three hours, 2 kW while it heats; the first one within a minute.
    WashingMachine,
    /// A solar panel on a plug, that feeds back by day.
    Panel {
        /// What it gives under a clear sky at its best hour, in mW.
        peak_mw: u32,
    },
    /// Always the same; negative is fed back into the mains.
    Constant {
        /// Active power in mW.
        power_mw: i64,
        /// Power factor in thousandths, 1 … 1000.
        power_factor_milli: u16,
    },
}

/// An appliance with its own habits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appliance {
    kind: Kind,
    seed: u64,
    start_of_day_s: u32,
}

/// What an appliance draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    /// Active power in mW.
    pub power_mw: i64,
    /// Power factor in thousandths, 1 … 1000.
    pub power_factor_milli: u16,
}

const IDLE: Draw = Draw { power_mw: 0, power_factor_milli: 1000 };

impl Appliance {
    /// An appliance; the seed decides when it starts and how it flickers.
    #[must_use]
    pub fn new(kind: Kind, seed: u64) -> Self {
        Self { kind, seed, start_of_day_s: START_OF_DAY_S }
    }

    /// Sets the time of day at virtual time 0, in seconds after midnight. It is ten o'clock otherwise.
    #[must_use]
    pub fn starting_at(self, start_of_day_s: u32) -> Self {
        Self { start_of_day_s, ..self }
    }

    /// What kind it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What it draws during the second that holds `now`.
    #[must_use]
    pub fn draw(&self, now: Duration) -> Draw {
        let second = now.as_secs();
        match self.kind {
            Kind::Nothing => IDLE,
            Kind::Kettle => self.kettle(second),
            Kind::Fridge => self.fridge(second),
            Kind::Charger => self.charger(second),
            Kind::LedLamp => self.around(second, 8_500, 60, 900),
            Kind::Heater => self.heater(second),
            Kind::Desk => {
                let load_mw = 65_000 + wave(self.seed, second, 300, 16_000);
                self.around(second, load_mw, 4_000, 950)
            }
            Kind::Lamp => daily::lamp(self.moment(second)),
            Kind::Television => daily::television(self.moment(second)),
            Kind::WashingMachine => {
                let cycle =
                    self.cycle(second, 10_800, 5 + self.seed % 55, 10_800 - washing::PROGRAMME_S - 600);
                washing::washing(self.seed, cycle.since_start)
            }
            Kind::Panel { peak_mw } => daily::panel(self.moment(second), peak_mw),
            Kind::Constant { power_mw, power_factor_milli } => Draw { power_mw, power_factor_milli },
        }
    }

    fn moment(&self, second: u64) -> Moment {
        Moment { seed: self.seed, second: second + u64::from(self.start_of_day_s) }
    }

    fn kettle(&self, second: u64) -> Draw {
        let cycle = self.cycle(second, 600, 8, 380);
        let boils_s = 150 + mix(self.seed, cycle.number) % 60;
        match cycle.since_start {
            Some(since) if since < boils_s => self.around(second, 2_000_000, 12_000, 1000),
            _ => IDLE,
        }
    }

    fn fridge(&self, second: u64) -> Draw {
        const INRUSH_MW: i64 = 620_000;
        let cycle = self.cycle(second, 2400, 20, 400);
        let runs_s = 700 + mix(self.seed, cycle.number) % 300;
        match cycle.since_start {
            Some(0) => Draw { power_mw: INRUSH_MW, power_factor_milli: 450 },
            Some(since) if since < runs_s => {
                // The motor warms up: a fifth more at first, half of that after a minute.
                let cold_mw = 20_000 * 60 / (60 + since.cast_signed());
                self.around(second, 88_000 + cold_mw, 1_500, 620)
            }
            _ => self.around(second, 900, 50, 420),
        }
    }

    fn charger(&self, second: u64) -> Draw {
        let power_mw = match second % 7200 {
            0..3000 => 18_000,
            since @ 3000..5400 => 18_000 - (since - 3000).cast_signed() * 16_000 / 2400,
            _ => 150,
        };
        self.around(second, power_mw, power_mw / 60, 560)
    }

    fn heater(&self, second: u64) -> Draw {
        if second % 420 < 240 { self.around(second, 1_500_000, 9_000, 1000) } else { IDLE }
    }

    /// `power_mw`, flickering by `flicker_mw`.
    fn around(&self, second: u64, power_mw: i64, flicker_mw: i64, power_factor_milli: u16) -> Draw {
        Draw { power_mw: power_mw + wave(!self.seed, second, 7, flicker_mw), power_factor_milli }
    }

    /// Where `second` falls in cycles of `length_s`; in the first one the work starts at `first_s`, in the others
    /// up to `late_s` into the cycle.
    fn cycle(&self, second: u64, length_s: u64, first_s: u64, late_s: u64) -> Cycle {
        let number = second / length_s;
        let start = if number == 0 { first_s } else { mix(!self.seed, number) % late_s };
        Cycle { number, since_start: (second % length_s).checked_sub(start) }
    }
}

struct Cycle {
    number: u64,
    /// Seconds since the work started in this cycle, if it did.
    since_start: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(kind: Kind) -> Vec<i64> {
        let appliance = Appliance::new(kind, 42);
        (0..3600).map(|second| appliance.draw(Duration::from_secs(second)).power_mw).collect()
    }

    #[test]
    fn a_kettle_boils_within_ten_seconds_and_rests_in_between() {
        let powers = hour(Kind::Kettle);
        assert_eq!(powers[7], 0);
        assert!((1_980_000..2_020_000).contains(&powers[10]));
        let boiling = powers.iter().filter(|power| **power > 0).count();
        assert!((900..1300).contains(&boiling), "six cups an hour: {boiling} s");
    }

    #[test]
    fn a_fridge_starts_with_an_inrush_and_settles_near_ninety_watts() {
        let powers = hour(Kind::Fridge);
        let start = powers.iter().position(|power| *power > 500_000).unwrap();
        assert!((85_000..112_000).contains(&powers[start + 1]));
        assert!((86_000..93_000).contains(&powers[start + 600]));
        assert!(powers[start + 1100] < 2_000, "between two runs");
    }

    fn day(kind: Kind) -> Vec<i64> {
        let appliance = Appliance::new(kind, 42).starting_at(0);
        (0..86_400).map(|second| appliance.draw(Duration::from_secs(second)).power_mw).collect()
    }

    fn watt_hours(powers: &[i64]) -> i64 {
        powers.iter().sum::<i64>() / 3_600_000
    }

    #[test]
    fn a_washing_machine_heats_tumbles_spins_and_rests_for_about_a_kilowatt_hour() {
        let powers = hour(Kind::WashingMachine);
        let start = powers.iter().position(|power| *power > 5_000).unwrap();
        assert!(start < 60, "within a minute: {start}");
        let heating = powers.iter().filter(|power| **power > 1_900_000).count();
        assert_eq!(heating, 840);
        let tumbling = &powers[start + 960..start + 2_460];
        let still = tumbling.iter().filter(|power| **power < 10_000).count();
        assert_eq!(still, 1_500 * 8 / 20, "eight seconds of twenty");
        let programmes = day(Kind::WashingMachine);
        assert!(
            (4_000..6_500).contains(&watt_hours(&programmes)),
            "eight a day: {} Wh",
            watt_hours(&programmes)
        );
        let spinning = programmes.iter().filter(|power| (330_000..700_000).contains(*power)).count();
        assert!(spinning > 8 * 400, "{spinning} s");
    }

    #[test]
    fn a_panel_feeds_back_by_day_and_takes_a_little_at_night() {
        let powers = day(Kind::Panel { peak_mw: 600_000 });
        assert!(powers[..21_600].iter().chain(&powers[72_000..]).all(|power| *power == 400));
        let noon = powers[46_800];
        assert!((-600_000..-180_000).contains(&noon), "{noon}");
        assert!((-4_500..-2_000).contains(&watt_hours(&powers)), "{} Wh", watt_hours(&powers));
        let now = Appliance::new(Kind::Panel { peak_mw: 600_000 }, 1).draw(Duration::ZERO);
        assert!(now.power_mw < -50_000, "at the start of a run the sun shines");
    }

    #[test]
    fn a_lamp_and_a_television_follow_the_people_of_the_house() {
        let (lamp, television) = (day(Kind::Lamp), day(Kind::Television));
        assert!(lamp[3 * 3_600] == 0 && lamp[13 * 3_600] == 0);
        assert!(lamp[7 * 3_600] > 10_000 && lamp[20 * 3_600] > 10_000);
        assert!((450..520).contains(&television[13 * 3_600]), "stand-by");
        assert!((70_000..120_000).contains(&television[20 * 3_600]));
        let other = Appliance::new(Kind::Lamp, 7).starting_at(0);
        let lit = |second: usize| other.draw(Duration::from_secs(second as u64)).power_mw > 0;
        assert!((0..86_400).any(|second| lit(second) != (lamp[second] > 0)), "not everybody at once");
    }

    #[test]
    fn every_kind_stays_in_its_range_and_only_a_panel_or_a_constant_one_feeds_back() {
        let ranges = [
            (Kind::Nothing, 0..1),
            (Kind::Kettle, 0..2_100_000),
            (Kind::Fridge, 800..700_000),
            (Kind::Charger, 100..20_000),
            (Kind::LedLamp, 8_000..9_000),
            (Kind::Heater, 0..1_600_000),
            (Kind::Desk, 40_000..90_000),
            (Kind::Lamp, 0..12_000),
            (Kind::Television, 400..120_000),
            (Kind::WashingMachine, 1_000..2_200_000),
            (Kind::Panel { peak_mw: 800_000 }, -800_000..401),
            (Kind::Constant { power_mw: -5, power_factor_milli: 1000 }, -5..-4),
        ];
        for (kind, range) in ranges {
            assert!(hour(kind).iter().all(|power| range.contains(power)), "{kind:?}");
        }
    }

    #[test]
    fn the_seed_alone_decides() {
        let draw = |seed| Appliance::new(Kind::Desk, seed).draw(Duration::from_secs(500));
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
