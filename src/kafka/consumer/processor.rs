//! What is done with one message.

use super::core::Task;
use super::core::gap::Gap;
use super::core::letters::{self, Failure, WAITS};
use super::core::work::{End, Work};
use super::parts::{CopyWriter, InboundError, InboundEvents};
use crate::config::KafkaSettings;
use crate::db::Reads;
use crate::domain::{DeadLetter, DeadLetterId, DeadLetterState, Event, EventBody, EventKind, OrderId, Role, Timestamp, Topic};
use crate::kafka::message::{Reading, Record};
use crate::kafka::traced::{self, Processed};
use crate::saga::Shipment;
use crate::saga::policy::Backoff;
use crate::telemetry::traces::Tracer;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A dead letter whose copy is to be made.
pub struct CopyJob {
    record: Record,
    letter: DeadLetter,
}

/// What became of a message that was to be a dead letter.
pub struct Buried {
    /// Whether it waits for a person; not if one has dealt with it before.
    pub is_open: bool,
    /// Its copy, unless that was made before.
    pub copy: Option<Box<CopyJob>>,
}

/// What the handling of messages needs.
pub struct MessageProcessor {
    /// The role that listens.
    pub role: Role,
    /// How it works.
    pub settings: KafkaSettings,
    /// What it must know to read a message.
    pub reading: Reading,
    /// The way to the role.
    pub inbound: Arc<dyn InboundEvents>,
    /// The dead letters that there are.
    pub reads: Arc<dyn Reads>,
    /// Where copies go.
    pub copies: Arc<dyn CopyWriter>,
    /// The time.
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// The consumer group's name.
    pub group: String,
    /// Where spans are told.
    pub tracer: Tracer,
}

impl MessageProcessor {
    /// Does what the core asks for with a message.
    pub async fn work(&self, task: Task, gone: &AtomicBool) -> (End, Option<Box<CopyJob>>) {
        let Task { record, work, waits, .. } = task;
        match work {
            Work::Hear(event) if waits => {
                let detail = "an earlier message of its order is a dead letter".to_owned();
                let failure = Failure { cause: WAITS.to_owned(), detail, tries: 0 };
                let buried = self.bury(&record, event.kind().name(), Some(event.order), &failure).await;
                (if buried.is_open { End::Parked } else { End::Done }, buried.copy)
            }
            Work::Pass | Work::Hear(_) | Work::Move(_) | Work::Unreadable(_) => self.process(&record, work, gone).await,
        }
    }

    /// Does the work, however long the database or the brokers are away; a letter's copy is left to be made.
    async fn process(&self, record: &Record, work: Work, gone: &AtomicBool) -> (End, Option<Box<CopyJob>>) {
        match work {
            Work::Pass => (End::Done, None),
            Work::Move(order) => {
                self.copies.to_its_partition(record, order, gone).await;
                (End::Done, None)
            }
            Work::Unreadable(unreadable) => {
                let step = unreadable.kind.map_or("unknown", EventKind::name);
                let (cause, detail) = (unreadable.error.code().to_owned(), unreadable.error.to_string());
                let buried = self.bury(record, step, unreadable.order, &Failure { cause, detail, tries: 1 }).await;
                // What cannot be read holds nobody up: nobody knows what it would have been.
                (End::Done, buried.copy)
            }
            Work::Hear(event) => match self.try_often(record, &event, gone).await {
                Ok(()) => (End::Done, None),
                // Its next owner hears it.
                Err(_) if gone.load(Ordering::Acquire) => (End::Done, None),
                Err(failure) => {
                    let buried = self.bury(record, event.kind().name(), Some(event.order), &failure).await;
                    let holds_up = buried.is_open && event.kind() != EventKind::OrderShipped;
                    (if holds_up { End::Parked } else { End::Done }, buried.copy)
                }
            },
        }
    }

    async fn try_often(&self, record: &Record, event: &Event, gone: &AtomicBool) -> Result<(), Failure> {
        let processed = Processed::now(&self.tracer, record);
        let carried = self.tracer.is_on().then(|| traced::carry(&self.tracer, record, event.clone()));
        let result = self.try_until_known(record, carried.as_ref().unwrap_or(event), gone).await;
        if let Some(processed) = processed {
            let error = result.as_ref().err().map(|failure| failure.cause.as_str());
            processed.ended(&self.tracer, (self.role, &self.group), (record, event), error);
        }
        result
    }

    async fn try_until_known(&self, record: &Record, event: &Event, gone: &AtomicBool) -> Result<(), Failure> {
        let rhythm = Backoff { first_ms: self.settings.retry_first_ms, most_ms: u64::MAX };
        let mut tries = 0;
        loop {
            match self.handle(record, event).await {
                Ok(()) => return Ok(()),
                Err(InboundError::Away(why)) if gone.load(Ordering::Acquire) => {
                    return Err(Failure { cause: "gone".to_owned(), detail: why, tries });
                }
                Err(InboundError::Away(why)) => {
                    tracing::debug!(order.id = %event.order, cause = %why, "a message waits for the database");
                    tokio::time::sleep(Duration::from_millis(self.settings.pause_ms)).await;
                }
                Err(InboundError::Never { cause, detail }) => return Err(Failure { cause, detail, tries: tries + 1 }),
                Err(InboundError::Failed { cause, detail }) => {
                    tries += 1;
                    if tries > self.settings.retries {
                        return Err(Failure { cause, detail, tries });
                    }
                    tokio::time::sleep(Duration::from_millis(rhythm.after(tries))).await;
                }
            }
        }
    }

    /// Hands the event over once, unless the database has lost what it tells. A shipment of another team is a command to the order, not an
    /// answer of ours.
    pub async fn handle(&self, record: &Record, event: &Event) -> Result<(), InboundError> {
        if let Some(rests_on) = record.headers.rests_on(record.topic)
            && self.inbound.is_lost(self.role, event, rests_on).await?
        {
            let (writer, seq) = rests_on;
            tracing::error!(
                order.id = %event.order, event.kind = event.kind().name(), writer = writer.0, seq, kafka.topic = record.topic.name(),
                kafka.partition = record.partition, kafka.offset = record.offset,
                "a message tells what the database has lost; it is passed over"
            );
            metrics::counter!("ordermill_kafka_lost_events_total", "topic" => record.topic.name()).increment(1);
            return Ok(());
        }
        if record.topic == Topic::Shipping
            && let EventBody::OrderShipped { carrier, tracking } = &event.body
        {
            let shipment = Shipment { carrier: carrier.clone(), tracking: tracking.clone() };
            return self.inbound.ship(event.order, shipment).await;
        }
        self.inbound.handle(self.role, event.clone()).await
    }

    /// Takes the message of a letter that only waited, and closes it; if it fails it is a letter of its own right.
    pub async fn process_waiting(&self, record: &Record, letter: &DeadLetter, gone: &AtomicBool) -> Option<Box<CopyJob>> {
        let taken = match Work::of(record, self.role, &self.reading) {
            Work::Hear(event) => self.try_often(record, &event, gone).await,
            Work::Pass | Work::Move(_) => Ok(()),
            Work::Unreadable(unreadable) => {
                Err(Failure { cause: unreadable.error.code().to_owned(), detail: unreadable.error.to_string(), tries: 1 })
            }
        };
        match taken {
            Ok(()) => {
                while let Err(error) = self.inbound.close_letter(letter.id).await {
                    tracing::debug!(cause = %error, "a letter's end waits for the database");
                    tokio::time::sleep(Duration::from_millis(self.settings.pause_ms)).await;
                }
                None
            }
            // Its next owner takes it.
            Err(_) if gone.load(Ordering::Acquire) => None,
            Err(failure) => self.bury(record, letter.step.as_str(), letter.order, &failure).await.copy,
        }
    }

    /// Makes a dead letter of a message. One that a person has closed stays closed when its message comes again, as it does when the
    /// group's offsets are lost.
    pub async fn bury(&self, record: &Record, step: &str, order: Option<OrderId>, failure: &Failure) -> Buried {
        let mut letter = letters::letter(record, self.role, step, order, self.reading.shards, failure, (self.now)());
        let known = self.known(letter.id).await;
        if known.as_ref().is_some_and(|known| known.state != DeadLetterState::Open) {
            tracing::debug!(letter.id = %letter.id.0, "a message comes again whose dead letter was closed");
            return Buried { is_open: false, copy: None };
        }
        let is_copied = known.as_ref().is_some_and(letters::is_copied);
        match known {
            Some(known) if known.cause == letter.cause => letter = known,
            Some(known) => {
                letter.origin = known.origin;
                self.store(&letter).await;
            }
            None => {
                tracing::warn!(
                    letter.id = %letter.id.0, kafka.topic = record.topic.name(), kafka.partition = record.partition,
                    kafka.offset = record.offset, cause = %letter.cause, "a message became a dead letter"
                );
                metrics::counter!("ordermill_kafka_dead_letters_total", "topic" => record.topic.name()).increment(1);
                self.store(&letter).await;
            }
        }
        Buried { is_open: true, copy: (!is_copied).then(|| Box::new(CopyJob { record: record.clone(), letter })) }
    }

    /// Makes a letter's copy, and notes that it is made, so that it is not made again when the message comes again.
    pub async fn copy(&self, job: &CopyJob, gone: &AtomicBool) {
        if !self.copies.dead_letter(&job.record, &job.letter, &self.group, gone).await {
            return;
        }
        let Some(origin) = letters::copied(&job.letter) else { return };
        while let Err(error) = self.inbound.mark_letter(job.letter.id, origin.clone()).await {
            tracing::debug!(cause = %error, "a dead letter's copy waits for the database to be noted");
            tokio::time::sleep(Duration::from_millis(self.settings.pause_ms)).await;
        }
    }

    /// Makes the dead letter of records that were gone before they were read; the same gap is the same letter.
    pub async fn lost(&self, name: &str, gap: &Gap) -> DeadLetterId {
        let letter = letters::lost(name, gap, self.role, (self.now)());
        if self.known(letter.id).await.is_none() {
            metrics::counter!("ordermill_kafka_dead_letters_total", "topic" => gap.partition.0.name()).increment(1);
            self.store(&letter).await;
        }
        letter.id
    }

    /// The letter as it is stored, however long the database is away.
    async fn known(&self, id: DeadLetterId) -> Option<DeadLetter> {
        loop {
            match self.reads.letter(id).await {
                Ok(known) => return known,
                Err(error) => {
                    tracing::debug!(error = %error, "a dead letter waits for the database");
                    tokio::time::sleep(Duration::from_millis(self.settings.pause_ms)).await;
                }
            }
        }
    }

    /// Stores a letter, however long the database is away.
    pub async fn store(&self, letter: &DeadLetter) {
        while let Err(error) = self.inbound.add_letter(letter.clone()).await {
            tracing::debug!(cause = %error, "a dead letter waits for the database");
            tokio::time::sleep(Duration::from_millis(self.settings.pause_ms)).await;
        }
    }
}
