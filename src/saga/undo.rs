//! Undos that a person must have done by an external role. Pure.

use super::Owed;
use super::park::EXTERNAL;
use crate::domain::{DeadLetter, DeadLetterKind, DeadLetterState, Order, Role, Timestamp};

/// An undo done by a person.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Undo {
    /// Refund of the charge.
    Refund,
    /// Release of the stock.
    Release,
}

impl Undo {
    /// All values.
    pub(super) const ALL: [Self; 2] = [Self::Refund, Self::Release];

    /// The step of its dead letter.
    #[must_use]
    pub fn step(self) -> &'static str {
        match self {
            Self::Refund => "refund",
            Self::Release => "release",
        }
    }

    /// The undo with that step.
    #[must_use]
    pub fn of_step(step: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|undo| undo.step() == step)
    }

    /// The role that owes it.
    #[must_use]
    pub fn role(self) -> Role {
        match self {
            Self::Refund => Role::Payment,
            Self::Release => Role::Inventory,
        }
    }

    /// The number of its dead letter, distinct from those of other dead letters about steps.
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

    /// The undo that a person must do first.
    pub(super) fn first_owed(debts: &Owed) -> Option<Self> {
        Self::ALL.into_iter().find(|undo| undo.is_owed(debts))
    }

    /// Its dead letter, closed because the other team did the undo by itself.
    pub(super) fn settled(self, order: &Order, now: Timestamp) -> DeadLetter {
        let letter = DeadLetter::about(order.id, order.shard, DeadLetterKind::Step, self.number(), self.role(), self.step(), now);
        let letter = letter.because(EXTERNAL, "that team says that it has given it back: nothing is left to do", 0);
        DeadLetter { state: DeadLetterState::Done, closed_at: Some(now), ..letter }
    }

    pub(super) fn what(self) -> &'static str {
        match self {
            Self::Refund => "another team runs the payment role: have the charge refunded there, then close this dead letter as done",
            Self::Release => "another team runs the inventory role: have the stock released there, then close this dead letter as done",
        }
    }
}
