//! What happens past a limit: of restarts, of open orders.

use crate::deaths::count;
use crate::desk::{letters, open_letter};
use crate::planned::Planned;
use crate::support::{LIMIT, World1, line, new_order, put_product, run, settled, stored, until};
use ordermill::actors::faults::Point;
use ordermill::actors::{DeadLetterAction, PlaceError};
use ordermill::config::providers::Behaviour;
use ordermill::domain::{DeadLetterKind, OrderStatus, Text};
use ordermill::providers::sandbox::Party;
use std::time::Duration;

#[test]
fn an_order_that_dies_again_and_again_is_parked_until_a_person_comes() {
    run(|| async {
        let plan = Planned::at(Point::OrderMessage);
        let mut world = World1::new(1);
        world.faults = plan.faults();
        let node = world.start().await;
        let handle = node.handle();
        put_product(handle, 1, 1000, 10).await;
        plan.arm(1000);
        let order = handle.place(new_order(vec![line(1, 1, 1000)]), None, LIMIT).await.unwrap().order.id;
        until("it is parked", || async { stored(handle, order).await.record.parked.is_some() }).await;
        let letter = open_letter(handle, DeadLetterKind::Step).await;
        assert_eq!((letter.cause.as_str(), letter.order), ("restart-limit", Some(order)));
        assert!(letter.detail.as_str().contains("planned at OrderMessage"), "{letter:?}");
        plan.spare(order);
        let neighbour = handle.place(new_order(vec![line(1, 1, 1000)]), None, LIMIT).await.unwrap().order.id;
        plan.arm(0);
        settled(handle, neighbour, OrderStatus::Confirmed).await;
        handle.act(letter.id, DeadLetterAction::Reprocess, Text::lossy("desk"), None, LIMIT).await.unwrap();
        settled(handle, order, OrderStatus::Confirmed).await;
        assert!(letters(handle, DeadLetterKind::Step).await.is_empty());
    });
}

#[test]
fn a_role_that_dies_again_and_again_makes_the_node_not_ready_until_it_heals() {
    let roles = [
        ("stock-keeper", Point::StockKeeperMessage),
        ("payment-gateway", Point::PaymentGatewayMessage),
        ("notifier", Point::NotifierMessage),
        ("router", Point::RouterMessage),
        ("supervisor", Point::SupervisorTimer),
        ("analytics", Point::AnalyticsTimer),
    ];
    for (kind, point) in roles {
        run(move || async move {
            let plan = Planned::at(point);
            let mut world = World1::new(2);
            world.faults = plan.faults();
            let node = world.start().await;
            let handle = node.handle().clone();
            put_product(&handle, 1, 1000, 100).await;
            plan.arm(1000);
            let is_not_ready = || handle.not_ready().iter().any(|why| why.contains(kind) && why.contains("planned at"));
            let mut accepted = Vec::new();
            while !is_not_ready() && accepted.len() < 40 {
                // A dead router takes nothing: then it is known not to be stored.
                let placed = handle.place(new_order(vec![line(1, 1, 1000)]), None, LIMIT).await;
                accepted.extend(placed.map(|placed| placed.order.id));
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            assert!(is_not_ready(), "{kind}: {:?}", handle.not_ready());
            plan.arm(0);
            for order in accepted {
                settled(&handle, order, OrderStatus::Confirmed).await;
            }
            until(&format!("ready again: {kind}"), || async { handle.not_ready().is_empty() }).await;
            assert!(count(&handle, kind).restarts >= 5);
        });
    }
}

#[test]
fn past_the_bound_orders_are_refused_and_all_accepted_ones_settle() {
    run(|| async {
        let mut world = World1::new(3);
        world.settings.open_limit = 3;
        world.sandbox().behave(Party::Payment, Behaviour { latency_ms: 1000, ..Behaviour::default() });
        let node = world.start().await;
        let handle = node.handle();
        put_product(handle, 1, 1000, 10).await;
        let all = (0..8).map(|_| handle.place(new_order(vec![line(1, 1, 1000)]), None, LIMIT));
        let mut accepted = Vec::new();
        for placed in futures_util::future::join_all(all).await {
            match placed {
                Ok(placed) => accepted.push(placed.order.id),
                Err(error) => assert!(matches!(error, PlaceError::Overloaded), "{error}"),
            }
        }
        assert_eq!(accepted.len(), 3);
        for order in accepted {
            settled(handle, order, OrderStatus::Confirmed).await;
        }
        until("there is room again", || async { handle.open_orders() == 0 }).await;
        handle.place(new_order(vec![line(1, 1, 1000)]), None, LIMIT).await.unwrap();
    });
}

#[test]
fn a_wall_clock_that_jumps_neither_ends_an_order_early_nor_lets_it_wait_longer() {
    for jump_ms in [3_600_000, -3_600_000] {
        run(move || async move {
            let mut world = World1::new(9);
            world.settings.deadlines.payment_ms = 60_000;
            let node = world.start().await;
            let handle = node.handle();
            put_product(handle, 1, 1000, 10).await;
            world.sandbox().behave(Party::Payment, Behaviour { error_rate: 1.0, ..Behaviour::default() });
            let order = handle.place(new_order(vec![line(1, 1, 1000)]), None, LIMIT).await.unwrap().order.id;
            until("its stock is held", || async { stored(handle, order).await.record.facts.is_reserved() }).await;
            world.world.jump(jump_ms);
            tokio::time::sleep(Duration::from_secs(50)).await;
            assert_eq!(stored(handle, order).await.status, OrderStatus::InventoryReserved, "{jump_ms}");
            world.sandbox().behave(Party::Payment, Behaviour::default());
            tokio::time::sleep(Duration::from_secs(11)).await;
            assert!(stored(handle, order).await.record.facts.cancel.is_some(), "{jump_ms}");
            settled(handle, order, OrderStatus::Cancelled).await;
        });
    }
}
