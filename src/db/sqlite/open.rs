//! Files and connections: settings, the lock beside the file, migrations, and the checks that the file is ours.

use super::codes::Connection;
use super::error::{self, Failure};
use super::statement::{Sql, Value, insert, run, select, sql};
use crate::db::error::StoreError;
use crate::domain::{Role, Shards};
use diesel::connection::SimpleConnection;
use diesel::migration::{Migration, MigrationSource};
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::{Sqlite, SqliteConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
/// `PRAGMA application_id` of our files: "omil".
const APPLICATION_ID: i64 = 0x6f6d_696c;

/// When a commit is forced to the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Synchronous {
    /// At every commit: nothing that was acknowledged is lost, whatever fails.
    Full,
    /// At checkpoints: a power cut may lose the last commits. For measurements.
    Normal,
    /// Never. For tests.
    Off,
}

impl Synchronous {
    fn name(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Normal => "NORMAL",
            Self::Off => "OFF",
        }
    }

    /// As `PRAGMA synchronous` answers it.
    fn level(self) -> i64 {
        match self {
            Self::Full => 2,
            Self::Normal => 1,
            Self::Off => 0,
        }
    }
}

/// How a database file is opened.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// The file; made, with its folder, if it does not exist.
    pub path: PathBuf,
    /// The number of shards; fixed when the file is made.
    pub shards: Shards,
    /// When a commit is forced to the disk.
    pub synchronous: Synchronous,
    /// The writer's page cache, in KiB; a reader has a sixteenth of it.
    pub cache_kib: u32,
    /// How many pages (of 4 KiB) of the write-ahead log are moved into the file together, in parallel with the writer.
    pub checkpoint_pages: u32,
    /// At this many pages the writer itself moves the write-ahead log into the file and restarts it.
    pub log_limit_pages: u32,
    /// How long a statement waits for another process's lock, in milliseconds.
    pub busy_timeout_ms: u32,
    /// How many reads run at once.
    pub readers: u32,
}

impl SqliteOptions {
    /// The defaults for the file at `path`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, shards: Shards) -> Self {
        Self {
            path: path.into(),
            shards,
            synchronous: Synchronous::Full,
            cache_kib: 16 * 1024,
            checkpoint_pages: 2 * 1024,
            log_limit_pages: 8 * 1024,
            busy_timeout_ms: 250,
            readers: 4,
        }
    }

    /// As SQLite takes it; `mode` is `rw` (the file must be there) or `rwc` (it is made if need be).
    fn url(&self, mode: &str) -> Result<String, StoreError> {
        let path = std::path::absolute(&self.path).map_err(|error| io(&self.path, &error))?;
        let text = path.to_str().ok_or_else(|| StoreError::Mismatch(format!("{}: the path is not UTF-8", path.display())))?;
        let text = text.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
        Ok(format!("file:{text}?mode={mode}"))
    }

    /// Opens the writing connection; see [`Self::url`] for `mode`.
    pub(super) fn connect_writer(&self, mode: &str) -> Result<Connection, StoreError> {
        let pragmas = format!(
            "PRAGMA busy_timeout = {}; PRAGMA journal_mode = WAL; PRAGMA synchronous = {}; PRAGMA cache_size = -{}; \
             PRAGMA wal_autocheckpoint = 0; PRAGMA foreign_keys = OFF; PRAGMA temp_store = MEMORY;",
            self.busy_timeout_ms,
            self.synchronous.name(),
            self.cache_kib
        );
        let mut conn = self.connect(mode, &pragmas)?;
        self.check_durable(&mut conn)?;
        Ok(conn)
    }

    /// Asks SQLite what it really does. The way it was compiled, or a file system without shared memory, can keep it from writing
    /// ahead, and it does not report that as a failure.
    fn check_durable(&self, conn: &mut Connection) -> Result<(), StoreError> {
        let writes_ahead = self.number(conn, WritesAhead)?;
        let level = self.number(conn, SyncLevel)?;
        if writes_ahead == 1 && level == self.synchronous.level() {
            return Ok(());
        }
        let why = "SQLite keeps no write-ahead log here, or does not sync as asked: use a local file system, or PostgreSQL";
        Err(StoreError::Mismatch(format!("{}: {why}", self.path.display())))
    }

    /// The answer to a question of one number.
    fn number<S: Sql<Row = BigInt>>(&self, conn: &mut Connection, question: S) -> Result<i64, StoreError> {
        let rows = select::<_, i64, 0>(conn, question, []).map_err(|error| error::judge(error, conn.code(), &self.path).0)?;
        Ok(rows.into_iter().sum())
    }

    /// Opens a reading connection to a file that exists.
    pub(super) fn connect_reader(&self) -> Result<Connection, StoreError> {
        let pragmas = format!(
            "PRAGMA busy_timeout = {}; PRAGMA query_only = ON; PRAGMA cache_size = -{}; PRAGMA temp_store = MEMORY;",
            self.busy_timeout_ms,
            (self.cache_kib / 16).max(2048)
        );
        let mut conn = self.connect("rw", &pragmas)?;
        self.claim(&mut conn)?;
        Ok(conn)
    }

    fn connect(&self, mode: &str, pragmas: &str) -> Result<Connection, StoreError> {
        let mut conn = Connection::open(&self.url(mode)?).map_err(|e| error::connect(&e, &self.path))?;
        conn.batch_execute(pragmas).map_err(|e| error::judge(e, conn.code(), &self.path).0)?;
        Ok(conn)
    }

    /// The exclusive lock on the data, and the writing connection to a file that is made and migrated if need be.
    pub(super) fn open_writer(&self) -> Result<(File, Connection), StoreError> {
        if let Some(folder) = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|error| io(folder, &error))?;
        }
        let lock = lock(&self.path)?;
        self.forget_what_is_not_on_the_disk()?;
        let mut conn = self.connect_writer("rwc")?;
        self.claim(&mut conn)?;
        self.migrate(&mut conn)?;
        fill(&mut conn, self.shards).map_err(|failure| failure.judge(|error| error::judge(error, conn.code(), &self.path)).0)?;
        self.check_shards(&mut conn)?;
        Ok((lock, conn))
    }

    /// Has the system read the write-ahead log from the disk: after a sync that failed, it may show what it could not write, and what is
    /// stored behind that would be lost with it.
    fn forget_what_is_not_on_the_disk(&self) -> Result<(), StoreError> {
        let mut name = self.path.as_os_str().to_owned();
        name.push("-wal");
        let name = PathBuf::from(name);
        let file = match OpenOptions::new().read(true).write(true).open(&name) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(io(&name, &error)),
        };
        // Only what is written can be forgotten.
        file.sync_all().map_err(|error| io(&name, &error))?;
        // Not every file system has a cache to drop.
        let _is_dropped = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
        Ok(())
    }

    /// Refuses another program's database.
    fn claim(&self, conn: &mut Connection) -> Result<(), StoreError> {
        let id = self.number(conn, ApplicationId)?;
        let tables = self.number(conn, CountTables)?;
        match (id, tables) {
            (APPLICATION_ID, _) => Ok(()),
            (0, 0) => {
                let claimed = conn.batch_execute(&format!("PRAGMA application_id = {APPLICATION_ID}"));
                claimed.map_err(|error| error::judge(error, conn.code(), &self.path).0)
            }
            _ => {
                Err(StoreError::Mismatch(format!("{}: this is the database of another program; choose another file", self.path.display())))
            }
        }
    }

    fn migrate(&self, conn: &mut SqliteConnection) -> Result<(), StoreError> {
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
            StoreError::Mismatch(format!("{}: the tables could not be brought up to date: {error}", self.path.display()))
        };
        let applied = conn.applied_migrations().map_err(failed)?;
        let known: Vec<Box<dyn Migration<Sqlite>>> = MIGRATIONS.migrations().map_err(failed)?;
        let known: Vec<_> = known.iter().map(|migration| migration.name().version().to_string()).collect();
        if let Some(newer) = applied.iter().find(|version| !known.contains(&version.to_string())) {
            let file = self.path.display();
            return Err(StoreError::Mismatch(format!("{file}: made by a newer version of this program (migration {newer})")));
        }
        conn.run_pending_migrations(MIGRATIONS).map_err(failed)?;
        Ok(())
    }

    /// Refuses another number of shards than the file was made with.
    pub(super) fn check_shards(&self, conn: &mut Connection) -> Result<(), StoreError> {
        let stored = stored_shards(conn).map_err(|failure| failure.judge(|error| error::judge(error, conn.code(), &self.path)).0)?;
        if stored == self.shards {
            return Ok(());
        }
        Err(StoreError::Mismatch(format!(
            "{}: the store was made with {} shards and cannot have {}: every order lies in its shard for good; set the number back",
            self.path.display(),
            stored.count(),
            self.shards.count()
        )))
    }
}

sql!(ApplicationId, "SELECT application_id FROM pragma_application_id" => BigInt);
sql!(WritesAhead, "SELECT journal_mode = 'wal' FROM pragma_journal_mode" => BigInt);
sql!(SyncLevel, "SELECT synchronous FROM pragma_synchronous" => BigInt);
sql!(CountTables, "SELECT count(*) FROM sqlite_schema" => BigInt);
sql!(MetaValue, "SELECT value FROM meta WHERE name = ?" => Text);
sql!(PutMeta, "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING");
sql!(PutShards, "INSERT INTO shards (role, shard) VALUES ", " ON CONFLICT (role, shard) DO NOTHING");

/// The rows that a new file needs. After a failure the transaction is still open: the connection is to be closed.
fn fill(conn: &mut SqliteConnection, shards: Shards) -> Result<(), Failure> {
    conn.batch_execute("BEGIN IMMEDIATE")?;
    let count = shards.count().to_string();
    if run(conn, PutMeta, [Value::Text("shards"), Value::Text(&count)])? == 1 {
        let of_role = |role: Role| shards.all().map(move |shard| [Value::Text(role.name()), Value::Int(i64::from(shard.0))]);
        let rows: Vec<_> = Role::ALL.into_iter().flat_map(of_role).collect();
        insert(conn, PutShards, &rows)?;
    }
    Ok(conn.batch_execute("COMMIT")?)
}

/// The number of shards that the file was made with.
pub(super) fn stored_shards(conn: &mut SqliteConnection) -> Result<Shards, Failure> {
    let values: Vec<String> = select(conn, MetaValue, [Value::Text("shards")])?;
    let count = values.first().and_then(|value| value.parse().ok());
    count.and_then(Shards::new).ok_or(Failure::Column("the number of shards"))
}

/// The lock of the one process that may write: held until the file is closed, whatever ends the process.
fn lock(path: &Path) -> Result<File, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&name).map_err(|error| io(&name, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(path.display().to_string())),
        Err(TryLockError::Error(error)) => Err(io(&name, &error)),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the standard library's enum, which may grow; what is not told apart may pass")]
pub(super) fn io(path: &Path, error: &std::io::Error) -> StoreError {
    let told = format!("{}: {error}", path.display());
    match error.kind() {
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly(told),
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => StoreError::Full(told),
        _ => StoreError::Unavailable(told),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diesel::QueryableByName;
    use diesel::{Connection as _, RunQueryDsl as _};

    fn options(folder: &Path) -> SqliteOptions {
        SqliteOptions::new(folder.join("orders.db"), Shards::new(1).unwrap())
    }

    #[test]
    fn a_database_that_does_not_write_ahead_or_does_not_sync_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let options = options(folder.path());
        let mut conn = options.connect_writer("rwc").unwrap();
        options.check_durable(&mut conn).unwrap();
        conn.batch_execute("PRAGMA synchronous = OFF").unwrap();
        assert!(options.check_durable(&mut conn).unwrap_err().to_string().contains("does not sync as asked"));
        // SQLite takes the pragma and keeps no log, as on a file system without shared memory.
        let mut conn = Connection::open(":memory:").unwrap();
        conn.batch_execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL").unwrap();
        assert!(options.check_durable(&mut conn).unwrap_err().to_string().contains("no write-ahead log"));
    }

    /// The flags of `.cargo/config.toml` are in force: they make it quick, and none of what is promised rests on them.
    #[test]
    fn sqlite_is_compiled_as_asked() {
        #[derive(QueryableByName)]
        struct Flag {
            #[diesel(sql_type = Text)]
            compile_options: String,
        }
        let mut conn = SqliteConnection::establish(":memory:").unwrap();
        let flags: Vec<Flag> = diesel::sql_query("PRAGMA compile_options").load(&mut conn).unwrap();
        let flags: Vec<String> = flags.into_iter().map(|flag| flag.compile_options).collect();
        for wanted in ["THREADSAFE=2", "DEFAULT_MEMSTATUS=0"] {
            assert!(flags.iter().any(|flag| flag == wanted), "{wanted} is missing: {flags:?}");
        }
        for unwanted in ["ENABLE_API_ARMOR", "ENABLE_MEMORY_MANAGEMENT", "OMIT_WAL", "NO_SYNC"] {
            assert!(!flags.iter().any(|flag| flag == unwanted), "{unwanted} is there: {flags:?}");
        }
    }
}
