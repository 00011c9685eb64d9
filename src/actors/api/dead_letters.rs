//! Actions on dead letters: the decision is passed to the order, then the dead letter is closed.

use crate::actors::api::by_hand::{Word, claim_of_step, is_of_row};
use crate::actors::api::decision::{DeadLetterAction, DeadLetterError};
use crate::actors::api::handle::{NodeHandle, WriteError};
use crate::actors::protocol::command::{CommandError, OrderCommand};
use crate::actors::protocol::inbound::Inbound;
use crate::db::{AuditEntry, RowOutcome, StepOutcome, TypedWrite};
use crate::domain::{
    Channel, Closing, CorrelationId, DeadLetter, DeadLetterId, DeadLetterKind, DeadLetterState, NoticeKind, NoticeTask, OrderId, Role,
    Shard, Text,
};
use crate::saga::by_hand::{Done, Undo};
use crate::saga::dispute::Dispute;
use crate::saga::park::{is_of_old_form, is_of_strays};
use crate::saga::{Rejection, park};
use std::time::Duration;

const SHIPPED_UNPAID_HELP: &str = "the goods have left and the payment failed: compensate the order, or collect the money by other \
    means and close the dead letter as done";

const DISPUTED_HELP: &str = "accept the answer, or compensate: the order cannot continue before that";

const SKIP_NEXT: &str =
    "nothing is left to do about the money, but its order is still parked: skip this dead letter, and the order continues";

impl NodeHandle {
    /// Carries out a person's decision on a dead letter, audited as `by`. If the decision is a command to the order, or is stored with its
    /// payment or notice, the same transaction closes the dead letter. Otherwise it is carried out first, and the dead letter closed after: a crash in between
    /// leaves the dead letter open, and acting on it again changes nothing.
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
        let letter = self.letter(letter).await?;
        if letter.state != DeadLetterState::Open {
            return Err(DeadLetterError::Closed);
        }
        if matches!(action, DeadLetterAction::Done { .. }) && note.is_none() {
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
        let closing = Closing { id: letter.id, state: action.closes_as(), by, note, overrules: None, at: self.node.now() };
        // Whoever stores it takes it.
        let mut left = Some(closing);
        if let (DeadLetterAction::Done { overrules }, Some(closing)) = (action, left.clone()) {
            left = self.hold_against_provider(&letter, Word { overrules, closing }, limit).await?;
        }
        if let (Some(command), Some(order), Some(closing)) = (command, letter.order, left.clone()) {
            left = self.decide_order(&letter, action, (order, command), closing, limit).await?;
        }
        if let (DeadLetterKind::Notice, DeadLetterAction::Reprocess, Some(closing)) = (letter.kind, action, left.clone()) {
            left = self.ask_for_notice(&letter, closing, limit).await?;
        }
        match left {
            Some(closing) => self.close(closing, limit).await,
            None => Ok(()),
        }
    }

    /// Whether this person has decided so before, with this note.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn has_acted(
        &self,
        letter: DeadLetterId,
        action: DeadLetterAction,
        by: &Text<100>,
        note: Option<&Text<200>>,
    ) -> Result<bool, DeadLetterError> {
        let audit = self.node.reads.audit(letter.0.to_string()).await.map_err(|_| DeadLetterError::Unavailable)?;
        let is_it = |entry: &AuditEntry| {
            let noted = (entry.by.as_str(), entry.action.as_str(), entry.note.as_deref());
            noted == (by.as_str(), action.closes_as().name(), note.map(Text::as_str))
        };
        Ok(audit.iter().any(is_it))
    }

    async fn letter(&self, id: DeadLetterId) -> Result<DeadLetter, DeadLetterError> {
        self.node.reads.letter(id).await.map_err(|_| DeadLetterError::Unavailable)?.ok_or(DeadLetterError::NotFound)
    }

    /// Gives the order its command, which closes the dead letter in the same transaction: returns how, if it did not.
    async fn decide_order(
        &self,
        letter: &DeadLetter,
        action: DeadLetterAction,
        (order, command): (OrderId, OrderCommand),
        closing: Closing,
        limit: Duration,
    ) -> Result<Option<Closing>, DeadLetterError> {
        let decided = match self.decide(order, command, closing.clone(), limit).await {
            // Whoever did it by hand has nothing more to ask of an order that has ended meanwhile. It may still be parked for this.
            Err(CommandError::Rejected(Rejection::TooLate(_))) if matches!(action, DeadLetterAction::Done { .. }) => {
                self.decide(order, unpark(letter), closing.clone(), limit).await
            }
            decided => decided,
        };
        match decided {
            // A decision that changed nothing was not stored.
            Ok(_) => Ok(if self.is_audited(&closing).await? { None } else { Some(closing) }),
            Err(CommandError::Rejected(Rejection::ShippedUnpaid)) => Err(DeadLetterError::NotApplicable(SHIPPED_UNPAID_HELP)),
            Err(CommandError::Rejected(Rejection::Disputed)) => Err(DeadLetterError::NotApplicable(DISPUTED_HELP)),
            Err(CommandError::Rejected(_)) => Err(DeadLetterError::NotApplicable("it is too late for that")),
            Err(CommandError::NotFound) => Err(DeadLetterError::NotApplicable("its order does not exist")),
            // What the payment's node had to do is done.
            Err(CommandError::NotHere) if is_of_strays(letter) || is_of_row(letter) => {
                self.is_not_parked(order).await.map(|()| Some(closing))
            }
            Err(CommandError::NotHere | CommandError::Unavailable | CommandError::Unknown) => Err(DeadLetterError::Unavailable),
        }
    }

    /// # Errors
    /// The order is parked, so that closing the dead letter here would leave it so: its own node must unpark it.
    async fn is_not_parked(&self, order: OrderId) -> Result<(), DeadLetterError> {
        let stored = self.node.reads.order(order).await.map_err(|_| DeadLetterError::Unavailable)?;
        if stored.is_some_and(|stored| stored.record.parked.is_some()) { Err(DeadLetterError::NotApplicable(SKIP_NEXT)) } else { Ok(()) }
    }

    /// Closes the dead letter of a decision that was not stored with its effect.
    async fn close(&self, closing: Closing, limit: Duration) -> Result<(), DeadLetterError> {
        let (id, state) = (closing.id, closing.state);
        match self.write(TypedWrite::close_letter(closing), limit).await {
            Ok(Some(RowOutcome::Missing)) => {}
            Ok(Some(RowOutcome::Done) | None) => return Ok(()),
            Err(_) => return Err(DeadLetterError::Unavailable),
        }
        if self.letter(id).await?.state == state { Ok(()) } else { Err(DeadLetterError::Closed) }
    }

    /// Whether the decision was stored with its effect. It is audited then, and counts even if another person closed the dead letter
    /// differently in the meantime, or it is open again because the step failed again.
    async fn is_audited(&self, closing: &Closing) -> Result<bool, DeadLetterError> {
        let audit = self.node.reads.audit(closing.id.0.to_string()).await.map_err(|_| DeadLetterError::Unavailable)?;
        let is_it = |entry: &AuditEntry| {
            (entry.at, entry.by.as_str(), entry.action.as_str()) == (closing.at, closing.by.as_str(), closing.state.name())
        };
        Ok(audit.iter().any(is_it))
    }

    /// Checks a report about money with the provider before anything depends on it. Returns how the dead letter is to be closed, unless what
    /// was stored closed it.
    async fn hold_against_provider(&self, letter: &DeadLetter, word: Word, limit: Duration) -> Result<Option<Closing>, DeadLetterError> {
        let Some(order) = letter.order else { return Ok(Some(word.closing)) };
        if is_of_strays(letter) {
            return self.strays_are_gone(order, word, limit).await.map(Some);
        }
        let Some(claim) = self.payment_claimed(letter).await? else { return Ok(Some(word.closing)) };
        self.pay_by_hand(order, claim, word, limit).await
    }

    async fn take_again(&self, letter: &DeadLetter) -> Result<(), DeadLetterError> {
        let again = self
            .node
            .letters_again
            .get()
            .ok_or(DeadLetterError::NotApplicable("its message came from Kafka, which this node does not use"))?;
        again(letter.clone()).await.map_err(|why| why.map_or(DeadLetterError::Unavailable, DeadLetterError::FailedAgain))
    }

    /// Stores the notice as one that is to be sent, in the transaction that closes its dead letter, and has it sent. Returns how that is to be
    /// closed, if it was not: the notice was sent or withdrawn after all.
    async fn ask_for_notice(&self, letter: &DeadLetter, closing: Closing, limit: Duration) -> Result<Option<Closing>, DeadLetterError> {
        let named = letter.step.as_str().split_once('/');
        let notice = named.and_then(|(kind, channel)| Some((NoticeKind::from_name(kind)?, Channel::from_name(channel)?)));
        let (Some(order), Some(shard), Some((kind, channel))) = (letter.order, letter.shard, notice) else {
            return Ok(Some(closing));
        };
        let (task, correlation) = (NoticeTask::asked_for(order, kind, channel, self.node.now()), CorrelationId::of(order.0));
        let stores = Some(Box::new(closing.clone()));
        let write = TypedWrite::save_notice(task, (shard, correlation), None, None, stores);
        let stored = self.write(write, limit).await;
        // Stored, or perhaps: what is not there is not sent.
        if let Some(inbox) = self.node.inbox_of(shard) {
            inbox.push(Inbound::RetryNotice { order, kind, channel });
        }
        match stored {
            // Of a batch whose commit was in doubt it is not known how it was decided: the dead letter says it.
            Ok(Some(StepOutcome::Repeated(_)) | None) => Ok(Some(closing)),
            Ok(Some(StepOutcome::Done)) => Ok(None),
            Err(WriteError::Refused(why)) => Err(DeadLetterError::FailedAgain(why.to_string())),
            Err(WriteError::NotStored | WriteError::Unknown) => Err(DeadLetterError::Unavailable),
        }
    }
}

/// Whether stray money must be refunded before the dead letter is closed, because the order's own steps do not know of it.
fn gives_back_strays(letter: &DeadLetter, action: DeadLetterAction) -> bool {
    let goes_on = matches!(action, DeadLetterAction::Reprocess | DeadLetterAction::Compensate);
    goes_on && is_of_strays(letter)
}

/// The role and shard whose owner must carry out the decision; `None` if any node can.
fn site(letter: &DeadLetter, action: DeadLetterAction, command: Option<&OrderCommand>) -> Option<(Role, Shard)> {
    let is_done = matches!(action, DeadLetterAction::Done { .. });
    let is_of_payment = is_of_strays(letter) && action != DeadLetterAction::Skip;
    if is_of_payment || (is_done && (claim_of_step(letter).is_some() || is_of_row(letter))) {
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

/// Unparks the order if it is parked for this. What earlier versions wrote of several steps is one dead letter: the order may be parked for
/// an earlier one.
fn unpark(letter: &DeadLetter) -> OrderCommand {
    OrderCommand::Unpark((!is_of_old_form(letter)).then(|| letter.cause.clone()))
}

/// The command for the dead letter's order; `None` if the action needs none.
fn order_command(letter: &DeadLetter, action: DeadLetterAction) -> Result<Option<OrderCommand>, DeadLetterError> {
    if let (park::EXTERNAL, Some(undo)) = (letter.cause.as_str(), Undo::of_step(letter.step.as_str())) {
        return match action {
            DeadLetterAction::Done { .. } => Ok(Some(OrderCommand::DoneByHand(Done { role: undo.role(), ..Done::of(letter) }))),
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
    let unpark = || unpark(letter);
    if is_of_strays(letter) {
        return match action {
            // An earlier version parked its order.
            DeadLetterAction::Skip if is_of_old_form(letter) => Ok(Some(unpark())),
            DeadLetterAction::Reprocess | DeadLetterAction::Compensate | DeadLetterAction::Done { .. } => {
                Ok(is_of_old_form(letter).then(unpark))
            }
            DeadLetterAction::Skip | DeadLetterAction::Discard | DeadLetterAction::Accept => {
                Err(DeadLetterError::NotApplicable("the provider holds money: reprocess refunds it, done says that it was refunded"))
            }
        };
    }
    let dispute = Dispute::of_cause(letter.cause.as_str());
    match (letter.kind, action) {
        (_, DeadLetterAction::Accept) => {
            dispute.map(|dispute| Some(OrderCommand::Accept(dispute))).ok_or(DeadLetterError::NotApplicable("there is nothing to accept"))
        }
        (DeadLetterKind::Step, DeadLetterAction::Discard) if dispute.is_some() => {
            Err(DeadLetterError::NotApplicable("its order is parked: accept the answer, or compensate"))
        }
        (DeadLetterKind::Step, DeadLetterAction::Reprocess | DeadLetterAction::Skip) => Ok(Some(unpark())),
        (DeadLetterKind::Step | DeadLetterKind::Anomaly, DeadLetterAction::Compensate) => Ok(Some(OrderCommand::Compensate)),
        (DeadLetterKind::Step, DeadLetterAction::Discard) => {
            Err(DeadLetterError::NotApplicable("its order is parked: reprocess, skip or compensate it, or close it as done"))
        }
        (DeadLetterKind::Step, DeadLetterAction::Done { .. }) if dispute.is_some() => Ok(dispute.map(OrderCommand::Accept)),
        (DeadLetterKind::Step, DeadLetterAction::Done { .. }) => Ok(match letter.cause.as_str() {
            // The money was collected outside, or the goods are back: either way this order ends.
            park::SHIPPED_UNPAID => Some(OrderCommand::Compensate),
            // The role tells the order.
            _ if claim_of_step(letter).is_some() => None,
            _ if is_of_row(letter) => Some(unpark()),
            _other => Some(OrderCommand::DoneByHand(Done::of(letter))),
        }),
        (DeadLetterKind::Notice | DeadLetterKind::Message, DeadLetterAction::Compensate) => {
            Err(DeadLetterError::NotApplicable("there is nothing to compensate"))
        }
        (DeadLetterKind::Anomaly, DeadLetterAction::Reprocess) => Err(DeadLetterError::NotApplicable("an anomaly cannot be tried again")),
        (
            DeadLetterKind::Notice | DeadLetterKind::Message,
            DeadLetterAction::Reprocess | DeadLetterAction::Skip | DeadLetterAction::Discard | DeadLetterAction::Done { .. },
        )
        | (DeadLetterKind::Anomaly, DeadLetterAction::Skip | DeadLetterAction::Discard | DeadLetterAction::Done { .. }) => Ok(None),
    }
}
