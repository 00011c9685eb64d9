//! Ids. Each kind is a UUID with its own type. Derived ids are functions of the order's id, so a repeated step names the same thing.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }
        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                Uuid::try_parse(text).map(Self)
            }
        }
    };
}

id!(/// An order; the partition key of all its events.
    OrderId);
id!(/// Who ordered.
    CustomerId);
id!(/// An article of the catalogue.
    ProductId);
id!(/// One event of one order; derived, so a repeat carries the same one.
    EventId);
id!(/// Follows one request through every event, log line and answer.
    CorrelationId);
id!(/// One charge of one order.
    PaymentId);
id!(/// One reserved line of one order.
    ReservationId);
id!(/// One notice of one order on one channel.
    NoticeId);

/// A writer: a node's registration in the database (`writers.writer`). The store assigns the numbers and never reuses one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WriterId(pub i64);

/// What a derived id identifies; the numbers are part of stored ids and never change.
#[derive(Clone, Copy)]
pub(crate) enum Derived {
    Event(u32),
    Payment,
    Reservation(u32),
    Notice(u32),
    Item(u32),
}

impl OrderId {
    /// A time-ordered (version 7) id from milliseconds since 1970 and 74 random bits.
    #[must_use]
    pub fn from_parts(unix_ms: u64, random: [u8; 10]) -> Self {
        Self(uuid::Builder::from_unix_timestamp_millis(unix_ms, &random).into_uuid())
    }

    /// The first id of that time. Ids are time-ordered, so older orders have smaller ids.
    #[must_use]
    pub fn first_at(at: super::Timestamp) -> Self {
        Self::from_parts(u64::try_from(at.0 / 1000).unwrap_or(0), [0; 10])
    }

    /// A version 8 id that is a function of this order and `what`. It keeps the first half of the order's id, so the rows of one order are
    /// next to each other in an index.
    pub(crate) fn derive(self, what: Derived) -> Uuid {
        let (space, number) = match what {
            Derived::Event(n) => (1u64, n),
            Derived::Payment => (2, 0),
            Derived::Reservation(n) => (3, n),
            Derived::Notice(n) => (4, n),
            Derived::Item(n) => (5, n),
        };
        let (high, low) = self.0.as_u64_pair();
        let mixed = low ^ splitmix((space << 32) | u64::from(number));
        let mut bytes = [0u8; 16];
        let (handle, back) = bytes.split_at_mut(8);
        handle.copy_from_slice(&high.to_be_bytes());
        back.copy_from_slice(&mixed.to_be_bytes());
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }

    /// The id of this order's reserved line `line`.
    #[must_use]
    pub fn reservation(self, line: u32) -> ReservationId {
        ReservationId(self.derive(Derived::Reservation(line)))
    }

    /// The id of this order's item `line` in `order_items`.
    #[must_use]
    pub fn item(self, line: u32) -> Uuid {
        self.derive(Derived::Item(line))
    }

    /// The id of this order's payment.
    #[must_use]
    pub fn payment(self) -> PaymentId {
        PaymentId(self.derive(Derived::Payment))
    }
}

/// The finaliser of SplitMix64: neighbouring numbers give unrelated bits. Written out here because stored ids depend on it, whatever a
/// library of generators does.
fn splitmix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_ids_are_distinct_and_stable() {
        let order = OrderId::from_parts(1_700_000_000_000, [7; 10]);
        let mut seen = std::collections::BTreeSet::new();
        for n in 0..100 {
            assert!(seen.insert(order.derive(Derived::Event(n))));
            assert!(seen.insert(order.derive(Derived::Reservation(n))));
            assert!(seen.insert(order.derive(Derived::Notice(n))));
        }
        assert_eq!(order.payment(), order.payment());
        assert_eq!(order.payment().0.get_version_num(), 8);
    }
}
