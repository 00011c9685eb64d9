//! The rules of an order: how its facts grow, which status follows from them, what is owed, which events are emitted. Pure.
//!
//! Start reading at [`table`]: the transition table as functions of the facts. [`step`] applies answers and commands to a [`Record`];
//! [`by_hand`] covers what a person undoes for an external role, and [`external`] how the answers of such a role are judged. [`policy`]
//! says when to try again and when it is too late, [`rebalance`] which shards a node takes and gives back, and [`invariants`] what must
//! always hold.

pub mod awaited;
pub mod by_hand;
pub mod dispute;
pub mod external;
mod facts;
#[cfg(test)]
mod fixture;
pub mod invariants;
pub mod park;
pub mod policy;
pub mod rebalance;
mod replay;
pub mod step;
pub mod superseded;
pub mod table;
mod undo;

pub use crate::saga::park::Effects;
pub use facts::{ExternalRecord, Facts, HistoryEntry, NoticeFact, PaymentFact, Record, Shipment, StockFact};
pub use replay::{replay, sale};
pub use step::Rejection;
pub use table::{Owed, owed, settled, status};
