//! Invariants of one order. They are checked whenever a record is about to be stored, and by `verify` for all records.

use super::table::is_dead;
use super::{Record, owed, status};
use crate::domain::{Order, OrderStatus};

/// Checks the invariants of an order's record.
///
/// # Errors
/// The name of the first invariant that is violated.
pub fn check(order: &Order, record: &Record) -> Result<(), &'static str> {
    let facts = &record.facts;
    let status = status(facts);
    let is_over = is_dead(status) && owed(facts, order.channels()).is_nothing();
    if is_over && facts.is_paid() && facts.refunded.is_none() {
        return Err("a dead order keeps its charge");
    }
    if is_over && facts.is_reserved() && facts.released.is_none() {
        return Err("a dead order keeps its stock");
    }
    if matches!(status, OrderStatus::Confirmed | OrderStatus::Shipped) && !facts.is_paid() {
        return Err("an unpaid order is confirmed");
    }
    if record.history.is_empty() {
        return Err("an order without a history");
    }
    Ok(())
}
