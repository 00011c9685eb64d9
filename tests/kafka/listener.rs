//! A consumer with the roles that a test gives it, on a journal of the memory store.

use crate::sample::{order, published, record, shards};
use crate::world::{Journal, Mock, database, reads, settings, until};
use futures_util::future::BoxFuture;
use ordermill::config::KafkaSettings;
use ordermill::db::memory::{MemoryDatabase, Nodes};
use ordermill::db::{ConsumedPlace, DeadLetterFilter, Outcome, Reads as _, Write};
use ordermill::domain::{
    Closing, DeadLetter, DeadLetterId, DeadLetterState, Event, EventKind, OrderId, Role, RoleShards, Text, Timestamp, Topic, WriterId,
};
use ordermill::kafka::client::BrokerState;
use ordermill::kafka::consumer::{Consumer, ConsumerParts, InboundError, InboundEvents};
use ordermill::kafka::headers;
use ordermill::kafka::read::Record;
use ordermill::saga::Shipment;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

pub(crate) const LIMIT: Duration = Duration::from_secs(5);

pub(crate) type Answer = Box<dyn Fn(Role, &Event) -> Result<(), InboundError> + Send + Sync>;

/// Roles that remember what they heard and answer as the test wants.
pub(crate) struct FakeRoles {
    pub(crate) journal: Journal,
    heard: Mutex<Vec<(Role, OrderId, EventKind)>>,
    /// How often each was tried.
    tries: Mutex<BTreeMap<(OrderId, &'static str), u32>>,
    answer: Mutex<Answer>,
    /// How long each takes.
    takes: Duration,
    now: AtomicUsize,
    pub(crate) most: AtomicUsize,
}

impl FakeRoles {
    pub(crate) fn new(journal: Journal) -> Arc<Self> {
        Self::slow(journal, Duration::ZERO)
    }

    pub(crate) fn slow(journal: Journal, takes: Duration) -> Arc<Self> {
        let answer: Answer = Box::new(|_, _| Ok(()));
        Arc::new(Self {
            journal,
            heard: Mutex::default(),
            tries: Mutex::default(),
            answer: Mutex::new(answer),
            takes,
            now: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        })
    }

    pub(crate) fn answer_with(&self, answer: impl Fn(Role, &Event) -> Result<(), InboundError> + Send + Sync + 'static) {
        *self.answer.lock().unwrap() = Box::new(answer);
    }

    pub(crate) fn heard(&self) -> Vec<(Role, OrderId, EventKind)> {
        self.heard.lock().unwrap().clone()
    }

    pub(crate) fn kinds_of(&self, order: OrderId) -> Vec<&'static str> {
        self.heard().into_iter().filter(|(_, of, _)| *of == order).map(|(_, _, kind)| kind.name()).collect()
    }

    pub(crate) fn tries(&self, order: OrderId, kind: &'static str) -> u32 {
        self.tries.lock().unwrap().get(&(order, kind)).copied().unwrap_or(0)
    }
}

/// The shared one, as the consumer takes it.
pub(crate) struct Shared(Arc<FakeRoles>);

impl InboundEvents for Shared {
    fn is_lost(&self, _: Role, _: &Event, _: (WriterId, i64)) -> BoxFuture<'static, Result<bool, InboundError>> {
        Box::pin(async { Ok(false) })
    }

    fn handle(&self, role: Role, event: Event) -> BoxFuture<'static, Result<(), InboundError>> {
        let fake = self.0.clone();
        Box::pin(async move {
            let now = fake.now.fetch_add(1, Ordering::SeqCst) + 1;
            fake.most.fetch_max(now, Ordering::SeqCst);
            tokio::time::sleep(fake.takes).await;
            fake.now.fetch_sub(1, Ordering::SeqCst);
            *fake.tries.lock().unwrap().entry((event.order, event.kind().name())).or_default() += 1;
            (fake.answer.lock().unwrap())(role, &event)?;
            fake.heard.lock().unwrap().push((role, event.order, event.kind()));
            Ok(())
        })
    }

    fn ship(&self, order: OrderId, shipment: Shipment) -> BoxFuture<'static, Result<(), InboundError>> {
        let body = ordermill::domain::EventBody::OrderShipped { carrier: shipment.carrier, tracking: shipment.tracking };
        let (shard, correlation) = (shards().of(order), ordermill::domain::CorrelationId::of(order.0));
        self.handle(Role::Order, Event { order, shard, correlation, at: Timestamp(1), body, external_ids: None })
    }

    fn add_letter(&self, letter: DeadLetter) -> BoxFuture<'static, Result<(), InboundError>> {
        let journal = self.0.journal.clone();
        Box::pin(async move {
            assert_eq!(journal.commit(vec![Write::AddLetter(letter)]).await, [Outcome::Done]);
            Ok(())
        })
    }

    fn mark_letter(&self, id: DeadLetterId, origin: String) -> BoxFuture<'static, Result<(), InboundError>> {
        let journal = self.0.journal.clone();
        Box::pin(async move {
            journal.commit(vec![Write::MarkLetter { id, origin }]).await;
            Ok(())
        })
    }

    fn close_letter(&self, letter: DeadLetterId) -> BoxFuture<'static, Result<(), InboundError>> {
        let journal = self.0.journal.clone();
        Box::pin(async move {
            close(&journal, letter, DeadLetterState::Reprocessed).await;
            Ok(())
        })
    }

    fn store_places(&self, role: Role, places: Vec<ConsumedPlace>) -> BoxFuture<'static, bool> {
        let journal = self.0.journal.clone();
        Box::pin(async move { journal.commit(vec![Write::Consumed { role, places }]).await == [Outcome::Done] })
    }
}

pub(crate) async fn close(journal: &Journal, id: DeadLetterId, state: DeadLetterState) {
    let closing = Closing { id, state, by: Text::lossy("test"), note: None, overrules: None, at: Timestamp(9) };
    journal.commit(vec![Write::CloseLetter(closing)]).await;
}

/// A consumer with the roles that a test gives it.
pub(crate) struct Node {
    pub(crate) database: MemoryDatabase,
    pub(crate) fake: Arc<FakeRoles>,
    pub(crate) role_shards: watch::Sender<RoleShards>,
    pub(crate) state: BrokerState,
    pub(crate) consumer: Consumer,
}

impl Node {
    pub(crate) fn start(settings: &KafkaSettings, database: &MemoryDatabase, fake: Arc<FakeRoles>, roles: &[Role]) -> Self {
        let owned: RoleShards = roles.iter().flat_map(|role| shards().all().map(|shard| (*role, shard))).collect();
        Self::start_with(settings, database, fake, roles, owned)
    }

    pub(crate) fn start_with(
        settings: &KafkaSettings,
        database: &MemoryDatabase,
        fake: Arc<FakeRoles>,
        roles: &[Role],
        owned: RoleShards,
    ) -> Self {
        Self::start_beside(settings, database, fake, roles, owned, &[])
    }

    /// Beside roles of another team.
    pub(crate) fn start_beside(
        settings: &KafkaSettings,
        database: &MemoryDatabase,
        fake: Arc<FakeRoles>,
        roles: &[Role],
        owned: RoleShards,
        external: &[Role],
    ) -> Self {
        let state = BrokerState::default();
        let (role_shards, watched) = watch::channel(owned);
        let parts = ConsumerParts {
            settings: settings.clone(),
            reads: reads(database),
            inbound: Arc::new(Shared(fake.clone())),
            role_shards: watched,
            external: external.iter().copied().collect(),
            state: state.clone(),
            now: Arc::new(|| Timestamp(1_760_000_000_000_000)),
            tracer: ordermill::telemetry::traces::Tracer::default(),
        };
        let consumer = Consumer::start(&parts, roles).unwrap();
        Self { database: database.clone(), fake, role_shards, state, consumer }
    }

    pub(crate) async fn letters(&self) -> Vec<DeadLetter> {
        self.database
            .letters(DeadLetterFilter { state: Some(DeadLetterState::Open), limit: 1000, ..DeadLetterFilter::default() })
            .await
            .unwrap()
            .rows
    }

    pub(crate) async fn heard(&self, what: &str, count: usize) {
        until(what, async || self.fake.heard().len() >= count).await;
        assert_eq!(self.fake.heard().len(), count, "{what}");
    }
}

pub(crate) async fn node_on_mock(roles: &[Role]) -> (Mock, KafkaSettings, Node) {
    let mock = Mock::start();
    let settings = settings(&mock.brokers);
    let database = database(Nodes::One);
    let fake = FakeRoles::new(Journal::start(&database, None).await);
    let node = Node::start(&settings, &database, fake, roles);
    (mock, settings, node)
}

pub(crate) fn failed() -> Result<(), InboundError> {
    Err(InboundError::Failed { cause: "broken".to_owned(), detail: "it is broken".to_owned() })
}

/// Another team's message, on the partition of its order.
pub(crate) fn foreign(n: u64, topic: Topic, value: &Value) -> Record {
    record(topic, order(n).id, value.to_string().into_bytes())
}

pub(crate) fn without_local(event: &Event) -> Record {
    let mut record = published(event);
    record.headers.0.retain(|(name, _)| name != headers::LOCAL);
    record
}
