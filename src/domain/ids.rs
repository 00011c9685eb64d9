//! Ids. Each kind is a UUID with its own type. Derived ids are functions of the order's id, so a repeated step names the same thing.

use super::trace::{SpanId, TraceContext, TraceId};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
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
id!(/// One charge of one order.
    PaymentId);
id!(/// One reserved line of one order.
    ReservationId);
id!(/// One notice of one order on one channel.
    NoticeId);

/// Follows one request through every event, log line and answer. It carries the request's trace along, if there is more to tell of that
/// than the id itself says ([`CorrelationId::trace_id`]). Two that differ in that alone are equal, and only the id has a stored form.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CorrelationId(pub Uuid, #[serde(skip)] Option<TraceContext>);

impl CorrelationId {
    /// That id.
    #[must_use]
    pub const fn of(id: Uuid) -> Self {
        Self(id, None)
    }

    /// The same id with this trace.
    #[must_use]
    pub const fn traced(self, trace: Option<TraceContext>) -> Self {
        Self(self.0, trace)
    }

    /// The trace that it carries.
    #[must_use]
    pub const fn trace(&self) -> Option<&TraceContext> {
        self.1.as_ref()
    }

    /// The trace of what follows from the request: the one that it carries, else one that is named by the id itself, so that every node
    /// knows it and nothing is stored. None for the nil id.
    #[must_use]
    pub fn trace_id(&self) -> Option<TraceId> {
        match &self.1 {
            Some(carried) => Some(carried.trace),
            None => (!self.0.is_nil()).then(|| self.0.into_bytes()),
        }
    }

    /// Its trace, if that is sampled: by the flag that it carries, else as `by_share` decides of the trace's id.
    #[must_use]
    pub fn sampled(&self, by_share: impl FnOnce(&TraceId) -> bool) -> Option<TraceId> {
        let trace = self.trace_id()?;
        let is_sampled = self.1.as_ref().map_or_else(|| by_share(&trace), |carried| carried.is_sampled);
        is_sampled.then_some(trace)
    }

    /// Carries `trace`; it is kept with the order if the id and `by_share` would not say the same.
    #[must_use]
    pub fn with_trace(self, trace: TraceContext, by_share: impl FnOnce(&TraceId) -> bool) -> Self {
        let is_derived = trace.trace == self.0.into_bytes() && trace.is_sampled == by_share(&trace.trace);
        Self(self.0, Some(TraceContext { is_kept: !is_derived, ..trace }))
    }
}

impl EventId {
    /// The span of the step that made the event true, in the trace of its order: every node knows it, and so does who hears a repeat.
    #[must_use]
    pub fn span(self) -> SpanId {
        self.0.as_u64_pair().1.to_be_bytes()
    }
}

impl PartialEq for CorrelationId {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for CorrelationId {}

impl PartialOrd for CorrelationId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for CorrelationId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl fmt::Display for CorrelationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl fmt::Debug for CorrelationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl FromStr for CorrelationId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        Uuid::try_parse(text).map(Self::of)
    }
}

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
