//! Payments that a person reports as done by hand, checked with the provider. The provider's answer is the fact; a person may override it,
//! and that is audited. No actor waits in the meantime, because the order is parked.

use super::decision::DeadLetterError;
use super::handle::{NodeHandle, WriteError};
use crate::actors::protocol::inbound::Inbound;
use crate::db::{StepOutcome, TypedWrite, Write};
use crate::domain::{
    BY_HAND, Closing, CorrelationId, DeadLetter, DeadLetterKind, OVERRULED, Order, OrderId, Payment, PaymentStatus, Role, Text,
};
use crate::providers::{ChargeKey, Found, ProviderError};
use crate::saga::park::{CHARGE, PROVIDER, REFUND, STORE, VOID, key_letter};
use crate::saga::{Owed, owed, superseded};
use std::sync::Arc;
use std::time::Duration;

/// What a person reports.
pub(super) struct Word {
    /// Whether it counts whatever the provider says.
    pub(super) overrules: bool,
    /// How the dead letter is closed, with what is overruled.
    pub(super) closing: Closing,
}

impl Word {
    /// The reason that the payment's row gives.
    fn reason(&self, how: &str) -> Text<200> {
        let note = self.closing.note.as_ref().map_or("", Text::as_str);
        Text::lossy(&format!("{how}: {note}"))
    }

    /// Lets the report count anyway, audited, if the person asked for an override.
    fn overrule(&mut self, said: String, voided: &[ChargeKey]) -> Result<(), DeadLetterError> {
        if !self.overrules {
            return Err(DeadLetterError::Contradicted(format!("{said}; {}", changed(voided))));
        }
        self.closing.overrules = Some(said);
        Ok(())
    }
}

/// How the provider's answer relates to the person's report.
#[derive(PartialEq, Eq, Debug)]
enum Verdict {
    /// It knows the payment's status, and the report agrees.
    Says(PaymentStatus),
    /// It holds nothing: only the report counts.
    HoldsNothing,
    /// It contradicts the report.
    Contradicts(String),
}

impl NodeHandle {
    /// The payment's status once the step of the dead letter is done; `None` if it is not a payment step, or another team runs the role.
    ///
    /// # Errors
    /// The order cannot be read.
    pub(super) async fn payment_claimed(&self, letter: &DeadLetter) -> Result<Option<PaymentStatus>, DeadLetterError> {
        if let Some(status) = claim_of_step(letter) {
            return Ok(Some(status));
        }
        let Some(order) = letter.order.filter(|_| is_of_row(letter)) else { return Ok(None) };
        let stored = self.node.reads.order(order).await.map_err(|_| DeadLetterError::Unavailable)?;
        Ok(stored.and_then(|stored| {
            let facts = &stored.record.facts;
            claim_of_debts(owed(facts, stored.order.channels()), facts.is_to_end())
        }))
    }

    /// Asks the provider, then stores the result as the payment role's outcome; the order receives it like any other. The same transaction
    /// closes the dead letter: returns how, if it did not.
    ///
    /// # Errors
    /// The provider contradicts the report or cannot be asked, without an override; or the result cannot be stored.
    pub(super) async fn pay_by_hand(
        &self,
        id: OrderId,
        claim: PaymentStatus,
        mut word: Word,
        limit: Duration,
    ) -> Result<Option<Closing>, DeadLetterError> {
        let (order, row) = self.paying(id).await?;
        let attempt = row.as_ref().map_or(1, |row| row.attempt);
        let is_by_hand = row.as_ref().is_some_and(|row| row.status == PaymentStatus::Charged && row.is_by_hand());
        let mut voided = Vec::new();
        let asked = tokio::time::timeout(limit, self.ask((id, attempt), claim, word.overrules, &mut voided)).await;
        let (verdict, is_open) = match asked.unwrap_or_else(|_| Err(ProviderError::unknown("it did not answer in time"))) {
            Ok(verdict) => (verdict, false),
            // What was charged once is not charged again. Money that was taken by hand leaves its key open.
            Err(error) => {
                let is_open = claim != PaymentStatus::Refunded || is_by_hand;
                (Verdict::Contradicts(format!("the payment provider cannot be asked: {error}")), is_open)
            }
        };
        let (status, reason) = match verdict {
            Verdict::Says(status) => (status, None),
            Verdict::HoldsNothing => (claim, Some(word.reason(BY_HAND))),
            Verdict::Contradicts(said) => {
                word.overrule(said, &voided)?;
                let how = if is_open && is_by_hand { BY_HAND } else { OVERRULED };
                (claim, Some(word.reason(how)))
            }
        };
        let mut payment = Payment::of(&order, attempt, status, self.node.now());
        payment.reason = reason;
        let open_key = is_open.then(|| self.open_key(&order, attempt));
        self.book(&order, payment, (open_key, word.closing), limit).await
    }

    /// Handles a person's report that stray money, which no row records, was refunded. Only the provider knows. The keys that it does not
    /// know are closed. Returns how the dead letter is to be closed.
    ///
    /// # Errors
    /// The provider contradicts the report, without an override. Or it cannot be asked: then the key may still be charged, whatever the
    /// person says, and nothing but this dead letter would tell.
    pub(super) async fn strays_are_gone(&self, id: OrderId, mut word: Word, limit: Duration) -> Result<Closing, DeadLetterError> {
        let mut voided = Vec::new();
        let away = match tokio::time::timeout(limit, self.strays(id, &mut voided)).await {
            Ok(Ok(taken)) if taken.is_empty() => return Ok(word.closing),
            Ok(Ok(taken)) => {
                word.overrule(format!("the payment provider says that {} is charged", names(&taken)), &voided)?;
                return Ok(word.closing);
            }
            Ok(Err(DeadLetterError::FailedAgain(error))) => error,
            Ok(Err(error)) => return Err(error),
            Err(_) => "it did not answer in time".to_owned(),
        };
        let why = "so its key may still be charged, and the dead letter stays open until it can";
        Err(DeadLetterError::FailedAgain(format!("the payment provider cannot be asked ({away}), {why}; {}", changed(&voided))))
    }

    /// The order and its payment row.
    pub(super) async fn paying(&self, id: OrderId) -> Result<(Arc<Order>, Option<Payment>), DeadLetterError> {
        let reads = &self.node.reads;
        let known = reads.known_order(id).await.map_err(|_| DeadLetterError::Unavailable)?;
        let row = reads.payment(id).await.map_err(|_| DeadLetterError::Unavailable)?;
        let of_row = || Some(Arc::new(row.as_ref()?.order_of_row(self.node.shards().of(id), CorrelationId::of(id.0))));
        let order = known.or_else(of_row).ok_or(DeadLetterError::NotApplicable("its order does not exist"))?;
        Ok((order, row))
    }

    /// Asks the provider about every key of the order, up to `last`. Keys that it does not know are closed before anything depends on that,
    /// because a late call may still arrive; each is added to `voided` before it is closed.
    async fn ask(
        &self,
        (order, last): (OrderId, u32),
        claim: PaymentStatus,
        overrules: bool,
        voided: &mut Vec<ChargeKey>,
    ) -> Result<Verdict, ProviderError> {
        let provider = &self.node.providers.payment;
        let mut found = Vec::new();
        for attempt in 1..=last {
            let key = ChargeKey { order, attempt };
            found.push((key, provider.ask(key).await?));
        }
        let verdict = judge(claim, &found);
        if matches!(verdict, Verdict::Contradicts(_)) && !overrules {
            return Ok(verdict);
        }
        for (key, found) in found.iter_mut().filter(|(_, found)| *found == Found::NotFound) {
            voided.push(*key);
            *found = provider.close(*key).await?;
        }
        Ok(judge(claim, &found))
    }

    /// Writes in one transaction: the payment, the dead letter about an open key, and the closing of the person's dead letter. Returns that
    /// closing if it was not written.
    async fn book(
        &self,
        order: &Order,
        payment: Payment,
        (open_key, closing): (Option<DeadLetter>, Closing),
        limit: Duration,
    ) -> Result<Option<Closing>, DeadLetterError> {
        let status = payment.status;
        let event = payment.answer(order.shard, order.correlation);
        let letters = open_key.clone().into_iter().chain(superseded::of_payment(order, status, self.node.now())).collect();
        let write = TypedWrite::save_payment(order, payment, event, letters, Some(Box::new(closing.clone())));
        match self.write(write, limit).await {
            // Of a batch whose commit was in doubt it is not known how it was decided: the row says it.
            Ok(outcome @ (Some(StepOutcome::Repeated(_)) | None)) => {
                let answers = if let Some(StepOutcome::Repeated(answers)) = outcome { answers } else { Vec::new() };
                let stored = self.node.reads.payment(order.id).await.map_err(|_| DeadLetterError::Unavailable)?;
                let Some(stored) = stored.filter(|stored| stored.status == status) else {
                    return Err(DeadLetterError::NotApplicable("the payment already has a different outcome: look at the order"));
                };
                // A person decided it before, perhaps while the provider could be asked: then reprocessing this dead letter finds nothing.
                if let Some(letter) = open_key.filter(|_| stored.is_by_hand()) {
                    self.write(Write::AddLetter(letter), limit).await.map_err(|_| DeadLetterError::Unavailable)?;
                }
                // It may not have been heard.
                if let Some(inbox) = self.node.inbox_of(order.shard) {
                    answers.into_iter().for_each(|answer| inbox.push(Inbound::Again(answer)));
                }
                Ok(Some(closing))
            }
            Ok(Some(StepOutcome::Done)) => Ok(None),
            Err(WriteError::Refused(why)) => Err(DeadLetterError::FailedAgain(why.to_string())),
            Err(WriteError::NotStored | WriteError::Unknown) => Err(DeadLetterError::Unavailable),
        }
    }

    /// The dead letter for a key that could not be closed although the payment is decided. Reprocessing it closes the key and refunds
    /// what was taken.
    fn open_key(&self, order: &Order, attempt: u32) -> DeadLetter {
        let key = ChargeKey { order: order.id, attempt };
        let detail = format!(
            "a person decided this payment while the provider could not be asked, so {key} may still be charged: reprocess closes the \
             key and refunds what was taken in the meantime"
        );
        key_letter(order.id, order.shard, attempt, self.node.now()).because(PROVIDER, &detail, 1)
    }
}

/// What a refused decision changed. A void whose answer was lost counts, because it may have been done.
fn changed(voided: &[ChargeKey]) -> String {
    if voided.is_empty() {
        return "nothing was changed".to_owned();
    }
    format!("it was told to void {}, so that no late call can charge, and nothing else was changed", names(voided))
}

fn names(keys: &[ChargeKey]) -> String {
    keys.iter().map(ChargeKey::to_string).collect::<Vec<_>>().join(", ")
}

/// The payment status that closing this dead letter as done means, if the step alone determines it.
pub(super) fn claim_of_step(letter: &DeadLetter) -> Option<PaymentStatus> {
    if letter.kind != DeadLetterKind::Step || letter.cause.as_str() != PROVIDER {
        return None;
    }
    match letter.step.as_str() {
        CHARGE => Some(PaymentStatus::Charged),
        VOID => Some(PaymentStatus::Cancelled),
        REFUND => Some(PaymentStatus::Refunded),
        _other => None,
    }
}

/// The same for a dead letter about the role's row, where only the order knows what the row should have said.
fn claim_of_debts(debts: Owed, is_to_end: bool) -> Option<PaymentStatus> {
    match debts {
        Owed { refunded: true, .. } => Some(PaymentStatus::Refunded),
        Owed { payment: true, .. } if is_to_end => Some(PaymentStatus::Cancelled),
        Owed { payment: true, .. } => Some(PaymentStatus::Charged),
        _ => None,
    }
}

/// Whether the dead letter is about the payment row, which could not be stored.
pub(super) fn is_of_row(letter: &DeadLetter) -> bool {
    letter.kind == DeadLetterKind::Step && letter.role == Role::Payment && letter.step.as_str() == STORE
}

/// Compares the provider's answers with the claim. The last key is the one in the row.
fn judge(claim: PaymentStatus, found: &[(ChargeKey, Found)]) -> Verdict {
    let Some((last, said)) = found.last() else { return Verdict::HoldsNothing };
    let taken: Vec<&ChargeKey> =
        found.iter().filter(|(_, found)| *found == Found::Approved { refunded: false }).map(|(key, _)| key).collect();
    let contradicts = |what: String| Verdict::Contradicts(format!("the payment provider says that {what}"));
    match (claim, taken.as_slice(), said) {
        (PaymentStatus::Charged, [taken], _) if *taken == last => Verdict::Says(PaymentStatus::Charged),
        (_, [taken, ..], _) => contradicts(format!("{taken} is charged")),
        (PaymentStatus::Charged, [], Found::Approved { .. }) => contradicts(format!("{last} was charged and refunded")),
        (PaymentStatus::Charged, [], Found::Declined { reason }) => contradicts(format!("{last} was declined: {reason}")),
        (PaymentStatus::Cancelled | PaymentStatus::Refunded, [], Found::Approved { .. }) => Verdict::Says(PaymentStatus::Refunded),
        (PaymentStatus::Cancelled, [], Found::Declined { .. } | Found::Voided) => Verdict::Says(PaymentStatus::Cancelled),
        (_, [], _) => Verdict::HoldsNothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use PaymentStatus::{Cancelled, Charged, Refunded};

    #[test]
    fn the_providers_word_is_the_fact() {
        let (taken, back) = (Found::Approved { refunded: false }, Found::Approved { refunded: true });
        let declined = Found::Declined { reason: Text::lossy("no") };
        let key = |attempt| ChargeKey { order: OrderId::from_parts(1, [2; 10]), attempt };
        let judge = |claim, all: &[&Found]| {
            let found: Vec<_> = (1..).map(key).zip(all.iter().map(|found| (*found).clone())).collect();
            match super::judge(claim, &found) {
                Verdict::Says(status) => status.name(),
                Verdict::HoldsNothing => "nothing",
                Verdict::Contradicts(_) => "no",
            }
        };
        let nothing = [&Found::Voided, &Found::NotFound];
        for (claim, found, want) in [
            (Charged, vec![&taken], "CHARGED"),
            (Charged, vec![&declined, &taken], "CHARGED"),
            (Charged, vec![&taken, &Found::NotFound], "no"),
            (Charged, vec![&taken, &taken], "no"),
            (Charged, vec![&declined], "no"),
            (Charged, vec![&back], "no"),
            (Charged, nothing.to_vec(), "nothing"),
            (Cancelled, vec![&taken], "no"),
            (Cancelled, vec![&taken, &Found::Voided], "no"),
            (Cancelled, vec![&back], "REFUNDED"),
            (Cancelled, vec![&declined], "CANCELLED"),
            (Cancelled, vec![&Found::Voided], "CANCELLED"),
            (Refunded, vec![&taken], "no"),
            (Refunded, vec![&back], "REFUNDED"),
            (Refunded, vec![&Found::Voided], "nothing"),
        ] {
            assert_eq!(judge(claim, &found), want, "{claim:?} {found:?}");
        }
    }
}
