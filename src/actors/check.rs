//! The one place for what cannot be: counted and logged. Unit tests and the simulation fail of it.

/// A broken invariant of our own.
pub(crate) fn broken(what: &'static str, detail: &str) {
    metrics::counter!("ordermill_broken_invariants_total", "what" => what).increment(1);
    tracing::error!(what, detail, "an invariant is broken");
    #[cfg(test)]
    std::panic::panic_any(format!("{what}: {detail}"));
}
