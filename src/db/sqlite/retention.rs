//! Deleting what is old: events that everyone has seen, expired keys, closed letters. Orders stay.

use super::batch::MARKER;
use super::error::Failure;
use super::queries;
use super::statement::{Value, run, select, sql};
use super::store::SqliteStore;
use crate::db::write::{Deleted, Publishing, Retention, StoreError};
use crate::domain::{Timestamp, WriterId};
use diesel::sql_types::BigInt;
use diesel::sqlite::SqliteConnection;

/// So many of the oldest letters are looked at; open ones are passed over and stay.
const LETTER_SCAN: i64 = 20_000;

sql!(Front, "SELECT seq, at, topic FROM events WHERE writer = ? AND seq <= ? ORDER BY seq LIMIT ?" => (BigInt, BigInt, BigInt));
sql!(DeleteEvents, "DELETE FROM events WHERE writer = ? AND seq <= ?");
sql!(DeleteKeys, "DELETE FROM idempotency_keys WHERE id IN (SELECT id FROM idempotency_keys ORDER BY id LIMIT ?) AND expires_at < ?");
sql!(DeleteAnswers, "DELETE FROM answers WHERE id IN (SELECT id FROM answers ORDER BY id LIMIT ?) AND expires_at < ?");
sql!(
    DeleteLetters,
    "DELETE FROM dead_letters WHERE id IN (\
     SELECT id FROM (SELECT id, state, closed_at FROM dead_letters ORDER BY created_at, id LIMIT ?) \
     WHERE state <> 'OPEN' AND closed_at < ? LIMIT ?)"
);

impl SqliteStore {
    /// Deletes some of what is old, in a transaction of its own.
    pub(super) fn delete_some(&mut self, retention: &Retention) -> Result<Deleted, StoreError> {
        self.simple(|conn| delete_old(conn, retention))
    }
}

fn delete_old(conn: &mut SqliteConnection, retention: &Retention) -> Result<Deleted, Failure> {
    let limit = i64::from(retention.limit);
    let mut events = 0;
    let counted = queries::analytics_positions(conn)?;
    for writer in queries::writers(conn)? {
        let counted = counted.iter().find(|(source, _)| *source == writer.writer).map_or(0, |(_, seq)| *seq);
        let published = match retention.publishing {
            Publishing::On => writer.published_seq,
            Publishing::Off => i64::MAX,
        };
        let end = counted.min(published).min(writer.last_seq - 1);
        let left = limit - i64::try_from(events).unwrap_or(limit);
        events += delete_events(conn, writer.writer, end, retention.events_before, left)?;
    }
    let keys = run(conn, DeleteKeys, [Value::Int(limit), Value::Int(retention.keys_before.0)])?
        + run(conn, DeleteAnswers, [Value::Int(limit), Value::Int(retention.keys_before.0)])?;
    if events + keys >= retention.limit as usize {
        // Writes have waited enough; letters, which are looked for among many, come with the last of the rest.
        return Ok(Deleted { events, keys, letters: 0 });
    }
    let closed = [Value::Int(LETTER_SCAN), Value::Int(retention.letters_before.0), Value::Int(limit)];
    Ok(Deleted { events, keys, letters: run(conn, DeleteLetters, closed)? })
}

/// Deletes from the front of a log only, so that what is left has no gaps.
fn delete_events(conn: &mut SqliteConnection, writer: WriterId, end: i64, before: Timestamp, limit: i64) -> Result<usize, Failure> {
    let front = select::<_, (i64, i64, i64), 3>(conn, Front, [Value::Int(writer.0), Value::Int(end), Value::Int(limit)])?;
    // Markers go with the events behind them.
    let is_event = |(_, _, topic): &(i64, i64, i64)| *topic != MARKER;
    let old = front.into_iter().filter(is_event).take_while(|(_, at, _)| *at < before.0);
    let Some((last, ..)) = old.last() else { return Ok(0) };
    Ok(run(conn, DeleteEvents, [Value::Int(writer.0), Value::Int(last)])?)
}
