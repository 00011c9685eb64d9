//! Statements that are sent together.

use super::statement::{Sql, Value, run};
use diesel::QueryResult;
use diesel_async::AsyncPgConnection;
use futures_util::future::BoxFuture;

/// A statement with its values, ready to be sent.
pub(super) type Send = Box<dyn for<'c> FnOnce(&'c AsyncPgConnection) -> BoxFuture<'c, QueryResult<usize>> + std::marker::Send>;

/// Statements in the order in which they are sent.
#[derive(Default)]
pub(super) struct Script(pub(super) Vec<Send>);

impl Script {
    /// Adds a statement, unless it has no rows.
    pub(super) fn add<S: Sql, const N: usize>(&mut self, rows: usize, statement: S, values: impl FnOnce() -> [Value; N]) {
        if rows > 0 {
            let values = values();
            self.0.push(Box::new(move |conn| run(conn, statement, values)));
        }
    }
}

/// A number that is small by its type.
pub(super) fn int4(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
