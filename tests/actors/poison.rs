//! Orders that the payment provider always fails hold up nobody else's, and become dead letters in time.

use crate::desk::letters;
use crate::support::{LIMIT, World1, line, new_order, put_product, run, settled, stored, until};
use ordermill::actors::{BreakerTurn, Front};
use ordermill::config::providers::Behaviour;
use ordermill::domain::{LetterKind, OrderId, OrderStatus, Text};
use ordermill::providers::sandbox::Party;
use std::time::Duration;
use tokio::time::Instant;

const POISON: u128 = 5;
const GOOD: u128 = 1;

async fn place(front: &Front, product: u128, price: i64) -> OrderId {
    front.place(new_order(vec![line(product, 1, price)]), None, LIMIT).await.unwrap().order.id
}

async fn products(front: &Front) {
    put_product(front, POISON, 1005, 1000).await;
    put_product(front, GOOD, 1000, 1000).await;
}

async fn turn(front: &Front, turn: BreakerTurn) {
    assert!(front.turn_breaker("payment", turn, Text::lossy("ann"), Some(Text::lossy("a test")), LIMIT).await.unwrap());
}

#[test]
fn five_poison_orders_stop_no_good_one_and_are_dead_letters_in_time() {
    run(|| async {
        let world = World1::new(51);
        let node = world.start().await;
        let front = node.front();
        products(front).await;
        let began = Instant::now();
        let mut poison = Vec::new();
        for _ in 0..5 {
            poison.push(place(front, POISON, 1005).await);
        }
        until("the breaker is open", || async { front.breakers().find("payment").unwrap().snapshot().opened_total > 0 }).await;
        let good = place(front, GOOD, 1000).await;
        settled(front, good, OrderStatus::Confirmed).await;
        let took = began.elapsed();
        assert!(took < Duration::from_secs(5), "the good order took {took:?}");
        until("all poison orders are dead letters", || async { letters(front, LetterKind::Step).await.len() == 5 }).await;
        let took = began.elapsed();
        assert!(took < Duration::from_secs(60), "the last dead letter came after {took:?}");
    });
}

#[test]
fn a_poison_order_is_a_dead_letter_in_time_whatever_the_breaker_does() {
    run(|| async {
        let mut world = World1::new(52);
        world.settings.payment_give_up_ms = 40_000;
        let node = world.start().await;
        let front = node.front();
        products(front).await;
        let poison = place(front, POISON, 1005).await;
        until("it has failed once", || async { front.next_payment_try(poison).is_some() }).await;
        let began = Instant::now();
        turn(front, BreakerTurn::Open).await;
        let good = place(front, GOOD, 1000).await;
        until("there is a letter", || async { !letters(front, LetterKind::Step).await.is_empty() }).await;
        let (took, letter) = (began.elapsed(), letters(front, LetterKind::Step).await.remove(0));
        assert!(took <= Duration::from_secs(41), "{took:?}");
        assert_eq!(letter.order, Some(poison));
        assert!(letter.detail.as_str().contains("technical error") && letter.detail.as_str().contains("breaker"), "{letter:?}");
        // Who never failed waits for as long as it takes, says for what, and goes on at once when a person closes the breaker.
        let waits = front.waits_for(good, stored(front, good).await.status).unwrap();
        assert_eq!(waits, "the payment provider: circuit breaker opened by hand, until somebody closes it");
        let began = Instant::now();
        turn(front, BreakerTurn::Close).await;
        settled(front, good, OrderStatus::Confirmed).await;
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        assert_eq!(front.waits_for(good, OrderStatus::Confirmed), None);
        let audit = front.reads().audit("breaker:payment@http://127.0.0.1:0".to_owned()).await.unwrap();
        let told: Vec<_> = audit.iter().map(|entry| (entry.action.as_str(), entry.by.as_str())).collect();
        assert_eq!(told, [("breaker-open", "ann"), ("breaker-close", "ann")]);
    });
}

#[test]
fn an_outage_of_the_provider_ends_by_itself_and_orders_that_only_waited_are_paid() {
    run(|| async {
        let world = World1::new(53);
        let node = world.start().await;
        let front = node.front();
        products(front).await;
        world.sandbox().behave(Party::Payment, Behaviour { error_rate: 1.0, ..Behaviour::default() });
        for _ in 0..5 {
            place(front, GOOD, 1000).await;
        }
        until("the breaker is open", || async { front.breakers().find("payment").unwrap().snapshot().opened_total > 0 }).await;
        let waiting = place(front, GOOD, 1000).await;
        until("it says what it waits for", || async {
            let waits = front.waits_for(waiting, stored(front, waiting).await.status);
            waits.is_some_and(|waits| waits.contains("circuit breaker open, next try at 20"))
        })
        .await;
        world.sandbox().behave(Party::Payment, Behaviour::default());
        settled(front, waiting, OrderStatus::Confirmed).await;
    });
}
