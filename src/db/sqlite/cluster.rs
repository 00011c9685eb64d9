//! What nodes tell each other through the database: whose a shard is, who lives, what is published, and what a node that hosts
//! some roles only must keep of orders whose owner is elsewhere.

use super::batch::Log;
use super::error::Failure;
use super::rows;
use super::statement::{Id, Value, insert, run, select, sql};
use crate::db::codec::{self, EventColumns};
use crate::db::write::Outcome;
use crate::domain::{Event, Marker, Order, OrderId, Role, Shard, Timestamp, WriterId};
use diesel::sql_types::{BigInt, Binary, Nullable};
use diesel::sqlite::SqliteConnection;

sql!(MovePublished, "UPDATE writers SET published_seq = max(published_seq, ?) WHERE writer = ?");
sql!(
    ClaimLog,
    "UPDATE writers SET publisher = ?, publish_until = CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000 + ? \
     WHERE writer = ? AND alive = 0 \
     AND (publisher IS NULL OR publisher = ? OR publish_until < CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000)"
);
sql!(
    EndExpired,
    "UPDATE writers SET alive = 0 WHERE alive = 1 AND writer <> ? AND lease_until < CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000"
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
sql!(GiveShard, "UPDATE shards SET writer = NULL, after_writer = ?, after_seq = ? WHERE role = ? AND shard = ? AND writer = ?");

pub(super) fn published(conn: &mut SqliteConnection, writer: WriterId, seq: i64) -> Result<Outcome, Failure> {
    run(conn, MovePublished, [Value::Int(seq), Value::Int(writer.0)])?;
    Ok(Outcome::Done)
}

pub(super) fn claim_log(conn: &mut SqliteConnection, writer: WriterId, by: WriterId, lease_ms: u64) -> Result<Outcome, Failure> {
    let lease = Value::Int(i64::try_from(lease_ms).unwrap_or(i64::MAX).saturating_mul(1000));
    let claimed = run(conn, ClaimLog, [Value::Int(by.0), lease, Value::Int(writer.0), Value::Int(by.0)])?;
    Ok(if claimed == 1 { Outcome::Done } else { Outcome::Missing })
}

pub(super) fn end_expired(conn: &mut SqliteConnection, own: WriterId) -> Result<Outcome, Failure> {
    run(conn, EndExpired, [Value::Int(own.0)])?;
    Ok(Outcome::Done)
}

/// Returns the events that waited for the order.
pub(super) fn know_order(conn: &mut SqliteConnection, order: &Order) -> Result<Vec<Event>, Failure> {
    let details = Value::Bytes(codec::encode_order(order).map_err(Failure::codec("an order"))?);
    let shard = Value::Int(i64::from(order.shard.0));
    insert(conn, KnowOrder, &[[Value::id(&order.id.0), shard, Value::Int(order.created_at.0), details]])?;
    let held = select::<_, (i64, i64, Vec<u8>), 1>(conn, HeldEvents, [Value::id(&order.id.0)])?;
    if !held.is_empty() {
        run(conn, DropHeld, [Value::id(&order.id.0)])?;
    }
    let event = |(shard, at, data): (i64, i64, Vec<u8>)| {
        let columns = EventColumns { order: order.id, shard: rows::shard(shard)?, at: Timestamp(at) };
        codec::decode_event(columns, &data, None).map_err(Failure::codec("an event"))
    };
    held.into_iter().map(event).collect()
}

pub(super) fn hold_event(conn: &mut SqliteConnection, event: &Event) -> Result<Outcome, Failure> {
    if !select::<_, Id, 2>(conn, IsKnown, [Value::id(&event.order.0), Value::id(&event.order.0)])?.is_empty() {
        return Ok(Outcome::Repeated(vec![event.clone()]));
    }
    let data = Value::Bytes(codec::encode_event(event).map_err(Failure::codec("an event"))?);
    let (kind, shard) = (Value::Int(i64::from(event.kind().number())), Value::Int(i64::from(event.shard.0)));
    insert(conn, HoldEvent, &[[Value::id(&event.order.0), kind, shard, Value::Int(event.at.0), data]])?;
    Ok(Outcome::Done)
}

/// An order as it was placed: its owner's or a copy.
pub(super) fn known_order(conn: &mut SqliteConnection, id: OrderId) -> Result<Option<std::sync::Arc<Order>>, Failure> {
    let found = select::<_, Vec<u8>, 2>(conn, KnownOrder, [Value::id(&id.0), Value::id(&id.0)])?;
    found.first().map(|details| codec::decode_order(details).map_err(Failure::codec("an order"))).transpose()
}

type OwnerRow = (Option<i64>, Option<i64>, Option<i64>, Option<i64>, Option<i64>);

/// Takes what is free or was a dead writer's; what this writer has already, or another that is alive, is passed over.
pub(super) fn take_shards(
    conn: &mut SqliteConnection,
    writer: WriterId,
    roles: &[Role],
    shards: &[Shard],
    log: &mut Log,
) -> Result<Vec<Marker>, Failure> {
    let mut taken = Vec::new();
    for &role in roles {
        for &shard in shards {
            let key = || [Value::Text(role.name()), Value::Int(i64::from(shard.0))];
            let Some(row) = select::<_, OwnerRow, 2>(conn, ShardOwner, key())?.into_iter().next() else { continue };
            let after = match row {
                (Some(_), _, _, Some(1), _) => continue,
                (Some(owner), _, _, _, last_seq) => Some((WriterId(owner), last_seq.unwrap_or(0))),
                (None, Some(before), Some(seq), _, _) => Some((WriterId(before), seq)),
                (None, _, _, _, _) => None,
            };
            let [role_name, number] = key();
            run(conn, TakeShard, [Value::Int(writer.0), role_name, number])?;
            let marker = Marker { role, shard, after };
            log.mark(marker);
            taken.push(marker);
        }
    }
    Ok(taken)
}

pub(super) fn release_shards(
    conn: &mut SqliteConnection,
    writer: WriterId,
    roles: &[Role],
    shards: &[Shard],
    last_seq: i64,
) -> Result<(), Failure> {
    for role in roles {
        for shard in shards {
            let number = Value::Int(i64::from(shard.0));
            run(conn, GiveShard, [Value::Int(writer.0), Value::Int(last_seq), Value::Text(role.name()), number, Value::Int(writer.0)])?;
        }
    }
    Ok(())
}
