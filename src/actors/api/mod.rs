//! What HTTP, Kafka and the command line call: placing orders, commands, inbound events, dead letters, breakers, reports.

pub(crate) mod breakers;
mod by_hand;
pub(crate) mod dead_letters;
pub(crate) mod decision;
pub(crate) mod handle;
pub(crate) mod inbound;
pub(crate) mod report;
mod stray;
