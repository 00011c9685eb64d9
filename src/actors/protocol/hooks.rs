//! What a commit says to those who follow the log, and what they are given to call.

use crate::domain::{DeadLetter, Event, LoggedEvent, WriterId};
use actix::Message;
use futures_util::future::BoxFuture;
use std::sync::Arc;

/// The events of one commit, to be sent after it with `try_send`; one that is lost is read from the log later.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct Logged {
    /// Whose log.
    pub writer: WriterId,
    /// The log's end before the commit.
    pub after: i64,
    /// The log's end after it; markers take numbers too.
    pub to: i64,
    /// The events, in order.
    pub events: Arc<Vec<LoggedEvent>>,
}

/// Takes each committed batch, in order: the analytics actor's way in, and the publisher's.
pub type Counter = Arc<dyn Fn(Logged) + Send + Sync>;

/// Takes a dead letter's message again. It failed again: the reason; it cannot be taken now: none.
pub type DeadLetterAgain = Arc<dyn Fn(DeadLetter) -> BoxFuture<'static, Result<(), Option<String>>> + Send + Sync>;

/// Takes an event that this writer is to tell other nodes and teams again: once its log has been told, and those of earlier owners
/// that its markers stand for.
pub type Repeats = Arc<dyn Fn(WriterId, Event) + Send + Sync>;
