//! How often something may happen: a rate and a burst, by one number for each who asks (the generic cell rate
//! algorithm, ITU-T I.371). Pure: time is an argument, counted from any one moment.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// Askers that are told apart; those beyond share one number until others have been quiet for long enough.
const KEYS_MAX: usize = 4096;
/// Between two searches for askers that can be forgotten.
const SWEEP: Duration = Duration::from_millis(100);

/// So many at once, and then one each time that `each` has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Time for one more.
    pub each: Duration,
    /// So many at once after a rest; at least 1.
    pub burst: u32,
}

impl Quota {
    /// `per_s` a second, `burst` at once; `per_s` at least 1.
    #[must_use]
    pub const fn per_second(per_s: u32, burst: u32) -> Self {
        Self { each: Duration::from_nanos(1_000_000_000 / per_s as u64), burst }
    }

    /// After this long without a request everything is there again.
    #[must_use]
    pub fn window(self) -> Duration {
        self.each * self.burst
    }
}

/// What is left after a request was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// So many more at once.
    pub remaining: u32,
    /// All of the burst is there again after this time.
    pub full_in: Duration,
}

/// The moment at which everything will be there again; the past means now.
type Full = Duration;

fn take(full: &mut Full, quota: Quota, now: Duration) -> Result<Left, Duration> {
    let after = (*full).max(now) + quota.each;
    let used = after - now;
    let Some(room) = quota.window().checked_sub(used) else { return Err(used - quota.window()) };
    *full = after;
    let remaining = room.as_nanos() / quota.each.as_nanos().max(1);
    Ok(Left { remaining: u32::try_from(remaining).unwrap_or(u32::MAX), full_in: used })
}

/// Counts requests by who asks.
#[derive(Debug)]
pub struct Table<K> {
    quota: Quota,
    full: HashMap<K, Full>,
    others: Full,
    swept: Duration,
}

impl<K: Eq + Hash> Table<K> {
    /// A table in which nobody has asked.
    #[must_use]
    pub fn new(quota: Quota) -> Self {
        Self { quota, full: HashMap::new(), others: Duration::ZERO, swept: Duration::ZERO }
    }

    /// What each may do.
    #[must_use]
    pub fn quota(&self) -> Quota {
        self.quota
    }

    /// Counts one request.
    ///
    /// # Errors
    /// The time after which it will be let in, when it is one too many now; then it is not counted.
    pub fn take(&mut self, key: K, now: Duration) -> Result<Left, Duration> {
        if self.full.len() >= KEYS_MAX && !self.full.contains_key(&key) {
            self.sweep(now);
            if self.full.len() >= KEYS_MAX {
                return take(&mut self.others, self.quota, now);
            }
        }
        take(self.full.entry(key).or_default(), self.quota, now)
    }

    fn sweep(&mut self, now: Duration) {
        if now >= self.swept + SWEEP {
            self.swept = now;
            // Somebody who has everything is like somebody who was never here.
            self.full.retain(|_, full| *full > now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn table() -> Table<u32> {
        Table::new(Quota::per_second(5, 3))
    }

    #[test]
    fn a_burst_is_let_in_and_then_one_in_each_interval() {
        let mut table = table();
        for remaining in [2, 1, 0] {
            assert_eq!(table.take(1, MS).expect("in the burst").remaining, remaining);
        }
        assert_eq!(table.take(1, MS), Err(200 * MS));
        assert_eq!(table.take(1, 151 * MS), Err(50 * MS));
        assert_eq!(table.take(1, 201 * MS), Ok(Left { remaining: 0, full_in: 600 * MS }));
        assert!(table.take(1, 202 * MS).is_err());
    }

    #[test]
    fn a_refusal_costs_nothing_and_a_rest_gives_everything_back() {
        let mut table = table();
        while table.take(1, MS).is_ok() {}
        for _ in 0..100 {
            assert_eq!(table.take(1, MS), Err(200 * MS));
        }
        assert_eq!(table.take(1, 1000 * MS).expect("rested").remaining, 2);
    }

    #[test]
    fn one_who_asks_too_often_takes_nothing_from_another() {
        let mut table = table();
        while table.take(1, MS).is_ok() {}
        assert_eq!(table.take(2, MS).expect("another").remaining, 2);
    }

    #[test]
    fn memory_is_bounded_and_those_who_asked_lately_are_kept() {
        let mut table = table();
        while table.take(0, 1000 * MS).is_ok() {}
        for key in 1..3 * KEYS_MAX as u32 {
            let _ = table.take(key, 1000 * MS);
        }
        assert_eq!(table.full.len(), KEYS_MAX);
        assert!(table.take(0, 1000 * MS).is_err(), "who was first is still known");
        assert!(table.take(u32::MAX, 1000 * MS).is_err(), "those beyond share one number");
        let later = 10_000 * MS;
        assert!(table.take(u32::MAX, later).is_ok());
        assert_eq!(table.full.len(), 1, "whoever has everything is forgotten");
    }
}
