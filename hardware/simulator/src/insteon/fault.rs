//! What can go wrong between a host and its devices, on purpose and from a seed.

use std::time::Duration;

use super::message::Id;
use crate::random::Random;

/// How a modem says that it will not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NakForm {
    /// The whole command and `15`.
    Echoed,
    /// `02`, the code and `15`.
    Named,
    /// A lone `15`.
    Lone,
}

/// One thing that goes wrong, from [`super::Plm::set_fault`] until it is cleared or used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The modem refuses every command and does nothing.
    Nak(NakForm),
    /// The modem is dead: it hears nothing and says nothing.
    Mute,
    /// Echoes come twice.
    EchoTwice,
    /// Echoes, and what belongs to them, come later by this much; the line does not wait for them.
    EchoLate(Duration),
    /// The modem starts again in the middle of a read of its link database, at the next `6A`.
    ResetInLinkRead {
        /// It says `02 55` and its links are gone; otherwise it is away for two seconds, then says garbage.
        forgets: bool,
    },
    /// Every frame comes in two pieces.
    Split {
        /// Silence between them.
        gap: Duration,
    },
    /// A part of a frame is lost at its end, in this share of the frames.
    Cut {
        /// 0 … 100.
        percent: u8,
    },
    /// A share of the messages on the mains is lost; sender and device try again on their own.
    Noise {
        /// 0 … 100.
        percent: u8,
    },
    /// The device does as told, but none of its replies to one message arrives.
    LoseReplies(Id),
    /// Messages from devices come twice, the second time after this silence.
    Repeat(Duration),
    /// Messages from devices come later by this much.
    Late(Duration),
    /// The way from a device takes another number of repeats each time.
    HopsVary,
    /// A device answers under another one's id.
    AnswerForAnother {
        /// Who is asked.
        asked: Id,
        /// Whose id the reply shows.
        answers_as: Id,
    },
    /// A device refuses and does nothing.
    Refuse {
        /// Who is asked.
        asked: Id,
        /// cmd2 of its NAK.
        reason: u8,
    },
    /// A device first says that searching its links takes long, and answers half a second later.
    PreNak(Id),
    /// A device speaks i1, i2 and i2CS by turns.
    EngineByTurns(Id),
    /// The CRC of an energy meter's reply is wrong.
    BadCrc,
    /// Messages of devices and modems that nobody here knows, and X10, about so often.
    Foreign {
        /// Mean time between two of them.
        every: Duration,
    },
    /// Another program talks to the same modem, about so often: both see all answers.
    SecondHost {
        /// Mean time between two of its commands.
        every: Duration,
    },
}

#[derive(Clone, Copy, Debug)]
struct Active {
    fault: Fault,
    /// How often it may still strike; `None` is for ever.
    left: Option<u32>,
}

/// The faults that are set, and the numbers that decide what they do.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    active: Vec<Active>,
    pub(crate) random: Random,
}

impl Faults {
    pub(crate) fn new(seed: u64) -> Self {
        Self { active: Vec::new(), random: Random::new(seed) }
    }

    pub(crate) fn set(&mut self, fault: Fault, left: Option<u32>) {
        self.clear(fault);
        self.active.push(Active { fault, left });
    }

    pub(crate) fn clear(&mut self, fault: Fault) {
        self.active.retain(|active| active.fault != fault);
    }

    pub(crate) fn clear_all(&mut self) {
        self.active.clear();
    }

    /// What `wanted` makes of the first fault that it names and that may still strike; it counts as having struck.
    pub(crate) fn strike<T>(&mut self, wanted: impl Fn(Fault) -> Option<T>) -> Option<T> {
        let mut able = self.active.iter_mut().filter(|active| active.left != Some(0));
        let (active, found) = able.find_map(|active| wanted(active.fault).map(|found| (active, found)))?;
        active.left = active.left.map(|left| left - 1);
        Some(found)
    }

    pub(crate) fn strikes(&mut self, fault: Fault) -> bool {
        self.strike(|active| (active == fault).then_some(())).is_some()
    }

    /// With a chance of so many in a hundred.
    pub(crate) fn chance(&mut self, percent: u8) -> bool {
        self.random.below(100) < u64::from(percent)
    }

    /// This message is lost in the noise.
    pub(crate) fn loses(&mut self) -> bool {
        let noise = |fault| if let Fault::Noise { percent } = fault { Some(percent) } else { None };
        self.strike(noise).is_some_and(|percent| self.chance(percent))
    }

    /// A time that is `mean` on average, half of it at least.
    pub(crate) fn about(&mut self, mean: Duration) -> Duration {
        let mean_us = u64::try_from(mean.as_micros()).unwrap_or(u64::MAX / 4).max(2);
        Duration::from_micros(mean_us / 2 + self.random.below(mean_us))
    }

    /// The pieces in which a frame leaves, each with the silence before it.
    pub(crate) fn pieces(&mut self, mut frame: Vec<u8>) -> Vec<(Duration, Vec<u8>)> {
        let cut = |fault| if let Fault::Cut { percent } = fault { Some(percent) } else { None };
        let length = frame.len() as u64;
        if self.strike(cut).is_some_and(|percent| self.chance(percent)) {
            frame.truncate(usize::try_from(self.random.below(length)).unwrap_or(0));
        }
        let gap = |fault| if let Fault::Split { gap } = fault { Some(gap) } else { None };
        let mut pieces = vec![(Duration::ZERO, frame)];
        if let Some(gap) = self.strike(gap) {
            let at = usize::try_from(self.random.below(pieces[0].1.len() as u64)).unwrap_or(0);
            let rest = pieces[0].1.split_off(at);
            pieces.push((gap, rest));
        }
        pieces.retain(|(_, bytes)| !bytes.is_empty());
        pieces
    }
}
