//! The modem itself: who it is, whether it answers, the links it holds, and what is done when it falls silent.
//!
//! ```text
//! port open ─▶ 60 ─▶ 73 (6B) ─▶ up ─▶ 69, 6A … between operations
//!               ╲▶ silent: probe again, ever later; every third time the port is opened anew
//! ```
//!
//! A modem is never reset from here: its reset (67) erases every link.

use std::time::Duration;

use super::super::exchange::{Answer, Exchange, Wants};
use super::super::frame::{Command, Frame};
use super::super::message::{Address, LinkRecord};
use super::{COMMAND_GAP, Insteon, Job, SETTINGS, Work};
use crate::device::Moment;
use crate::line::{Happening, LineOutput};

/// Wait after the first probe without answer; doubled after each further one.
const PROBE_PAUSE: Duration = Duration::from_secs(1);
const PROBE_PAUSE_MAX: Duration = Duration::from_secs(120);
/// Every so many probes the port is opened anew.
const PROBES_PER_REOPEN: u32 = 3;
/// After so many of these a person is asked for help.
const REOPENS_TO_NOTICE: u32 = 2;
/// The configuration bit that switches the dead-man off: half a command would then wait for its rest for ever.
const DEAD_MAN_OFF: u8 = 0x10;
/// Records read at most; the largest modems hold about 1,000.
const RECORDS_MAX: usize = 2048;
/// A list with a missing record is read again so many times.
const RESTARTS_MAX: u8 = 3;
/// Wait before a modem that was not ready is asked for the next record.
const DUMP_PAUSE: Duration = Duration::from_secs(5);

/// What is known of the modem.
#[derive(Debug, Default)]
pub(super) struct Modem {
    stage: Stage,
    /// What was last told.
    answers: Option<bool>,
    /// Probes without answer in a row.
    failed_probes: u32,
    dump: Option<Dump>,
    /// When the next record is read.
    dump_due: Moment,
    /// It waits for somebody to link with.
    pub(super) linking: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Closed,
    Probe(Moment),
    Up,
}

/// A link database on its way.
#[derive(Debug, Default)]
struct Dump {
    records: Vec<LinkRecord>,
    read: usize,
    restarts: u8,
    /// The modem said once that there are no more. It says the same when it is not ready, so it is asked again.
    ended: bool,
}

impl Modem {
    /// It answers, and may be given commands.
    pub(super) fn up(&self) -> bool {
        self.stage == Stage::Up
    }

    /// When it wants attention.
    pub(super) fn due(&self) -> Option<Moment> {
        match self.stage {
            Stage::Closed => None,
            Stage::Probe(due) => Some(due),
            Stage::Up => self.dump.as_ref().map(|_| self.dump_due),
        }
    }
}

impl Insteon {
    pub(super) fn port_changed(&mut self, open: bool, now: Moment) {
        self.modem.stage = if open { Stage::Probe(now) } else { Stage::Closed };
        self.modem.answers = self.modem.answers.filter(|_| open);
        if !open {
            self.modem.failed_probes = 0;
        }
        if let Some(dump) = &mut self.modem.dump {
            *dump = Dump::default();
        }
    }

    /// Does what the modem needs before any operation.
    pub(super) fn tend(&mut self, now: Moment) {
        if self.job.is_some() {
            return;
        }
        match self.modem.stage {
            Stage::Probe(due) if due <= now => {
                self.begin(Work::Probe, Exchange::new(Command::GetInfo, Wants::Echo), now);
            }
            Stage::Up if self.modem.linking => {
                let exchange = Exchange::new(Command::CancelLinking, Wants::Echo);
                self.begin(Work::CancelLinking, exchange, now);
            }
            _ => {}
        }
    }

    /// Asks for the next link, if the modem has nothing better to do.
    pub(super) fn read_links(&mut self, now: Moment) {
        let due = self.modem.up() && self.modem.dump_due <= now && self.job.is_none();
        let Some(dump) = self.modem.dump.as_ref().filter(|_| due) else { return };
        let command = if dump.read == 0 { Command::FirstLink } else { Command::NextLink };
        self.begin(Work::Dump, Exchange::new(command, Wants::Record), now);
    }

    /// The list changed under the hands of its reader.
    pub(super) fn restart_dump(&mut self) {
        if let Some(dump) = &mut self.modem.dump {
            *dump = Dump { restarts: dump.restarts, ..Dump::default() };
        }
    }

    /// Somebody else reads the list as well: the modem has one place in it for both.
    pub(super) fn disturb_dump(&mut self) {
        let Some(dump) = self.modem.dump.take() else { return };
        if dump.restarts >= RESTARTS_MAX {
            self.kept.links = dump.records;
            return self.count("link_database");
        }
        self.modem.dump = Some(Dump { restarts: dump.restarts + 1, ..Dump::default() });
    }

    pub(super) fn tell_answers(&mut self, answers: bool) {
        if self.modem.answers != Some(answers) {
            self.modem.answers = Some(answers);
            self.outputs.happen(Happening::Modem { answers });
        }
    }

    /// The modem did not answer an operation: is it there?
    pub(super) fn doubt_modem(&mut self, now: Moment) {
        if self.modem.up() {
            self.modem.stage = Stage::Probe(now);
        }
    }

    /// Something came from the line: the modem may be back.
    pub(super) fn hurry_probe(&mut self, now: Moment) {
        if let Stage::Probe(due) = &mut self.modem.stage {
            *due = now.min(*due);
        }
    }

    /// An answer to the driver's own business.
    pub(super) fn tended(&mut self, mut job: Job, answer: Answer, now: Moment) -> Option<Job> {
        match (&job.work, answer) {
            (Work::Probe, Answer::Taken(Frame::Info { id, .. })) => {
                self.named(id);
                job.work = Work::Config;
                return self.ask(job, Exchange::new(Command::GetConfig, Wants::Echo), now, now);
            }
            (Work::Probe, _) => self.probe_failed(now),
            (Work::Config, Answer::Taken(Frame::Config { bits, .. })) if bits & DEAD_MAN_OFF != 0 => {
                let command = Command::SetConfig(bits & !DEAD_MAN_OFF);
                return self.ask(job, Exchange::new(command, Wants::Echo), now, now);
            }
            // A modem without these commands works all the same.
            (Work::Config, _) => self.modem.stage = Stage::Up,
            (Work::CancelLinking, _) => self.modem.linking = false,
            (_, answer) => self.dumped(answer, now),
        }
        if answer == Answer::Mute {
            self.doubt_modem(now);
        }
        self.tend(now);
        self.job.take()
    }

    fn named(&mut self, id: Address) {
        self.modem.failed_probes = 0;
        self.tell_answers(true);
        if self.kept.modem != Some(id) {
            if let Some(old) = self.kept.modem.replace(id) {
                let detail = format!("the modem is {id} now and was {old}: devices must be linked with it");
                self.notice("modem_changed", detail);
            }
            self.kept.links.clear();
            self.kept.whole = false;
            self.persist();
        }
        if !self.kept.whole {
            self.modem.dump = Some(Dump::default());
        }
    }

    fn probe_failed(&mut self, now: Moment) {
        self.tell_answers(false);
        self.outputs.happen(Happening::Recovery { step: "probe" });
        self.modem.failed_probes = self.modem.failed_probes.saturating_add(1);
        let failed = self.modem.failed_probes;
        let pause = PROBE_PAUSE.saturating_mul(1 << failed.min(10)).min(PROBE_PAUSE_MAX);
        self.modem.stage = Stage::Probe(now + pause);
        if failed.is_multiple_of(PROBES_PER_REOPEN) {
            self.outputs.happen(Happening::Recovery { step: "reopen" });
            self.outputs.push(LineOutput::Reopen(SETTINGS));
        }
        if failed == PROBES_PER_REOPEN * REOPENS_TO_NOTICE {
            let detail = "the modem does not answer, though its port was opened anew: see its cable, take it out \
                          of its outlet for ten seconds, and see that no other program uses the port";
            self.notice("modem_silent", detail.to_owned());
        }
    }

    /// The modem was reset to factory state.
    pub(super) fn user_reset(&mut self, now: Moment) {
        let detail =
            "the modem was reset to factory state and has forgotten its links: link the devices again";
        self.notice("modem_reset", detail.to_owned());
        self.kept.links.clear();
        self.kept.whole = false;
        self.persist();
        self.modem.linking = false;
        self.modem.dump = Some(Dump::default());
        self.job = self.job.take().filter(|job| job.ticket.is_some());
        self.doubt_modem(now);
    }

    /// A record, or none.
    fn dumped(&mut self, answer: Answer, now: Moment) {
        let Some(mut dump) = self.modem.dump.take() else { return };
        self.modem.dump_due = self.last_write.map_or(now, |last| last + COMMAND_GAP);
        match answer {
            Answer::Record(record) => {
                dump.ended = false;
                dump.read += 1;
                if record.in_use() {
                    dump.records.push(record);
                }
                if dump.read > RECORDS_MAX {
                    return self.count("link_database");
                }
            }
            Answer::Refused if dump.ended => return self.links_read(dump.records),
            Answer::Refused => dump.ended = true,
            Answer::Silent if dump.restarts >= RESTARTS_MAX => {
                // Some links are better than none, and nothing is concluded from those that are missing.
                self.kept.links = dump.records;
                return self.count("link_database");
            }
            Answer::Silent => dump = Dump { restarts: dump.restarts + 1, ..Dump::default() },
            _ => self.modem.dump_due = now + DUMP_PAUSE,
        }
        self.modem.dump = Some(dump);
    }

    fn links_read(&mut self, records: Vec<LinkRecord>) {
        self.kept.links = records;
        self.kept.whole = true;
        self.persist();
        self.relearn();
        let mut strangers: Vec<Address> = self.kept.links.iter().map(|link| link.id).collect();
        strangers.sort_unstable();
        strangers.dedup();
        strangers.retain(|id| !self.devices.contains_key(id));
        for id in strangers {
            self.outputs.happen(Happening::Foreign { address: id.to_string().into() });
        }
    }
}
