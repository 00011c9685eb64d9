//! Deleting what is old: events that everyone has seen, expired keys, closed letters. Orders stay.

use super::error::Failure;
use super::statement::{Value, run, select, sql, time};
use crate::db::write::{Deleted, Publishing, Retention};
use diesel::sql_types::BigInt;
use diesel_async::AsyncPgConnection;

/// So many of the oldest letters are looked at; open ones are passed over and stay.
const LETTER_SCAN: i64 = 20_000;

sql!(
    /// Of each log the front that may go: up to the last event before one that is too young, but not its last number. Markers go
    /// with the events behind them.
    Fronts,
    "SELECT w.writer, f.first, f.last FROM writers w LEFT JOIN analytics_positions p ON p.writer = w.writer \
     CROSS JOIN LATERAL (SELECT min(e.seq) AS first, max(e.seq) FILTER (WHERE e.topic <> 255 AND NOT e.is_young) AS last \
     FROM (SELECT seq, topic, bool_or(at >= ? AND topic <> 255) OVER (ORDER BY seq) AS is_young \
     FROM (SELECT seq, at, topic FROM events WHERE events.writer = w.writer \
     AND seq <= least(coalesce(p.seq, 0), greatest(w.published_seq, ?), w.last_seq - 1) ORDER BY seq LIMIT ?) front) e) f \
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
    Ok(Deleted { events, keys, letters: run(conn, DeleteLetters, closed).await? })
}
