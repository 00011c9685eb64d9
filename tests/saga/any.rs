//! Facts and answers that no run brings about: the table is total all the same, and answers only add.

use super::*;
use ordermill::saga::{NoticeFact, PaymentFact, Record, StockFact, table};

fn times() -> impl Strategy<Value = Option<Timestamp>> {
    prop::option::of((1i64..100).prop_map(Timestamp))
}

/// Any facts at all, also such as no run can bring about.
fn any_facts() -> impl Strategy<Value = Facts> {
    let line = ReservedLine { product: ProductId(Uuid::from_u128(1)), quantity: Quantity::new(2).unwrap() };
    let shortage = Shortage::UnknownProduct { product: line.product };
    let stock = prop_oneof![
        Just(None),
        Just(Some((StockFact::Reserved(vec![line]), Timestamp(5)))),
        Just(Some((StockFact::Insufficient(vec![shortage]), Timestamp(5)))),
        Just(Some((StockFact::Insufficient(vec![]), Timestamp(5)))),
    ];
    let paid = PaymentFact::Paid { amount: Money::from_minor(2000).unwrap(), method: Text::lossy("CARD") };
    let payment = prop_oneof![
        Just(None),
        Just(Some((paid, Timestamp(6)))),
        Just(Some((PaymentFact::Failed { reason: Text::lossy("no") }, Timestamp(6)))),
        Just(Some((PaymentFact::Cancelled, Timestamp(6)))),
    ];
    let cancel = prop::option::of(Just((CancelledBy::Expiry, Timestamp(7))));
    let shipment = prop::option::of(Just((Shipment::default(), Timestamp(8))));
    let kinds = prop::sample::subsequence(NoticeKind::ALL.to_vec(), 0..=NoticeKind::ALL.len());
    let notices = kinds.prop_map(|kinds| {
        kinds.into_iter().map(|kind| NoticeFact { kind, channel: Channel::Email, sent: true, at: Timestamp(9) }).collect::<Vec<_>>()
    });
    let answers = (stock, payment, times(), times(), cancel, shipment);
    (answers, times(), notices, times(), times(), any::<bool>()).prop_map(
        |(answers, stock_moved, notices, stray_r, stray_c, undo_asked)| {
            let (stock, payment, released, refunded, cancel, shipment) = answers;
            let (stray_reservation, stray_charge) = (stray_r, stray_c);
            Facts {
                stock,
                payment,
                released,
                refunded,
                cancel,
                shipment,
                stock_moved,
                notices,
                stray_reservation,
                stray_charge,
                undo_asked,
                unpaid_end: None,
                owes_void: undo_asked,
            }
        },
    )
}

/// Any answer of any role, contradictions included.
fn any_answer() -> impl Strategy<Value = EventBody> {
    let amount = Money::from_minor(2000).unwrap();
    let all = vec![
        EventBody::InventoryReserved { lines: Vec::new() },
        EventBody::InventoryInsufficient { shortages: Vec::new() },
        EventBody::InventoryReleased { lines: Vec::new() },
        EventBody::InventoryShipped { lines: Vec::new() },
        EventBody::PaymentProcessed { amount, method: Text::lossy("CARD") },
        EventBody::PaymentFailed { reason: Text::lossy("no") },
        EventBody::PaymentCancelled,
        EventBody::PaymentRefunded { amount },
        EventBody::NotificationSent { kind: NoticeKind::Confirmation, channel: Channel::Email },
        EventBody::NotificationFailed {
            kind: NoticeKind::Failure,
            channel: Channel::Email,
            attempt: 4,
            last: true,
            reason: Text::lossy("no"),
        },
    ];
    prop::sample::select(all)
}
proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, ..ProptestConfig::default() })]

    #[test]
    fn any_facts_have_a_status_and_debts(facts in any_facts(), both in any::<bool>()) {
        let order = order(both);
        let debts = owed(&facts, order.channels());
        prop_assert_eq!(redrive(&order, &facts).is_empty(), debts.is_nothing(), "what is owed is asked for");
        let _ = (table::reason(&facts), deadline(&Record { facts: facts.clone(), ..Record::default() }, Deadlines { expiry_ms: 5, payment_ms: 5 }));
        if table::is_dead(status(&facts)) && debts.is_nothing() {
            prop_assert!(!facts.is_paid() || facts.refunded.is_some(), "a settled dead order keeps no charge");
            prop_assert!(!facts.is_reserved() || facts.released.is_some(), "a settled dead order keeps no stock");
            prop_assert!(facts.stray_charge.is_none() || facts.refunded.is_some());
        }
        if table::is_dead(status(&facts)) {
            prop_assert!(!debts.stock && !debts.stock_moved, "a dead order waits for no progress");
        }
    }

    #[test]
    fn answers_in_any_order_even_contradicting_only_add(answers in prop::collection::vec(any_answer(), 0..20), cancel_at in 0usize..25) {
        let mut world = World::new(Scenario { has_stock: true, pays: true, tells: true, both_channels: false });
        for (at, body) in answers.into_iter().enumerate() {
            if at == cancel_at {
                world.cancel(CancelledBy::Operator);
            }
            let now = world.now();
            let event = Event::of(&world.order, now, body);
            world.deliver(Role::Order, &event);
            let again = world.record.clone();
            world.deliver(Role::Order, &event);
            prop_assert_eq!(&again, &world.record, "an answer taken twice changes nothing");
        }
    }
}
