//! What goes wrong, and when: one hand for the faults of actors, deliveries and the database, so that one stream of dice decides
//! them in the order in which they come.

use crate::chance::Chance;
use futures_util::FutureExt;
use ordermill::actors::faults::{Delivery, FaultPlan, Plant, Point};
use ordermill::db::memory::{Answer, Call, Fault, Faults, MemoryDatabase, Verdict};
use ordermill::db::{Batch, Reads, Write};
use ordermill::domain::{Event, NoticeId, NoticeStatus, OrderId};
use ordermill::providers::sandbox::SandboxControl;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard};
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
    pub commit_delay_ms: u64,
    pub call_fails: u64,
    pub call_delay_ms: u64,
    pub crash_at_commit: u64,
    /// Bugs on purpose.
    pub plant: Option<Plant>,
    pub releases_twice: bool,
}

impl Odds {
    /// Each seed has some kinds of faults, so that no kind hides another.
    pub fn of(chance: &mut Chance) -> Self {
        let mut some = |often: u64| if chance.hits(5000) { chance.below(often) + 1 } else { 0 };
        let (panic, lost, twice, late) = (some(150), some(800), some(800), some(800));
        let (not_written, unknown, commit_delay_ms) = (some(800), some(800), some(2000));
        let (call_fails, call_delay_ms, crash_at_commit) = (some(800), some(1000), some(500));
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
            commit_delay_ms,
            call_fails,
            call_delay_ms,
            crash_at_commit,
            ..Self::default()
        }
    }
}

/// See the module.
pub struct Chaos {
    state: Mutex<State>,
    database: MemoryDatabase,
    sandbox: SandboxControl,
    began: Instant,
}

struct State {
    chance: Chance,
    odds: Odds,
    /// Something may go wrong.
    rages: bool,
    /// Ends the life of the node; none while it has none, or is already ending.
    crash: Option<oneshot::Sender<()>>,
    /// Questions of the simulation itself are answered at once.
    is_asking: bool,
    trace: Option<Vec<String>>,
    /// How often each notice may be sent again: it was sent, but that was not stored when its sender was lost.
    excused: BTreeMap<NoticeId, u32>,
    commits: u64,
    crashes: u64,
    panics: u64,
    fences: u32,
}

/// What has happened, for the report.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub commits: u64,
    pub crashes: u64,
    pub panics: u64,
}

impl Chaos {
    pub fn new(seed: u64, odds: Odds, database: MemoryDatabase, sandbox: SandboxControl, traced: bool) -> Self {
        let state = State {
            chance: Chance::new(seed, 1),
            odds,
            rages: false,
            crash: None,
            is_asking: false,
            trace: traced.then(Vec::new),
            excused: BTreeMap::new(),
            commits: 0,
            crashes: 0,
            panics: 0,
            fences: 0,
        };
        Self { state: Mutex::new(state), database, sandbox, began: Instant::now() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The node lives from now on, until the receiver hears of its crash.
    pub fn begin_life(&self) -> oneshot::Receiver<()> {
        let (crash, crashed) = oneshot::channel();
        self.lock().crash = Some(crash);
        self.tell(|| "life begins".to_owned());
        crashed
    }

    /// Nothing of the node may fail any more: its remains are swept up.
    pub fn end_life(&self) {
        self.lock().crash = None;
        self.tell(|| "life ends".to_owned());
    }

    /// Kills the node.
    pub fn crash(&self) {
        let mut state = self.lock();
        if let Some(crash) = state.crash.take() {
            state.crashes += 1;
            let _ending_already = crash.send(());
        }
    }

    /// From now on anything may go wrong.
    pub fn rage(&self) {
        self.lock().rages = true;
    }

    /// From now on nothing goes wrong.
    pub fn heal(&self) {
        self.lock().rages = false;
        self.tell(|| "everything heals".to_owned());
    }

    pub fn rages(&self) -> bool {
        self.lock().rages
    }

    /// Another has ended the node's writer: what it had not stored is lost, and so told again.
    pub fn fenced(&self) {
        self.lock().fences += 1;
    }

    pub fn counts(&self) -> Counts {
        let state = self.lock();
        Counts { commits: state.commits, crashes: state.crashes, panics: state.panics }
    }

    /// How often this notice may have been sent.
    pub fn most_sent(&self, notice: NoticeId) -> usize {
        let state = self.lock();
        1 + (state.excused.get(&notice).copied().unwrap_or(0) + state.fences) as usize
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
        self.lock().is_asking = true;
        let answer = ask(&self.database).now_or_never();
        self.lock().is_asking = false;
        answer.expect("nothing delays it").expect("nothing fails")
    }

    /// A sender of notices is lost: what it sent but did not store will be sent again.
    pub fn excuse(&self) {
        let mut snapshot = self.ask(|database| database.snapshot());
        let orders = snapshot.orders(None, 10_000).now_or_never().unwrap().unwrap();
        let rows = orders.iter().flat_map(|audit| &audit.notices);
        let stored: Vec<NoticeId> = rows.filter(|row| row.status == NoticeStatus::Sent).map(|row| row.id()).collect();
        let mut sent: Vec<NoticeId> = self.sandbox.sent().into_iter().map(|(id, _)| id).collect();
        sent.sort_unstable();
        sent.dedup();
        let mut state = self.lock();
        for id in sent.into_iter().filter(|id| !stored.contains(id)) {
            *state.excused.entry(id).or_insert(0) += 1;
        }
    }

    fn fault(&self) -> Fault {
        let mut state = self.lock();
        state.commits += 1;
        if !state.rages || state.crash.is_none() {
            return Fault::NONE;
        }
        let odds = state.odds.clone();
        let chance = &mut state.chance;
        let verdict = if chance.hits(odds.not_written) {
            Verdict::NotWritten
        } else if chance.hits(odds.unknown) {
            chance.pick(&[Verdict::WrittenUnknown, Verdict::LostUnknown])
        } else {
            Verdict::Proceed
        };
        let mut fault =
            Fault { verdict, before_ms: chance.delay_ms(odds.commit_delay_ms), after_ms: chance.delay_ms(odds.commit_delay_ms) };
        if chance.hits(odds.crash_at_commit) {
            // Stored, or just not, and nobody hears of it.
            let is_stored = chance.hits(7000);
            fault = Fault { verdict: if is_stored { Verdict::Proceed } else { Verdict::LostUnknown }, before_ms: 0, after_ms: 3_600_000 };
            drop(state);
            self.crash();
        }
        fault
    }
}

/// What a node's actors and store see of it.
pub struct Hand(pub std::sync::Arc<Chaos>);

impl FaultPlan for Hand {
    fn pass(&self, point: Point, order: Option<OrderId>) {
        if std::thread::panicking() {
            return;
        }
        let mut state = self.0.lock();
        if !state.rages || state.crash.is_none() {
            return;
        }
        let odds = state.odds.panic;
        let poisoned =
            state.odds.poison.zip(order).is_some_and(|((at, which), order)| at == point && order.0.as_bytes()[13] % 6 == which as u8);
        if !state.chance.hits(odds) && !poisoned {
            return;
        }
        state.panics += 1;
        drop(state);
        self.0.excuse();
        self.0.tell(|| format!("panic at {point:?} {order:?}"));
        panic!("planned at {point:?}");
    }

    fn delivery(&self, event: &Event) -> Delivery {
        let mut state = self.0.lock();
        if !state.rages {
            return Delivery::Once;
        }
        let odds = state.odds.clone();
        let chance = &mut state.chance;
        let delivery = if chance.hits(odds.lost) {
            Delivery::Lost
        } else if chance.hits(odds.twice) {
            Delivery::Twice
        } else if chance.hits(odds.late) {
            Delivery::Late { ms: chance.delay_ms(10_000) }
        } else {
            return Delivery::Once;
        };
        drop(state);
        self.0.tell(|| format!("{delivery:?} {} {}", event.kind().name(), event.order));
        delivery
    }

    fn has(&self, plant: Plant) -> bool {
        self.0.lock().odds.plant == Some(plant)
    }
}

impl Faults for Hand {
    fn commit(&self, batch: &Batch) -> Fault {
        let fault = self.0.fault();
        self.0.tell(|| {
            let mut line =
                format!("writer {} commit {} {:?} {}+{}:", batch.writer.0, batch.commits, fault.verdict, fault.before_ms, fault.after_ms);
            for write in &batch.writes {
                let _ = write!(line, " {}", summary(write));
            }
            line
        });
        fault
    }

    fn call(&self, call: Call) -> Answer {
        let mut state = self.0.lock();
        if !state.rages || state.is_asking || state.crash.is_none() {
            return Answer::PROCEED;
        }
        let odds = state.odds.clone();
        let chance = &mut state.chance;
        let delay_ms = chance.delay_ms(odds.call_delay_ms);
        let late_ms = if call == Call::Read { chance.delay_ms(odds.call_delay_ms) } else { 0 };
        Answer { delay_ms, fails: chance.hits(odds.call_fails), late_ms }
    }

    fn releases_twice(&self) -> bool {
        self.0.lock().odds.releases_twice
    }
}

/// One write, short but telling enough for two runs to be compared.
fn summary(write: &Write) -> String {
    match write {
        Write::Place { order, .. } => format!("place {}", order.id),
        Write::Save { order, status, open, events, letters, record, .. } => {
            let events: Vec<_> = events.iter().map(|event| event.kind().name()).collect();
            let parked = record.parked.as_ref().map(|cause| cause.as_str().to_owned());
            format!("save {} {} open={open} {events:?} letters={} parked={parked:?}", order.id, status.name(), letters.len())
        }
        Write::Reserve { order, .. } => format!("reserve {}", order.id),
        Write::Release { step, undo } => format!("release {} {undo:?}", step.order),
        Write::HoldStock { step } => format!("hold {}", step.order),
        Write::ShipStock { step } => format!("ship {}", step.order),
        Write::SavePayment { payment, .. } => format!("payment {} {} {}", payment.order, payment.status.name(), payment.attempt),
        Write::SaveNotice { task, .. } => {
            format!("notice {} {}/{} {} {}", task.order, task.kind.name(), task.channel.name(), task.status.name(), task.attempt)
        }
        Write::SaveAnalytics { source, seq, add, .. } => format!("analytics {} {seq} {}", source.0, add.len()),
        Write::PutProduct { id, available, .. } => format!("product {id} {available}"),
        Write::AdjustStock { id, delta, .. } => format!("adjust {id} {delta}"),
        Write::AddLetter(letter) => format!("letter {}", letter.id.0),
        Write::CloseLetter { id, state, .. } => format!("close {} {}", id.0, state.name()),
        Write::Published { writer, seq } => format!("published {} {seq}", writer.0),
        Write::ClaimLog { writer, .. } => format!("claim {}", writer.0),
        Write::EndExpired => "end expired".to_owned(),
        Write::KnowOrder { order } => format!("know {}", order.id),
        Write::HoldEvent { event } => format!("hold {} {}", event.order, event.kind().name()),
        Write::TakeShards { shards, .. } => format!("take {}", shards.len()),
        Write::ReleaseShards { shards, .. } => format!("give {}", shards.len()),
    }
}
