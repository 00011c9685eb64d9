//! Money that was taken under a key of which the payment's row does not tell, when a person has it given back.

use super::dead_letters::DeadLetterError;
use super::handle::NodeHandle;
use crate::domain::{Money, OrderId, Payment, PaymentStatus, Role, Shard};
use crate::providers::{ChargeKey, Found, ProviderError};

const ELSEWHERE: &str = "another node has its payment: give the money back by hand, then close the letter as done";

impl NodeHandle {
    /// Gives back what is with the provider under other keys than the row's. Each is asked for first, so that done twice it gives back
    /// once.
    ///
    /// # Errors
    /// The payment is another node's, the database cannot be read, or the provider fails again.
    pub(super) async fn give_back_strays(&self, id: OrderId, shard: Shard) -> Result<(), DeadLetterError> {
        if !self.owns(Role::Payment, shard) {
            return Err(DeadLetterError::NotApplicable(ELSEWHERE));
        }
        let reads = &self.node.reads;
        let order = reads.known_order(id).await.map_err(|_| DeadLetterError::Unavailable)?;
        let order = order.ok_or(DeadLetterError::NotApplicable("its order does not exist"))?;
        let row = reads.payment(id).await.map_err(|_| DeadLetterError::Unavailable)?;
        // An attempt is stored before it is made, so there is none above the row's but perhaps one whose storing came too late.
        for attempt in 1..=row.as_ref().map_or(1, |row| row.attempt).saturating_add(1) {
            if row.as_ref().is_none_or(|row| tells(row, attempt)) {
                continue;
            }
            let key = ChargeKey { order: id, attempt };
            self.give_back(key, order.total).await.map_err(|error| DeadLetterError::FailedAgain(error.to_string()))?;
        }
        Ok(())
    }

    async fn give_back(&self, key: ChargeKey, amount: Money) -> Result<(), ProviderError> {
        let provider = &self.node.providers.payment;
        match provider.find(key).await? {
            Found::Approved { refunded: false } => provider.refund(key, amount).await,
            Found::Approved { refunded: true } | Found::Declined { .. } | Found::Voided | Found::NotFound => Ok(()),
        }
    }
}

/// Whether the row says what became of this attempt's money, or will.
fn tells(row: &Payment, attempt: u32) -> bool {
    let is_told = matches!(row.status, PaymentStatus::Trying | PaymentStatus::Charged | PaymentStatus::Refunded);
    row.attempt == attempt && is_told
}
