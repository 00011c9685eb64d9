//! What may go wrong at each call; decided by the simulation.

use crate::db::{Batch, Committed, StoreError};
#[cfg(feature = "plants")]
use crate::plants::Plant;
use std::time::Duration;

/// How a commit ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// No fault.
    Proceed,
    /// Nothing is written, and the journal learns that.
    NotWritten,
    /// It is written (if the fence admits it), but the reply is lost.
    WrittenUnknown,
    /// Nothing is written, and the journal does not learn that.
    LostUnknown,
    /// No fault, in a backend of its own: it is written even if the caller gives up or sleeps meanwhile.
    Outlives,
    /// The connection is lost at once, but the backend continues: it writes later, if the fence still admits that.
    WrittenLater {
        /// After this many milliseconds.
        ms: u64,
    },
}

/// How a commit ends and how long it takes, on tokio's clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// How it ends.
    pub verdict: Verdict,
    /// How long it takes to reach the database; a caller that lets go meanwhile writes nothing.
    pub before_ms: u64,
    /// How long the answer takes back.
    pub after_ms: u64,
}

impl Fault {
    /// None: at once and well.
    pub const NONE: Self = Self { verdict: Verdict::Proceed, before_ms: 0, after_ms: 0 };
}

/// A call other than a commit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Call {
    /// [`Store::start_writer`](crate::db::Store::start_writer)
    StartWriter,
    /// [`Store::state`](crate::db::Store::state)
    State,
    /// [`Store::renew`](crate::db::Store::renew)
    Renew,
    /// [`Store::end_writer`](crate::db::Store::end_writer)
    EndWriter,
    /// Any question of [`Reads`](crate::db::Reads).
    Read,
}

/// How a call other than a commit ends: late, or not at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    /// How long it takes, on tokio's clock.
    pub delay_ms: u64,
    /// Whether the database cannot be reached; nothing is done then.
    pub fails: bool,
    /// How long what was read is on its way, in milliseconds: it is old when it comes.
    pub late_ms: u64,
}

impl Answer {
    /// At once and well.
    pub const PROCEED: Self = Self { delay_ms: 0, fails: false, late_ms: 0 };
}

/// Decides what goes wrong.
pub trait Faults: Send + Sync {
    /// The bug that the database has on purpose.
    #[cfg(feature = "plants")]
    fn plant(&self) -> Option<Plant> {
        None
    }

    /// How this commit ends.
    fn commit(&self, batch: &Batch) -> Fault;

    /// Called at the moment at which a batch is stored.
    fn committed(&self, _batch: &Batch, _committed: &Committed) {}

    /// How this call ends.
    fn call(&self, _call: Call) -> Answer {
        Answer::PROCEED
    }
}

impl<F: Fn(&Batch) -> Fault + Send + Sync> Faults for F {
    fn commit(&self, batch: &Batch) -> Fault {
        self(batch)
    }
}

/// Without a delay it does not even yield, so that a run without faults needs no timer.
pub(super) async fn sleep(delay_ms: u64) {
    if delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
    }
}

pub(super) fn unavailable() -> StoreError {
    StoreError::Unavailable("the simulated line is cut".to_owned())
}
