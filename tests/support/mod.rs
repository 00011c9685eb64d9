//! A node on the memory store, on the calling thread, under tokio's paused clock.
#![allow(dead_code, unreachable_pub, reason = "each test target uses its own part")]

use ordermill::actors::faults::Faults;
use ordermill::actors::{ActorSettings, Actors, AnalyticsSettings, NewOrder, NodeHandle, Parts, Where, World};
use ordermill::config::providers::ProviderSettings;
use ordermill::db::memory::{MemoryDatabase, Nodes};
use ordermill::db::{Outcome, ProductOutcome, StoredOrder, Write};
use ordermill::domain::{
    CorrelationId, CustomerId, Money, Order, OrderId, OrderLine, OrderStatus, ProductId, Quantity, Roles, Shards, Text, Timestamp,
};
use ordermill::providers::Providers;
use ordermill::providers::sandbox::SandboxControl;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// Long enough for every retry and deadline; costs nothing on a paused clock.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Time that follows tokio's clock and ids that follow a counter.
pub struct SimWorld {
    began: Instant,
    seed: u64,
    ids: AtomicU64,
    jumped_us: AtomicI64,
}

impl SimWorld {
    pub fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self { began: Instant::now(), seed, ids: AtomicU64::new(0), jumped_us: AtomicI64::new(0) })
    }

    /// The wall clock jumps.
    pub fn jump(&self, ms: i64) {
        self.jumped_us.fetch_add(ms * 1000, Ordering::Relaxed);
    }
}

impl World for SimWorld {
    fn now(&self) -> Timestamp {
        let steady = i64::try_from(self.began.elapsed().as_micros()).unwrap();
        Timestamp(1_760_000_000_000_000 + steady + self.jumped_us.load(Ordering::Relaxed))
    }

    fn order_id(&self, now: Timestamp) -> OrderId {
        let number = self.ids.fetch_add(1, Ordering::Relaxed);
        let mut random = [0; 10];
        random[..8].copy_from_slice(&(self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number).to_be_bytes());
        OrderId::from_parts(u64::try_from(now.0 / 1000).unwrap(), random)
    }
}

/// Runs `test` on one thread under a paused clock, as an actix system.
pub fn run<F: Future<Output = ()> + 'static>(test: impl FnOnce() -> F + 'static) {
    let system =
        actix::System::with_tokio_rt(|| tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap());
    let result = catch_unwind(AssertUnwindSafe(|| system.block_on(async move { test().await })));
    if let Err(panic) = result {
        // The actors' panic hook keeps causes and prints nothing.
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        println!("the test panicked: {}", text.unwrap_or("without a text"));
        resume_unwind(panic);
    }
}

/// A database that outlives its nodes.
pub struct World1 {
    pub world: Arc<SimWorld>,
    pub database: MemoryDatabase,
    pub providers: Providers,
    pub settings: ActorSettings,
    pub faults: Faults,
}

impl World1 {
    pub fn new(seed: u64) -> Self {
        let world = SimWorld::new(seed);
        let clock = world.clone();
        let database = MemoryDatabase::new(Shards::new(24).unwrap(), Nodes::One, Arc::new(move || clock.now()));
        let mut providers = ProviderSettings::default();
        providers.sandbox.max_notices = 10_000;
        providers.sandbox.seed = seed;
        Self {
            world,
            database,
            providers: Providers::from_settings(&providers).unwrap(),
            settings: ActorSettings::default(),
            faults: Faults::default(),
        }
    }

    /// The stand-ins for the outside parties.
    pub fn sandbox(&self) -> &SandboxControl {
        self.providers.sandbox.as_ref().expect("they are stand-ins")
    }

    pub async fn start(&self) -> Actors {
        let parts = Parts {
            settings: self.settings.clone(),
            analytics: AnalyticsSettings::default(),
            world: self.world.clone(),
            store: Box::new(self.database.store()),
            reads: Arc::new(self.database.clone()),
            providers: self.providers.clone(),
            faults: self.faults.clone(),
            roles: Roles::ALL,
            publish: None,
            repeats: None,
            name: "node-1".to_owned(),
            url: "http://127.0.0.1:0".to_owned(),
            tracer: ordermill::telemetry::traces::Tracer::default(),
        };
        let actors = Actors::start(parts, Where::Here).await.unwrap();
        until("the node is ready", || async { actors.handle().not_ready().is_empty() }).await;
        actors
    }
}

/// Waits, level-triggered, on the paused clock.
pub async fn until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let deadline = Instant::now() + Duration::from_secs(24 * 3600);
    while !condition().await {
        assert!(Instant::now() < deadline, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub fn product(n: u128) -> ProductId {
    ProductId(Uuid::from_u128(n))
}

pub async fn put_product(handle: &NodeHandle, n: u128, price: i64, available: i32) {
    let write = Write::product(product(n), Text::lossy("thing"), Money::from_minor(price).unwrap(), available);
    assert!(matches!(handle.write(write, LIMIT).await, Ok(Some(Outcome::Product(ProductOutcome::Done(_))))));
}

pub fn line(n: u128, quantity: i64, price: i64) -> OrderLine {
    OrderLine { product: product(n), quantity: Quantity::new(quantity).unwrap(), price: Money::from_minor(price).unwrap() }
}

pub fn new_order(lines: Vec<OrderLine>) -> NewOrder {
    NewOrder {
        customer: CustomerId(Uuid::from_u128(77)),
        total: Order::total_of(&lines).unwrap(),
        lines,
        payment_method: Text::lossy("card"),
        contact: None,
        address: None,
        correlation: CorrelationId::of(Uuid::from_u128(99)),
    }
}

pub async fn stored(handle: &NodeHandle, id: OrderId) -> StoredOrder {
    handle.reads().order(id).await.unwrap().expect("the order is stored")
}

/// Waits until the order owes nothing and has this status.
pub async fn settled(handle: &NodeHandle, id: OrderId, status: OrderStatus) {
    until(&format!("order {id} is settled"), || async { !stored(handle, id).await.open }).await;
    assert_eq!(stored(handle, id).await.status, status, "{:#?}", stored(handle, id).await.record);
}
