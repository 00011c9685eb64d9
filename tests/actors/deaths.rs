//! Each actor dies in the middle of each of its steps: that order settles from what is stored, its neighbour is untouched, and
//! actor, cause and restart are visible.

use crate::planned::Planned;
use crate::support::{LIMIT, World1, line, new_order, put_product, run, settled, until};
use ordermill::actors::faults::Point;
use ordermill::actors::{ActorCount, Command, NodeHandle};
use ordermill::config::providers::Behaviour;
use ordermill::domain::OrderStatus;
use ordermill::providers::sandbox::Party;
use ordermill::saga::Shipment;

pub fn count(handle: &NodeHandle, kind: &str) -> ActorCount {
    handle.report().actors.into_iter().find(|actor| actor.kind == kind).expect("every kind is reported")
}

/// The actor dies once at `point`. Answers of providers take a second, so that two orders are in the middle of everything.
#[track_caller]
fn check(kind: &'static str, point: Point) {
    run(move || async move {
        let plan = Planned::at(point);
        let mut world = World1::new(7);
        world.faults = plan.faults();
        let slow = Behaviour { latency_ms: 1000, ..Behaviour::default() };
        for party in Party::ALL {
            world.sandbox().behave(party, slow);
        }
        let is_at_start = matches!(
            point,
            Point::StockKeeperStarted
                | Point::PaymentGatewayStarted
                | Point::NotifierStarted
                | Point::RouterStarted
                | Point::SupervisorStarted
                | Point::AnalyticsStarted
        );
        plan.arm(usize::from(is_at_start));
        let node = world.start().await;
        let handle = node.handle();
        put_product(handle, 1, 1000, 10).await;
        let neighbour = handle.place(new_order(vec![line(1, 1, 1000)]), None, LIMIT).await.unwrap().order.id;
        plan.spare(neighbour);
        plan.arm(usize::from(!is_at_start));
        let mut placed = handle.place(new_order(vec![line(1, 1, 1000)]), None, LIMIT).await;
        if matches!(point, Point::OrderStarted | Point::RouterMessage) {
            assert!(placed.is_err(), "it died before anything was sent, so it is known not to be stored");
            placed = handle.place(new_order(vec![line(1, 1, 1000)]), None, LIMIT).await;
        }
        let order = placed.unwrap().order.id;
        settled(handle, neighbour, OrderStatus::Confirmed).await;
        settled(handle, order, OrderStatus::Confirmed).await;
        handle.command(order, Command::Ship(Shipment::default()), LIMIT).await.unwrap();
        settled(handle, order, OrderStatus::Shipped).await;
        until("the panic has happened", || async { plan.happened() == 1 || is_at_start }).await;
        let restarted = count(handle, kind);
        assert_eq!(restarted.restarts, 1, "{restarted:?}");
        assert!(restarted.last_cause.is_some_and(|cause| cause.contains(&format!("planned at {point:?}"))));
        for other in handle.report().actors.iter().filter(|actor| actor.kind != kind) {
            assert_eq!((other.restarts, &other.last_cause), (0, &None), "{other:?}");
        }
        let product = handle.reads().product(crate::support::product(1)).await.unwrap().unwrap();
        assert_eq!((product.available, product.reserved, product.shipped), (8, 1, 1));
        until("the orders rest", || async { count(handle, "order").alive == 0 }).await;
        until("the node is ready", || async { handle.not_ready().is_empty() }).await;
    });
}

#[test]
fn an_order_dies() {
    let points = [Point::OrderStarted, Point::OrderMessage, Point::OrderSave, Point::OrderStored, Point::OrderTimer];
    for point in points {
        check("order", point);
    }
}

#[test]
fn the_stock_keeper_dies() {
    for point in [Point::StockKeeperStarted, Point::StockKeeperMessage] {
        check("stock-keeper", point);
    }
}

#[test]
fn the_payment_gateway_dies() {
    let points = [Point::PaymentGatewayStarted, Point::PaymentGatewayMessage, Point::PaymentGatewayCourse, Point::PaymentGatewayAnswered];
    for point in points {
        check("payment-gateway", point);
    }
}

#[test]
fn the_notifier_dies() {
    let points = [Point::NotifierStarted, Point::NotifierMessage, Point::NotifierCourse, Point::NotifierAnswered];
    for point in points {
        check("notifier", point);
    }
}

#[test]
fn the_router_dies() {
    for point in [Point::RouterStarted, Point::RouterMessage] {
        check("router", point);
    }
}

#[test]
fn the_supervisor_dies() {
    for point in [Point::SupervisorStarted, Point::SupervisorMessage, Point::SupervisorTimer] {
        check("supervisor", point);
    }
}

#[test]
fn the_journal_dies() {
    check("journal", Point::Journal);
}

#[test]
fn the_analytics_die() {
    for point in [Point::AnalyticsStarted, Point::AnalyticsMessage, Point::AnalyticsTimer] {
        check("analytics", point);
    }
}

/// The watchdog goes by these heartbeats, also while the node is not ready.
#[test]
fn an_arbiter_beats_on_while_its_supervisor_dies_again_and_again() {
    run(|| async {
        let plan = Planned::at(Point::SupervisorTimer);
        let mut world = World1::new(70);
        world.faults = plan.faults();
        let node = world.start().await;
        let handle = node.handle();
        plan.arm(usize::MAX);
        until("the node is not ready", || async { !handle.not_ready().is_empty() }).await;
        let before = handle.heartbeats();
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        assert!(!handle.not_ready().is_empty());
        let beats = handle.heartbeats();
        assert!(beats.iter().zip(&before).all(|(now, before)| now - before >= 59), "{before:?}, a minute later {beats:?}");
    });
}
