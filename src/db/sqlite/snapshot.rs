//! One consistent view of the whole file: a connection of its own whose read transaction stays open.

use super::codes::Connection;
use super::error::Failure;
use super::open::SqliteOptions;
use super::statement::{Id, Sql, Value, select, sql};
use super::{dead_letter_rows, error, queries, rows};
use crate::db::decode::AuditParts;
use crate::db::error::StoreError;
use crate::db::read::{OrderAudit, Snapshot, StoredOrder, WriterRow};
use crate::db::rows::AnalyticsRow;
use crate::domain::{LoggedEvent, OrderId, Product, ProductId, WriterId};
use diesel::connection::SimpleConnection;
use diesel::sql_types::{BigInt, Binary, Nullable};
use diesel::sqlite::SqliteConnection;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;

/// How many products are read at once.
const PRODUCT_PAGE: u32 = 1000;

pub(super) struct SqliteSnapshot {
    options: SqliteOptions,
    runtime: Handle,
    /// Away while a question is being answered; lost if the asker went away meanwhile.
    conn: Option<Connection>,
}

impl SqliteSnapshot {
    /// Opens the view: what is committed now.
    pub(super) fn begin(options: SqliteOptions, runtime: Handle) -> Result<Self, StoreError> {
        let mut conn = options.connect_reader()?;
        // BEGIN alone takes no view; the first read does.
        conn.batch_execute("BEGIN; SELECT count(*) FROM meta").map_err(|e| error::judge(e, conn.code(), &options.path).0)?;
        Ok(Self { options, runtime, conn: Some(conn) })
    }

    fn ask<T: Send + 'static>(
        &mut self,
        question: impl FnOnce(&mut SqliteConnection) -> Result<T, Failure> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, StoreError>> {
        Box::pin(async move {
            let lost = || StoreError::Unavailable("the snapshot is lost; take another".to_owned());
            let mut conn = self.conn.take().ok_or_else(lost)?;
            let task = self.runtime.spawn_blocking(move || {
                let answer = question(&mut conn);
                (conn, answer)
            });
            let (conn, answer) = task.await.map_err(|_| lost())?;
            let answer = answer.map_err(|failure| failure.judge(|error| error::judge(error, conn.code(), &self.options.path)).0);
            self.conn = Some(conn);
            answer
        })
    }
}

impl Snapshot for SqliteSnapshot {
    fn products(&mut self) -> BoxFuture<'_, Result<Vec<Product>, StoreError>> {
        self.ask(all_products)
    }

    fn orders(&mut self, after: Option<OrderId>, limit: u32) -> BoxFuture<'_, Result<Vec<OrderAudit>, StoreError>> {
        self.ask(move |conn| audits(conn, after, limit))
    }

    fn orphans(&mut self, limit: u32) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        self.ask(move |conn| orphans(conn, limit))
    }

    fn writers(&mut self) -> BoxFuture<'_, Result<Vec<WriterRow>, StoreError>> {
        self.ask(queries::writers)
    }

    fn gaps(&mut self, writer: WriterId, limit: u32) -> BoxFuture<'_, Result<Vec<i64>, StoreError>> {
        self.ask(move |conn| gaps(conn, writer, limit))
    }

    fn events(&mut self, writer: WriterId, after: i64, limit: u32) -> BoxFuture<'_, Result<Vec<LoggedEvent>, StoreError>> {
        self.ask(move |conn| queries::events(conn, writer, after, limit))
    }

    fn analytics(&mut self) -> BoxFuture<'_, Result<Vec<AnalyticsRow>, StoreError>> {
        self.ask(|conn| queries::analytics(conn, i64::MIN, i64::MAX))
    }

    fn analytics_positions(&mut self) -> BoxFuture<'_, Result<Vec<(WriterId, i64)>, StoreError>> {
        self.ask(queries::analytics_positions)
    }
}

fn all_products(conn: &mut SqliteConnection) -> Result<Vec<Product>, Failure> {
    let mut all: Vec<Product> = Vec::new();
    loop {
        let after: Option<ProductId> = all.last().map(|product| product.id);
        let page = queries::products(conn, after, PRODUCT_PAGE)?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

fn audits(conn: &mut SqliteConnection, after: Option<OrderId>, limit: u32) -> Result<Vec<OrderAudit>, Failure> {
    let page = queries::all_orders(conn, after, limit)?;
    let keys: Vec<&[u8]> = page.iter().map(|stored| stored.order.id.0.as_bytes().as_slice()).collect();
    let payments = rows::payments_among(conn, &keys)?;
    let notices = rows::notices_among(conn, &keys)?.into_iter().map(|(task, _)| task).collect();
    let mut parts = AuditParts::new(payments, notices, dead_letter_rows::open_steps_among(conn, &keys)?);
    let audit = |stored: &StoredOrder| Ok(parts.of(stored.clone(), rows::reservation(conn, stored.order.id)?));
    page.iter().map(audit).collect()
}

/// The orders that a table names and `orders` has not.
macro_rules! orphans_of {
    ($name:ident, $table:literal) => {
        sql!(
            $name,
            concat!(
                "SELECT DISTINCT order_id FROM ",
                $table,
                " WHERE order_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM orders WHERE id = order_id) ORDER BY order_id LIMIT ?"
            ) => Binary
        );
    };
}
orphans_of!(OrphanItems, "order_items");
orphans_of!(OrphanReservations, "inventory_reservations");
orphans_of!(OrphanSteps, "inventory_steps");
orphans_of!(OrphanPayments, "payments");
orphans_of!(OrphanNotices, "notifications");
orphans_of!(OrphanEvents, "events");

fn orphans(conn: &mut SqliteConnection, limit: u32) -> Result<Vec<String>, Failure> {
    let mut found = Vec::new();
    orphans_in(conn, OrphanItems, "order_items", limit, &mut found)?;
    orphans_in(conn, OrphanReservations, "inventory_reservations", limit, &mut found)?;
    orphans_in(conn, OrphanSteps, "inventory_steps", limit, &mut found)?;
    orphans_in(conn, OrphanPayments, "payments", limit, &mut found)?;
    orphans_in(conn, OrphanNotices, "notifications", limit, &mut found)?;
    orphans_in(conn, OrphanEvents, "events", limit, &mut found)?;
    found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(found)
}

fn orphans_in<S: Sql<Row = Binary>>(
    conn: &mut SqliteConnection,
    sql: S,
    table: &str,
    limit: u32,
    found: &mut Vec<String>,
) -> Result<(), Failure> {
    let orders = select::<_, Id, 1>(conn, sql, [Value::Int(i64::from(limit))])?;
    found.extend(orders.iter().map(|Id(order)| format!("{table} {}", order.as_hyphenated())));
    Ok(())
}

sql!(
    /// Where the numbers of a log jump: the last one before and the first one after.
    Jumps,
    "SELECT before, seq FROM (SELECT seq, lag(seq) OVER (ORDER BY seq) AS before FROM events WHERE writer = ?) \
     WHERE seq <> before + 1 ORDER BY seq LIMIT ?" => (BigInt, BigInt)
);
sql!(
    LogEnd,
    "SELECT (SELECT max(seq) FROM events WHERE events.writer = writers.writer), last_seq FROM writers WHERE writer = ?"
        => (Nullable<BigInt>, BigInt)
);

fn gaps(conn: &mut SqliteConnection, writer: WriterId, limit: u32) -> Result<Vec<i64>, Failure> {
    let limit_rows = usize::try_from(limit).unwrap_or(usize::MAX);
    let values = [Value::Int(writer.0), Value::Int(i64::from(limit))];
    let mut jumps = select::<_, (i64, i64), 2>(conn, Jumps, values)?;
    for (stored, last) in select::<_, (Option<i64>, i64), 1>(conn, LogEnd, [Value::Int(writer.0)])? {
        // Retention keeps the last number of a log, so an empty one has lost it.
        jumps.push((stored.unwrap_or(last - 1).max(0), last + 1));
    }
    Ok(jumps.into_iter().flat_map(|(before, after)| before + 1..after).take(limit_rows).collect())
}
