//! The PostgreSQL server of the tests, and databases of a test's own on it.
#![allow(dead_code, unreachable_pub, reason = "each test target uses its own part")]

use std::sync::atomic::{AtomicU32, Ordering};
use tokio_postgres::NoTls;

/// The server's address, with a login that may make databases.
pub fn server() -> String {
    let missing = "ORDERMILL_TEST_POSTGRES is not set; start a server for the tests: eval \"$(scripts/services start postgres)\"";
    std::env::var("ORDERMILL_TEST_POSTGRES").expect(missing)
}

/// The address of another database of the same server.
pub fn url_of(database: &str) -> String {
    let server = server();
    let (front, _) = server.rsplit_once('/').expect("a database's name at the end of the address");
    format!("{front}/{database}")
}

/// A connection of the test's own.
pub async fn connect(database: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(&url_of(database), NoTls).await.expect("the test server answers");
    tokio::spawn(connection);
    client
}

/// Runs a statement as the server's owner.
pub async fn run(statement: &str) {
    connect("postgres").await.batch_execute(statement).await.expect(statement);
}

/// A database's name that nobody has.
pub fn fresh_name(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("test_{what}_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A database that is dropped with this, whoever is still connected to it.
pub struct Database {
    /// Its name.
    pub name: String,
}

impl Database {
    /// A name for a database that ordermill makes.
    pub fn missing(what: &str) -> Self {
        Self { name: fresh_name(what) }
    }

    /// A copy of a database that nobody is connected to.
    pub async fn copy_of(template: &str, what: &str) -> Self {
        let database = Self::missing(what);
        run(&format!("CREATE DATABASE {} TEMPLATE {template}", database.name)).await;
        database
    }

    /// Its address.
    pub fn url(&self) -> String {
        url_of(&self.name)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        // On a thread and runtime of its own: a test's own runtime may be one that must not be blocked, or is ending.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(run(&statement));
        });
        if dropped.join().is_err() && !std::thread::panicking() {
            panic!("{} could not be dropped", self.name);
        }
    }
}
