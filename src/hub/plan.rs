//! When to ask whom for what: the poll plan of one line. Pure.
//!
//! A line that cannot carry all questions in time asks each of them less often, in proportion; a device that does not
//! answer is asked one thing, ever more rarely, so that it does not take the others' airtime.

use std::time::Duration;

use crate::device::{DeviceId, Moment};
use crate::line::PollItem;

/// Share of the line's time that polls may take; the rest is for commands and retries.
const POLL_SHARE: f64 = 0.7;

/// A silent device is asked at least this often, so that its return is noticed.
const PROBE_PERIOD_MAX: Duration = Duration::from_secs(120);

/// A question that the device says it cannot answer is asked again after this long: firmware changes are rare.
const UNSUPPORTED_PERIOD: Duration = Duration::from_secs(3600);

#[derive(Debug)]
struct Question {
    device: DeviceId,
    item: usize,
    period: Duration,
    cost: Duration,
    due: Moment,
}

/// The questions of one line.
#[derive(Debug, Default)]
pub struct Plan {
    questions: Vec<Question>,
    next_due: Option<Moment>,
}

impl Plan {
    /// Takes in a device's questions; they are spread over the first seconds so that devices take turns.
    pub fn add(&mut self, device: &DeviceId, items: &[PollItem], now: Moment) {
        for (item, poll) in items.iter().enumerate() {
            let turn = Duration::from_millis(self.questions.len() as u64);
            self.questions.push(Question {
                device: device.clone(),
                item,
                period: poll.period,
                cost: poll.cost,
                due: now + turn,
            });
        }
        self.refresh();
    }

    /// Forgets a device's questions.
    pub fn remove(&mut self, device: &DeviceId) {
        self.questions.retain(|question| question.device != *device);
        self.refresh();
    }

    /// How many times longer than asked for the periods are, from 1.
    #[must_use]
    pub fn stretch(&self) -> f64 {
        let load: f64 = self.questions.iter().map(|q| q.cost.as_secs_f64() / q.period.as_secs_f64()).sum();
        (load / POLL_SHARE).max(1.0)
    }

    /// When the next question is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Moment> {
        self.next_due
    }

    /// Takes the question that has been due longest and puts it off by one period.
    pub fn take(&mut self, now: Moment) -> Option<(DeviceId, usize)> {
        if self.next_due.is_none_or(|due| due > now) {
            return None;
        }
        let stretch = self.stretch();
        let question = self.questions.iter_mut().min_by_key(|question| question.due)?;
        question.due = now + question.period.mul_f64(stretch);
        let taken = (question.device.clone(), question.item);
        self.refresh();
        Some(taken)
    }

    /// The device did not answer `missed` times in a row: all its questions wait, the first one the shortest.
    pub fn put_off(&mut self, device: &DeviceId, missed: u32, now: Moment) {
        let mut first = true;
        for question in self.questions.iter_mut().filter(|question| question.device == *device) {
            let factor = 1 << missed.min(6);
            let wait = (question.period * factor).min(PROBE_PERIOD_MAX);
            question.due = now + if first { wait } else { wait + PROBE_PERIOD_MAX };
            first = false;
        }
        self.refresh();
    }

    /// The device answers again: everything is asked at once.
    pub fn resume(&mut self, device: &DeviceId, now: Moment) {
        self.pull(now, |question| question.device == *device);
    }

    /// The line is back: everything is asked at once.
    pub fn resume_all(&mut self, now: Moment) {
        self.pull(now, |_| true);
    }

    /// The device says that it does not have this item.
    pub fn unsupported(&mut self, device: &DeviceId, item: usize, now: Moment) {
        let hit = |question: &&mut Question| question.device == *device && question.item == item;
        if let Some(question) = self.questions.iter_mut().find(hit) {
            question.due = now + UNSUPPORTED_PERIOD;
        }
        self.refresh();
    }

    fn pull(&mut self, now: Moment, which: impl Fn(&Question) -> bool) {
        let mut turn = Duration::ZERO;
        for question in self.questions.iter_mut().filter(|question| which(question)) {
            question.due = question.due.min(now + turn);
            turn += Duration::from_millis(1);
        }
        self.refresh();
    }

    fn refresh(&mut self) {
        self.next_due = self.questions.iter().map(|question| question.due).min();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str) -> DeviceId {
        DeviceId::parse(name).expect("an id")
    }

    fn items(count: usize, period_s: u64, cost_ms: u64) -> Vec<PollItem> {
        let item = PollItem {
            name: "x",
            quantities: &[],
            relay: false,
            period: Duration::from_secs(period_s),
            cost: Duration::from_millis(cost_ms),
        };
        vec![item; count]
    }

    fn at(ms: u64) -> Moment {
        Moment(Duration::from_millis(ms))
    }

    #[test]
    fn every_question_has_its_turn_before_one_comes_again() {
        let mut plan = Plan::default();
        plan.add(&device("a"), &items(2, 10, 100), at(0));
        plan.add(&device("b"), &items(2, 10, 100), at(0));
        let asked: Vec<_> = (0..4).filter_map(|turn| plan.take(at(100 + turn))).collect();
        assert_eq!(asked, [(device("a"), 0), (device("a"), 1), (device("b"), 0), (device("b"), 1)]);
        assert_eq!(plan.take(at(200)), None);
        assert_eq!(plan.next_due(), Some(at(10_100)));
    }

    #[test]
    fn an_overloaded_line_asks_everything_less_often() {
        let mut plan = Plan::default();
        plan.add(&device("a"), &items(10, 10, 1_400), at(0));
        assert!((plan.stretch() - 2.0).abs() < 1e-9, "{}", plan.stretch());
        plan.take(at(0));
        assert_eq!(plan.questions[0].due, at(20_000));
    }

    #[test]
    fn a_silent_device_leaves_the_line_to_the_others_and_is_not_forgotten() {
        let mut plan = Plan::default();
        plan.add(&device("a"), &items(3, 10, 100), at(0));
        plan.put_off(&device("a"), 3, at(0));
        assert_eq!(plan.next_due(), Some(at(80_000)));
        plan.put_off(&device("a"), 30, at(0));
        assert_eq!(plan.next_due(), Some(Moment(PROBE_PERIOD_MAX)));
        plan.resume(&device("a"), at(5));
        assert_eq!(plan.next_due(), Some(at(5)));
    }
}
