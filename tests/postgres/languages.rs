//! Failures are told apart by their codes: the texts may be of any language.

use crate::process::{self, Plan};
use crate::server::{self, Database};
use crate::services::Services;
use crate::{Desk, options, sample};
use ordermill::db::postgres::{PgOptions, PgStore};
use ordermill::db::{CommitError, StoreError};
use tokio::runtime::Handle;
use tokio_postgres::{Client, NoTls};

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

/// A server whose own messages are German, and a login that owns its database and may not choose another language.
struct German {
    _services: Services,
    /// The database's address with that login.
    url: String,
    /// The address of the server's owner.
    owner: String,
}

impl German {
    fn start(name: &'static str) -> Self {
        let (services, owner) = Services::start_with(name, &["--language", "de_DE"], "postgres");
        let (_, place) = owner.rsplit_once('@').unwrap();
        let (server, _) = place.rsplit_once('/').unwrap();
        Self { _services: services, url: format!("postgres://mill:p@{server}/shop"), owner }
    }

    /// A session of the server's owner in one of its databases.
    async fn session(&self, database: &str) -> Client {
        let (server, _) = self.owner.rsplit_once('/').unwrap();
        let (client, connection) = tokio_postgres::connect(&format!("{server}/{database}"), NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// Makes the login, and sees that it is answered in German.
    async fn prepare(&self) {
        let owner = self.session("postgres").await;
        owner.batch_execute("CREATE ROLE mill LOGIN PASSWORD 'p'").await.unwrap();
        owner.batch_execute("CREATE DATABASE shop OWNER mill").await.unwrap();
        let (login, connection) = tokio_postgres::connect(&self.url, NoTls).await.unwrap();
        tokio::spawn(connection);
        let refused = login.batch_execute("SET lc_messages = 'C'").await.unwrap_err();
        assert_eq!(refused.code().unwrap().code(), "42501", "{refused}");
        let told = login.batch_execute("SELECT 1 / 0").await.unwrap_err();
        assert_eq!(told.as_db_error().unwrap().message(), "Division durch Null");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_failures_of_a_german_server_are_understood() {
    let german = tokio::task::block_in_place(|| German::start("german"));
    german.prepare().await;
    let mut options = PgOptions::new(&german.url, sample::shards()).unwrap();
    options.limits.lock_wait_ms = 200;
    let mut desk = Desk::at(options.clone(), 600_000).await;
    let owner = german.session("shop").await;
    let place = || vec![sample::place(&sample::order(1))];

    owner.batch_execute("BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let error = desk.commit(place()).await.unwrap_err();
    let CommitError::NotWritten(StoreError::Unavailable(told)) = &error else { panic!("a lock: {error:?}") };
    assert!(told.contains("Sperre"), "it is told in German: {told}");
    owner.batch_execute("ROLLBACK").await.unwrap();

    owner.batch_execute("ALTER TABLE orders RENAME TO bestellungen").await.unwrap();
    let error = desk.commit(place()).await.unwrap_err();
    assert!(matches!(&error, CommitError::NotWritten(StoreError::Mismatch(told)) if told.contains("ordermill migrate")), "{error:?}");
    owner.batch_execute("ALTER TABLE bestellungen RENAME TO orders; REVOKE INSERT ON orders FROM mill").await.unwrap();
    let error = desk.commit(place()).await.unwrap_err();
    assert!(matches!(&error, CommitError::NotWritten(StoreError::Unavailable(told)) if told.contains("grant it")), "{error:?}");
    owner.batch_execute("GRANT INSERT ON orders TO mill; ALTER TABLE orders ADD CONSTRAINT nichts CHECK (false) NOT VALID").await.unwrap();
    let error = desk.commit(place()).await.unwrap_err();
    assert!(matches!(&error, CommitError::BadWrite(StoreError::Statement(_))), "{error:?}");
    owner.batch_execute("ALTER TABLE orders DROP CONSTRAINT nichts").await.unwrap();

    owner.batch_execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'mill'").await.unwrap();
    // A line that has been seen to end is made anew at once; one that has not, with the next commit.
    match desk.commit(place()).await {
        Ok(_) => {}
        Err(CommitError::NotWritten(StoreError::Unavailable(_))) => drop(desk.commit(place()).await.unwrap()),
        Err(error) => panic!("a session that was ended: {error:?}"),
    }

    let wrong = german.url.replace("mill:p@", "mill:q@");
    let told = PgStore::open(PgOptions::new(&wrong, sample::shards()).unwrap(), Handle::current()).await.err().unwrap().to_string();
    assert!(told.contains("pg_hba.conf"), "{told}");
    let missing = german.url.replace("/shop", "/laden");
    let told = PgStore::open(PgOptions::new(&missing, sample::shards()).unwrap(), Handle::current()).await.err().unwrap().to_string();
    assert!(told.contains("CREATEDB"), "{told}");
}

/// What was seen in production: orders whose writes met a lock were parked as refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_on_a_german_server_parks_nothing_for_a_lock() {
    let german = tokio::task::block_in_place(|| German::start("german-node"));
    german.prepare().await;
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    // Well below the time that the lock is held for.
    let plan = Plan::new(env!("CARGO_BIN_EXE_ordermill"), folder.path()).with("store.postgres.lock_wait_ms", 300).on(&german.url);
    let node = tokio::task::block_in_place(|| plan.start());
    tokio::task::block_in_place(|| plan.put_product("2.50"));
    let owner = german.session("shop").await;
    owner.batch_execute("BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let placing: Vec<_> = (0..4)
        .map(|_| {
            let plan = plan.clone();
            tokio::task::spawn_blocking(move || plan.place("2.50"))
        })
        .collect();
    tokio::task::block_in_place(|| process::until("the lock is met", process::LIMIT, || plan.log().contains("Sperre")));
    owner.batch_execute("ROLLBACK").await.unwrap();
    for placed in placing {
        let answer = placed.await.unwrap().unwrap();
        assert!([202, 503].contains(&answer.status), "{answer:?}");
    }
    tokio::task::block_in_place(|| {
        let answer = plan.place("2.50").unwrap();
        assert_eq!(answer.status, 202, "{answer:?}");
        node.wait_settled(process::LIMIT);
        let letters = plan.get("/api/v1/admin/dlq").unwrap().body;
        assert!(!letters.contains("write-refused"), "{letters}");
        node.stop();
        let (sound, report) = plan.verify(&[]);
        assert!(sound, "{report}\n{}", plan.log());
    });
}
