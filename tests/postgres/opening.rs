//! Databases: made by whoever is first, refused where they are another's, and told of in words that help.

use crate::server::{self, Database};
use crate::{options, sample};
use ordermill::db::postgres::{PgOptions, PgReads, PgStore};
use ordermill::db::{Reads as _, Store as _, StoreError};
use ordermill::domain::Shards;
use tokio::runtime::Handle;

async fn refused(options: PgOptions) -> String {
    PgStore::open(options, Handle::current()).await.err().expect("it is refused").to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_start_at_once_make_one_database() {
    let database = Database::missing("at_once");
    let nodes = (0..8).map(|_| PgStore::open(options(&database), Handle::current()));
    for opened in futures_util::future::join_all(nodes).await {
        opened.map(drop).unwrap();
    }
    let reads = PgReads::open(options(&database), Handle::current()).await.unwrap();
    assert_eq!(reads.shard_rows().await.unwrap().len(), 5 * 24);
}

/// The tables are committed before their first rows: another node may look between, and a node that dies there leaves it so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_without_their_first_rows_are_filled() {
    let database = Database::missing("unfilled");
    drop(PgStore::open(options(&database), Handle::current()).await.unwrap());
    server::connect(&database.name).await.batch_execute("DELETE FROM shards; DELETE FROM meta").await.unwrap();
    let told = PgReads::open(options(&database), Handle::current()).await.err().expect("it is not ready").to_string();
    assert!(told.contains("ordermill migrate"), "{told}");
    drop(PgStore::open(options(&database), Handle::current()).await.unwrap());
    let reads = PgReads::open(options(&database), Handle::current()).await.unwrap();
    assert_eq!(reads.shard_rows().await.unwrap().len(), 5 * 24);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_opened_says_what_to_do() {
    let database = Database::missing("refused");
    drop(PgStore::open(options(&database), Handle::current()).await.unwrap());
    let told = refused(PgOptions::new(&database.url(), Shards::new(12).unwrap()).unwrap()).await;
    assert!(told.contains("24 shards"), "{told}");
    let url = database.url();
    let (_, place) = url.rsplit_once('@').unwrap();
    let wrong = format!("postgres://postgres:hush@{place}");
    let told = refused(PgOptions::new(&wrong, sample::shards()).unwrap()).await;
    assert!(told.contains("password") && told.contains("pg_hba.conf") && !told.contains("hush"), "{told}");
    let told = refused(PgOptions::new("postgres://me:hush@127.0.0.1:1/shop", sample::shards()).unwrap()).await;
    assert!(told.contains("127.0.0.1:1") && told.contains("running") && !told.contains("hush"), "{told}");
    let told = refused(PgOptions::new(&format!("{}?sslmode=require", database.url()), sample::shards()).unwrap()).await;
    assert!(told.to_lowercase().contains("tls"), "{told}");
    let client = server::connect(&database.name).await;
    client.batch_execute("INSERT INTO __diesel_schema_migrations VALUES ('99999999999999')").await.unwrap();
    let told = refused(options(&database)).await;
    assert!(told.contains("newer version"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_programs_database_is_left_alone() {
    let database = Database::copy_of("template1", "foreign").await;
    server::connect(&database.name).await.batch_execute("CREATE TABLE things (id int)").await.unwrap();
    let told = refused(options(&database)).await;
    assert!(told.contains("another program"), "{told}");
}

/// The rights of a node whose tables others made: reading and writing rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_may_make_nothing_works_on_tables_that_are_there() {
    let database = Database::missing("login");
    drop(PgStore::open(options(&database), Handle::current()).await.unwrap());
    let login = server::fresh_name("login");
    let client = server::connect(&database.name).await;
    let grants = format!(
        "CREATE ROLE {login} LOGIN PASSWORD 'p'; REVOKE CREATE ON SCHEMA public FROM PUBLIC; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {login}"
    );
    client.batch_execute(&grants).await.unwrap();
    let url = database.url();
    let (_, place) = url.rsplit_once('@').unwrap();
    let options = PgOptions::new(&format!("postgres://{login}:p@{place}"), sample::shards()).unwrap();
    let mut desk = crate::Desk::at(options, 60_000).await;
    desk.commit(vec![sample::place(&sample::order(1))]).await.unwrap();
    client.batch_execute("REVOKE ALL ON orders FROM PUBLIC").await.unwrap();
    client.batch_execute(&format!("REVOKE INSERT ON orders FROM {login}")).await.unwrap();
    let error = desk.commit(vec![sample::place(&sample::order(2))]).await.unwrap_err();
    assert!(matches!(&error, ordermill::db::CommitError::NotWritten(StoreError::Unavailable(told)) if told.contains("grant")), "{error}");
    client.batch_execute(&format!("DROP OWNED BY {login}; DROP ROLE {login}")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_cannot_hold_every_name_is_refused_with_the_statement_that_makes_one() {
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let database = Database::missing("encoding");
        let make = format!("CREATE DATABASE {} TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'", database.name);
        server::run(&make).await;
        let told = refused(options(&database)).await;
        let wanted = format!("CREATE DATABASE \"{}\" TEMPLATE template0 ENCODING 'UTF8'", database.name);
        assert!(told.contains(encoding) && told.contains(&wanted), "{told}");
        let reads = PgReads::open(options(&database), Handle::current()).await.err().unwrap().to_string();
        assert!(reads.contains(&wanted), "{reads}");
    }
}

/// The address of the database with another host before the server.
fn behind(host: std::net::SocketAddr, database: &Database, more: &str) -> String {
    let url = database.url();
    let (handle, place) = url.rsplit_once('@').unwrap();
    format!("{handle}@{host},{place}?{more}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_host_does_not_hide_the_next_one() {
    let database = Database::missing("hosts");
    // Takes connections and says nothing.
    let hole = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let shut = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    drop(PgStore::open(options(&database), Handle::current()).await.unwrap());
    for (host, more) in [(hole.local_addr().unwrap(), "connect_timeout=2&target_session_attrs=read-write"), (shut, "")] {
        let mut options = PgOptions::new(&behind(host, &database, more), sample::shards()).unwrap();
        options.limits.connect_timeout_ms = 600_000;
        let opened = tokio::time::timeout(std::time::Duration::from_secs(120), crate::Desk::at(options, 60_000));
        let mut desk = opened.await.expect("the second host is asked");
        desk.store.end_writer(desk.writer.writer).await.unwrap();
    }
}
