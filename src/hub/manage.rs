//! Adding, renaming, replacing and removing devices. Each is done whole or refused by name. Pure.

use std::sync::Arc;

use crate::device::{CarryOver, Device, DeviceId, DeviceOptions, LineName, Now, Target};
use crate::hub::Hub;
use crate::hub::effect::{Choices, Effect, Given, LineIndex, Output, Persisted, Record, Refused};
use crate::hub::feed::{Body, Change};
use crate::hub::registry;
use crate::hub::request::Accepted;
use crate::line::{Outcome, Profile};

/// Characters of a name; Home Assistant and tables show about half of that.
pub(super) const NAME_MAX: usize = 64;

impl Hub {
    pub(super) fn add(
        &mut self,
        line: &LineName,
        (address, channel): (&str, Option<u8>),
        name: Option<&Arc<str>>,
        now: Now,
    ) -> Accepted {
        let lane = self.lane_called(line)?;
        let target = self.target(lane, address, channel)?;
        self.free(lane, &target)?;
        if let Some(name) = name {
            self.good_name(None, name)?;
        }
        let (ticket, device) = self.register(lane, &target, name.map(|name| &**name), now);
        self.link_later(lane, &device);
        Ok((Some(ticket), Given::Device(device)))
    }

    /// Name and options, both or neither.
    pub(super) fn change_device(
        &mut self,
        id: &DeviceId,
        name: Option<&Arc<str>>,
        choices: &Choices,
        now: Now,
    ) -> Accepted {
        let device = self.known(id)?;
        if let Some(name) = name {
            self.good_name(Some(id), name)?;
        }
        let options = self.chosen(&device, choices)?;
        let name = name.unwrap_or(&device.name);
        if *name == device.name && options == device.options {
            return Ok((None, Given::Device(device)));
        }
        let reattached = options != device.options;
        let member = self.registry.get_mut(id).expect("it is known");
        let mut device = member.change(|device| (device.name, device.options) = (Arc::clone(name), options));
        if reattached {
            let lane = self.lane_of(&device)?;
            self.attach_again(lane, &device, now);
            device = self.known(id)?;
        }
        let ticket = self.changed_device(Change::Changed, Arc::clone(&device), now);
        Ok((Some(ticket), Given::Device(device)))
    }

    /// A device's options as they are after these choices.
    fn chosen(&self, device: &Device, choices: &Choices) -> Result<DeviceOptions, Refused> {
        let mut options = device.options.clone();
        if choices.is_empty() {
            return Ok(options);
        }
        let rows = self.lanes[self.lane_of(device)?.0].line.options();
        for (name, choice) in choices {
            let row = rows.iter().find(|row| row.name == &**name).ok_or_else(|| Refused::BadOption {
                option: Arc::clone(name),
                what: format!("is no option of a `{}` device", device.dialect),
                allowed: rows.iter().map(|row| row.name).collect(),
            })?;
            match choice {
                Some(value) if !row.allows(value) => {
                    let allowed = if row.words.is_empty() { &["true", "false"] } else { row.words };
                    let what = format!("is one of {}", allowed.join(", "));
                    return Err(Refused::BadOption {
                        option: Arc::clone(name),
                        what,
                        allowed: allowed.to_vec(),
                    });
                }
                Some(value) => options.insert(Arc::clone(name), value.clone()),
                None => options.remove(name),
            };
        }
        Ok(options)
    }

    pub(super) fn replace(&mut self, id: &DeviceId, address: &str, now: Now) -> Accepted {
        let device = self.known(id)?;
        let lane = self.lane_of(&device)?;
        let target = self.target(lane, address, device.target.channel)?;
        self.free(lane, &target)?;
        let line = &mut self.lanes[lane.0].line;
        line.set_options(&target, &device.options);
        let profile = line.attach(&target);
        if let Some(missing) = lacks(&device, &profile) {
            line.detach(&target);
            return Err(Refused::FewerCapabilities { device: id.clone(), missing });
        }
        self.lanes[lane.0].forget(id, &device.target);
        let moved = self.registry.move_to(id, target).expect("it is known");
        self.attach(lane, &moved, now);
        self.link_later(lane, &moved);
        let member = self.registry.get_mut(id).expect("it is known");
        // What was last heard came from other hardware. The published total stays, and goes on from the new meter's first.
        let device = member.change(|device| {
            device.relay = None;
            device.online = None;
            device.carry_over = [CarryOver::Pending; 2];
        });
        member.missed = 0;
        let ticket = self.changed_device(Change::Replaced, Arc::clone(&device), now);
        self.groups_forget(id, now);
        self.refresh_measured(lane, now);
        Ok((Some(ticket), Given::Device(device)))
    }

    pub(super) fn remove(&mut self, id: &DeviceId, now: Now) -> Accepted {
        let device = self.known(id)?;
        if device.members.is_some() {
            return self.remove_group(id, now);
        }
        let lane = self.lane_at(device.line.as_ref());
        if device.configured.is_some() && lane.is_some() {
            return Err(Refused::InConfiguration(id.clone()));
        }
        self.fail_commands_of(id, now);
        if let Some(lane) = lane {
            self.lanes[lane.0].forget(id, &device.target);
        }
        let left = self.leave_groups(id);
        let ticket = self.forget_device(&device, &left, now);
        if let Some(lane) = lane {
            self.refresh_measured(lane, now);
        }
        Ok((Some(ticket), Given::Nothing))
    }

    /// Takes a device out of the registry, together with what changes in the groups that it was in.
    pub(super) fn forget_device(
        &mut self,
        device: &Arc<Device>,
        left: &[Arc<Device>],
        now: Now,
    ) -> Persisted {
        let id = &device.id;
        self.registry.remove(id);
        let mut records = vec![Record::DeviceGone(id.clone())];
        records.extend(left.iter().cloned().map(Record::Device));
        let ticket = self.persist(records);
        self.outputs.push_back(Output { after: Some(ticket), effect: Effect::HideDevice(id.clone()) });
        let body = Body::Device { change: Change::Removed, device: Arc::clone(device) };
        self.event(Some(id), body, Some(ticket), now);
        for group in left {
            self.tell_device(Change::Changed, Arc::clone(group), ticket, now);
        }
        ticket
    }

    /// Commands of a device that is going: one on its way may still have its effect.
    fn fail_commands_of(&mut self, id: &DeviceId, now: Now) {
        let open = self
            .commands
            .values()
            .filter(|pending| pending.command.device == *id && !pending.command.state.settled());
        let open: Vec<_> =
            open.map(|pending| (pending.command.id.clone(), pending.command.started)).collect();
        for (command, started) in open {
            let outcome = if started { Outcome::Unknown } else { Outcome::NotApplied };
            self.advance(&command, now, |command| {
                command.fail(outcome, "removed", "the device was removed", now.unix_ms);
            });
        }
    }

    pub(super) fn known(&self, id: &DeviceId) -> Result<Arc<Device>, Refused> {
        let member = self.registry.get(id).ok_or_else(|| Refused::UnknownDevice(id.clone()))?;
        Ok(Arc::clone(&member.device))
    }

    pub(super) fn lane_called(&self, line: &LineName) -> Result<LineIndex, Refused> {
        let found = self.lanes.iter().position(|lane| lane.name == *line).map(LineIndex);
        found.ok_or_else(|| {
            let known: Vec<&str> = self.lanes.iter().map(|lane| lane.name.as_str()).collect();
            Refused::UnknownLine { line: line.clone(), known: known.join(", ") }
        })
    }

    fn lane_of(&self, device: &Device) -> Result<LineIndex, Refused> {
        if device.members.is_some() {
            return Err(Refused::IsGroup(device.id.clone()));
        }
        self.lane_at(device.line.as_ref()).ok_or_else(|| Refused::LineGone(device.id.clone()))
    }

    fn target(&self, lane: LineIndex, address: &str, channel: Option<u8>) -> Result<Target, Refused> {
        let address = self.lanes[lane.0].line.canonical_address(address).map_err(Refused::BadAddress)?;
        Ok(Target { address, channel })
    }

    fn free(&self, lane: LineIndex, target: &Target) -> Result<(), Refused> {
        match self.registry.at(&self.lanes[lane.0].name, target) {
            Some(taken) => Err(Refused::AddressTaken(taken.clone())),
            None => Ok(()),
        }
    }

    pub(super) fn good_name(&self, of: Option<&DeviceId>, name: &str) -> Result<(), Refused> {
        let length = name.chars().count();
        if !(1..=NAME_MAX).contains(&length) || name.trim().is_empty() || name.chars().any(char::is_control) {
            return Err(Refused::BadName { max: NAME_MAX });
        }
        let mut others = self.registry.iter().map(|member| &member.device);
        match others.find(|other| *other.name == *name && Some(&other.id) != of) {
            Some(other) => Err(Refused::NameTaken(other.id.clone())),
            None => Ok(()),
        }
    }
}

/// What the device can do and the new hardware cannot, in words.
fn lacks(device: &Device, profile: &Profile) -> Option<String> {
    let new = registry::measured(profile, 1.0);
    let mut missing: Vec<&str> = Vec::new();
    if device.abilities.relay && !profile.abilities.relay {
        missing.push("relay");
    }
    if device.abilities.dim && !profile.abilities.dim {
        missing.push("dim");
    }
    let lost = device.measured.iter().filter(|old| !new.iter().any(|new| new.quantity == old.quantity));
    missing.extend(lost.map(|measured| measured.quantity.row().name));
    (!missing.is_empty()).then(|| missing.join(", "))
}
