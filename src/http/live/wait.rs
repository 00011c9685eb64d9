//! Waits until an order is settled, or until it has waited long enough.

use crate::db::StoredOrder;
use crate::domain::OrderId;
use crate::http::door::state::HttpState;
use crate::http::wire::problem::{Problem, ProblemKind};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, TryAcquireError};
use tokio::time::Instant;

/// An order of which another node's actor may be the owner is looked at this often while somebody waits for it.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Leave to wait; there is only so much of it.
pub(crate) struct Wait {
    until: Instant,
    applied: Duration,
    _place: OwnedSemaphorePermit,
}

impl Wait {
    /// Leave to wait for `wait`, cut to the longest.
    ///
    /// # Errors
    /// Too many wait.
    pub(crate) fn begin(state: &Arc<HttpState>, wait: Duration) -> Result<Self, Problem> {
        let place = state.waiting.clone().try_acquire_owned().map_err(|error| match error {
            TryAcquireError::NoPermits | TryAcquireError::Closed => {
                Problem::new(ProblemKind::Overloaded, "too many requests are waiting; repeat without wait")
            }
        })?;
        let applied = wait.min(Duration::from_millis(state.settings.server.wait_limit_ms));
        Ok(Self { until: Instant::now() + applied, applied, _place: place })
    }

    /// How long it is, after the cut.
    #[must_use]
    pub(crate) fn applied(&self) -> Duration {
        self.applied
    }
}

/// The stored order: at once without a wait or when it is settled, else when it becomes so or the wait is over.
///
/// # Errors
/// The order cannot be read.
pub(crate) async fn order(state: &HttpState, id: OrderId, wait: Option<&Wait>) -> Result<Option<StoredOrder>, Problem> {
    let Some(wait) = wait else { return Ok(state.handle.reads().order(id).await?) };
    // Watched before it is read, so that no change falls between.
    let mut watch = state.handle.live().watch(id);
    let mut stopping = state.stopping.subscribe();
    loop {
        let stored = state.handle.reads().order(id).await?;
        let is_over = Instant::now() >= wait.until || *stopping.borrow_and_update();
        if is_over || stored.as_ref().is_none_or(|stored| !stored.open) {
            return Ok(stored);
        }
        let look_again = wait.until.min(Instant::now() + LOOK_AGAIN);
        tokio::select! {
            () = settled(&mut watch) => {}
            () = tokio::time::sleep_until(look_again) => {}
            _ = stopping.changed() => {}
        }
    }
}

async fn settled(watch: &mut crate::actors::Watch) {
    loop {
        match watch.changed().await {
            Some(change) if change.settled => return,
            Some(_) => {}
            // Nobody tells any more: look again now and then.
            None => std::future::pending().await,
        }
    }
}
