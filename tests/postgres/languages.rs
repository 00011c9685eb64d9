//! Failures are told apart by their codes: the texts may be of any language.

use crate::server::{self, Database};
use crate::{Desk, options, sample};
use ordermill::db::{CommitError, StoreError};

/// A server's failures in German, raised where orders are stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_is_known_by_its_code_in_whatever_language_it_is_told() {
    let database = Database::missing("language");
    let mut desk = Desk::at(options(&database), 600_000).await;
    let owner = server::connect(&database.name).await;
    let fails = async |code: &str, text: &str| {
        let body = format!(
            "CREATE OR REPLACE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS $$ \
             BEGIN RAISE EXCEPTION '{text}' USING ERRCODE = '{code}'; END $$; \
             CREATE OR REPLACE TRIGGER fails BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION fails()"
        );
        owner.batch_execute(&body).await.unwrap();
    };
    type Holds = fn(&CommitError) -> bool;
    let away: Holds = |error| matches!(error, CommitError::NotWritten(StoreError::Unavailable(_)));
    let cases: [(&str, &str, Holds); 7] = [
        ("55P03", "Storniere Anfrage wegen Zeitüberschreitung einer Sperre", away),
        ("57014", "Storniere Anfrage wegen Zeitüberschreitung", away),
        (
            "53100",
            "konnte Datei nicht erweitern: Auf dem Gerät ist kein Speicherplatz mehr verfügbar",
            |error| matches!(error, CommitError::NotWritten(StoreError::Full(told)) if told.starts_with("konnte Datei")),
        ),
        ("40P01", "Verklemmung entdeckt", away),
        (
            "42501",
            "keine Berechtigung für Tabelle orders",
            |error| matches!(error, CommitError::NotWritten(StoreError::Unavailable(told)) if told.contains("grant it to this login")),
        ),
        ("XX001", "ungültige Seite in Block 7", |error| matches!(error, CommitError::NotWritten(StoreError::Corrupt(_)))),
        ("22001", "Wert zu lang für Typ", |error| matches!(error, CommitError::BadWrite(StoreError::Statement(_)))),
    ];
    for (code, text, holds) in cases {
        fails(code, text).await;
        let error = desk.commit(vec![sample::place(&sample::order(1))]).await.unwrap_err();
        assert!(holds(&error), "{code}: {error:?}");
    }
    owner.batch_execute("DROP TRIGGER fails ON orders").await.unwrap();
    desk.commit(vec![sample::place(&sample::order(1))]).await.unwrap();
}

/// The server's own texts, in German where the machine has them: what locks for long is waited for, and parks nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_is_held_for_long_is_the_databases_fault() {
    let database = Database::missing("locked");
    let mut options = options(&database);
    options.limits.lock_wait_ms = 200;
    let mut desk = Desk::at(options, 600_000).await;
    let other = server::connect(&database.name).await;
    other.batch_execute("BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let error = desk.commit(vec![sample::place(&sample::order(1))]).await.unwrap_err();
    assert!(matches!(&error, CommitError::NotWritten(StoreError::Unavailable(_))), "{error:?}");
    other.batch_execute("ROLLBACK").await.unwrap();
    desk.commit(vec![sample::place(&sample::order(1))]).await.unwrap();
}
