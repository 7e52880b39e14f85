//! How an operation goes on: from its first question, answer by answer or silence by silence, to its end.

use super::super::decode::error_words;
use super::super::exchange::{Answer, Exchange, Phase};
use super::super::frame::{Address, Request};
use super::super::item::{STATUS_WORD_3, item_name, parse_item};
use super::super::options::Options;
use super::super::plan::PAUSE;
use super::super::switching::{Next, Shown, Switching, relay_request};
use super::{Dlt645, Job, Work, not_started, silence};
use crate::device::{Moment, Now, Target};
use crate::line::{Cause, Failure, Happening, LineOutput, Operation, Progress, Value};

/// Bit of an error reply: the meter does not have what was asked for.
const NO_SUCH_DATA: u8 = 1 << 1;

impl Dlt645 {
    /// The first question of an operation.
    pub(super) fn prepare(
        &self,
        operation: Operation,
        now: Now,
    ) -> Result<(Address, Work, Request), Failure> {
        let target = match &operation {
            Operation::Discover => {
                return Ok((Address::ANY, Work::Discover { found: false }, Request::read_address()));
            }
            Operation::Poll { target, .. }
            | Operation::Read { target }
            | Operation::Switch { target, .. } => target,
            Operation::Join { .. } | Operation::Link { .. } | Operation::Identify { .. } => {
                return Err(not_started("unsupported", "a meter cannot do that".to_owned()));
            }
        };
        let known = Address::parse(&target.address).and_then(|address| self.devices.get_key_value(&address));
        let Some((&address, device)) = known else {
            return Err(not_started("not_attached", format!("no meter {} on this line", target.address)));
        };
        let question = |item: usize| {
            let di = device.questions.identifiers.get(item).copied();
            di.ok_or_else(|| not_started("unsupported", format!("{address} is not asked for item {item}")))
        };
        match operation {
            Operation::Switch { .. } if !device.options.relay => {
                Err(not_started("unsupported", format!("{address} has no relay")))
            }
            Operation::Switch { on, .. } => {
                let relay = relay_request(on, &device.options, now)?;
                let switching = Switching::new(on, &device.options, self.tries());
                Ok((address, Work::Switch(switching), Request::switch(address, &relay)))
            }
            Operation::Poll { item, .. } => {
                Ok((address, Work::Poll, Request::read(address, question(item)?)))
            }
            _ => {
                let work = Work::Read { item: 0, answered: false, refused: None };
                Ok((address, work, Request::read(address, question(0)?)))
            }
        }
    }

    /// Puts a question in flight, not before `at` and not into the end of a frame.
    fn ask(&mut self, job: &mut Job, request: Request, tries: u8, at: Moment, now: Moment) {
        job.exchange = Exchange::new(request, tries, at);
        self.hold(job, at, now);
    }

    /// Lets the question in flight go out (again) at `at`, or once the line is free.
    pub(super) fn hold(&mut self, job: &mut Job, at: Moment, now: Moment) {
        let free = self.last_byte.map_or(at, |last| at.max(last + PAUSE));
        job.exchange.phase = Phase::Hold(free);
        if free <= now {
            self.write(job, now);
        }
    }

    fn write(&mut self, job: &mut Job, now: Moment) {
        let Options { wake_ups, baud, medium, .. } = self.options;
        let bytes = job.exchange.emit(wake_ups, baud, medium.reply_max(), now);
        self.outputs.push(LineOutput::Write(bytes));
        let looks = matches!(&job.work, Work::Switch(switching) if switching.confirming());
        let attempt = job.exchange.attempt;
        if attempt > job.sent && !looks {
            job.sent = attempt;
            self.progress(job.ticket, Progress::Sent { attempt });
        }
    }

    /// A question's time is over, or has come.
    pub(super) fn wake(&mut self, mut job: Job, now: Moment) -> Option<Job> {
        match job.exchange.phase {
            Phase::Hold(_) => self.write(&mut job, now),
            // Something is coming in: let it finish.
            Phase::Reply { limit, .. }
                if self.gap_due.is_some() && self.framer.has_partial() && now < limit =>
            {
                let due = self.gap_due.map_or(limit, |gap| gap.min(limit));
                job.exchange.phase = Phase::Reply { due, limit };
            }
            Phase::Reply { .. } if matches!(job.work, Work::Discover { found: true }) => {
                self.progress(job.ticket, Progress::Done);
                return None;
            }
            Phase::Reply { .. } if job.exchange.attempt < job.exchange.tries => self.hold(&mut job, now, now),
            Phase::Reply { .. } => return self.go_on_silent(job, now),
        }
        Some(job)
    }

    /// Takes an operation one step further; `None` when it has ended.
    pub(super) fn go_on(&mut self, mut job: Job, answer: Answer, now: Moment) -> Option<Job> {
        job.heard = true;
        if matches!(answer, Answer::Refused(_)) && std::mem::take(&mut job.doubt) {
            self.hold(&mut job, now + PAUSE, now);
            return Some(job);
        }
        match (&mut job.work, answer) {
            (_, Answer::More) => {
                self.hold(&mut job, now + PAUSE, now);
                Some(job)
            }
            (Work::Discover { found }, Answer::Address(address)) => {
                *found = true;
                let target = Target { address: address.to_text(), channel: None };
                self.outputs.happen(Happening::Joined { target });
                Some(job)
            }
            (Work::Switch(switching), Answer::Accepted) if !switching.confirming() => {
                let next = switching.acknowledged();
                let allows = switching.allows();
                self.device(job.address, |device| device.allowed = allows);
                self.progress(job.ticket, Progress::Acknowledged);
                self.switch_on(job, next, now)
            }
            (Work::Switch(_), answer) => self.go_on_switching(job, answer, now),
            (Work::Poll | Work::Read { .. }, answer) => self.go_on_reading(job, answer, now),
            (Work::Discover { .. }, _) => Some(job),
        }
    }

    fn go_on_silent(&mut self, mut job: Job, now: Moment) -> Option<Job> {
        if let Work::Switch(switching) = &mut job.work {
            let next = switching.silent();
            return self.switch_on(job, next, now);
        }
        let tries = job.exchange.tries;
        let (code, what) = match (&job.work, job.exchange.garbled) {
            (Work::Discover { .. }, true) => {
                ("garbled", "several meters may have answered at once: name them in the configuration")
            }
            (_, true) => ("no_answer", "what came could not be read"),
            (_, false) => ("no_answer", "nobody answered"),
        };
        let detail = format!("{what} ({}, {tries} tries)", self.asked(&job));
        self.fail(&job, silence(&job, code, detail));
        None
    }

    /// What the question in flight asks for, for people.
    pub(super) fn asked(&self, job: &Job) -> String {
        match job.work {
            Work::Discover { .. } => "who is there".to_owned(),
            _ => format!("{} of {}", item_name(job.exchange.di()).unwrap_or("relay request"), job.address),
        }
    }

    fn go_on_reading(&mut self, mut job: Job, answer: Answer, now: Moment) -> Option<Job> {
        let di = job.exchange.di();
        let problem = match answer {
            Answer::Data(data) => {
                self.show(job.address, di, &data, None);
                None
            }
            Answer::Refused(bits) => {
                let code = if bits & NO_SUCH_DATA != 0 { "unsupported" } else { "refused" };
                let detail =
                    format!("the meter refused {}: {} ({bits:02x})", self.asked(&job), error_words(bits));
                Some(not_started(code, detail))
            }
            _ => Some(not_started("refused", format!("the answer to {} has no end", self.asked(&job)))),
        };
        let Work::Read { item, answered, refused } = &mut job.work else {
            self.settle(&job, problem);
            return None;
        };
        *answered |= problem.is_none();
        *refused = refused.take().or(problem);
        *item += 1;
        let device = self.devices.get(&job.address);
        let di = device.and_then(|device| device.questions.identifiers.get(*item)).copied();
        let Some(di) = di else {
            let problem = refused.take().filter(|_| !*answered);
            self.settle(&job, problem);
            return None;
        };
        let (request, tries) = (Request::read(job.address, di), self.tries());
        self.ask(&mut job, request, tries, now + PAUSE, now);
        Some(job)
    }

    fn go_on_switching(&mut self, mut job: Job, answer: Answer, now: Moment) -> Option<Job> {
        let Work::Switch(switching) = &mut job.work else { return Some(job) };
        let Some(device) = self.devices.get(&job.address) else { return Some(job) };
        let next = match answer {
            Answer::Refused(bits) if !switching.confirming() => {
                switching.refused(bits, job.exchange.attempt, &device.options)
            }
            Answer::Refused(bits) => Next::Failed(switching.untold(&error_words(bits))),
            Answer::Data(data) => match relay_of(&data) {
                Some(shown) => {
                    let next = switching.shown(shown, &device.options);
                    let wanted = (shown.on == switching.on).then_some(Cause::Command);
                    self.show(job.address, STATUS_WORD_3, &data, wanted);
                    next
                }
                None => Next::Failed(switching.untold("its status word 3 is not one")),
            },
            _ => return Some(job),
        };
        self.switch_on(job, next, now)
    }

    fn switch_on(&mut self, mut job: Job, next: Next, now: Moment) -> Option<Job> {
        match next {
            Next::Look { after, tries } => {
                let request = Request::read(job.address, STATUS_WORD_3);
                self.ask(&mut job, request, tries, now + after.max(PAUSE), now);
                return Some(job);
            }
            Next::Done => self.settle(&job, None),
            Next::Failed(failure) => {
                let silent = !job.heard;
                self.settle(&job, Some(Failure { silent, ..failure }));
            }
        }
        None
    }

    /// Its time is over, whatever it waits for.
    pub(super) fn give_up(&mut self, job: &Job) {
        let detail = format!("the time for the operation was over while waiting for {}", self.asked(job));
        let failure = match &job.work {
            _ if job.sent == 0 => not_started("too_late", detail),
            Work::Discover { found: true } => return self.progress(job.ticket, Progress::Done),
            Work::Switch(switching) => Failure { silent: !job.heard, ..switching.unknown() },
            _ => silence(job, "no_answer", detail),
        };
        self.settle(job, Some(failure));
    }
}

/// Where status word 3 shows the relay.
fn relay_of(data: &[u8]) -> Option<Shown> {
    let value = parse_item(STATUS_WORD_3, data);
    let told_to_open = value.fields.contains(&("last_command_open", Value::Flag(true)));
    value.relay.map(|on| Shown { on, told_to_open })
}
