//! A node in a nutshell, to make databases for `verify` to read.

use super::super::{Options, Report, verify};
use crate::db::memory::{MemoryDatabase, Nodes};
use crate::db::{Batch, NewWriter, Reads as _, ReleaseReason, Store as _, Write, WriterState};
use crate::domain::{
    CancelledBy, Channel, CorrelationId, CustomerId, Event, EventBody, LoggedEvent, Money, NoticeKind, NoticeStatus, NoticeTask, Order,
    OrderId, OrderLine, Payment, PaymentStatus, Pricing, ProductId, Quantity, Role, Shard, Shards, Tally, Text, Timestamp,
};
use crate::saga::{Effects, Record, Shipment, settled, status, step};
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// Each event leads to the next write at once.
pub(super) struct World {
    pub(super) database: MemoryDatabase,
    store: crate::db::memory::MemoryStore,
    pub(super) writer: WriterState,
    pub(super) records: BTreeMap<OrderId, (Arc<Order>, Record)>,
    pub(super) declines: bool,
    /// So many events are reacted to; then everything stands still.
    pub(super) patience: u32,
}

impl World {
    pub(super) async fn new() -> Self {
        let database = MemoryDatabase::new(Shards::new(24).unwrap(), Nodes::One, Arc::new(|| at(0)));
        let mut store = database.store();
        let writer = store.start_writer(&NewWriter::of_all_roles("node", "url", 1000)).await.unwrap();
        let mut world = Self { database, store, writer, records: BTreeMap::new(), declines: false, patience: u32::MAX };
        let shards = vec![Shard(0), Shard(1)];
        world.write(Write::TakeShards { roles: Role::ALL.to_vec(), shards }).await;
        let name = Text::lossy("Thing");
        world.write(Write::product(product(1), name, money(1000), 50)).await;
        world
    }

    async fn write(&mut self, write: Write) {
        let WriterState { writer, commits, last_seq, .. } = self.writer;
        let batch = Batch { writer, commits, last_seq, writes: vec![write] };
        let committed = self.store.commit(&batch).await.unwrap();
        (self.writer.commits, self.writer.last_seq) = (commits + 1, committed.last_seq);
        for LoggedEvent { event, .. } in committed.events {
            if self.patience > 0 {
                self.patience = self.patience.saturating_sub(1);
                Box::pin(self.react(event)).await;
            }
        }
    }

    pub(super) async fn place(&mut self, n: u64, quantity: i64) -> OrderId {
        let order = order(n, quantity);
        let record = step::placed(&order);
        self.records.insert(order.id, (order.clone(), record.clone()));
        self.write(Write::Place { order: order.clone(), record, key: None }).await;
        order.id
    }

    /// One step of the order's saga.
    pub(super) async fn step(&mut self, id: OrderId, take: impl FnOnce(&Order, &mut Record, &mut Effects)) {
        let (order, record) = self.records.get_mut(&id).unwrap();
        let mut effects = Effects::default();
        take(order, record, &mut effects);
        if !effects.changed {
            return;
        }
        let write = Write::Save {
            order: order.clone(),
            status: status(&record.facts),
            open: !settled(&record.facts, order.channels()),
            record: record.clone(),
            events: effects.events,
            letters: effects.letters,
            closings: Vec::new(),
            at: at(5),
        };
        self.write(write).await;
    }

    pub(super) async fn cancel(&mut self, id: OrderId) {
        self.step(id, |order, record, effects| step::cancel(order, record, CancelledBy::Customer, at(5), effects).unwrap()).await;
    }

    pub(super) async fn ship(&mut self, id: OrderId) {
        self.step(id, |order, record, effects| step::ship(order, record, Shipment::default(), at(5), effects).unwrap()).await;
    }

    async fn react(&mut self, event: Event) {
        let (order, _) = self.records[&event.order].clone();
        let step = crate::db::StockStep { order: order.id, shard: order.shard, correlation: order.correlation, at: at(3) };
        let release = |undo| Write::Release { step, undo };
        match &event.body {
            EventBody::OrderCreated(_) => {
                return self.write(Write::Reserve { order, pricing: Pricing::Check, at: at(2) }).await;
            }
            EventBody::OrderCancelRequested { .. } => {
                self.write(release(ReleaseReason::Cancelled)).await;
                let row = self.database.payment(order.id).await.unwrap();
                let to = row.map_or(PaymentStatus::Cancelled, |_| PaymentStatus::Refunded);
                return self.pay(&order, to).await;
            }
            EventBody::OrderCancelled { was_paid, reason } => {
                return self.tell(&order, NoticeKind::of_cancellation(reason.as_str(), *was_paid)).await;
            }
            EventBody::OrderShipped { .. } => {
                self.write(Write::ShipStock { step }).await;
                return self.tell(&order, NoticeKind::Shipping).await;
            }
            EventBody::OrderFailed { .. } => return self.tell(&order, NoticeKind::Failure).await,
            EventBody::ShipmentHeld => return,
            EventBody::OrderConfirmed => return self.tell(&order, NoticeKind::Confirmation).await,
            EventBody::InventoryReserved { .. } => {
                self.pay(&order, if self.declines { PaymentStatus::Failed } else { PaymentStatus::Charged }).await;
            }
            EventBody::PaymentFailed { .. } => self.write(release(ReleaseReason::PaymentFailed)).await,
            EventBody::InventoryInsufficient { .. }
            | EventBody::InventoryReleased { .. }
            | EventBody::InventoryShipped { .. }
            | EventBody::PaymentProcessed { .. }
            | EventBody::PaymentCancelled
            | EventBody::PaymentRefunded { .. }
            | EventBody::NotificationSent { .. }
            | EventBody::NotificationFailed { .. }
            | EventBody::AnswerAccepted { .. }
            | EventBody::StepParked { .. }
            | EventBody::PaidInOtherCurrency { .. } => {}
        }
        if self.patience > 0 {
            self.step(order.id, |order, record, effects| step::answer(order, record, &event, at(4), effects)).await;
        }
    }

    async fn pay(&mut self, order: &Order, status: PaymentStatus) {
        let payment = Payment::of(order, 1, status, at(3));
        let event = payment.answer(order.shard, order.correlation);
        self.write(Write::SavePayment {
            payment,
            shard: order.shard,
            correlation: order.correlation,
            event,
            letters: Vec::new(),
            closing: None,
        })
        .await;
    }

    async fn tell(&mut self, order: &Order, kind: NoticeKind) {
        let new = NoticeTask::new(order, kind, Channel::Email, at(3));
        let failed = EventBody::NotificationFailed { kind, channel: Channel::Email, attempt: 1, last: false, reason: Text::lossy("busy") };
        for (task, body) in [
            (NoticeTask { attempt: 1, ..new.clone() }, failed),
            (NoticeTask { attempt: 2, status: NoticeStatus::Sent, ..new }, EventBody::NotificationSent { kind, channel: Channel::Email }),
        ] {
            let event = Some(Event::of(order, at(4), body));
            self.write(Write::SaveNotice { task, shard: order.shard, correlation: order.correlation, event, letter: None, closing: None })
                .await;
        }
    }

    /// Counts the log up to `seq`.
    pub(super) async fn count(&mut self, seq: i64) {
        let mut tally = Tally::default();
        let source = self.writer.writer;
        for logged in self.database.events(source, 0, 10_000).await.unwrap() {
            if logged.seq <= seq {
                tally.count(&logged);
            }
        }
        self.write(Write::SaveAnalytics { add: tally.take(), source, after: 0, seq }).await;
    }

    pub(super) async fn verify(&self, options: &Options) -> Report {
        verify(self.database.snapshot().await.unwrap().as_mut(), options).await.unwrap()
    }
}

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp((1_700_000_000 + seconds) * 1_000_000)
}

pub(super) fn money(minor: i64) -> Money {
    Money::from_minor(minor).unwrap()
}

pub(super) fn product(n: u128) -> ProductId {
    ProductId(Uuid::from_u128(n))
}

pub(super) fn order(n: u64, quantity: i64) -> Arc<Order> {
    let lines = vec![OrderLine { product: product(1), quantity: Quantity::new(quantity).unwrap(), price: money(1000) }];
    let id = OrderId::from_parts(1_700_000_000_000 + n, [7; 10]);
    Arc::new(Order {
        id,
        shard: Shards::new(24).unwrap().of(id),
        customer: CustomerId(Uuid::from_u128(1)),
        total: Order::total_of(&lines).unwrap(),
        lines,
        payment_method: Text::lossy("CARD"),
        contact: None,
        address: None,
        correlation: CorrelationId::of(Uuid::from_u128(2)),
        created_at: at(1),
    })
}

/// Orders in each state in which an order can rest, by name.
pub(super) struct Rested {
    pub(super) world: World,
    pub(super) confirmed: OrderId,
    pub(super) shipped: OrderId,
    pub(super) failed: OrderId,
    pub(super) refunded: OrderId,
    pub(super) insufficient: OrderId,
}

pub(super) async fn rested() -> Rested {
    let mut world = World::new().await;
    let confirmed = world.place(1, 2).await;
    let shipped = world.place(2, 3).await;
    world.ship(shipped).await;
    let refunded = world.place(3, 1).await;
    world.cancel(refunded).await;
    let insufficient = world.place(4, 1000).await;
    world.declines = true;
    let failed = world.place(5, 1).await;
    world.declines = false;
    Rested { world, confirmed, shipped, failed, refunded, insufficient }
}
