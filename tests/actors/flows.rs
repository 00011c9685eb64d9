//! The actors of one node on the memory store: each flow of the specification.

use crate::support::{LIMIT, World1, line, new_order, put_product, run, settled, stored};
use ordermill::actors::{Command, CommandError};
use ordermill::domain::{CancelledBy, OrderStatus};
use ordermill::saga::Shipment;

#[test]
fn an_order_goes_from_posted_to_settled() {
    run(|| async {
        let world = World1::new(1);
        let node = world.start().await;
        let handle = node.handle();
        put_product(handle, 1, 1000, 10).await;
        let before = handle.journal().0;
        let placed = handle.place(new_order(vec![line(1, 2, 1000)]), None, LIMIT).await.unwrap();
        settled(handle, placed.order.id, OrderStatus::Confirmed).await;
        let commits = handle.journal().0 - before;
        assert!(commits <= 7, "{commits} commits for a lone order");
        let product = handle.reads().product(crate::support::product(1)).await.unwrap().unwrap();
        assert_eq!((product.available, product.reserved), (8, 2));
    });
}

#[test]
fn a_declined_payment_fails_the_order_and_gives_the_stock_back() {
    run(|| async {
        let world = World1::new(2);
        let node = world.start().await;
        let handle = node.handle();
        put_product(handle, 1, 1001, 10).await;
        let placed = handle.place(new_order(vec![line(1, 1, 1001)]), None, LIMIT).await.unwrap();
        settled(handle, placed.order.id, OrderStatus::Failed).await;
        let product = handle.reads().product(crate::support::product(1)).await.unwrap().unwrap();
        assert_eq!((product.available, product.reserved), (10, 0));
    });
}

#[test]
fn an_order_that_cannot_be_had_is_cancelled() {
    run(|| async {
        let world = World1::new(3);
        let node = world.start().await;
        let handle = node.handle();
        put_product(handle, 1, 1000, 1).await;
        for lines in [vec![line(1, 2, 1000)], vec![line(1, 1, 999)], vec![line(2, 1, 1000)]] {
            let placed = handle.place(new_order(lines), None, LIMIT).await.unwrap();
            settled(handle, placed.order.id, OrderStatus::Cancelled).await;
        }
        let product = handle.reads().product(crate::support::product(1)).await.unwrap().unwrap();
        assert_eq!((product.available, product.reserved), (1, 0));
    });
}

#[test]
fn a_confirmed_order_can_be_cancelled_or_shipped_but_not_both() {
    run(|| async {
        let world = World1::new(4);
        let node = world.start().await;
        let handle = node.handle();
        put_product(handle, 1, 1000, 10).await;
        let first = handle.place(new_order(vec![line(1, 1, 1000)]), None, LIMIT).await.unwrap().order.id;
        let second = handle.place(new_order(vec![line(1, 1, 1000)]), None, LIMIT).await.unwrap().order.id;
        settled(handle, first, OrderStatus::Confirmed).await;
        settled(handle, second, OrderStatus::Confirmed).await;
        let cancel = Command::Cancel { by: CancelledBy::Customer };
        handle.command(first, cancel.clone(), LIMIT).await.unwrap();
        settled(handle, first, OrderStatus::Cancelled).await;
        assert!(stored(handle, first).await.record.facts.refunded.is_some());
        handle.command(second, Command::Ship(Shipment::default()), LIMIT).await.unwrap();
        settled(handle, second, OrderStatus::Shipped).await;
        assert!(matches!(handle.command(second, cancel, LIMIT).await, Err(CommandError::Rejected(_))));
        let product = handle.reads().product(crate::support::product(1)).await.unwrap().unwrap();
        assert_eq!((product.available, product.reserved, product.shipped), (9, 0, 1));
    });
}
