//! Making links: with a device known by its label, and with one whose button is held.
//!
//! ```text
//! 0D ─▶ (64 01 g ─▶ 09 g ─▶ 53) ─▶ 10 00 ─▶ (64 00 g ─▶ 09 g ─▶ 53) for each group ─▶ joined
//! ```
//!
//! The modem must control each group to switch it; it must obey it to hear of presses. A device that will not make
//! the second sort is joined without it, and a person is told. When one of the first sort fails, those that were made
//! for it are taken out of the modem again.

use super::super::exchange::{Answer, Exchange, Wants};
use super::super::frame::Command;
use super::super::message::{Address, LinkRecord, NakReason, Outgoing};
use super::super::options::Kind;
use super::operation::product;
use super::{Insteon, Job, Work};
use crate::device::{Moment, Target};
use crate::line::{Happening, Progress};

const ENGINE: u8 = 0x0D;
const ENTER_LINKING: u8 = 0x09;
const MODE_RESPONDER: u8 = 0x00;
const MODE_CONTROLLER: u8 = 0x01;
/// Code of a link that was taken away.
const DELETED: u8 = 0xFF;
const DELETE_RECORD: u8 = 0x80;
const AS_CONTROLLER: u8 = 0xE2;
const AS_RESPONDER: u8 = 0xA2;

/// One link: the modem controls a group, or obeys it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Leg {
    controls: bool,
    group: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Which engine? Old ones take no extended messages.
    Engine,
    /// The modem waits for a partner.
    Start,
    /// The device becomes one.
    Enter,
    /// What is it?
    Product,
    /// A link is taken back.
    Undo,
}

/// A device on its way to being linked.
#[derive(Debug)]
pub(super) struct Linking {
    target: Target,
    address: Address,
    step: Step,
    leg: Leg,
    /// How often this link was begun.
    begun: u8,
    /// Made, or given up.
    passed: Vec<Leg>,
    /// Made just now, and not there before.
    fresh: Vec<Leg>,
    /// It understands standard messages only.
    plain: bool,
    unheard: bool,
    failure: Option<(&'static str, String)>,
}

impl Linking {
    fn new(target: Target, address: Address) -> Self {
        Self {
            target,
            address,
            step: Step::Engine,
            leg: Leg { controls: true, group: 1 },
            begun: 0,
            passed: Vec::new(),
            fresh: Vec::new(),
            plain: false,
            unheard: false,
            failure: None,
        }
    }

    pub(super) fn address(&self) -> Address {
        self.address
    }

    /// What is under way is not simply sent again when nothing comes: a link begins anew with both ends, as another
    /// device may have taken the modem's place in it; and one can do without knowing the product.
    pub(super) fn once(&self) -> bool {
        matches!(self.step, Step::Enter | Step::Product)
    }
}

fn engine(address: Address) -> Exchange {
    Exchange::send(Outgoing::standard(address, ENGINE, 0), Wants::Ack)
}

/// How linking with a device by its label begins.
pub(super) fn first_question(target: &Target, address: Address) -> (Work, Exchange) {
    (Work::Link(Linking::new(target.clone(), address)), engine(address))
}

impl Insteon {
    /// The modem made or lost a link.
    pub(super) fn link_completed(
        &mut self,
        code: u8,
        group: u8,
        (id, product): (Address, [u8; 3]),
        now: Moment,
    ) {
        let controls = code == MODE_CONTROLLER;
        self.modem.linking = false;
        self.restart_dump();
        let leg = Leg { controls, group };
        let fresh = self.kept.whole && !self.has_link(leg, id);
        if code == DELETED {
            self.kept.remove_link(true, group, id);
            self.kept.remove_link(false, group, id);
        } else {
            self.kept.add_link(controls, group, id, product);
        }
        self.kept.learn(id, product);
        self.persist();
        self.relearn();
        let Some(mut job) = self.job.take() else { return self.told(id) };
        let heard = job.exchange.linked(controls, group, id);
        if let (Work::Link(linking), true, true) = (&mut job.work, fresh, code != DELETED) {
            linking.fresh.push(leg);
        }
        self.job = if code == DELETED { Some(job) } else { self.follow(job, heard, now) };
    }

    fn has_link(&self, leg: Leg, id: Address) -> bool {
        let mut links = self.kept.links.iter();
        links.any(|link| (link.id, link.group, link.controller()) == (id, leg.group, leg.controls))
    }

    pub(super) fn link_on(&mut self, mut job: Job, answer: Answer, now: Moment) -> Option<Job> {
        let Work::Link(linking) = &mut job.work else { return self.joined_by_button(job, answer, now) };
        let address = linking.address;
        match (linking.step, answer) {
            (Step::Engine, Answer::Acknowledged(version)) => linking.plain = version == 0,
            // An i2CS device says so to everybody who is not linked yet.
            (Step::Engine, Answer::Nak(NakReason::NotLinked)) => {}
            (Step::Start, Answer::Taken(_)) => return self.enter_linking(job, now),
            (Step::Enter, Answer::Linked { controls, group, .. }) => {
                linking.passed.push(Leg { controls, group });
                self.progress(&job, Progress::Acknowledged);
                if self.kind_of(address).is_none()
                    && let Work::Link(linking) = &mut job.work
                {
                    linking.step = Step::Product;
                    return self.ask(job, product(address), now, now);
                }
            }
            (Step::Product, Answer::Product(product)) => self.learn(address, product),
            // A device that does not say what it is can be linked all the same.
            (Step::Product, Answer::Silent | Answer::Nak(_)) => {}
            (Step::Undo, _) => return self.undo(job, now),
            (_, Answer::Mute | Answer::Busy) => {
                self.fail_by(&job, answer);
                return None;
            }
            (_, answer) => return self.leg_failed(job, answer, now),
        }
        self.next_leg(job, now)
    }

    /// Somebody held a button, or nobody did.
    fn joined_by_button(&mut self, mut job: Job, answer: Answer, now: Moment) -> Option<Job> {
        match answer {
            Answer::Linked { controls, group, id } => {
                let target = Target { address: id.to_string().into(), channel: None };
                let mut linking = Linking::new(target, id);
                linking.passed.push(Leg { controls, group });
                job.work = Work::Link(linking);
                return self.ask(job, engine(id), now, now);
            }
            Answer::Silent => self.fail(&job, "no_device", "nobody held the button of a device".to_owned()),
            answer => self.fail_by(&job, answer),
        }
        None
    }

    fn groups_of(&self, linking: &Linking) -> std::ops::RangeInclusive<u8> {
        let dual = linking.target.channel.is_some() || self.kind_of(linking.address) == Some(Kind::Dual);
        1..=if dual { 2 } else { 1 }
    }

    fn next_leg(&mut self, mut job: Job, now: Moment) -> Option<Job> {
        let Work::Link(linking) = &job.work else { return Some(job) };
        let pushes = self.kind_of(linking.address) != Some(Kind::Meter);
        let legs =
            self.groups_of(linking).flat_map(|group| [true, false].map(|controls| Leg { controls, group }));
        let mut wanted = legs.filter(|leg| leg.controls || pushes);
        let Some(leg) = wanted.find(|leg| !linking.passed.contains(leg)) else { return self.linked(&job) };
        if let Work::Link(linking) = &mut job.work {
            (linking.leg, linking.begun) = (leg, 0);
        }
        self.begin_leg(job, now)
    }

    fn begin_leg(&mut self, mut job: Job, now: Moment) -> Option<Job> {
        let Work::Link(linking) = &mut job.work else { return Some(job) };
        linking.step = Step::Start;
        linking.begun += 1;
        let mode = if linking.leg.controls { MODE_CONTROLLER } else { MODE_RESPONDER };
        let command = Command::StartLinking { mode, group: linking.leg.group };
        self.ask(job, Exchange::new(command, Wants::Echo), now, now)
    }

    fn enter_linking(&mut self, mut job: Job, now: Moment) -> Option<Job> {
        let Work::Link(linking) = &mut job.work else { return Some(job) };
        linking.step = Step::Enter;
        job.resummed = false;
        let (address, Leg { controls, group }) = (linking.address, linking.leg);
        let outgoing = if linking.plain {
            Outgoing::standard(address, ENTER_LINKING, group)
        } else {
            Outgoing::extended(address, ENTER_LINKING, group, [0; 13])
        };
        self.ask(job, Exchange::send(outgoing, Wants::Link { controls, group }), now, now)
    }

    /// A link was not made: without hearing of presses a device is still of use, without obeying it is not.
    fn leg_failed(&mut self, mut job: Job, answer: Answer, now: Moment) -> Option<Job> {
        let tries = self.options.tries;
        if let Work::Link(linking) = &job.work
            && (linking.step, answer) == (Step::Enter, Answer::Silent)
            && linking.leg.controls
            && linking.begun < tries
        {
            return self.begin_leg(job, now);
        }
        let (code, detail) = match answer {
            Answer::Refused => {
                let detail = "the modem refuses another link: its link database may be full";
                ("modem_refused", detail.to_owned())
            }
            Answer::Silent if job.exchange.acknowledged() => {
                let detail = "the device agreed and the modem made no link: its link database may be full";
                ("link_incomplete", detail.to_owned())
            }
            answer => self.why(&job, answer),
        };
        let Work::Link(linking) = &mut job.work else { return Some(job) };
        if linking.step != Step::Engine && !linking.leg.controls {
            linking.passed.push(linking.leg);
            linking.unheard = true;
            return self.next_leg(job, now);
        }
        linking.failure = Some((code, detail));
        linking.step = Step::Undo;
        self.undo(job, now)
    }

    /// Takes the next of the links just made out of the modem, or ends.
    fn undo(&mut self, mut job: Job, now: Moment) -> Option<Job> {
        let Work::Link(linking) = &mut job.work else { return Some(job) };
        let id = linking.address;
        let Some(Leg { controls, group }) = linking.fresh.pop() else {
            let silent = linking.step == Step::Undo && !job.heard && job.doubt;
            let (code, detail) = linking.failure.take().unwrap_or(("no_answer", String::new()));
            job.doubt = false;
            let outcome = crate::line::Outcome::NotApplied;
            let failure = crate::line::Failure { outcome, silent, code, detail };
            self.progress(&job, Progress::Failed(failure));
            return None;
        };
        self.kept.remove_link(controls, group, id);
        self.persist();
        let flags = if controls { AS_CONTROLLER } else { AS_RESPONDER };
        let record = LinkRecord { flags, group, id, data: [0; 3] };
        let command = Command::ManageLink { action: DELETE_RECORD, record };
        self.ask(job, Exchange::new(command, Wants::Echo), now, now)
    }

    fn linked(&mut self, job: &Job) -> Option<Job> {
        let Work::Link(linking) = &job.work else { return None };
        let channels = self.groups_of(linking);
        let channels: Vec<Option<u8>> =
            if *channels.end() > 1 { channels.map(Some).collect() } else { vec![None] };
        let address = &linking.target.address;
        for channel in channels {
            let target = Target { address: linking.address.to_string().into(), channel };
            self.outputs.happen(Happening::Joined { target });
        }
        if linking.unheard {
            let detail = format!(
                "{address} is linked, but does not tell of presses of its button; it is asked instead"
            );
            self.notice("presses_unheard", detail);
        }
        self.progress(job, Progress::Done);
        None
    }
}
