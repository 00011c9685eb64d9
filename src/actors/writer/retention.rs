//! What the journal deletes because it is old, and when. `docs/retention.md` has the whole list.

use crate::actors::node::Node;
use crate::db::{Deleted, Publishing, Retention};
use crate::domain::Timestamp;
use std::time::Duration;

/// How often old rows are looked for.
pub(super) const EVERY: Duration = Duration::from_secs(60);
/// And how soon again after a full sweep.
const SOON: Duration = Duration::from_millis(50);
/// So many rows of a table are deleted at once; writes wait meanwhile.
const ROWS: u32 = 1_000;

/// What may go now.
pub(super) fn now(node: &Node, publishing: Publishing) -> Retention {
    let (now, settings) = (node.now().0, &node.settings);
    let before = |keep_ms: u64| Timestamp(now.saturating_sub(i64::try_from(keep_ms).unwrap_or(i64::MAX).saturating_mul(1000)));
    Retention {
        events_before: before(settings.keep_events_ms),
        keys_before: Timestamp(now),
        letters_before: before(settings.keep_letters_ms),
        audit_before: before(settings.keep_audit_ms),
        copies_before: before(settings.keep_copies_ms),
        held_before: before(settings.keep_held_ms),
        publishing,
        limit: ROWS,
    }
}

/// When to look again after a sweep that has deleted so much.
pub(super) fn after(deleted: Deleted) -> Duration {
    if deleted.held > 0 {
        tracing::warn!(events = deleted.held, "events whose order never came were given up");
    }
    if deleted.most() >= ROWS as usize { SOON } else { EVERY }
}
