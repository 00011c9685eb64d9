//! A role's listening loop: does what the core asks for, and tells it what happened.

use super::copies::Copies;
use super::core::{Action, ConsumerCore, Taken, Task, assignment, letters};
use super::parts::Reprocess;
use super::processor::{CopyJob, MessageProcessor};
use super::state::{Finished, Run, Shared};
use super::{callbacks, parked};
use crate::domain::{DeadLetter, OrderId, Shard};
use crate::kafka::client;
use crate::kafka::headers::Headers;
use crate::kafka::message::{Dated, Reading, Record};
use crate::kafka::topics::{self, TopicNames};
use crate::saga::policy::Backoff;
use futures_util::{FutureExt, StreamExt};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _, Timestamp as KafkaTime};
use rdkafka::topic_partition_list::Offset;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at, sleep_until};

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
            Err(_) => tracing::error!(role = shared.role.name(), "the consumer panicked; it goes on from what is stored"),
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
    // A role that hears everything without Kafka needs no client, unless it heard otherwise before and something waits from then, or a
    // person has it tried again.
    let probe = Duration::from_millis(parts.settings.probe_ms.max(1));
    let finding = probe * parked::FIND_PROBES;
    let mut finds = interval_at(Instant::now() + finding, finding);
    loop {
        tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => return Ok(()),
            changed = role_shards.wait_for(|role_shards| !assignment::assignment(role, role_shards, parts.external).is_empty()) => {
                drop(changed);
                break;
            }
            () = tokio::time::sleep(probe) => {
                if !asked.is_empty() {
                    break;
                }
            }
            _ = finds.tick() => {
                let owned = parts.role_shards.borrow().shards_of(role).into_iter().collect();
                if parked::load(&parts.reads, role, &owned).await.is_ok_and(|parked| !parked.is_empty()) {
                    break;
                }
            }
        }
    }
    let shards = parts.reads.shards();
    let counts = topics::look(&parts.settings, &parts.state, shards).await?;
    parts.state.troubles().forget(role.name());
    let group = format!("{}ordermill.{}", parts.settings.prefix, role.name());
    let client = Arc::new(callbacks::client_of(parts, role, &shared.figures, &group)?);
    let processor = MessageProcessor {
        role,
        settings: parts.settings.clone(),
        reading: Reading::of(&parts.settings, shards),
        inbound: parts.inbound.clone(),
        reads: parts.reads.clone(),
        copies: Arc::new(Copies::new(&parts.settings, &parts.state, shards, role)?),
        now: parts.now.clone(),
        group,
        tracer: parts.tracer.clone(),
    };
    let mut core = ConsumerCore::new(role, parts.external, &parts.settings, shards);
    let names = TopicNames::of(&parts.settings);
    core.counted(counts.iter().filter_map(|(name, count)| Some((names.topic(name)?, *count))));
    Run::new(shared, client, Arc::new(processor), core).pump(asked).await
}

impl Run<'_> {
    async fn pump(mut self, asked: &mut mpsc::Receiver<Reprocess>) -> Result<(), KafkaError> {
        let mut role_shards = self.shared.parts.role_shards.clone();
        let mut stopping = self.shared.stopping.clone();
        let mut ticks = interval(Duration::from_millis(self.shared.parts.settings.commit_ms.max(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        role_shards.mark_changed();
        loop {
            let again = self.group.again;
            tokio::select! {
                biased;
                _ = stopping.wait_for(|stop| *stop) => {
                    self.store_whole().await;
                    self.commit_whole().await;
                    return Ok(());
                }
                Ok(()) = role_shards.changed() => {
                    let now = role_shards.borrow_and_update().clone();
                    self.reassign(&now);
                }
                () = sleep_until(again.unwrap_or_else(Instant::now)), if again.is_some() => {
                    self.group.again = None;
                    role_shards.mark_changed();
                }
                _ = ticks.tick() => {
                    self.pass_markers();
                    self.store().await;
                    self.commit().await;
                    self.core.look_at_parked();
                    self.look_around();
                }
                Some(again) = asked.recv() => self.take_again(again),
                Some(finished) = self.working.next(), if !self.working.is_empty() => self.finished(finished),
                message = self.client.recv() => {
                    let record = message.map(|message| self.record(&message));
                    match record {
                        Ok(Some(record)) => self.taken(record),
                        Ok(None) => {}
                        Err(error) => self.failed(error)?,
                    }
                }
            }
            self.act().await?;
            self.shared.figures.partitions.store(self.core.partitions() as u64, Ordering::Relaxed);
            self.shared.figures.parked.store(self.core.parked() as u64, Ordering::Relaxed);
            self.shared.figures.waiting.store(self.core.waiting() as u64, Ordering::Relaxed);
        }
    }

    /// Does what the core asks for.
    async fn act(&mut self) -> Result<(), KafkaError> {
        while let Some(action) = self.core.poll() {
            match action {
                Action::AskWhere(new, shards) => self.ask_where(&new, shards)?,
                Action::Listen(places, life) => self.listen(places, life)?,
                Action::Leave(gone) => self.leave(&gone).await?,
                Action::Fetch(key, offset, life) => self.fetch(key, offset, life)?,
                Action::Pause(key) => self.client.pause(&self.list([(key, Offset::Invalid)])?)?,
                Action::Resume(key) => self.client.resume(&self.list([(key, Offset::Invalid)])?)?,
                Action::Process(task) => self.process(*task),
                Action::FindParked(shards) => self.find_parked(shards),
                Action::LookAt(order) => self.look_at(order),
                Action::TakeWaiting(order, letter) => self.take_waiting(order, letter),
            }
        }
        Ok(())
    }

    /// Errors of single fetches pass by themselves; a fatal one ends the client.
    fn failed(&mut self, error: KafkaError) -> Result<(), KafkaError> {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::Fatal) => return Err(error),
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => self.look_for_gaps(),
            Some(RDKafkaErrorCode::GroupAuthorizationFailed) => self.group_refused(&error),
            Some(code) if client::is_refusal(code) => self.ask_rights(),
            Some(_) | None => tracing::debug!(error = %error, role = self.shared.role.name(), "a fetch failed"),
        }
        Ok(())
    }

    fn record(&self, message: &BorrowedMessage<'_>) -> Option<Record> {
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
            headers: Headers::of(message),
        })
    }

    fn taken(&mut self, record: Record) {
        if record.value.is_none() {
            metrics::counter!("ordermill_kafka_tombstones_total", "topic" => record.topic.name()).increment(1);
        }
        if self.core.taken(record) {
            self.shared.parts.state.up();
            self.shared.figures.taken.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn process(&self, task: Task) {
        let (processor, gone) = (self.processor.clone(), self.gone_of((task.place.partition, task.place.life)));
        let (place, order) = (task.place, task.work.order());
        let task = async move {
            let (end, copy) = processor.work(task, &gone).await;
            Finished::Message { place, order, end, copy, gone }
        };
        self.working.push(task.boxed());
    }

    /// Puts a letter's copy on its topic; nothing waits for it but the offset.
    fn copy(&self, copy: Box<CopyJob>, place: Option<Taken>, gone: Arc<AtomicBool>) {
        let processor = self.processor.clone();
        let task = async move {
            processor.copy(&copy, &gone).await;
            place.map_or(Finished::Answered, |place| Finished::Copied { place })
        };
        self.working.push(task.boxed());
    }

    fn finished(&mut self, finished: Finished) {
        match finished {
            Finished::Answered => {}
            Finished::Gaps(found) => self.found_gaps(found),
            Finished::Gap { gap, letter } => self.pass_gap(&gap, letter),
            Finished::Lost { letter, is_closed } => self.looked_at_lost(letter, is_closed),
            Finished::Counts(counts) => self.counted(counts),
            Finished::Rights(found) => self.told_rights(found),
            Finished::Parked(found) => self.core.found_parked(found),
            Finished::Begun(begun) => self.begun(begun),
            Finished::Group(refusal) => self.group_answered(refusal.as_ref()),
            Finished::Copied { place } => self.core.copied(place),
            Finished::Message { place, order, end, copy, gone } => {
                self.core.processed(place, order, end, copy.is_some());
                if let Some(copy) = copy {
                    self.copy(copy, Some(place), gone);
                }
            }
            Finished::Standing { order, standing } => self.core.stands(order, standing),
            Finished::Waiting { order, copy } => {
                if let Some(copy) = copy {
                    self.copy(copy, None, Arc::default());
                }
                self.core.waited(order);
            }
        }
    }

    fn find_parked(&self, shards: BTreeSet<Shard>) {
        let (reads, role) = (self.shared.parts.reads.clone(), self.shared.role);
        self.working.push(async move { Finished::Parked(parked::load(&reads, role, &shards).await.ok()) }.boxed());
    }

    fn look_at(&self, order: OrderId) {
        let (reads, role) = (self.shared.parts.reads.clone(), self.shared.role);
        let look = async move { Finished::Standing { order, standing: parked::standing(&reads, role, order).await.ok() } };
        self.working.push(look.boxed());
    }

    fn take_waiting(&mut self, order: OrderId, letter: Box<DeadLetter>) {
        let gone = self.shards_gone.entry(self.processor.reading.shards.of(order)).or_default().clone();
        let processor = self.processor.clone();
        let task = async move {
            let copy = match letters::record(&letter) {
                Some(record) => processor.process_waiting(&record, &letter, &gone).await,
                None => None,
            };
            Finished::Waiting { order, copy }
        };
        self.working.push(task.boxed());
    }

    fn take_again(&self, again: Reprocess) {
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
