//! The one place for what cannot be: it fails a test, and is counted and logged in production.

/// A broken invariant of our own.
pub(crate) fn violated(what: &'static str, detail: &str) {
    metrics::counter!("ordermill_broken_invariants_total", "what" => what).increment(1);
    tracing::error!(what, detail, "an invariant is broken");
    if cfg!(test) {
        unreachable!("{what}: {detail}");
    }
}
