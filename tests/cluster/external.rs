//! The payment role is another team's: it answers, undoes nothing, and is never asked again.

use crate::member::{Cluster, Member};
use crate::support::{LIMIT, line, put_product, run, settled, stored, until};
use ordermill::actors::{Command, LetterAction};
use ordermill::db::{LetterFilter, Reads};
use ordermill::domain::{CancelledBy, Event, EventBody, LetterState, OrderId, OrderStatus, Role, Roles, Text};
use std::rc::Rc;

const OURS: [Role; 4] = [Role::Order, Role::Inventory, Role::Notification, Role::Analytics];

async fn begin(seed: u64) -> (Rc<Cluster>, Rc<Member>) {
    let cluster = Cluster::with(seed, |settings| settings.external_roles = [Role::Payment].into_iter().collect::<Roles>());
    let node = cluster.start("ours", &OURS).await;
    until("it owns the shards", || async { node.owns(Role::Order) == 24 }).await;
    put_product(&node.front, 1, 1000, 100).await;
    (cluster, node)
}

async fn pays(node: &Member, id: OrderId) {
    let order = stored(&node.front, id).await.order;
    let body = EventBody::PaymentProcessed { amount: order.total, method: Text::lossy("theirs") };
    let event = Event::of(&order, order.created_at.plus_ms(5), body);
    for role in [Role::Order, Role::Notification] {
        let event = event.clone();
        node.ask(move |front| async move { front.hear(role, event, LIMIT).await }).await.unwrap().unwrap();
    }
}

#[test]
fn another_teams_payment_confirms_an_order() {
    run(|| async {
        let (_cluster, node) = begin(21).await;
        let id = node.place(vec![line(1, 1, 1000)]).await.unwrap().unwrap();
        until("it waits for the money", || async { stored(&node.front, id).await.record.facts.is_reserved() }).await;
        pays(&node, id).await;
        settled(&node.front, id, OrderStatus::Confirmed).await;
    });
}

#[test]
fn a_refund_that_another_team_owes_is_a_letter_that_a_person_closes() {
    run(|| async {
        let (cluster, node) = begin(22).await;
        let id = node.place(vec![line(1, 1, 1000)]).await.unwrap().unwrap();
        pays(&node, id).await;
        settled(&node.front, id, OrderStatus::Confirmed).await;
        let cancel = Command::Cancel { by: CancelledBy::Customer };
        node.ask(move |front| async move { front.command(id, cancel, LIMIT).await }).await.unwrap().unwrap();
        let filter = || LetterFilter { state: Some(LetterState::Open), limit: 10, ..LetterFilter::default() };
        until("there is a letter", || async { !cluster.world.database.letters(filter()).await.unwrap().is_empty() }).await;
        let letter = cluster.world.database.letters(filter()).await.unwrap().remove(0);
        assert_eq!((letter.step.as_str(), letter.cause.as_str()), ("refund", "external-role"));
        assert_eq!(stored(&node.front, id).await.status, OrderStatus::Refunding);
        let act = |action| {
            let id = letter.id;
            node.ask(move |front| async move { front.act(id, action, Text::lossy("ann"), None, LIMIT).await })
        };
        assert!(act(LetterAction::Reprocess).await.unwrap().is_err(), "there is nobody to ask again");
        act(LetterAction::Skip).await.unwrap().unwrap();
        settled(&node.front, id, OrderStatus::Cancelled).await;
    });
}

#[test]
fn a_payment_that_was_never_asked_for_is_owed_by_nobody() {
    run(|| async {
        let (_cluster, node) = begin(23).await;
        let id = node.place(vec![line(1, 1, 1000)]).await.unwrap().unwrap();
        let cancel = Command::Cancel { by: CancelledBy::Customer };
        node.ask(move |front| async move { front.command(id, cancel, LIMIT).await }).await.unwrap().unwrap();
        until("the stock is back", || async { stored(&node.front, id).await.record.facts.released.is_some() }).await;
        let facts = stored(&node.front, id).await.record.facts;
        if facts.is_reserved() {
            assert_eq!(stored(&node.front, id).await.status, OrderStatus::Cancelling, "they were asked, and will answer");
            pays(&node, id).await;
            until("it is parked", || async { stored(&node.front, id).await.record.parked.is_some() }).await;
        } else {
            settled(&node.front, id, OrderStatus::Cancelled).await;
        }
    });
}
