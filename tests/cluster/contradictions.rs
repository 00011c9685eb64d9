//! A role of another team contradicts itself. The first answer is the fact: what comes after it moves nobody, and is one dead letter.

use crate::external::act;
use crate::member::{Cluster, Member};
use crate::support::{line, product, put_product, run, stored, until};
use futures_util::future::join_all;
use ordermill::actors::DeadLetterAction;
use ordermill::db::{DeadLetterFilter, Reads};
use ordermill::domain::{
    Channel, DeadLetter, DeadLetterState, Event, EventBody, Money, NoticeKind, Order, OrderId, OrderStatus, Quantity, ReservedLine, Role,
    Roles, Shortage, Text,
};
use ordermill::saga::external::CONTRADICTION;
use std::rc::Rc;
use std::sync::Arc;

#[derive(Clone, Copy, Debug)]
enum Say {
    Paid,
    /// Less than the total; said only after the total was.
    PaidOther,
    Failed,
    Cancelled,
    Refunded,
    Reserved,
    /// Fewer than were ordered; said only after all were.
    ReservedOther,
    Insufficient,
    Released,
    Shipped,
    Sent,
    GivenUp,
}

/// One answer, the next, where the order ends, and how many of both contradict.
type Row = (Say, Say, OrderStatus, usize);

use OrderStatus::{Cancelled, Confirmed, Failed as Unpaid, Pending};

const PAYMENT: &[Row] = &[
    (Say::Paid, Say::Paid, Confirmed, 0),
    (Say::Paid, Say::PaidOther, Confirmed, 1),
    (Say::Paid, Say::Failed, Confirmed, 1),
    (Say::Paid, Say::Cancelled, Confirmed, 1),
    (Say::Paid, Say::Refunded, Confirmed, 1),
    (Say::Failed, Say::Failed, Unpaid, 0),
    (Say::Failed, Say::Paid, Unpaid, 1),
    (Say::Failed, Say::Cancelled, Unpaid, 1),
    (Say::Failed, Say::Refunded, Unpaid, 1),
    (Say::Cancelled, Say::Paid, Unpaid, 1),
    (Say::Cancelled, Say::Failed, Unpaid, 1),
    (Say::Cancelled, Say::Refunded, Unpaid, 1),
    (Say::Refunded, Say::Paid, Confirmed, 1),
    (Say::Refunded, Say::Failed, Unpaid, 1),
    (Say::Refunded, Say::Cancelled, Unpaid, 1),
];

const INVENTORY: &[Row] = &[
    (Say::Reserved, Say::Reserved, Confirmed, 0),
    (Say::Reserved, Say::ReservedOther, Confirmed, 1),
    (Say::Reserved, Say::Insufficient, Confirmed, 1),
    (Say::Reserved, Say::Released, Confirmed, 1),
    (Say::Insufficient, Say::Insufficient, Cancelled, 0),
    (Say::Insufficient, Say::Reserved, Cancelled, 1),
    (Say::Insufficient, Say::Shipped, Cancelled, 1),
    // Both say that nothing is held.
    (Say::Insufficient, Say::Released, Cancelled, 0),
    (Say::Released, Say::Insufficient, Cancelled, 0),
    (Say::Released, Say::Reserved, Confirmed, 1),
    (Say::Released, Say::Shipped, Pending, 1),
    (Say::Shipped, Say::Insufficient, Cancelled, 1),
    (Say::Shipped, Say::Released, Pending, 1),
];

const NOTIFICATION: &[Row] = &[
    (Say::Sent, Say::Sent, Confirmed, 0),
    (Say::Sent, Say::GivenUp, Confirmed, 1),
    (Say::GivenUp, Say::GivenUp, Confirmed, 0),
    (Say::GivenUp, Say::Sent, Confirmed, 1),
];

/// How the two answers come.
#[derive(Clone, Copy, Debug)]
enum Way {
    InTurn,
    Repeated,
    AtOnce,
}

fn body(say: Say, order: &Order) -> EventBody {
    let lines: Vec<ReservedLine> = order.lines.iter().map(ReservedLine::from).collect();
    let (kind, channel) = (NoticeKind::Confirmation, Channel::Email);
    match say {
        Say::Paid => EventBody::PaymentProcessed { amount: order.total, method: Text::lossy("theirs") },
        Say::PaidOther => EventBody::PaymentProcessed { amount: Money::from_minor(1).unwrap(), method: Text::lossy("theirs") },
        Say::Failed => EventBody::PaymentFailed { reason: Text::lossy("first card declined") },
        Say::Cancelled => EventBody::PaymentCancelled,
        Say::Refunded => EventBody::PaymentRefunded { amount: order.total },
        Say::Reserved => EventBody::InventoryReserved { lines },
        Say::ReservedOther => {
            EventBody::InventoryReserved { lines: vec![ReservedLine { product: product(1), quantity: Quantity::new(1).unwrap() }] }
        }
        Say::Insufficient => EventBody::InventoryInsufficient { shortages: vec![Shortage::UnknownProduct { product: product(1) }] },
        Say::Released => EventBody::InventoryReleased { lines },
        Say::Shipped => EventBody::InventoryShipped { lines },
        Say::Sent => EventBody::NotificationSent { kind, channel },
        Say::GivenUp => EventBody::NotificationFailed { kind, channel, attempt: 4, last: true, reason: Text::lossy("refused") },
    }
}

struct Shop {
    cluster: Rc<Cluster>,
    orders: Rc<Member>,
    external: Role,
}

impl Shop {
    async fn open(seed: u64, external: Role, is_split: bool) -> Self {
        let cluster = Cluster::with(seed, |settings| settings.external_roles = Roles::default().with(external));
        let ours: Vec<Role> = Role::ALL.into_iter().filter(|role| *role != external).collect();
        let orders = if is_split {
            let orders = cluster.start("orders", &[Role::Order, Role::Analytics]).await;
            for role in ours.iter().filter(|role| !matches!(role, Role::Order | Role::Analytics)) {
                cluster.start(role.name(), &[*role]).await;
            }
            orders
        } else {
            cluster.start("ours", &ours).await
        };
        until("the shards are somebody's", || async {
            let owned = |role| cluster.members().iter().map(|member| member.owns(role)).sum::<usize>();
            ours.iter().all(|role| owned(*role) == 24)
        })
        .await;
        put_product(&orders.handle, 1, 1000, 1000).await;
        Self { cluster, orders, external }
    }

    fn say(&self, order: &Arc<Order>, say: Say) {
        self.cluster.say(Event::of(order, ordermill::actors::World::now(&*self.cluster.world.world), body(say, order)));
    }

    async fn letters(&self, order: OrderId) -> Vec<DeadLetter> {
        self.cluster
            .world
            .database
            .letters(DeadLetterFilter { order: Some(order), limit: 100, ..DeadLetterFilter::default() })
            .await
            .unwrap()
            .rows
    }

    async fn play(&self, (first, second, end, contradictions): Row, way: Way) {
        let what = format!("{first:?}, {second:?}, {way:?}, {}", self.external.name());
        let id = self.orders.place(vec![line(1, 2, 1000)]).await.unwrap().unwrap();
        let order = stored(&self.orders.handle, id).await.order;
        // It waits for the answer of this role.
        until(&format!("it waits: {what}"), || async {
            let status = stored(&self.orders.handle, id).await.status;
            status
                == match self.external {
                    Role::Payment => OrderStatus::InventoryReserved,
                    Role::Notification => OrderStatus::Confirmed,
                    Role::Order | Role::Inventory | Role::Analytics => OrderStatus::Pending,
                }
        })
        .await;
        let pause = || tokio::time::sleep(std::time::Duration::from_secs(60));
        self.say(&order, first);
        match way {
            Way::AtOnce => {}
            Way::InTurn => pause().await,
            Way::Repeated => {
                self.say(&order, first);
                pause().await;
                for again in [second, first, second] {
                    self.say(&order, again);
                }
                pause().await;
            }
        }
        self.say(&order, second);
        pause().await;
        let seen = stored(&self.orders.handle, id).await;
        assert_eq!(seen.status, end, "{what}: {:#?}", seen.record);
        assert_eq!(seen.open, end == Pending, "{what}: {:#?}", seen.record);
        let letters = self.letters(id).await;
        let causes: Vec<&str> = letters.iter().map(|letter| letter.cause.as_str()).collect();
        assert_eq!(causes, vec![CONTRADICTION; contradictions], "{what}: {letters:#?}");
        self.holds(id, end, &what).await;
    }

    /// No role was moved by what the order did not accept.
    async fn holds(&self, id: OrderId, end: OrderStatus, what: &str) {
        let database = &self.cluster.world.database;
        if self.external != Role::Notification {
            let told: Vec<NoticeKind> = database.notices(id).await.unwrap().iter().map(|notice| notice.kind).collect();
            let wanted: &[NoticeKind] = match end {
                Confirmed => &[NoticeKind::Confirmation],
                Unpaid => &[NoticeKind::Failure],
                Cancelled => &[NoticeKind::Unavailable],
                OrderStatus::InventoryReserved
                | OrderStatus::Shipped
                | OrderStatus::PaymentFailed
                | OrderStatus::Cancelling
                | OrderStatus::Refunding
                | Pending => &[],
            };
            assert_eq!(told, wanted, "{what}");
        }
        if self.external == Role::Inventory {
            let is_charged = database.payment(id).await.unwrap().is_some();
            assert_eq!(is_charged, end == Confirmed, "{what}");
        }
    }

    async fn reserved(&self) -> i32 {
        self.orders.handle.reads().product(product(1)).await.unwrap().unwrap().reserved
    }
}

fn every_pair(seed: u64, external: Role, rows: &'static [Row], is_split: bool) {
    run(move || async move {
        let shop = Shop::open(seed, external, is_split).await;
        for way in [Way::InTurn, Way::Repeated, Way::AtOnce] {
            join_all(rows.iter().map(|row| shop.play(*row, way))).await;
        }
        let confirmed = rows.iter().filter(|row| row.2 == Confirmed).count() * 3;
        if external != Role::Inventory {
            assert_eq!(shop.reserved().await, i32::try_from(confirmed * 2).unwrap(), "what is sold is held");
        }
        if external != Role::Inventory {
            shop.cluster.settles().await;
        }
    });
}

#[test]
fn every_pair_of_contradicting_payments_on_one_node() {
    every_pair(31, Role::Payment, PAYMENT, false);
}

#[test]
fn every_pair_of_contradicting_payments_across_nodes() {
    every_pair(32, Role::Payment, PAYMENT, true);
}

#[test]
fn every_pair_of_contradicting_reservations_on_one_node() {
    every_pair(33, Role::Inventory, INVENTORY, false);
}

#[test]
fn every_pair_of_contradicting_reservations_across_nodes() {
    every_pair(34, Role::Inventory, INVENTORY, true);
}

#[test]
fn every_pair_of_contradicting_notices_on_one_node() {
    every_pair(35, Role::Notification, NOTIFICATION, false);
}

#[test]
fn every_pair_of_contradicting_notices_across_nodes() {
    every_pair(36, Role::Notification, NOTIFICATION, true);
}

/// Repeats come for as long as that team's topic is read again.
#[test]
fn a_contradiction_that_a_person_has_seen_to_is_not_told_again() {
    run(|| async {
        let shop = Shop::open(37, Role::Payment, false).await;
        let id = shop.orders.place(vec![line(1, 2, 1000)]).await.unwrap().unwrap();
        let order = stored(&shop.orders.handle, id).await.order;
        shop.say(&order, Say::Paid);
        shop.say(&order, Say::Failed);
        until("there is a letter", || async { !shop.letters(id).await.is_empty() }).await;
        let letter = shop.letters(id).await.remove(0);
        assert!(act(&shop.orders, &letter, DeadLetterAction::Discard).await);
        shop.say(&order, Say::Failed);
        shop.say(&order, Say::Cancelled);
        until("another one is told", || async { shop.letters(id).await.len() == 2 }).await;
        let open = shop.letters(id).await.into_iter().filter(|letter| letter.state == DeadLetterState::Open);
        assert_eq!(open.map(|letter| letter.step.to_string()).collect::<Vec<_>>(), ["PaymentCancelled"]);
    });
}
