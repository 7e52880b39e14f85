//! What the gateway tells sockets by itself, between operations: slots, options, the group counter, good-bye; and the
//! question to one that has been silent for too long.

use std::time::Duration;

use plugline_protocol::messages::Ask;
use plugline_protocol::security::Key;

use super::super::kept::Network;
use super::super::member::{Member, Reserved};
use super::Plugline;
use super::asking::Job;
use crate::device::Moment;
use crate::line::Happening;

/// One such exchange takes no longer.
const WISH_MAX: Duration = Duration::from_secs(15);

/// What a socket is to be told or asked, and from when on.
fn wish(member: &Member, network: &Network) -> Option<(Ask, Moment)> {
    let due = member.patience.due;
    if member.leaving {
        return Some((Ask::Leave, due));
    }
    if member.keeping.is_some() || member.silent {
        return None;
    }
    if member.ask_now {
        return Some((Ask::Read, due));
    }
    if member.sync {
        return Some((Ask::Sync { group_counter: network.group.used }, due));
    }
    if member.own.group_age != network.group_age {
        let (key, group_counter) = (network.group_key.clone(), network.group.used);
        return Some((Ask::GroupKey { key, group_counter }, due));
    }
    if member.own.slot != member.own.told_slot {
        return Some((Ask::Slot { slot: member.own.slot }, due));
    }
    if let Some(ask) = member.own.told.step_to(&member.wanted) {
        return Some((ask, due));
    }
    member.silent_at().map(|at| (Ask::Read, at))
}

impl Plugline {
    fn wishes(&self) -> impl Iterator<Item = (&Member, Ask, Moment)> {
        let with = |network| {
            self.members
                .values()
                .filter_map(move |member| wish(member, network).map(|(ask, due)| (member, ask, due)))
        };
        self.network.as_ref().map(with).into_iter().flatten()
    }

    /// When a socket is next to be told something.
    pub(super) fn wish_due(&self) -> Option<Moment> {
        let free = self.host.up() && self.job.is_none();
        free.then(|| self.wishes().map(|(_, _, due)| due).min()).flatten()
    }

    /// Begins the exchange that has been due longest.
    pub(super) fn grant_wish(&mut self, now: Moment) {
        if !self.host.up() || self.job.is_some() {
            return;
        }
        let first = self.wishes().filter(|(_, _, due)| *due <= now).min_by_key(|(_, _, due)| *due);
        if let Some((short, ask)) = first.map(|(member, ask, _)| (member.own.identity.short, ask)) {
            self.job = Some(Job::new(None, short, ask, now + WISH_MAX));
            self.push_job(now);
        }
    }

    pub(super) fn wish_done(&mut self, job: &Job) {
        let Some(member) = self.members.get_mut(&job.short) else { return };
        if job.ask == Ask::Leave {
            return self.gone(job);
        }
        let group_age = self.network.as_ref().map_or(0, |network| network.group_age);
        let learned = matches!(job.ask, Ask::Interval { .. });
        member.patience = Default::default();
        member.own.told.told(&job.ask);
        match &job.ask {
            Ask::Read => member.ask_now = false,
            Ask::Sync { .. } => member.sync = false,
            Ask::Slot { slot } => member.own.told_slot = *slot,
            Ask::GroupKey { .. } => member.own.group_age = group_age,
            _ => {}
        }
        let target = member.target();
        self.urgent |= !matches!(job.ask, Ask::Sync { .. } | Ask::Read);
        if learned {
            // How often it reports is part of what the hub knows.
            self.outputs.happen(Happening::Learned { target });
        }
    }

    /// A socket will not; it is not asked the same again.
    pub(super) fn wish_refused(&mut self, job: &Job, detail: String, now: Moment) {
        if job.ticket.is_some() {
            return;
        }
        let Some(member) = self.members.get_mut(&job.short) else { return };
        // As far as the gateway is concerned it was told; a new choice is told anew.
        match &job.ask {
            Ask::Leave => self.gone(job),
            Ask::GroupKey { .. } => member.patience.failed(now),
            Ask::Sync { .. } => member.sync = false,
            Ask::Slot { slot } => member.own.told_slot = *slot,
            Ask::Read => (member.heard, member.ask_now) = (Some(now), false),
            ask => {
                member.own.told.told(ask);
                self.notice("option_refused", detail);
            }
        }
    }

    pub(super) fn wish_failed(&mut self, job: &Job, now: Moment) {
        let Some(member) = self.members.get_mut(&job.short).filter(|_| job.ticket.is_none()) else { return };
        if job.ask == Ask::Leave {
            // Its keys are gone from the record already; it finds out when it joins anew.
            return self.gone(job);
        }
        member.patience.failed(now);
        if member.silent_at().is_some_and(|at| at <= now) {
            member.silent = true;
            let minutes = member.period().as_secs() / 60 * 3;
            let reason = format!("no report for {minutes} minutes, and no answer when asked");
            let target = member.target();
            self.outputs.happen(Happening::Silent { target, reason });
        }
    }

    /// A removed socket is out, or does not answer. What it knows of the group is of no use from here on.
    fn gone(&mut self, job: &Job) {
        self.members.remove(&job.short);
        let Ok(key) = self.random() else {
            return self
                .notice("no_entropy", "the group key could not be replaced: no randomness".to_owned());
        };
        let Some(network) = &mut self.network else { return };
        network.group_key = Key::new(key);
        network.group = Reserved::default();
        network.group_age = network.group_age.wrapping_add(1);
        self.beat.rekey(network);
        self.urgent = true;
    }

    /// The first `records` records are on disk.
    pub(super) fn disk_has(&mut self, records: u64) {
        self.on_disk = records;
        if records < self.records {
            return;
        }
        if let Some(network) = &mut self.network {
            network.group.kept();
        }
        self.members.values_mut().for_each(|member| member.own.down.kept());
    }
}
