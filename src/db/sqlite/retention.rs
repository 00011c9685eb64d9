//! Deleting what is old: events that everyone has seen, expired keys, closed letters. Orders stay.

use super::error::Failure;
use super::queries;
use super::statement::{Value, run, select, sql};
use super::store::SqliteStore;
use crate::db::decode::MARKER;
use crate::db::error::StoreError;
use crate::db::store::{Deleted, Publishing, Retention};
use crate::domain::{OrderId, Timestamp, WriterId};
use diesel::sql_types::BigInt;
use diesel::sqlite::SqliteConnection;

/// How many of the oldest letters are looked at; open ones are skipped and stay.
const LETTER_SCAN: i64 = 20_000;

sql!(NodeHandle, "SELECT seq, at, topic FROM events WHERE writer = ? AND seq <= ? ORDER BY seq LIMIT ?" => (BigInt, BigInt, BigInt));
sql!(DeleteEvents, "DELETE FROM events WHERE writer = ? AND seq <= ?");
sql!(DeleteKeys, "DELETE FROM idempotency_keys WHERE id IN (SELECT id FROM idempotency_keys ORDER BY id LIMIT ?) AND expires_at < ?");
sql!(DeleteAnswers, "DELETE FROM answers WHERE id IN (SELECT id FROM answers ORDER BY id LIMIT ?) AND expires_at < ?");
sql!(
    DeleteLetters,
    "DELETE FROM dead_letters WHERE id IN (\
     SELECT id FROM (SELECT id, state, closed_at FROM dead_letters ORDER BY created_at, id LIMIT ?) \
     WHERE state <> 'OPEN' AND closed_at < ? LIMIT ?)"
);

sql!(DeleteAudit, "DELETE FROM audit_log WHERE id IN (SELECT id FROM audit_log ORDER BY id LIMIT ?) AND at < ?");
sql!(
    /// Only old ids are looked at. Those that stay are skipped, however many, so that they hold up no others.
    DeleteCopies,
    "DELETE FROM known_orders WHERE id IN (SELECT k.id FROM known_orders k WHERE k.id < ? AND k.created_at < ? \
     AND NOT EXISTS (SELECT 1 FROM dead_letters d WHERE d.order_id = k.id AND d.state = 'OPEN' \
     AND d.kind = 'STEP' AND d.role IN ('payment', 'inventory')) \
     AND NOT EXISTS (SELECT 1 FROM notifications n WHERE n.order_id = k.id AND n.status = 'PENDING') ORDER BY k.id LIMIT ?)"
);
sql!(
    DeleteHeld,
    "DELETE FROM held_events WHERE (order_id, kind) IN (SELECT order_id, kind FROM held_events ORDER BY order_id, kind LIMIT ?) AND at < ?"
);
sql!(
    EndedWriters,
    "SELECT w.writer FROM writers w WHERE w.alive = 0 AND w.lease_until < ? AND w.published_seq >= min(w.last_seq, ?) \
     AND (w.last_seq = 0 OR EXISTS (SELECT 1 FROM analytics_positions p WHERE p.writer = w.writer AND p.seq >= w.last_seq)) \
     AND NOT EXISTS (SELECT 1 FROM shards s WHERE s.writer = w.writer OR s.after_writer = w.writer) \
     AND NOT EXISTS (SELECT 1 FROM events e WHERE e.writer = w.writer AND e.topic <> 255 AND (e.seq < w.last_seq OR e.at >= ?)) \
     ORDER BY w.writer LIMIT ?" => BigInt
);
sql!(DeleteLog, "DELETE FROM events WHERE writer = ?");
sql!(DeletePosition, "DELETE FROM analytics_positions WHERE writer = ?");
sql!(DeleteWriter, "DELETE FROM writers WHERE writer = ?");

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
        return Ok(Deleted { events, keys, ..Deleted::default() });
    }
    let closed = [Value::Int(LETTER_SCAN), Value::Int(retention.letters_before.0), Value::Int(limit)];
    let letters = run(conn, DeleteLetters, closed)?;
    let audit = run(conn, DeleteAudit, [Value::Int(limit), Value::Int(retention.audit_before.0)])?;
    let end = OrderId::first_at(retention.copies_before);
    let copies = run(conn, DeleteCopies, [Value::id(&end.0), Value::Int(retention.copies_before.0), Value::Int(limit)])?;
    let held = run(conn, DeleteHeld, [Value::Int(limit), Value::Int(retention.held_before.0)])?;
    let writers = delete_writers(conn, retention, limit)?;
    Ok(Deleted { events, keys, letters, audit, copies, held, writers })
}

/// Each with its position and the rest of its log.
fn delete_writers(conn: &mut SqliteConnection, retention: &Retention, limit: i64) -> Result<usize, Failure> {
    let before = retention.events_before.0;
    let to_publish = if retention.publishing == Publishing::On { i64::MAX } else { 0 };
    let values = [Value::Int(before), Value::Int(to_publish), Value::Int(before), Value::Int(limit)];
    let ended = select::<_, i64, 4>(conn, EndedWriters, values)?;
    for writer in &ended {
        run(conn, DeleteLog, [Value::Int(*writer)])?;
        run(conn, DeletePosition, [Value::Int(*writer)])?;
        run(conn, DeleteWriter, [Value::Int(*writer)])?;
    }
    Ok(ended.len())
}

/// Deletes from the front of a log only, so that what is left has no gaps.
fn delete_events(conn: &mut SqliteConnection, writer: WriterId, end: i64, before: Timestamp, limit: i64) -> Result<usize, Failure> {
    let handle = select::<_, (i64, i64, i64), 3>(conn, NodeHandle, [Value::Int(writer.0), Value::Int(end), Value::Int(limit)])?;
    // Markers go with the events behind them.
    let is_event = |(_, _, topic): &(i64, i64, i64)| *topic != i64::from(MARKER);
    let old = handle.into_iter().filter(is_event).take_while(|(_, at, _)| *at < before.0);
    let Some((last, ..)) = old.last() else { return Ok(0) };
    Ok(run(conn, DeleteEvents, [Value::Int(writer.0), Value::Int(last)])?)
}
