//! What nodes share through the database: who owns each shard, which writers are alive, what is published, and what a node that hosts
//! only some roles must store of orders that another node owns.

use super::error::Failure;
use super::rows::SqliteColumns;
use super::statement::{Id, Value, insert, run, select, sql};
use crate::db::plan::{Cluster, Handed, Needs, StoredCluster};
use crate::db::{codec, decode};
use crate::domain::{Order, OrderId};
use diesel::sql_types::{BigInt, Binary, Nullable};
use diesel::sqlite::SqliteConnection;

sql!(MovePublished, "UPDATE writers SET published_seq = max(published_seq, ?) WHERE writer = ?");
sql!(
    PutConsumed,
    "INSERT INTO consumed (role, topic, partition, next) VALUES ",
    " ON CONFLICT (role, topic, partition) DO UPDATE SET next = excluded.next"
);
sql!(
    ClaimLog,
    "UPDATE writers SET publisher = ?, publish_until = CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000 + ? \
     WHERE writer = ? AND alive = 0 \
     AND (publisher IS NULL OR publisher = ? OR publish_until < CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000)"
);
sql!(
    EndExpired,
    "UPDATE writers SET alive = 0 WHERE writer = ? AND alive = 1 AND writer <> ? AND lease_until = ? \
     AND lease_until < CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000"
);
sql!(KnowOrder, "INSERT INTO known_orders (id, shard, created_at, details) VALUES ", " ON CONFLICT (id) DO NOTHING");
sql!(HeldEvents, "SELECT shard, at, data FROM held_events WHERE order_id = ? ORDER BY kind" => (BigInt, BigInt, Binary));
sql!(DropHeld, "DELETE FROM held_events WHERE order_id = ?");
sql!(
    IsKnown,
    "SELECT id FROM orders WHERE id = ? UNION ALL SELECT id FROM known_orders WHERE id = ?" => Binary
);
sql!(
    KnownOrder,
    "SELECT details FROM orders WHERE id = ? UNION ALL SELECT details FROM known_orders WHERE id = ? LIMIT 1" => Binary
);
sql!(HoldEvent, "INSERT INTO held_events (order_id, kind, shard, at, data) VALUES ", " ON CONFLICT (order_id, kind) DO NOTHING");
sql!(
    ShardOwner,
    "SELECT shards.writer, shards.after_writer, shards.after_seq, writers.alive, writers.last_seq \
     FROM shards LEFT JOIN writers ON writers.writer = shards.writer WHERE shards.role = ? AND shards.shard = ?"
        => (Nullable<BigInt>, Nullable<BigInt>, Nullable<BigInt>, Nullable<BigInt>, Nullable<BigInt>)
);
sql!(TakeShard, "UPDATE shards SET writer = ?, after_writer = NULL, after_seq = NULL WHERE role = ? AND shard = ?");
sql!(GiveShard, "UPDATE shards SET writer = NULL, after_writer = ?, after_seq = ? WHERE role = ? AND shard = ?");

type OwnerRow = (Option<i64>, Option<i64>, Option<i64>, Option<i64>, Option<i64>);

/// Reads what the batch's writes of the cluster are about. What is judged by the clock is done here.
pub(super) fn load(conn: &mut SqliteConnection, needs: &Needs<'_>, own: i64) -> Result<StoredCluster, Failure> {
    let mut stored = StoredCluster::default();
    for (writer, lease_until) in &needs.expired {
        run(conn, EndExpired, [Value::Int(writer.0), Value::Int(own), Value::Int(lease_until.0)])?;
    }
    for (writer, lease_ms) in &needs.claims {
        let lease = Value::Int(i64::try_from(*lease_ms).unwrap_or(i64::MAX).saturating_mul(1000));
        if run(conn, ClaimLog, [Value::Int(own), lease, Value::Int(writer.0), Value::Int(own)])? == 1 {
            stored.claimed.insert(*writer);
        }
    }
    for (role, shard) in &needs.shards {
        let key = [Value::Text(role.name()), Value::Int(i64::from(shard.0))];
        let Some(row) = select::<_, OwnerRow, 2>(conn, ShardOwner, key)?.into_iter().next() else { continue };
        let (writer, after_writer, after_seq, alive, last_seq) = row;
        let state = alive.map(|alive| (alive == 1, last_seq.unwrap_or(0)));
        let owner = decode::owner(writer, (after_writer, after_seq), state);
        stored.owners.insert((*role, *shard), owner);
    }
    for order in &needs.awaited {
        if !select::<_, Id, 2>(conn, IsKnown, [Value::id(&order.0), Value::id(&order.0)])?.is_empty() {
            stored.known.insert(*order);
        }
    }
    for order in &needs.copied {
        let held = select::<_, (i64, i64, Vec<u8>), 1>(conn, HeldEvents, [Value::id(&order.0)])?;
        let event = |(shard, at, data): (i64, i64, Vec<u8>)| decode::event::<SqliteColumns>(*order, (shard, at), &data, None);
        stored.held.insert(*order, held.into_iter().map(event).collect::<Result<_, Failure>>()?);
    }
    Ok(stored)
}

/// Writes what has changed.
pub(super) fn flush(conn: &mut SqliteConnection, cluster: &Cluster<'_>, writer: i64) -> Result<(), Failure> {
    for (role, shard, handed) in cluster.handed() {
        let (role, shard) = (Value::Text(role.name()), Value::Int(i64::from(shard.0)));
        match handed {
            Handed::Taken => run(conn, TakeShard, [Value::Int(writer), role, shard])?,
            Handed::Left(last_seq) => run(conn, GiveShard, [Value::Int(writer), Value::Int(last_seq), role, shard])?,
        };
    }
    for (log, seq) in cluster.published() {
        run(conn, MovePublished, [Value::Int(seq), Value::Int(log.0)])?;
    }
    let consumed: Vec<_> = cluster
        .consumed()
        .map(|(role, topic, partition, next)| {
            [Value::Text(role.name()), Value::Text(topic), Value::Int(i64::from(partition)), Value::Int(next)]
        })
        .collect();
    insert(conn, PutConsumed, &consumed)?;
    for order in cluster.copies() {
        let details = Value::Bytes(codec::encode_order(order).map_err(Failure::codec("an order"))?);
        let shard = Value::Int(i64::from(order.shard.0));
        insert(conn, KnowOrder, &[[Value::id(&order.id.0), shard, Value::Int(order.created_at.0), details]])?;
    }
    for order in cluster.told() {
        run(conn, DropHeld, [Value::id(&order.0)])?;
    }
    for event in cluster.waiting() {
        let data = Value::Bytes(codec::encode_event(event).map_err(Failure::codec("an event"))?);
        let (kind, shard) = (Value::Int(i64::from(event.kind().number())), Value::Int(i64::from(event.shard.0)));
        insert(conn, HoldEvent, &[[Value::id(&event.order.0), kind, shard, Value::Int(event.at.0), data]])?;
    }
    Ok(())
}

/// An order as it was placed: its owner's or a copy.
pub(super) fn known_order(conn: &mut SqliteConnection, id: OrderId) -> Result<Option<std::sync::Arc<Order>>, Failure> {
    let found = select::<_, Vec<u8>, 2>(conn, KnownOrder, [Value::id(&id.0), Value::id(&id.0)])?;
    found.first().map(|details| decode::placed(details)).transpose()
}
