//! How far the writers have come, as the database has said it. A database in which one of them has come less far is older than what
//! this node knows of it, and whatever the node has in memory is void: a standby took over that had not got the last commits.

use crate::db::{Reads, StoreError, WriterRow, WriterState};
use crate::domain::WriterId;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How far a writer had come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Seen {
    commits: i64,
    last_seq: i64,
    /// The row of one that was dead may have been deleted because it was old.
    alive: bool,
}

/// A writer that has come less far than it had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct WentBack {
    pub(crate) writer: WriterId,
    from: i64,
    to: Option<i64>,
}

impl WentBack {
    /// Whether the writer's row holds all that it held.
    pub(crate) fn is_undone_by(&self, state: WriterState) -> bool {
        state.commits >= self.from
    }
}

impl fmt::Display for WentBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { writer, from, to } = self;
        match to {
            Some(to) => write!(f, "writer {} had {from} commits and has {to}", writer.0),
            None => write!(f, "writer {} had {from} commits and is gone", writer.0),
        }
    }
}

/// See the module.
#[derive(Default)]
pub(crate) struct Ends {
    seen: Mutex<BTreeMap<WriterId, Seen>>,
    /// Whoever comes while the rows are read waits for them instead of reading the same.
    reading: tokio::sync::Mutex<()>,
}

impl Ends {
    fn seen(&self) -> MutexGuard<'_, BTreeMap<WriterId, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A commit of this node's writer is stored: so far it has come.
    pub(crate) fn note(&self, writer: WriterId, commits: i64, last_seq: i64) {
        merge(&mut self.seen(), writer, Seen { commits, last_seq, alive: true });
    }

    /// Whether the writer's log was seen to go so far.
    fn reach(&self, writer: WriterId, seq: i64) -> bool {
        self.seen().get(&writer).is_some_and(|seen| seen.last_seq >= seq)
    }

    /// Reads how far the writers have come, and whether one of them has gone back since it was looked at last.
    pub(crate) async fn look(&self, reads: &dyn Reads) -> Result<(Vec<WriterRow>, Option<WentBack>), StoreError> {
        // What is seen while the rows are read may be newer than they are.
        let before = self.seen().clone();
        let rows = reads.writers().await?;
        let of: BTreeMap<WriterId, Seen> =
            rows.iter().map(|row| (row.writer, Seen { commits: row.commits, last_seq: row.last_seq, alive: row.alive })).collect();
        let went_back = before.iter().find_map(|(writer, seen)| went_back(*writer, *seen, of.get(writer).copied()));
        let mut all = self.seen();
        if went_back.is_none() {
            all.retain(|writer, _| of.contains_key(writer) || !before.contains_key(writer));
        }
        for (writer, seen) in of {
            merge(&mut all, writer, seen);
        }
        Ok((rows, went_back))
    }

    /// Whether a log goes so far; reads how far it goes unless that is known.
    pub(crate) async fn goes_to(&self, reads: &dyn Reads, writer: WriterId, seq: i64) -> Result<(bool, Option<WentBack>), StoreError> {
        if self.reach(writer, seq) {
            return Ok((true, None));
        }
        let _reading = self.reading.lock().await;
        if self.reach(writer, seq) {
            return Ok((true, None));
        }
        let (_, went_back) = self.look(reads).await?;
        Ok((self.reach(writer, seq), went_back))
    }
}

fn merge(all: &mut BTreeMap<WriterId, Seen>, writer: WriterId, new: Seen) {
    let seen = all.entry(writer).or_insert(new);
    seen.commits = seen.commits.max(new.commits);
    seen.last_seq = seen.last_seq.max(new.last_seq);
    seen.alive = new.alive;
}

fn went_back(writer: WriterId, seen: Seen, now: Option<Seen>) -> Option<WentBack> {
    match now {
        Some(now) => (now.commits < seen.commits).then_some(WentBack { writer, from: seen.commits, to: Some(now.commits) }),
        None => seen.alive.then_some(WentBack { writer, from: seen.commits, to: None }),
    }
}
