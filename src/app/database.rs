//! Which database the settings name, and how it is opened.

use crate::config::Settings;
use crate::db::postgres::{PgOptions, PgReads, PgStore};
use crate::db::sqlite::{SqliteOptions, SqliteReads, SqliteStore};
use crate::db::{Reads, Store, StoreError};
use crate::domain::{Roles, Shards};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::runtime::Handle;

/// Both sides of the database.
type Database = (Box<dyn Store>, Arc<dyn Reads>);

/// What is opened is what the address names.
enum Place {
    Sqlite(SqliteOptions),
    Postgres(PgOptions),
}

/// Opens both sides; makes the database or brings it up to date.
pub(super) async fn open(settings: &Settings, runtime: &Handle) -> Result<Database, StoreError> {
    Ok(match place(settings)? {
        Place::Sqlite(options) => {
            let store = SqliteStore::open(options.clone())?;
            (Box::new(store), Arc::new(SqliteReads::open(options, runtime.clone())?))
        }
        Place::Postgres(options) => {
            let store = PgStore::open(options.clone(), runtime.clone()).await?;
            (Box::new(store), Arc::new(PgReads::open(options, runtime.clone()).await?))
        }
    })
}

/// Opens the reading side alone, of a database that is there.
pub(super) async fn open_reads(settings: &Settings, runtime: &Handle) -> Result<Arc<dyn Reads>, StoreError> {
    Ok(match place(settings)? {
        Place::Sqlite(options) => Arc::new(SqliteReads::open(options, runtime.clone())?),
        Place::Postgres(options) => Arc::new(PgReads::open(options, runtime.clone()).await?),
    })
}

/// Lets a login of the database serve nodes that host `roles`, and those only.
pub(super) async fn grant(settings: &Settings, login: &str, roles: Roles) -> Result<(), StoreError> {
    match place(settings)? {
        Place::Sqlite(_) => Err(StoreError::Mismatch("a SQLite file has no logins: they need PostgreSQL".to_owned())),
        Place::Postgres(options) => options.grant(login, roles).await,
    }
}

/// Copies the database to a new file, beside a node that writes.
pub(super) fn back_up(settings: &Settings, copy: &Path) -> Result<(), StoreError> {
    match place(settings)? {
        Place::Sqlite(options) => options.back_up(copy),
        Place::Postgres(_) => {
            Err(StoreError::Mismatch("this copies SQLite files; for PostgreSQL use pg_dump, or pg_basebackup with archived WAL".to_owned()))
        }
    }
}

fn place(settings: &Settings) -> Result<Place, StoreError> {
    let store = &settings.store;
    let shards = Shards::new(store.shards).ok_or_else(|| StoreError::Mismatch("store.shards must be 1 to 1024".to_owned()))?;
    let url = store.url.expose();
    if let Some(path) = url.strip_prefix("sqlite:") {
        return Ok(Place::Sqlite(SqliteOptions {
            readers: store.readers,
            checkpoint_pages: store.checkpoint_kib / 4,
            log_limit_pages: store.log_limit_kib / 4,
            ..SqliteOptions::new(PathBuf::from(path), shards)
        }));
    }
    let mut options = PgOptions::new(url, shards)?;
    (options.readers, options.limits) = (store.readers, store.postgres);
    Ok(Place::Postgres(options))
}
