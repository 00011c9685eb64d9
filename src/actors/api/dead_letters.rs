//! The desk's side of the front: what a person decides about a dead letter is told to its order, then the letter is closed.

use crate::actors::api::front::Front;
use crate::actors::protocol::command::{CommandError, OrderCommand};
use crate::actors::protocol::inbound::Inbound;
use crate::actors::roles::order::CHARGE;
use crate::actors::roles::payment::task::{REFUND, STRAY_REFUND, VOID};
use crate::db::{Outcome, Write};
use crate::domain::{
    BY_HAND, Channel, DeadLetter, LetterId, LetterKind, LetterState, NoticeKind, OrderId, Payment, PaymentStatus, Role, Shard, Text,
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
pub enum LetterAction {
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
        if action == LetterAction::Done && note.is_none() {
            return Err(LetterError::NoNote);
        }
        let command = order_command(&letter, action)?;
        let payment = payment_by_hand(&letter, action);
        if let Some((role, shard)) = site(&letter, action, command.as_ref(), payment).filter(|(role, shard)| !self.owns(*role, *shard)) {
            return Err(LetterError::NotHere(role, shard));
        }
        if letter.kind == LetterKind::Message && action == LetterAction::Reprocess {
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
                Err(CommandError::Rejected(Rejection::TooLate(_))) if action == LetterAction::Done => {}
                Err(CommandError::Rejected(Rejection::ShippedUnpaid)) => return Err(LetterError::NotApplicable(SHIPPED_UNPAID_HELP)),
                Err(CommandError::Rejected(Rejection::Disputed)) => return Err(LetterError::NotApplicable(DISPUTED_HELP)),
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
            LetterAction::Done => LetterState::Done,
            LetterAction::Accept => LetterState::Accepted,
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

    /// Stores what a person did about a payment as the payment role's outcome; the order hears of it as of any other.
    async fn pay_by_hand(&self, order: OrderId, status: PaymentStatus, note: &Text<200>, limit: Duration) -> Result<(), LetterError> {
        let reads = &self.node.reads;
        let known = reads.known_order(order).await.map_err(|_| LetterError::Unavailable)?;
        let order = known.ok_or(LetterError::NotApplicable("its order does not exist"))?;
        let row = reads.payment(order.id).await.map_err(|_| LetterError::Unavailable)?;
        let mut payment = Payment::of(&order, row.map_or(1, |row| row.attempt), status, self.node.now());
        payment.reason = Some(Text::lossy(&format!("{BY_HAND}: {note}")));
        let event = payment.answer(order.shard, order.correlation);
        let write = Write::SavePayment { payment, shard: order.shard, correlation: order.correlation, event, letter: None };
        match self.write(write, limit).await {
            // Of a batch whose commit was in doubt it is not known how it was decided: the row says it.
            Ok(outcome @ (Outcome::Repeated(_) | Outcome::Recorded)) => {
                let answers = if let Outcome::Repeated(answers) = outcome { answers } else { Vec::new() };
                let stored = reads.payment(order.id).await.map_err(|_| LetterError::Unavailable)?;
                if stored.is_none_or(|stored| stored.status != status) {
                    return Err(LetterError::NotApplicable("the payment has another outcome already: look at the order"));
                }
                // It may not have been heard.
                if let Some(inbox) = self.node.inbox_of(order.shard) {
                    answers.into_iter().for_each(|answer| inbox.push(Inbound::Again(answer)));
                }
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(_) => Err(LetterError::Unavailable),
        }
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

/// What a payment is once a person has done by hand the step that a letter is about; none where the step is no payment's or another
/// team's.
fn payment_by_hand(letter: &DeadLetter, action: LetterAction) -> Option<PaymentStatus> {
    if action != LetterAction::Done || letter.kind != LetterKind::Step || letter.cause.as_str() != park::PROVIDER {
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
fn gives_back_strays(letter: &DeadLetter, action: LetterAction) -> bool {
    let goes_on = matches!(action, LetterAction::Reprocess | LetterAction::Compensate);
    goes_on && letter.kind == LetterKind::Step && letter.step.as_str() == STRAY_REFUND
}

/// In which role the owner of the letter's order does what is decided; none where any node can.
fn site(
    letter: &DeadLetter,
    action: LetterAction,
    command: Option<&OrderCommand>,
    payment: Option<PaymentStatus>,
) -> Option<(Role, Shard)> {
    if payment.is_some() {
        return letter.shard.map(|shard| (Role::Payment, shard));
    }
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
    if let (park::EXTERNAL, Some(undo)) = (letter.cause.as_str(), Undo::of_step(letter.step.as_str())) {
        return match action {
            LetterAction::Skip | LetterAction::Done => Ok(Some(OrderCommand::DoneByHand(Done { role: undo.role(), ..Done::of(letter) }))),
            LetterAction::Reprocess | LetterAction::Compensate | LetterAction::Discard | LetterAction::Accept => {
                Err(LetterError::NotApplicable("another team undoes it: close the letter as done when that is so"))
            }
        };
    }
    let dispute = Dispute::of_cause(letter.cause.as_str());
    match (letter.kind, action) {
        (_, LetterAction::Accept) => {
            dispute.map(|dispute| Some(OrderCommand::Accept(dispute))).ok_or(LetterError::NotApplicable("there is nothing to accept"))
        }
        (LetterKind::Step, LetterAction::Discard) if dispute.is_some() => {
            Err(LetterError::NotApplicable("its order is parked: accept what was said, or compensate"))
        }
        (LetterKind::Step, LetterAction::Reprocess | LetterAction::Skip) => Ok(Some(OrderCommand::Unpark)),
        (LetterKind::Step | LetterKind::Anomaly, LetterAction::Compensate) => Ok(Some(OrderCommand::Compensate)),
        (LetterKind::Step, LetterAction::Discard) => {
            Err(LetterError::NotApplicable("its order is parked: reprocess, skip or compensate it, or say that it is done"))
        }
        (LetterKind::Step, LetterAction::Done) if dispute.is_some() => Ok(dispute.map(OrderCommand::Accept)),
        (LetterKind::Step, LetterAction::Done) => Ok(match letter.cause.as_str() {
            // The money was collected outside, or the goods are back: either way this order ends.
            park::SHIPPED_UNPAID => Some(OrderCommand::Compensate),
            // The role tells the order.
            _ if payment_by_hand(letter, action).is_some() => None,
            _other => Some(OrderCommand::DoneByHand(Done::of(letter))),
        }),
        (LetterKind::Notice | LetterKind::Message, LetterAction::Compensate) => {
            Err(LetterError::NotApplicable("there is nothing to compensate"))
        }
        (LetterKind::Anomaly, LetterAction::Reprocess) => Err(LetterError::NotApplicable("an anomaly cannot be tried again")),
        (
            LetterKind::Notice | LetterKind::Message,
            LetterAction::Reprocess | LetterAction::Skip | LetterAction::Discard | LetterAction::Done,
        )
        | (LetterKind::Anomaly, LetterAction::Skip | LetterAction::Discard | LetterAction::Done) => Ok(None),
    }
}
