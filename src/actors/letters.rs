//! The desk's side of the front: what a person decides about a dead letter is told to its order, then the letter is closed.

use super::front::{CommandError, Front};
use super::inbox::{Inbound, OrderCommand};
use crate::db::{Outcome, Write};
use crate::domain::{Channel, DeadLetter, LetterId, LetterKind, LetterState, NoticeKind, Role, Shard, Text};
use crate::saga::by_hand::{self, Undo};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;

/// What a person does with a dead letter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LetterAction {
    /// Try again: a parked order is driven on, a notice is sent again, a message is taken again.
    Reprocess,
    /// Pass over it: a parked order is driven on without a new try being counted; a message is passed over.
    Skip,
    /// Cancel the order and undo what was done.
    Compensate,
    /// Put it away; refused for a parked order.
    Discard,
}

/// Why an action on a letter was not done.
#[derive(Debug, thiserror::Error)]
pub enum LetterError {
    /// No such letter: 404.
    #[error("no such dead letter")]
    NotFound,
    /// It is closed already: 409.
    #[error("the dead letter is closed")]
    Closed,
    /// The action makes no sense for it: 409.
    #[error("{0}")]
    NotApplicable(&'static str),
    /// Its message failed again: 409.
    #[error("the message failed again: {0}")]
    FailedAgain(String),
    /// What it asks is another node's to do, the owner of the order in this role: it takes the action, or 503.
    #[error("the order's owner is another node")]
    NotHere(Role, Shard),
    /// Not now: 503.
    #[error("the dead letter cannot be changed now")]
    Unavailable,
}

/// Takes a dead letter's message again. It failed again: the reason; it cannot be taken now: none.
pub type LetterAgain = Arc<dyn Fn(DeadLetter) -> BoxFuture<'static, Result<(), Option<String>>> + Send + Sync>;

impl Front {
    /// Does what a person decided about a dead letter, audited as `by`. The order is told first, the letter closed after: a crash
    /// between leaves the letter open, and closing it again changes nothing.
    ///
    /// # Errors
    /// See [`LetterError`].
    pub async fn act(
        &self,
        letter: LetterId,
        action: LetterAction,
        by: Text<100>,
        note: Option<Text<200>>,
        limit: Duration,
    ) -> Result<(), LetterError> {
        let read = self.node.reads.letter(letter).await.map_err(|_| LetterError::Unavailable)?;
        let letter = read.ok_or(LetterError::NotFound)?;
        if letter.state != LetterState::Open {
            return Err(LetterError::Closed);
        }
        let command = order_command(&letter, action)?;
        if let Some((role, shard)) = site(&letter, action, command.as_ref()).filter(|(role, shard)| !self.owns(*role, *shard)) {
            return Err(LetterError::NotHere(role, shard));
        }
        if letter.kind == LetterKind::Message && action == LetterAction::Reprocess {
            self.take_again(&letter).await?;
        }
        if let (Some(command), Some(order)) = (command, letter.order) {
            match self.tell(order, command, limit).await {
                Ok(_) => {}
                Err(CommandError::Rejected(_)) => return Err(LetterError::NotApplicable("the order is past that")),
                Err(CommandError::NotFound) => return Err(LetterError::NotApplicable("its order does not exist")),
                Err(CommandError::NotHere | CommandError::Unavailable | CommandError::Unknown) => return Err(LetterError::Unavailable),
            }
        }
        let state = match action {
            LetterAction::Reprocess => LetterState::Reprocessed,
            LetterAction::Skip => LetterState::Skipped,
            LetterAction::Compensate => LetterState::Compensated,
            LetterAction::Discard => LetterState::Discarded,
        };
        let close = Write::CloseLetter { id: letter.id, state, by, note, at: self.node.now() };
        match self.write(close, limit).await {
            Ok(Outcome::Missing) => return Err(LetterError::Closed),
            Ok(_) => {}
            Err(_) => return Err(LetterError::Unavailable),
        }
        if letter.kind == LetterKind::Notice && action == LetterAction::Reprocess {
            self.retry_notice(&letter);
        }
        Ok(())
    }

    async fn take_again(&self, letter: &DeadLetter) -> Result<(), LetterError> {
        let again =
            self.node.letters_again.get().ok_or(LetterError::NotApplicable("its message came from Kafka, which this node has not"))?;
        again(letter.clone()).await.map_err(|why| why.map_or(LetterError::Unavailable, LetterError::FailedAgain))
    }

    fn retry_notice(&self, letter: &DeadLetter) {
        let named = letter.step.as_str().split_once('/');
        let notice = named.and_then(|(kind, channel)| Some((NoticeKind::from_name(kind)?, Channel::from_name(channel)?)));
        let inbox = letter.shard.and_then(|shard| self.node.inbox_of(shard));
        if let (Some(order), Some((kind, channel)), Some(inbox)) = (letter.order, notice, inbox) {
            inbox.push(Inbound::RetryNotice { order, kind, channel });
        }
    }
}

/// In which role the owner of the letter's order does what is decided; none where any node can.
fn site(letter: &DeadLetter, action: LetterAction, command: Option<&OrderCommand>) -> Option<(Role, Shard)> {
    let role = match (command, letter.kind, action) {
        (Some(_), ..) => Role::Order,
        (None, LetterKind::Notice, LetterAction::Reprocess) => Role::Notification,
        (None, LetterKind::Message, LetterAction::Reprocess) => letter.role,
        (None, ..) => return None,
    };
    letter.shard.map(|shard| (role, shard))
}

/// What an action asks of the letter's order; none where it asks nothing.
fn order_command(letter: &DeadLetter, action: LetterAction) -> Result<Option<OrderCommand>, LetterError> {
    if let (by_hand::EXTERNAL, Some(undo)) = (letter.cause.as_str(), Undo::of_step(letter.step.as_str())) {
        return match action {
            LetterAction::Skip => Ok(Some(OrderCommand::UndoneByHand(undo))),
            LetterAction::Reprocess | LetterAction::Compensate | LetterAction::Discard => {
                Err(LetterError::NotApplicable("another team undoes it: skip the letter when that is done"))
            }
        };
    }
    match (letter.kind, action) {
        (LetterKind::Step, LetterAction::Reprocess | LetterAction::Skip) => Ok(Some(OrderCommand::Unpark)),
        (LetterKind::Step | LetterKind::Anomaly, LetterAction::Compensate) => Ok(Some(OrderCommand::Compensate)),
        (LetterKind::Step, LetterAction::Discard) => {
            Err(LetterError::NotApplicable("its order is parked: reprocess, skip or compensate it"))
        }
        (LetterKind::Notice | LetterKind::Message, LetterAction::Compensate) => {
            Err(LetterError::NotApplicable("there is nothing to compensate"))
        }
        (LetterKind::Anomaly, LetterAction::Reprocess) => Err(LetterError::NotApplicable("an anomaly cannot be tried again")),
        (LetterKind::Notice | LetterKind::Message, LetterAction::Reprocess | LetterAction::Skip | LetterAction::Discard)
        | (LetterKind::Anomaly, LetterAction::Skip | LetterAction::Discard) => Ok(None),
    }
}
