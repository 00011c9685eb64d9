//! The reading side: each question is answered from the tables as they are at that moment.

use super::selects::{analytics_of, count, events_of, from, notices_of, positions_of};
use super::tables::{Entry, Tables};
use super::{Call, MemoryDatabase, faults, snapshot::MemorySnapshot};
use crate::db::write::STOCK_ACTION;
use crate::db::{
    AnalyticsRow, AuditEntry, ConsumedPlace, Consumption, Correction, CorrectionFilter, DeadLetterFilter, DeadLetterGroup, DeadLetterPlace,
    KeptAnswer, LogEntry, OpenCount, OrderFilter, OrderRow, Page, Reads, Scan, ShardRow, Snapshot, StoreError, StoredOrder, WriterRow,
};
use crate::domain::{
    Channel, DeadLetter, DeadLetterId, DeadLetterKind, DeadLetterState, LoggedEvent, NoticeStatus, NoticeTask, Order, OrderId, Payment,
    Product, ProductId, Role, Shard, Shards, WriterId,
};
use futures_util::future::BoxFuture;
use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;

type Reading<T> = BoxFuture<'static, Result<T, StoreError>>;

impl MemoryDatabase {
    fn ask<T: Send + 'static>(&self, read: impl FnOnce(&Tables) -> T + Send + 'static) -> Reading<T> {
        let database = self.clone();
        Box::pin(async move {
            let answer = database.admit(Call::Read).await?;
            let found = read(&database.lock());
            faults::sleep(answer.late_ms).await;
            Ok(found)
        })
    }
}

impl Reads for MemoryDatabase {
    fn shards(&self) -> Shards {
        self.shared.shards
    }

    fn order(&self, id: OrderId) -> Reading<Option<StoredOrder>> {
        self.ask(move |tables| tables.orders.get(&id).cloned())
    }

    fn known_order(&self, id: OrderId) -> Reading<Option<Arc<Order>>> {
        let reads_orders = self.reads_orders;
        self.ask(move |tables| {
            let own = tables.orders.get(&id).filter(|_| reads_orders).map(|row| row.order.clone());
            own.or_else(|| tables.known.get(&id).cloned())
        })
    }

    fn orders(&self, filter: OrderFilter) -> Reading<Page<OrderRow, OrderId>> {
        self.ask(move |tables| {
            let end = filter.before.map_or(Bound::Unbounded, Bound::Excluded);
            let newest_first = tables.orders.range((Bound::Unbounded, end)).rev().map(|(_, row)| order_row(row));
            page(newest_first, filter.scan, filter.limit, |row| filter.passes(row), |row| row.id)
        })
    }

    fn open_by_status(&self) -> Reading<Vec<OpenCount>> {
        self.ask(|tables| {
            let mut found = BTreeMap::new();
            for row in tables.orders.values().filter(|row| row.open) {
                OpenCount::add(&mut found, row.status, row.order.created_at);
            }
            found.into_values().collect()
        })
    }

    fn open_orders(&self, shards: Vec<Shard>, after: Option<OrderId>, limit: u32) -> Reading<Vec<StoredOrder>> {
        self.ask(move |tables| {
            let shards: HashSet<Shard> = shards.into_iter().collect();
            let rows = tables.orders.range((from(after), Bound::Unbounded)).map(|(_, row)| row);
            rows.filter(|row| row.open && shards.contains(&row.order.shard)).take(count(limit)).cloned().collect()
        })
    }

    fn payment(&self, order: OrderId) -> Reading<Option<Payment>> {
        self.ask(move |tables| tables.payments.get(&order).cloned())
    }

    fn notices(&self, order: OrderId) -> Reading<Vec<NoticeTask>> {
        self.ask(move |tables| notices_of(tables, order))
    }

    fn notices_among(&self, orders: Vec<OrderId>) -> Reading<Vec<NoticeTask>> {
        self.ask(move |tables| orders.into_iter().flat_map(|order| notices_of(tables, order)).collect())
    }

    fn next_notices(&self, shards: Vec<Shard>, channel: Channel, limit: u32) -> Reading<Vec<NoticeTask>> {
        self.ask(move |tables| {
            let shards: HashSet<Shard> = shards.into_iter().collect();
            let rows = tables.notices.values().filter(|row| shards.contains(&row.shard));
            due_first(rows.map(|row| row.task.clone()).collect(), channel, limit)
        })
    }

    fn product(&self, id: ProductId) -> Reading<Option<Product>> {
        self.ask(move |tables| tables.products.get(&id).cloned())
    }

    fn products(&self, after: Option<ProductId>, limit: u32) -> Reading<Vec<Product>> {
        self.ask(move |tables| {
            tables.products.range((from(after), Bound::Unbounded)).take(count(limit)).map(|(_, product)| product.clone()).collect()
        })
    }

    fn low_stock(&self, most: i32, limit: u32) -> Reading<Vec<Product>> {
        self.ask(move |tables| {
            let mut low: Vec<Product> = tables.products.values().filter(|product| product.available <= most).cloned().collect();
            low.sort_by_key(|product| (product.available, product.id));
            low.truncate(count(limit));
            low
        })
    }

    fn letters(&self, filter: DeadLetterFilter) -> Reading<Page<DeadLetter, DeadLetterPlace>> {
        self.ask(move |tables| {
            let place = |letter: &DeadLetter| (letter.created_at, letter.id);
            let mut letters: Vec<&DeadLetter> = tables.letters.values().collect();
            letters.retain(|letter| filter.before.is_none_or(|before| place(letter) < before));
            letters.sort_by_key(|letter| std::cmp::Reverse(place(letter)));
            page(letters.into_iter().cloned(), filter.scan, filter.limit, |letter| filter.passes(letter), place)
        })
    }

    fn letter_groups(&self) -> Reading<Vec<DeadLetterGroup>> {
        self.ask(letter_groups)
    }

    fn letter(&self, id: DeadLetterId) -> Reading<Option<DeadLetter>> {
        self.ask(move |tables| tables.letters.get(&id).cloned())
    }

    fn corrections(&self, filter: CorrectionFilter) -> Reading<Vec<Correction>> {
        self.ask(move |tables| {
            let subject = filter.product.map(|product| product.to_string());
            let numbered = (1..=i64::try_from(tables.audit.len()).unwrap_or(i64::MAX)).rev().zip(tables.audit.iter().rev());
            let of_stock = numbered.filter(|(number, entry)| {
                entry.action == STOCK_ACTION
                    && filter.before.is_none_or(|before| *number < before)
                    && subject.as_ref().is_none_or(|subject| *subject == entry.subject)
            });
            of_stock.take(count(filter.limit)).map(|(number, entry)| Correction { number, entry: entry.clone() }).collect()
        })
    }

    fn answer(&self, key: [u8; 32]) -> Reading<Option<KeptAnswer>> {
        self.ask(move |tables| tables.answers.get(&key).cloned())
    }

    fn audit(&self, subject: String) -> Reading<Vec<AuditEntry>> {
        self.ask(move |tables| tables.audit.iter().filter(|entry| entry.subject == subject).cloned().collect())
    }

    fn events(&self, writer: WriterId, after: i64, limit: u32) -> Reading<Vec<LoggedEvent>> {
        self.ask(move |tables| events_of(tables, writer, after, limit))
    }

    fn log(&self, writer: WriterId, after: i64, limit: u32) -> Reading<Vec<LogEntry>> {
        self.ask(move |tables| {
            let rows = tables.log.range((Bound::Excluded((writer, after)), Bound::Included((writer, i64::MAX))));
            let entry = |((_, seq), entry): (&(WriterId, i64), &Entry)| match entry {
                Entry::Event(event) => LogEntry::Event(LoggedEvent { seq: *seq, event: event.clone(), sale: None }),
                Entry::Marker(marker) => LogEntry::Marker { seq: *seq, marker: *marker },
            };
            rows.map(entry).take(count(limit)).collect()
        })
    }

    fn analytics(&self, from: i64, to: i64) -> Reading<Vec<AnalyticsRow>> {
        self.ask(move |tables| {
            let mut rows = analytics_of(tables);
            rows.retain(|row| (from..to).contains(&row.minute));
            rows
        })
    }

    fn analytics_positions(&self) -> Reading<Vec<(WriterId, i64)>> {
        self.ask(positions_of)
    }

    fn consumed(&self, role: Role) -> Reading<Consumption> {
        self.ask(move |tables| {
            let of_role = tables.consumed.iter().filter(|((of, ..), _)| *of == role);
            let place = |((_, topic, partition), next): (&(Role, String, i32), &i64)| ConsumedPlace {
                topic: topic.clone(),
                partition: *partition,
                next: *next,
            };
            Consumption { places: of_role.map(place).collect(), is_upgraded: tables.is_upgraded }
        })
    }

    fn writers(&self) -> Reading<Vec<WriterRow>> {
        let now = self.now();
        self.ask(move |tables| {
            let row = |row: &WriterRow| {
                let claim = tables.claims.get(&row.writer).filter(|(_, until)| *until >= now);
                let lease_left_ms = (row.lease_until.0 - now.0) / 1000;
                WriterRow { lease_left_ms, publisher: claim.map(|(by, _)| *by), ..row.clone() }
            };
            tables.writers.values().map(row).collect()
        })
    }

    fn shard_rows(&self) -> Reading<Vec<ShardRow>> {
        self.ask(|tables| {
            tables.shards.iter().map(|((role, shard), entry)| ShardRow { role: *role, shard: *shard, writer: entry.writer }).collect()
        })
    }

    fn snapshot(&self) -> Reading<Box<dyn Snapshot>> {
        let database = self.clone();
        Box::pin(async move {
            database.admit(Call::Read).await?;
            let snapshot = MemorySnapshot { tables: Arc::clone(&database.lock()) };
            Ok(Box::new(snapshot) as Box<dyn Snapshot>)
        })
    }
}

/// A page of the first `scan` rows.
fn page<Row, Place>(
    rows: impl Iterator<Item = Row>,
    scan: Scan,
    limit: u32,
    passes: impl Fn(&Row) -> bool,
    place: impl Fn(&Row) -> Place,
) -> Page<Row, Place> {
    let mut looked_at: Vec<Row> = rows.take(count(scan.0)).collect();
    let end = looked_at.last().filter(|_| looked_at.len() == count(scan.0)).map(&place);
    looked_at.retain(passes);
    looked_at.truncate(count(limit).saturating_add(1));
    Page::of(looked_at, limit, end, place)
}

fn order_row(row: &StoredOrder) -> OrderRow {
    OrderRow {
        id: row.order.id,
        customer: row.order.customer,
        status: row.status,
        total: row.order.total,
        created_at: row.order.created_at,
        updated_at: row.updated_at,
    }
}

fn letter_groups(tables: &Tables) -> Vec<DeadLetterGroup> {
    let mut groups: BTreeMap<(DeadLetterKind, &str, &str), DeadLetterGroup> = BTreeMap::new();
    for letter in tables.letters.values().filter(|letter| letter.state == DeadLetterState::Open) {
        let (cause, step) = (letter.cause.as_str(), letter.step.as_str());
        let group = groups.entry((letter.kind, cause, step)).or_insert_with(|| DeadLetterGroup {
            kind: letter.kind,
            cause: cause.to_owned(),
            step: step.to_owned(),
            count: 0,
            oldest: letter.created_at,
            newest: letter.created_at,
        });
        group.count += 1;
        group.oldest = group.oldest.min(letter.created_at);
        group.newest = group.newest.max(letter.created_at);
    }
    let mut groups: Vec<DeadLetterGroup> = groups.into_values().collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.count));
    groups
}

/// The pending notices on `channel` among these, earliest due first, at most `limit`.
fn due_first(mut tasks: Vec<NoticeTask>, channel: Channel, limit: u32) -> Vec<NoticeTask> {
    tasks.retain(|task| task.status == NoticeStatus::Pending && task.channel == channel);
    tasks.sort_by_key(|task| (task.next_try_at, task.order, task.kind));
    tasks.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    tasks
}
