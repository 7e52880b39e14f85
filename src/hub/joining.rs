//! Joining windows: how new devices come to a line, for a limited time, and what came of it. Pure.
//!
//! A window is a row of short operations, each of which a waiting command cuts short, with a question of the poll plan
//! between two of them. Windows are of now: a restart closes them.

use std::sync::Arc;
use std::time::Duration;

use crate::device::{Device, DeviceId, LineName, Moment, Now, Target};
use crate::hub::Hub;
use crate::hub::effect::{Given, LineIndex, Refused};
use crate::hub::feed::{Body, GatewayEvent, JoiningNews, Notification};
use crate::hub::lane::{Job, Lane, Slot};
use crate::hub::request::Accepted;
use crate::line::{Failure, Joins, Operation, Progress};

/// Longest window. A person who walks to the last socket of a house and back needs less.
pub const JOINING_MAX: Duration = Duration::from_secs(600);

/// How long a window stays open unless told otherwise.
pub const JOINING_DEFAULT: Duration = Duration::from_secs(60);

/// One operation of a window lasts this long: what else the line has to do waits no longer.
const SLICE: Duration = Duration::from_secs(10);

/// Between two operations of a window when the one before did not do its time.
const PAUSE: Duration = Duration::from_secs(2);

/// A window as people see it; the last one of a line stays until the next is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoiningWindow {
    /// It is open.
    pub open: bool,
    /// Since when, milliseconds since 1970 UTC.
    pub opened_unix_ms: i64,
    /// Until when, at most; milliseconds since 1970 UTC.
    pub closes_unix_ms: i64,
    /// Only the device of this address is wanted.
    pub address: Option<Arc<str>>,
    /// Devices that came, in their order.
    pub joined: Vec<DeviceId>,
    /// What last went wrong: a stable word, and a sentence.
    pub error: Option<(&'static str, Arc<str>)>,
}

/// What a lane knows of its window.
pub(super) struct Window {
    pub(super) shown: Arc<JoiningWindow>,
    until: Moment,
    /// When its next operation may begin.
    due: Moment,
    /// The poll plan has its turn before that.
    yields: bool,
    /// Nobody came so far: what there is to say when the time of a window for one device is over.
    nobody: Option<Failure>,
    /// An operation of this window began; one still in flight may be of the window before.
    begun: bool,
}

impl Window {
    pub(super) fn next_due(&self) -> Option<Moment> {
        self.shown.open.then_some(self.due)
    }

    pub(super) fn closes(&self) -> Option<Moment> {
        self.shown.open.then_some(self.until)
    }
}

impl Hub {
    pub(super) fn open_joining(
        &mut self,
        line: Option<&LineName>,
        duration: Duration,
        address: Option<&str>,
        now: Now,
    ) -> Accepted {
        let index = self.lane_for_joining(line, address)?;
        let lane = &mut self.lanes[index.0];
        let joins = lane.line.joins();
        let address = match address {
            Some(_) if !joins.takes_code() => {
                return Err(Refused::NoJoinByAddress(lane.name.clone()));
            }
            Some(code) => Some(lane.line.take_code(code).map_err(Refused::BadAddress)?),
            None if !joins.waits() && !joins.by_call => {
                return Err(Refused::NoJoining(lane.name.clone()));
            }
            None => None,
        };
        let duration = duration.min(JOINING_MAX);
        let closes_unix_ms =
            now.unix_ms.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX));
        // One that is open goes on with what it has found.
        let before = lane.window.take().filter(|window| window.shown.open);
        let joined = before.as_ref().map(|window| window.shown.joined.clone()).unwrap_or_default();
        let opened_unix_ms = before.map_or(now.unix_ms, |window| window.shown.opened_unix_ms);
        let shown = Arc::new(JoiningWindow {
            open: true,
            opened_unix_ms,
            closes_unix_ms,
            address,
            joined,
            error: None,
        });
        lane.window = Some(Window {
            shown: Arc::clone(&shown),
            until: now.mono + duration,
            due: now.mono,
            yields: false,
            nobody: None,
            begun: false,
        });
        let given = Given::Joining(lane.name.clone(), shown);
        self.joining_news(index, JoiningNews::Opened { closes_unix_ms }, now);
        Ok((None, given))
    }

    /// Closes the window of a line, or every one.
    pub(super) fn close_joining(&mut self, line: Option<&LineName>, now: Now) -> Accepted {
        let lanes: Vec<LineIndex> = match line {
            Some(line) => vec![self.lane_called(line)?],
            None => (0..self.lanes.len()).map(LineIndex).collect(),
        };
        for line in lanes {
            self.end_joining(line, "request", now);
        }
        Ok((None, Given::Nothing))
    }

    fn lane_for_joining(
        &mut self,
        line: Option<&LineName>,
        code: Option<&str>,
    ) -> Result<LineIndex, Refused> {
        if let Some(line) = line {
            return self.lane_called(line);
        }
        let able = |lane: &Lane| lane.line.joins() != Joins::default();
        let able: Vec<usize> = (0..self.lanes.len()).filter(|index| able(&self.lanes[*index])).collect();
        if let [only] = able[..] {
            return Ok(LineIndex(only));
        }
        let known: Vec<&str> = able.iter().map(|index| self.lanes[*index].name.as_str()).collect();
        let which = Refused::WhichLine { known: known.join(", ") };
        code.and_then(|code| self.lane_of_code(&able, code)).ok_or(which)
    }

    /// The line whose dialect has such codes, if no other line speaks it: a label tells where its device belongs.
    fn lane_of_code(&mut self, able: &[usize], code: &str) -> Option<LineIndex> {
        let dialects: Vec<&str> = able.iter().map(|index| self.lanes[*index].dialect).collect();
        let alone = |index: &&usize| {
            dialects.iter().filter(|dialect| **dialect == self.lanes[**index].dialect).count() == 1
        };
        let single: Vec<usize> = able.iter().filter(alone).copied().collect();
        let mut fits = single.into_iter().filter(|index| {
            let line = &mut self.lanes[*index].line;
            line.joins().takes_code() && line.take_code(code).is_ok()
        });
        let first = fits.next()?;
        fits.next().is_none().then_some(LineIndex(first))
    }

    fn end_joining(&mut self, line: LineIndex, reason: &'static str, now: Now) {
        let lane = &mut self.lanes[line.0];
        let Some(window) = lane.window.as_mut().filter(|window| window.shown.open) else { return };
        Arc::make_mut(&mut window.shown).open = false;
        if matches!(lane.slot, Some(Slot::Busy(_, Job::Window))) {
            lane.line.give_way(now);
        }
        self.joining_news(line, JoiningNews::Closed { reason: reason.into() }, now);
    }

    /// Closes windows whose time is over.
    pub(super) fn expire_joining(&mut self, line: LineIndex, now: Now) {
        let window = self.lanes[line.0].window.as_mut();
        if let Some(window) = window.filter(|window| window.shown.open && window.until <= now.mono) {
            let unsaid = window.nobody.take().filter(|_| window.shown.error.is_none());
            if let Some(failure) = unsaid {
                self.joining_failed(line, &failure, now);
            }
            self.end_joining(line, "time", now);
        }
    }

    /// The next operation of the line's window, if it is its turn.
    pub(super) fn joining_turn(&mut self, line: LineIndex, now: Now) -> Option<Operation> {
        let Lane { window, line, plan, .. } = &mut self.lanes[line.0];
        let window = window.as_mut().filter(|window| window.shown.open && window.due <= now.mono)?;
        let poll_due = plan.next_due().is_some_and(|due| due <= now.mono);
        if std::mem::take(&mut window.yields) && poll_due {
            return None;
        }
        window.yields = true;
        window.begun = true;
        if let Some(address) = &window.shown.address {
            return Some(Operation::Link { target: Target { address: Arc::clone(address), channel: None } });
        }
        if !line.joins().waits() {
            return Some(Operation::Discover);
        }
        let left = window.until.since(now.mono).min(SLICE);
        Some(Operation::Join { seconds: u16::try_from(left.as_secs()).unwrap_or(u16::MAX).max(1) })
    }

    /// An operation of the window went on.
    pub(super) fn window_progress(&mut self, line: LineIndex, progress: &Progress, now: Now) {
        let lane = &mut self.lanes[line.0];
        let Some(window) = lane.window.as_mut().filter(|window| window.shown.open && window.begun) else {
            return;
        };
        let by_address = window.shown.address.is_some();
        match progress {
            Progress::Done if by_address => self.end_joining(line, "joined", now),
            Progress::Failed(failure) => {
                let waited = failure.code == NOBODY;
                // One that waits for a button ends when its time is over: the next follows at once.
                let pause = if waited && lane.line.joins().waits() { Duration::ZERO } else { PAUSE };
                window.due = now.mono + pause;
                let unanswered_call = failure.code == NO_ANSWER && !by_address;
                if waited && by_address {
                    window.nobody = Some(failure.clone());
                }
                if !waited && !unanswered_call {
                    self.joining_failed(line, failure, now);
                }
            }
            Progress::Done => window.due = now.mono + PAUSE,
            Progress::Sent { .. } | Progress::Acknowledged => {}
        }
    }

    fn joining_failed(&mut self, line: LineIndex, failure: &Failure, now: Now) {
        let Some(window) = &mut self.lanes[line.0].window else { return };
        let told: (&'static str, Arc<str>) = (failure.code, failure.detail.as_str().into());
        // The same again is no news.
        if window.shown.error.as_ref() != Some(&told) {
            Arc::make_mut(&mut window.shown).error = Some(told.clone());
            self.joining_news(line, JoiningNews::Failed { code: told.0.into(), detail: told.1 }, now);
        }
    }

    /// A device came while the window was open.
    pub(super) fn window_joined(&mut self, line: LineIndex, device: &DeviceId, now: Now) {
        let window = self.lanes[line.0].window.as_mut().filter(|window| window.shown.open);
        let address = self.registry.get(device).map(|member| &member.device.target.address);
        let wanted =
            |window: &&mut Window| window.shown.address.is_none() || window.shown.address.as_ref() == address;
        let news = |window: &&mut Window| !window.shown.joined.contains(device);
        let Some(window) = window.filter(wanted).filter(news) else { return };
        let shown = Arc::make_mut(&mut window.shown);
        shown.joined.push(device.clone());
        shown.error = None;
        self.joining_news(line, JoiningNews::Joined { device: device.clone() }, now);
    }

    fn joining_news(&mut self, line: LineIndex, news: JoiningNews, now: Now) {
        let lane = &mut self.lanes[line.0];
        lane.changed = true;
        let about = GatewayEvent::Joining { line: lane.name.clone(), news };
        self.event(None, Body::Gateway(about), None, now);
    }

    /// A device that was added by its address is to be linked, where the dialect links.
    pub(super) fn link_later(&mut self, line: LineIndex, device: &Device) {
        let lane = &mut self.lanes[line.0];
        if lane.line.joins().by_address {
            lane.to_link.push_back(device.id.clone());
        }
    }

    /// The next device that is to be linked.
    pub(super) fn linking_turn(&mut self, line: LineIndex) -> Option<(DeviceId, Operation)> {
        while let Some(id) = self.lanes[line.0].to_link.pop_front() {
            if let Some(member) = self.registry.get(&id) {
                return Some((id, Operation::Link { target: member.device.target.clone() }));
            }
        }
        None
    }

    /// Linking an added device went on; that it failed is said, for it will not obey.
    pub(super) fn linking_progress(&mut self, id: &DeviceId, progress: &Progress, now: Now) {
        let Some(member) = self.registry.get(id) else { return };
        let (name, address) = (Arc::clone(&member.device.name), Arc::clone(&member.device.target.address));
        let note = match progress {
            Progress::Done => {
                Notification { code: "linked".into(), detail: format!("{name} is linked").into() }
            }
            Progress::Failed(failure) => {
                let detail = format!(
                    "{name} was added and could not be linked: {}; open a joining window with the code {address} to try again",
                    failure.detail
                );
                Notification { code: "link_failed".into(), detail: detail.into() }
            }
            Progress::Sent { .. } | Progress::Acknowledged => return,
        };
        self.event(Some(id), Body::Notification(note), None, now);
    }
}

/// Nobody held a button.
const NOBODY: &str = "no_device";
/// Most calls are answered by nobody.
const NO_ANSWER: &str = "no_answer";
