//! Stray money: charges under keys that the payment row does not mention, and their refund at a person's request.

use super::decision::DeadLetterError;
use super::handle::NodeHandle;
use crate::domain::{Money, OrderId, Payment, PaymentStatus, Role, Shard};
use crate::providers::{ChargeKey, Found, ProviderError};

/// A key of the order that its payment row does not mention.
struct Stray {
    key: ChargeKey,
    /// Whether the key must be closed, so that no late call can charge it.
    is_to_close: bool,
}

impl NodeHandle {
    /// Refunds what the provider holds under keys other than the row's, and closes the keys that it does not know. It asks about each key
    /// first, so a repeat does not refund twice.
    ///
    /// # Errors
    /// Another node makes the payment, the database cannot be read, or the provider fails again.
    pub(super) async fn give_back_strays(&self, id: OrderId, shard: Shard) -> Result<(), DeadLetterError> {
        if !self.owns(Role::Payment, shard) {
            return Err(DeadLetterError::NotHere(Role::Payment, shard));
        }
        let (order, row) = self.paying(id).await?;
        for stray in untold(id, row.as_ref()) {
            self.give_back(&stray, order.total).await.map_err(|error| DeadLetterError::FailedAgain(error.to_string()))?;
        }
        Ok(())
    }

    /// The keys under which the provider holds money that the row does not mention.
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
            Found::Approved { refunded: false } => provider.give_back(stray.key, amount).await,
            Found::Approved { refunded: true } | Found::Declined { .. } | Found::Voided | Found::NotFound => Ok(()),
        }
    }
}

/// Lists the keys that the row does not mention. An attempt is stored before it is made, so there is at most one above the row's, whose
/// write came too late.
fn untold(order: OrderId, row: Option<&Payment>) -> Vec<Stray> {
    let Some(row) = row else { return Vec::new() };
    let attempts = (1..=row.attempt.saturating_add(1)).filter(|attempt| !tells(row, *attempt));
    attempts.map(|attempt| Stray { key: ChargeKey { order, attempt }, is_to_close: attempt <= row.attempt }).collect()
}

/// Whether the row records this attempt's money, or will. Money that a person took by hand has no key.
fn tells(row: &Payment, attempt: u32) -> bool {
    let is_told = match row.status {
        PaymentStatus::Trying | PaymentStatus::Refunded => true,
        PaymentStatus::Charged => !row.is_by_hand(),
        PaymentStatus::Failed | PaymentStatus::Cancelled => false,
    };
    row.attempt == attempt && is_told
}
