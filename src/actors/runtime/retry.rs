//! Reading while the database comes and goes.

use crate::actors::runtime::pause::pause;
use crate::db::StoreError;
use crate::saga::policy::Backoff;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};

/// The node is stopping and the database away: what was asked is not known, which is not the same as "there is none".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stopping;

/// Reads until it succeeds, or the node is stopping.
pub(crate) async fn until_ok<T, F>(stopping: &AtomicBool, rhythm: Backoff, read: impl Fn() -> F) -> Result<T, Stopping>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut failures = 0;
    loop {
        match read().await {
            Ok(answer) => return Ok(answer),
            Err(error) => {
                failures += 1;
                if stopping.load(Ordering::Acquire) {
                    return Err(Stopping);
                }
                if failures == 1 {
                    tracing::warn!(error = %error, "the database could not be read; trying again");
                }
                pause(rhythm.after(failures)).await;
            }
        }
    }
}
