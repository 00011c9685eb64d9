//! A payment provider at its worst (it loses answers, is slower than our patience, refuses repeats, and pays out again for each call
//! without a key) and nodes that are killed meanwhile: its own books say in the end what the orders say.

use crate::cluster::{database, service};
use crate::kills::{Luck, from_env};
use crate::process::{self, CUSTOMER, PRODUCT, Plan, Served};
use crate::{alone, folder, plan};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

/// How many orders are placed, what is in them, and how often a node is killed meanwhile.
pub(crate) struct Course {
    pub(crate) orders: usize,
    pub(crate) kills: usize,
    /// One in so many is cancelled.
    pub(crate) cancelled: u64,
    /// Longest pause between two orders, in milliseconds.
    pub(crate) pause_ms: u64,
    /// The items of an order.
    pub(crate) basket: fn(&mut Luck) -> String,
}

/// A product whose price makes the provider decline.
const DECLINED: &str = "019a0000-0000-7000-8000-000000000003";

fn basket(luck: &mut Luck) -> String {
    let (product, price) = if luck.below(8) == 0 { (DECLINED, "10.01") } else { (PRODUCT, "10.00") };
    item(product, price)
}

/// One of a product.
pub(crate) fn item(product: &str, price: &str) -> String {
    format!(r#"{{"productId":"{product}","quantity":1,"price":{price}}}"#)
}

/// On a server's database, with brokers: what a killed node had is another's soon.
pub(crate) fn quick(plan: Plan, database: &str, brokers: &str, prefix: &str) -> Plan {
    plan.on(database)
        .with("kafka.brokers", brokers)
        .with("kafka.prefix", prefix)
        .with("store.lease_ms", 3000)
        .with("store.postgres.idle_transaction_ms", 1000)
        .with("store.postgres.lock_wait_ms", 2000)
        .with("store.postgres.silence_ms", 1500)
        .with("cluster.redrive_far_first_ms", 1000)
}

/// The stand-ins as a process of their own, which lives on when nodes die.
pub(crate) struct Provider {
    child: Child,
    address: SocketAddr,
}

impl Provider {
    pub(crate) fn start(plan: &Plan) -> Self {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (address, smtp) = (free(), free());
        let mut command = plan.command(&["sandbox", "--listen", &address.to_string(), "--smtp", &smtp.to_string()]);
        for (name, value) in [("JITTER_MS", "300"), ("TIMEOUT_RATE", "0.15"), ("ERROR_RATE", "0.1"), ("STRICT", "true")] {
            command.env(format!("ORDERMILL_PROVIDERS__SANDBOX__BEHAVIOUR__{name}"), value);
        }
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let provider = Self { child, address };
        process::until("the provider listens", process::LIMIT, || std::net::TcpStream::connect(address).is_ok());
        provider
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A node that pays there, with little patience and many tries; no breaker holds payments up.
pub(crate) fn hasty(folder: &Path, provider: &str) -> Plan {
    plan(folder)
        .with("providers.payment.provider", "http")
        .with("providers.payment.url", provider)
        .with("providers.payment.timeout_ms", 200)
        .with("providers.breaker.failures", 1_000_000)
        .with("order.payment_retries", 200)
        .with("order.payment_retry_first_ms", 20)
        .with("order.payment_retry_most_ms", 200)
        .with("order.payment_give_up_ms", 600_000)
        .with("order.redrive_first_ms", 300)
}

/// Places orders at all nodes and cancels some of them, now or a little later, while nodes are killed.
pub(crate) fn trouble(plans: &[Plan], nodes: &mut [Served], course: &Course, luck: &mut Luck) -> Vec<String> {
    let Course { orders, kills: most, cancelled, pause_ms, basket } = *course;
    let mut accepted = Vec::new();
    let mut kills = 0;
    let (mut cancels, any) = (Vec::new(), |luck: &mut Luck| luck.below(plans.len() as u64) as usize);
    while accepted.len() < orders || kills < most {
        let body = format!(r#"{{"customerId":"{CUSTOMER}","items":[{}]}}"#, basket(luck));
        match plans[any(luck)].send("POST", "/api/v1/orders", &body) {
            Ok(answer) if answer.status == 202 => {
                let id = answer.field("orderId");
                if luck.below(cancelled) == 0 {
                    cancels.push(id.clone());
                }
                accepted.push(id);
            }
            Ok(answer) => assert!(matches!(answer.status, 503 | 504), "{answer:?}"),
            Err(_) => {}
        }
        if luck.below(2) == 0 && !cancels.is_empty() {
            let id = cancels.swap_remove(luck.below(cancels.len() as u64) as usize);
            // Whatever comes of it, the invariants hold.
            drop(plans[any(luck)].send("POST", &format!("/api/v1/orders/{id}/cancel"), "{}"));
        }
        if kills < most && accepted.len() > (kills + 1) * orders / (most + 1) {
            kills += 1;
            let victim = any(luck);
            nodes[victim].kill();
            nodes[victim] = plans[victim].spawn();
        }
        process::pause(Duration::from_millis(luck.below(pause_ms)));
    }
    accepted
}

fn play(plans: &[Plan], provider: &Provider, course: &Course) {
    let seed = from_env("CHAOS_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("again with CHAOS_SEED={seed}");
    let began = std::time::Instant::now();
    let mut nodes: Vec<Served> = plans.iter().map(Plan::spawn).collect();
    nodes.iter_mut().for_each(Served::wait_ready);
    println!("{:>5.1} s: the nodes are ready", began.elapsed().as_secs_f64());
    plans[0].put_product("10.00");
    plans[0].put(DECLINED, "10.01");
    let accepted = trouble(plans, &mut nodes, course, &mut Luck::new(seed));
    println!("{:>5.1} s: {} orders are placed", began.elapsed().as_secs_f64(), accepted.len());
    nodes.iter_mut().for_each(Served::wait_ready);
    let end = std::time::Instant::now() + process::LIMIT;
    while plans[0].open_orders() > 0 {
        assert!(std::time::Instant::now() < end, "{} orders do not end: {}", plans[0].open_orders(), plans[0].verify(&[]).1);
        process::pause(Duration::from_millis(50));
    }
    println!("{:>5.1} s: all is settled", began.elapsed().as_secs_f64());
    let letters = plans[0].get("/api/v1/admin/dlq?state=OPEN").unwrap().body;
    assert!(letters.contains(r#""items":[]"#), "with so many tries nothing is given up: {letters}");
    let record = plans[0].folder.join("record.txt");
    std::fs::write(&record, accepted.join("\n") + "\n").unwrap();
    let (sound, report) = plans[0].verify(&["--record", &record.display().to_string(), "--provider", &provider.url()]);
    assert!(sound, "{report}");
    let checked = report.lines().find(|line| line.contains("money.provider")).expect("the provider's books are compared");
    println!("{checked}");
    nodes.into_iter().for_each(Served::stop);
}

#[test]
fn a_hostile_provider_and_a_node_that_is_killed_agree_in_the_end() {
    let _alone = alone();
    let folder = folder();
    let provider = Provider::start(&plan(folder.path()));
    play(&[hasty(folder.path(), &provider.url())], &provider, &Course { orders: 60, kills: 4, cancelled: 2, pause_ms: 20, basket });
}

#[test]
fn a_hostile_provider_and_three_nodes_that_are_killed_agree_in_the_end() {
    let _alone = alone();
    let name = format!("hostile_{}", std::process::id());
    let (database, brokers) = (database(&name), service("ORDERMILL_TEST_KAFKA"));
    let folders: Vec<_> = (0..3).map(|_| folder()).collect();
    let provider = Provider::start(&plan(folders[0].path()));
    let plans = folders.iter().map(|folder| quick(hasty(folder.path(), &provider.url()), &database, &brokers, &format!("{name}.")));
    play(&plans.collect::<Vec<_>>(), &provider, &Course { orders: 30, kills: 2, cancelled: 2, pause_ms: 20, basket });
}
