//! One connection that writes.

use super::apply::{self, Terms};
use super::faults::{self, Call, Fault, Verdict};
use super::{MemoryDatabase, Nodes, retention};
use crate::db::{Batch, CommitError, Committed, Deleted, NewWriter, Retention, Store, StoreError, WriterRow, WriterState};
use crate::domain::{Shards, WriterId};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A connection of a [`MemoryDatabase`] that writes. Any number may be open, each as another process would be.
pub struct MemoryStore {
    database: MemoryDatabase,
    /// To which server it has a connection: to the one that a promotion has ended it fails once.
    connected: AtomicU64,
}

impl MemoryStore {
    pub(super) fn new(database: MemoryDatabase) -> Self {
        let connected = AtomicU64::new(database.shared.promotions.load(Ordering::SeqCst));
        Self { database, connected }
    }

    fn promotions(&self) -> u64 {
        self.database.shared.promotions.load(Ordering::SeqCst)
    }

    /// Writes on the server that was there when `promotions` were counted.
    fn write(&self, batch: &Batch, promotions: u64) -> Result<Committed, CommitError> {
        apply::check(batch, self.database.shared.shards).map_err(|error| self.fenced_or(batch, CommitError::BadWrite(error)))?;
        let now = self.database.now();
        let mut tables = self.database.lock();
        if self.promotions() != promotions {
            return Err(CommitError::Unknown(faults::unavailable()));
        }
        if !tables.writers.get(&batch.writer).is_some_and(|row| admits(row, batch)) {
            return Err(CommitError::NoMatch);
        }
        let faults = self.database.faults();
        let terms = Terms {
            shards: self.database.shared.shards,
            now,
            #[cfg(feature = "plants")]
            plant: faults.as_ref().and_then(|faults| faults.plant()),
        };
        let committed = apply::apply(Arc::make_mut(&mut tables), batch, &terms).map_err(CommitError::BadWrite)?;
        // Who listens may read.
        drop(tables);
        if let Some(faults) = faults {
            faults.committed(batch, &committed);
        }
        Ok(committed)
    }

    /// A backend of its own, which lives on whatever becomes of the caller.
    fn backend(&self, batch: &Batch, after_ms: u64) -> tokio::task::JoinHandle<Result<Committed, CommitError>> {
        let (store, batch, promotions) = (Self::new(self.database.clone()), batch.clone(), self.promotions());
        tokio::spawn(async move {
            faults::sleep(after_ms).await;
            store.write(&batch, promotions)
        })
    }

    /// The fence comes first: a fenced writer gets that error, whatever it writes.
    fn fenced_or(&self, batch: &Batch, error: CommitError) -> CommitError {
        let tables = self.database.lock();
        if tables.writers.get(&batch.writer).is_some_and(|row| admits(row, batch)) { error } else { CommitError::NoMatch }
    }

    fn start(&self, new: &NewWriter) -> WriterState {
        let now = self.database.now();
        let mut tables = self.database.lock();
        let tables = Arc::make_mut(&mut tables);
        match self.database.shared.nodes {
            Nodes::One => tables.writers.values_mut().for_each(|row| row.alive = false),
            Nodes::Many => {}
        }
        let last = &self.database.shared.last_writer;
        last.fetch_max(tables.writers.keys().next_back().map_or(0, |last| last.0), Ordering::SeqCst);
        let writer = WriterId(last.fetch_add(1, Ordering::SeqCst) + 1);
        let row = WriterRow {
            writer,
            node: new.node.clone(),
            url: new.url.clone(),
            proof: new.proof(writer),
            roles: new.roles.clone(),
            alive: true,
            lease_until: now.plus_ms(new.lease_ms),
            lease_left_ms: 0,
            commits: 0,
            last_seq: 0,
            published_seq: 0,
            publisher: None,
        };
        let state = state_of(&row);
        tables.writers.insert(writer, row);
        state
    }
}

impl Store for MemoryStore {
    fn start_writer<'a>(&'a mut self, new: &'a NewWriter) -> BoxFuture<'a, Result<WriterState, StoreError>> {
        Box::pin(async move {
            self.database.admit(Call::StartWriter).await?;
            Ok(self.start(new))
        })
    }

    fn shards(&self) -> Shards {
        self.database.shared.shards
    }

    fn commit<'a>(&'a mut self, batch: &'a Batch) -> BoxFuture<'a, Result<Committed, CommitError>> {
        Box::pin(async move {
            let promotions = self.promotions();
            if self.connected.swap(promotions, Ordering::SeqCst) != promotions {
                return Err(CommitError::NotWritten(faults::unavailable()));
            }
            let fault = self.database.faults().map_or(Fault::NONE, |faults| faults.commit(batch));
            if fault.verdict != Verdict::Outlives {
                faults::sleep(fault.before_ms).await;
            }
            let result = match fault.verdict {
                Verdict::Proceed => self.write(batch, promotions),
                Verdict::Outlives => {
                    let written = self.backend(batch, fault.before_ms).await;
                    written.unwrap_or_else(|error| Err(CommitError::Unknown(StoreError::Unavailable(error.to_string()))))
                }
                Verdict::WrittenLater { ms } => {
                    drop(self.backend(batch, ms));
                    Err(CommitError::Unknown(faults::unavailable()))
                }
                Verdict::NotWritten => Err(CommitError::NotWritten(faults::unavailable())),
                Verdict::LostUnknown => Err(CommitError::Unknown(faults::unavailable())),
                // What the database answers before COMMIT is not lost with the reply to COMMIT.
                Verdict::WrittenUnknown => self.write(batch, promotions).and(Err(CommitError::Unknown(faults::unavailable()))),
            };
            faults::sleep(fault.after_ms).await;
            result
        })
    }

    fn state(&mut self, writer: WriterId) -> BoxFuture<'_, Result<WriterState, StoreError>> {
        Box::pin(async move {
            self.database.admit(Call::State).await?;
            self.database.lock().writers.get(&writer).map(state_of).ok_or_else(|| unknown(writer))
        })
    }

    fn renew(&mut self, writer: WriterId, lease_ms: u64) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(async move {
            self.database.admit(Call::Renew).await?;
            let until = self.database.now().plus_ms(lease_ms);
            let mut tables = self.database.lock();
            let row = Arc::make_mut(&mut tables).writers.get_mut(&writer).ok_or_else(|| unknown(writer))?;
            if row.alive {
                row.lease_until = until;
            }
            Ok(row.alive)
        })
    }

    fn end_writer(&mut self, writer: WriterId) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            self.database.admit(Call::EndWriter).await?;
            let mut tables = self.database.lock();
            Arc::make_mut(&mut tables).writers.get_mut(&writer).ok_or_else(|| unknown(writer))?.alive = false;
            Ok(())
        })
    }

    fn delete_old<'a>(&'a mut self, retention: &'a Retention) -> BoxFuture<'a, Result<Deleted, StoreError>> {
        Box::pin(async { Ok(retention::delete_old(Arc::make_mut(&mut self.database.lock()), retention)) })
    }
}

/// The fence: alive, and standing where the journal believes it to stand.
fn admits(row: &WriterRow, batch: &Batch) -> bool {
    row.alive && row.commits == batch.commits && row.last_seq == batch.last_seq
}

fn state_of(row: &WriterRow) -> WriterState {
    WriterState { writer: row.writer, alive: row.alive, commits: row.commits, last_seq: row.last_seq }
}

fn unknown(writer: WriterId) -> StoreError {
    StoreError::WentBack(format!("writer {} is gone", writer.0))
}
