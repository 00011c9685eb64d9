//! Money that was taken under a key of which the payment's row does not tell, when a person has it given back.

use super::decision::DeadLetterError;
use super::handle::NodeHandle;
use crate::domain::{Money, OrderId, Payment, PaymentStatus, Role, Shard};
use crate::providers::{ChargeKey, Found, ProviderError};

const ELSEWHERE: &str = "another node has its payment: give the money back by hand, then close the letter as done";

/// One of the order's keys that its row does not tell of.
struct Stray {
    key: ChargeKey,
    /// No call under it may come any more.
    is_to_close: bool,
}

impl NodeHandle {
    /// Gives back what is with the provider under other keys than the row's, and closes the keys of which it has not heard. Each is
    /// asked for first, so that done twice it gives back once.
    ///
    /// # Errors
    /// The payment is another node's, the database cannot be read, or the provider fails again.
    pub(super) async fn give_back_strays(&self, id: OrderId, shard: Shard) -> Result<(), DeadLetterError> {
        if !self.owns(Role::Payment, shard) {
            return Err(DeadLetterError::NotApplicable(ELSEWHERE));
        }
        let (order, row) = self.paying(id).await?;
        for stray in untold(id, row.as_ref()) {
            self.give_back(&stray, order.total).await.map_err(|error| DeadLetterError::FailedAgain(error.to_string()))?;
        }
        Ok(())
    }

    /// The keys under which money is with the provider of which the row does not tell.
    pub(super) async fn strays(&self, id: OrderId) -> Result<Vec<String>, DeadLetterError> {
        let (_, row) = self.paying(id).await?;
        let mut taken = Vec::new();
        for Stray { key, .. } in untold(id, row.as_ref()) {
            let found = self.node.providers.payment.ask(key).await.map_err(|error| DeadLetterError::FailedAgain(error.to_string()))?;
            if found == (Found::Approved { refunded: false }) {
                taken.push(key.to_string());
            }
        }
        Ok(taken)
    }

    async fn give_back(&self, stray: &Stray, amount: Money) -> Result<(), ProviderError> {
        let provider = &self.node.providers.payment;
        let mut found = provider.ask(stray.key).await?;
        if found == Found::NotFound && stray.is_to_close {
            found = provider.close(stray.key).await?;
        }
        match found {
            Found::Approved { refunded: false } => provider.refund(stray.key, amount).await,
            Found::Approved { refunded: true } | Found::Declined { .. } | Found::Voided | Found::NotFound => Ok(()),
        }
    }
}

/// An attempt is stored before it is made, so there is none above the row's but perhaps one whose storing came too late.
fn untold(order: OrderId, row: Option<&Payment>) -> Vec<Stray> {
    let Some(row) = row else { return Vec::new() };
    let attempts = (1..=row.attempt.saturating_add(1)).filter(|attempt| !tells(row, *attempt));
    attempts.map(|attempt| Stray { key: ChargeKey { order, attempt }, is_to_close: attempt <= row.attempt }).collect()
}

/// Whether the row says what became of this attempt's money, or will. What a person took was taken under no key.
fn tells(row: &Payment, attempt: u32) -> bool {
    let is_told = match row.status {
        PaymentStatus::Trying | PaymentStatus::Refunded => true,
        PaymentStatus::Charged => !row.is_by_hand(),
        PaymentStatus::Failed | PaymentStatus::Cancelled => false,
    };
    row.attempt == attempt && is_told
}
