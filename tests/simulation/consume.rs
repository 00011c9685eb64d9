//! A node's consumer of one role: the real core and the real handling of messages, between the simulated brokers and the node.

use crate::broker::{Broker, Fetched, shards};
use crate::chance::Chance;
use crate::chaos::Chaos;
use crate::life::pause;
use futures_util::future::{BoxFuture, LocalBoxFuture};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use ordermill::actors::{NodeHandle, World};
use ordermill::db::ConsumedPlace;
use ordermill::domain::{DeadLetter, DeadLetterId, Event, OrderId, Role, RoleShards, Shard, Topic, WriterId};
use ordermill::kafka::consumer::core::assignment::PartitionId;
use ordermill::kafka::consumer::core::gap::Gap;
use ordermill::kafka::consumer::core::standing::Standing;
use ordermill::kafka::consumer::core::starts::Starts;
use ordermill::kafka::consumer::core::work::End;
use ordermill::kafka::consumer::core::{Action, Begun, ConsumerCore, Taken, letters};
use ordermill::kafka::consumer::processor::{CopyJob, MessageProcessor};
use ordermill::kafka::consumer::{CopyWriter, InboundError, InboundEvents, NodeInbound, parked, places};
use ordermill::kafka::message::{Reading, Record};
use ordermill::kafka::topics::TopicNames;
use ordermill::plants::Plant;
use ordermill::saga::Shipment;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval, sleep_until};

/// See the module.
pub struct Shell {
    pub role: Role,
    pub broker: Broker,
    pub chaos: Arc<Chaos>,
    pub node: usize,
    pub handle: NodeHandle,
    pub chance: Chance,
    pub processor: Arc<MessageProcessor>,
    /// What the node owns, as it changes.
    pub owned: mpsc::UnboundedReceiver<RoleShards>,
    pub plant: Option<Plant>,
}

/// What handles a role's messages on a node.
pub fn processor(role: Role, broker: &Broker, handle: &NodeHandle, clock: Arc<dyn World>) -> Arc<MessageProcessor> {
    let now = move || clock.now();
    let now: Arc<dyn Fn() -> ordermill::domain::Timestamp + Send + Sync> = Arc::new(now);
    let node = NodeInbound { handle: handle.clone(), limit: Duration::from_secs(30), now: now.clone() };
    Arc::new(MessageProcessor {
        role,
        settings: broker.settings.clone(),
        reading: Reading::of(&broker.settings, shards()),
        inbound: Arc::new(Inbound { node, broker: broker.clone(), role }),
        reads: handle.reads().clone(),
        copies: Arc::new(Copies),
        now,
        group: format!("ordermill.{}", role.name()),
        tracer: ordermill::telemetry::traces::Tracer::default(),
    })
}

/// The way into the node: what fails on it, and what arrives is noted.
struct Inbound {
    node: NodeInbound,
    broker: Broker,
    role: Role,
}

type Answer = BoxFuture<'static, Result<(), InboundError>>;

impl InboundEvents for Inbound {
    fn is_lost(&self, role: Role, event: &Event, rests_on: (WriterId, i64)) -> BoxFuture<'static, Result<bool, InboundError>> {
        let (broker, id) = (self.broker.clone(), event.id());
        let asking = self.node.is_lost(role, event, rests_on);
        async move {
            let is_lost = asking.await;
            if is_lost == Ok(true) {
                // There is nothing to be taken.
                broker.handled(role, id);
            }
            is_lost
        }
        .boxed()
    }

    fn handle(&self, role: Role, event: Event) -> Answer {
        let is_theirs = event.kind().topic().role().is_none_or(|role| self.broker.external.has(role));
        let chaos = self.broker.chaos.clone();
        if !is_theirs && chaos.fails_to_take() {
            chaos.tell(|| format!("{} of {} is not taken by {role:?}", event.kind().name(), event.order));
            let (cause, detail) = ("planned".to_owned(), "planned".to_owned());
            return async { Err(InboundError::Failed { cause, detail }) }.boxed();
        }
        let (broker, id) = (self.broker.clone(), event.id());
        let handling = self.node.handle(role, event);
        async move {
            let handled = handling.await;
            if handled.is_ok() {
                broker.handled(role, id);
            }
            handled
        }
        .boxed()
    }

    fn ship(&self, order: OrderId, shipment: Shipment) -> Answer {
        self.node.ship(order, shipment)
    }

    fn add_letter(&self, letter: DeadLetter) -> Answer {
        let (broker, role, record) = (self.broker.clone(), self.role, letters::record(&letter));
        let adding = self.node.add_letter(letter);
        async move {
            let added = adding.await;
            if let (Ok(()), Some(record)) = (&added, record) {
                broker.buried(role, (record.topic, record.partition), record.offset);
            }
            added
        }
        .boxed()
    }

    fn mark_letter(&self, letter: DeadLetterId, origin: String) -> Answer {
        self.node.mark_letter(letter, origin)
    }

    fn close_letter(&self, letter: DeadLetterId) -> Answer {
        self.node.close_letter(letter)
    }

    fn store_places(&self, role: Role, places: Vec<ConsumedPlace>) -> BoxFuture<'static, bool> {
        let names = TopicNames::of(&self.broker.settings);
        for place in &places {
            self.broker.stores(role, (names.topic(&place.topic).unwrap(), place.partition), place.next);
        }
        self.node.store_places(role, places)
    }
}

/// Copies of dead letters arrive somewhere; nothing here stands on a wrong partition.
struct Copies;

impl CopyWriter for Copies {
    fn dead_letter<'a>(&'a self, _: &'a Record, _: &'a DeadLetter, _: &'a str, gone: &'a AtomicBool) -> BoxFuture<'a, bool> {
        async move {
            pause(30).await;
            !gone.load(Ordering::Acquire)
        }
        .boxed()
    }

    fn to_its_partition<'a>(&'a self, _: &'a Record, _: OrderId, _: &'a AtomicBool) -> BoxFuture<'a, ()> {
        async {}.boxed()
    }
}

/// What became of something that was under way.
enum Finished {
    Message { place: Taken, order: Option<OrderId>, end: End, copy: Option<Box<CopyJob>>, gone: Arc<AtomicBool> },
    Copied(Option<Taken>),
    Stands(OrderId, Option<Standing>),
    Waited(OrderId, Option<Box<CopyJob>>),
    Found(Option<Vec<OrderId>>),
    Begun(Option<Begun>),
    Committed(BTreeSet<Topic>),
    Stored(bool),
    Gap(Gap),
}

/// Where the client stands in a partition.
struct Position {
    next: i64,
    is_paused: bool,
}

struct Run {
    shell: Shell,
    core: ConsumerCore,
    positions: BTreeMap<PartitionId, Position>,
    gone: BTreeMap<(PartitionId, u64), Arc<AtomicBool>>,
    shards_gone: BTreeMap<Shard, Arc<AtomicBool>>,
    working: FuturesUnordered<LocalBoxFuture<'static, Finished>>,
    again: Option<Instant>,
    /// Gaps of which a letter is being stored.
    gaps: BTreeSet<PartitionId>,
}

/// Runs until the node ends.
pub async fn consume(shell: Shell) {
    let mut core = ConsumerCore::new(shell.role, shell.broker.external, &shell.broker.settings, shards()).with(shell.plant);
    core.counted(Topic::ALL.map(|topic| (topic, i32::from(shards().count()))));
    let mut run = Run {
        shell,
        core,
        positions: BTreeMap::new(),
        gone: BTreeMap::new(),
        shards_gone: BTreeMap::new(),
        working: FuturesUnordered::new(),
        again: None,
        gaps: BTreeSet::new(),
    };
    run.pump().await;
}

impl Run {
    async fn pump(&mut self) {
        let changes = self.shell.broker.changes.clone();
        let every = |ms| interval(Duration::from_millis(ms));
        let mut ticks = every(self.shell.broker.settings.commit_ms);
        let mut looks = every(u64::from(parked::FIND_PROBES) * self.shell.broker.settings.probe_ms);
        loop {
            let changed = changes.notified();
            let has_some = self.next().is_some();
            tokio::select! {
                biased;
                owned = self.shell.owned.recv() => match owned {
                    Some(owned) => {
                        let role = self.shell.role;
                        self.shards_gone.retain(|shard, gone| {
                            let is_ours = owned.has(role, *shard);
                            gone.fetch_or(!is_ours, Ordering::AcqRel);
                            is_ours
                        });
                        self.core.assign(&owned);
                    }
                    None => return,
                },
                () = sleep_until(self.again.unwrap_or_else(Instant::now)), if self.again.is_some() => {
                    self.again = None;
                    self.core.plan();
                }
                _ = ticks.tick() => {
                    self.tell_positions();
                    self.store();
                    self.commit();
                    self.core.look_at_parked();
                }
                _ = looks.tick() => self.core.find_parked(),
                Some(finished) = self.working.next(), if !self.working.is_empty() => self.finished(finished),
                () = std::future::ready(()), if has_some => self.read(),
                () = changed, if !has_some => {}
            }
            while let Some(action) = self.core.poll() {
                self.act(action);
            }
        }
    }

    /// The next partition that has something, and where it is.
    fn next(&self) -> Option<(PartitionId, i64)> {
        let open = self.positions.iter().filter(|(key, position)| !position.is_paused && !self.gaps.contains(key));
        self.shell.broker.next(self.shell.node, open.map(|(key, position)| (*key, position.next)))
    }

    fn read(&mut self) {
        let Some((key, offset)) = self.next() else { return };
        match self.shell.broker.fetch(self.shell.node, key, offset) {
            Fetched::Nothing => {}
            Fetched::Passed(next) => self.go_to(key, next),
            Fetched::Record(record) => {
                self.go_to(key, record.offset + 1);
                self.core.taken(record);
            }
            Fetched::OutOfRange => {
                let gaps: Vec<Gap> = self
                    .core
                    .places()
                    .into_iter()
                    .filter_map(|(key, at)| {
                        let (low, high) = self.shell.broker.watermarks(key);
                        Gap::at(key, at, low, high)
                    })
                    .collect();
                if gaps.is_empty() {
                    return self.core.fetch_again(|_| true);
                }
                for gap in gaps {
                    if self.gaps.insert(gap.partition) {
                        let processor = self.shell.processor.clone();
                        self.shell.chaos.tell(|| format!("{:?}: {gap:?}", self.shell.role));
                        let store = async move {
                            processor.lost(gap.partition.0.name(), &gap).await;
                            Finished::Gap(gap)
                        };
                        self.working.push(store.boxed_local());
                    }
                }
            }
        }
    }

    fn go_to(&mut self, key: PartitionId, next: i64) {
        if let Some(position) = self.positions.get_mut(&key) {
            position.next = next;
        }
    }

    /// As the client's statistics do: everything before a position was given.
    fn tell_positions(&mut self) {
        let (broker, node) = (&self.shell.broker, self.shell.node);
        for (key, position) in &self.positions {
            if broker.next(node, [(*key, position.next)]).is_none() {
                self.core.stands_at(*key, position.next, position.next);
            }
        }
    }

    fn store(&mut self) {
        let places = self.core.to_store();
        if !places.is_empty() {
            let places = places::named(places, &TopicNames::of(&self.shell.broker.settings));
            let storing = self.shell.processor.inbound.store_places(self.shell.role, places);
            self.working.push(async move { Finished::Stored(storing.await) }.boxed_local());
        }
    }

    fn commit(&mut self) {
        let offsets = self.core.to_commit();
        if offsets.is_empty() {
            return;
        }
        let Shell { broker, chaos, node, chance, role, .. } = &mut self.shell;
        let (fate, ms) = (chaos.fate(chance), if chaos.rages() { chance.delay_ms(3000) } else { 5 });
        let (broker, node, role) = (broker.clone(), *node, *role);
        let commit = async move {
            pause(ms).await;
            let all: BTreeSet<Topic> = offsets.keys().copied().collect();
            if !broker.reaches(node) || fate == crate::publish::Fate::Refused {
                return Finished::Committed(all);
            }
            for (topic, places) in offsets {
                places.into_iter().for_each(|(number, offset)| broker.commit(role, (topic, number), offset));
            }
            Finished::Committed(if fate == crate::publish::Fate::Taken { BTreeSet::new() } else { all })
        };
        self.working.push(commit.boxed_local());
    }

    fn gone_of(&self, key: (PartitionId, u64)) -> Arc<AtomicBool> {
        self.gone.get(&key).cloned().unwrap_or_else(|| Arc::new(AtomicBool::new(true)))
    }

    fn ask_where(&mut self, new: Vec<PartitionId>, shards: BTreeSet<Shard>) {
        let (reads, role) = (self.shell.handle.reads().clone(), self.shell.role);
        let (broker, node, chance) = (self.shell.broker.clone(), self.shell.node, &mut self.shell.chance);
        let (fate, ms) = (self.shell.chaos.fate(chance), if self.shell.chaos.rages() { chance.delay_ms(2000) } else { 5 });
        let ask = async move {
            let Ok(starts) = places::load(&reads, role, &TopicNames::of(&broker.settings)).await else {
                return Finished::Begun(None);
            };
            pause(ms).await;
            if !broker.reaches(node) || fate != crate::publish::Fate::Taken {
                return Finished::Begun(None);
            }
            let starts = Starts { committed: broker.committed(role, &new), ..starts };
            let parked = parked::load(&reads, role, &shards).await.ok();
            Finished::Begun(parked.map(|parked| Begun { starts, parked, ..Begun::default() }))
        };
        self.working.push(ask.boxed_local());
    }

    fn act(&mut self, action: Action) {
        let processor = self.shell.processor.clone();
        let (reads, role) = (self.shell.handle.reads().clone(), self.shell.role);
        match action {
            Action::AskWhere(new, shards) => self.ask_where(new, shards),
            Action::Listen(places, life) => {
                for (key, at) in places {
                    let next = at.unwrap_or_else(|| self.shell.broker.watermarks(key).0);
                    self.positions.insert(key, Position { next, is_paused: false });
                    self.gone.insert((key, life), Arc::default());
                }
            }
            Action::Leave(gone) => {
                self.positions.retain(|key, _| !gone.contains(key));
                self.gone.retain(|(key, _), flag| {
                    let is_gone = gone.contains(key);
                    flag.fetch_or(is_gone, Ordering::AcqRel);
                    !is_gone
                });
                self.store();
                self.commit();
            }
            Action::Fetch(key, at, life) => {
                let next = at.unwrap_or_else(|| self.shell.broker.watermarks(key).0);
                self.positions.insert(key, Position { next, is_paused: false });
                self.gone.entry((key, life)).or_default();
            }
            Action::Pause(key) => self.pause(key, true),
            Action::Resume(key) => self.pause(key, false),
            Action::Process(task) => {
                let gone = self.gone_of((task.place.partition, task.place.life));
                let (place, order) = (task.place, task.work.order());
                let work = async move {
                    let (end, copy) = processor.work(*task, &gone).await;
                    Finished::Message { place, order, end, copy, gone }
                };
                self.working.push(work.boxed_local());
            }
            Action::FindParked(shards) => self.find_parked(shards),
            Action::LookAt(order) => {
                let look = async move { Finished::Stands(order, parked::standing(&reads, role, order).await.ok()) };
                self.working.push(look.boxed_local());
            }
            Action::TakeWaiting(order, letter) => {
                let gone = self.shards_gone.entry(shards().of(order)).or_default().clone();
                let take = async move {
                    let copy = match letters::record(&letter) {
                        Some(record) => processor.process_waiting(&record, &letter, &gone).await,
                        None => None,
                    };
                    Finished::Waited(order, copy)
                };
                self.working.push(take.boxed_local());
            }
        }
    }

    fn find_parked(&self, shards: BTreeSet<Shard>) {
        let (reads, role) = (self.shell.handle.reads().clone(), self.shell.role);
        self.working.push(async move { Finished::Found(parked::load(&reads, role, &shards).await.ok()) }.boxed_local());
    }

    fn pause(&mut self, key: PartitionId, is_paused: bool) {
        if let Some(position) = self.positions.get_mut(&key) {
            position.is_paused = is_paused;
        }
    }

    fn copy(&self, copy: Box<CopyJob>, place: Option<Taken>, gone: Arc<AtomicBool>) {
        let processor = self.shell.processor.clone();
        let copying = async move {
            processor.copy(&copy, &gone).await;
            Finished::Copied(place)
        };
        self.working.push(copying.boxed_local());
    }

    fn finished(&mut self, finished: Finished) {
        match finished {
            Finished::Message { place, order, end, copy, gone } => {
                self.core.processed(place, order, end, copy.is_some());
                if let Some(copy) = copy {
                    self.copy(copy, Some(place), gone);
                }
            }
            Finished::Copied(place) => place.into_iter().for_each(|place| self.core.copied(place)),
            Finished::Stands(order, standing) => self.core.stands(order, standing),
            Finished::Waited(order, copy) => {
                if let Some(copy) = copy {
                    self.copy(copy, None, Arc::default());
                }
                self.core.waited(order);
            }
            Finished::Found(found) => self.core.found_parked(found),
            Finished::Begun(begun) => {
                if begun.is_none() {
                    self.again = Some(Instant::now() + Duration::from_millis(self.shell.broker.settings.pause_ms));
                }
                self.core.begun(begun);
            }
            Finished::Committed(failed) => self.core.committed(&failed),
            Finished::Stored(is_stored) => self.core.stored(is_stored),
            Finished::Gap(gap) => {
                self.gaps.remove(&gap.partition);
                self.core.pass_gap(&gap);
            }
        }
    }
}
