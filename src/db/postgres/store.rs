//! The writing connection. Its work runs on the database's threads, because a driver's future that is dropped in the middle of a
//! transaction leaves it open; a batch is decided between the two round trips, on the caller's thread.

use super::connect::{PgOptions, Session};
use super::error::{Blame, Failure, is_refusal, judge};
use super::load::{self, Asks};
use super::statement::{Value, run, select, sql};
use super::{flush, retention};
use crate::db::error::StoreError;
use crate::db::plan::{Needs, Plan};
use crate::db::postgres::script::Script;
use crate::db::store::{Batch, CommitError, Committed, Deleted, NewWriter, Retention, Store, WriterState};
use crate::domain::{Shards, WriterId};
use diesel::sql_types::{BigInt, Bool};
use diesel_async::pooled_connection::PoolableConnection;
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use futures_util::future::{BoxFuture, join_all};
use std::future::Future;
use tokio::runtime::Handle;

sql!(
    /// A standby that takes over may not know all numbers that the sequence has given. Each promotion begins another timeline, so ids of
    /// different timelines differ.
    InsertNewWriter,
    "INSERT INTO writers (writer, node, url, roles, alive, lease_until) OVERRIDING SYSTEM VALUE \
     VALUES (nextval(pg_get_serial_sequence('writers', 'writer')) \
     + (('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::bigint - 1) * 1000000, \
     ?, ?, ?, true, clock_timestamp() + ? * interval '1 millisecond') RETURNING writer" => BigInt
);
sql!(
    /// For a login that may not ask for a number, and a server that does not tell its timeline.
    InsertWriter,
    "INSERT INTO writers (node, url, roles, alive, lease_until) \
     VALUES (?, ?, ?, true, clock_timestamp() + ? * interval '1 millisecond') RETURNING writer" => BigInt
);
sql!(
    /// Waits for a transaction of that writer that is still open.
    State, "SELECT alive, commits, last_seq FROM writers WHERE writer = ? FOR UPDATE" => (Bool, BigInt, BigInt)
);
sql!(ProveWriter, "UPDATE writers SET proof = ? WHERE writer = ?");
sql!(RenewLease, "UPDATE writers SET lease_until = clock_timestamp() + ? * interval '1 millisecond' WHERE writer = ? AND alive");
sql!(
    /// Prepared like all others: what is not waits for no statement that is being prepared, and would overtake it.
    Commit, "COMMIT"
);
sql!(EndWriter, "UPDATE writers SET alive = false WHERE writer = ? AND alive");

/// The writing side of one PostgreSQL database, for one journal.
pub struct PgStore {
    options: PgOptions,
    runtime: Handle,
    /// None after a failure that a connection does not survive, and while it works; the next call opens another.
    conn: Option<AsyncPgConnection>,
}

/// How the second round trip failed.
enum Lost {
    /// Nothing was written.
    Refused(StoreError, Blame),
    /// It may have been.
    Unknown(StoreError),
}

/// A failed try of a batch.
enum Failed {
    /// It is to be tried again at once.
    Clash(StoreError),
    /// The connection was gone before anything was asked.
    Stale(StoreError),
    Final(CommitError),
}

impl PgStore {
    /// Opens the database for writing, makes and migrates it if need be. `runtime` is the multi-thread runtime that works for it.
    ///
    /// # Errors
    /// It cannot be reached, made or written, or is not a database of this program, version and number of shards.
    pub async fn open(options: PgOptions, runtime: Handle) -> Result<Self, StoreError> {
        let prepared = options.clone();
        on(&runtime, async move { prepared.prepare().await }).await??;
        Ok(Self { options, runtime, conn: None })
    }

    /// The connection, opened again if the last one failed; and whether it is a new one.
    async fn take(&mut self) -> Result<(AsyncPgConnection, IsNew), StoreError> {
        if let Some(mut conn) = self.conn.take()
            && !conn.is_broken()
        {
            return Ok((conn, IsNew::No));
        }
        let options = self.options.clone();
        let conn = on(&self.runtime, async move { options.connect(Session::Journal).await }).await??;
        Ok((conn, IsNew::Yes))
    }

    async fn try_commit(&mut self, batch: &Batch) -> Result<Committed, Failed> {
        let (conn, is_new) = self.take().await.map_err(|error| Failed::Final(CommitError::NotWritten(error)))?;
        let needs = Needs::of(&batch.writes);
        let asks = Asks::of(batch, &needs);
        let looked = on(&self.runtime, async move {
            let found = load::look_up(&conn, asks).await;
            (conn, found)
        });
        let (conn, found) = looked.await.map_err(|error| Failed::Final(CommitError::NotWritten(error)))?;
        let decided = found.and_then(|found| {
            let (stored, marks) = found.read()?;
            let plan = Plan::decide(batch, self.options.shards, stored).map_err(|refused| Failure::NoShard(refused.0))?;
            let script = flush::script(&plan, &marks, batch.writer.0, batch.last_seq)?;
            Ok((plan, script))
        });
        let (plan, script) = match decided {
            Ok(decided) => decided,
            Err(failure) => return Err(self.failed_early(conn, failure, is_new).await),
        };
        let sent = on(&self.runtime, async move {
            let sent = send(&conn, script).await;
            (conn, sent)
        });
        let (conn, sent) = sent.await.map_err(|error| Failed::Final(CommitError::Unknown(error)))?;
        match sent {
            Ok(()) => {
                self.conn = Some(conn);
                Ok(Committed { outcomes: plan.outcomes, events: plan.log.events, last_seq: plan.log.last_seq })
            }
            Err(Lost::Unknown(error)) => Err(Failed::Final(CommitError::Unknown(error))),
            Err(Lost::Refused(error, blame)) => {
                // COMMIT came behind the failure and has rolled back.
                self.conn = Some(conn);
                Err(not_written(error, blame))
            }
        }
    }

    /// A failure before anything was written.
    async fn failed_early(&mut self, conn: AsyncPgConnection, failure: Failure, is_new: IsNew) -> Failed {
        let no_match = matches!(failure, Failure::NoMatch);
        let (error, blame) = failure.judge(judge);
        if blame == Blame::Connection {
            return if is_new == IsNew::No { Failed::Stale(error) } else { Failed::Final(CommitError::NotWritten(error)) };
        }
        let rolled = on(&self.runtime, async move {
            let mut conn = conn;
            conn.batch_execute("ROLLBACK").await.is_ok().then_some(conn)
        });
        // A connection that cannot roll back is dropped, which ends its transaction.
        self.conn = rolled.await.ok().flatten();
        if no_match { Failed::Final(CommitError::NoMatch) } else { not_written(error, blame) }
    }

    async fn commit_batch(&mut self, batch: &Batch) -> Result<Committed, CommitError> {
        let mut clashes = 0;
        let mut is_stale = false;
        loop {
            match self.try_commit(batch).await {
                Ok(committed) => return Ok(committed),
                Err(Failed::Clash(_)) if clashes < self.options.limits.clash_repeats => clashes += 1,
                // A row that is there however often one looks is a bad write's.
                Err(Failed::Clash(error @ StoreError::Statement(_))) => return Err(CommitError::BadWrite(error)),
                Err(Failed::Clash(error)) => return Err(CommitError::NotWritten(error)),
                Err(Failed::Stale(_)) if !is_stale => is_stale = true,
                Err(Failed::Stale(error)) => return Err(CommitError::NotWritten(error)),
                Err(Failed::Final(error)) => return Err(error),
            }
        }
    }

    /// One statement or a few, each a transaction of its own.
    async fn simple<T: Send + 'static>(
        &mut self,
        work: impl for<'c> FnOnce(&'c AsyncPgConnection) -> BoxFuture<'c, Result<T, Failure>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (conn, _) = self.take().await?;
        let (conn, done) = on(&self.runtime, async move {
            let done = work(&conn).await;
            (conn, done)
        })
        .await?;
        match done {
            Ok(done) => {
                self.conn = Some(conn);
                Ok(done)
            }
            Err(Failure::NoMatch) => {
                self.conn = Some(conn);
                Err(StoreError::Statement("no such writer".to_owned()))
            }
            Err(failure) => {
                let (error, blame) = failure.judge(judge);
                self.conn = (blame != Blame::Connection).then_some(conn);
                Err(error)
            }
        }
    }
}

/// Whether a connection has never worked yet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum IsNew {
    Yes,
    No,
}

/// Runs `work` on the database's threads. It runs to its end even if its caller stops waiting.
pub(super) async fn on<T: Send + 'static>(runtime: &Handle, work: impl Future<Output = T> + Send + 'static) -> Result<T, StoreError> {
    runtime.spawn(work).await.map_err(|error| StoreError::Unavailable(format!("the database's threads failed: {error}")))
}

fn not_written(error: StoreError, blame: Blame) -> Failed {
    match blame {
        Blame::Write => Failed::Final(CommitError::BadWrite(error)),
        Blame::Clash => Failed::Clash(error),
        Blame::Database | Blame::Connection => Failed::Final(CommitError::NotWritten(error)),
    }
}

/// Sends all statements and COMMIT, then looks at every answer: COMMIT of a failed transaction rolls back and is no error.
async fn send(conn: &AsyncPgConnection, script: Script) -> Result<(), Lost> {
    // Polled in this order, so sent in this order.
    let writes = join_all(script.0.into_iter().map(|statement| statement(conn)));
    let (writes, commit) = tokio::join!(biased; writes, run(conn, Commit, []));
    for write in writes {
        if let Err(error) = write {
            let (error, blame) = judge(error);
            // What is said of the connection may have been said after COMMIT.
            return Err(if blame == Blame::Connection { Lost::Unknown(error) } else { Lost::Refused(error, blame) });
        }
    }
    commit.map(drop).map_err(|error| {
        let is_refusal = is_refusal(&error);
        let (error, blame) = judge(error);
        if is_refusal { Lost::Refused(error, blame) } else { Lost::Unknown(error) }
    })
}

fn ms(ms: u64) -> Value {
    Value::Int(i64::try_from(ms).unwrap_or(i64::MAX))
}

impl Store for PgStore {
    fn start_writer<'a>(&'a mut self, new: &'a NewWriter) -> BoxFuture<'a, Result<WriterState, StoreError>> {
        let roles = crate::db::codec::encode_roles(&new.roles);
        let new = new.clone();
        Box::pin(self.simple(move |conn| {
            Box::pin(async move {
                let values = || [Value::Text(new.node.clone()), Value::Text(new.url.clone()), Value::Text(roles.clone()), ms(new.lease_ms)];
                let writer: Vec<i64> = match select(conn, InsertNewWriter, values()).await {
                    Ok(writer) => writer,
                    Err(_) => select(conn, InsertWriter, values()).await?,
                };
                let writer = writer.into_iter().next().map(WriterId).ok_or(Failure::NoMatch)?;
                run(conn, ProveWriter, [Value::Text(new.proof(writer)), Value::Int(writer.0)]).await?;
                Ok(WriterState { writer, alive: true, commits: 0, last_seq: 0 })
            })
        }))
    }

    fn shards(&self) -> Shards {
        self.options.shards
    }

    fn commit<'a>(&'a mut self, batch: &'a Batch) -> BoxFuture<'a, Result<Committed, CommitError>> {
        Box::pin(self.commit_batch(batch))
    }

    fn state(&mut self, writer: WriterId) -> BoxFuture<'_, Result<WriterState, StoreError>> {
        // A fresh connection: ending the old one ends what it may still have open.
        self.conn = None;
        let asked = self.simple(move |conn| {
            Box::pin(async move {
                let rows: Vec<(bool, i64, i64)> = select(conn, State, [Value::Int(writer.0)]).await?;
                let state = |(alive, commits, last_seq)| WriterState { writer, alive, commits, last_seq };
                Ok(rows.into_iter().next().map(state))
            })
        });
        Box::pin(async move { asked.await?.ok_or_else(|| StoreError::WentBack(format!("writer {} is gone", writer.0))) })
    }

    fn renew(&mut self, writer: WriterId, lease_ms: u64) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(
            self.simple(move |conn| Box::pin(async move { Ok(run(conn, RenewLease, [ms(lease_ms), Value::Int(writer.0)]).await? == 1) })),
        )
    }

    fn end_writer(&mut self, writer: WriterId) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.simple(move |conn| {
            Box::pin(async move {
                run(conn, EndWriter, [Value::Int(writer.0)]).await?;
                Ok(())
            })
        }))
    }

    fn delete_old<'a>(&'a mut self, retention: &'a Retention) -> BoxFuture<'a, Result<Deleted, StoreError>> {
        let retention = *retention;
        Box::pin(self.simple(move |conn| Box::pin(retention::delete_old(conn, retention))))
    }
}
