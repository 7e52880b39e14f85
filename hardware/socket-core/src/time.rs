//! Times in µs of the socket's own clock, and moments at which something is to be done. Keeps no time.

/// The end of time, after 292,000 years. Times that come in are cut to it, so that no sum overflows.
pub(crate) const LAST_US: u64 = u64::MAX / 2;

/// Milliseconds in µs.
pub(crate) const fn ms(ms: u32) -> u64 {
    ms as u64 * 1000
}

/// A moment at which something is to be done, or never: an alarm clock with one hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Alarm(u64);

impl Alarm {
    /// Nothing is to be done.
    pub(crate) const OFF: Self = Self(u64::MAX);

    /// At this time.
    pub(crate) const fn at(at_us: u64) -> Self {
        Self(at_us)
    }

    pub(crate) fn is_set(self) -> bool {
        self != Self::OFF
    }

    /// The moment; beyond [`LAST_US`] when there is none.
    pub(crate) fn us(self) -> u64 {
        self.0
    }

    /// The moment has come. It never does when there is none.
    pub(crate) fn is_due(self, now_us: u64) -> bool {
        now_us >= self.0
    }

    /// The moment has come: then there is none any more.
    pub(crate) fn take_if_due(&mut self, now_us: u64) -> bool {
        let due = self.is_due(now_us);
        if due {
            *self = Self::OFF;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_goes_off_once_and_never_when_it_is_off() {
        let mut alarm = Alarm::at(5);
        assert!(!alarm.take_if_due(4));
        assert!(alarm.take_if_due(5));
        assert!(!alarm.is_set() && !alarm.is_due(LAST_US));
        assert!(Alarm::at(LAST_US) < Alarm::OFF);
    }
}
