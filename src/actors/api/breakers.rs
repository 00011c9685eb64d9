//! Circuit breakers as people see and set them: what waits for one, and closing, opening or trying one manually.

use crate::actors::api::handle::{NodeHandle, WriteError};
use crate::db::{AuditEntry, Write};
use crate::domain::{OrderId, OrderStatus, Role, Text, Timestamp};
use crate::providers::{CircuitState, PAYMENT_BREAKER, Snapshot};
use chrono::SecondsFormat;
use std::time::Duration;

/// A manual action on a breaker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BreakerTurn {
    /// Lets calls through; waiting orders continue immediately.
    Close,
    /// Lets no call through until the breaker is closed or tried.
    Open,
    /// Lets the next call through; its outcome closes or opens the breaker.
    Trial,
}

impl BreakerTurn {
    /// The action with that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Close, Self::Open, Self::Trial].into_iter().find(|turn| turn.action().strip_prefix("breaker-") == Some(name))
    }

    /// Its name in the audit.
    fn action(self) -> &'static str {
        match self {
            Self::Close => "breaker-close",
            Self::Open => "breaker-open",
            Self::Trial => "breaker-trial",
        }
    }
}

impl NodeHandle {
    /// What an unparked order in this status waits for at the payment provider. `None` if nothing holds it up, or if another node, which
    /// has its own breaker, makes the payment.
    #[must_use]
    pub fn waits_for(&self, order: OrderId, status: OrderStatus) -> Option<String> {
        let is_payments = matches!(status, OrderStatus::InventoryReserved | OrderStatus::Cancelling | OrderStatus::Refunding);
        if !is_payments || self.node.settings.external_roles.has(Role::Payment) || !self.has_payment_of(order) {
            return None;
        }
        let next = self.node.next_retry(order);
        let held_up = self.breakers().find(PAYMENT_BREAKER).and_then(|breaker| self.breaker_note(&breaker.snapshot(), next));
        held_up.map(|why| format!("the payment provider: {why}")).or_else(|| {
            let failed = |at: Timestamp| format!("the payment provider: the last call failed, next try at {}", told(at));
            next.map(failed)
        })
    }

    /// Describes an open breaker to those who wait; `next` is when the order asks again. `None` while the breaker is closed.
    #[must_use]
    pub fn breaker_note(&self, breaker: &Snapshot, next: Option<Timestamp>) -> Option<String> {
        if breaker.state == CircuitState::Closed {
            return None;
        }
        if breaker.by_hand {
            return Some("circuit breaker opened manually, until somebody closes it".to_owned());
        }
        let now = self.node.now();
        let next = next.filter(|next| *next > now).unwrap_or_else(|| now.plus_ms(breaker.retry_in_ms));
        let state = breaker.state.name().to_ascii_lowercase().replace('_', "-");
        Some(format!("circuit breaker {state}, next try at {}", told(next)))
    }

    /// Opens, closes or tries a breaker of this node, audited as `by`; false if there is no breaker with that name.
    ///
    /// # Errors
    /// The audit could not be written; nothing was done.
    pub async fn turn_breaker(
        &self,
        name: &str,
        turn: BreakerTurn,
        by: Text<100>,
        note: Option<Text<200>>,
        limit: Duration,
    ) -> Result<bool, WriteError> {
        let Some(breaker) = self.breakers().find(name) else { return Ok(false) };
        let entry = AuditEntry {
            at: self.node.now(),
            by: by.as_str().to_owned(),
            action: turn.action().to_owned(),
            subject: format!("breaker:{name}@{}", self.node.url),
            note: note.map(|note| note.as_str().to_owned()),
        };
        self.write(Write::Audit(entry), limit).await?;
        match turn {
            BreakerTurn::Close => breaker.reset(),
            BreakerTurn::Open => breaker.hold(),
            BreakerTurn::Trial => breaker.trial(),
        }
        tracing::warn!(breaker = name, by = by.as_str(), action = turn.action(), "a circuit breaker was turned by hand");
        Ok(true)
    }
}

fn told(at: Timestamp) -> String {
    at.to_utc().to_rfc3339_opts(SecondsFormat::Secs, true)
}
