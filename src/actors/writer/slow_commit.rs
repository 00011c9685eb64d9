//! Watches the commit that runs: a database that takes a transaction and does not answer gives no error, and everybody waits.
//!
//! Past [`ActorSettings::slow_commit_ms`](crate::actors::node::ActorSettings) it is said, once for each commit; past `stuck_commit_ms` the node is not
//! ready, until the commit has ended.

use crate::actors::node::Node;
use crate::actors::runtime::pause::pause;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Looks until the node stops.
pub(crate) async fn watch(node: Arc<Node>) {
    let mut is_told = false;
    while !node.counters.stopping.load(Ordering::Acquire) {
        pause(node.settings.cluster_tick_ms).await;
        let age = node.journal.commit_age().unwrap_or_default();
        let is_slow = age >= Duration::from_millis(node.settings.slow_commit_ms);
        if is_slow && !is_told {
            tracing::warn!(age_ms = age.as_millis(), "the database has not answered a commit yet; all writes wait for it");
        } else if is_told && !is_slow {
            tracing::info!("the database answers commits again");
        }
        is_told = is_slow;
        let is_stuck = age >= Duration::from_millis(node.settings.stuck_commit_ms);
        let why = is_stuck.then(|| format!("a commit has not been answered for {} s", age.as_secs()));
        node.counters.set_not_ready("commit", why.as_deref());
    }
}
