//! Reading while the database comes and goes.

use super::node::Node;
use crate::db::StoreError;
use std::future::Future;
use std::sync::atomic::Ordering;

/// Reads until it succeeds; none when the node is stopping, for then nobody needs the answer.
pub(crate) async fn insist<T, F>(node: &Node, read: impl Fn() -> F) -> Option<T>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut failures = 0;
    loop {
        match read().await {
            Ok(answer) => return Some(answer),
            Err(error) => {
                failures += 1;
                if node.counters.stopping.load(Ordering::Acquire) {
                    return None;
                }
                if failures == 1 {
                    tracing::warn!(error = %error, "the database could not be read; trying again");
                }
                super::cell::pause(node.settings.store_retry.after(failures)).await;
            }
        }
    }
}
