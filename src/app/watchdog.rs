//! The watchdog: ends the process when an arbiter stands still. Its orders cannot go on here, but they can after a restart or on
//! another node. It watches from the start to the stop, whether the node is ready or not: one that freezes while it loads is as stuck.

use crate::actors::NodeHandle;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// So many looks in a row without a heartbeat, and an arbiter is taken to be frozen. They are counted rather than timed: a process that
/// was stopped and goes on must not find all its arbiters silent at once.
const SILENT_LOOKS: u32 = 30;

/// Dropped, it ends the watching.
pub(super) type Watchdog = mpsc::Sender<()>;

/// Begins to watch the arbiters' heartbeats.
pub(super) fn watch(handle: NodeHandle) -> std::io::Result<Watchdog> {
    watch_handle(handle, LOOK_EVERY, |arbiter| {
        tracing::error!(arbiter, "an arbiter stands still; the node exits, its orders go on from what is stored");
        std::process::exit(70);
    })
}

fn watch_handle(handle: NodeHandle, every: Duration, frozen: impl FnOnce(usize) + Send + 'static) -> std::io::Result<Watchdog> {
    watch_beats(move || handle.heartbeats(), every, frozen)
}

fn watch_beats(
    beats: impl Fn() -> Vec<u64> + Send + 'static,
    every: Duration,
    frozen: impl FnOnce(usize) + Send + 'static,
) -> std::io::Result<Watchdog> {
    let (alive, gone) = mpsc::channel::<()>();
    std::thread::Builder::new().name("watchdog".to_owned()).spawn(move || {
        let mut silence = Silence::default();
        while let Err(RecvTimeoutError::Timeout) = gone.recv_timeout(every) {
            if let Some(arbiter) = silence.look(beats()) {
                return frozen(arbiter);
            }
        }
    })?;
    Ok(alive)
}

/// How many looks ago each arbiter was last heard.
#[derive(Default)]
struct Silence {
    last: Vec<u64>,
    looks: Vec<u32>,
}

impl Silence {
    /// Takes note of the heartbeats; names an arbiter that is frozen.
    fn look(&mut self, beats: Vec<u64>) -> Option<usize> {
        self.looks.resize(beats.len(), 0);
        for (arbiter, looks) in self.looks.iter_mut().enumerate() {
            *looks = if self.last.get(arbiter) == beats.get(arbiter) { *looks + 1 } else { 0 };
        }
        self.last = beats;
        self.looks.iter().position(|looks| *looks >= SILENT_LOOKS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::faults::{FaultPlan, Faults, Point};
    use crate::actors::{ActorSettings, Actors, AnalyticsSettings, NewOrder, Parts, RealWorld, Where, World};
    use crate::config::providers::ProviderSettings;
    use crate::db::Write;
    use crate::db::memory::{MemoryDatabase, Nodes};
    use crate::domain::{CorrelationId, CustomerId, Money, Order, OrderId, OrderLine, ProductId, Quantity, Roles, Shards, Text};
    use crate::providers::Providers;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Condvar, Mutex};
    use uuid::Uuid;

    #[test]
    fn an_arbiter_that_is_silent_for_thirty_looks_is_frozen_and_one_beat_begins_anew() {
        let mut silence = Silence::default();
        for look in 0..100 {
            assert_eq!(silence.look(vec![look, look / 30]), None, "look {look}");
        }
        for look in 0..30 {
            assert_eq!(silence.look(vec![100 + look, 4]), None, "look {look}");
        }
        assert_eq!(silence.look(vec![130, 4]), Some(1));
    }

    /// The first order that is loaded lets its arbiter stand still until the test ends.
    struct Frozen(Mutex<mpsc::Receiver<()>>);

    impl FaultPlan for Frozen {
        fn pass(&self, point: Point, _order: Option<OrderId>) {
            if point == Point::OrderStarted {
                let _gone = self.0.lock().map(|end| end.recv());
            }
        }
    }

    /// The second arbiter stands still until the test ends, before it has taken anything.
    #[derive(Default)]
    struct Second {
        /// Of the arbiters that run, with their numbers.
        started: Mutex<Vec<u32>>,
        all: Condvar,
        ends: Mutex<bool>,
        end: Condvar,
    }

    impl Second {
        /// Arbiters are numbered as they are made.
        fn number() -> u32 {
            std::thread::current().name().and_then(|name| name.rsplit(':').next()?.parse().ok()).unwrap()
        }

        fn end(&self) {
            *self.ends.lock().unwrap() = true;
            self.end.notify_all();
        }
    }

    impl FaultPlan for Second {
        fn pass(&self, point: Point, _order: Option<OrderId>) {
            if point == Point::RouterStarted {
                self.started.lock().unwrap().push(Self::number());
                self.all.notify_all();
            }
            if point == Point::RouterMessage {
                let started = self.all.wait_while(self.started.lock().unwrap(), |started| started.len() < 2).unwrap();
                if started.iter().max() == Some(&Self::number()) {
                    drop(started);
                    drop(self.end.wait_while(self.ends.lock().unwrap(), |ends| !*ends).unwrap());
                }
            }
        }
    }

    /// A node of one arbiter, whose payments take an hour.
    fn parts(database: &MemoryDatabase, faults: Faults) -> Parts {
        let mut providers = ProviderSettings::default();
        providers.sandbox.behaviour.latency_ms = 3_600_000;
        providers.payment.timeout_ms = 3_600_000;
        Parts {
            settings: ActorSettings { arbiters: 1, load_page: 1, ..ActorSettings::default() },
            analytics: AnalyticsSettings::default(),
            world: Arc::new(RealWorld),
            store: Box::new(database.store()),
            reads: Arc::new(database.clone()),
            providers: Providers::from_settings(&providers).unwrap(),
            faults,
            roles: Roles::ALL,
            publish: None,
            repeats: None,
            name: "node-1".to_owned(),
            tracer: crate::telemetry::traces::Tracer::default(),
            url: "http://127.0.0.1:0".to_owned(),
        }
    }

    async fn until(what: &str, condition: impl Fn() -> bool) {
        let waiting = async {
            while !condition() {
                actix::clock::sleep(Duration::from_millis(20)).await;
            }
        };
        assert!(actix::clock::timeout(Duration::from_secs(300), waiting).await.is_ok(), "never came true: {what}");
    }

    async fn place_three(handle: &NodeHandle) {
        let (product, price, limit) = (ProductId(Uuid::from_u128(1)), Money::from_minor(1000).unwrap(), Duration::from_secs(300));
        handle.write(Write::product(product, Text::lossy("thing"), price, 100), limit).await.unwrap();
        for _ in 0..3 {
            let lines = vec![OrderLine { product, quantity: Quantity::new(1).unwrap(), price }];
            let order = NewOrder {
                customer: CustomerId(Uuid::from_u128(2)),
                total: Order::total_of(&lines).unwrap(),
                lines,
                payment_method: Text::lossy("card"),
                contact: None,
                address: None,
                correlation: CorrelationId::of(Uuid::from_u128(3)),
            };
            handle.place(order, None, limit).await.unwrap();
        }
    }

    #[test]
    fn a_node_that_freezes_while_it_loads_is_told() {
        let (end, ends) = mpsc::channel::<()>();
        let (told, hears) = mpsc::channel();
        actix::System::new().block_on(async move {
            let database = MemoryDatabase::new(Shards::new(2).unwrap(), Nodes::One, Arc::new(|| RealWorld.now()));
            let first = Actors::start(parts(&database, Faults::default()), Where::Threads).await.unwrap();
            until("it has its shards", || first.handle().not_ready().is_empty() && !first.handle().role_shards().borrow().is_empty()).await;
            place_three(first.handle()).await;
            first.stop(Duration::from_secs(10)).await;
            let frozen = Faults::plan(Arc::new(Frozen(Mutex::new(ends))));
            let second = Actors::start(parts(&database, frozen), Where::Threads).await.unwrap();
            let is_loading = || second.handle().not_ready().iter().any(|why| why.ends_with("loading"));
            until("it loads", is_loading).await;
            let every = Duration::from_millis(100);
            let _watchdog = watch_handle(second.handle().clone(), every, move |arbiter| told.send(arbiter).unwrap()).unwrap();
            until("somebody hears of it", || hears.try_recv() == Ok(0)).await;
            assert!(is_loading());
            drop(end);
        });
    }

    #[test]
    fn a_cell_that_freezes_before_it_begins_to_load_is_not_ready_and_is_told() {
        let (told, hears) = mpsc::channel();
        actix::System::new().block_on(async move {
            let database = MemoryDatabase::new(Shards::new(2).unwrap(), Nodes::One, Arc::new(|| RealWorld.now()));
            let plan = Arc::new(Second::default());
            let mut parts = parts(&database, Faults::plan(plan.clone()));
            parts.settings.arbiters = 2;
            let node = Actors::start(parts, Where::Threads).await.unwrap();
            let _watchdog =
                watch_handle(node.handle().clone(), Duration::from_millis(100), move |arbiter| told.send(arbiter).unwrap()).unwrap();
            until("somebody hears of it", || hears.try_recv() == Ok(1)).await;
            until("the first one has begun", || node.handle().not_ready() == ["orders of cell 1: loading"]).await;
            plan.end();
            until("both have", || node.handle().not_ready().is_empty()).await;
            node.stop(Duration::from_secs(10)).await;
        });
    }

    #[test]
    fn the_thread_tells_which_arbiter_stands_still_while_another_beats() {
        let beating = Arc::new(AtomicU64::new(0));
        let (told, hears) = mpsc::channel();
        let beats = move || vec![beating.fetch_add(1, Ordering::Relaxed), 7];
        let _watchdog = watch_beats(beats, Duration::from_millis(1), move |arbiter| told.send(arbiter).unwrap()).unwrap();
        assert_eq!(hears.recv(), Ok(1));
    }
}
