//! The snapshot that `verify` reads.

use crate::Case;
use crate::fixture::Fixture;
use crate::sample::{at, letter, notice, order, payment, place, product_id, release, reserve, save, shards, ship, text};
use ordermill::db::{OrderAudit, ReleaseReason, Snapshot, Write};
use ordermill::domain::{
    Channel, Closing, DeadLetter, DeadLetterKind, DeadLetterState, NoticeKind, NoticeStatus, Order, OrderStatus, PaymentStatus,
    ReservedLine,
};

pub(crate) const CASES: &[Case] = &[
    ("a snapshot stays as it was while the writer goes on", |f| Box::pin(stays(f))),
    ("a snapshot shows all that the roles store of an order", |f| Box::pin(audits(f))),
    ("a snapshot is read in pages", |f| Box::pin(pages(f))),
    ("rows of roles whose order does not exist are named", |f| Box::pin(orphans(f))),
    ("verify finds a database sound whose roles are ahead of their orders", |f| Box::pin(verified(f))),
    ("a whole log has no gaps", |f| Box::pin(gaps(f))),
];

async fn stays(f: &mut Fixture) {
    let order = f.placed(1, 10).await;
    f.write(reserve(&order)).await;
    let mut snapshot = f.reads.snapshot().await.unwrap();
    let writer = f.writer.writer;
    assert_eq!(snapshot.orders(None, 10).await.unwrap().len(), 1);
    f.commit(vec![
        place(&crate::sample::order(2)),
        release(&order, ReleaseReason::Cancelled),
        payment(&order, 1, PaymentStatus::Cancelled),
        save(&order, OrderStatus::Cancelled, vec![], vec![]),
    ])
    .await;
    let orders = snapshot.orders(None, 10).await.unwrap();
    assert_eq!(orders.len(), 1);
    assert_eq!((orders[0].stored.status, orders[0].held.len(), &orders[0].payment), (OrderStatus::Pending, 2, &None));
    assert_eq!(snapshot.products().await.unwrap()[0].reserved, 1);
    assert_eq!(snapshot.events(writer, 0, 10).await.unwrap().len(), 2);
    let row = snapshot.writers().await.unwrap().remove(0);
    assert_eq!((row.commits, row.last_seq), (2, 2));
    drop(snapshot);
    assert_eq!(f.reads.snapshot().await.unwrap().orders(None, 10).await.unwrap().len(), 2);
}

fn lines(order: &Order) -> Vec<ReservedLine> {
    order.lines.iter().map(ReservedLine::from).collect()
}

async fn audits(f: &mut Fixture) {
    let [held, released, shipped, bare] = [f.placed(1, 10).await, f.placed(2, 10).await, f.placed(3, 10).await, f.placed(4, 10).await];
    f.commit(vec![
        reserve(&held),
        reserve(&released),
        reserve(&shipped),
        release(&released, ReleaseReason::Cancelled),
        ship(&shipped),
        release(&bare, ReleaseReason::Cancelled),
        payment(&shipped, 1, PaymentStatus::Charged),
        notice(&shipped, NoticeKind::Shipping, Channel::Sms, NoticeStatus::Sent, 1),
        notice(&shipped, NoticeKind::Shipping, Channel::Email, NoticeStatus::Pending, 1),
    ])
    .await;
    let audits = f.reads.snapshot().await.unwrap().orders(None, 10).await.unwrap();
    let seen: Vec<_> = audits.iter().map(|audit| [audit.held.clone(), audit.released.clone(), audit.shipped.clone()]).collect();
    let mut wanted: Vec<[Vec<ReservedLine>; 3]> = vec![Default::default(); 4];
    (wanted[0][0], wanted[1][1], wanted[2][2]) = (lines(&held), lines(&released), lines(&shipped));
    assert_eq!(seen, wanted);
    let OrderAudit { stored, payment, notices, .. } = &audits[2];
    assert_eq!(stored, &f.reads.order(shipped.id).await.unwrap().unwrap());
    assert_eq!(payment, &f.reads.payment(shipped.id).await.unwrap());
    assert_eq!((notices, notices.len()), (&f.reads.notices(shipped.id).await.unwrap(), 2));
    assert_eq!((audits[0].payment.is_none(), audits[0].notices.len()), (true, 0));
    assert!(audits.iter().all(|audit| audit.letters.is_empty()));
    let open = letter(&held, 3, "timeout", 5);
    let [closed, notice] = [letter(&held, 4, "timeout", 5), DeadLetter { kind: DeadLetterKind::Notice, ..letter(&held, 5, "timeout", 5) }];
    f.commit([&open, &closed, &notice, &letter(&shipped, 3, "timeout", 6)].map(|letter| Write::AddLetter(letter.clone())).to_vec()).await;
    let (state, by, at) = (DeadLetterState::Skipped, text("ann"), at(7));
    f.write(Write::CloseLetter(Closing { id: closed.id, state, by, note: None, overrules: None, at })).await;
    let audits = f.reads.snapshot().await.unwrap().orders(None, 10).await.unwrap();
    assert_eq!(audits.iter().map(|audit| audit.letters.len()).collect::<Vec<_>>(), [1, 0, 1, 0]);
    assert_eq!(audits[0].letters, [open]);
}

async fn all(snapshot: &mut dyn Snapshot, limit: u32) -> Vec<u64> {
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = snapshot.orders(after, limit).await.unwrap();
        let Some(last) = page.last() else { return seen };
        assert!(page.len() <= usize::try_from(limit).unwrap());
        after = Some(last.stored.order.id);
        seen.extend(page.iter().map(|audit| audit.stored.order.created_at.ms_since(crate::sample::at(0))));
    }
}

async fn pages(f: &mut Fixture) {
    f.commit((0..25).rev().map(|n| place(&order(n))).collect()).await;
    let mut snapshot = f.reads.snapshot().await.unwrap();
    for limit in [1, 4, 25, 100] {
        assert_eq!(all(snapshot.as_mut(), limit).await, (0..25).collect::<Vec<_>>());
    }
}

async fn orphans(f: &mut Fixture) {
    let known = f.placed(1, 10).await;
    let [a, b, c] = [order(2), order(3), order(4)];
    f.commit(vec![reserve(&known), payment(&known, 1, PaymentStatus::Charged)]).await;
    let mut snapshot = f.reads.snapshot().await.unwrap();
    assert!(snapshot.orphans(10).await.unwrap().is_empty());
    f.commit(vec![
        reserve(&a),
        payment(&b, 1, PaymentStatus::Charged),
        notice(&c, NoticeKind::Failure, Channel::Email, NoticeStatus::Sent, 1),
    ])
    .await;
    let found = f.reads.snapshot().await.unwrap().orphans(100).await.unwrap();
    for order in [a, b, c] {
        assert!(found.iter().any(|row| row.ends_with(&order.id.to_string())), "{found:?}");
    }
    assert!(!found.iter().any(|row| row.contains(&known.id.to_string())), "{found:?}");
    assert_eq!(f.reads.snapshot().await.unwrap().orphans(2).await.unwrap().len(), 2);
    assert_eq!(f.product(product_id(1)).await.reserved, 2, "roles work without the order's row: it may be in another database");
}

async fn gaps(f: &mut Fixture) {
    let shards = shards().all().collect();
    f.write(ordermill::db::Write::TakeShards { roles: ordermill::domain::Role::ALL.to_vec(), shards }).await;
    f.commit((0..25).map(|n| place(&order(n))).collect()).await;
    let mut snapshot = f.reads.snapshot().await.unwrap();
    assert!(snapshot.gaps(f.writer.writer, 10).await.unwrap().is_empty());
    assert_eq!(snapshot.events(f.writer.writer, 0, 100).await.unwrap().len(), 25);
}

async fn verified(f: &mut Fixture) {
    let [paid, shipped] = [f.placed(1, 10).await, f.placed(2, 10).await];
    f.write(ordermill::db::Write::TakeShards { roles: vec![ordermill::domain::Role::Order], shards: vec![shipped.shard] }).await;
    f.commit(vec![
        reserve(&paid),
        payment(&paid, 1, PaymentStatus::Charged),
        reserve(&shipped),
        release(&shipped, ReleaseReason::Cancelled),
    ])
    .await;
    f.write(notice(&paid, NoticeKind::Confirmation, Channel::Sms, NoticeStatus::Sent, 1)).await;
    let options = ordermill::verify::Options { page: 1, ..ordermill::verify::Options::default() };
    let mut snapshot = f.reads.snapshot().await.unwrap();
    let report = ordermill::verify::verify(snapshot.as_mut(), &options).await.unwrap();
    assert!(report.is_sound(), "{report:#?}");
    assert!(report.of(ordermill::verify::Check::LogStates).unwrap().examined == 2);
}
