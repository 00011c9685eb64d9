//! Money that was taken under a key of which the payment's row does not tell: its letter stays open until the money is back, whatever
//! becomes of the order, on one node and where the payment's is another than the order's.

use crate::external::letter;
use crate::member::{Cluster, Member};
use crate::support::{LIMIT, line, put_product, run, settled, stored, until};
use ordermill::actors::{Command, DeadLetterAction, DeadLetterError};
use ordermill::config::providers::Behaviour;
use ordermill::db::{Reads, Write};
use ordermill::domain::{
    CancelledBy, DeadLetter, DeadLetterState, Event, EventBody, Money, Order, OrderId, OrderStatus, Payment, PaymentStatus, Role, Text,
};
use ordermill::providers::sandbox::{ChargeState, Party, SandboxPayment};
use ordermill::providers::{Call, Charge, ChargeKey, ChargeRequest, Found, PaymentProvider, ProviderError, Voided};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use tokio::sync::watch;

/// What the provider does.
struct Ways {
    /// Charges are under way until it is open.
    gate: watch::Sender<bool>,
    /// Charges that are under way.
    charging: AtomicU32,
    /// Refunds of first attempts fail.
    keeps_first: AtomicBool,
    /// Refunds of first attempts hang until that is over and the gate is told.
    hangs_refunds: AtomicBool,
    /// Refunds that hang.
    refunding: AtomicU32,
    /// Refunds that were refused though the money was given back are refused once.
    refuses_done: AtomicBool,
}

struct Provider {
    inner: Arc<SandboxPayment>,
    ways: Arc<Ways>,
}

impl PaymentProvider for Provider {
    fn charge(&self, request: ChargeRequest) -> Call<Charge> {
        let (call, ways) = (self.inner.charge(request), self.ways.clone());
        let mut gate = self.ways.gate.subscribe();
        Box::pin(async move {
            ways.charging.fetch_add(1, Ordering::SeqCst);
            gate.wait_for(|is_open| *is_open).await.unwrap();
            call.await
        })
    }
    fn find(&self, key: ChargeKey) -> Call<Found> {
        self.inner.find(key)
    }
    fn void(&self, key: ChargeKey) -> Call<Voided> {
        self.inner.void(key)
    }
    fn refund(&self, key: ChargeKey, amount: Money) -> Call<()> {
        if key.attempt == 1 && self.ways.hangs_refunds.load(Ordering::SeqCst) {
            let (inner, ways) = (self.inner.clone(), self.ways.clone());
            let mut gate = self.ways.gate.subscribe();
            return Box::pin(async move {
                ways.refunding.fetch_add(1, Ordering::SeqCst);
                gate.wait_for(|_| !ways.hangs_refunds.load(Ordering::SeqCst)).await.unwrap();
                inner.refund(key, amount).await
            });
        }
        if key.attempt == 1 && self.ways.keeps_first.load(Ordering::SeqCst) {
            return Box::pin(async { Err(ProviderError::failed("not now")) });
        }
        let call = self.inner.refund(key, amount);
        if self.ways.refuses_done.swap(false, Ordering::SeqCst) {
            return Box::pin(async move {
                call.await?;
                Err(ProviderError::Rejected { reason: "given back already".into() })
            });
        }
        call
    }
}

/// An order that is confirmed by attempt 2, and the first attempt's money, which the provider keeps.
struct Place {
    cluster: Rc<Cluster>,
    orders: Rc<Member>,
    pay: Rc<Member>,
    ways: Arc<Ways>,
    id: OrderId,
    stray: DeadLetter,
}

fn world(seed: u64) -> (Rc<Cluster>, Arc<Ways>) {
    let ways = Arc::new(Ways {
        gate: watch::Sender::new(false),
        charging: AtomicU32::new(0),
        keeps_first: AtomicBool::new(true),
        hangs_refunds: AtomicBool::new(false),
        refunding: AtomicU32::new(0),
        refuses_done: AtomicBool::new(false),
    });
    let inner = ways.clone();
    let cluster = Cluster::of_world(seed, |world| {
        let provider = Provider { inner: Arc::new(world.sandbox().payment()), ways: inner };
        world.providers.payment = Arc::new(provider);
    });
    (cluster, ways)
}

/// Places an order whose charge is under way.
async fn hung_charge(cluster: &Cluster, orders: &Member, ways: &Ways) -> OrderId {
    cluster.is_shared().await;
    put_product(&orders.handle, 1, 1000, 100).await;
    let id = orders.place(vec![line(1, 1, 1000)]).await.unwrap().unwrap();
    until("its charge is under way", || async { ways.charging.load(Ordering::SeqCst) == 1 }).await;
    id
}

impl Place {
    async fn begin(seed: u64, is_split: bool) -> Self {
        let (cluster, ways) = world(seed);
        let (orders, pay) = if is_split {
            let others: Vec<Role> = Role::ALL.into_iter().filter(|role| *role != Role::Payment).collect();
            (cluster.start("orders", &others).await, cluster.start("pay", &[Role::Payment]).await)
        } else {
            let node = cluster.start("all", &Role::ALL).await;
            (node.clone(), node)
        };
        let id = hung_charge(&cluster, &orders, &ways).await;
        decided_elsewhere(&cluster, &pay, id).await;
        settled(&orders.handle, id, OrderStatus::Confirmed).await;
        ways.gate.send_replace(true);
        // It tells of the money from the beginning; then that it was tried often enough.
        until("the refund is given up", || async { letter(&cluster, id, "stray-refund").await.tries == 4 }).await;
        let stray = letter(&cluster, id, "stray-refund").await;
        assert_eq!((stray.cause.as_str(), stray.tries), ("payment-provider", 4));
        Self { cluster, orders, pay, ways, id, stray }
    }

    /// What the provider has of each attempt.
    fn books(&self) -> Vec<(u32, ChargeState)> {
        self.cluster.world.sandbox().charges().iter().map(|charge| (charge.key.attempt, charge.state)).collect()
    }

    async fn act(&self, node: &Member, action: DeadLetterAction) -> Result<(), DeadLetterError> {
        let (id, note) = (self.stray.id, Some(Text::lossy("by bank transfer")));
        node.ask(move |handle| async move { handle.act(id, action, Text::lossy("ann"), note, LIMIT).await }).await.unwrap()
    }

    async fn stray_state(&self) -> DeadLetterState {
        self.cluster.world.database.letter(self.stray.id).await.unwrap().unwrap().state
    }
}

/// As a node that had the shard meanwhile would have done it: attempt 2 is charged, stored, told.
async fn decided_elsewhere(cluster: &Cluster, pay: &Member, id: OrderId) {
    let order = cluster.world.database.known_order(id).await.unwrap().unwrap();
    let charge = ChargeRequest {
        key: ChargeKey { order: id, attempt: 2 },
        amount: order.total,
        method: order.payment_method.clone(),
        correlation: order.correlation,
    };
    assert_eq!(cluster.world.sandbox().payment().charge(charge).await, Ok(Charge::Approved));
    store_payment(pay, &order, Payment::of(&order, 2, PaymentStatus::Charged, order.created_at)).await;
}

async fn store_payment(pay: &Member, order: &Order, payment: Payment) {
    let body = EventBody::PaymentProcessed { amount: order.total, method: order.payment_method.clone() };
    let event = Some(Event::of(order, order.created_at, body));
    let write =
        Write::SavePayment { payment, shard: order.shard, correlation: order.correlation, event, letters: Vec::new(), closing: None };
    pay.ask(move |handle| async move { handle.write(write, LIMIT).await }).await.unwrap().unwrap();
}

/// Neither the role's word to the order, nor a cancel, nor the refund of the order's own payment closes it.
#[test]
fn the_letter_of_stray_money_stays_open_whatever_becomes_of_its_order() {
    for is_split in [false, true] {
        run(move || async move {
            let place = Place::begin(71, is_split).await;
            let id = place.id;
            // All that is under way has come.
            tokio::time::sleep(std::time::Duration::from_millis(2 * place.cluster.world.settings.redrive_far.first_ms)).await;
            assert_eq!(place.stray_state().await, DeadLetterState::Open, "the money is kept");
            assert_eq!(stored(&place.orders.handle, id).await.record.parked, None, "the order has nothing to do with it");
            let cancel = Command::Cancel { by: CancelledBy::Customer };
            place.orders.ask(move |handle| async move { handle.command(id, cancel, LIMIT).await }).await.unwrap().unwrap();
            settled(&place.orders.handle, id, OrderStatus::Cancelled).await;
            assert_eq!(place.stray_state().await, DeadLetterState::Open, "the money is kept");
            assert_eq!(place.books(), [(1, ChargeState::Approved), (2, ChargeState::Refunded)]);
        });
    }
}

/// Done by hand is held against the provider, and tried again gives the money back, at whoever makes the payment.
#[test]
fn what_is_decided_about_stray_money_is_done_where_the_payment_is_made() {
    for is_split in [false, true] {
        run(move || async move {
            let place = Place::begin(72, is_split).await;
            let done = DeadLetterAction::Done { overrules: false };
            if is_split {
                for action in [done, DeadLetterAction::Reprocess, DeadLetterAction::Compensate] {
                    let sent_on = place.act(&place.orders, action).await;
                    assert!(matches!(sent_on, Err(DeadLetterError::NotHere(Role::Payment, _))), "{action:?}: {sent_on:?}");
                }
            }
            let said = place.act(&place.pay, done).await.unwrap_err().to_string();
            assert!(said.contains(":1 is charged; nothing was changed"), "{said}");
            let failed = place.act(&place.pay, DeadLetterAction::Reprocess).await;
            assert!(matches!(failed, Err(DeadLetterError::FailedAgain(_))), "{failed:?}");
            assert_eq!(place.stray_state().await, DeadLetterState::Open);
            place.ways.keeps_first.store(false, Ordering::SeqCst);
            place.act(&place.pay, DeadLetterAction::Compensate).await.unwrap();
            assert_eq!(place.stray_state().await, DeadLetterState::Compensated);
            assert_eq!(place.books(), [(1, ChargeState::Refunded), (2, ChargeState::Approved)]);
            settled(&place.orders.handle, place.id, OrderStatus::Confirmed).await;
        });
    }
}

/// A person booked the payment while its charge hung and could not be asked about: money taken by hand has no key.
#[test]
fn what_a_hung_charge_takes_after_a_payment_by_hand_is_given_back() {
    run(|| async {
        let (cluster, ways) = world(74);
        let node = cluster.start("all", &Role::ALL).await;
        let id = hung_charge(&cluster, &node, &ways).await;
        let order = cluster.world.database.known_order(id).await.unwrap().unwrap();
        let mut payment = Payment::of(&order, 1, PaymentStatus::Charged, order.created_at);
        payment.reason = Some(Text::lossy("by hand, whatever the provider says: at the counter"));
        store_payment(&node, &order, payment).await;
        settled(&node.handle, id, OrderStatus::Confirmed).await;
        ways.keeps_first.store(false, Ordering::SeqCst);
        ways.gate.send_replace(true);
        let states = || cluster.world.sandbox().charges().iter().map(|charge| charge.state).collect::<Vec<_>>();
        until("the money is back", || async { states() == [ChargeState::Refunded] }).await;
    });
}

/// A crash while it is being given back loses nothing, and nobody is asked about money that is back.
#[test]
fn stray_money_is_told_of_while_it_is_being_given_back() {
    for crashes in [false, true] {
        run(move || async move {
            let (cluster, ways) = world(75);
            let node = cluster.start("all", &Role::ALL).await;
            let id = hung_charge(&cluster, &node, &ways).await;
            decided_elsewhere(&cluster, &node, id).await;
            settled(&node.handle, id, OrderStatus::Confirmed).await;
            ways.hangs_refunds.store(true, Ordering::SeqCst);
            ways.gate.send_replace(true);
            until("it is being given back", || async { ways.refunding.load(Ordering::SeqCst) == 1 }).await;
            let stray = letter(&cluster, id, "stray-refund").await;
            assert!(stray.detail.as_str().contains(":1 was charged"), "{stray:?}");
            let state = || async { cluster.world.database.letter(stray.id).await.unwrap().unwrap().state };
            let books = || cluster.world.sandbox().charges().iter().map(|charge| (charge.key.attempt, charge.state)).collect::<Vec<_>>();
            ways.keeps_first.store(false, Ordering::SeqCst);
            if crashes {
                cluster.crash(node).await;
                ways.hangs_refunds.store(false, Ordering::SeqCst);
                let next = cluster.start("next", &Role::ALL).await;
                cluster.is_shared().await;
                assert_eq!(books(), [(1, ChargeState::Approved), (2, ChargeState::Approved)]);
                assert_eq!(state().await, DeadLetterState::Open);
                assert!(crate::external::act(&next, &stray, DeadLetterAction::Reprocess).await);
                assert_eq!(state().await, DeadLetterState::Reprocessed);
            } else {
                ways.hangs_refunds.store(false, Ordering::SeqCst);
                ways.gate.send_modify(|_| {});
                until("nobody is asked about it any more", || async { state().await == DeadLetterState::Superseded }).await;
            }
            assert_eq!(books(), [(1, ChargeState::Refunded), (2, ChargeState::Approved)]);
        });
    }
}

/// Whatever a person says: its key may still be charged, and nothing else would tell.
#[test]
fn the_letter_of_stray_money_stays_open_while_the_provider_is_away() {
    for is_split in [false, true] {
        run(move || async move {
            let place = Place::begin(76, is_split).await;
            let sandbox = place.cluster.world.sandbox();
            sandbox.behave(Party::Payment, Behaviour { error_rate: 1.0, ..Behaviour::default() });
            for overrules in [false, true] {
                let said = place.act(&place.pay, DeadLetterAction::Done { overrules }).await;
                assert!(matches!(said, Err(DeadLetterError::FailedAgain(_))), "{said:?}");
            }
            assert_eq!(place.stray_state().await, DeadLetterState::Open);
            // What it says when it is back may be overruled.
            sandbox.behave(Party::Payment, Behaviour::default());
            place.act(&place.pay, DeadLetterAction::Done { overrules: true }).await.unwrap();
            assert_eq!(place.stray_state().await, DeadLetterState::Done);
        });
    }
}

#[test]
fn a_refund_of_stray_money_that_is_refused_because_it_is_done_is_done() {
    run(|| async {
        let place = Place::begin(73, false).await;
        place.ways.keeps_first.store(false, Ordering::SeqCst);
        place.ways.refuses_done.store(true, Ordering::SeqCst);
        place.act(&place.pay, DeadLetterAction::Reprocess).await.unwrap();
        assert_eq!(place.books(), [(1, ChargeState::Refunded), (2, ChargeState::Approved)]);
    });
}
