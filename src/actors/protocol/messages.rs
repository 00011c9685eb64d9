//! What the actors of a cell say to each other.

use crate::actors::protocol::command::Ask;
use crate::actors::protocol::fate::Fate;
use crate::actors::protocol::inbound::Loading;
use crate::actors::protocol::kind::ActorKind;
use crate::db::{PlaceOutcome, RowOutcome};
use crate::domain::{Channel, Event, LoggedEvent, NoticeKind, Order, OrderId, Shard};
use actix::Message;
use std::sync::Arc;

/// An event in the list of the batch that stored it, so that it is not copied for each who takes it.
#[derive(Clone)]
pub(crate) struct EventRef {
    list: Arc<Vec<LoggedEvent>>,
    index: usize,
}

impl EventRef {
    /// The event at `index` of a list; none outside of it.
    pub(crate) fn at(list: &Arc<Vec<LoggedEvent>>, index: usize) -> Option<Self> {
        (index < list.len()).then(|| Self { list: list.clone(), index })
    }

    pub(crate) fn alone(event: Event) -> Self {
        Self { list: Arc::new(vec![LoggedEvent { seq: 0, event, sale: None }]), index: 0 }
    }

    #[expect(clippy::indexing_slicing, reason = "both constructors check the index, and the list never changes")]
    pub(crate) fn get(&self) -> &Event {
        &self.list[self.index].event
    }
}

/// An event for a role.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Deliver {
    pub(crate) event: EventRef,
    /// The order, when its actor lives here.
    pub(crate) order: Option<Arc<Order>>,
    /// It may have been handled before: look at the stored answer first.
    pub(crate) repeat: bool,
}

/// An event for the order's own actor.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Answer(pub(crate) EventRef);

/// What became of the order actor's write.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) enum Stored {
    Place(Fate<PlaceOutcome>),
    Save(Fate<RowOutcome>),
}

/// A command for an order.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Do(pub(crate) Ask);

/// Why an order wants to be woken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Alarm {
    /// A fact waits to be stored.
    Save,
    /// Something is owed: ask again, or end the order when its deadline has passed.
    Redrive,
    /// The same, beside the order's own rhythm: somebody who owes an answer has died.
    Nudge,
}

/// An alarm has gone off.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Ring(pub(crate) Alarm);

/// End without a word: the cell is being rebuilt.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Quit;

/// For the supervisor: an order that has no actor gets something.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Wake {
    pub(crate) order: OrderId,
    pub(crate) with: WakeWith,
}

/// What wakes an order.
pub(crate) enum WakeWith {
    Answer(EventRef),
    Ask(Ask),
    /// Its write was stored after its actor had died.
    Stored,
}

/// For the supervisor: an order's actor died.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct OrderDied {
    pub(crate) order: OrderId,
    pub(crate) incarnation: u64,
    pub(crate) cause: String,
}

/// For the supervisor: a service actor was started again and knows nothing of what it was doing.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct RoleRestarted(pub(crate) ActorKind);

/// For the notifier: what became of one of its writes about this order is known.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Recorded(pub(crate) OrderId);

/// For the supervisor and the notifier: take up what is open in these shards.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Load(pub(crate) Vec<Shard>, pub(crate) Loading);

/// For the notifier: try a notice again, a person asks for it.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct RetryNotice {
    pub(crate) order: OrderId,
    pub(crate) kind: NoticeKind,
    pub(crate) channel: Channel,
}
