//! Parking an order, and the effects of a step. Pure.

use super::Record;
use crate::domain::{Closing, DeadLetter, DeadLetterKind, DeadLetterState, Event, OrderId, Role, Shard, Text, Timestamp};

/// The cause of dead letters about an external role's undo.
pub const EXTERNAL: &str = "external-role";
/// The cause of dead letters about calls to the payment provider: charge, void, refund.
pub const PROVIDER: &str = "payment-provider";
/// The cause of dead letters about goods that left unpaid.
pub const SHIPPED_UNPAID: &str = "shipped-unpaid";
/// The cause of dead letters about a role's write that the database rejects.
pub const WRITE_REFUSED: &str = "write-refused";
/// The cause of letters about orders whose actor dies again and again.
pub const RESTART_LIMIT: &str = "restart-limit";
/// The step whose failure parks an order, unless it is being cancelled.
pub const CHARGE: &str = "charge";
/// The step of voiding a charge key.
pub const VOID: &str = "void";
/// The step of refunding the charge.
pub const REFUND: &str = "refund";
/// The step of refunding money that no payment row records. It parks nothing, because no step of the order depends on that money.
pub const STRAY_REFUND: &str = "stray-refund";
/// The step of storing a role's write.
pub const STORE: &str = "store";

/// The numbers of dead letters about roles' steps, distinct from those of other dead letters. Each step of each role has its own, so that
/// none closes another's.
const OF_PROVIDER: [u32; 3] = [18, 19, 20];
const OF_STORE: [u32; 3] = [21, 22, 23];
/// For a step that only a newer version knows.
const OF_UNKNOWN: u32 = 24;
const OF_RESTARTS: u32 = 2;
/// The first number for a payment's charge keys, one per attempt.
const OF_KEYS: u32 = 0x4000;
/// The number that all steps shared in earlier versions. Only a person closes such dead letters, because the number does not tell the step.
const OF_ANY_STEP: u32 = 0;

fn number(role: Role, step: &str) -> u32 {
    let ([charge, void, refund], [pay, stock, notice]) = (OF_PROVIDER, OF_STORE);
    match (role, step) {
        (Role::Payment, CHARGE) => charge,
        (Role::Payment, VOID) => void,
        (Role::Payment, REFUND) => refund,
        (Role::Payment, STORE) => pay,
        (Role::Inventory, STORE) => stock,
        (Role::Notification, STORE) => notice,
        (Role::Order | Role::Inventory | Role::Payment | Role::Notification | Role::Analytics, _) => OF_UNKNOWN,
    }
}

/// The dead letter about a role's step that has used up its retries.
#[must_use]
pub fn step_letter(order: OrderId, shard: Shard, role: Role, step: &str, now: Timestamp) -> DeadLetter {
    DeadLetter::about(order, shard, DeadLetterKind::Step, number(role, step), role, step, now)
}

/// The dead letter about a charge key under which the provider may hold money that the payment row does not record.
#[must_use]
pub fn key_letter(order: OrderId, shard: Shard, attempt: u32, now: Timestamp) -> DeadLetter {
    let number = OF_KEYS | (attempt & (OF_KEYS - 1));
    DeadLetter::about(order, shard, DeadLetterKind::Step, number, Role::Payment, STRAY_REFUND, now)
}

/// The same dead letter, closed because that money was given back.
#[must_use]
pub fn key_settled(order: OrderId, shard: Shard, attempt: u32, now: Timestamp) -> DeadLetter {
    let letter = key_letter(order, shard, attempt, now).because("superseded", "the money was given back: nothing is left to do", 0);
    DeadLetter { state: DeadLetterState::Superseded, closed_at: Some(now), ..letter }
}

/// The dead letter about an order whose actor keeps failing.
#[must_use]
pub fn restarts_letter(order: OrderId, shard: Shard, now: Timestamp) -> DeadLetter {
    DeadLetter::about(order, shard, DeadLetterKind::Step, OF_RESTARTS, Role::Order, "order-actor", now)
}

/// Whether it is about money that no payment row records: it parks nothing.
#[must_use]
pub fn is_of_strays(letter: &DeadLetter) -> bool {
    letter.kind == DeadLetterKind::Step && letter.step.as_str() == STRAY_REFUND
}

/// Whether an earlier version wrote it. That version used one number for all steps, and also parked an order for stray money.
#[must_use]
pub fn is_of_old_form(letter: &DeadLetter) -> bool {
    let (Some(order), Some(shard)) = (letter.order, letter.shard) else { return false };
    let old = DeadLetter::about(order, shard, DeadLetterKind::Step, OF_ANY_STEP, letter.role, letter.step.as_str(), letter.created_at);
    letter.id == old.id
}

/// The numbers of the dead letters that an order parked for `cause` may have, where the cause is a role's step or the order's actor.
pub(super) fn numbers_of(cause: &str) -> &'static [u32] {
    match cause {
        PROVIDER => &OF_PROVIDER,
        WRITE_REFUSED => &OF_STORE,
        RESTART_LIMIT => &[OF_RESTARTS],
        _ => &[],
    }
}

/// The effects of a step, stored in the same transaction as the record.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// The order role's own events.
    pub events: Vec<Event>,
    /// New dead letters, and those to close.
    pub letters: Vec<DeadLetter>,
    /// Dead letters that people closed.
    pub closings: Vec<Closing>,
    /// Whether the record changed, so that it must be stored.
    pub changed: bool,
}

impl Effects {
    /// Whether the change must be stored now. A fact without consequences may wait for the next write.
    #[must_use]
    pub fn is_urgent(&self) -> bool {
        !self.events.is_empty() || !self.letters.is_empty() || !self.closings.is_empty()
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_step_of_each_role_and_each_key_has_a_letter_of_its_own() {
        let (order, shard, now) = (OrderId::from_parts(1, [3; 10]), Shard(0), Timestamp(1));
        let steps = [CHARGE, VOID, REFUND, STORE].map(|step| (Role::Payment, step));
        let steps = steps.into_iter().chain([(Role::Inventory, STORE), (Role::Notification, STORE), (Role::Payment, "of-a-newer-version")]);
        let mut ids: Vec<_> = steps.map(|(role, step)| step_letter(order, shard, role, step, now).id).collect();
        ids.extend((1..=40).map(|attempt| key_letter(order, shard, attempt, now).id));
        ids.push(restarts_letter(order, shard, now).id);
        ids.extend(
            (0..18)
                .filter(|n| *n != OF_RESTARTS)
                .map(|n| DeadLetter::about(order, shard, DeadLetterKind::Step, n, Role::Order, "-", now).id),
        );
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    }
}
