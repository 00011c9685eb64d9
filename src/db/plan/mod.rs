//! What becomes of each write of a batch: decided in the order of arrival, against what is stored and what the batch has changed so
//! far. Knows no database: a store reads what [`Needs`] names, gives it as [`Stored`], lets a [`Plan`] decide, and writes what that
//! says has changed. So all databases on disk decide alike.
//!
//! Promises that what it hands out to be written names each row once, in the order of its key, so that it can go into one statement.

mod answers;
mod cluster;
mod log;
mod needs;
mod rare_writes;
mod stock;

pub(super) use answers::Answers;
pub(super) use cluster::{Cluster, Handed, Owner, StoredCluster};
pub(super) use needs::Needs;
pub(super) use rare_writes::{RareWrites, StoredLetter};
pub(super) use stock::{ChangedProduct, StockPlan, numbers};
pub(crate) use stock::{OrderStock, StepName, StockRow};

use crate::db::outcome::{AnswerOutcome, Outcome, PlaceOutcome, ProductOutcome, RowOutcome, StepOutcome};
use crate::db::store::Batch;
use crate::db::write::{self, IdempotencyKey, KeptAnswer, ProductWrite, Write};
use crate::domain::{
    Closing, CorrelationId, DeadLetter, DeadLetterId, Event, EventBody, NoticeStatus, NoticeTask, Order, OrderId, OrderStatus, Payment,
    Product, Shard, Shards, Timestamp, WriterId,
};
#[cfg(feature = "plants")]
use crate::plants::Plant;
use crate::saga::{Record, settled, status};
use log::Log;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use stock::Answer;

/// A notice of an order: its order, and the numbers of its kind and channel.
pub(super) type NoticeKey = (OrderId, u8, u8);

/// Which notice a task is.
pub(super) fn notice_key(task: &NoticeTask) -> NoticeKey {
    (task.order, task.kind.number(), task.channel.number())
}

/// An idempotency key in use.
pub(super) struct StoredKey {
    pub(super) body: Vec<u8>,
    pub(super) order: OrderId,
    pub(super) expires_at: Timestamp,
}

/// What is stored of all that a batch is about.
#[derive(Default)]
pub(super) struct Stored {
    /// Those of the orders to be placed or saved that exist.
    pub(super) orders: HashSet<OrderId>,
    pub(super) keys: HashMap<Vec<u8>, StoredKey>,
    pub(super) answers: HashMap<Vec<u8>, KeptAnswer>,
    pub(super) products: Vec<Product>,
    pub(super) stock: HashMap<OrderId, OrderStock>,
    pub(super) payments: HashMap<OrderId, Payment>,
    /// With the times of their last change.
    pub(super) notices: HashMap<NoticeKey, (NoticeTask, Timestamp)>,
    pub(super) letters: HashMap<DeadLetterId, StoredLetter>,
    pub(super) positions: HashMap<WriterId, i64>,
    /// The ends of the logs whose figures are saved; none where the writer's row does not exist.
    pub(super) ends: HashMap<WriterId, i64>,
    pub(super) cluster: StoredCluster,
    #[cfg(feature = "plants")]
    pub(super) plant: Option<Plant>,
}

/// An order is in a shard that this store does not have.
#[derive(Debug)]
pub(super) struct NoShard(pub(super) u16);

/// An order as the batch leaves it.
pub(super) struct OrderState<'a> {
    pub(super) order: &'a Arc<Order>,
    pub(super) status: OrderStatus,
    pub(super) open: bool,
    pub(super) record: &'a Record,
    pub(super) updated_at: Timestamp,
}

/// A row of a key that was taken.
pub(super) struct NewKey<'a> {
    pub(super) key: &'a IdempotencyKey,
    pub(super) order: OrderId,
}

/// A row of a notice.
pub(super) struct SavedNotice<'a> {
    pub(super) task: &'a NoticeTask,
    pub(super) shard: Shard,
    /// An existing row keeps this time, unless the notice was given up and starts again.
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
}

/// A batch that is decided: what became of each write, and what is to be written.
pub(super) struct Plan<'a> {
    writer: WriterId,
    stored: Stored,
    placed: HashMap<OrderId, usize>,
    paid: HashMap<OrderId, usize>,
    pub(super) outcomes: Vec<Outcome>,
    pub(super) log: Log,
    /// New orders.
    pub(super) orders: Vec<OrderState<'a>>,
    pub(super) saves: BTreeMap<OrderId, OrderState<'a>>,
    /// New keys, in the order of arrival; a row of the same key that is stored has expired.
    pub(super) keys: Vec<NewKey<'a>>,
    pub(super) answers: Answers,
    pub(super) stock: StockPlan,
    pub(super) payments: Vec<&'a Payment>,
    pub(super) notices: BTreeMap<NoticeKey, SavedNotice<'a>>,
    pub(super) rare: RareWrites<'a>,
    pub(super) cluster: Cluster<'a>,
}

impl<'a> Plan<'a> {
    /// Decides `batch` against what is stored.
    pub(super) fn decide(batch: &'a Batch, shards: Shards, mut stored: Stored) -> Result<Self, NoShard> {
        let stock = StockPlan::new(std::mem::take(&mut stored.products), std::mem::take(&mut stored.stock));
        let answers = Answers::new(std::mem::take(&mut stored.answers));
        let rare = RareWrites::new(
            batch.writer,
            std::mem::take(&mut stored.letters),
            std::mem::take(&mut stored.positions),
            std::mem::take(&mut stored.ends),
        );
        let cluster = Cluster::new(std::mem::take(&mut stored.cluster));
        let mut plan = Self {
            writer: batch.writer,
            stored,
            placed: HashMap::new(),
            outcomes: Vec::with_capacity(batch.writes.len()),
            log: Log { last_seq: batch.last_seq, events: Vec::with_capacity(batch.writes.len()), markers: Vec::new() },
            orders: Vec::new(),
            saves: BTreeMap::new(),
            keys: Vec::new(),
            answers,
            stock,
            payments: Vec::new(),
            paid: HashMap::new(),
            notices: BTreeMap::new(),
            rare,
            cluster,
        };
        for write in &batch.writes {
            if let Some(shard) = write.shard().filter(|shard| shard.0 >= shards.count()) {
                return Err(NoShard(shard.0));
            }
            let outcome = plan.write(write);
            plan.outcomes.push(outcome);
        }
        plan.orders.sort_unstable_by_key(|new| new.order.id);
        plan.payments.sort_unstable_by_key(|payment| payment.order);
        Ok(plan)
    }

    fn write(&mut self, write: &'a Write) -> Outcome {
        match write {
            Write::Place { order, record, key } => Outcome::Place(self.place(order, record, key.as_ref())),
            Write::Save { order, status, open, record, events, letters, closings, at } => {
                let saved = OrderState { order, status: *status, open: *open, record, updated_at: *at };
                Outcome::Row(self.save(saved, events, letters, closings))
            }
            Write::Reserve { order, pricing, at } => {
                let answer = self.stock.reserve(order, *pricing, *at);
                Outcome::Step(self.stock_outcome(answer))
            }
            Write::Release { step, undo } => {
                let answer = self.stock.release(step, *undo);
                Outcome::Step(self.stock_outcome(answer))
            }
            Write::HoldStock { step } => {
                let answer = self.stock.hold(step);
                Outcome::Step(self.stock_outcome(answer))
            }
            Write::ShipStock { step } => {
                let answer = self.stock.ship(step);
                Outcome::Step(self.stock_outcome(answer))
            }
            Write::SavePayment { payment, shard, correlation, event, letters, closing } => {
                let told = (event.as_ref(), letters.as_slice(), closing.as_deref());
                Outcome::Step(self.save_payment(payment, (*shard, *correlation), told))
            }
            Write::SaveNotice { task, shard, correlation, event, letter, closing } => {
                let told = (event.as_ref(), letter.as_ref(), closing.as_deref());
                Outcome::Step(self.save_notice(task, (*shard, *correlation), told))
            }
            Write::ChangeProduct(write) => Outcome::Product(self.change_product(write)),
            Write::KeepAnswer { key, answer, at } => Outcome::Answer(self.keep_answer(key, answer, *at)),
            Write::AddLetter(letter) => {
                self.rare.add_letter(letter);
                Outcome::Done
            }
            Write::ParkStep { letter, event } => {
                self.told(Some(event), Some(&**letter));
                Outcome::Done
            }
            Write::Audit(entry) => {
                self.rare.audit_entry(entry.clone());
                Outcome::Done
            }
            Write::MarkLetter { id, origin } => {
                self.rare.mark_letter(*id, origin);
                Outcome::Done
            }
            Write::CloseLetter(closing) => Outcome::Row(self.rare.close_letter(closing)),
            Write::SaveAnalytics { add, source, after, seq } => Outcome::Count(self.rare.save_analytics(add, *source, (*after, *seq))),
            Write::Published { writer, seq } => {
                self.cluster.publish(*writer, *seq);
                Outcome::Done
            }
            Write::Consumed { role, places } => {
                self.cluster.consume(*role, places);
                Outcome::Done
            }
            Write::ClaimLog { writer, .. } => Outcome::Row(self.cluster.claim(*writer)),
            Write::EndExpired { .. } => Outcome::Done,
            Write::KnowOrder { order } => Outcome::Known(self.cluster.know(order)),
            Write::HoldEvent { event } => Outcome::Step(self.hold_event(event)),
            Write::TakeShards { roles, shards } => Outcome::Taken(self.cluster.take_shards(self.writer, roles, shards, &mut self.log)),
            Write::ReleaseShards { roles, shards } => {
                self.cluster.release_shards(self.writer, roles, shards, self.log.last_seq);
                Outcome::Done
            }
        }
    }

    fn keep_answer(&mut self, key: &IdempotencyKey, answer: &write::Answer, at: Timestamp) -> AnswerOutcome {
        if let Some(answered) = self.answers.find(key, at) {
            return AnswerOutcome::Answered(answered);
        }
        self.answers.keep(key, answer.clone());
        AnswerOutcome::Done
    }

    fn hold_event(&mut self, event: &'a Event) -> StepOutcome {
        if self.placed.contains_key(&event.order) {
            return StepOutcome::Repeated(vec![event.clone()]);
        }
        self.cluster.hold(event)
    }

    fn change_product(&mut self, change: &ProductWrite) -> ProductOutcome {
        if let Some(answered) = change.key.as_ref().and_then(|key| self.answers.find(key, change.at)) {
            return ProductOutcome::Answered(answered);
        }
        let (product, audit) = match self.stock.change(change) {
            Ok(changed) => changed,
            Err(error) => return ProductOutcome::Refused(error),
        };
        self.rare.audit_stock(audit);
        if let Some(key) = &change.key {
            self.answers.keep(key, write::Answer::Product(product.clone()));
        }
        ProductOutcome::Done(product)
    }

    fn stock_outcome(&mut self, answer: Answer) -> StepOutcome {
        match answer {
            Answer::New(event) => {
                if let Some(event) = event {
                    self.log.add(event);
                }
                StepOutcome::Done
            }
            Answer::Repeated(events) => StepOutcome::Repeated(events),
        }
    }

    fn place(&mut self, order: &'a Arc<Order>, record: &'a Record, key: Option<&'a IdempotencyKey>) -> PlaceOutcome {
        if self.placed.contains_key(&order.id) || self.stored.orders.contains(&order.id) {
            return PlaceOutcome::Repeated;
        }
        if let Some(key) = key {
            // A key of an order that is not stored yet is this one's: it was taken while looking.
            let holder = self.stored.keys.get(key.key.as_slice()).filter(|held| held.expires_at > order.created_at);
            #[cfg(feature = "plants")]
            let holder = holder.filter(|_| self.stored.plant != Some(Plant::ForgetsKeys));
            if let Some(held) = holder.filter(|held| held.order != order.id) {
                return PlaceOutcome::KeyTaken { order: held.order, same_body: held.body == key.body };
            }
            let held = StoredKey { body: key.body.to_vec(), order: order.id, expires_at: key.expires_at };
            if self.stored.keys.insert(key.key.to_vec(), held).is_some() {
                // It may be one that this batch has taken, and that has expired since: a key has one row.
                self.keys.retain(|taken| taken.key.key != key.key);
            }
            self.keys.push(NewKey { key, order: order.id });
        }
        self.placed.insert(order.id, self.orders.len());
        self.orders.push(OrderState {
            order,
            status: status(&record.facts),
            open: !settled(&record.facts, order.channels()),
            record,
            updated_at: order.created_at,
        });
        self.log.add(Event::of(order, order.created_at, EventBody::OrderCreated(Arc::clone(order))));
        PlaceOutcome::Done
    }

    fn save(&mut self, saved: OrderState<'a>, events: &'a [Event], letters: &'a [DeadLetter], closings: &[Closing]) -> RowOutcome {
        let (id, order, record) = (saved.order.id, saved.order, saved.record);
        if let Some(new) = self.placed.get(&id).and_then(|index| self.orders.get_mut(*index)) {
            *new = saved;
        } else if self.stored.orders.contains(&id) {
            self.saves.insert(id, saved);
        } else {
            return RowOutcome::Missing;
        }
        for event in events {
            self.log.add_told(event, order, record);
        }
        for closing in closings {
            self.rare.decide_letter(closing);
        }
        for letter in letters {
            self.rare.add_letter(letter);
        }
        RowOutcome::Done
    }

    fn save_payment(
        &mut self,
        payment: &'a Payment,
        (shard, correlation): (Shard, CorrelationId),
        (event, letters, closing): (Option<&Event>, &[DeadLetter], Option<&Closing>),
    ) -> StepOutcome {
        let earlier = self.paid.get(&payment.order).and_then(|index| self.payments.get_mut(*index));
        let stored = earlier.as_deref().copied().or_else(|| self.stored.payments.get(&payment.order));
        if let Some(stored) = stored.filter(|stored| !payment.follows(Some(stored))) {
            return StepOutcome::Repeated(stored.answer(shard, correlation).into_iter().collect());
        }
        match earlier {
            Some(earlier) => *earlier = payment,
            None => {
                self.paid.insert(payment.order, self.payments.len());
                self.payments.push(payment);
            }
        }
        if let Some(closing) = closing {
            self.rare.decide_letter(closing);
        }
        self.told(event, letters);
        StepOutcome::Done
    }

    fn save_notice(
        &mut self,
        task: &'a NoticeTask,
        (shard, correlation): (Shard, CorrelationId),
        (event, letter, closing): (Option<&Event>, Option<&DeadLetter>, Option<&Closing>),
    ) -> StepOutcome {
        let key = notice_key(task);
        let stored = match self.notices.get(&key) {
            Some(saved) => Some((saved.task, saved.updated_at, saved.created_at)),
            None => self.stored.notices.get(&key).map(|(task, at)| (task, *at, task.created_at)),
        };
        if let Some((stored, at, _)) = stored.filter(|(stored, ..)| !task.follows(Some(stored))) {
            return StepOutcome::Repeated(stored.answer(shard, correlation, at).into_iter().collect());
        }
        let updated_at = event.map_or(task.created_at, |event| event.at);
        let goes_on = stored.filter(|(stored, ..)| stored.status != NoticeStatus::GivenUp);
        let created_at = goes_on.map_or(task.created_at, |(.., created_at)| created_at);
        self.notices.insert(key, SavedNotice { task, shard, created_at, updated_at });
        if let Some(closing) = closing {
            self.rare.decide_letter(closing);
        }
        self.told(event, letter);
        StepOutcome::Done
    }

    fn told<'l>(&mut self, event: Option<&Event>, letters: impl IntoIterator<Item = &'l DeadLetter>) {
        if let Some(event) = event {
            self.log.add(event.clone());
        }
        for letter in letters {
            self.rare.add_letter(letter);
        }
    }
}
