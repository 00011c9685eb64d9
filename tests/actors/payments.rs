//! Money at a provider that loses answers and refuses repeats: it is taken once and given back once.

use crate::desk::{letters, open_letter};
use crate::support::{LIMIT, World1, line, new_order, put_product, run, settled, until};
use ordermill::actors::{Command, DeadLetterAction, DeadLetterError, NodeHandle};
use ordermill::config::providers::Behaviour;
use ordermill::db::Write;
use ordermill::domain::{
    CancelledBy, DeadLetter, DeadLetterKind, Event, EventBody, Money, OrderId, OrderStatus, Payment, PaymentStatus, Role, Text,
};
use ordermill::providers::sandbox::{ChargeState, Party, SandboxPayment};
use ordermill::providers::{Call, Charge, ChargeKey, ChargeRequest, Found, PaymentProvider, ProviderError, Voided};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// What is done to the next calls of a kind.
#[derive(Default)]
struct Faults {
    /// Refunds and charges of which the answer is lost after they were done.
    lose_refunds: AtomicU32,
    lose_charges: AtomicU32,
    lose_voids: AtomicU32,
    /// Charges that fail, known not to be done.
    fail_charges: AtomicU32,
    /// Questions that are answered too early: not found.
    deny: AtomicU32,
    /// Calls that came.
    charges: AtomicU32,
    voids: AtomicU32,
}

fn takes(count: &AtomicU32) -> bool {
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

struct Hostile {
    inner: SandboxPayment,
    faults: Arc<Faults>,
}

fn lost<T: Send + 'static>(call: Call<T>) -> Call<T> {
    Box::pin(async move {
        drop(call.await);
        Err(ProviderError::unknown("the answer was lost"))
    })
}

impl PaymentProvider for Hostile {
    fn charge(&self, request: ChargeRequest) -> Call<Charge> {
        self.faults.charges.fetch_add(1, Ordering::SeqCst);
        if takes(&self.faults.fail_charges) {
            return Box::pin(async { Err(ProviderError::failed("not now")) });
        }
        let call = self.inner.charge(request);
        if takes(&self.faults.lose_charges) { lost(call) } else { call }
    }
    fn find(&self, key: ChargeKey) -> Call<Found> {
        if takes(&self.faults.deny) { Box::pin(async { Ok(Found::NotFound) }) } else { self.inner.find(key) }
    }
    fn void(&self, key: ChargeKey) -> Call<Voided> {
        self.faults.voids.fetch_add(1, Ordering::SeqCst);
        let call = self.inner.void(key);
        if takes(&self.faults.lose_voids) { lost(call) } else { call }
    }
    fn refund(&self, key: ChargeKey, amount: Money) -> Call<()> {
        let call = self.inner.refund(key, amount);
        if takes(&self.faults.lose_refunds) { lost(call) } else { call }
    }
}

/// A world whose provider refuses repeats.
fn world(seed: u64) -> (World1, Arc<Faults>) {
    let mut world = World1::new(seed);
    let faults = Arc::new(Faults::default());
    world.sandbox().behave(Party::Payment, Behaviour { strict: true, ..Behaviour::default() });
    world.providers.payment = Arc::new(Hostile { inner: world.sandbox().payment(), faults: faults.clone() });
    (world, faults)
}

async fn place(handle: &NodeHandle) -> OrderId {
    put_product(handle, 1, 1000, 10).await;
    handle.place(new_order(vec![line(1, 1, 1000)]), None, LIMIT).await.unwrap().order.id
}

/// Attempts, states and pay-outs in the provider's books.
fn books(world: &World1) -> Vec<(u32, ChargeState, u8)> {
    world.sandbox().charges().iter().map(|charge| (charge.key.attempt, charge.state, charge.payouts)).collect()
}

#[test]
fn a_refund_whose_answer_is_lost_is_asked_for_and_not_repeated() {
    run(|| async {
        let (world, faults) = world(61);
        let node = world.start().await;
        let handle = node.handle();
        let order = place(handle).await;
        settled(handle, order, OrderStatus::Confirmed).await;
        faults.lose_refunds.store(1, Ordering::SeqCst);
        handle.command(order, Command::Cancel { by: CancelledBy::Customer }, LIMIT).await.unwrap();
        settled(handle, order, OrderStatus::Cancelled).await;
        assert_eq!(books(&world), [(1, ChargeState::Refunded, 1)]);
        assert_eq!(world.sandbox().charges()[0].refunds, 1, "it was not even sent again");
        assert!(letters(handle, DeadLetterKind::Step).await.is_empty());
    });
}

#[test]
fn a_refund_that_is_refused_because_it_is_done_is_done() {
    run(|| async {
        let (mut world, faults) = world(62);
        // The refusal is its last try.
        world.settings.payment_retry.retries = 1;
        let node = world.start().await;
        let handle = node.handle();
        let order = place(handle).await;
        settled(handle, order, OrderStatus::Confirmed).await;
        faults.lose_refunds.store(1, Ordering::SeqCst);
        // The first question comes before the first call, the second is answered too early.
        faults.deny.store(2, Ordering::SeqCst);
        handle.command(order, Command::Cancel { by: CancelledBy::Customer }, LIMIT).await.unwrap();
        settled(handle, order, OrderStatus::Cancelled).await;
        assert_eq!((books(&world), world.sandbox().charges()[0].refunds), (vec![(1, ChargeState::Refunded, 1)], 2));
    });
}

#[test]
fn a_charge_whose_answer_is_lost_is_asked_for_and_not_repeated() {
    run(|| async {
        let (world, faults) = world(66);
        let node = world.start().await;
        let handle = node.handle();
        faults.lose_charges.store(1, Ordering::SeqCst);
        let order = place(handle).await;
        settled(handle, order, OrderStatus::Confirmed).await;
        assert_eq!((books(&world), faults.charges.load(Ordering::SeqCst)), (vec![(1, ChargeState::Approved, 0)], 1));
    });
}

#[test]
fn a_charge_that_is_refused_because_it_is_done_is_a_charge() {
    run(|| async {
        let (world, faults) = world(63);
        let node = world.start().await;
        let handle = node.handle();
        faults.lose_charges.store(1, Ordering::SeqCst);
        faults.deny.store(1, Ordering::SeqCst);
        let order = place(handle).await;
        settled(handle, order, OrderStatus::Confirmed).await;
        assert_eq!(books(&world), [(1, ChargeState::Approved, 0)]);
    });
}

/// Voids a charge that was never made; of the first void the answer is lost. Returns the voids that were sent.
async fn void(seed: u64, deny: u32) -> u32 {
    let (mut world, faults) = world(seed);
    // The second failure is the last.
    world.settings.payment_retry.retries = 1;
    let node = world.start().await;
    let handle = node.handle();
    // Every charge fails, so there is time to cancel.
    faults.fail_charges.store(1000, Ordering::SeqCst);
    faults.lose_voids.store(1, Ordering::SeqCst);
    let order = place(handle).await;
    until("it waits for its next try", || async { handle.next_payment_try(order).is_some() }).await;
    faults.deny.store(deny, Ordering::SeqCst);
    handle.command(order, Command::Cancel { by: CancelledBy::Customer }, LIMIT).await.unwrap();
    settled(handle, order, OrderStatus::Cancelled).await;
    assert!(books(&world).iter().all(|(_, state, _)| *state == ChargeState::Voided), "{:?}", books(&world));
    assert!(letters(handle, DeadLetterKind::Step).await.is_empty());
    faults.voids.load(Ordering::SeqCst)
}

#[test]
fn a_void_whose_answer_is_lost_is_asked_for_and_not_repeated() {
    run(|| async { assert_eq!(void(64, 0).await, 1) });
}

#[test]
fn a_void_that_is_refused_because_it_is_done_is_done() {
    run(|| async { assert_eq!(void(67, 1).await, 2) });
}

/// The person must know what is done: a key that is void is never charged again.
#[test]
fn a_decision_that_the_provider_contradicts_says_which_keys_it_has_voided() {
    run(|| async {
        let (world, faults) = world(68);
        faults.fail_charges.store(1000, Ordering::SeqCst);
        let node = world.start().await;
        let handle = node.handle();
        let id = place(handle).await;
        let letter = open_letter(handle, DeadLetterKind::Step).await;
        let order = handle.reads().known_order(id).await.unwrap().unwrap();
        let late = ChargeRequest {
            key: ChargeKey { order: id, attempt: 2 },
            amount: order.total,
            method: order.payment_method.clone(),
            correlation: order.correlation,
        };
        assert_eq!(world.sandbox().payment().charge(late).await, Ok(Charge::Approved));
        // It has not heard of any key when it is asked.
        faults.deny.store(4, Ordering::SeqCst);
        let done = DeadLetterAction::Done { overrules: false };
        let said = handle.act(letter.id, done, Text::lossy("desk"), Some(Text::lossy("paid")), LIMIT).await.unwrap_err().to_string();
        assert!(said.contains(&format!("{id}:2 is charged")) && said.contains(&format!("void {id}:1")), "{said}");
        assert!(!said.contains("nothing was changed"), "{said}");
        let voided = books(&world).iter().filter(|(_, state, _)| *state == ChargeState::Voided).count();
        assert_eq!((voided, letters(handle, DeadLetterKind::Step).await.len()), (3, 1));
    });
}

/// As a node that had the shard meanwhile would have done it: charged, stored, told.
#[test]
fn a_payment_that_was_decided_while_its_task_waited_is_not_charged_again() {
    run(|| async {
        let (world, faults) = world(65);
        faults.fail_charges.store(1, Ordering::SeqCst);
        let node = world.start().await;
        let handle = node.handle();
        let id = place(handle).await;
        until("it waits for its next try", || async { handle.next_payment_try(id).is_some() }).await;
        let order = handle.reads().known_order(id).await.unwrap().unwrap();
        let charge = ChargeRequest {
            key: ChargeKey { order: id, attempt: 1 },
            amount: order.total,
            method: order.payment_method.clone(),
            correlation: order.correlation,
        };
        assert_eq!(world.sandbox().payment().charge(charge).await, Ok(Charge::Approved));
        let payment = Payment::of(&order, 1, PaymentStatus::Charged, order.created_at);
        let body = EventBody::PaymentProcessed { amount: order.total, method: order.payment_method.clone() };
        let event = Some(Event::of(&order, order.created_at, body));
        let write =
            Write::SavePayment { payment, shard: order.shard, correlation: order.correlation, event, letters: Vec::new(), closing: None };
        handle.write(write, LIMIT).await.unwrap();
        settled(handle, id, OrderStatus::Confirmed).await;
        until("the task has ended", || async { handle.next_payment_try(id).is_none() }).await;
        assert_eq!(books(&world), [(1, ChargeState::Approved, 0)], "one charge, under one key");
    });
}

/// The row tells of attempt 1; money is with the provider under attempt 2 as well. Tried again means given back, not only closed. The
/// letter is as an earlier version wrote it, when all steps had one number.
#[test]
fn stray_money_is_given_back_before_its_letter_is_closed() {
    run(|| async {
        let (world, _) = world(66);
        let node = world.start().await;
        let handle = node.handle();
        let id = place(handle).await;
        settled(handle, id, OrderStatus::Confirmed).await;
        let order = handle.reads().known_order(id).await.unwrap().unwrap();
        let charge = ChargeRequest {
            key: ChargeKey { order: id, attempt: 2 },
            amount: order.total,
            method: order.payment_method.clone(),
            correlation: order.correlation,
        };
        assert_eq!(world.sandbox().payment().charge(charge).await, Ok(Charge::Approved));
        let stray = DeadLetter::about(id, order.shard, DeadLetterKind::Step, 0, Role::Payment, "stray-refund", order.created_at);
        let stray = stray.because("payment-provider", "the provider was away", 4);
        handle.write(Write::AddLetter(stray.clone()), LIMIT).await.unwrap();
        let act = async || handle.act(stray.id, DeadLetterAction::Reprocess, Text::lossy("desk"), None, LIMIT).await;

        world.sandbox().behave(Party::Payment, Behaviour { error_rate: 1.0, strict: true, ..Behaviour::default() });
        let failed = act().await;
        assert!(matches!(failed, Err(DeadLetterError::FailedAgain(_))), "{failed:?}");
        assert_eq!(letters(handle, DeadLetterKind::Step).await.len(), 1, "it stays open while the money is away");
        world.sandbox().behave(Party::Payment, Behaviour { strict: true, ..Behaviour::default() });
        act().await.unwrap();
        assert!(letters(handle, DeadLetterKind::Step).await.is_empty());
        assert_eq!(books(&world), [(1, ChargeState::Approved, 0), (2, ChargeState::Refunded, 1)]);
        settled(handle, id, OrderStatus::Confirmed).await;
    });
}
