//! How a service actor has fared, and whether the node is ready with it.

use crate::actors::node::Node;
use crate::saga::policy::Restarts;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How a service actor has fared, and whether the node is ready with it.
pub(crate) struct Health {
    node: Arc<Node>,
    part: String,
    restarts: Restarts,
    began: Instant,
    last_death: Instant,
}

impl Health {
    pub(crate) fn new(node: &Arc<Node>, part: String) -> Self {
        let now = Instant::now();
        Self { node: node.clone(), part, restarts: Restarts::default(), began: now, last_death: now }
    }

    /// Counts a death and says how long to wait before the restart, in milliseconds.
    pub(crate) fn died(&mut self, cause: &str) -> u64 {
        let settings = &self.node.settings;
        self.last_death = Instant::now();
        let now_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        match self.restarts.count(settings.restart_limit, now_ms) {
            Ok(count) => settings.restart_backoff.after(count),
            Err(passed) => {
                self.node.counters.set_not_ready(&self.part, Some(&format!("{passed}: {cause}")));
                settings.restart_backoff.most_ms
            }
        }
    }

    /// How long it must live on to count as healed.
    pub(crate) fn proof(&self) -> Duration {
        Duration::from_millis(self.node.settings.restart_limit.window_ms)
    }

    /// That time has passed since one of its deaths: healed, unless there was another meanwhile.
    pub(crate) fn proved(&self) {
        if self.last_death.elapsed() >= self.proof() {
            self.node.counters.set_not_ready(&self.part, None);
        }
    }
}
