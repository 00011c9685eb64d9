//! The dead letters side of the handle: what a person decides about a dead letter is told to its order, then the letter is closed.

use crate::actors::api::handle::NodeHandle;
use crate::actors::protocol::command::{CommandError, OrderCommand};
use crate::actors::protocol::inbound::Inbound;
use crate::actors::roles::order::CHARGE;
use crate::actors::roles::payment::task::{REFUND, STRAY_REFUND, VOID};
use crate::db::{Outcome, Write};
use crate::domain::{
    BY_HAND, Channel, DeadLetter, DeadLetterId, DeadLetterKind, DeadLetterState, NoticeKind, OrderId, Payment, PaymentStatus, Role, Shard,
    Text,
};
use crate::saga::by_hand::{Done, Undo};
use crate::saga::dispute::Dispute;
use crate::saga::{Rejection, park};
use std::time::Duration;

const SHIPPED_UNPAID_HELP: &str =
    "the goods have left and the payment failed: compensate the order, or collect the money outside and close the letter as done";

const DISPUTED_HELP: &str = "accept what was said, or compensate: its order cannot go on before";

/// What a person does with a dead letter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeadLetterAction {
    /// Try again: a parked order is driven on, a notice is sent again, a message is taken again.
    Reprocess,
    /// Pass over it: a parked order is driven on without a new try being counted; a message is passed over.
    Skip,
    /// Cancel the order and undo what was done.
    Compensate,
    /// Put it away; refused for a parked order.
    Discard,
    /// A person has done outside what had failed, and says so in the note: the order goes on.
    Done,
    /// The order goes on with what another team's role said, though it is not what was ordered.
    Accept,
}

/// Why an action on a letter was not done.
#[derive(Debug, thiserror::Error)]
pub enum DeadLetterError {
    /// No such letter: 404.
    #[error("no such dead letter")]
    NotFound,
    /// It is closed already: 409.
    #[error("the dead letter is closed")]
    Closed,
    /// The action makes no sense for it: 409.
    #[error("{0}")]
    NotApplicable(&'static str),
    /// Done by hand needs a note that says what was done: 400.
    #[error("the note is missing: say what was done, and where")]
    NoNote,
    /// Its message, or the provider, failed again: 409.
    #[error("it failed again: {0}")]
    FailedAgain(String),
    /// What it asks is another node's to do, the owner of the order in this role: it takes the action, or 503.
    #[error("the order's owner is another node")]
    NotHere(Role, Shard),
    /// Not now: 503.
    #[error("the dead letter cannot be changed now")]
    Unavailable,
}

impl NodeHandle {
    /// Does what a person decided about a dead letter, audited as `by`. The order is told first, the letter closed after: a crash
    /// between leaves the letter open, and closing it again changes nothing.
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
        if action == DeadLetterAction::Done && note.is_none() {
            return Err(DeadLetterError::NoNote);
        }
        let command = order_command(&letter, action)?;
        let payment = payment_by_hand(&letter, action);
        if let Some((role, shard)) = site(&letter, action, command.as_ref(), payment).filter(|(role, shard)| !self.owns(*role, *shard)) {
            return Err(DeadLetterError::NotHere(role, shard));
        }
        if letter.kind == DeadLetterKind::Message && action == DeadLetterAction::Reprocess {
            self.take_again(&letter).await?;
        }
        if let (true, Some(order), Some(shard)) = (gives_back_strays(&letter, action), letter.order, letter.shard) {
            self.give_back_strays(order, shard).await?;
        }
        if let (Some(status), Some(order), Some(note)) = (payment, letter.order, &note) {
            self.pay_by_hand(order, status, note, limit).await?;
        }
        if let (Some(command), Some(order)) = (command, letter.order) {
            match self.tell(order, command, limit).await {
                Ok(_) => {}
                // Whoever did it by hand has nothing more to ask of an order that has ended meanwhile.
                Err(CommandError::Rejected(Rejection::TooLate(_))) if action == DeadLetterAction::Done => {}
                Err(CommandError::Rejected(Rejection::ShippedUnpaid)) => return Err(DeadLetterError::NotApplicable(SHIPPED_UNPAID_HELP)),
                Err(CommandError::Rejected(Rejection::Disputed)) => return Err(DeadLetterError::NotApplicable(DISPUTED_HELP)),
                Err(CommandError::Rejected(_)) => return Err(DeadLetterError::NotApplicable("the order is past that")),
                Err(CommandError::NotFound) => return Err(DeadLetterError::NotApplicable("its order does not exist")),
                Err(CommandError::NotHere | CommandError::Unavailable | CommandError::Unknown) => return Err(DeadLetterError::Unavailable),
            }
        }
        let state = match action {
            DeadLetterAction::Reprocess => DeadLetterState::Reprocessed,
            DeadLetterAction::Skip => DeadLetterState::Skipped,
            DeadLetterAction::Compensate => DeadLetterState::Compensated,
            DeadLetterAction::Discard => DeadLetterState::Discarded,
            DeadLetterAction::Done => DeadLetterState::Done,
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
        Ok(())
    }

    /// Stores what a person did about a payment as the payment role's outcome; the order hears of it as of any other.
    async fn pay_by_hand(&self, order: OrderId, status: PaymentStatus, note: &Text<200>, limit: Duration) -> Result<(), DeadLetterError> {
        let reads = &self.node.reads;
        let known = reads.known_order(order).await.map_err(|_| DeadLetterError::Unavailable)?;
        let order = known.ok_or(DeadLetterError::NotApplicable("its order does not exist"))?;
        let row = reads.payment(order.id).await.map_err(|_| DeadLetterError::Unavailable)?;
        let mut payment = Payment::of(&order, row.map_or(1, |row| row.attempt), status, self.node.now());
        payment.reason = Some(Text::lossy(&format!("{BY_HAND}: {note}")));
        let event = payment.answer(order.shard, order.correlation);
        let write = Write::SavePayment { payment, shard: order.shard, correlation: order.correlation, event, letter: None };
        match self.write(write, limit).await {
            // Of a batch whose commit was in doubt it is not known how it was decided: the row says it.
            Ok(outcome @ (Outcome::Repeated(_) | Outcome::Recorded)) => {
                let answers = if let Outcome::Repeated(answers) = outcome { answers } else { Vec::new() };
                let stored = reads.payment(order.id).await.map_err(|_| DeadLetterError::Unavailable)?;
                if stored.is_none_or(|stored| stored.status != status) {
                    return Err(DeadLetterError::NotApplicable("the payment has another outcome already: look at the order"));
                }
                // It may not have been heard.
                if let Some(inbox) = self.node.inbox_of(order.shard) {
                    answers.into_iter().for_each(|answer| inbox.push(Inbound::Again(answer)));
                }
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(_) => Err(DeadLetterError::Unavailable),
        }
    }

    async fn take_again(&self, letter: &DeadLetter) -> Result<(), DeadLetterError> {
        let again =
            self.node.letters_again.get().ok_or(DeadLetterError::NotApplicable("its message came from Kafka, which this node has not"))?;
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

/// What a payment is once a person has done by hand the step that a letter is about; none where the step is no payment's or another
/// team's.
fn payment_by_hand(letter: &DeadLetter, action: DeadLetterAction) -> Option<PaymentStatus> {
    if action != DeadLetterAction::Done || letter.kind != DeadLetterKind::Step || letter.cause.as_str() != park::PROVIDER {
        return None;
    }
    match letter.step.as_str() {
        CHARGE => Some(PaymentStatus::Charged),
        VOID => Some(PaymentStatus::Cancelled),
        REFUND => Some(PaymentStatus::Refunded),
        _other => None,
    }
}

/// Whether the letter is closed as tried again, or its order undone, only once the money of which no row tells is given back: the
/// order's own steps know nothing of it.
fn gives_back_strays(letter: &DeadLetter, action: DeadLetterAction) -> bool {
    let goes_on = matches!(action, DeadLetterAction::Reprocess | DeadLetterAction::Compensate);
    goes_on && letter.kind == DeadLetterKind::Step && letter.step.as_str() == STRAY_REFUND
}

/// In which role the owner of the letter's order does what is decided; none where any node can.
fn site(
    letter: &DeadLetter,
    action: DeadLetterAction,
    command: Option<&OrderCommand>,
    payment: Option<PaymentStatus>,
) -> Option<(Role, Shard)> {
    if payment.is_some() {
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

/// What an action asks of the letter's order; none where it asks nothing.
fn order_command(letter: &DeadLetter, action: DeadLetterAction) -> Result<Option<OrderCommand>, DeadLetterError> {
    if let (park::EXTERNAL, Some(undo)) = (letter.cause.as_str(), Undo::of_step(letter.step.as_str())) {
        return match action {
            DeadLetterAction::Skip | DeadLetterAction::Done => {
                Ok(Some(OrderCommand::DoneByHand(Done { role: undo.role(), ..Done::of(letter) })))
            }
            DeadLetterAction::Reprocess | DeadLetterAction::Compensate | DeadLetterAction::Discard | DeadLetterAction::Accept => {
                Err(DeadLetterError::NotApplicable("another team undoes it: close the letter as done when that is so"))
            }
        };
    }
    let dispute = Dispute::of_cause(letter.cause.as_str());
    match (letter.kind, action) {
        (_, DeadLetterAction::Accept) => {
            dispute.map(|dispute| Some(OrderCommand::Accept(dispute))).ok_or(DeadLetterError::NotApplicable("there is nothing to accept"))
        }
        (DeadLetterKind::Step, DeadLetterAction::Discard) if dispute.is_some() => {
            Err(DeadLetterError::NotApplicable("its order is parked: accept what was said, or compensate"))
        }
        (DeadLetterKind::Step, DeadLetterAction::Reprocess | DeadLetterAction::Skip) => Ok(Some(OrderCommand::Unpark)),
        (DeadLetterKind::Step | DeadLetterKind::Anomaly, DeadLetterAction::Compensate) => Ok(Some(OrderCommand::Compensate)),
        (DeadLetterKind::Step, DeadLetterAction::Discard) => {
            Err(DeadLetterError::NotApplicable("its order is parked: reprocess, skip or compensate it, or say that it is done"))
        }
        (DeadLetterKind::Step, DeadLetterAction::Done) if dispute.is_some() => Ok(dispute.map(OrderCommand::Accept)),
        (DeadLetterKind::Step, DeadLetterAction::Done) => Ok(match letter.cause.as_str() {
            // The money was collected outside, or the goods are back: either way this order ends.
            park::SHIPPED_UNPAID => Some(OrderCommand::Compensate),
            // The role tells the order.
            _ if payment_by_hand(letter, action).is_some() => None,
            _other => Some(OrderCommand::DoneByHand(Done::of(letter))),
        }),
        (DeadLetterKind::Notice | DeadLetterKind::Message, DeadLetterAction::Compensate) => {
            Err(DeadLetterError::NotApplicable("there is nothing to compensate"))
        }
        (DeadLetterKind::Anomaly, DeadLetterAction::Reprocess) => Err(DeadLetterError::NotApplicable("an anomaly cannot be tried again")),
        (
            DeadLetterKind::Notice | DeadLetterKind::Message,
            DeadLetterAction::Reprocess | DeadLetterAction::Skip | DeadLetterAction::Discard | DeadLetterAction::Done,
        )
        | (DeadLetterKind::Anomaly, DeadLetterAction::Skip | DeadLetterAction::Discard | DeadLetterAction::Done) => Ok(None),
    }
}
