//! The answers that are kept under their requests' keys, so that a repeat gets the first one's.

use crate::db::outcome::Answered;
use crate::db::write::{Answer, IdempotencyKey, KeptAnswer};
use crate::domain::Timestamp;
use std::collections::{BTreeMap, HashMap};

/// The answers that a batch looks for and keeps.
#[derive(Default)]
pub(in crate::db) struct Answers {
    /// What is stored, expired ones among them.
    stored: HashMap<Vec<u8>, KeptAnswer>,
    new: BTreeMap<[u8; 32], KeptAnswer>,
}

impl Answers {
    pub(super) fn new(stored: HashMap<Vec<u8>, KeptAnswer>) -> Self {
        Self { stored, new: BTreeMap::new() }
    }

    /// What a request of this key was answered; none where it is the first.
    pub(super) fn find(&self, key: &IdempotencyKey, at: Timestamp) -> Option<Answered> {
        let stored = self.stored.get(key.key.as_slice()).filter(|kept| kept.expires_at > at);
        let kept = self.new.get(&key.key).or(stored)?;
        Some(Answered { answer: kept.answer.clone(), same_body: kept.body == key.body })
    }

    pub(super) fn keep(&mut self, key: &IdempotencyKey, answer: Answer) {
        self.new.insert(key.key, KeptAnswer { body: key.body.to_vec(), answer, expires_at: key.expires_at });
    }

    /// New answers, in the order of their keys, and whether an expired one is in the row.
    pub(in crate::db) fn new_answers(&self) -> impl Iterator<Item = (&[u8; 32], &KeptAnswer, bool)> {
        self.new.iter().map(|(key, kept)| (key, kept, self.stored.contains_key(key.as_slice())))
    }
}
