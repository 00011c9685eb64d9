//! What nodes tell each other through the database: leases that end, logs that are published, copies of orders.

use crate::Case;
use crate::fixture::{Fixture, LEASE_MS};
use crate::sample::{order, place};
use ordermill::db::{
    Batch, ConsumedPlace, Consumption, Deleted, LogEntry, NewWriter, Outcome, Publishing, Retention, RowOutcome, StepOutcome, Write,
    WriterRow, WriterState,
};
use ordermill::domain::{
    Channel, Closing, DeadLetterKind, DeadLetterState, Event, EventBody, NoticeKind, NoticeStatus, Role, Shard, Timestamp, WriterId,
};
use std::sync::Arc;
use std::time::Duration;

pub(crate) const CASES: &[Case] = &[
    ("a writer's row tells its roles and how long its lease still lasts", |f| Box::pin(row(f))),
    ("a log is published up to a number that only grows", |f| Box::pin(published(f))),
    ("how far a role is done is what was said last, of each partition", |f| Box::pin(consumed(f))),
    ("a live writer's log is claimed by nobody", |f| Box::pin(claim_alive(f))),
    ("a dead writer's log is claimed once, until the claim ends", |f| Box::pin(claim(f))),
    ("a writer whose lease was seen to have ended is set not alive by another, a live one is not", |f| Box::pin(expired(f))),
    ("a log is read with its markers", |f| Box::pin(log(f))),
    ("an event waits for its order and is told when the order is known", |f| Box::pin(held(f))),
    ("copies that stay hold up no others, however many", |f| Box::pin(old_copies(f))),
    ("what is old goes, and what is young or needed stays", |f| Box::pin(old(f))),
    ("an event of an order that is known does not wait", |f| Box::pin(known(f))),
];

/// One more writer beside the first; none where only one may write.
async fn other(f: &Fixture, lease_ms: u64) -> Option<(Box<dyn ordermill::db::Store>, WriterState)> {
    let mut store = f.connect.as_ref()?().await;
    let state = store.start_writer(&NewWriter::of_all_roles("node-2", "http://node-2:8080", lease_ms)).await.unwrap();
    Some((store, state))
}

async fn row(f: &mut Fixture) {
    let new = NewWriter { roles: vec![Role::Order, Role::Payment], ..NewWriter::of_all_roles("node-9", "http://node-9", LEASE_MS) };
    let writer = f.store.start_writer(&new).await.unwrap().writer;
    let row = f.reads.writers().await.unwrap().into_iter().find(|row| row.writer == writer).unwrap();
    assert!(row.is_proved(&new.key) && !WriterRow { url: "http://node-8".to_owned(), ..row.clone() }.is_proved(&new.key));
    assert_eq!((row.node.as_str(), row.url.as_str(), row.roles), ("node-9", "http://node-9", vec![Role::Order, Role::Payment]));
    let lease = i64::try_from(LEASE_MS).unwrap();
    assert!((lease - 30_000..=lease).contains(&row.lease_left_ms), "{}", row.lease_left_ms);
    assert_eq!(row.publisher, None);
}

async fn published(f: &mut Fixture) {
    let writer = f.writer.writer;
    for (seq, stands) in [(7, 7), (3, 7), (9, 9)] {
        f.write(Write::Published { writer, seq }).await;
        assert_eq!(f.reads.writers().await.unwrap()[0].published_seq, stands);
    }
}

async fn consumed(f: &mut Fixture) {
    let place = |topic: &str, partition, next| ConsumedPlace { topic: topic.to_owned(), partition, next };
    let say = |role, places| Write::Consumed { role, places };
    assert_eq!(f.reads.consumed(Role::Order).await.unwrap(), Consumption::default(), "a new database is no earlier version's");
    assert_eq!(f.write(say(Role::Order, vec![place("ships", 10, 7), place("pays", 9, i64::MAX)])).await, (Outcome::Done, vec![]));
    f.write(say(Role::Inventory, vec![place("ships", 10, 2)])).await;
    // Twice in one batch, and back: the topic was made anew.
    f.commit(vec![say(Role::Order, vec![place("ships", 10, 9)]), say(Role::Order, vec![place("ships", 10, 1), place("ships", 2, 5)])])
        .await;
    f.write(say(Role::Order, vec![])).await;
    let told = async |role| f.reads.consumed(role).await.unwrap().places;
    assert_eq!(told(Role::Order).await, [place("pays", 9, i64::MAX), place("ships", 2, 5), place("ships", 10, 1)]);
    assert_eq!((told(Role::Inventory).await, told(Role::Payment).await), (vec![place("ships", 10, 2)], vec![]));
}

async fn claim_alive(f: &mut Fixture) {
    let writer = f.writer.writer;
    assert_eq!(f.write(Write::ClaimLog { writer, lease_ms: LEASE_MS }).await.0, Outcome::Row(RowOutcome::Missing));
}

async fn claim(f: &mut Fixture) {
    let Some((mut store, state)) = other(f, LEASE_MS).await else { return };
    let dead = f.connect.as_ref().unwrap()().await.start_writer(&NewWriter::of_all_roles("node-3", "", LEASE_MS)).await.unwrap().writer;
    f.store.end_writer(dead).await.unwrap();
    let claim = |lease_ms| Write::ClaimLog { writer: dead, lease_ms };
    assert_eq!(f.write(claim(LEASE_MS)).await.0, Outcome::Row(RowOutcome::Done));
    assert_eq!(f.write(claim(LEASE_MS)).await.0, Outcome::Row(RowOutcome::Done), "one's own claim is renewed");
    let mut commits = 0;
    let mut others = async |lease_ms| {
        let batch = Batch { writer: state.writer, commits, last_seq: 0, writes: vec![claim(lease_ms)] };
        commits += 1;
        store.commit(&batch).await.unwrap().outcomes.into_iter().next().unwrap()
    };
    assert_eq!(others(LEASE_MS).await, Outcome::Row(RowOutcome::Missing), "it is claimed");
    let publisher = f.reads.writers().await.unwrap().into_iter().find(|row| row.writer == dead).unwrap().publisher;
    assert_eq!(publisher, Some(f.writer.writer));
    if f.has_real_clock {
        f.write(claim(1)).await;
        while others(LEASE_MS).await != Outcome::Row(RowOutcome::Done) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn expired(f: &mut Fixture) {
    let Some((_store, short)) = other(f, 1).await else { return };
    let Some((_other, long)) = other(f, LEASE_MS).await else { return };
    let alive = async |f: &Fixture, writer: WriterId| f.reads.writers().await.unwrap().iter().any(|row| row.writer == writer && row.alive);
    if f.has_real_clock {
        while f.reads.writers().await.unwrap().iter().any(|row| row.writer == short.writer && row.lease_left_ms >= 0) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let lease = lease_of(f, short.writer).await;
        f.write(Write::EndExpired { leases: vec![(short.writer, Timestamp(lease.0 - 1))] }).await;
        assert!(alive(f, short.writer).await, "another lease than was seen");
        f.write(Write::EndExpired { leases: vec![(short.writer, lease)] }).await;
        assert!(!alive(f, short.writer).await);
    }
    let mut leases = Vec::new();
    for writer in [long.writer, f.writer.writer] {
        leases.push((writer, lease_of(f, writer).await));
    }
    f.write(Write::EndExpired { leases }).await;
    assert!(alive(f, long.writer).await && alive(f, f.writer.writer).await);
}

async fn lease_of(f: &Fixture, writer: WriterId) -> Timestamp {
    f.reads.writers().await.unwrap().iter().find(|row| row.writer == writer).unwrap().lease_until
}

async fn log(f: &mut Fixture) {
    let take = Write::TakeShards { roles: vec![Role::Order], shards: vec![Shard(3)] };
    f.commit(vec![place(&order(1)), take, place(&order(2))]).await;
    let entries = f.reads.log(f.writer.writer, 0, 100).await.unwrap();
    assert_eq!(entries.iter().map(LogEntry::seq).collect::<Vec<_>>(), [1, 2, 3]);
    let marks: Vec<_> =
        entries.iter().filter_map(|entry| if let LogEntry::Marker { marker, .. } = entry { Some(marker) } else { None }).collect();
    assert_eq!(marks.iter().map(|marker| (marker.role, marker.shard)).collect::<Vec<_>>(), [(Role::Order, Shard(3))]);
    let last = f.reads.log(f.writer.writer, 2, 1).await.unwrap();
    assert_eq!(last.iter().map(LogEntry::seq).collect::<Vec<_>>(), [3]);
}

async fn held(f: &mut Fixture) {
    let order = order(7);
    let early = Event::of(&order, crate::sample::at(5), EventBody::InventoryReserved { lines: vec![(&order.lines[0]).into()] });
    assert_eq!(f.reads.known_order(order.id).await.unwrap(), None);
    assert_eq!(f.write(Write::HoldEvent { event: early.clone() }).await.0, Outcome::Step(StepOutcome::Done));
    assert_eq!(f.write(Write::HoldEvent { event: early.clone() }).await.0, Outcome::Step(StepOutcome::Done), "twice is once");
    assert_eq!(f.write(Write::KnowOrder { order: Arc::clone(&order) }).await.0, Outcome::Known(vec![early]));
    assert_eq!(f.reads.known_order(order.id).await.unwrap(), Some(Arc::clone(&order)));
    assert_eq!(f.write(Write::KnowOrder { order }).await.0, Outcome::Known(vec![]), "it was told");
}

async fn known(f: &mut Fixture) {
    let (placed, copied) = (order(1), order(2));
    f.commit(vec![place(&placed), Write::KnowOrder { order: copied.clone() }]).await;
    for order in [placed, copied] {
        let event = Event::of(&order, crate::sample::at(5), EventBody::PaymentCancelled);
        assert_eq!(f.write(Write::HoldEvent { event: event.clone() }).await.0, Outcome::Step(StepOutcome::Repeated(vec![event])));
        assert_eq!(f.reads.known_order(order.id).await.unwrap(), Some(order));
    }
}

async fn old_copies(f: &mut Fixture) {
    if !f.deletes {
        return;
    }
    let orders: Vec<_> = (1..=8).map(order).collect();
    let mut writes: Vec<Write> = orders.iter().map(|order| Write::KnowOrder { order: order.clone() }).collect();
    // More than a page of them stay; then come those that nobody needs.
    for order in &orders[..4] {
        writes.push(Write::AddLetter(crate::sample::letter(order, 1, "payment-provider", 5)));
    }
    let mut notice = crate::sample::letter(&orders[4], 2, "smtp", 5);
    (notice.kind, notice.role) = (DeadLetterKind::Notice, Role::Notification);
    writes.push(Write::AddLetter(notice));
    f.commit(writes).await;
    let (past, copies_before) = (Timestamp(0), orders[7].created_at);
    let mut retention = Retention {
        events_before: past,
        keys_before: past,
        letters_before: past,
        audit_before: past,
        copies_before,
        held_before: past,
        publishing: Publishing::Off,
        limit: 2,
    };
    for deleted in [2, 1, 0] {
        assert_eq!(f.store.delete_old(&retention).await.unwrap().copies, deleted);
    }
    retention.copies_before = Timestamp(4_000_000_000_000_000);
    assert_eq!(f.store.delete_old(&retention).await.unwrap().copies, 1, "it was too young");
    let mut left = Vec::new();
    for order in &orders {
        left.extend(f.reads.known_order(order.id).await.unwrap().map(|known| known.id));
    }
    assert_eq!(left, orders[..4].iter().map(|order| order.id).collect::<Vec<_>>());
}

async fn old(f: &mut Fixture) {
    if !f.deletes {
        return;
    }
    let (copied, noticed, early, parked) = (order(1), order(2), order(3), order(4));
    let waits = crate::sample::letter(&parked, 1, "payment-provider", 5);
    let event = Event::of(&early, crate::sample::at(5), EventBody::PaymentCancelled);
    let pending = crate::sample::notice(&noticed, NoticeKind::Confirmation, Channel::Email, NoticeStatus::Pending, 1);
    let product = crate::sample::product_id(1);
    f.commit(vec![
        crate::sample::put(product, 5),
        crate::sample::adjust(product, 1),
        Write::KnowOrder { order: copied.clone() },
        Write::KnowOrder { order: noticed.clone() },
        Write::KnowOrder { order: parked.clone() },
        Write::AddLetter(waits.clone()),
        Write::HoldEvent { event: event.clone() },
        pending,
        place(&order(9)),
    ])
    .await;
    // The first writer ends; the second one counts its log.
    let (first, end) = (f.writer.writer, f.writer.last_seq);
    f.store.end_writer(first).await.unwrap();
    f.writer = f.store.start_writer(&NewWriter::of_all_roles("node-2", "http://node-2", LEASE_MS)).await.unwrap();
    let count = |after, seq| Write::SaveAnalytics { add: Vec::new(), source: first, after, seq };
    f.commit(vec![count(0, end - 1)]).await;
    let (past, future) = (Timestamp(0), Timestamp(4_000_000_000_000_000));
    let mut retention = Retention {
        events_before: past,
        keys_before: past,
        letters_before: past,
        audit_before: past,
        copies_before: past,
        held_before: past,
        publishing: Publishing::Off,
        limit: 100,
    };
    assert_eq!(f.store.delete_old(&retention).await.unwrap(), Deleted::default(), "all is young");
    (retention.audit_before, retention.copies_before, retention.held_before) = (future, future, future);
    let deleted = f.store.delete_old(&retention).await.unwrap();
    assert_eq!((deleted.audit > 0, deleted.copies, deleted.held, deleted.writers), (true, 1, 1, 0));
    assert_eq!(f.reads.known_order(copied.id).await.unwrap(), None);
    assert!(f.reads.known_order(noticed.id).await.unwrap().is_some(), "its customer is still to be told");
    assert!(f.reads.known_order(parked.id).await.unwrap().is_some(), "its step is still to be tried again");
    let (state, by, at) = (DeadLetterState::Reprocessed, crate::sample::text("ann"), crate::sample::at(9));
    f.write(Write::CloseLetter(Closing { id: waits.id, state, by, note: None, overrules: None, at })).await;
    assert_eq!(f.store.delete_old(&retention).await.unwrap().copies, 1, "nobody needs it any more");
    assert!(f.reads.audit(product.0.to_string()).await.unwrap().is_empty());
    assert_eq!(f.write(Write::HoldEvent { event: event.clone() }).await.0, Outcome::Step(StepOutcome::Done));
    assert_eq!(f.write(Write::KnowOrder { order: early }).await.0, Outcome::Known(vec![event]), "what came later waits again");
    // A writer goes when its log is counted, published and old.
    retention.events_before = future;
    assert_eq!(f.store.delete_old(&retention).await.unwrap().writers, 0, "its last event is not counted");
    f.commit(vec![count(end - 1, end)]).await;
    retention.publishing = Publishing::On;
    assert_eq!(f.store.delete_old(&retention).await.unwrap().writers, 0, "it is not published");
    f.commit(vec![Write::Published { writer: first, seq: end }]).await;
    f.store.delete_old(&retention).await.unwrap();
    f.store.delete_old(&retention).await.unwrap();
    let left: Vec<WriterId> = f.reads.writers().await.unwrap().iter().map(|row| row.writer).collect();
    assert_eq!(left, [f.writer.writer], "the live one stays");
    assert!(f.reads.analytics_positions().await.unwrap().iter().all(|(writer, _)| *writer != first));
    assert!(f.reads.log(first, 0, 100).await.unwrap().is_empty());
    f.commit(vec![place(&order(10))]).await;
}
