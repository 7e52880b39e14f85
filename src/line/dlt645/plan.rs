//! What a meter is asked, how often, and what a question costs. One row a question; the first is the one that a
//! silent meter is asked.

use std::sync::Arc;
use std::time::Duration;

use super::frame::OVERHEAD;
use super::item;
use super::options::{DeviceOptions, Options};
use crate::device::Quantity;
use crate::line::PollItem;

/// Start, eight data, parity and stop bit.
const BITS_PER_BYTE: u64 = 11;
/// Least time between the end of a frame and the next request: the lower bound of Td (DL/T 645-2007), within which
/// a meter on two wires must have let go of them.
pub(super) const PAUSE: Duration = Duration::from_millis(20);
/// Nothing is asked more often than this, whatever the configuration says.
const PERIOD_MIN: Duration = Duration::from_secs(1);
/// Bytes of a data identifier.
const DI_BYTES: usize = 4;

struct Row {
    di: u32,
    name: &'static str,
    quantities: &'static [Quantity],
    data_bytes: usize,
    period_s: u64,
}

const fn row(
    di: u32,
    name: &'static str,
    quantities: &'static [Quantity],
    size_and_period: (usize, u64),
) -> Row {
    Row { di, name, quantities, data_bytes: size_and_period.0, period_s: size_and_period.1 }
}

const RELAY: &str = "relay";
const EXPORT: &str = "energy_export";

/// Bytes of the answer's figure, and seconds between two questions.
const ROWS: [Row; 8] = [
    row(item::POWER, "power", &[Quantity::Power], (3, 10)),
    row(item::STATUS_WORD_3, RELAY, &[], (2, 15)),
    row(item::ENERGY, "energy", &[Quantity::Energy], (4, 60)),
    row(item::VOLTAGE, "voltage", &[Quantity::Voltage], (2, 60)),
    row(item::CURRENT, "current", &[Quantity::Current], (3, 30)),
    row(item::POWER_FACTOR, "power_factor", &[Quantity::PowerFactor], (2, 60)),
    row(item::FREQUENCY, "frequency", &[Quantity::Frequency], (2, 60)),
    row(item::ENERGY_EXPORT, EXPORT, &[Quantity::EnergyExport], (4, 60)),
];

/// Names of the questions, for [`Options::periods`].
pub fn names() -> impl Iterator<Item = &'static str> {
    ROWS.iter().map(|row| row.name)
}

/// A meter's questions: the data identifier of each, and what the hub plans with, in the same order.
#[derive(Clone, Debug, Default)]
pub(super) struct Questions {
    pub(super) identifiers: Vec<u32>,
    pub(super) plan: Arc<[PollItem]>,
}

impl Questions {
    pub(super) fn new(options: &Options, device: &DeviceOptions) -> Self {
        let asked = |row: &&Row| match row.name {
            RELAY => device.relay,
            EXPORT => device.export,
            _ => true,
        };
        let with_period = |row: &'static Row| {
            let chosen = options.periods.get(row.name).copied();
            let period = chosen.unwrap_or(Duration::from_secs(row.period_s));
            (!period.is_zero()).then_some((row, period.max(PERIOD_MIN)))
        };
        let rows: Vec<_> = ROWS.iter().filter(asked).filter_map(with_period).collect();
        let poll = |(row, period): &(&Row, Duration)| PollItem {
            name: row.name,
            quantities: row.quantities,
            relay: row.di == item::STATUS_WORD_3,
            period: *period,
            cost: cost(options, row.data_bytes),
        };
        Self {
            identifiers: rows.iter().map(|(row, _)| row.di).collect(),
            plan: rows.iter().map(poll).collect(),
        }
    }
}

/// Time that one question and its answer take; the answer may carry as many wake-up bytes as the question.
fn cost(options: &Options, data_bytes: usize) -> Duration {
    let frames = 2 * (usize::from(options.wake_ups) + OVERHEAD + DI_BYTES) + data_bytes;
    airtime(options.baud, frames) + options.medium.reply_typical() + PAUSE
}

/// Time that bytes need at a rate.
pub(super) fn airtime(baud: u32, bytes: usize) -> Duration {
    Duration::from_micros(bytes as u64 * BITS_PER_BYTE * 1_000_000 / u64::from(baud.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn questions(options: &Options) -> Questions {
        Questions::new(options, &options.device)
    }

    #[test]
    fn power_is_asked_first_and_export_only_where_it_is_counted() {
        let mut options = Options::default();
        let named =
            |options: &Options| -> Vec<_> { questions(options).plan.iter().map(|item| item.name).collect() };
        let usual = ["power", "relay", "energy", "voltage", "current", "power_factor", "frequency"];
        assert_eq!(named(&options), usual);
        options.device.export = true;
        options.device.relay = false;
        assert_eq!(named(&options).last(), Some(&"energy_export"));
        assert!(!named(&options).contains(&"relay"));
    }

    #[test]
    fn a_period_can_be_chosen_by_name_and_zero_leaves_the_question_out() {
        let mut options = Options::default();
        options.periods.insert("energy".to_owned(), Duration::from_secs(300));
        options.periods.insert("frequency".to_owned(), Duration::ZERO);
        options.periods.insert("power".to_owned(), Duration::from_millis(1));
        let questions = questions(&options);
        let period = |name| questions.plan.iter().find(|item| item.name == name).map(|item| item.period);
        assert_eq!(period("energy"), Some(Duration::from_secs(300)));
        assert_eq!(period("frequency"), None);
        assert_eq!(period("power"), Some(PERIOD_MIN));
        assert_eq!(questions.identifiers.len(), questions.plan.len());
    }

    #[test]
    fn a_question_at_2400_baud_costs_a_third_of_a_second() {
        let power = questions(&Options::default()).plan[0].clone();
        // 20 bytes there, 23 back, 11 bits each: 197 ms; then Td and the pause.
        assert_eq!(power.cost, Duration::from_micros(197_083 + 100_000 + 20_000));
    }

    #[test]
    fn eight_meters_fit_a_line_at_2400_baud_in_their_usual_periods() {
        let questions = questions(&Options::default());
        let load: f64 =
            questions.plan.iter().map(|item| item.cost.as_secs_f64() / item.period.as_secs_f64()).sum();
        assert!(8.0 * load < 0.7, "{load}");
    }
}
