//! The relay, and what may move it: a genuine command, a button, the return of power, two protections. Knows no frames.

use plugline_protocol::messages::PowerOn;
use plugline_protocol::reading::{Cause, Flags};

use crate::{Sample, Start};

/// Current above the limit for this long trips; a motor's start is shorter.
const TRIP_AFTER_US: u64 = 1_000_000;
/// A step below the limit ends the over-temperature alarm, so that the relay does not chatter.
const COOLER_C: i8 = 10;

/// What this hardware may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Highest current in mA.
    pub current_ma: u16,
    /// The relay opens at this temperature, in °C.
    pub temperature_c: i8,
}

/// Switching on was refused: locked out, or too hot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused;

/// The relay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Relay {
    on: bool,
    cause: Cause,
    /// The over-current trip is latched.
    locked_out: bool,
    hot: bool,
    over_since_us: Option<u64>,
}

impl Relay {
    /// `stored` is what the journal had last: relay, cause, lock-out.
    pub(crate) fn restored(stored: Option<Self>, power_on: PowerOn, start: Start) -> Self {
        let stored = stored.unwrap_or_default();
        if start == Start::Restart || stored.locked_out {
            return stored;
        }
        let on = match power_on {
            PowerOn::Off => false,
            PowerOn::On => true,
            PowerOn::Last => stored.on,
        };
        Self { on, cause: Cause::PowerOn, ..Self::default() }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.on
    }

    pub(crate) fn is_locked_out(&self) -> bool {
        self.locked_out
    }

    /// Its part of the flags of a reading.
    pub(crate) fn flags(&self) -> Flags {
        let Self { on, cause, locked_out, hot, .. } = *self;
        Flags { relay_on: on, cause, locked_out, hot, ..Flags::default() }
    }

    /// `Ok(true)` when something changed. Off is never refused, and ends a lock-out.
    pub(crate) fn switch(&mut self, on: bool, cause: Cause) -> Result<bool, Refused> {
        if on && (self.locked_out || self.hot) {
            return Err(Refused);
        }
        let changed = self.on != on || self.locked_out;
        if changed {
            (self.on, self.cause, self.locked_out) = (on, cause, false);
        }
        Ok(changed)
    }

    /// A press ends a lock-out, with the relay still open; else it switches. `true` when something changed.
    pub(crate) fn press(&mut self) -> bool {
        let on = !self.on && !self.locked_out;
        self.switch(on, Cause::Button).unwrap_or(false)
    }

    /// The protections. `true` when the relay opened.
    pub(crate) fn protect(&mut self, sample: &Sample, limits: &Limits, now_us: u64) -> bool {
        if let Some(temperature_c) = sample.temperature_c {
            let limit_c =
                if self.hot { limits.temperature_c.saturating_sub(COOLER_C) } else { limits.temperature_c };
            self.hot = temperature_c >= limit_c;
        }
        let current_ma = sample.current_ma.unwrap_or(0);
        let over = self.on && current_ma > limits.current_ma;
        let since_us = if over { Some(self.over_since_us.unwrap_or(now_us)) } else { None };
        self.over_since_us = since_us;
        let lasting = since_us.is_some_and(|since_us| now_us.saturating_sub(since_us) >= TRIP_AFTER_US);
        let gross = over && current_ma / 2 > limits.current_ma;
        if lasting || gross {
            self.open(Cause::OverCurrent);
            self.locked_out = true;
            return true;
        }
        let too_hot = self.on && self.hot;
        if too_hot {
            self.open(Cause::OverTemperature);
        }
        too_hot
    }

    fn open(&mut self, cause: Cause) {
        (self.on, self.cause, self.over_since_us) = (false, cause, None);
    }

    /// For the journal: relay, cause, lock-out.
    pub(crate) fn octet(&self) -> u8 {
        u8::from(self.on) | (self.cause as u8) << 1 | u8::from(self.locked_out) << 4
    }

    /// From the journal.
    pub(crate) fn of(octet: u8) -> Self {
        let cause = match octet >> 1 & 7 {
            0 => Cause::PowerOn,
            1 => Cause::Command,
            2 => Cause::Button,
            3 => Cause::OverCurrent,
            4 => Cause::OverTemperature,
            _ => Cause::Other,
        };
        Self { on: octet & 1 == 1, cause, locked_out: octet & 0x10 != 0, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { current_ma: 16_000, temperature_c: 85 };

    fn on() -> Relay {
        Relay { on: true, cause: Cause::Command, ..Relay::default() }
    }

    fn current(current_ma: u16) -> Sample {
        Sample { current_ma: Some(current_ma), ..Sample::default() }
    }

    // [PLG-6.8-1]
    #[test]
    fn a_motor_may_start_and_an_overload_may_not_last() {
        let mut relay = on();
        assert!(!relay.protect(&current(30_000), &LIMITS, 0));
        assert!(!relay.protect(&current(15_999), &LIMITS, 400_000));
        assert!(!relay.protect(&current(16_001), &LIMITS, 500_000));
        assert!(relay.protect(&current(16_001), &LIMITS, 1_500_000));
        assert_eq!((relay.is_on(), relay.is_locked_out(), relay.cause), (false, true, Cause::OverCurrent));
    }

    // [PLG-6.8-1]
    #[test]
    fn more_than_twice_the_limit_trips_at_once() {
        assert!(on().protect(&current(32_002), &LIMITS, 0));
    }

    // [PLG-6.3-4] [PLG-6.8-2]
    #[test]
    fn a_lock_out_refuses_on_until_somebody_switches_off_or_presses_the_button() {
        let locked = Relay { locked_out: true, cause: Cause::OverCurrent, ..Relay::default() };
        let mut relay = locked;
        assert_eq!(relay.switch(true, Cause::Command), Err(Refused));
        assert_eq!(relay.switch(false, Cause::Command), Ok(true));
        assert_eq!(relay.switch(true, Cause::Command), Ok(true));
        let mut relay = locked;
        assert!(relay.press() && !relay.is_on() && !relay.is_locked_out());
        assert!(relay.press() && relay.is_on());
    }

    // [PLG-6.3-4] [PLG-6.8-3] [PLG-6.8-4]
    #[test]
    fn too_hot_opens_the_relay_and_refuses_on_until_it_is_ten_degrees_cooler() {
        let at = |temperature_c| Sample { temperature_c: Some(temperature_c), ..Sample::default() };
        let mut relay = on();
        assert!(!relay.protect(&at(84), &LIMITS, 0));
        assert!(relay.protect(&at(85), &LIMITS, 0));
        assert_eq!(relay.cause, Cause::OverTemperature);
        relay.protect(&at(76), &LIMITS, 0);
        assert_eq!(relay.switch(true, Cause::Command), Err(Refused));
        assert!(!relay.press() && !relay.is_on());
        assert_eq!(relay.switch(false, Cause::Command), Ok(false));
        relay.protect(&at(74), &LIMITS, 0);
        assert!(!relay.is_on() && !relay.flags().hot);
        assert_eq!(relay.switch(true, Cause::Command), Ok(true));
    }

    // [PLG-6.8-2] [PLG-6.8-5]
    #[test]
    fn the_return_of_power_does_what_was_chosen_and_keeps_a_lock_out() {
        let was = |on| Some(Relay { on, cause: Cause::Button, ..Relay::default() });
        let after = |stored, power_on| Relay::restored(stored, power_on, Start::PowerOn);
        assert!(after(was(false), PowerOn::On).is_on());
        assert!(!after(was(true), PowerOn::Off).is_on());
        assert!(after(was(true), PowerOn::Last).is_on());
        assert!(!after(None, PowerOn::Last).is_on());
        assert_eq!(after(was(true), PowerOn::Last).cause, Cause::PowerOn);
        let locked = Some(Relay { locked_out: true, ..Relay::default() });
        assert!(after(locked, PowerOn::On).is_locked_out() && !after(locked, PowerOn::On).is_on());
        assert_eq!(Some(Relay::restored(was(true), PowerOn::Off, Start::Restart)), was(true));
    }

    #[test]
    fn the_journal_gives_back_what_it_was_given() {
        for octet in 0..=31 {
            let relay = Relay::of(octet);
            if relay.cause != Cause::Other {
                assert_eq!(relay.octet(), octet);
            }
        }
    }
}
