//! One batch, write by write in the order of arrival. What can be refused is refused by [`check`] before anything is written,
//! so [`apply`] cannot fail and needs no way back.

use super::stock;
use super::tables::{Entry, KeyRow, NoticeRow, Tables};
use crate::db::{AnalyticsRow, AuditEntry, Batch, Committed, IdempotencyKey, Outcome, StoreError, StoredOrder, Write};
use crate::domain::{
    CorrelationId, DeadLetter, Event, EventBody, LetterId, LetterState, LoggedEvent, Marker, NoticeTask, Order, OrderStatus, Payment,
    Shard, Shards, StockChange, Text, Timestamp, WriterId,
};
use crate::saga::{Record, sale};
use std::collections::btree_map;
use std::sync::Arc;

/// What no table could take, as the constraints of the databases on disk.
pub(super) fn check(batch: &Batch, shards: Shards) -> Result<(), StoreError> {
    for write in &batch.writes {
        if let Write::ChangeProduct(write) = write
            && let StockChange::Set(available @ ..0) | StockChange::First(available @ ..0) = write.change.stock
        {
            return Err(StoreError::Statement(format!("product {}: {available} available is below zero", write.id)));
        }
        if let Some(shard) = write.shard().filter(|shard| shard.0 >= shards.count()) {
            return Err(StoreError::Statement(format!("there is no shard {}", shard.0)));
        }
    }
    Ok(())
}

/// Writes the whole batch.
pub(super) fn apply(tables: &mut Tables, batch: &Batch, now: Timestamp) -> Committed {
    let mut transaction = Transaction { tables, writer: batch.writer, seq: batch.last_seq, events: Vec::new(), now };
    let outcomes = batch.writes.iter().map(|write| transaction.write(write)).collect();
    let Transaction { tables, seq, events, .. } = transaction;
    if let Some(row) = tables.writers.get_mut(&batch.writer) {
        row.commits += 1;
        row.last_seq = seq;
    }
    Committed { outcomes, events, last_seq: seq }
}

/// A transaction under way.
pub(super) struct Transaction<'a> {
    pub(super) tables: &'a mut Tables,
    pub(super) writer: WriterId,
    /// The number given last.
    pub(super) seq: i64,
    events: Vec<LoggedEvent>,
    /// The database's clock.
    now: Timestamp,
}

impl Transaction<'_> {
    fn write(&mut self, write: &Write) -> Outcome {
        match write {
            Write::Place { order, record, key } => self.place(order, record, key.as_ref()),
            Write::Save { order, status, open, record, events, letters, at } => {
                let stored = StoredOrder { order: order.clone(), record: record.clone(), status: *status, open: *open, updated_at: *at };
                self.save(stored, events, letters)
            }
            Write::Reserve { order, pricing, at } => stock::reserve_order(self, order, *pricing, *at),
            Write::Release { step, undo } => stock::release(self, step, *undo),
            Write::HoldStock { step } => stock::hold(self, step),
            Write::ShipStock { step } => stock::ship(self, step),
            Write::SavePayment { payment, shard, correlation, event, letter } => {
                self.payment(payment, (*shard, *correlation), event.as_ref(), letter.as_ref())
            }
            Write::SaveNotice { task, shard, correlation, event, letter } => {
                self.notice(task, (*shard, *correlation), event.as_ref(), letter.as_ref())
            }
            Write::ChangeProduct(write) => stock::change_product(self, write),
            Write::KeepAnswer { key, answer, at } => stock::answered(self, key, *at).unwrap_or_else(|| {
                stock::keep_answer(self, key, answer.clone());
                Outcome::Done
            }),
            Write::AddLetter(letter) => self.add_letter(letter),
            Write::ParkStep { letter, event } => self.told(Some(event), Some(letter)),
            Write::Audit(entry) => {
                self.tables.audit.push(entry.clone());
                Outcome::Done
            }
            Write::MarkLetter { id, origin } => self.mark_letter(*id, origin),
            Write::CloseLetter { id, state, by, note, at } => self.close_letter(*id, *state, by, note.as_ref(), *at),
            Write::SaveAnalytics { add, source, after, seq } => self.count(add, *source, *after, *seq),
            Write::Published { writer, seq } => {
                if let Some(row) = self.tables.writers.get_mut(writer) {
                    row.published_seq = row.published_seq.max(*seq);
                }
                Outcome::Done
            }
            Write::ClaimLog { writer, lease_ms } => self.claim(*writer, *lease_ms),
            Write::EndExpired { leases } => {
                for (writer, seen) in leases {
                    let row = self.tables.writers.get_mut(writer).filter(|row| row.writer != self.writer && row.lease_until == *seen);
                    if let Some(row) = row.filter(|row| row.lease_until < self.now) {
                        row.alive = false;
                    }
                }
                Outcome::Done
            }
            Write::KnowOrder { order } => {
                self.tables.known.entry(order.id).or_insert_with(|| order.clone());
                Outcome::Repeated(self.tables.held.remove(&order.id).unwrap_or_default())
            }
            Write::HoldEvent { event } => self.hold_event(event),
            Write::TakeShards { roles, shards } => self.take(roles, shards),
            Write::ReleaseShards { roles, shards } => {
                let left_at = Some((self.writer, self.seq));
                for key in roles.iter().flat_map(|role| shards.iter().map(|shard| (*role, *shard))) {
                    if let Some(entry) = self.tables.shards.get_mut(&key).filter(|entry| entry.writer == Some(self.writer)) {
                        (entry.writer, entry.after) = (None, left_at);
                    }
                }
                Outcome::Done
            }
        }
    }

    /// Adds to the analytics numbers, if they are counted up to `after`.
    fn count(&mut self, add: &[AnalyticsRow], source: WriterId, after: i64, seq: i64) -> Outcome {
        let position = self.tables.positions.entry(source).or_insert(0);
        if after != *position {
            return Outcome::Repeated(Vec::new());
        }
        *position = seq;
        for row in add {
            *self.tables.analytics.entry((row.minute, row.metric, row.key.clone())).or_insert(0) += row.value;
        }
        Outcome::Done
    }

    /// Gives the event the log's next number.
    pub(super) fn log(&mut self, event: Event) {
        self.seq += 1;
        let sale = self.tables.orders.get(&event.order).and_then(|stored| sale(&stored.order, &stored.record, event.kind()));
        self.tables.log.insert((self.writer, self.seq), Entry::Event(event.clone()));
        self.events.push(LoggedEvent { seq: self.seq, event, sale });
    }

    fn place(&mut self, order: &Arc<Order>, record: &Record, key: Option<&IdempotencyKey>) -> Outcome {
        let created = || Event::of(order, order.created_at, EventBody::OrderCreated(order.clone()));
        if self.tables.orders.contains_key(&order.id) {
            return Outcome::Repeated(vec![created()]);
        }
        if let Some(key) = key {
            if let Some(row) = self.tables.keys.get(&key.key).filter(|row| row.expires_at > self.now) {
                return Outcome::KeyTaken { order: row.order, same_body: row.body == key.body };
            }
            self.tables.keys.insert(key.key, KeyRow { order: order.id, body: key.body, expires_at: key.expires_at });
        }
        let stored = StoredOrder {
            order: order.clone(),
            record: record.clone(),
            status: OrderStatus::Pending,
            open: true,
            updated_at: order.created_at,
        };
        self.tables.orders.insert(order.id, stored);
        self.log(created());
        Outcome::Done
    }

    fn save(&mut self, stored: StoredOrder, events: &[Event], letters: &[DeadLetter]) -> Outcome {
        let btree_map::Entry::Occupied(mut row) = self.tables.orders.entry(stored.order.id) else { return Outcome::Missing };
        row.insert(stored);
        for event in events {
            self.log(event.clone());
        }
        for letter in letters {
            self.add_letter(letter);
        }
        Outcome::Done
    }

    fn payment(
        &mut self,
        payment: &Payment,
        (shard, correlation): (Shard, CorrelationId),
        event: Option<&Event>,
        letter: Option<&DeadLetter>,
    ) -> Outcome {
        let stored = self.tables.payments.get(&payment.order);
        if let Some(stored) = stored.filter(|stored| !payment.follows(Some(*stored))) {
            return Outcome::Repeated(stored.answer(shard, correlation).into_iter().collect());
        }
        self.tables.payments.insert(payment.order, payment.clone());
        self.told(event, letter)
    }

    fn notice(
        &mut self,
        task: &NoticeTask,
        (shard, correlation): (Shard, CorrelationId),
        event: Option<&Event>,
        letter: Option<&DeadLetter>,
    ) -> Outcome {
        let key = (task.order, task.kind.number(), task.channel.number());
        if let Some(row) = self.tables.notices.get(&key).filter(|row| !task.follows(Some(&row.task))) {
            return Outcome::Repeated(row.task.answer(shard, correlation, row.at).into_iter().collect());
        }
        let at = event.map_or(task.created_at, |event| event.at);
        self.tables.notices.insert(key, NoticeRow { task: task.clone(), shard, at });
        self.told(event, letter)
    }

    fn told(&mut self, event: Option<&Event>, letter: Option<&DeadLetter>) -> Outcome {
        if let Some(event) = event {
            self.log(event.clone());
        }
        if let Some(letter) = letter {
            self.add_letter(letter);
        }
        Outcome::Done
    }

    /// A letter that is there already is the same trouble again: it tells the newest. An open one keeps its place in the list,
    /// a closed one is opened again.
    fn add_letter(&mut self, letter: &DeadLetter) -> Outcome {
        let open = self.tables.letters.get(&letter.id).filter(|stored| stored.state == LetterState::Open);
        let created_at = open.map_or(letter.created_at, |stored| stored.created_at);
        self.tables.letters.insert(letter.id, DeadLetter { created_at, ..letter.clone() });
        Outcome::Done
    }

    fn mark_letter(&mut self, id: LetterId, origin: &str) -> Outcome {
        if let Some(letter) = self.tables.letters.get_mut(&id) {
            letter.origin = Some(origin.to_owned());
        }
        Outcome::Done
    }

    fn close_letter(&mut self, id: LetterId, state: LetterState, by: &Text<100>, note: Option<&Text<200>>, at: Timestamp) -> Outcome {
        let Some(letter) = self.tables.letters.get_mut(&id).filter(|letter| letter.state == LetterState::Open) else {
            return Outcome::Missing;
        };
        letter.state = state;
        letter.closed_at = Some(at);
        self.tables.audit.push(AuditEntry {
            at,
            by: by.as_str().to_owned(),
            action: state.name().to_owned(),
            subject: id.0.to_string(),
            note: note.map(|note| note.as_str().to_owned()),
        });
        Outcome::Done
    }

    fn claim(&mut self, writer: WriterId, lease_ms: u64) -> Outcome {
        let is_dead = self.tables.writers.get(&writer).is_some_and(|row| !row.alive);
        let other = self.tables.claims.get(&writer).filter(|(by, until)| *by != self.writer && *until >= self.now);
        if !is_dead || other.is_some() {
            return Outcome::Missing;
        }
        self.tables.claims.insert(writer, (self.writer, self.now.plus_ms(lease_ms)));
        Outcome::Done
    }

    fn hold_event(&mut self, event: &Event) -> Outcome {
        if self.tables.orders.contains_key(&event.order) || self.tables.known.contains_key(&event.order) {
            return Outcome::Repeated(vec![event.clone()]);
        }
        let held = self.tables.held.entry(event.order).or_default();
        if !held.iter().any(|other| other.kind() == event.kind()) {
            held.push(event.clone());
        }
        Outcome::Done
    }

    fn take(&mut self, roles: &[crate::domain::Role], shards: &[Shard]) -> Outcome {
        let mut taken = Vec::new();
        for (role, shard) in roles.iter().flat_map(|role| shards.iter().map(|shard| (*role, *shard))) {
            let entry = self.tables.shards.entry((role, shard)).or_default();
            let after = match entry.writer.map(|writer| (writer, self.tables.writers.get(&writer))) {
                None => entry.after,
                Some((_, Some(owner))) if owner.alive && !self.tables.takes_from_the_living => continue,
                Some((writer, owner)) => Some((writer, owner.map_or(0, |owner| owner.last_seq))),
            };
            (entry.writer, entry.after) = (Some(self.writer), None);
            let marker = Marker { role, shard, after };
            self.seq += 1;
            self.tables.log.insert((self.writer, self.seq), Entry::Marker(marker));
            taken.push(marker);
        }
        Outcome::Taken(taken)
    }
}
