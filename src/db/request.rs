//! Writes with the type of their outcomes, for whoever asks for them.

use super::outcome::{AnswerOutcome, CountOutcome, Group, Outcome, PlaceOutcome, ProductOutcome, RowOutcome, StepOutcome};
use super::write::{Answer, IdempotencyKey, ProductWrite, ReleaseReason, StockStep, Write};
use crate::db::rows::AnalyticsRow;
use crate::domain::{
    Closing, CorrelationId, DeadLetter, Event, Marker, NoticeTask, Order, Payment, Pricing, Role, Shard, Timestamp, WriterId,
};
use crate::saga::{Effects, Record, status};
use std::marker::PhantomData;
use std::sync::Arc;

/// A write, and the type of its outcome.
pub trait Request {
    /// The type of its outcome.
    type Outcome: Group;

    /// The write.
    fn into_write(self) -> Write;
}

/// For whoever need not know what is decided.
impl Request for Write {
    type Outcome = Outcome;

    fn into_write(self) -> Write {
        self
    }
}

impl Request for ProductWrite {
    type Outcome = ProductOutcome;

    fn into_write(self) -> Write {
        Write::ChangeProduct(Box::new(self))
    }
}

/// A write of the group whose outcomes are `O`.
#[derive(Clone, Debug)]
pub struct TypedWrite<O> {
    write: Write,
    group: PhantomData<fn() -> O>,
}

impl<O: Group> Request for TypedWrite<O> {
    type Outcome = O;

    fn into_write(self) -> Write {
        self.write
    }
}

impl<O> TypedWrite<O> {
    fn of(write: Write) -> Self {
        Self { write, group: PhantomData }
    }
}

impl TypedWrite<PlaceOutcome> {
    /// [`Write::Place`].
    #[must_use]
    pub fn place(order: Arc<Order>, record: Record, key: Option<IdempotencyKey>) -> Self {
        Self::of(Write::Place { order, record, key })
    }
}

impl TypedWrite<RowOutcome> {
    /// [`Write::Save`], with the status that follows from the record; `open`: whether anything is owed.
    #[must_use]
    pub fn save(order: Arc<Order>, record: Record, open: bool, effects: Effects, at: Timestamp) -> Self {
        let Effects { events, letters, closings, changed: _ } = effects;
        Self::of(Write::Save { order, status: status(&record.facts), open, record, events, letters, closings, at })
    }

    /// [`Write::CloseLetter`].
    #[must_use]
    pub fn close_letter(closing: Closing) -> Self {
        Self::of(Write::CloseLetter(closing))
    }

    /// [`Write::ClaimLog`].
    #[must_use]
    pub fn claim_log(writer: WriterId, lease_ms: u64) -> Self {
        Self::of(Write::ClaimLog { writer, lease_ms })
    }
}

impl TypedWrite<StepOutcome> {
    /// [`Write::Reserve`].
    #[must_use]
    pub fn reserve(order: Arc<Order>, pricing: Pricing, at: Timestamp) -> Self {
        Self::of(Write::Reserve { order, pricing, at })
    }

    /// [`Write::Release`].
    #[must_use]
    pub fn release(step: StockStep, undo: ReleaseReason) -> Self {
        Self::of(Write::Release { step, undo })
    }

    /// [`Write::HoldStock`].
    #[must_use]
    pub fn hold_stock(step: StockStep) -> Self {
        Self::of(Write::HoldStock { step })
    }

    /// [`Write::ShipStock`].
    #[must_use]
    pub fn ship_stock(step: StockStep) -> Self {
        Self::of(Write::ShipStock { step })
    }

    /// [`Write::SavePayment`] of this order.
    #[must_use]
    pub fn save_payment(
        order: &Order,
        payment: Payment,
        event: Option<Event>,
        letters: Vec<DeadLetter>,
        closing: Option<Box<Closing>>,
    ) -> Self {
        Self::of(Write::SavePayment { payment, shard: order.shard, correlation: order.correlation, event, letters, closing })
    }

    /// [`Write::SaveNotice`].
    #[must_use]
    pub fn save_notice(
        task: NoticeTask,
        (shard, correlation): (Shard, CorrelationId),
        event: Option<Event>,
        letter: Option<DeadLetter>,
        closing: Option<Box<Closing>>,
    ) -> Self {
        Self::of(Write::SaveNotice { task, shard, correlation, event, letter, closing })
    }

    /// [`Write::HoldEvent`].
    #[must_use]
    pub fn hold_event(event: Event) -> Self {
        Self::of(Write::HoldEvent { event })
    }
}

impl TypedWrite<AnswerOutcome> {
    /// [`Write::KeepAnswer`].
    #[must_use]
    pub fn keep_answer(key: IdempotencyKey, answer: Answer, at: Timestamp) -> Self {
        Self::of(Write::KeepAnswer { key, answer, at })
    }
}

impl TypedWrite<CountOutcome> {
    /// [`Write::SaveAnalytics`] of `source`'s log from `after` to `seq`.
    #[must_use]
    pub fn save_analytics(add: Vec<AnalyticsRow>, source: WriterId, (after, seq): (i64, i64)) -> Self {
        Self::of(Write::SaveAnalytics { add, source, after, seq })
    }
}

impl TypedWrite<Vec<Event>> {
    /// [`Write::KnowOrder`].
    #[must_use]
    pub fn know_order(order: Arc<Order>) -> Self {
        Self::of(Write::KnowOrder { order })
    }
}

impl TypedWrite<Vec<Marker>> {
    /// [`Write::TakeShards`].
    #[must_use]
    pub fn take_shards(roles: Vec<Role>, shards: Vec<Shard>) -> Self {
        Self::of(Write::TakeShards { roles, shards })
    }
}
