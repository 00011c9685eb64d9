//! The handle to a node's actors, for HTTP, the Kafka consumer and the command line.

use crate::actors::node::Node;
use crate::actors::protocol::command::{Ask, CommandError, OrderCommand};
use crate::actors::protocol::fate::Fate;
use crate::actors::protocol::inbound::{Inbound, NewPlace};
use crate::actors::protocol::ticket::Ticket;
use crate::actors::runtime::pause::pause;
use crate::actors::runtime::retry::Stopping;
use crate::db::{IdempotencyKey, PlaceOutcome, Request, StoredOrder};
use crate::domain::{
    Address, CancelledBy, Closing, Contact, CorrelationId, CustomerId, Money, Order, OrderId, OrderLine, OrderStatus, Revision, Role, Text,
    Timestamp,
};
use crate::saga::Shipment;
use crate::saga::policy::Backoff;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::oneshot;

/// Most ids to try until one lies in a shard of this node, which owns at least one of 1024 shards, or none.
pub(super) const MOST_IDS: usize = 20_000;

/// An order to place. Every part is within its bounds, and `total` is [`Order::total_of`] the lines.
#[derive(Clone, Debug)]
pub struct NewOrder {
    /// The customer.
    pub customer: CustomerId,
    /// The lines.
    pub lines: Vec<OrderLine>,
    /// The total.
    pub total: Money,
    /// How the customer pays.
    pub payment_method: Text<50>,
    /// Where to send notices.
    pub contact: Option<Box<Contact>>,
    /// Where to send the goods.
    pub address: Option<Box<Address>>,
    /// The correlation id of the request.
    pub correlation: CorrelationId,
}

/// A placed order.
#[derive(Clone, Debug)]
pub struct Placed {
    /// The order; for a repeat, the one that the key's first request placed.
    pub order: Arc<Order>,
    /// Whether the idempotency key's first request had placed it.
    pub replayed: bool,
}

/// Why an order was not placed; the variants differ in what the client should do next.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// Too many orders are in progress, or the node is stopping: 503.
    #[error("too many orders are under way")]
    Overloaded,
    /// The database accepts no writes at the moment; the order is known not to be stored: 503.
    #[error("the order could not be stored")]
    NotStored,
    /// The order was sent to the database, but the outcome was unknown at the request limit: 504 with the id.
    #[error("the order's outcome is not known yet")]
    Unknown(OrderId),
    /// The database rejects this order, so repeating it does not help: 500.
    #[error("the order was refused by the database")]
    Refused,
    /// This node owns no shard: the request is forwarded to another node, or answered with 503.
    #[error("no shard is this node's at the moment")]
    NotHere,
    /// The idempotency key was used with another body: 422.
    #[error("the idempotency key was used with another body")]
    KeyReused,
    /// The key's first request is still in progress at the request limit: 409.
    #[error("the first request with this idempotency key is still in progress")]
    KeyInProgress,
}

/// A command to an order.
#[derive(Clone, Debug)]
pub enum Command {
    /// Cancel it.
    Cancel {
        /// Who asks for it.
        by: CancelledBy,
    },
    /// The goods have left.
    Ship(Shipment),
}

/// Why a write to the catalogue or to dead letters was not done.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Known not to be stored: 503.
    #[error("the change could not be stored")]
    NotStored,
    /// Sent, outcome unknown at the request limit: 504.
    #[error("the change's outcome is not known yet")]
    Unknown,
    /// The database rejects it: 500, with a log line.
    #[error("the change was refused: {0}")]
    Refused(Arc<str>),
}

/// The handle to a node's actors; cheap to clone, usable from any thread.
#[derive(Clone)]
pub struct NodeHandle {
    pub(super) node: Arc<Node>,
}

impl NodeHandle {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }

    /// Places an order; returns once it is stored, or at `limit`.
    ///
    /// # Errors
    /// See [`PlaceError`].
    pub async fn place(&self, new: NewOrder, key: Option<IdempotencyKey>, limit: Duration) -> Result<Placed, PlaceError> {
        self.place_as(None, new, key, limit).await
    }

    /// Like [`NodeHandle::place`], but under the id that another node has promised ([`NodeHandle::promise`]); with `None`, under a new id.
    ///
    /// # Errors
    /// See [`PlaceError`].
    pub async fn place_as(
        &self,
        promised: Option<OrderId>,
        new: NewOrder,
        key: Option<IdempotencyKey>,
        limit: Duration,
    ) -> Result<Placed, PlaceError> {
        if self.is_closed() {
            return Err(PlaceError::Overloaded);
        }
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            let created_at = self.node.now();
            let id = match promised {
                Some(id) if self.owns(Role::Order, self.node.shards().of(id)) => id,
                Some(_) => return Err(PlaceError::NotHere),
                None => self.new_id(created_at)?,
            };
            let new = new.clone();
            let order = Arc::new(Order {
                id,
                shard: self.node.shards().of(id),
                customer: new.customer,
                lines: new.lines,
                total: new.total,
                payment_method: new.payment_method,
                contact: new.contact,
                address: new.address,
                correlation: new.correlation,
                created_at,
            });
            let ticket = Arc::new(Ticket::default());
            let placing = self.place_until_known(&order, key.clone(), &ticket);
            match tokio::time::timeout_at(deadline, placing).await {
                // Its shard has just gone to another node; the next id lies in one that is still here.
                Ok(Err(PlaceError::NotHere)) => pause(self.node.settings.tick_ms).await,
                Ok(result) => return result,
                Err(_) if ticket.withdraw() => return Err(PlaceError::NotStored),
                Err(_) => return Err(PlaceError::Unknown(id)),
            }
        }
    }

    /// A new id in a shard of this node.
    fn new_id(&self, now: Timestamp) -> Result<OrderId, PlaceError> {
        let owned = self.node.owned.borrow();
        if !owned.iter().any(|(role, _)| role == Role::Order) {
            return Err(PlaceError::NotHere);
        }
        let shards = self.node.shards();
        let ids = std::iter::repeat_with(|| self.node.world.order_id(now)).take(MOST_IDS);
        let mut of_ours = ids.filter(|id| owned.has(Role::Order, shards.of(*id)));
        of_ours.next().ok_or(PlaceError::NotHere)
    }

    async fn place_until_known(&self, order: &Arc<Order>, key: Option<IdempotencyKey>, ticket: &Arc<Ticket>) -> Result<Placed, PlaceError> {
        loop {
            let slot = self.node.counters.open.try_take(self.node.settings.open_limit).ok_or(PlaceError::Overloaded)?;
            let (reply, fate) = oneshot::channel();
            let new = NewPlace { order: order.clone(), key: key.clone(), ticket: ticket.clone(), reply, slot };
            let inbox = self.node.inbox_of(order.shard).ok_or(PlaceError::NotStored)?;
            inbox.push(Inbound::Place(new));
            match fate.await {
                Ok(Fate::Stored(PlaceOutcome::Done | PlaceOutcome::Repeated)) => {
                    return Ok(Placed { order: order.clone(), replayed: false });
                }
                Ok(Fate::Stored(PlaceOutcome::KeyTaken { order: first, same_body })) => return self.replay(first, same_body).await,
                Ok(Fate::NotOurs) => return Err(PlaceError::NotHere),
                Ok(Fate::NotStored) => return Err(PlaceError::NotStored),
                Ok(Fate::Refused(why)) => {
                    tracing::error!(order.id = %order.id, error = %why, "an order was refused by the database");
                    return Err(PlaceError::Refused);
                }
                Ok(Fate::Recorded) => {}
                // Its actor died, or has gone with its shard. Unsent it is known not to be stored; else what is stored tells.
                Err(_) if ticket.withdraw() => {
                    let is_ours = self.owns(Role::Order, order.shard);
                    return Err(if is_ours { PlaceError::NotStored } else { PlaceError::NotHere });
                }
                Err(_) => {}
            }
            self.node.journal.passed().await;
            match self.node.read_until_ok(|| self.node.reads.order(order.id)).await {
                Ok(Some(stored)) => return Ok(Placed { order: stored.order, replayed: false }),
                Ok(None) => {}
                // It was sent; whoever is told that it is not stored would place it elsewhere, a second time.
                Err(Stopping) => return Err(PlaceError::Unknown(order.id)),
            }
            // Not there, and nothing is on its way: placed again it is still one order, its id is the same.
            pause(self.node.settings.tick_ms).await;
        }
    }

    /// The order that the key's first request placed.
    async fn replay(&self, first: OrderId, same_body: bool) -> Result<Placed, PlaceError> {
        if !same_body {
            return Err(PlaceError::KeyReused);
        }
        match self.node.read_until_ok(|| self.node.reads.order(first)).await {
            Ok(Some(stored)) => Ok(Placed { order: stored.order, replayed: true }),
            Ok(None) => Err(PlaceError::KeyInProgress),
            Err(Stopping) => Err(PlaceError::Overloaded),
        }
    }

    /// Gives a command to an order; returns the order's status once the command is stored, or fails at `limit`. Wakes a settled order.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn command(&self, order: OrderId, command: Command, limit: Duration) -> Result<OrderStatus, CommandError> {
        self.command_if(order, command, None, limit).await
    }

    /// Like [`NodeHandle::command`], but if `seen` is given, only while the order has that revision
    /// ([`Record::revision`](crate::saga::Record::revision)).
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn command_if(
        &self,
        order: OrderId,
        command: Command,
        seen: Option<Revision>,
        limit: Duration,
    ) -> Result<OrderStatus, CommandError> {
        let what = match command {
            Command::Cancel { by } => OrderCommand::Cancel(by),
            Command::Ship(shipment) => OrderCommand::Ship(shipment),
        };
        self.tell_if(order, what, (seen, None), limit).await
    }

    pub(super) async fn tell(&self, order: OrderId, what: OrderCommand, limit: Duration) -> Result<OrderStatus, CommandError> {
        self.tell_if(order, what, (None, None), limit).await
    }

    /// A person's decision on a dead letter: the transaction that stores the command's effect closes it.
    pub(super) async fn decide(
        &self,
        order: OrderId,
        what: OrderCommand,
        closing: Closing,
        limit: Duration,
    ) -> Result<OrderStatus, CommandError> {
        self.tell_if(order, what, (None, Some(closing)), limit).await
    }

    /// Gives a command, and gives it again if the actor dies: commands are idempotent.
    async fn tell_if(
        &self,
        order: OrderId,
        what: OrderCommand,
        (seen, closing): (Option<Revision>, Option<Closing>),
        limit: Duration,
    ) -> Result<OrderStatus, CommandError> {
        if self.is_closed() {
            return Err(CommandError::Unavailable);
        }
        let shard = self.node.shards().of(order);
        if !self.node.owns(Role::Order, shard) {
            return Err(CommandError::NotHere);
        }
        let inbox = self.node.inbox_of(shard).ok_or(CommandError::Unavailable)?;
        let telling = async {
            // Its actor may die of the very command: not so fast.
            let rhythm = Backoff { first_ms: self.node.settings.tick_ms, most_ms: 1000 };
            let mut tries = 0;
            loop {
                let (reply, result) = oneshot::channel();
                inbox.push(Inbound::Command(order, Ask { what: what.clone(), seen, closing: closing.clone(), reply }));
                match result.await {
                    Ok(Err(error)) if tries > 0 => return self.done_before(order, &what, error).await,
                    Ok(result) => return result,
                    Err(_) => {}
                }
                tries += 1;
                pause(rhythm.after(tries)).await;
            }
        };
        tokio::time::timeout(limit, telling).await.unwrap_or(Err(CommandError::Unknown))
    }

    /// Checks in the stored state whether a failed command was done after all: a command given twice may be refused because its first
    /// attempt succeeded, or sent where it cannot be done any more.
    async fn done_before(&self, order: OrderId, what: &OrderCommand, error: CommandError) -> Result<OrderStatus, CommandError> {
        self.node.journal.passed().await;
        let Ok(read) = self.node.read_until_ok(|| self.node.reads.order(order)).await else { return Err(CommandError::Unknown) };
        let cancelled = |stored: &StoredOrder| stored.record.facts.cancel.map(|(by, _)| by);
        let was_done = |stored: &StoredOrder| match what {
            OrderCommand::Cancel(by) => Some(cancelled(stored) == Some(*by)),
            OrderCommand::Compensate => Some(cancelled(stored) == Some(CancelledBy::Operator)),
            OrderCommand::Ship(shipment) => Some(stored.record.facts.shipment.as_ref().is_some_and(|(known, _)| known == shipment)),
            OrderCommand::Unpark(_)
            | OrderCommand::DoneByHand(_)
            | OrderCommand::Accept(_)
            | OrderCommand::Hear(_)
            | OrderCommand::Park { .. } => None,
        };
        match (read.map(|stored| (was_done(&stored), stored.status)), error) {
            (Some((Some(true), status)), _) => Ok(status),
            // Nothing tells whether its first time is stored.
            (Some((None, _)), CommandError::NotHere | CommandError::Unavailable) => Err(CommandError::Unknown),
            (Some(_) | None, error) => Err(error),
        }
    }

    /// Writes something that belongs to no order (catalogue, stock, dead letters) and returns the outcome. `None`: it is stored, but the
    /// outcome is unknown because the reply to COMMIT was lost.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn write<R: Request>(&self, request: R, limit: Duration) -> Result<Option<R::Outcome>, WriteError> {
        if self.is_closed() {
            return Err(WriteError::NotStored);
        }
        let ticket = Arc::new(Ticket::default());
        let fate = self.node.journal.ask(request, Some(ticket.clone()));
        match tokio::time::timeout(limit, fate).await {
            Ok(Ok(Fate::Stored(outcome))) => Ok(Some(outcome)),
            Ok(Ok(Fate::Recorded)) => Ok(None),
            Ok(Ok(Fate::NotStored | Fate::NotOurs)) => Err(WriteError::NotStored),
            Ok(Ok(Fate::Refused(why))) => Err(WriteError::Refused(why)),
            Ok(Err(_)) | Err(_) if ticket.withdraw() => Err(WriteError::NotStored),
            Ok(Err(_)) | Err(_) => Err(WriteError::Unknown),
        }
    }

    /// Stops accepting new orders.
    pub fn stop_taking(&self) {
        self.node.counters.stopping.store(true, Ordering::Release);
    }

    /// Whether the node has stopped accepting new orders.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.node.counters.stopping.load(Ordering::Acquire)
    }

    /// Whether new orders are refused at the moment: the node is stopping, or the journal is too far behind.
    fn is_closed(&self) -> bool {
        self.is_stopping() || self.node.journal.waiting() >= self.node.settings.queue_limit as u64
    }
}
