//! The kinds of notices, and the channels they use.

use super::ids::Derived;
use super::{NoticeId, OrderId};
use serde::{Deserialize, Serialize};

/// What a notice says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum NoticeKind {
    /// The order is confirmed.
    Confirmation,
    /// The payment failed.
    Failure,
    /// The paid order was cancelled.
    Cancellation,
    /// The goods have been shipped.
    Shipping,
    /// The order is cancelled unpaid: something in it is not available.
    Unavailable,
    /// The order is cancelled unpaid: a price has changed.
    PriceChanged,
    /// The order is cancelled unpaid: it was not paid in time.
    Expired,
    /// The order is cancelled unpaid: somebody cancelled it.
    CalledOff,
}

impl NoticeKind {
    /// All values, in the sequence of their stored numbers.
    pub const ALL: [Self; 8] = [
        Self::Confirmation,
        Self::Failure,
        Self::Cancellation,
        Self::Shipping,
        Self::Unavailable,
        Self::PriceChanged,
        Self::Expired,
        Self::CalledOff,
    ];

    /// The kind of notice for a cancellation with this reason (its name on the wire). For an order that was never paid, the notice says why
    /// it ended; for a paid one, it says that the money is refunded.
    #[must_use]
    pub fn of_cancellation(reason: &str, was_paid: bool) -> Self {
        match reason {
            _ if was_paid => Self::Cancellation,
            "out-of-stock" | "unknown-product" | "discontinued" => Self::Unavailable,
            "price-mismatch" => Self::PriceChanged,
            "expired" | "payment-deadline" => Self::Expired,
            _ => Self::CalledOff,
        }
    }

    /// Whether it is about an order that ended before it was paid. An order has at most one such notice.
    #[must_use]
    pub fn is_of_unpaid(self) -> bool {
        match self {
            Self::Unavailable | Self::PriceChanged | Self::Expired | Self::CalledOff => true,
            Self::Confirmation | Self::Failure | Self::Cancellation | Self::Shipping => false,
        }
    }

    /// The name on the wire and in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Confirmation => "CONFIRMATION",
            Self::Failure => "FAILURE",
            Self::Cancellation => "CANCELLATION",
            Self::Shipping => "SHIPPING",
            Self::Unavailable => "UNAVAILABLE",
            Self::PriceChanged => "PRICE_CHANGED",
            Self::Expired => "EXPIRED",
            Self::CalledOff => "CALLED_OFF",
        }
    }

    /// The kind with that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The stored number.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Confirmation => 0,
            Self::Failure => 1,
            Self::Cancellation => 2,
            Self::Shipping => 3,
            Self::Unavailable => 4,
            Self::PriceChanged => 5,
            Self::Expired => 6,
            Self::CalledOff => 7,
        }
    }
}

/// The channel of a notice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Channel {
    /// Email.
    Email,
    /// Text message.
    Sms,
}

impl Channel {
    /// All values, in the sequence of their stored numbers.
    pub const ALL: [Self; 2] = [Self::Email, Self::Sms];

    /// The name on the wire and in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Email => "EMAIL",
            Self::Sms => "SMS",
        }
    }

    /// The channel with that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| channel.name() == name)
    }

    /// The stored number.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Email => 0,
            Self::Sms => 1,
        }
    }
}

/// The channels of an order's notices: one or both.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Channels(u8);

impl Channels {
    /// Only email.
    pub const EMAIL: Self = Self(1);
    /// Only SMS.
    pub const SMS: Self = Self(2);
    /// Email and SMS.
    pub const BOTH: Self = Self(3);

    /// Whether notices use `channel`.
    #[must_use]
    pub fn has(self, channel: Channel) -> bool {
        self.0 & (1 << channel.number()) != 0
    }

    /// Iterates over the channels.
    pub fn iter(self) -> impl Iterator<Item = Channel> {
        Channel::ALL.into_iter().filter(move |channel| self.has(*channel))
    }
}

pub(crate) fn notice_id(order: OrderId, kind: NoticeKind, channel: Channel) -> NoticeId {
    NoticeId(order.derive(Derived::Notice(u32::from(kind.number()) * 2 + u32::from(channel.number()))))
}
