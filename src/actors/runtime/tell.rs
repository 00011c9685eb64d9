//! What nobody would say again, and no order asks for.

use actix::prelude::SendError;
use actix::{Message, Recipient};

/// Waits, beside the caller, for room where the mailbox is full. A dead actor needs no word: the next one begins with what is stored.
pub(crate) fn tell_surely<M>(to: &Recipient<M>, message: M)
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    if let Err(SendError::Full(message)) = to.try_send(message) {
        let to = to.clone();
        actix::spawn(async move {
            let _gone = to.send(message).await;
        });
    }
}
