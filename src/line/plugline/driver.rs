//! A line of Plugline sockets behind a modem: this network, its sockets, and the one exchange in flight.
//!
//! Sockets report unasked, each in its slot; what they say is told once its tag and counter were found right, and
//! nothing else of it is acted on. Refuses to know octets (`plugline-protocol`), the modem's requests (`host.rs`) and
//! when to ask whom (the hub). Pure: time and randomness are arguments.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use plugline_protocol::frame::CRC_LEN;
use plugline_protocol::{Eui64, NetworkId, ShortAddress};

use super::clock::Superframes;
use super::host::{Host, HostEvent, SETTINGS};
use super::kept::{self, Network};
use super::member::{Member, spelled};
use super::options::{Behaviour, Entropy, NoEntropy, Options, ROWS};
use super::slots::Schedule;
use crate::device::{DeviceOptions, Moment, Now, OptionRow, Target};
use crate::line::{
    BadAddress, Failure, Happening, Joins, Line, LineOutput, Operation, Outcome, Outputs, Profile, Progress,
    Reception, SerialSettings, Ticket,
};

mod asking;
mod beacons;
mod hearing;
mod joining;
mod places;
mod wishes;

use asking::Job;
use beacons::{Beat, Received};
use joining::{Joining, Waiting};
pub(super) use places::Fares;
use places::Places;

/// Counters heard and registers go to disk at least this often; what is newer may be told again after a crash, and no
/// counter of ours is used twice.
const KEEP_PERIOD: Duration = Duration::from_secs(900);

/// A line of Plugline sockets.
pub struct Plugline {
    options: Options,
    entropy: Box<dyn Entropy>,
    host: Host,
    network: Option<Network>,
    members: BTreeMap<ShortAddress, Member>,
    /// What the hub knows, joined or not.
    attached: BTreeSet<Eui64>,
    chosen: BTreeMap<Eui64, Behaviour>,
    frames: Option<Superframes>,
    /// When the numbers of superframes were last made anew.
    frames_since: Moment,
    schedule: Option<Schedule>,
    received: Received,
    beat: Beat,
    joining: Joining,
    places: Places,
    waiting: Option<Waiting>,
    job: Option<Job>,
    /// Records written since the start.
    records: u64,
    /// How many of them are on disk.
    on_disk: u64,
    /// A record is to be written now.
    urgent: bool,
    keep_due: Option<Moment>,
    /// SHORTs that sockets had before they joined again.
    former: BTreeMap<ShortAddress, Eui64>,
    told_networks: BTreeSet<NetworkId>,
    told: BTreeSet<(&'static str, String)>,
    /// How well the frame was heard that is being looked at.
    reception: Option<Reception>,
    outputs: Outputs,
}

/// Things that are told once are remembered so many.
const TOLD_MAX: usize = 256;

impl Plugline {
    /// A line with these options; its port counts as closed, and it has no network before a socket joins.
    #[must_use]
    pub fn new(options: Options, entropy: Box<dyn Entropy>) -> Self {
        let joining = Joining::new(&options.labels);
        Self {
            options,
            entropy,
            host: Host::default(),
            network: None,
            members: BTreeMap::new(),
            attached: BTreeSet::new(),
            chosen: BTreeMap::new(),
            frames: None,
            frames_since: Moment::default(),
            schedule: None,
            received: Received::default(),
            beat: Beat::default(),
            joining,
            places: Places::default(),
            waiting: None,
            job: None,
            records: 0,
            on_disk: 0,
            urgent: false,
            keep_due: None,
            former: BTreeMap::new(),
            told_networks: BTreeSet::new(),
            told: BTreeSet::new(),
            reception: None,
            outputs: Outputs::default(),
        }
    }

    fn member_of(&self, eui: Eui64) -> Option<&Member> {
        self.members.values().find(|member| member.eui() == eui && !member.leaving)
    }

    fn member_of_mut(&mut self, eui: Eui64) -> Option<&mut Member> {
        self.members.values_mut().find(|member| member.eui() == eui && !member.leaving)
    }

    fn count(&mut self, kind: &'static str) {
        self.outputs.happen(Happening::Malformed { kind });
    }

    fn notice(&mut self, code: &'static str, detail: String) {
        self.outputs.happen(Happening::Notice { code, detail });
    }

    /// A notice that is told once about `whom`.
    fn notice_once(&mut self, code: &'static str, whom: &str, detail: String) {
        if self.told.len() < TOLD_MAX && self.told.insert((code, whom.to_owned())) {
            self.notice(code, detail);
        }
    }

    fn random<const N: usize>(&mut self) -> Result<[u8; N], NoEntropy> {
        let mut bytes = [0; N];
        self.entropy.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// How long a PDU holds the line.
    fn airtime_us(&self, pdu_len: usize) -> u64 {
        self.host.hello.map_or(0, |hello| {
            let crc = if hello.own_check { 0 } else { CRC_LEN };
            hello.rate.airtime_us(pdu_len + crc).into()
        })
    }

    /// Number of the superframe and µs into it, at a time of the modem's clock.
    fn superframe(&self, us: u64) -> (u64, u64) {
        self.frames.map_or((0, 0), |frames| frames.at(us))
    }

    /// Writes everything that must outlive a restart.
    fn persist(&mut self, now: Moment) {
        let Some(network) = &mut self.network else { return };
        let own: Vec<_> = self
            .members
            .values_mut()
            .filter(|member| !member.leaving)
            .map(|member| &mut member.own)
            .collect();
        let record = kept::emit(network, own.into_iter());
        self.outputs.push(LineOutput::Persist(record));
        self.records += 1;
        self.urgent = false;
        self.keep_due = Some(now + KEEP_PERIOD);
    }

    fn running_low(&self) -> bool {
        self.network.as_ref().is_some_and(|network| network.group.low())
            || self.members.values().any(|member| !member.leaving && member.own.down.low())
    }

    /// Everything that follows from what has just happened.
    fn settle(&mut self, now: Now) {
        while let Some(event) = self.host.next_event() {
            match event {
                HostEvent::Up { restarted } => self.modem_up(restarted, now),
                HostEvent::Heard { pdu, end_us, reception } => {
                    self.reception = Some(reception);
                    self.hear(&pdu, end_us, now);
                    self.reception = None;
                }
                HostEvent::Ended { number, confirm } => {
                    if !self.beacon_ended(number, &confirm, now) {
                        self.request_ended(number, &confirm, now.mono);
                    }
                }
            }
        }
        self.push_job(now.mono);
        self.end_waiting(now.mono);
        self.beat(now);
        self.grant_wish(now.mono);
        let due = self.keep_due.is_some_and(|due| due <= now.mono);
        // The records of a burst are one: the next is written when the last is on disk or its time has come.
        if self.urgent || due || (self.host.up() && self.running_low() && self.all_kept()) {
            self.persist(now.mono);
            self.push_job(now.mono);
        }
    }

    fn all_kept(&self) -> bool {
        self.on_disk == self.records
    }

    fn modem_up(&mut self, restarted: bool, now: Now) {
        let hello = self.host.hello.expect("the modem has just said HELLO");
        if restarted {
            let clock = self.host.clock;
            self.frames =
                self.frames.zip(self.beat.clock).map(|(frames, old)| frames.moved(&old, &clock, now.mono));
        }
        if self.frames.is_none() {
            self.count_superframes(now);
        }
        let schedule = Schedule::new(hello.rate);
        self.schedule = Some(if hello.no_slots { schedule.without_slots() } else { schedule });
        self.assign_slots();
        self.start_beats(now.mono);
        for member in self.members.values_mut().filter(|member| !member.silent) {
            member.heard = Some(now.mono);
        }
        if let Some(job) = self.job.take() {
            self.lost(job, now.mono);
        }
    }

    /// Begins to count superframes.
    fn count_superframes(&mut self, now: Now) {
        self.frames = self.network.as_ref().map(|network| Superframes::of(now, &self.host.clock, network.id));
        self.frames_since = now.mono;
    }
}

impl Line for Plugline {
    fn serial_settings(&self) -> SerialSettings {
        SETTINGS
    }

    fn restore(&mut self, record: &[u8]) {
        let Some((network, sockets)) = kept::parse(record) else { return };
        self.members = sockets.into_iter().map(|own| (own.identity.short, Member::new(own))).collect();
        self.network = Some(network);
        // Nothing may be sent before a record with higher ceilings is on disk.
        self.urgent = true;
    }

    fn resume(&mut self) {
        self.network.iter_mut().for_each(|network| network.group.leap());
        self.members.values_mut().for_each(|member| member.own.down.leap());
    }

    fn canonical_address(&self, text: &str) -> Result<Arc<str>, BadAddress> {
        joining::parse_eui(text).map(|eui| spelled(eui).into())
    }

    fn take_code(&mut self, code: &str) -> Result<Arc<str>, BadAddress> {
        self.joining.take_code(code).map(|eui| spelled(eui).into())
    }

    fn attach(&mut self, target: &Target) -> Profile {
        let Some(eui) = joining::parse_eui(&target.address).ok().filter(|_| target.channel.is_none()) else {
            return Profile::default();
        };
        self.attached.insert(eui);
        let wanted = self.chosen.get(&eui).copied().unwrap_or_default();
        let Some(member) = self.member_of_mut(eui) else { return Profile::default() };
        member.attached = true;
        member.wanted = wanted;
        member.profile()
    }

    /// The socket is told to leave, and its keys are forgotten.
    fn detach(&mut self, target: &Target) {
        let Ok(eui) = joining::parse_eui(&target.address) else { return };
        self.attached.remove(&eui);
        self.chosen.remove(&eui);
        if let Some(member) = self.member_of_mut(eui) {
            member.leaving = true;
            member.patience = Default::default();
            let short = member.own.identity.short;
            self.proven(short);
            self.urgent = true;
        }
    }

    fn options(&self) -> &'static [OptionRow] {
        &ROWS
    }

    fn set_options(&mut self, target: &Target, options: &DeviceOptions) {
        let Ok(eui) = joining::parse_eui(&target.address) else { return };
        let wanted = Behaviour::chosen(options);
        self.chosen.insert(eui, wanted);
        if let Some(member) = self.member_of_mut(eui) {
            member.wanted = wanted;
        }
    }

    fn joins(&self) -> Joins {
        Joins { by_label: true, ..Joins::default() }
    }

    fn discovers(&self) -> bool {
        false
    }

    fn handle_port(&mut self, open: bool, now: Now) {
        if let Some(job) = self.job.take() {
            self.fail(&job, "port_lost", "the port was lost".to_owned(), false);
        }
        if let Some(waiting) = self.waiting.take() {
            self.end_wait(&waiting, Err(("port_lost", "the port was lost".to_owned())));
        }
        self.host.port_changed(open, now.mono);
        self.host.handle_timeout(now.mono, &mut self.outputs);
        self.settle(now);
    }

    fn ready(&self) -> bool {
        let free = self.job.as_ref().is_none_or(|job| job.ticket.is_none());
        self.host.up() && free && self.waiting.is_none()
    }

    fn start(&mut self, operation: Operation, ticket: Ticket, deadline: Moment, now: Now) {
        debug_assert!(self.ready(), "an operation is started only on a line that is ready");
        let begun = if !self.ready() {
            Err(("busy", "the line is not ready for an operation".to_owned()))
        } else if deadline <= now.mono {
            Err(("too_late", "the time for the operation was over before it began".to_owned()))
        } else {
            self.begin(&operation, ticket, deadline, now)
        };
        if let Err((code, detail)) = begun {
            let failure = Failure { outcome: Outcome::NotApplied, silent: false, code, detail };
            self.outputs.happen(Happening::Progress { ticket, progress: Progress::Failed(failure) });
        }
        self.settle(now);
    }

    fn give_way(&mut self, now: Now) {
        if let Some(waiting) = &mut self.waiting {
            waiting.until = now.mono;
        }
        self.settle(now);
    }

    fn handle_bytes(&mut self, bytes: &[u8], now: Now) {
        self.host.handle_bytes(bytes, now.mono, &mut self.outputs);
        self.settle(now);
    }

    fn handle_timeout(&mut self, now: Now) {
        self.host.handle_timeout(now.mono, &mut self.outputs);
        self.settle(now);
    }

    fn handle_kept(&mut self, records: u64, now: Now) {
        self.kept(records, now);
        self.settle(now);
    }

    fn poll_output(&mut self) -> Option<LineOutput> {
        self.outputs.pop()
    }

    fn poll_timeout(&self) -> Option<Moment> {
        let urgent = self.urgent.then(Moment::default);
        let job = self.job.as_ref().map(Job::due);
        let waiting = self.waiting.as_ref().map(|waiting| waiting.until);
        let more =
            [self.host.poll_timeout(), urgent, job, waiting, self.beat_due(), self.wish_due(), self.keep_due];
        more.into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests;
