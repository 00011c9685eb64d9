//! What a message is to the role that listens.

use super::assignment;
use crate::domain::{Event, EventKind, OrderId, Role};
use crate::kafka::message::{Reading, Record};
use crate::kafka::read;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Work {
    /// Nothing to this role, or it has it already.
    Pass,
    /// An event to hear.
    Hear(Event),
    /// It belongs on another partition.
    Move(OrderId),
    /// It cannot be taken.
    Unreadable(Box<read::Unreadable>),
}

/// How a message ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// It is done.
    Done,
    /// It is a dead letter, behind which the later ones of its order wait.
    Parked,
}

impl Work {
    /// What `record` is to `role`. Kinds that it does not take are passed over before anything is parsed.
    #[must_use]
    pub fn of(record: &Record, role: Role, reading: &Reading) -> Self {
        // A tombstone: it tells a compacting broker to forget a key, and nobody anything.
        if record.value.is_none() {
            return Self::Pass;
        }
        let takes = |kind: EventKind| assignment::takes(role, record.topic, kind);
        if read::declared_kind(record, reading).is_some_and(|kind| kind.topic() == record.topic && !takes(kind))
            || record.headers.was_local_to(role)
        {
            return Self::Pass;
        }
        match read::read(record, reading) {
            Ok(event) if !takes(event.kind()) => Self::Pass,
            Ok(event) if i32::from(event.shard.0) != record.partition => Self::Move(event.order),
            Ok(event) => Self::Hear(event),
            Err(unreadable) => Self::Unreadable(unreadable),
        }
    }

    /// Whose order it is.
    #[must_use]
    pub fn order(&self) -> Option<OrderId> {
        match self {
            Self::Pass => None,
            Self::Hear(event) => Some(event.order),
            Self::Move(order) => Some(*order),
            Self::Unreadable(unreadable) => unreadable.order,
        }
    }

    /// Whether it goes on though an earlier message of its order is a dead letter.
    pub(super) fn overtakes(&self) -> bool {
        match self {
            Self::Hear(event) => event.kind() == EventKind::OrderCancelRequested,
            Self::Pass | Self::Move(_) | Self::Unreadable(_) => true,
        }
    }
}
