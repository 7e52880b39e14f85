//! A recording as a conversation: what comes at its time, and what comes when it is asked for. Pure; the clock and
//! the file are `replay.rs`'s.
//!
//! What came from the line within ten seconds of a request, up to the next request, is that request's answer. It is
//! given when the very bytes are written again: the nearest one in time, else the one given last, else the first one
//! to come. An answer that nobody asks for is given all the same, a little later than it was recorded.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::recording::{Entry, What};

/// Longest time from a request to the last of its answer: what a narrowband carrier needs.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// An answer waits so long, in the recording's time, for somebody to ask; a gateway asks a little sooner or later than
/// it did when it was recorded.
const HOLD: Duration = Duration::from_secs(5);
/// An answer that is not due yet is given before the last one is given again, if it is due within this.
const NEAR: Duration = Duration::from_secs(10);
/// Entries read ahead, 16 MiB at most; about an hour of a quiet line.
const AHEAD_MAX: usize = 4096;
/// Answers that wait for somebody to ask; more than a line has in [`HOLD`].
const HELD_MAX: usize = 256;
/// Requests whose last answer is remembered; those of a full line of meters.
const PAST_MAX: usize = 4096;

/// An answer: its chunks, and when each came after the request.
pub(super) type Answer = Vec<(Duration, Vec<u8>)>;

#[derive(Debug)]
struct Exchange {
    at: Duration,
    request: Vec<u8>,
    answer: Answer,
}

#[derive(Debug)]
enum Part {
    Told(Entry),
    Asked(Exchange),
}

impl Part {
    fn at(&self) -> Duration {
        match self {
            Self::Told(entry) => entry.at,
            Self::Asked(exchange) => exchange.at,
        }
    }
}

/// The part of a recording that is near, and what is remembered of the rest.
#[derive(Debug)]
pub(super) struct Conversation {
    /// Nothing is kept for those who ask: all comes at its time.
    monologue: bool,
    ahead: VecDeque<Part>,
    /// Entries in `ahead`.
    entries: usize,
    /// No more will be read.
    whole: bool,
    /// Reached, and not asked for yet; oldest first.
    held: VecDeque<Exchange>,
    past: HashMap<Vec<u8>, Answer>,
    /// The latest moment that it knows of.
    now: Duration,
}

impl Conversation {
    /// An empty one. In a monologue all comes at its time, whoever asks.
    pub(super) fn new(monologue: bool) -> Self {
        Self {
            monologue,
            ahead: VecDeque::new(),
            entries: 0,
            whole: false,
            held: VecDeque::new(),
            past: HashMap::new(),
            now: Duration::ZERO,
        }
    }

    /// It has read far enough ahead.
    pub(super) fn full(&self) -> bool {
        self.whole || self.entries >= AHEAD_MAX
    }

    /// Takes the next entry.
    pub(super) fn push(&mut self, entry: Entry) {
        self.entries += 1;
        let Entry { at, what } = entry;
        match (what, self.ahead.back_mut()) {
            (What::To(request), _) if !self.monologue => {
                self.ahead.push_back(Part::Asked(Exchange { at, request, answer: Vec::new() }));
            }
            (What::From(bytes), Some(Part::Asked(asked))) if at.saturating_sub(asked.at) <= ANSWER_MAX => {
                asked.answer.push((at.saturating_sub(asked.at), bytes));
            }
            (what, _) => self.ahead.push_back(Part::Told(Entry { at, what })),
        }
    }

    /// The recording has no more entries.
    pub(super) fn end(&mut self) {
        self.whole = true;
    }

    /// When something comes by itself, in the recording's time; `None` at the end.
    pub(super) fn due(&self) -> Option<Duration> {
        let held = self.held.front().map(|held| if self.crowded() { self.now } else { held.at + HOLD });
        held.into_iter().chain(self.ahead.front().map(Part::at)).min()
    }

    fn crowded(&self) -> bool {
        self.held.len() > HELD_MAX
    }

    /// What comes by itself at [`Conversation::due`], if that is something to say.
    pub(super) fn next(&mut self) -> Option<What> {
        self.now = self.now.max(self.due()?);
        let before_it =
            |part: &Part| matches!(part, Part::Told(Entry { what: What::Lost(_) | What::Open, .. }));
        let reached = self.ahead.front().is_some_and(|part| part.at() <= self.now);
        let waited = self.crowded() || self.held.front().is_some_and(|held| held.at + HOLD <= self.now);
        if waited || reached && self.ahead.front().is_some_and(before_it) {
            // With the port goes what nobody asked for.
            if let Some(held) = self.held.pop_front() {
                let said = held.answer.iter().flat_map(|(_, bytes)| bytes).copied().collect();
                self.remember(held);
                return Some(What::From(said));
            }
        }
        match self.ahead.pop_front()? {
            Part::Told(entry) => {
                self.entries -= 1;
                Some(entry.what)
            }
            Part::Asked(exchange) => {
                self.entries -= 1 + exchange.answer.len();
                if !exchange.answer.is_empty() {
                    self.held.push_back(exchange);
                }
                None
            }
        }
    }

    /// The answer to these bytes, written at `now` in the recording's time, if they were ever written.
    pub(super) fn answer(&mut self, request: &[u8], now: Duration) -> Option<Answer> {
        self.now = self.now.max(now);
        if let Some(index) = self.held.iter().position(|held| held.request == request) {
            return self.held.remove(index).map(|held| self.remember(held));
        }
        // The last one may not be whole yet.
        let known = self.ahead.len() - usize::from(!self.whole).min(self.ahead.len());
        let asked = |part: &Part| match part {
            Part::Asked(asked) => asked.request == request && !asked.answer.is_empty(),
            Part::Told(_) => false,
        };
        let index = self.ahead.iter().take(known).position(asked);
        let index = index.filter(|index| {
            let near = self.ahead[*index].at().saturating_sub(self.now) <= NEAR;
            near || !self.past.contains_key(request)
        });
        match index.and_then(|index| self.ahead.remove(index)) {
            Some(Part::Asked(exchange)) => {
                self.entries -= 1 + exchange.answer.len();
                Some(self.remember(exchange))
            }
            _ => self.past.get(request).cloned(),
        }
    }

    fn remember(&mut self, exchange: Exchange) -> Answer {
        let Exchange { request, answer, .. } = exchange;
        if self.past.len() < PAST_MAX || self.past.contains_key(&request) {
            self.past.insert(request, answer.clone());
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conversation(entries: &[(u64, What)]) -> Conversation {
        let mut conversation = Conversation::new(false);
        for (ms, what) in entries {
            conversation.push(Entry { at: Duration::from_millis(*ms), what: what.clone() });
        }
        conversation.end();
        conversation
    }

    fn to(byte: u8) -> What {
        What::To(vec![byte])
    }

    fn from(byte: u8) -> What {
        What::From(vec![byte])
    }

    /// Everything that comes by itself up to a time.
    fn said(conversation: &mut Conversation, until_ms: u64) -> Vec<(u64, What)> {
        let mut said = Vec::new();
        while let Some(due) = conversation.due().filter(|due| *due <= Duration::from_millis(until_ms)) {
            said.extend(conversation.next().map(|what| (due.as_millis() as u64, what)));
        }
        said
    }

    fn answer(conversation: &mut Conversation, ms: u64, byte: u8) -> Option<Vec<(u64, u8)>> {
        let answer = conversation.answer(&[byte], Duration::from_millis(ms))?;
        Some(answer.iter().map(|(after, bytes)| (after.as_millis() as u64, bytes[0])).collect())
    }

    #[test]
    fn an_answer_waits_for_its_request_and_keeps_its_pauses() {
        let entries = [(0, What::Open), (100, to(1)), (105, from(2)), (400, from(3)), (20_000, from(4))];
        let mut heard = conversation(&entries);
        assert_eq!(said(&mut heard, 3_000), [(0, What::Open)]);
        assert_eq!(answer(&mut heard, 3_000, 9), None);
        assert_eq!(answer(&mut heard, 3_000, 1), Some(vec![(5, 2), (300, 3)]));
        assert_eq!(
            said(&mut heard, 30_000),
            [(20_000, from(4))],
            "unasked, and the answer is not given twice"
        );
        assert_eq!(heard.due(), None);
    }

    #[test]
    fn an_answer_that_nobody_asks_for_comes_all_the_same() {
        let entries = [(0, to(1)), (5, from(2)), (6, from(3)), (1_000, from(4)), (20_000, from(5))];
        let mut heard = conversation(&entries);
        assert_eq!(said(&mut heard, 30_000), [(5_000, What::From(vec![2, 3, 4])), (20_000, from(5))]);
        let entries = [(0, to(1)), (5, from(2)), (100, What::Lost("x".into())), (200, What::Open)];
        let wanted = [(100, from(2)), (100, What::Lost("x".into())), (200, What::Open)];
        assert_eq!(said(&mut conversation(&entries), 30_000), wanted, "and before the port goes");
    }

    #[test]
    fn of_several_answers_the_nearest_is_given_then_the_last_again() {
        let entries =
            [(0, to(1)), (5, from(2)), (8_000, to(1)), (8_005, from(3)), (60_000, to(1)), (60_005, from(4))];
        let mut heard = conversation(&entries);
        let given: Vec<_> = (0..3).map(|_| answer(&mut heard, 1, 1).expect("an answer")[0].1).collect();
        assert_eq!(given, [2, 3, 3]);
        assert_eq!(answer(&mut heard, 49_000, 1), Some(vec![(5, 3)]));
        assert_eq!(answer(&mut heard, 50_000, 1), Some(vec![(5, 4)]));
        assert_eq!(said(&mut heard, 100_000), []);
    }

    #[test]
    fn what_was_never_asked_before_is_answered_with_the_first_answer_to_come() {
        let entries = [(0, What::Open), (60_000, to(1)), (60_005, from(2))];
        assert_eq!(answer(&mut conversation(&entries), 0, 1), Some(vec![(5, 2)]));
    }

    #[test]
    fn a_monologue_answers_nobody() {
        let mut heard = Conversation::new(true);
        for (ms, what) in [(0, to(1)), (5, from(2))] {
            heard.push(Entry { at: Duration::from_millis(ms), what });
        }
        assert_eq!(answer(&mut heard, 0, 1), None);
        assert_eq!(said(&mut heard, 10), [(0, to(1)), (5, from(2))]);
    }

    #[test]
    fn requests_beyond_all_measure_do_not_pile_up() {
        let mut heard = Conversation::new(false);
        for number in 0..10_000_u32 {
            let request = number.to_be_bytes().to_vec();
            heard.push(Entry { at: Duration::ZERO, what: What::To(request) });
            heard.push(Entry { at: Duration::ZERO, what: What::From(vec![1]) });
            while heard.full() {
                heard.next();
            }
        }
        while heard.due() == Some(Duration::ZERO) {
            heard.next();
        }
        assert!(heard.held.len() <= HELD_MAX && heard.past.len() <= PAST_MAX && heard.ahead.is_empty());
    }
}
