//! A bounded map that forgets old keys, without keeping them sorted by age.

use std::collections::HashMap;
use std::hash::Hash;

/// Remembers at least the last half of `max` keys used and at most `max`. Two generations: when the young one is full, the old one is
/// dropped as a whole, so there is no extra memory per key.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    half: usize,
}

impl<K: Copy + Eq + Hash, V: Copy> Recent<K, V> {
    pub(super) fn new(max: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), half: (max / 2).max(1) }
    }

    pub(super) fn get(&self, key: K) -> Option<V> {
        self.young.get(&key).or_else(|| self.old.get(&key)).copied()
    }

    /// The value of `key`; `fresh` if the key is new or forgotten.
    pub(super) fn entry(&mut self, key: K, fresh: V) -> &mut V {
        let mut value = fresh;
        if !self.young.contains_key(&key) {
            value = self.old.remove(&key).unwrap_or(fresh);
            if self.young.len() >= self.half {
                std::mem::swap(&mut self.young, &mut self.old);
                self.young.clear();
            }
        }
        self.young.entry(key).or_insert(value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (K, V)> {
        self.young.iter().chain(&self.old).map(|(key, value)| (*key, *value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten_and_used_ones_are_kept() {
        let mut recent = Recent::new(10);
        *recent.entry(0, 0) = 77;
        for key in 1..1000 {
            assert_eq!(*recent.entry(0, 0), 77, "used all along, at {key}");
            *recent.entry(key, 0) = key;
            assert!(recent.iter().count() <= 10);
        }
        let mut keys: Vec<_> = recent.iter().map(|(key, _)| key).collect();
        keys.sort_unstable();
        assert!(keys.len() >= 5 && keys.ends_with(&[997, 998, 999]) && keys.starts_with(&[0]), "{keys:?}");
        assert_eq!((recent.get(999), recent.get(1)), (Some(999), None));
    }
}
