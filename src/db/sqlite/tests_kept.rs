//! What is kept, and how long the write-ahead log grows.

use super::tests::{Desk, options, place};
use super::{SqliteReads, SqliteStore};
use crate::db::{Batch, NewWriter, Reads as _, Store as _};
use crate::domain::Role;
use diesel::connection::SimpleConnection as _;
use futures_util::FutureExt as _;
use tokio::runtime::Handle;

/// The tables that `docs/retention.md` names.
fn kept_tables() -> Vec<String> {
    let text = include_str!("../../../docs/retention.md");
    let tables = text.split("## In memory").next().unwrap_or_default();
    let name = |line: &str| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned());
    tables.lines().filter_map(name).collect()
}

#[test]
fn every_table_is_in_the_list_of_what_is_kept() {
    let mut desk = Desk::new();
    let names = diesel::sql_query("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'");
    let found: Vec<Named> = diesel::RunQueryDsl::load(names, &mut **desk.store.conn().unwrap()).unwrap();
    let mut tables: Vec<String> = found.into_iter().map(|row| row.name).collect();
    assert!(tables.len() > 15, "{tables:?}");
    for folder in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/postgres")).unwrap() {
        let up = std::fs::read_to_string(folder.unwrap().path().join("up.sql")).unwrap();
        let made = up.lines().filter_map(|line| line.trim_start().strip_prefix("CREATE TABLE "));
        tables.extend(made.map(|rest| rest.split([' ', '(']).next().unwrap().to_owned()));
    }
    let kept = kept_tables();
    for table in &tables {
        assert!(kept.contains(table), "docs/retention.md does not say how long the rows of {table} are kept");
    }
    let settings = include_str!("../../../config/default.toml");
    for setting in include_str!("../../../docs/retention.md").split('`').filter(|text| text.contains('.') && text.contains('_')) {
        let name = setting.rsplit_once('.').unwrap().1;
        assert!(settings.contains(&format!("\n{name} = ")), "there is no setting {setting}");
    }
}

#[derive(diesel::QueryableByName)]
struct Named {
    #[diesel(sql_type = diesel::sql_types::Text)]
    name: String,
}

/// A reader that lets go between its steps, as a backup does, gets a short log for it.
#[test]
fn a_log_that_a_reader_holds_up_begins_anew_as_soon_as_it_lets_go() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(folder.path());
    (options.checkpoint_pages, options.log_limit_pages) = (16_384, 256);
    let path = options.path.clone();
    let mut store = SqliteStore::open(options.clone()).unwrap();
    let writer = store.start_writer(&NewWriter::of_all_roles("node", "", 1000)).now_or_never().unwrap().unwrap();
    let mut reader = options.connect_reader().unwrap();
    let (mut commits, mut last_seq, mut next) = (writer.commits, writer.last_seq, 1);
    let mut write = |store: &mut SqliteStore| {
        let batch = Batch { writer: writer.writer, commits, last_seq, writes: (0..32).map(|n| place(next + n)).collect() };
        (commits, next) = (commits + 1, next + 32);
        last_seq = store.commit(&batch).now_or_never().unwrap().unwrap().last_seq;
    };
    let length = || std::fs::metadata(format!("{}-wal", path.display())).unwrap().len() / 4096;
    for round in 0..12 {
        reader.batch_execute("BEGIN; SELECT count(*) FROM orders").unwrap();
        (0..6).for_each(|_| write(&mut store));
        reader.batch_execute("COMMIT").unwrap();
        (0..6).for_each(|_| write(&mut store));
        assert!(length() < 3_000, "round {round}: the log has {} pages", length());
    }
}

/// It went on from Kafka's offsets, and does so once more; a new one reads from the beginning.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_before_places_were_stored_is_marked() {
    let mut desk = Desk::new();
    let options = options(desk.folder.path());
    let reads = SqliteReads::open(options.clone(), Handle::current()).unwrap();
    let is_upgraded = async || reads.consumed(Role::Order).await.unwrap().is_upgraded;
    assert!(!is_upgraded().await);
    desk.execute("DROP TABLE consumed; DELETE FROM __diesel_schema_migrations WHERE version = '00000000000090'");
    let Desk { store, folder: _keep, .. } = desk;
    drop(store);
    drop(SqliteStore::open(options).unwrap());
    assert!(is_upgraded().await);
}
