//! Counts and levels that nobody needs until somebody looks. Adding to one is one atomic step.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::hub::command::{STATES, State};

/// A level that rises while somebody holds its [`Guard`].
#[derive(Debug, Default)]
pub struct Level(AtomicU64);

/// Lowers its level again when dropped.
#[derive(Debug)]
pub struct Guard(Arc<Meters>, fn(&Meters) -> &Level);

impl Level {
    /// How many hold it now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Sets it, where nobody holds it.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.1(&self.0).0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Everything that is counted beside what the door shows.
#[derive(Debug, Default)]
pub struct Meters {
    /// Event streams that are open.
    pub streams: Level,
    /// Long-polls that are held.
    pub polls: Level,
    /// Messages handed to the broker and not acknowledged yet.
    pub mqtt_in_flight: Level,
    published: AtomicU64,
    commands: [AtomicU64; STATES.len()],
    /// By their names: what was added before the last fall, and the last value.
    ever: Mutex<BTreeMap<String, (u64, u64)>>,
}

impl Meters {
    /// Raises a level for as long as the guard lives.
    #[must_use]
    pub fn hold(self: &Arc<Self>, level: fn(&Self) -> &Level) -> Guard {
        level(self).0.fetch_add(1, Ordering::Relaxed);
        Guard(Arc::clone(self), level)
    }

    /// A message was handed to the broker.
    pub fn published(&self) {
        self.published.fetch_add(1, Ordering::Relaxed);
    }

    /// Messages handed to the broker so far.
    #[must_use]
    pub fn published_count(&self) -> u64 {
        self.published.load(Ordering::Relaxed)
    }

    /// A command has settled.
    pub fn settled(&self, state: State) {
        self.commands[state as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Commands settled so far, by the word of their last state.
    pub fn commands(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let settled = STATES.iter().filter(|(state, _)| state.settled());
        settled.map(|(state, word)| (*word, self.commands[*state as usize].load(Ordering::Relaxed)))
    }

    /// A count that starts anew when the gateway does, as one that never falls while the process lives. `name`
    /// stands for one count for ever; there are as many as lines have kinds of trouble.
    pub fn never_falls(&self, name: &str, value: u64) -> u64 {
        let mut ever = self.ever.lock().unwrap_or_else(PoisonError::into_inner);
        let (before, last) = ever.entry(name.to_owned()).or_default();
        if value < *last {
            *before += *last;
        }
        *last = value;
        *before + value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_starts_anew_is_added_to_what_it_was() {
        let meters = Meters::default();
        let told: Vec<u64> = [3, 5, 5, 1, 0, 2].map(|value| meters.never_falls("a", value)).into();
        assert_eq!(told, [3, 5, 5, 6, 6, 8]);
        assert_eq!(meters.never_falls("b", 1), 1);
    }

    #[test]
    fn a_level_falls_with_its_guard() {
        let meters = Arc::new(Meters::default());
        let first = meters.hold(|meters| &meters.polls);
        let second = meters.hold(|meters| &meters.polls);
        assert_eq!((meters.polls.get(), meters.streams.get()), (2, 0));
        drop((first, second));
        assert_eq!(meters.polls.get(), 0);
    }
}
