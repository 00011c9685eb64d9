//! The one place for what cannot be: it fails a test, and is counted and logged in production.

/// The target of the log lines that tell of one: what listens for them names it, so that it hears them wherever this file lies.
pub const BROKEN_INVARIANT: &str = "ordermill::broken_invariant";

/// A broken invariant of our own.
pub(crate) fn violated(what: &'static str, detail: &str) {
    metrics::counter!("ordermill_broken_invariants_total", "what" => what).increment(1);
    tracing::error!(target: BROKEN_INVARIANT, what, detail, "an invariant is broken");
    if cfg!(test) {
        unreachable!("{what}: {detail}");
    }
}
