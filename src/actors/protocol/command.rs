//! What an order can be told, and why it does not do it.

use crate::domain::{CancelledBy, Closing, Event, OrderStatus, Revision, Role, Text};
use crate::saga::by_hand::Done;
use crate::saga::dispute::Dispute;
use crate::saga::{Rejection, Shipment};
use tokio::sync::oneshot;

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// No such order: 404.
    #[error("no such order")]
    NotFound,
    /// Its owner is another node: it takes the command, or 503.
    #[error("the order's owner is another node")]
    NotHere,
    /// Not admitted: 409.
    #[error("{0}")]
    Rejected(Rejection),
    /// Not now: 503.
    #[error("the order cannot be changed now")]
    Unavailable,
    /// Sent, outcome unknown at the request limit: 504.
    #[error("the command's outcome is not known yet")]
    Unknown,
}

/// A command with the way back.
pub(crate) struct Ask {
    pub(crate) what: OrderCommand,
    /// The state that the order must be in.
    pub(crate) seen: Option<Revision>,
    /// The dead letter that the command is a decision on: the transaction that stores the command's effect closes it.
    pub(crate) closing: Option<Closing>,
    pub(crate) reply: oneshot::Sender<Result<OrderStatus, CommandError>>,
}

/// What an order can be told to do.
#[derive(Clone, Debug)]
pub(crate) enum OrderCommand {
    Cancel(CancelledBy),
    Ship(Shipment),
    /// A person ends the order.
    Compensate,
    /// A person unparks an order that is parked for this cause.
    Unpark(Option<Text<64>>),
    /// A person has done what this role did not.
    DoneByHand(Done),
    /// A person accepts what another team's role said.
    Accept(Dispute),
    /// Another node's or team's role has answered.
    Hear(Box<Event>),
    /// A step failed past its policy.
    Park {
        step: &'static str,
        cause: Text<64>,
        detail: Text<1000>,
        tries: u32,
        role: Role,
    },
}

/// What parks an order: a step of `role` failed past its policy.
pub(crate) fn park_command(role: Role, step: &'static str, cause: &str, detail: &str, tries: u32) -> OrderCommand {
    OrderCommand::Park { step, cause: Text::lossy(cause), detail: Text::lossy(detail), tries, role }
}

/// Answers a command that is not done.
pub(crate) fn refuse(ask: Ask, error: CommandError) {
    // Who asked may have gone away.
    drop(ask.reply.send(Err(error)));
}
