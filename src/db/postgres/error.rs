//! PostgreSQL's failures, by what the journal does next. They are told apart by their SQLSTATE, whatever language the server speaks.

use super::codes;
use crate::db::error::StoreError;
pub(super) use crate::db::failure::{Blame, Failure};
use diesel::result::{DatabaseErrorKind, Error};
use tokio_postgres::error::SqlState;

/// What to tell of a failed statement, and whose fault it is.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "another crate's enum, which may grow; a kind unknown here is the statement's own fault"
)]
pub(super) fn judge(error: Error) -> (StoreError, Blame) {
    match &error {
        Error::DatabaseError(DatabaseErrorKind::UnableToSendCommand | DatabaseErrorKind::ClosedConnection, told) => {
            (StoreError::Unavailable(told.message().to_owned()), Blame::Connection)
        }
        Error::DatabaseError(kind, told) => {
            let (code, text) = codes::split(told.message()).unwrap_or((of_kind(kind), told.message()));
            by_code(code, text)
        }
        Error::BrokenTransactionManager => (StoreError::Unavailable(error.to_string()), Blame::Connection),
        Error::DeserializationError(_) => (StoreError::Corrupt(error.to_string()), Blame::Write),
        _ => (StoreError::Statement(error.to_string()), Blame::Write),
    }
}

/// The code of an error that bears none before its text.
#[expect(clippy::wildcard_enum_match_arm, reason = "another crate's enum, which may grow; what has no kind has no code")]
fn of_kind(kind: &DatabaseErrorKind) -> &'static str {
    match kind {
        DatabaseErrorKind::UniqueViolation => "23505",
        DatabaseErrorKind::SerializationFailure => "40001",
        DatabaseErrorKind::ReadOnlyTransaction => "25006",
        _ => "",
    }
}

/// The code of an error, if it is a server's.
#[expect(clippy::wildcard_enum_match_arm, reason = "another crate's enum, which may grow; what else there is has no code")]
pub(super) fn code(error: &Error) -> Option<&str> {
    match error {
        Error::DatabaseError(_, told) => codes::split(told.message()).map(|(code, _)| code),
        _ => None,
    }
}

/// By SQLSTATE alone: the texts are in the language of the server. Its first two characters are the class.
fn by_code(code: &str, text: &str) -> (StoreError, Blame) {
    let told = text.to_owned();
    match code {
        // Another node wrote the same new row first: looked at again, it is there.
        "23505" => (StoreError::Statement(told), Blame::Clash),
        // A deadlock, or what cannot be put in an order.
        "40001" | "40P01" => (StoreError::Unavailable(told), Blame::Clash),
        "25006" => (standby(text), Blame::Connection),
        "53100" => (StoreError::Full(told), Blame::Database),
        // The server ends, starts, or ended this session; a plan or a prepared statement that is no longer good.
        "57P01" | "57P02" | "57P03" | "57P04" | "57P05" | "25P03" | "25P04" | "0A000" | "26000" | "42P05" => {
            (StoreError::Unavailable(told), Blame::Connection)
        }
        "42501" => (
            StoreError::Unavailable(format!(
                "{told}: grant it to this login, or give the address of the database (store.url, or its role's of store.role_urls) another"
            )),
            Blame::Database,
        ),
        "42P01" | "42703" => {
            (StoreError::Mismatch(format!("{told}: the tables are not those of this version; run ordermill migrate")), Blame::Database)
        }
        "XX001" | "XX002" => (StoreError::Corrupt(told), Blame::Database),
        // A transaction that has failed before, a lock or an answer that took too long.
        "25P02" | "55P03" | "57014" => (StoreError::Unavailable(told), Blame::Database),
        _ => match code.get(..2) {
            // The connection.
            Some("08") => (StoreError::Unavailable(told), Blame::Connection),
            // The server lacks something, was stopped by somebody, cannot read or write its files, or has a fault of its own.
            Some("53" | "55" | "57" | "58" | "XX") => (StoreError::Unavailable(told), Blame::Database),
            Some(_) | None => (StoreError::Statement(told), Blame::Write),
        },
    }
}

fn standby(message: &str) -> StoreError {
    StoreError::Unavailable(format!(
        "{message}: the server takes no writes; the address of the database (store.url, or its role's of store.role_urls) must be the primary's"
    ))
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
        let of = |message: &str| failed(DatabaseErrorKind::Unknown, message).1;
        assert_eq!(of("40P01 Verklemmung entdeckt"), Blame::Clash);
        for code in ["55P03", "57014", "53200", "58030", "XX000"] {
            assert_eq!(of(&format!("{code} Storniere Anfrage")), Blame::Database, "{code}");
        }
        for code in ["57P01", "57P03", "25P03", "08006"] {
            assert_eq!(of(&format!("{code} breche Verbindung ab")), Blame::Connection, "{code}");
        }
        assert_eq!(of("22001 Wert zu lang"), Blame::Write);
        assert_eq!(failed(DatabaseErrorKind::CheckViolation, "x").1, Blame::Write);
        assert_eq!(failed(DatabaseErrorKind::UniqueViolation, "x").1, Blame::Clash);
        assert_eq!(failed(DatabaseErrorKind::UnableToSendCommand, "connection closed").1, Blame::Connection);
        let (full, blame) = failed(DatabaseErrorKind::Unknown, "53100 konnte Datei nicht erweitern");
        assert!(matches!((&full, blame), (StoreError::Full(told), Blame::Database) if told == "konnte Datei nicht erweitern"), "{full}");
        let (standby, blame) = failed(DatabaseErrorKind::ReadOnlyTransaction, "25006 kann UPDATE nicht ausführen");
        assert!(standby.to_string().contains("primary") && blame == Blame::Connection, "{standby}");
        let (tables, _) = failed(DatabaseErrorKind::Unknown, "42P01 Relation »orders« existiert nicht");
        assert!(tables.to_string().contains("ordermill migrate"), "{tables}");
    }
}
