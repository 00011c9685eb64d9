//! The way onto an arbiter: one list under one lock, and one wake-up however much is in it.

use crate::actors::protocol::inbound::Inbound;
use futures_util::{Stream, stream};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// The list of one arbiter.
#[derive(Default)]
pub(crate) struct Inbox {
    list: Mutex<Vec<Inbound>>,
    wake: Notify,
}

impl Inbox {
    pub(crate) fn push(&self, inbound: Inbound) {
        let was_empty = {
            let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
            list.push(inbound);
            list.len() == 1
        };
        if was_empty {
            self.wake.notify_one();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    async fn take(&self) -> Vec<Inbound> {
        loop {
            let list = std::mem::take(&mut *self.list.lock().unwrap_or_else(PoisonError::into_inner));
            if !list.is_empty() {
                return list;
            }
            self.wake.notified().await;
        }
    }

    /// The lists as they come; never ends. A list that was taken is lost if its taker dies: what it said is repeated by re-drive.
    pub(crate) fn lists(self: Arc<Self>) -> impl Stream<Item = Vec<Inbound>> {
        stream::unfold(self, |inbox| async move { Some((inbox.take().await, inbox)) })
    }
}
