//! One consistent view of the whole database: a connection of its own whose reading transaction stays open.

use super::connect::{PgOptions, Session};
use super::error::{self, Failure};
use super::rows::{self, LineRow, LineTypes};
use super::statement::{Sql, Value, select, sql};
use super::store::on;
use super::{dead_letter_rows, queries};
use crate::db::decode::{self, AuditParts};
use crate::db::error::StoreError;
use crate::db::read::{OrderAudit, Snapshot, StoredOrder, WriterRow};
use crate::db::rows::AnalyticsRow;
use crate::domain::{LoggedEvent, OrderId, Payment, Product, ProductId, WriterId};
use diesel::sql_types::{BigInt, Nullable, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use futures_util::future::BoxFuture;
use std::collections::HashMap;
use tokio::runtime::Handle;
use uuid::Uuid;

/// How many products are read at once.
const PRODUCT_PAGE: u32 = 1000;

pub(super) struct PgSnapshot {
    runtime: Handle,
    /// Away while a question is being answered; lost if the asker went away meanwhile.
    conn: Option<AsyncPgConnection>,
}

impl PgSnapshot {
    /// Opens the view: what is committed now.
    pub(super) async fn begin(options: PgOptions, runtime: Handle) -> Result<Self, StoreError> {
        let begun = on(&runtime, async move {
            let mut conn = options.connect(Session::Snapshot).await?;
            // BEGIN alone takes no view; the first read does.
            let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT count(*) FROM meta";
            conn.batch_execute(begin).await.map_err(|error| error::judge(error).0)?;
            Ok(conn)
        });
        let conn = begun.await??;
        Ok(Self { runtime, conn: Some(conn) })
    }

    fn ask<T: Send + 'static>(
        &mut self,
        question: impl for<'c> FnOnce(&'c AsyncPgConnection) -> BoxFuture<'c, Result<T, Failure>> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, StoreError>> {
        Box::pin(async move {
            let conn = self.conn.take().ok_or_else(|| StoreError::Unavailable("the snapshot is lost; take another".to_owned()))?;
            let asked = on(&self.runtime, async move {
                let answer = question(&conn).await;
                (conn, answer)
            });
            let (conn, answer) = asked.await?;
            self.conn = Some(conn);
            answer.map_err(|failure| failure.judge(error::judge).0)
        })
    }
}

impl Snapshot for PgSnapshot {
    fn products(&mut self) -> BoxFuture<'_, Result<Vec<Product>, StoreError>> {
        self.ask(|conn| Box::pin(all_products(conn)))
    }

    fn orders(&mut self, after: Option<OrderId>, limit: u32) -> BoxFuture<'_, Result<Vec<OrderAudit>, StoreError>> {
        self.ask(move |conn| Box::pin(audits(conn, after, limit)))
    }

    fn orphans(&mut self, limit: u32) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        self.ask(move |conn| Box::pin(orphans(conn, limit)))
    }

    fn writers(&mut self) -> BoxFuture<'_, Result<Vec<WriterRow>, StoreError>> {
        self.ask(|conn| Box::pin(queries::writers(conn)))
    }

    fn gaps(&mut self, writer: WriterId, limit: u32) -> BoxFuture<'_, Result<Vec<i64>, StoreError>> {
        self.ask(move |conn| Box::pin(gaps(conn, writer, limit)))
    }

    fn events(&mut self, writer: WriterId, after: i64, limit: u32) -> BoxFuture<'_, Result<Vec<LoggedEvent>, StoreError>> {
        self.ask(move |conn| Box::pin(queries::events(conn, writer, after, limit)))
    }

    fn analytics(&mut self) -> BoxFuture<'_, Result<Vec<AnalyticsRow>, StoreError>> {
        self.ask(|conn| Box::pin(queries::analytics(conn, i64::MIN, i64::MAX)))
    }

    fn analytics_positions(&mut self) -> BoxFuture<'_, Result<Vec<(WriterId, i64)>, StoreError>> {
        self.ask(|conn| Box::pin(queries::analytics_positions(conn)))
    }
}

async fn all_products(conn: &AsyncPgConnection) -> Result<Vec<Product>, Failure> {
    let mut all: Vec<Product> = Vec::new();
    loop {
        let after: Option<ProductId> = all.last().map(|product| product.id);
        let page = queries::products(conn, after, PRODUCT_PAGE).await?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

sql!(
    Reservations,
    "SELECT r.order_id, r.id, r.product_id, r.quantity, r.status, r.created_at FROM unnest(?, ?, ?) AS n (order_id, first, last) \
     JOIN inventory_reservations r ON r.id BETWEEN n.first AND n.last AND r.order_id = n.order_id" => LineTypes
);

async fn audits(conn: &AsyncPgConnection, after: Option<OrderId>, limit: u32) -> Result<Vec<OrderAudit>, Failure> {
    let page = queries::all_orders(conn, after, limit).await?;
    let ids: Vec<Uuid> = page.iter().map(|stored| stored.order.id.0).collect();
    let payments = queries::payments(conn, ids.clone()).await?;
    let payments: HashMap<OrderId, Payment> = payments.into_iter().map(|payment| (payment.order, payment)).collect();
    let notices = queries::notices(conn, ids.clone()).await?;
    let letters = dead_letter_rows::open_steps_among(conn, ids.clone()).await?;
    let (firsts, lasts) = page.iter().map(|stored| decode::half_range(stored.order.id)).map(|[first, last]| (first, last)).unzip();
    let lines: Vec<LineRow> = select(conn, Reservations, [Value::Ids(ids), Value::Ids(firsts), Value::Ids(lasts)]).await?;
    let mut lines = rows::reservations(lines)?;
    let mut parts = AuditParts::new(payments, notices, letters);
    let audit = |stored: StoredOrder| {
        let lines = lines.remove(&stored.order.id).unwrap_or_default();
        parts.of(stored, lines)
    };
    Ok(page.into_iter().map(audit).collect())
}

/// The orders that a table names and `orders` has not.
macro_rules! orphans_of {
    ($name:ident, $table:literal) => {
        sql!(
            $name,
            concat!(
                "SELECT DISTINCT order_id FROM ",
                $table,
                " t WHERE order_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM orders WHERE orders.id = t.order_id) ORDER BY order_id LIMIT ?"
            ) => SqlUuid
        );
    };
}
orphans_of!(OrphanItems, "order_items");
orphans_of!(OrphanReservations, "inventory_reservations");
orphans_of!(OrphanSteps, "inventory_steps");
orphans_of!(OrphanPayments, "payments");
orphans_of!(OrphanNotices, "notifications");
orphans_of!(OrphanEvents, "events");

async fn orphans(conn: &AsyncPgConnection, limit: u32) -> Result<Vec<String>, Failure> {
    let mut found = Vec::new();
    orphans_in(conn, OrphanItems, "order_items", limit, &mut found).await?;
    orphans_in(conn, OrphanReservations, "inventory_reservations", limit, &mut found).await?;
    orphans_in(conn, OrphanSteps, "inventory_steps", limit, &mut found).await?;
    orphans_in(conn, OrphanPayments, "payments", limit, &mut found).await?;
    orphans_in(conn, OrphanNotices, "notifications", limit, &mut found).await?;
    orphans_in(conn, OrphanEvents, "events", limit, &mut found).await?;
    found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(found)
}

async fn orphans_in<S: Sql<Row = SqlUuid>>(
    conn: &AsyncPgConnection,
    sql: S,
    table: &str,
    limit: u32,
    found: &mut Vec<String>,
) -> Result<(), Failure> {
    let orders: Vec<Uuid> = select(conn, sql, [Value::Int(i64::from(limit))]).await?;
    found.extend(orders.iter().map(|order| format!("{table} {}", order.as_hyphenated())));
    Ok(())
}

sql!(
    /// Where the numbers of a log jump: the last one before and the first one after.
    Jumps,
    "SELECT before, seq FROM (SELECT seq, lag(seq) OVER (ORDER BY seq) AS before FROM events WHERE writer = ?) numbered \
     WHERE seq <> before + 1 ORDER BY seq LIMIT ?" => (BigInt, BigInt)
);
sql!(
    LogEnd,
    "SELECT (SELECT max(seq) FROM events WHERE events.writer = writers.writer), last_seq FROM writers WHERE writer = ?"
        => (Nullable<BigInt>, BigInt)
);

async fn gaps(conn: &AsyncPgConnection, writer: WriterId, limit: u32) -> Result<Vec<i64>, Failure> {
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut jumps: Vec<(i64, i64)> = select(conn, Jumps, [Value::Int(writer.0), Value::Int(i64::from(limit))]).await?;
    let ends: Vec<(Option<i64>, i64)> = select(conn, LogEnd, [Value::Int(writer.0)]).await?;
    for (stored, last) in ends {
        // Retention keeps the last number of a log, so an empty one has lost it.
        jumps.push((stored.unwrap_or(last - 1).max(0), last + 1));
    }
    Ok(jumps.into_iter().flat_map(|(before, after)| before + 1..after).take(most).collect())
}
