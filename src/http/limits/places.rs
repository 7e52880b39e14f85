//! How many answers are held open for whom. A place is given back when it is dropped. Pure.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// Places by who has them; only those who have one take memory, and connections are limited.
#[derive(Debug)]
pub struct Places<K: Eq + Hash>(Arc<Mutex<HashMap<K, usize>>>);

impl<K: Eq + Hash + Clone> Default for Places<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Eq + Hash + Clone> Places<K> {
    /// A place, unless `limit` are taken.
    #[must_use]
    pub fn take(&self, key: K, limit: usize) -> Option<Place<K>> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.get(&key).copied().unwrap_or_default();
        if count >= limit {
            return None;
        }
        taken.insert(key.clone(), count + 1);
        Some(Place { key, places: Arc::clone(&self.0) })
    }
}

/// A place that is taken.
#[derive(Debug)]
pub struct Place<K: Eq + Hash> {
    key: K,
    places: Arc<Mutex<HashMap<K, usize>>>,
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut taken = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let last = match taken.get_mut(&self.key) {
            Some(count) if *count > 1 => {
                *count -= 1;
                false
            }
            _ => true,
        };
        if last {
            taken.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_by_who_has_them_and_given_back_when_dropped() {
        let places = Places::default();
        let first = places.take("a", 2).expect("free");
        let _second = places.take("a", 2).expect("free");
        assert!(places.take("a", 2).is_none());
        let other = places.take("b", 2).expect("another's");
        drop(first);
        assert!(places.take("a", 2).is_some());
        drop(other);
        assert_eq!(places.0.lock().expect("not poisoned").len(), 1, "who has none is forgotten");
    }
}
