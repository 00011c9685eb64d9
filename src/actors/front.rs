//! The front of a node's actors: what HTTP, the consumer and the command line may ask of them.

use super::Live;
use crate::db::{IdempotencyKey, Outcome, Reads, Write};
use crate::domain::{Address, CancelledBy, Contact, CorrelationId, CustomerId, LetterId, Line, Money, Order, OrderId, OrderStatus, Text};
use crate::saga::{Rejection, Shipment};
use std::sync::Arc;
use std::time::Duration;

/// An order as a client wants it; every part is within its bounds, `total` is [`Order::total_of`] the lines.
#[derive(Clone, Debug)]
pub struct NewOrder {
    /// Who orders.
    pub customer: CustomerId,
    /// What.
    pub lines: Vec<Line>,
    /// The sum.
    pub total: Money,
    /// How the customer pays.
    pub payment_method: Text<50>,
    /// Where to send notices.
    pub contact: Option<Box<Contact>>,
    /// Where to send the goods.
    pub address: Option<Box<Address>>,
    /// The request.
    pub correlation: CorrelationId,
}

/// A placed order.
#[derive(Clone, Debug)]
pub struct Placed {
    /// The order; of a replay the one that the key's first request placed.
    pub order: Arc<Order>,
    /// Whether the idempotency key's first request had placed it.
    pub replayed: bool,
}

/// Why an order was not placed, by what the client does next.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// Too many orders are under way, or the node is stopping: 503.
    #[error("too many orders are under way")]
    Overloaded,
    /// The database takes no writes now; the order is known not to be stored: 503.
    #[error("the order could not be stored")]
    NotStored,
    /// The order was sent to the database but its outcome is not known at the request limit: 504 with the id.
    #[error("the order's outcome is not known yet")]
    Unknown(OrderId),
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
    /// End it.
    Cancel {
        /// Who asks.
        by: CancelledBy,
    },
    /// The goods have left.
    Ship(Shipment),
}

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// No such order: 404.
    #[error("no such order")]
    NotFound,
    /// Not admitted: 409.
    #[error("{0}")]
    Rejected(Rejection),
    /// Not now: 503.
    #[error("the order cannot be changed now")]
    Unavailable,
    /// Sent, outcome unknown at the request limit: 504.
    #[error("the command's outcome is not known yet")]
    Unknown,
}

/// Why a write of the catalogue or the desk was not done.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Known not to be stored: 503.
    #[error("the change could not be stored")]
    NotStored,
    /// Sent, outcome unknown at the request limit: 504.
    #[error("the change's outcome is not known yet")]
    Unknown,
    /// The database refuses it: 500, with a log line.
    #[error("the change was refused: {0}")]
    Refused(Arc<str>),
}

/// What a person does with a dead letter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LetterAction {
    /// Try again: a parked order is driven on, a notice is sent again, a message is taken again.
    Reprocess,
    /// Pass over it: a parked order is driven on without a new try being counted; a message is passed over.
    Skip,
    /// Cancel the order and undo what was done.
    Compensate,
    /// Put it away; refused for a parked order.
    Discard,
}

/// Why an action on a letter was not done.
#[derive(Debug, thiserror::Error)]
pub enum LetterError {
    /// No such letter: 404.
    #[error("no such dead letter")]
    NotFound,
    /// It is closed already: 409.
    #[error("the dead letter is closed")]
    Closed,
    /// The action makes no sense for it: 409.
    #[error("{0}")]
    NotApplicable(&'static str),
    /// Not now: 503.
    #[error("the dead letter cannot be changed now")]
    Unavailable,
}

/// How many actors of a kind there are and how they fare.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActorCount {
    /// `order`, `stock-keeper`, `payment-gateway`, `notifier`, `router`, `supervisor`, `journal`, `analytics`.
    pub kind: String,
    /// Living now.
    pub alive: u64,
    /// Restarts since the node started.
    pub restarts: u64,
    /// What the last restart was for.
    pub last_cause: Option<String>,
    /// Messages or steps that wait.
    pub waiting: u64,
    /// How many of them may wait.
    pub capacity: u64,
}

/// All actors of a node.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActorsReport {
    /// By kind.
    pub actors: Vec<ActorCount>,
    /// Orders that owe stock or payment.
    pub open_orders: u64,
    /// The most of them.
    pub open_orders_limit: u64,
    /// Why the node is not ready; empty when it is.
    pub not_ready: Vec<String>,
}

/// The handle to a node's actors; cheap to clone, usable from any thread.
#[derive(Clone)]
pub struct Front {
    reads: Arc<dyn Reads>,
    live: Live,
}

impl Front {
    /// Places an order and returns when it is stored, or at `limit`.
    ///
    /// # Errors
    /// See [`PlaceError`].
    pub async fn place(&self, _order: NewOrder, _key: Option<IdempotencyKey>, _limit: Duration) -> Result<Placed, PlaceError> {
        todo!()
    }

    /// Gives a command to an order and returns when it is stored, with the status then, or at `limit`. A settled order is woken.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn command(&self, _order: OrderId, _command: Command, _limit: Duration) -> Result<OrderStatus, CommandError> {
        todo!()
    }

    /// Writes something that belongs to no order (catalogue, stock, desk) and returns what became of it.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn write(&self, _write: Write, _limit: Duration) -> Result<Outcome, WriteError> {
        todo!()
    }

    /// Does what a person decided about a dead letter, audited as `by`.
    ///
    /// # Errors
    /// See [`LetterError`].
    pub async fn act(
        &self,
        _letter: LetterId,
        _action: LetterAction,
        _by: Text<100>,
        _note: Option<Text<200>>,
        _limit: Duration,
    ) -> Result<(), LetterError> {
        todo!()
    }

    /// The reading side of the store.
    #[must_use]
    pub fn reads(&self) -> &Arc<dyn Reads> {
        &self.reads
    }

    /// Who waits for orders to change.
    #[must_use]
    pub fn live(&self) -> &Live {
        &self.live
    }

    /// The actors and how they fare.
    #[must_use]
    pub fn report(&self) -> ActorsReport {
        todo!()
    }
}
