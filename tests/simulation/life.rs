//! Nodes that live, sleep, die and live again on one database. Each life has a set of tasks of its own: a crash drops the set, and
//! with it everything that is not stored, answers on their way included; while it is not polled the node sleeps.

use crate::auditor::Auditor;
use crate::broker::{Broker, shards};
use crate::chance::Chance;
use crate::chaos::Chaos;
use crate::consume::{self, processor};
use crate::hand::Hand;
use crate::publish;
use crate::run::Bug;
use crate::support::SimWorld;
use crate::team::Teams;
use futures_util::FutureExt;
use ordermill::actors::faults::Faults;
use ordermill::actors::{ActorSettings, Actors, AnalyticsSettings, Counter, NodeHandle, Parts, Repeats, Where, World};
use ordermill::config::providers::{BreakerSettings, ProviderSettings};
use ordermill::db::Reads;
use ordermill::db::memory::MemoryDatabase;
use ordermill::domain::{NoticeId, OrderId, Role, Roles, Timestamp};
use ordermill::kafka::consumer::core::assignment::{self, LISTENERS};
use ordermill::kafka::consumer::{ReprocessError, parked};
use ordermill::kafka::publisher::{FeedEnd, feed};
use ordermill::plants::Plant;
use ordermill::providers::sandbox::{SandboxControl, SandboxMailer, SandboxTexter};
use ordermill::providers::{Breaker, Breakers, Call, Email, Guarded, Mailer, Providers, Sms, Texter};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::LocalSet;

/// What nodes are made of; it outlives them.
pub struct Ground {
    pub world: Arc<SimWorld>,
    pub database: MemoryDatabase,
    pub sandbox: SandboxControl,
    pub settings: ActorSettings,
    pub chaos: Arc<Chaos>,
    pub auditor: Arc<Auditor>,
    /// What is between the nodes; none where one node is all.
    pub broker: Option<Broker>,
    /// What other teams do.
    pub teams: Rc<Teams>,
    /// A bug on purpose.
    pub bug: Option<Bug>,
}

/// All nodes.
pub struct Fleet {
    pub ground: Rc<Ground>,
    pub nodes: Vec<Rc<Node>>,
}

/// A node, while it lives.
struct Life {
    handle: NodeHandle,
    tasks: Rc<LocalSet>,
    stop: RefCell<Option<oneshot::Sender<()>>>,
}

/// One node, dead or alive.
pub struct Node {
    pub ground: Rc<Ground>,
    pub index: usize,
    pub roles: Roles,
    clock: Arc<NodeClock>,
    asleep: watch::Sender<bool>,
    /// It does not begin another life.
    retired: Cell<bool>,
    life: RefCell<Option<Rc<Life>>>,
}

/// A node's wall clock, which may be wrong, and jump.
struct NodeClock {
    world: Arc<SimWorld>,
    skew_us: AtomicI64,
}

impl World for NodeClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.world.now().0 + self.skew_us.load(Ordering::Relaxed))
    }

    fn order_id(&self, now: Timestamp) -> OrderId {
        self.world.order_id(now)
    }
}

impl Fleet {
    pub fn new(ground: Ground, roles: &[Roles], skews_ms: &[i64]) -> Rc<Self> {
        let ground = Rc::new(ground);
        let node = |(index, (roles, skew_ms)): (usize, (&Roles, &i64))| {
            let clock = Arc::new(NodeClock { world: ground.world.clone(), skew_us: AtomicI64::new(skew_ms * 1000) });
            let (asleep, retired) = (watch::Sender::new(false), Cell::new(false));
            Rc::new(Node { ground: ground.clone(), index, roles: *roles, clock, asleep, retired, life: RefCell::default() })
        };
        let nodes = roles.iter().zip(skews_ms).enumerate().map(node).collect();
        Rc::new(Self { ground, nodes })
    }

    /// Asks some node; the next one while `is_elsewhere` is the answer, for a while. None: the line was cut.
    pub async fn ask<T: 'static, F: Future<Output = T> + 'static>(
        &self,
        chance: &mut Chance,
        ask: impl Fn(NodeHandle) -> F,
        is_elsewhere: impl Fn(&T) -> bool,
    ) -> Option<T> {
        let mut last = None;
        for _ in 0..60 {
            let up: Vec<Rc<Node>> = self.nodes.iter().filter(|node| node.is_up()).cloned().collect();
            if up.is_empty() {
                pause(200).await;
                continue;
            }
            let at = usize::try_from(chance.below(up.len() as u64)).unwrap();
            let answer = up[at].ask(&ask).await?;
            if !is_elsewhere(&answer) {
                return Some(answer);
            }
            last = Some(answer);
            pause(200).await;
        }
        last
    }

    /// What some node listens to and has not committed to its end.
    pub fn behind(&self) -> Vec<String> {
        let Some(broker) = &self.ground.broker else { return Vec::new() };
        let mut listened = BTreeSet::new();
        for handle in self.nodes.iter().filter_map(|node| node.handle()) {
            let role_shards = handle.role_shards().borrow().clone();
            for role in LISTENERS {
                let count = |_| Some(i32::from(shards().count()));
                let partitions = assignment::partitions(role, &role_shards, broker.external, shards(), count);
                listened.extend(partitions.into_iter().map(|partition| (role, partition)));
            }
        }
        broker.behind(listened).into_iter().map(|behind| format!("{behind:?}")).collect()
    }
}

/// Where a node's actors put what they commit and say again.
struct Hooks {
    commits: Option<Counter>,
    repeats: Option<Repeats>,
}

impl Hooks {
    fn new(broker: Option<&Broker>) -> (Self, Option<FeedEnd>) {
        let Some(broker) = broker else { return (Self { commits: None, repeats: None }, None) };
        let (feed, end) = feed(&broker.settings);
        let again = feed.clone();
        let hooks = Self {
            commits: Some(Arc::new(move |logged| feed.push(logged))),
            repeats: Some(Arc::new(move |writer, event| again.repeat(writer, event))),
        };
        (hooks, Some(end))
    }
}

impl Node {
    pub fn is_up(&self) -> bool {
        self.life.borrow().is_some()
    }

    pub fn handle(&self) -> Option<NodeHandle> {
        self.life.borrow().as_ref().map(|life| life.handle.clone())
    }

    fn plant(&self) -> Option<Plant> {
        self.ground.bug.and_then(Bug::plant)
    }

    /// [`node_of`] reads it.
    fn name(&self) -> String {
        format!("node-{}", self.index)
    }

    /// Asks the node for something, within it; none if it dies over it, is dead, or sleeps for longer than anybody waits.
    pub async fn ask<T: 'static, F: Future<Output = T> + 'static>(&self, ask: impl FnOnce(NodeHandle) -> F) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        {
            let life = self.life.borrow();
            let life = life.as_ref()?;
            let asking = ask(life.handle.clone());
            life.tasks.spawn_local(async move { reply.send(asking.await).ok() });
        }
        tokio::time::timeout(Duration::from_secs(60), answer).await.ok()?.ok()
    }

    /// Stops the node in order, to be started again.
    pub fn stop(&self) {
        if let Some(stop) = self.life.borrow().as_ref().and_then(|life| life.stop.borrow_mut().take()) {
            let _stopping_already = stop.send(());
        }
    }

    /// Does nothing at all for so long.
    pub async fn sleep(&self, ms: u64) {
        self.ground.chaos.tell(|| format!("node {}: sleeps for {ms} ms", self.index));
        self.ground.chaos.sleeps(self.index);
        self.asleep.send_replace(true);
        pause(ms).await;
        self.wake();
    }

    pub fn wake(&self) {
        if self.asleep.send_replace(false) {
            self.ground.chaos.tell(|| format!("node {}: wakes", self.index));
            self.ground.chaos.woke(self.index, Duration::from_millis(self.ground.settings.lease_ms));
        }
    }

    /// Its wall clock jumps.
    pub fn jump(&self, ms: i64) {
        self.ground.chaos.tell(|| format!("node {}: its clock jumps by {ms} ms", self.index));
        self.clock.skew_us.fetch_add(ms * 1000, Ordering::Relaxed);
    }

    /// Dies, and does not come back.
    pub fn retire(&self) {
        self.retired.set(true);
        self.wake();
        self.ground.chaos.crash(self.index);
    }

    /// Lives on and on.
    pub async fn live(self: Rc<Self>, mut chance: Chance) {
        let chaos = self.ground.chaos.clone();
        while !self.retired.get() {
            let tasks = Rc::new(LocalSet::new());
            let mut crashed = chaos.begin_life(self.index);
            let (ended, mut end) = oneshot::channel();
            let (node, seed) = (self.clone(), chance.below(u64::MAX));
            let own = Rc::downgrade(&tasks);
            tasks.spawn_local(async move {
                let (hooks, feed) = Hooks::new(node.ground.broker.as_ref());
                if let (Ok(actors), Some(tasks)) = (node.start(hooks).await, own.upgrade()) {
                    let (stop, stopped) = oneshot::channel();
                    let handle = actors.handle().clone();
                    let halting = handle.clone();
                    if let (Some(broker), Some(feed)) = (&node.ground.broker, feed) {
                        node.connect(broker, &handle, feed, seed);
                    }
                    *node.life.borrow_mut() = Some(Rc::new(Life { handle, tasks, stop: RefCell::new(Some(stop)) }));
                    tokio::select! {
                        biased;
                        _asked = stopped => {}
                        why = halting.halted() => {
                            // As the program exits at once.
                            let chaos = &node.ground.chaos;
                            chaos.tell(|| format!("node {}: ends: {why}", node.index));
                            chaos.failovers().noticed((node.index, chaos.life(node.index)));
                            let _nobody_waits = ended.send(());
                            return std::future::pending().await;
                        }
                    }
                    actors.stop(Duration::from_secs(10)).await;
                }
                let _nobody_waits = ended.send(());
            });
            let mut changes = self.asleep.subscribe();
            loop {
                let is_asleep = *changes.borrow_and_update();
                tokio::select! {
                    biased;
                    _ = &mut crashed => break,
                    _ = changes.changed() => {}
                    _ = tasks.run_until(&mut end), if !is_asleep => break,
                }
            }
            chaos.end_life(self.index);
            drop(self.life.borrow_mut().take());
            drop(tasks);
            chaos.excuse(self.index);
            if chaos.rages() {
                pause(chance.delay_ms(10_000)).await;
            }
        }
    }

    /// Starts the node's publisher and its consumers.
    fn connect(&self, broker: &Broker, handle: &NodeHandle, feed: FeedEnd, seed: u64) {
        let (chaos, plant) = (&self.ground.chaos, self.plant());
        let mut chance = Chance::new(seed, 0);
        let shell = publish::Shell {
            broker: broker.clone(),
            chaos: chaos.clone(),
            node: self.index,
            handle: handle.clone(),
            queue: chance.pick(&[10_000, 10, 2]),
            chance,
            plant,
        };
        actix::spawn(publish::publish(shell, feed));
        let (mut processors, mut owners) = (BTreeMap::new(), Vec::new());
        for (number, role) in LISTENERS.into_iter().enumerate().filter(|(_, role)| self.roles.has(*role)) {
            let processor = processor(role, broker, handle, self.clock.clone());
            processors.insert(role, processor.clone());
            let (owner, owned) = mpsc::unbounded_channel();
            owners.push(owner);
            let shell = consume::Shell {
                role,
                broker: broker.clone(),
                chaos: chaos.clone(),
                node: self.index,
                handle: handle.clone(),
                chance: Chance::new(seed, 1 + number as u64),
                processor,
                owned,
                plant,
            };
            actix::spawn(consume::consume(shell));
        }
        // One who waits tells the others: a `watch` wakes several in an order that no seed decides.
        let mut role_shards = handle.role_shards();
        role_shards.mark_changed();
        actix::spawn(async move {
            while role_shards.changed().await.is_ok() {
                let owned = role_shards.borrow_and_update().clone();
                owners.iter().for_each(|owner| drop(owner.send(owned.clone())));
            }
        });
        handle.takes_letters_again(Arc::new(move |letter| {
            let processor = processors.get(&letter.role).cloned();
            async move {
                let Some(processor) = processor else { return Err(None) };
                parked::take_again(&processor, &letter).await.map_err(|error| match error {
                    ReprocessError::Failed(why) | ReprocessError::Unreadable(why) => Some(why),
                    ReprocessError::Away(_) => None,
                })
            }
            .boxed()
        }));
    }

    async fn start(&self, hooks: Hooks) -> Result<Actors, ordermill::db::StoreError> {
        let ground = &self.ground;
        let hand = Arc::new(Hand { chaos: ground.chaos.clone(), auditor: ground.auditor.clone(), node: self.index, plant: self.plant() });
        let line = ground.database.line();
        line.set_faults(Some(hand.clone()));
        let reads: Arc<dyn Reads> = if ground.bug == Some(Bug::DropsOnRestart) {
            Arc::new(crate::forgetful::Forgetful(line.clone()))
        } else {
            Arc::new(line.clone())
        };
        let parts = Parts {
            settings: ground.settings.clone(),
            analytics: AnalyticsSettings::default(),
            world: self.clock.clone(),
            store: Box::new(line.store()),
            reads,
            providers: self.providers(),
            faults: Faults::plan(hand),
            roles: self.roles,
            publish: hooks.commits,
            repeats: hooks.repeats,
            name: self.name(),
            url: "http://127.0.0.1:0".to_owned(),
            tracer: ordermill::telemetry::traces::Tracer::default(),
        };
        Actors::start(parts, Where::Here).await
    }

    /// The outside parties live on; the breakers are the node's.
    fn providers(&self) -> Providers {
        let (settings, sandbox) = (ProviderSettings::default(), &self.ground.sandbox);
        let [payment, email, sms] = ["payment", "email", "sms"].map(|name| Breaker::new(name, BreakerSettings::default()));
        let breakers = Breakers::new(vec![payment.clone(), email.clone(), sms.clone()]);
        let sender = Sender { chaos: self.ground.chaos.clone(), node: self.index };
        Providers {
            payment: Arc::new(Guarded::new(sandbox.payment(), payment, settings.payment.timeout_ms)),
            email: Arc::new(Guarded::new(Told(sandbox.mailer(), sender.clone()), email, settings.email.timeout_ms)),
            sms: Arc::new(Guarded::new(Told(sandbox.texter(), sender), sms, settings.sms.timeout_ms)),
            breakers,
            sandbox: Some(sandbox.clone()),
        }
    }
}

/// Who sends notices.
#[derive(Clone)]
struct Sender {
    chaos: Arc<Chaos>,
    node: usize,
}

/// A party that tells what it is handed, and by whom.
struct Told<P>(P, Sender);

impl<P> Told<P> {
    fn tell(&self, notice: NoticeId) {
        self.1.chaos.sends(self.1.node, notice);
    }
}

impl Mailer for Told<SandboxMailer> {
    fn send(&self, email: Email) -> Call<()> {
        self.tell(email.id);
        self.0.send(email)
    }
}

impl Texter for Told<SandboxTexter> {
    fn send(&self, sms: Sms) -> Call<()> {
        self.tell(sms.id);
        self.0.send(sms)
    }
}

pub async fn pause(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

/// These roles for so many nodes: each has all, or some; each role is somebody's.
pub fn cast(chance: &mut Chance, nodes: usize, ours: &[Role]) -> Vec<Roles> {
    if nodes == 1 || chance.hits(5000) {
        return vec![ours.iter().copied().collect(); nodes];
    }
    let mut roles = vec![Roles::default(); nodes];
    for role in ours.iter().copied() {
        let at = usize::try_from(chance.below(nodes as u64)).unwrap();
        roles[at] = roles[at].with(role);
    }
    for own in &mut roles {
        for role in ours.iter().copied() {
            if own.is_empty() || chance.hits(2500) {
                *own = own.with(role);
            }
        }
    }
    roles
}
