//! SQLite's failures, by what the journal does next. They are told apart by their result code, whatever their text is.

use super::codes::code_of_text;
use crate::db::error::StoreError;
pub(super) use crate::db::failure::{Blame, Failure};
use crate::db::store::CommitError;
use diesel::ConnectionError;
use diesel::result::Error;
use libsqlite3_sys as ffi;
use std::path::Path;

/// As an error of a batch of which nothing was written.
pub(super) fn not_written(error: StoreError, blame: Blame) -> CommitError {
    match blame {
        Blame::Write => CommitError::BadWrite(error),
        Blame::Clash | Blame::Database | Blame::Connection => CommitError::NotWritten(error),
    }
}

/// What to tell of a failed statement, and whose fault it is. `code` is the connection's: taken before it is used again.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "another crate's enum, which may grow; a kind unknown here is the statement's own fault"
)]
pub(super) fn judge(error: Error, code: Option<i32>, path: &Path) -> (StoreError, Blame) {
    let message = error.to_string();
    match &error {
        Error::DatabaseError(..) => by_code(primary(&error, code), message, path),
        Error::DeserializationError(_) => (StoreError::Corrupt(message), Blame::Write),
        _ => (StoreError::Statement(message), Blame::Write),
    }
}

/// Whether the system failed to write, to read or to sync.
pub(super) fn is_io(error: &Error, code: Option<i32>) -> bool {
    primary(error, code) == Some(ffi::SQLITE_IOERR)
}

/// The first byte of the result code: what kind of failure it is.
fn primary(error: &Error, code: Option<i32>) -> Option<i32> {
    let Error::DatabaseError(_, told) = error else { return None };
    code.or_else(|| code_of_text(told.message())).map(|code| code & 0xff)
}

fn by_code(code: Option<i32>, message: String, path: &Path) -> (StoreError, Blame) {
    let told = format!("{}: {message}", path.display());
    match code {
        // What the statement asks for: against a rule of the tables or of the language, too large, of the wrong type.
        Some(ffi::SQLITE_ERROR | ffi::SQLITE_TOOBIG | ffi::SQLITE_CONSTRAINT | ffi::SQLITE_MISMATCH | ffi::SQLITE_RANGE) | None => {
            (StoreError::Statement(message), Blame::Write)
        }
        // Somebody else's lock, no memory, a stop.
        Some(
            ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED | ffi::SQLITE_PROTOCOL | ffi::SQLITE_NOMEM | ffi::SQLITE_INTERRUPT | ffi::SQLITE_ABORT,
        ) => (StoreError::Unavailable(told), Blame::Database),
        Some(ffi::SQLITE_FULL) => (StoreError::Full(told), Blame::Database),
        Some(ffi::SQLITE_READONLY | ffi::SQLITE_PERM | ffi::SQLITE_AUTH) => (StoreError::ReadOnly(told), Blame::Connection),
        Some(ffi::SQLITE_CANTOPEN) => (cannot_open(path, &message), Blame::Connection),
        Some(ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB | ffi::SQLITE_FORMAT) => (StoreError::Corrupt(told), Blame::Connection),
        // The system's, such as SQLITE_IOERR, or what a new connection may not have.
        Some(_) => (StoreError::Unavailable(told), Blame::Connection),
    }
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
    cannot_open(path, &error.to_string())
}
