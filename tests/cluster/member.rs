//! One node of a cluster. Its tasks are a set of their own: dropped, the node has crashed; not polled, it sleeps.

use crate::bus::{Bus, tell};
use crate::support::{LIMIT, World1, new_order, until};
use ordermill::actors::{ActorSettings, Actors, AnalyticsSettings, NewOrder, NodeHandle, Parts, PlaceError, Where};
use ordermill::db::memory::{MemoryDatabase, Nodes};
use ordermill::db::{OrderFilter, Reads, Store};
use ordermill::domain::{Event, EventKind, OrderId, OrderLine, Role, Roles, Shards};
use ordermill::verify::{Expect, Options, verify};
use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::task::LocalSet;

/// The nodes and what they share.
pub struct Cluster {
    pub world: World1,
    bus: Bus,
    members: RefCell<Vec<Rc<Member>>>,
}

pub struct Member {
    pub handle: NodeHandle,
    /// Its line to the database.
    pub line: MemoryDatabase,
    stop: RefCell<Option<oneshot::Sender<()>>>,
    tasks: Rc<LocalSet>,
    sleeps: watch::Sender<bool>,
    crash: RefCell<Option<oneshot::Sender<()>>>,
}

impl Cluster {
    pub fn new(seed: u64) -> Rc<Self> {
        Self::with(seed, |_| {})
    }

    /// With other settings than the default.
    pub fn with(seed: u64, set: impl FnOnce(&mut ActorSettings)) -> Rc<Self> {
        Self::of_world(seed, |world| set(&mut world.settings))
    }

    /// In another world than the default.
    pub fn of_world(seed: u64, set: impl FnOnce(&mut World1)) -> Rc<Self> {
        let mut world = World1::new(seed);
        set(&mut world);
        let clock = world.world.clone();
        world.database =
            MemoryDatabase::new(Shards::new(24).unwrap(), Nodes::Many, Arc::new(move || ordermill::actors::World::now(&*clock)));
        let cluster = Rc::new(Self { world, bus: Bus::default(), members: RefCell::default() });
        actix::spawn(carry(Rc::downgrade(&cluster)));
        cluster
    }

    /// Starts a node; returns when it has started, with shards or without.
    pub async fn start(&self, name: &str, roles: &[Role]) -> Rc<Member> {
        self.start_on(name, roles, |line| Box::new(line.store())).await
    }

    /// The same, on a store of its own.
    pub async fn start_on(&self, name: &str, roles: &[Role], store: impl FnOnce(&MemoryDatabase) -> Box<dyn Store>) -> Rc<Member> {
        self.start_line(self.world.database.line(), name, roles, store).await
    }

    /// The same with a login of its own, which may not read orders.
    pub async fn start_with_login(&self, name: &str, roles: &[Role]) -> Rc<Member> {
        self.start_line(self.world.database.line_of_a_role(), name, roles, |line| Box::new(line.store())).await
    }

    async fn start_line(
        &self,
        line: MemoryDatabase,
        name: &str,
        roles: &[Role],
        store: impl FnOnce(&MemoryDatabase) -> Box<dyn Store>,
    ) -> Rc<Member> {
        let parts = Parts {
            settings: self.world.settings.clone(),
            analytics: AnalyticsSettings::default(),
            world: self.world.world.clone(),
            store: store(&line),
            reads: Arc::new(line.clone()),
            providers: self.world.providers.clone(),
            faults: self.world.faults.clone(),
            roles: roles.iter().copied().collect::<Roles>(),
            publish: Some(self.bus.publish()),
            repeats: Some(self.bus.repeats()),
            name: name.to_owned(),
            url: format!("http://{name}"),
            tracer: ordermill::telemetry::traces::Tracer::default(),
        };
        let tasks = Rc::new(LocalSet::new());
        let (started, start) = oneshot::channel();
        let (crash, crashed) = oneshot::channel::<()>();
        let sleeps = watch::Sender::new(false);
        let (stop, stopped) = oneshot::channel::<()>();
        tasks.spawn_local(async move {
            let actors = Actors::start(parts, Where::Here).await.unwrap();
            let handle = actors.handle().clone();
            assert!(started.send(handle).is_ok());
            if stopped.await.is_ok() {
                actors.stop(LIMIT).await;
            }
            std::future::pending::<()>().await;
        });
        actix::spawn(run(tasks.clone(), sleeps.clone(), crashed));
        let handle = start.await.unwrap();
        let member = Rc::new(Member { handle, line, stop: RefCell::new(Some(stop)), tasks, sleeps, crash: RefCell::new(Some(crash)) });
        self.members.borrow_mut().push(member.clone());
        member
    }

    /// Another team's role says something on its topic.
    pub fn say(&self, event: Event) {
        self.bus.say(event);
    }

    /// From now on no node hears of events of this kind of others.
    pub fn lose(&self, kind: EventKind) {
        self.bus.lose(kind);
    }

    pub fn members(&self) -> Vec<Rc<Member>> {
        self.members.borrow().clone()
    }

    /// The node is gone from one moment to the next.
    pub async fn crash(&self, member: Rc<Member>) {
        self.members.borrow_mut().retain(|other| !Rc::ptr_eq(other, &member));
        drop(member.crash.borrow_mut().take());
        let tasks = Rc::downgrade(&member.tasks);
        drop(member);
        until("the node is gone", || async { tasks.upgrade().is_none() }).await;
    }

    /// Waits until every shard of each role is somebody's and all shares are even.
    pub async fn is_shared(&self) {
        until("the shards are shared out evenly", || async {
            Role::ALL.into_iter().all(|role| {
                let shares = self.members().into_iter().map(|member| member.handle.role_shards().borrow().shards_of(role).len());
                let shares: Vec<usize> = shares.filter(|share| *share > 0).collect();
                shares.iter().sum::<usize>() == 24 && shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1
            })
        })
        .await;
    }

    /// Waits until no order owes anything, and checks every invariant.
    pub async fn settles(&self) {
        until("every order is settled", || async {
            let all = self.world.database.open_orders(Shards::new(24).unwrap().all().collect(), None, 10_000).await.unwrap();
            all.is_empty()
        })
        .await;
        let orders = self.world.database.orders(OrderFilter { limit: 1, ..OrderFilter::default() }).await.unwrap();
        assert!(!orders.rows.is_empty());
        let report = self.report().await;
        assert!(report.is_sound(), "{report}");
    }

    async fn report(&self) -> ordermill::verify::Report {
        let external: Vec<Role> = self.world.settings.external_roles.iter().collect();
        let mut snapshot = self.world.database.snapshot().await.unwrap();
        verify(snapshot.as_mut(), &Options { expect: Expect::Settled, external, ..Options::default() }).await.unwrap()
    }
}

impl Member {
    /// Asks the node for something, within it; none if it dies over it.
    pub async fn ask<T: 'static, F: Future<Output = T> + 'static>(&self, ask: impl FnOnce(NodeHandle) -> F) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        let asking = ask(self.handle.clone());
        self.tasks.spawn_local(async move { reply.send(asking.await).ok() });
        answer.await.ok()
    }

    pub async fn place(&self, lines: Vec<OrderLine>) -> Option<Result<OrderId, PlaceError>> {
        let new: NewOrder = new_order(lines);
        let placed = self.ask(|handle| async move { handle.place(new, None, LIMIT).await }).await?;
        Some(placed.map(|placed| placed.order.id))
    }

    pub fn owns(&self, role: Role) -> usize {
        self.handle.role_shards().borrow().shards_of(role).len()
    }

    /// Has the node stop in order.
    pub fn stop(&self) {
        self.stop.borrow_mut().take().unwrap().send(()).unwrap();
    }

    pub fn sleep(&self) {
        self.sleeps.send_replace(true);
    }

    pub fn wake(&self) {
        self.sleeps.send_replace(false);
    }
}

async fn run(tasks: Rc<LocalSet>, sleeps: watch::Sender<bool>, mut crashed: oneshot::Receiver<()>) {
    let mut changes = sleeps.subscribe();
    loop {
        let is_asleep = *changes.borrow_and_update();
        tokio::select! {
            biased;
            _ = &mut crashed => return,
            _ = changes.changed() => {}
            () = tasks.run_until(std::future::pending()), if !is_asleep => {}
        }
    }
}

/// Carries what the nodes say to each other.
async fn carry(cluster: std::rc::Weak<Cluster>) {
    loop {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let Some(cluster) = cluster.upgrade() else { return };
        while let Some(event) = cluster.bus.next() {
            for member in cluster.members() {
                for role in Role::ALL {
                    member.tasks.spawn_local(tell(member.handle.clone(), role, event.clone()));
                }
            }
        }
    }
}
