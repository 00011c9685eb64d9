//! What nodes tell each other through the database: whose a shard is, what is published, and what a node that hosts some roles only
//! must keep of orders whose owner is elsewhere.

use super::log::Log;
use crate::db::outcome::{RowOutcome, StepOutcome};
use crate::db::rows::ConsumedPlace;
use crate::domain::{Event, Marker, Order, OrderId, Role, Shard, WriterId};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Whose a shard is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::db) enum Owner {
    /// Nobody's; where its last owner's log ended for it, if it ever had one.
    Nobody(Option<(WriterId, i64)>),
    /// A writer's that is alive.
    Alive(WriterId),
    /// A writer's that is not alive, and the end of its log.
    Dead(WriterId, i64),
}

/// A shard that changes hands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::db) enum Handed {
    /// To this writer.
    Taken,
    /// To nobody. The next owner begins after this number of this writer's log.
    Left(i64),
}

/// What is stored of the cluster's rows that a batch is about.
#[derive(Default)]
pub(in crate::db) struct StoredCluster {
    pub(in crate::db) owners: HashMap<(Role, Shard), Owner>,
    /// The logs that were claimed while looking: the claim is by the database's clock.
    pub(in crate::db) claimed: HashSet<WriterId>,
    /// Those of the orders whose events are to be held that are known, by their owner's row or a copy.
    pub(in crate::db) known: HashSet<OrderId>,
    /// The events that wait for an order which becomes known.
    pub(in crate::db) held: HashMap<OrderId, Vec<Event>>,
}

/// What the cluster's writes change.
#[derive(Default)]
pub(in crate::db) struct Cluster<'a> {
    stored: StoredCluster,
    handed: BTreeMap<(Role, Shard), Handed>,
    published: BTreeMap<WriterId, i64>,
    /// By role, topic and partition.
    consumed: BTreeMap<(Role, &'a str, i32), i64>,
    copies: BTreeMap<OrderId, &'a Order>,
    told: Vec<OrderId>,
    /// By order and the kind's number.
    waiting: BTreeMap<(OrderId, u8), &'a Event>,
}

impl<'a> Cluster<'a> {
    pub(super) fn new(stored: StoredCluster) -> Self {
        Self { stored, ..Self::default() }
    }

    /// Takes shards that are free or belonged to a dead writer; skips those of this writer and of others that are alive.
    pub(super) fn take_shards(&mut self, writer: WriterId, roles: &[Role], shards: &[Shard], log: &mut Log) -> Vec<Marker> {
        let mut taken = Vec::new();
        for (role, shard) in roles.iter().flat_map(|role| shards.iter().map(|shard| (*role, *shard))) {
            let Some(owner) = self.stored.owners.get_mut(&(role, shard)) else { continue };
            let after = match *owner {
                Owner::Alive(_) => continue,
                Owner::Dead(before, last_seq) => Some((before, last_seq)),
                Owner::Nobody(after) => after,
            };
            *owner = Owner::Alive(writer);
            self.handed.insert((role, shard), Handed::Taken);
            let marker = Marker { role, shard, after };
            log.mark(marker);
            taken.push(marker);
        }
        taken
    }

    pub(super) fn release_shards(&mut self, writer: WriterId, roles: &[Role], shards: &[Shard], last_seq: i64) {
        for key in roles.iter().flat_map(|role| shards.iter().map(|shard| (*role, *shard))) {
            let Some(owner) = self.stored.owners.get_mut(&key).filter(|owner| **owner == Owner::Alive(writer)) else { continue };
            *owner = Owner::Nobody(Some((writer, last_seq)));
            self.handed.insert(key, Handed::Left(last_seq));
        }
    }

    pub(super) fn publish(&mut self, writer: WriterId, seq: i64) {
        let published = self.published.entry(writer).or_insert(seq);
        *published = seq.max(*published);
    }

    pub(super) fn consume(&mut self, role: Role, places: &'a [ConsumedPlace]) {
        self.consumed.extend(places.iter().map(|place| ((role, place.topic.as_str(), place.partition), place.next)));
    }

    pub(super) fn claim(&self, writer: WriterId) -> RowOutcome {
        if self.stored.claimed.contains(&writer) { RowOutcome::Done } else { RowOutcome::Missing }
    }

    /// Returns the events that waited for the order.
    pub(super) fn know(&mut self, order: &'a Order) -> Vec<Event> {
        self.copies.insert(order.id, order);
        self.stored.known.insert(order.id);
        let mut events = self.stored.held.remove(&order.id).unwrap_or_default();
        if !events.is_empty() {
            self.told.push(order.id);
        }
        while let Some(key) = self.waiting.range((order.id, 0)..=(order.id, u8::MAX)).next().map(|(key, _)| *key) {
            let late = self.waiting.remove(&key).filter(|late| !events.iter().any(|event| event.kind() == late.kind()));
            events.extend(late.cloned());
        }
        events.sort_by_key(|event| event.kind().number());
        events
    }

    pub(super) fn hold(&mut self, event: &'a Event) -> StepOutcome {
        if self.stored.known.contains(&event.order) {
            return StepOutcome::Repeated(vec![event.clone()]);
        }
        self.waiting.entry((event.order, event.kind().number())).or_insert(event);
        StepOutcome::Done
    }

    /// The shards that change hands, each with its last state.
    pub(in crate::db) fn handed(&self) -> impl Iterator<Item = (Role, Shard, Handed)> {
        self.handed.iter().map(|(&(role, shard), handed)| (role, shard, *handed))
    }

    /// Up to where logs are published, at least.
    pub(in crate::db) fn published(&self) -> impl Iterator<Item = (WriterId, i64)> {
        self.published.iter().map(|(writer, seq)| (*writer, *seq))
    }

    /// How far roles are done: role, topic, partition, and the first offset that is not done.
    pub(in crate::db) fn consumed(&self) -> impl Iterator<Item = (Role, &'a str, i32, i64)> {
        self.consumed.iter().map(|(&(role, topic, partition), next)| (role, topic, partition, *next))
    }

    /// The orders of which a copy is kept; there may be one already.
    pub(in crate::db) fn copies(&self) -> impl Iterator<Item = &'a Order> {
        self.copies.values().copied()
    }

    /// The orders whose stored events wait no more.
    pub(in crate::db) fn told(&self) -> &[OrderId] {
        &self.told
    }

    /// The events that wait from now on; one of the same order and kind may wait already.
    pub(in crate::db) fn waiting(&self) -> impl Iterator<Item = &'a Event> {
        self.waiting.values().copied()
    }
}
