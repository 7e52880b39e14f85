//! The one exchange in flight: a COMMAND in a gap between slots, its repeats, and the answer that settles it.

use std::time::Duration;

use plugline_protocol::ShortAddress;
use plugline_protocol::frame::{Frame, MAX_PAYLOAD, MAX_PDU, Options};
use plugline_protocol::hostlink::{Confirm, TxResult};
use plugline_protocol::messages::{Answer, Ask, Command, Extensions, Form, Outcome as Ended, Response};
use plugline_protocol::security::{OpenError, Verdict};
use plugline_protocol::timing::{COMMAND_TRIES, RETRY_SHIFT_MAX_US, TURNAROUND_MAX_US};

use super::super::member::{Member, spelled};
use super::hearing::cause_of;
use super::{Plugline, joining};
use crate::device::{Moment, Now, Target};
use crate::line::{Cause, Failure, Happening, Operation, Outcome, Progress, Ticket};

/// PDU of an ANSWER, and of a RESPONSE with a reading.
const ANSWER_LEN: usize = 12;
const READING_LEN: usize = 35;
/// An answer is here this long after its last octet at the latest: the modem, its port, the operating system.
const PORT_DELAY: Duration = Duration::from_millis(15);
/// A COMMAND that finds no gap within this time goes over a slot: a lost REPORT is in the next one's history.
const GAP_WAIT_US: u64 = 200_000;
/// An answer that is coming has begun this long after the COMMAND's last octet; whoever hears nothing then repeats it.
const BEGUN_US: u64 = TURNAROUND_MAX_US as u64 + 1_000;
/// The early repeat starts within this time from then, on an idle line, or not at all.
const EARLY_FROM_US: u64 = 3_000;
const EARLY_ROOM_US: u64 = 4_000;
/// And may then start this much later, wherever the line is free.
const ANYWHERE_US: u64 = 1_000_000;
/// From the answer's last octet until the command is repeated, the turn-around included.
const ANSWER_WAIT_US: u64 = 30_000;
/// A modem that takes no request is asked again after this long.
const BUSY_PAUSE: Duration = Duration::from_millis(50);
/// A socket that says "not now" is asked again after this long.
const SOCKET_PAUSE: Duration = Duration::from_secs(1);
/// Wrong ANSWERs to one COMMAND after which none is believed any more.
const FORGERIES_MAX: u8 = 16;
/// New COMMANDs for one operation: after "stale" and "not now".
const REISSUES_MAX: u8 = 3;
/// Tries of what nobody waits for.
const OWN_TRIES: u8 = 3;
/// One operation of a joining window lasts no longer.
const ENDING: Duration = Duration::from_secs(3);

/// What is in flight: an operation of the hub, or the driver's own business with a socket (no ticket).
#[derive(Debug)]
pub(super) struct Job {
    pub(super) ticket: Option<Ticket>,
    pub(super) short: ShortAddress,
    pub(super) ask: Ask,
    deadline: Moment,
    counter: u32,
    pdu: Vec<u8>,
    /// Times that it was on the line.
    attempt: u8,
    reissues: u8,
    phase: Phase,
    /// It was on the line at least once, and its fate is not known.
    doubt: bool,
    heard: bool,
    /// Wrong ANSWERs to it.
    forgeries: u8,
    /// Where the relay is wanted, whatever is asked by now.
    wanted: Option<bool>,
    /// The line was not heard yet after it: until then an answer that has begun may last.
    begun: Option<Moment>,
    /// It is with the modem again, to be sent only if nobody has begun to answer.
    early: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Needs a counter whose ceiling is on disk.
    Unsealed,
    /// Goes to the modem then.
    Pause(Moment),
    /// Is with the modem under this number.
    Sending(u8),
    /// Was on the line; the answer is awaited until then.
    Answer(Moment),
}

impl Job {
    pub(super) fn new(ticket: Option<Ticket>, short: ShortAddress, ask: Ask, deadline: Moment) -> Self {
        let wanted = if let Ask::Switch { on } = ask { Some(on) } else { None };
        Self {
            ticket,
            short,
            ask,
            forgeries: 0,
            wanted,
            begun: None,
            early: false,
            deadline,
            counter: 0,
            pdu: Vec::new(),
            attempt: 0,
            reissues: 0,
            phase: Phase::Unsealed,
            doubt: false,
            heard: false,
        }
    }

    pub(super) fn due(&self) -> Moment {
        match self.phase {
            Phase::Pause(at) | Phase::Answer(at) => at.min(self.deadline),
            Phase::Unsealed | Phase::Sending(_) => self.deadline,
        }
    }

    fn tries(&self) -> u8 {
        if self.ticket.is_some() { COMMAND_TRIES } else { OWN_TRIES }
    }

    fn answer_len(&self) -> usize {
        if self.ask == Ask::Read { READING_LEN } else { ANSWER_LEN }
    }
}

impl Plugline {
    /// Begins an operation of the hub.
    pub(super) fn begin(
        &mut self,
        operation: &Operation,
        ticket: Ticket,
        deadline: Moment,
        now: Now,
    ) -> Result<(), (&'static str, String)> {
        let until = |seconds: u16| {
            let wanted = now.mono + Duration::from_secs(seconds.into());
            Moment(wanted.0.min(deadline.0.saturating_sub(ENDING)).max(now.mono.0))
        };
        let (target, ask) = match operation {
            Operation::Discover => {
                return Err((
                    "unsupported",
                    "sockets cannot be called out: they ask by themselves".to_owned(),
                ));
            }
            Operation::Join { seconds } => {
                return self.open_window(None, ticket, (until(*seconds), now.mono));
            }
            Operation::Link { target } => {
                let eui =
                    joining::parse_eui(&target.address).map_err(|bad| ("bad_address", bad.to_string()))?;
                return self.open_window(Some(eui), ticket, (until(10), now.mono));
            }
            Operation::Poll { target, .. } | Operation::Read { target } => (target, Ask::Read),
            Operation::Switch { target, on } => (target, Ask::Switch { on: *on }),
            Operation::Identify { target, seconds } => {
                (target, Ask::Identify { seconds: u8::try_from(*seconds).unwrap_or(u8::MAX) })
            }
        };
        let short = self.joined(target)?;
        if matches!(ask, Ask::Switch { .. }) && !self.members[&short].own.capabilities.relay {
            return Err(("unsupported", format!("{} has no relay", target.address)));
        }
        // What the driver does by itself is done again later.
        if let Some(own) = self.job.take() {
            self.recall(&own);
        }
        self.job = Some(Job::new(Some(ticket), short, ask, deadline));
        Ok(())
    }

    fn joined(&self, target: &Target) -> Result<ShortAddress, (&'static str, String)> {
        let address = &target.address;
        let eui = joining::parse_eui(address).ok().filter(|eui| self.attached.contains(eui));
        let eui = eui.ok_or_else(|| ("not_attached", format!("no device {address} on this line")))?;
        let member = self.member_of(eui).filter(|member| member.keeping.is_none());
        let short = member.map(|member| member.own.identity.short);
        short.ok_or_else(|| {
            let detail =
                format!("{address} has not joined yet: open a joining window with the code of its label");
            ("not_joined", detail)
        })
    }

    /// Takes the job as far as it goes by itself.
    pub(super) fn push_job(&mut self, now: Moment) {
        let Some(mut job) = self.job.take() else { return };
        if job.deadline <= now {
            return self.expire(job, now);
        }
        if job.phase == Phase::Unsealed && self.seal(&mut job) {
            job.phase = Phase::Pause(now);
        }
        match job.phase {
            Phase::Pause(at) if at <= now => self.transmit(&mut job, now),
            Phase::Answer(until) if until <= now => {
                if job.begun.is_some() {
                    self.repeat_early(&mut job, now);
                } else if job.attempt >= job.tries() {
                    return self.unanswered(&job, now);
                } else {
                    self.transmit(&mut job, now);
                }
            }
            _ => {}
        }
        self.job = Some(job);
    }

    /// Puts the command into a frame under a counter of its own; `false` when none is reserved yet.
    fn seal(&mut self, job: &mut Job) -> bool {
        let Some(member) = self.members.get_mut(&job.short) else { return false };
        let Some(counter) = member.own.down.take() else { return false };
        let command = Command { reference: member.own.window.newest(), ask: job.ask.clone() };
        let mut room = [0; MAX_PDU];
        let pdu = member.link.down.seal(Options::default(), counter, &command, &mut room);
        job.pdu = pdu.expect("a COMMAND is shorter than the longest PDU").to_vec();
        job.counter = counter;
        job.attempt = 0;
        true
    }

    fn transmit(&mut self, job: &mut Job, now: Moment) {
        let shift = if job.attempt == 0 { 0 } else { self.shift_us() };
        let from = self.host.clock.at(now).wrapping_add(shift);
        let need =
            self.airtime_us(job.pdu.len()) + u64::from(TURNAROUND_MAX_US) + self.airtime_us(job.answer_len());
        let (_, into) = self.superframe(from);
        let slots: Vec<u16> = self.members.values().filter_map(|member| member.own.slot).collect();
        let gap = self.schedule.and_then(|schedule| schedule.gap(into, need, |slot| slots.contains(&slot)));
        let (start, end) = gap
            .filter(|(start, _)| start - into <= GAP_WAIT_US)
            .map_or((into, into + need + ANYWHERE_US), |(start, end)| {
                (start, end.min(start + need + ANYWHERE_US))
            });
        let not_before = from.wrapping_add(start - into);
        let window = (not_before, not_before.wrapping_add(end - start - need));
        job.phase = match self.host.send(&job.pdu, window, now, &mut self.outputs) {
            Some(number) => Phase::Sending(number),
            None => Phase::Pause(now + BUSY_PAUSE),
        };
    }

    /// Nobody has begun to answer, if the line is idle now: then the COMMAND was lost, and goes again at once.
    fn repeat_early(&mut self, job: &mut Job, now: Moment) {
        let from = self.host.clock.at(now).wrapping_add(EARLY_FROM_US + self.shift_us() / 2);
        let sent = self.host.send(&job.pdu, (from, from.wrapping_add(EARLY_ROOM_US)), now, &mut self.outputs);
        job.early = sent.is_some();
        job.phase = match sent {
            Some(number) => Phase::Sending(number),
            None => Phase::Answer(job.begun.take().unwrap_or(now)),
        };
    }

    fn shift_us(&mut self) -> u64 {
        // Without randomness a repeat goes at once: only the mains cycle is met at the same place again.
        self.random::<2>().map_or(0, |bytes| {
            u64::from(u16::from_be_bytes(bytes)) * u64::from(RETRY_SHIFT_MAX_US) / u64::from(u16::MAX)
        })
    }

    /// The modem is done with a request.
    pub(super) fn request_ended(&mut self, number: u8, confirm: &Confirm, now: Moment) {
        let Some(mut job) = self.job.take_if(|job| job.phase == Phase::Sending(number)) else { return };
        match confirm.result {
            TxResult::Sent => {
                job.attempt += 1;
                job.doubt = true;
                // Where the answer is a longer one, the modem finds the line busy with it.
                let answer = self.airtime_us(job.answer_len());
                let latest = confirm.end_us.wrapping_add(ANSWER_WAIT_US + answer);
                let latest = self.host.clock.moment(latest).max(now) + PORT_DELAY;
                job.early = false;
                let soon = self.host.clock.moment(confirm.end_us.wrapping_add(BEGUN_US)).max(now);
                (job.begun, job.phase) = if job.attempt < job.tries() {
                    (Some(latest), Phase::Answer(soon))
                } else {
                    (None, Phase::Answer(latest))
                };
                let attempt = job.attempt;
                self.progress(&job, Progress::Sent { attempt });
            }
            TxResult::Late if std::mem::take(&mut job.early) => {
                job.phase = Phase::Answer(job.begun.take().unwrap_or(now));
            }
            TxResult::Late => job.phase = Phase::Pause(now),
            TxResult::Full | TxResult::Queued => job.phase = Phase::Pause(now + BUSY_PAUSE),
            TxResult::Bad | TxResult::Cancelled | TxResult::Other => return self.lost(job, now),
        }
        self.job = Some(job);
    }

    /// The modem lost a request.
    pub(super) fn lost(&mut self, mut job: Job, now: Moment) {
        job.doubt |= matches!(job.phase, Phase::Sending(_));
        if self.host.up() && !matches!(job.phase, Phase::Sending(_)) {
            // It had not gone out, or its answer may still come.
            job.phase = Phase::Pause(now);
            self.job = Some(job);
            return;
        }
        self.fail(
            &job,
            "modem_reset",
            "the modem lost the command: it started anew or does not answer".to_owned(),
            false,
        );
        self.leave_unsure(&job);
        self.wish_failed(&job, now);
    }

    /// An ANSWER: it settles the command in flight, or is nothing.
    pub(super) fn answer(&mut self, frame: &Frame<'_>, now: Now) {
        let believed =
            |job: &mut Job| job.short == frame.short() && job.attempt > 0 && job.forgeries < FORGERIES_MAX;
        let Some(mut job) = self.job.take_if(believed) else {
            return self.count("stray");
        };
        let Some(member) = self.members.get(&job.short) else { return };
        match member.link.short.open_answer(frame, job.counter) {
            Ok(answer) => {
                self.recall(&job);
                job.heard = true;
                self.proven(job.short);
                self.alive(job.short, now.mono);
                if let Some(job) = self.ended(job, answer, None, now.mono) {
                    self.job = Some(job);
                }
                return;
            }
            Err(OpenError::NotForUs) => self.count("stray"),
            Err(_) => {
                self.count("forged");
                job.forgeries += 1;
                if job.forgeries == FORGERIES_MAX {
                    // Somebody is guessing: the relay is asked for under a tag that cannot be guessed.
                    job.ask = Ask::Read;
                    job.phase = if self.seal(&mut job) { Phase::Pause(now.mono) } else { Phase::Unsealed };
                }
            }
        }
        self.job = Some(job);
    }

    /// A RESPONSE: figures, or why not.
    pub(super) fn response(&mut self, frame: &Frame<'_>, now: Now) {
        let short = frame.short();
        if self.members.get(&short).is_none_or(|member| member.keeping.is_some()) {
            return self.count("unknown");
        }
        let mut clear = [0; MAX_PAYLOAD];
        let Some((clear, counter, newest)) = self.opened(short, frame, &mut clear) else { return };
        let Ok(response) = Response::parse(clear) else { return self.count("malformed") };
        let Some(verdict) = self.judged(short, counter, now.mono) else { return };
        if verdict != Verdict::Fresh {
            return;
        }
        self.proven(short);
        let mut relay_on = None;
        if let (Form::Reading(raw), true) = (response.form, counter > newest) {
            let Some(member) = self.members.get_mut(&short) else { return };
            let (figures, _, keep) = member.figures(&raw, Extensions::NONE);
            self.urgent |= keep;
            relay_on = Some((raw.flags.relay_on, cause_of(raw.flags.cause)));
            self.tell_figures(short, &raw, figures);
        }
        let fits = |job: &mut Job| {
            job.short == short && job.attempt > 0 && job.counter as u16 == response.command_low
        };
        let Some(mut job) = self.job.take_if(fits) else { return self.count("stray") };
        self.recall(&job);
        job.heard = true;
        let on = relay_on.is_some_and(|(on, _)| on);
        let answer = Answer { outcome: response.outcome, relay_on: on };
        if let Some(job) = self.ended(job, answer, relay_on, now.mono) {
            self.job = Some(job);
        }
    }

    /// A socket said how the command ended; gives the job back when it is not over.
    fn ended(
        &mut self,
        mut job: Job,
        answer: Answer,
        told: Option<(bool, Cause)>,
        now: Moment,
    ) -> Option<Job> {
        let again = match answer.outcome {
            Ended::Stale => Some(Duration::ZERO),
            Ended::Busy => Some(SOCKET_PAUSE),
            _ => None,
        };
        if let Some(pause) = again.filter(|_| job.reissues < REISSUES_MAX) {
            // Said genuinely: nothing was done. The next one has a counter and a reference of its own.
            job.reissues += 1;
            job.doubt = false;
            job.phase = if self.seal(&mut job) { Phase::Pause(now + pause) } else { Phase::Unsealed };
            return Some(job);
        }
        let member = self.members.get(&job.short)?;
        let (target, has_relay) = (member.target(), member.own.capabilities.relay);
        if answer.outcome == Ended::Done && told.is_none() && has_relay && job.ask != Ask::Leave {
            let cause = if matches!(job.ask, Ask::Switch { .. }) { Cause::Command } else { Cause::Poll };
            self.outputs.happen(Happening::Relay { target: target.clone(), on: answer.relay_on, cause });
        }
        let name = &target.address;
        let refused = match (answer.outcome, &job.ask) {
            (Ended::Done, _) if job.wanted.is_some_and(|on| on != answer.relay_on) => {
                Some(("not_shown", format!("{name} says that it is done, and its relay stays where it was")))
            }
            (Ended::Done, _) => None,
            (Ended::Unsupported, ask) => {
                Some(("unsupported", format!("{name} does not know `{}`", ask.name())))
            }
            (Ended::Refused, Ask::Switch { .. }) => Some((
                "refused",
                format!(
                    "{name} refuses: it opened its relay because of too much current; press its button first"
                ),
            )),
            (Ended::Refused, ask) => Some(("refused", format!("{name} refuses `{}`", ask.name()))),
            (Ended::Busy, _) => Some(("busy", format!("{name} is busy"))),
            (outcome, ask) => {
                Some(("refused", format!("{name} answers `{}` with `{}`", ask.name(), outcome.name())))
            }
        };
        job.doubt = false;
        match refused {
            None => {
                self.progress(&job, Progress::Done);
                self.wish_done(&job);
            }
            Some((code, detail)) => {
                self.fail(&job, code, detail.clone(), false);
                self.wish_refused(&job, detail, now);
            }
        }
        None
    }

    fn unanswered(&mut self, job: &Job, now: Moment) {
        let detail =
            format!("{} did not answer `{}` ({} tries)", self.name(job), job.ask.name(), job.attempt);
        self.fail(job, "no_answer", detail, !job.heard);
        self.leave_unsure(job);
        self.wish_failed(job, now);
    }

    /// Nobody knows whether it was done: the socket is asked when it is next heard, and the command is then out of
    /// reach for good.
    fn leave_unsure(&mut self, job: &Job) {
        if let Some(member) = self.members.get_mut(&job.short).filter(|_| job.doubt && job.ask != Ask::Read) {
            member.unsure = true;
        }
    }

    /// Takes back what waits in the modem.
    fn recall(&mut self, job: &Job) {
        if let Phase::Sending(number) = job.phase {
            self.host.cancel(number, &mut self.outputs);
        }
    }

    fn expire(&mut self, mut job: Job, now: Moment) {
        self.recall(&job);
        job.doubt |= matches!(job.phase, Phase::Sending(_));
        let (name, ask) = (self.name(&job), job.ask.name());
        let (code, detail) = match job.phase {
            Phase::Unsealed => {
                ("storage", format!("`{ask}` for {name} waited for the disk until its time was over"))
            }
            Phase::Pause(_) if job.attempt == 0 => {
                ("too_late", format!("the line was never free for `{ask}` to {name}"))
            }
            _ => ("no_answer", format!("{name} did not answer `{ask}` in time ({} tries)", job.attempt)),
        };
        let silent = code == "no_answer" && !job.heard;
        self.fail(&job, code, detail, silent);
        self.leave_unsure(&job);
        self.wish_failed(&job, now);
    }

    fn name(&self, job: &Job) -> String {
        self.members.get(&job.short).map(Member::eui).map_or_else(String::new, spelled)
    }

    fn progress(&mut self, job: &Job, progress: Progress) {
        if let Some(ticket) = job.ticket {
            self.outputs.happen(Happening::Progress { ticket, progress });
        }
    }

    pub(super) fn fail(&mut self, job: &Job, code: &'static str, detail: String, silent: bool) {
        let in_flight = matches!(job.phase, Phase::Sending(_) | Phase::Answer(_));
        let outcome =
            if job.doubt && (in_flight || job.attempt > 0) { Outcome::Unknown } else { Outcome::NotApplied };
        self.progress(job, Progress::Failed(Failure { outcome, silent, code, detail }));
    }
}
