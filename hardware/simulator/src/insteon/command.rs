//! What the host's commands do to the modem: its link database, its configuration, linking.

use std::time::Duration;

use super::device::LINKING_TIME;
use super::fault::{Fault, NakForm};
use super::links::Link;
use super::message::{Id, Message};
use super::plm::{Event, Plm};

/// From the moment at which both ends want to until the modem says that it is done.
const LINK_TIME: Duration = Duration::from_millis(700);
/// On-level and ramp that a device writes into the record of its new master.
const FULL_ON: [u8; 2] = [0xFF, 0x1C];

/// The modem waits to be linked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Linking {
    mode: u8,
    group: u8,
    since: Duration,
}

/// Who commands whom after linking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Controller,
    Responder,
    Nobody,
}

impl Plm {
    /// Carries out a whole command.
    pub(crate) fn obey(&mut self, command: &[u8]) {
        if self.modem.resetting {
            return self.say(vec![0x15]);
        }
        if let Some(form) =
            self.faults.strike(|fault| if let Fault::Nak(form) = fault { Some(form) } else { None })
        {
            return self.nak(command, form);
        }
        match *command {
            [_, 0x60] => self.say_info(),
            [_, 0x61, group, cmd1, _] => self.send_group(command, group, cmd1),
            [_, 0x62, a, b, c, flags, cmd1, cmd2, ref data @ ..] => {
                let (from, to) = (self.modem.id, Id([a, b, c]));
                let message = Message { from, to, flags, cmd1, cmd2, data: data.try_into().ok() };
                self.send(command, message);
            }
            [_, 0x64, mode @ (0x00 | 0x01 | 0x03 | 0xFF), group] => {
                self.modem.linking = Some(Linking { mode, group, since: self.now() });
                self.echo(command, Vec::new());
                self.try_to_link();
            }
            [_, 0x65] => {
                self.modem.linking = None;
                self.echo(command, Vec::new());
            }
            [_, 0x66, a, b, c] => {
                self.modem.product = [a, b, c];
                self.echo(command, Vec::new());
            }
            [_, 0x67] => self.start_reset(),
            [_, 0x69] => self.tell_link(command, Some(0)),
            [_, 0x6A] => self.next_link(command),
            [_, 0x6B, config] => {
                self.modem.config = config;
                self.echo(command, Vec::new());
            }
            [_, 0x6C] => self.link_of_sender(command),
            [_, 0x6F, action, ref record @ ..] => self.manage(command, action, record),
            [_, 0x73] => self.say(vec![0x02, 0x73, self.modem.config, 0, 0, 0x06]),
            // What needs no more than a yes: X10, bytes to answer with, the lamp, the beep.
            [_, 0x63 | 0x68 | 0x6D | 0x6E | 0x70 | 0x71 | 0x72 | 0x74 | 0x77 | 0x78, ..] => {
                self.echo(command, Vec::new());
            }
            _ => self.nak(command, NakForm::Echoed),
        }
    }

    pub(crate) fn nak(&mut self, command: &[u8], form: NakForm) {
        self.say(match form {
            NakForm::Echoed => [command, &[0x15]].concat(),
            NakForm::Named => vec![0x02, command[1], 0x15],
            NakForm::Lone => vec![0x15],
        });
    }

    fn say_info(&mut self) {
        let mut info = vec![0x02, 0x60];
        info.extend(self.modem.id.0.into_iter().chain(self.modem.product));
        info.push(0x06);
        self.say(info);
    }

    fn next_link(&mut self, command: &[u8]) {
        let reset = |fault| if let Fault::ResetInLinkRead { forgets } = fault { Some(forgets) } else { None };
        match self.faults.strike(reset) {
            Some(true) => self.press_reset(),
            Some(false) => self.reboot(),
            None => self.tell_link(command, self.modem.cursor),
        }
    }

    /// Tells the first record in use from a slot on.
    fn tell_link(&mut self, command: &[u8], from: Option<usize>) {
        let slots = self.modem.links.slots().iter().enumerate();
        let found = from.and_then(|from| slots.skip(from).find(|(_, link)| link.in_use()));
        let Some((at, link)) = found.map(|(at, link)| (at, *link)) else {
            self.modem.cursor = None;
            return self.nak(command, NakForm::Echoed);
        };
        self.modem.cursor = Some(at + 1);
        self.echo(command, vec![told(&link)]);
    }

    fn link_of_sender(&mut self, command: &[u8]) {
        let sender = self.modem.last_sender;
        let found = self.modem.links.in_use().find(|link| Some(link.id) == sender).copied();
        match found {
            Some(link) => self.echo(command, vec![told(&link)]),
            None => self.nak(command, NakForm::Echoed),
        }
    }

    /// `6F`: finds, changes or deletes a record.
    fn manage(&mut self, command: &[u8], action: u8, record: &[u8]) {
        let Ok(bytes) = <[u8; 8]>::try_from(record) else { return self.nak(command, NakForm::Echoed) };
        let link = Link::of_bytes(bytes);
        let same = move |old: &Link| (old.id, old.group) == (link.id, link.group);
        let links = &mut self.modem.links;
        let done = match action {
            0x00 | 0x01 => {
                let from = if action == 0x00 { 0 } else { self.modem.found };
                let mut slots = links.slots().iter().enumerate().skip(from);
                let Some((at, found)) = slots.find(|(_, old)| old.in_use() && same(old)) else {
                    return self.nak(command, NakForm::Echoed);
                };
                let found = told(found);
                self.modem.found = at + 1;
                return self.echo(command, vec![found]);
            }
            0x20 => links.put(link).is_ok(),
            0x40 => links.put(Link { flags: link.flags | 0x40, ..link }).is_ok(),
            0x41 => links.put(Link { flags: link.flags & !0x40, ..link }).is_ok(),
            0x80 => links.remove(same),
            _ => false,
        };
        if done { self.echo(command, Vec::new()) } else { self.nak(command, NakForm::Echoed) }
    }

    pub(crate) fn linking_now(&self) -> Option<Linking> {
        self.modem.linking.filter(|linking| self.now() < linking.since + LINKING_TIME)
    }

    /// Links the modem and a device if both wait for it.
    pub(crate) fn try_to_link(&mut self) {
        let Some(linking) = self.linking_now() else { return };
        let waiting = self.devices.iter().position(|device| device.has_mains() && device.linking.is_some());
        let Some(index) = waiting else { return };
        let Some((button, since)) = self.devices[index].linking else { return };
        let role = match linking.mode {
            0x00 => Role::Responder,
            0x01 => Role::Controller,
            0x03 if linking.since <= since => Role::Controller,
            0x03 => Role::Responder,
            _ => Role::Nobody,
        };
        let group = if role == Role::Responder { button } else { linking.group };
        if !self.write_links(index, role, group, button) {
            return;
        }
        let device = &mut self.devices[index];
        (device.linking, self.modem.linking) = (None, None);
        let code = match role {
            Role::Controller => 0x01,
            Role::Responder => 0x00,
            Role::Nobody => 0xFF,
        };
        let mut done = vec![0x02, 0x53, code, group];
        done.extend(device.id().0.into_iter().chain(device.product()));
        self.later(LINK_TIME, Event::Say(done));
    }

    /// Writes both ends' records, or neither where one has no room.
    fn write_links(&mut self, index: usize, role: Role, group: u8, button: u8) -> bool {
        let device = &mut self.devices[index];
        let (here, there) = (self.modem.id, device.id());
        let [level, ramp] = FULL_ON;
        let (mut ours, mut theirs) = (self.modem.links.clone(), device.links().clone());
        let written = match role {
            Role::Controller => {
                let theirs = theirs.put(Link::responder(group, here, [level, ramp, button]));
                ours.put(Link::controller(group, there, device.product())).and(theirs)
            }
            Role::Responder => {
                let theirs = theirs.put(Link::controller(group, here, [0x03, ramp, button]));
                ours.put(Link::responder(group, there, device.product())).and(theirs)
            }
            Role::Nobody => {
                theirs.remove(|link| (link.id, link.group) == (here, group));
                ours.remove(|link| (link.id, link.group) == (there, group));
                Ok(())
            }
        };
        if written.is_ok() {
            self.modem.links = ours;
            *device.links_mut() = theirs;
            device.touched();
        }
        written.is_ok()
    }
}

fn told(link: &Link) -> Vec<u8> {
    let mut out = vec![0x02, 0x57];
    out.extend(link.bytes());
    out
}
