//! The one sleep.

use std::time::Duration;

/// Waits so long on the steady clock.
pub(crate) async fn pause(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}
