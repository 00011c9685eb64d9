//! One seed from beginning to end: first anything may fail, then everything heals, every order settles, and all invariants hold.

use crate::audit;
use crate::chance::Chance;
use crate::chaos::{Chaos, Counts, Odds};
use crate::life::{Ground, Host, pause};
use crate::support::SimWorld;
use crate::workload::{Book, commander, customer, supply, vandal};
use ordermill::actors::faults::Plant;
use ordermill::actors::{ActorSettings, LetterAction, LetterError};
use ordermill::config::providers::{Behaviour, SandboxSettings};
use ordermill::db::memory::{MemoryDatabase, Nodes};
use ordermill::db::{LetterFilter, Reads};
use ordermill::domain::{LetterKind, LetterState, Shards, Text};
use ordermill::providers::sandbox::{Party, SandboxControl};
use ordermill::saga::policy::{Backoff, Deadlines, RestartLimit};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// A bug on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bug {
    AnswerBeforeCommit,
    ReleaseTwice,
    DropOnRestart,
}

/// What to run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    pub seed: u64,
    pub traced: bool,
    pub bug: Option<Bug>,
}

/// How it went.
pub struct Outcome {
    pub counts: Counts,
    pub trace: Vec<String>,
    /// What is broken; empty when all is well.
    pub broken: Vec<String>,
}

/// For how long anything may fail, in milliseconds.
const SPAN_MS: u64 = 40_000;
/// How long orders may take to settle once everything is well, in seconds.
const SETTLE_S: u64 = 7200;

/// Runs one seed on a runtime of its own.
pub fn run(options: Options) -> Outcome {
    let done: Rc<RefCell<Option<Outcome>>> = Rc::default();
    let slot = done.clone();
    let watch = crate::watch::Watch::default();
    let _watching = tracing::subscriber::set_default(watch.clone());
    let system =
        actix::System::with_tokio_rt(|| tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap());
    system.block_on(async move {
        let outcome = simulate(options).await;
        *slot.borrow_mut() = Some(outcome);
    });
    let outcome = done.borrow_mut().take();
    let mut outcome = outcome.expect("the simulation ends");
    outcome.broken.extend(watch.found());
    outcome
}

async fn simulate(options: Options) -> Outcome {
    let mut chance = Chance::new(options.seed, 0);
    let host = Host::new(ground(options, &mut chance));
    let chaos = host.ground.chaos.clone();
    let book = Rc::new(Book::default());
    let node = actix::spawn(host.clone().live(Chance::new(options.seed, 3)));
    supply(&host, &book, &mut chance).await;
    // The catalogue is filled in peace.
    host.ground.database.set_faults(Some(Arc::new(crate::chaos::Hand(chaos.clone()))));
    chaos.rage();
    let mut people = Vec::new();
    for number in 0..2 + chance.below(16) {
        people.push(actix::spawn(customer(host.clone(), book.clone(), options.seed, number, SPAN_MS)));
    }
    for number in 0..chance.below(4) {
        people.push(actix::spawn(commander(host.clone(), book.clone(), options.seed, number, SPAN_MS)));
    }
    people.push(actix::spawn(vandal(host.clone(), options.seed, SPAN_MS)));
    let mut broken = Vec::new();
    for _ in 0..SPAN_MS / 4000 {
        pause(4000).await;
        broken.extend(audit::live(&chaos).await);
    }
    heal(&host, &chaos);
    for person in people {
        if let Err(error) = person.await {
            broken.push(format!("the simulation itself failed: {error}"));
        }
    }
    broken.extend(settle(&host).await);
    if broken.is_empty() {
        broken.extend(audit::at_rest(&host, &book).await);
    }
    chaos.end_life();
    node.abort();
    let _aborted = node.await;
    Outcome { counts: chaos.counts(), trace: chaos.trace(), broken }
}

fn ground(options: Options, chance: &mut Chance) -> Ground {
    let world = SimWorld::new(options.seed);
    let clock = world.clone();
    let database = MemoryDatabase::new(Shards::new(24).unwrap(), Nodes::One, Arc::new(move || ordermill::actors::World::now(&*clock)));
    let mut unlucky = |share: f64| if chance.hits(5000) { share * (chance.below(100) as f64) / 100.0 } else { 0.0 };
    let behaviour = Behaviour { error_rate: unlucky(0.4), timeout_rate: unlucky(0.4), ..Behaviour::default() };
    let latency = if chance.hits(5000) { chance.below(300) } else { 0 };
    let behaviour = Behaviour { latency_ms: latency, jitter_ms: latency, ..behaviour };
    let sandbox = SandboxSettings { max_notices: 10_000, seed: options.seed, behaviour, ..SandboxSettings::default() };
    let sandbox = SandboxControl::new(&sandbox);
    let mut odds = Odds::of(chance);
    odds.plant = (options.bug == Some(Bug::AnswerBeforeCommit)).then_some(Plant::AnswerBeforeCommit);
    odds.releases_twice = options.bug == Some(Bug::ReleaseTwice);
    let chaos = Arc::new(Chaos::new(options.seed, odds, database.clone(), sandbox.clone(), options.traced));
    let drops_on_restart = options.bug == Some(Bug::DropOnRestart);
    Ground { world, database, sandbox, settings: settings(chance), chaos, drops_on_restart }
}

fn settings(chance: &mut Chance) -> ActorSettings {
    ActorSettings {
        open_limit: chance.pick(&[100_000, 100_000, 4]),
        max_batch: chance.pick(&[1000, 3, 1]),
        redrive: Backoff { first_ms: chance.pick(&[5000, 500]), most_ms: 60_000 },
        lazy_save_ms: chance.pick(&[200, 0, 3000]),
        deadlines: Deadlines { expiry_ms: 7_200_000, payment_ms: chance.pick(&[3_600_000, 20_000]) },
        restart_limit: RestartLimit { restarts: chance.pick(&[5, 2]), window_ms: 60_000 },
        load_page: chance.pick(&[1000, 2, 1]),
        ..ActorSettings::default()
    }
}

fn heal(host: &Host, chaos: &Chaos) {
    chaos.heal();
    let sandbox = &host.ground.sandbox;
    sandbox.set_magic(false);
    for party in Party::ALL {
        sandbox.behave(party, Behaviour::default());
    }
}

/// Waits until every order is settled and its actor gone, with a person at the desk who has parked orders tried again, and ends
/// those that cannot be.
async fn settle(host: &Rc<Host>) -> Vec<String> {
    let chaos = &host.ground.chaos;
    let mut open = Vec::new();
    for second in 0..SETTLE_S {
        open = chaos.ask(|database| database.open_orders(Shards::new(24).unwrap().all().collect(), None, 1000));
        let report = host.insist(|front| async move { front.report() }).await;
        let alive = report.actors.iter().find(|actor| actor.kind == "order").map_or(0, |actor| actor.alive);
        if open.is_empty() && alive == 0 && report.open_orders == 0 && report.not_ready.is_empty() {
            return Vec::new();
        }
        if open.is_empty() && second == SETTLE_S - 1 {
            return vec![format!("all orders are settled, but: {report:?}")];
        }
        if second % 10 == 0 {
            desk(host).await;
        }
        pause(1000).await;
    }
    let tell = |stored: &ordermill::db::StoredOrder| format!("order {} never settled: {:#?}", stored.order.id, stored.record);
    open.iter().map(tell).collect()
}

async fn desk(host: &Rc<Host>) {
    let filter = LetterFilter { state: Some(LetterState::Open), kind: Some(LetterKind::Step), limit: 1000, ..LetterFilter::default() };
    let letters = host.ground.chaos.ask(|database| database.letters(filter));
    for letter in letters {
        // What left the house unpaid cannot be settled by trying again.
        let action = if letter.cause.as_str() == "shipped-unpaid" { LetterAction::Compensate } else { LetterAction::Reprocess };
        let id = letter.id;
        let acting = move |front: ordermill::actors::Front| async move {
            front.act(id, action, Text::lossy("sim"), None, Duration::from_secs(30)).await
        };
        let mut acted = host.insist(acting).await;
        if matches!(acted, Err(LetterError::NotApplicable(_))) {
            // The release had overtaken the shipment: there is nothing left to end.
            acted = host
                .insist(
                    move |front| async move { front.act(id, LetterAction::Skip, Text::lossy("sim"), None, Duration::from_secs(30)).await },
                )
                .await;
        }
        host.ground.chaos.tell(|| format!("desk: {action:?} {:?} {}: {acted:?}", letter.order, letter.cause.as_str()));
    }
}
