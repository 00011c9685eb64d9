//! What another team's role gives back only when a person has it done there. Pure.

use super::Owed;
use super::park::EXTERNAL;
use crate::domain::{DeadLetter, DeadLetterKind, DeadLetterState, Order, Role, Timestamp};

/// An undo that a person does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Undo {
    /// The charge is given back.
    Refund,
    /// The stock is given back.
    Release,
}

impl Undo {
    /// Both.
    pub(super) const ALL: [Self; 2] = [Self::Refund, Self::Release];

    /// The letter's step.
    #[must_use]
    pub fn step(self) -> &'static str {
        match self {
            Self::Refund => "refund",
            Self::Release => "release",
        }
    }

    /// The undo of that step.
    #[must_use]
    pub fn of_step(step: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|undo| undo.step() == step)
    }

    /// Whose work it is.
    #[must_use]
    pub fn role(self) -> Role {
        match self {
            Self::Refund => Role::Payment,
            Self::Release => Role::Inventory,
        }
    }

    /// Beside the numbers of other letters about steps.
    pub(super) fn number(self) -> u32 {
        match self {
            Self::Refund => 8,
            Self::Release => 9,
        }
    }

    /// Whether the order owes it.
    pub(super) fn is_owed(self, debts: &Owed) -> bool {
        match self {
            Self::Refund => debts.refunded,
            Self::Release => debts.released,
        }
    }

    /// The one that a person is asked for first.
    pub(super) fn first_owed(debts: &Owed) -> Option<Self> {
        Self::ALL.into_iter().find(|undo| undo.is_owed(debts))
    }

    /// Its letter, closed: the other team has done it by itself.
    pub(super) fn settled(self, order: &Order, now: Timestamp) -> DeadLetter {
        let letter = DeadLetter::about(order.id, order.shard, DeadLetterKind::Step, self.number(), self.role(), self.step(), now);
        let letter = letter.because(EXTERNAL, "that team says that it has given it back itself: nothing is left to do", 0);
        DeadLetter { state: DeadLetterState::Done, closed_at: Some(now), ..letter }
    }

    pub(super) fn what(self) -> &'static str {
        match self {
            Self::Refund => "the payment role is another team's: have the charge given back there, then close this letter as done",
            Self::Release => "the inventory role is another team's: have the stock given back there, then close this letter as done",
        }
    }
}
