//! What Kafka is between nodes, and what the publisher and the consumer do with it: logs are followed to the topics, each stops at
//! its markers; a node takes what its roles must hear from the partitions of its shards, from the last committed offset.

use crate::auditor::{Auditor, node_of};
use crate::chance::Chance;
use crate::chaos::{Chaos, Passage};
use crate::life::{Fleet, pause};
use ordermill::actors::{InboundError, NodeHandle};
use ordermill::db::{LogEntry, Reads, WriterRow};
use ordermill::domain::{Event, EventKind, Marker, Role, RoleShards, Roles, Shard, Topic, WriterId};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::watch;

/// One message.
#[derive(Clone)]
struct Message {
    event: Event,
    /// The roles that had it where it became true.
    local: Roles,
}

/// What one role of a node reads.
type Lane = (Role, Topic, Shard);

#[derive(Default)]
struct Kafka {
    partitions: BTreeMap<(Topic, Shard), Vec<Message>>,
    offsets: BTreeMap<Lane, usize>,
    /// Up to where each log is published.
    cursors: BTreeMap<WriterId, i64>,
}

/// See the module; clones are the same bus.
#[derive(Clone)]
pub struct Bus {
    kafka: Arc<Mutex<Kafka>>,
    changes: watch::Sender<u64>,
    auditor: Arc<Auditor>,
    chaos: Arc<Chaos>,
    /// Roles of other teams.
    external: Roles,
}

/// So many messages of a partition are handled at once.
const WINDOW: usize = 6;

impl Bus {
    pub fn new(chaos: Arc<Chaos>, auditor: Arc<Auditor>, external: Roles) -> Self {
        Self { kafka: Arc::default(), changes: watch::Sender::new(0), auditor, chaos, external }
    }

    fn kafka(&self) -> MutexGuard<'_, Kafka> {
        self.kafka.lock().unwrap()
    }

    /// Another team's role says something.
    pub fn say(&self, event: Event) {
        self.put(Message { event, local: Roles::default() });
    }

    /// Told with each message.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// What is new on the topics that other teams listen to.
    pub fn heard(&self, upto: &mut BTreeMap<(Topic, Shard), usize>) -> Vec<Event> {
        let kafka = self.kafka();
        let mut news = Vec::new();
        for (place, list) in kafka.partitions.iter().filter(|((topic, _), _)| matches!(topic, Topic::Order | Topic::Inventory)) {
            let from = upto.entry(*place).or_insert(0);
            news.extend(list[*from..].iter().map(|message| message.event.clone()));
            *from = list.len();
        }
        news
    }

    /// Whether all that these roles of other teams said was heard.
    pub fn is_heard(&self, roles: Roles) -> bool {
        let kafka = self.kafka();
        let theirs = kafka.partitions.iter().filter(|((topic, _), _)| topic.role().is_some_and(|role| roles.has(role)));
        theirs.into_iter().all(|((topic, shard), list)| kafka.offsets.get(&(Role::Order, *topic, *shard)) == Some(&list.len()))
    }

    fn put(&self, message: Message) {
        self.kafka().partitions.entry((message.event.kind().topic(), message.event.shard)).or_default().push(message);
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// A node's writer tells an event again. While its log is not published to its end, none is: else a repeat could overtake it. Nor
    /// is one of the node's last writer.
    pub fn repeat(&self, node: usize, writer: WriterId, event: Event) {
        let rows = self.chaos.ask(|database| database.writers());
        let own = rows.iter().rfind(|row| node_of(row) == node).filter(|row| row.writer == writer);
        if own.is_none_or(|row| self.cursor(row.writer) < row.last_seq) {
            return;
        }
        if let Some(broken) = self.auditor.published(&event) {
            self.chaos.breaks(format!("{broken}, by a repeat"));
        }
        self.put(Message { event, local: Roles::default() });
    }

    /// Whether all logs are published to their ends.
    pub fn is_level(&self) -> bool {
        let rows = self.chaos.ask(|database| database.writers());
        let kafka = self.kafka();
        rows.iter().all(|row| kafka.cursors.get(&row.writer).copied().unwrap_or(0) >= row.last_seq)
    }

    fn cursor(&self, writer: WriterId) -> i64 {
        self.kafka().cursors.get(&writer).copied().unwrap_or(0)
    }

    /// Publishes a few entries of one log; `false`: its next marker must wait.
    fn advance(&self, fleet: &Fleet, row: &WriterRow, most: u32) -> bool {
        let entries = self.chaos.ask(|database| database.log(row.writer, self.cursor(row.writer), most));
        for entry in entries {
            match &entry {
                LogEntry::Event(logged) => {
                    if let Some(broken) = self.auditor.published(&logged.event) {
                        self.chaos.breaks(broken);
                    }
                    let local = fleet.local_roles(row, logged.event.shard);
                    self.put(Message { event: logged.event.clone(), local });
                }
                LogEntry::Marker { marker, .. } if self.waits(fleet, row.writer, marker) => return false,
                LogEntry::Marker { .. } => {}
            }
            self.kafka().cursors.insert(row.writer, entry.seq());
        }
        true
    }

    fn waits(&self, fleet: &Fleet, writer: WriterId, marker: &Marker) -> bool {
        let before = marker.after.filter(|(before, _)| *before != writer && !fleet.ground.passes_markers);
        before.is_some_and(|(before, seq)| self.cursor(before) < seq)
    }

    /// What a node with these role shards has not read.
    fn behind(&self, role_shards: &RoleShards) -> Vec<Lane> {
        let kafka = self.kafka();
        let mut lanes = Vec::new();
        for ((topic, shard), list) in &kafka.partitions {
            for role in Role::ALL {
                let lane = (role, *topic, *shard);
                if is_assigned(role_shards, lane) && kafka.offsets.get(&lane).copied().unwrap_or(0) < list.len() {
                    lanes.push(lane);
                }
            }
        }
        lanes
    }

    fn window(&self, lane: Lane) -> (usize, Vec<Message>) {
        let kafka = self.kafka();
        let from = kafka.offsets.get(&lane).copied().unwrap_or(0);
        let list = kafka.partitions.get(&(lane.1, lane.2)).map_or(&[][..], Vec::as_slice);
        (from, list[from.min(list.len())..].iter().take(WINDOW).cloned().collect())
    }

    fn commit(&self, lane: Lane, offset: usize) {
        let mut kafka = self.kafka();
        let stored = kafka.offsets.entry(lane).or_insert(0);
        *stored = offset.max(*stored);
    }
}

/// Whether a node with these role shards reads this partition for this role: where the role that writes the topic is here for the same
/// shard, what is new is heard without Kafka.
fn is_assigned(role_shards: &RoleShards, (role, topic, shard): Lane) -> bool {
    role_shards.has(role, shard) && topic.role().is_none_or(|writer| !role_shards.has(writer, shard))
}

fn takes(role: Role, kind: EventKind) -> bool {
    let learns = kind == EventKind::OrderCreated && matches!(role, Role::Payment | Role::Notification);
    learns || kind.subscribers().contains(&role)
}

/// Publishes what is stored, each log at a pace of its own.
pub async fn publish(fleet: Rc<Fleet>, bus: Bus, seed: u64) {
    let mut chance = Chance::new(seed, 4);
    // A log may be slow for a while.
    let mut slow: BTreeMap<WriterId, tokio::time::Instant> = BTreeMap::new();
    loop {
        let mut has_more = false;
        for row in bus.chaos.ask(|database| database.writers()) {
            if bus.cursor(row.writer) >= row.last_seq {
                continue;
            }
            has_more = true;
            let now = tokio::time::Instant::now();
            if bus.chaos.rages() && chance.hits(300) {
                slow.insert(row.writer, now + Duration::from_millis(chance.below(15_000)));
            }
            let is_slow = bus.chaos.rages() && slow.get(&row.writer).is_some_and(|until| *until > now);
            if !is_slow && fleet.publishes(&row) {
                let most = 1 + u32::try_from(chance.below(5)).unwrap();
                bus.advance(&fleet, &row, most);
            }
        }
        if has_more {
            pause(5 + chance.below(40)).await;
        } else {
            fleet.ground.auditor.stored.notified().await;
        }
    }
}

/// Lets a node's roles hear what they must.
pub async fn consume(handle: NodeHandle, bus: Bus) {
    let mut changes = bus.changes.subscribe();
    let mut role_shards = handle.role_shards();
    let busy: Rc<RefCell<BTreeSet<Lane>>> = Rc::default();
    loop {
        let _seen = *changes.borrow_and_update();
        let owned = role_shards.borrow_and_update().clone();
        for lane in bus.behind(&owned) {
            if busy.borrow_mut().insert(lane) {
                let (handle, bus, busy) = (handle.clone(), bus.clone(), busy.clone());
                actix::spawn(async move {
                    read(&handle, &bus, lane).await;
                    busy.borrow_mut().remove(&lane);
                });
            }
        }
        tokio::select! {
            biased;
            changed = changes.changed() => if changed.is_err() { return },
            changed = role_shards.changed() => if changed.is_err() { return },
            () = pause(500) => {}
        }
    }
}

async fn read(handle: &NodeHandle, bus: &Bus, lane: Lane) {
    loop {
        let (from, window) = bus.window(lane);
        if window.is_empty() || !is_assigned(&handle.role_shards().borrow().clone(), lane) {
            return;
        }
        let count = window.len();
        let is_theirs = lane.1.role().is_some_and(|role| bus.external.has(role));
        let heard = if is_theirs {
            futures_util::future::join_all(by_order(window).into_iter().map(|all| take_in_turn(handle, bus, lane, all))).await
        } else {
            futures_util::future::join_all(window.into_iter().map(|message| take(handle, bus, lane, message))).await
        };
        if heard.contains(&Heard::NotHere) {
            return;
        }
        bus.commit(lane, from + count);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Heard {
    Yes,
    NotHere,
}

/// Of another team's role the first answer counts, so an order's messages are taken one after the other, as the consumer does.
fn by_order(window: Vec<Message>) -> Vec<Vec<Message>> {
    let mut orders: Vec<Vec<Message>> = Vec::new();
    for message in window {
        match orders.iter_mut().find(|all| all[0].event.order == message.event.order) {
            Some(all) => all.push(message),
            None => orders.push(vec![message]),
        }
    }
    orders
}

async fn take_in_turn(handle: &NodeHandle, bus: &Bus, lane: Lane, messages: Vec<Message>) -> Heard {
    for message in messages {
        if take(handle, bus, lane, message).await == Heard::NotHere {
            return Heard::NotHere;
        }
    }
    Heard::Yes
}

async fn take(handle: &NodeHandle, bus: &Bus, lane: Lane, message: Message) -> Heard {
    if !takes(lane.0, message.event.kind()) || message.local.has(lane.0) {
        return Heard::Yes;
    }
    let passage = bus.chaos.passage();
    if passage != Passage::Once {
        bus.chaos.tell(|| format!("bus: {passage:?} {} {} to {:?}", message.event.kind().name(), message.event.order, lane.0));
    }
    match passage {
        Passage::Once => {}
        // Nobody would say it again.
        Passage::Lost if message.event.kind().topic().role().is_some_and(|role| bus.external.has(role)) => {}
        Passage::Lost => return Heard::Yes,
        Passage::Twice => {
            if hear(handle, bus, lane, &message).await == Heard::NotHere {
                return Heard::NotHere;
            }
        }
        Passage::Late { ms } => pause(ms).await,
    }
    hear(handle, bus, lane, &message).await
}

async fn hear(handle: &NodeHandle, bus: &Bus, lane: Lane, message: &Message) -> Heard {
    let limit = Duration::from_secs(30);
    loop {
        if !is_assigned(&handle.role_shards().borrow().clone(), lane) {
            return Heard::NotHere;
        }
        match handle.handle(lane.0, message.event.clone(), limit).await {
            Ok(()) => return Heard::Yes,
            Err(InboundError::NotNow) => pause(100).await,
            Err(InboundError::UnknownOrder) => {
                bus.chaos.breaks(format!("{:?} is about no order", message.event));
                return Heard::Yes;
            }
        }
    }
}
