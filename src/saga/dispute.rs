//! Answers of an external role that differ from what was ordered. Pure.

use super::Record;

/// An answer that differs from what was ordered, and waits for a person.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dispute {
    /// A payment whose amount is not the order's total.
    Amount,
    /// A reservation whose lines are not those ordered.
    Reservation,
    /// A payment in a currency other than ours.
    Currency,
}

impl Dispute {
    /// All values.
    pub const ALL: [Self; 3] = [Self::Amount, Self::Reservation, Self::Currency];

    /// The cause of its dead letter.
    #[must_use]
    pub fn cause(self) -> &'static str {
        match self {
            Self::Amount => "amount-mismatch",
            Self::Reservation => "reservation-mismatch",
            Self::Currency => "currency-mismatch",
        }
    }

    /// The dispute with that cause.
    #[must_use]
    pub fn of_cause(cause: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dispute| dispute.cause() == cause)
    }

    /// The number of its dead letter, distinct from those of other dead letters about steps; see [`super::by_hand`].
    pub(super) fn number(self) -> u32 {
        match self {
            Self::Amount => 10,
            Self::Reservation => 11,
            Self::Currency => 17,
        }
    }
}

/// The first dispute that waits for a person.
#[must_use]
pub fn dispute(record: &Record) -> Option<Dispute> {
    Dispute::ALL.into_iter().find(|dispute| is_disputed(record, *dispute))
}

/// Whether this dispute waits for a person.
#[must_use]
pub fn is_disputed(record: &Record, dispute: Dispute) -> bool {
    record.external.as_deref().is_some_and(|kept| match dispute {
        Dispute::Amount => kept.payment.is_some() && kept.foreign_money.is_none(),
        Dispute::Currency => kept.payment.is_some() && kept.foreign_money.is_some(),
        Dispute::Reservation => kept.stock.is_some(),
    })
}
