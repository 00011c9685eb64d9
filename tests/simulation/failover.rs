//! A failover that loses commits: a standby that has got nothing for a while takes over. Says what is lost, holds what the nodes say
//! against it, and forgives what nobody could know.

use crate::chance::Chance;
use crate::chaos::{Chaos, Cut};
use crate::life::{Fleet, pause};
use crate::workload::{Book, accepted};
use ordermill::db::{OrderAudit, Reads};
use ordermill::domain::{NoticeId, NoticeStatus, OrderId, WriterId};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

/// A life of a node: its node, and the how manieth it is.
type LifeId = (usize, u64);

/// What is known of all failovers.
#[derive(Default)]
pub struct Failovers {
    pub promotions: u64,
    /// Orders that were stored, and are not any more.
    gone: BTreeSet<OrderId>,
    /// Orders of which something was lost.
    touched: BTreeSet<OrderId>,
    /// Orders of whose payment something was lost: only the provider's books tell what it has.
    paid: BTreeSet<OrderId>,
    /// Whose life each writer is of, and whose writer each order was placed by.
    lives: BTreeMap<WriterId, LifeId>,
    placed: BTreeMap<OrderId, WriterId>,
    /// Lives that have ended because they found the database older than it was.
    noticed: BTreeSet<LifeId>,
}

impl Failovers {
    pub fn writes(&mut self, writer: WriterId, life: LifeId) {
        self.lives.entry(writer).or_insert(life);
    }

    pub fn placed(&mut self, order: OrderId, writer: WriterId) {
        self.placed.insert(order, writer);
    }

    pub fn noticed(&mut self, life: LifeId) {
        self.noticed.insert(life);
    }

    /// Whether it was there, and was not after a failover.
    pub fn is_gone(&self, order: OrderId) -> bool {
        self.gone.contains(&order)
    }

    /// Whether something of its payment is lost.
    pub fn is_paid_unknown(&self, order: OrderId) -> bool {
        self.paid.contains(&order)
    }

    /// Whether what was answered about the order may be lost.
    pub fn is_touched(&self, order: OrderId) -> bool {
        self.touched.contains(&order) || self.gone.contains(&order)
    }
}

/// Orders that the nodes have named as lost; clones share them.
#[derive(Clone, Default)]
pub struct Named(pub Arc<Mutex<BTreeSet<OrderId>>>);

/// Whether that number of the writer's log was lost.
pub fn is_lost(chaos: &Chaos, writer: WriterId, seq: i64) -> bool {
    chaos.failovers().promotions > 0
        && !chaos.ask(|database| database.writers()).iter().any(|row| row.writer == writer && row.last_seq >= seq)
}

/// Loses the last commits once or twice.
pub async fn play(fleet: Rc<Fleet>, seed: u64, span_ms: u64) {
    let mut chance = Chance::new(seed, 8);
    let (chaos, database) = (&fleet.ground.chaos, &fleet.ground.database);
    for _ in 0..1 + chance.below(2) {
        pause(1 + chance.below(span_ms * 2 / 5)).await;
        let standby = database.standby();
        chaos.tell(|| "the standby gets nothing more".to_owned());
        pause(chance.pick(&[5, 50, 300, 3000]) * (1 + chance.below(4))).await;
        // The primary is away for a while, and then another is there.
        let (how, ms) = (chance.pick(&[Cut::Fails, Cut::Hangs]), 2 + chance.below(6000));
        fleet.nodes.iter().for_each(|node| chaos.cut(node.index, ms, how));
        pause(ms / 2).await;
        if !chaos.rages() {
            return;
        }
        let before = Image::of(chaos);
        database.promote(standby);
        lost(&fleet, &before);
    }
}

/// What is compared of two states of the database.
struct Image {
    orders: BTreeMap<OrderId, String>,
    payments: BTreeMap<OrderId, String>,
    sent: BTreeSet<NoticeId>,
}

impl Image {
    fn of(chaos: &Chaos) -> Self {
        let orders: Vec<OrderAudit> = crate::audit::orders_now(chaos);
        let notices = orders.iter().flat_map(|audit| &audit.notices);
        let sent = notices.filter(|row| row.status == NoticeStatus::Sent).map(|row| row.id()).collect();
        let payments = orders.iter().map(|audit| (audit.stored.order.id, format!("{:?}", audit.payment))).collect();
        Self { payments, orders: orders.iter().map(|audit| (audit.stored.order.id, format!("{audit:?}"))).collect(), sent }
    }
}

fn lost(fleet: &Fleet, before: &Image) {
    let chaos = &fleet.ground.chaos;
    let after = Image::of(chaos);
    let gone: BTreeSet<OrderId> = before.orders.keys().filter(|order| !after.orders.contains_key(order)).copied().collect();
    let touched: BTreeSet<OrderId> =
        before.orders.iter().filter(|(order, was)| after.orders.get(order) != Some(was)).map(|(order, _)| *order).collect();
    chaos.tell(|| format!("the standby takes over: {} orders are lost, of {} something: {gone:?} {touched:?}", gone.len(), touched.len()));
    before.sent.difference(&after.sent).for_each(|notice| chaos.forgive(*notice));
    {
        let mut failovers = chaos.failovers();
        failovers.promotions += 1;
        failovers.gone.extend(gone);
        failovers.touched.extend(touched);
        let differs = |(order, was): &(&OrderId, &String)| after.payments.get(order) != Some(was);
        failovers.paid.extend(before.payments.iter().filter(differs).map(|(order, _)| *order));
    }
    chaos.lock().counts.promotions += 1;
    fleet.ground.auditor.promoted(chaos);
}

/// What was answered and is gone was named by the node that had answered it, unless that died before it could know; and nothing else.
pub fn named(fleet: &Fleet, book: &Book, orders: &[OrderAudit], named: &Named) -> Vec<String> {
    let chaos = &fleet.ground.chaos;
    let there: BTreeSet<OrderId> = orders.iter().map(|audit| audit.stored.order.id).collect();
    let named = named.0.lock().unwrap().clone();
    let failovers = chaos.failovers();
    let mut broken = Vec::new();
    let mut unknowable = 0;
    for order in book.attempts.borrow().iter().filter_map(|attempt| accepted(&attempt.answer)).collect::<BTreeSet<_>>() {
        if there.contains(&order) || named.contains(&order) {
            continue;
        }
        let life = failovers.placed.get(&order).and_then(|writer| failovers.lives.get(writer));
        if !failovers.gone.contains(&order) {
            broken.push(format!("order {order} was answered, no failover has lost it, and it is not there"));
        } else if life.is_none_or(|life| failovers.noticed.contains(life)) {
            broken.push(format!("order {order} was answered and is lost, and its node {life:?} has not named it"));
        } else if life.is_some_and(|(node, life)| fleet.nodes[*node].is_up() && chaos.life(*node) == *life) {
            broken.push(format!("order {order} was answered and is lost, and its node {life:?} goes on"));
        } else {
            unknowable += 1;
        }
    }
    for order in &named {
        if there.contains(order) || !failovers.gone.contains(order) {
            broken.push(format!("order {order} was named as lost, and is not"));
        }
    }
    drop(failovers);
    let mut state = chaos.lock();
    state.counts.named += named.len() as u64;
    state.counts.unknowable += unknowable;
    broken
}
