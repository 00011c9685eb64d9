//! What the loop looks after beside messages: gaps, the number of partitions, the right to read, and where the client stands.

use super::core::assignment::{self, PartitionId};
use super::core::gap::Gap;
use super::gaps::{self, Place};
use super::parked::FIND_PROBES;
use super::state::{Finished, Run};
use crate::domain::{DeadLetterId, DeadLetterState, Topic};
use crate::kafka::topics::{self, Counts};
use crate::kafka::troubles::TroubleKind;
use futures_util::FutureExt;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;

impl Run<'_> {
    /// Now and then: has anything come right, or gone wrong, that nobody says by himself?
    pub(super) fn look_around(&mut self) {
        if self.watch.looked.elapsed() < Duration::from_millis(self.shared.parts.settings.probe_ms) {
            return;
        }
        self.watch.looked = Instant::now();
        self.watch.looks += 1;
        if self.watch.looks.is_multiple_of(FIND_PROBES) {
            self.core.find_parked();
        }
        if self.watch.must_scan {
            self.look_for_gaps();
        }
        if !self.watch.denied.is_empty() {
            self.ask_rights();
        }
        self.count_partitions();
        for letter in self.watch.lost.keys().copied() {
            let reads = self.shared.parts.reads.clone();
            let look = async move {
                let found = reads.letter(letter).await;
                let is_closed = found.is_ok_and(|letter| letter.is_none_or(|letter| letter.state != DeadLetterState::Open));
                Finished::Lost { letter, is_closed }
            };
            self.working.push(look.boxed());
        }
    }

    /// What the client was given everything of goes on behind the markers of transactions.
    pub(super) fn pass_markers(&mut self) {
        for position in self.client.context().take_positions() {
            if let Some(topic) = self.names.topic(&position.topic) {
                self.core.stands_at((topic, position.partition), position.next, position.given);
            }
        }
    }

    pub(super) fn look_for_gaps(&mut self) {
        self.watch.must_scan = true;
        if self.watch.is_scanning {
            return;
        }
        (self.watch.must_scan, self.watch.is_scanning) = (false, true);
        let places = self.core.places().into_iter().map(|(key, at)| (key, self.names.of_topic(key.0), at)).collect();
        let (client, limit) = (self.client.clone(), self.limit());
        self.working.push(async move { Finished::Gaps(gaps::gaps(&client, places, limit).await) }.boxed());
    }

    /// A gap is a dead letter before it is passed.
    pub(super) fn found_gaps(&mut self, found: Result<Vec<Gap>, KafkaError>) {
        self.watch.is_scanning = false;
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(error = %error, "the brokers did not say what they have; asking again");
                self.watch.must_scan = true;
                return;
            }
        };
        // Where nothing is missing the client may have stopped all the same.
        let gaps: BTreeSet<PartitionId> = found.iter().map(|gap| gap.partition).collect();
        self.core.fetch_again(|partition| !gaps.contains(&partition));
        for gap in found {
            let (processor, name) = (self.processor.clone(), self.names.of_topic(gap.partition.0));
            let store = async move {
                let letter = processor.lost(&name, &gap).await;
                Finished::Gap { gap, letter }
            };
            self.working.push(store.boxed());
        }
    }

    /// The letter is stored: on with what there is.
    pub(super) fn pass_gap(&mut self, gap: &Gap, letter: DeadLetterId) {
        let (topic, number) = gap.partition;
        let remedy = format!("ask its writer to send them again, then close dead letter {}", letter.0);
        self.trouble(TroubleKind::Lost, &self.names.of_topic(topic), Some(number), gap.told(), remedy);
        metrics::counter!("ordermill_kafka_lost_records_total", "topic" => topic.name()).increment(gap.count());
        self.watch.lost.insert(letter, topic);
        self.core.pass_gap(gap);
    }

    pub(super) fn looked_at_lost(&mut self, letter: DeadLetterId, is_closed: bool) {
        if !is_closed {
            return;
        }
        if let Some(topic) = self.watch.lost.remove(&letter)
            && !self.watch.lost.values().any(|other| *other == topic)
        {
            self.over(TroubleKind::Lost, &self.names.of_topic(topic));
        }
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

    pub(super) fn counted(&mut self, counts: Option<Counts>) {
        self.watch.is_counting = false;
        let counts = counts.unwrap_or_default();
        for (topic, count) in &counts {
            topics::tell_count(&self.shared.parts.state, topic, *count, self.processor.reading.shards);
        }
        self.core.counted(counts.iter().filter_map(|(name, count)| Some((self.names.topic(name)?, *count))));
    }

    /// What is not listened to any more is no trouble of this node.
    pub(super) fn forget_topics(&mut self) {
        let topics = self.core.topics();
        for gone in self.watch.denied.iter().filter(|topic| !topics.contains_key(*topic)) {
            self.over(TroubleKind::Read, &self.names.of_topic(*gone));
        }
        self.watch.denied.retain(|topic| topics.contains_key(topic));
        for topic in Topic::ALL.into_iter().filter(|topic| !topics.contains_key(topic)) {
            self.over(TroubleKind::Commit, &self.names.of_topic(topic));
        }
    }

    /// Asks whether each topic may be read: the client that reads is told once only that it may not, and never that it may again.
    pub(super) fn ask_rights(&mut self) {
        if std::mem::replace(&mut self.watch.is_asking_rights, true) {
            return;
        }
        let (settings, state, group) = (self.shared.parts.settings.clone(), self.shared.parts.state.clone(), self.processor.group.clone());
        let places = self.core.topics().into_iter().map(|(topic, partition)| (self.names.of_topic(topic), partition)).collect();
        let ask = async move { Finished::Rights(gaps::refusals(&settings, &state, &group, places).await.unwrap_or_default()) };
        self.working.push(ask.boxed());
    }

    pub(super) fn told_rights(&mut self, found: Vec<(Place, Option<RDKafkaErrorCode>)>) {
        self.watch.is_asking_rights = false;
        for ((name, partition), code) in found {
            let Some(topic) = self.names.topic(&name) else { continue };
            if let Some(code) = code {
                let remedy = format!("let ordermill's login READ the topic, and group {}; it goes on by itself then", self.processor.group);
                self.trouble(TroubleKind::Read, &name, Some(partition), format!("it cannot be read: {code}"), remedy);
                self.watch.denied.insert(topic);
            } else if self.watch.denied.remove(&topic) {
                self.over(TroubleKind::Read, &name);
                self.core.fetch_again(|(of, _)| of == topic);
            }
        }
    }
}
