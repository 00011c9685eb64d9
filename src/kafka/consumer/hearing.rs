//! The node's front as what the consumer talks to.

use super::{HearError, Hearing};
use crate::actors::{Command, CommandError, Front, HearError as NotHeard, WriteError};
use crate::db::{Outcome, Write};
use crate::domain::{DeadLetter, Event, LetterId, LetterState, OrderId, Role, Text, Timestamp};
use crate::saga::park::WRITE_REFUSED;
use crate::saga::{Rejection, Shipment};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;

/// Hands what comes from Kafka to the actors of this node.
#[derive(Clone)]
pub struct ToFront {
    /// The way in.
    pub front: Front,
    /// Longest wait for one answer; then the message is handed over again.
    pub limit: Duration,
    /// The time.
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

/// Who closes letters of messages that were taken after all, in the audit.
const CONSUMER: &str = "consumer";

fn failed(cause: &str, detail: &str) -> HearError {
    HearError::Failed { cause: cause.to_owned(), detail: detail.to_owned() }
}

impl ToFront {
    fn write(&self, write: Write) -> BoxFuture<'static, Result<(), HearError>> {
        let (front, limit) = (self.front.clone(), self.limit);
        async move {
            match front.write(write, limit).await {
                Ok(Outcome::Recorded) | Err(WriteError::NotStored | WriteError::Unknown) => {
                    Err(HearError::Away("the database does not answer".to_owned()))
                }
                Ok(_) => Ok(()),
                Err(WriteError::Refused(why)) => Err(failed(WRITE_REFUSED, &why)),
            }
        }
        .boxed()
    }
}

impl Hearing for ToFront {
    fn hear(&self, role: Role, event: Event) -> BoxFuture<'static, Result<(), HearError>> {
        let (front, limit) = (self.front.clone(), self.limit);
        async move {
            match front.hear(role, event, limit).await {
                Ok(()) => Ok(()),
                Err(NotHeard::UnknownOrder) => Err(failed("unknown-order", "there is no such order")),
                Err(NotHeard::NotNow) => Err(HearError::Away("it cannot be taken now".to_owned())),
            }
        }
        .boxed()
    }

    fn ship(&self, order: OrderId, shipment: Shipment) -> BoxFuture<'static, Result<(), HearError>> {
        let (front, limit) = (self.front.clone(), self.limit);
        async move {
            match front.command(order, Command::Ship(shipment), limit).await {
                // Said twice is done once.
                Ok(_) | Err(CommandError::Rejected(Rejection::Shipped)) => Ok(()),
                Err(CommandError::NotFound) => Err(failed("unknown-order", "goods were shipped for an order that does not exist")),
                Err(CommandError::Rejected(
                    rejection @ (Rejection::TooLate(_) | Rejection::ShippedUnpaid | Rejection::Stale | Rejection::Disputed),
                )) => Err(HearError::Never { cause: "late-shipment".to_owned(), detail: format!("goods were shipped but {rejection}") }),
                Err(CommandError::Rejected(rejection @ Rejection::ShippedOtherwise)) => {
                    Err(HearError::Never { cause: "other-shipment".to_owned(), detail: rejection.to_string() })
                }
                Err(error @ (CommandError::NotHere | CommandError::Unavailable | CommandError::Unknown)) => {
                    Err(HearError::Away(error.to_string()))
                }
            }
        }
        .boxed()
    }

    fn add_letter(&self, letter: DeadLetter) -> BoxFuture<'static, Result<(), HearError>> {
        self.write(Write::AddLetter(letter))
    }

    fn mark_letter(&self, letter: LetterId, origin: String) -> BoxFuture<'static, Result<(), HearError>> {
        self.write(Write::MarkLetter { id: letter, origin })
    }

    fn close_letter(&self, letter: LetterId) -> BoxFuture<'static, Result<(), HearError>> {
        let by = Text::lossy(CONSUMER);
        self.write(Write::CloseLetter { id: letter, state: LetterState::Reprocessed, by, note: None, at: (self.now)() })
    }
}
