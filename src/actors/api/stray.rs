//! Stray money: charges under keys that the payment row does not mention, and their refund at a person's request.

use super::decision::DeadLetterError;
use super::handle::NodeHandle;
use crate::domain::{Money, OrderId, Payment, Role, Shard};
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
        self.close_strays(id, row.as_ref(), Some(order.total), &mut Vec::new()).await.map(drop)
    }

    /// Closes the keys that the provider does not know, and returns those under which it holds money that the row does not mention.
    pub(super) async fn strays(&self, id: OrderId, voided: &mut Vec<ChargeKey>) -> Result<Vec<ChargeKey>, DeadLetterError> {
        let (_, row) = self.paying(id).await?;
        self.close_strays(id, row.as_ref(), None, voided).await
    }

    /// Asks about each key that the row does not mention. One that the provider does not know is closed, because a late call may still
    /// arrive; it is added to `voided` before. Returns the keys that hold money, unless `refund` says to refund it.
    async fn close_strays(
        &self,
        id: OrderId,
        row: Option<&Payment>,
        refund: Option<Money>,
        voided: &mut Vec<ChargeKey>,
    ) -> Result<Vec<ChargeKey>, DeadLetterError> {
        let provider = &self.node.providers.payment;
        let failed = |error: ProviderError| DeadLetterError::FailedAgain(error.to_string());
        let mut taken = Vec::new();
        for Stray { key, is_to_close } in untold(id, row) {
            let mut found = provider.ask(key).await.map_err(failed)?;
            if found == Found::NotFound && is_to_close {
                voided.push(key);
                found = provider.close(key).await.map_err(failed)?;
            }
            match (found, refund) {
                (Found::Approved { refunded: false }, Some(amount)) => provider.give_back(key, amount).await.map_err(failed)?,
                (Found::Approved { refunded: false }, None) => taken.push(key),
                (Found::Approved { refunded: true } | Found::Declined { .. } | Found::Voided | Found::NotFound, _) => {}
            }
        }
        Ok(taken)
    }
}

/// Lists the keys that the row does not mention. An attempt is stored before it is made, so there is at most one above the row's, whose
/// write came too late.
fn untold(order: OrderId, row: Option<&Payment>) -> Vec<Stray> {
    let Some(row) = row else { return Vec::new() };
    let attempts = (1..=row.attempt.saturating_add(1)).filter(|attempt| !row.records(*attempt));
    attempts.map(|attempt| Stray { key: ChargeKey { order, attempt }, is_to_close: attempt <= row.attempt }).collect()
}
