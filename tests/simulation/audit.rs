//! What must hold, asked of the database, of the outside parties' books, and of what people were answered.

use crate::chaos::Chaos;
use crate::life::{Fleet, pause};
use crate::support::product;
use crate::team;
use crate::workload::{Admitted, Answer, Book, accepted};
use futures_util::FutureExt;
use ordermill::db::{OrderAudit, Reads};
use ordermill::domain::{CorrelationId, NoticeId, OrderId, OrderStatus, Role, Roles};
use ordermill::providers::sandbox::ChargeState;
use ordermill::verify::{Expect, Options, verify};
use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;

/// What must hold at any moment.
pub async fn live(chaos: &Chaos, external: Roles) -> Vec<String> {
    let mut snapshot = chaos.ask(|database| database.snapshot());
    let options = Options { external: external.iter().collect(), ..Options::default() };
    let report = verify(&mut *snapshot, &options).await.expect("memory can be read");
    if report.is_sound() { Vec::new() } else { vec![format!("while alive:\n{report}")] }
}

/// What must hold once everything has come to rest.
pub async fn at_rest(fleet: &Rc<Fleet>, book: &Book) -> Vec<String> {
    let chaos = &fleet.ground.chaos;
    let mut broken = Vec::new();
    let recorded: HashSet<OrderId> = book
        .attempts
        .borrow()
        .iter()
        .filter_map(|attempt| accepted(&attempt.answer))
        .filter(|order| !chaos.failovers().is_gone(*order))
        .collect();
    let external: Vec<Role> = fleet.ground.teams.roles.iter().collect();
    let options = Options { expect: Expect::Settled, recorded: Some(recorded), external, ..Options::default() };
    // The numbers are counted behind the orders.
    for try_number in 0..120 {
        let mut snapshot = chaos.ask(|database| database.snapshot());
        let report = verify(&mut *snapshot, &options).await.expect("memory can be read");
        let positions = chaos.ask(|database| database.analytics_positions());
        let writers = chaos.ask(|database| database.writers());
        let is_published = fleet.ground.broker.as_ref().is_none_or(crate::broker::Broker::is_level);
        let is_counted = writers.iter().all(|row| {
            let counted = positions.iter().find(|(writer, _)| *writer == row.writer).map_or(0, |(_, seq)| *seq);
            counted >= row.last_seq
        });
        // Everything that a node listens to is committed to its end.
        let behind = fleet.behind();
        let is_counted = is_counted && is_published && behind.is_empty();
        if is_counted && report.is_sound() {
            break;
        }
        if is_counted || try_number == 119 {
            let told: Vec<_> = writers.iter().map(|row| (row.writer.0, &row.node, row.alive, row.last_seq)).collect();
            broken.push(format!(
                "at rest, published = {is_published}, counted = {is_counted}, not heard {behind:?}: {told:?} {positions:?}\n{report}"
            ));
            break;
        }
        pause(1000).await;
    }
    let orders = orders(chaos).await;
    if fleet.ground.broker.is_some() {
        broken.extend(fleet.ground.auditor.untold());
    }
    broken.extend(answers(&orders, book, chaos));
    if !fleet.ground.teams.roles.has(Role::Payment) {
        broken.extend(charges(&orders, fleet));
    }
    broken.extend(notices(&orders, fleet));
    broken.extend(supplied(fleet, book));
    broken.extend(team::agree(&fleet.ground.teams, &orders));
    broken
}

/// All orders.
pub async fn orders(chaos: &Chaos) -> Vec<OrderAudit> {
    chaos.ask(|database| database.snapshot()).orders(None, 100_000).await.expect("memory can be read")
}

/// The same, at once.
pub fn orders_now(chaos: &Chaos) -> Vec<OrderAudit> {
    orders(chaos).now_or_never().expect("nothing delays it")
}

fn answers(orders: &[OrderAudit], book: &Book, chaos: &Chaos) -> Vec<String> {
    let is_touched = |order: OrderId| chaos.failovers().is_touched(order);
    let mut broken = Vec::new();
    let mut of_request: BTreeMap<CorrelationId, Vec<OrderId>> = BTreeMap::new();
    for audit in orders {
        of_request.entry(audit.stored.order.correlation).or_default().push(audit.stored.order.id);
    }
    let mut of_key: BTreeMap<u64, HashSet<OrderId>> = BTreeMap::new();
    for attempt in book.attempts.borrow().iter() {
        let own = of_request.get(&attempt.correlation).cloned().unwrap_or_default();
        if own.len() > 1 {
            broken.push(format!("one request, many orders: {attempt:?} {own:?}"));
        }
        match &attempt.answer {
            Answer::Refused if !own.is_empty() => broken.push(format!("refused, but stored: {attempt:?} {own:?}")),
            Answer::Accepted(order) if attempt.key.is_none() && own != [*order] && !is_touched(*order) => {
                broken.push(format!("answered with another order: {attempt:?} {own:?}"));
            }
            Answer::Accepted(_) | Answer::Refused | Answer::Unknown => {}
        }
        if let Some(key) = attempt.key {
            let of_key = of_key.entry(key).or_default();
            of_key.extend(own);
            of_key.extend(accepted(&attempt.answer).filter(|order| !is_touched(*order)));
        }
    }
    broken
        .extend(of_key.iter().filter(|(_, orders)| orders.len() > 1).map(|(key, orders)| format!("one key {key}, many orders {orders:?}")));
    for (order, admitted) in book.admitted.borrow().iter().filter(|(order, _)| !is_touched(*order)) {
        let Some(audit) = orders.iter().find(|audit| audit.stored.order.id == *order) else { continue };
        let facts = &audit.stored.record.facts;
        let is_kept = match admitted {
            Admitted::Cancel => facts.cancel.is_some() && audit.stored.status == OrderStatus::Cancelled,
            Admitted::Ship => facts.shipment.is_some(),
        };
        if !is_kept {
            broken.push(format!("{admitted:?} of {order} was answered as done, but it is {} with {facts:#?}", audit.stored.status.name()));
        }
    }
    broken
}

/// Exactly one successful charge per confirmed or shipped order, of its total; none left on any other.
fn charges(orders: &[OrderAudit], fleet: &Fleet) -> Vec<String> {
    let mut broken = Vec::new();
    let charges = fleet.ground.sandbox.charges();
    for audit in orders {
        let order = &audit.stored.order;
        let kept: Vec<_> = charges.iter().filter(|charge| charge.key.order == order.id && charge.state == ChargeState::Approved).collect();
        let is_right = match audit.stored.status {
            OrderStatus::Confirmed | OrderStatus::Shipped => kept.len() == 1 && kept.iter().all(|charge| charge.amount == order.total),
            OrderStatus::Pending
            | OrderStatus::InventoryReserved
            | OrderStatus::PaymentFailed
            | OrderStatus::Failed
            | OrderStatus::Cancelling
            | OrderStatus::Refunding
            | OrderStatus::Cancelled => kept.is_empty(),
        };
        // `verify --provider` finds what is wrong then.
        if !is_right && !fleet.ground.chaos.failovers().is_paid_unknown(order.id) {
            broken.push(format!("order {} is {} and the provider has {kept:?}", order.id, audit.stored.status.name()));
        }
    }
    broken
}

/// At most one notice per order, kind and channel, bar a crash between sending and recording.
fn notices(orders: &[OrderAudit], fleet: &Fleet) -> Vec<String> {
    let mut sent: BTreeMap<NoticeId, usize> = BTreeMap::new();
    for (id, to) in fleet.ground.sandbox.sent() {
        // What arrives late may have been sent before a crash that it outlives.
        if !to.starts_with("late") && !to.ends_with("0007") {
            *sent.entry(id).or_insert(0) += 1;
        }
    }
    let mut broken = Vec::new();
    for (id, times) in sent {
        let most = fleet.ground.chaos.most_sent(id);
        if times > most {
            let row = orders.iter().flat_map(|audit| &audit.notices).find(|row| row.id() == id);
            broken.push(format!("a notice was sent {times} times, at most {most}: {row:?}"));
        }
    }
    broken
}

/// Stock is neither made nor lost.
fn supplied(fleet: &Fleet, book: &Book) -> Vec<String> {
    let products = fleet.ground.chaos.ask(|database| database.products(None, 1000));
    let mut broken = Vec::new();
    for (number, supplied) in book.supplied.borrow().iter().enumerate() {
        let found = products.iter().find(|found| found.id == product(number as u128));
        if found.is_none_or(|found| found.supplied != *supplied) {
            broken.push(format!("product {number} was supplied {supplied} times: {found:?}"));
        }
    }
    broken
}
