//! The tracker against a model of the store, by seeds; the actor against the memory store.

use super::log_tracker::{Bounds, LogTracker, Saved};
use super::*;
use crate::db::memory::{MemoryDatabase, MemoryStore, Nodes};
use crate::db::{AnalyticsRow, Batch, Committed, NewWriter, Store, Write, WriterState};
use crate::domain::analytics::{Numbers, TOTAL};
use crate::domain::{
    CorrelationId, CustomerId, Event, EventBody, LoggedEvent, Metric, Money, Order, OrderId, OrderLine, ProductId, Quantity, Role, Shard,
    Shards, Text, Timestamp,
};
use actix::Addr;
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{RngCore, SeedableRng};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use uuid::Uuid;

const T0_MS: u64 = 1_700_000_000_000;

struct Dice(SplitMix64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64() % bound
    }
}

fn confirmed(seq: i64) -> LoggedEvent {
    let at = Timestamp(i64::try_from(T0_MS).unwrap() * 1000 + seq * 7_000_000);
    let order = OrderId::from_parts(T0_MS, [0; 10]);
    let correlation = CorrelationId::of(Uuid::nil());
    LoggedEvent {
        seq,
        event: Event { order, shard: Shard(0), correlation, at, body: EventBody::OrderConfirmed, external_ids: None },
        sale: None,
    }
}

fn writer_row(writer: WriterId, alive: bool, last_seq: i64) -> WriterRow {
    WriterRow {
        writer,
        node: String::new(),
        url: String::new(),
        proof: String::new(),
        roles: Role::ALL.to_vec(),
        alive,
        lease_until: Timestamp(0),
        lease_left_ms: 0,
        commits: 0,
        last_seq,
        published_seq: 0,
        publisher: None,
    }
}

/// Logs and numbers as a store would have them; every third number is a marker.
#[derive(Default)]
pub(super) struct Model {
    pub(super) ends: BTreeMap<WriterId, i64>,
    positions: BTreeMap<WriterId, i64>,
    pub(super) confirmed: i64,
}

impl Model {
    fn events(&self, writer: WriterId, after: i64, to: i64) -> Vec<LoggedEvent> {
        let end = self.ends.get(&writer).copied().unwrap_or(0).min(to);
        (after + 1..=end).filter(|seq| seq % 3 != 0).map(confirmed).collect()
    }

    pub(super) fn append(&mut self, writer: WriterId, numbers: i64) -> Logged {
        let end = self.ends.entry(writer).or_default();
        let (after, to) = (*end, *end + numbers);
        *end = to;
        Logged { writer, after, to, events: Arc::new(self.events(writer, after, to)) }
    }

    pub(super) fn store(&mut self, increment: &Increment) {
        assert!(self.positions.get(&increment.source).copied().unwrap_or(0) < increment.seq);
        self.positions.insert(increment.source, increment.seq);
        let totals: Numbers = increment.add.iter().filter(|row| row.minute == TOTAL).collect();
        self.confirmed += totals.of(Metric::OrdersConfirmed);
    }

    /// The node's writer alone is alive.
    pub(super) fn load(&self, tracker: &mut LogTracker, own: WriterId) {
        let positions: Vec<_> = self.positions.iter().map(|(writer, seq)| (*writer, *seq)).collect();
        let writers: Vec<_> = self.ends.iter().map(|(writer, end)| writer_row(*writer, *writer == own, *end)).collect();
        assert!(tracker.loaded(&positions, &writers, own));
    }
}

/// No node's writer.
const NOBODY: WriterId = WriterId(0);

pub(super) const BOUNDS: Bounds = Bounds { held_events: 6, pending_rows: 200 };

pub(super) fn read_one(model: &Model, tracker: &mut LogTracker, limit: usize) -> bool {
    let Some(stretch) = tracker.behind() else { return false };
    let mut page = model.events(stretch.writer, stretch.after, i64::MAX);
    page.truncate(limit);
    let is_last = page.len() < limit;
    tracker.paged(stretch, &page, is_last);
    true
}

fn counts_each_event_once(seed: u64) {
    let mut dice = Dice(SplitMix64::seed_from_u64(seed));
    let (ended, live) = (WriterId(1), WriterId(2));
    let mut model = Model::default();
    model.append(ended, i64::try_from(dice.below(20)).unwrap());
    let mut tracker = LogTracker::new(BOUNDS);
    let mut must_load = true;
    let mut lists: VecDeque<Logged> = VecDeque::new();
    for _ in 0..60 {
        match dice.below(8) {
            0..=2 => lists.push_back(model.append(live, 1 + i64::try_from(dice.below(5)).unwrap())),
            3 | 4 => {
                // Lost, told once, or told twice.
                let times = dice.below(3);
                let Some(list) = lists.pop_front() else { continue };
                for _ in 0..times {
                    must_load |= !tracker.take(list.clone());
                }
            }
            5 if must_load => {
                must_load = false;
                model.load(&mut tracker, live);
            }
            5 => {
                read_one(&model, &mut tracker, 1 + usize::try_from(dice.below(4)).unwrap());
            }
            6 => {
                tracker.mark_due();
                let Some(increment) = tracker.next_save() else { continue };
                let (is_stored, saved) = [(true, Saved::Yes), (false, Saved::No), (true, Saved::Unclear), (false, Saved::Unclear)]
                    [usize::try_from(dice.below(4)).unwrap()];
                if is_stored {
                    model.store(&increment);
                }
                must_load |= !tracker.saved(saved);
            }
            _ if dice.below(4) == 0 => {
                tracker = LogTracker::new(BOUNDS);
                must_load = true;
            }
            _ if dice.below(3) == 0 => {
                // Its writer was ended: until it has a new one, no log is its to count.
                model.load(&mut tracker, NOBODY);
                must_load = true;
            }
            _ => {}
        }
    }
    model.load(&mut tracker, live);
    while !tracker.is_complete() {
        let has_read = read_one(&model, &mut tracker, 3);
        tracker.mark_due();
        let increment = tracker.next_save();
        assert!(has_read || increment.is_some(), "seed {seed}: nothing moves");
        if let Some(increment) = increment {
            model.store(&increment);
            tracker.saved(Saved::Yes);
        }
    }
    let want: usize = model.ends.iter().map(|(writer, end)| model.events(*writer, 0, *end).len()).sum();
    assert_eq!(usize::try_from(model.confirmed).unwrap(), want, "seed {seed}");
}

#[test]
fn a_writer_that_began_after_the_rows_were_read_is_loaded_again() {
    let (writer, mut model) = (WriterId(2), Model::default());
    let mut tracker = LogTracker::new(BOUNDS);
    assert!(!tracker.take(model.append(writer, 4)));
    assert!(!tracker.loaded(&[], &[], writer));
    assert!(!tracker.is_complete());
    model.load(&mut tracker, writer);
    assert_eq!(tracker.behind(), Some(Stretch { writer, after: 0, end: 4 }));
}

#[test]
fn a_save_that_fails_while_the_log_is_not_this_nodes_is_counted_once() {
    let (ended, live) = (WriterId(1), WriterId(2));
    let mut model = Model::default();
    model.append(ended, 4);
    model.append(live, 1);
    let mut tracker = LogTracker::new(BOUNDS);
    model.load(&mut tracker, live);
    while read_one(&model, &mut tracker, 10) {}
    tracker.mark_due();
    assert_eq!(tracker.next_save().map(|increment| increment.source), Some(ended));
    // The node's writer is ended: nothing is stored, and until it has a new one it counts nothing.
    assert!(tracker.saved(Saved::No));
    model.load(&mut tracker, NOBODY);
    model.append(ended, 3);
    model.load(&mut tracker, live);
    while !tracker.is_complete() {
        read_one(&model, &mut tracker, 10);
        tracker.mark_due();
        if let Some(increment) = tracker.next_save() {
            model.store(&increment);
            tracker.saved(Saved::Yes);
        }
    }
    assert_eq!(usize::try_from(model.confirmed).unwrap(), model.events(ended, 0, 7).len() + model.events(live, 0, 1).len());
}

#[test]
fn whatever_is_lost_repeated_or_restarted_each_event_counts_once() {
    for seed in 0..5000 {
        counts_each_event_once(seed);
    }
}

/// How the fake journal answers the next save.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Answer {
    NotStored,
    StoredButUnclear,
    NotStoredAndUnclear,
    /// Not before the test opens the door.
    Late,
}

struct World {
    database: MemoryDatabase,
    journal: Arc<tokio::sync::Mutex<(MemoryStore, WriterState)>>,
    own: watch::Sender<WriterId>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
    door: Arc<Semaphore>,
    orders: u8,
}

async fn commit(journal: &tokio::sync::Mutex<(MemoryStore, WriterState)>, writes: Vec<Write>) -> (i64, Committed) {
    let mut journal = journal.lock().await;
    let (store, state) = &mut *journal;
    let batch = Batch { writer: state.writer, commits: state.commits, last_seq: state.last_seq, writes };
    let committed = store.commit(&batch).await.unwrap();
    state.commits += 1;
    state.last_seq = committed.last_seq;
    (batch.last_seq, committed)
}

impl World {
    async fn new() -> Self {
        let database = MemoryDatabase::new(Shards::new(4).unwrap(), Nodes::One, Arc::new(|| Timestamp(0)));
        let journal = Self::start(&database).await;
        let own = watch::Sender::new(journal.1.writer);
        let journal = Arc::new(tokio::sync::Mutex::new(journal));
        Self { database, journal, own, answers: Arc::default(), door: Arc::new(Semaphore::new(0)), orders: 0 }
    }

    async fn start(database: &MemoryDatabase) -> (MemoryStore, WriterState) {
        let mut store = database.store();
        let state = store.start_writer(&NewWriter::of_all_roles("node", "url", 1000)).await.unwrap();
        (store, state)
    }

    /// The node begins as a new writer, and the old one is ended.
    async fn restart_node(&mut self) {
        let journal = Self::start(&self.database).await;
        self.own.send_replace(journal.1.writer);
        *self.journal.lock().await = journal;
    }

    async fn parts(&self) -> AnalyticsParts {
        let (journal, answers, door) = (self.journal.clone(), self.answers.clone(), self.door.clone());
        let submit = Submit::new(move |write| {
            let (journal, door) = (journal.clone(), door.clone());
            let answer = answers.lock().unwrap().pop_front();
            Box::pin(async move {
                match answer {
                    None => {}
                    Some(Answer::NotStored) => return Fate::NotStored,
                    Some(Answer::NotStoredAndUnclear) => return Fate::Recorded,
                    Some(Answer::StoredButUnclear) => {
                        commit(&journal, vec![write]).await;
                        return Fate::Recorded;
                    }
                    Some(Answer::Late) => door.acquire().await.unwrap().forget(),
                }
                Fate::Stored(commit(&journal, vec![write]).await.1.outcomes.remove(0))
            })
        });
        let settings = AnalyticsSettings { flush_ms: 2, recheck_ms: 20, page_events: 2, held_events: 3, ..AnalyticsSettings::default() };
        AnalyticsParts::new(Arc::new(self.database.clone()), submit, self.own.subscribe(), settings)
    }

    /// One commit: `count` orders, and a marker before them.
    async fn place(&mut self, count: u8) -> Logged {
        let mut writes = vec![Write::TakeShards { roles: vec![Role::Order], shards: vec![Shard(u16::from(self.orders % 4))] }];
        for _ in 0..count {
            self.orders += 1;
            let order = order(self.orders);
            let record = crate::saga::step::placed(&order);
            writes.push(Write::Place { order, record, key: None });
        }
        let (after, committed) = commit(&self.journal, writes).await;
        let writer = self.journal.lock().await.1.writer;
        Logged { writer, after, to: committed.last_seq, events: Arc::new(committed.events) }
    }

    async fn placed(&self, from: i64, to: i64) -> i64 {
        let rows: Vec<AnalyticsRow> = self.database.analytics(from, to).await.unwrap();
        rows.iter().collect::<Numbers>().of(Metric::OrdersPlaced)
    }

    /// Waits until the stored numbers are those of the orders.
    async fn is_counted(&self, parts: &AnalyticsParts) {
        let mut progress = parts.progress();
        loop {
            let positions: BTreeMap<_, _> = self.database.analytics_positions().await.unwrap().into_iter().collect();
            let writers = self.database.writers().await.unwrap();
            if writers.iter().all(|row| row.last_seq == positions.get(&row.writer).copied().unwrap_or(0)) {
                break;
            }
            progress.changed().await.unwrap();
        }
        assert_eq!(self.placed(TOTAL, TOTAL + 1).await, i64::from(self.orders));
        assert_eq!(self.placed(0, i64::MAX).await, i64::from(self.orders));
    }
}

fn order(number: u8) -> Arc<Order> {
    let price = Money::from_minor(100).unwrap();
    Arc::new(Order {
        id: OrderId::from_parts(T0_MS, [number; 10]),
        shard: Shard(u16::from(number % 4)),
        customer: CustomerId(Uuid::nil()),
        lines: vec![OrderLine { product: ProductId(Uuid::nil()), quantity: Quantity::new(1).unwrap(), price }],
        total: price,
        payment_method: Text::lossy("card"),
        contact: None,
        address: None,
        correlation: CorrelationId::of(Uuid::nil()),
        created_at: Timestamp(i64::try_from(T0_MS).unwrap() * 1000),
    })
}

#[derive(Message)]
#[rtype(result = "()")]
struct Panic;

impl Handler<Panic> for Analytics {
    type Result = ();

    fn handle(&mut self, _: Panic, _: &mut Context<Self>) {
        panic!("wanted by a test");
    }
}

/// Kills the actor; what it had not stored is gone.
async fn kill(addr: Addr<Analytics>) {
    assert!(addr.send(Panic).await.is_err());
}

#[actix_rt::test]
async fn many_increments_are_saved_less_often() {
    tokio::time::pause();
    let mut world = World::new().await;
    let list = world.place(3).await;
    for (busy_rows, saved_after_s) in [(0, 10), (1000, 1)] {
        let mut parts = world.parts().await;
        parts.settings = AnalyticsSettings { busy_rows, ..AnalyticsSettings::default() };
        let actor = Analytics::new(parts.clone()).start();
        actor.send(list.clone()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(saved_after_s * 1000 - 500)).await;
        assert_eq!(parts.progress().borrow().saves, 0, "with {busy_rows}");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(parts.progress().borrow().saves, 1, "with {busy_rows}");
        world.is_counted(&parts).await;
        kill(actor).await;
        world = World::new().await;
        world.place(3).await;
    }
}

#[actix_rt::test]
async fn lists_that_come_late_twice_or_never_count_once() {
    let mut world = World::new().await;
    let parts = world.parts().await;
    let actor = Analytics::new(parts.clone()).start();
    for round in 0..20 {
        let list = world.place(1 + round % 3).await;
        for _ in 0..(round * 7) % 3 {
            actor.send(list.clone()).await.unwrap();
        }
    }
    let last = world.place(1).await;
    actor.send(last.clone()).await.unwrap();
    actor.send(last).await.unwrap();
    world.is_counted(&parts).await;
}

#[actix_rt::test]
async fn an_idle_node_saves_nothing() {
    let mut world = World::new().await;
    let parts = world.parts().await;
    let actor = Analytics::new(parts.clone()).start();
    actor.send(world.place(2).await).await.unwrap();
    world.is_counted(&parts).await;
    let commits = world.journal.lock().await.1.commits;
    for _ in 0..3 {
        actor.send(Flush).await.unwrap();
    }
    assert_eq!(world.journal.lock().await.1.commits, commits);
}

#[actix_rt::test]
async fn the_log_of_an_earlier_run_is_counted_to_its_end() {
    let mut world = World::new().await;
    for _ in 0..5 {
        world.place(3).await;
    }
    world.restart_node().await;
    world.place(2).await;
    let parts = world.parts().await;
    let _actor = Analytics::new(parts.clone()).start();
    world.is_counted(&parts).await;
}

#[actix_rt::test]
async fn a_new_writer_whose_first_list_is_lost_is_counted() {
    let mut world = World::new().await;
    let parts = world.parts().await;
    let actor = Analytics::new(parts.clone()).start();
    actor.send(world.place(2).await).await.unwrap();
    world.is_counted(&parts).await;
    world.restart_node().await;
    let _lost = world.place(3).await;
    tokio::time::timeout(Duration::from_secs(10), world.is_counted(&parts)).await.expect("it is counted");
}

#[actix_rt::test]
async fn saves_of_any_outcome_count_once() {
    for answer in [Answer::NotStored, Answer::StoredButUnclear, Answer::NotStoredAndUnclear] {
        let mut world = World::new().await;
        let parts = world.parts().await;
        world.answers.lock().unwrap().extend([answer; 3]);
        let actor = Analytics::new(parts.clone()).start();
        for _ in 0..6 {
            actor.send(world.place(2).await).await.unwrap();
            actor.send(Flush).await.unwrap();
        }
        world.is_counted(&parts).await;
    }
}

#[actix_rt::test]
async fn a_panic_at_any_point_counts_once() {
    for point in 0..6 {
        let mut world = World::new().await;
        let parts = world.parts().await;
        let mut actor = Analytics::new(parts.clone()).start();
        for round in 0..6 {
            let list = world.place(2).await;
            if round == point {
                kill(actor).await;
                actor = Analytics::new(parts.clone()).start();
            }
            actor.send(list).await.unwrap();
            actor.send(Flush).await.unwrap();
        }
        world.is_counted(&parts).await;
    }
}

#[actix_rt::test]
async fn a_panic_with_a_save_under_way_counts_once() {
    let mut world = World::new().await;
    let mut parts = world.parts().await;
    parts.settings.flush_ms = 3_600_000;
    let actor = Analytics::new(parts.clone()).start();
    actor.send(world.place(3).await).await.unwrap();
    world.answers.lock().unwrap().push_back(Answer::Late);
    while !world.answers.lock().unwrap().is_empty() {
        actor.send(Flush).await.unwrap();
    }
    kill(actor).await;
    let actor = Analytics::new(parts.clone()).start();
    actor.send(world.place(2).await).await.unwrap();
    // Time enough for the new actor to load and count what is about to be stored, were it not made to wait.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    world.door.add_permits(1);
    while world.database.analytics_positions().await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    while !parts.progress().borrow().is_complete {
        actor.send(Flush).await.unwrap();
    }
    world.is_counted(&parts).await;
}
