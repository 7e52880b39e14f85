//! Telling one event from its many messages: repeats of one message over several hops, and the three messages of one
//! press of a button.

use std::collections::VecDeque;
use std::time::Duration;

use super::message::{Address, Kind, Message};
use crate::device::Moment;

/// How long a message may still be on its way for each hop that was left when it was first heard (insteon-mqtt).
const STANDARD_HOP: Duration = Duration::from_millis(87);
const EXTENDED_HOP: Duration = Duration::from_millis(183);
/// Messages under way at once; a message takes 50 ms at least, so few fit a window.
const MESSAGES_MAX: usize = 16;
/// Broadcast, clean-up and success report of one press come within this time.
const PRESS: Duration = Duration::from_secs(3);
/// Presses remembered at once.
const PRESSES_MAX: usize = 64;

/// The messages of the last moments.
#[derive(Debug, Default)]
pub(super) struct Repeats(VecDeque<(Moment, Message, Option<[u8; 14]>)>);

impl Repeats {
    /// The same message, heard just now over other hops.
    pub(super) fn repeated(&mut self, message: &Message, data: Option<[u8; 14]>, now: Moment) -> bool {
        self.0.retain(|(until, ..)| *until >= now);
        let bare =
            |message: &Message| Message { flags: super::message::Flags(message.flags.0 & 0xF3), ..*message };
        if self.0.iter().any(|(_, old, old_data)| bare(old) == bare(message) && *old_data == data) {
            return true;
        }
        let hop = if message.flags.extended() { EXTENDED_HOP } else { STANDARD_HOP };
        let left = u32::from(message.flags.hops_left());
        if left > 0 {
            self.0.truncate(MESSAGES_MAX - 1);
            self.0.push_front((now + hop * left, *message, data));
        }
        false
    }
}

/// A button that was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Press {
    /// Group, which names the button.
    pub(super) group: u8,
    /// 11 on, 13 off, 12 and 14 the same at once, 17 and 18 held.
    pub(super) cmd1: u8,
}

/// What a message says of a press, if anything.
fn press_of(message: &Message) -> Option<Press> {
    if let Some(report) = message.success_report() {
        return Some(Press { group: report.group, cmd1: report.cleaned_cmd1 });
    }
    if message.flags.kind() == Kind::GroupCleanup {
        return Some(Press { group: message.cmd2, cmd1: message.cmd1 });
    }
    message.broadcast_group().map(|group| Press { group, cmd1: message.cmd1 })
}

/// The presses of the last seconds.
#[derive(Debug, Default)]
pub(super) struct Presses(VecDeque<(Moment, Address, Press)>);

impl Presses {
    /// The press that a message tells of, once for its broadcast, clean-up and report.
    ///
    /// A clean-up or report may come after the broadcast of the next press; so only a broadcast can follow a press of
    /// the other way within the time.
    pub(super) fn hear(&mut self, message: &Message, now: Moment) -> Option<Press> {
        let press = press_of(message)?;
        self.0.retain(|(at, ..)| now.since(*at) < PRESS);
        let mut same_button =
            self.0.iter().filter(|(_, id, old)| *id == message.from && old.group == press.group);
        let known = match message.broadcast_group() {
            Some(_) => same_button.next().is_some_and(|(_, _, latest)| *latest == press),
            None => same_button.any(|(_, _, old)| *old == press),
        };
        if known {
            return None;
        }
        self.0.truncate(PRESSES_MAX - 1);
        self.0.push_front((now, message.from, press));
        Some(press)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::insteon::message::Flags;

    const SOCKET: Address = Address([0x21, 0x7D, 0xB9]);

    fn at(ms: u64) -> Moment {
        Moment(Duration::from_millis(ms))
    }

    fn broadcast(cmd1: u8) -> Message {
        Message { from: SOCKET, to: Address([0, 0, 1]), flags: Flags(0xCB), cmd1, cmd2: 0 }
    }

    fn cleanup(cmd1: u8) -> Message {
        Message { to: Address([0x1A, 0x77, 0x7B]), flags: Flags(0x4B), cmd2: 1, ..broadcast(cmd1) }
    }

    fn report(cleaned: u8) -> Message {
        Message { to: Address([cleaned, 2, 1]), ..broadcast(6) }
    }

    #[test]
    fn broadcast_cleanup_and_report_are_one_press_whichever_comes() {
        let on = Some(Press { group: 1, cmd1: 0x11 });
        let mut presses = Presses::default();
        assert_eq!(presses.hear(&broadcast(0x11), at(0)), on);
        assert_eq!(presses.hear(&cleanup(0x11), at(400)), None);
        assert_eq!(presses.hear(&report(0x11), at(900)), None);
        assert_eq!(Presses::default().hear(&cleanup(0x11), at(0)), on);
        assert_eq!(Presses::default().hear(&report(0x11), at(0)), on);
        assert_eq!(presses.hear(&broadcast(0x11), at(4_000)), on, "the same again, later");
    }

    #[test]
    fn a_late_report_does_not_undo_the_next_press() {
        let mut presses = Presses::default();
        assert!(presses.hear(&broadcast(0x11), at(0)).is_some());
        assert!(presses.hear(&broadcast(0x13), at(1_000)).is_some());
        assert_eq!(presses.hear(&report(0x11), at(1_200)), None);
        assert!(presses.hear(&broadcast(0x11), at(2_000)).is_some(), "on, off, on");
        assert_eq!(presses.hear(&report(0x13), at(2_200)), None);
    }

    #[test]
    fn a_message_that_comes_over_several_hops_is_one() {
        let first = Message { flags: Flags(0x2B), ..cleanup(0x11) };
        let fewer = Message { flags: Flags(0x27), ..first };
        let mut repeats = Repeats::default();
        assert!(!repeats.repeated(&first, None, at(0)));
        assert!(repeats.repeated(&fewer, None, at(174)));
        assert!(!repeats.repeated(&fewer, None, at(175)));
        let none_left = Message { flags: Flags(0x23), ..first };
        assert!(!repeats.repeated(&none_left, None, at(1_000)));
        assert!(!repeats.repeated(&none_left, None, at(1_001)));
    }
}
