//! A bug on purpose: a node that forgets at its start every other order that was under way.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use ordermill::db::memory::MemoryDatabase;
use ordermill::db::{
    AnalyticsRow, AuditEntry, Consumption, Correction, CorrectionFilter, DeadLetterFilter, DeadLetterGroup, DeadLetterPlace, KeptAnswer,
    LogEntry, OpenCount, OrderFilter, OrderRow, Page, Reads, ShardRow, Snapshot, StoreError, StoredOrder, WriterRow,
};
use ordermill::domain::{
    Channel, DeadLetter, DeadLetterId, LoggedEvent, NoticeTask, Order, OrderId, Payment, Product, ProductId, Role, Shard, Shards, WriterId,
};
use std::sync::Arc;

/// See the module.
pub struct Forgetful(pub MemoryDatabase);

type Answer<T> = BoxFuture<'static, Result<T, StoreError>>;

impl Reads for Forgetful {
    fn open_by_status(&self) -> Answer<Vec<OpenCount>> {
        self.0.open_by_status()
    }

    fn open_orders(&self, shards: Vec<Shard>, after: Option<OrderId>, limit: u32) -> Answer<Vec<StoredOrder>> {
        let found = self.0.open_orders(shards, after, limit);
        async move {
            let mut number = 0;
            let mut orders = found.await?;
            orders.retain(|_| {
                number += 1;
                number % 2 == 0
            });
            Ok(orders)
        }
        .boxed()
    }

    fn shards(&self) -> Shards {
        Reads::shards(&self.0)
    }
    fn order(&self, id: OrderId) -> Answer<Option<StoredOrder>> {
        self.0.order(id)
    }
    fn orders(&self, filter: OrderFilter) -> Answer<Page<OrderRow, OrderId>> {
        self.0.orders(filter)
    }
    fn known_order(&self, id: OrderId) -> Answer<Option<Arc<Order>>> {
        self.0.known_order(id)
    }

    fn log(&self, writer: WriterId, after: i64, limit: u32) -> Answer<Vec<LogEntry>> {
        self.0.log(writer, after, limit)
    }

    fn payment(&self, order: OrderId) -> Answer<Option<Payment>> {
        self.0.payment(order)
    }
    fn notices(&self, order: OrderId) -> Answer<Vec<NoticeTask>> {
        self.0.notices(order)
    }
    fn notices_among(&self, orders: Vec<OrderId>) -> Answer<Vec<NoticeTask>> {
        self.0.notices_among(orders)
    }
    fn next_notices(&self, shards: Vec<Shard>, channel: Channel, limit: u32) -> Answer<Vec<NoticeTask>> {
        self.0.next_notices(shards, channel, limit)
    }
    fn product(&self, id: ProductId) -> Answer<Option<Product>> {
        self.0.product(id)
    }
    fn products(&self, after: Option<ProductId>, limit: u32) -> Answer<Vec<Product>> {
        self.0.products(after, limit)
    }
    fn low_stock(&self, most: i32, limit: u32) -> Answer<Vec<Product>> {
        self.0.low_stock(most, limit)
    }
    fn letters(&self, filter: DeadLetterFilter) -> Answer<Page<DeadLetter, DeadLetterPlace>> {
        self.0.letters(filter)
    }
    fn letter_groups(&self) -> Answer<Vec<DeadLetterGroup>> {
        self.0.letter_groups()
    }
    fn letter(&self, id: DeadLetterId) -> Answer<Option<DeadLetter>> {
        self.0.letter(id)
    }
    fn corrections(&self, filter: CorrectionFilter) -> Answer<Vec<Correction>> {
        self.0.corrections(filter)
    }
    fn answer(&self, key: [u8; 32]) -> Answer<Option<KeptAnswer>> {
        self.0.answer(key)
    }
    fn audit(&self, subject: String) -> Answer<Vec<AuditEntry>> {
        self.0.audit(subject)
    }
    fn events(&self, writer: WriterId, after: i64, limit: u32) -> Answer<Vec<LoggedEvent>> {
        self.0.events(writer, after, limit)
    }
    fn analytics(&self, from: i64, to: i64) -> Answer<Vec<AnalyticsRow>> {
        self.0.analytics(from, to)
    }
    fn analytics_positions(&self) -> Answer<Vec<(WriterId, i64)>> {
        self.0.analytics_positions()
    }
    fn consumed(&self, role: Role) -> Answer<Consumption> {
        self.0.consumed(role)
    }
    fn writers(&self) -> Answer<Vec<WriterRow>> {
        self.0.writers()
    }
    fn shard_rows(&self) -> Answer<Vec<ShardRow>> {
        self.0.shard_rows()
    }
    fn snapshot(&self) -> Answer<Box<dyn Snapshot>> {
        self.0.snapshot()
    }
}
