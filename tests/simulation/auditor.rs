//! Hears of every transaction at the moment at which it is stored, and holds the owners of shards and the writers to the rules of
//! the fence. Keeps books of its own: whose each shard is, and in which order the events of each order became true.

use crate::chaos::Chaos;
use ordermill::db::{Batch, Committed, Outcome, PlaceOutcome, Reads, Write, WriterRow};
use ordermill::domain::{Event, EventId, OrderId, Role, Shard, Topic, WriterId};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// See the module.
pub struct Auditor {
    books: Mutex<Books>,
    /// Told when something was stored.
    pub stored: Arc<Notify>,
    /// How long a node must have been there itself before it may find another's lease ended.
    lease: Duration,
}

#[derive(Default)]
struct Books {
    owners: BTreeMap<(Role, Shard), WriterId>,
    /// What a writer gave back, and has not taken since.
    given: BTreeSet<((Role, Shard), WriterId)>,
    alive: BTreeSet<WriterId>,
    /// The events of one order in one topic, as they became true.
    history: HashMap<(OrderId, Topic), Vec<EventId>>,
    known: HashSet<EventId>,
    /// How many of them are published, for the first time.
    told: HashMap<(OrderId, Topic), usize>,
    told_once: HashSet<EventId>,
}

/// The node whose writer it is; [`Node::name`](crate::life::Node::name) is its other half.
pub fn node_of(row: &WriterRow) -> usize {
    row.node.trim_start_matches("node-").parse().unwrap()
}

impl Auditor {
    pub fn new(lease_ms: u64) -> Self {
        Self { books: Mutex::default(), stored: Arc::default(), lease: Duration::from_millis(lease_ms) }
    }

    /// `node` has just stored this.
    pub fn committed(&self, chaos: &Chaos, node: usize, batch: &Batch, committed: &Committed) {
        let rows = chaos.ask(|database| database.writers());
        let mut books = self.books.lock().unwrap();
        let mut broken = Vec::new();
        if !rows.iter().any(|row| row.writer == batch.writer && row.alive) {
            broken.push(format!("writer {} is dead and has stored {:?}", batch.writer.0, batch.writes));
        }
        let alive: BTreeSet<WriterId> = rows.iter().filter(|row| row.alive).map(|row| row.writer).collect();
        for (write, outcome) in batch.writes.iter().zip(&committed.outcomes) {
            broken.extend(books.written(batch.writer, &alive, write, outcome, chaos));
        }
        for (write, outcome) in batch.writes.iter().zip(&committed.outcomes) {
            if let (Write::Place { order, .. }, Outcome::Place(PlaceOutcome::Done)) = (write, outcome) {
                chaos.failovers().placed(order.id, batch.writer);
            }
        }
        for logged in &committed.events {
            let event = &logged.event;
            if books.known.insert(event.id()) {
                books.history.entry(of(event)).or_default().push(event.id());
            }
        }
        let ended: Vec<WriterId> = books.alive.difference(&alive).copied().collect();
        books.alive = alive;
        drop(books);
        let ends = |writer: WriterId| {
            batch
                .writes
                .iter()
                .any(|write| matches!(write, Write::EndExpired { leases } if leases.iter().any(|(other, _)| *other == writer)))
        };
        for row in rows.iter().filter(|row| ended.contains(&row.writer)) {
            chaos.excuse(node_of(row));
            let lease_ended = Instant::now() - Duration::from_millis(u64::try_from(-row.lease_left_ms).unwrap_or(0));
            if ends(row.writer) && !chaos.lock().nodes[node].was_there(lease_ended, self.lease) {
                broken.push(format!("node {node} has ended writer {}, which had had no time to renew its lease", row.writer.0));
            }
        }
        broken.into_iter().for_each(|what| chaos.breaks(what));
        self.stored.notify_one();
    }

    /// A standby has taken over: what is in its logs has become true, and nothing else.
    pub fn promoted(&self, chaos: &Chaos) {
        let rows = chaos.ask(|database| database.writers());
        let shards = chaos.ask(|database| database.shard_rows());
        let logged = |writer| chaos.ask(|database| database.events(writer, 0, 1_000_000));
        let known: HashSet<EventId> = rows.iter().flat_map(|row| logged(row.writer)).map(|logged| logged.event.id()).collect();
        let mut books = self.books.lock().unwrap();
        let Books { owners, given, alive, history, known: all, told, told_once } = &mut *books;
        given.clear();
        *owners = shards.iter().filter_map(|row| Some(((row.role, row.shard), row.writer?))).collect();
        *alive = rows.iter().filter(|row| row.alive).map(|row| row.writer).collect();
        history.values_mut().for_each(|events| events.retain(|event| known.contains(event)));
        told_once.retain(|event| known.contains(event));
        for (of, events) in history.iter() {
            told.insert(*of, events.iter().filter(|event| told_once.contains(event)).count());
        }
        *all = known;
    }

    /// An event has been published. First occurrences are in the order in which they became true.
    pub fn published(&self, event: &Event) -> Option<String> {
        let mut books = self.books.lock().unwrap();
        if !books.told_once.insert(event.id()) {
            return None;
        }
        let told = books.told.entry(of(event)).or_insert(0);
        let place = *told;
        *told += 1;
        let history = books.history.get(&of(event)).cloned().unwrap_or_default();
        let is_next = history.get(place) == Some(&event.id());
        (!is_next).then(|| format!("{} of order {} was published out of its order, as number {place}", event.kind().name(), event.order))
    }
}

impl Auditor {
    /// What is stored in a log and was never published.
    pub fn untold(&self) -> Option<String> {
        let books = self.books.lock().unwrap();
        let missing: BTreeSet<EventId> = books.known.difference(&books.told_once).copied().collect();
        (!missing.is_empty()).then(|| format!("{} events were never published: {missing:?}", missing.len()))
    }
}

fn of(event: &Event) -> (OrderId, Topic) {
    (event.order, event.kind().topic())
}

impl Books {
    fn written(&mut self, writer: WriterId, alive: &BTreeSet<WriterId>, write: &Write, outcome: &Outcome, chaos: &Chaos) -> Option<String> {
        if let Some(slice) = write.role_shard() {
            let owner = self.owners.get(&slice);
            let since = if self.given.contains(&(slice, writer)) { "gave back" } else { "never took" };
            let told = || format!("writer {} has stored for {slice:?}, which it {since}; it is {owner:?}'s: {write:?}", writer.0);
            return (owner != Some(&writer)).then(told);
        }
        match (write, outcome) {
            (Write::TakeShards { .. }, Outcome::Taken(markers)) => {
                let mut broken = None;
                for marker in markers {
                    let slice = (marker.role, marker.shard);
                    let owner = self.owners.insert(slice, writer);
                    self.given.remove(&(slice, writer));
                    if let Some(owner) = owner.filter(|owner| alive.contains(owner)) {
                        broken = Some(format!("writer {} has taken {marker:?} from {owner:?}, which is alive", writer.0));
                    }
                }
                chaos.lock().counts.takes += markers.len() as u64;
                broken
            }
            (Write::ReleaseShards { roles, shards }, _) => {
                for slice in roles.iter().flat_map(|role| shards.iter().map(|shard| (*role, *shard))) {
                    if self.owners.get(&slice) == Some(&writer) {
                        self.owners.remove(&slice);
                        self.given.insert((slice, writer));
                        chaos.lock().counts.gives += 1;
                    }
                }
                None
            }
            _ => None,
        }
    }
}
