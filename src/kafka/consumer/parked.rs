//! The orders of which a message is a dead letter, so that the later ones wait behind it; and how they go on.

use super::letters::{self, WAITS};
use super::processor::{MessageProcessor, Work};
use super::{InboundError, ReprocessError};
use crate::db::{DeadLetterFilter, Reads, StoreError};
use crate::domain::{DeadLetter, DeadLetterKind, DeadLetterState, OrderId, Role, Shard, Topic};
use crate::kafka::message::MessageError;
use crate::kafka::read;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

/// Letters read at once.
const PAGE: u32 = 500;

/// Most pages of one reading; past it the newest letters are all that is looked at, until a person has closed some.
const PAGES: usize = 40;

/// What stands with a parked order.
#[derive(Debug)]
pub(super) enum Standing {
    /// A person must decide first.
    Blocked,
    /// This letter's message is the next one to be taken.
    Next(Box<DeadLetter>),
    /// Nothing waits any more.
    Free,
}

/// The orders of these shards that are parked for this role.
pub(super) async fn load(reads: &Arc<dyn Reads>, role: Role, shards: &BTreeSet<Shard>) -> Result<Vec<OrderId>, StoreError> {
    let letters = open_letters(reads, None).await?;
    let mine = letters.into_iter().filter(|letter| letter.role == role && letter.shard.is_some_and(|shard| shards.contains(&shard)));
    Ok(mine.filter(holds_up).filter_map(|letter| letter.order).collect())
}

/// What was parked on partitions that are given up is forgotten: who listens to them next reads it anew.
pub(super) fn forget(parked: &mut HashSet<OrderId>, round: &mut Vec<OrderId>, is_ours: impl Fn(OrderId) -> bool) {
    parked.retain(|order| is_ours(*order));
    round.retain(|order| is_ours(*order));
}

/// How it stands with an order.
pub(super) async fn standing(reads: &Arc<dyn Reads>, role: Role, order: OrderId) -> Result<Standing, StoreError> {
    let mut letters = open_letters(reads, Some(order)).await?;
    letters.retain(|letter| letter.role == role && holds_up(letter));
    if letters.iter().any(|letter| letter.cause.as_str() != WAITS) {
        return Ok(Standing::Blocked);
    }
    let place = |letter: &DeadLetter| letters::record(letter).map(|record| (letter.created_at, record.topic, record.offset));
    let next = letters.into_iter().min_by_key(place);
    Ok(next.map_or(Standing::Free, |letter| Standing::Next(Box::new(letter))))
}

/// A shipment that came too late holds nobody up, nor does what could not be read: nobody knows what it would have been.
fn holds_up(letter: &DeadLetter) -> bool {
    let is_readable = !MessageError::CODES.contains(&letter.cause.as_str());
    is_readable && letters::record(letter).is_some_and(|record| record.topic != Topic::Shipping)
}

async fn open_letters(reads: &Arc<dyn Reads>, order: Option<OrderId>) -> Result<Vec<DeadLetter>, StoreError> {
    let mut all = Vec::new();
    let mut filter = DeadLetterFilter {
        state: Some(DeadLetterState::Open),
        kind: Some(DeadLetterKind::Message),
        order,
        limit: PAGE,
        ..DeadLetterFilter::default()
    };
    for _ in 0..PAGES {
        let page = reads.letters(filter.clone()).await?;
        all.extend(page.rows);
        filter.before = page.next;
        if page.next.is_none() {
            break;
        }
    }
    Ok(all)
}

/// Takes a letter's message once, for a person who waits for the answer.
pub(super) async fn take_again(processor: &MessageProcessor, letter: &DeadLetter) -> Result<(), ReprocessError> {
    let unreadable = |why: &str| ReprocessError::Unreadable(why.to_owned());
    let record = letters::record(letter).ok_or_else(|| unreadable("its message was too long to be kept"))?;
    let event = match Work::of(&record, processor.role, &processor.reading) {
        Work::Pass => return Ok(()),
        Work::Hear(event) => event,
        // A person has it taken here; its place does not matter any more.
        Work::Move(_) => read::read(&record, &processor.reading).map_err(|unread| unreadable(&unread.error.to_string()))?,
        Work::Unreadable(unread) => return Err(unreadable(&unread.error.to_string())),
    };
    match processor.handle(record.topic, &event).await {
        Ok(()) => Ok(()),
        Err(InboundError::Away(why)) => Err(ReprocessError::Away(why)),
        Err(InboundError::Failed { detail, .. } | InboundError::Never { detail, .. }) => Err(ReprocessError::Failed(detail)),
    }
}
