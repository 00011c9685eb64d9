//! A role's listening loop.

use super::callbacks::{self, ConsumerCallbacks};
use super::commits::{Committing, Leaving};
use super::copies::Copies;
use super::gaps::{Gap, Place};
use super::lanes::Lanes;
use super::letters::{self, Failure, WAITS};
use super::parked::{self, Standing};
use super::processor::{CopyJob, End, MessageProcessor, Work};
use super::reassign::{Beginning, Begun, shard_of};
use super::watching::Watch;
use super::window::Window;
use super::{ConsumerParts, Figures, Reprocess, assignment};
use crate::domain::{DeadLetterId, OrderId, Role, Topic};
use crate::kafka::client;
use crate::kafka::headers::Headers;
use crate::kafka::message::{Dated, Reading, Record};
use crate::kafka::topics::{self, Counts, TopicNames};
use crate::saga::policy::Backoff;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _, Timestamp as KafkaTime};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

/// Parked orders that are looked at in one tick.
const PARKED_A_TICK: usize = 50;

/// What outlives a panic of the loop.
pub(super) struct Shared {
    pub(super) role: Role,
    pub(super) parts: ConsumerParts,
    pub(super) figures: Arc<Figures>,
    pub(super) stopping: watch::Receiver<bool>,
}

/// Runs the loop until it is stopped, and a new one when it panics or its client breaks.
pub(super) fn keep(runtime: &Runtime, shared: &Shared, mut asked: mpsc::Receiver<Reprocess>) {
    let settings = &shared.parts.settings;
    let rhythm = Backoff { first_ms: settings.backoff_first_ms, most_ms: settings.backoff_most_ms };
    let mut failures = 0;
    loop {
        let running = AssertUnwindSafe(|| runtime.block_on(listen(shared, &mut asked)));
        match catch_unwind(running) {
            Ok(Ok(())) => return,
            Ok(Err(error)) => shared.parts.state.away(&error.to_string()),
            Err(_) => tracing::error!(role = shared.role.name(), "the consumer panicked; it goes on from what is committed"),
        }
        failures += 1;
        let rest = Duration::from_millis(rhythm.after(failures));
        let mut stopping = shared.stopping.clone();
        // A timer is made within its runtime.
        let stopped = runtime.block_on(async { tokio::time::timeout(rest, stopping.wait_for(|stop| *stop)).await.is_ok() });
        if stopped {
            return;
        }
    }
}

async fn listen(shared: &Shared, asked: &mut mpsc::Receiver<Reprocess>) -> Result<(), KafkaError> {
    let (parts, role) = (&shared.parts, shared.role);
    let mut role_shards = parts.role_shards.clone();
    let mut stopping = shared.stopping.clone();
    // A role that hears everything without Kafka needs no client.
    tokio::select! {
        _ = stopping.wait_for(|stop| *stop) => return Ok(()),
        changed = role_shards.wait_for(|role_shards| !assignment::assignment(role, role_shards, parts.external).is_empty()) => drop(changed),
    }
    let shards = parts.reads.shards();
    let counts = topics::look(&parts.settings, &parts.state, shards).await?;
    parts.state.troubles().forget(role.name());
    let group = format!("{}ordermill.{}", parts.settings.prefix, role.name());
    let client = Arc::new(callbacks::client_of(shared, &group)?);
    let processor = MessageProcessor {
        role,
        settings: parts.settings.clone(),
        reading: Reading::of(&parts.settings, shards),
        inbound: parts.inbound.clone(),
        reads: parts.reads.clone(),
        copies: Copies::new(&parts.settings, &parts.state, shards, role)?,
        now: parts.now.clone(),
        group,
    };
    let run = Run {
        shared,
        names: TopicNames::of(&parts.settings),
        client,
        processor: Arc::new(processor),
        partitions: HashMap::new(),
        lanes: Lanes::default(),
        parked: HashSet::new(),
        round: Vec::new(),
        working: FuturesUnordered::new(),
        lives: 0,
        watch: Watch::new(counts),
        committing: None,
        leaving: BTreeMap::new(),
        beginning: Beginning::default(),
    };
    run.pump(asked).await
}

pub(super) struct Partition {
    pub(super) window: Window,
    pub(super) is_paused: bool,
    /// Which assignment it is of; what an older one left is a stranger.
    pub(super) life: u64,
    /// Set when the partition is given up: what is under way need not go on.
    pub(super) gone: Arc<AtomicBool>,
}

impl Partition {
    pub(super) fn new(window: Window, life: u64) -> Self {
        Self { window, is_paused: false, life, gone: Arc::default() }
    }
}

/// A message under way.
pub(super) struct Item {
    pub(super) record: Record,
    work: Work,
    pub(super) life: u64,
    gone: Arc<AtomicBool>,
}

/// What became of something that was under way.
pub(super) enum Finished {
    Message { place: Taken, order: Option<OrderId>, end: End, copy: Option<Box<CopyJob>>, gone: Arc<AtomicBool> },
    Copied { place: Taken },
    Standing { order: OrderId, standing: Option<Standing> },
    Waiting { order: OrderId, copy: Option<Box<CopyJob>> },
    Answered,
    Gaps(Result<Vec<Gap>, KafkaError>),
    Gap { gap: Gap, letter: DeadLetterId },
    Lost { letter: DeadLetterId, is_closed: bool },
    Counts(Option<Counts>),
    Rights(Vec<(Place, Option<RDKafkaErrorCode>)>),
    Begun(Result<Begun, Option<KafkaError>>),
    Group(Option<KafkaError>),
}

/// A message that was taken: its place, and in which assignment.
#[derive(Clone, Copy)]
pub(super) struct Taken {
    key: (Topic, i32),
    offset: i64,
    life: u64,
}

pub(super) struct Run<'s> {
    pub(super) shared: &'s Shared,
    pub(super) names: TopicNames,
    pub(super) client: Arc<StreamConsumer<ConsumerCallbacks>>,
    pub(super) processor: Arc<MessageProcessor>,
    pub(super) partitions: HashMap<(Topic, i32), Partition>,
    pub(super) lanes: Lanes<Item>,
    pub(super) parked: HashSet<OrderId>,
    /// Parked orders that are still to be looked at in this round.
    pub(super) round: Vec<OrderId>,
    pub(super) working: FuturesUnordered<BoxFuture<'static, Finished>>,
    pub(super) lives: u64,
    pub(super) watch: Watch,
    /// The offsets that are being committed.
    pub(super) committing: Option<Committing>,
    /// What is still to be committed of partitions that were given up.
    pub(super) leaving: BTreeMap<(Topic, i32), Leaving>,
    pub(super) beginning: Beginning,
}

impl Run<'_> {
    async fn pump(mut self, asked: &mut mpsc::Receiver<Reprocess>) -> Result<(), KafkaError> {
        let mut role_shards = self.shared.parts.role_shards.clone();
        let mut stopping = self.shared.stopping.clone();
        let mut ticks = interval(Duration::from_millis(self.shared.parts.settings.commit_ms.max(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        role_shards.mark_changed();
        loop {
            let again = self.beginning.again;
            tokio::select! {
                biased;
                _ = stopping.wait_for(|stop| *stop) => {
                    self.commit_whole().await;
                    return Ok(());
                }
                Ok(()) = role_shards.changed() => {
                    let now = role_shards.borrow_and_update().clone();
                    self.reassign(&now).await?;
                }
                () = sleep_until(again.unwrap_or_else(Instant::now)), if again.is_some() => {
                    self.beginning.again = None;
                    role_shards.mark_changed();
                }
                _ = ticks.tick() => {
                    self.pass_markers();
                    self.commit().await;
                    self.look_at_parked();
                    self.look_around();
                }
                Some(again) = asked.recv() => self.take_again(again),
                Some(finished) = self.working.next(), if !self.working.is_empty() => self.finished(finished)?,
                message = self.client.recv() => {
                    let record = message.map(|message| self.record(&message));
                    match record {
                        Ok(Some(record)) => self.taken(record)?,
                        Ok(None) => {}
                        Err(error) => self.failed(error)?,
                    }
                }
            }
            if std::mem::take(&mut self.watch.must_reassign) {
                role_shards.mark_changed();
            }
            self.shared.figures.partitions.store((self.partitions.len() + self.leaving.len()) as u64, Ordering::Relaxed);
            self.shared.figures.parked.store(self.parked.len() as u64, Ordering::Relaxed);
            self.shared.figures.waiting.store(self.partitions.values().map(|one| one.window.waiting() as u64).sum(), Ordering::Relaxed);
        }
    }

    /// Errors of single fetches pass by themselves; a fatal one ends the client.
    fn failed(&mut self, error: KafkaError) -> Result<(), KafkaError> {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::Fatal) => Err(error),
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                self.look_for_gaps();
                Ok(())
            }
            Some(RDKafkaErrorCode::GroupAuthorizationFailed) => {
                self.group_refused(&error);
                Ok(())
            }
            Some(code) if client::is_refusal(code) => {
                self.ask_rights();
                Ok(())
            }
            Some(_) | None => {
                tracing::debug!(error = %error, role = self.shared.role.name(), "a fetch failed");
                Ok(())
            }
        }
    }

    pub(super) fn list(&self, of: impl IntoIterator<Item = ((Topic, i32), Offset)>) -> Result<TopicPartitionList, KafkaError> {
        let mut list = TopicPartitionList::new();
        for ((topic, partition), offset) in of {
            list.add_partition_offset(&self.names.of_topic(topic), partition, offset)?;
        }
        Ok(list)
    }

    fn record(&self, message: &BorrowedMessage<'_>) -> Option<Record> {
        let mut headers = Headers::default();
        if let Some(all) = message.headers() {
            headers.0.extend(all.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))));
        }
        Some(Record {
            topic: self.names.topic(message.topic())?,
            partition: message.partition(),
            offset: message.offset(),
            timestamp_ms: message.timestamp().to_millis(),
            dated: match message.timestamp() {
                KafkaTime::LogAppendTime(_) => Dated::LogAppendTime,
                KafkaTime::CreateTime(_) | KafkaTime::NotAvailable => Dated::CreateTime,
            },
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers,
        })
    }

    fn taken(&mut self, record: Record) -> Result<(), KafkaError> {
        let key = (record.topic, record.partition);
        if record.value.is_none() {
            metrics::counter!("ordermill_kafka_tombstones_total", "topic" => record.topic.name()).increment(1);
        }
        let mut work = Work::of(&record, self.shared.role, &self.processor.reading);
        if matches!(work, Work::Move(_) | Work::Unreadable(_)) && !self.answers_for(&record) {
            work = Work::Pass;
        }
        // What was fetched before the partition was given up is its next owner's.
        let Some(partition) = self.partitions.get_mut(&key) else { return Ok(()) };
        self.shared.parts.state.up();
        self.shared.figures.taken.fetch_add(1, Ordering::Relaxed);
        partition.window.take(record.offset);
        if matches!(work, Work::Pass) {
            partition.window.done(record.offset);
            return Ok(());
        }
        let item = Item { life: partition.life, gone: partition.gone.clone(), record, work };
        let must_pause = partition.window.held() >= self.shared.parts.settings.consume_window && !partition.is_paused;
        partition.is_paused |= must_pause;
        let item = match item.work.order() {
            Some(order) => self.lanes.enter(order, item),
            None => Some(item),
        };
        if let Some(item) = item {
            self.begin(item);
        }
        if must_pause { self.client.pause(&self.list([(key, Offset::Invalid)])?) } else { Ok(()) }
    }

    fn begin(&mut self, item: Item) {
        let Item { record, work, life, gone } = item;
        let order = work.order();
        let waits = order.is_some_and(|order| self.parked.contains(&order)) && !work.overtakes();
        let processor = self.processor.clone();
        let place = Taken { key: (record.topic, record.partition), offset: record.offset, life };
        let task = async move {
            let (end, copy) = match &work {
                Work::Hear(event) if waits => {
                    let detail = "an earlier message of its order is a dead letter".to_owned();
                    let failure = Failure { cause: WAITS.to_owned(), detail, tries: 0 };
                    let buried = processor.bury(&record, event.kind().name(), order, &failure).await;
                    (if buried.is_open { End::Parked } else { End::Done }, buried.copy)
                }
                Work::Pass | Work::Hear(_) | Work::Move(_) | Work::Unreadable(_) => processor.process(&record, work, &gone).await,
            };
            Finished::Message { place, order, end, copy, gone }
        };
        self.working.push(task.boxed());
    }

    /// Puts a letter's copy on its topic; nothing waits for it but the offset.
    fn copy(&mut self, copy: Box<CopyJob>, place: Option<Taken>, gone: Arc<AtomicBool>) {
        let processor = self.processor.clone();
        let task = async move {
            processor.copy(&copy, &gone).await;
            place.map_or(Finished::Answered, |place| Finished::Copied { place })
        };
        self.working.push(task.boxed());
    }

    fn finished(&mut self, finished: Finished) -> Result<(), KafkaError> {
        match finished {
            Finished::Answered => Ok(()),
            Finished::Gaps(found) => self.found_gaps(found),
            Finished::Gap { gap, letter } => self.pass_gap(&gap, letter),
            Finished::Lost { letter, is_closed } => {
                self.looked_at_lost(letter, is_closed);
                Ok(())
            }
            Finished::Counts(counts) => {
                self.counted(counts);
                Ok(())
            }
            Finished::Rights(found) => self.told_rights(found),
            Finished::Begun(begun) => self.begun(begun),
            Finished::Group(refusal) => {
                self.group_answered(refusal.as_ref());
                Ok(())
            }
            Finished::Copied { place } => self.done(place),
            Finished::Message { place, order, end, copy, gone } => {
                // One of a partition that was given up meanwhile is its next owner's.
                if end == End::Parked && self.partitions.get(&place.key).is_some_and(|one| one.life == place.life) {
                    self.parked.extend(order);
                }
                if let Some(next) = order.and_then(|order| self.lanes.leave(order)) {
                    self.begin(next);
                }
                match copy {
                    Some(copy) => {
                        self.copy(copy, Some(place), gone);
                        Ok(())
                    }
                    None => self.done(place),
                }
            }
            Finished::Standing { order, standing: Some(Standing::Next(letter)) } if self.parked.contains(&order) => {
                let (processor, gone) = (self.processor.clone(), self.gone_of(order));
                let task = async move {
                    let copy = match letters::record(&letter) {
                        Some(record) => processor.process_waiting(&record, &letter, &gone).await,
                        None => None,
                    };
                    Finished::Waiting { order, copy }
                };
                self.working.push(task.boxed());
                Ok(())
            }
            Finished::Standing { order, standing } => {
                if matches!(standing, Some(Standing::Free)) {
                    self.parked.remove(&order);
                }
                self.free(order);
                Ok(())
            }
            // The lane is still taken: what waits behind it goes on in its order.
            Finished::Waiting { order, copy } => {
                if let Some(copy) = copy {
                    self.copy(copy, None, Arc::default());
                }
                self.look_at(order);
                Ok(())
            }
        }
    }

    /// Set when the order's partition is given up.
    fn gone_of(&self, order: OrderId) -> Arc<AtomicBool> {
        let shard = Some(self.processor.reading.shards.of(order));
        let mut partitions = self.partitions.iter().filter(|((_, partition), _)| shard_of(*partition) == shard);
        partitions.next().map_or_else(|| Arc::new(AtomicBool::new(true)), |(_, one)| one.gone.clone())
    }

    fn free(&mut self, order: OrderId) {
        if let Some(next) = self.lanes.leave(order) {
            self.begin(next);
        }
    }

    fn done(&mut self, place: Taken) -> Result<(), KafkaError> {
        let Taken { key, offset, life } = place;
        let Some(partition) = self.partitions.get_mut(&key).filter(|partition| partition.life == life) else { return Ok(()) };
        partition.window.done(offset);
        let has_room = partition.window.held() <= self.shared.parts.settings.consume_window / 2;
        if !(partition.is_paused && has_room) {
            return Ok(());
        }
        partition.is_paused = false;
        self.client.resume(&self.list([(key, Offset::Invalid)])?)
    }

    /// Parked orders go on when a person has closed what held them up.
    fn look_at_parked(&mut self) {
        if self.round.is_empty() {
            self.round.extend(self.parked.iter().copied());
        }
        let orders: Vec<OrderId> = self.round.drain(self.round.len().saturating_sub(PARKED_A_TICK)..).collect();
        for order in orders {
            if self.lanes.try_take(order) {
                self.look_at(order);
            }
        }
    }

    /// The order's lane is taken by the look.
    fn look_at(&mut self, order: OrderId) {
        let (reads, role) = (self.shared.parts.reads.clone(), self.shared.role);
        let look = async move { Finished::Standing { order, standing: parked::standing(&reads, role, order).await.ok() } };
        self.working.push(look.boxed());
    }

    fn take_again(&mut self, again: Reprocess) {
        let processor = self.processor.clone();
        let task = async move {
            let answer = parked::take_again(&processor, &again.letter).await;
            // Who asked may have given up.
            let _gone = again.reply.send(answer);
            Finished::Answered
        };
        self.working.push(task.boxed());
    }
}
