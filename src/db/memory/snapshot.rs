//! One consistent view: the tables as they were, kept by their pointer while the writers copy and go on.

use super::selects::{analytics_of, count, events_of, from, notices_of, positions_of};
use super::tables::Tables;
use crate::db::plan::{OrderStock, StockRow};
use crate::db::{AnalyticsRow, OrderAudit, Snapshot, StoreError, StoredOrder, WriterRow};
use crate::domain::{DeadLetter, DeadLetterKind, DeadLetterState, LoggedEvent, OrderId, Product, ReservedLine, WriterId};
use futures_util::future::{BoxFuture, ready};
use std::ops::Bound;
use std::sync::Arc;

/// The tables at one moment.
pub(super) struct MemorySnapshot {
    pub(super) tables: Arc<Tables>,
}

impl MemorySnapshot {
    fn audit(&self, stored: &StoredOrder, letters: Vec<DeadLetter>) -> OrderAudit {
        let id = stored.order.id;
        let stock = self.tables.stock.get(&id);
        OrderAudit {
            letters,
            stored: stored.clone(),
            held: lines_in(stock, StockRow::Reserved),
            released: lines_in(stock, StockRow::Released),
            shipped: lines_in(stock, StockRow::Shipped),
            payment: self.tables.payments.get(&id).cloned(),
            notices: notices_of(&self.tables, id),
        }
    }
}

impl Snapshot for MemorySnapshot {
    fn products(&mut self) -> BoxFuture<'_, Result<Vec<Product>, StoreError>> {
        done(self.tables.products.values().cloned().collect())
    }

    fn orders(&mut self, after: Option<OrderId>, limit: u32) -> BoxFuture<'_, Result<Vec<OrderAudit>, StoreError>> {
        let is_wanted = |letter: &&DeadLetter| letter.state == DeadLetterState::Open && letter.kind == DeadLetterKind::Step;
        let mut letters = DeadLetter::by_order(self.tables.letters.values().filter(is_wanted).cloned().collect());
        let rows = self.tables.orders.range((from(after), Bound::Unbounded));
        done(rows.take(count(limit)).map(|(id, row)| self.audit(row, letters.remove(id).unwrap_or_default())).collect())
    }

    fn orphans(&mut self, limit: u32) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        let tables = &self.tables;
        let stock = tables.stock.keys().map(|order| ("inventory_steps", *order));
        let payments = tables.payments.keys().map(|order| ("payments", *order));
        let notices = tables.notices.keys().map(|(order, _, _)| ("notifications", *order));
        let rows = stock.chain(payments).chain(notices).filter(|(_, order)| !tables.orders.contains_key(order));
        done(rows.take(count(limit)).map(|(table, order)| format!("{table} {order}")).collect())
    }

    fn writers(&mut self) -> BoxFuture<'_, Result<Vec<WriterRow>, StoreError>> {
        done(self.tables.writers.values().cloned().collect())
    }

    fn gaps(&mut self, writer: WriterId, limit: u32) -> BoxFuture<'_, Result<Vec<i64>, StoreError>> {
        let mut missing = Vec::new();
        let mut present = self.tables.log.range((writer, 1)..=(writer, i64::MAX)).map(|((_, seq), _)| *seq).peekable();
        let end = self.tables.writers.get(&writer).map_or(0, |row| row.last_seq);
        // What retention deleted is before the first number that is left.
        let mut expected = present.peek().copied().unwrap_or(end + 1);
        while expected <= end && missing.len() < count(limit) {
            if present.next_if_eq(&expected).is_none() {
                missing.push(expected);
            }
            expected += 1;
        }
        done(missing)
    }

    fn events(&mut self, writer: WriterId, after: i64, limit: u32) -> BoxFuture<'_, Result<Vec<LoggedEvent>, StoreError>> {
        done(events_of(&self.tables, writer, after, limit))
    }

    fn analytics(&mut self) -> BoxFuture<'_, Result<Vec<AnalyticsRow>, StoreError>> {
        done(analytics_of(&self.tables))
    }

    fn analytics_positions(&mut self) -> BoxFuture<'_, Result<Vec<(WriterId, i64)>, StoreError>> {
        done(positions_of(&self.tables))
    }
}

fn lines_in(stock: Option<&OrderStock>, status: StockRow) -> Vec<ReservedLine> {
    stock.filter(|row| row.status == Some(status)).map(|row| row.lines.clone()).unwrap_or_default()
}

fn done<T: Send + 'static>(value: T) -> BoxFuture<'static, Result<T, StoreError>> {
    Box::pin(ready(Ok(value)))
}
