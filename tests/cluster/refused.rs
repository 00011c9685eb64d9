//! The database refuses what a role has to store, on a node that is not the order's.

use crate::external::{act, letter};
use crate::member::{Cluster, Member};
use crate::support::{LIMIT, line, put_product, run, settled, stored, until};
use futures_util::future::BoxFuture;
use ordermill::actors::{Command, DeadLetterAction, DeadLetterError};
use ordermill::config::providers::Behaviour;
use ordermill::db::memory::{MemoryDatabase, MemoryStore};
use ordermill::db::{
    Batch, CommitError, Committed, Deleted, NewWriter, Outcome, Reads, Retention, StepOutcome, Store, StoreError, Write, WriterState,
};
use ordermill::domain::{
    CancelledBy, Closing, DeadLetter, DeadLetterKind, DeadLetterState, EventKind, NoticeStatus, OrderStatus, Payment, PaymentStatus, Role,
    Shards, Text, WriterId,
};
use ordermill::providers::sandbox::Party;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

type Kind = fn(&Write) -> bool;

/// Refuses every transaction with such a write, while it is `armed`.
struct Refuses {
    inner: MemoryStore,
    kind: Kind,
    armed: Arc<AtomicBool>,
}

impl Store for Refuses {
    fn commit<'a>(&'a mut self, batch: &'a Batch) -> BoxFuture<'a, Result<Committed, CommitError>> {
        if self.armed.load(Ordering::SeqCst) && batch.writes.iter().any(self.kind) {
            return Box::pin(async { Err(CommitError::BadWrite(StoreError::Statement("a rule of the table".to_owned()))) });
        }
        self.inner.commit(batch)
    }
    fn start_writer<'a>(&'a mut self, new: &'a NewWriter) -> BoxFuture<'a, Result<WriterState, StoreError>> {
        self.inner.start_writer(new)
    }
    fn shards(&self) -> Shards {
        self.inner.shards()
    }
    fn state(&mut self, writer: WriterId) -> BoxFuture<'_, Result<WriterState, StoreError>> {
        self.inner.state(writer)
    }
    fn renew(&mut self, writer: WriterId, lease_ms: u64) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.inner.renew(writer, lease_ms)
    }
    fn end_writer(&mut self, writer: WriterId) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.end_writer(writer)
    }
    fn delete_old<'a>(&'a mut self, retention: &'a Retention) -> BoxFuture<'a, Result<Deleted, StoreError>> {
        self.inner.delete_old(retention)
    }
}

/// The letter is there, the owner of the order knows, and once the database takes it the order goes on.
fn parks(seed: u64, role: Role, kind: Kind) {
    run(move || async move {
        let cluster = Cluster::new(seed);
        let others: Vec<Role> = Role::ALL.into_iter().filter(|other| *other != role).collect();
        let orders = cluster.start("orders", &others).await;
        let armed = Arc::new(AtomicBool::new(false));
        let inner = armed.clone();
        let store = move |line: &MemoryDatabase| -> Box<dyn Store> { Box::new(Refuses { inner: line.store(), kind, armed: inner }) };
        let node = cluster.start_on("role", &[role], store).await;
        cluster.is_shared().await;
        let keeper = if role == Role::Inventory { &node } else { &orders };
        put_product(&keeper.handle, 1, 1000, 100).await;
        armed.store(true, Ordering::SeqCst);
        let id = orders.place(vec![line(1, 1, 1000)]).await.unwrap().unwrap();
        let refused = letter(&cluster, id, "store").await;
        assert_eq!((refused.role, refused.cause.as_str()), (role, "write-refused"));
        assert!(refused.detail.as_str().contains("a rule of the table"), "{}", refused.detail.as_str());
        let parked = || async { stored(&orders.handle, id).await.record.parked.map(|cause| cause.to_string()) };
        until("its owner knows", || async { parked().await.as_deref() == Some("write-refused") }).await;
        armed.store(false, Ordering::SeqCst);
        assert!(act(&orders, &refused, DeadLetterAction::Reprocess).await);
        settled(&orders.handle, id, OrderStatus::Confirmed).await;
        cluster.settles().await;
    });
}

#[test]
fn a_reservation_that_the_database_refuses_parks_its_order_at_its_owner() {
    parks(51, Role::Inventory, |write| matches!(write, Write::Reserve { .. }));
}

#[test]
fn a_payment_that_the_database_refuses_parks_its_order_at_its_owner() {
    parks(52, Role::Payment, |write| matches!(write, Write::SavePayment { .. }));
}

/// A node that takes over all roles does not listen for what another role had told its order.
#[test]
fn a_letter_of_which_an_order_never_hears_is_closed_when_its_step_is_done_where_all_roles_are() {
    run(|| async {
        let cluster = Cluster::new(58);
        let others: Vec<Role> = Role::ALL.into_iter().filter(|role| *role != Role::Inventory).collect();
        let orders = cluster.start("orders", &others).await;
        let armed = Arc::new(AtomicBool::new(false));
        let (inner, kind): (_, Kind) = (armed.clone(), |write| matches!(write, Write::Reserve { .. }));
        let store = move |line: &MemoryDatabase| -> Box<dyn Store> { Box::new(Refuses { inner: line.store(), kind, armed: inner }) };
        let stock = cluster.start_on("stock", &[Role::Inventory], store).await;
        cluster.is_shared().await;
        put_product(&stock.handle, 1, 1000, 100).await;
        armed.store(true, Ordering::SeqCst);
        cluster.lose(EventKind::InventoryParked);
        let id = orders.place(vec![line(1, 1, 1000)]).await.unwrap().unwrap();
        let refused = letter(&cluster, id, "store").await;
        cluster.crash(orders).await;
        cluster.crash(stock).await;
        let next = cluster.start("next", &Role::ALL).await;
        settled(&next.handle, id, OrderStatus::Confirmed).await;
        assert_eq!(cluster.world.database.letter(refused.id).await.unwrap().unwrap().state, DeadLetterState::Superseded);
        cluster.settles().await;
    });
}

/// The provider declined, and that could not be stored: nobody books it as paid by mistake.
#[test]
fn a_payment_that_could_not_be_stored_is_not_done_by_hand_against_the_provider() {
    run(|| async {
        let cluster = Cluster::new(53);
        let armed = Arc::new(AtomicBool::new(false));
        let inner = armed.clone();
        let kind: Kind = |write| matches!(write, Write::SavePayment { .. });
        let store = move |line: &MemoryDatabase| -> Box<dyn Store> { Box::new(Refuses { inner: line.store(), kind, armed: inner }) };
        let node = cluster.start_on("all", &Role::ALL, store).await;
        cluster.is_shared().await;
        put_product(&node.handle, 1, 1001, 100).await;
        armed.store(true, Ordering::SeqCst);
        let id = node.place(vec![line(1, 1, 1001)]).await.unwrap().unwrap();
        let refused = letter(&cluster, id, "store").await;
        let decide = async |action| {
            let note = Some(Text::lossy("paid at the counter"));
            let letter = refused.id;
            node.ask(move |handle| async move { handle.act(letter, action, Text::lossy("ann"), note, LIMIT).await }).await.unwrap()
        };
        let said = decide(DeadLetterAction::Done { overrules: false }).await.unwrap_err().to_string();
        assert!(said.contains("was declined"), "{said}");
        assert_eq!(stored(&node.handle, id).await.record.parked.unwrap().as_str(), "write-refused");
        armed.store(false, Ordering::SeqCst);
        decide(DeadLetterAction::Done { overrules: true }).await.unwrap();
        settled(&node.handle, id, OrderStatus::Confirmed).await;
        cluster.settles().await;
    });
}

/// The payment's row says it, where that is: so its refund is a step like any other.
#[test]
fn a_payment_that_could_not_be_stored_elsewhere_is_booked_where_it_is_made() {
    run(|| async {
        let cluster = Cluster::new(56);
        let others: Vec<Role> = Role::ALL.into_iter().filter(|role| *role != Role::Payment).collect();
        let orders = cluster.start("orders", &others).await;
        let armed = Arc::new(AtomicBool::new(true));
        let (inner, kind): (_, Kind) = (armed.clone(), |write| matches!(write, Write::SavePayment { .. }));
        let store = move |line: &MemoryDatabase| -> Box<dyn Store> { Box::new(Refuses { inner: line.store(), kind, armed: inner }) };
        let pay = cluster.start_on("pay", &[Role::Payment], store).await;
        cluster.is_shared().await;
        put_product(&orders.handle, 1, 1000, 100).await;
        let id = orders.place(vec![line(1, 1, 1000)]).await.unwrap().unwrap();
        let refused = letter(&cluster, id, "store").await;
        until("its owner knows", || async { stored(&orders.handle, id).await.record.parked.is_some() }).await;
        let overrule = DeadLetterAction::Done { overrules: true };
        let sent_on = decide(&orders, &refused, overrule).await;
        assert!(matches!(sent_on, Err(DeadLetterError::NotHere(Role::Payment, _))), "{sent_on:?}");
        let still = decide(&pay, &refused, overrule).await;
        assert!(matches!(still, Err(DeadLetterError::FailedAgain(_))), "{still:?}");
        armed.store(false, Ordering::SeqCst);
        decide(&pay, &refused, DeadLetterAction::Done { overrules: false }).await.unwrap();
        settled(&orders.handle, id, OrderStatus::Confirmed).await;
        assert_eq!(stored(&orders.handle, id).await.record.parked, None, "it is not parked any more");
        assert_eq!(cluster.world.database.letter(refused.id).await.unwrap().unwrap().state, DeadLetterState::Done);
        let cancel = Command::Cancel { by: CancelledBy::Customer };
        orders.ask(move |handle| async move { handle.command(id, cancel, LIMIT).await }).await.unwrap().unwrap();
        settled(&orders.handle, id, OrderStatus::Cancelled).await;
        cluster.settles().await;
    });
}

/// All steps of an order had one letter in earlier versions, and what was told last stood in it, whatever the order was parked for.
#[test]
fn an_order_that_an_earlier_version_parked_has_a_way_out() {
    for is_split in [false, true] {
        for (step, cause) in [("stray-refund", "payment-provider"), ("store", "write-refused"), ("charge", "payment-provider")] {
            run(move || async move {
                let case = format!("{step}, split: {is_split}");
                let (cluster, orders, pay, charge) = charge_fails(57, is_split, |_| false).await;
                let (id, shard) = (charge.order.unwrap(), charge.shard.unwrap());
                let about = DeadLetter::about(id, shard, DeadLetterKind::Step, 0, Role::Payment, step, charge.created_at);
                let old = about.because(cause, "of an earlier version", 4);
                let (state, by, at) = (DeadLetterState::Skipped, Text::lossy("test"), charge.created_at);
                let closing = Closing { id: charge.id, state, by, note: None, overrules: None, at };
                let write = old.clone();
                orders
                    .ask(move |handle| async move {
                        handle.write(Write::CloseLetter(closing), LIMIT).await.unwrap();
                        handle.write(Write::AddLetter(write), LIMIT).await.unwrap();
                    })
                    .await
                    .unwrap();
                cluster.world.sandbox().set_magic(false);
                let state = || async { cluster.world.database.letter(old.id).await.unwrap().unwrap().state };
                if is_split && step == "stray-refund" {
                    let parked = decide(&pay, &old, DeadLetterAction::Reprocess).await.unwrap_err().to_string();
                    assert!(parked.contains("skip this dead letter"), "{case}: {parked}");
                    assert_eq!(state().await, DeadLetterState::Open, "{case}");
                    decide(&orders, &old, DeadLetterAction::Skip).await.unwrap();
                } else {
                    decide(&orders, &old, DeadLetterAction::Reprocess).await.unwrap();
                }
                settled(&orders.handle, id, OrderStatus::Confirmed).await;
                assert_ne!(state().await, DeadLetterState::Open, "{case}");
            });
        }
    }
}

/// A node with all roles, or one for payments and one for the rest, whose stores refuse such writes; and an order whose charge fails.
async fn charge_fails(seed: u64, is_split: bool, kind: Kind) -> (Rc<Cluster>, Rc<Member>, Rc<Member>, DeadLetter) {
    let cluster = Cluster::new(seed);
    let armed = Arc::new(AtomicBool::new(true));
    let store = |line: &MemoryDatabase| -> Box<dyn Store> { Box::new(Refuses { inner: line.store(), kind, armed: armed.clone() }) };
    let (orders, pay) = if is_split {
        let others: Vec<Role> = Role::ALL.into_iter().filter(|role| *role != Role::Payment).collect();
        (cluster.start_on("orders", &others, store).await, cluster.start_on("pay", &[Role::Payment], store).await)
    } else {
        let node = cluster.start_on("all", &Role::ALL, store).await;
        (node.clone(), node)
    };
    cluster.is_shared().await;
    // The stand-in answers this total with an error, each time.
    put_product(&orders.handle, 1, 1005, 100).await;
    let id = orders.place(vec![line(1, 1, 1005)]).await.unwrap().unwrap();
    let letter = letter(&cluster, id, "charge").await;
    until("its owner knows", || async { stored(&orders.handle, id).await.record.parked.is_some() }).await;
    (cluster, orders, pay, letter)
}

async fn decide(node: &Member, letter: &DeadLetter, action: DeadLetterAction) -> Result<(), DeadLetterError> {
    let (id, note) = (letter.id, Some(Text::lossy("paid at the counter")));
    node.ask(move |handle| async move { handle.act(id, action, Text::lossy("ann"), note, LIMIT).await }).await.unwrap()
}

/// Whatever cannot be written after the booking: the key that may still be charged is known, for it is written with that.
#[test]
fn a_payment_that_is_decided_while_the_provider_is_away_keeps_its_open_key() {
    for is_split in [false, true] {
        run(move || async move {
            let kind: Kind = |write| matches!(write, Write::AddLetter(_) | Write::CloseLetter(_));
            let (cluster, orders, pay, charge) = charge_fails(54, is_split, kind).await;
            let (id, sandbox) = (charge.order.unwrap(), cluster.world.sandbox());
            sandbox.behave(Party::Payment, Behaviour { error_rate: 1.0, ..Behaviour::default() });
            decide(&pay, &charge, DeadLetterAction::Done { overrules: true }).await.unwrap();
            settled(&orders.handle, id, OrderStatus::Confirmed).await;
            let open = letter(&cluster, id, "stray-refund").await;
            assert!(open.detail.as_str().contains("may still be charged"), "{open:?}");
            assert_eq!(cluster.world.database.letter(charge.id).await.unwrap().unwrap().state, DeadLetterState::Done);
            if is_split {
                let sent_on = decide(&orders, &open, DeadLetterAction::Reprocess).await;
                assert!(matches!(sent_on, Err(DeadLetterError::NotHere(Role::Payment, _))), "{sent_on:?}");
            }
        });
    }
}

/// What a person decides is done and audited in one transaction: no crash between can leave the letter superseded, without the note.
#[test]
fn a_decision_closes_its_letter_in_the_transaction_that_does_it() {
    for (action, state, status) in [
        (DeadLetterAction::Reprocess, DeadLetterState::Reprocessed, OrderStatus::Confirmed),
        (DeadLetterAction::Skip, DeadLetterState::Skipped, OrderStatus::Confirmed),
        (DeadLetterAction::Compensate, DeadLetterState::Compensated, OrderStatus::Cancelled),
        (DeadLetterAction::Done { overrules: false }, DeadLetterState::Done, OrderStatus::Confirmed),
    ] {
        run(move || async move {
            let (cluster, node, _, charge) = charge_fails(55, false, |write| matches!(write, Write::CloseLetter(_))).await;
            cluster.world.sandbox().set_magic(false);
            decide(&node, &charge, action).await.unwrap();
            settled(&node.handle, charge.order.unwrap(), status).await;
            assert_eq!(cluster.world.database.letter(charge.id).await.unwrap().unwrap().state, state, "{action:?}");
            let audit = cluster.world.database.audit(charge.id.0.to_string()).await.unwrap();
            let told: Vec<_> = audit.iter().map(|entry| (entry.action.as_str(), entry.by.as_str(), entry.note.as_deref())).collect();
            assert_eq!(told, [(state.name(), "ann", Some("paid at the counter"))], "{action:?}");
        });
    }
}

/// The node is gone before the order hears of it: then nothing else would, as its dead letter is closed.
#[test]
fn a_payment_that_was_decided_for_a_parked_order_is_heard_in_the_end() {
    run(|| async {
        let (cluster, node, _, charge) = charge_fails(63, false, |_| false).await;
        let id = charge.order.unwrap();
        let order = stored(&node.handle, id).await.order;
        let row = cluster.world.database.payment(id).await.unwrap().unwrap();
        let reason = Some(Text::lossy("by hand: at the counter"));
        let payment = Payment { status: PaymentStatus::Charged, reason, failures: None, ..row };
        let closing = Closing {
            id: charge.id,
            state: DeadLetterState::Done,
            by: Text::lossy("ann"),
            note: None,
            overrules: None,
            at: charge.created_at,
        };
        let (shard, correlation) = (order.shard, order.correlation);
        let unheard =
            Write::SavePayment { payment, shard, correlation, event: None, letters: Vec::new(), closing: Some(Box::new(closing)) };
        let written = node.ask(move |handle| async move { handle.write(unheard, LIMIT).await }).await.unwrap();
        assert_eq!(written.unwrap(), Some(Outcome::Step(StepOutcome::Done)));
        settled(&node.handle, id, OrderStatus::Confirmed).await;
        assert_eq!(stored(&node.handle, id).await.record.parked, None);
        drop(cluster);
    });
}

/// The same of a notice: it is stored as one that is to be sent, so that no crash between leaves it given up with its letter closed.
#[test]
fn a_notice_that_a_person_asks_for_again_is_sent_whatever_crashes() {
    run(|| async {
        let cluster = Cluster::new(58);
        let kind: Kind = |write| matches!(write, Write::CloseLetter(_));
        let store = move |line: &MemoryDatabase| -> Box<dyn Store> {
            Box::new(Refuses { inner: line.store(), kind, armed: Arc::new(AtomicBool::new(true)) })
        };
        let node = cluster.start_on("one", &Role::ALL, store).await;
        cluster.is_shared().await;
        put_product(&node.handle, 1, 1000, 100).await;
        let sandbox = cluster.world.sandbox();
        sandbox.behave(Party::Email, Behaviour { error_rate: 1.0, ..Behaviour::default() });
        let id = node.place(vec![line(1, 1, 1000)]).await.unwrap().unwrap();
        let given_up = letter(&cluster, id, "CONFIRMATION/EMAIL").await;
        settled(&node.handle, id, OrderStatus::Confirmed).await;
        // The mail server takes its time; then the node is gone.
        sandbox.behave(Party::Email, Behaviour { latency_ms: 60_000, ..Behaviour::default() });
        decide(&node, &given_up, DeadLetterAction::Reprocess).await.unwrap();
        cluster.crash(node).await;
        sandbox.behave(Party::Email, Behaviour::default());
        let state = || async { cluster.world.database.letter(given_up.id).await.unwrap().unwrap().state };
        assert_eq!(state().await, DeadLetterState::Reprocessed);
        let _next = cluster.start("next", &Role::ALL).await;
        let notice = || async { cluster.world.database.notices(id).await.unwrap().remove(0).status };
        until("it is sent", || async { notice().await == NoticeStatus::Sent }).await;
        assert_eq!(state().await, DeadLetterState::Reprocessed);
        cluster.settles().await;
    });
}

/// Else it is asked for again, and sent again, for ever. It holds nothing up: its order settles, and a person can have it sent.
#[test]
fn a_notice_that_the_database_refuses_is_given_up_once_wherever_it_is_sent() {
    for (seed, is_split, latency_ms) in [(59, false, 0), (60, false, 300), (61, true, 0), (62, true, 300)] {
        run(move || async move {
            let cluster = Cluster::new(seed);
            let armed = Arc::new(AtomicBool::new(true));
            let (inner, kind): (_, Kind) = (armed.clone(), |write| matches!(write, Write::SaveNotice { .. }));
            let store = move |line: &MemoryDatabase| -> Box<dyn Store> { Box::new(Refuses { inner: line.store(), kind, armed: inner }) };
            let (orders, node) = if is_split {
                let others: Vec<Role> = Role::ALL.into_iter().filter(|role| *role != Role::Notification).collect();
                (cluster.start("orders", &others).await, cluster.start_on("role", &[Role::Notification], store).await)
            } else {
                let node = cluster.start_on("all", &Role::ALL, store).await;
                (node.clone(), node)
            };
            cluster.is_shared().await;
            put_product(&orders.handle, 1, 1000, 100).await;
            let sandbox = cluster.world.sandbox();
            sandbox.behave(Party::Email, Behaviour { latency_ms, ..Behaviour::default() });
            let case = format!("split: {is_split}, {latency_ms} ms");
            let id = orders.place(vec![line(1, 1, 1000)]).await.unwrap().unwrap();
            let refused = letter(&cluster, id, "CONFIRMATION/EMAIL").await;
            assert_eq!((refused.kind, refused.cause.as_str()), (DeadLetterKind::Notice, "write-refused"), "{case}");
            settled(&orders.handle, id, OrderStatus::Confirmed).await;
            assert_eq!(stored(&orders.handle, id).await.record.parked, None, "{case}");
            tokio::time::sleep(std::time::Duration::from_millis(4 * cluster.world.settings.redrive_far.first_ms)).await;
            assert_eq!(sandbox.sent().len(), 1, "{case}");
            cluster.settles().await;
            armed.store(false, Ordering::SeqCst);
            decide(&node, &refused, DeadLetterAction::Reprocess).await.unwrap();
            let notice = || async { cluster.world.database.notices(id).await.unwrap().first().map(|notice| notice.status) };
            until("it is sent", || async { notice().await == Some(NoticeStatus::Sent) }).await;
            assert_eq!(sandbox.sent().len(), 2, "{case}: a person asked for it");
            cluster.settles().await;
        });
    }
}
