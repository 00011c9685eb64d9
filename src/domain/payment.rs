//! The payment gateway's outcome row.

use super::{CorrelationId, CustomerId, Event, EventBody, Money, Order, OrderId, PaymentId, Shard, Text, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Start of the reason in a row that a person made by hand, of which the provider's books know nothing.
pub const BY_HAND: &str = "by hand";
/// The same, if the provider contradicted the person or could not be asked.
pub const OVERRULED: &str = "by hand, whatever the provider says";

/// The status of an order's payment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum PaymentStatus {
    /// An attempt is in progress: one after the first, or one that has failed.
    Trying,
    /// Charged.
    Charged,
    /// Declined for good.
    Failed,
    /// Nothing was or ever will be charged.
    Cancelled,
    /// Charged and refunded.
    Refunded,
}

impl PaymentStatus {
    /// All values, in the sequence of their stored numbers.
    pub const ALL: [Self; 5] = [Self::Trying, Self::Charged, Self::Failed, Self::Cancelled, Self::Refunded];

    /// The name on the wire and in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Trying => "TRYING",
            Self::Charged => "CHARGED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
            Self::Refunded => "REFUNDED",
        }
    }

    /// The status with that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// How often a step of a payment has failed in a row, kept so that whoever continues with it does not begin anew.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Failures {
    /// The number of failed tries; 0 once a person was asked.
    pub count: u32,
    /// When the first of them failed.
    pub since: Timestamp,
}

/// One charge in the provider's own books.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BookedCharge {
    /// The order.
    pub order: OrderId,
    /// The attempt.
    pub attempt: u32,
    /// The amount.
    pub amount: Money,
    /// Its status; never [`PaymentStatus::Trying`].
    pub status: PaymentStatus,
    /// How often money was paid out in refunds.
    pub payouts: u32,
}

/// The payment role's stored outcome: one row per order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Payment {
    /// The order.
    pub order: OrderId,
    /// The attempt that the status refers to, from 1; the provider's key is order id + attempt.
    pub attempt: u32,
    /// The amount.
    pub amount: Money,
    /// The payment method.
    pub method: Text<50>,
    /// The status.
    pub status: PaymentStatus,
    /// The provider's reason when it failed; [`BY_HAND`] or [`OVERRULED`] and the person's note when a person did it; the step and its last
    /// error while it is tried.
    pub reason: Option<Text<200>>,
    /// The failures of the step that is tried, if any.
    pub failures: Option<Failures>,
    /// When the row was last written.
    pub updated_at: Timestamp,
}

impl Payment {
    /// The payment's id, on every event about it.
    #[must_use]
    pub fn id(&self) -> PaymentId {
        self.order.payment()
    }

    /// The row of `order`'s payment with this outcome.
    #[must_use]
    pub fn of(order: &Order, attempt: u32, status: PaymentStatus, now: Timestamp) -> Self {
        let (amount, method) = (order.total, order.payment_method.clone());
        Self { order: order.id, attempt, amount, method, status, reason: None, failures: None, updated_at: now }
    }
}

impl Payment {
    /// The order as far as its payment row describes it, for a refund when nothing else of the order is kept any more. It has no customer
    /// and no lines.
    #[must_use]
    pub fn order_of_row(&self, shard: Shard, correlation: CorrelationId) -> Order {
        Order {
            id: self.order,
            shard,
            customer: CustomerId(Uuid::nil()),
            lines: Vec::new(),
            total: self.amount,
            payment_method: self.method.clone(),
            contact: None,
            address: None,
            correlation,
            created_at: self.updated_at,
        }
    }

    /// The failures of this step, if it is what was tried last.
    #[must_use]
    pub fn failures_of(&self, step: &str) -> Option<Failures> {
        let is_of_step =
            self.status != PaymentStatus::Trying || self.reason.as_ref().is_some_and(|reason| reason.as_str().starts_with(step));
        self.failures.filter(|failures| is_of_step && failures.count > 0)
    }

    /// Whether this state may replace `stored`. The first final answer stays, but a charge may be refunded. How often a step has failed
    /// changes nothing else.
    #[must_use]
    pub fn follows(&self, stored: Option<&Self>) -> bool {
        let Some(stored) = stored else { return true };
        if self.failures.is_some() && (self.status, self.attempt) == (stored.status, stored.attempt) {
            return self.failures != stored.failures;
        }
        match (stored.status, self.status) {
            (PaymentStatus::Trying, PaymentStatus::Trying) => self.attempt > stored.attempt,
            (PaymentStatus::Trying, _) => self.attempt >= stored.attempt,
            (PaymentStatus::Charged, PaymentStatus::Refunded) => true,
            (PaymentStatus::Charged | PaymentStatus::Failed | PaymentStatus::Cancelled | PaymentStatus::Refunded, _) => false,
        }
    }

    /// Whether a person made the row by hand.
    #[must_use]
    pub fn is_by_hand(&self) -> bool {
        self.reason.as_ref().is_some_and(|reason| reason.as_str().starts_with(BY_HAND))
    }

    /// Whether the row records the money that the provider took under this attempt's key, or will. Money that a person took by hand has no
    /// key, so its refund by hand says nothing about one either, unless the person overruled what the provider said.
    #[must_use]
    pub fn records(&self, attempt: u32) -> bool {
        let is_recorded = match self.status {
            PaymentStatus::Trying => true,
            PaymentStatus::Charged => !self.is_by_hand(),
            PaymentStatus::Refunded => !self.is_by_hand() || self.is_overruled(),
            PaymentStatus::Failed | PaymentStatus::Cancelled => false,
        };
        self.attempt == attempt && is_recorded
    }

    /// Whether that person overruled the provider.
    #[must_use]
    pub fn is_overruled(&self) -> bool {
        self.reason.as_ref().is_some_and(|reason| reason.as_str().starts_with(OVERRULED))
    }

    /// The event that announced the stored outcome; `None` while there is no outcome.
    #[must_use]
    pub fn answer(&self, shard: Shard, correlation: CorrelationId) -> Option<Event> {
        let body = match self.status {
            PaymentStatus::Trying => return None,
            PaymentStatus::Charged => EventBody::PaymentProcessed { amount: self.amount, method: self.method.clone() },
            PaymentStatus::Failed => {
                EventBody::PaymentFailed { reason: self.reason.clone().unwrap_or_else(|| Text::lossy("payment failed")) }
            }
            PaymentStatus::Cancelled => EventBody::PaymentCancelled,
            PaymentStatus::Refunded => EventBody::PaymentRefunded { amount: self.amount },
        };
        Some(Event { order: self.order, shard, correlation, at: self.updated_at, body, external_ids: None })
    }
}
