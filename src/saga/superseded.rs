//! Dead letters that need no attention any more, because the order was cancelled or the answer came after all. Pure.

use super::dispute::{Dispute, is_disputed};
use super::park::{CHARGE, EXTERNAL, Effects, REFUND, SHIPPED_UNPAID, STORE, VOID, numbers_of, step_letter};
use super::undo::Undo;
use super::{Facts, Record, awaited, owed, status, table};
use crate::domain::{CancelledBy, DeadLetter, DeadLetterId, DeadLetterKind, DeadLetterState, Order, PaymentStatus, Role, Timestamp};

/// The number of dead letters about goods that left unpaid.
const UNPAID: u32 = 1;

/// The steps that a role may fail at on another node than its order's.
const FAR_STEPS: [(Role, &str); 5] =
    [(Role::Payment, CHARGE), (Role::Payment, VOID), (Role::Payment, REFUND), (Role::Payment, STORE), (Role::Inventory, STORE)];

/// Whether the order is owed this step of a role.
pub(super) fn is_owed(order: &Order, facts: &Facts, role: Role, step: &str) -> bool {
    let debts = owed(facts, order.channels());
    match (role, step) {
        // Once the order is cancelled, the payment is undone instead.
        (Role::Payment, CHARGE) => debts.payment && facts.cancel.is_none(),
        (Role::Payment, _) => debts.payment || debts.refunded,
        (Role::Inventory, _) => debts.stock || debts.released || debts.stock_moved,
        (Role::Order | Role::Notification | Role::Analytics, _) => false,
    }
}

/// The dead letters about steps of the order that may be open, according to its record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Letters {
    /// Those that it may be parked for.
    parked: Vec<u32>,
    disputed: Vec<u32>,
    /// The owed steps of roles on other nodes.
    far: Vec<(Role, &'static str)>,
    is_cancelled: bool,
    /// The length of the history.
    told: usize,
}

impl Letters {
    /// The dead letters for this record.
    #[must_use]
    pub fn of(record: &Record) -> Self {
        let parked: Vec<u32> = match record.parked.as_ref().map(|cause| cause.as_str()) {
            None => Vec::new(),
            Some(EXTERNAL) => Undo::ALL.map(Undo::number).to_vec(),
            Some(awaited::OVERDUE) => awaited::NUMBERS.to_vec(),
            Some(SHIPPED_UNPAID) => vec![UNPAID],
            Some(cause) => Dispute::of_cause(cause).map_or_else(|| numbers_of(cause).to_vec(), |dispute| vec![dispute.number()]),
        };
        let disputed = Dispute::ALL.into_iter().filter(|dispute| is_disputed(record, *dispute)).map(Dispute::number).collect();
        Self { parked, disputed, far: Vec::new(), is_cancelled: record.facts.cancel.is_some(), told: record.history.len() }
    }

    /// Also those that roles on other nodes may have stored without the order having heard of it: of each step that it is owed. An order
    /// that has not asked again has none.
    #[must_use]
    pub fn and_of_far_steps(mut self, order: &Order, facts: &Facts) -> Self {
        self.far = FAR_STEPS.into_iter().filter(|(role, step)| is_owed(order, facts, *role, step)).collect();
        self
    }

    /// Closes dead letters that were open before, or are new in this step, and have become pointless in it. A person's decision closes its
    /// dead letter itself.
    pub fn look(&self, order: &Order, record: &Record, now: Timestamp, effects: &mut Effects) {
        let still = Self::of(record);
        let why = match record.facts.cancel {
            Some((by, _)) if !self.is_cancelled => cancelled(by),
            Some(_) | None if table::is_dead(status(&record.facts)) => "the order has ended otherwise: nothing is left to do".to_owned(),
            Some(_) | None if self.told == record.history.len() => {
                "the order continues: what fails again opens its dead letter again".to_owned()
            }
            Some(_) | None => "the answer has come after all: nothing is left to do".to_owned(),
        };
        let about = |number| DeadLetter::about(order.id, order.shard, DeadLetterKind::Step, number, Role::Order, "-", now);
        let is_new = |letter: &DeadLetter| letter.kind == DeadLetterKind::Step && letter.state == DeadLetterState::Open;
        // If it was parked in this step, that is what it is parked for, and nothing of the same cause before.
        let newest = effects.letters.iter().rev().find(|letter| is_new(letter) && record.parked.as_ref() == Some(&letter.cause));
        let mut live: Vec<DeadLetterId> = match newest {
            Some(letter) => vec![letter.id],
            None => still.parked.iter().map(|number| about(*number).id).collect(),
        };
        live.extend(still.disputed.iter().map(|number| about(*number).id));
        let (pointless, letters) =
            std::mem::take(&mut effects.letters).into_iter().partition(|letter| is_new(letter) && !live.contains(&letter.id));
        effects.letters = letters;
        let open = self.parked.iter().chain(&self.disputed).map(|number| about(*number));
        let far = self.far.iter().filter(|(role, step)| !is_owed(order, &record.facts, *role, step));
        let open = open.chain(far.map(|(role, step)| step_letter(order.id, order.shard, *role, step, now)));
        // What is new may be stored already, by a role elsewhere.
        for letter in open.chain::<Vec<DeadLetter>>(pointless) {
            let is_told = effects.letters.iter().any(|told| told.id == letter.id);
            let is_decided = effects.closings.iter().any(|decided| decided.id == letter.id);
            if !live.contains(&letter.id) && !is_told && !is_decided {
                effects.letters.push(close(letter, &why, now));
                effects.changed = true;
            }
        }
    }
}

/// Closes what may be open about the payment's steps that have come to an end with this outcome. The order may never hear that they had
/// failed.
#[must_use]
pub fn of_payment(order: &Order, outcome: PaymentStatus, now: Timestamp) -> Vec<DeadLetter> {
    let over: &[&str] = match outcome {
        PaymentStatus::Trying => &[],
        // Its refund may be owed, and fail, next.
        PaymentStatus::Charged => &[CHARGE, VOID, STORE],
        PaymentStatus::Failed | PaymentStatus::Cancelled | PaymentStatus::Refunded => &[CHARGE, VOID, REFUND, STORE],
    };
    let why = "the step was done after all: nothing is left to do";
    let about = |step: &&str| close(step_letter(order.id, order.shard, Role::Payment, step, now), why, now);
    over.iter().map(about).collect()
}

fn cancelled(by: CancelledBy) -> String {
    format!("the order was cancelled ({}), and what was done is undone: nothing is left to do here", by.name())
}

/// Closes the open dead letter with this id, if there is one, and records why.
pub(super) fn close(letter: DeadLetter, why: &str, now: Timestamp) -> DeadLetter {
    let letter = letter.because("superseded", why, 0);
    DeadLetter { state: DeadLetterState::Superseded, closed_at: Some(now), ..letter }
}
