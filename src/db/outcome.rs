//! What was decided about the writes of a stored batch. Each group of writes has a type of its own, so that whoever asks for a write sees
//! only what can become of it.

use crate::domain::{Event, Marker, OrderId, Product, StockError};

use super::write::Answer;

/// What was decided about one write.
#[derive(Clone, PartialEq, Debug)]
pub enum Outcome {
    /// Stored; there was nothing to decide.
    Done,
    /// Of [`Write::Place`](super::Write::Place).
    Place(PlaceOutcome),
    /// Of a role's step about an order.
    Step(StepOutcome),
    /// Of a write whose subject may not exist.
    Row(RowOutcome),
    /// Of [`Write::ChangeProduct`](super::Write::ChangeProduct).
    Product(ProductOutcome),
    /// Of [`Write::KeepAnswer`](super::Write::KeepAnswer).
    Answer(AnswerOutcome),
    /// Of [`Write::SaveAnalytics`](super::Write::SaveAnalytics).
    Count(CountOutcome),
    /// Of [`Write::KnowOrder`](super::Write::KnowOrder): the events that waited for the order.
    Known(Vec<Event>),
    /// Of [`Write::TakeShards`](super::Write::TakeShards): the shards that were taken.
    Taken(Vec<Marker>),
}

/// What was decided about a new order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PlaceOutcome {
    /// Stored.
    Done,
    /// It had been stored before; nothing was written now.
    Repeated,
    /// The idempotency key belongs to another order; nothing was written.
    KeyTaken {
        /// That order.
        order: OrderId,
        /// Whether it was placed with the same body.
        same_body: bool,
    },
}

/// What was decided about a role's step: of the stock keeper, about a payment or a notice, or an event that is held for its order.
#[derive(Clone, PartialEq, Debug)]
pub enum StepOutcome {
    /// Stored.
    Done,
    /// It had been done before and nothing was written now; holds the stored answers, if there are any.
    Repeated(Vec<Event>),
}

/// What was decided about a write whose subject may not exist.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RowOutcome {
    /// Stored.
    Done,
    /// The subject does not exist, or not any more; nothing was written.
    Missing,
}

/// What was decided about a change of a product.
#[derive(Clone, PartialEq, Debug)]
pub enum ProductOutcome {
    /// Stored: the product as it is now.
    Done(Product),
    /// The idempotency key was used; nothing was written.
    Answered(Answered),
    /// The change was refused; nothing was written.
    Refused(StockError),
}

/// What was decided about an answer that is to be kept.
#[derive(Clone, PartialEq, Debug)]
pub enum AnswerOutcome {
    /// Stored.
    Done,
    /// The idempotency key was used; nothing was written.
    Answered(Answered),
}

/// What a used idempotency key stands for.
#[derive(Clone, PartialEq, Debug)]
pub struct Answered {
    /// The answer given then.
    pub answer: Answer,
    /// Whether the request's body was the same.
    pub same_body: bool,
}

/// What was decided about analytics figures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CountOutcome {
    /// Added.
    Done,
    /// The stored position is another: somebody else has counted too; nothing was written.
    Repeated,
    /// The log ends before the position that was counted to, or its writer does not exist; nothing was written.
    Missing,
}

/// The outcomes of one group of writes.
pub trait Group: Sized {
    /// The outcome, if it is one of this group.
    fn of(outcome: Outcome) -> Option<Self>;
}

impl Group for Outcome {
    fn of(outcome: Outcome) -> Option<Self> {
        Some(outcome)
    }
}

macro_rules! groups {
    ($($variant:ident => $group:ty,)+) => {$(
        impl Group for $group {
            fn of(outcome: Outcome) -> Option<Self> {
                if let Outcome::$variant(of_group) = outcome { Some(of_group) } else { None }
            }
        }
    )+};
}

groups! {
    Place => PlaceOutcome,
    Step => StepOutcome,
    Row => RowOutcome,
    Product => ProductOutcome,
    Answer => AnswerOutcome,
    Count => CountOutcome,
    Known => Vec<Event>,
    Taken => Vec<Marker>,
}
