//! What the shell around the consumer's core holds.

use super::callbacks::ConsumerCallbacks;
use super::core::ConsumerCore;
use super::core::assignment::PartitionId;
use super::core::gap::Gap;
use super::core::standing::Standing;
use super::core::work::End;
use super::core::{Begun, Taken};
use super::gaps::Place;
use super::parts::{ConsumerParts, Figures};
use super::processor::{CopyJob, MessageProcessor};
use crate::domain::{DeadLetterId, OrderId, Role, RoleShards, Shard, Topic};
use crate::kafka::topics::{Counts, TopicNames};
use crate::kafka::troubles::{Trouble, TroubleKind};
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use rdkafka::consumer::StreamConsumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// What outlives a panic of the loop.
pub(super) struct Shared {
    pub(super) role: Role,
    pub(super) parts: ConsumerParts,
    pub(super) figures: Arc<Figures>,
    pub(super) stopping: watch::Receiver<bool>,
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
    Parked(Option<Vec<OrderId>>),
    Begun(Result<(Begun, HashMap<String, RDKafkaErrorCode>), Option<KafkaError>>),
    Group(Option<KafkaError>),
}

/// A commit under way, on a thread of its own: how it ended for each topic.
pub(super) type Committing = JoinHandle<Vec<(Topic, Result<(), KafkaError>)>>;

/// Whether the group may be used, and when it is asked again.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// When partitions that could not be asked for are asked for again: nothing of them is taken before.
    pub(super) again: Option<Instant>,
    /// Whether the group may not be used.
    pub(super) is_refused: bool,
    pub(super) is_asking: bool,
    /// Topics of which it is not told where the group was.
    pub(super) refused: BTreeSet<String>,
}

/// What is under way of the looking around, and what it has found.
#[derive(Debug)]
pub(super) struct Watch {
    /// When it was last looked around, and how often it was.
    pub(super) looked: Instant,
    pub(super) looks: u32,
    /// Whether gaps must be looked for, and whether they are.
    pub(super) must_scan: bool,
    pub(super) is_scanning: bool,
    pub(super) is_counting: bool,
    pub(super) is_asking_rights: bool,
    /// Topics that may not be read.
    pub(super) denied: BTreeSet<Topic>,
    /// Letters that tell of lost records, by topic.
    pub(super) lost: BTreeMap<DeadLetterId, Topic>,
}

/// The loop of one role.
pub(super) struct Run<'s> {
    pub(super) shared: &'s Shared,
    pub(super) names: TopicNames,
    pub(super) client: Arc<StreamConsumer<ConsumerCallbacks>>,
    pub(super) processor: Arc<MessageProcessor>,
    pub(super) core: ConsumerCore,
    /// Set when an assignment of a partition is given up: what is under way of it need not go on.
    pub(super) gone: BTreeMap<(PartitionId, u64), Arc<AtomicBool>>,
    /// The same of shards, for what waited behind a dead letter.
    pub(super) shards_gone: BTreeMap<Shard, Arc<AtomicBool>>,
    pub(super) working: FuturesUnordered<BoxFuture<'static, Finished>>,
    pub(super) watch: Watch,
    /// The offsets that are being committed.
    pub(super) committing: Option<Committing>,
    /// The places that are being stored; whether they are.
    pub(super) storing: Option<JoinHandle<bool>>,
    pub(super) group: Group,
}

impl<'s> Run<'s> {
    pub(super) fn new(
        shared: &'s Shared,
        client: Arc<StreamConsumer<ConsumerCallbacks>>,
        processor: Arc<MessageProcessor>,
        core: ConsumerCore,
    ) -> Self {
        let watch = Watch {
            looked: Instant::now(),
            looks: 0,
            must_scan: false,
            is_scanning: false,
            is_counting: false,
            is_asking_rights: false,
            denied: BTreeSet::new(),
            lost: BTreeMap::new(),
        };
        Self {
            shared,
            names: TopicNames::of(&shared.parts.settings),
            client,
            processor,
            core,
            gone: BTreeMap::new(),
            shards_gone: BTreeMap::new(),
            working: FuturesUnordered::new(),
            watch,
            committing: None,
            storing: None,
            group: Group::default(),
        }
    }

    /// Longest wait for an answer of the brokers.
    pub(super) fn limit(&self) -> Duration {
        Duration::from_millis(self.shared.parts.settings.request_timeout_ms)
    }

    pub(super) fn list(&self, of: impl IntoIterator<Item = (PartitionId, Offset)>) -> Result<TopicPartitionList, KafkaError> {
        let mut list = TopicPartitionList::new();
        for ((topic, partition), offset) in of {
            list.add_partition_offset(&self.names.of_topic(topic), partition, offset)?;
        }
        Ok(list)
    }

    /// Set when that assignment of the partition is given up.
    pub(super) fn gone_of(&self, key: (PartitionId, u64)) -> Arc<AtomicBool> {
        self.gone.get(&key).cloned().unwrap_or_else(|| Arc::new(AtomicBool::new(true)))
    }

    /// What is under way of these partitions need not go on.
    pub(super) fn give_up(&mut self, partitions: &[PartitionId]) {
        self.gone.retain(|(partition, _), gone| {
            let is_gone = partitions.contains(partition);
            gone.fetch_or(is_gone, Ordering::AcqRel);
            !is_gone
        });
    }

    /// What is under way of shards that are not owned any more need not go on.
    pub(super) fn give_up_shards(&mut self, owned: &RoleShards) {
        let role = self.shared.role;
        self.shards_gone.retain(|shard, gone| {
            let is_ours = owned.has(role, *shard);
            gone.fetch_or(!is_ours, Ordering::AcqRel);
            is_ours
        });
    }

    pub(super) fn trouble(&self, kind: TroubleKind, topic: &str, partition: Option<i32>, cause: String, remedy: String) {
        let who = self.shared.role.name();
        self.shared.parts.state.troubles().raise(Trouble { kind, topic: topic.to_owned(), partition, who, cause, remedy });
    }

    /// A trouble of this role is over.
    pub(super) fn over(&self, kind: TroubleKind, topic: &str) {
        self.shared.parts.state.troubles().clear(kind, topic, self.shared.role.name());
    }
}
