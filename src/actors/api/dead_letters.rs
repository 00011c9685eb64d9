//! Actions on dead letters: the decision is passed to the order, then the dead letter is closed.

use crate::actors::api::by_hand::{Word, claim_of_step, is_of_strays};
use crate::actors::api::decision::{DeadLetterAction, DeadLetterError};
use crate::actors::api::handle::NodeHandle;
use crate::actors::protocol::command::{CommandError, OrderCommand};
use crate::actors::protocol::inbound::Inbound;
use crate::db::{DeadLetterFilter, Outcome, Write};
use crate::domain::{Channel, DeadLetter, DeadLetterId, DeadLetterKind, DeadLetterState, NoticeKind, Role, Shard, Text};
use crate::saga::by_hand::{Done, Undo};
use crate::saga::dispute::Dispute;
use crate::saga::{Rejection, park};
use std::time::Duration;

const SHIPPED_UNPAID_HELP: &str = "the goods have left and the payment failed: compensate the order, or collect the money by other \
    means and close the dead letter as done";

const DISPUTED_HELP: &str = "accept the answer, or compensate: the order cannot continue before that";

impl NodeHandle {
    /// Carries out a person's decision on a dead letter, audited as `by`. The order gets its command first, then the dead letter is closed.
    /// A crash in between leaves the dead letter open, and acting on it again changes nothing.
    ///
    /// # Errors
    /// See [`DeadLetterError`].
    pub async fn act(
        &self,
        letter: DeadLetterId,
        action: DeadLetterAction,
        by: Text<100>,
        note: Option<Text<200>>,
        limit: Duration,
    ) -> Result<(), DeadLetterError> {
        let read = self.node.reads.letter(letter).await.map_err(|_| DeadLetterError::Unavailable)?;
        let letter = read.ok_or(DeadLetterError::NotFound)?;
        if letter.state != DeadLetterState::Open {
            return Err(DeadLetterError::Closed);
        }
        let overrules = action == DeadLetterAction::Overrule;
        let action = if overrules { DeadLetterAction::Done } else { action };
        if action == DeadLetterAction::Done && note.is_none() {
            return Err(DeadLetterError::NoNote);
        }
        let command = order_command(&letter, action)?;
        if let Some((role, shard)) = site(&letter, action, command.as_ref()).filter(|(role, shard)| !self.owns(*role, *shard)) {
            return Err(DeadLetterError::NotHere(role, shard));
        }
        if letter.kind == DeadLetterKind::Message && action == DeadLetterAction::Reprocess {
            self.take_again(&letter).await?;
        }
        if let (true, Some(order), Some(shard)) = (gives_back_strays(&letter, action), letter.order, letter.shard) {
            self.give_back_strays(order, shard).await?;
        }
        if let (DeadLetterAction::Done, Some(note)) = (action, &note) {
            self.hold_against_provider(&Word { letter: &letter, by: &by, note, overrules }, limit).await?;
        }
        if let (Some(command), Some(order)) = (command, letter.order) {
            match self.tell(order, command, limit).await {
                Ok(_) => {}
                // Whoever did it by hand has nothing more to ask of an order that has ended meanwhile.
                Err(CommandError::Rejected(Rejection::TooLate(_))) if action == DeadLetterAction::Done => {}
                Err(CommandError::Rejected(Rejection::ShippedUnpaid)) => return Err(DeadLetterError::NotApplicable(SHIPPED_UNPAID_HELP)),
                Err(CommandError::Rejected(Rejection::Disputed)) => return Err(DeadLetterError::NotApplicable(DISPUTED_HELP)),
                Err(CommandError::Rejected(_)) => return Err(DeadLetterError::NotApplicable("it is too late for that")),
                Err(CommandError::NotFound) => return Err(DeadLetterError::NotApplicable("its order does not exist")),
                Err(CommandError::NotHere | CommandError::Unavailable | CommandError::Unknown) => return Err(DeadLetterError::Unavailable),
            }
        }
        let state = match action {
            DeadLetterAction::Reprocess => DeadLetterState::Reprocessed,
            DeadLetterAction::Skip => DeadLetterState::Skipped,
            DeadLetterAction::Compensate => DeadLetterState::Compensated,
            DeadLetterAction::Discard => DeadLetterState::Discarded,
            DeadLetterAction::Done | DeadLetterAction::Overrule => DeadLetterState::Done,
            DeadLetterAction::Accept => DeadLetterState::Accepted,
        };
        let close = Write::CloseLetter { id: letter.id, state, by, note, at: self.node.now() };
        match self.write(close, limit).await {
            Ok(Outcome::Missing) => return Err(DeadLetterError::Closed),
            Ok(_) => {}
            Err(_) => return Err(DeadLetterError::Unavailable),
        }
        if letter.kind == DeadLetterKind::Notice && action == DeadLetterAction::Reprocess {
            self.retry_notice(&letter);
        }
        if action == DeadLetterAction::Compensate {
            self.supersede_others(&letter, limit).await;
        }
        Ok(())
    }

    /// Checks a report about money with the provider before anything depends on it.
    async fn hold_against_provider(&self, word: &Word<'_>, limit: Duration) -> Result<(), DeadLetterError> {
        let letter = word.letter;
        let (Some(order), Some(shard)) = (letter.order, letter.shard) else { return Ok(()) };
        if is_of_strays(letter) && self.owns(Role::Payment, shard) {
            return self.strays_are_gone(order, word, limit).await;
        }
        let Some(claim) = self.payment_claimed(letter).await? else { return Ok(()) };
        match self.pay_by_hand(order, claim, word, limit).await {
            // The row that could not be stored still cannot: then the order alone is told.
            Err(DeadLetterError::FailedAgain(_)) if letter.step.as_str() == park::STORE => Ok(()),
            booked => booked,
        }
    }

    /// Closes the order's other dead letters: it is being undone, so nobody needs to judge another team's answers any more. One that stays
    /// open does no harm.
    async fn supersede_others(&self, compensated: &DeadLetter, limit: Duration) {
        let filter = DeadLetterFilter {
            state: Some(DeadLetterState::Open),
            kind: Some(DeadLetterKind::Step),
            order: compensated.order,
            limit: 100,
            ..DeadLetterFilter::default()
        };
        let Ok(page) = self.node.reads.letters(filter).await else { return };
        let disputes = page.rows.into_iter().filter(|letter| Dispute::of_cause(letter.cause.as_str()).is_some());
        for letter in disputes.filter(|letter| letter.id != compensated.id) {
            let note = Some(Text::lossy("the order was compensated: nothing is left to do here"));
            let (state, by) = (DeadLetterState::Superseded, Text::lossy("ordermill"));
            drop(self.write(Write::CloseLetter { id: letter.id, state, by, note, at: self.node.now() }, limit).await);
        }
    }

    async fn take_again(&self, letter: &DeadLetter) -> Result<(), DeadLetterError> {
        let again = self
            .node
            .letters_again
            .get()
            .ok_or(DeadLetterError::NotApplicable("its message came from Kafka, which this node does not use"))?;
        again(letter.clone()).await.map_err(|why| why.map_or(DeadLetterError::Unavailable, DeadLetterError::FailedAgain))
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

/// Whether stray money must be refunded before the dead letter is closed or its order compensated, because the order's own steps do not
/// know of it.
fn gives_back_strays(letter: &DeadLetter, action: DeadLetterAction) -> bool {
    let goes_on = matches!(action, DeadLetterAction::Reprocess | DeadLetterAction::Compensate);
    goes_on && is_of_strays(letter)
}

/// The role and shard whose owner must carry out the decision; `None` if any node can.
fn site(letter: &DeadLetter, action: DeadLetterAction, command: Option<&OrderCommand>) -> Option<(Role, Shard)> {
    if action == DeadLetterAction::Done && claim_of_step(letter).is_some() {
        return letter.shard.map(|shard| (Role::Payment, shard));
    }
    let role = match (command, letter.kind, action) {
        (Some(_), ..) => Role::Order,
        (None, DeadLetterKind::Notice, DeadLetterAction::Reprocess) => Role::Notification,
        (None, DeadLetterKind::Message, DeadLetterAction::Reprocess) => letter.role,
        (None, ..) => return None,
    };
    letter.shard.map(|shard| (role, shard))
}

/// The command for the dead letter's order; `None` if the action needs none.
fn order_command(letter: &DeadLetter, action: DeadLetterAction) -> Result<Option<OrderCommand>, DeadLetterError> {
    if let (park::EXTERNAL, Some(undo)) = (letter.cause.as_str(), Undo::of_step(letter.step.as_str())) {
        return match action {
            DeadLetterAction::Done | DeadLetterAction::Overrule => {
                Ok(Some(OrderCommand::DoneByHand(Done { role: undo.role(), ..Done::of(letter) })))
            }
            // To pass over it would book it as undone, and nobody would have said so.
            DeadLetterAction::Reprocess
            | DeadLetterAction::Skip
            | DeadLetterAction::Compensate
            | DeadLetterAction::Discard
            | DeadLetterAction::Accept => {
                Err(DeadLetterError::NotApplicable("another team must undo it: close the dead letter as done when it has"))
            }
        };
    }
    if is_of_strays(letter) && action == DeadLetterAction::Skip {
        return Err(DeadLetterError::NotApplicable("the provider holds money: reprocess refunds it, done says that it was refunded"));
    }
    let dispute = Dispute::of_cause(letter.cause.as_str());
    match (letter.kind, action) {
        (_, DeadLetterAction::Accept) => {
            dispute.map(|dispute| Some(OrderCommand::Accept(dispute))).ok_or(DeadLetterError::NotApplicable("there is nothing to accept"))
        }
        (DeadLetterKind::Step, DeadLetterAction::Discard) if dispute.is_some() => {
            Err(DeadLetterError::NotApplicable("its order is parked: accept the answer, or compensate"))
        }
        (DeadLetterKind::Step, DeadLetterAction::Reprocess | DeadLetterAction::Skip) => Ok(Some(OrderCommand::Unpark)),
        (DeadLetterKind::Step | DeadLetterKind::Anomaly, DeadLetterAction::Compensate) => Ok(Some(OrderCommand::Compensate)),
        (DeadLetterKind::Step, DeadLetterAction::Discard) => {
            Err(DeadLetterError::NotApplicable("its order is parked: reprocess, skip or compensate it, or close it as done"))
        }
        (DeadLetterKind::Step, DeadLetterAction::Done | DeadLetterAction::Overrule) if dispute.is_some() => {
            Ok(dispute.map(OrderCommand::Accept))
        }
        (DeadLetterKind::Step, DeadLetterAction::Done | DeadLetterAction::Overrule) => Ok(match letter.cause.as_str() {
            // The money was collected outside, or the goods are back: either way this order ends.
            park::SHIPPED_UNPAID => Some(OrderCommand::Compensate),
            // The role tells the order.
            _ if claim_of_step(letter).is_some() => None,
            _other => Some(OrderCommand::DoneByHand(Done::of(letter))),
        }),
        (DeadLetterKind::Notice | DeadLetterKind::Message, DeadLetterAction::Compensate) => {
            Err(DeadLetterError::NotApplicable("there is nothing to compensate"))
        }
        (DeadLetterKind::Anomaly, DeadLetterAction::Reprocess) => Err(DeadLetterError::NotApplicable("an anomaly cannot be tried again")),
        (
            DeadLetterKind::Notice | DeadLetterKind::Message,
            DeadLetterAction::Reprocess
            | DeadLetterAction::Skip
            | DeadLetterAction::Discard
            | DeadLetterAction::Done
            | DeadLetterAction::Overrule,
        )
        | (
            DeadLetterKind::Anomaly,
            DeadLetterAction::Skip | DeadLetterAction::Discard | DeadLetterAction::Done | DeadLetterAction::Overrule,
        ) => Ok(None),
    }
}
