//! The readers: a bounded pool of connections, each used by one read at a time, on the database's threads; a caller that goes away
//! interrupts nothing.

use super::connect::{PgOptions, Session};
use super::error::{self, Failure};
use super::snapshot::PgSnapshot;
use super::store::on;
use super::{dead_letter_rows, queries};
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
use diesel::ConnectionError;
use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::deadpool::{Pool, PoolError};
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, PoolError as MakeError, RecyclingMethod};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use tokio::runtime::Handle;

/// The reading side of one PostgreSQL database.
#[derive(Clone)]
pub struct PgReads {
    options: PgOptions,
    runtime: Handle,
    pool: Pool<AsyncPgConnection>,
}

/// Answers, each on its way.
type Reading<T> = BoxFuture<'static, Result<T, StoreError>>;

impl PgReads {
    /// Opens a database that a [`super::PgStore`] has made, with the number of shards that it was made with. `runtime` is the multi-thread runtime that works for it.
    ///
    /// # Errors
    /// It cannot be reached, or is not a database of this program and version.
    pub async fn open(mut options: PgOptions, runtime: Handle) -> Result<Self, StoreError> {
        let checked = options.clone();
        options.shards = on(&runtime, async move { checked.check().await }).await??;
        let mut config = ManagerConfig::<AsyncPgConnection>::default();
        config.recycling_method = RecyclingMethod::Fast;
        let makes = options.clone();
        config.custom_setup = Box::new(move |_| {
            let options = makes.clone();
            let made = async move { options.connect(Session::Reader).await };
            Box::pin(async move { made.await.map_err(|error| ConnectionError::CouldntSetupConfiguration(carry(error))) })
        });
        // The address is in the options; this text is shown in errors.
        let manager = AsyncDieselConnectionManager::new_with_config(options.place(), config);
        let size = usize::try_from(options.readers.max(1)).unwrap_or(1);
        let pool = Pool::builder(manager).max_size(size).build().map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(Self { options, runtime, pool })
    }

    fn read<T: Send + 'static>(
        &self,
        question: impl for<'c> FnOnce(&'c AsyncPgConnection) -> BoxFuture<'c, Result<T, Failure>> + Send + 'static,
    ) -> Reading<T> {
        let (pool, runtime) = (self.pool.clone(), self.runtime.clone());
        Box::pin(async move {
            on(&runtime, async move {
                let conn = pool.get().await.map_err(no_connection)?;
                question(&conn).await.map_err(|failure| failure.judge(error::judge).0)
            })
            .await?
        })
    }
}

/// A failure to connect, through the pool's own kind of error.
fn carry(error: StoreError) -> diesel::result::Error {
    diesel::result::Error::QueryBuilderError(Box::new(error))
}

/// The failure that [`carry`] wrapped, or the pool's own.
fn no_connection(error: PoolError) -> StoreError {
    match error {
        PoolError::Backend(MakeError::ConnectionError(ConnectionError::CouldntSetupConfiguration(
            diesel::result::Error::QueryBuilderError(carried),
        ))) => match carried.downcast::<StoreError>() {
            Ok(error) => *error,
            Err(other) => StoreError::Unavailable(other.to_string()),
        },
        PoolError::Backend(MakeError::QueryError(error)) => error::judge(error).0,
        PoolError::Backend(MakeError::ConnectionError(error)) => StoreError::Unavailable(error.to_string()),
        PoolError::Timeout(_) | PoolError::Closed | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
            StoreError::Unavailable(format!("no connection for reading: {error}"))
        }
    }
}

impl Reads for PgReads {
    fn shards(&self) -> Shards {
        self.options.shards
    }

    fn order(&self, id: OrderId) -> Reading<Option<StoredOrder>> {
        self.read(move |conn| Box::pin(queries::order(conn, id)))
    }

    fn known_order(&self, id: OrderId) -> Reading<Option<Arc<Order>>> {
        self.read(move |conn| Box::pin(queries::known_order(conn, id)))
    }

    fn orders(&self, filter: OrderFilter) -> Reading<Page<OrderRow, OrderId>> {
        self.read(move |conn| Box::pin(queries::orders(conn, filter)))
    }

    fn open_by_status(&self) -> Reading<Vec<OpenCount>> {
        self.read(|conn| Box::pin(queries::open_by_status(conn)))
    }

    fn open_orders(&self, shards: Vec<Shard>, after: Option<OrderId>, limit: u32) -> Reading<Vec<StoredOrder>> {
        self.read(move |conn| Box::pin(queries::open_orders(conn, shards, after, limit)))
    }

    fn payment(&self, order: OrderId) -> Reading<Option<Payment>> {
        self.read(move |conn| Box::pin(async move { Ok(queries::payments(conn, vec![order.0]).await?.pop()) }))
    }

    fn notices(&self, order: OrderId) -> Reading<Vec<NoticeTask>> {
        self.notices_among(vec![order])
    }

    fn notices_among(&self, orders: Vec<OrderId>) -> Reading<Vec<NoticeTask>> {
        self.read(move |conn| Box::pin(queries::notices(conn, orders.into_iter().map(|order| order.0).collect())))
    }

    fn next_notices(&self, shards: Vec<Shard>, channel: Channel, limit: u32) -> Reading<Vec<NoticeTask>> {
        self.read(move |conn| Box::pin(queries::next_notices(conn, shards, channel, limit)))
    }

    fn product(&self, id: ProductId) -> Reading<Option<Product>> {
        self.read(move |conn| Box::pin(queries::product(conn, id)))
    }

    fn products(&self, after: Option<ProductId>, limit: u32) -> Reading<Vec<Product>> {
        self.read(move |conn| Box::pin(queries::products(conn, after, limit)))
    }

    fn low_stock(&self, most: i32, limit: u32) -> Reading<Vec<Product>> {
        self.read(move |conn| Box::pin(queries::low_stock(conn, most, limit)))
    }

    fn letters(&self, filter: DeadLetterFilter) -> Reading<Page<DeadLetter, DeadLetterPlace>> {
        self.read(move |conn| Box::pin(dead_letter_rows::list(conn, filter)))
    }

    fn letter_groups(&self) -> Reading<Vec<DeadLetterGroup>> {
        self.read(|conn| Box::pin(dead_letter_rows::groups(conn)))
    }

    fn letter(&self, id: DeadLetterId) -> Reading<Option<DeadLetter>> {
        self.read(move |conn| Box::pin(dead_letter_rows::one(conn, id)))
    }

    fn corrections(&self, filter: CorrectionFilter) -> Reading<Vec<Correction>> {
        self.read(move |conn| Box::pin(queries::corrections(conn, filter)))
    }

    fn answer(&self, key: [u8; 32]) -> Reading<Option<KeptAnswer>> {
        self.read(move |conn| Box::pin(queries::answer(conn, key)))
    }

    fn audit(&self, subject: String) -> Reading<Vec<AuditEntry>> {
        self.read(move |conn| Box::pin(queries::audit(conn, subject)))
    }

    fn events(&self, writer: WriterId, after: i64, limit: u32) -> Reading<Vec<LoggedEvent>> {
        self.read(move |conn| Box::pin(queries::events(conn, writer, after, limit)))
    }

    fn log(&self, writer: WriterId, after: i64, limit: u32) -> Reading<Vec<LogEntry>> {
        self.read(move |conn| Box::pin(queries::log(conn, writer, after, limit)))
    }

    fn analytics(&self, from: i64, to: i64) -> Reading<Vec<AnalyticsRow>> {
        self.read(move |conn| Box::pin(queries::analytics(conn, from, to)))
    }

    fn analytics_positions(&self) -> Reading<Vec<(WriterId, i64)>> {
        self.read(|conn| Box::pin(queries::analytics_positions(conn)))
    }

    fn consumed(&self, role: Role) -> Reading<Consumption> {
        self.read(move |conn| Box::pin(queries::consumed(conn, role)))
    }

    fn writers(&self) -> Reading<Vec<WriterRow>> {
        self.read(|conn| Box::pin(queries::writers(conn)))
    }

    fn shard_rows(&self) -> Reading<Vec<ShardRow>> {
        self.read(|conn| Box::pin(queries::shard_rows(conn)))
    }

    fn snapshot(&self) -> Reading<Box<dyn Snapshot>> {
        let (options, runtime) = (self.options.clone(), self.runtime.clone());
        Box::pin(async move {
            let snapshot = PgSnapshot::begin(options, runtime).await?;
            Ok(Box::new(snapshot) as Box<dyn Snapshot>)
        })
    }
}
