//! Keeps the write-ahead log short. The log's pages are moved into the file on a thread of its own, with a connection of its own,
//! so that no commit waits for the file's sync.
//!
//! Promises a bound on the log: if the thread does not keep up, the writer itself moves the rest between two commits, and the next
//! commit restarts the log. Only a reader whose view is older than the end of the log delays that, for as long as it reads.
//! A failure is logged and retried after later commits; until then committed data is safe in the log.

use super::codes::Connection;
use super::open::SqliteOptions;
use super::statement::{select, sql};
use crate::db::error::StoreError;
use diesel::sql_types::BigInt;
use diesel::sqlite::SqliteConnection;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

type LogTypes = (BigInt, BigInt, BigInt);
sql!(Measure, "PRAGMA main.wal_checkpoint(NOOP)" => LogTypes);
sql!(Move, "PRAGMA main.wal_checkpoint(PASSIVE)" => LogTypes);

/// The log is measured after this many writes, a commit counting as one more: measuring costs as much as a small write.
const MEASURE_AFTER: usize = 64;

/// If the log could not be restarted, the next try is when it has grown by this many pages.
const RETRY_PAGES: i64 = 64;

/// The log's length, and how much of it is in the file, in pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct LogSize {
    pub(super) pages: i64,
    pub(super) moved: i64,
}

impl LogSize {
    fn waiting(self) -> i64 {
        self.pages - self.moved
    }
}

/// Moves what can be moved; `None` where another connection is at it.
pub(super) fn move_pages(conn: &mut SqliteConnection) -> Result<Option<LogSize>, diesel::result::Error> {
    let rows = select::<_, (i64, i64, i64), 0>(conn, Move, [])?;
    Ok(rows.into_iter().next().filter(|(busy, ..)| *busy == 0).map(|(_, pages, moved)| LogSize { pages, moved }))
}

/// How long the log is; a read of shared memory.
pub(super) fn measure(conn: &mut SqliteConnection) -> Result<LogSize, diesel::result::Error> {
    let rows = select::<_, (i64, i64, i64), 0>(conn, Measure, [])?;
    Ok(rows.into_iter().next().map_or(LogSize { pages: 0, moved: 0 }, |(_, pages, moved)| LogSize { pages, moved }))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Rests,
    IsAsked,
    Works,
    /// The log is long and nearly all of it has been moved: the writer moves the rest, and the log restarts.
    IsRipe,
    Ends,
}

struct Shared {
    turn: Mutex<Turn>,
    changed: Condvar,
}

impl Shared {
    fn turn(&self) -> MutexGuard<'_, Turn> {
        // A turn is a single value, so a panic elsewhere cannot leave it half-written.
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while<'a>(&'a self, turn: MutexGuard<'a, Turn>, holds: impl Fn(Turn) -> bool) -> MutexGuard<'a, Turn> {
        self.changed.wait_while(turn, |turn| holds(*turn)).unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread, and when the writer helps it.
pub(super) struct Checkpointer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// The thread starts when this many pages wait to be moved.
    begin_at: i64,
    /// A log of this many pages is restarted.
    limit: i64,
    /// Where the log is held up: the length at which to try again.
    not_before: i64,
    /// Writes since the log was measured.
    unmeasured: usize,
}

impl Checkpointer {
    pub(super) fn start(options: &SqliteOptions) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared { turn: Mutex::new(Turn::Rests), changed: Condvar::new() });
        let (theirs, options_of_thread) = (shared.clone(), options.clone());
        let thread = std::thread::Builder::new()
            .name("checkpoint".to_owned())
            .spawn(move || work(&theirs, &options_of_thread))
            .map_err(|error| StoreError::Unavailable(format!("no thread for the checkpoint: {error}")))?;
        let (begin_at, limit) = (i64::from(options.checkpoint_pages.max(1)), i64::from(options.log_limit_pages.max(1)));
        Ok(Self { shared, thread: Some(thread), begin_at, limit, not_before: 0, unmeasured: 0 })
    }

    /// Looks after the log; the writer calls it after each commit, with the number of its writes.
    pub(super) fn tend(&mut self, conn: &mut SqliteConnection, writes: usize) -> Result<(), diesel::result::Error> {
        self.unmeasured = self.unmeasured.saturating_add(writes).saturating_add(1);
        let is_ripe = *self.shared.turn() == Turn::IsRipe;
        if self.unmeasured < MEASURE_AFTER && !is_ripe {
            return Ok(());
        }
        self.unmeasured = 0;
        let size = measure(conn)?;
        if (is_ripe || size.pages >= self.limit) && size.pages >= self.not_before {
            return self.begin_anew(conn, size);
        }
        let mut turn = self.shared.turn();
        if *turn == Turn::IsRipe {
            *turn = Turn::Rests;
        }
        if *turn == Turn::Rests && size.waiting() >= self.begin_at {
            *turn = Turn::IsAsked;
            self.shared.changed.notify_all();
        }
        Ok(())
    }

    /// Moves what is left, while nothing is added: the next commit finds everything moved and restarts the log.
    fn begin_anew(&mut self, conn: &mut SqliteConnection, size: LogSize) -> Result<(), diesel::result::Error> {
        let mut turn = self.shared.wait_while(self.shared.turn(), |turn| turn == Turn::Works);
        *turn = Turn::Rests;
        drop(turn);
        // After a reader or a failure prevented it: soon, because a page-by-page reader (a backup) pauses in between; not at every commit.
        self.not_before = size.pages + RETRY_PAGES.min(self.begin_at);
        if move_pages(conn)?.is_some_and(|left| left.waiting() == 0) {
            self.not_before = 0;
        }
        Ok(())
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        *self.shared.turn() = Turn::Ends;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was logged when it happened; the log stays as it is.
            drop(thread.join());
        }
    }
}

fn work(shared: &Shared, options: &SqliteOptions) {
    let mut conn = None;
    let mut has_failed = false;
    loop {
        {
            let mut turn = shared.wait_while(shared.turn(), |turn| matches!(turn, Turn::Rests | Turn::Works | Turn::IsRipe));
            if *turn == Turn::Ends {
                return;
            }
            *turn = Turn::Works;
        }
        let moved = pass(&mut conn, options);
        if let Err(error) = &moved
            && !has_failed
        {
            tracing::warn!(error = %error, "the write-ahead log could not be moved into the file; trying again");
        }
        has_failed = moved.is_err();
        let mut turn = shared.turn();
        if *turn == Turn::Works {
            *turn = if moved.is_ok_and(|is_long| is_long) { Turn::IsRipe } else { Turn::Rests };
        }
        shared.changed.notify_all();
    }
}

/// Moves what can be moved. Says whether the log is long; then it moves again what was added meanwhile, so that little is left.
fn pass(conn: &mut Option<Connection>, options: &SqliteOptions) -> Result<bool, StoreError> {
    let mut open = match conn.take() {
        Some(open) => open,
        None => options.connect_writer("rw")?,
    };
    let mut moved = || move_pages(&mut open).map_err(|failure| super::error::judge(failure, open.code(), &options.path).0);
    let is_long = moved()?.is_some_and(|size| size.pages >= i64::from(options.log_limit_pages / 2));
    if is_long {
        moved()?;
    }
    *conn = Some(open);
    Ok(is_long)
}
