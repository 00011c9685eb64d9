//! Writers, and who owns which shard.

use super::{Columns, role, shard};
use crate::db::failure::Failure;
use crate::db::plan::Owner;
use crate::db::read::{ShardRow, WriterRow};
use crate::db::rows::{ConsumedPlace, Consumption};
use crate::domain::WriterId;

/// `writer, node, url, proof, roles, alive`, then `lease_until`, the rest of the lease in milliseconds, `commits, last_seq,
/// published_seq`, and who publishes the log now.
pub(in crate::db) type WriterColumns<C> =
    ((i64, String, String, String, String, <C as Columns>::Flag), (<C as Columns>::Time, i64, i64, i64, i64, Option<i64>));

/// A writer.
pub(in crate::db) fn writer<C: Columns>(row: WriterColumns<C>) -> Result<WriterRow, Failure> {
    let ((writer, node, url, proof, roles, alive), (lease, lease_left_ms, commits, last_seq, published_seq, publisher)) = row;
    Ok(WriterRow {
        writer: WriterId(writer),
        node,
        url,
        proof,
        roles: roles.split_terminator(',').map(role).collect::<Result<_, Failure>>()?,
        alive: C::is_set(alive),
        lease_until: C::time(lease),
        lease_left_ms,
        commits,
        last_seq,
        published_seq,
        publisher: publisher.map(WriterId),
    })
}

/// `role, shard, writer`.
pub(in crate::db) type ShardColumns<C> = (String, <C as Columns>::Small, Option<i64>);

/// All role shards, sorted.
pub(in crate::db) fn shard_rows<C: Columns>(rows: Vec<ShardColumns<C>>) -> Result<Vec<ShardRow>, Failure> {
    let row =
        |(name, number, writer): ShardColumns<C>| Ok(ShardRow { role: role(&name)?, shard: shard(number)?, writer: writer.map(WriterId) });
    let mut rows = rows.into_iter().map(row).collect::<Result<Vec<_>, Failure>>()?;
    rows.sort_unstable_by_key(|row| (row.role, row.shard));
    Ok(rows)
}

/// Whose a shard is: the columns `writer`, `after_writer` and `after_seq`, and of that writer whether it is alive and the end of its log.
/// A writer without a row is dead, and its log is empty.
pub(in crate::db) fn owner(writer: Option<i64>, after: (Option<i64>, Option<i64>), state: Option<(bool, i64)>) -> Owner {
    match (writer, after) {
        (Some(writer), _) => match state {
            Some((true, _)) => Owner::Alive(WriterId(writer)),
            Some((false, last_seq)) => Owner::Dead(WriterId(writer), last_seq),
            None => Owner::Dead(WriterId(writer), 0),
        },
        (None, (Some(before), Some(seq))) => Owner::Nobody(Some((WriterId(before), seq))),
        (None, _) => Owner::Nobody(None),
    }
}

/// `topic, partition, next`.
pub(in crate::db) type ConsumedRow<C> = (String, <C as Columns>::Count, i64);

/// How far a role is done: its rows, and how many marks there are that an earlier version used the database.
pub(in crate::db) fn consumption<C: Columns>(rows: Vec<ConsumedRow<C>>, upgraded: Vec<i64>) -> Result<Consumption, Failure> {
    let place = |(topic, partition, next): ConsumedRow<C>| {
        let partition = i32::try_from(partition.into()).map_err(|_| Failure::Column("a partition"))?;
        Ok(ConsumedPlace { topic, partition, next })
    };
    let places = rows.into_iter().map(place).collect::<Result<_, Failure>>()?;
    Ok(Consumption { places, is_upgraded: upgraded.into_iter().any(|marks| marks > 0) })
}
