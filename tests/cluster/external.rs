//! The payment role is another team's: it answers, undoes nothing, and is never asked again.

use crate::member::{Cluster, Member};
use crate::support::{LIMIT, line, product, put_product, run, settled, stored, until};
use ordermill::actors::{ActorSettings, Command, DeadLetterAction, DeadLetterError, NodeHandle};
use ordermill::config::providers::Behaviour;
use ordermill::db::{DeadLetterFilter, Reads};
use ordermill::domain::analytics::{Numbers, TOTAL};
use ordermill::domain::{
    CancelledBy, DeadLetter, DeadLetterState, Event, EventBody, Metric, Money, OrderId, OrderStatus, PaymentStatus, Quantity, ReservedLine,
    Role, Roles, Shortage, Text,
};
use ordermill::providers::sandbox::Party;
use ordermill::saga::PaymentFact;
use std::rc::Rc;
use std::time::Duration;

const OURS: [Role; 4] = [Role::Order, Role::Inventory, Role::Notification, Role::Analytics];

async fn begin(seed: u64) -> (Rc<Cluster>, Rc<Member>) {
    begin_with(seed, |_| {}).await
}

async fn begin_with(seed: u64, set: impl FnOnce(&mut ActorSettings)) -> (Rc<Cluster>, Rc<Member>) {
    let cluster = Cluster::with(seed, |settings| {
        settings.external_roles = [Role::Payment].into_iter().collect::<Roles>();
        set(settings);
    });
    let node = cluster.start("ours", &OURS).await;
    until("it owns the shards", || async { node.owns(Role::Order) == 24 }).await;
    put_product(&node.handle, 1, 1000, 100).await;
    (cluster, node)
}

async fn pays(node: &Member, id: OrderId) {
    let order = stored(&node.handle, id).await.order;
    let body = EventBody::PaymentProcessed { amount: order.total, method: Text::lossy("theirs") };
    let event = Event::of(&order, order.created_at.plus_ms(5), body);
    for role in [Role::Order, Role::Notification] {
        let event = event.clone();
        node.ask(move |handle| async move { handle.handle(role, event, LIMIT).await }).await.unwrap().unwrap();
    }
}

#[test]
fn another_teams_payment_confirms_an_order() {
    run(|| async {
        let (_cluster, node) = begin(21).await;
        let id = node.place(vec![line(1, 1, 1000)]).await.unwrap().unwrap();
        until("it waits for the money", || async { stored(&node.handle, id).await.record.facts.is_reserved() }).await;
        pays(&node, id).await;
        settled(&node.handle, id, OrderStatus::Confirmed).await;
    });
}

#[test]
fn a_refund_that_another_team_owes_is_a_letter_that_a_person_closes() {
    run(|| async {
        let (cluster, node) = begin(22).await;
        let id = node.place(vec![line(1, 1, 1000)]).await.unwrap().unwrap();
        pays(&node, id).await;
        settled(&node.handle, id, OrderStatus::Confirmed).await;
        let cancel = Command::Cancel { by: CancelledBy::Customer };
        node.ask(move |handle| async move { handle.command(id, cancel, LIMIT).await }).await.unwrap().unwrap();
        let filter = || DeadLetterFilter { state: Some(DeadLetterState::Open), limit: 10, ..DeadLetterFilter::default() };
        until("there is a letter", || async { !cluster.world.database.letters(filter()).await.unwrap().rows.is_empty() }).await;
        let letter = cluster.world.database.letters(filter()).await.unwrap().rows.remove(0);
        assert_eq!((letter.step.as_str(), letter.cause.as_str()), ("refund", "external-role"));
        assert_eq!(stored(&node.handle, id).await.status, OrderStatus::Refunding);
        let act = |action, note: Option<&str>| {
            let (id, note) = (letter.id, note.map(Text::lossy));
            node.ask(move |handle| async move { handle.act(id, action, Text::lossy("ann"), note, LIMIT).await })
        };
        assert!(act(DeadLetterAction::Reprocess, None).await.unwrap().is_err(), "there is nobody to ask again");
        let skipped = act(DeadLetterAction::Skip, Some("why not")).await.unwrap();
        assert!(matches!(skipped, Err(DeadLetterError::NotApplicable(_))), "nobody says that it was given back: {skipped:?}");
        let unsaid = act(DeadLetterAction::Done { overrules: false }, None).await.unwrap();
        assert!(matches!(unsaid, Err(DeadLetterError::NoNote)), "{unsaid:?}");
        assert_eq!(stored(&node.handle, id).await.record.facts.refunded, None);
        act(DeadLetterAction::Done { overrules: false }, Some("given back there, no. 17")).await.unwrap().unwrap();
        settled(&node.handle, id, OrderStatus::Cancelled).await;
        let audit = cluster.world.database.audit(letter.id.0.to_string()).await.unwrap();
        assert_eq!(audit.last().unwrap().note.as_deref(), Some("given back there, no. 17"));
    });
}

#[test]
fn a_payment_that_was_never_asked_for_is_owed_by_nobody() {
    run(|| async {
        let (_cluster, node) = begin(23).await;
        let id = node.place(vec![line(1, 1, 1000)]).await.unwrap().unwrap();
        let cancel = Command::Cancel { by: CancelledBy::Customer };
        node.ask(move |handle| async move { handle.command(id, cancel, LIMIT).await }).await.unwrap().unwrap();
        until("the stock is back", || async { stored(&node.handle, id).await.record.facts.released.is_some() }).await;
        let facts = stored(&node.handle, id).await.record.facts;
        if facts.is_reserved() {
            assert_eq!(stored(&node.handle, id).await.status, OrderStatus::Cancelling, "they were asked, and will answer");
            pays(&node, id).await;
            until("it is parked", || async { stored(&node.handle, id).await.record.parked.is_some() }).await;
        } else {
            settled(&node.handle, id, OrderStatus::Cancelled).await;
        }
    });
}

/// A void of ours fails, and then that team has no stock. Whoever has the payment next goes on with the void.
#[test]
fn a_void_that_failed_is_done_though_another_team_has_no_stock() {
    run(|| async {
        let ours: Vec<Role> = Role::ALL.into_iter().filter(|role| *role != Role::Inventory).collect();
        let cluster = Cluster::with(43, |settings| settings.external_roles = [Role::Inventory].into_iter().collect::<Roles>());
        let node = cluster.start("ours", &ours).await;
        until("it owns the shards", || async { node.owns(Role::Order) == 24 }).await;
        let sandbox = cluster.world.sandbox();
        sandbox.behave(Party::Payment, Behaviour { error_rate: 1.0, ..Behaviour::default() });
        let id = node.place(vec![line(1, 1, 1000)]).await.unwrap().unwrap();
        let cancel = Command::Cancel { by: CancelledBy::Customer };
        node.ask(move |handle| async move { handle.command(id, cancel, LIMIT).await }).await.unwrap().unwrap();
        let payment = || async { cluster.world.database.payment(id).await.unwrap().map(|row| row.status) };
        until("a void has failed", || async { payment().await == Some(PaymentStatus::Trying) }).await;
        let order = stored(&node.handle, id).await.order;
        let body = EventBody::InventoryInsufficient { shortages: vec![Shortage::UnknownProduct { product: product(1) }] };
        cluster.say(Event::of(&order, order.created_at.plus_ms(5), body));
        until("it is cancelled", || async { stored(&node.handle, id).await.status == OrderStatus::Cancelled }).await;
        cluster.crash(node).await;
        sandbox.behave(Party::Payment, Behaviour::default());
        cluster.start("next", &ours).await;
        cluster.settles().await;
        assert_eq!(payment().await, Some(PaymentStatus::Cancelled));
    });
}

/// A node that was down for longer than the deadline reads what was said in time, and only then ends what is not paid.
#[test]
fn a_payment_that_waits_in_its_topic_is_heard_before_a_deadline_that_has_passed() {
    for is_paid in [true, false] {
        run(move || async move {
            let (cluster, node) = begin_with(36, |settings| settings.deadlines.payment_ms = 20_000).await;
            let settings = cluster.world.settings.clone();
            let id = node.place(vec![line(1, 1, 1000)]).await.unwrap().unwrap();
            until("it waits for the money", || async { stored(&node.handle, id).await.record.facts.is_reserved() }).await;
            cluster.crash(node).await;
            tokio::time::sleep(Duration::from_millis(2 * settings.deadlines.payment_ms)).await;
            let next = cluster.start("next", &OURS).await;
            until("it owns the shards", || async { next.owns(Role::Order) == 24 }).await;
            let began = tokio::time::Instant::now();
            tokio::time::sleep(Duration::from_millis(settings.redrive_far.first_ms / 2)).await;
            assert_eq!(stored(&next.handle, id).await.record.facts.cancel, None, "the topic is being read");
            if is_paid {
                pays(&next, id).await;
                settled(&next.handle, id, OrderStatus::Confirmed).await;
                tokio::time::sleep(Duration::from_millis(settings.redrive_far.first_ms)).await;
                assert_eq!(stored(&next.handle, id).await.status, OrderStatus::Confirmed);
                return;
            }
            until("it is ended", || async { stored(&next.handle, id).await.record.facts.cancel.is_some() }).await;
            assert!(began.elapsed() <= Duration::from_millis(settings.redrive_far.first_ms + 1000), "{:?}", began.elapsed());
            assert_eq!(stored(&next.handle, id).await.record.facts.cancel.unwrap().0, CancelledBy::PaymentDeadline);
        });
    }
}

fn money(minor: i64) -> Money {
    Money::from_minor(minor).unwrap()
}

pub async fn letter(cluster: &Cluster, order: OrderId, step: &str) -> DeadLetter {
    let filter = || DeadLetterFilter { state: Some(DeadLetterState::Open), order: Some(order), limit: 10, ..DeadLetterFilter::default() };
    let find =
        || async { cluster.world.database.letters(filter()).await.unwrap().rows.into_iter().find(|letter| letter.step.as_str() == step) };
    until(&format!("there is a letter about {step}"), || async { find().await.is_some() }).await;
    find().await.unwrap()
}

pub async fn act(node: &Member, letter: &DeadLetter, action: DeadLetterAction) -> bool {
    let id = letter.id;
    let note = Some(Text::lossy("asked that team"));
    node.ask(move |handle| async move { handle.act(id, action, Text::lossy("ann"), note, LIMIT).await }).await.unwrap().is_ok()
}

/// An order of 10.00 for which another team has taken `minor`.
async fn paid_otherwise(cluster: &Cluster, node: &Member, minor: i64) -> (OrderId, DeadLetter) {
    let id = node.place(vec![line(1, 1, 1000)]).await.unwrap().unwrap();
    until("it waits for the money", || async { stored(&node.handle, id).await.record.facts.is_reserved() }).await;
    let order = stored(&node.handle, id).await.order;
    for _ in 0..3 {
        let body = EventBody::PaymentProcessed { amount: money(minor), method: Text::lossy("theirs") };
        cluster.say(Event::of(&order, order.created_at.plus_ms(5), body));
    }
    let letter = letter(cluster, id, "payment").await;
    assert_eq!(letter.cause.as_str(), "amount-mismatch");
    let detail = letter.detail.as_str();
    assert!(detail.contains(&money(minor).to_string()) && detail.contains("10.00"), "{detail}");
    let seen = stored(&node.handle, id).await;
    assert_eq!((seen.status, seen.record.facts.is_paid()), (OrderStatus::InventoryReserved, false));
    assert_eq!(seen.record.parked.unwrap().as_str(), "amount-mismatch");
    for action in [DeadLetterAction::Reprocess, DeadLetterAction::Skip, DeadLetterAction::Discard] {
        assert!(!act(node, &letter, action).await, "{action:?} would leave it as it is");
    }
    (id, letter)
}

#[test]
fn a_payment_of_another_amount_confirms_nothing_until_a_person_accepts_it() {
    run(|| async {
        let (cluster, node) = begin(24).await;
        for minor in [1, 250_000] {
            let (id, letter) = paid_otherwise(&cluster, &node, minor).await;
            assert!(act(&node, &letter, DeadLetterAction::Accept).await);
            settled(&node.handle, id, OrderStatus::Confirmed).await;
            let facts = stored(&node.handle, id).await.record.facts;
            assert!(matches!(facts.payment, Some((PaymentFact::Paid { amount, .. }, _)) if amount == money(minor)));
        }
        cluster.settles().await;
    });
}

#[test]
fn a_payment_of_another_amount_is_owed_back_when_a_person_compensates() {
    run(|| async {
        let (cluster, node) = begin(25).await;
        let (id, mismatch) = paid_otherwise(&cluster, &node, 1).await;
        assert!(act(&node, &mismatch, DeadLetterAction::Compensate).await);
        let refund = letter(&cluster, id, "refund").await;
        assert!(refund.detail.as_str().contains("0.01"), "{}", refund.detail);
        assert_eq!(stored(&node.handle, id).await.status, OrderStatus::Refunding);
        assert!(act(&node, &refund, DeadLetterAction::Done { overrules: false }).await);
        settled(&node.handle, id, OrderStatus::Cancelled).await;
        cluster.settles().await;
    });
}

/// Waits until the letter is closed because nothing was left to do, and returns why.
async fn superseded(cluster: &Cluster, letter: &DeadLetter) -> String {
    let database = &cluster.world.database;
    until("its letter is closed", || async { database.letter(letter.id).await.unwrap().unwrap().state != DeadLetterState::Open }).await;
    assert_eq!(database.letter(letter.id).await.unwrap().unwrap().state, DeadLetterState::Superseded);
    let audit = database.audit(letter.id.0.to_string()).await.unwrap();
    audit.last().unwrap().note.clone().unwrap()
}

/// It is not unpaid: a person decides.
#[test]
fn no_deadline_ends_an_order_whose_payment_is_disputed() {
    run(|| async {
        let (cluster, node) = silent(26, 20_000, 3_600_000).await;
        let (id, mismatch) = paid_otherwise(&cluster, &node, 1).await;
        let (other, of_other) = paid_otherwise(&cluster, &node, 2).await;
        tokio::time::sleep(Duration::from_secs(300)).await;
        for id in [id, other] {
            assert_eq!(stored(&node.handle, id).await.status, OrderStatus::InventoryReserved, "it is parked past its deadline");
        }
        assert!(act(&node, &mismatch, DeadLetterAction::Accept).await);
        settled(&node.handle, id, OrderStatus::Confirmed).await;
        // One that is cancelled needs no judgement any more: the money is owed back.
        let cancel = Command::Cancel { by: CancelledBy::Customer };
        node.ask(move |handle| async move { handle.command(other, cancel, LIMIT).await }).await.unwrap().unwrap();
        let why = superseded(&cluster, &of_other).await;
        assert!(why.contains("was cancelled (cancelled-by-customer)"), "{why}");
        let refund = letter(&cluster, other, "refund").await;
        assert!(act(&node, &refund, DeadLetterAction::Done { overrules: false }).await);
        settled(&node.handle, other, OrderStatus::Cancelled).await;
        cluster.settles().await;
    });
}

/// A payment in another currency is the order's only if a person says so.
#[test]
fn a_payment_in_another_currency_parks_its_order_until_a_person_decides() {
    run(|| async {
        let (cluster, node) = silent(30, 20_000, 3_600_000).await;
        for action in [DeadLetterAction::Accept, DeadLetterAction::Compensate] {
            let id = node.place(vec![line(1, 1, 1000)]).await.unwrap().unwrap();
            until("it waits for the money", || async { stored(&node.handle, id).await.record.facts.is_reserved() }).await;
            let order = stored(&node.handle, id).await.order;
            let said =
                || EventBody::PaidInOtherCurrency { amount: money(1000), currency: Text::lossy("USD"), method: Text::lossy("theirs") };
            let say = |body| cluster.say(Event::of(&order, order.created_at.plus_ms(5), body));
            say(said());
            say(said());
            let mismatch = letter(&cluster, id, "payment").await;
            assert_eq!(mismatch.cause.as_str(), "currency-mismatch");
            assert!(mismatch.detail.as_str().contains("10.00 USD"), "{}", mismatch.detail);
            tokio::time::sleep(Duration::from_secs(300)).await;
            let seen = stored(&node.handle, id).await;
            assert_eq!((seen.status, seen.record.facts.is_paid()), (OrderStatus::InventoryReserved, false), "past its deadline");
            assert_eq!(seen.record.parked.unwrap().as_str(), "currency-mismatch");
            for other in [DeadLetterAction::Reprocess, DeadLetterAction::Skip, DeadLetterAction::Discard] {
                assert!(!act(&node, &mismatch, other).await, "{other:?} would leave it as it is");
            }
            assert!(act(&node, &mismatch, action).await);
            if action == DeadLetterAction::Accept {
                settled(&node.handle, id, OrderStatus::Confirmed).await;
                let facts = stored(&node.handle, id).await.record.facts;
                assert!(matches!(facts.payment, Some((PaymentFact::Paid { amount, .. }, _)) if amount == order.total), "{facts:?}");
                say(said());
            } else {
                let refund = letter(&cluster, id, "refund").await;
                assert!(refund.detail.as_str().contains("10.00 USD must be refunded"), "{}", refund.detail);
                say(EventBody::PaymentRefunded { amount: money(1000) });
                settled(&node.handle, id, OrderStatus::Cancelled).await;
            }
        }
        cluster.settles().await;
        let filter = DeadLetterFilter { state: Some(DeadLetterState::Open), limit: 10, ..DeadLetterFilter::default() };
        assert_eq!(cluster.world.database.letters(filter).await.unwrap().rows, [], "it says nothing new");
    });
}

/// The topic was not read for longer than an answer may take: the letter goes when the answer is read.
#[test]
fn a_letter_about_an_overdue_answer_closes_itself_when_the_answer_comes() {
    run(|| async {
        let (cluster, node) = silent(31, 3_600_000, 60_000).await;
        let id = node.place(vec![line(1, 1, 1000)]).await.unwrap().unwrap();
        until("it waits for the money", || async { stored(&node.handle, id).await.record.facts.is_reserved() }).await;
        let cancel = Command::Cancel { by: CancelledBy::Customer };
        node.ask(move |handle| async move { handle.command(id, cancel, LIMIT).await }).await.unwrap().unwrap();
        let overdue = letter(&cluster, id, "payment-answer").await;
        let order = stored(&node.handle, id).await.order;
        cluster.say(Event::of(&order, order.created_at, EventBody::PaymentCancelled));
        let why = superseded(&cluster, &overdue).await;
        assert!(why.contains("nothing is left to do"), "{why}");
        settled(&node.handle, id, OrderStatus::Cancelled).await;
        cluster.settles().await;
    });
}

#[test]
fn a_reservation_of_something_else_is_charged_only_when_a_person_accepts_it() {
    run(|| async {
        let cluster = Cluster::with(27, |settings| settings.external_roles = Roles::default().with(Role::Inventory));
        let node = cluster.start("ours", &[Role::Order, Role::Payment, Role::Notification, Role::Analytics]).await;
        until("it owns the shards", || async { node.owns(Role::Order) == 24 }).await;
        let other = |n: u128, count| ReservedLine { product: product(n), quantity: Quantity::new(count).unwrap() };
        for (held, accept) in [(other(1, 1), true), (other(2, 3), false)] {
            let id = node.place(vec![line(1, 3, 1000)]).await.unwrap().unwrap();
            let order = stored(&node.handle, id).await.order;
            cluster.say(Event::of(&order, order.created_at, EventBody::InventoryReserved { lines: vec![held] }));
            let mismatch = letter(&cluster, id, "reservation").await;
            assert_eq!(mismatch.cause.as_str(), "reservation-mismatch");
            assert_eq!(stored(&node.handle, id).await.status, OrderStatus::Pending);
            assert_eq!(cluster.world.database.payment(id).await.unwrap(), None, "nobody is charged for it");
            if accept {
                assert!(act(&node, &mismatch, DeadLetterAction::Accept).await);
                settled(&node.handle, id, OrderStatus::Confirmed).await;
            } else {
                assert!(act(&node, &mismatch, DeadLetterAction::Compensate).await);
                let release = letter(&cluster, id, "release").await;
                assert!(act(&node, &release, DeadLetterAction::Done { overrules: false }).await);
                settled(&node.handle, id, OrderStatus::Cancelled).await;
            }
        }
        cluster.settles().await;
    });
}

/// A payment of another team that never answers, within these times.
async fn silent(seed: u64, payment_ms: u64, answer_ms: u64) -> (Rc<Cluster>, Rc<Member>) {
    let cluster = Cluster::with(seed, |settings| {
        settings.external_roles = Roles::default().with(Role::Payment);
        settings.deadlines.payment_ms = payment_ms;
        settings.external_answer_ms = answer_ms;
    });
    let node = cluster.start("ours", &OURS).await;
    until("it owns the shards", || async { node.owns(Role::Order) == 24 }).await;
    put_product(&node.handle, 1, 1000, 100).await;
    (cluster, node)
}

#[test]
fn a_payment_deadline_fires_on_time_though_another_team_is_asked_rarely() {
    run(|| async {
        let (cluster, node) = silent(28, 10_000, 3_600_000).await;
        let id = node.place(vec![line(1, 1, 1000)]).await.unwrap().unwrap();
        until("it is ended", || async { stored(&node.handle, id).await.record.facts.cancel.is_some() }).await;
        let facts = stored(&node.handle, id).await.record.facts;
        let waited = facts.cancel.unwrap().1.ms_since(facts.stock.unwrap().1);
        assert!((10_000..11_000).contains(&waited), "{waited} ms: its rhythm is 30 s");
        drop(cluster);
    });
}

#[test]
fn a_cancelled_order_whose_payment_nobody_answers_is_a_letter_and_holds_no_place() {
    run(|| async {
        let (cluster, node) = silent(29, 3_600_000, 60_000).await;
        for action in [DeadLetterAction::Done { overrules: false }, DeadLetterAction::Reprocess] {
            let id = node.place(vec![line(1, 1, 1000)]).await.unwrap().unwrap();
            until("it waits for the money", || async { stored(&node.handle, id).await.record.facts.is_reserved() }).await;
            let cancel = Command::Cancel { by: CancelledBy::Customer };
            node.ask(move |handle| async move { handle.command(id, cancel, LIMIT).await }).await.unwrap().unwrap();
            let overdue = letter(&cluster, id, "payment-answer").await;
            assert_eq!(overdue.cause.as_str(), "answer-overdue");
            assert_eq!(stored(&node.handle, id).await.status, OrderStatus::Cancelling);
            until("its place is free", || async { node.handle.open_orders() == 0 }).await;
            let note = Some(Text::lossy("they never charged"));
            let decide = |action, note| {
                let letter = overdue.id;
                node.ask(move |handle| async move { handle.act(letter, action, Text::lossy("ann"), note, LIMIT).await })
            };
            decide(action, note.clone()).await.unwrap().unwrap();
            if action == DeadLetterAction::Reprocess {
                assert_eq!(stored(&node.handle, id).await.record.parked, None, "it waits for as long again");
                letter(&cluster, id, "payment-answer").await;
                let order = stored(&node.handle, id).await.order;
                cluster.say(Event::of(&order, order.created_at, EventBody::PaymentCancelled));
            }
            settled(&node.handle, id, OrderStatus::Cancelled).await;
        }
        cluster.settles().await;
    });
}

#[test]
fn another_teams_reservations_are_counted() {
    run(|| async {
        let cluster = Cluster::with(30, |settings| settings.external_roles = [Role::Inventory].into_iter().collect::<Roles>());
        let node = cluster.start("ours", &[Role::Order, Role::Payment, Role::Notification, Role::Analytics]).await;
        until("it owns the shards", || async { node.owns(Role::Order) == 24 }).await;
        for _ in 0..2 {
            let id = node.place(vec![line(1, 1, 1000)]).await.unwrap().unwrap();
            let order = stored(&node.handle, id).await.order;
            let lines = order.lines.iter().map(ReservedLine::from).collect();
            cluster.say(Event::of(&order, order.created_at.plus_ms(5), EventBody::InventoryReserved { lines }));
            settled(&node.handle, id, OrderStatus::Confirmed).await;
        }
        let totals = || async { cluster.world.database.analytics(TOTAL, TOTAL + 1).await.unwrap().iter().collect::<Numbers>() };
        until("both are sales", || async { totals().await.of(Metric::SaleValue) == 2000 }).await;
        assert_eq!(totals().await.of(Metric::StockReserved), 2);
        cluster.settles().await;
    });
}

#[test]
fn another_teams_payment_is_revenue_and_its_refund_is_taken_off() {
    run(|| async {
        let (cluster, node) = begin(29).await;
        let totals = || async { cluster.world.database.analytics(TOTAL, TOTAL + 1).await.unwrap().iter().collect::<Numbers>() };
        let mut ids = Vec::new();
        for _ in 0..2 {
            let id = node.place(vec![line(1, 1, 1000)]).await.unwrap().unwrap();
            pays(&node, id).await;
            settled(&node.handle, id, OrderStatus::Confirmed).await;
            ids.push(id);
        }
        until("both are sales", || async { totals().await.of(Metric::SaleValue) == 2000 }).await;
        let numbers = totals().await;
        assert_eq!((numbers.revenue(), numbers.of(Metric::StockReserved), numbers.of(Metric::PaymentsCharged)), (2000, 2, 2));
        let (id, cancel) = (ids[0], Command::Cancel { by: CancelledBy::Customer });
        node.ask(move |handle| async move { handle.command(id, cancel, LIMIT).await }).await.unwrap().unwrap();
        let filter = || DeadLetterFilter { state: Some(DeadLetterState::Open), limit: 10, ..DeadLetterFilter::default() };
        until("there is a letter", || async { !cluster.world.database.letters(filter()).await.unwrap().rows.is_empty() }).await;
        let letter = cluster.world.database.letters(filter()).await.unwrap().rows.remove(0).id;
        let (action, note) = (DeadLetterAction::Done { overrules: false }, Some(Text::lossy("given back")));
        let done = move |handle: NodeHandle| async move { handle.act(letter, action, Text::lossy("ann"), note, LIMIT).await };
        node.ask(done).await.unwrap().unwrap();
        settled(&node.handle, id, OrderStatus::Cancelled).await;
        until("one is refunded", || async { totals().await.of(Metric::SalesRefunded) == 1 }).await;
        let numbers = totals().await;
        assert_eq!((numbers.of(Metric::SaleValue), numbers.revenue(), numbers.average_order_value()), (2000, 1000, Some(1000)));
    });
}
