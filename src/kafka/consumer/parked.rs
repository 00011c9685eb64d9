//! The orders of which a message is a dead letter, so that the later ones wait behind it; and how they go on.

use super::core::letters;
use super::core::standing::{self, Standing};
use super::core::work::Work;
use super::parts::{InboundError, ReprocessError};
use super::processor::MessageProcessor;
use crate::db::{DeadLetterFilter, Reads, StoreError};
use crate::domain::{DeadLetter, DeadLetterKind, DeadLetterState, OrderId, Role, Shard};
use crate::kafka::read;
use std::collections::BTreeSet;
use std::sync::Arc;

/// So many times `kafka.probe_ms` pass between two searches for parked orders: all open letters of messages are read, and there may be many.
pub const FIND_PROBES: u32 = 15;

/// Letters read at once.
const PAGE: u32 = 500;

/// Most pages of one reading; past it the newest letters are all that is looked at, until a person has closed some.
const PAGES: usize = 40;

/// The orders of these shards that are parked for this role.
///
/// # Errors
/// The letters could not be read.
pub async fn load(reads: &Arc<dyn Reads>, role: Role, shards: &BTreeSet<Shard>) -> Result<Vec<OrderId>, StoreError> {
    Ok(standing::parked(role, shards, open_letters(reads, None).await?))
}

/// How it stands with an order.
///
/// # Errors
/// The letters could not be read.
pub async fn standing(reads: &Arc<dyn Reads>, role: Role, order: OrderId) -> Result<Standing, StoreError> {
    Ok(Standing::of(role, open_letters(reads, Some(order)).await?))
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
///
/// # Errors
/// See [`ReprocessError`].
pub async fn take_again(processor: &MessageProcessor, letter: &DeadLetter) -> Result<(), ReprocessError> {
    let unreadable = |why: &str| ReprocessError::Unreadable(why.to_owned());
    let record = letters::record(letter).ok_or_else(|| unreadable("its message was too long to be kept"))?;
    let event = match Work::of(&record, processor.role, &processor.reading) {
        Work::Pass => return Ok(()),
        Work::Hear(event) => event,
        // A person has it taken here; its place does not matter any more.
        Work::Move(_) => read::read(&record, &processor.reading).map_err(|unread| unreadable(&unread.error.to_string()))?,
        Work::Unreadable(unread) => return Err(unreadable(&unread.error.to_string())),
    };
    match processor.handle(&record, &event).await {
        Ok(()) => Ok(()),
        Err(InboundError::Away(why)) => Err(ReprocessError::Away(why)),
        Err(InboundError::Failed { detail, .. } | InboundError::Never { detail, .. }) => Err(ReprocessError::Failed(detail)),
    }
}
