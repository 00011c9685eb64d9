//! How it stands with an order of which a message is a dead letter: the later ones wait behind it.

use super::letters::{self, WAITS};
use crate::domain::{DeadLetter, OrderId, Role, Shard, Topic};
use crate::kafka::message::MessageError;
use std::collections::BTreeSet;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Standing {
    /// A person must decide first.
    Blocked,
    /// This letter's message is the next one to be taken.
    Next(Box<DeadLetter>),
    /// Nothing waits any more.
    Free,
}

impl Standing {
    /// How it stands for `role` with the order that has these open letters.
    #[must_use]
    pub fn of(role: Role, mut letters: Vec<DeadLetter>) -> Self {
        letters.retain(|letter| letter.role == role && holds_up(letter));
        if letters.iter().any(|letter| letter.cause.as_str() != WAITS) {
            return Self::Blocked;
        }
        let place = |letter: &DeadLetter| letters::record(letter).map(|record| (letter.created_at, record.topic, record.offset));
        letters.into_iter().min_by_key(place).map_or(Self::Free, |letter| Self::Next(Box::new(letter)))
    }
}

/// The orders of these shards that are parked for this role, by all open letters.
#[must_use]
pub fn parked(role: Role, shards: &BTreeSet<Shard>, letters: Vec<DeadLetter>) -> Vec<OrderId> {
    let mine = letters.into_iter().filter(|letter| letter.role == role && letter.shard.is_some_and(|shard| shards.contains(&shard)));
    mine.filter(holds_up).filter_map(|letter| letter.order).collect()
}

/// A shipment that came too late holds nobody up, nor does what could not be read: nobody knows what it would have been.
fn holds_up(letter: &DeadLetter) -> bool {
    let is_readable = !MessageError::CODES.contains(&letter.cause.as_str());
    is_readable && letters::record(letter).is_some_and(|record| record.topic != Topic::Shipping)
}
