//! A connection that knows the result code of its last failure. The driver keeps SQLite's text of a failure and drops its code, and a
//! text says little: a trigger can say whatever it likes.
//!
//! SQLite holds the code until the next call, and the driver makes one before it returns. So it is looked up while the driver reports the
//! failure to its instrumentation, which is in time. It does not report a SELECT whose step fails; for that,
//! [`code_of_text`] asks the library which of its codes has this text.

#![expect(unsafe_code, reason = "the driver gives no way to a connection's result code")]

use diesel::ConnectionError;
use diesel::connection::{Connection as _, Instrumentation, InstrumentationEvent};
use diesel::sqlite::SqliteConnection;
use libsqlite3_sys as ffi;
use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Once};

/// A connection, and the code of its last failure.
pub(super) struct Connection {
    conn: SqliteConnection,
    code: Arc<AtomicI32>,
}

impl Connection {
    /// Opens a connection; see `SqliteConnection::establish`.
    pub(super) fn open(url: &str) -> Result<Self, ConnectionError> {
        show_handles();
        OPENED.set(None);
        let mut conn = SqliteConnection::establish(url)?;
        let code = Arc::new(AtomicI32::new(ffi::SQLITE_OK));
        if let Some(handle) = OPENED.take() {
            conn.set_instrumentation(Watch { handle, code: code.clone() });
        }
        Ok(Self { conn, code })
    }

    /// The extended result code of the statement that failed last, if the driver has reported it.
    pub(super) fn code(&self) -> Option<c_int> {
        Some(self.code.load(Ordering::Relaxed)).filter(|code| *code != ffi::SQLITE_OK)
    }
}

impl Deref for Connection {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.conn
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.conn
    }
}

/// The result code that SQLite tells with exactly this text, in the version that is linked.
pub(super) fn code_of_text(text: &str) -> Option<c_int> {
    let tells = |code: &c_int| {
        // SAFETY: any number may be asked for; the answer is a text that lives as long as the program.
        let told = unsafe { CStr::from_ptr(ffi::sqlite3_errstr(*code)) };
        told.to_str() == Ok(text)
    };
    (ffi::SQLITE_ERROR..=ffi::SQLITE_NOTADB).find(tells)
}

thread_local! {
    /// SQLite's handle of the connection that this thread opened last.
    static OPENED: Cell<Option<NonNull<ffi::sqlite3>>> = const { Cell::new(None) };
}

/// Has SQLite show the handle of each connection that is opened in this process.
fn show_handles() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: `opened` has the type that SQLite calls it with, and lives as long as the program.
        let code = unsafe { ffi::sqlite3_auto_extension(Some(opened)) };
        if code != ffi::SQLITE_OK {
            tracing::warn!(code, "SQLite's result codes cannot be read");
        }
    });
}

unsafe extern "C" fn opened(handle: *mut ffi::sqlite3, _: *mut *mut c_char, _: *const ffi::sqlite3_api_routines) -> c_int {
    // A thread that ends may have no such variable any more.
    let _is_kept = OPENED.try_with(|opened| opened.set(NonNull::new(handle)));
    ffi::SQLITE_OK
}

/// Keeps the code of a failure while SQLite still knows it.
struct Watch {
    handle: NonNull<ffi::sqlite3>,
    code: Arc<AtomicI32>,
}

// SAFETY: the driver owns this with the connection of the handle, calls it between two uses of that connection, on the same thread, and
// never after its end.
unsafe impl Send for Watch {}

impl Instrumentation for Watch {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        if let InstrumentationEvent::StartQuery { .. } = event {
            self.code.store(ffi::SQLITE_OK, Ordering::Relaxed);
        }
        if let InstrumentationEvent::FinishQuery { error: Some(_), .. } = event {
            // SAFETY: the connection is open, for it has just reported this.
            let code = unsafe { ffi::sqlite3_extended_errcode(self.handle.as_ptr()) };
            self.code.store(code, Ordering::Relaxed);
        }
    }
}
