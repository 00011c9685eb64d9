//! PostgreSQL's failures, by what the journal does next. Of a failed statement diesel keeps the kind (of the common ones) and the
//! message and drops the code, so the others are told apart by their message; `connect` asks the server for English ones.

pub(super) use crate::db::failure::{Blame, Failure};
use crate::db::write::StoreError;
use diesel::result::{DatabaseErrorKind, Error};
use tokio_postgres::error::SqlState;

/// What to tell of a failed statement, and whose fault it is.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "another crate's enum, which may grow; a kind unknown here is the statement's own fault"
)]
pub(super) fn judge(error: Error) -> (StoreError, Blame) {
    let message = error.to_string();
    match &error {
        // Another node wrote the same new row first: looked at again, it is there.
        Error::DatabaseError(DatabaseErrorKind::UniqueViolation | DatabaseErrorKind::SerializationFailure, _) => {
            (StoreError::Statement(message), Blame::Clash)
        }
        Error::DatabaseError(
            DatabaseErrorKind::ForeignKeyViolation
            | DatabaseErrorKind::NotNullViolation
            | DatabaseErrorKind::CheckViolation
            | DatabaseErrorKind::RestrictViolation
            | DatabaseErrorKind::ExclusionViolation,
            _,
        ) => (StoreError::Statement(message), Blame::Write),
        Error::DatabaseError(DatabaseErrorKind::ReadOnlyTransaction, _) => (standby(&message), Blame::Connection),
        Error::DatabaseError(DatabaseErrorKind::UnableToSendCommand | DatabaseErrorKind::ClosedConnection, _)
        | Error::BrokenTransactionManager => (StoreError::Unavailable(message), Blame::Connection),
        Error::DatabaseError(..) => by_message(&message).unwrap_or((StoreError::Statement(message), Blame::Write)),
        Error::DeserializationError(_) => (StoreError::Corrupt(message), Blame::Write),
        _ => (StoreError::Statement(message), Blame::Write),
    }
}

fn standby(message: &str) -> StoreError {
    StoreError::Unavailable(format!(
        "{message}: the server takes no writes; the address of the database (store.url, or its role's of store.role_urls) must be the primary's"
    ))
}

/// The messages of failures that are the database's own.
fn by_message(message: &str) -> Option<(StoreError, Blame)> {
    let starts = |texts: &[&str]| texts.iter().any(|text| message.starts_with(text));
    let told = message.to_owned();
    Some(if starts(&["deadlock detected", "could not serialize access"]) {
        (StoreError::Unavailable(told), Blame::Clash)
    } else if message.contains("No space left on device") || message.contains("Disk quota exceeded") {
        (StoreError::Full(told), Blame::Database)
    } else if starts(&["terminating connection", "the database system is", "cached plan must not change", "connection not open"]) {
        (StoreError::Unavailable(told), Blame::Connection)
    } else if starts(&["canceling statement due to", "out of memory", "out of shared memory", "could not ", "sorry, too many clients"]) {
        (StoreError::Unavailable(told), Blame::Database)
    } else if starts(&["permission denied"]) {
        (
            StoreError::Unavailable(format!(
                "{told}: grant it to this login, or give the address of the database (store.url, or its role's of store.role_urls) another"
            )),
            Blame::Database,
        )
    } else if (starts(&["relation "]) || starts(&["column "])) && message.ends_with("does not exist") {
        (StoreError::Mismatch(format!("{told}: the tables are not those of this version; run ordermill migrate")), Blame::Database)
    } else if starts(&["invalid page", "index ", "missing chunk", "unexpected chunk"]) {
        (StoreError::Corrupt(told), Blame::Database)
    } else {
        return None;
    })
}

/// Whether a failed COMMIT has certainly stored nothing.
pub(super) fn is_refusal(error: &Error) -> bool {
    matches!(
        error,
        Error::DatabaseError(
            DatabaseErrorKind::UniqueViolation
                | DatabaseErrorKind::ForeignKeyViolation
                | DatabaseErrorKind::CheckViolation
                | DatabaseErrorKind::SerializationFailure,
            _
        )
    )
}

/// Why no connection could be made.
pub(super) fn connect(error: &tokio_postgres::Error, place: &str) -> StoreError {
    let cause = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    let told = format!("{place}: {cause}");
    let Some(code) = error.code() else {
        return StoreError::Unavailable(format!("{told}; is the server running, and reachable from here?"));
    };
    let advice = if *code == SqlState::INVALID_PASSWORD || *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION {
        "check the user and the password in the address of the database (store.url, or its role's of store.role_urls), and the server's pg_hba.conf"
    } else if *code == SqlState::TOO_MANY_CONNECTIONS {
        "raise the server's max_connections, or lower store.readers"
    } else if *code == SqlState::INVALID_CATALOG_NAME {
        "create it, or let ordermill do so with a login that may (CREATEDB)"
    } else if *code == SqlState::INSUFFICIENT_PRIVILEGE {
        "grant this login CONNECT on the database"
    } else {
        return StoreError::Unavailable(told);
    };
    StoreError::Unavailable(format!("{told}: {advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(kind: DatabaseErrorKind, message: &str) -> (StoreError, Blame) {
        judge(Error::DatabaseError(kind, Box::new(message.to_owned())))
    }

    #[test]
    fn a_failure_is_judged_by_what_is_done_next() {
        let unknown = |message: &str| failed(DatabaseErrorKind::Unknown, message).1;
        assert_eq!(unknown("deadlock detected"), Blame::Clash);
        assert_eq!(unknown("canceling statement due to lock timeout"), Blame::Database);
        assert_eq!(unknown("canceling statement due to statement timeout"), Blame::Database);
        assert_eq!(unknown("terminating connection due to administrator command"), Blame::Connection);
        assert_eq!(unknown("terminating connection due to idle-in-transaction timeout"), Blame::Connection);
        assert_eq!(unknown("the database system is shutting down"), Blame::Connection);
        assert_eq!(unknown("value too long for type character varying(50)"), Blame::Write);
        assert_eq!(failed(DatabaseErrorKind::CheckViolation, "x").1, Blame::Write);
        assert_eq!(failed(DatabaseErrorKind::UniqueViolation, "x").1, Blame::Clash);
        assert_eq!(failed(DatabaseErrorKind::UnableToSendCommand, "connection closed").1, Blame::Connection);
        let (full, blame) = failed(DatabaseErrorKind::Unknown, "could not extend file \"base/1/2\": No space left on device");
        assert!(matches!((&full, blame), (StoreError::Full(_), Blame::Database)), "{full}");
        let (standby, blame) = failed(DatabaseErrorKind::ReadOnlyTransaction, "cannot execute UPDATE in a read-only transaction");
        assert!(standby.to_string().contains("primary") && blame == Blame::Connection, "{standby}");
        let (tables, _) = failed(DatabaseErrorKind::Unknown, "relation \"orders\" does not exist");
        assert!(tables.to_string().contains("ordermill migrate"), "{tables}");
    }
}
