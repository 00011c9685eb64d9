//! The one sleep.

use std::time::Duration;

/// Waits for this time on the monotonic clock.
pub(crate) async fn pause(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}
