//! What a person may choose about a Plugline line, and about each socket on it; and where randomness comes from.
//!
//! Refuses to know files and their syntax: the configuration fills these in.

use plugline_protocol::label::Label;
use plugline_protocol::messages::{Ask, PowerOn};

use crate::device::{DeviceOptions, OptionRow, OptionValue};

/// Randomness for keys: the operating system's, or a test's own.
pub trait Entropy: Send {
    /// Fills `bytes` with octets that nobody can guess.
    ///
    /// # Errors
    /// [`NoEntropy`] when there are none to be had; nothing secret is made then.
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy>;
}

/// No randomness is to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no randomness")]
pub struct NoEntropy;

/// One line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Sockets that may join in any open window, without their code being typed.
    pub labels: Vec<Label>,
    /// A network may be started although another one is heard on the same wiring.
    pub beside_others: bool,
}

/// Minutes between two reports, by the words of the option.
const INTERVALS: [(&str, u8); 7] =
    [("1", 1), ("2", 2), ("5", 5), ("10", 10), ("15", 15), ("30", 30), ("60", 60)];
/// Trip limits in mA; 0 is the socket's own.
const LIMITS: [(&str, u16); 8] = [
    ("own", 0),
    ("2", 2_000),
    ("4", 4_000),
    ("6", 6_000),
    ("8", 8_000),
    ("10", 10_000),
    ("13", 13_000),
    ("16", 16_000),
];
const POWER_ON: [(&str, PowerOn); 3] = [("last", PowerOn::Last), ("off", PowerOn::Off), ("on", PowerOn::On)];

/// What can be chosen about a socket.
pub(super) const ROWS: [OptionRow; 3] = [
    OptionRow {
        name: "power_on",
        words: &["last", "off", "on"],
        about: "what the relay does when power comes; unless chosen, it is as it was",
    },
    OptionRow {
        name: "current_limit_a",
        words: &["own", "2", "4", "6", "8", "10", "13", "16"],
        about: "above this many amperes the relay opens; unless chosen, the socket's own limit",
    },
    OptionRow {
        name: "report_every_min",
        words: &["1", "2", "5", "10", "15", "30", "60"],
        about: "minutes between two reports; unless chosen, one",
    },
];

/// What a socket is told to be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Behaviour {
    pub(super) power_on: PowerOn,
    pub(super) limit_ma: u16,
    pub(super) minutes: u8,
}

impl Default for Behaviour {
    /// As a socket is when it has just joined.
    fn default() -> Self {
        Self { power_on: PowerOn::Last, limit_ma: 0, minutes: 1 }
    }
}

impl Behaviour {
    /// By a person's choices; what is not chosen is as after joining.
    pub(super) fn chosen(options: &DeviceOptions) -> Self {
        let word = |name: &str| match options.get(name) {
            Some(OptionValue::Word(word)) => Some(word.as_ref()),
            _ => None,
        };
        let default = Self::default();
        Self {
            power_on: word("power_on").and_then(|word| of(&POWER_ON, word)).unwrap_or(default.power_on),
            limit_ma: word("current_limit_a").and_then(|word| of(&LIMITS, word)).unwrap_or(default.limit_ma),
            minutes: word("report_every_min")
                .and_then(|word| of(&INTERVALS, word))
                .unwrap_or(default.minutes),
        }
    }

    /// The first thing to tell a socket that is like this, so that it becomes like `wanted`.
    pub(super) fn step_to(&self, wanted: &Self) -> Option<Ask> {
        if self.power_on != wanted.power_on {
            Some(Ask::PowerOn(wanted.power_on))
        } else if self.limit_ma != wanted.limit_ma {
            Some(Ask::OverCurrent { limit_ma: wanted.limit_ma })
        } else if self.minutes != wanted.minutes {
            Some(Ask::Interval { minutes: wanted.minutes })
        } else {
            None
        }
    }

    /// The socket was told this.
    pub(super) fn told(&mut self, ask: &Ask) {
        match ask {
            Ask::PowerOn(what) => self.power_on = *what,
            Ask::OverCurrent { limit_ma } => self.limit_ma = *limit_ma,
            Ask::Interval { minutes } => self.minutes = *minutes,
            _ => {}
        }
    }
}

fn of<T: Copy>(table: &[(&str, T)], word: &str) -> Option<T> {
    table.iter().find(|(known, _)| *known == word).map(|(_, value)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words<T>(table: &[(&'static str, T)]) -> Vec<&'static str> {
        table.iter().map(|(word, _)| *word).collect()
    }

    #[test]
    fn every_word_that_can_be_chosen_is_one_that_a_socket_can_be_told() {
        assert_eq!(ROWS[0].words, words(&POWER_ON));
        assert_eq!(ROWS[1].words, words(&LIMITS));
        assert_eq!(ROWS[2].words, words(&INTERVALS));
    }

    #[test]
    fn a_socket_is_told_one_thing_after_the_other_until_it_is_as_chosen() {
        let choice = |name: &str, word: &str| (name.into(), OptionValue::Word(word.into()));
        let options = [choice("power_on", "off"), choice("report_every_min", "5")].into();
        let wanted = Behaviour::chosen(&options);
        let mut is = Behaviour::default();
        let mut told = Vec::new();
        while let Some(ask) = is.step_to(&wanted) {
            is.told(&ask);
            told.push(ask);
        }
        assert_eq!(told, [Ask::PowerOn(PowerOn::Off), Ask::Interval { minutes: 5 }]);
        assert_eq!(is, wanted);
    }
}
