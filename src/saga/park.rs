//! Parking an order, and the effects of a step. Pure.

use super::Record;
use crate::domain::{DeadLetter, Event, Text};

/// The cause of dead letters about an external role's undo.
pub const EXTERNAL: &str = "external-role";
/// The cause of dead letters about calls to the payment provider: charge, void, refund.
pub const PROVIDER: &str = "payment-provider";
/// The cause of dead letters about goods that left unpaid.
pub const SHIPPED_UNPAID: &str = "shipped-unpaid";
/// The cause of dead letters about a role's write that the database rejects.
pub const WRITE_REFUSED: &str = "write-refused";
/// The step whose failure parks an order, unless it is being cancelled.
pub const CHARGE: &str = "charge";
/// The step of storing a role's write.
pub const STORE: &str = "store";

/// The effects of a step, stored in the same transaction as the record.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// The order role's own events.
    pub events: Vec<Event>,
    /// New dead letters, and those to close.
    pub letters: Vec<DeadLetter>,
    /// Whether the record changed, so that it must be stored.
    pub changed: bool,
}

impl Effects {
    /// Whether the change must be stored now. A fact without consequences may wait for the next write.
    #[must_use]
    pub fn is_urgent(&self) -> bool {
        !self.events.is_empty() || !self.letters.is_empty()
    }
}

/// Parks the order: it is not re-driven until a person closes the dead letter.
pub fn park(record: &mut Record, letter: DeadLetter, effects: &mut Effects) {
    if record.parked.is_none() {
        record.parked = Some(Text::lossy(letter.cause.as_str()));
        effects.changed = true;
        effects.letters.push(letter);
    }
}

pub(super) fn is_parked_for(record: &Record, cause: &str) -> bool {
    record.parked.as_ref().is_some_and(|parked| parked.as_str() == cause)
}
