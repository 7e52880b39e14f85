//! Commands to groups: one command that ends once, by one command of its own for each member. Pure.
//!
//! The group's command (`is_whole`) goes to no line and is never queued. Everything that happens to commands (superseding,
//! expiry, removal, restart) happens to its parts; [`Hub::part_moved`] looks at each that moves.

use std::sync::Arc;

use crate::device::{CommandId, DeviceId, Now};
use crate::hub::Hub;
use crate::hub::command::{Command, Part, ReplyTo, State};
use crate::hub::effect::{Given, Refused};
use crate::hub::request::{Accepted, QUEUE_MAX, absolute};
use crate::hub::{command, effect};
use crate::line::Outcome;

impl Hub {
    /// A command for each member. One that cannot be taken in has failed already: the others are commanded all the same.
    pub(super) fn spread(
        &mut self,
        mut whole: Command,
        members: &[DeviceId],
        now: Now,
    ) -> Result<(Command, Vec<Command>), Refused> {
        if members.is_empty() {
            return Err(Refused::EmptyGroup(whole.device));
        }
        let mut parts = Vec::with_capacity(members.len());
        for member in members {
            let mut part = Command {
                id: self.new_command_id(now),
                device: member.clone(),
                idempotency: None,
                reply_to: ReplyTo::default(),
                part_of: Some(whole.id.clone()),
                ..whole.clone()
            };
            match self.may_take(member, whole.action) {
                Ok(()) => self.supersede(member, whole.action, now),
                Err((code, detail)) => part.fail(Outcome::NotApplied, code, &detail, now.unix_ms),
            }
            parts.push(part);
        }
        whole.parts = parts.iter().map(Into::into).collect();
        Ok((whole, parts))
    }

    fn may_take(&self, member: &DeviceId, action: command::Action) -> Result<(), (&'static str, String)> {
        let refused = |code, refused: Refused| (code, refused.to_string());
        let Some(known) = self.registry.get(member) else {
            return Err(refused("unknown_device", Refused::UnknownDevice(member.clone())));
        };
        absolute(&known.device, effect::Wish::Do(action)).map_err(|error| refused("not_supported", error))?;
        if self.open_for(member).count() >= QUEUE_MAX {
            let full = Refused::QueueFull { device: member.clone(), limit: QUEUE_MAX };
            return Err(refused("queue_full", full));
        }
        Ok(())
    }

    /// A part went on: the group's command is sent with the first of them, and ends with the last.
    pub(super) fn part_moved(&mut self, whole: &CommandId, part: &Command, now: Now) {
        if part.state.settled() {
            return self.conclude(whole, now);
        }
        let queued = |state| state < State::Sent;
        if part.state >= State::Sent && self.commands.get(whole).is_some_and(|of| queued(of.command.state)) {
            let parts = self.parts_now(whole);
            self.advance(whole, now, |command| {
                command.parts = parts;
                command.enter(State::Sent, now.unix_ms);
            });
        }
    }

    /// Ends a group's command when all its parts have ended.
    pub(super) fn conclude(&mut self, whole: &CommandId, now: Now) {
        let Some(pending) = self.commands.get(whole) else { return };
        // Parts end about in their order, so the last one tells soonest that it is too early.
        let ended = |part: &Part| match self.commands.get(&part.command) {
            Some(pending) => pending.command.state.settled(),
            None => part.state.settled(),
        };
        let open = pending.command.is_whole() && !pending.command.state.settled();
        if !open || !pending.command.parts.iter().rev().all(ended) {
            return;
        }
        let parts = self.parts_now(whole);
        self.advance(whole, now, |command| {
            command.parts = parts;
            command.conclude(now.unix_ms);
        });
    }

    fn parts_now(&self, whole: &CommandId) -> Vec<Part> {
        let Some(pending) = self.commands.get(whole) else { return Vec::new() };
        let mut seen = Command { parts: pending.command.parts.clone(), ..pending.command.clone() };
        seen.look_at_parts(|id| self.commands.get(id).map(|pending| &pending.command));
        seen.parts
    }

    /// Takes back what was not sent yet; the rest goes on.
    pub(super) fn cancel_parts(&mut self, whole: &CommandId, now: Now) -> Accepted {
        let waiting = self.waiting_parts(whole);
        let mut ticket = None;
        for part in &waiting {
            let done = self.advance(part, now, |command| command.enter(State::Cancelled, now.unix_ms));
            ticket = done.map(|(ticket, _)| ticket).max(ticket);
        }
        let Some(pending) = self.commands.get(whole).filter(|_| ticket.is_some()) else {
            return Err(Refused::NotQueued(whole.clone()));
        };
        Ok((ticket, Given::from(Arc::new(pending.command.clone()))))
    }

    /// A group that is going sends nothing more to its members. What was sent ends by itself, and the command with it.
    pub(super) fn call_off_group(&mut self, group: &DeviceId, now: Now) {
        let open: Vec<CommandId> = self.open_for(group).map(|pending| pending.command.id.clone()).collect();
        for part in open.iter().flat_map(|whole| self.waiting_parts(whole)).collect::<Vec<_>>() {
            self.advance(&part, now, |command| {
                command.fail(Outcome::NotApplied, "removed", "the group was removed", now.unix_ms);
            });
        }
    }

    fn waiting_parts(&self, whole: &CommandId) -> Vec<CommandId> {
        let parts = self.commands.get(whole).map_or(&[][..], |pending| &pending.command.parts);
        let commands = parts.iter().filter_map(|part| self.commands.get(&part.command));
        let waiting = commands.map(|of| &of.command).filter(|of| !of.started && !of.state.settled());
        waiting.map(|command| command.id.clone()).collect()
    }

    /// Takes back commands from disk: parts before the commands that end with them.
    pub(super) fn restore_commands(&mut self, kept: Vec<Arc<Command>>, now: Now) {
        let (wholes, others): (Vec<_>, Vec<_>) = kept.into_iter().partition(|command| command.is_whole());
        for command in others {
            self.restore_command(Arc::unwrap_or_clone(command), now);
        }
        for whole in wholes {
            let mut whole = Arc::unwrap_or_clone(whole);
            if !whole.state.settled() {
                self.miss_parts(&mut whole);
            }
            let id = whole.id.clone();
            self.restore_command(whole, now);
            self.conclude(&id, now);
        }
    }

    /// A part whose record was lost to the disk may have had its effect.
    fn miss_parts(&self, whole: &mut Command) {
        for part in &mut whole.parts {
            if !self.commands.contains_key(&part.command) && !part.state.settled() {
                (part.state, part.outcome) = (State::Failed, Some(Outcome::Unknown));
            }
        }
    }
}
