//! A node that lives, dies and lives again on one database. Each life has a set of tasks of its own: a crash drops the set, and with
//! it everything that is not stored, answers on their way included.

use crate::chance::Chance;
use crate::chaos::{Chaos, Hand};
use crate::support::SimWorld;
use ordermill::actors::faults::Faults;
use ordermill::actors::{ActorSettings, Actors, AnalyticsSettings, Front, Parts, Where};
use ordermill::config::providers::{BreakerSettings, ProviderSettings};
use ordermill::db::Reads;
use ordermill::db::memory::MemoryDatabase;
use ordermill::domain::Roles;
use ordermill::providers::sandbox::SandboxControl;
use ordermill::providers::{Breaker, Breakers, Guarded, Providers};
use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::LocalSet;

/// What a node is made of; it outlives the node.
pub struct Ground {
    pub world: Arc<SimWorld>,
    pub database: MemoryDatabase,
    pub sandbox: SandboxControl,
    pub settings: ActorSettings,
    pub chaos: Arc<Chaos>,
    /// A bug on purpose: orders that the node does not find again when it starts.
    pub drops_on_restart: bool,
}

/// A node, while it lives.
struct Life {
    front: Front,
    tasks: Rc<LocalSet>,
    stop: RefCell<Option<oneshot::Sender<()>>>,
}

/// The node, dead or alive.
pub struct Host {
    pub ground: Ground,
    life: RefCell<Option<Rc<Life>>>,
}

impl Host {
    pub fn new(ground: Ground) -> Rc<Self> {
        Rc::new(Self { ground, life: RefCell::default() })
    }

    /// Asks the node for something, within it; none if it dies over it, or is dead.
    pub async fn ask<T: 'static, F: Future<Output = T> + 'static>(&self, ask: impl FnOnce(Front) -> F) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        {
            let life = self.life.borrow();
            let life = life.as_ref()?;
            let asking = ask(life.front.clone());
            life.tasks.spawn_local(async move { reply.send(asking.await).ok() });
        }
        answer.await.ok()
    }

    /// The same, of the node's next life if it dies over it.
    pub async fn insist<T: 'static, F: Future<Output = T> + 'static>(&self, ask: impl Fn(Front) -> F) -> T {
        loop {
            if let Some(answer) = self.ask(&ask).await {
                return answer;
            }
            pause(100).await;
        }
    }

    /// Stops the node in order, to be started again.
    pub fn stop(&self) {
        if let Some(stop) = self.life.borrow().as_ref().and_then(|life| life.stop.borrow_mut().take()) {
            let _stopping_already = stop.send(());
        }
    }

    /// Lives on and on.
    pub async fn live(self: Rc<Self>, mut chance: Chance) {
        loop {
            let tasks = Rc::new(LocalSet::new());
            let crashed = self.ground.chaos.begin_life();
            let (ended, end) = oneshot::channel();
            let host = self.clone();
            let own = Rc::downgrade(&tasks);
            tasks.spawn_local(async move {
                if let (Ok(actors), Some(tasks)) = (host.ground.start().await, own.upgrade()) {
                    let (stop, stopped) = oneshot::channel();
                    let life = Life { front: actors.front().clone(), tasks, stop: RefCell::new(Some(stop)) };
                    *host.life.borrow_mut() = Some(Rc::new(life));
                    let _asked = stopped.await;
                    actors.stop(Duration::from_secs(10)).await;
                }
                let _nobody_waits = ended.send(());
            });
            tokio::select! {
                biased;
                _ = crashed => {}
                _ = tasks.run_until(end) => {}
            }
            self.ground.chaos.end_life();
            drop(self.life.borrow_mut().take());
            drop(tasks);
            self.ground.chaos.excuse();
            if self.ground.chaos.rages() {
                pause(chance.delay_ms(5000)).await;
            }
        }
    }
}

impl Ground {
    async fn start(&self) -> Result<Actors, ordermill::db::StoreError> {
        let hand = Arc::new(Hand(self.chaos.clone()));
        let reads: Arc<dyn Reads> = if self.drops_on_restart {
            Arc::new(crate::forgetful::Forgetful(self.database.clone()))
        } else {
            Arc::new(self.database.clone())
        };
        let parts = Parts {
            settings: self.settings.clone(),
            analytics: AnalyticsSettings::default(),
            world: self.world.clone(),
            store: Box::new(self.database.store()),
            reads,
            providers: providers(&self.sandbox),
            faults: Faults::plan(hand),
            roles: Roles::ALL,
            publish: None,
            repeats: None,
            name: "node-1".to_owned(),
            url: "http://127.0.0.1:0".to_owned(),
        };
        Actors::start(parts, Where::Here).await
    }
}

/// The outside parties live on; the breakers are the node's.
fn providers(sandbox: &SandboxControl) -> Providers {
    let settings = ProviderSettings::default();
    let [payment, email, sms] = ["payment", "email", "sms"].map(|name| Breaker::new(name, BreakerSettings::default()));
    let breakers = Breakers::new(vec![payment.clone(), email.clone(), sms.clone()]);
    Providers {
        payment: Arc::new(Guarded::new(sandbox.payment(), payment, settings.payment.timeout_ms)),
        email: Arc::new(Guarded::new(sandbox.mailer(), email, settings.email.timeout_ms)),
        sms: Arc::new(Guarded::new(sandbox.texter(), sms, settings.sms.timeout_ms)),
        breakers,
        sandbox: Some(sandbox.clone()),
    }
}

pub async fn pause(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}
