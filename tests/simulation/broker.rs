//! Brokers between the nodes: partitions with records, and the offsets of groups. What they do wrong comes from the chaos: they lose
//! acknowledgements and commits, are away, delete records, and have transactions of strangers open.

use crate::auditor::Auditor;
use crate::chance::Chance;
use crate::chaos::Chaos;
use ordermill::config::KafkaSettings;
use ordermill::db::{DeadLetterFilter, Reads};
use ordermill::domain::{DeadLetterKind, Event, EventId, Role, Roles, Shards, Topic};
use ordermill::kafka::consumer::core::assignment::PartitionId;
use ordermill::kafka::consumer::core::letters;
use ordermill::kafka::consumer::core::work::Work;
use ordermill::kafka::headers::Headers;
use ordermill::kafka::message::{Dated, Reading, Record};
use ordermill::kafka::write::{self, Provenance};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// A record as it stands in a partition; none for what readers never see: markers of transactions, and records of those that were aborted.
type Entry = Option<(Record, EventId)>;

#[derive(Default)]
struct Partition {
    /// The first offset that is still there.
    low: i64,
    entries: Vec<Entry>,
    /// Its leader moves: nothing is written or read until then.
    away_until: Option<Instant>,
    /// Where a transaction that is open began.
    open: Option<i64>,
}

impl Partition {
    fn high(&self) -> i64 {
        self.low + i64::try_from(self.entries.len()).unwrap()
    }

    /// Readers do not see what follows an open transaction.
    fn stable(&self) -> i64 {
        self.open.unwrap_or_else(|| self.high())
    }

    fn at(&self, offset: i64) -> Option<&Entry> {
        self.entries.get(usize::try_from(offset - self.low).ok()?)
    }

    fn is_away(&self) -> bool {
        self.away_until.is_some_and(|until| until > Instant::now())
    }
}

/// What stands at an offset.
enum Found<'a> {
    Record(&'a Record),
    Nobodys,
    OutOfRange,
}

/// What a reader is given.
pub enum Fetched {
    /// Nothing is there, or it cannot be reached.
    Nothing,
    /// A record.
    Record(Record),
    /// Nothing before that offset is a message.
    Passed(i64),
    /// The brokers do not have that offset.
    OutOfRange,
}

#[derive(Default)]
struct Kafka {
    partitions: BTreeMap<PartitionId, Partition>,
    offsets: BTreeMap<(Role, PartitionId), i64>,
    /// What was said to be done in the roles' own database.
    stored: BTreeMap<(Role, PartitionId), i64>,
    /// The furthest that was ever committed: who has given a partition up may commit late, and behind its next owner.
    reached: BTreeMap<(Role, PartitionId), i64>,
    /// Nodes that cannot reach the brokers until then.
    cut: BTreeMap<usize, Instant>,
    /// What was sent and is on its way, though its producer is gone.
    lingering: Vec<(Event, Sent)>,
    /// What other teams listen to, as it was published.
    spoken: Vec<Event>,
    /// What each role has taken, and what of it became a dead letter.
    handled: BTreeSet<(Role, EventId)>,
    buried: BTreeSet<(Role, PartitionId, i64)>,
}

impl Kafka {
    fn reaches(&self, node: usize) -> bool {
        self.cut.get(&node).is_none_or(|until| *until <= Instant::now())
    }

    /// What stands there; none where there is nothing, or its leader is away.
    fn find(&self, partition: PartitionId, offset: i64) -> Option<Found<'_>> {
        let Some(place) = self.partitions.get(&partition) else { return (offset != 0).then_some(Found::OutOfRange) };
        if place.is_away() {
            None
        } else if offset < place.low || offset > place.high() {
            Some(Found::OutOfRange)
        } else if offset >= place.stable() {
            None
        } else {
            place.at(offset).map(|entry| entry.as_ref().map_or(Found::Nobodys, |(record, _)| Found::Record(record)))
        }
    }
}

/// Where a message comes from.
#[derive(Clone, Debug)]
pub enum Sent {
    /// A log, and the roles that had it.
    Log { writer: ordermill::domain::WriterId, seq: i64, local: Vec<Role> },
    /// It is said again, by a writer that had come so far.
    Repeat((ordermill::domain::WriterId, i64)),
    /// Another team's.
    Theirs,
}

/// See the module; clones are the same brokers.
#[derive(Clone)]
pub struct Broker {
    kafka: Arc<Mutex<Kafka>>,
    /// Told with each change. No `watch`: it wakes those who wait in an order that no seed decides.
    pub changes: Arc<Notify>,
    auditor: Arc<Auditor>,
    pub chaos: Arc<Chaos>,
    /// Roles of other teams.
    pub external: Roles,
    pub settings: KafkaSettings,
    reading: Reading,
}

pub fn shards() -> Shards {
    Shards::new(24).unwrap()
}

impl Broker {
    pub fn new(chaos: Arc<Chaos>, auditor: Arc<Auditor>, external: Roles, settings: KafkaSettings) -> Self {
        let reading = Reading::of(&settings, shards());
        Self { kafka: Arc::default(), changes: Arc::default(), auditor, chaos, external, settings, reading }
    }

    fn kafka(&self) -> MutexGuard<'_, Kafka> {
        self.kafka.lock().unwrap()
    }

    fn changed(&self) {
        self.changes.notify_waiters();
    }

    /// Another team's role says something; it may do so in a transaction, and abort a first one.
    pub fn say(&self, event: Event, chance: &mut Chance) {
        let key = (event.kind().topic(), i32::from(event.shard.0));
        if self.chaos.rages() && chance.hits(self.chaos.lock().odds.transactions) {
            self.kafka().partitions.entry(key).or_default().entries.extend([None, None]);
        }
        self.append(&event, &Sent::Theirs);
        if self.chaos.rages() && chance.hits(self.chaos.lock().odds.transactions) {
            self.kafka().partitions.entry(key).or_default().entries.push(None);
        }
    }

    /// What was published since, of what other teams listen to.
    pub fn heard(&self, upto: &mut usize) -> Vec<Event> {
        let kafka = self.kafka();
        let news = kafka.spoken[*upto..].to_vec();
        *upto = kafka.spoken.len();
        news
    }

    /// Writes a message to its partition.
    pub fn append(&self, event: &Event, sent: &Sent) {
        // What was lost in a failover and is told all the same contradicts nothing: nobody takes it.
        let is_lost = match sent {
            Sent::Log { writer, seq, .. } | Sent::Repeat((writer, seq)) => crate::failover::is_lost(&self.chaos, *writer, *seq),
            Sent::Theirs => false,
        };
        if !matches!(sent, Sent::Theirs)
            && !is_lost
            && let Some(broken) = self.auditor.published(event)
        {
            self.chaos.breaks(format!("{broken}: {sent:?}"));
        }
        let mut value = Vec::new();
        write::value(event, &mut value).unwrap();
        let mut headers = Headers::default();
        let from = match sent {
            Sent::Log { writer, seq, local } => Provenance::Log { writer: *writer, seq: *seq, local },
            Sent::Repeat(said_at) => Provenance::Repeat(Some(*said_at)),
            Sent::Theirs => Provenance::Repeat(None),
        };
        write::headers(event, from, |_| false, |name, value| headers.add(name, value));
        let (topic, partition) = (event.kind().topic(), i32::from(event.shard.0));
        let mut kafka = self.kafka();
        if matches!(topic, Topic::Order | Topic::Inventory) {
            kafka.spoken.push(event.clone());
        }
        let place = kafka.partitions.entry((topic, partition)).or_default();
        let record = Record {
            topic,
            partition,
            offset: place.high(),
            timestamp_ms: Some(event.at.0 / 1000),
            dated: Dated::CreateTime,
            key: Some(event.order.to_string().into_bytes()),
            value: Some(value),
            headers,
        };
        place.entries.push(Some((record, event.id())));
        let offset = place.high() - 1;
        drop(kafka);
        self.chaos.tell(|| format!("brokers: {} {} at {topic:?}/{partition}/{offset}: {sent:?}", event.kind().name(), event.order));
        self.changed();
    }

    /// Whether the node can reach the brokers.
    pub fn reaches(&self, node: usize) -> bool {
        self.kafka().reaches(node)
    }

    /// Whether the node can reach the leader of the partition.
    pub fn leads(&self, node: usize, partition: PartitionId) -> bool {
        let kafka = self.kafka();
        kafka.reaches(node) && !kafka.partitions.get(&partition).is_some_and(Partition::is_away)
    }

    /// What a lost producer had sent comes later.
    pub fn linger(&self, messages: impl IntoIterator<Item = (Event, Sent)>) {
        self.kafka().lingering.extend(messages);
    }

    /// What stands at that offset.
    pub fn fetch(&self, node: usize, partition: PartitionId, offset: i64) -> Fetched {
        let kafka = self.kafka();
        match kafka.find(partition, offset).filter(|_| kafka.reaches(node)) {
            Some(Found::Record(record)) => Fetched::Record(record.clone()),
            Some(Found::Nobodys) => Fetched::Passed(offset + 1),
            Some(Found::OutOfRange) => Fetched::OutOfRange,
            None => Fetched::Nothing,
        }
    }

    /// The first of these places at which the node would fetch something.
    pub fn next(&self, node: usize, places: impl IntoIterator<Item = (PartitionId, i64)>) -> Option<(PartitionId, i64)> {
        let kafka = self.kafka();
        places.into_iter().find(|(partition, offset)| kafka.find(*partition, *offset).is_some()).filter(|_| kafka.reaches(node))
    }

    /// The first offset that is there, and the one behind the last.
    pub fn watermarks(&self, partition: PartitionId) -> (i64, i64) {
        self.kafka().partitions.get(&partition).map_or((0, 0), |place| (place.low, place.high()))
    }

    /// What the role's group has committed of these.
    pub fn committed(&self, role: Role, partitions: &[PartitionId]) -> BTreeMap<PartitionId, i64> {
        let kafka = self.kafka();
        partitions.iter().filter_map(|partition| Some((*partition, *kafka.offsets.get(&(role, *partition))?))).collect()
    }

    /// Commits an offset: everything before it was taken, or is a dead letter.
    pub fn commit(&self, role: Role, partition: PartitionId, offset: i64) {
        let mut kafka = self.kafka();
        let before = kafka.offsets.insert((role, partition), offset).unwrap_or(0);
        let reached = kafka.reached.entry((role, partition)).or_insert(0);
        *reached = offset.max(*reached);
        self.chaos.tell(|| format!("brokers: {role:?} has committed {offset} of {partition:?}, after {before}"));
        self.check_done(&kafka, "committed", (role, partition), before, offset);
    }

    /// Stores an offset in the role's own database: the same holds of it.
    pub fn stores(&self, role: Role, partition: PartitionId, offset: i64) {
        let mut kafka = self.kafka();
        let before = kafka.stored.insert((role, partition), offset).unwrap_or(0);
        self.check_done(&kafka, "stored", (role, partition), before, offset);
    }

    fn check_done(&self, kafka: &Kafka, how: &str, (role, partition): (Role, PartitionId), before: i64, offset: i64) {
        let Some(place) = kafka.partitions.get(&partition) else { return };
        for at in before.max(place.low)..offset {
            let Some(Some((record, event))) = place.at(at) else { continue };
            let is_work = matches!(Work::of(record, role, &self.reading), Work::Hear(_));
            let is_dealt_with = kafka.handled.contains(&(role, *event)) || kafka.buried.contains(&(role, partition, at));
            if is_work && !is_dealt_with && !self.is_letter(role, partition, at) {
                self.chaos.breaks(format!("{role:?} has {how} {offset} of {partition:?} and has not taken {at}"));
            }
        }
    }

    /// Whether there is a dead letter of the message; its node may have died before it heard that it is stored.
    fn is_letter(&self, role: Role, partition: PartitionId, offset: i64) -> bool {
        let filter = DeadLetterFilter { kind: Some(DeadLetterKind::Message), limit: 100_000, ..DeadLetterFilter::default() };
        let letters = self.chaos.ask(|database| database.letters(filter)).rows;
        let of_role = letters.iter().filter(|letter| letter.role == role).filter_map(letters::record);
        of_role.into_iter().any(|record| (record.topic, record.partition) == partition && record.offset == offset)
    }

    /// The role has taken an event.
    pub fn handled(&self, role: Role, event: EventId) {
        self.kafka().handled.insert((role, event));
    }

    /// The message at that place is a dead letter of the role's.
    pub fn buried(&self, role: Role, partition: PartitionId, offset: i64) {
        self.kafka().buried.insert((role, partition, offset));
    }

    /// Whether all that these roles of other teams said was heard.
    pub fn is_heard(&self, roles: Roles) -> bool {
        let kafka = self.kafka();
        let theirs = kafka.partitions.iter().filter(|((topic, _), _)| topic.role().is_some_and(|role| roles.has(role)));
        theirs.into_iter().all(|(partition, place)| kafka.reached.get(&(Role::Order, *partition)).copied().unwrap_or(0) >= place.high())
    }

    /// Whether all logs are published to their ends, and that is stored.
    pub fn is_level(&self) -> bool {
        self.chaos.ask(|database| database.writers()).iter().all(|row| row.published_seq >= row.last_seq)
    }

    /// Which of these is not committed to its end.
    pub fn behind(&self, listened: impl IntoIterator<Item = (Role, PartitionId)>) -> Vec<(Role, PartitionId, i64, i64)> {
        let kafka = self.kafka();
        let mut behind = Vec::new();
        for (role, partition) in listened {
            let high = kafka.partitions.get(&partition).map_or(0, Partition::high);
            let offset = kafka.reached.get(&(role, partition)).copied().unwrap_or(0);
            if offset < high {
                behind.push((role, partition, offset, high));
            }
        }
        behind
    }

    /// Does harm now and then, until everything heals.
    pub async fn trouble(self, nodes: usize, seed: u64) {
        let mut chance = Chance::new(seed, 4);
        loop {
            let rages = self.chaos.rages();
            let ms = if rages { 200 + chance.below(2000) } else { 1000 };
            tokio::time::sleep(Duration::from_millis(ms)).await;
            let lingering = std::mem::take(&mut self.kafka().lingering);
            for (event, sent) in lingering {
                self.append(&event, &sent);
            }
            if rages {
                self.harm(nodes, &mut chance);
            } else {
                self.heal();
            }
        }
    }

    fn heal(&self) {
        let mut kafka = self.kafka();
        kafka.cut.clear();
        let mut is_changed = false;
        for place in kafka.partitions.values_mut() {
            place.away_until = None;
            if place.open.take().is_some() {
                place.entries.push(None);
                is_changed = true;
            }
        }
        drop(kafka);
        if is_changed {
            self.changed();
        }
    }

    fn harm(&self, nodes: usize, chance: &mut Chance) {
        let odds = self.chaos.lock().odds.clone();
        let mut kafka = self.kafka();
        let keys: Vec<PartitionId> = kafka.partitions.keys().copied().collect();
        let mut told = Vec::new();
        if chance.hits(odds.broker_cut) {
            let (node, ms) = (usize::try_from(chance.below(nodes as u64)).unwrap(), chance.delay_ms(15_000));
            kafka.cut.insert(node, Instant::now() + Duration::from_millis(ms));
            told.push(format!("brokers: node {node} is cut off for {ms} ms"));
        }
        for key in keys {
            let is_theirs = key.0.role().is_none_or(|role| self.external.has(role));
            let Some(place) = kafka.partitions.get_mut(&key) else { continue };
            if chance.hits(odds.moves) {
                let ms = chance.delay_ms(5000);
                place.away_until = Some(Instant::now() + Duration::from_millis(ms));
                told.push(format!("brokers: {key:?} moves for {ms} ms"));
            }
            // What nobody says again is not deleted.
            if chance.hits(odds.truncates) && !is_theirs && place.open.is_none() {
                let gone = chance.below(place.entries.len() as u64 + 1);
                place.entries.drain(..usize::try_from(gone).unwrap());
                place.low += i64::try_from(gone).unwrap();
                told.push(format!("brokers: {key:?} begins at {}", place.low));
            }
            match place.open {
                Some(_) if chance.hits(3000) => {
                    place.open = None;
                    place.entries.push(None);
                    told.push(format!("brokers: a transaction of {key:?} ends"));
                }
                None if chance.hits(odds.transactions) => {
                    place.open = Some(place.high());
                    place.entries.push(None);
                    told.push(format!("brokers: a transaction of {key:?} begins"));
                }
                Some(_) | None => {}
            }
        }
        drop(kafka);
        self.changed();
        told.into_iter().for_each(|line| self.chaos.tell(|| line));
    }
}
