//! Dead letters, their audit, and the analytics numbers.

use crate::Case;
use crate::fixture::Fixture;
use crate::sample::{at, letter, order, place, save};
use ordermill::db::{AnalyticsRow, CountOutcome, DeadLetterFilter, NewWriter, Outcome, RowOutcome, Scan, StepOutcome, Write};
use ordermill::domain::{Closing, DeadLetter, DeadLetterId, DeadLetterKind, DeadLetterState, OrderStatus, PaymentStatus, Role, WriterId};

pub(crate) const CASES: &[Case] = &[
    ("a letter comes back whole, with an order or without", |f| Box::pin(added(f))),
    ("a letter of an id that is open stays one letter", |f| Box::pin(added_twice(f))),
    ("a letter that was closed is opened by the same trouble again", |f| Box::pin(opened_again(f))),
    ("a letter's origin is replaced, open or closed, and nothing else of it", |f| Box::pin(marked(f))),
    ("an open letter is closed once, with its audit entry", |f| Box::pin(closed(f))),
    ("a letter that is superseded closes the open one, and a person's word goes above it", |f| Box::pin(superseded(f))),
    ("a decision whose effect is stored is audited, also if its letter was closed before", |f| Box::pin(decided_twice(f))),
    ("letters are listed newest first and filtered", |f| Box::pin(listed(f))),
    ("pages of letters are stable while new ones arrive", |f| Box::pin(paged(f))),
    ("a page of letters looks at so many at most, and says where to go on", |f| Box::pin(bounded(f))),
    ("open letters are grouped by kind, cause and step, most first", |f| Box::pin(grouped(f))),
    ("analytics numbers are added up and their position moves", |f| Box::pin(analytics(f))),
    ("analytics numbers up to a position are added only once", |f| Box::pin(analytics_once(f))),
    ("analytics numbers of what another's log does not have are not added", |f| Box::pin(analytics_of_nothing(f))),
    ("analytics numbers of a writer that does not exist are not added", |f| Box::pin(analytics_of_nobody(f))),
];

async fn added(f: &mut Fixture) {
    let order = order(1);
    let mut foreign = letter(&order, 1, "unparsable", 5);
    foreign.id = DeadLetterId(uuid::Uuid::from_u128(77));
    (foreign.kind, foreign.role) = (DeadLetterKind::Message, Role::Notification);
    (foreign.order, foreign.shard) = (None, None);
    foreign.origin = Some("{\"topic\":\"order-events\"}".to_owned());
    for wanted in [foreign, letter(&order, 2, "declined", 6)] {
        assert_eq!(f.write(Write::AddLetter(wanted.clone())).await, (Outcome::Done, vec![]));
        assert_eq!(f.reads.letter(wanted.id).await.unwrap(), Some(wanted));
    }
}

async fn added_twice(f: &mut Fixture) {
    let order = order(1);
    let first = letter(&order, 1, "timeout", 5);
    f.commit(vec![place(&order), Write::AddLetter(first.clone())]).await;
    let mut again = letter(&order, 1, "timeout", 9);
    again.tries = 6;
    f.write(save(&order, OrderStatus::Pending, vec![], vec![again])).await;
    let all = f.reads.letters(DeadLetterFilter { limit: 10, ..DeadLetterFilter::default() }).await.unwrap().rows;
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].id, all[0].state), (first.id, DeadLetterState::Open));
    assert_eq!((all[0].tries, all[0].created_at), (6, at(5)), "it tells the newest and keeps its place in the list");
}

async fn superseded(f: &mut Fixture) {
    let order = order(1);
    let first = letter(&order, 1, "timeout", 5);
    let mut gone = letter(&order, 1, "superseded", 9);
    (gone.state, gone.closed_at) = (DeadLetterState::Superseded, Some(at(9)));
    f.commit(vec![place(&order), Write::AddLetter(gone.clone())]).await;
    assert_eq!(f.reads.letter(first.id).await.unwrap(), None, "there is nothing to close");
    f.write(Write::AddLetter(first.clone())).await;
    f.write(save(&order, OrderStatus::Pending, vec![], vec![gone.clone()])).await;
    let closed = DeadLetter { state: DeadLetterState::Superseded, closed_at: Some(at(9)), ..first.clone() };
    assert_eq!(f.reads.letter(first.id).await.unwrap(), Some(closed), "it tells what it told");
    assert_eq!(f.write(close(first.id, DeadLetterState::Done)).await, (Outcome::Row(RowOutcome::Done), vec![]));
    f.write(save(&order, OrderStatus::Pending, vec![], vec![gone])).await;
    assert_eq!(f.reads.letter(first.id).await.unwrap().map(|letter| letter.state), Some(DeadLetterState::Done));
    let audit = f.reads.audit(first.id.0.to_string()).await.unwrap();
    let told: Vec<_> = audit.iter().map(|entry| (entry.action.as_str(), entry.by.as_str(), entry.note.as_deref())).collect();
    assert_eq!(told, [("SUPERSEDED", "ordermill", Some("it failed")), ("DONE", "ann", Some("called them"))]);
}

async fn decided_twice(f: &mut Fixture) {
    let order = order(1);
    let (step, charge) = (letter(&order, 1, "timeout", 5), letter(&order, 2, "timeout", 5));
    f.commit(vec![place(&order), Write::AddLetter(step.clone()), Write::AddLetter(charge.clone())]).await;
    f.commit(vec![close(step.id, DeadLetterState::Reprocessed), close(charge.id, DeadLetterState::Reprocessed)]).await;
    let decision =
        |id, state| Closing { by: crate::sample::text("bob"), overrules: Some("it is charged".to_owned()), ..closing(id, state) };
    let Write::Save { order, status, open, record, events, letters, at, .. } = save(&order, OrderStatus::Cancelled, vec![], vec![]) else {
        unreachable!()
    };
    let closings = vec![decision(step.id, DeadLetterState::Compensated)];
    f.write(Write::Save { order: order.clone(), status, open, record, events, letters, closings, at }).await;
    let mut pay = crate::sample::payment(&order, 1, PaymentStatus::Charged);
    if let Write::SavePayment { closing, .. } = &mut pay {
        *closing = Some(Box::new(decision(charge.id, DeadLetterState::Done)));
    }
    assert_eq!(f.write(pay.clone()).await.0, Outcome::Step(StepOutcome::Done));
    for (id, last) in [(step.id, "COMPENSATED"), (charge.id, "DONE")] {
        assert_eq!(f.reads.letter(id).await.unwrap().unwrap().state, DeadLetterState::Reprocessed, "who was first");
        let audit = f.reads.audit(id.0.to_string()).await.unwrap();
        let told: Vec<_> = audit.iter().map(|entry| (entry.action.as_str(), entry.by.as_str())).collect();
        assert_eq!(told, [("REPROCESSED", "ann"), ("override", "bob"), (last, "bob")]);
    }
    assert!(matches!(f.write(pay).await.0, Outcome::Step(StepOutcome::Repeated(_))));
    assert_eq!(f.reads.audit(charge.id.0.to_string()).await.unwrap().len(), 3, "what is not stored is not audited");
}

fn closing(id: DeadLetterId, state: DeadLetterState) -> Closing {
    let (by, note) = (crate::sample::text("ann"), Some(crate::sample::text("called them")));
    Closing { id, state, by, note, overrules: None, at: at(50) }
}

fn close(id: DeadLetterId, state: DeadLetterState) -> Write {
    Write::CloseLetter(closing(id, state))
}

async fn marked(f: &mut Fixture) {
    let order = order(1);
    let (first, other) = (letter(&order, 1, "timeout", 5), letter(&order, 2, "timeout", 6));
    let mark = |id, origin: &str| Write::MarkLetter { id, origin: origin.to_owned() };
    f.commit(vec![Write::AddLetter(first.clone()), mark(first.id, "in its batch"), Write::AddLetter(other.clone())]).await;
    assert_eq!(f.reads.letter(first.id).await.unwrap().unwrap().origin.as_deref(), Some("in its batch"));
    f.write(close(first.id, DeadLetterState::Discarded)).await;
    assert_eq!(f.write(mark(first.id, "later")).await, (Outcome::Done, vec![]));
    assert_eq!(f.write(mark(DeadLetterId(uuid::Uuid::from_u128(4711)), "of none")).await, (Outcome::Done, vec![]));
    let stored = f.reads.letter(first.id).await.unwrap().unwrap();
    assert_eq!((stored.state, stored.origin.as_deref()), (DeadLetterState::Discarded, Some("later")));
    assert_eq!(f.reads.letter(other.id).await.unwrap(), Some(other));
}

async fn opened_again(f: &mut Fixture) {
    let order = order(1);
    let first = letter(&order, 1, "timeout", 5);
    f.commit(vec![Write::AddLetter(first.clone()), close(first.id, DeadLetterState::Reprocessed)]).await;
    f.write(Write::AddLetter(letter(&order, 1, "declined", 60))).await;
    let stored = f.reads.letter(first.id).await.unwrap().unwrap();
    assert_eq!((stored.state, stored.closed_at, stored.cause.as_str()), (DeadLetterState::Open, None, "declined"));
    assert_eq!(stored.created_at, at(60), "it is new again");
    assert_eq!(f.write(close(first.id, DeadLetterState::Skipped)).await.0, Outcome::Row(RowOutcome::Done));
    let actions: Vec<String> = f.reads.audit(first.id.0.to_string()).await.unwrap().into_iter().map(|entry| entry.action).collect();
    assert_eq!(actions, ["REPROCESSED", "SKIPPED"], "oldest first");
}

async fn closed(f: &mut Fixture) {
    let order = order(1);
    for (n, state) in [
        (1, DeadLetterState::Reprocessed),
        (2, DeadLetterState::Skipped),
        (3, DeadLetterState::Compensated),
        (4, DeadLetterState::Discarded),
    ] {
        let open = letter(&order, n, "timeout", 5);
        f.write(Write::AddLetter(open.clone())).await;
        assert_eq!(f.write(close(open.id, state)).await, (Outcome::Row(RowOutcome::Done), vec![]));
        let stored = f.reads.letter(open.id).await.unwrap().unwrap();
        assert_eq!(stored, DeadLetter { state, closed_at: Some(at(50)), ..open.clone() });
        assert_eq!(f.write(close(open.id, DeadLetterState::Discarded)).await.0, Outcome::Row(RowOutcome::Missing), "it is closed");
        let audit = f.reads.audit(open.id.0.to_string()).await.unwrap();
        assert_eq!(audit.len(), 1);
        assert_eq!((audit[0].at, audit[0].by.as_str(), audit[0].action.as_str()), (at(50), "ann", state.name()));
        assert_eq!(audit[0].note.as_deref(), Some("called them"));
    }
    assert_eq!(f.write(close(DeadLetterId(uuid::Uuid::nil()), DeadLetterState::Skipped)).await.0, Outcome::Row(RowOutcome::Missing));
}

async fn ids(f: &Fixture, filter: DeadLetterFilter) -> Vec<DeadLetterId> {
    f.reads.letters(DeadLetterFilter { limit: 100, ..filter }).await.unwrap().rows.into_iter().map(|letter| letter.id).collect()
}

async fn listed(f: &mut Fixture) {
    let (one, two) = (order(1), order(2));
    let mut notice = letter(&two, 3, "smtp", 7);
    notice.kind = DeadLetterKind::Notice;
    let letters = [letter(&one, 1, "timeout", 5), letter(&two, 2, "declined", 9), notice];
    let [a, b, c] = letters.each_ref().map(|letter| letter.id);
    f.commit(letters.into_iter().map(Write::AddLetter).collect()).await;
    f.write(close(a, DeadLetterState::Skipped)).await;
    let all = DeadLetterFilter::default();
    assert_eq!(ids(f, all.clone()).await, [b, c, a], "newest first");
    assert_eq!(ids(f, DeadLetterFilter { state: Some(DeadLetterState::Open), ..all.clone() }).await, [b, c]);
    assert_eq!(ids(f, DeadLetterFilter { kind: Some(DeadLetterKind::Notice), ..all.clone() }).await, [c]);
    assert_eq!(ids(f, DeadLetterFilter { cause: Some("timeout".to_owned()), ..all.clone() }).await, [a]);
    assert_eq!(ids(f, DeadLetterFilter { order: Some(two.id), ..all.clone() }).await, [b, c]);
    assert_eq!(ids(f, DeadLetterFilter { step: Some("charge".to_owned()), ..all.clone() }).await, [b, c, a]);
    assert_eq!(ids(f, DeadLetterFilter { step: Some("refund".to_owned()), ..all.clone() }).await, []);
    let both = DeadLetterFilter { order: Some(two.id), cause: Some("declined".to_owned()), ..all };
    assert_eq!(ids(f, both).await, [b]);
}

/// Letters of one moment too: the id breaks the tie.
async fn paged(f: &mut Fixture) {
    let order = order(1);
    let letters: Vec<DeadLetter> = (0..20).map(|n| letter(&order, n, "timeout", u64::from(n) / 4)).collect();
    f.commit(letters.iter().cloned().map(Write::AddLetter).collect()).await;
    let mut seen = Vec::new();
    let mut before = None;
    for round in 0.. {
        let page = f.reads.letters(DeadLetterFilter { before, limit: 3, ..DeadLetterFilter::default() }).await.unwrap();
        seen.extend(page.rows);
        before = page.next;
        if before.is_none() {
            break;
        }
        f.write(Write::AddLetter(letter(&order, 100 + round, "new", 1000))).await;
    }
    let mut wanted = letters;
    wanted.sort_by_key(|letter| std::cmp::Reverse((letter.created_at, letter.id)));
    assert_eq!(seen.iter().map(|letter| letter.id).collect::<Vec<_>>(), wanted.iter().map(|letter| letter.id).collect::<Vec<_>>());
}

/// The one open letter is the oldest of all.
async fn bounded(f: &mut Fixture) {
    let orders = [order(1), order(2)];
    let letters: Vec<DeadLetter> = (0..30_u32).map(|n| letter(&orders[usize::from(n % 2 == 1)], n, "timeout", u64::from(n) / 4)).collect();
    f.commit(letters.iter().cloned().map(Write::AddLetter).collect()).await;
    f.commit(letters.iter().skip(1).map(|letter| close(letter.id, DeadLetterState::Skipped)).collect()).await;
    let all = DeadLetterFilter::default();
    let empty =
        f.reads.letters(DeadLetterFilter { cause: Some("smtp".to_owned()), scan: Scan(10), limit: 5, ..all.clone() }).await.unwrap();
    let mut places: Vec<_> = letters.iter().map(|letter| (letter.created_at, letter.id)).collect();
    places.sort_unstable_by(|a, b| b.cmp(a));
    assert_eq!((empty.rows, empty.next), (vec![], Some(places[9])), "ten were looked at");
    let filters = [
        all.clone(),
        DeadLetterFilter { state: Some(DeadLetterState::Open), ..all.clone() },
        DeadLetterFilter { state: Some(DeadLetterState::Skipped), ..all.clone() },
        DeadLetterFilter { cause: Some("smtp".to_owned()), ..all.clone() },
        DeadLetterFilter { order: Some(orders[1].id), ..all.clone() },
        DeadLetterFilter { order: Some(orders[0].id), state: Some(DeadLetterState::Open), ..all },
    ];
    for filter in filters {
        let wanted = ids(f, DeadLetterFilter { scan: Scan(100), ..filter.clone() }).await;
        for (scan, limit) in [(1, 1), (3, 2), (2, 9), (29, 3), (30, 30), (31, 30)] {
            let mut asked = DeadLetterFilter { scan: Scan(scan), limit, ..filter.clone() };
            let mut seen = Vec::new();
            for round in 0.. {
                assert!(round <= 31, "{asked:?} comes to no end");
                let page = f.reads.letters(asked.clone()).await.unwrap();
                assert!(page.rows.len() <= limit as usize, "{asked:?}");
                seen.extend(page.rows.into_iter().map(|letter| letter.id));
                asked.before = page.next;
                if page.next.is_none() {
                    break;
                }
            }
            assert_eq!(seen, wanted, "{asked:?}");
        }
    }
}

async fn grouped(f: &mut Fixture) {
    let order = order(1);
    let mut letters: Vec<DeadLetter> = (0..3).map(|n| letter(&order, n, "timeout", 20 - u64::from(n))).collect();
    letters.push(letter(&order, 9, "declined", 3));
    let mut other_step = letter(&order, 10, "timeout", 4);
    other_step.step = crate::sample::text("refund");
    let shut = letter(&order, 11, "timeout", 1);
    letters.extend([other_step, shut.clone()]);
    f.commit(letters.into_iter().map(Write::AddLetter).collect()).await;
    f.write(close(shut.id, DeadLetterState::Discarded)).await;
    let groups = f.reads.letter_groups().await.unwrap();
    assert_eq!(groups.len(), 3);
    let first = &groups[0];
    assert_eq!((first.kind, first.cause.as_str(), first.step.as_str()), (DeadLetterKind::Step, "timeout", "charge"));
    assert_eq!((first.count, first.oldest, first.newest), (3, at(18), at(20)), "the closed one does not count");
    assert!(groups.iter().any(|group| group.step == "refund" && group.count == 1));
}

fn row(minute: i64, metric: u8, key: &[u8], value: i64) -> AnalyticsRow {
    AnalyticsRow { minute, metric, key: key.to_vec(), value }
}

async fn analytics(f: &mut Fixture) {
    let source = f.writer.writer;
    let add = vec![row(10, 1, b"", 5), row(10, 2, b"abc", 1), row(11, 1, b"", 7)];
    assert_eq!(f.write(Write::SaveAnalytics { add, source, after: 0, seq: 3 }).await, (Outcome::Count(CountOutcome::Done), vec![]));
    f.write(Write::SaveAnalytics { add: vec![row(10, 1, b"", -2), row(12, 1, b"", 1)], source, after: 3, seq: 8 }).await;
    let mut stored = f.reads.analytics(10, 12).await.unwrap();
    stored.sort_by_key(|row| (row.minute, row.metric));
    assert_eq!(stored, [row(10, 1, b"", 3), row(10, 2, b"abc", 1), row(11, 1, b"", 7)], "from is taken, to is not");
    assert_eq!(f.reads.analytics_positions().await.unwrap(), [(source, 8)]);
    let mut snapshot = f.reads.snapshot().await.unwrap();
    assert_eq!(snapshot.analytics().await.unwrap().len(), 4);
    assert_eq!(snapshot.analytics_positions().await.unwrap(), [(source, 8)]);
}

async fn analytics_once(f: &mut Fixture) {
    // The own log, and one of a writer that has ended.
    let (ended, _) = (f.writer.writer, f.placed(1, 5).await);
    f.store.end_writer(ended).await.unwrap();
    f.writer = f.store.start_writer(&NewWriter::of_all_roles("next", "url", 60_000)).await.unwrap();
    f.placed(2, 5).await;
    for source in [f.writer.writer, ended] {
        f.write(Write::SaveAnalytics { add: vec![row(10, 1, b"", 5)], source, after: 0, seq: 1 }).await;
        for (after, seq) in [(0, 1), (2, 1), (3, 1)] {
            let (outcome, _) = f.write(Write::SaveAnalytics { add: vec![row(10, 1, b"", 5)], source, after, seq }).await;
            assert_eq!(outcome, Outcome::Count(CountOutcome::Repeated));
        }
    }
    assert_eq!(f.reads.analytics(0, 100).await.unwrap(), [row(10, 1, b"", 10)]);
}

/// As after a failover to a standby that had not got the end of it.
async fn analytics_of_nothing(f: &mut Fixture) {
    let (source, end) = (f.writer.writer, f.writer.last_seq);
    f.store.end_writer(source).await.unwrap();
    f.writer = f.store.start_writer(&NewWriter::of_all_roles("next", "url", 60_000)).await.unwrap();
    let (outcome, _) = f.write(Write::SaveAnalytics { add: vec![row(10, 1, b"", 5)], source, after: 0, seq: end + 1 }).await;
    assert_eq!(outcome, Outcome::Count(CountOutcome::Missing));
    assert_eq!(f.reads.analytics(0, 100).await.unwrap(), []);
    let (outcome, _) = f.write(Write::SaveAnalytics { add: vec![row(10, 1, b"", 5)], source, after: 0, seq: end }).await;
    assert_eq!(outcome, Outcome::Count(CountOutcome::Done));
}

/// As after a failover to a standby that had not even got the start of its writer.
async fn analytics_of_nobody(f: &mut Fixture) {
    let gone = WriterId(f.writer.writer.0 + 1000);
    for (after, seq) in [(0, 1), (0, 7), (7, 9)] {
        let (outcome, _) = f.write(Write::SaveAnalytics { add: vec![row(10, 1, b"", 5)], source: gone, after, seq }).await;
        assert_eq!(outcome, Outcome::Count(CountOutcome::Missing));
    }
    assert_eq!(f.reads.analytics(0, 100).await.unwrap(), []);
    assert!(f.reads.analytics_positions().await.unwrap().is_empty());
}
