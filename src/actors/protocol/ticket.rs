//! Whose a write is, and whether it can still be withdrawn.

use crate::actors::protocol::fate::Fate;
use crate::db::Outcome;
use crate::domain::{Channel, NoticeKind, OrderId, Role, Shard};
use std::sync::atomic::{AtomicU8, Ordering};
use tokio::sync::oneshot;

/// Whether a write may still be withdrawn by who asked for it.
#[derive(Debug, Default)]
pub(crate) struct Ticket(AtomicU8);

const WAITING: u8 = 0;
const SENT: u8 = 1;
const WITHDRAWN: u8 = 2;

impl Ticket {
    /// Withdraws the write: `true` means that it is known never to be stored.
    pub(crate) fn withdraw(&self) -> bool {
        self.0.compare_exchange(WAITING, WITHDRAWN, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    pub(crate) fn send(&self) -> bool {
        self.0.compare_exchange(WAITING, SENT, Ordering::AcqRel, Ordering::Acquire).is_ok() || self.0.load(Ordering::Acquire) == SENT
    }
}

/// Which actor's write it is.
#[derive(Debug)]
pub(crate) enum WriteOf {
    /// An order's actor, in one of its incarnations, that places its order.
    Place(Shard, OrderId, u64),
    /// The same, for a new record.
    Save(Shard, OrderId, u64),
    /// A role, about its step.
    Step(StepOf),
}

/// Whose step it is.
#[derive(Debug)]
pub(crate) enum StepOf {
    /// A role's, about an order.
    Role(Role, Shard, OrderId),
    /// The notifier's, about a notice; none where a notice is withdrawn that nobody waits for.
    Notice(Shard, OrderId, Option<(NoticeKind, Channel)>),
}

impl WriteOf {
    /// The shard of its order.
    pub(crate) fn shard(&self) -> Shard {
        match self {
            Self::Place(shard, ..) | Self::Save(shard, ..) | Self::Step(StepOf::Role(_, shard, _) | StepOf::Notice(shard, ..)) => *shard,
        }
    }
}

/// Who wants to know what became of a write.
#[derive(Debug)]
pub(crate) enum Origin {
    /// An actor: its router tells it.
    Actor(WriteOf),
    /// Somebody who waits.
    Ask(oneshot::Sender<Fate<Outcome>>),
}
