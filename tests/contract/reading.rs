//! Lists and pages.

use crate::Case;
use crate::fixture::Fixture;
use crate::sample::{adjust, at, line, notice, order, order_of, place, product_id, put, reserve, save};
use ordermill::db::{OrderFilter, Scan, Write};
use ordermill::domain::{Channel, NoticeKind, NoticeStatus, Order, OrderId, OrderStatus, Shard, Timestamp};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) const CASES: &[Case] = &[
    ("the number of shards is the same on both sides", |f| Box::pin(shards(f))),
    ("what does not exist is none", |f| Box::pin(nothing(f))),
    ("orders are listed newest first and filtered", |f| Box::pin(listed(f))),
    ("pages of orders are stable while new ones arrive", |f| Box::pin(paged(f))),
    ("a page of orders looks at so many at most, and says where to go on", |f| Box::pin(bounded(f))),
    ("open orders of some shards are paged by id", |f| Box::pin(open_orders(f))),
    ("pending notices of a channel come by the time of their next try", |f| Box::pin(next_notices(f))),
    ("a page of pending notices is full while others send them", |f| Box::pin(whole_pages(f))),
    ("products are paged by id", |f| Box::pin(products(f))),
    ("the scarcest products come first", |f| Box::pin(low_stock(f))),
    ("events are read in order, after a number", |f| Box::pin(events(f))),
];

async fn place_all(f: &mut Fixture, numbers: impl Iterator<Item = u64>) -> Vec<Arc<Order>> {
    let orders: Vec<Arc<Order>> = numbers.map(order).collect();
    f.commit(orders.iter().map(place).collect()).await;
    orders
}

async fn shards(f: &mut Fixture) {
    assert_eq!((f.shards(), f.reads.shards()), (crate::sample::shards(), crate::sample::shards()));
}

async fn nothing(f: &mut Fixture) {
    let order = order(1);
    assert_eq!(f.reads.order(order.id).await.unwrap(), None);
    assert_eq!(f.reads.payment(order.id).await.unwrap(), None);
    assert!(f.reads.notices(order.id).await.unwrap().is_empty());
    assert_eq!(f.reads.product(product_id(1)).await.unwrap(), None);
    assert!(f.reads.letter_groups().await.unwrap().is_empty());
    assert!(f.reads.audit("x".to_owned()).await.unwrap().is_empty());
    assert!(f.log().await.is_empty());
    assert!(f.reads.analytics_positions().await.unwrap().is_empty());
}

async fn list(f: &Fixture, filter: OrderFilter) -> Vec<OrderId> {
    f.reads.orders(OrderFilter { limit: 100, ..filter }).await.unwrap().rows.into_iter().map(|row| row.id).collect()
}

async fn listed(f: &mut Fixture) {
    let orders = place_all(f, [2, 0, 5, 1, 4, 3].into_iter()).await;
    f.write(save(&orders[0], OrderStatus::Confirmed, vec![], vec![])).await;
    let id = |n| order(n).id;
    let all = OrderFilter::default();
    assert_eq!(list(f, all).await, [5, 4, 3, 2, 1, 0].map(id));
    assert_eq!(list(f, OrderFilter { customer: Some(order(1).customer), ..all }).await, [4, 1].map(id));
    assert_eq!(list(f, OrderFilter { status: Some(OrderStatus::Confirmed), ..all }).await, [id(2)]);
    assert_eq!(list(f, OrderFilter { from: Some(at(2)), to: Some(at(4)), ..all }).await, [3, 2].map(id), "from is taken, to is not");
    assert_eq!(list(f, OrderFilter { before: Some(id(2)), ..all }).await, [1, 0].map(id));
    let both = OrderFilter { customer: Some(order(2).customer), status: Some(OrderStatus::Pending), ..all };
    assert_eq!(list(f, both).await, [id(5)]);
    let row = f.reads.orders(OrderFilter { limit: 4, ..all }).await.unwrap().rows.pop().unwrap();
    assert_eq!((row.id, row.status, row.total, row.customer), (id(2), OrderStatus::Confirmed, orders[0].total, orders[0].customer));
    assert_eq!((row.created_at, row.updated_at), (at(2), at(500)));
}

async fn paged(f: &mut Fixture) {
    place_all(f, 0..50).await;
    let mut seen = Vec::new();
    let mut before = None;
    for round in 0.. {
        let page = f.reads.orders(OrderFilter { before, limit: 7, ..OrderFilter::default() }).await.unwrap();
        seen.extend(page.rows.into_iter().map(|row| row.id));
        before = page.next;
        if before.is_none() {
            break;
        }
        f.write(place(&order(1000 + round))).await;
    }
    assert_eq!(seen, (0..50).rev().map(|n| order(n).id).collect::<Vec<_>>());
}

/// The one order of its status is the oldest of all: whoever looks for it finds it, some rows at a time.
async fn bounded(f: &mut Fixture) {
    let orders = place_all(f, 0..50).await;
    let confirmed = save(&orders[0], OrderStatus::Confirmed, vec![], vec![]);
    let cancelled = [3, 4, 31].map(|n: usize| save(&orders[n], OrderStatus::Cancelled, vec![], vec![]));
    f.commit([vec![confirmed], cancelled.into()].concat()).await;
    let all = OrderFilter::default();
    let rare = OrderFilter { status: Some(OrderStatus::Confirmed), scan: Scan(10), limit: 5, ..all };
    let first = f.reads.orders(rare).await.unwrap();
    assert_eq!((first.rows, first.next), (vec![], Some(order(40).id)), "ten were looked at");
    let last = f.reads.orders(OrderFilter { before: Some(order(5).id), ..rare }).await.unwrap();
    assert_eq!((last.rows.len(), last.next), (1, None));

    let customer = Some(order(1).customer);
    let filters = [
        all,
        rare,
        OrderFilter { customer, ..all },
        OrderFilter { customer, status: Some(OrderStatus::Cancelled), ..all },
        OrderFilter { status: Some(OrderStatus::Cancelled), ..all },
        OrderFilter { status: Some(OrderStatus::Pending), to: Some(at(20)), ..all },
        OrderFilter { status: Some(OrderStatus::Refunding), ..all },
    ];
    for filter in filters {
        let wanted = list(f, OrderFilter { scan: Scan(100), ..filter }).await;
        for (scan, limit) in [(1, 1), (1, 7), (3, 2), (7, 7), (49, 3), (50, 50), (51, 50)] {
            let mut asked = OrderFilter { scan: Scan(scan), limit, ..filter };
            let mut seen = Vec::new();
            for round in 0.. {
                assert!(round <= 51, "{asked:?} comes to no end");
                let page = f.reads.orders(asked).await.unwrap();
                assert!(page.rows.len() <= limit as usize, "{asked:?}");
                seen.extend(page.rows.into_iter().map(|row| row.id));
                asked.before = page.next;
                if page.next.is_none() {
                    break;
                }
            }
            assert_eq!(seen, wanted, "{asked:?}");
        }
    }
}

async fn open_orders(f: &mut Fixture) {
    let orders = place_all(f, 0..200).await;
    let settled = orders.iter().step_by(3).map(|order| save(order, OrderStatus::Cancelled, vec![], vec![]));
    f.commit(settled.collect()).await;
    let shards: Vec<Shard> = vec![Shard(1), Shard(7), Shard(8), Shard(23)];
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = f.reads.open_orders(shards.clone(), after, 5).await.unwrap();
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 5);
        after = Some(last.order.id);
        seen.extend(page);
    }
    let open = orders.iter().enumerate().filter(|(n, order)| n % 3 != 0 && shards.contains(&order.shard));
    let wanted: Vec<OrderId> = open.map(|(_, order)| order.id).collect();
    assert!(wanted.len() > 10);
    assert_eq!(seen.iter().map(|stored| stored.order.id).collect::<Vec<_>>(), wanted);
    assert!(seen.iter().all(|stored| stored.open && !stored.record.history.is_empty()));
    assert!(f.reads.open_orders(Vec::new(), None, 5).await.unwrap().is_empty());
}

/// Each channel for itself: those first whose next try is due first.
async fn next_notices(f: &mut Fixture) {
    let orders = place_all(f, 0..60).await;
    let mut writes = Vec::new();
    for (number, order) in orders.iter().enumerate() {
        let due = |channel| {
            let mut write = notice(order, NoticeKind::Confirmation, channel, NoticeStatus::Pending, 0);
            if let Write::SaveNotice { task, .. } = &mut write {
                task.next_try_at = Some(Timestamp((60 - number as i64) * 1_000));
            }
            write
        };
        writes.push(due(Channel::Email));
        if number % 2 == 0 {
            writes.push(due(Channel::Sms));
        }
        writes.push(notice(order, NoticeKind::Shipping, Channel::Email, NoticeStatus::Sent, 1));
    }
    f.commit(writes).await;
    let shards: Vec<Shard> = (0..12).map(Shard).collect();
    for channel in Channel::ALL {
        let here = orders.iter().enumerate().filter(|(_, order)| shards.contains(&order.shard)).rev();
        let wanted: Vec<OrderId> =
            here.filter(|(number, _)| channel == Channel::Email || number % 2 == 0).map(|(_, order)| order.id).collect();
        for limit in [1, 3, 1000] {
            let page = f.reads.next_notices(shards.clone(), channel, limit).await.unwrap();
            assert!(page.iter().all(|task| task.channel == channel && task.kind == NoticeKind::Confirmation));
            let page: Vec<OrderId> = page.iter().map(|task| task.order).collect();
            let wanted: Vec<OrderId> = wanted.iter().copied().take(limit as usize).collect();
            assert_eq!(page, wanted, "{channel:?}, limit {limit}");
        }
    }
    let among = f.reads.notices_among(vec![orders[0].id, orders[1].id]).await.unwrap();
    assert_eq!(among.len(), 5);
}

/// A page that is short means that there are no more, whatever is sent while it is read.
async fn whole_pages(f: &mut Fixture) {
    const PAGE: u32 = 100;
    let orders = place_all(f, 0..400).await;
    let save = |order: &Arc<Order>, status| notice(order, NoticeKind::Confirmation, Channel::Email, status, 1);
    f.commit(orders.iter().map(|order| save(order, NoticeStatus::Pending)).collect()).await;
    let shards: Vec<Shard> = f.shards().all().collect();
    let is_sending = Arc::new(AtomicBool::new(true));
    let (begun, begins) = tokio::sync::oneshot::channel();
    let reading = tokio::spawn({
        let (reads, is_sending) = (f.reads.clone(), is_sending.clone());
        async move {
            let mut sizes = BTreeSet::new();
            let mut begun = Some(begun);
            while is_sending.load(Ordering::Relaxed) {
                sizes.insert(reads.next_notices(shards.clone(), Channel::Email, PAGE).await.unwrap().len());
                if let Some(begun) = begun.take() {
                    begun.send(()).unwrap();
                }
            }
            sizes
        }
    });
    // On a busy machine the reader may not get its turn before everything is sent.
    begins.await.unwrap();
    let first = f.reads.next_notices(f.shards().all().collect(), Channel::Email, 300).await.unwrap();
    for task in first {
        let order = orders.iter().find(|order| order.id == task.order).unwrap();
        f.commit(vec![save(order, NoticeStatus::Sent)]).await;
        tokio::task::yield_now().await;
    }
    is_sending.store(false, Ordering::Relaxed);
    assert_eq!(reading.await.unwrap(), BTreeSet::from([PAGE as usize]));
}

async fn products(f: &mut Fixture) {
    f.commit([5, 1, 9, 3, 7].map(|n| put(product_id(n), 1)).into()).await;
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = f.reads.products(after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        seen.extend(page.into_iter().map(|product| product.id));
        f.write(adjust(product_id(1), 1)).await;
    }
    assert_eq!(seen, [1, 3, 5, 7, 9].map(product_id));
}

async fn low_stock(f: &mut Fixture) {
    f.commit([(1, 5), (2, 0), (3, 4), (4, 100), (5, 5)].map(|(n, available)| put(product_id(n), available)).into()).await;
    let low = f.reads.low_stock(5, 10).await.unwrap();
    assert_eq!(low.iter().map(|product| product.available).collect::<Vec<_>>(), [0, 4, 5, 5]);
    assert_eq!(f.reads.low_stock(5, 2).await.unwrap().len(), 2);
    let order = order_of(1, vec![line(4, 97)]);
    f.commit(vec![place(&order), reserve(&order)]).await;
    assert_eq!(f.reads.low_stock(5, 10).await.unwrap()[1].id, product_id(4), "what is held is not available");
}

async fn events(f: &mut Fixture) {
    place_all(f, 0..10).await;
    f.write(Write::TakeShards { roles: vec![ordermill::domain::Role::Order], shards: vec![Shard(0)] }).await;
    place_all(f, 10..15).await;
    let writer = f.writer.writer;
    let mut seen = Vec::new();
    let mut after = 0;
    loop {
        let page = f.reads.events(writer, after, 4).await.unwrap();
        let Some(last) = page.last() else { break };
        after = last.seq;
        seen.extend(page.into_iter().map(|logged| (logged.seq, logged.event.order)));
    }
    let numbers = (1..=10).chain(12..=16);
    assert_eq!(seen, numbers.zip((0..15).map(|n| order(n).id)).collect::<Vec<_>>());
    assert!(f.reads.events(ordermill::domain::WriterId(writer.0 + 50), 0, 4).await.unwrap().is_empty());
}
