//! Kafka: what the node publishes for other nodes and teams, and what it consumes from them.
//!
//! Owns the wire types, the topics, publisher and consumer, and the contract with other teams. It knows the actors only by their handle and
//! messages, and the database only by its reads.

pub mod client;
pub mod consumer;
pub mod contract;
pub mod headers;
pub mod message;
mod names;
mod open;
pub mod probe;
pub mod publisher;
pub mod read;
mod read_body;
mod times;
pub mod told;
pub mod topics;
mod traced;
pub mod troubles;
pub mod wire;
pub mod wire_ours;
pub mod write;
