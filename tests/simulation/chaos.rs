//! What goes wrong, and when: one hand for the faults of nodes, actors, deliveries, the bus and the database, so that one stream of
//! dice decides them in the order in which they come.

use crate::chance::Chance;
use crate::failover::Failovers;
use crate::publish::Fate;
use futures_util::FutureExt;
use ordermill::actors::faults::Point;
use ordermill::db::Reads;
use ordermill::db::memory::MemoryDatabase;
use ordermill::domain::{NoticeId, NoticeStatus};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// How often what goes wrong, in 10,000.
#[derive(Clone, Debug, Default)]
pub struct Odds {
    /// Panics at a point, by what the point is about.
    pub panic: u64,
    /// Points at which every order of some shards panics.
    pub poison: Option<(Point, u64)>,
    pub lost: u64,
    pub twice: u64,
    pub late: u64,
    pub not_written: u64,
    pub unknown: u64,
    /// Commits whose backend lives on when the node lets go, or sleeps.
    pub outlives: u64,
    pub commit_delay_ms: u64,
    pub call_fails: u64,
    pub call_delay_ms: u64,
    pub crash_at_commit: u64,
    /// Messages to the brokers that they do not take, or take without anybody hearing of it; commits of offsets the same.
    pub refused: u64,
    pub unheard: u64,
    /// Messages that a role does not take, as if they were bad.
    pub not_taken: u64,
    /// Each second: a node is cut off from the brokers, a partition moves, loses records, has a transaction of a stranger open.
    pub broker_cut: u64,
    pub moves: u64,
    pub truncates: u64,
    pub transactions: u64,
}

impl Odds {
    /// Each seed has some kinds of faults, so that no kind hides another.
    pub fn of(chance: &mut Chance) -> Self {
        let mut some = |often: u64| if chance.hits(5000) { chance.below(often) + 1 } else { 0 };
        let (panic, lost, twice, late) = (some(150), some(800), some(800), some(800));
        let (not_written, unknown, outlives, commit_delay_ms) = (some(800), some(800), some(5000), some(2000));
        let (call_fails, call_delay_ms, crash_at_commit) = (some(800), some(1000), some(500));
        let (refused, unheard, not_taken) = (some(50), some(200), some(300));
        let (broker_cut, moves, truncates, transactions) = (some(500), some(200), some(50), some(100));
        let points = [Point::OrderStarted, Point::OrderMessage, Point::OrderSave, Point::OrderStored, Point::OrderTimer];
        let poison = chance.hits(1500).then(|| (chance.pick(&points), chance.below(6)));
        Self {
            panic,
            poison,
            lost,
            twice,
            late,
            not_written,
            unknown,
            outlives,
            commit_delay_ms,
            call_fails,
            call_delay_ms,
            crash_at_commit,
            refused,
            unheard,
            not_taken,
            broker_cut,
            moves,
            truncates,
            transactions,
        }
    }
}

/// How a line to the database is cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cut {
    /// Every call fails at once.
    Fails,
    /// Every call hangs until the line is mended, and fails then.
    Hangs,
}

/// See the module.
pub struct Chaos {
    state: Mutex<State>,
    failovers: Mutex<Failovers>,
    database: MemoryDatabase,
    began: Instant,
}

pub(crate) struct State {
    pub(crate) chance: Chance,
    pub(crate) odds: Odds,
    /// Something may go wrong.
    pub(crate) rages: bool,
    pub(crate) nodes: Vec<NodeState>,
    trace: Option<Vec<String>>,
    /// How often each notice may be sent again: it was sent, but that was not stored when its sender was lost.
    excused: BTreeMap<NoticeId, u32>,
    pub(crate) broken: Vec<String>,
    pub(crate) counts: Counts,
}

/// A call that is under way when the line is cut is answered all the same, so much later at most.
const UNDER_WAY: Duration = Duration::from_millis(1000);

/// What is known of one node.
pub(crate) struct NodeState {
    /// Ends the life of the node; none while it has none, or is already ending.
    pub(crate) crash: Option<oneshot::Sender<()>>,
    pub(crate) cut: Option<(Instant, Cut)>,
    asleep_since: Option<Instant>,
    /// How often it has begun to live.
    lives: u64,
    /// Its writer was ended by force, while its lease lasted: until it hears of that it goes on, and what it sends is not stored.
    is_fenced: bool,
    /// When it was dead, or asleep for long.
    away: Vec<(Instant, Instant)>,
    /// When it was cut off from the database.
    cuts: Vec<(Instant, Instant)>,
    dead_since: Instant,
    /// Notices that it has sent, as often as that, since it was last excused.
    sent: BTreeMap<NoticeId, u32>,
}

impl NodeState {
    /// Whether there was a moment since `since` at which the node had been there for a whole lease. A short cut it need not have
    /// noticed: it leaves everybody enough of his lease to renew it.
    pub(crate) fn was_there(&self, since: Instant, wait: Duration) -> bool {
        let long_cuts = self.cuts.iter().filter(|(from, until)| *until - *from > wait / 2);
        let mut away: Vec<_> = self.away.iter().chain(long_cuts).copied().collect();
        away.sort_unstable();
        let now = Instant::now();
        let mut back = away.first().map_or(now, |(_, until)| *until);
        for (from, until) in away {
            if since.max(back + wait) <= from + UNDER_WAY {
                return true;
            }
            back = back.max(until);
        }
        since.max(back + wait) <= now
    }
}

/// What has happened, for the report.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub commits: u64,
    pub crashes: u64,
    pub panics: u64,
    pub sleeps: u64,
    pub cuts: u64,
    pub fences: u64,
    pub takes: u64,
    pub gives: u64,
    /// Failovers that lost commits, orders that nodes have named as lost, and those that died with who had answered them.
    pub promotions: u64,
    pub named: u64,
    pub unknowable: u64,
}

impl Counts {
    pub fn add(&mut self, other: Self) {
        self.commits += other.commits;
        self.crashes += other.crashes;
        self.panics += other.panics;
        self.sleeps += other.sleeps;
        self.cuts += other.cuts;
        self.fences += other.fences;
        self.takes += other.takes;
        self.gives += other.gives;
        self.promotions += other.promotions;
        self.named += other.named;
        self.unknowable += other.unknowable;
    }
}

impl Chaos {
    pub fn new(seed: u64, odds: Odds, nodes: usize, database: MemoryDatabase, traced: bool) -> Self {
        let node = |_| NodeState {
            crash: None,
            cut: None,
            asleep_since: None,
            lives: 0,
            is_fenced: false,
            away: Vec::new(),
            cuts: Vec::new(),
            dead_since: Instant::now(),
            sent: BTreeMap::new(),
        };
        let state = State {
            chance: Chance::new(seed, 1),
            odds,
            rages: false,
            nodes: (0..nodes).map(node).collect(),
            trace: traced.then(Vec::new),
            excused: BTreeMap::new(),
            broken: Vec::new(),
            counts: Counts::default(),
        };
        Self { state: Mutex::new(state), failovers: Mutex::default(), database, began: Instant::now() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The node lives from now on, until the receiver hears of its crash.
    pub fn begin_life(&self, node: usize) -> oneshot::Receiver<()> {
        let (crash, crashed) = oneshot::channel();
        {
            let mut state = self.lock();
            state.nodes[node].crash = Some(crash);
            state.nodes[node].lives += 1;
            let since = state.nodes[node].dead_since;
            state.nodes[node].away.push((since, Instant::now()));
        }
        self.tell(|| format!("node {node}: life begins"));
        crashed
    }

    /// Nothing of the node may fail any more: its remains are swept up.
    pub fn end_life(&self, node: usize) {
        {
            let mut state = self.lock();
            state.nodes[node].crash = None;
            state.nodes[node].dead_since = Instant::now();
        }
        self.tell(|| format!("node {node}: life ends"));
    }

    /// What is known of failovers.
    pub fn failovers(&self) -> MutexGuard<'_, Failovers> {
        self.failovers.lock().unwrap()
    }

    /// Which of its lives the node lives.
    pub fn life(&self, node: usize) -> u64 {
        self.lock().nodes[node].lives
    }

    /// A notice may be sent once more: that it was sent is lost.
    pub fn forgive(&self, notice: NoticeId) {
        *self.lock().excused.entry(notice).or_insert(0) += 1;
    }

    /// Kills the node.
    pub fn crash(&self, node: usize) {
        let mut state = self.lock();
        if let Some(crash) = state.nodes[node].crash.take() {
            state.counts.crashes += 1;
            let _ending_already = crash.send(());
        }
    }

    /// The node cannot reach the database for so long.
    pub fn cut(&self, node: usize, ms: u64, how: Cut) {
        if !self.rages() {
            return;
        }
        self.tell(|| format!("node {node}: cut off for {ms} ms, {how:?}"));
        let mut state = self.lock();
        state.counts.cuts += 1;
        let node = &mut state.nodes[node];
        let before = node.cut.map_or(Instant::now(), |(until, _)| until);
        let until = before.max(Instant::now() + Duration::from_millis(ms));
        node.cut = Some((until, how));
        match node.cuts.last_mut().filter(|(_, last)| *last >= Instant::now()) {
            Some((_, last)) => *last = until,
            None => node.cuts.push((Instant::now(), until)),
        }
    }

    /// The node's writer was ended by force.
    pub fn fenced(&self, node: usize) {
        let mut state = self.lock();
        state.counts.fences += 1;
        state.nodes[node].is_fenced = true;
    }

    /// The node starts a writer.
    pub fn starts_writer(&self, node: usize) {
        if std::mem::take(&mut self.lock().nodes[node].is_fenced) {
            self.excuse(node);
        }
    }

    /// The node has fallen asleep just now.
    pub fn sleeps(&self, node: usize) {
        let mut state = self.lock();
        state.counts.sleeps += 1;
        state.nodes[node].asleep_since = Some(Instant::now());
    }

    /// The node has woken up just now. It was away if its own lease may have ended meanwhile.
    pub fn woke(&self, node: usize, lease: Duration) {
        let mut state = self.lock();
        if let Some(since) = state.nodes[node].asleep_since.take().filter(|since| since.elapsed() > lease) {
            state.nodes[node].away.push((since, Instant::now()));
        }
    }

    /// From now on anything may go wrong.
    pub fn rage(&self) {
        self.lock().rages = true;
    }

    /// From now on nothing goes wrong.
    pub fn heal(&self) {
        {
            let mut state = self.lock();
            state.rages = false;
            for node in &mut state.nodes {
                node.cut = None;
                node.cuts.iter_mut().for_each(|(_, until)| *until = Instant::now().min(*until));
            }
        }
        self.tell(|| "everything heals".to_owned());
    }

    pub fn rages(&self) -> bool {
        self.lock().rages
    }

    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// Something that must not be.
    pub fn breaks(&self, what: String) {
        self.tell(|| format!("BROKEN {what}"));
        self.lock().broken.push(what);
    }

    pub fn broken(&self) -> Vec<String> {
        self.lock().broken.clone()
    }

    /// The node hands a notice over.
    pub fn sends(&self, node: usize, notice: NoticeId) {
        self.tell(|| format!("node {node}: sends {}", notice.0));
        *self.lock().nodes[node].sent.entry(notice).or_insert(0) += 1;
    }

    /// How often this notice may have been sent.
    pub fn most_sent(&self, notice: NoticeId) -> usize {
        1 + self.lock().excused.get(&notice).copied().unwrap_or(0) as usize
    }

    /// Adds a line to the trace.
    pub fn tell(&self, line: impl FnOnce() -> String) {
        let ms = self.began.elapsed().as_millis();
        if let Some(trace) = &mut self.lock().trace {
            trace.push(format!("{ms:>7} {}", line()));
        }
    }

    pub fn trace(&self) -> Vec<String> {
        self.lock().trace.clone().unwrap_or_default()
    }

    /// Reads past all faults.
    pub fn ask<T>(
        &self,
        ask: impl FnOnce(&MemoryDatabase) -> futures_util::future::BoxFuture<'static, Result<T, ordermill::db::StoreError>>,
    ) -> T {
        let answer = ask(&self.database).now_or_never();
        answer.expect("nothing delays it").expect("nothing fails")
    }

    /// A sender of notices is lost: it has died, or its writer was ended before it could store what it had sent. What it sent but did
    /// not store will be sent again, once for each time: nobody can tell it from what was never sent.
    pub fn excuse(&self, node: usize) {
        let mut snapshot = self.ask(|database| database.snapshot());
        let orders = snapshot.orders(None, 10_000).now_or_never().unwrap().unwrap();
        let rows = orders.iter().flat_map(|audit| &audit.notices);
        let stored: Vec<NoticeId> = rows.filter(|row| row.status == NoticeStatus::Sent).map(|row| row.id()).collect();
        let mut state = self.lock();
        let sent = std::mem::take(&mut state.nodes[node].sent);
        for (id, times) in sent.into_iter().filter(|(id, _)| !stored.contains(id)) {
            *state.excused.entry(id).or_insert(0) += times;
        }
    }

    /// What the brokers do with a message, or a commit.
    pub fn fate(&self, chance: &mut Chance) -> Fate {
        let state = self.lock();
        if !state.rages {
            return Fate::Taken;
        }
        let (refused, unheard) = (state.odds.refused, state.odds.unheard);
        if chance.hits(refused) {
            Fate::Refused
        } else if chance.hits(unheard) {
            Fate::Unheard
        } else {
            Fate::Taken
        }
    }

    /// Whether a role does not take a message, as if it were a bad one.
    pub fn fails_to_take(&self) -> bool {
        let mut state = self.lock();
        let odds = state.odds.not_taken;
        state.rages && state.chance.hits(odds)
    }
}
