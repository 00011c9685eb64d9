//! Statements that are prepared once for a connection. Diesel keeps a prepared statement when its type names its text; so each
//! statement has a type here. Values are owned, so that a statement can be sent from the database's own threads.

use diesel::deserialize::FromSqlRow;
use diesel::pg::Pg;
use diesel::pg::data_types::PgTimestamp;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::{Error, QueryResult};
use diesel::sql_types::{
    Array, BigInt, Binary, Bool, Integer, Nullable, Numeric, SmallInt, Text, Timestamp as SqlTimestamp, Timestamptz, Uuid as SqlUuid,
};
use diesel_async::{AsyncConnectionCore, AsyncPgConnection};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use rust_decimal::Decimal;
use std::marker::PhantomData;
use uuid::Uuid;

use crate::domain::{Money, Timestamp};

/// A statement's text, under a type that names it in the cache.
pub(super) trait Sql: Send + 'static {
    /// The text, a `?` for each value.
    const TEXT: &'static str;
    /// The types of a row of the answer; `()` when there is none.
    type Row: 'static;
}

/// Declares a statement's name, text and answer.
macro_rules! sql {
    ($(#[$doc:meta])* $name:ident, $text:expr) => { sql!($(#[$doc])* $name, $text => ()); };
    ($(#[$doc:meta])* $name:ident, $text:expr => $row:ty) => {
        $(#[$doc])*
        pub(super) struct $name;
        impl $crate::db::postgres::statement::Sql for $name {
            const TEXT: &'static str = $text;
            type Row = $row;
        }
    };
}
pub(super) use sql;

/// A value of a statement; the plural ones are arrays, a column of many rows each.
pub(super) enum Value {
    Id(Uuid),
    IdOrNull(Option<Uuid>),
    Ids(Vec<Uuid>),
    IdsOrNull(Vec<Option<Uuid>>),
    Int(i64),
    Ints(Vec<i64>),
    Int4(i32),
    Int4s(Vec<i32>),
    Int2s(Vec<i16>),
    Int2sOrNull(Vec<Option<i16>>),
    Bools(Vec<bool>),
    Text(String),
    TextOrNull(Option<String>),
    Names(Vec<&'static str>),
    Texts(Vec<String>),
    TextsOrNull(Vec<Option<String>>),
    Blobs(Vec<Vec<u8>>),
    BlobsOrNull(Vec<Option<Vec<u8>>>),
    Time(Time),
    Times(Vec<Time>),
    Stamp(Time),
    /// Of `TIMESTAMP` columns, which know no time zone.
    Stamps(Vec<Time>),
    TimesOrNull(Vec<Option<Time>>),
    Amounts(Vec<Decimal>),
}

impl Value {
    fn push<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        match self {
            Self::Id(value) => out.push_bind_param::<SqlUuid, Uuid>(value),
            Self::IdOrNull(value) => out.push_bind_param::<Nullable<SqlUuid>, Option<Uuid>>(value),
            Self::Ids(values) => out.push_bind_param::<Array<SqlUuid>, Vec<Uuid>>(values),
            Self::IdsOrNull(values) => out.push_bind_param::<Array<Nullable<SqlUuid>>, Vec<Option<Uuid>>>(values),
            Self::Int(value) => out.push_bind_param::<BigInt, i64>(value),
            Self::Ints(values) => out.push_bind_param::<Array<BigInt>, Vec<i64>>(values),
            Self::Int4(value) => out.push_bind_param::<Integer, i32>(value),
            Self::Int4s(values) => out.push_bind_param::<Array<Integer>, Vec<i32>>(values),
            Self::Int2s(values) => out.push_bind_param::<Array<SmallInt>, Vec<i16>>(values),
            Self::Int2sOrNull(values) => out.push_bind_param::<Array<Nullable<SmallInt>>, Vec<Option<i16>>>(values),
            Self::Bools(values) => out.push_bind_param::<Array<Bool>, Vec<bool>>(values),
            Self::Text(value) => out.push_bind_param::<Text, String>(value),
            Self::TextOrNull(value) => out.push_bind_param::<Nullable<Text>, Option<String>>(value),
            Self::Names(values) => out.push_bind_param::<Array<Text>, Vec<&'static str>>(values),
            Self::Texts(values) => out.push_bind_param::<Array<Text>, Vec<String>>(values),
            Self::TextsOrNull(values) => out.push_bind_param::<Array<Nullable<Text>>, Vec<Option<String>>>(values),
            Self::Blobs(values) => out.push_bind_param::<Array<Binary>, Vec<Vec<u8>>>(values),
            Self::BlobsOrNull(values) => out.push_bind_param::<Array<Nullable<Binary>>, Vec<Option<Vec<u8>>>>(values),
            Self::Time(value) => out.push_bind_param::<Timestamptz, Time>(value),
            Self::Times(values) => out.push_bind_param::<Array<Timestamptz>, Vec<Time>>(values),
            Self::Stamp(value) => out.push_bind_param::<SqlTimestamp, Time>(value),
            Self::Stamps(values) => out.push_bind_param::<Array<SqlTimestamp>, Vec<Time>>(values),
            Self::TimesOrNull(values) => out.push_bind_param::<Array<Nullable<Timestamptz>>, Vec<Option<Time>>>(values),
            Self::Amounts(values) => out.push_bind_param::<Array<Numeric>, Vec<Decimal>>(values),
        }
    }
}

/// A point in time as PostgreSQL keeps it. Of `TIMESTAMP` columns it is UTC: every session's time zone is.
pub(super) type Time = PgTimestamp;

/// 2000-01-01, from which PostgreSQL counts, in microseconds from 1970.
const EPOCH_US: i64 = 946_684_800_000_000;
/// PostgreSQL's last microsecond; what is later is `infinity`.
const LAST_US: i64 = 9_223_371_331_199_999_999;
/// PostgreSQL's first microsecond; what is earlier is `-infinity`.
const FIRST_US: i64 = -211_813_488_000_000_000;

/// As PostgreSQL keeps it.
pub(super) fn time(at: Timestamp) -> Time {
    PgTimestamp(match at.0.saturating_sub(EPOCH_US) {
        late if late > LAST_US => i64::MAX,
        early if early < FIRST_US => i64::MIN,
        us => us,
    })
}

/// What [`time`] made.
pub(super) fn timestamp(PgTimestamp(us): Time) -> Timestamp {
    Timestamp(us.saturating_add(EPOCH_US))
}

/// An amount as PostgreSQL keeps it.
pub(super) fn amount(money: Money) -> Decimal {
    Decimal::new(money.minor(), 2)
}

/// A whole statement with its values.
pub(super) struct Fixed<S, const N: usize>([Value; N], PhantomData<S>);

impl<S: Sql, const N: usize> QueryId for Fixed<S, N> {
    type QueryId = Fixed<S, N>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<S: Sql, const N: usize> QueryFragment<Pg> for Fixed<S, N> {
    fn is_safe_to_cache_prepared(&self, _: &Pg) -> QueryResult<bool> {
        Ok(true)
    }

    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut parts = S::TEXT.split('?');
        out.push_sql(parts.next().unwrap_or_default());
        for (part, value) in parts.zip(&self.0) {
            value.push(&mut out)?;
            out.push_sql(part);
        }
        Ok(())
    }
}

impl<S: Sql, const N: usize> Query for Fixed<S, N> {
    type SqlType = S::Row;
}

/// Runs a statement; the answer is the number of rows that it changed. Sent when it is first polled: several that are polled
/// together, in order, are one round trip.
pub(super) fn run<'c, S: Sql, const N: usize>(
    mut conn: &'c AsyncPgConnection,
    _: S,
    values: [Value; N],
) -> BoxFuture<'c, QueryResult<usize>> {
    conn.execute_returning_count(Fixed::<S, N>(values, PhantomData))
}

/// Runs a query; see [`run`].
pub(super) fn select<'c, S: Sql, T, const N: usize>(
    mut conn: &'c AsyncPgConnection,
    _: S,
    values: [Value; N],
) -> BoxFuture<'c, QueryResult<Vec<T>>>
where
    T: FromSqlRow<S::Row, Pg> + Send + 'static,
{
    let asked = AsyncConnectionCore::load(&mut conn, Fixed::<S, N>(values, PhantomData));
    Box::pin(async move {
        let mut rows = asked.await?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().await {
            found.push(T::build_from_row(&row?).map_err(Error::DeserializationError)?);
        }
        Ok(found)
    })
}
