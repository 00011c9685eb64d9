//! The desk of dead letters, as readers see it.

use super::error::Failure;
use super::rows;
use super::statement::{Id, Value, select, sql};
use crate::db::read::{LetterFilter, LetterGroup};
use crate::domain::{DeadLetter, LetterId, LetterKind, LetterState, OrderId, Role, Timestamp};
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use diesel::sqlite::SqliteConnection;

/// A filter that few letters pass looks at so many at most; then the page is what was found until there.
const SCAN_LIMIT: i64 = 10_000_000;

type LetterTypes =
    (Binary, Text, Text, Nullable<Binary>, Nullable<BigInt>, Text, Text, Text, BigInt, Text, BigInt, Nullable<BigInt>, Nullable<Text>);
type LetterRow = (Id, String, String, Option<Id>, Option<i64>, String, String, String, i64, String, i64, Option<i64>, Option<String>);

sql!(
    OneLetter,
    "SELECT id, kind, role, order_id, shard, step, cause, detail, tries, state, created_at, closed_at, origin \
     FROM dead_letters WHERE id = ?" => LetterTypes
);
sql!(
    LettersByTime,
    "SELECT id, kind, role, order_id, shard, step, cause, detail, tries, state, created_at, closed_at, origin FROM (\
     SELECT * FROM dead_letters WHERE (created_at, id) < (?, ?) ORDER BY created_at DESC, id DESC LIMIT ?) \
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
     GROUP BY kind, cause, step ORDER BY count(*) DESC, kind, cause, step" => (Text, Text, Text, BigInt, BigInt)
);

fn letter(row: LetterRow) -> Result<DeadLetter, Failure> {
    let (Id(id), kind, role, order, shard, step, cause, detail, tries, state, created_at, closed_at, origin) = row;
    Ok(DeadLetter {
        id: LetterId(id),
        kind: letter_kind(&kind)?,
        role: Role::from_name(&role).ok_or(Failure::Column("a role"))?,
        order: order.map(|Id(id)| OrderId(id)),
        shard: shard.map(rows::shard).transpose()?,
        step: rows::text(&step)?,
        cause: rows::text(&cause)?,
        detail: rows::text(&detail)?,
        tries: rows::count(tries)?,
        state: LetterState::from_name(&state).ok_or(Failure::Column("a letter's state"))?,
        created_at: Timestamp(created_at),
        closed_at: closed_at.map(Timestamp),
        origin,
    })
}

fn letter_kind(name: &str) -> Result<LetterKind, Failure> {
    LetterKind::from_name(name).ok_or(Failure::Column("a letter's kind"))
}

pub(super) fn one(conn: &mut SqliteConnection, id: LetterId) -> Result<Option<DeadLetter>, Failure> {
    select::<_, LetterRow, 1>(conn, OneLetter, [Value::id(&id.0)])?.into_iter().next().map(letter).transpose()
}

/// See [`LetterFilter`]. Where a filter lets few of many letters through, the page ends at [`SCAN_LIMIT`] letters looked at.
pub(super) fn list(conn: &mut SqliteConnection, filter: &LetterFilter) -> Result<Vec<DeadLetter>, Failure> {
    let (time, id) = filter.before.map_or((i64::MAX, uuid::Uuid::max()), |(at, id)| (at.0, id.0));
    let state = filter.state.map_or(Value::Null, |state| Value::Text(state.name()));
    let kind = filter.kind.map_or(Value::Null, |kind| Value::Text(kind.name()));
    let cause = Value::text_or_null(filter.cause.as_deref());
    let limit = i64::from(filter.limit);
    let (time, last) = (Value::Int(time), Value::id(&id));
    let rows: Vec<LetterRow> = match &filter.order {
        Some(order) => {
            let values = [Value::id(&order.0), time, last, state, kind, cause, Value::Int(limit)];
            select::<_, LetterRow, 7>(conn, LettersOfOrder, values)?
        }
        None => {
            let values = [time, last, Value::Int(SCAN_LIMIT.max(limit)), state, kind, cause, Value::Int(limit)];
            select::<_, LetterRow, 7>(conn, LettersByTime, values)?
        }
    };
    rows.into_iter().map(letter).collect()
}

pub(super) fn groups(conn: &mut SqliteConnection) -> Result<Vec<LetterGroup>, Failure> {
    select::<_, (String, String, String, i64, i64), 0>(conn, Groups, [])?
        .into_iter()
        .map(|(kind, cause, step, count, oldest)| {
            let count = u64::try_from(count).unwrap_or(0);
            Ok(LetterGroup { kind: letter_kind(&kind)?, cause, step, count, oldest: Timestamp(oldest) })
        })
        .collect()
}
