//! What a notice tells, and the way that it goes.

use super::ids::Derived;
use super::{NoticeId, OrderId};
use serde::{Deserialize, Serialize};

/// What a notice tells.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum NoticeKind {
    /// The order is confirmed.
    Confirmation,
    /// The payment failed.
    Failure,
    /// The paid order was cancelled.
    Cancellation,
    /// The goods are on their way.
    Shipping,
    /// The order is cancelled unpaid: something in it cannot be had.
    Unavailable,
    /// The order is cancelled unpaid: a price is another one now.
    PriceChanged,
    /// The order is cancelled unpaid: it was not paid in time.
    Expired,
    /// The order is cancelled unpaid: somebody asked for that.
    CalledOff,
}

impl NoticeKind {
    /// All, in the order of their stored numbers.
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

    /// What tells of a cancellation, by its reason on the wire. An order that was never paid tells why it ended; of one that was the
    /// customer must know that the money is given back.
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

    /// Whether it tells of an order that ended before it was paid. An order has one such notice at most.
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

    /// The kind of that name.
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

/// The way a notice goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Channel {
    /// Email.
    Email,
    /// Text message.
    Sms,
}

impl Channel {
    /// All, in the order of their stored numbers.
    pub const ALL: [Self; 2] = [Self::Email, Self::Sms];

    /// The name on the wire and in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Email => "EMAIL",
            Self::Sms => "SMS",
        }
    }

    /// The channel of that name.
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

/// The channels on which one order's notices go: one or both.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Channels(u8);

impl Channels {
    /// Email alone.
    pub const EMAIL: Self = Self(1);
    /// SMS alone.
    pub const SMS: Self = Self(2);
    /// Email and SMS.
    pub const BOTH: Self = Self(3);

    /// Whether notices go on `channel`.
    #[must_use]
    pub fn has(self, channel: Channel) -> bool {
        self.0 & (1 << channel.number()) != 0
    }

    /// The channels, in order.
    pub fn iter(self) -> impl Iterator<Item = Channel> {
        Channel::ALL.into_iter().filter(move |channel| self.has(*channel))
    }
}

pub(crate) fn notice_id(order: OrderId, kind: NoticeKind, channel: Channel) -> NoticeId {
    NoticeId(order.derive(Derived::Notice(u32::from(kind.number()) * 2 + u32::from(channel.number()))))
}
