//! Groups: devices without a line, whose state is made from that of their members. Pure.
//!
//! A group stands in the registry as a [`Device`] with `members`; its list decides, and the members' `groups` follow it.
//! What it shows changes only when the line says something of a member. How it is commanded: `fanout.rs`.

use std::sync::Arc;

use crate::device::{Device, DeviceId, Now};
use crate::hub::Hub;
use crate::hub::effect::{Given, LineIndex, Persisted, Refused};
use crate::hub::feed::{Body, Change};
use crate::hub::lane::{Job, Slot};
use crate::hub::request::Accepted;
use crate::line::Cause;

/// Groups at most: rooms and scenes of a large house.
pub const GROUPS_MAX: usize = 64;

/// Members of a group at most: every socket of the largest house that a gateway is built for. A command to it is one
/// record of about 16 KB.
pub const MEMBERS_MAX: usize = 256;

impl Hub {
    pub(super) fn add_group(&mut self, name: &str, members: Vec<DeviceId>, now: Now) -> Accepted {
        if self.registry.groups().count() >= GROUPS_MAX {
            return Err(Refused::TooManyGroups { limit: GROUPS_MAX });
        }
        self.good_name(None, name)?;
        let members = self.good_members(members)?;
        let before = self.related();
        let id = self.registry.add_group(name, members).id.clone();
        self.registry.sum_up(&id);
        self.tell_group(Change::Added, &id, &before, now)
    }

    /// Name and members, both or neither.
    pub(super) fn change_group(
        &mut self,
        id: &DeviceId,
        name: Option<&Arc<str>>,
        members: Option<Vec<DeviceId>>,
        now: Now,
    ) -> Accepted {
        let group = self.group(id)?;
        if let Some(name) = name {
            self.good_name(Some(id), name)?;
        }
        let members = members.map(|members| self.good_members(members)).transpose()?;
        let name = Arc::clone(name.unwrap_or(&group.name));
        let members = members.or_else(|| group.members.clone());
        if name == group.name && members == group.members {
            return Ok((None, Given::Device(group)));
        }
        let before = self.related();
        let member = self.registry.get_mut(id).expect("it is known");
        member.change(|device| (device.name, device.members) = (name, members));
        self.registry.relate();
        self.registry.sum_up(id);
        self.tell_group(Change::Changed, id, &before, now)
    }

    /// Members stay; what waits for them as part of a command to the group is not sent any more.
    pub(super) fn remove_group(&mut self, id: &DeviceId, now: Now) -> Accepted {
        let group = self.group(id)?;
        self.call_off_group(id, now);
        let before = self.related();
        let ticket = self.forget_device(&group, &[], now);
        self.registry.relate();
        self.tell_members(&before, ticket, now);
        Ok((Some(ticket), Given::Nothing))
    }

    /// Takes a device that is going out of its groups; gives the groups as they are then.
    pub(super) fn leave_groups(&mut self, id: &DeviceId) -> Vec<Arc<Device>> {
        let Some(member) = self.registry.get(id) else { return Vec::new() };
        let groups = Arc::clone(&member.device.groups);
        let mut left = Vec::new();
        for of in groups.iter() {
            let Some(group) = self.registry.get_mut(of) else { continue };
            let group = group.change(|group| {
                let members = group.members.iter().flat_map(|members| members.iter());
                group.members = Some(members.filter(|member| *member != id).cloned().collect());
            });
            left.push(self.registry.sum_up(of).unwrap_or(group));
        }
        left
    }

    /// The groups of a device show what became of it.
    pub(super) fn groups_follow(&mut self, id: &DeviceId, cause: Cause, now: Now) {
        let Some(member) = self.registry.get(id) else { return };
        let (name, groups) = (Arc::clone(&member.device.name), Arc::clone(&member.device.groups));
        for of in groups.iter() {
            let Some(before) = self.registry.get(of).map(|group| Arc::clone(&group.device)) else { continue };
            let Some(group) = self.registry.sum_up(of) else { continue };
            self.show(&group);
            if let Some(on) = group.relay.filter(|_| group.relay != before.relay) {
                self.event(Some(of), Body::Relay { on, cause }, None, now);
            }
            if let Some(online) = group.online.filter(|_| group.online != before.online) {
                let reason = if online { format!("{name} answers") } else { "no member answers".into() };
                self.event(Some(of), Body::Online { online, reason: reason.into() }, None, now);
            }
        }
    }

    /// What was heard of a device holds no longer: its groups forget it too, and no line said so.
    pub(super) fn groups_forget(&mut self, id: &DeviceId, now: Now) {
        let Some(member) = self.registry.get(id) else { return };
        let groups = Arc::clone(&member.device.groups);
        for of in groups.iter() {
            if let Some(group) = self.registry.sum_up(of) {
                self.changed_device(Change::Changed, group, now);
            }
        }
    }

    /// Takes groups back as their members are.
    pub(super) fn restore_groups(&mut self) {
        self.registry.relate();
        let groups: Vec<DeviceId> = self.registry.groups().map(|group| group.id.clone()).collect();
        for group in &groups {
            self.registry.sum_up(group);
        }
    }

    /// Why a relay moved: by a command, or by one to a group.
    pub(super) fn cause_of(&self, line: LineIndex, device: &DeviceId, cause: Cause) -> Cause {
        let Some(Slot::Busy(_, Job::Command(id))) = &self.lanes[line.0].slot else { return cause };
        let command = self.commands.get(id).map(|pending| &pending.command);
        let part =
            |command: &&crate::hub::command::Command| command.part_of.is_some() && command.device == *device;
        if cause == Cause::Command && command.is_some_and(|command| part(&command)) {
            return Cause::Group;
        }
        cause
    }

    fn group(&self, id: &DeviceId) -> Result<Arc<Device>, Refused> {
        let unknown = || Refused::UnknownGroup(id.clone());
        self.known(id).ok().filter(|device| device.members.is_some()).ok_or_else(unknown)
    }

    fn good_members(&self, members: Vec<DeviceId>) -> Result<Arc<[DeviceId]>, Refused> {
        let bad = |what: String| Refused::BadMembers { what };
        if members.len() > MEMBERS_MAX {
            return Err(bad(format!("{} devices, wanted at most {MEMBERS_MAX}", members.len())));
        }
        for (index, id) in members.iter().enumerate() {
            let Some(member) = self.registry.get(id) else {
                return Err(bad(format!("no device `{id}` is in the registry")));
            };
            if member.device.members.is_some() {
                return Err(bad(format!("`{id}` is a group; groups hold no groups")));
            }
            if !member.device.abilities.relay {
                return Err(bad(format!("`{id}` has no relay")));
            }
            if members[..index].contains(id) {
                return Err(bad(format!("`{id}` stands there twice")));
            }
        }
        Ok(members.into())
    }

    /// Who is in which groups, to tell what changes.
    fn related(&self) -> Vec<(DeviceId, Arc<[DeviceId]>)> {
        let devices = self.registry.iter().map(|member| &member.device);
        devices.map(|device| (device.id.clone(), Arc::clone(&device.groups))).collect()
    }

    fn tell_group(
        &mut self,
        change: Change,
        id: &DeviceId,
        before: &[(DeviceId, Arc<[DeviceId]>)],
        now: Now,
    ) -> Accepted {
        let group = self.known(id)?;
        let ticket = self.changed_device(change, Arc::clone(&group), now);
        self.tell_members(before, ticket, now);
        Ok((Some(ticket), Given::Device(group)))
    }

    /// The groups' records hold who belongs to them: a member needs no record of its own.
    fn tell_members(&mut self, before: &[(DeviceId, Arc<[DeviceId]>)], ticket: Persisted, now: Now) {
        for (id, groups) in before {
            let Some(member) = self.registry.get(id) else { continue };
            if member.device.groups != *groups {
                let device = Arc::clone(&member.device);
                self.tell_device(Change::Changed, device, ticket, now);
            }
        }
    }
}
