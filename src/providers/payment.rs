//! What is asked of a payment provider.

use crate::domain::{CorrelationId, Money, OrderId, Text};
use crate::providers::call::{Call, ProviderError};
use std::fmt;
use std::str::FromStr;

/// Takes and gives back money. Every call is idempotent by its key.
pub trait PaymentProvider: Send + Sync {
    /// Charges once per key, however often it is called; a repeat gets the first answer. After a void it is declined.
    fn charge(&self, request: ChargeRequest) -> Call<Charge>;

    /// What has become of a key.
    fn find(&self, key: ChargeKey) -> Call<Found>;

    /// Forbids a charge under this key, seen before or not, unless it is charged already.
    fn void(&self, key: ChargeKey) -> Call<Voided>;

    /// Gives the whole charge back; done twice it gives back once.
    fn refund(&self, key: ChargeKey, amount: Money) -> Call<()>;
}

impl dyn PaymentProvider + '_ {
    /// Asks what has become of a key.
    ///
    /// # Errors
    /// See [`ProviderError`]. A question that is refused says nothing of the charge: that is unknown.
    pub async fn ask(&self, key: ChargeKey) -> Result<Found, ProviderError> {
        match self.find(key).await {
            Err(ProviderError::Rejected { reason }) => Err(ProviderError::unknown(reason)),
            answer => answer,
        }
    }

    /// Voids a key and tells what has become of it, never [`Found::NotFound`]. A refusal is followed by a question: it may be refused
    /// because it is done.
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
}

/// One attempt to charge for an order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ChargeKey {
    /// For which order.
    pub order: OrderId,
    /// From 1.
    pub attempt: u32,
}

impl fmt::Display for ChargeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.order, self.attempt)
    }
}

/// A text is no [`ChargeKey`].
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
    /// Names the charge for good.
    pub key: ChargeKey,
    /// How much.
    pub amount: Money,
    /// How, as named by the client.
    pub method: Text<50>,
    /// The request that it goes back to.
    pub correlation: CorrelationId,
}

/// The provider's answer to a charge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Charge {
    /// The money is taken.
    Approved,
    /// It is not, and this key never will.
    Declined {
        /// The provider's word.
        reason: Text<200>,
    },
}

/// What has become of a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Found {
    /// The money was taken.
    Approved {
        /// And given back.
        refunded: bool,
    },
    /// It was not, and this key never will.
    Declined {
        /// The provider's word.
        reason: Text<200>,
    },
    /// Nothing was or will be charged.
    Voided,
    /// Never heard of; a request under way may still come.
    NotFound,
}

impl Found {
    /// What a void of the key would be answered; none while a charge may still come.
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
    /// Too late: it has to be refunded.
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
