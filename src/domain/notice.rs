//! Notices to the customer.

use super::{CorrelationId, Event, EventBody, NoticeId, Order, OrderId, Shard, Text, Timestamp};
use crate::domain::channel::{Channel, NoticeKind, notice_id};
use serde::{Deserialize, Serialize};

/// The status of a notice.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum NoticeStatus {
    /// Not sent yet; `next_try_at` says when it will be tried again.
    Pending,
    /// Sent.
    Sent,
    /// Not sent, and not tried again unless an operator asks for it.
    GivenUp,
    /// The order was cancelled before it was sent.
    Withdrawn,
}

impl NoticeStatus {
    /// All values, in the sequence of their stored numbers.
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

    /// The status with that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// The notifier's outcome row: one per order, kind and channel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NoticeTask {
    /// The order.
    pub order: OrderId,
    /// The kind of notice.
    pub kind: NoticeKind,
    /// Its channel.
    pub channel: Channel,
    /// Its status.
    pub status: NoticeStatus,
    /// Tries so far.
    pub attempt: u32,
    /// When the next try is due, while pending.
    pub next_try_at: Option<Timestamp>,
    /// Why the last try failed.
    pub reason: Option<Text<200>>,
    /// When the task was created.
    pub created_at: Timestamp,
}

impl NoticeTask {
    /// The notice's id.
    #[must_use]
    pub fn id(&self) -> NoticeId {
        notice_id(self.order, self.kind, self.channel)
    }

    /// A notice that was given up, to be tried anew, because a person asked for it.
    #[must_use]
    pub fn asked_for(order: OrderId, kind: NoticeKind, channel: Channel, now: Timestamp) -> Self {
        let (status, reason) = (NoticeStatus::Pending, Some(Text::lossy("a person asked for it")));
        Self { order, kind, channel, status, attempt: 0, next_try_at: Some(now), reason, created_at: now }
    }

    /// A task that has not been tried yet.
    #[must_use]
    pub fn new(order: &Order, kind: NoticeKind, channel: Channel, now: Timestamp) -> Self {
        Self { order: order.id, kind, channel, status: NoticeStatus::Pending, attempt: 0, next_try_at: None, reason: None, created_at: now }
    }
}

impl NoticeTask {
    /// Whether the notice waits and has not been tried yet.
    fn is_untried(&self) -> bool {
        self.status == NoticeStatus::Pending && self.attempt == 0 && self.reason.is_none()
    }

    /// Whether this state may replace `stored`: a notice that was sent or withdrawn stays so, and an untried one says nothing new.
    #[must_use]
    pub fn follows(&self, stored: Option<&Self>) -> bool {
        match stored.map(|stored| stored.status) {
            Some(NoticeStatus::Pending | NoticeStatus::GivenUp) if self.is_untried() => false,
            None | Some(NoticeStatus::Pending | NoticeStatus::GivenUp) => true,
            Some(NoticeStatus::Sent | NoticeStatus::Withdrawn) => false,
        }
    }

    /// The event that announced the stored outcome; `None` while there is no outcome.
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
        Some(Event { order: self.order, shard, correlation, at, body, external_ids: None })
    }
}
