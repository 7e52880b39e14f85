//! A washing machine: one programme with heating, tumbling, rinsing and spinning, then waiting to be emptied.

use crate::appliance::Draw;
use crate::random::wave;

/// What it does for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// A valve is open.
    Fill,
    /// The heater, with the drum turning now and then.
    Heat,
    /// The drum turns for twelve seconds, then rests for eight.
    Tumble,
    /// The pump.
    Drain,
    /// The drum at speed; it takes most while it gathers it.
    Spin {
        /// What it takes to keep the speed, in mW.
        steady_mw: i64,
    },
}

/// A cotton programme at 40 °C: seconds and steps.
const PROGRAMME: [(u64, Step); 14] = [
    (120, Step::Fill),
    (840, Step::Heat),
    (1_500, Step::Tumble),
    (60, Step::Drain),
    (90, Step::Spin { steady_mw: 210_000 }),
    (90, Step::Fill),
    (300, Step::Tumble),
    (60, Step::Drain),
    (90, Step::Spin { steady_mw: 260_000 }),
    (90, Step::Fill),
    (300, Step::Tumble),
    (60, Step::Drain),
    (480, Step::Spin { steady_mw: 340_000 }),
    (120, Step::Tumble),
];

/// How long a programme lasts, in seconds.
pub(crate) const PROGRAMME_S: u64 = {
    let (mut sum, mut at) = (0, 0);
    while at < PROGRAMME.len() {
        sum += PROGRAMME[at].0;
        at += 1;
    }
    sum
};

/// What it draws so many seconds after the start button; `None` long before or after.
pub(crate) fn washing(seed: u64, since_start: Option<u64>) -> Draw {
    let mut left = since_start.unwrap_or(u64::MAX);
    for (length_s, step) in PROGRAMME {
        if left < length_s {
            return drawn(seed, since_start.unwrap_or(0), left, step);
        }
        left -= length_s;
    }
    // Its lamp and its door lock.
    Draw { power_mw: 1_200 + wave(seed, left, 30, 60), power_factor_milli: 420 }
}

fn drawn(seed: u64, second: u64, in_step: u64, step: Step) -> Draw {
    let turning = in_step % 20 < 12;
    let flicker = |swing: i64| wave(!seed, second, 3, swing);
    let motor = |power_mw: i64| Draw { power_mw, power_factor_milli: 610 };
    match step {
        Step::Fill => motor(9_000 + flicker(300)),
        Step::Heat => {
            let drum_mw = if turning { 95_000 + flicker(15_000) } else { 0 };
            Draw { power_mw: 2_020_000 + drum_mw + flicker(6_000), power_factor_milli: 1000 }
        }
        Step::Tumble if turning => {
            let starting_mw = if in_step.is_multiple_of(20) { 240_000 } else { 0 };
            motor(165_000 + starting_mw + flicker(25_000))
        }
        Step::Tumble => motor(4_000),
        Step::Drain => motor(31_000 + flicker(1_500)),
        Step::Spin { steady_mw } => {
            let gathering_mw = 280_000 - 280_000 * in_step.min(40).cast_signed() / 40;
            motor(steady_mw + gathering_mw + flicker(12_000))
        }
    }
}
