//! What must hold of one order whatever happened; checked where a record is about to be stored, and by `verify` on all of them.

use super::{Record, owed, status};
use crate::domain::{Order, OrderStatus};

/// The first broken invariant of an order's record, named.
///
/// # Errors
/// The name of what is broken.
pub fn check(order: &Order, record: &Record) -> Result<(), &'static str> {
    let facts = &record.facts;
    let debts = owed(facts, order.channels());
    match status(facts) {
        OrderStatus::Cancelled | OrderStatus::Failed if debts.is_nothing() && facts.is_paid() && facts.refunded.is_none() => {
            Err("a dead order keeps its charge")
        }
        OrderStatus::Cancelled | OrderStatus::Failed if debts.is_nothing() && facts.is_reserved() && facts.released.is_none() => {
            Err("a dead order keeps its stock")
        }
        OrderStatus::Confirmed | OrderStatus::Shipped if !facts.is_paid() => Err("an unpaid order is confirmed"),
        _ if record.history.is_empty() => Err("an order without a history"),
        _ => Ok(()),
    }
}
