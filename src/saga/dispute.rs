//! Answers of another team's role that are not what was ordered. Pure.

use super::Record;

/// An answer that is not what was ordered, and waits for a person.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dispute {
    /// A payment of another amount than the order's total.
    Amount,
    /// A reservation of other lines than were ordered.
    Reservation,
}

impl Dispute {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Amount, Self::Reservation];

    /// The letter's cause.
    #[must_use]
    pub fn cause(self) -> &'static str {
        match self {
            Self::Amount => "amount-mismatch",
            Self::Reservation => "reservation-mismatch",
        }
    }

    /// The dispute of that cause.
    #[must_use]
    pub fn of_cause(cause: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dispute| dispute.cause() == cause)
    }

    /// Beside the numbers of other letters about steps; see [`super::by_hand`].
    pub(super) fn number(self) -> u32 {
        match self {
            Self::Amount => 10,
            Self::Reservation => 11,
        }
    }
}

/// The first dispute that waits for a person.
#[must_use]
pub fn dispute(record: &Record) -> Option<Dispute> {
    let kept = record.external.as_deref()?;
    let is_open = |dispute: &Dispute| match dispute {
        Dispute::Amount => kept.payment.is_some(),
        Dispute::Reservation => kept.stock.is_some(),
    };
    Dispute::ALL.into_iter().find(is_open)
}
