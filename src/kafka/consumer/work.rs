//! What is done with one message.

use super::copies::Copies;
use super::letters::{self, Failure};
use super::{HearError, Hearing, assignment};
use crate::config::KafkaSettings;
use crate::domain::{DeadLetter, Event, EventBody, EventKind, OrderId, Role, Timestamp, Topic};
use crate::kafka::read::{self, Reading, Record};
use crate::saga::Shipment;
use crate::saga::policy::Backoff;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What a message is, to the role that listens.
#[derive(Debug)]
pub(super) enum Work {
    /// Nothing to this role, or it has it already.
    Pass,
    /// An event to hear.
    Hear(Event),
    /// It belongs on another partition.
    Move(OrderId),
    /// It cannot be taken.
    Unreadable(Box<read::Unreadable>),
}

/// How a message ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// It is done.
    Done,
    /// It is a dead letter, behind which the later ones of its order wait.
    Parked,
}

/// What the handling of messages needs.
pub(super) struct Hands {
    pub(super) role: Role,
    pub(super) settings: KafkaSettings,
    pub(super) reading: Reading,
    pub(super) hearing: Arc<dyn Hearing>,
    pub(super) copies: Copies,
    pub(super) now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    pub(super) group: String,
}

impl Work {
    /// What `record` is to `role`. Kinds that it does not take are passed over before anything is parsed.
    pub(super) fn of(record: &Record, role: Role, reading: &Reading) -> Self {
        // A tombstone: it tells a compacting broker to forget a key, and nobody anything.
        if record.value.is_none() {
            return Self::Pass;
        }
        let takes = |kind: EventKind| assignment::takes(role, record.topic, kind);
        if read::declared_kind(record, reading).is_some_and(|kind| kind.topic() == record.topic && !takes(kind))
            || record.headers.was_local_to(role)
        {
            return Self::Pass;
        }
        match read::read(record, reading) {
            Ok(event) if !takes(event.kind()) => Self::Pass,
            Ok(event) if i32::from(event.shard.0) != record.partition => Self::Move(event.order),
            Ok(event) => Self::Hear(event),
            Err(unreadable) => Self::Unreadable(unreadable),
        }
    }

    /// Whose order it is.
    pub(super) fn order(&self) -> Option<OrderId> {
        match self {
            Self::Pass => None,
            Self::Hear(event) => Some(event.order),
            Self::Move(order) => Some(*order),
            Self::Unreadable(unreadable) => unreadable.order,
        }
    }

    /// Whether it goes on though an earlier message of its order is a dead letter.
    pub(super) fn overtakes(&self) -> bool {
        match self {
            Self::Hear(event) => event.kind() == EventKind::OrderCancelRequested,
            Self::Pass | Self::Move(_) | Self::Unreadable(_) => true,
        }
    }
}

impl Hands {
    /// Does the work, however long the database or the brokers are away.
    pub(super) async fn process(&self, record: &Record, work: Work, gone: &AtomicBool) -> End {
        match work {
            Work::Pass => End::Done,
            Work::Move(order) => {
                self.copies.to_its_partition(record, order).await;
                End::Done
            }
            Work::Unreadable(unreadable) => {
                let step = unreadable.kind.map_or("unknown", EventKind::name);
                let (cause, detail) = (unreadable.error.code().to_owned(), unreadable.error.to_string());
                self.bury(record, step, unreadable.order, &Failure { cause, detail, tries: 1 }).await;
                // What cannot be read holds nobody up: nobody knows what it would have been.
                End::Done
            }
            Work::Hear(event) => match self.try_often(record, &event, gone).await {
                Ok(()) => End::Done,
                // Its next owner hears it.
                Err(_) if gone.load(Ordering::Acquire) => End::Done,
                Err(failure) => {
                    self.bury(record, event.kind().name(), Some(event.order), &failure).await;
                    let holds_up = event.kind() != EventKind::OrderShipped;
                    if holds_up { End::Parked } else { End::Done }
                }
            },
        }
    }

    async fn try_often(&self, record: &Record, event: &Event, gone: &AtomicBool) -> Result<(), Failure> {
        let rhythm = Backoff { first_ms: self.settings.retry_first_ms, most_ms: u64::MAX };
        let mut tries = 0;
        loop {
            match self.hear(record.topic, event).await {
                Ok(()) => return Ok(()),
                Err(HearError::Away(why)) if gone.load(Ordering::Acquire) => {
                    return Err(Failure { cause: "gone".to_owned(), detail: why, tries });
                }
                Err(HearError::Away(why)) => {
                    tracing::debug!(order.id = %event.order, cause = %why, "a message waits for the database");
                    tokio::time::sleep(Duration::from_millis(self.settings.pause_ms)).await;
                }
                Err(HearError::Never { cause, detail }) => return Err(Failure { cause, detail, tries: tries + 1 }),
                Err(HearError::Failed { cause, detail }) => {
                    tries += 1;
                    if tries > self.settings.retries {
                        return Err(Failure { cause, detail, tries });
                    }
                    tokio::time::sleep(Duration::from_millis(rhythm.after(tries))).await;
                }
            }
        }
    }

    /// Hands the event over once. A shipment of another team is a command to the order, not an answer of ours.
    pub(super) async fn hear(&self, topic: Topic, event: &Event) -> Result<(), HearError> {
        if topic == Topic::Shipping
            && let EventBody::OrderShipped { carrier, tracking } = &event.body
        {
            let shipment = Shipment { carrier: carrier.clone(), tracking: tracking.clone() };
            return self.hearing.ship(event.order, shipment).await;
        }
        self.hearing.hear(self.role, event.clone()).await
    }

    /// Takes the message of a letter that only waited, and closes it; if it fails it is a letter of its own right.
    pub(super) async fn process_waiting(&self, record: &Record, letter: &DeadLetter) {
        let taken = match Work::of(record, self.role, &self.reading) {
            Work::Hear(event) => self.try_often(record, &event, &AtomicBool::new(false)).await,
            Work::Pass | Work::Move(_) => Ok(()),
            Work::Unreadable(unreadable) => {
                Err(Failure { cause: unreadable.error.code().to_owned(), detail: unreadable.error.to_string(), tries: 1 })
            }
        };
        match taken {
            Ok(()) => {
                while let Err(error) = self.hearing.close_letter(letter.id).await {
                    tracing::debug!(cause = %error, "a letter's end waits for the database");
                    tokio::time::sleep(Duration::from_millis(self.settings.pause_ms)).await;
                }
            }
            Err(failure) => self.bury(record, letter.step.as_str(), letter.order, &failure).await,
        }
    }

    /// Makes a dead letter of a message, in the database and then as a copy.
    pub(super) async fn bury(&self, record: &Record, step: &str, order: Option<OrderId>, failure: &Failure) {
        let letter = letters::letter(record, self.role, step, order, self.reading.shards, failure, (self.now)());
        let id = letter.id.0;
        tracing::warn!(
            letter.id = %id, kafka.topic = record.topic.name(), kafka.partition = record.partition, kafka.offset = record.offset,
            cause = %letter.cause, "a message became a dead letter"
        );
        metrics::counter!("ordermill_kafka_dead_letters_total", "topic" => record.topic.name()).increment(1);
        self.store(&letter).await;
        self.copies.dead_letter(record, &letter, &self.group).await;
    }

    /// Stores a letter, however long the database is away.
    pub(super) async fn store(&self, letter: &DeadLetter) {
        while let Err(error) = self.hearing.add_letter(letter.clone()).await {
            tracing::debug!(cause = %error, "a dead letter waits for the database");
            tokio::time::sleep(Duration::from_millis(self.settings.pause_ms)).await;
        }
    }
}
