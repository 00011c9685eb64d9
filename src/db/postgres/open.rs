//! Making a database and its tables, by whichever node is first, and the checks that they are ours.

use super::connect::{PgOptions, Session};
use super::error::{self, Failure};
use super::statement::{Value, run, select, sql};
use crate::db::error::StoreError;
use crate::domain::{Role, Shards};
use diesel::migration::{Migration, MigrationSource};
use diesel::pg::Pg;
use diesel::sql_types::{Integer, Text};
use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, SimpleAsyncConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use std::time::Duration;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// The oldest server that is known to do.
const OLDEST_SERVER: i32 = 130_000;
/// How often a database that another node makes at the same moment is looked for, and how long apart.
const CREATE_TRIES: u32 = 40;
const CREATE_PAUSE: Duration = Duration::from_millis(250);
/// How many sessions of a pooler are looked at.
const POOLER_TRIES: usize = 4;
/// Longest wait for another node that changes the tables.
const MIGRATE_WAIT: &str = "300s";

sql!(ServerVersion, "SELECT current_setting('server_version_num')::int" => Integer);
sql!(Encoding, "SELECT current_setting('server_encoding')" => Text);
sql!(OfSession, "SELECT coalesce(current_setting('ordermill.session', true), '')" => Text);
sql!(HasMigrations, "SELECT name FROM (SELECT to_regclass('__diesel_schema_migrations')::text AS name) found WHERE name IS NOT NULL" => Text);
sql!(Tables, "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()" => Text);
sql!(Applied, "SELECT version::text FROM __diesel_schema_migrations ORDER BY version" => Text);
sql!(MetaValue, "SELECT value FROM meta WHERE name = ?" => Text);
sql!(PutMeta, "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING");
sql!(PutShards, "INSERT INTO shards (role, shard) SELECT * FROM unnest(?, ?) ON CONFLICT (role, shard) DO NOTHING");

impl PgOptions {
    /// Makes the database and its tables where they are missing, and brings them up to date.
    pub(super) async fn prepare(&self) -> Result<(), StoreError> {
        self.make_database().await?;
        self.check_pooler().await?;
        let conn = self.connect(Session::Owner).await?;
        self.check_version(&conn).await?;
        self.check_encoding(&conn).await?;
        // A login that may not make tables is enough where there is nothing to make.
        let conn = if self.pending(&conn).await? { self.migrate(conn).await? } else { conn };
        self.check_shards(&conn).await
    }

    /// Refuses what is not a database of this version; the number of shards that it was made with.
    pub(super) async fn check(&self) -> Result<Shards, StoreError> {
        self.check_pooler().await?;
        let conn = self.connect(Session::Reader).await?;
        self.check_encoding(&conn).await?;
        if self.pending(&conn).await? {
            return Err(StoreError::Mismatch(format!("{}: the tables are missing or old; run ordermill migrate", self.place())));
        }
        stored_shards(&conn).await.map_err(|failure| failure.judge(error::judge).0)
    }

    async fn make_database(&self) -> Result<(), StoreError> {
        for _ in 0..CREATE_TRIES {
            match self.open(self.database()).await {
                Ok(opened) => return opened.map(drop),
                Err(error) if error.code() == Some(&SqlState::INVALID_CATALOG_NAME) => self.create_database().await?,
                Err(error) => return Err(error::connect(&error, self.place())),
            }
            tokio::time::sleep(CREATE_PAUSE).await;
        }
        Err(StoreError::Unavailable(format!("{}: the database could not be made", self.place())))
    }

    /// Asks for the database. Whether another node was faster is seen by looking again.
    async fn create_database(&self) -> Result<(), StoreError> {
        let mut conn = match self.open("postgres").await {
            Ok(opened) => opened?,
            Err(_) => self.open("template1").await.map_err(|error| error::connect(&error, self.place()))??,
        };
        match conn.batch_execute(&create_statement(self.database())).await {
            Ok(()) => Ok(()),
            // Another node made it, or is making it.
            Err(error) if error::code(&error).is_some_and(|code| ["23505", "42P04", "55006"].contains(&code)) => Ok(()),
            Err(error) => Err(StoreError::Unavailable(format!(
                "{}: the database is missing and could not be made: {error}; create it, or use a login that may (CREATEDB)",
                self.place()
            ))),
        }
    }

    /// Refuses a pooler that gives each transaction another session: what a journal sets for its session would be lost, and what a
    /// reader sets would be the journal's. There, what one client sets another one finds.
    async fn check_pooler(&self) -> Result<(), StoreError> {
        let open = async || match self.open(self.database()).await {
            Ok(opened) => opened,
            Err(error) => Err(error::connect(&error, self.place())),
        };
        let mut first = open().await?;
        let mark = Uuid::new_v4().simple().to_string();
        let judge = |error| error::judge(error).0;
        first.batch_execute(&format!("SET ordermill.session = '{mark}'")).await.map_err(judge)?;
        // A pooler may have more than one free session. A transaction keeps the one that it was given from the next who asks.
        let mut others = Vec::new();
        for _ in 0..POOLER_TRIES {
            let mut other = open().await?;
            other.batch_execute("BEGIN").await.map_err(judge)?;
            let found: Vec<String> = select(&other, OfSession, []).await.map_err(judge)?;
            if found.contains(&mark) {
                return Err(StoreError::Mismatch(format!(
                    "{}: a pooler in transaction mode stands before the server; sessions are needed: set pool_mode = session for this \
                     database (PgBouncer), or give the server's own address",
                    self.place()
                )));
            }
            others.push(other);
        }
        Ok(())
    }

    async fn check_version(&self, conn: &AsyncPgConnection) -> Result<(), StoreError> {
        let version: Vec<i32> = select(conn, ServerVersion, []).await.map_err(|error| error::judge(error).0)?;
        if version.iter().any(|version| *version < OLDEST_SERVER) {
            return Err(StoreError::Mismatch(format!("{}: PostgreSQL {} or later is needed", self.place(), OLDEST_SERVER / 10_000)));
        }
        Ok(())
    }

    /// Refuses a database that cannot hold every customer's name.
    async fn check_encoding(&self, conn: &AsyncPgConnection) -> Result<(), StoreError> {
        let encoding: Vec<String> = select(conn, Encoding, []).await.map_err(|error| error::judge(error).0)?;
        match encoding.first() {
            Some(encoding) if encoding != "UTF8" => Err(StoreError::Mismatch(format!(
                "{}: the encoding of the database is {encoding}, and must be UTF8: make one with {}",
                self.place(),
                create_statement(self.database())
            ))),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether tables are to be made, changed or given their first rows. Refuses a newer version's.
    async fn pending(&self, conn: &AsyncPgConnection) -> Result<bool, StoreError> {
        let judge = |error| error::judge(error).0;
        let is_migrated: Vec<String> = select(conn, HasMigrations, []).await.map_err(judge)?;
        if is_migrated.is_empty() {
            return Ok(true);
        }
        let applied: Vec<String> = select(conn, Applied, []).await.map_err(judge)?;
        if self.is_behind(&applied)? {
            return Ok(true);
        }
        // The node that made the tables may not have filled them yet, or died before it did.
        let shards: Vec<String> = select(conn, MetaValue, [Value::Text("shards".to_owned())]).await.map_err(judge)?;
        Ok(shards.is_empty())
    }

    /// Whether migrations are missing among those applied. Refuses a newer version's.
    fn is_behind(&self, applied: &[String]) -> Result<bool, StoreError> {
        let known: Vec<Box<dyn Migration<Pg>>> = MIGRATIONS.migrations().map_err(|error| self.failed(&error.to_string()))?;
        let known: Vec<String> = known.iter().map(|migration| migration.name().version().to_string()).collect();
        if let Some(newer) = applied.iter().find(|version| !known.contains(version)) {
            let place = self.place();
            return Err(StoreError::Mismatch(format!("{place}: made by a newer version of this program (migration {newer})")));
        }
        Ok(known.iter().any(|version| !applied.contains(version)))
    }

    /// Refuses a database with tables of another program. Asked while no other node makes tables.
    async fn claim(&self, conn: &AsyncPgConnection) -> Result<(), StoreError> {
        let tables: Vec<String> = select(conn, Tables, []).await.map_err(|error| error::judge(error).0)?;
        let is_ours = |name: &String| name == "meta" || name == "__diesel_schema_migrations";
        if tables.is_empty() || tables.iter().any(is_ours) { Ok(()) } else { Err(self.foreign()) }
    }

    fn foreign(&self) -> StoreError {
        StoreError::Mismatch(format!("{}: this is the database of another program; choose another", self.place()))
    }

    fn failed(&self, why: &str) -> StoreError {
        StoreError::Mismatch(format!("{}: the tables could not be brought up to date: {why}", self.place()))
    }

    /// Makes and changes the tables, one node at a time; the lock is the session's and ends with it.
    async fn migrate(&self, mut conn: AsyncPgConnection) -> Result<AsyncPgConnection, StoreError> {
        let judge = |error| error::judge(error).0;
        let lock =
            format!("SET statement_timeout = 0; SET lock_timeout = '{MIGRATE_WAIT}'; SELECT pg_advisory_lock(hashtext('ordermill'))");
        conn.batch_execute(&lock).await.map_err(judge)?;
        if !self.pending(&conn).await? {
            return Ok(conn);
        }
        self.claim(&conn).await?;
        let mut harness = AsyncMigrationHarness::new(conn);
        harness.run_pending_migrations(MIGRATIONS).map_err(|error| self.failed(&error.to_string()))?;
        let mut conn = harness.into_inner();
        conn.batch_execute("BEGIN").await.map_err(judge)?;
        fill(&conn, self.shards).await.map_err(|failure| failure.judge(error::judge).0)?;
        conn.batch_execute("COMMIT").await.map_err(judge)?;
        Ok(conn)
    }

    /// Refuses another number of shards than the database was made with.
    async fn check_shards(&self, conn: &AsyncPgConnection) -> Result<(), StoreError> {
        let stored = stored_shards(conn).await.map_err(|failure| failure.judge(error::judge).0)?;
        if stored == self.shards {
            return Ok(());
        }
        Err(StoreError::Mismatch(format!(
            "{}: the store was made with {} shards and cannot have {}: every order lies in its shard for good; set the number back",
            self.place(),
            stored.count(),
            self.shards.count()
        )))
    }
}

/// How a database is made.
fn create_statement(name: &str) -> String {
    format!("CREATE DATABASE \"{}\" TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'", name.replace('"', "\"\""))
}

/// The rows that a new database needs.
async fn fill(conn: &AsyncPgConnection, shards: Shards) -> Result<(), Failure> {
    let count = shards.count().to_string();
    if run(conn, PutMeta, [Value::Text("shards".to_owned()), Value::Text(count)]).await? == 0 {
        return Ok(());
    }
    let rows: Vec<_> = Role::ALL.into_iter().flat_map(|role| shards.all().map(move |shard| (role.name(), small(shard.0)))).collect();
    let (roles, numbers) = rows.into_iter().unzip();
    run(conn, PutShards, [Value::Names(roles), Value::Int2s(numbers)]).await?;
    Ok(())
}

/// A number of a shard as its column has it; there are at most 1,024.
pub(super) fn small(shard: u16) -> i16 {
    i16::try_from(shard).unwrap_or(i16::MAX)
}

/// The number of shards that the database was made with.
pub(super) async fn stored_shards(conn: &AsyncPgConnection) -> Result<Shards, Failure> {
    let values: Vec<String> = select(conn, MetaValue, [Value::Text("shards".to_owned())]).await?;
    let count = values.first().and_then(|value| value.parse().ok());
    count.and_then(Shards::new).ok_or(Failure::Column("the number of shards"))
}
