//! The stock keeper's writes: each step has one outcome, kept in the order's [`StockRow`].

use super::apply::Transaction;
use super::tables::{StockLines, StockRow, Tables};
use crate::db::{Answer, IdempotencyKey, KeptAnswer, Outcome, ProductWrite, StockStep, Undo};
use crate::domain::{Event, EventBody, Order, Pricing, Product, ProductId, ReserveDecision, ReservedLine, StockError, Timestamp, reserve};
use std::collections::BTreeMap;

pub(super) fn reserve_order(transaction: &mut Transaction<'_>, order: &Order, pricing: Pricing, at: Timestamp) -> Outcome {
    let tables = &mut *transaction.tables;
    let row = tables.stock.entry(order.id).or_default();
    if let Some(answer) = row.reserved.as_ref().or(row.released.as_ref()) {
        return Outcome::Repeated(vec![answer.clone()]);
    }
    let mut touched: BTreeMap<ProductId, Product> = BTreeMap::new();
    for line in &order.lines {
        if let Some(product) = tables.products.get(&line.product) {
            touched.insert(line.product, product.clone());
        }
    }
    let body = match reserve(&mut touched, &order.lines, pricing) {
        ReserveDecision::Insufficient(shortages) => EventBody::InventoryInsufficient { shortages },
        ReserveDecision::Reserved => {
            let lines: Vec<ReservedLine> = order.lines.iter().map(ReservedLine::from).collect();
            tables.products.append(&mut touched);
            row.lines.clone_from(&lines);
            row.state = StockLines::Held;
            EventBody::InventoryReserved { lines }
        }
    };
    let event = Event::of(order, at, body);
    row.reserved = Some(event.clone());
    // The goods left before their reservation was recorded: what is held now is out of the house already.
    if row.shipped.is_some() {
        move_lines(tables, order.id, StockLines::Shipped, Product::ship);
    }
    transaction.log(event);
    Outcome::Done
}

pub(super) fn release(transaction: &mut Transaction<'_>, step: &StockStep, undo: Undo) -> Outcome {
    let is_forgotten = transaction.tables.forgets_releases;
    let row = transaction.tables.stock.entry(step.order).or_default();
    if is_forgotten && row.released.take().is_some() && row.state == StockLines::Released {
        row.state = StockLines::Held;
    }
    if let Some(answer) = row.released.as_ref().or(row.shipped.as_ref()) {
        return Outcome::Repeated(vec![answer.clone()]);
    }
    if row.kept && undo == Undo::PaymentFailed {
        return Outcome::Repeated(Vec::new());
    }
    let lines = held(row);
    let event = event_of(step, EventBody::InventoryReleased { lines });
    row.released = Some(event.clone());
    move_lines(transaction.tables, step.order, StockLines::Released, Product::release);
    transaction.log(event);
    Outcome::Done
}

pub(super) fn hold(transaction: &mut Transaction<'_>, step: &StockStep) -> Outcome {
    let row = transaction.tables.stock.entry(step.order).or_default();
    if std::mem::replace(&mut row.kept, true) { Outcome::Repeated(Vec::new()) } else { Outcome::Done }
}

pub(super) fn ship(transaction: &mut Transaction<'_>, step: &StockStep) -> Outcome {
    let row = transaction.tables.stock.entry(step.order).or_default();
    if let Some(answer) = &row.shipped {
        return Outcome::Repeated(vec![answer.clone()]);
    }
    let lines = held(row);
    let event = event_of(step, EventBody::InventoryShipped { lines });
    row.shipped = Some(event.clone());
    move_lines(transaction.tables, step.order, StockLines::Shipped, Product::ship);
    transaction.log(event);
    Outcome::Done
}

pub(super) fn change_product(transaction: &mut Transaction<'_>, write: &ProductWrite) -> Outcome {
    if let Some(answered) = write.key.as_ref().and_then(|key| answered(transaction, key, write.at)) {
        return answered;
    }
    let stored = transaction.tables.products.get(&write.id);
    if !write.condition.admits(stored.map(Product::revision)) {
        return Outcome::Stock(StockError::Stale);
    }
    let product = match write.change.apply(write.id, stored) {
        Ok(product) => product,
        Err(error) => return Outcome::Stock(error),
    };
    let audit = write.audit(stored, &product);
    transaction.tables.audit.extend(audit);
    transaction.tables.products.insert(write.id, product.clone());
    if let Some(key) = &write.key {
        keep_answer(transaction, key, Answer::Product(product.clone()));
    }
    Outcome::Product(product)
}

/// What a request of this key was answered; none where it is the first.
pub(super) fn answered(transaction: &Transaction<'_>, key: &IdempotencyKey, at: Timestamp) -> Option<Outcome> {
    let kept = transaction.tables.answers.get(&key.key).filter(|kept| kept.expires_at > at)?;
    Some(Outcome::Answered { answer: kept.answer.clone(), same_body: kept.body == key.body })
}

pub(super) fn keep_answer(transaction: &mut Transaction<'_>, key: &IdempotencyKey, answer: Answer) {
    let kept = KeptAnswer { body: key.body.to_vec(), answer, expires_at: key.expires_at };
    transaction.tables.answers.insert(key.key, kept);
}

fn held(row: &StockRow) -> Vec<ReservedLine> {
    match row.state {
        StockLines::Held => row.lines.clone(),
        StockLines::None | StockLines::Released | StockLines::Shipped => Vec::new(),
    }
}

/// Moves an order's held lines on, in its row and in the sums of its products.
fn move_lines(tables: &mut Tables, order: crate::domain::OrderId, to: StockLines, with: fn(&mut Product, i32)) {
    let Some(row) = tables.stock.get_mut(&order).filter(|row| row.state == StockLines::Held) else { return };
    row.state = to;
    for line in &row.lines {
        if let Some(product) = tables.products.get_mut(&line.product) {
            with(product, i32::try_from(line.quantity.get()).unwrap_or(i32::MAX));
        }
    }
}

fn event_of(step: &StockStep, body: EventBody) -> Event {
    Event { order: step.order, shard: step.shard, correlation: step.correlation, at: step.at, body }
}
