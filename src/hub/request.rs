//! The hub's side of commands: taking them in, starting them, settling each exactly once. Pure.

use std::sync::Arc;
use std::time::Duration;

use crate::access::By;
use crate::device::{CommandId, Device, DeviceId, Moment, Now};
use crate::hub::Hub;
use crate::hub::command::{Action, Command, Part, State};
use crate::hub::effect::{
    Answer, Asked, Effect, Given, LineIndex, NewCommand, Output, Persisted, Record, Refused, Request,
    RequestId, Wish,
};
use crate::hub::feed::Body;
use crate::hub::lane::{Job, Slot};
use crate::hub::tokens::What;
use crate::line::{Operation, Outcome};

/// Commands that may wait for one device.
pub(super) const QUEUE_MAX: usize = 50;

/// Settled commands are kept this long, so that their callers can still ask.
const SETTLED_KEPT_MS: i64 = 24 * 3600 * 1000;

/// Settled commands kept at most; the oldest go first.
const SETTLED_MAX: usize = 1000;

/// A command and what the hub needs to run it.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) command: Command,
    lane: Option<LineIndex>,
    expires: Moment,
}

/// A small generator of numbers that need not be secret (splitmix64 by Sebastiano Vigna, public domain).
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn command_id(&mut self, unix_ms: i64) -> CommandId {
        let random = (u128::from(self.roll()) << 64) | u128::from(self.roll());
        let ulid = ulid::Ulid::from_parts(unix_ms.unsigned_abs(), random);
        let text = format!("cmd_{}", ulid.to_string().to_ascii_lowercase());
        CommandId::parse(&text).expect("26 characters of Crockford's base32 behind a prefix")
    }
}

impl Hub {
    /// Somebody asks for something; answered by [`Effect::Answer`] with the same id.
    pub fn handle_request(&mut self, id: RequestId, asked: impl Into<Asked>, now: Now) {
        let Asked { by, request } = asked.into();
        let since = self.outputs.len();
        // The gateway's own doings are in the feed; the list is of people's.
        let what = What::of(&request).filter(|_| by != By::Gateway);
        let answer = match request {
            Request::Ping => Ok((None, Given::Nothing)),
            Request::Command(new) => self.accept(new, now),
            Request::Cancel(command) => self.cancel(&command, now),
            Request::Add { line, address, channel, name } => {
                self.add(&line, (&address, channel), name.as_ref(), now)
            }
            Request::Change { device, name, options } => {
                self.change_device(&device, name.as_ref(), &options, now)
            }
            Request::OpenJoining { line, duration, address } => {
                self.open_joining(line.as_ref(), duration, address.as_deref(), now)
            }
            Request::CloseJoining { line } => self.close_joining(line.as_ref(), now),
            Request::Replace { device, address } => self.replace(&device, &address, now),
            Request::Remove(device) => self.remove(&device, now),
            Request::AddGroup { name, members } => self.add_group(&name, members, now),
            Request::ChangeGroup { group, name, members } => {
                self.change_group(&group, name.as_ref(), members, now)
            }
            Request::RemoveGroup(group) => self.remove_group(&group, now),
            // What is kept is the disk's; it answers.
            Request::Erase(erase) => {
                if let Some(what) = what {
                    self.note(since, by, what, now);
                }
                return self.effect(Effect::Erase(id, erase));
            }
            Request::Quality { line, hours } => self.quality(&line, hours, now),
            Request::Access(request) => self.access(request, &by, now),
        };
        let done = answer.as_ref().ok().and_then(|(_, given)| what?.done(given));
        if let Some(what) = done {
            self.note(since, by, what, now);
        }
        let (after, answer): (_, Answer) = match answer {
            Ok((after, given)) => (after, Ok(given)),
            Err(refused) => (None, Err(refused)),
        };
        self.outputs.push_back(Output { after, effect: Effect::Answer(id, answer) });
        for index in 0..self.lanes.len() {
            self.turn(LineIndex(index), now);
        }
    }

    fn accept(&mut self, new: NewCommand, now: Now) -> Accepted {
        let Some(member) = self.registry.get(&new.device) else {
            return Err(Refused::UnknownDevice(new.device));
        };
        let device = Arc::clone(&member.device);
        if let Some(before) = self.same_request(&new)? {
            return Ok((None, Given::Command { command: before, replayed: true }));
        }
        let action = absolute(&device, new.wish)?;
        let waiting = self.open_for(&device.id).count();
        if waiting >= QUEUE_MAX {
            return Err(Refused::QueueFull { device: device.id.clone(), limit: QUEUE_MAX });
        }
        let command = self.new_command(&new, action, now);
        let id = command.id.clone();
        let (command, parts) = match &device.members {
            Some(members) => self.spread(command, members, now)?,
            None => (command, Vec::new()),
        };
        self.supersede(&device.id, action, now);
        let ticket = self.take_in(command, parts, now.mono + new.ttl, now);
        self.conclude(&id, now);
        let command = Arc::new(self.commands[&id].command.clone());
        Ok((Some(ticket), Given::Command { command, replayed: false }))
    }

    /// Queues a command and its parts, all or none: one record on disk holds them.
    fn take_in(
        &mut self,
        mut command: Command,
        mut parts: Vec<Command>,
        expires: Moment,
        now: Now,
    ) -> Persisted {
        let accepted = Arc::new(command.clone());
        let mut starts: Vec<(LineIndex, CommandId)> = Vec::new();
        let mut taken = Vec::with_capacity(parts.len() + 1);
        command.parts = parts.iter_mut().map(|part| self.queue(part, &mut starts, now)).collect();
        self.queue(&mut command, &mut starts, now);
        for command in std::iter::once(command).chain(parts) {
            taken.push(Arc::new(command.clone()));
            let lane = self.lane_for(&command);
            self.commands.insert(command.id.clone(), Pending { command, lane, expires });
        }
        let ticket = self.persist(taken.iter().cloned().map(Record::Command).collect());
        self.show_command(&accepted, ticket, now);
        for command in &taken {
            self.show_command(command, ticket, now);
            let lane = self.commands[&command.id].lane.filter(|_| !command.state.settled());
            if let Some(lane) = lane.filter(|_| !command.started) {
                self.lanes[lane.0].waiting.push(command.part_of.as_ref(), command.id.clone());
            }
        }
        for (lane, id) in starts {
            self.lanes[lane.0].slot = Some(Slot::Reserved(id, ticket));
        }
        ticket
    }

    /// On a quiet line a command starts as soon as its first record is on disk, without a second one.
    fn queue(&self, command: &mut Command, starts: &mut Vec<(LineIndex, CommandId)>, now: Now) -> Part {
        if !command.state.settled() {
            let quiet = |lane: &LineIndex| {
                let (lane, taken) = (&self.lanes[lane.0], starts.iter().any(|(taken, _)| taken == lane));
                !taken && lane.idle() && lane.waiting.is_empty()
            };
            if let Some(lane) = self.lane_for(command).filter(quiet) {
                command.started = true;
                starts.push((lane, command.id.clone()));
            }
            command.enter(State::Queued, now.unix_ms);
        }
        (&*command).into()
    }

    /// The line of its device; a group is on none.
    fn lane_for(&self, command: &Command) -> Option<LineIndex> {
        self.lane_at(self.registry.get(&command.device)?.device.line.as_ref())
    }

    /// The command that an earlier request with the same key was answered with.
    fn same_request(&self, new: &NewCommand) -> Result<Option<Arc<Command>>, Refused> {
        let Some(wanted) = &new.idempotency else { return Ok(None) };
        let same_key = |command: &&Command| {
            command.device == new.device
                && command.idempotency.as_ref().is_some_and(|of| of.key == wanted.key)
        };
        let known = self.commands.values().map(|pending| &pending.command).find(same_key);
        match known {
            Some(command) if command.idempotency.as_ref() != Some(wanted) => {
                Err(Refused::KeyReused(new.device.clone()))
            }
            known => Ok(known.map(|command| Arc::new(command.clone()))),
        }
    }

    pub(super) fn new_command_id(&mut self, now: Now) -> CommandId {
        self.dice.command_id(now.unix_ms)
    }

    fn new_command(&mut self, new: &NewCommand, action: Action, now: Now) -> Command {
        let ttl_ms = i64::try_from(new.ttl.as_millis()).unwrap_or(i64::MAX);
        let mut command = Command {
            id: self.new_command_id(now),
            device: new.device.clone(),
            action,
            state: State::Accepted,
            version: 1,
            outcome: None,
            error: None,
            attempts: 0,
            created_unix_ms: now.unix_ms,
            expires_unix_ms: now.unix_ms.saturating_add(ttl_ms),
            times_unix_ms: Default::default(),
            requested_by: Arc::clone(&new.requested_by),
            idempotency: new.idempotency.clone(),
            reply_to: new.reply_to.clone(),
            started: false,
            parts: Vec::new(),
            part_of: None,
        };
        command.times_unix_ms[State::Accepted as usize] = Some(now.unix_ms);
        command
    }

    pub(super) fn open_for(&self, device: &DeviceId) -> impl Iterator<Item = &Pending> {
        let open = self.commands.values().filter(|pending| !pending.command.state.settled());
        open.filter(move |pending| pending.command.device == *device)
    }

    /// A newer switch takes the place of those that still wait for the same relay.
    pub(super) fn supersede(&mut self, device: &DeviceId, action: Action, now: Now) {
        if !matches!(action, Action::Switch { .. }) {
            return;
        }
        let waiting = self.open_for(device).map(|pending| &pending.command);
        let older: Vec<CommandId> = waiting
            .filter(|command| !command.is_whole() && !command.started)
            .filter(|command| matches!(command.action, Action::Switch { .. }))
            .map(|command| command.id.clone())
            .collect();
        for id in older {
            self.advance(&id, now, |command| command.enter(State::Superseded, now.unix_ms));
        }
    }

    fn cancel(&mut self, id: &CommandId, now: Now) -> Accepted {
        let Some(pending) = self.commands.get(id) else { return Err(Refused::UnknownCommand(id.clone())) };
        if pending.command.started || pending.command.state.settled() {
            return Err(Refused::NotQueued(id.clone()));
        }
        if pending.command.is_whole() {
            return self.cancel_parts(id, now);
        }
        let done = self.advance(id, now, |command| command.enter(State::Cancelled, now.unix_ms));
        let (ticket, command) = done.expect("it is there and has not settled");
        Ok((Some(ticket), Given::Command { command, replayed: false }))
    }

    /// Takes back a command from disk. One that was started before the gateway ended may have had its effect.
    pub(super) fn restore_command(&mut self, command: Command, now: Now) {
        let left_ms = u64::try_from(command.expires_unix_ms - now.unix_ms).unwrap_or(0);
        let lane = self.lane_for(&command);
        let part_of = command.part_of.clone();
        let (id, settled, started) = (command.id.clone(), command.state.settled(), command.started);
        self.effect(Effect::ShowCommand(Arc::new(command.clone())));
        let expires = now.mono + Duration::from_millis(left_ms);
        self.commands.insert(id.clone(), Pending { command, lane, expires });
        if settled {
            return;
        }
        if started {
            let detail = "the gateway restarted while the command was on its way";
            self.advance(&id, now, |command| {
                command.fail(Outcome::Unknown, "restarted", detail, now.unix_ms);
            });
        } else if let Some(lane) = lane {
            self.lanes[lane.0].waiting.push(part_of.as_ref(), id);
        }
    }

    /// Takes the oldest waiting command of a line and writes down that it is about to start; `true` if there was one.
    pub(super) fn reserve_command(&mut self, line: LineIndex, now: Now) -> bool {
        while let Some(id) = self.lanes[line.0].waiting.pop() {
            let Some(pending) = self.commands.get_mut(&id) else { continue };
            if pending.command.state.settled() {
                continue;
            }
            if pending.expires <= now.mono {
                self.advance(&id, now, |command| command.enter(State::Expired, now.unix_ms));
                continue;
            }
            pending.command.started = true;
            let record = Record::Command(Arc::new(pending.command.clone()));
            let ticket = self.persist(vec![record]);
            self.lanes[line.0].slot = Some(Slot::Reserved(id, ticket));
            return true;
        }
        false
    }

    /// The command's time has run out (or it is gone).
    pub(super) fn expired(&self, id: &CommandId, now: Now) -> bool {
        self.commands.get(id).is_none_or(|pending| pending.expires <= now.mono)
    }

    pub(super) fn start_command(&mut self, line: LineIndex, id: &CommandId, now: Now) {
        let Some(pending) = self.commands.get(id) else { return };
        let (action, expired) = (pending.command.action, self.expired(id, now));
        let target = self.registry.get(&pending.command.device).map(|member| member.device.target.clone());
        let Some(target) = target.filter(|_| !expired) else {
            self.advance(id, now, |command| command.enter(State::Expired, now.unix_ms));
            return;
        };
        let operation = match action {
            Action::Switch { on } => Operation::Switch { target, on },
            Action::Read => Operation::Read { target },
            Action::Identify { seconds } => Operation::Identify { target, seconds },
        };
        self.start(line, operation, Job::Command(id.clone()), now);
    }

    pub(super) fn expire_commands(&mut self, now: Now) {
        let waiting = self.commands.values().filter(|pending| {
            let command = &pending.command;
            !command.is_whole() && !command.started && !command.state.settled() && pending.expires <= now.mono
        });
        let expired: Vec<CommandId> = waiting.map(|pending| pending.command.id.clone()).collect();
        for id in expired {
            self.advance(&id, now, |command| command.enter(State::Expired, now.unix_ms));
        }
        self.forget_commands(now);
    }

    /// Forgets commands that settled long ago. Ids sort by the time they were taken in.
    fn forget_commands(&mut self, now: Now) {
        let needed = |pending: &Pending| {
            let whole = pending.command.part_of.as_ref().and_then(|whole| self.commands.get(whole));
            whole.is_some_and(|whole| !whole.command.state.settled())
        };
        let settled = self.commands.values().filter(|pending| pending.command.state.settled());
        let settled = settled.filter(|pending| !needed(pending));
        let mut over = settled.clone().count().saturating_sub(SETTLED_MAX);
        let old = settled.filter(|pending| {
            let aged = pending.command.created_unix_ms < now.unix_ms - SETTLED_KEPT_MS;
            let crowded = over > 0;
            over = over.saturating_sub(1);
            aged || crowded
        });
        let old: Vec<CommandId> = old.map(|pending| pending.command.id.clone()).collect();
        if old.is_empty() {
            return;
        }
        for id in &old {
            self.commands.remove(id);
            self.effect(Effect::HideCommand(id.clone()));
        }
        self.persist(old.into_iter().map(Record::CommandGone).collect());
    }

    /// Changes a command that has not settled, keeps it, and shows it once it is on disk.
    pub(super) fn advance(
        &mut self,
        id: &CommandId,
        now: Now,
        with: impl FnOnce(&mut Command),
    ) -> Option<(Persisted, Arc<Command>)> {
        let pending = self.commands.get_mut(id)?;
        if pending.command.state.settled() {
            return None;
        }
        with(&mut pending.command);
        let command = Arc::new(pending.command.clone());
        if command.state.settled()
            && let Some(lane) = pending.lane
        {
            self.lanes[lane.0].waiting.remove(id);
        }
        let ticket = self.persist(vec![Record::Command(Arc::clone(&command))]);
        self.show_command(&command, ticket, now);
        if let Some(whole) = &command.part_of {
            self.part_moved(whole, &command, now);
        }
        Some((ticket, command))
    }

    fn show_command(&mut self, command: &Arc<Command>, ticket: Persisted, now: Now) {
        let shown = Effect::ShowCommand(Arc::clone(command));
        self.outputs.push_back(Output { after: Some(ticket), effect: shown });
        self.event(Some(&command.device), Body::Command(Arc::clone(command)), Some(ticket), now);
    }
}

/// The answer, and what must be on disk before it is given.
pub(super) type Accepted = Result<(Option<Persisted>, Given), Refused>;

pub(super) fn absolute(device: &Device, wish: Wish) -> Result<Action, Refused> {
    let unsupported = |command| Refused::NotSupported { device: device.id.clone(), command };
    let relay = device.abilities.relay;
    match wish {
        Wish::Toggle if !relay => Err(unsupported("switch")),
        Wish::Toggle => match device.relay {
            Some(on) => Ok(Action::Switch { on: !on }),
            None => Err(Refused::StateUnknown(device.id.clone())),
        },
        Wish::Do(Action::Switch { .. }) if !relay => Err(unsupported("switch")),
        Wish::Do(Action::Identify { .. }) if !device.abilities.identify => Err(unsupported("identify")),
        Wish::Do(action) => Ok(action),
    }
}
