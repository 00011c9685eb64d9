//! What the loop looks after beside messages: gaps, the number of partitions, the right to read, and where the client stands.

use super::assignment;
use super::gaps::{self, Gap, Place};
use super::run::{Finished, Partition, Run};
use super::window::Window;
use crate::domain::{DeadLetterId, DeadLetterState, Shard, Topic};
use crate::kafka::message::Record;
use crate::kafka::topics::{self, Counts};
use crate::kafka::troubles::{Trouble, TroubleKind};
use futures_util::FutureExt;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::Offset;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// What is under way of the looking around, and what it has found.
#[derive(Debug)]
pub(super) struct Watch {
    /// When it was last looked around.
    looked: Instant,
    /// Whether gaps must be looked for, and whether they are.
    must_scan: bool,
    is_scanning: bool,
    is_counting: bool,
    is_asking_rights: bool,
    /// How many partitions each topic has.
    counts: Counts,
    /// Topics that may not be read.
    denied: BTreeSet<String>,
    /// Letters that tell of lost records, by topic.
    lost: BTreeMap<DeadLetterId, String>,
    /// Set when there is more to listen to.
    pub(super) must_reassign: bool,
}

impl Watch {
    pub(super) fn new(counts: Counts) -> Self {
        Self {
            looked: Instant::now(),
            must_scan: false,
            is_scanning: false,
            is_counting: false,
            is_asking_rights: false,
            counts,
            denied: BTreeSet::new(),
            lost: BTreeMap::new(),
            must_reassign: false,
        }
    }

    /// How many partitions a topic has, as far as is known.
    pub(super) fn count(&self, topic: &str) -> Option<i32> {
        self.counts.get(topic).copied()
    }
}

impl Run<'_> {
    pub(super) fn limit(&self) -> Duration {
        Duration::from_millis(self.shared.parts.settings.request_timeout_ms)
    }

    fn key(&self, place: &Place) -> Option<(Topic, i32)> {
        Some((self.names.topic(&place.0)?, place.1))
    }

    pub(super) fn trouble(&self, kind: TroubleKind, topic: &str, partition: Option<i32>, cause: String, remedy: String) {
        let who = self.shared.role.name();
        self.shared.parts.state.troubles().raise(Trouble { kind, topic: topic.to_owned(), partition, who, cause, remedy });
    }

    /// Now and then: has anything come right, or gone wrong, that nobody says by himself?
    pub(super) fn look_around(&mut self) {
        if self.watch.looked.elapsed() < Duration::from_millis(self.shared.parts.settings.probe_ms) {
            return;
        }
        self.watch.looked = Instant::now();
        if self.watch.must_scan {
            self.look_for_gaps();
        }
        if !self.watch.denied.is_empty() {
            self.ask_rights();
        }
        self.count_partitions();
        for letter in self.watch.lost.keys().copied().collect::<Vec<_>>() {
            let reads = self.shared.parts.reads.clone();
            let look = async move {
                let found = reads.letter(letter).await;
                let is_closed = found.is_ok_and(|letter| letter.is_none_or(|letter| letter.state != DeadLetterState::Open));
                Finished::Lost { letter, is_closed }
            };
            self.working.push(look.boxed());
        }
    }

    /// What the client was given everything of goes on behind the markers of transactions, which are no messages.
    pub(super) fn pass_markers(&mut self) {
        for position in self.client.context().take_positions() {
            let Some(key) = self.key(&(position.topic, position.partition)) else { continue };
            let Some(partition) = self.partitions.get_mut(&key) else { continue };
            // Markers count as given; a message that was given is in the window by now.
            let is_at = position.given < 0 || position.given >= position.next;
            if is_at {
                partition.window.pass_to(position.next);
            }
        }
    }

    pub(super) fn look_for_gaps(&mut self) {
        self.watch.must_scan = true;
        if self.watch.is_scanning {
            return;
        }
        (self.watch.must_scan, self.watch.is_scanning) = (false, true);
        let places = self
            .partitions
            .iter()
            .filter_map(|((topic, number), partition)| Some(((self.names.of_topic(*topic), *number), partition.window.at()?)));
        let (client, places, limit) = (self.client.clone(), places.collect(), self.limit());
        self.working.push(async move { Finished::Gaps(gaps::gaps(&client, places, limit).await) }.boxed());
    }

    /// A gap is a dead letter before it is passed.
    pub(super) fn found_gaps(&mut self, found: Result<Vec<Gap>, KafkaError>) -> Result<(), KafkaError> {
        self.watch.is_scanning = false;
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(error = %error, "the brokers did not say what they have; asking again");
                self.watch.must_scan = true;
                return Ok(());
            }
        };
        if found.is_empty() {
            // Nothing is missing, but the client has stopped somewhere.
            let all: Vec<((Topic, i32), i64)> = self.partitions.iter().filter_map(|(key, one)| Some((*key, one.window.at()?))).collect();
            return all.into_iter().try_for_each(|(key, at)| self.begin_at(key, at));
        }
        for gap in found {
            let Some(key) = self.key(&gap.place) else { continue };
            let (processor, topic) = (self.processor.clone(), key.0);
            let store = async move {
                let letter = processor.lost(topic, &gap).await;
                Finished::Gap { gap, letter }
            };
            self.working.push(store.boxed());
        }
        Ok(())
    }

    /// The letter is stored: on with what there is.
    pub(super) fn pass_gap(&mut self, gap: &Gap, letter: DeadLetterId) -> Result<(), KafkaError> {
        let Some(key) = self.key(&gap.place) else { return Ok(()) };
        let (topic, number) = &gap.place;
        let cause = gap.told();
        self.trouble(
            TroubleKind::Lost,
            topic,
            Some(*number),
            cause,
            format!("ask its writer to send them again, then close dead letter {}", letter.0),
        );
        metrics::counter!("ordermill_kafka_lost_records_total", "topic" => key.0.name()).increment(gap.count());
        self.watch.lost.insert(letter, topic.clone());
        let Some(partition) = self.partitions.get_mut(&key) else { return Ok(()) };
        if gap.is_new_topic() {
            // Its numbers begin anew: what is under way of the old ones is nobody's any more.
            self.lives += 1;
            *partition = Partition::new(Window::default(), self.lives);
        } else {
            partition.window.pass_to(gap.low);
        }
        self.begin_at(key, gap.low)
    }

    pub(super) fn looked_at_lost(&mut self, letter: DeadLetterId, is_closed: bool) {
        if !is_closed {
            return;
        }
        if let Some(topic) = self.watch.lost.remove(&letter)
            && !self.watch.lost.values().any(|other| *other == topic)
        {
            self.shared.parts.state.troubles().clear(TroubleKind::Lost, &topic, self.shared.role.name());
        }
    }

    /// Has the client fetch from there.
    fn begin_at(&mut self, key: (Topic, i32), offset: i64) -> Result<(), KafkaError> {
        let Some(partition) = self.partitions.get_mut(&key) else { return Ok(()) };
        partition.is_paused = false;
        self.client.incremental_unassign(&self.list([(key, Offset::Invalid)])?)?;
        self.client.incremental_assign(&self.list([(key, Offset::Offset(offset))])?)
    }

    /// Of several roles that listen one deals with what is no event of its order: one letter, one copy, one publishing.
    pub(super) fn answers_for(&self, record: &Record) -> bool {
        let shards = i32::from(self.processor.reading.shards.count());
        let shard = u16::try_from(record.partition % shards.max(1)).map(Shard).ok();
        let role_shards = self.shared.parts.role_shards.borrow();
        shard.is_none_or(|shard| assignment::answers_for(self.shared.role, (record.topic, shard), self.shared.parts.external, &role_shards))
    }

    fn topics(&self) -> BTreeMap<String, i32> {
        self.partitions.keys().map(|(topic, number)| (self.names.of_topic(*topic), *number)).collect()
    }

    fn count_partitions(&mut self) {
        if std::mem::replace(&mut self.watch.is_counting, true) {
            return;
        }
        let topics = assignment::topics(self.shared.role, &self.shared.parts.role_shards.borrow(), self.shared.parts.external);
        let mut topics: BTreeSet<String> = topics.into_iter().map(|topic| self.names.of_topic(topic)).collect();
        // Of those of dead letters, say, nobody else would find out that they are there by now.
        topics.extend(self.shared.parts.state.troubles().topics(TroubleKind::Partitions));
        let (client, topics, limit) = (self.client.clone(), topics.into_iter().collect(), self.limit());
        self.working.push(async move { Finished::Counts(gaps::counts(&client, topics, limit).await.ok()) }.boxed());
    }

    /// More partitions than shards are listened to as well: what stands there goes on to its own.
    pub(super) fn counted(&mut self, counts: Option<Counts>) {
        self.watch.is_counting = false;
        for (topic, count) in counts.unwrap_or_default() {
            topics::tell_count(&self.shared.parts.state, &topic, count, self.processor.reading.shards);
            let before = self.watch.counts.insert(topic, count);
            self.watch.must_reassign |= before != Some(count);
        }
    }

    /// What is not listened to any more is no trouble of this node.
    pub(super) fn forget_topics(&mut self) {
        let (troubles, who, topics) = (self.shared.parts.state.troubles(), self.shared.role.name(), self.topics());
        for gone in self.watch.denied.iter().filter(|topic| !topics.contains_key(*topic)) {
            troubles.clear(TroubleKind::Read, gone, who);
        }
        self.watch.denied.retain(|topic| topics.contains_key(topic));
        for name in Topic::ALL.map(|topic| self.names.of_topic(topic)) {
            if !topics.contains_key(&name) {
                troubles.clear(TroubleKind::Commit, &name, who);
            }
        }
    }

    /// Asks whether each topic may be read: the client that reads is told once only that it may not, and never that it may again.
    pub(super) fn ask_rights(&mut self) {
        if std::mem::replace(&mut self.watch.is_asking_rights, true) {
            return;
        }
        let (settings, state, group) = (self.shared.parts.settings.clone(), self.shared.parts.state.clone(), self.processor.group.clone());
        let places = self.topics().into_iter().collect();
        let ask = async move { Finished::Rights(gaps::refusals(&settings, &state, &group, places).await.unwrap_or_default()) };
        self.working.push(ask.boxed());
    }

    pub(super) fn told_rights(&mut self, found: Vec<(Place, Option<RDKafkaErrorCode>)>) -> Result<(), KafkaError> {
        self.watch.is_asking_rights = false;
        for ((topic, partition), code) in found {
            if let Some(code) = code {
                let remedy = format!("let ordermill's login READ the topic, and group {}; it goes on by itself then", self.processor.group);
                self.trouble(TroubleKind::Read, &topic, Some(partition), format!("it cannot be read: {code}"), remedy);
                self.watch.denied.insert(topic);
            } else if self.watch.denied.remove(&topic) {
                self.shared.parts.state.troubles().clear(TroubleKind::Read, &topic, self.shared.role.name());
                let mine = |(key, one): (&(Topic, i32), &Partition)| {
                    (self.names.of_topic(key.0) == topic).then(|| Some((*key, one.window.at()?))).flatten()
                };
                let again: Vec<((Topic, i32), i64)> = self.partitions.iter().filter_map(mine).collect();
                again.into_iter().try_for_each(|(key, at)| self.begin_at(key, at))?;
            }
        }
        Ok(())
    }
}

impl Gap {
    /// Whether the topic was made anew: what should come next is behind its end.
    fn is_new_topic(&self) -> bool {
        self.from > self.high
    }

    /// How many records are missing, as far as one can know.
    fn count(&self) -> u64 {
        u64::try_from(self.low - self.from).unwrap_or(0)
    }

    /// For a person.
    pub(super) fn told(&self) -> String {
        let (from, low, high) = (self.from, self.low, self.high);
        if self.is_new_topic() {
            return format!("record {from} should come next, but it ends at {high}: it was made anew, and is read from {low}");
        }
        format!("records {from} to {} were deleted before they were read; the topic's retention may be too short", low - 1)
    }
}
