//! The verbs of the business: how an order's facts grow, what status they make, what is owed, what is emitted. Pure.
//!
//! Start reading at [`table`]: the transition table as functions of the facts. [`step`] applies answers and commands to a
//! [`Record`]; [`by_hand`] is what
//! a person undoes for another team's role, [`external`] how such a role's answers are judged; [`policy`] says when to try again and when it is too late; [`rebalance`] which
//! shards a node takes and gives; [`invariants`] is what must always hold.

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
