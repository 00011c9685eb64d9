//! Steps that a person does by hand. By its contract, an external role answers but undoes nothing. A person undoes the step there and says
//! so by closing a dead letter; until then the order is parked. The same applies to what our own roles could not do. Pure.

use super::dispute::dispute;
pub use super::undo::Undo;
use super::{Facts, NoticeFact, Owed, PaymentFact, Record, StockFact, awaited, external, owed, step};
use crate::domain::{DeadLetter, DeadLetterKind, EventBody, EventKind, Order, ReservedLine, Role, Roles, Text, Timestamp};
use crate::saga::park::{EXTERNAL, Effects, STORE, is_of_old_form};

/// Handles what `external_roles` owe and will not do: a payment that was never requested counts as cancelled, and an undo becomes a dead
/// letter.
pub fn look(order: &Order, record: &mut Record, external_roles: Roles, now: Timestamp, effects: &mut Effects) {
    if external_roles.is_empty() {
        return;
    }
    // The contract names no such notice, so another team's notifier need not send one.
    if external_roles.has(Role::Notification) && record.facts.unpaid_end.take().is_some() {
        effects.changed = true;
    }
    // Without stock that team was never asked to pay, so it owes no answer to the cancellation.
    if external_roles.has(Role::Payment) && std::mem::take(&mut record.facts.owes_void) {
        effects.changed = true;
    }
    let place = effects.events.len();
    if external_roles.has(Role::Payment) && !external_roles.has(Role::Inventory) && was_never_asked_to_pay(&record.facts) {
        step::note(order, record, EventKind::PaymentCancelled, now, effects, |facts| {
            facts.payment = Some((PaymentFact::Cancelled, now));
        });
        external::tell(order, EventBody::PaymentCancelled, now, None, place, effects);
    }
    if record.parked.is_some() {
        return;
    }
    let debts = owed(&record.facts, order.channels());
    // While the order is parked nobody asks our roles for what they owe.
    if awaited::is_owed_by_us(&debts, external_roles) {
        return;
    }
    if let Some(undo) = Undo::ALL.into_iter().find(|undo| external_roles.has(undo.role()) && undo.is_owed(&debts)) {
        let letter = DeadLetter::about(order.id, order.shard, DeadLetterKind::Step, undo.number(), undo.role(), undo.step(), now);
        let what = match undo {
            Undo::Refund => format!("{} must be refunded: {}", external::paid_as_told(order, record), undo.what()),
            Undo::Release => undo.what().to_owned(),
        };
        super::park::park(record, letter.because(EXTERNAL, &what, 0), effects);
    }
}

/// Whether our stock was released before it was ever held, so that no payment was requested. For another team's stock this is unknown: a
/// payment that followed it may be on its way.
fn was_never_asked_to_pay(facts: &Facts) -> bool {
    facts.cancel.is_some() && facts.payment.is_none() && facts.stock.is_none() && facts.released.is_some()
}

/// What a person has done: the step that a dead letter is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Done {
    /// The role whose step it was.
    pub role: Role,
    /// Its step.
    pub step: Text<64>,
    /// Why the order was parked; `None` if the dead letter does not tell.
    pub cause: Option<Text<64>>,
}

impl Done {
    /// What closing this dead letter as done means.
    #[must_use]
    pub fn of(letter: &DeadLetter) -> Self {
        // What earlier versions wrote of several steps is one dead letter: the order may be parked for an earlier one.
        let cause = (!is_of_old_form(letter)).then(|| letter.cause.clone());
        Self { role: letter.role, step: letter.step.clone(), cause }
    }

    /// Whether the dead letter is about something that is still owed. A dead letter may outlive its debt; what is owed by then is a
    /// different matter, about which the person has said nothing.
    fn is_owed(&self, debts: &Owed, record: &Record) -> bool {
        match self.step.as_str() {
            awaited::PAYMENT_ANSWER => debts.payment,
            awaited::RESERVATION_ANSWER => debts.stock && dispute(record).is_none(),
            awaited::SHIPMENT_ANSWER => debts.stock_moved,
            awaited::NOTICE_ANSWER => debts.notice.is_some(),
            // The role's own write, whatever it was.
            STORE => true,
            step => Undo::of_step(step).is_some_and(|undo| undo.is_owed(debts)),
        }
    }
}

/// Records that a person did what a role could not: what was owed is now a fact, and the order continues. A role that keeps a row reports
/// it with an event instead.
pub fn done(order: &Order, record: &mut Record, done: &Done, external_roles: Roles, now: Timestamp, effects: &mut Effects) {
    if done.cause.is_none() || record.parked == done.cause {
        effects.changed |= record.parked.take().is_some();
    }
    let debts = owed(&record.facts, order.channels());
    if !done.is_owed(&debts, record) {
        return;
    }
    let role = done.role;
    let place = effects.events.len();
    let (paid, is_to_end) = (step::paid(order, &record.facts), record.facts.is_to_end());
    let mut note = |kind, grow: &dyn Fn(&mut Facts)| step::note(order, record, kind, now, effects, grow);
    let answer = match role {
        Role::Payment if debts.refunded => {
            note(EventKind::PaymentRefunded, &|facts| facts.refunded = Some(now));
            EventBody::PaymentRefunded { amount: paid }
        }
        Role::Payment if debts.payment && is_to_end => {
            note(EventKind::PaymentCancelled, &|facts| facts.payment = Some((PaymentFact::Cancelled, now)));
            EventBody::PaymentCancelled
        }
        Role::Payment if debts.payment => {
            let (amount, method) = (order.total, order.payment_method.clone());
            let paid = PaymentFact::Paid { amount, method: method.clone() };
            note(EventKind::PaymentProcessed, &|facts| facts.payment = Some((paid.clone(), now)));
            EventBody::PaymentProcessed { amount, method }
        }
        Role::Inventory if debts.released => {
            note(EventKind::InventoryReleased, &|facts| facts.released = Some(now));
            EventBody::InventoryReleased { lines: Vec::new() }
        }
        Role::Inventory if debts.stock_moved => {
            note(EventKind::InventoryShipped, &|facts| facts.stock_moved = Some(now));
            EventBody::InventoryShipped { lines: Vec::new() }
        }
        Role::Inventory if debts.stock && external_roles.has(role) => {
            let lines: Vec<ReservedLine> = order.lines.iter().map(ReservedLine::from).collect();
            note(EventKind::InventoryReserved, &|facts| facts.stock = Some((StockFact::Reserved(lines.clone()), now)));
            EventBody::InventoryReserved { lines: lines.clone() }
        }
        Role::Notification => {
            let Some(kind) = debts.notice else { return };
            return note(EventKind::NotificationFailed, &|facts| {
                let told = |facts: &mut Facts, channel| facts.notices.push(NoticeFact { kind, channel, sent: false, at: now });
                let missing: Vec<_> = order.channels().iter().filter(|channel| !facts.has_notice(kind, *channel)).collect();
                missing.into_iter().for_each(|channel| told(facts, channel));
            });
        }
        // It owes nothing that a person can do: it goes on by itself.
        Role::Payment | Role::Inventory | Role::Order | Role::Analytics => return,
    };
    if external_roles.has(role) {
        external::tell(order, answer, now, None, place, effects);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{CancelledBy, Event, EventBody, OrderStatus, Text};
    use crate::saga::fixture::order;
    use crate::saga::park::SHIPPED_UNPAID;
    use crate::saga::{policy, status};

    /// What one of our roles could not store is done by hand, step by step, until nothing is owed.
    #[test]
    fn done_by_hand_pays_each_debt_of_each_role() {
        let (order, now) = (order(), Timestamp(5));
        let mut record = step::placed(&order);
        let mut effects = Effects::default();
        let mut done = |record: &mut Record, role| {
            record.parked = Some(Text::lossy("write-refused"));
            let what = Done { role, step: Text::lossy("store"), cause: Some(Text::lossy("write-refused")) };
            super::done(&order, record, &what, Roles::default(), now, &mut effects);
            assert_eq!(record.parked, None, "{role:?}");
            owed(&record.facts, order.channels())
        };
        let stays = done(&mut record, Role::Inventory);
        assert!(stays.stock, "nobody but the stock keeper can say that it is held");
        let reserved = Event::of(&order, now, EventBody::InventoryReserved { lines: Vec::new() });
        step::answer(&order, &mut record, &reserved, now, &mut Effects::default());
        assert!(!done(&mut record, Role::Payment).payment && record.facts.is_paid());
        step::cancel(&order, &mut record, CancelledBy::Customer, now, &mut Effects::default()).unwrap();
        let left = done(&mut record, Role::Payment);
        assert!(!left.refunded && left.released, "{left:?}");
        let left = done(&mut record, Role::Inventory);
        assert!(!left.is_more_than_a_notice() && left.notice.is_some(), "{left:?}");
        assert!(done(&mut record, Role::Notification).is_nothing());
    }

    /// Another team that was told of a reservation may have charged, whether or not the order heard of it.
    #[test]
    fn who_heard_of_a_reservation_was_asked_to_pay() {
        let (order, now) = (order(), Timestamp(5));
        let external = Roles::default().with(Role::Payment);
        let lines: Vec<ReservedLine> = order.lines.iter().map(ReservedLine::from).collect();
        for (lines, is_asked) in [(Vec::new(), false), (lines, true)] {
            let mut record = step::placed(&order);
            step::cancel(&order, &mut record, CancelledBy::Customer, now, &mut Effects::default()).unwrap();
            let released = Event::of(&order, now, EventBody::InventoryReleased { lines });
            step::answer(&order, &mut record, &released, now, &mut Effects::default());
            look(&order, &mut record, external, now, &mut Effects::default());
            assert_eq!(record.facts.payment.is_none(), is_asked, "{:?}", record.facts);
        }
    }

    /// Else a void that fails is tried by nobody any more. Another team was not asked to pay.
    #[test]
    fn an_order_without_stock_is_owed_our_payments_answer_to_its_cancellation() {
        let (order, now) = (order(), Timestamp(5));
        let insufficient = EventBody::InventoryInsufficient { shortages: Vec::new() };
        for (theirs, answer) in [
            (Role::Inventory, EventBody::PaymentCancelled),
            (Role::Inventory, EventBody::PaymentRefunded { amount: order.total }),
            (Role::Payment, EventBody::PaymentCancelled),
        ] {
            let external = Roles::default().with(theirs);
            let mut record = step::placed(&order);
            step::cancel(&order, &mut record, CancelledBy::Customer, now, &mut Effects::default()).unwrap();
            hear(&order, &mut record, insufficient.clone(), external, now);
            let debts = owed(&record.facts, order.channels());
            assert_eq!((status(&record.facts), debts.released), (OrderStatus::Cancelled, false), "{theirs:?}");
            assert_eq!(debts.payment, theirs != Role::Payment);
            if theirs == Role::Payment {
                continue;
            }
            let asked: Vec<_> = step::redrive(&order, &record.facts).iter().map(Event::kind).collect();
            assert_eq!(asked, [EventKind::OrderCancelRequested]);
            hear(&order, &mut record, answer, external, now);
            assert_eq!(status(&record.facts), OrderStatus::Cancelled);
            assert!(!owed(&record.facts, order.channels()).is_more_than_a_notice(), "{record:?}");
        }
        let mut record = step::placed(&order);
        hear(&order, &mut record, insufficient, Roles::default(), now);
        assert!(!owed(&record.facts, order.channels()).payment, "nobody asked it to undo anything");
    }

    /// While an order is parked for another team nobody asks our roles: so they come first.
    #[test]
    fn an_order_is_not_parked_for_another_team_while_a_role_of_ours_owes_something() {
        let (order, now) = (order(), Timestamp(5));
        let deadlines = policy::Deadlines { expiry_ms: 1, payment_ms: 1 };
        let lines: Vec<ReservedLine> = order.lines.iter().map(ReservedLine::from).collect();
        let reserved = EventBody::InventoryReserved { lines };
        let paid = EventBody::PaymentProcessed { amount: order.total, method: order.payment_method.clone() };
        let released = EventBody::InventoryReleased { lines: Vec::new() };
        let cases = [
            // The money is theirs, the stock ours; then the other way round.
            (Role::Payment, vec![reserved.clone()], released),
            (Role::Inventory, vec![reserved, paid], EventBody::PaymentRefunded { amount: order.total }),
        ];
        for (theirs, before, ours) in cases {
            let external = Roles::default().with(theirs);
            let mut record = step::placed(&order);
            for body in before {
                hear(&order, &mut record, body, external, now);
            }
            step::cancel(&order, &mut record, CancelledBy::Customer, now, &mut Effects::default()).unwrap();
            look(&order, &mut record, external, now, &mut Effects::default());
            assert_eq!(record.parked, None, "{theirs:?}");
            assert_eq!(awaited::awaited(&order, &record, external, deadlines), None, "{theirs:?}");
            hear(&order, &mut record, ours, external, now);
            let is_awaited = awaited::awaited(&order, &record, external, deadlines).is_some();
            assert!(is_awaited || record.parked.is_some(), "{theirs:?}: {record:?}");
        }
    }

    /// Our stock is not given back then, so nothing but a person can end the order.
    #[test]
    fn goods_that_left_unpaid_are_told_of_an_order_that_was_parked_for_something_else() {
        let (order, now) = (order(), Timestamp(5));
        let external = Roles::default().with(Role::Payment);
        let mut record = step::placed(&order);
        let lines: Vec<ReservedLine> = order.lines.iter().map(ReservedLine::from).collect();
        let reserved = Event::of(&order, now, EventBody::InventoryReserved { lines });
        step::answer(&order, &mut record, &reserved, now, &mut Effects::default());
        step::ship(&order, &mut record, crate::saga::Shipment::default(), now, &mut Effects::default()).unwrap();
        record.parked = Some(Text::lossy(awaited::OVERDUE));
        let (before, mut effects) = (record.facts.clone(), Effects::default());
        external::answer(&order, &mut record, &Event::of(&order, now, EventBody::PaymentCancelled), external, now, &mut effects);
        awaited::look(&before, &mut record, &mut effects);
        assert_eq!(record.parked.as_ref().map(Text::as_str), Some(SHIPPED_UNPAID));
        assert_eq!(effects.letters.len(), 1, "{effects:?}");
    }

    /// An order of another team's payment, paid, that is to end: their refund is asked for.
    fn parked_for_a_refund(order: &Order, external: Roles, now: Timestamp) -> (Record, DeadLetter) {
        let mut record = step::placed(order);
        let lines = order.lines.iter().map(ReservedLine::from).collect();
        hear(order, &mut record, EventBody::InventoryReserved { lines }, external, now);
        let paid = EventBody::PaymentProcessed { amount: order.total, method: order.payment_method.clone() };
        hear(order, &mut record, paid, external, now);
        step::cancel(order, &mut record, CancelledBy::Customer, now, &mut Effects::default()).unwrap();
        let effects = hear(order, &mut record, EventBody::InventoryReleased { lines: Vec::new() }, external, now);
        let letter = effects.letters.into_iter().next().expect("a person is asked to have it given back");
        assert_eq!((record.parked.as_ref().map(Text::as_str), letter.step.as_str()), (Some(EXTERNAL), "refund"));
        (record, letter)
    }

    fn hear(order: &Order, record: &mut Record, body: EventBody, external: Roles, now: Timestamp) -> Effects {
        let mut effects = Effects::default();
        external::answer(order, record, &Event::of(order, now, body), external, now, &mut effects);
        look(order, record, external, now, &mut effects);
        effects
    }

    /// Else a person who obeys the letter has the money paid out twice.
    #[test]
    fn a_team_that_gives_back_by_itself_ends_what_a_person_was_asked_for() {
        let (order, now, external) = (order(), Timestamp(5), Roles::default().with(Role::Payment));
        let (mut record, letter) = parked_for_a_refund(&order, external, now);
        let effects = hear(&order, &mut record, EventBody::PaymentRefunded { amount: order.total }, external, now);
        assert!(record.parked.is_none() && record.facts.refunded.is_some(), "{record:?}");
        let closed: Vec<_> = effects.letters.iter().map(|letter| (letter.id, letter.state)).collect();
        assert_eq!(closed, [(letter.id, crate::domain::DeadLetterState::Done)]);
    }

    /// A letter may outlive what it is about: what is owed by then is another matter.
    #[test]
    fn an_old_letter_that_is_closed_as_done_says_nothing_of_what_is_owed_now() {
        let (order, now, external) = (order(), Timestamp(5), Roles::default().with(Role::Payment));
        let (mut record, refund) = parked_for_a_refund(&order, external, now);
        let overdue = Done { role: Role::Payment, step: Text::lossy("payment-answer"), cause: Some(Text::lossy(awaited::OVERDUE)) };
        done(&order, &mut record, &overdue, external, now, &mut Effects::default());
        assert!(record.facts.refunded.is_none() && record.parked.is_some(), "nobody has said that it is given back");
        done(&order, &mut record, &Done::of(&refund), external, now, &mut Effects::default());
        assert!(record.facts.refunded.is_some() && record.parked.is_none(), "{record:?}");
    }

    /// What an earlier version told last stands in the one letter of all steps, whatever the order was parked for.
    #[test]
    fn an_old_letter_that_is_closed_as_done_unparks_its_order_whatever_it_tells() {
        let (order, now) = (order(), Timestamp(5));
        let about = |number| DeadLetter::about(order.id, order.shard, DeadLetterKind::Step, number, Role::Inventory, STORE, now);
        for (number, is_unparked) in [(0, true), (22, false)] {
            let letter = about(number).because("write-refused", "why", 1);
            let mut record = step::placed(&order);
            record.parked = Some(Text::lossy("payment-provider"));
            let mut effects = Effects::default();
            done(&order, &mut record, &Done::of(&letter), Roles::default(), now, &mut effects);
            assert_eq!((record.parked.is_none(), effects.changed), (is_unparked, is_unparked), "{number}");
        }
    }
}
