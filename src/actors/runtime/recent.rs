//! A set of recent entries: it holds at least a given number of the latest ones and forgets older ones.
//!
//! Use it only as a shortcut: what it has forgotten is in the database.

use std::collections::HashSet;
use std::hash::Hash;

/// The last things that were put in: at least `most` of them, at most twice as many.
pub(crate) struct Recent<T> {
    young: HashSet<T>,
    old: HashSet<T>,
    most: usize,
}

impl<T: Eq + Hash> Recent<T> {
    pub(crate) fn new(most: usize) -> Self {
        Self { young: HashSet::new(), old: HashSet::new(), most: most.max(1) }
    }

    pub(crate) fn insert(&mut self, thing: T) {
        if self.young.len() >= self.most {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(thing);
    }

    pub(crate) fn contains(&self, thing: &T) -> bool {
        self.young.contains(thing) || self.old.contains(thing)
    }

    pub(crate) fn remove(&mut self, thing: &T) {
        self.young.remove(thing);
        self.old.remove(thing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_the_last_and_never_more_than_twice_its_bound() {
        let mut recent = Recent::new(10);
        for thing in 0..1_000 {
            recent.insert(thing);
            assert!(recent.young.len() + recent.old.len() <= 20);
            assert!((0..10).all(|back| thing < back || recent.contains(&(thing - back))), "{thing}");
        }
        recent.remove(&999);
        assert!(!recent.contains(&999) && !recent.contains(&0));
    }
}
