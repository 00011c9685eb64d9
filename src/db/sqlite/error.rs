//! SQLite's failures, by what the journal does next. Diesel keeps the message and drops the result code, but the bundled
//! library's messages are fixed texts, one for each code.

use crate::db::error::StoreError;
pub(super) use crate::db::failure::{Blame, Failure};
use crate::db::store::CommitError;
use diesel::ConnectionError;
use diesel::result::{DatabaseErrorKind, Error};
use std::path::Path;

/// As an error of a batch of which nothing was written.
pub(super) fn not_written(error: StoreError, blame: Blame) -> CommitError {
    match blame {
        Blame::Write => CommitError::BadWrite(error),
        Blame::Clash | Blame::Database | Blame::Connection => CommitError::NotWritten(error),
    }
}

/// What to tell of a failed statement, and whose fault it is.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "another crate's enum, which may grow; a kind unknown here is the statement's own fault"
)]
pub(super) fn judge(error: Error, path: &Path) -> (StoreError, Blame) {
    let message = error.to_string();
    match error {
        Error::DatabaseError(
            DatabaseErrorKind::UniqueViolation
            | DatabaseErrorKind::ForeignKeyViolation
            | DatabaseErrorKind::NotNullViolation
            | DatabaseErrorKind::CheckViolation,
            _,
        ) => (StoreError::Statement(message), Blame::Write),
        Error::DatabaseError(..) => by_message(&message, path).unwrap_or((StoreError::Statement(message), Blame::Write)),
        Error::DeserializationError(_) => (StoreError::Corrupt(message), Blame::Write),
        _ => (StoreError::Statement(message), Blame::Write),
    }
}

/// Whether the system failed to write, to read or to sync.
pub(super) fn is_io(error: &Error) -> bool {
    matches!(error, Error::DatabaseError(_, told) if told.message().starts_with("disk I/O error"))
}

/// The texts of `sqlite3_errstr`; none for failures that are not the database's.
fn by_message(message: &str, path: &Path) -> Option<(StoreError, Blame)> {
    let file = path.display();
    let told = format!("{file}: {message}");
    Some(match message {
        "database is locked" | "database table is locked" | "locking protocol" | "out of memory" | "interrupted" | "query aborted" => {
            (StoreError::Unavailable(told), Blame::Database)
        }
        "database or disk is full" => (StoreError::Full(told), Blame::Database),
        "attempt to write a readonly database" | "access permission denied" | "authorization denied" => {
            (StoreError::ReadOnly(told), Blame::Connection)
        }
        "unable to open database file" => (cannot_open(path, message), Blame::Connection),
        "database disk image is malformed" | "file is not a database" | "unsupported file format" => {
            (StoreError::Corrupt(told), Blame::Connection)
        }
        _ if message.starts_with("malformed database schema") => (StoreError::Corrupt(told), Blame::Connection),
        _ if message.starts_with("disk I/O error") => (StoreError::Unavailable(told), Blame::Connection),
        _ => return None,
    })
}

/// A file that cannot be opened: because it may not be, or because something in the way is missing.
fn cannot_open(path: &Path, message: &str) -> StoreError {
    let file = path.display();
    match std::fs::OpenOptions::new().read(true).append(true).open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => StoreError::ReadOnly(format!("{file}: {error}")),
        Err(error) => StoreError::Unavailable(format!("{file}: {error}")),
        Ok(_) => StoreError::Unavailable(format!("{file}: {message}")),
    }
}

/// A connection that could not be made.
pub(super) fn connect(error: &ConnectionError, path: &Path) -> StoreError {
    by_message("unable to open database file", path)
        .map_or_else(|| StoreError::Unavailable(format!("{}: {error}", path.display())), |(error, _)| error)
}
