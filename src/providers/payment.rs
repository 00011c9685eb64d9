//! The trait for payment providers.

use crate::domain::{CorrelationId, Money, OrderId, Text};
use crate::providers::call::{Call, ProviderError};
use std::fmt;
use std::str::FromStr;

/// Charges and refunds. Every call is idempotent by its key.
pub trait PaymentProvider: Send + Sync {
    /// Charges once per key, however often it is called; a repeat gets the first answer. After a void, a charge is declined.
    fn charge(&self, request: ChargeRequest) -> Call<Charge>;

    /// Asks for the status of a key.
    fn find(&self, key: ChargeKey) -> Call<Found>;

    /// Forbids a charge under this key, known or not, unless it is charged already.
    fn void(&self, key: ChargeKey) -> Call<Voided>;

    /// Refunds the whole charge; a repeat does not refund twice.
    fn refund(&self, key: ChargeKey, amount: Money) -> Call<()>;
}

impl dyn PaymentProvider + '_ {
    /// Asks for the status of a key, and treats a refused question as an unknown outcome.
    ///
    /// # Errors
    /// See [`ProviderError`]. A refused question says nothing about the charge, so its outcome is unknown.
    pub async fn ask(&self, key: ChargeKey) -> Result<Found, ProviderError> {
        match self.find(key).await {
            Err(ProviderError::Rejected { reason }) => Err(ProviderError::unknown(reason)),
            answer => answer,
        }
    }

    /// Voids a key and returns its status, never [`Found::NotFound`]. After a refusal it asks for the status, because the void may be
    /// refused because it is done.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn close(&self, key: ChargeKey) -> Result<Found, ProviderError> {
        match self.void(key).await {
            Ok(Voided::Voided) => Ok(Found::Voided),
            Ok(Voided::AlreadyCharged) => Ok(Found::Approved { refunded: false }),
            Err(error @ ProviderError::Rejected { .. }) => {
                let known = Some(self.ask(key).await?).filter(|found| *found != Found::NotFound);
                known.ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Refunds a charge. It asks first, because a call whose answer was lost, perhaps another process's, may have refunded it. A refusal is
    /// followed by a question too.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn give_back(&self, key: ChargeKey, amount: Money) -> Result<(), ProviderError> {
        if self.ask(key).await?.is_given_back() {
            return Ok(());
        }
        match self.refund(key, amount).await {
            Err(error @ ProviderError::Rejected { .. }) => {
                if self.ask(key).await?.is_given_back() {
                    return Ok(());
                }
                Err(error)
            }
            answer => answer,
        }
    }
}

/// One attempt to charge for an order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ChargeKey {
    /// The order.
    pub order: OrderId,
    /// The attempt, from 1.
    pub attempt: u32,
}

impl fmt::Display for ChargeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.order, self.attempt)
    }
}

/// The error for a text that is not a [`ChargeKey`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not an order id, a colon and a number")]
pub struct NoChargeKey;

impl FromStr for ChargeKey {
    type Err = NoChargeKey;
    fn from_str(text: &str) -> Result<Self, NoChargeKey> {
        let (order, attempt) = text.split_once(':').ok_or(NoChargeKey)?;
        Ok(Self { order: order.parse().map_err(|_| NoChargeKey)?, attempt: attempt.parse().map_err(|_| NoChargeKey)? })
    }
}

/// What to charge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChargeRequest {
    /// The charge's key.
    pub key: ChargeKey,
    /// The amount.
    pub amount: Money,
    /// The payment method, as named by the client.
    pub method: Text<50>,
    /// The correlation id of the request that caused it.
    pub correlation: CorrelationId,
}

/// The provider's answer to a charge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Charge {
    /// The money was taken.
    Approved,
    /// The money was not taken, and never will be under this key.
    Declined {
        /// The provider's reason.
        reason: Text<200>,
    },
}

/// What has become of a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Found {
    /// The money was taken.
    Approved {
        /// Whether it was refunded.
        refunded: bool,
    },
    /// The money was not taken, and never will be under this key.
    Declined {
        /// The provider's reason.
        reason: Text<200>,
    },
    /// Nothing was or will be charged.
    Voided,
    /// The key is unknown; a request on its way may still arrive.
    NotFound,
}

impl Found {
    /// Whether the provider holds no money under the key.
    #[must_use]
    pub fn is_given_back(&self) -> bool {
        match self {
            Self::Approved { refunded } => *refunded,
            Self::Declined { .. } | Self::Voided => true,
            Self::NotFound => false,
        }
    }

    /// The answer to a void of the key; `None` while a charge may still arrive.
    #[must_use]
    pub fn voided(&self) -> Option<Voided> {
        match self {
            Self::Approved { .. } => Some(Voided::AlreadyCharged),
            Self::Declined { .. } | Self::Voided => Some(Voided::Voided),
            Self::NotFound => None,
        }
    }
}

/// The provider's answer to a void.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Voided {
    /// Nothing was or will be charged: a later charge under this key is refused.
    Voided,
    /// Too late: the charge must be refunded.
    AlreadyCharged,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_is_shown() {
        let key = ChargeKey { order: OrderId::from_parts(1, [2; 10]), attempt: 3 };
        assert_eq!(key.to_string(), format!("{}:3", key.order));
        assert_eq!(key.to_string().parse(), Ok(key));
        for text in ["", ":1", &format!("{}", key.order), &format!("{}:", key.order), &format!("{}:-1", key.order)] {
            assert_eq!(text.parse::<ChargeKey>(), Err(NoChargeKey), "{text}");
        }
    }
}
