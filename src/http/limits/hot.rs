//! Readers that ask for the same position again and again although there was nothing: they are slowed down, then sent
//! away for a while. Pure. One that lets the gateway wait (`wait=25`) never comes here: it asks seldom by itself.

use std::collections::HashMap;
use std::time::Duration;

/// Asked again sooner than this after an empty answer.
const SOON: Duration = Duration::from_millis(500);
/// So many times in a row are borne; the last of them is answered late.
const BORNE: u32 = 3;
/// More often than this is refused.
const TOO_OFTEN: u32 = 20;
/// How late.
pub const DELAY: Duration = Duration::from_secs(1);
/// How long it is refused then.
const AWAY: Duration = Duration::from_secs(5);
/// Positions remembered at once. Those beyond are not slowed down; the limit on reads holds for them all the same.
const KEYS_MAX: usize = 1024;

/// What to do with one who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Answer.
    Answer,
    /// Answer after [`DELAY`].
    Late,
    /// Refuse for this long.
    Away(Duration),
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    answered: Duration,
    times: u32,
    away_until: Duration,
}

impl Seen {
    fn is_over(&self, now: Duration) -> bool {
        now >= self.away_until && now >= self.answered + SOON
    }
}

/// Who asked for what and found nothing. A key stands for one reader and one question.
#[derive(Debug, Default)]
pub struct Hot(HashMap<u64, Seen>);

impl Hot {
    /// Somebody asks.
    pub fn ask(&mut self, key: u64, now: Duration) -> Verdict {
        let Some(seen) = self.0.get_mut(&key) else { return Verdict::Answer };
        if seen.is_over(now) {
            self.0.remove(&key);
            return Verdict::Answer;
        }
        if now < seen.away_until {
            return Verdict::Away(seen.away_until - now);
        }
        seen.times += 1;
        match seen.times {
            ..BORNE => Verdict::Answer,
            BORNE..=TOO_OFTEN => Verdict::Late,
            _ => {
                seen.away_until = now + AWAY;
                Verdict::Away(AWAY)
            }
        }
    }

    /// The answer was empty, and not waited for.
    pub fn answered_empty(&mut self, key: u64, now: Duration) {
        if self.0.len() >= KEYS_MAX {
            self.0.retain(|_, seen| !seen.is_over(now));
        }
        if self.0.len() < KEYS_MAX || self.0.contains_key(&key) {
            self.0.entry(key).or_default().answered = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_third_question_in_a_row_is_answered_late_and_the_twenty_first_refused() {
        let (mut hot, mut now) = (Hot::default(), MS);
        let mut verdicts = Vec::new();
        for _ in 0..=21 {
            let verdict = hot.ask(7, now);
            verdicts.push(verdict);
            if verdict == Verdict::Late {
                now += DELAY;
            }
            if !matches!(verdict, Verdict::Away(_)) {
                hot.answered_empty(7, now);
            }
            now += 10 * MS;
        }
        assert_eq!(verdicts[..3], [Verdict::Answer; 3]);
        assert_eq!(verdicts[3..=20], [Verdict::Late; 18]);
        assert_eq!(verdicts[21], Verdict::Away(AWAY));
        assert_eq!(hot.ask(7, now), Verdict::Away(AWAY - 10 * MS));
        assert_eq!(hot.ask(7, now + AWAY), Verdict::Answer);
    }

    #[test]
    fn a_pause_is_forgiven_and_other_questions_are_not_touched() {
        let mut hot = Hot::default();
        for round in 1..100 {
            let now = round * SOON;
            assert_eq!(hot.ask(7, now), Verdict::Answer);
            hot.answered_empty(7, now);
        }
        hot.answered_empty(8, MS);
        for _ in 0..5 {
            hot.ask(8, 2 * MS);
        }
        assert_eq!(hot.ask(9, 2 * MS), Verdict::Answer);
    }

    #[test]
    fn memory_is_bounded() {
        let mut hot = Hot::default();
        (0..3 * KEYS_MAX as u64).for_each(|key| hot.answered_empty(key, MS));
        assert_eq!(hot.0.len(), KEYS_MAX);
        hot.answered_empty(u64::MAX, MS + SOON);
        assert_eq!(hot.0.len(), 1);
    }
}
