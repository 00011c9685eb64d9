//! Deleting what is old: events that everyone has seen, expired keys, closed letters. Orders stay.

use super::error::Failure;
use super::statement::{Value, run, select, sql, time};
use crate::db::store::{Deleted, Publishing, Retention};
use crate::domain::OrderId;
use diesel::sql_types::BigInt;
use diesel_async::AsyncPgConnection;

/// How many of the oldest letters are looked at; open ones are skipped and stay.
const LETTER_SCAN: i64 = 20_000;

sql!(
    /// Of each log the front that may go: up to the last event before one that is too young, but not its last number. Markers go
    /// with the events behind them.
    Fronts,
    "SELECT w.writer, f.first, f.last FROM writers w LEFT JOIN analytics_positions p ON p.writer = w.writer \
     CROSS JOIN LATERAL (SELECT min(e.seq) AS first, max(e.seq) FILTER (WHERE e.topic <> 255 AND NOT e.is_young) AS last \
     FROM (SELECT seq, topic, bool_or(at >= ? AND topic <> 255) OVER (ORDER BY seq) AS is_young \
     FROM (SELECT seq, at, topic FROM events WHERE events.writer = w.writer \
     AND seq <= least(coalesce(p.seq, 0), greatest(w.published_seq, ?), w.last_seq - 1) ORDER BY seq LIMIT ?) handle) e) f \
     WHERE f.last IS NOT NULL ORDER BY w.writer" => (BigInt, BigInt, BigInt)
);
sql!(
    DeleteEvents,
    "DELETE FROM events e USING unnest(?, ?, ?) AS n (writer, first, last) WHERE e.writer = n.writer AND e.seq BETWEEN n.first AND n.last"
);
sql!(
    DeleteKeys,
    "DELETE FROM idempotency_keys WHERE key = ANY(ARRAY(SELECT key FROM idempotency_keys WHERE expires_at < ? \
     ORDER BY expires_at LIMIT ? FOR UPDATE SKIP LOCKED))"
);
sql!(
    DeleteAnswers,
    "DELETE FROM answers WHERE key = ANY(ARRAY(SELECT key FROM answers WHERE expires_at < ? \
     ORDER BY expires_at LIMIT ? FOR UPDATE SKIP LOCKED))"
);
sql!(
    DeleteLetters,
    "DELETE FROM dead_letters WHERE id = ANY(ARRAY(\
     SELECT id FROM (SELECT id, state, closed_at FROM dead_letters ORDER BY created_at, id LIMIT ?) oldest \
     WHERE state <> 'OPEN' AND closed_at < ? LIMIT ?))"
);

sql!(
    DeleteAudit,
    "DELETE FROM audit_log WHERE id = ANY(ARRAY(\
     SELECT id FROM (SELECT id, at FROM audit_log ORDER BY id LIMIT ?) oldest WHERE at < ?))"
);
sql!(
    /// Ids of orders are time-ordered, so only old ones are looked at. Those that stay are skipped, however many, so that they hold
    /// up no others.
    DeleteCopies,
    "DELETE FROM known_orders WHERE id = ANY(ARRAY(\
     SELECT k.id FROM known_orders k WHERE k.id < ? AND k.created_at < ? \
     AND NOT EXISTS (SELECT 1 FROM dead_letters d WHERE d.order_id = k.id AND d.state = 'OPEN' \
     AND d.kind = 'STEP' AND d.role IN ('payment', 'inventory')) \
     AND NOT EXISTS (SELECT 1 FROM notifications n WHERE n.order_id = k.id AND n.status = 'PENDING') ORDER BY k.id LIMIT ?))"
);
sql!(
    DeleteHeld,
    "DELETE FROM held_events h USING (SELECT order_id, kind, at FROM held_events ORDER BY order_id, kind LIMIT ?) oldest \
     WHERE h.order_id = oldest.order_id AND h.kind = oldest.kind AND oldest.at < ?"
);
sql!(
    /// The row, the position and the rest of the log go together, so that nobody finds a log with an end and no events.
    DeleteWriters,
    "WITH gone AS (DELETE FROM writers WHERE writer IN (SELECT w.writer FROM writers w \
     WHERE NOT w.alive AND w.lease_until < ? AND w.published_seq >= least(w.last_seq, ?) \
     AND (w.last_seq = 0 OR EXISTS (SELECT 1 FROM analytics_positions p WHERE p.writer = w.writer AND p.seq >= w.last_seq)) \
     AND NOT EXISTS (SELECT 1 FROM shards s WHERE s.writer = w.writer OR s.after_writer = w.writer) \
     AND NOT EXISTS (SELECT 1 FROM events e WHERE e.writer = w.writer AND e.topic <> 255 AND (e.seq < w.last_seq OR e.at >= ?)) \
     ORDER BY w.writer LIMIT ? FOR UPDATE SKIP LOCKED) RETURNING writer), \
     rest AS (DELETE FROM events e USING gone WHERE e.writer = gone.writer), \
     counted AS (DELETE FROM analytics_positions p USING gone WHERE p.writer = gone.writer) \
     SELECT count(*) FROM gone" => BigInt
);

/// Deletes some of what is old. Each table is a transaction of its own: what is old may go at any moment.
pub(super) async fn delete_old(conn: &AsyncPgConnection, retention: Retention) -> Result<Deleted, Failure> {
    let limit = i64::from(retention.limit);
    let published = match retention.publishing {
        Publishing::On => 0,
        Publishing::Off => i64::MAX,
    };
    let fronts: Vec<(i64, i64, i64)> =
        select(conn, Fronts, [Value::Time(time(retention.events_before)), Value::Int(published), Value::Int(limit)]).await?;
    let (mut writers, mut firsts, mut lasts, mut left) = (Vec::new(), Vec::new(), Vec::new(), limit);
    for (writer, first, last) in fronts {
        if left == 0 {
            break;
        }
        let last = last.min(first + left - 1);
        left -= last - first + 1;
        writers.push(writer);
        firsts.push(first);
        lasts.push(last);
    }
    let mut events = 0;
    if !writers.is_empty() {
        events = run(conn, DeleteEvents, [Value::Ints(writers), Value::Ints(firsts), Value::Ints(lasts)]).await?;
    }
    let keys = run(conn, DeleteKeys, [Value::Time(time(retention.keys_before)), Value::Int(limit)]).await?
        + run(conn, DeleteAnswers, [Value::Time(time(retention.keys_before)), Value::Int(limit)]).await?;
    let closed = [Value::Int(LETTER_SCAN), Value::Time(time(retention.letters_before)), Value::Int(limit)];
    let letters = run(conn, DeleteLetters, closed).await?;
    let audit = run(conn, DeleteAudit, [Value::Int(limit), Value::Time(time(retention.audit_before))]).await?;
    let end = OrderId::first_at(retention.copies_before);
    let copies = [Value::Id(end.0), Value::Time(time(retention.copies_before)), Value::Int(limit)];
    let copies = run(conn, DeleteCopies, copies).await?;
    let held = run(conn, DeleteHeld, [Value::Int(limit), Value::Time(time(retention.held_before))]).await?;
    let before = || Value::Time(time(retention.events_before));
    let to_publish = Value::Int(if retention.publishing == Publishing::On { i64::MAX } else { 0 });
    let writers: Vec<i64> = select(conn, DeleteWriters, [before(), to_publish, before(), Value::Int(limit)]).await?;
    let writers = writers.into_iter().next().map_or(0, |count| usize::try_from(count).unwrap_or(0));
    Ok(Deleted { events, keys, letters, audit, copies, held, writers })
}
