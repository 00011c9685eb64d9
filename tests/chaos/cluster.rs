//! Nodes on PostgreSQL and Kafka, killed, put to sleep, stopped and added at random moments under one load.
//!
//! `CHAOS_CLUSTER_S` says for how long (default 20 s; `scripts/chaos-cluster` takes five minutes), `CHAOS_SEED` sets the moments.

use crate::kills::{Luck, from_env};
use crate::process::{self, Plan, Served};
use crate::{Load, alone, folder, plan, topics};
use ordermill::app;
use ordermill::config::{Settings, Sources};
use std::time::{Duration, Instant};

pub(crate) fn service(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: eval \"$(scripts/services start)\" first, or use scripts/test"))
}

/// A database of this test's own on the test server.
pub(crate) fn database(name: &str) -> String {
    let server = service("ORDERMILL_TEST_POSTGRES");
    let (base, query) = server.split_once('?').map_or((server.as_str(), None), |(base, query)| (base, Some(query)));
    let (host, _) = base.rsplit_once('/').unwrap();
    format!("{host}/{name}{}", query.map(|query| format!("?{query}")).unwrap_or_default())
}

/// The nodes that there are; none where one is down.
struct Nodes {
    plans: Vec<Plan>,
    running: Vec<Option<Served>>,
    asleep: Option<(usize, Instant)>,
}

impl Nodes {
    fn awake(&self) -> Vec<usize> {
        let sleeper = self.asleep.map(|(index, _)| index);
        (0..self.plans.len()).filter(|index| self.running[*index].is_some() && Some(*index) != sleeper).collect()
    }

    fn wake_in_time(&mut self) {
        if let Some((index, until)) = self.asleep
            && Instant::now() >= until
        {
            self.running[index].as_ref().unwrap().signal("CONT");
            self.asleep = None;
        }
    }

    fn revive(&mut self) {
        if let Some((index, _)) = self.asleep.take() {
            self.running[index].as_ref().unwrap().signal("CONT");
        }
        for (plan, running) in self.plans.iter().zip(&mut self.running) {
            running.get_or_insert_with(|| plan.spawn()).wait_ready();
        }
    }

    /// One bad thing; at least one node stays up and awake.
    fn trouble(&mut self, luck: &mut Luck, lease_ms: u64) -> &'static str {
        let awake = self.awake();
        let victim = awake[luck.below(awake.len() as u64) as usize];
        let down = (0..self.plans.len()).find(|index| self.running[*index].is_none());
        match (luck.below(5), down) {
            (0 | 1, Some(index)) => {
                self.running[index] = Some(self.plans[index].spawn());
                "a node comes"
            }
            (0 | 1, None) if awake.len() > 1 => {
                self.running[victim].take().unwrap().kill();
                "a node is killed"
            }
            (2, _) if awake.len() > 1 => {
                self.running[victim].as_mut().unwrap().kill();
                self.running[victim] = Some(self.plans[victim].spawn());
                "a node is killed and started again"
            }
            (3, _) if awake.len() > 1 && self.asleep.is_none() => {
                self.running[victim].as_ref().unwrap().signal("STOP");
                self.asleep = Some((victim, Instant::now() + Duration::from_millis(luck.below(lease_ms * 2))));
                "a node is put to sleep"
            }
            (4, _) if awake.len() > 1 => {
                let mut served = self.running[victim].take().unwrap();
                // One that has just been started may not hear the signal yet.
                served.wait_ready();
                served.stop();
                "a node is stopped in order"
            }
            _ => "nothing",
        }
    }
}

#[test]
fn nodes_that_are_killed_stopped_and_added_lose_no_order_and_no_event() {
    let _alone = alone();
    let seconds = from_env("CHAOS_CLUSTER_S").unwrap_or(20);
    let seed = from_env("CHAOS_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("{seconds} s; again with CHAOS_SEED={seed}");
    let mut luck = Luck::new(seed);
    let name = format!("chaos-{}", std::process::id());
    let (database, brokers) = (database(&name.replace('-', "_")), service("ORDERMILL_TEST_KAFKA"));
    let prefix = format!("{name}.");
    // A short run has no time for the default's failover.
    let lease_ms = if seconds < 120 { 3000 } else { 6000 };
    let folders: Vec<_> = (0..4).map(|_| folder()).collect();
    let plans = folders.iter().map(|folder| {
        plan(folder.path())
            .on(&database)
            .with("kafka.brokers", &brokers)
            .with("kafka.prefix", &prefix)
            .with("store.lease_ms", lease_ms)
            .with("store.postgres.idle_transaction_ms", lease_ms / 3)
            .with("store.postgres.lock_wait_ms", lease_ms * 2 / 3)
            .with("store.postgres.silence_ms", lease_ms / 2)
            .with("order.redrive_first_ms", 1000)
    });
    let mut nodes = Nodes { plans: plans.collect(), running: vec![None, None, None, None], asleep: None };
    for index in 0..3 {
        let served = nodes.plans[index].start();
        nodes.running[index] = Some(served);
    }
    let urls: Vec<String> = nodes.plans.iter().map(Plan::url).collect();
    let mut load = Load::start_at(&nodes.plans[0], &urls, &[]);
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        process::pause(Duration::from_millis(200 + luck.below(2 * lease_ms)));
        load.assert_runs();
        nodes.wake_in_time();
        let what = nodes.trouble(&mut luck, lease_ms);
        println!("{:>5.1} s left: {what}; {} accepted", end.saturating_duration_since(Instant::now()).as_secs_f64(), load.recorded());
    }
    nodes.revive();
    let before = load.recorded();
    process::until("the load goes on after the last trouble", process::LIMIT, || load.recorded() > before + 50);
    let record = load.record.clone();
    let fared = load.stop();
    println!("{}", fared.report["counts"]);
    fared.assert_survived();
    process::until("all is settled", Duration::from_secs(180), || nodes.plans[0].open_orders() == 0);
    process::until("all is published", process::LIMIT, || {
        nodes.plans.iter().all(|plan| plan.get("/health").is_ok_and(|answer| !answer.body.contains("to be published")))
    });
    let (sound, report) = nodes.plans[0].verify(&["--record", &record.display().to_string()]);
    assert!(sound, "{report}");
    let flags = vec![("store.url".to_owned(), database)];
    let settings = Settings::load(&Sources { flags, ..Sources::default() }).unwrap();
    let runtime = app::database_runtime(&settings).unwrap();
    let reads = app::open_reads(&settings, &runtime).unwrap();
    process::until("every event of every order is on its topic, in order", process::LIMIT, || {
        match topics::compare(&runtime, reads.as_ref(), &brokers, &prefix) {
            Ok(events) => {
                println!("{events} events are on the topics as in the logs");
                true
            }
            Err(why) => {
                println!("{why}");
                false
            }
        }
    });
}
