//! The node's handle as what the consumer talks to.

use super::parts::{InboundError, InboundEvents};
use crate::actors::{Command, CommandError, Fate, InboundError as NotHeard, NodeHandle, WriteError};
use crate::db::{ConsumedPlace, Write};
use crate::domain::{Closing, DeadLetter, DeadLetterId, DeadLetterState, Event, OrderId, Role, Text, Timestamp, WriterId};
use crate::saga::park::WRITE_REFUSED;
use crate::saga::{Rejection, Shipment};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;

/// Hands what comes from Kafka to the actors of this node.
#[derive(Clone)]
pub struct NodeInbound {
    /// The way in.
    pub handle: NodeHandle,
    /// Longest wait for one answer; then the message is handed over again.
    pub limit: Duration,
    /// The time.
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

/// Who closes letters of messages that were taken after all, in the audit.
const CONSUMER: &str = "consumer";

fn failed(cause: &str, detail: &str) -> InboundError {
    InboundError::Failed { cause: cause.to_owned(), detail: detail.to_owned() }
}

impl NodeInbound {
    fn write(&self, write: Write) -> BoxFuture<'static, Result<(), InboundError>> {
        let (handle, limit) = (self.handle.clone(), self.limit);
        async move {
            match handle.write(write, limit).await {
                Ok(Some(_)) => Ok(()),
                Ok(None) | Err(WriteError::NotStored | WriteError::Unknown) => {
                    Err(InboundError::Away("the database does not answer".to_owned()))
                }
                Err(WriteError::Refused(why)) => Err(failed(WRITE_REFUSED, &why)),
            }
        }
        .boxed()
    }
}

impl InboundEvents for NodeInbound {
    fn is_lost(&self, _: Role, event: &Event, (writer, seq): (WriterId, i64)) -> BoxFuture<'static, Result<bool, InboundError>> {
        let (handle, at) = (self.handle.clone(), event.at);
        async move { handle.is_lost(writer, seq, at).await.map_err(|error| InboundError::Away(error.to_string())) }.boxed()
    }

    fn handle(&self, role: Role, event: Event) -> BoxFuture<'static, Result<(), InboundError>> {
        let (handle, limit) = (self.handle.clone(), self.limit);
        async move {
            match handle.handle(role, event, limit).await {
                Ok(()) => Ok(()),
                Err(NotHeard::UnknownOrder) => Err(failed("unknown-order", "there is no such order")),
                Err(NotHeard::NotNow) => Err(InboundError::Away("it cannot be taken now".to_owned())),
            }
        }
        .boxed()
    }

    fn ship(&self, order: OrderId, shipment: Shipment) -> BoxFuture<'static, Result<(), InboundError>> {
        let (handle, limit) = (self.handle.clone(), self.limit);
        async move {
            match handle.command(order, Command::Ship(shipment), limit).await {
                // Said twice is done once.
                Ok(_) | Err(CommandError::Rejected(Rejection::Shipped)) => Ok(()),
                Err(CommandError::NotFound) => Err(failed("unknown-order", "goods were shipped for an order that does not exist")),
                Err(CommandError::Rejected(
                    rejection @ (Rejection::TooLate(_) | Rejection::ShippedUnpaid | Rejection::Stale | Rejection::Disputed),
                )) => Err(InboundError::Never { cause: "late-shipment".to_owned(), detail: format!("goods were shipped but {rejection}") }),
                Err(CommandError::Rejected(rejection @ Rejection::ShippedOtherwise)) => {
                    Err(InboundError::Never { cause: "other-shipment".to_owned(), detail: rejection.to_string() })
                }
                Err(error @ (CommandError::NotHere | CommandError::Unavailable | CommandError::Unknown)) => {
                    Err(InboundError::Away(error.to_string()))
                }
            }
        }
        .boxed()
    }

    fn add_letter(&self, letter: DeadLetter) -> BoxFuture<'static, Result<(), InboundError>> {
        self.write(Write::AddLetter(letter))
    }

    fn mark_letter(&self, letter: DeadLetterId, origin: String) -> BoxFuture<'static, Result<(), InboundError>> {
        self.write(Write::MarkLetter { id: letter, origin })
    }

    fn close_letter(&self, letter: DeadLetterId) -> BoxFuture<'static, Result<(), InboundError>> {
        let (state, by, at) = (DeadLetterState::Reprocessed, Text::lossy(CONSUMER), (self.now)());
        self.write(Write::CloseLetter(Closing { id: letter, state, by, note: None, overrules: None, at }))
    }

    /// Also while the node stops, so that its next start hears little again.
    fn store_places(&self, role: Role, places: Vec<ConsumedPlace>) -> BoxFuture<'static, bool> {
        let storing = self.handle.submit().ask(Write::Consumed { role, places });
        async move { matches!(storing.await, Fate::Stored(_) | Fate::Recorded) }.boxed()
    }
}
