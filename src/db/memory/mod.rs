//! The memory store: the same rows as the databases on disk, for simulation and tests. Owns the tables and their lock.
//!
//! Promises what every [`Store`](crate::db::Store) promises, to any number of stores at once: the lock around the tables is the
//! transaction, the writer's row is the fence, and a [`MemoryDatabase`] outlives the stores that it handed out as a database
//! outlives a crashed node. Faults at each call are decided from outside ([`Faults`]), for each line to it apart. It knows no clock
//! but the one it is given.

mod apply;
mod faults;
mod reads;
mod retention;
mod selects;
mod snapshot;
mod store;
mod tables;

#[cfg(test)]
pub(crate) use crate::db::plan::StockRow;
pub use faults::{Answer, Call, Fault, Faults, Verdict};
pub use store::MemoryStore;
#[cfg(test)]
pub(crate) use tables::Entry;
pub(crate) use tables::Tables;

use crate::db::StoreError;
use crate::domain::{Shards, Timestamp};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The database's clock, by which leases are judged.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How many processes may open a database at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Nodes {
    /// One, as with SQLite: a new writer ends all others.
    One,
    /// Many, as with PostgreSQL: a writer is ended only by name.
    Many,
}

/// A database in memory; clones are the same database and the same line to it.
#[derive(Clone)]
pub struct MemoryDatabase {
    shared: Arc<Shared>,
    /// What goes wrong on this line.
    faults: Arc<Mutex<Option<Arc<dyn Faults>>>>,
    /// Whether its login may read orders: one of a role knows those of which it keeps a copy.
    reads_orders: bool,
}

struct Shared {
    shards: Shards,
    nodes: Nodes,
    clock: Clock,
    /// Copied on write, so that a snapshot is one pointer.
    tables: Mutex<Arc<Tables>>,
    /// How often a standby was promoted: what began before, ends with the server that was.
    promotions: AtomicU64,
    /// The highest id that a writer ever had; ids do not go back.
    last_writer: AtomicI64,
}

/// What a standby has got: everything up to a moment.
#[derive(Clone)]
pub struct Standby(Arc<Tables>);

impl MemoryDatabase {
    /// An empty database.
    #[must_use]
    pub fn new(shards: Shards, nodes: Nodes, clock: Clock) -> Self {
        let tables = Mutex::new(Arc::new(Tables::default()));
        let (promotions, last_writer) = Default::default();
        let shared = Arc::new(Shared { shards, nodes, clock, tables, promotions, last_writer });
        Self { shared, faults: Arc::default(), reads_orders: true }
    }

    /// What a standby has that gets nothing more from now on.
    #[must_use]
    pub fn standby(&self) -> Standby {
        Standby(self.lock().clone())
    }

    /// The standby takes over: what was committed since is lost, and so is every transaction under way.
    pub fn promote(&self, standby: Standby) {
        let mut tables = self.lock();
        self.shared.promotions.fetch_add(1, Ordering::SeqCst);
        *tables = standby.0;
    }

    /// Another line to the same database, with faults of its own: none yet.
    #[must_use]
    pub fn line(&self) -> Self {
        Self { shared: self.shared.clone(), faults: Arc::default(), reads_orders: true }
    }

    /// The same with the login of a role that has no orders.
    #[must_use]
    pub fn line_of_a_role(&self) -> Self {
        Self { reads_orders: false, ..self.line() }
    }

    /// A new connection that writes.
    #[must_use]
    pub fn store(&self) -> MemoryStore {
        MemoryStore::new(self.clone())
    }

    /// From now on `faults` decides how each call on this line ends; `None` heals.
    pub fn set_faults(&self, faults: Option<Arc<dyn Faults>>) {
        *self.faults.lock().unwrap_or_else(PoisonError::into_inner) = faults;
    }

    /// Makes it one that an earlier version has used: it holds no places, and Kafka's offsets count instead.
    pub fn upgrade(&self) {
        let mut tables = self.lock();
        let tables = Arc::make_mut(&mut tables);
        tables.consumed.clear();
        tables.is_upgraded = true;
    }

    /// Changes rows past all rules, to break what `verify` must find.
    #[cfg(test)]
    pub(crate) fn raw<R>(&self, change: impl FnOnce(&mut Tables) -> R) -> R {
        change(Arc::make_mut(&mut self.lock()))
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Tables>> {
        self.shared.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Timestamp {
        (self.shared.clock)()
    }

    fn faults(&self) -> Option<Arc<dyn Faults>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets a call other than a commit through, late or never, as the faults have it.
    async fn admit(&self, call: Call) -> Result<Answer, StoreError> {
        let answer = self.faults().map_or(Answer::PROCEED, |faults| faults.call(call));
        faults::sleep(answer.delay_ms).await;
        if answer.fails { Err(faults::unavailable()) } else { Ok(answer) }
    }
}
