//! What comes onto an arbiter.

use crate::actors::protocol::command::Ask;
use crate::actors::protocol::fate::Fate;
use crate::actors::protocol::slot::OpenSlot;
use crate::actors::protocol::ticket::{Ticket, WriteOf};
use crate::db::{IdempotencyKey, Outcome, PlaceOutcome};
use crate::domain::{Channel, Event, LoggedEvent, NoticeKind, Order, OrderId, Role, RoleShards};
use std::sync::Arc;
use tokio::sync::oneshot;

/// What comes onto an arbiter.
pub(crate) enum Inbound {
    /// A new order.
    Place(NewPlace),
    /// A command to an order of this arbiter.
    Command(OrderId, Ask),
    /// A committed batch's share: what became of this arbiter's writes, and the events of its shards.
    Stored { done: Vec<(WriteOf, Fate<Outcome>)>, events: Arc<Vec<LoggedEvent>>, mine: Vec<u32> },
    /// An event to deliver again, to this node's roles.
    Again(Event),
    /// An event from another node or team, for one role of this node beside the order's own, or for each that takes it.
    Foreign { role: Option<Role>, event: Event, order: Option<Arc<Order>> },
    /// A notice to try again, asked for by a person.
    RetryNotice { order: OrderId, kind: NoticeKind, channel: Channel },
    /// The writer is fenced: drop everything and load again.
    Reload { epoch: u64 },
    /// From now on these role shards are this node's: load their open orders.
    Load(RoleShards, Loading),
    /// From now on these role shards are not this node's any more; answered when nothing is under way for them.
    Unload { role_shards: RoleShards, done: oneshot::Sender<()> },
}

/// While one is held, open orders are still to be loaded and the node is not ready; gone when it is dropped, whatever happened.
#[derive(Clone, Default)]
pub(crate) struct Loading(Arc<()>);

impl Loading {
    /// Whether there is another one.
    pub(crate) fn is_under_way(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

/// A new order on its way to its actor.
pub(crate) struct NewPlace {
    pub(crate) order: Arc<Order>,
    pub(crate) key: Option<IdempotencyKey>,
    pub(crate) ticket: Arc<Ticket>,
    pub(crate) reply: oneshot::Sender<Fate<PlaceOutcome>>,
    pub(crate) slot: OpenSlot,
}
