//! What another team's role cannot do for us: by its contract it answers what it is asked, but undoes nothing. A person undoes it
//! there and says so by closing a dead letter; until then the order is parked. Pure.

use super::step::{self, Effects};
use super::{Facts, PaymentFact, Record, owed};
use crate::domain::{DeadLetter, EventKind, LetterKind, Order, Role, Roles, Timestamp};

/// The cause of such letters.
pub const EXTERNAL: &str = "external-role";

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
    const ALL: [Self; 2] = [Self::Refund, Self::Release];

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

    fn role(self) -> Role {
        match self {
            Self::Refund => Role::Payment,
            Self::Release => Role::Inventory,
        }
    }

    /// Beside the numbers of other letters about steps.
    fn number(self) -> u32 {
        match self {
            Self::Refund => 8,
            Self::Release => 9,
        }
    }

    fn what(self) -> &'static str {
        match self {
            Self::Refund => "the payment role is another team's: have the charge given back there, then skip this letter",
            Self::Release => "the inventory role is another team's: have the stock given back there, then skip this letter",
        }
    }
}

/// Looks after what `external` roles owe and will not do: a payment that was never asked for is none, and an undo becomes a letter.
pub fn look(order: &Order, record: &mut Record, external: Roles, now: Timestamp, effects: &mut Effects) {
    if external.is_empty() {
        return;
    }
    if external.has(Role::Payment) && was_never_asked_to_pay(&record.facts) {
        step::note(order, record, EventKind::PaymentCancelled, now, effects, |facts| {
            facts.payment = Some((PaymentFact::Cancelled, now));
        });
    }
    if record.parked.is_some() {
        return;
    }
    let debts = owed(&record.facts, order.channels());
    let is_owed = |undo: &Undo| match undo {
        Undo::Refund => debts.refunded,
        Undo::Release => debts.released,
    };
    if let Some(undo) = Undo::ALL.into_iter().find(|undo| external.has(undo.role()) && is_owed(undo)) {
        let letter = DeadLetter::about(order.id, order.shard, LetterKind::Step, undo.number(), undo.role(), undo.step(), now);
        step::park(record, letter.because(EXTERNAL, undo.what(), 0), effects);
    }
}

/// The stock was given back before it was ever held, so nobody was asked for the money.
fn was_never_asked_to_pay(facts: &Facts) -> bool {
    facts.cancel.is_some() && facts.payment.is_none() && facts.stock.is_none() && facts.released.is_some()
}

/// A person has done it.
pub fn done(order: &Order, record: &mut Record, undo: Undo, now: Timestamp, effects: &mut Effects) {
    record.parked = None;
    effects.changed = true;
    match undo {
        Undo::Refund if record.facts.refunded.is_none() => {
            step::note(order, record, EventKind::PaymentRefunded, now, effects, |facts| facts.refunded = Some(now));
        }
        Undo::Release if record.facts.released.is_none() => {
            step::note(order, record, EventKind::InventoryReleased, now, effects, |facts| facts.released = Some(now));
        }
        Undo::Refund | Undo::Release => {}
    }
}
