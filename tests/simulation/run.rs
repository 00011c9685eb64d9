//! One seed from beginning to end: first anything may fail, then everything heals, every order settles, and all invariants hold.

use crate::audit;
use crate::auditor::Auditor;
use crate::broker::{Broker, shards};
use crate::chance::Chance;
use crate::chaos::{Chaos, Counts, Odds};
use crate::failover::{self, Named};
use crate::life::{Fleet, Ground, cast, pause};
use crate::support::SimWorld;
use crate::team::{self, Teams};
use crate::workload::{Book, commander, customer, supply, vandal};
use ordermill::actors::{ActorSettings, DeadLetterAction, DeadLetterError, NodeHandle, invariant};
use ordermill::config::KafkaSettings;
use ordermill::config::providers::{Behaviour, SandboxSettings};
use ordermill::db::memory::{MemoryDatabase, Nodes};
use ordermill::db::{DeadLetterFilter, Reads};
use ordermill::domain::{DeadLetter, DeadLetterId, DeadLetterKind, DeadLetterState, Role, Text};
use ordermill::kafka::consumer::core::letters::WAITS;
use ordermill::plants::Plant;
use ordermill::providers::sandbox::{Party, SandboxControl};
use ordermill::saga::policy::{Backoff, Deadlines, RestartLimit};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// A bug on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bug {
    /// In the program.
    Planted(Plant),
    /// In what a node reads: it forgets at its start every other order that was under way.
    DropsOnRestart,
}

impl Bug {
    pub fn plant(self) -> Option<Plant> {
        match self {
            Self::Planted(plant) => Some(plant),
            Self::DropsOnRestart => None,
        }
    }
}

/// What to run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    pub seed: u64,
    pub traced: bool,
    pub bug: Option<Bug>,
    /// An actor finds an invariant broken.
    pub finds_one_broken: bool,
    /// A standby takes over that lacks the last commits.
    pub loses_commits: bool,
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
    invariant::go_on();
    let watch = crate::watch::Watch::default();
    let named = watch.named();
    let _watching = tracing::subscriber::set_default(watch.clone());
    let system =
        actix::System::with_tokio_rt(|| tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap());
    system.block_on(async move {
        let outcome = simulate(options, &named).await;
        *slot.borrow_mut() = Some(outcome);
    });
    let outcome = done.borrow_mut().take();
    let mut outcome = outcome.expect("the simulation ends");
    outcome.broken.extend(watch.found());
    outcome
}

async fn simulate(options: Options, named: &Named) -> Outcome {
    if options.finds_one_broken {
        invariant::violated("a test", "broken on purpose");
    }
    let mut chance = Chance::new(options.seed, 0);
    let fleet = fleet(options, &mut chance);
    let chaos = fleet.ground.chaos.clone();
    let book = Rc::new(Book::default());
    let mut lives = Vec::new();
    for node in &fleet.nodes {
        lives.push(actix::spawn(node.clone().live(Chance::new(options.seed, 30 + node.index as u64))));
    }
    if let Some(broker) = &fleet.ground.broker {
        lives.push(actix::spawn(broker.clone().trouble(fleet.nodes.len(), options.seed)));
        if !fleet.ground.teams.roles.is_empty() {
            lives.push(actix::spawn(team::play(fleet.clone(), fleet.ground.teams.clone(), broker.clone(), options.seed)));
        }
    }
    // The catalogue is filled in peace.
    supply(&fleet, &book, &mut chance).await;
    chaos.rage();
    let mut people = Vec::new();
    for number in 0..2 + chance.below(16) {
        people.push(actix::spawn(customer(fleet.clone(), book.clone(), options.seed, number, SPAN_MS)));
    }
    for number in 0..chance.below(4) {
        people.push(actix::spawn(commander(fleet.clone(), book.clone(), options.seed, number, SPAN_MS)));
    }
    people.push(actix::spawn(vandal(fleet.clone(), options.seed, SPAN_MS)));
    if options.loses_commits {
        people.push(actix::spawn(failover::play(fleet.clone(), options.seed, SPAN_MS)));
    }
    let mut broken = Vec::new();
    for _ in 0..SPAN_MS / 4000 {
        pause(4000).await;
        broken.extend(audit::live(&chaos, fleet.ground.teams.roles).await);
    }
    heal(&fleet, &mut chance);
    // What is broken already needs no end: under some bugs the nodes would never come to rest.
    if !broken.is_empty() || !chaos.broken().is_empty() {
        people.drain(..).for_each(|person| person.abort());
    }
    for person in people {
        if let Err(error) = person.await {
            broken.push(format!("the simulation itself failed: {error}"));
        }
    }
    if broken.is_empty() && chaos.broken().is_empty() {
        broken.extend(settle(&fleet, &mut chance).await);
    }
    if broken.is_empty() && chaos.broken().is_empty() {
        broken.extend(audit::at_rest(&fleet, &book).await);
        broken.extend(failover::named(&fleet, &book, &audit::orders_now(&chaos), named));
    }
    if broken.is_empty() && chaos.broken().is_empty() && !fleet.ground.teams.roles.is_empty() {
        broken.extend(speak_again(&fleet, &book, &mut chance).await);
    }
    for node in &fleet.nodes {
        chaos.end_life(node.index);
    }
    for life in lives {
        life.abort();
        let _aborted = life.await;
    }
    broken.extend(chaos.broken());
    Outcome { counts: chaos.counts(), trace: chaos.trace(), broken }
}

/// When all has ended the other teams say once more what they like.
async fn speak_again(fleet: &Rc<Fleet>, book: &Book, chance: &mut Chance) -> Vec<String> {
    let (chaos, teams) = (&fleet.ground.chaos, &fleet.ground.teams);
    let before = audit::orders(chaos).await;
    team::say_the_rest(fleet, teams, chance);
    let mut broken = settle(fleet, chance).await;
    if broken.is_empty() {
        broken.extend(audit::at_rest(fleet, book).await);
    }
    broken.extend(team::nothing_moved(teams, chaos, &before, &audit::orders(chaos).await));
    broken
}

fn fleet(options: Options, chance: &mut Chance) -> Rc<Fleet> {
    let world = SimWorld::new(options.seed);
    let clock = world.clone();
    // One that is alone, as on SQLite, or some with a bus between them.
    let count = usize::try_from(chance.below(5)).unwrap();
    let nodes = if count == 0 { Nodes::One } else { Nodes::Many };
    let database = MemoryDatabase::new(shards(), nodes, Arc::new(move || ordermill::actors::World::now(&*clock)));
    let odds = Odds::of(chance);
    // Their messages are not said again, and what was made of them may be lost.
    let teams = Rc::new(Teams::of(options.seed, nodes == Nodes::Many && !options.loses_commits));
    let roles = cast(chance, count.max(1), &teams.ours());
    let skews: Vec<i64> = roles.iter().map(|_| skew_ms(chance)).collect();
    let mut settings = settings(chance);
    settings.external_roles = teams.roles;
    settings.external_answer_ms = 20_000;
    if teams.roles.has(Role::Payment) {
        // Of those that never answer an hour would be simulated.
        settings.deadlines.payment_ms = 20_000;
    }
    let chaos = Arc::new(Chaos::new(options.seed, odds, roles.len(), database.clone(), options.traced));
    let auditor = Arc::new(Auditor::new(settings.lease_ms));
    let kafka = kafka(chance);
    let broker = (nodes == Nodes::Many).then(|| Broker::new(chaos.clone(), auditor.clone(), teams.roles, kafka));
    chaos.tell(|| format!("{roles:?}, clocks {skews:?}"));
    let sandbox = sandbox(options, chance);
    Fleet::new(Ground { world, database, sandbox, settings, chaos, auditor, broker, teams, bug: options.bug }, &roles, &skews)
}

fn kafka(chance: &mut Chance) -> KafkaSettings {
    KafkaSettings {
        publish_window: chance.pick(&[1000, 20, 3]),
        publish_feed: chance.pick(&[1000, 4, 1]),
        publish_page: chance.pick(&[1000, 7, 1]),
        consume_window: chance.pick(&[1000, 6, 1]),
        retries: chance.pick(&[3, 1, 0]),
        ..KafkaSettings::default()
    }
}

/// How wrong a node's clock is.
fn skew_ms(chance: &mut Chance) -> i64 {
    let most = chance.pick(&[0, 50, 2000, 600_000]);
    i64::try_from(chance.below(2 * most + 1)).unwrap() - i64::try_from(most).unwrap()
}

fn sandbox(options: Options, chance: &mut Chance) -> SandboxControl {
    let mut unlucky = |share: f64| if chance.hits(5000) { share * (chance.below(100) as f64) / 100.0 } else { 0.0 };
    let behaviour = Behaviour { error_rate: unlucky(0.4), timeout_rate: unlucky(0.4), ..Behaviour::default() };
    let latency = if chance.hits(5000) { chance.below(300) } else { 0 };
    let behaviour = Behaviour { latency_ms: latency, jitter_ms: latency, ..behaviour };
    SandboxControl::new(&SandboxSettings { max_notices: 10_000, seed: options.seed, behaviour, ..SandboxSettings::default() })
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

/// Nothing fails any more. Some nodes do not come back; those that stay have all roles between them.
fn heal(fleet: &Fleet, chance: &mut Chance) {
    fleet.ground.chaos.heal();
    let sandbox = &fleet.ground.sandbox;
    sandbox.set_magic(false);
    for party in Party::ALL {
        sandbox.behave(party, Behaviour::default());
    }
    let mut stay = fleet.nodes.clone();
    for node in &fleet.nodes {
        node.wake();
        let others = || stay.iter().filter(|other| other.index != node.index);
        let can_leave = fleet.ground.teams.ours().into_iter().all(|role| others().any(|other| other.roles.has(role)));
        if can_leave && chance.hits(3000) {
            stay.retain(|other| other.index != node.index);
            node.retire();
        }
    }
}

/// Waits until every order is settled and its actor gone, with a person at the desk who has parked orders tried again, and ends
/// those that cannot be.
async fn settle(fleet: &Rc<Fleet>, chance: &mut Chance) -> Vec<String> {
    let chaos = &fleet.ground.chaos;
    let mut open = Vec::new();
    for second in 0..SETTLE_S {
        open = chaos.ask(|database| database.open_orders(shards().all().collect(), None, 1000));
        let unrest = unrest(fleet);
        if open.is_empty() && unrest.is_empty() {
            return Vec::new();
        }
        if open.is_empty() && second == SETTLE_S - 1 {
            return vec![format!("all orders are settled, but {}", unrest.join("\n"))];
        }
        if second % 10 == 0 {
            desk(fleet, chance).await;
        }
        pause(1000).await;
    }
    let tell = |stored: &ordermill::db::StoredOrder| format!("order {} never settled: {:#?}", stored.order.id, stored.record);
    open.iter().map(tell).collect()
}

/// What is not at rest, beside open orders.
fn unrest(fleet: &Fleet) -> Vec<String> {
    let mut unrest: Vec<String> = letters(fleet, DeadLetterKind::Message).iter().map(|letter| format!("open: {letter:?}")).collect();
    if !fleet.ground.teams.are_quiet(fleet.ground.broker.as_ref()) {
        unrest.push("another team still speaks, or is not heard".to_owned());
    }
    let handles: Vec<(usize, NodeHandle)> = fleet.nodes.iter().filter_map(|node| Some((node.index, node.handle()?))).collect();
    if handles.is_empty() {
        unrest.push("no node is up".to_owned());
    }
    for (index, handle) in handles {
        let report = handle.report();
        let alive = report.actors.iter().find(|actor| actor.kind == "order").map_or(0, |actor| actor.alive);
        if alive != 0 || report.open_orders != 0 || !report.not_ready.is_empty() {
            unrest.push(format!("node {index} has {alive} orders' actors: {report:?}"));
        }
    }
    unrest
}

fn letters(fleet: &Fleet, kind: DeadLetterKind) -> Vec<DeadLetter> {
    let filter = DeadLetterFilter { state: Some(DeadLetterState::Open), kind: Some(kind), limit: 1000, ..DeadLetterFilter::default() };
    fleet.ground.chaos.ask(|database| database.letters(filter)).rows
}

async fn desk(fleet: &Rc<Fleet>, chance: &mut Chance) {
    // What waits behind another message goes on by itself.
    for letter in letters(fleet, DeadLetterKind::Message).into_iter().filter(|letter| letter.cause.as_str() != WAITS) {
        // Of records that were deleted there is nothing to try again.
        let is_of_none = letter.origin.is_none() || letter.cause.as_str() == "commits-lost";
        let action = if is_of_none { DeadLetterAction::Skip } else { DeadLetterAction::Reprocess };
        let acted = act(fleet, chance, letter.id, action).await;
        fleet.ground.chaos.tell(|| format!("desk: {action:?} {:?} {}: {acted:?}", letter.order, letter.cause.as_str()));
    }
    for letter in letters(fleet, DeadLetterKind::Step) {
        if let Some(action) = team::decide(&fleet.ground.teams, &fleet.ground.chaos, &letter) {
            let acted = act(fleet, chance, letter.id, action).await;
            fleet.ground.chaos.tell(|| format!("desk: {action:?} {:?} {}: {acted:?}", letter.order, letter.cause.as_str()));
            continue;
        }
        // What left the house unpaid cannot be settled by trying again.
        let action = if letter.cause.as_str() == "shipped-unpaid" { DeadLetterAction::Compensate } else { DeadLetterAction::Reprocess };
        let mut acted = act(fleet, chance, letter.id, action).await;
        if matches!(acted, Some(Err(DeadLetterError::NotApplicable(_)))) {
            // The release had overtaken the shipment: there is nothing left to end.
            acted = act(fleet, chance, letter.id, DeadLetterAction::Skip).await;
        }
        fleet.ground.chaos.tell(|| format!("desk: {action:?} {:?} {}: {acted:?}", letter.order, letter.cause.as_str()));
    }
}

async fn act(fleet: &Rc<Fleet>, chance: &mut Chance, id: DeadLetterId, action: DeadLetterAction) -> Option<Result<(), DeadLetterError>> {
    let note = || Some(Text::lossy("asked the team"));
    let acting = move |handle: NodeHandle| async move { handle.act(id, action, Text::lossy("sim"), note(), Duration::from_secs(30)).await };
    fleet.ask(chance, acting, |acted| matches!(acted, Err(DeadLetterError::NotHere(..)))).await
}
