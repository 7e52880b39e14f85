//! Addresses that showed too many tokens which are none. The address is kept out for a while, never an account: who
//! knows the right token elsewhere notices nothing. Pure.

use std::collections::HashMap;
use std::time::Duration;

use super::Address;
use super::rate::{Quota, Table};

/// Ten a minute: a person mistypes less often, and 178 bits are not guessed at ten thousand times that.
const WRONG: Quota = Quota { each: Duration::from_secs(6), burst: 10 };
/// How long an address is kept out then.
const OUT: Duration = Duration::from_secs(60);
/// Addresses kept out at once; those beyond are merely wrong.
const OUT_MAX: usize = 4096;

/// Who was wrong how often.
#[derive(Debug)]
pub struct Strikes {
    wrong: Table<Address>,
    out: HashMap<Address, Duration>,
}

impl Default for Strikes {
    fn default() -> Self {
        Self { wrong: Table::new(WRONG), out: HashMap::new() }
    }
}

impl Strikes {
    /// How much longer an address is kept out.
    pub fn out(&mut self, address: Address, now: Duration) -> Option<Duration> {
        let left = self.out.get(&address)?.checked_sub(now).filter(|left| !left.is_zero());
        if left.is_none() {
            self.out.remove(&address);
        }
        left
    }

    /// A token was wrong.
    pub fn wrong(&mut self, address: Address, now: Duration) {
        if self.wrong.take(address, now).is_ok_and(|left| left.remaining > 0) {
            return;
        }
        if self.out.len() >= OUT_MAX {
            self.out.retain(|_, until| *until > now);
        }
        if self.out.len() < OUT_MAX {
            self.out.insert(address, now + OUT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tenth_wrong_token_of_a_minute_keeps_the_address_out_for_a_minute_and_no_other() {
        let one = Address::of("192.168.1.5".parse().expect("an address"));
        let other = Address::of("192.168.1.6".parse().expect("an address"));
        let (mut strikes, now) = (Strikes::default(), Duration::from_secs(100));
        for _ in 0..9 {
            strikes.wrong(one, now);
            assert_eq!(strikes.out(one, now), None);
        }
        strikes.wrong(one, now);
        assert_eq!(strikes.out(one, now), Some(OUT));
        assert_eq!(strikes.out(other, now), None);
        assert_eq!(strikes.out(one, now + OUT), None);
        for minute in 2..20 {
            strikes.wrong(other, now + minute * WRONG.each);
            assert_eq!(strikes.out(other, now + minute * WRONG.each), None, "a slow one is borne");
        }
    }
}
