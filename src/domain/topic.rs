//! The topics, and who writes them.

use super::Role;
use serde::{Deserialize, Serialize};

/// A Kafka topic; each role writes one, and other teams write `Shipping`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Topic {
    /// `order-events`
    Order,
    /// `inventory-events`
    Inventory,
    /// `payment-events`
    Payment,
    /// `notification-events`
    Notification,
    /// `shipping-events`
    Shipping,
}

impl Topic {
    /// All values, in the sequence of their stored numbers.
    pub const ALL: [Self; 5] = [Self::Order, Self::Inventory, Self::Payment, Self::Notification, Self::Shipping];

    /// The topic's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Order => "order-events",
            Self::Inventory => "inventory-events",
            Self::Payment => "payment-events",
            Self::Notification => "notification-events",
            Self::Shipping => "shipping-events",
        }
    }

    /// The role that writes it; none of ours writes `shipping-events`.
    #[must_use]
    pub fn role(self) -> Option<Role> {
        match self {
            Self::Order => Some(Role::Order),
            Self::Inventory => Some(Role::Inventory),
            Self::Payment => Some(Role::Payment),
            Self::Notification => Some(Role::Notification),
            Self::Shipping => None,
        }
    }

    /// The stored number.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Order => 0,
            Self::Inventory => 1,
            Self::Payment => 2,
            Self::Notification => 3,
            Self::Shipping => 4,
        }
    }
}
