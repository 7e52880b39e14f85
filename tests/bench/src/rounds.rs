//! Times and orders: the least of several rounds, and the percentiles of one.

use std::time::Duration;

use tokio::time::Instant;

/// Runs `work` over and over for about `time`; nanoseconds of the average turn.
pub(crate) fn nanos(time: Duration, mut work: impl FnMut()) -> f64 {
    let start = Instant::now();
    let mut turns = 0_u32;
    while turns == 0 || start.elapsed() < time {
        work();
        turns += 1;
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(turns)
}

/// The smallest of some figures.
pub(crate) fn least(figures: impl IntoIterator<Item = f64>) -> f64 {
    figures.into_iter().fold(f64::INFINITY, f64::min)
}

/// The value below which `part` (0 … 1) of the figures lie.
pub(crate) fn percentile(figures: &mut [f64], part: f64) -> f64 {
    figures.sort_by(f64::total_cmp);
    let last = figures.len().saturating_sub(1);
    figures.get((last as f64 * part).round() as usize).copied().unwrap_or(f64::NAN)
}

/// Milliseconds since `start`.
pub(crate) fn ms_since(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
