//! Reading while the database comes and goes.

use crate::actors::runtime::pause::pause;
use crate::db::StoreError;
use crate::saga::policy::Backoff;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};

/// Reads until it succeeds; none when the node is stopping, for then nobody needs the answer.
pub(crate) async fn until_ok<T, F>(stopping: &AtomicBool, rhythm: Backoff, read: impl Fn() -> F) -> Option<T>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut failures = 0;
    loop {
        match read().await {
            Ok(answer) => return Some(answer),
            Err(error) => {
                failures += 1;
                if stopping.load(Ordering::Acquire) {
                    return None;
                }
                if failures == 1 {
                    tracing::warn!(error = %error, "the database could not be read; trying again");
                }
                pause(rhythm.after(failures)).await;
            }
        }
    }
}
