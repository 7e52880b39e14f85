//! How an operation goes on: from its first command, answer by answer or silence by silence, to its end.

use std::time::Duration;

use super::super::exchange::{Answer, BUSY_PAUSE, Exchange, Wants};
use super::super::frame::Command;
use super::super::message::{Address, NakReason, Outgoing};
use super::super::options::Kind;
use super::hearing::WAY_TO_LINK;
use super::linking::first_question;
use super::{Insteon, Job, Work};
use crate::device::{Moment, Target};
use crate::line::{Cause, Failure, Operation, Outcome, Progress};

const ON: [u8; 2] = [0x11, 0xFF];
const OFF: [u8; 2] = [0x13, 0x00];
/// The maker's notes of the 2663 give the lower outlet level 01, not FF.
const ON_BOTTOM: [u8; 2] = [0x11, 0x01];
/// D1 of the lower outlet.
const BOTTOM: u8 = 2;
const STATUS: u8 = 0x19;
const ID_REQUEST: u8 = 0x10;
const METER: u8 = 0x82;
const BEEP: u8 = 0x30;
/// Between two beeps.
const BEEP_PERIOD: Duration = Duration::from_secs(2);
/// Time kept before a deadline to bring an operation to its end.
const ENDING: Duration = Duration::from_secs(3);
/// A relay that does not stand where it should is looked at so often, with this wait between.
const LOOKS_MAX: u8 = 2;
const LOOK_PAUSE: Duration = Duration::from_secs(1);
/// Either role: whoever held its button first controls.
const LINK_EITHER: u8 = 0x03;

/// A relay on its way.
#[derive(Debug)]
pub(super) struct Switching {
    target: Target,
    on: bool,
    /// Level asked, which a good acknowledgement repeats.
    level: u8,
    both: bool,
    looks: u8,
}

impl Switching {
    /// The command is out of the way: from here on, the relay is looked at.
    pub(super) fn confirming(&self) -> bool {
        self.looks > 0
    }
}

/// Asks for the level of a relay, or for the bits of both.
fn status(address: Address, both: bool) -> Exchange {
    Exchange::send(Outgoing::standard(address, STATUS, u8::from(both)), Wants::Status { both })
}

pub(super) fn product(address: Address) -> Exchange {
    Exchange::send(Outgoing::standard(address, ID_REQUEST, 0), Wants::Product)
}

/// Where a relay stands by its level, or by the bits of both.
fn stands(target: &Target, level: u8, both: bool) -> bool {
    match target.channel {
        Some(2) if both => level & 2 != 0,
        _ if both => level & 1 != 0,
        _ => level != 0,
    }
}

type Prepared = Result<(Work, Exchange), (&'static str, String)>;

impl Insteon {
    /// The first command of an operation.
    pub(super) fn prepare(&mut self, operation: &Operation, deadline: Moment, now: Moment) -> Prepared {
        let until = |seconds: u16| {
            let wanted = now + Duration::from_secs(seconds.into());
            Moment(wanted.0.min(deadline.0.saturating_sub(ENDING)).max(now.0))
        };
        match operation {
            Operation::Discover => Err(("unsupported", "INSTEON devices cannot be called out".to_owned())),
            Operation::Join { seconds } => {
                let command = Command::StartLinking { mode: LINK_EITHER, group: 1 };
                Ok((Work::Join, Exchange::new(command, Wants::AnyLink { until: until(*seconds) })))
            }
            Operation::Link { target } => match Address::parse(&target.address) {
                Some(address) => Ok(first_question(target, address)),
                None => Err(("bad_address", format!("`{}` is no INSTEON address", target.address))),
            },
            Operation::Poll { target, .. } | Operation::Read { target } => self.question(target),
            Operation::Switch { target, on } => self.switch(target, *on),
            Operation::Identify { target, seconds } => {
                let exchange =
                    Exchange::send(Outgoing::standard(self.attached(target)?, BEEP, 0), Wants::Ack);
                Ok((Work::Beep { until: until(*seconds) }, exchange))
            }
        }
    }

    fn attached(&self, target: &Target) -> Result<Address, (&'static str, String)> {
        let address = Address::parse(&target.address).filter(|address| {
            let device = self.devices.get(address);
            device.is_some_and(|device| device.attached.iter().any(|(known, _)| known == target))
        });
        address.ok_or_else(|| ("not_attached", format!("no device {} on this line", target.address)))
    }

    fn question(&self, target: &Target) -> Prepared {
        let address = self.attached(target)?;
        match self.kind_of(address) {
            None => Ok((Work::Product, product(address))),
            Some(Kind::Meter) => {
                let query = Outgoing::standard(address, METER, 0);
                Ok((Work::Meter, Exchange::send(query, Wants::Meter)))
            }
            Some(kind @ (Kind::Outlet | Kind::Dual)) => {
                let both = kind == Kind::Dual;
                Ok((Work::Status { both }, status(address, both)))
            }
            Some(Kind::Other) => Err(("unsupported", format!("{address} tells nothing when it is asked"))),
        }
    }

    fn switch(&self, target: &Target, on: bool) -> Prepared {
        let address = self.attached(target)?;
        let kind = self.kind_of(address);
        let bottom = kind == Some(Kind::Dual) && target.channel == Some(2);
        let [cmd1, cmd2] = match (on, bottom) {
            (true, false) => ON,
            (true, true) => ON_BOTTOM,
            (false, _) => OFF,
        };
        let outgoing = match kind {
            Some(Kind::Outlet | Kind::Dual) if bottom => {
                let mut data = [0; 13];
                data[0] = BOTTOM;
                Outgoing::extended(address, cmd1, cmd2, data)
            }
            Some(Kind::Outlet | Kind::Dual) => Outgoing::standard(address, cmd1, cmd2),
            Some(_) => return Err(("unsupported", format!("{address} has no relay"))),
            None => return Err(("unsupported", format!("{address} has not said yet what it is"))),
        };
        let both = kind == Some(Kind::Dual);
        let switching = Switching { target: target.clone(), on, level: cmd2, both, looks: 0 };
        Ok((Work::Switch(switching), Exchange::send(outgoing, Wants::Ack)))
    }

    fn tries(&self, job: &Job) -> u8 {
        match &job.work {
            Work::Probe | Work::Config | Work::Dump | Work::CancelLinking | Work::Join => 1,
            Work::Link(linking) if linking.once() => 1,
            _ => self.options.tries.max(1),
        }
    }

    /// Takes a job one step further; `None` when it has ended.
    pub(super) fn answered(&mut self, mut job: Job, answer: Answer, now: Moment) -> Option<Job> {
        // A level does not say what it answers: under a second voice it may be another question's.
        let device = job.exchange.to().and_then(|address| self.devices.get(&address));
        let quiet_at = device.map(|device| device.disturbed_until).unwrap_or_default();
        let doubtful = matches!(answer, Answer::Level(_)) && quiet_at > now;
        let answer = if doubtful { Answer::Silent } else { answer };
        if !job.exchange.echoed
            && !matches!(answer, Answer::Refused | Answer::Busy | Answer::Mute | Answer::Silent)
        {
            self.sent(&mut job);
        }
        let open = job.exchange.unsure() || matches!(answer, Answer::Silent | Answer::Mute);
        job.doubt |= open && !matches!(job.work, Work::Join);
        let more = job.exchange.attempt < self.tries(&job);
        let wait = match answer {
            Answer::Silent if doubtful => Some(quiet_at.since(now)),
            Answer::Silent => Some(Duration::ZERO),
            Answer::Busy => Some(BUSY_PAUSE),
            _ => None,
        };
        if let Some(wait) = wait.filter(|_| more) {
            job.exchange.again();
            self.hold(&mut job, now + wait);
            return Some(job);
        }
        if answer == Answer::Nak(NakReason::BadChecksum) && !std::mem::replace(&mut job.resummed, true) {
            self.hold(&mut job, now);
            return Some(job);
        }
        if !matches!(job.work, Work::Link(_)) {
            self.tell_unlinked(answer, job.exchange.to());
        }
        self.leave_late(&job, answer != Answer::Silent, now);
        if matches!(answer, Answer::Mute | Answer::Busy) {
            self.doubt_modem(now);
        }
        match &job.work {
            Work::Probe | Work::Config | Work::Dump | Work::CancelLinking => self.tended(job, answer, now),
            Work::Join | Work::Link(_) => self.link_on(job, answer, now),
            Work::Switch(_) => self.switch_on(job, answer, now),
            Work::Beep { until } => {
                let until = *until;
                self.beep_on(job, answer, until, now)
            }
            Work::Status { .. } | Work::Meter | Work::Product => {
                self.read_on(&job, answer);
                None
            }
        }
    }

    fn read_on(&mut self, job: &Job, answer: Answer) {
        let Some(address) = job.exchange.to() else { return };
        match (&job.work, answer) {
            (Work::Status { both }, Answer::Level(level)) => {
                self.show(address, |target| Some((stands(target, level, *both), Cause::Poll)));
            }
            (Work::Meter, Answer::Figures(data)) => self.show_figures(address, &data),
            (Work::Product, Answer::Product(product)) => self.learn(address, product),
            (_, answer) => return self.fail_by(job, answer),
        }
        self.progress(job, Progress::Done);
    }

    fn switch_on(&mut self, mut job: Job, answer: Answer, now: Moment) -> Option<Job> {
        let (Work::Switch(switching), Some(address)) = (&mut job.work, job.exchange.to()) else {
            return Some(job);
        };
        let (target, on, both) = (switching.target.clone(), switching.on, switching.both);
        match answer {
            Answer::Acknowledged(level) => {
                let settled = level == switching.level;
                switching.looks = 1;
                job.doubt = true;
                self.progress(&job, Progress::Acknowledged);
                if !settled {
                    return self.ask(job, status(address, both), now, now);
                }
                self.show(address, |shown| (*shown == target).then_some((on, Cause::Command)));
                self.progress(&job, Progress::Done);
            }
            Answer::Level(level) => {
                let done = stands(&target, level, both) == on;
                switching.looks += 1;
                let look_again = !done && switching.looks <= LOOKS_MAX;
                self.show(address, |shown| {
                    let cause = if done && *shown == target { Cause::Command } else { Cause::Poll };
                    Some((stands(shown, level, both), cause))
                });
                if look_again {
                    return self.ask(job, status(address, both), now + LOOK_PAUSE, now);
                }
                if done {
                    self.progress(&job, Progress::Done);
                } else {
                    job.doubt = false;
                    let detail = format!("{address} acknowledged, and its relay stays where it was");
                    self.fail(&job, "not_shown", detail);
                }
            }
            answer => self.fail_by(&job, answer),
        }
        None
    }

    fn beep_on(&mut self, mut job: Job, answer: Answer, until: Moment, now: Moment) -> Option<Job> {
        match answer {
            Answer::Acknowledged(_) => {
                self.progress(&job, Progress::Acknowledged);
                if now + BEEP_PERIOD < until {
                    job.exchange = Exchange::new(job.exchange.command, Wants::Ack);
                    self.hold(&mut job, now + BEEP_PERIOD);
                    return Some(job);
                }
                self.progress(&job, Progress::Done);
            }
            Answer::Nak(reason) if reason != NakReason::NotLinked => {
                let detail = format!("{} cannot beep ({})", self.asked(&job), reason.name());
                self.fail(&job, "unsupported", detail);
            }
            answer => self.fail_by(&job, answer),
        }
        None
    }

    /// Ends an operation by an answer that is none.
    pub(super) fn fail_by(&mut self, job: &Job, answer: Answer) {
        let (code, detail) = self.why(job, answer);
        let silent = answer == Answer::Silent && !job.heard;
        let outcome = if job.doubt { Outcome::Unknown } else { Outcome::NotApplied };
        self.progress(job, Progress::Failed(Failure { outcome, silent, code, detail }));
    }

    /// Why an answer ends an operation, with a stable word.
    pub(super) fn why(&self, job: &Job, answer: Answer) -> (&'static str, String) {
        let asked = self.asked(job);
        let attempt = job.exchange.attempt;
        match answer {
            Answer::Nak(reason) => {
                let (code, why) = match reason {
                    NakReason::NotLinked => {
                        ("not_linked", format!("it does not know this modem; {WAY_TO_LINK}"))
                    }
                    NakReason::NoLoad => ("no_load", "it finds no load".to_owned()),
                    NakReason::BadChecksum => {
                        ("checksum", "it finds the message's sum wrong, twice".to_owned())
                    }
                    NakReason::IllegalValue => {
                        ("illegal_value", "it finds the value out of range".to_owned())
                    }
                    NakReason::PreNak => ("refused", "it is still searching its links".to_owned()),
                    NakReason::Other(byte) => ("refused", format!("reason {byte:02x}")),
                };
                (code, format!("{asked} was refused: {why}"))
            }
            Answer::Busy => ("modem_busy", format!("the modem took no command ({attempt} rounds of eight)")),
            Answer::Mute => ("modem_silent", format!("the modem did not repeat the command for {asked}")),
            Answer::Refused => ("modem_refused", format!("the modem refused the command for {asked}")),
            _ if job.exchange.acknowledged() => {
                ("no_answer", format!("{asked} was acknowledged, and nothing came ({attempt} tries)"))
            }
            _ => ("no_answer", format!("nobody answered ({asked}, {attempt} tries)")),
        }
    }

    /// What is in flight, for people.
    pub(super) fn asked(&self, job: &Job) -> String {
        let what = match &job.work {
            Work::Probe | Work::Config | Work::CancelLinking => return "the modem".to_owned(),
            Work::Dump => return "the modem's links".to_owned(),
            Work::Join => return "a device to join".to_owned(),
            Work::Status { .. } => "status",
            Work::Meter => "figures",
            Work::Product => "product",
            Work::Switch(switching) if switching.confirming() => "status",
            Work::Switch(switching) if switching.on => "on",
            Work::Switch(_) => "off",
            Work::Beep { .. } => "beep",
            Work::Link(linking) => return format!("link with {}", linking.address()),
        };
        job.exchange.to().map_or_else(|| what.to_owned(), |address| format!("{what} of {address}"))
    }
}
