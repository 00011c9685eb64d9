//! Reading dead letters.

use super::error::Failure;
use super::rows::SqliteColumns;
use super::statement::{Id, Sql, Value, among, select, sql};
use crate::db::decode;
use crate::db::read::{DeadLetterFilter, DeadLetterGroup, DeadLetterPlace, Page};
use crate::domain::{DeadLetter, DeadLetterId, DeadLetterState, OrderId, Timestamp};
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use diesel::sqlite::SqliteConnection;
use std::collections::HashMap;

type DeadLetterTypes =
    ((Binary, Text, Text, Nullable<Binary>, Nullable<BigInt>, Text, Text), (Text, BigInt, Text, BigInt, Nullable<BigInt>, Nullable<Text>));
type DeadLetterRow = decode::LetterRow<SqliteColumns>;

sql!(
    OneLetter,
    "SELECT id, kind, role, order_id, shard, step, cause, detail, tries, state, created_at, closed_at, origin \
     FROM dead_letters WHERE id = ?" => DeadLetterTypes
);
/// A list of letters: of what one index finds, newest first, what passes the filter; and how far a page may look.
macro_rules! letter_list {
    ($name:ident, $end:ident, $where:literal) => {
        sql!(
            $name,
            concat!(
                "SELECT id, kind, role, order_id, shard, step, cause, detail, tries, state, created_at, closed_at, origin \
                 FROM dead_letters WHERE ",
                $where,
                " AND (created_at, id) < (?, ?) AND (created_at, id) >= (?, ?) \
                 AND state = coalesce(?, state) AND kind = coalesce(?, kind) AND cause = coalesce(?, cause) \
                 AND step = coalesce(?, step) \
                 ORDER BY created_at DESC, id DESC LIMIT ?"
            ) => DeadLetterTypes
        );
        sql!(
            $end,
            concat!(
                "SELECT created_at, id FROM dead_letters WHERE ",
                $where,
                " AND (created_at, id) < (?, ?) ORDER BY created_at DESC, id DESC LIMIT 1 OFFSET ?"
            ) => (BigInt, Binary)
        );
    };
}
letter_list!(LettersByTime, EndByTime, "? IS NULL");
letter_list!(LettersOpen, EndOpen, "state = 'OPEN' AND ? IS NULL");
letter_list!(LettersOfOrder, EndOfOrder, "order_id = ?");

sql!(
    Groups,
    "SELECT kind, cause, step, count(*), min(created_at), max(created_at) FROM dead_letters WHERE state = 'OPEN' \
     GROUP BY kind, cause, step ORDER BY count(*) DESC, kind, cause, step" => (Text, Text, Text, BigInt, BigInt, BigInt)
);

sql!(
    /// By the order's index, not by the kind's: the plus rules that one out.
    StepsAmong,
    "SELECT id, kind, role, order_id, shard, step, cause, detail, tries, state, created_at, closed_at, origin \
     FROM dead_letters WHERE state = 'OPEN' AND +kind = 'STEP' AND order_id IN " => DeadLetterTypes
);

/// The open letters about steps of these orders, in the order of their ids.
pub(super) fn open_steps_among(conn: &mut SqliteConnection, keys: &[&[u8]]) -> Result<HashMap<OrderId, Vec<DeadLetter>>, Failure> {
    let rows = among::<_, DeadLetterRow>(conn, StepsAmong, keys)?;
    let mut letters = rows.into_iter().map(decode::letter::<SqliteColumns>).collect::<Result<Vec<_>, Failure>>()?;
    letters.sort_by_key(|letter| letter.id);
    Ok(DeadLetter::by_order(letters))
}

pub(super) fn one(conn: &mut SqliteConnection, id: DeadLetterId) -> Result<Option<DeadLetter>, Failure> {
    select::<_, DeadLetterRow, 1>(conn, OneLetter, [Value::id(&id.0)])?.into_iter().next().map(decode::letter::<SqliteColumns>).transpose()
}

/// See [`DeadLetterFilter`].
pub(super) fn list(conn: &mut SqliteConnection, filter: &DeadLetterFilter) -> Result<Page<DeadLetter, DeadLetterPlace>, Failure> {
    match (filter.order, filter.state) {
        (Some(_), _) => list_by(conn, (LettersOfOrder, EndOfOrder), filter),
        (None, Some(DeadLetterState::Open)) => list_by(conn, (LettersOpen, EndOpen), filter),
        (None, _) => list_by(conn, (LettersByTime, EndByTime), filter),
    }
}

fn list_by<L: Sql<Row = DeadLetterTypes>, E: Sql<Row = (BigInt, Binary)>>(
    conn: &mut SqliteConnection,
    (list, end): (L, E),
    filter: &DeadLetterFilter,
) -> Result<Page<DeadLetter, DeadLetterPlace>, Failure> {
    let order = || filter.order.as_ref().map_or(Value::Null, |order| Value::id(&order.0));
    let (before, before_id) = filter.before.map_or((i64::MAX, uuid::Uuid::max()), |(at, id)| (at.0, id.0));
    let mut last = None;
    if !filter.passes_all() {
        // Asked first: what is newer than that is not behind it.
        let values = [order(), Value::Int(before), Value::id(&before_id), Value::Int(filter.scan.before_last())];
        last = select::<_, (i64, Id), 4>(conn, end, values)?.pop().map(|(at, Id(id))| (Timestamp(at), DeadLetterId(id)));
    }
    let (lowest, lowest_id) = last.map_or((i64::MIN, uuid::Uuid::nil()), |(at, id)| (at.0, id.0));
    let values = [
        order(),
        Value::Int(before),
        Value::id(&before_id),
        Value::Int(lowest),
        Value::id(&lowest_id),
        filter.state.map_or(Value::Null, |state| Value::Text(state.name())),
        filter.kind.map_or(Value::Null, |kind| Value::Text(kind.name())),
        Value::text_or_null(filter.cause.as_deref()),
        Value::text_or_null(filter.step.as_deref()),
        Value::Int(i64::from(filter.limit) + 1),
    ];
    let rows = select::<_, DeadLetterRow, 10>(conn, list, values)?
        .into_iter()
        .map(decode::letter::<SqliteColumns>)
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Page::of(rows, filter.limit, last, |letter| (letter.created_at, letter.id)))
}

pub(super) fn groups(conn: &mut SqliteConnection) -> Result<Vec<DeadLetterGroup>, Failure> {
    let rows = select::<_, decode::GroupRow<SqliteColumns>, 0>(conn, Groups, [])?;
    rows.into_iter().map(decode::group::<SqliteColumns>).collect()
}
