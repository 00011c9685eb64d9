//! Notices to the customer.

use super::{CorrelationId, Event, EventBody, NoticeId, Order, OrderId, Shard, Text, Timestamp};
use crate::domain::channel::{Channel, NoticeKind, notice_id};
use serde::{Deserialize, Serialize};

/// How far a notice has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum NoticeStatus {
    /// Not sent yet; `next_try_at` says when it is tried again.
    Pending,
    /// Sent.
    Sent,
    /// Not sent, and not tried again unless an operator asks.
    GivenUp,
    /// The order was cancelled before it was sent.
    Withdrawn,
}

impl NoticeStatus {
    /// All, in the order of their stored numbers.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Sent, Self::GivenUp, Self::Withdrawn];

    /// The name on the wire and in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Sent => "SENT",
            Self::GivenUp => "GIVEN_UP",
            Self::Withdrawn => "WITHDRAWN",
        }
    }

    /// The status of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// The notifier's outcome row: one per order, kind and channel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NoticeTask {
    /// Whose notice.
    pub order: OrderId,
    /// What it tells.
    pub kind: NoticeKind,
    /// How it goes.
    pub channel: Channel,
    /// How far it has come.
    pub status: NoticeStatus,
    /// Tries so far.
    pub attempt: u32,
    /// When the next try is due, while pending.
    pub next_try_at: Option<Timestamp>,
    /// What the last failed try was told.
    pub reason: Option<Text<200>>,
    /// When the task came to be.
    pub created_at: Timestamp,
}

impl NoticeTask {
    /// The notice's id.
    #[must_use]
    pub fn id(&self) -> NoticeId {
        notice_id(self.order, self.kind, self.channel)
    }

    /// A task of which nothing was tried yet.
    #[must_use]
    pub fn new(order: &Order, kind: NoticeKind, channel: Channel, now: Timestamp) -> Self {
        Self { order: order.id, kind, channel, status: NoticeStatus::Pending, attempt: 0, next_try_at: None, reason: None, created_at: now }
    }
}

impl NoticeTask {
    /// Whether this is what is stored of a notice that waits and of which nothing is known yet.
    fn is_untried(&self) -> bool {
        self.status == NoticeStatus::Pending && self.attempt == 0 && self.reason.is_none()
    }

    /// Whether this state may take the place of `stored`: what was sent or withdrawn stays so, and what was not tried says nothing new.
    #[must_use]
    pub fn follows(&self, stored: Option<&Self>) -> bool {
        match stored.map(|stored| stored.status) {
            Some(NoticeStatus::Pending | NoticeStatus::GivenUp) if self.is_untried() => false,
            None | Some(NoticeStatus::Pending | NoticeStatus::GivenUp) => true,
            Some(NoticeStatus::Sent | NoticeStatus::Withdrawn) => false,
        }
    }

    /// The stored answer as the event that told it; none while nothing is decided.
    #[must_use]
    pub fn answer(&self, shard: Shard, correlation: CorrelationId, at: Timestamp) -> Option<Event> {
        let body = match self.status {
            NoticeStatus::Pending | NoticeStatus::Withdrawn => return None,
            NoticeStatus::Sent => EventBody::NotificationSent { kind: self.kind, channel: self.channel },
            NoticeStatus::GivenUp => EventBody::NotificationFailed {
                kind: self.kind,
                channel: self.channel,
                attempt: self.attempt,
                last: true,
                reason: self.reason.clone().unwrap_or_else(|| Text::lossy("given up")),
            },
        };
        Some(Event { order: self.order, shard, correlation, at, body })
    }
}
