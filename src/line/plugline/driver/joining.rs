//! How sockets come: labels, the open window, JOIN-UP answered, and the keys that hold from the first REPORT on.
//!
//! A socket's new keys stand beside the old ones until a genuine REPORT proves that it has them; then they are written
//! to disk, then the socket is told so. Its install key is forgotten when it has shown that it heard this: one that
//! heard no acknowledgement gives its place up and asks again, and is let in again. `protocol-spec/join.md`.

use std::collections::BTreeMap;
use std::time::Duration;

use plugline_protocol::frame::{Frame, MAX_PAYLOAD, MAX_PDU, Options};
use plugline_protocol::label::{Label, LabelError};
use plugline_protocol::messages::{Capabilities, Grant, JoinUp};
use plugline_protocol::security::{Joined, Key, KeySet, Nonces, answer_join, is_from_label};
use plugline_protocol::timing::{JOIN_ATTEMPT_MS, JOIN_COMMIT_MS, TURNAROUND_MIN_US};
use plugline_protocol::{Eui64, Identity, NetworkId, ShortAddress};

use super::super::kept::Network;
use super::super::member::{Link, Member, Own, Reserved, spelled, target_of};
use super::super::options::NoEntropy;
use super::Plugline;
use crate::device::{Moment, Now};
use crate::line::{BadAddress, Failure, Happening, Outcome, Progress, Ticket};

/// The window stays open for this long between two operations of the hub.
const GRACE: Duration = Duration::from_secs(5);
/// Key sets that wait for their first REPORT; the oldest goes. Only sockets whose label is known have one, so that it is
/// as many as labels: a house whose sockets all ask at once loses none.
const PENDING_MAX: usize = LABELS_MAX;
/// Labels that were typed and not used.
const LABELS_MAX: usize = 1024;
/// A key set waits no longer than the socket does.
const PENDING_LIFE: Duration = Duration::from_millis((JOIN_ATTEMPT_MS + JOIN_COMMIT_MS) as u64);
/// A socket that was answered reports within seconds; so much later it seems not to have heard.
const ANSWER_PATIENCE: Duration = Duration::from_secs(60);
/// A JOIN-DOWN that could not start within this time waits for the next JOIN-UP.
const DOWN_LATEST_US: u64 = 1_000_000;

/// Reads an EUI-64: sixteen hex digits, with or without `:`, `-` and spaces.
pub(super) fn parse_eui(text: &str) -> Result<Eui64, BadAddress> {
    let bad = |want| BadAddress { given: text.to_owned(), want };
    if text.trim_start().get(..4).is_some_and(|start| start.eq_ignore_ascii_case("PLG1")) {
        let want =
            "that is a whole code: open a joining window with it; an address is its first sixteen digits";
        return Err(BadAddress { given: "PLG1:…".to_owned(), want });
    }
    let digits: Vec<char> = text.chars().filter(|c| !matches!(c, ':' | '-' | ' ')).collect();
    let wanted = "the address of a socket has sixteen hex digits, as on its label: 02A0B1FFFE001234";
    let number = digits.iter().try_fold(0u64, |number, c| Some(number << 4 | u64::from(c.to_digit(16)?)));
    match number.filter(|_| digits.len() == 16) {
        Some(number @ 1..=0xFFFF_FFFF_FFFF_FFFE) => Ok(Eui64(number.to_be_bytes())),
        Some(_) => Err(bad("no socket has this address; see the label")),
        None => Err(bad(wanted)),
    }
}

/// What is known of sockets that are not in yet.
#[derive(Debug, Default)]
pub(super) struct Joining {
    pub(super) labels: BTreeMap<Eui64, Key>,
    open: Option<(Option<Eui64>, Moment)>,
    pending: BTreeMap<Eui64, Pending>,
    /// The REPORTs that proved new keys, until these are on disk.
    proofs: Vec<(Vec<u8>, u64)>,
    /// Why the last socket that asked was not let in.
    refused: Option<(&'static str, String)>,
}

/// A key set that a socket was given and has not used yet.
#[derive(Debug)]
struct Pending {
    socket_nonce: [u8; 8],
    joined: Joined,
    link: Link,
    capabilities: Capabilities,
    hardware: u16,
    pdu: Vec<u8>,
    since: Moment,
}

/// An operation of the hub that waits for sockets.
#[derive(Debug)]
pub(super) struct Waiting {
    ticket: Ticket,
    only: Option<Eui64>,
    pub(super) until: Moment,
}

impl Joining {
    pub(super) fn new(labels: &[Label]) -> Self {
        let labels = labels.iter().map(|label| (label.eui, label.install_key.clone())).collect();
        Self { labels, ..Self::default() }
    }

    pub(super) fn take_code(&mut self, code: &str) -> Result<Eui64, BadAddress> {
        // What is wrong is said without repeating the code: a key is in it.
        let bad = |want| BadAddress { given: "PLG1:…".to_owned(), want };
        let label = Label::parse(code).map_err(|error| {
            bad(match error {
                LabelError::Prefix => "the code on a label starts with PLG1:",
                LabelError::Character { .. } => "there is a character in it that does not belong in a code",
                LabelError::Length { .. } => "a part of the code is too short or too long",
                LabelError::Check => "the last four characters do not fit: something was mistyped",
            })
        })?;
        if self.labels.len() >= LABELS_MAX && !self.labels.contains_key(&label.eui) {
            return Err(bad("too many codes were typed and not used; restart the gateway"));
        }
        self.labels.insert(label.eui, label.install_key.clone());
        Ok(label.eui)
    }

    fn is_open(&self, eui: Eui64, now: Moment) -> bool {
        self.open.is_some_and(|(only, until)| now <= until && only.is_none_or(|only| only == eui))
    }

    /// A pending socket other than this one was promised the slot.
    pub(super) fn promised(&self, slot: u16, eui: Eui64) -> bool {
        let mut pending = self.pending.iter();
        pending.any(|(other, pending)| *other != eui && pending.joined.grant.slot == Some(slot))
    }

    fn pending_at(&self, short: ShortAddress) -> Option<(Eui64, &Pending)> {
        let mut pending = self.pending.iter();
        pending
            .find(|(_, pending)| pending.joined.identity.short == short)
            .map(|(eui, pending)| (*eui, pending))
    }
}

impl Plugline {
    /// Waits for sockets to ask, or for one of them.
    pub(super) fn open_window(
        &mut self,
        only: Option<Eui64>,
        ticket: Ticket,
        (until, now): (Moment, Moment),
    ) -> Result<(), (&'static str, String)> {
        let settled = |eui: &Eui64| self.unproven(*eui) || !self.joining.labels.contains_key(eui);
        if let Some(eui) = only.filter(settled) {
            if self.member_of(eui).is_some_and(|member| member.keeping.is_none()) {
                self.outputs.happen(Happening::Progress { ticket, progress: Progress::Done });
                return Ok(());
            }
            let detail =
                format!("the key of {} is not known: type the code of its label (PLG1:…)", spelled(eui));
            return Err(("awaits_code", detail));
        }
        if self.joining.open.is_none_or(|(before, until)| before != only || until < now) {
            self.joining.refused = None;
        }
        self.joining.open = Some((only, until + GRACE));
        self.waiting = Some(Waiting { ticket, only, until });
        Ok(())
    }

    /// Ends the wait when its time is over.
    pub(super) fn end_waiting(&mut self, now: Moment) {
        let Some(waiting) = self.waiting.take_if(|waiting| waiting.until <= now) else { return };
        // The window is held open until the hub has had its turn.
        self.joining.open = self.joining.open.map(|(only, _)| (only, now + GRACE));
        let told = self.joining.refused.clone().or_else(|| self.unheard_answer(waiting.only, now));
        let nobody = || {
            let detail = match waiting.only {
                Some(eui) => format!(
                    "nothing was heard from {}: is it plugged in, does it belong to another network? hold its button for ten seconds",
                    spelled(eui)
                ),
                None => "no socket asked to join".to_owned(),
            };
            ("no_device", detail)
        };
        self.end_wait(&waiting, Err(told.unwrap_or_else(nobody)));
    }

    /// Whoever was answered and does not report does not hear it.
    fn unheard_answer(&self, only: Option<Eui64>, now: Moment) -> Option<(&'static str, String)> {
        let mut pending = self.joining.pending.iter();
        let (eui, _) = pending.find(|(eui, pending)| {
            only.is_none_or(|only| only == **eui) && now.since(pending.since) >= ANSWER_PATIENCE
        })?;
        let detail = format!(
            "socket {} asks to join, is answered, and does not report: it seems not to hear the modem; try another outlet, without a filtered power strip or a dimmer near it",
            spelled(*eui)
        );
        Some(("no_report", detail))
    }

    pub(super) fn end_wait(&mut self, waiting: &Waiting, how: Result<(), (&'static str, String)>) {
        let progress = match how {
            Ok(()) => Progress::Done,
            Err((code, detail)) => {
                Progress::Failed(Failure { outcome: Outcome::NotApplied, silent: false, code, detail })
            }
        };
        self.outputs.happen(Happening::Progress { ticket: waiting.ticket, progress });
    }

    fn refuse(&mut self, eui: Eui64, code: &'static str, detail: String) {
        if self.attached.contains(&eui) {
            self.count("foreign");
        } else {
            self.outputs.happen(Happening::Foreign { address: spelled(eui).into() });
        }
        if self.joining.open.is_none_or(|(only, _)| only.is_none_or(|only| only == eui)) {
            self.joining.refused = Some((code, detail.clone()));
        }
        self.notice_once(code, &spelled(eui), detail);
    }

    /// A socket asks to be let in.
    pub(super) fn join_up(&mut self, frame: &Frame<'_>, end_us: u64, now: Now) {
        let Ok(up) = JoinUp::parse(frame) else { return self.count("malformed") };
        let eui = up.eui;
        let name = spelled(eui);
        let open = self.joining.is_open(eui, now.mono) || self.unproven(eui);
        let genuine = self.joining.labels.get(&eui).map(|key| is_from_label(key, frame));
        match genuine {
            Some(true) if open => {}
            Some(true) => {
                let detail = format!("socket {name} asks to join, and no window is open for it");
                return self.refuse(eui, "window_closed", detail);
            }
            Some(false) => {
                self.count("wrong_code");
                let detail = format!(
                    "socket {name} asks to join, and the code that was typed is not its own: compare it with the label"
                );
                return self.refuse(eui, "wrong_code", detail);
            }
            None if self.member_of(eui).is_some() => {
                if let Some(member) = self.member_of_mut(eui) {
                    member.asked_again = true;
                }
                let detail = format!(
                    "socket {name} belongs to this network and asks to join it: it was reset, or another one bears the same label; to let it in, open a window with the code of its label"
                );
                return self.refuse(eui, "joined_already", detail);
            }
            None => {
                let detail = format!("socket {name} asks to join: type the code of its label (PLG1:…)");
                return self.refuse(eui, "awaits_code", detail);
            }
        }
        let key = self.joining.labels.get(&eui).cloned().expect("its tag was checked with it");
        match self.answered(&up, &key, now) {
            Ok(pdu) => {
                let window =
                    (end_us.wrapping_add(TURNAROUND_MIN_US.into()), end_us.wrapping_add(DOWN_LATEST_US));
                self.joining.refused = None;
                if self.host.send(&pdu, window, now.mono, &mut self.outputs).is_none() {
                    self.count("too_busy");
                }
            }
            Err((code, detail)) => self.refuse(eui, code, detail),
        }
    }

    /// The JOIN-DOWN for a JOIN-UP: the same for the same.
    fn answered(&mut self, up: &JoinUp, install: &Key, now: Now) -> Result<Vec<u8>, (&'static str, String)> {
        let eui = up.eui;
        self.joining.pending.retain(|_, pending| now.mono.since(pending.since) <= PENDING_LIFE);
        if let Some(pending) = self.joining.pending.get(&eui).filter(|known| known.socket_nonce == up.nonce) {
            return Ok(pending.pdu.clone());
        }
        let no_entropy = |error: NoEntropy| ("no_entropy", error.to_string());
        self.ensure_network(now)?;
        let gateway: [u8; 8] = self.random().map_err(no_entropy)?;
        let full = || ("network_full", "no short address is left in this network".to_owned());
        let short = self.short_for(eui).ok_or_else(full)?;
        let slot = self.slot_for(eui);
        let network = self.network.as_ref().expect("it was just made");
        let identity = Identity { eui, network: network.id, short };
        let nonces = Nonces { socket: up.nonce, gateway };
        let grant = Grant { group_key: network.group_key.clone(), group_counter: network.group.used, slot };
        let keys = KeySet::joined(install, &identity, &nonces);
        let link = Link::new(&keys, &identity);
        let joined = Joined { identity, keys, grant };
        let mut room = [0; MAX_PDU];
        let pdu = answer_join(&joined, gateway, Options::default(), &mut room);
        let pdu = pdu.expect("a JOIN-DOWN is shorter than the longest PDU").to_vec();
        if self.joining.pending.len() >= PENDING_MAX {
            let oldest =
                self.joining.pending.iter().min_by_key(|(_, pending)| pending.since).map(|(eui, _)| *eui);
            oldest.and_then(|oldest| self.joining.pending.remove(&oldest));
        }
        let (capabilities, hardware) = (up.capabilities, up.hardware);
        let (socket_nonce, since) = (up.nonce, now.mono);
        let kept = pdu.clone();
        let pending = Pending { socket_nonce, joined, link, capabilities, hardware, pdu, since };
        self.joining.pending.insert(eui, pending);
        Ok(kept)
    }

    /// A network of our own, with a name that nobody else was heard under.
    fn ensure_network(&mut self, now: Now) -> Result<(), (&'static str, String)> {
        if self.network.is_some() {
            return Ok(());
        }
        if let Some(other) = self.told_networks.first().filter(|_| !self.options.beside_others) {
            let detail = format!(
                "another Plugline network ({:04X}) is heard on this wiring; to start a second one beside it, set `beside_others = true` on this line",
                other.0
            );
            return Err(("second_network", detail));
        }
        let no_entropy = |error: NoEntropy| ("no_entropy", error.to_string());
        let id = loop {
            let id = NetworkId(u16::from_be_bytes(self.random().map_err(no_entropy)?));
            if id.is_assignable() && !self.told_networks.contains(&id) {
                break id;
            }
        };
        let group_key = Key::new(self.random().map_err(no_entropy)?);
        self.network = Some(Network { id, group_key, group: Reserved::default(), group_age: 0 });
        self.persist(now.mono);
        self.count_superframes(now);
        self.start_beats(now.mono);
        Ok(())
    }

    fn short_for(&self, eui: Eui64) -> Option<ShortAddress> {
        // One that joins again gets another one: whoever has its label too is then heard under the old one.
        let pending = self.joining.pending.get(&eui).map(|pending| pending.joined.identity.short);
        pending.or_else(|| {
            let free = |short: &ShortAddress| {
                !self.members.contains_key(short)
                    && !self.former.contains_key(short)
                    && self.joining.pending_at(*short).is_none()
            };
            (1..u16::MAX).map(ShortAddress).find(free)
        })
    }

    /// A REPORT under new keys makes them count; `true` if this was one.
    pub(super) fn commits(&mut self, frame: &Frame<'_>, end_us: u64, now: Moment) -> bool {
        let Some((eui, pending)) = self.joining.pending_at(frame.short()) else { return false };
        let mut clear = [0; MAX_PAYLOAD];
        if pending.link.up.open(frame, &mut clear).is_err() {
            return false;
        }
        let Some(pending) = self.joining.pending.remove(&eui) else { return false };
        let mut own = Own::new(&pending.joined, pending.capabilities, pending.hardware);
        let mut wanted = self.chosen.get(&eui).copied().unwrap_or_default();
        own.group_age = self.network.as_ref().map_or(0, |network| {
            // The group key may have been replaced since the grant was made.
            let current = network.group_key == pending.joined.grant.group_key;
            network.group_age.wrapping_sub(u8::from(!current))
        });
        let before = self.member_of(eui).map(|before| before.own.identity.short);
        if let Some(before) = before.and_then(|short| self.members.remove(&short)) {
            self.former.insert(before.own.identity.short, eui);
            // The same socket: its registers go on.
            (own.import, own.export, own.extras) = (before.own.import, before.own.export, before.own.extras);
            wanted = before.wanted;
        }
        let mut member = Member::new(own);
        (member.attached, member.wanted, member.heard) = (self.attached.contains(&eui), wanted, Some(now));
        member.unproven = true;
        self.members.insert(member.own.identity.short, member);
        self.persist(now);
        let records = self.records;
        if let Some(member) = self.member_of_mut(eui) {
            member.keeping = Some(records);
        }
        // Acknowledged and told only when a crash cannot lose the keys any more.
        self.joining.proofs.push((frame.pdu().to_vec(), end_us));
        true
    }

    /// It was let in, and may not know it yet.
    fn unproven(&self, eui: Eui64) -> bool {
        self.member_of(eui).is_some_and(|member| member.unproven)
    }

    /// A socket has shown that it knows of its place: its install key is of no use any more.
    pub(super) fn proven(&mut self, short: ShortAddress) {
        let Some(member) = self.members.get_mut(&short).filter(|member| member.unproven) else { return };
        member.unproven = false;
        let eui = member.eui();
        self.joining.labels.remove(&eui);
    }

    /// Records are on disk.
    pub(super) fn kept(&mut self, records: u64, now: Now) {
        self.disk_has(records);
        let settled: Vec<Eui64> = self
            .members
            .values_mut()
            .filter(|member| member.keeping.is_some_and(|record| record <= records))
            .map(|member| {
                member.keeping = None;
                member.eui()
            })
            .collect();
        for eui in &settled {
            let target = target_of(*eui);
            self.outputs.happen(Happening::Joined { target: target.clone() });
            self.outputs.happen(Happening::Learned { target });
            if let Some(member) = self.member_of_mut(*eui) {
                member.attached = true;
            }
            let awaited = |waiting: &mut Waiting| waiting.only.is_none_or(|only| only == *eui);
            if let Some(waiting) = self.waiting.take_if(awaited) {
                self.end_wait(&waiting, Ok(()));
            }
        }
        if self.members.values().all(|member| member.keeping.is_none()) {
            for (pdu, end_us) in std::mem::take(&mut self.joining.proofs) {
                self.hear(&pdu, end_us, now);
            }
        }
    }
}
