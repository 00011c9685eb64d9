//! Mail is away for long: orders that owe only a notice sleep in the database, and each is woken in its turn.

use crate::deaths::count;
use crate::desk::{act, letters};
use crate::support::{LIMIT, World1, line, new_order, put_product, run, settled, stored, until};
use ordermill::actors::faults::{Delivery, FaultPlan, Faults, Point};
use ordermill::actors::{DeadLetterAction, NodeHandle};
use ordermill::config::providers::Behaviour;
use ordermill::domain::{Contact, DeadLetterKind, Event, EventBody, OrderId, OrderStatus, Text};
use ordermill::providers::sandbox::{Party, SandboxMailer};
use ordermill::providers::{Call, Email, Guarded, Mailer, ProviderError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Counts the order actors that begin, and loses the word that a notice was sent while it is told to.
#[derive(Default)]
struct Plan {
    begun: AtomicU64,
    loses: AtomicBool,
}

impl FaultPlan for Plan {
    fn pass(&self, point: Point, _order: Option<OrderId>) {
        if point == Point::OrderStarted {
            self.begun.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn delivery(&self, event: &Event) -> Delivery {
        let is_last_word = matches!(event.body, EventBody::NotificationSent { .. });
        if is_last_word && self.loses.load(Ordering::SeqCst) { Delivery::Lost } else { Delivery::Once }
    }
}

fn outage(world: &mut World1) -> Arc<Plan> {
    let plan = Arc::new(Plan::default());
    world.faults = Faults::plan(plan.clone());
    world.settings.notice_retry.retries = 1000;
    world.sandbox().behave(Party::Email, Behaviour { error_rate: 1.0, ..Behaviour::default() });
    plan
}

/// Places so many orders, and waits until they sleep: confirmed, their notices owed.
async fn sleeping(handle: &NodeHandle, many: usize) -> Vec<OrderId> {
    put_product(handle, 1, 1000, 1000).await;
    let mut orders = Vec::new();
    for _ in 0..many {
        let order = handle.place(new_order(vec![line(1, 1, 1000)]), None, LIMIT).await.unwrap().order.id;
        until("it is confirmed", || async { stored(handle, order).await.status == OrderStatus::Confirmed }).await;
        orders.push(order);
    }
    until("they sleep", || async { count(handle, "order").alive == 0 }).await;
    orders
}

#[test]
fn orders_that_owe_a_notice_sleep_through_a_restart_in_an_outage() {
    run(|| async {
        let mut world = World1::new(41);
        let plan = outage(&mut world);
        world.settings.load_page = 10;
        world.settings.notice_calls = 8;
        let node = world.start().await;
        let orders = sleeping(node.handle(), 200).await;
        node.stop(LIMIT).await;
        plan.begun.store(0, Ordering::SeqCst);
        let node = world.start().await;
        let handle = node.handle();
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(plan.begun.load(Ordering::SeqCst), 0, "order actors that began in an hour without mail");
        world.sandbox().behave(Party::Email, Behaviour::default());
        let mut most = 0;
        while world.sandbox().sent().len() < orders.len() {
            most = most.max(count(handle, "order").alive);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(most <= 32, "{most} were awake at once, of notices that are sent 8 at a time");
        for order in orders {
            settled(handle, order, OrderStatus::Confirmed).await;
        }
        assert_eq!(world.sandbox().sent().len(), 200);
    });
}

#[test]
fn of_more_sleeping_orders_than_may_be_open_each_whose_last_word_is_lost_ends() {
    run(|| async {
        let mut world = World1::new(42);
        let plan = outage(&mut world);
        world.settings.open_limit = 3;
        let node = world.start().await;
        let handle = node.handle();
        let orders = sleeping(handle, 30).await;
        plan.loses.store(true, Ordering::SeqCst);
        world.sandbox().behave(Party::Email, Behaviour::default());
        until("all are sent", || async { world.sandbox().sent().len() == orders.len() }).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        plan.loses.store(false, Ordering::SeqCst);
        for order in &orders {
            assert!(stored(handle, *order).await.open, "nobody has told it");
        }
        tokio::time::sleep(Duration::from_millis(2 * world.settings.redrive.most_ms)).await;
        for order in orders {
            assert!(!stored(handle, order).await.open, "{order} waits for a word that was lost");
        }
        assert_eq!(world.sandbox().sent().len(), 30, "each once");
    });
}

/// A mail server that nobody reaches, or nobody with an email for this customer.
struct Unreached {
    inner: SandboxMailer,
    by_all: Arc<AtomicBool>,
}

const NOT_REACHED: &str = "poison@shop.example";

impl Mailer for Unreached {
    fn send(&self, email: Email) -> Call<()> {
        let is_away = self.by_all.load(Ordering::SeqCst) || email.to.as_str() == NOT_REACHED;
        if is_away { Box::pin(async { Err(ProviderError::failed("connection refused").away()) }) } else { self.inner.send(email) }
    }
}

fn unreached(seed: u64) -> (World1, Arc<AtomicBool>) {
    let mut world = World1::new(seed);
    let by_all = Arc::new(AtomicBool::new(false));
    let mailer = Unreached { inner: world.sandbox().mailer(), by_all: by_all.clone() };
    let breaker = world.providers.breakers.find("email").unwrap().clone();
    world.providers.email = Arc::new(Guarded::new(mailer, breaker, 5_000));
    (world, by_all)
}

async fn place(handle: &NodeHandle, email: Option<&str>) -> OrderId {
    let contact = email.map(|email| Box::new(Contact { email: Some(Text::lossy(email)), phone: None, locale: None }));
    let order = ordermill::actors::NewOrder { contact, ..new_order(vec![line(1, 1, 1000)]) };
    handle.place(order, None, LIMIT).await.unwrap().order.id
}

#[test]
fn an_outage_of_mail_that_few_orders_meet_costs_no_notice() {
    run(|| async {
        for (orders, outage_s) in [(1, 8), (3, 60), (4, 3600)] {
            let (world, by_all) = unreached(43);
            let node = world.start().await;
            let handle = node.handle();
            put_product(handle, 1, 1000, 1000).await;
            by_all.store(true, Ordering::SeqCst);
            let mut placed = Vec::new();
            for _ in 0..orders {
                placed.push(place(handle, None).await);
            }
            tokio::time::sleep(Duration::from_secs(outage_s)).await;
            assert_eq!(letters(handle, DeadLetterKind::Notice).await, [], "{orders} orders, {outage_s} s");
            assert_eq!(count(handle, "order").alive, 0, "they sleep");
            by_all.store(false, Ordering::SeqCst);
            for id in placed {
                settled(handle, id, OrderStatus::Confirmed).await;
            }
            assert_eq!(world.sandbox().sent().len(), orders, "each once");
        }
    });
}

#[test]
fn patience_with_mail_that_is_away_has_an_end_and_begins_anew_when_a_person_asks() {
    run(|| async {
        let (mut world, by_all) = unreached(44);
        world.settings.notice_patience.longest_ms = 200_000;
        let node = world.start().await;
        let handle = node.handle();
        put_product(handle, 1, 1000, 1000).await;
        by_all.store(true, Ordering::SeqCst);
        let order = place(handle, None).await;
        tokio::time::sleep(Duration::from_secs(150)).await;
        assert_eq!(letters(handle, DeadLetterKind::Notice).await, []);
        until("it is given up", || async { !letters(handle, DeadLetterKind::Notice).await.is_empty() }).await;
        settled(handle, order, OrderStatus::Confirmed).await;
        let letter = letters(handle, DeadLetterKind::Notice).await.remove(0);
        assert!(letter.detail.as_str().contains("connection refused"), "{letter:?}");
        act(handle, &letter, DeadLetterAction::Reprocess).await.unwrap();
        tokio::time::sleep(Duration::from_secs(60)).await;
        by_all.store(false, Ordering::SeqCst);
        until("it is sent", || async { world.sandbox().sent().len() == 1 }).await;
    });
}

#[test]
fn an_email_that_alone_does_not_get_through_is_a_dead_letter_after_its_tries() {
    run(|| async {
        let (world, _) = unreached(45);
        let node = world.start().await;
        let handle = node.handle();
        put_product(handle, 1, 1000, 1000).await;
        let poison = place(handle, Some(NOT_REACHED)).await;
        for _ in 0..30 {
            settled(handle, place(handle, None).await, OrderStatus::Confirmed).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let told: Vec<_> = letters(handle, DeadLetterKind::Notice).await.into_iter().map(|letter| (letter.order, letter.tries)).collect();
        assert_eq!(told, [(Some(poison), 4)]);
    });
}
