//! One batch: what is stored of it is looked up, a [`Plan`] decides as for every store, and what it says is put into the tables. What
//! can be refused is refused by [`check`] before anything is written.

use super::selects::of_order;
use super::tables::{Entry, KeyRow, NoticeRow, Tables};
use crate::db::error::StoreError;
use crate::db::plan::{
    Answers, Cluster, Handed, Needs, NoShard, OrderState, Owner, Plan, RareWrites, StockPlan, Stored, StoredCluster, StoredKey,
    StoredLetter,
};
use crate::db::read::StoredOrder;
use crate::db::store::{Batch, Committed};
use crate::db::write::Write;
use crate::domain::{DeadLetter, LoggedEvent, NoticeTask, Product, Shards, StockChange, Timestamp, WriterId};
#[cfg(feature = "plants")]
use crate::plants::Plant;
use std::collections::BTreeSet;

/// What a batch is decided by, besides what is stored.
pub(super) struct Terms {
    pub(super) shards: Shards,
    pub(super) now: Timestamp,
    #[cfg(feature = "plants")]
    pub(super) plant: Option<Plant>,
}

/// What no table could take, as the constraints of the databases on disk.
pub(super) fn check(batch: &Batch, shards: Shards) -> Result<(), StoreError> {
    for write in &batch.writes {
        if let Write::ChangeProduct(write) = write
            && let StockChange::Set(available @ ..0) | StockChange::First(available @ ..0) = write.change.stock
        {
            return Err(StoreError::Statement(format!("product {}: {available} available is below zero", write.id)));
        }
        if let Some(shard) = write.shard().filter(|shard| shard.0 >= shards.count()) {
            return Err(no_shard(&NoShard(shard.0)));
        }
    }
    Ok(())
}

fn no_shard(NoShard(shard): &NoShard) -> StoreError {
    StoreError::Statement(format!("there is no shard {shard}"))
}

/// Writes the whole batch.
pub(super) fn apply(tables: &mut Tables, batch: &Batch, terms: &Terms) -> Result<Committed, StoreError> {
    let stored = load(tables, &Needs::of(&batch.writes), batch.writer, terms);
    let plan = Plan::decide(batch, terms.shards, stored).map_err(|refused| no_shard(&refused))?;
    flush(tables, &plan, batch.writer);
    let Plan { outcomes, log, .. } = plan;
    if let Some(row) = tables.writers.get_mut(&batch.writer) {
        row.commits += 1;
        row.last_seq = log.last_seq;
    }
    Ok(Committed { outcomes, events: log.events, last_seq: log.last_seq })
}

/// Looks up what is stored of all that the batch is about. What is judged by the clock is done here.
fn load(tables: &mut Tables, needs: &Needs<'_>, own: WriterId, terms: &Terms) -> Stored {
    let mut stored = Stored {
        cluster: load_cluster(tables, needs, own, terms),
        #[cfg(feature = "plants")]
        plant: terms.plant,
        ..Stored::default()
    };
    let orders = needs.placed.iter().chain(&needs.saved);
    stored.orders.extend(orders.filter(|order| tables.orders.contains_key(order)));
    for wanted in &needs.keys {
        if let Some(row) = tables.keys.get(&wanted.key.key) {
            let held = StoredKey { body: row.body.to_vec(), order: row.order, expires_at: row.expires_at };
            stored.keys.insert(wanted.key.key.to_vec(), held);
        }
    }
    stored.answers.extend(needs.answers.iter().filter_map(|key| Some((key.key.to_vec(), tables.answers.get(&key.key)?.clone()))));
    let mut products: BTreeSet<_> = needs.products.iter().copied().collect();
    for order in needs.reserve.iter().chain(&needs.undo) {
        let Some(stock) = tables.stock.get(order) else { continue };
        products.extend(stock.lines.iter().map(|line| line.product));
        let stock = stock.clone();
        #[cfg(feature = "plants")]
        let stock = if terms.plant == Some(Plant::ReleasesTwice) { unreleased(stock) } else { stock };
        stored.stock.insert(*order, stock);
    }
    stored.products = products.iter().filter_map(|id| tables.products.get(id).cloned()).collect();
    stored.payments.extend(needs.payments.iter().filter_map(|order| Some((*order, tables.payments.get(order)?.clone()))));
    for order in &needs.notices {
        let rows = tables.notices.range(of_order(*order));
        stored.notices.extend(rows.map(|(key, row)| (*key, (row.task.clone(), row.at))));
    }
    let letter = |letter: &DeadLetter| StoredLetter { state: letter.state, created_at: letter.created_at };
    stored.letters.extend(needs.letters.iter().filter_map(|id| Some((*id, letter(tables.letters.get(id)?)))));
    stored.ends.extend(needs.sources.iter().filter_map(|source| Some((*source, tables.writers.get(source)?.last_seq))));
    stored.positions.extend(needs.sources.iter().filter_map(|source| Some((*source, *tables.positions.get(source)?))));
    stored
}

/// The bug: what a release did is forgotten.
#[cfg(feature = "plants")]
fn unreleased(mut stock: crate::db::plan::OrderStock) -> crate::db::plan::OrderStock {
    let released = crate::db::plan::StockRow::Released;
    if stock.released.take().is_some() && stock.status == Some(released) {
        stock.status = Some(crate::db::plan::StockRow::Reserved);
    }
    stock
}

fn load_cluster(tables: &mut Tables, needs: &Needs<'_>, own: WriterId, terms: &Terms) -> StoredCluster {
    let now = terms.now;
    let mut stored = StoredCluster::default();
    for (writer, seen) in &needs.expired {
        let row = tables.writers.get_mut(writer).filter(|row| row.writer != own && row.lease_until == *seen);
        if let Some(row) = row.filter(|row| row.lease_until < now) {
            row.alive = false;
        }
    }
    for (writer, lease_ms) in &needs.claims {
        let is_dead = tables.writers.get(writer).is_some_and(|row| !row.alive);
        let other = tables.claims.get(writer).filter(|(by, until)| *by != own && *until >= now);
        if is_dead && other.is_none() {
            tables.claims.insert(*writer, (own, now.plus_ms(*lease_ms)));
            stored.claimed.insert(*writer);
        }
    }
    for key in &needs.shards {
        let entry = tables.shards.entry(*key).or_default();
        let owner = match entry.writer.map(|writer| (writer, tables.writers.get(&writer))) {
            None => Owner::Nobody(entry.after),
            #[cfg(feature = "plants")]
            Some((writer, Some(owner))) if owner.alive && terms.plant == Some(Plant::TakesFromTheLiving) => {
                Owner::Dead(writer, owner.last_seq)
            }
            Some((writer, Some(owner))) if owner.alive => Owner::Alive(writer),
            Some((writer, owner)) => Owner::Dead(writer, owner.map_or(0, |owner| owner.last_seq)),
        };
        stored.owners.insert(*key, owner);
    }
    let is_known = |order: &&_| tables.orders.contains_key(order) || tables.known.contains_key(order);
    stored.known.extend(needs.awaited.iter().filter(is_known));
    stored.held.extend(needs.copied.iter().filter_map(|order| Some((*order, tables.held.get(order)?.clone()))));
    stored
}

/// Puts what was decided into the tables.
fn flush(tables: &mut Tables, plan: &Plan<'_>, own: WriterId) {
    for state in plan.orders.iter().chain(plan.saves.values()) {
        tables.orders.insert(state.order.id, stored_order(state));
    }
    for taken in &plan.keys {
        let row = KeyRow { order: taken.order, body: taken.key.body, expires_at: taken.key.expires_at };
        tables.keys.insert(taken.key.key, row);
    }
    flush_stock(tables, &plan.stock);
    tables.payments.extend(plan.payments.iter().map(|payment| (payment.order, (*payment).clone())));
    for (key, saved) in &plan.notices {
        let task = NoticeTask { created_at: saved.created_at, ..saved.task.clone() };
        tables.notices.insert(*key, NoticeRow { task, shard: saved.shard, at: saved.updated_at });
    }
    flush_rare_writes(tables, &plan.rare, &plan.answers);
    flush_cluster(tables, &plan.cluster, own);
    for LoggedEvent { seq, event, sale: _ } in &plan.log.events {
        tables.log.insert((own, *seq), Entry::Event(event.clone()));
    }
    for (seq, marker) in &plan.log.markers {
        tables.log.insert((own, *seq), Entry::Marker(*marker));
    }
}

fn stored_order(state: &OrderState<'_>) -> StoredOrder {
    let OrderState { order, status, open, record, updated_at } = state;
    StoredOrder { order: (*order).clone(), record: (*record).clone(), status: *status, open: *open, updated_at: *updated_at }
}

fn flush_stock(tables: &mut Tables, stock: &StockPlan) {
    let products = stock.changed_products().map(|changed| changed.product);
    tables.products.extend(products.map(|product: &Product| (product.id, product.clone())));
    tables.stock.extend(stock.changed_orders().map(|(order, stock)| (order, stock.clone())));
}

fn flush_rare_writes(tables: &mut Tables, rare: &RareWrites<'_>, answers: &Answers) {
    tables.letters.extend(rare.letters().map(|letter| (letter.id, letter.clone())));
    for (id, state, at) in rare.closed() {
        if let Some(letter) = tables.letters.get_mut(&id) {
            (letter.state, letter.closed_at) = (state, Some(at));
        }
    }
    for (id, origin) in rare.marked() {
        if let Some(letter) = tables.letters.get_mut(&id) {
            letter.origin = Some(origin.to_owned());
        }
    }
    tables.audit.extend_from_slice(rare.audit());
    tables.positions.extend(rare.positions().map(|(source, seq, _)| (source, seq)));
    for (minute, metric, key, value) in rare.numbers() {
        *tables.analytics.entry((minute, metric, key.to_vec())).or_insert(0) += value;
    }
    tables.answers.extend(answers.new_answers().map(|(key, kept, _)| (*key, kept.clone())));
}

fn flush_cluster(tables: &mut Tables, cluster: &Cluster<'_>, own: WriterId) {
    for (role, shard, handed) in cluster.handed() {
        let entry = tables.shards.entry((role, shard)).or_default();
        (entry.writer, entry.after) = match handed {
            Handed::Taken => (Some(own), None),
            Handed::Left(seq) => (None, Some((own, seq))),
        };
    }
    for (log, seq) in cluster.published() {
        if let Some(row) = tables.writers.get_mut(&log) {
            row.published_seq = row.published_seq.max(seq);
        }
    }
    for (role, topic, partition, next) in cluster.consumed() {
        tables.consumed.insert((role, topic.to_owned(), partition), next);
    }
    for order in cluster.copies() {
        tables.known.entry(order.id).or_insert_with(|| order.clone().into());
    }
    for order in cluster.told() {
        tables.held.remove(order);
    }
    for event in cluster.waiting() {
        let held = tables.held.entry(event.order).or_default();
        if !held.iter().any(|other| other.kind() == event.kind()) {
            held.push(event.clone());
            held.sort_by_key(|event| event.kind().number());
        }
    }
}
