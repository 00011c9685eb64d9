//! What must be read before a batch can be decided.

use crate::db::write::{IdempotencyKey, Write};
use crate::domain::{DeadLetterId, OrderId, ProductId, Role, Shard, Timestamp, WriterId};
use std::collections::HashSet;

/// A key that an order of the batch wants to take.
#[derive(Clone, Copy)]
pub(in crate::db) struct WantedKey<'a> {
    pub(in crate::db) key: &'a IdempotencyKey,
    pub(in crate::db) order: OrderId,
    /// When the order was accepted: a stored key that has expired by then is free.
    pub(in crate::db) at: Timestamp,
}

/// The keys of the rows that a batch must see. Each list is in the order of arrival, doubles and all, unless it says otherwise.
#[derive(Default)]
pub(in crate::db) struct Needs<'a> {
    /// Orders to be placed.
    pub(in crate::db) placed: Vec<OrderId>,
    /// Orders to be saved.
    pub(in crate::db) saved: Vec<OrderId>,
    /// Of each order id its first key alone: the second time the order is there.
    pub(in crate::db) keys: Vec<WantedKey<'a>>,
    /// Keys under which an answer may be kept.
    pub(in crate::db) answers: Vec<&'a IdempotencyKey>,
    /// Orders to be reserved: rarely seen before.
    pub(in crate::db) reserve: Vec<OrderId>,
    /// Orders of which the stock keeper has rows, as a rule.
    pub(in crate::db) undo: Vec<OrderId>,
    /// Products that are named; those of `undo` are in its rows.
    pub(in crate::db) products: Vec<ProductId>,
    pub(in crate::db) payments: Vec<OrderId>,
    pub(in crate::db) notices: Vec<OrderId>,
    pub(in crate::db) letters: Vec<DeadLetterId>,
    /// Writers whose logs are counted.
    pub(in crate::db) sources: Vec<WriterId>,
    /// Shards that are to change hands; sorted, no doubles.
    pub(in crate::db) shards: Vec<(Role, Shard)>,
    /// Logs to be claimed, and for how many milliseconds.
    pub(in crate::db) claims: Vec<(WriterId, u64)>,
    /// Writers whose leases were seen to have ended: they are to be set not alive.
    pub(in crate::db) expired: Vec<(WriterId, Timestamp)>,
    /// Orders that become known.
    pub(in crate::db) copied: Vec<OrderId>,
    /// Orders whose events came before them.
    pub(in crate::db) awaited: Vec<OrderId>,
}

impl<'a> Needs<'a> {
    /// What `writes` need.
    pub(in crate::db) fn of(writes: &'a [Write]) -> Self {
        let mut needs = Self::default();
        let mut placed = HashSet::new();
        for write in writes {
            needs.add(write, &mut placed);
        }
        needs.shards.sort_unstable();
        needs.shards.dedup();
        needs
    }

    fn add(&mut self, write: &'a Write, placed: &mut HashSet<OrderId>) {
        match write {
            Write::Place { order, key, .. } => {
                self.placed.push(order.id);
                if placed.insert(order.id)
                    && let Some(key) = key
                {
                    self.keys.push(WantedKey { key, order: order.id, at: order.created_at });
                }
            }
            Write::Save { order, letters, closings, .. } => {
                self.saved.push(order.id);
                self.letters.extend(letters.iter().map(|letter| letter.id));
                self.letters.extend(closings.iter().map(|closing| closing.id));
            }
            Write::Reserve { order, .. } => {
                self.reserve.push(order.id);
                self.products.extend(order.lines.iter().map(|line| line.product));
            }
            Write::Release { step, .. } | Write::HoldStock { step } | Write::ShipStock { step } => self.undo.push(step.order),
            Write::SavePayment { payment, letters, closing, .. } => {
                self.payments.push(payment.order);
                self.letters.extend(letters.iter().map(|letter| letter.id));
                self.letters.extend(closing.iter().map(|closing| closing.id));
            }
            Write::SaveNotice { task, letter, closing, .. } => {
                self.notices.push(task.order);
                self.letters.extend(letter.iter().map(|letter| letter.id));
                self.letters.extend(closing.iter().map(|closing| closing.id));
            }
            Write::ChangeProduct(write) => {
                self.products.push(write.id);
                self.answers.extend(&write.key);
            }
            Write::KeepAnswer { key, .. } => self.answers.push(key),
            Write::AddLetter(letter) => self.letters.push(letter.id),
            Write::ParkStep { letter, .. } => self.letters.push(letter.id),
            Write::CloseLetter(closing) => self.letters.push(closing.id),
            Write::MarkLetter { id, .. } => self.letters.push(*id),
            Write::SaveAnalytics { source, .. } => self.sources.push(*source),
            Write::Published { .. } | Write::Consumed { .. } | Write::Audit(_) => {}
            Write::ClaimLog { writer, lease_ms } => self.claims.push((*writer, *lease_ms)),
            Write::EndExpired { leases } => self.expired.extend(leases),
            Write::KnowOrder { order } => self.copied.push(order.id),
            Write::HoldEvent { event } => self.awaited.push(event.order),
            Write::TakeShards { roles, shards } | Write::ReleaseShards { roles, shards } => {
                self.shards.extend(roles.iter().flat_map(|role| shards.iter().map(|shard| (*role, *shard))));
            }
        }
    }

    /// Whether the stock keeper's tables are not touched.
    pub(in crate::db) fn is_without_stock(&self) -> bool {
        self.reserve.is_empty() && self.undo.is_empty() && self.products.is_empty()
    }
}
