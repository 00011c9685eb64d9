//! Statements that are prepared once. Diesel caches a prepared statement when its type names its text; its own batch inserts,
//! updates and upserts have no such type and would be prepared each time, so the statements of the hot path get one here.

use diesel::backend::Backend;
use diesel::connection::Connection;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::query_dsl::methods::LoadQuery;
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use diesel::sqlite::{Sqlite, SqliteConnection};
use diesel::{RunQueryDsl, expression::AsExpression};
use std::marker::PhantomData;
use uuid::Uuid;

/// A statement's text, under a type that names it in the cache.
pub(super) trait Sql: 'static {
    /// The text, a `?` for each value. Of inserts and lookups: up to the list of values.
    const TEXT: &'static str;
    /// What follows the list of values.
    const TAIL: &'static str = "";
    /// The types of a row of the answer; `()` when there is none.
    type Row: 'static;
}

/// Declares a statement's name, text and answer.
macro_rules! sql {
    ($(#[$doc:meta])* $name:ident, $text:expr) => { sql!($(#[$doc])* $name, $text, "" => ()); };
    ($(#[$doc:meta])* $name:ident, $text:expr => $row:ty) => { sql!($(#[$doc])* $name, $text, "" => $row); };
    ($(#[$doc:meta])* $name:ident, $text:expr, $tail:expr) => { sql!($(#[$doc])* $name, $text, $tail => ()); };
    ($(#[$doc:meta])* $name:ident, $text:expr, $tail:expr => $row:ty) => {
        $(#[$doc])*
        pub(super) struct $name;
        impl $crate::db::sqlite::statement::Sql for $name {
            const TEXT: &'static str = $text;
            const TAIL: &'static str = $tail;
            type Row = $row;
        }
    };
}
pub(super) use sql;

/// A value of a statement.
#[derive(Debug)]
pub(super) enum Value<'a> {
    Blob(&'a [u8]),
    Bytes(Vec<u8>),
    Text(&'a str),
    Int(i64),
    Null,
}

const NULL: Option<i64> = None;

impl<'a> Value<'a> {
    pub(super) fn id(id: &'a Uuid) -> Self {
        Self::Blob(id.as_bytes())
    }

    pub(super) fn text_or_null(text: Option<&'a str>) -> Self {
        text.map_or(Self::Null, Self::Text)
    }

    pub(super) fn int_or_null(number: Option<i64>) -> Self {
        number.map_or(Self::Null, Self::Int)
    }

    fn push<'b>(&'b self, out: &mut AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        match self {
            Self::Blob(bytes) => out.push_bind_param::<Binary, [u8]>(bytes),
            Self::Bytes(bytes) => out.push_bind_param::<Binary, [u8]>(bytes),
            Self::Text(text) => out.push_bind_param::<Text, str>(text),
            Self::Int(number) => out.push_bind_param::<BigInt, i64>(number),
            Self::Null => out.push_bind_param::<Nullable<BigInt>, Option<i64>>(&NULL),
        }
    }
}

/// Pushes `values`, a comma between them.
fn push_list<'b>(values: &'b [Value<'_>], out: &mut AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
    let mut comma = "";
    for value in values {
        out.push_sql(comma);
        value.push(out)?;
        comma = ",";
    }
    Ok(())
}

/// A whole statement with its values.
pub(super) struct Fixed<'a, S, const N: usize>([Value<'a>; N], PhantomData<S>);

impl<S: Sql, const N: usize> QueryId for Fixed<'_, S, N> {
    type QueryId = Fixed<'static, S, N>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<S: Sql, const N: usize> QueryFragment<Sqlite> for Fixed<'_, S, N> {
    // Asked before every run; the usual answer is found by walking through all values.
    fn is_safe_to_cache_prepared(&self, _: &Sqlite) -> QueryResult<bool> {
        Ok(true)
    }

    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        let mut parts = S::TEXT.split('?');
        out.push_sql(parts.next().unwrap_or_default());
        for (part, value) in parts.zip(&self.0) {
            value.push(&mut out)?;
            out.push_sql(part);
        }
        Ok(())
    }
}

impl<S: Sql, const N: usize> Query for Fixed<'_, S, N> {
    type SqlType = S::Row;
}
impl<S: Sql, const N: usize> RunQueryDsl<SqliteConnection> for Fixed<'_, S, N> {}

/// Runs a statement; the answer is the number of rows that it changed.
pub(super) fn run<S: Sql, const N: usize>(conn: &mut SqliteConnection, _: S, values: [Value<'_>; N]) -> QueryResult<usize> {
    conn.execute_returning_count(&Fixed::<S, N>(values, PhantomData))
}

/// Runs a query.
pub(super) fn select<'a, S: Sql, T, const N: usize>(conn: &mut SqliteConnection, _: S, values: [Value<'a>; N]) -> QueryResult<Vec<T>>
where
    Fixed<'a, S, N>: LoadQuery<'a, SqliteConnection, T>,
{
    Fixed::<S, N>(values, PhantomData).load(conn)
}

/// How many rows go into one statement: many while there are many, then fewer, so that a handful of texts serve every count.
pub(super) const MANY: usize = 32;
pub(super) const SOME: usize = 6;

struct Rows<'a, S, const W: usize, const N: usize>(&'a [[Value<'a>; W]; N], PhantomData<S>);

impl<S: Sql, const W: usize, const N: usize> QueryId for Rows<'_, S, W, N> {
    type QueryId = Rows<'static, S, W, N>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<S: Sql, const W: usize, const N: usize> QueryFragment<Sqlite> for Rows<'_, S, W, N> {
    fn is_safe_to_cache_prepared(&self, _: &Sqlite) -> QueryResult<bool> {
        Ok(true)
    }

    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql(S::TEXT);
        let mut open = "(";
        for row in self.0 {
            out.push_sql(open);
            push_list(row, &mut out)?;
            out.push_sql(")");
            open = ",(";
        }
        out.push_sql(S::TAIL);
        Ok(())
    }
}

/// Inserts all `rows`.
pub(super) fn insert<S: Sql, const W: usize>(conn: &mut SqliteConnection, _: S, rows: &[[Value<'_>; W]]) -> QueryResult<()> {
    let (chunks, rest) = rows.as_chunks::<MANY>();
    for chunk in chunks {
        conn.execute_returning_count(&Rows::<S, W, MANY>(chunk, PhantomData))?;
    }
    let (chunks, rest) = rest.as_chunks::<SOME>();
    for chunk in chunks {
        conn.execute_returning_count(&Rows::<S, W, SOME>(chunk, PhantomData))?;
    }
    let (chunks, _) = rest.as_chunks::<1>();
    for chunk in chunks {
        conn.execute_returning_count(&Rows::<S, W, 1>(chunk, PhantomData))?;
    }
    Ok(())
}

pub(super) struct Among<'a, S, const N: usize>([Value<'a>; N], PhantomData<S>);

impl<S: Sql, const N: usize> QueryId for Among<'_, S, N> {
    type QueryId = Among<'static, S, N>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<S: Sql, const N: usize> QueryFragment<Sqlite> for Among<'_, S, N> {
    fn is_safe_to_cache_prepared(&self, _: &Sqlite) -> QueryResult<bool> {
        Ok(true)
    }

    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql(S::TEXT);
        out.push_sql("(");
        push_list(&self.0, &mut out)?;
        out.push_sql(")");
        out.push_sql(S::TAIL);
        Ok(())
    }
}

impl<S: Sql, const N: usize> Query for Among<'_, S, N> {
    type SqlType = S::Row;
}
impl<S: Sql, const N: usize> RunQueryDsl<SqliteConnection> for Among<'_, S, N> {}

/// Looks up all rows whose key is among `keys`.
pub(super) fn among<'a, S: Sql, T>(conn: &mut SqliteConnection, _: S, keys: &'a [&'a [u8]]) -> QueryResult<Vec<T>>
where
    Among<'a, S, MANY>: LoadQuery<'a, SqliteConnection, T>,
    Among<'a, S, SOME>: LoadQuery<'a, SqliteConnection, T>,
    Among<'a, S, 1>: LoadQuery<'a, SqliteConnection, T>,
{
    let mut found = Vec::new();
    let (chunks, rest) = keys.as_chunks::<MANY>();
    for chunk in chunks {
        found.extend(Among::<S, MANY>(chunk.map(Value::Blob), PhantomData).load(conn)?);
    }
    let (chunks, rest) = rest.as_chunks::<SOME>();
    for chunk in chunks {
        found.extend(Among::<S, SOME>(chunk.map(Value::Blob), PhantomData).load(conn)?);
    }
    let (chunks, _) = rest.as_chunks::<1>();
    for chunk in chunks {
        found.extend(Among::<S, 1>(chunk.map(Value::Blob), PhantomData).load(conn)?);
    }
    Ok(found)
}

/// An id column.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, AsExpression, FromSqlRow)]
#[diesel(sql_type = Binary)]
pub(super) struct Id(pub(super) Uuid);

impl FromSql<Binary, Sqlite> for Id {
    fn from_sql(mut value: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(Uuid::from_slice(value.read_blob())?))
    }
}

impl diesel::serialize::ToSql<Binary, Sqlite> for Id {
    fn to_sql<'b>(&'b self, out: &mut diesel::serialize::Output<'b, '_, Sqlite>) -> diesel::serialize::Result {
        out.set_value(self.0.as_bytes().as_slice());
        Ok(diesel::serialize::IsNull::No)
    }
}
