//! SQLite's failures, by what the journal does next. Diesel keeps the message and drops the result code, but the bundled
//! library's messages are fixed texts, one for each code.

use crate::db::codec::CodecError;
use crate::db::write::{CommitError, StoreError};
use diesel::ConnectionError;
use diesel::result::{DatabaseErrorKind, Error};
use std::path::Path;

/// A failure inside of a transaction.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// A statement failed.
    #[error(transparent)]
    Sql(#[from] Error),
    /// A blob does not parse, or cannot be made.
    #[error("stored data of {what}: {source}")]
    Codec {
        /// Of what.
        what: &'static str,
        /// Why.
        source: CodecError,
    },
    /// A column holds what no version of this program writes.
    #[error("stored data: {0}")]
    Column(&'static str),
    /// An order lies in a shard that this store has not.
    #[error("there is no shard {0}")]
    NoShard(u16),
    /// The writer's row did not match.
    #[error("the writer's row did not match")]
    NoMatch,
}

/// Whose fault a failure is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Blame {
    /// One write's.
    Write,
    /// The database's; the connection is still good.
    Database,
    /// The database's; the connection is opened again before it is used again.
    Connection,
}

impl Failure {
    pub(super) fn codec(what: &'static str) -> impl FnOnce(CodecError) -> Self {
        move |source| Self::Codec { what, source }
    }

    /// What to tell, and whose fault it is.
    pub(super) fn judge(self, path: &Path) -> (StoreError, Blame) {
        match self {
            Self::Sql(error) => judge(error, path),
            Self::Codec { .. } | Self::Column(_) => (StoreError::Corrupt(self.to_string()), Blame::Write),
            Self::NoShard(_) => (StoreError::Statement(self.to_string()), Blame::Write),
            Self::NoMatch => (StoreError::Statement(self.to_string()), Blame::Database),
        }
    }
}

/// As an error of a batch of which nothing was written.
pub(super) fn not_written(error: StoreError, blame: Blame) -> CommitError {
    match blame {
        Blame::Write => CommitError::BadWrite(error),
        Blame::Database | Blame::Connection => CommitError::NotWritten(error),
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
