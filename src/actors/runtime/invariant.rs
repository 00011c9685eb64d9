//! The one place for what cannot be: counted and logged in production, the end of the process in a test.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

/// The target of the log lines about violations. Listeners use this name, so that they work wherever this file is.
pub const BROKEN_INVARIANT: &str = "ordermill::broken_invariant";

/// Whether the process ends. A panic would not do: it is one of an actor's, which is started again, and the test would pass.
static IS_THE_END: AtomicBool = AtomicBool::new(cfg!(debug_assertions));

/// For a test that reads violations from the log itself: the process continues.
pub fn go_on() {
    IS_THE_END.store(false, Ordering::Relaxed);
}

/// A broken invariant of our own.
pub fn violated(what: &'static str, detail: &str) {
    metrics::counter!("ordermill_broken_invariants_total", "what" => what).increment(1);
    tracing::error!(target: BROKEN_INVARIANT, what, detail, "an invariant is broken");
    if IS_THE_END.load(Ordering::Relaxed) {
        // Not by a macro: a test's own output is kept back until its end, which never comes.
        let _is_told = writeln!(std::io::stderr(), "an invariant is broken: {what}: {detail}");
        std::process::abort();
    }
}
