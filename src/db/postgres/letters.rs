//! The desk of dead letters, as readers see it.

use super::error::Failure;
use super::rows;
use super::statement::{Time, Value, select, sql, time, timestamp};
use crate::db::read::{LetterFilter, LetterGroup};
use crate::domain::{DeadLetter, LetterId, LetterKind, LetterState, OrderId, Timestamp};
use diesel::sql_types::{BigInt, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::AsyncPgConnection;
use uuid::Uuid;

/// A filter that few letters pass looks at so many at most; then the page is what was found until there.
const SCAN_LIMIT: i64 = 10_000_000;

type LetterTypes = (
    (SqlUuid, Text, Text, Nullable<SqlUuid>, Nullable<SmallInt>, Text, Text),
    (Text, Integer, Text, Timestamptz, Nullable<Timestamptz>, Nullable<Text>),
);
type LetterRow =
    ((Uuid, String, String, Option<Uuid>, Option<i16>, String, String), (String, i32, String, Time, Option<Time>, Option<String>));

sql!(
    OneLetter,
    "SELECT id, kind, role, order_id, shard, step, cause, detail, tries, state, created_at, closed_at, origin \
     FROM dead_letters WHERE id = ?" => LetterTypes
);
sql!(
    LettersByTime,
    "SELECT id, kind, role, order_id, shard, step, cause, detail, tries, state, created_at, closed_at, origin FROM (\
     SELECT * FROM dead_letters WHERE (created_at, id) < (?, ?) ORDER BY created_at DESC, id DESC LIMIT ?) found \
     WHERE state = coalesce(?, state) AND kind = coalesce(?, kind) AND cause = coalesce(?, cause) \
     ORDER BY created_at DESC, id DESC LIMIT ?" => LetterTypes
);
sql!(
    LettersOfOrder,
    "SELECT id, kind, role, order_id, shard, step, cause, detail, tries, state, created_at, closed_at, origin \
     FROM dead_letters WHERE order_id = ? AND (created_at, id) < (?, ?) \
     AND state = coalesce(?, state) AND kind = coalesce(?, kind) AND cause = coalesce(?, cause) \
     ORDER BY created_at DESC, id DESC LIMIT ?" => LetterTypes
);
sql!(
    Groups,
    "SELECT kind, cause, step, count(*), min(created_at) FROM dead_letters WHERE state = 'OPEN' \
     GROUP BY kind, cause, step ORDER BY count(*) DESC, kind, cause, step" => (Text, Text, Text, BigInt, Timestamptz)
);

fn letter(row: LetterRow) -> Result<DeadLetter, Failure> {
    let ((id, kind, role, order, shard, step, cause), (detail, tries, state, created_at, closed_at, origin)) = row;
    Ok(DeadLetter {
        id: LetterId(id),
        kind: letter_kind(&kind)?,
        role: rows::role(&role)?,
        order: order.map(OrderId),
        shard: shard.map(rows::shard).transpose()?,
        step: rows::text(&step)?,
        cause: rows::text(&cause)?,
        detail: rows::text(&detail)?,
        tries: rows::count(tries)?,
        state: LetterState::from_name(&state).ok_or(Failure::Column("a letter's state"))?,
        created_at: timestamp(created_at),
        closed_at: closed_at.map(timestamp),
        origin,
    })
}

fn letter_kind(name: &str) -> Result<LetterKind, Failure> {
    LetterKind::from_name(name).ok_or(Failure::Column("a letter's kind"))
}

pub(super) async fn one(conn: &AsyncPgConnection, id: LetterId) -> Result<Option<DeadLetter>, Failure> {
    let rows: Vec<LetterRow> = select(conn, OneLetter, [Value::Id(id.0)]).await?;
    rows.into_iter().next().map(letter).transpose()
}

/// See [`LetterFilter`]. Where a filter lets few of many letters through, the page ends at [`SCAN_LIMIT`] letters looked at.
pub(super) async fn list(conn: &AsyncPgConnection, filter: LetterFilter) -> Result<Vec<DeadLetter>, Failure> {
    let (at, id) = filter.before.map_or((Timestamp(i64::MAX), Uuid::max()), |(at, id)| (at, id.0));
    let (at, last) = (Value::Time(time(at)), Value::Id(id));
    let state = Value::TextOrNull(filter.state.map(|state| state.name().to_owned()));
    let kind = Value::TextOrNull(filter.kind.map(|kind| kind.name().to_owned()));
    let cause = Value::TextOrNull(filter.cause);
    let limit = i64::from(filter.limit);
    let rows: Vec<LetterRow> = match filter.order {
        Some(order) => select(conn, LettersOfOrder, [Value::Id(order.0), at, last, state, kind, cause, Value::Int(limit)]).await?,
        None => {
            let values = [at, last, Value::Int(SCAN_LIMIT.max(limit)), state, kind, cause, Value::Int(limit)];
            select(conn, LettersByTime, values).await?
        }
    };
    rows.into_iter().map(letter).collect()
}

pub(super) async fn groups(conn: &AsyncPgConnection) -> Result<Vec<LetterGroup>, Failure> {
    let rows: Vec<(String, String, String, i64, Time)> = select(conn, Groups, []).await?;
    rows.into_iter()
        .map(|(kind, cause, step, count, oldest)| {
            let count = u64::try_from(count).unwrap_or(0);
            Ok(LetterGroup { kind: letter_kind(&kind)?, cause, step, count, oldest: timestamp(oldest) })
        })
        .collect()
}
