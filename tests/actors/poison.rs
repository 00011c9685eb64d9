//! Orders that the payment provider always fails hold up nobody else's, and become dead letters in time.

use crate::desk::letters;
use crate::support::{LIMIT, World1, line, new_order, put_product, run, settled, stored, until};
use ordermill::actors::{BreakerTurn, NodeHandle};
use ordermill::config::providers::Behaviour;
use ordermill::domain::{DeadLetterKind, Money, OrderId, OrderStatus, Text};
use ordermill::providers::sandbox::{Party, SandboxPayment};
use ordermill::providers::{
    Call, Charge, ChargeKey, ChargeRequest, Found, Guarded, PAYMENT_BREAKER, PaymentProvider, ProviderError, Voided,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;

const POISON: u128 = 5;
const GOOD: u128 = 1;
/// The stand-in answers a charge of it with an error, each time.
const POISON_PRICE: i64 = 1005;

async fn place(handle: &NodeHandle, product: u128, price: i64) -> OrderId {
    handle.place(new_order(vec![line(product, 1, price)]), None, LIMIT).await.unwrap().order.id
}

async fn products(handle: &NodeHandle) {
    put_product(handle, POISON, POISON_PRICE, 1000).await;
    put_product(handle, GOOD, 1000, 1000).await;
}

async fn turn(handle: &NodeHandle, turn: BreakerTurn) {
    assert!(handle.turn_breaker("payment", turn, Text::lossy("ann"), Some(Text::lossy("a test")), LIMIT).await.unwrap());
}

#[test]
fn five_poison_orders_stop_no_good_one_and_are_dead_letters_in_time() {
    run(|| async {
        let world = World1::new(51);
        let node = world.start().await;
        let handle = node.handle();
        products(handle).await;
        let began = Instant::now();
        let mut poison = Vec::new();
        for _ in 0..5 {
            poison.push(place(handle, POISON, POISON_PRICE).await);
        }
        until("the breaker is open", || async { handle.breakers().find("payment").unwrap().snapshot().opened_total > 0 }).await;
        let good = place(handle, GOOD, 1000).await;
        settled(handle, good, OrderStatus::Confirmed).await;
        let took = began.elapsed();
        assert!(took < Duration::from_secs(5), "the good order took {took:?}");
        until("all poison orders are dead letters", || async { letters(handle, DeadLetterKind::Step).await.len() == 5 }).await;
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
        let handle = node.handle();
        products(handle).await;
        let poison = place(handle, POISON, POISON_PRICE).await;
        until("it has failed once", || async { handle.next_payment_try(poison).is_some() }).await;
        let began = Instant::now();
        turn(handle, BreakerTurn::Open).await;
        let good = place(handle, GOOD, 1000).await;
        until("there is a letter", || async { !letters(handle, DeadLetterKind::Step).await.is_empty() }).await;
        let (took, letter) = (began.elapsed(), letters(handle, DeadLetterKind::Step).await.remove(0));
        assert!(took <= Duration::from_secs(41), "{took:?}");
        assert_eq!(letter.order, Some(poison));
        assert!(letter.detail.as_str().contains("technical error") && letter.detail.as_str().contains("breaker"), "{letter:?}");
        // Who never failed waits for as long as it takes, says for what, and goes on at once when a person closes the breaker.
        let waits = handle.waits_for(good, stored(handle, good).await.status).unwrap();
        assert_eq!(waits, "the payment provider: circuit breaker opened manually, until somebody closes it");
        let began = Instant::now();
        turn(handle, BreakerTurn::Close).await;
        settled(handle, good, OrderStatus::Confirmed).await;
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        assert_eq!(handle.waits_for(good, OrderStatus::Confirmed), None);
        let audit = handle.reads().audit("breaker:payment@http://127.0.0.1:0".to_owned()).await.unwrap();
        let told: Vec<_> = audit.iter().map(|entry| (entry.action.as_str(), entry.by.as_str())).collect();
        assert_eq!(told, [("breaker-open", "ann"), ("breaker-close", "ann")]);
    });
}

#[test]
fn an_outage_of_the_provider_ends_by_itself_and_orders_that_only_waited_are_paid() {
    run(|| async {
        let world = World1::new(53);
        let node = world.start().await;
        let handle = node.handle();
        products(handle).await;
        world.sandbox().behave(Party::Payment, Behaviour { error_rate: 1.0, ..Behaviour::default() });
        for _ in 0..5 {
            place(handle, GOOD, 1000).await;
        }
        until("the breaker is open", || async { handle.breakers().find("payment").unwrap().snapshot().opened_total > 0 }).await;
        let waiting = place(handle, GOOD, 1000).await;
        until("it says what it waits for", || async {
            let waits = handle.waits_for(waiting, stored(handle, waiting).await.status);
            waits.is_some_and(|waits| waits.contains("circuit breaker open, next try at 20"))
        })
        .await;
        world.sandbox().behave(Party::Payment, Behaviour::default());
        settled(handle, waiting, OrderStatus::Confirmed).await;
    });
}

/// A provider at which nobody answers: to any call, or only to charges of what costs as much as the poison.
struct Silent {
    inner: SandboxPayment,
    to_all: Arc<AtomicBool>,
    to_poison: bool,
}

impl Silent {
    fn or<T: Send + 'static>(&self, is_silent: bool, call: Call<T>) -> Call<T> {
        let away = is_silent || self.to_all.load(Ordering::SeqCst);
        if away { Box::pin(async { Err(ProviderError::failed("nobody listens").away()) }) } else { call }
    }
}

impl PaymentProvider for Silent {
    fn charge(&self, request: ChargeRequest) -> Call<Charge> {
        let is_poison = self.to_poison && request.amount.minor() == POISON_PRICE;
        self.or(is_poison, self.inner.charge(request))
    }
    fn find(&self, key: ChargeKey) -> Call<Found> {
        self.or(false, self.inner.find(key))
    }
    fn void(&self, key: ChargeKey) -> Call<Voided> {
        self.or(false, self.inner.void(key))
    }
    fn refund(&self, key: ChargeKey, amount: Money) -> Call<()> {
        self.or(false, self.inner.refund(key, amount))
    }
}

/// A world whose provider may fall silent, behind its breaker.
fn silent(seed: u64, to_poison: bool) -> (World1, Arc<AtomicBool>) {
    let mut world = World1::new(seed);
    let to_all = Arc::new(AtomicBool::new(false));
    let provider = Silent { inner: world.sandbox().payment(), to_all: to_all.clone(), to_poison };
    let breaker = world.providers.breakers.find(PAYMENT_BREAKER).unwrap().clone();
    world.providers.payment = Arc::new(Guarded::new(provider, breaker, 5_000));
    (world, to_all)
}

#[test]
fn an_outage_that_few_orders_meet_costs_none_of_them_until_it_lasts_too_long() {
    run(|| async {
        for (orders, outage_s, is_lost) in [(1, 60, false), (3, 60, false), (1, 130, true)] {
            let (mut world, to_all) = silent(54, false);
            world.settings.payment_give_up_ms = 120_000;
            let node = world.start().await;
            let handle = node.handle();
            products(handle).await;
            to_all.store(true, Ordering::SeqCst);
            let mut placed = Vec::new();
            for _ in 0..orders {
                placed.push(place(handle, GOOD, 1000).await);
            }
            tokio::time::sleep(Duration::from_secs(outage_s)).await;
            let letters = letters(handle, DeadLetterKind::Step).await;
            assert_eq!(!letters.is_empty(), is_lost, "{orders} orders, {outage_s} s: {letters:?}");
            to_all.store(false, Ordering::SeqCst);
            if is_lost {
                assert!(letters[0].tries > 4 && letters[0].detail.as_str().contains("nobody listens"), "{letters:?}");
                continue;
            }
            for id in placed {
                settled(handle, id, OrderStatus::Confirmed).await;
            }
        }
    });
}

/// The same for an order to which a provider gives no answer while it answers others.
#[test]
fn an_order_that_alone_gets_no_answer_is_a_dead_letter_after_its_tries() {
    run(|| async {
        let (world, _) = silent(55, true);
        let node = world.start().await;
        let handle = node.handle();
        products(handle).await;
        let poison = place(handle, POISON, POISON_PRICE).await;
        for _ in 0..15 {
            settled(handle, place(handle, GOOD, 1000).await, OrderStatus::Confirmed).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let told: Vec<_> = letters(handle, DeadLetterKind::Step).await.into_iter().map(|letter| (letter.order, letter.tries)).collect();
        assert_eq!(told, [(Some(poison), 4)]);
    });
}

#[test]
fn a_person_tries_a_breaker_that_was_opened_by_hand() {
    run(|| async {
        let world = World1::new(56);
        let node = world.start().await;
        let handle = node.handle();
        products(handle).await;
        turn(handle, BreakerTurn::Open).await;
        let waiting = place(handle, GOOD, 1000).await;
        until("it waits", || async { handle.waits_for(waiting, stored(handle, waiting).await.status).is_some() }).await;
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(stored(handle, waiting).await.status, OrderStatus::InventoryReserved);
        let began = Instant::now();
        turn(handle, BreakerTurn::Trial).await;
        settled(handle, waiting, OrderStatus::Confirmed).await;
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    });
}
