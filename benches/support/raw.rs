//! The least that can be put on SQLite's C interface: a connection, and statements with values.

#![expect(unsafe_code, reason = "the yardstick must not pay for a library's safety")]

use libsqlite3_sys as ffi;
use std::ffi::{CStr, CString};
use std::path::Path;
use std::ptr;

/// An open connection.
pub struct Raw(*mut ffi::sqlite3);

impl Raw {
    /// Opens a file that exists.
    pub fn open(path: &Path) -> Self {
        let name = CString::new(path.to_str().expect("a UTF-8 path")).expect("no zero in a path");
        let mut db = ptr::null_mut();
        let flags = ffi::SQLITE_OPEN_READWRITE | ffi::SQLITE_OPEN_NOMUTEX;
        // SAFETY: the name is a C string and `db` a place for the result.
        let code = unsafe { ffi::sqlite3_open_v2(name.as_ptr(), &mut db, flags, ptr::null()) };
        assert_eq!(code, ffi::SQLITE_OK, "open {path:?}");
        Self(db)
    }

    /// Runs statements without values.
    pub fn exec(&self, sql: &str) {
        let text = CString::new(sql).expect("no zero in SQL");
        // SAFETY: the connection is open and the text a C string.
        let code = unsafe { ffi::sqlite3_exec(self.0, text.as_ptr(), None, ptr::null_mut(), ptr::null_mut()) };
        self.check(code, sql);
    }

    /// Prepares a statement for many runs.
    pub fn prepare(&self, sql: &str) -> Statement<'_> {
        let text = CString::new(sql).expect("no zero in SQL");
        let mut statement = ptr::null_mut();
        // SAFETY: as above; the statement is finalised by its drop, before the connection's.
        let code =
            unsafe { ffi::sqlite3_prepare_v3(self.0, text.as_ptr(), -1, ffi::SQLITE_PREPARE_PERSISTENT, &mut statement, ptr::null_mut()) };
        self.check(code, sql);
        Statement { raw: self, statement }
    }

    fn check(&self, code: i32, what: &str) {
        if !matches!(code, ffi::SQLITE_OK | ffi::SQLITE_DONE | ffi::SQLITE_ROW) {
            // SAFETY: SQLite's message is a C string that lives until the next call.
            let message = unsafe { CStr::from_ptr(ffi::sqlite3_errmsg(self.0)) };
            panic!("{what}: {message:?}");
        }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // SAFETY: all statements borrow this, so none is left.
        unsafe { ffi::sqlite3_close(self.0) };
    }
}

/// A value.
#[derive(Clone, Copy)]
pub enum V<'a> {
    B(&'a [u8]),
    T(&'a str),
    I(i64),
    N,
}

/// A prepared statement.
pub struct Statement<'a> {
    raw: &'a Raw,
    statement: *mut ffi::sqlite3_stmt,
}

impl Statement<'_> {
    /// Runs it and says how many rows it changed, or whether it found one.
    pub fn run<const N: usize>(&self, values: [V<'_>; N]) -> usize {
        for (index, value) in (1..).zip(values) {
            // SAFETY: the bytes outlive the step below, after which nothing reads them: the next run binds each value anew.
            unsafe {
                match value {
                    V::B(bytes) => {
                        ffi::sqlite3_bind_blob(self.statement, index, bytes.as_ptr().cast(), bytes.len() as i32, ffi::SQLITE_STATIC())
                    }
                    V::T(text) => {
                        ffi::sqlite3_bind_text(self.statement, index, text.as_ptr().cast(), text.len() as i32, ffi::SQLITE_STATIC())
                    }
                    V::I(number) => ffi::sqlite3_bind_int64(self.statement, index, number),
                    V::N => ffi::sqlite3_bind_null(self.statement, index),
                };
            }
        }
        // SAFETY: the statement is alive.
        unsafe {
            let code = ffi::sqlite3_step(self.statement);
            self.raw.check(code, "step");
            let count = if code == ffi::SQLITE_ROW { 1 } else { ffi::sqlite3_changes(self.raw.0) as usize };
            ffi::sqlite3_reset(self.statement);
            count
        }
    }
}

impl Statement<'_> {
    /// Reads all rows of a query without parameters: how many there are, and the bytes of their columns, each of which is touched.
    #[allow(dead_code, reason = "not every bench reads")]
    pub fn scan(&self) -> (u64, u64) {
        let (mut rows, mut bytes) = (0, 0);
        // SAFETY: the statement is alive; a column's bytes live until the next step.
        unsafe {
            let columns = ffi::sqlite3_column_count(self.statement);
            while ffi::sqlite3_step(self.statement) == ffi::SQLITE_ROW {
                rows += 1;
                for column in 0..columns {
                    let _touched = ffi::sqlite3_column_blob(self.statement, column);
                    bytes += ffi::sqlite3_column_bytes(self.statement, column) as u64;
                }
            }
            ffi::sqlite3_reset(self.statement);
        }
        (rows, bytes)
    }
}

impl Drop for Statement<'_> {
    fn drop(&mut self) {
        // SAFETY: it is finalised once.
        unsafe { ffi::sqlite3_finalize(self.statement) };
    }
}
