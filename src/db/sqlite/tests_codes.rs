//! Failures are known by their codes, whatever their texts say.

use super::codes::code_of_text;
use super::error::{Blame, judge};
use super::tests::{Desk, options, order, place};
use super::{SqliteReads, codes::Connection};
use crate::db::{CommitError, Reads as _, StoreError};
use diesel::connection::SimpleConnection as _;
use diesel::result::{DatabaseErrorKind, Error};
use libsqlite3_sys as ffi;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

#[test]
fn a_failure_is_judged_by_its_code_in_whatever_language_it_is_told() {
    let of = |code: i32| {
        let error = Error::DatabaseError(DatabaseErrorKind::Unknown, Box::new("ein Fehler".to_owned()));
        judge(error, Some(code), Path::new("/nowhere/orders.db"))
    };
    for code in [ffi::SQLITE_BUSY, ffi::SQLITE_BUSY_SNAPSHOT, ffi::SQLITE_LOCKED, ffi::SQLITE_NOMEM, ffi::SQLITE_INTERRUPT] {
        assert!(matches!(of(code), (StoreError::Unavailable(_), Blame::Database)), "{code}: {:?}", of(code));
    }
    for code in [ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_CANTOPEN, ffi::SQLITE_SCHEMA] {
        assert!(matches!(of(code), (StoreError::Unavailable(_), Blame::Connection)), "{code}: {:?}", of(code));
    }
    assert!(matches!(of(ffi::SQLITE_FULL), (StoreError::Full(_), Blame::Database)));
    assert!(matches!(of(ffi::SQLITE_READONLY_DIRECTORY), (StoreError::ReadOnly(_), Blame::Connection)));
    for code in [ffi::SQLITE_CORRUPT, ffi::SQLITE_CORRUPT_INDEX, ffi::SQLITE_NOTADB] {
        assert!(matches!(of(code), (StoreError::Corrupt(_), Blame::Connection)), "{code}: {:?}", of(code));
    }
    for code in [ffi::SQLITE_ERROR, ffi::SQLITE_CONSTRAINT_TRIGGER, ffi::SQLITE_CONSTRAINT_CHECK, ffi::SQLITE_TOOBIG] {
        assert!(matches!(of(code), (StoreError::Statement(_), Blame::Write)), "{code}: {:?}", of(code));
    }
}

#[test]
fn a_refused_write_is_no_failure_of_the_database_however_it_is_told() {
    let mut desk = Desk::new();
    let texts = ["database is locked", "database or disk is full", "disk I/O error", "database disk image is malformed", "out of memory"];
    for (n, text) in (1..).zip(texts) {
        let trigger = format!(
            "DROP TRIGGER IF EXISTS refuses; CREATE TRIGGER refuses BEFORE INSERT ON orders BEGIN SELECT RAISE(ABORT, '{text}'); END"
        );
        desk.store.conn().unwrap().batch_execute(&trigger).unwrap();
        let error = desk.commit(vec![place(n)]).unwrap_err();
        assert!(matches!(error, CommitError::BadWrite(StoreError::Statement(_))), "{text}: {error:?}");
        desk.store.conn().unwrap().batch_execute("DROP TRIGGER refuses").unwrap();
        desk.commit(vec![place(n)]).unwrap();
    }
}

#[test]
fn a_connection_keeps_the_extended_code_of_its_last_failure() {
    let mut conn = Connection::open(":memory:").unwrap();
    assert_eq!(conn.code(), None);
    conn.batch_execute("CREATE TABLE t (n INTEGER CHECK (n > 0))").unwrap();
    conn.batch_execute("INSERT INTO t VALUES (0)").unwrap_err();
    assert_eq!(conn.code(), Some(ffi::SQLITE_CONSTRAINT_CHECK));
    conn.batch_execute("INSERT INTO t VALUES (1)").unwrap();
    assert_eq!(conn.code(), None, "of the last statement alone");
    conn.batch_execute("ROLLBACK").unwrap_err();
    assert_eq!(conn.code(), Some(ffi::SQLITE_ERROR));
    // The driver uses the connection again between a failed insert with values and its answer.
    let mut other = Connection::open(":memory:").unwrap();
    other.batch_execute("CREATE TABLE t (n TEXT CHECK (n <> ''))").unwrap();
    let insert = diesel::sql_query("INSERT INTO t VALUES (?)").bind::<diesel::sql_types::Text, _>("");
    diesel::RunQueryDsl::execute(insert, &mut *other).unwrap_err();
    assert_eq!(other.code(), Some(ffi::SQLITE_CONSTRAINT_CHECK));
    assert_eq!(conn.code(), Some(ffi::SQLITE_ERROR), "each has its own");
}

#[test]
fn the_library_knows_its_own_texts() {
    let texts =
        [(ffi::SQLITE_BUSY, "database is locked"), (ffi::SQLITE_IOERR, "disk I/O error"), (ffi::SQLITE_NOTADB, "file is not a database")];
    for (code, text) in texts {
        assert_eq!(code_of_text(text), Some(code));
    }
    assert_eq!(code_of_text("ein Fehler"), None);
}

#[tokio::test]
async fn a_read_that_meets_a_damaged_page_says_so() {
    let mut desk = Desk::new();
    desk.commit((1..200).map(place).collect()).unwrap();
    desk.store.conn().unwrap().batch_execute("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let pages: i64 = root_page(desk.store.conn().unwrap());
    desk.store.conn = None;
    let options = options(desk.folder.path());
    let file = std::fs::OpenOptions::new().write(true).open(&options.path).unwrap();
    file.write_all_at(&[0xff; 4096], u64::try_from((pages - 1) * 4096).unwrap()).unwrap();
    let reads = SqliteReads::open(options, tokio::runtime::Handle::current()).unwrap();
    let error = reads.order(order(7).id).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
    let error = desk.commit(vec![place(201)]).unwrap_err();
    assert!(matches!(error, CommitError::NotWritten(StoreError::Corrupt(_))), "{error:?}");
}

/// Where the tree of the orders begins.
fn root_page(conn: &mut Connection) -> i64 {
    #[derive(diesel::QueryableByName)]
    struct Root {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        rootpage: i64,
    }
    let query = diesel::sql_query("SELECT rootpage FROM sqlite_schema WHERE name = 'orders'");
    diesel::RunQueryDsl::get_result::<Root>(query, &mut **conn).unwrap().rootpage
}
