//! Commands and how they end. Pure.
//!
//! Every command has a deadline and a caller, and settles exactly once. States: `protocol-spec/http.md`, Commands.

use std::sync::Arc;

use crate::device::{CommandId, DeviceId};
use crate::line::Outcome;

/// Longest that a device shows itself, in seconds: its line is held meanwhile.
pub const IDENTIFY_MAX_S: u16 = 30;

/// How long it does unless told, in seconds.
pub const IDENTIFY_DEFAULT_S: u16 = 5;

/// What is wanted, absolute: `toggle` is resolved before it becomes an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Close (`on`) or open the relay.
    Switch {
        /// `true` closes the relay.
        on: bool,
    },
    /// Ask for every quantity now.
    Read,
    /// Make the device show itself.
    Identify {
        /// How long, 1 … [`IDENTIFY_MAX_S`].
        seconds: u16,
    },
}

impl Action {
    /// The word of the contract.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Switch { .. } => "switch",
            Self::Read => "read",
            Self::Identify { .. } => "identify",
        }
    }
}

/// Where a command stands. Transitions only go down this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum State {
    /// Taken in; durable.
    Accepted,
    /// Waits for its line.
    Queued,
    /// Its bytes went to the port.
    Sent,
    /// The device acknowledged it.
    Acknowledged,
    /// The line showed the effect.
    Confirmed,
    /// Did not work; see the outcome.
    Failed,
    /// Never sent: its time ran out.
    Expired,
    /// A newer command for the same thing took its place before it was sent.
    Superseded,
    /// Its caller took it back before it was sent.
    Cancelled,
}

/// All states in order, with their words.
pub const STATES: [(State, &str); 9] = [
    (State::Accepted, "accepted"),
    (State::Queued, "queued"),
    (State::Sent, "sent"),
    (State::Acknowledged, "acknowledged"),
    (State::Confirmed, "confirmed"),
    (State::Failed, "failed"),
    (State::Expired, "expired"),
    (State::Superseded, "superseded"),
    (State::Cancelled, "cancelled"),
];

impl State {
    /// The word of the contract.
    #[must_use]
    pub fn name(self) -> &'static str {
        STATES[self as usize].1
    }

    /// Nothing comes after it.
    #[must_use]
    pub fn settled(self) -> bool {
        self >= Self::Confirmed
    }
}

/// Why a command failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandError {
    /// Stable word for programs.
    pub code: Arc<str>,
    /// One sentence for people.
    pub detail: Arc<str>,
}

/// A caller's word that makes a repeated request the same request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// The caller's `Idempotency-Key`.
    pub key: Arc<str>,
    /// The request's body in one spelling; the same key with another body is a mistake.
    pub body: Arc<str>,
}

/// Where the outcome goes besides the feed; kept with the command so that it survives a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplyTo {
    /// The caller's own word for it, echoed in the result.
    pub transaction: Option<Arc<str>>,
    /// MQTT 5 response topic.
    pub response_topic: Option<Arc<str>>,
    /// MQTT 5 correlation data.
    pub correlation: Option<Arc<[u8]>>,
}

/// One command and its life so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Its id.
    pub id: CommandId,
    /// Whom it is for.
    pub device: DeviceId,
    /// What is wanted.
    pub action: Action,
    /// Where it stands.
    pub state: State,
    /// From 1, one more at each transition.
    pub version: u32,
    /// Of a failed one: may the effect have happened?
    pub outcome: Option<Outcome>,
    /// Of a failed one: why.
    pub error: Option<CommandError>,
    /// How often its bytes went to the port.
    pub attempts: u8,
    /// When it was taken in, milliseconds since 1970 UTC.
    pub created_unix_ms: i64,
    /// When it expires unless sent, milliseconds since 1970 UTC.
    pub expires_unix_ms: i64,
    /// When it entered each state, by `State as usize`; milliseconds since 1970 UTC.
    pub times_unix_ms: [Option<i64>; STATES.len()],
    /// Who asked: `http`, `mqtt`, …
    pub requested_by: Arc<str>,
    /// The caller's `Idempotency-Key` and what it stood for.
    pub idempotency: Option<Idempotency>,
    /// Where the result goes.
    pub reply_to: ReplyTo,
    /// It was handed to its line, or is about to be: after a crash its effect is not known.
    pub started: bool,
}

impl Command {
    /// Enters `state`. The version grows by one.
    pub fn enter(&mut self, state: State, unix_ms: i64) {
        debug_assert!(!self.state.settled(), "a settled command moved: {self:?}");
        self.state = state;
        self.version += 1;
        self.times_unix_ms[state as usize] = Some(unix_ms);
    }

    /// Fails it.
    pub fn fail(&mut self, outcome: Outcome, code: &str, detail: &str, unix_ms: i64) {
        self.outcome = Some(outcome);
        self.error = Some(CommandError { code: code.into(), detail: detail.into() });
        self.enter(State::Failed, unix_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_stand_in_the_order_of_the_states() {
        for (index, (state, word)) in STATES.iter().enumerate() {
            assert_eq!(*state as usize, index, "{word}");
            assert_eq!(state.name(), *word);
        }
    }
}
