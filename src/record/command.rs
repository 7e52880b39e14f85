//! The stored form of commands, in the registry and in the log. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Tail, Text, Unreadable, id, mirror};
use crate::device::{CommandId, DeviceId};
use crate::hub::command::{Action, Command, CommandError, Idempotency, Part, ReplyTo, STATES, State};
use crate::line::Outcome;

mirror!(
    StateV1 =
        State { Accepted, Queued, Sent, Acknowledged, Confirmed, Failed, Expired, Superseded, Cancelled }
);
mirror!(OutcomeV1 = Outcome { NotApplied, Unknown });

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ActionV1 {
    Switch { on: bool },
    Read,
    Identify { seconds: u16 },
}

#[derive(Serialize, Deserialize)]
pub(super) struct CommandV1<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    device: Text<'a>,
    action: ActionV1,
    state: StateV1,
    version: u32,
    outcome: Option<OutcomeV1>,
    error: Option<(Text<'a>, Text<'a>)>,
    attempts: u8,
    created_unix_ms: i64,
    expires_unix_ms: i64,
    times_unix_ms: BTreeMap<StateV1, i64>,
    requested_by: Text<'a>,
    idempotency: Option<(Text<'a>, Text<'a>)>,
    transaction: Option<Text<'a>>,
    response_topic: Option<Text<'a>>,
    correlation: Option<Vec<u8>>,
    started: bool,
    #[serde(borrow, default)]
    parts: Tail<Vec<PartV1<'a>>>,
    #[serde(borrow, default)]
    part_of: Tail<Option<Text<'a>>>,
}

#[derive(Serialize, Deserialize)]
struct PartV1<'a> {
    #[serde(borrow)]
    device: Text<'a>,
    command: Text<'a>,
    state: StateV1,
    outcome: Option<OutcomeV1>,
    error: Option<(Text<'a>, Text<'a>)>,
}

impl<'a> From<&'a Part> for PartV1<'a> {
    fn from(part: &'a Part) -> Self {
        Self {
            device: part.device.as_str().into(),
            command: part.command.as_str().into(),
            state: part.state.into(),
            outcome: part.outcome.map(Into::into),
            error: part.error.as_ref().map(|error| ((&*error.code).into(), (&*error.detail).into())),
        }
    }
}

impl PartV1<'_> {
    fn part(self) -> Result<Part, Unreadable> {
        Ok(Part {
            device: id("device", &self.device, DeviceId::parse)?,
            command: id("command", &self.command, CommandId::parse)?,
            state: self.state.into(),
            outcome: self.outcome.map(Into::into),
            error: self.error.map(error),
        })
    }
}

fn error((code, detail): (Text<'_>, Text<'_>)) -> CommandError {
    CommandError { code: (&*code).into(), detail: (&*detail).into() }
}

impl<'a> From<&'a Command> for CommandV1<'a> {
    fn from(command: &'a Command) -> Self {
        let times = STATES.iter().filter_map(|(state, _)| {
            command.times_unix_ms[*state as usize].map(|unix_ms| ((*state).into(), unix_ms))
        });
        Self {
            id: command.id.as_str().into(),
            device: command.device.as_str().into(),
            action: match command.action {
                Action::Switch { on } => ActionV1::Switch { on },
                Action::Read => ActionV1::Read,
                Action::Identify { seconds } => ActionV1::Identify { seconds },
            },
            state: command.state.into(),
            version: command.version,
            outcome: command.outcome.map(Into::into),
            error: command.error.as_ref().map(|error| ((&*error.code).into(), (&*error.detail).into())),
            attempts: command.attempts,
            created_unix_ms: command.created_unix_ms,
            expires_unix_ms: command.expires_unix_ms,
            times_unix_ms: times.collect(),
            requested_by: (&*command.requested_by).into(),
            idempotency: command.idempotency.as_ref().map(|of| ((&*of.key).into(), (&*of.body).into())),
            transaction: command.reply_to.transaction.as_deref().map(Into::into),
            response_topic: command.reply_to.response_topic.as_deref().map(Into::into),
            correlation: command.reply_to.correlation.as_deref().map(<[u8]>::to_vec),
            started: command.started,
            parts: Tail(command.parts.iter().map(Into::into).collect()),
            part_of: Tail(command.part_of.as_ref().map(|id| id.as_str().into())),
        }
    }
}

impl CommandV1<'_> {
    pub(super) fn command(self) -> Result<Command, Unreadable> {
        let mut times_unix_ms = [None; STATES.len()];
        for (state, unix_ms) in self.times_unix_ms {
            times_unix_ms[State::from(state) as usize] = Some(unix_ms);
        }
        Ok(Command {
            id: id("id", &self.id, CommandId::parse)?,
            device: id("device", &self.device, DeviceId::parse)?,
            action: match self.action {
                ActionV1::Switch { on } => Action::Switch { on },
                ActionV1::Read => Action::Read,
                ActionV1::Identify { seconds } => Action::Identify { seconds },
            },
            state: self.state.into(),
            version: self.version,
            outcome: self.outcome.map(Into::into),
            error: self.error.map(error),
            attempts: self.attempts,
            created_unix_ms: self.created_unix_ms,
            expires_unix_ms: self.expires_unix_ms,
            times_unix_ms,
            requested_by: (&*self.requested_by).into(),
            idempotency: self
                .idempotency
                .map(|(key, body)| Idempotency { key: (&*key).into(), body: (&*body).into() }),
            reply_to: ReplyTo {
                transaction: self.transaction.as_deref().map(Into::into),
                response_topic: self.response_topic.as_deref().map(Into::into),
                correlation: self.correlation.map(Into::into),
            },
            started: self.started,
            parts: self.parts.0.into_iter().map(PartV1::part).collect::<Result<_, _>>()?,
            part_of: self.part_of.0.map(|of| id("part_of", &of, CommandId::parse)).transpose()?,
        })
    }
}
