//! Reading dead letters.

use super::error::Failure;
use super::rows::PgColumns;
use super::statement::{Sql, Time, Value, select, sql, time, timestamp};
use crate::db::decode;
use crate::db::read::{DeadLetterFilter, DeadLetterGroup, DeadLetterPlace, Page};
use crate::domain::{DeadLetter, DeadLetterId, DeadLetterState, OrderId, Timestamp};
use diesel::sql_types::{BigInt, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::AsyncPgConnection;
use std::collections::HashMap;
use uuid::Uuid;

type DeadLetterTypes = (
    (SqlUuid, Text, Text, Nullable<SqlUuid>, Nullable<SmallInt>, Text, Text),
    (Text, Integer, Text, Timestamptz, Nullable<Timestamptz>, Nullable<Text>),
);
type DeadLetterRow = decode::LetterRow<PgColumns>;

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
            ) => (Timestamptz, SqlUuid)
        );
    };
}
letter_list!(LettersByTime, EndByTime, "?::uuid IS NULL");
letter_list!(LettersOpen, EndOpen, "state = 'OPEN' AND ?::uuid IS NULL");
letter_list!(LettersOfOrder, EndOfOrder, "order_id = ?");

sql!(
    Groups,
    "SELECT kind, cause, step, count(*), min(created_at), max(created_at) FROM dead_letters WHERE state = 'OPEN' \
     GROUP BY kind, cause, step ORDER BY count(*) DESC, kind, cause, step" => (Text, Text, Text, BigInt, Timestamptz, Timestamptz)
);

sql!(
    StepsAmong,
    "SELECT id, kind, role, order_id, shard, step, cause, detail, tries, state, created_at, closed_at, origin \
     FROM dead_letters WHERE state = 'OPEN' AND kind = 'STEP' AND order_id = ANY(?) ORDER BY id" => DeadLetterTypes
);

/// The open letters about steps of these orders, in the order of their ids.
pub(super) async fn open_steps_among(conn: &AsyncPgConnection, orders: Vec<Uuid>) -> Result<HashMap<OrderId, Vec<DeadLetter>>, Failure> {
    let rows: Vec<DeadLetterRow> = select(conn, StepsAmong, [Value::Ids(orders)]).await?;
    Ok(DeadLetter::by_order(rows.into_iter().map(decode::letter::<PgColumns>).collect::<Result<Vec<_>, _>>()?))
}

pub(super) async fn one(conn: &AsyncPgConnection, id: DeadLetterId) -> Result<Option<DeadLetter>, Failure> {
    let rows: Vec<DeadLetterRow> = select(conn, OneLetter, [Value::Id(id.0)]).await?;
    rows.into_iter().next().map(decode::letter::<PgColumns>).transpose()
}

/// See [`DeadLetterFilter`].
pub(super) async fn list(conn: &AsyncPgConnection, filter: DeadLetterFilter) -> Result<Page<DeadLetter, DeadLetterPlace>, Failure> {
    match (filter.order, filter.state) {
        (Some(_), _) => list_by(conn, (LettersOfOrder, EndOfOrder), filter).await,
        (None, Some(DeadLetterState::Open)) => list_by(conn, (LettersOpen, EndOpen), filter).await,
        (None, _) => list_by(conn, (LettersByTime, EndByTime), filter).await,
    }
}

async fn list_by<L: Sql<Row = DeadLetterTypes>, E: Sql<Row = (Timestamptz, SqlUuid)>>(
    conn: &AsyncPgConnection,
    (list, end): (L, E),
    filter: DeadLetterFilter,
) -> Result<Page<DeadLetter, DeadLetterPlace>, Failure> {
    let order = || Value::IdOrNull(filter.order.map(|order| order.0));
    let (before, before_id) = filter.before.map_or((Timestamp(i64::MAX), Uuid::max()), |(at, id)| (at, id.0));
    let mut last = None;
    if !filter.passes_all() {
        // Asked first: what is newer than that is not behind it.
        let values = [order(), Value::Time(time(before)), Value::Id(before_id), Value::Int(filter.scan.before_last())];
        let places: Vec<(Time, Uuid)> = select(conn, end, values).await?;
        last = places.first().map(|(at, id)| (timestamp(*at), DeadLetterId(*id)));
    }
    let (lowest, lowest_id) = last.map_or((Timestamp(i64::MIN), Uuid::nil()), |(at, id)| (at, id.0));
    let values = [
        order(),
        Value::Time(time(before)),
        Value::Id(before_id),
        Value::Time(time(lowest)),
        Value::Id(lowest_id),
        Value::TextOrNull(filter.state.map(|state| state.name().to_owned())),
        Value::TextOrNull(filter.kind.map(|kind| kind.name().to_owned())),
        Value::TextOrNull(filter.cause.clone()),
        Value::TextOrNull(filter.step.clone()),
        Value::Int(i64::from(filter.limit) + 1),
    ];
    let rows: Vec<DeadLetterRow> = select(conn, list, values).await?;
    let rows = rows.into_iter().map(decode::letter::<PgColumns>).collect::<Result<Vec<_>, _>>()?;
    Ok(Page::of(rows, filter.limit, last, |letter| (letter.created_at, letter.id)))
}

pub(super) async fn groups(conn: &AsyncPgConnection) -> Result<Vec<DeadLetterGroup>, Failure> {
    let rows: Vec<decode::GroupRow<PgColumns>> = select(conn, Groups, []).await?;
    rows.into_iter().map(decode::group::<PgColumns>).collect()
}
