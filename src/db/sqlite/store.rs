//! The writing connection.

use super::batch;
use super::checkpoint::Checkpointer;
use super::codes::Connection;
use super::error::{Blame, Failure, is_io, judge, not_written};
use super::open::SqliteOptions;
use super::statement::{Value, run, select, sql};
use crate::db::error::StoreError;
use crate::db::store::{Batch, CommitError, Committed, Deleted, NewWriter, Retention, Store, WriterState};
use crate::domain::{Shards, WriterId};
use diesel::connection::SimpleConnection;
use diesel::sql_types::BigInt;
use diesel::sqlite::SqliteConnection;
use futures_util::future::BoxFuture;
use libsqlite3_sys::SQLITE_ERROR;
use std::fs::File;

sql!(EndWriters, "UPDATE writers SET alive = 0 WHERE alive = 1");
sql!(EndWriter, "UPDATE writers SET alive = 0 WHERE writer = ?");
sql!(
    InsertWriter,
    "INSERT INTO writers (node, url, roles, alive, lease_until, commits, last_seq, published_seq) \
     VALUES (?, ?, ?, 1, CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000 + ?, 0, 0, 0) RETURNING writer" => BigInt
);
sql!(ProveWriter, "UPDATE writers SET proof = ? WHERE writer = ?");
sql!(WriterRow, "SELECT alive, commits, last_seq FROM writers WHERE writer = ?" => (BigInt, BigInt, BigInt));
sql!(RenewLease, "UPDATE writers SET lease_until = CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000 + ? WHERE writer = ? AND alive = 1");

/// The writing side of one SQLite file. Its futures do their work when they are first polled and never wait: call it from a
/// thread of its own.
pub struct SqliteStore {
    options: SqliteOptions,
    /// Ended before the writing connection and the lock go.
    checkpointer: Checkpointer,
    /// None after a failure that a connection does not survive; the next call opens another.
    pub(super) conn: Option<Connection>,
    _lock: File,
}

impl SqliteStore {
    /// Opens the file for writing, makes and migrates it if need be.
    ///
    /// # Errors
    /// Another process has it, it cannot be made or written, or it is not a database of this program and version.
    pub fn open(options: SqliteOptions) -> Result<Self, StoreError> {
        let (lock, conn) = options.open_writer()?;
        let checkpointer = Checkpointer::start(&options)?;
        Ok(Self { options, checkpointer, conn: Some(conn), _lock: lock })
    }

    /// The connection, opened again if the last one failed. A file that has disappeared is not created again.
    pub(super) fn conn(&mut self) -> Result<&mut Connection, StoreError> {
        if self.conn.is_none() {
            self.conn = Some(self.options.connect_writer("rw")?);
            // Its connection may be to a file that is another's by now.
            self.checkpointer = Checkpointer::start(&self.options)?;
        }
        self.conn.as_mut().ok_or_else(|| StoreError::Unavailable("no connection".to_owned()))
    }

    /// Runs `work` in one transaction; nothing of it stays when it fails.
    pub(super) fn transaction<T>(&mut self, work: impl FnOnce(&mut SqliteConnection) -> Result<T, Failure>) -> Result<T, CommitError> {
        let conn = self.conn().map_err(CommitError::NotWritten)?;
        if let Err(error) = conn.batch_execute("BEGIN IMMEDIATE") {
            return Err(self.failed_early(error.into()));
        }
        let done = match work(conn) {
            Ok(done) => done,
            Err(Failure::NoMatch) => {
                self.roll_back();
                return Err(CommitError::NoMatch);
            }
            Err(failure) => return Err(self.failed_early(failure)),
        };
        match conn.batch_execute("COMMIT") {
            Ok(()) => Ok(done),
            Err(error) => Err(self.failed_commit(error)),
        }
    }

    /// Keeps the write-ahead log short after a commit of this many writes. A failure here does not concern the commit, which is stored.
    fn tend_log(&mut self, writes: usize) {
        let Some(conn) = &mut self.conn else { return };
        if let Err(error) = self.checkpointer.tend(conn, writes) {
            let (error, blame) = judge(error, conn.code(), &self.options.path);
            tracing::warn!(error = %error, "the write-ahead log could not be moved into the file; trying again");
            if blame == Blame::Connection {
                self.conn = None;
            }
        }
    }

    /// A failure before COMMIT: nothing was written.
    fn failed_early(&mut self, failure: Failure) -> CommitError {
        let (error, blame) = failure.judge(|error| judge(error, self.code(), &self.options.path));
        self.roll_back();
        if blame == Blame::Connection {
            self.conn = None;
        }
        not_written(error, blame)
    }

    /// A failure of COMMIT. A full disk or a lock leaves the transaction open or rolled back. After an IO error the end of the
    /// transaction may be in the log on the disk or not, and reading it back does not tell: the system shows what it could not write.
    fn failed_commit(&mut self, error: diesel::result::Error) -> CommitError {
        let code = self.code();
        let is_io = is_io(&error, code);
        let (error, blame) = judge(error, code, &self.options.path);
        self.roll_back();
        match blame {
            Blame::Clash | Blame::Database => CommitError::NotWritten(error),
            Blame::Write => CommitError::BadWrite(error),
            Blame::Connection => {
                self.conn = None;
                CommitError::Unknown(if is_io { StoreError::Unsynced(error.to_string()) } else { error })
            }
        }
    }

    /// The result code of the connection's last failure.
    fn code(&self) -> Option<i32> {
        self.conn.as_ref().and_then(Connection::code)
    }

    /// Ends an open transaction. SQLite has ended it by itself after some failures; then ROLLBACK is an error of its own, and that is
    /// as good.
    fn roll_back(&mut self) {
        if let Some(conn) = &mut self.conn
            && conn.batch_execute("ROLLBACK").is_err()
            && conn.code() != Some(SQLITE_ERROR)
        {
            self.conn = None;
        }
    }

    /// Like [`Self::transaction`], for what is no batch.
    pub(super) fn simple<T>(&mut self, work: impl FnOnce(&mut SqliteConnection) -> Result<T, Failure>) -> Result<T, StoreError> {
        let done = self.transaction(work);
        self.tend_log(1);
        done.map_err(|error| match error {
            CommitError::NotWritten(error) | CommitError::Unknown(error) | CommitError::BadWrite(error) => error,
            CommitError::NoMatch => StoreError::Statement("no such writer".to_owned()),
        })
    }

    fn start_writer_now(&mut self, new: &NewWriter) -> Result<WriterState, StoreError> {
        self.simple(|conn| {
            run(conn, EndWriters, [])?;
            let roles = crate::db::codec::encode_roles(&new.roles);
            let values = [Value::Text(&new.node), Value::Text(&new.url), Value::Text(&roles), Value::Int(micros(new.lease_ms))];
            let writer = select::<_, i64, 4>(conn, InsertWriter, values)?.into_iter().next().map(WriterId).ok_or(Failure::NoMatch)?;
            run(conn, ProveWriter, [Value::Text(&new.proof(writer)), Value::Int(writer.0)])?;
            Ok(WriterState { writer, alive: true, commits: 0, last_seq: 0 })
        })
    }

    fn state_now(&mut self, writer: WriterId) -> Result<WriterState, StoreError> {
        // In a writing transaction, so that one that is still open elsewhere is waited for.
        self.simple(|conn| {
            let rows = select::<_, (i64, i64, i64), 1>(conn, WriterRow, [Value::Int(writer.0)])?;
            let state = |(alive, commits, last_seq)| WriterState { writer, alive: alive == 1, commits, last_seq };
            Ok(rows.into_iter().next().map(state))
        })?
        .ok_or_else(|| StoreError::WentBack(format!("writer {} is gone", writer.0)))
    }
}

fn micros(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX).saturating_mul(1000)
}

impl Store for SqliteStore {
    fn start_writer<'a>(&'a mut self, new: &'a NewWriter) -> BoxFuture<'a, Result<WriterState, StoreError>> {
        Box::pin(async move { self.start_writer_now(new) })
    }

    fn shards(&self) -> Shards {
        self.options.shards
    }

    fn commit<'a>(&'a mut self, batch: &'a Batch) -> BoxFuture<'a, Result<Committed, CommitError>> {
        let shards = self.options.shards;
        Box::pin(async move {
            let committed = self.transaction(|conn| batch::write(conn, batch, shards));
            self.tend_log(batch.writes.len());
            committed
        })
    }

    fn state(&mut self, writer: WriterId) -> BoxFuture<'_, Result<WriterState, StoreError>> {
        Box::pin(async move { self.state_now(writer) })
    }

    fn renew(&mut self, writer: WriterId, lease_ms: u64) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(async move {
            let values = [Value::Int(micros(lease_ms)), Value::Int(writer.0)];
            self.simple(|conn| Ok(run(conn, RenewLease, values)? == 1))
        })
    }

    fn end_writer(&mut self, writer: WriterId) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.simple(|conn| Ok(run(conn, EndWriter, [Value::Int(writer.0)]).map(|_| ())?)) })
    }

    fn delete_old<'a>(&'a mut self, retention: &'a Retention) -> BoxFuture<'a, Result<Deleted, StoreError>> {
        Box::pin(async move { self.delete_some(retention) })
    }
}
