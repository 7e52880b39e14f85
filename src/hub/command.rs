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

/// How the command of one member of a group stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The member.
    pub device: DeviceId,
    /// Its own command.
    pub command: CommandId,
    /// Where that stands.
    pub state: State,
    /// Of a failed one: may the effect have happened?
    pub outcome: Option<Outcome>,
    /// Of a failed one: why.
    pub error: Option<CommandError>,
}

impl From<&Command> for Part {
    fn from(command: &Command) -> Self {
        Self {
            device: command.device.clone(),
            command: command.id.clone(),
            state: command.state,
            outcome: command.outcome,
            error: command.error.clone(),
        }
    }
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
    /// Who asked: `local`, `cli`, `mqtt`, `token:NAME`, …
    pub requested_by: Arc<str>,
    /// The caller's `Idempotency-Key` and what it stood for.
    pub idempotency: Option<Idempotency>,
    /// Where the result goes.
    pub reply_to: ReplyTo,
    /// It was handed to its line, or is about to be: after a crash its effect is not known.
    pub started: bool,
    /// Of a command to a group: its members' commands, as of the last transition of this one.
    pub parts: Vec<Part>,
    /// Of a member's part in a command to a group: that command.
    pub part_of: Option<CommandId>,
}

/// [`Command::error`] of a command to a group that was not confirmed by all.
const MEMBERS_FAILED: &str = "members_failed";

/// Members that are named in the sentence of such an error; the list of parts names all.
const NAMED_MAX: usize = 3;

impl Command {
    /// It is for a group: it goes to no line itself, and ends with its parts.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.parts.is_empty()
    }

    /// Takes over how its parts stand now; those that nobody knows stay as they were.
    pub fn look_at_parts<'c>(&mut self, known: impl Fn(&CommandId) -> Option<&'c Self>) {
        for part in &mut self.parts {
            if let Some(command) = known(&part.command) {
                *part = command.into();
            }
        }
    }

    /// Ends it as its parts ended, all of which have settled: alike, or as failed.
    pub fn conclude(&mut self, unix_ms: i64) {
        let alike = |part: &Part| part.state == self.parts[0].state && part.state != State::Failed;
        if self.parts.iter().all(alike) {
            return self.enter(self.parts[0].state, unix_ms);
        }
        let done = |part: &&Part| part.state == State::Confirmed;
        let perhaps = |part: &Part| done(&part) || part.outcome == Some(Outcome::Unknown);
        let outcome = if self.parts.iter().any(perhaps) { Outcome::Unknown } else { Outcome::NotApplied };
        let missing: Vec<&Part> = self.parts.iter().filter(|part| !done(part)).collect();
        let named = missing.iter().take(NAMED_MAX).map(|part| {
            let why = part.error.as_ref().map_or(part.state.name(), |error| &*error.code);
            format!("{} ({why})", part.device)
        });
        let named = named.collect::<Vec<_>>().join(", ");
        let more = if missing.len() > NAMED_MAX { ", …" } else { "" };
        let detail =
            format!("{} of {} members not confirmed: {named}{more}", missing.len(), self.parts.len());
        self.fail(outcome, MEMBERS_FAILED, &detail, unix_ms);
    }

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

    fn command(id: &str) -> Command {
        Command {
            id: CommandId::parse(id).expect("an id"),
            device: DeviceId::parse(id).expect("an id"),
            action: Action::Switch { on: true },
            state: State::Queued,
            version: 2,
            outcome: None,
            error: None,
            attempts: 0,
            created_unix_ms: 0,
            expires_unix_ms: 0,
            times_unix_ms: Default::default(),
            requested_by: "test".into(),
            idempotency: None,
            reply_to: ReplyTo::default(),
            started: false,
            parts: Vec::new(),
            part_of: None,
        }
    }

    /// A group's command whose members' ended like this.
    fn concluded(ends: &[(State, Option<Outcome>)]) -> Command {
        let mut whole = command("whole");
        whole.parts = ends
            .iter()
            .map(|(state, outcome)| Part { state: *state, outcome: *outcome, ..(&command("lamp")).into() })
            .collect();
        whole.conclude(7);
        whole
    }

    #[test]
    fn a_group_that_ended_alike_ended_like_that_and_otherwise_failed() {
        for state in [State::Confirmed, State::Expired, State::Superseded, State::Cancelled] {
            assert_eq!(concluded(&[(state, None), (state, None)]).state, state);
        }
        let surely_not = (State::Failed, Some(Outcome::NotApplied));
        let perhaps = (State::Failed, Some(Outcome::Unknown));
        for (ends, outcome) in [
            (vec![surely_not, surely_not], Outcome::NotApplied),
            (vec![surely_not, (State::Expired, None)], Outcome::NotApplied),
            (vec![(State::Confirmed, None), surely_not], Outcome::Unknown),
            (vec![(State::Cancelled, None), perhaps], Outcome::Unknown),
        ] {
            let whole = concluded(&ends);
            assert_eq!((whole.state, whole.outcome), (State::Failed, Some(outcome)), "{ends:?}");
        }
    }

    #[test]
    fn the_sentence_of_a_group_names_a_few_of_those_that_are_missing() {
        let whole = concluded(&[(State::Expired, None), (State::Confirmed, None), (State::Superseded, None)]);
        let error = whole.error.expect("it failed");
        assert_eq!(&*error.code, "members_failed");
        assert_eq!(&*error.detail, "2 of 3 members not confirmed: lamp (expired), lamp (superseded)");
        let mut ends = vec![(State::Expired, None); 9];
        ends.push((State::Confirmed, None));
        let detail = concluded(&ends).error.expect("it failed").detail;
        assert!(detail.ends_with("lamp (expired), …"), "{detail}");
    }

    #[test]
    fn the_words_stand_in_the_order_of_the_states() {
        for (index, (state, word)) in STATES.iter().enumerate() {
            assert_eq!(*state as usize, index, "{word}");
            assert_eq!(state.name(), *word);
        }
    }
}
