//! Nodes that live, sleep, die and live again on one database. Each life has a set of tasks of its own: a crash drops the set, and
//! with it everything that is not stored, answers on their way included; while it is not polled the node sleeps.

use crate::auditor::{Auditor, node_of};
use crate::bus::{Bus, consume};
use crate::chance::Chance;
use crate::chaos::Chaos;
use crate::hand::Hand;
use crate::support::SimWorld;
use crate::team::Teams;
use ordermill::actors::faults::Faults;
use ordermill::actors::{ActorSettings, Actors, AnalyticsSettings, NodeHandle, Parts, Where, World};
use ordermill::config::providers::{BreakerSettings, ProviderSettings};
use ordermill::db::memory::MemoryDatabase;
use ordermill::db::{Reads, WriterRow};
use ordermill::domain::{NoticeId, OrderId, Role, Roles, Shard, Timestamp};
use ordermill::providers::sandbox::{SandboxControl, SandboxMailer, SandboxTexter};
use ordermill::providers::{Breaker, Breakers, Call, Email, Guarded, Mailer, Providers, Sms, Texter};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::sync::{oneshot, watch};
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
    pub bus: Option<Bus>,
    /// What other teams do.
    pub teams: Rc<Teams>,
    /// A bug on purpose: orders that a node does not find again when it starts.
    pub drops_on_restart: bool,
    /// A bug on purpose: whoever publishes does not stop at markers.
    pub passes_markers: bool,
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

    /// Those that live and are not asleep.
    pub fn awake(&self) -> Vec<Rc<Node>> {
        self.nodes.iter().filter(|node| node.is_up() && !node.is_asleep()).cloned().collect()
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

    /// Whether somebody publishes this log now: its own node, while its writer is the node's, or for a dead writer a survivor.
    pub fn publishes(&self, row: &WriterRow) -> bool {
        let owner = &self.nodes[node_of(row)];
        if row.alive { owner.is_up() && !owner.is_asleep() } else { !self.awake().is_empty() }
    }

    /// The roles that had an event where it became true; of a dead writer's nobody knows.
    pub fn local_roles(&self, row: &WriterRow, shard: Shard) -> Roles {
        let life = self.nodes[node_of(row)].life.borrow().clone();
        let Some(life) = life.filter(|_| row.alive) else { return Roles::default() };
        life.handle.role_shards().borrow().roles(shard)
    }
}

impl Node {
    pub fn is_up(&self) -> bool {
        self.life.borrow().is_some()
    }

    pub fn is_asleep(&self) -> bool {
        *self.asleep.borrow()
    }

    pub fn handle(&self) -> Option<NodeHandle> {
        self.life.borrow().as_ref().map(|life| life.handle.clone())
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
            let node = self.clone();
            let own = Rc::downgrade(&tasks);
            tasks.spawn_local(async move {
                if let (Ok(actors), Some(tasks)) = (node.start().await, own.upgrade()) {
                    let (stop, stopped) = oneshot::channel();
                    let handle = actors.handle().clone();
                    if let Some(bus) = &node.ground.bus {
                        actix::spawn(consume(handle.clone(), bus.clone()));
                    }
                    *node.life.borrow_mut() = Some(Rc::new(Life { handle, tasks, stop: RefCell::new(Some(stop)) }));
                    let _asked = stopped.await;
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

    async fn start(&self) -> Result<Actors, ordermill::db::StoreError> {
        let ground = &self.ground;
        let hand = Arc::new(Hand { chaos: ground.chaos.clone(), auditor: ground.auditor.clone(), node: self.index });
        let line = ground.database.line();
        line.set_faults(Some(hand.clone()));
        let reads: Arc<dyn Reads> =
            if ground.drops_on_restart { Arc::new(crate::forgetful::Forgetful(line.clone())) } else { Arc::new(line.clone()) };
        let index = self.index;
        let repeats =
            ground.bus.clone().map(|bus| Arc::new(move |writer, event| bus.repeat(index, writer, event)) as ordermill::actors::Repeats);
        let parts = Parts {
            settings: ground.settings.clone(),
            analytics: AnalyticsSettings::default(),
            world: self.clock.clone(),
            store: Box::new(line.store()),
            reads,
            providers: self.providers(),
            faults: Faults::plan(hand),
            roles: self.roles,
            // The bus follows the stored logs.
            publish: None,
            repeats,
            name: self.name(),
            url: "http://127.0.0.1:0".to_owned(),
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
