//! Sound databases in every state, and one planted violation for each check, which it and no other must report.

mod parked;
mod world;

use super::{Check, Expect, Options, Report, read_record};
use crate::db::memory::{Entry, StockRow, Tables};
use crate::domain::analytics::SINCE;
use crate::domain::{
    CancelledBy, Channel, Event, EventBody, EventKind, Marker, Metric, NoticeKind, OrderId, OrderStatus, Payment, PaymentStatus, Role,
    Shard, Text,
};
use crate::saga::{Effects, ExternalRecord, HistoryEntry, PaymentFact, status, step};
use std::collections::HashSet;
use world::{Rested, World, at, money, order, product, rested};

fn strict() -> Options {
    Options { expect: Expect::Settled, page: 3, ..Options::default() }
}

/// The checks that found something.
fn found(report: &Report) -> Vec<&'static str> {
    report.checks.iter().filter(|check| check.violations > 0).map(|check| check.name).collect()
}

#[tokio::test]
async fn a_database_at_rest_is_sound() {
    let Rested { mut world, confirmed, shipped, failed, refunded, insufficient } = rested().await;
    world.count(20).await;
    let statuses = [confirmed, shipped, failed, refunded, insufficient].map(|id| status(&world.records[&id].1.facts));
    let wanted = [OrderStatus::Confirmed, OrderStatus::Shipped, OrderStatus::Failed, OrderStatus::Cancelled, OrderStatus::Cancelled];
    assert_eq!(statuses, wanted);
    let options = Options { recorded: Some(HashSet::from([confirmed, failed])), ..strict() };
    let report = world.verify(&options).await;
    assert!(report.is_sound(), "{report:#?}");
    // The provider is asked only where its address is given.
    assert_eq!(report.checks.len(), Check::ALL.len() - 1);
    assert!(report.checks.iter().all(|check| check.examined > 0), "every check looked at something: {report:#?}");
    assert!(serde_json::to_string(&report).unwrap().contains("\"name\":\"money.charges\""));
}

#[tokio::test]
async fn a_database_is_sound_after_every_single_transaction() {
    for patience in 0..40 {
        for undo in [false, true] {
            let mut world = World::new().await;
            world.patience = patience;
            let first = world.place(1, 2).await;
            let last = world.place(2, 1).await;
            if undo
                && step::cancel(&order(1, 2), &mut world.records[&first].1.clone(), CancelledBy::Expiry, at(5), &mut Effects::default())
                    .is_ok()
            {
                world.cancel(first).await;
            } else {
                world.ship(last).await;
            }
            let report = world.verify(&Options::default()).await;
            assert!(report.is_sound(), "after {patience}, undo {undo}: {report:#?}");
        }
    }
}

/// Breaks something; `check` must report it, and nothing else must.
async fn planted(check: Check, plant: impl FnOnce(&mut Tables, &Rested)) {
    planted_with(check, strict(), plant).await;
}

async fn planted_with(check: Check, options: Options, plant: impl FnOnce(&mut Tables, &Rested)) {
    let rested = rested().await;
    rested.world.database.raw(|tables| plant(tables, &rested));
    let report = rested.world.verify(&options).await;
    assert_eq!(found(&report), [check.name()], "{report:#?}");
    assert!(!report.is_sound());
}

/// Where the first event of this kind is in the log.
fn place_of(tables: &Tables, order: OrderId, kind: EventKind) -> (crate::domain::WriterId, i64) {
    let is_it = |entry: &Entry| matches!(entry, Entry::Event(event) if event.order == order && event.kind() == kind);
    *tables.log.iter().find(|(_, entry)| is_it(entry)).unwrap().0
}

fn append(tables: &mut Tables, event: Event) {
    let row = tables.writers.values_mut().next_back().unwrap();
    row.last_seq += 1;
    tables.log.insert((row.writer, row.last_seq), Entry::Event(event));
}

#[tokio::test]
async fn a_wrong_status_is_found() {
    planted(Check::Status, |tables, rested| tables.orders.get_mut(&rested.confirmed).unwrap().status = OrderStatus::Shipped).await;
}

#[tokio::test]
async fn a_wrong_openness_is_found() {
    planted(Check::Open, |tables, rested| tables.orders.get_mut(&rested.confirmed).unwrap().open = true).await;
}

#[tokio::test]
async fn a_history_that_ends_elsewhere_is_found() {
    planted(Check::History, |tables, rested| {
        let history = &mut tables.orders.get_mut(&rested.confirmed).unwrap().record.history;
        history.push(HistoryEntry::new(OrderStatus::Failed, EventKind::OrderConfirmed, at(9)));
    })
    .await;
}

#[tokio::test]
async fn an_order_that_never_settles_is_found_when_all_should_have() {
    let mut world = World::new().await;
    world.patience = 2;
    world.place(1, 1).await;
    assert!(world.verify(&Options::default()).await.is_sound(), "while it may be under way");
    assert_eq!(found(&world.verify(&strict()).await), [Check::Settled.name()]);
}

#[tokio::test]
async fn an_order_that_was_answered_and_lost_is_found() {
    let rested = rested().await;
    let lost = order(77, 1).id;
    let options = Options { recorded: Some(HashSet::from([lost, rested.failed])), ..strict() };
    let report = rested.world.verify(&options).await;
    assert_eq!(found(&report), [Check::RecordedExist.name()]);
    let check = report.of(Check::RecordedExist).unwrap();
    assert_eq!((check.examined, check.violations), (2, 1));
    assert!(check.shown[0].contains(&lost.to_string()));
}

#[tokio::test]
async fn stock_held_in_vain_is_found() {
    planted(Check::StockRows, |tables, rested| {
        tables.stock.get_mut(&rested.refunded).unwrap().status = Some(StockRow::Reserved);
        let product = tables.products.get_mut(&product(1)).unwrap();
        (product.available, product.reserved) = (product.available - 1, product.reserved + 1);
    })
    .await;
}

#[tokio::test]
async fn a_confirmed_order_without_its_stock_is_found() {
    planted(Check::StockRows, |tables, rested| {
        tables.stock.get_mut(&rested.confirmed).unwrap().status = Some(StockRow::Shipped);
        let product = tables.products.get_mut(&product(1)).unwrap();
        (product.reserved, product.shipped) = (product.reserved - 2, product.shipped + 2);
        let step = EventBody::InventoryShipped { lines: Vec::new() };
        append(tables, Event::of(&order(1, 2), at(9), step));
    })
    .await;
}

#[tokio::test]
async fn a_charge_of_another_amount_is_found() {
    planted(Check::Charges, |tables, rested| tables.payments.get_mut(&rested.confirmed).unwrap().amount = money(1)).await;
}

#[tokio::test]
async fn an_order_that_went_on_with_another_amount_than_its_total_is_found() {
    let rested = rested().await;
    let options = Options { external: vec![Role::Payment], ..strict() };
    let pay = |accepted| {
        rested.world.database.raw(|tables| {
            let record = &mut tables.orders.get_mut(&rested.confirmed).unwrap().record;
            if let Some((PaymentFact::Paid { amount, .. }, _)) = &mut record.facts.payment {
                *amount = money(1);
            }
            record.external = Some(Box::new(ExternalRecord { payment_accepted: accepted, ..ExternalRecord::default() }));
        });
    };
    pay(None);
    assert_eq!(found(&rested.world.verify(&options).await), [Check::Answers.name()]);
    pay(Some(at(9)));
    assert_eq!(found(&rested.world.verify(&options).await), Vec::<&str>::new());
}

#[tokio::test]
async fn an_order_that_went_on_with_other_money_is_found() {
    let rested = rested().await;
    let options = Options { external: vec![Role::Payment], ..strict() };
    for (payment_accepted, found_by) in [(None, vec![Check::Answers.name()]), (Some(at(9)), Vec::new())] {
        rested.world.database.raw(|tables| {
            let foreign_money = Some((money(1), Text::lossy("USD")));
            let kept = ExternalRecord { payment_accepted, foreign_money, ..ExternalRecord::default() };
            tables.orders.get_mut(&rested.confirmed).unwrap().record.external = Some(Box::new(kept));
        });
        assert_eq!(found(&rested.world.verify(&options).await), found_by);
    }
}

#[tokio::test]
async fn a_charge_left_on_an_order_that_is_over_is_found() {
    planted(Check::Charges, |tables, rested| {
        let order = tables.orders[&rested.insufficient].order.clone();
        let payment = Payment::of(&order, 1, PaymentStatus::Charged, at(9));
        append(tables, payment.answer(order.shard, order.correlation).unwrap());
        tables.payments.insert(order.id, payment);
    })
    .await;
}

#[tokio::test]
async fn a_confirmed_order_without_a_charge_is_found() {
    let rested = rested().await;
    rested.world.database.raw(|tables| tables.payments.remove(&rested.shipped));
    let report = rested.world.verify(&strict()).await;
    assert_eq!(found(&report), [Check::Charges.name(), Check::LogStates.name()]);
}

#[tokio::test]
async fn a_notice_that_was_sent_twice_is_found() {
    planted(Check::Notices, |tables, rested| {
        let row = tables.notices.range((rested.shipped, 0, 0)..).next().unwrap().1.clone();
        tables.notices.insert((rested.shipped, 9, 9), row);
    })
    .await;
}

#[tokio::test]
async fn a_notice_without_a_reason_is_found() {
    planted(Check::Notices, |tables, rested| {
        let mut row = tables.notices.range((rested.confirmed, 0, 0)..).next().unwrap().1.clone();
        row.task.kind = NoticeKind::Shipping;
        let told = EventBody::NotificationSent { kind: NoticeKind::Shipping, channel: Channel::Email };
        tables.notices.insert((rested.confirmed, NoticeKind::Shipping.number(), 0), row);
        append(tables, Event::of(&order(1, 2), at(9), told));
    })
    .await;
}

#[tokio::test]
async fn sums_of_a_product_that_do_not_add_up_are_found() {
    planted(Check::StockSums, |tables, _| tables.products.get_mut(&product(1)).unwrap().supplied += 1).await;
    planted(Check::StockSums, |tables, _| {
        let product = tables.products.get_mut(&product(1)).unwrap();
        product.supplied -= product.available + 1;
        product.available = -1;
    })
    .await;
}

#[tokio::test]
async fn a_product_that_nobody_holds_is_found() {
    planted(Check::StockHolders, |tables, _| {
        let product = tables.products.get_mut(&product(1)).unwrap();
        (product.available, product.reserved) = (product.available - 1, product.reserved + 1);
    })
    .await;
    planted(Check::StockHolders, |tables, _| drop(tables.products.remove(&product(1)))).await;
}

#[tokio::test]
async fn a_gap_in_the_log_is_found() {
    planted(Check::LogGaps, |tables, rested| {
        let place = place_of(tables, rested.confirmed, EventKind::NotificationFailed);
        tables.log.remove(&place);
    })
    .await;
    planted(Check::LogGaps, |tables, _| tables.writers.values_mut().for_each(|row| row.last_seq += 1)).await;
    planted(Check::LogGaps, |tables, _| tables.writers.values_mut().for_each(|row| row.last_seq -= 1)).await;
}

#[tokio::test]
async fn an_event_that_is_logged_twice_is_found() {
    planted(Check::LogOnce, |tables, rested| {
        let place = place_of(tables, rested.confirmed, EventKind::OrderConfirmed);
        let Entry::Event(event) = tables.log[&place].clone() else { unreachable!() };
        append(tables, event);
    })
    .await;
}

#[tokio::test]
async fn an_event_before_its_cause_is_found() {
    planted(Check::LogOrder, |tables, rested| {
        let cause = place_of(tables, rested.confirmed, EventKind::InventoryReserved);
        let effect = place_of(tables, rested.confirmed, EventKind::PaymentProcessed);
        let (first, second) = (tables.log[&cause].clone(), tables.log[&effect].clone());
        tables.log.insert(cause, second);
        tables.log.insert(effect, first);
    })
    .await;
}

/// Puts a marker where an event was, so that the log has no gap.
fn erase(tables: &mut Tables, order: OrderId, kind: EventKind) {
    let place = place_of(tables, order, kind);
    tables.log.insert(place, Entry::Marker(Marker { role: Role::Order, shard: Shard(0), after: None }));
}

#[tokio::test]
async fn a_state_without_its_event_is_found() {
    use EventKind as Kind;
    for kind in [Kind::OrderCreated, Kind::InventoryReserved, Kind::PaymentProcessed, Kind::OrderConfirmed, Kind::NotificationSent] {
        planted(Check::LogStates, |tables, rested| erase(tables, rested.confirmed, kind)).await;
    }
    for kind in [Kind::OrderCancelRequested, Kind::InventoryReleased, Kind::PaymentRefunded, Kind::OrderCancelled] {
        planted(Check::LogStates, |tables, rested| erase(tables, rested.refunded, kind)).await;
    }
    for kind in [Kind::OrderShipped, Kind::InventoryShipped] {
        planted(Check::LogStates, |tables, rested| erase(tables, rested.shipped, kind)).await;
    }
    for kind in [Kind::OrderFailed, Kind::PaymentFailed] {
        planted(Check::LogStates, |tables, rested| erase(tables, rested.failed, kind)).await;
    }
}

#[tokio::test]
async fn an_event_without_its_state_is_found() {
    planted(Check::LogStates, |tables, _| append(tables, Event::of(&order(1, 2), at(9), EventBody::ShipmentHeld))).await;
    planted(Check::LogStates, |tables, _| {
        append(tables, Event::of(&order(1, 2), at(9), EventBody::PaymentRefunded { amount: money(2000) }))
    })
    .await;
    planted(Check::LogStates, |tables, _| append(tables, Event::of(&order(99, 2), at(9), EventBody::OrderConfirmed))).await;
}

#[tokio::test]
async fn old_events_that_retention_deleted_are_not_missed() {
    let rested = rested().await;
    rested.world.database.raw(|tables| {
        let end = place_of(tables, rested.shipped, EventKind::OrderShipped).1;
        tables.log.retain(|(_, seq), _| *seq > end);
    });
    assert_eq!(found(&rested.world.verify(&strict()).await), [Check::LogStates.name()]);
    let report = rested.world.verify(&Options { log_since: Some(at(2)), ..strict() }).await;
    assert!(report.is_sound(), "{report:#?}");
}

#[tokio::test]
async fn a_row_without_an_order_is_found() {
    planted(Check::Orphans, |tables, rested| {
        let mut row = tables.payments[&rested.confirmed].clone();
        row.order = order(99, 1).id;
        tables.payments.insert(row.order, row);
    })
    .await;
}

#[tokio::test]
async fn analytics_numbers_that_were_not_counted_so_are_found() {
    type Plant = fn(&mut Tables);
    let plants: [Plant; 4] = [
        |tables| *tables.analytics.values_mut().next().unwrap() += 1,
        |tables| drop(tables.analytics.pop_first()),
        |tables| assert!(tables.analytics.insert((5, 1, Vec::new()), 1).is_none()),
        |tables| tables.positions.values_mut().for_each(|seq| *seq += 100),
    ];
    for (n, plant) in plants.into_iter().enumerate() {
        let mut rested = rested().await;
        let end = rested.world.writer.last_seq;
        rested.world.count(if n == 3 { end } else { 20 }).await;
        assert!(rested.world.verify(&strict()).await.is_sound());
        rested.world.database.raw(plant);
        assert_eq!(found(&rested.world.verify(&strict()).await), [Check::Analytics.name()], "plant {n}");
    }
}

#[tokio::test]
async fn analytics_numbers_are_compared_with_the_orders_and_not_only_with_the_same_log() {
    // The log and the numbers agree, also of what is not counted yet: an event is missing in both.
    for (counted, kind) in [(true, EventKind::OrderConfirmed), (true, EventKind::OrderCreated), (false, EventKind::OrderConfirmed)] {
        let mut rested = rested().await;
        let confirmed = rested.confirmed;
        let mut end = rested.world.writer.last_seq;
        rested.world.database.raw(|tables| {
            if !counted {
                end = place_of(tables, confirmed, kind).1 - 1;
            }
            erase(tables, confirmed, kind);
        });
        rested.world.count(end).await;
        let report = rested.world.verify(&strict()).await;
        assert_eq!(found(&report), [Check::LogStates.name(), Check::Analytics.name()], "{kind:?}");
        // Where sales are not counted from the first day, theirs are not compared.
        rested.world.database.raw(|tables| {
            tables.analytics.insert((SINCE, Metric::Sales.code(), Vec::new()), 1);
        });
        let shown = rested.world.verify(&strict()).await.of(Check::Analytics).unwrap().shown.clone();
        assert!(!shown.is_empty() && shown.iter().all(|told| !told.starts_with("Sale")), "{shown:?}");
    }
}

#[tokio::test]
async fn another_teams_answers_are_counted_where_the_orders_tell_them() {
    for (role, kind, metric) in
        [(Role::Payment, EventKind::PaymentProcessed, "PaymentsCharged"), (Role::Inventory, EventKind::InventoryReserved, "StockReserved")]
    {
        let mut rested = rested().await;
        let (options, confirmed) = (Options { external: vec![role], ..strict() }, rested.confirmed);
        assert!(rested.world.verify(&options).await.is_sound());
        // Neither in the log nor in the numbers.
        rested.world.database.raw(|tables| erase(tables, confirmed, kind));
        rested.world.count(rested.world.writer.last_seq).await;
        let report = rested.world.verify(&options).await;
        assert_eq!(found(&report), [Check::Analytics.name()], "{report:#?}");
        let shown = &report.of(Check::Analytics).unwrap().shown;
        assert!(shown.iter().any(|told| told.starts_with(metric)), "{shown:?}");
    }
}

#[tokio::test]
async fn violations_are_all_counted_and_the_first_are_shown() {
    let options = Options { shown: 2, ..strict() };
    let rested = rested().await;
    rested.world.database.raw(|tables| tables.orders.values_mut().for_each(|row| row.open = !row.open));
    let report = rested.world.verify(&options).await;
    let check = report.of(Check::Open).unwrap();
    assert_eq!((check.examined, check.violations, check.shown.len()), (5, 5, 2));
    assert_eq!(report.violations(), 5);
}

#[test]
fn a_record_file_is_read_and_its_cut_last_line_passed_over() {
    let (one, two) = (order(1, 1).id, order(2, 1).id);
    let cases: [(String, Result<usize, usize>); 8] = [
        (String::new(), Ok(0)),
        (format!("{one}\n{two}\n"), Ok(2)),
        (format!("{one}\r\n\n{two}"), Ok(2)),
        (format!("{one}\n0190-cut"), Ok(1)),
        ("0190-cut".to_owned(), Ok(0)),
        (format!("{one}\nmaybe {two}\n"), Ok(1)),
        ("maybe not\n".to_owned(), Err(1)),
        (format!("{one}\nnonsense\n{two}\n"), Err(2)),
    ];
    for (text, wanted) in cases {
        assert_eq!(read_record(&text).map(|ids| ids.len()), wanted, "{text:?}");
    }
}
