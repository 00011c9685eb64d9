//! The readers: a few connections of their own, each used by one read at a time. A read is one hop to the database runtime's
//! blocking threads, however many statements it makes, and a caller that goes away interrupts nothing.

use super::codes::Connection;
use super::error::{Blame, Failure, judge};
use super::open::{SqliteOptions, stored_shards};
use super::snapshot::SqliteSnapshot;
use super::{cluster, dead_letter_rows, queries, rare_writes, rows};
use crate::db::error::StoreError;
use crate::db::read::{
    Correction, CorrectionFilter, DeadLetterFilter, DeadLetterGroup, DeadLetterPlace, LogEntry, OpenCount, OrderFilter, OrderRow, Page,
    Reads, ShardRow, Snapshot, StoredOrder, WriterRow,
};
use crate::db::rows::{AnalyticsRow, AuditEntry, Consumption};
use crate::db::write::KeptAnswer;
use crate::domain::{
    Channel, DeadLetter, DeadLetterId, LoggedEvent, NoticeTask, Order, OrderId, Payment, Product, ProductId, Role, Shard, Shards, WriterId,
};
use diesel::sqlite::SqliteConnection;
use futures_util::future::BoxFuture;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// The reading side of one SQLite file. Needs no lock, so it also reads a live node's file from another process.
#[derive(Clone)]
pub struct SqliteReads {
    pool: Arc<Pool>,
}

struct Pool {
    options: SqliteOptions,
    shards: Shards,
    runtime: Handle,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

impl Pool {
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        // A connection is put back after its read, so a panic in between leaves the list whole.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run<T>(&self, read: impl FnOnce(&mut SqliteConnection) -> Result<T, Failure>) -> Result<T, StoreError> {
        let idle = self.idle().pop();
        let mut conn = match idle {
            Some(conn) => conn,
            None => self.options.connect_reader()?,
        };
        match read(&mut conn) {
            Ok(answer) => {
                self.idle().push(conn);
                Ok(answer)
            }
            Err(failure) => {
                let (error, blame) = failure.judge(|error| judge(error, conn.code(), &self.options.path));
                if blame != Blame::Connection {
                    self.idle().push(conn);
                }
                Err(error)
            }
        }
    }
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the database runtime has stopped".to_owned())
}

impl SqliteReads {
    /// Opens a file that a [`super::SqliteStore`] has made. `runtime` is the multi-thread runtime whose blocking threads read.
    ///
    /// # Errors
    /// It is not there, cannot be read, or is not a database of this program.
    pub fn open(options: SqliteOptions, runtime: Handle) -> Result<Self, StoreError> {
        let mut conn = options.connect_reader()?;
        let shards = stored_shards(&mut conn).map_err(|failure| failure.judge(|error| judge(error, conn.code(), &options.path)).0)?;
        let permits = usize::try_from(options.readers.max(1)).unwrap_or(1);
        let permits = Arc::new(Semaphore::new(permits));
        Ok(Self { pool: Arc::new(Pool { options, shards, runtime, permits, idle: Mutex::new(vec![conn]) }) })
    }

    fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut SqliteConnection) -> Result<T, Failure> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        let pool = Arc::clone(&self.pool);
        Box::pin(async move {
            let permit = Arc::clone(&pool.permits).acquire_owned().await.map_err(|_| stopped())?;
            let runtime = pool.runtime.clone();
            let task = runtime.spawn_blocking(move || {
                let answer = pool.run(read);
                drop(permit);
                answer
            });
            task.await.map_err(|_| stopped())?
        })
    }
}

impl Reads for SqliteReads {
    fn shards(&self) -> Shards {
        self.pool.shards
    }

    fn order(&self, id: OrderId) -> BoxFuture<'static, Result<Option<StoredOrder>, StoreError>> {
        self.read(move |conn| queries::order(conn, id))
    }

    fn known_order(&self, id: OrderId) -> BoxFuture<'static, Result<Option<Arc<Order>>, StoreError>> {
        self.read(move |conn| cluster::known_order(conn, id))
    }

    fn orders(&self, filter: OrderFilter) -> BoxFuture<'static, Result<Page<OrderRow, OrderId>, StoreError>> {
        self.read(move |conn| queries::orders(conn, &filter))
    }

    fn open_by_status(&self) -> BoxFuture<'static, Result<Vec<OpenCount>, StoreError>> {
        self.read(queries::open_by_status)
    }

    fn open_orders(
        &self,
        shards: Vec<Shard>,
        after: Option<OrderId>,
        limit: u32,
    ) -> BoxFuture<'static, Result<Vec<StoredOrder>, StoreError>> {
        self.read(move |conn| queries::open_orders(conn, &shards, after, limit))
    }

    fn payment(&self, order: OrderId) -> BoxFuture<'static, Result<Option<Payment>, StoreError>> {
        self.read(move |conn| Ok(rows::payments_among(conn, &[order.0.as_bytes()])?.remove(&order)))
    }

    fn notices(&self, order: OrderId) -> BoxFuture<'static, Result<Vec<NoticeTask>, StoreError>> {
        self.notices_among(vec![order])
    }

    fn notices_among(&self, orders: Vec<OrderId>) -> BoxFuture<'static, Result<Vec<NoticeTask>, StoreError>> {
        self.read(move |conn| queries::notices(conn, &orders))
    }

    fn next_notices(&self, shards: Vec<Shard>, channel: Channel, limit: u32) -> BoxFuture<'static, Result<Vec<NoticeTask>, StoreError>> {
        self.read(move |conn| queries::next_notices(conn, &shards, channel, limit))
    }

    fn product(&self, id: ProductId) -> BoxFuture<'static, Result<Option<Product>, StoreError>> {
        self.read(move |conn| Ok(rows::products_among(conn, &[id.0.as_bytes()])?.pop()))
    }

    fn products(&self, after: Option<ProductId>, limit: u32) -> BoxFuture<'static, Result<Vec<Product>, StoreError>> {
        self.read(move |conn| queries::products(conn, after, limit))
    }

    fn low_stock(&self, most: i32, limit: u32) -> BoxFuture<'static, Result<Vec<Product>, StoreError>> {
        self.read(move |conn| queries::low_stock(conn, most, limit))
    }

    fn letters(&self, filter: DeadLetterFilter) -> BoxFuture<'static, Result<Page<DeadLetter, DeadLetterPlace>, StoreError>> {
        self.read(move |conn| dead_letter_rows::list(conn, &filter))
    }

    fn letter_groups(&self) -> BoxFuture<'static, Result<Vec<DeadLetterGroup>, StoreError>> {
        self.read(dead_letter_rows::groups)
    }

    fn letter(&self, id: DeadLetterId) -> BoxFuture<'static, Result<Option<DeadLetter>, StoreError>> {
        self.read(move |conn| dead_letter_rows::one(conn, id))
    }

    fn corrections(&self, filter: CorrectionFilter) -> BoxFuture<'static, Result<Vec<Correction>, StoreError>> {
        self.read(move |conn| queries::corrections(conn, &filter))
    }

    fn answer(&self, key: [u8; 32]) -> BoxFuture<'static, Result<Option<KeptAnswer>, StoreError>> {
        self.read(move |conn| Ok(rare_writes::answers_among(conn, &[&key])?.into_values().next()))
    }

    fn audit(&self, subject: String) -> BoxFuture<'static, Result<Vec<AuditEntry>, StoreError>> {
        self.read(move |conn| queries::audit(conn, &subject))
    }

    fn events(&self, writer: WriterId, after: i64, limit: u32) -> BoxFuture<'static, Result<Vec<LoggedEvent>, StoreError>> {
        self.read(move |conn| queries::events(conn, writer, after, limit))
    }

    fn log(&self, writer: WriterId, after: i64, limit: u32) -> BoxFuture<'static, Result<Vec<LogEntry>, StoreError>> {
        self.read(move |conn| queries::log(conn, writer, after, limit))
    }

    fn analytics(&self, from: i64, to: i64) -> BoxFuture<'static, Result<Vec<AnalyticsRow>, StoreError>> {
        self.read(move |conn| queries::analytics(conn, from, to))
    }

    fn analytics_positions(&self) -> BoxFuture<'static, Result<Vec<(WriterId, i64)>, StoreError>> {
        self.read(queries::analytics_positions)
    }

    fn consumed(&self, role: Role) -> BoxFuture<'static, Result<Consumption, StoreError>> {
        self.read(move |conn| queries::consumed(conn, role))
    }

    fn writers(&self) -> BoxFuture<'static, Result<Vec<WriterRow>, StoreError>> {
        self.read(queries::writers)
    }

    fn shard_rows(&self) -> BoxFuture<'static, Result<Vec<ShardRow>, StoreError>> {
        self.read(queries::shard_rows)
    }

    fn snapshot(&self) -> BoxFuture<'static, Result<Box<dyn Snapshot>, StoreError>> {
        let pool = Arc::clone(&self.pool);
        Box::pin(async move {
            let runtime = pool.runtime.clone();
            let task = runtime.spawn_blocking(move || SqliteSnapshot::begin(pool.options.clone(), pool.runtime.clone()));
            let snapshot = task.await.map_err(|_| stopped())??;
            Ok(Box::new(snapshot) as Box<dyn Snapshot>)
        })
    }
}
