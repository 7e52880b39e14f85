//! What a person sees and touches: one light, one button. Knows no relay and no frames.

use crate::time::Alarm;

/// What the light shows. The patterns are the firmware's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Led {
    /// Joined, relay open.
    Off,
    /// Joined, relay closed.
    On,
    /// Unjoined: looking for a network.
    Searching,
    /// Somebody asks which socket this is.
    Identify,
    /// The over-current trip is latched: press the button.
    LockedOut,
    /// The board's memory does not take what is written: nothing is sent.
    Fault,
}

/// Held this long the button makes the socket leave its network.
const LEAVE_US: u64 = 10_000_000;
/// A press is shorter than this; between the two somebody changed his mind.
const PRESS_US: u64 = 2_000_000;

/// What a button did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Touch {
    /// Pressed and let go.
    Press,
    /// Held for ten seconds.
    Leave,
}

/// The button in time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Button {
    down_us: Option<u64>,
}

impl Button {
    /// It went down or up, bounces taken out.
    pub(crate) fn moved(&mut self, down: bool, now_us: u64) -> Option<Touch> {
        if down {
            self.down_us.get_or_insert(now_us);
            return None;
        }
        let held_us = now_us.saturating_sub(self.down_us.take()?);
        (held_us < PRESS_US).then_some(Touch::Press)
    }

    /// Time went on.
    pub(crate) fn tick(&mut self, now_us: u64) -> Option<Touch> {
        self.down_us.take_if(|down_us| now_us.saturating_sub(*down_us) >= LEAVE_US)?;
        Some(Touch::Leave)
    }

    pub(crate) fn alarm(&self) -> Alarm {
        self.down_us.map_or(Alarm::OFF, |down_us| Alarm::at(down_us + LEAVE_US))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // [PLG-6.8-4]
    #[test]
    fn a_short_press_is_one_and_a_longer_one_is_nothing() {
        let mut button = Button::default();
        assert_eq!(button.moved(true, 0), None);
        assert_eq!(button.moved(false, 300_000), Some(Touch::Press));
        button.moved(true, 0);
        assert_eq!(button.moved(false, 3_000_000), None);
        assert_eq!(button.moved(false, 3_000_001), None);
    }

    // [PLG-7.4-4]
    #[test]
    fn ten_seconds_count_once_while_the_button_is_still_down() {
        let mut button = Button::default();
        button.moved(true, 0);
        assert_eq!(button.tick(LEAVE_US - 1), None);
        assert_eq!(button.tick(LEAVE_US), Some(Touch::Leave));
        assert_eq!(button.tick(LEAVE_US * 2), None);
        assert_eq!(button.moved(false, LEAVE_US * 2), None);
    }
}
