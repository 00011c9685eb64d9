//! What actors say to each other: commands, messages, and what comes onto an arbiter.

pub(crate) mod cause;
pub(crate) mod command;
pub(crate) mod fate;
pub(crate) mod hooks;
pub(crate) mod inbound;
pub(crate) mod kind;
pub(crate) mod messages;
pub(crate) mod slot;
pub(crate) mod ticket;
