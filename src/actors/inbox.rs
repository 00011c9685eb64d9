//! The way onto an arbiter: one list under one lock, one wake-up however much lies in it.

use super::front::CommandError;
use super::journal::{Origin, Ticket};
use super::node::Node;
use crate::db::{IdempotencyKey, Outcome};
use crate::domain::{CancelledBy, Channel, Event, LoggedEvent, NoticeKind, Order, OrderId, OrderStatus, Revision, Role, Slices, Text};
use crate::saga::Shipment;
use crate::saga::external::Dispute;
use futures_util::{Stream, stream};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, oneshot};

/// What comes onto an arbiter.
pub(crate) enum Inbound {
    /// A new order.
    Place(NewPlace),
    /// A command to an order of this arbiter.
    Command(OrderId, Ask),
    /// A committed batch's share: what became of this arbiter's writes, and the events of its shards.
    Stored { done: Vec<(Origin, Outcome)>, events: Arc<Vec<LoggedEvent>>, mine: Vec<u32> },
    /// An event to deliver again, to this node's roles.
    Again(Event),
    /// An event from another node or team, for one role of this node beside the order's own, or for each that takes it.
    Foreign { role: Option<Role>, event: Event, order: Option<Arc<Order>> },
    /// A notice to try again, asked for by a person.
    RetryNotice { order: OrderId, kind: NoticeKind, channel: Channel },
    /// The writer is fenced: drop everything and load again.
    Reload { epoch: u64 },
    /// From now on these slices are this node's: load their open orders.
    Load(Slices),
    /// From now on these slices are not this node's any more; answered when nothing is under way for them.
    Unload { slices: Slices, done: oneshot::Sender<()> },
}

/// A new order on its way to its actor.
pub(crate) struct NewPlace {
    pub(crate) order: Arc<Order>,
    pub(crate) key: Option<IdempotencyKey>,
    pub(crate) ticket: Arc<Ticket>,
    pub(crate) reply: oneshot::Sender<Outcome>,
    pub(crate) slot: OpenSlot,
}

/// One place among the orders that owe stock or payment; free again when it is dropped, whatever happened.
pub(crate) struct OpenSlot(Arc<Node>);

impl OpenSlot {
    /// Takes a place, above the bound if need be.
    pub(crate) fn take(node: &Arc<Node>) -> Self {
        node.counters.open.fetch_add(1, Ordering::Relaxed);
        Self(node.clone())
    }

    /// Takes a place if there is one.
    pub(crate) fn try_take(node: &Arc<Node>) -> Option<Self> {
        let slot = Self::take(node);
        (node.counters.open.load(Ordering::Relaxed) <= node.settings.open_limit).then_some(slot)
    }
}

impl Drop for OpenSlot {
    fn drop(&mut self) {
        self.0.counters.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A command with the way back.
pub(crate) struct Ask {
    pub(crate) what: OrderCommand,
    /// The state that the order must be in.
    pub(crate) seen: Option<Revision>,
    pub(crate) reply: oneshot::Sender<Result<OrderStatus, CommandError>>,
}

/// What an order can be told to do.
#[derive(Clone, Debug)]
pub(crate) enum OrderCommand {
    Cancel(CancelledBy),
    Ship(Shipment),
    /// A person ends the order.
    Compensate,
    /// A person lets a parked order go on.
    Unpark,
    /// A person has done what this role did not.
    DoneByHand(Role),
    /// A person accepts what another team's role said.
    Accept(Dispute),
    /// Another node's or team's role has answered.
    Hear(Box<Event>),
    /// A step failed past its policy.
    Park {
        step: &'static str,
        cause: Text<64>,
        detail: Text<1000>,
        tries: u32,
        role: Role,
    },
}

/// What parks an order: a step of `role` failed past its policy.
pub(crate) fn park_command(role: Role, step: &'static str, cause: &str, detail: &str, tries: u32) -> OrderCommand {
    OrderCommand::Park { step, cause: Text::lossy(cause), detail: Text::lossy(detail), tries, role }
}

/// The list of one arbiter.
#[derive(Default)]
pub(crate) struct Inbox {
    list: Mutex<Vec<Inbound>>,
    wake: Notify,
}

impl Inbox {
    pub(crate) fn push(&self, inbound: Inbound) {
        let was_empty = {
            let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
            list.push(inbound);
            list.len() == 1
        };
        if was_empty {
            self.wake.notify_one();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    async fn take(&self) -> Vec<Inbound> {
        loop {
            let list = std::mem::take(&mut *self.list.lock().unwrap_or_else(PoisonError::into_inner));
            if !list.is_empty() {
                return list;
            }
            self.wake.notified().await;
        }
    }

    /// The lists as they come; never ends. A list that was taken is lost if its taker dies: what it said is repeated by re-drive.
    pub(crate) fn lists(self: Arc<Self>) -> impl Stream<Item = Vec<Inbound>> {
        stream::unfold(self, |inbox| async move { Some((inbox.take().await, inbox)) })
    }
}
