//! What one node's actors and its line to the database see of the chaos.

use crate::auditor::Auditor;
use crate::chaos::{Chaos, Cut, State};
use ordermill::actors::faults::{Delivery, FaultPlan, Point};
use ordermill::db::memory::{Answer, Call, Fault, Faults, Verdict};
use ordermill::db::{Batch, Committed, Write};
use ordermill::domain::{Event, OrderId};
use ordermill::plants::Plant;
use std::fmt::Write as _;
use std::sync::Arc;
use tokio::time::Instant;

/// See the module.
pub struct Hand {
    pub chaos: Arc<Chaos>,
    pub auditor: Arc<Auditor>,
    pub node: usize,
    pub plant: Option<Plant>,
}

impl Hand {
    /// What is left of a cut of the node's line.
    fn cut(&self, state: &State) -> Option<(u64, Cut)> {
        let (until, how) = state.nodes[self.node].cut?;
        let left = u64::try_from(until.saturating_duration_since(Instant::now()).as_millis()).unwrap();
        (left > 0).then_some((left, how))
    }

    fn fault(&self) -> Fault {
        let mut state = self.chaos.lock();
        state.counts.commits += 1;
        if !state.rages || state.nodes[self.node].crash.is_none() {
            return Fault::NONE;
        }
        let odds = state.odds.clone();
        if let Some((left, how)) = self.cut(&state) {
            let verdict = state.chance.pick(&[
                Verdict::NotWritten,
                Verdict::NotWritten,
                Verdict::LostUnknown,
                Verdict::WrittenLater { ms: left / 2 },
            ]);
            let after_ms = if how == Cut::Hangs { left } else { 0 };
            return Fault { verdict, before_ms: 0, after_ms };
        }
        let chance = &mut state.chance;
        let verdict = if chance.hits(odds.not_written) {
            Verdict::NotWritten
        } else if chance.hits(odds.unknown) {
            let ms = chance.delay_ms(15_000);
            chance.pick(&[Verdict::WrittenUnknown, Verdict::LostUnknown, Verdict::WrittenLater { ms }])
        } else if chance.hits(odds.outlives) {
            Verdict::Outlives
        } else {
            Verdict::Proceed
        };
        let mut fault =
            Fault { verdict, before_ms: chance.delay_ms(odds.commit_delay_ms), after_ms: chance.delay_ms(odds.commit_delay_ms) };
        if chance.hits(odds.crash_at_commit) {
            // Stored, or just not, or later, and nobody hears of it.
            let ms = chance.delay_ms(15_000);
            let verdict = chance.pick(&[Verdict::Proceed, Verdict::Proceed, Verdict::LostUnknown, Verdict::WrittenLater { ms }]);
            fault = Fault { verdict, before_ms: 0, after_ms: 3_600_000 };
            drop(state);
            self.chaos.crash(self.node);
        }
        fault
    }
}

impl FaultPlan for Hand {
    fn pass(&self, point: Point, order: Option<OrderId>) {
        if std::thread::panicking() {
            return;
        }
        let mut state = self.chaos.lock();
        if !state.rages || state.nodes[self.node].crash.is_none() {
            return;
        }
        let odds = state.odds.panic;
        let poisoned =
            state.odds.poison.zip(order).is_some_and(|((at, which), order)| at == point && order.0.as_bytes()[13] % 6 == which as u8);
        if !state.chance.hits(odds) && !poisoned {
            return;
        }
        state.counts.panics += 1;
        drop(state);
        self.chaos.excuse(self.node);
        self.chaos.tell(|| format!("node {}: panic at {point:?} {order:?}", self.node));
        panic!("planned at {point:?}");
    }

    fn delivery(&self, event: &Event) -> Delivery {
        let mut state = self.chaos.lock();
        if !state.rages {
            return Delivery::Once;
        }
        let (lost, twice, late) = (state.odds.lost, state.odds.twice, state.odds.late);
        let chance = &mut state.chance;
        let delivery = if chance.hits(lost) {
            Delivery::Lost
        } else if chance.hits(twice) {
            Delivery::Twice
        } else if chance.hits(late) {
            Delivery::Late { ms: chance.delay_ms(10_000) }
        } else {
            return Delivery::Once;
        };
        drop(state);
        self.chaos.tell(|| format!("node {}: {delivery:?} {} {}", self.node, event.kind().name(), event.order));
        delivery
    }

    fn plant(&self) -> Option<Plant> {
        self.plant
    }
}

impl Faults for Hand {
    fn commit(&self, batch: &Batch) -> Fault {
        self.chaos.failovers().writes(batch.writer, (self.node, self.chaos.life(self.node)));
        let fault = self.fault();
        self.chaos.tell(|| {
            let Fault { verdict, before_ms, after_ms } = fault;
            let mut line =
                format!("node {} writer {} commit {} {verdict:?} {before_ms}+{after_ms}:", self.node, batch.writer.0, batch.commits);
            for write in &batch.writes {
                let _ = write!(line, " {}", summary(write));
            }
            line
        });
        fault
    }

    fn committed(&self, batch: &Batch, committed: &Committed) {
        self.chaos.tell(|| format!("writer {} commit {} is stored", batch.writer.0, batch.commits));
        self.auditor.committed(&self.chaos, self.node, batch, committed);
    }

    fn call(&self, call: Call) -> Answer {
        if call == Call::StartWriter {
            self.chaos.starts_writer(self.node);
        }
        let mut state = self.chaos.lock();
        if !state.rages || state.nodes[self.node].crash.is_none() {
            return Answer::PROCEED;
        }
        if let Some((left, how)) = self.cut(&state) {
            return Answer { delay_ms: if how == Cut::Hangs { left } else { 0 }, fails: true, late_ms: 0 };
        }
        let (fails, delay_ms) = (state.odds.call_fails, state.odds.call_delay_ms);
        let chance = &mut state.chance;
        let late_ms = if call == Call::Read { chance.delay_ms(delay_ms) } else { 0 };
        Answer { delay_ms: chance.delay_ms(delay_ms), fails: chance.hits(fails), late_ms }
    }

    fn plant(&self) -> Option<Plant> {
        self.plant
    }
}

/// One write, short but telling enough for two runs to be compared.
fn summary(write: &Write) -> String {
    match write {
        Write::Place { order, .. } => format!("place {}", order.id),
        Write::Save { order, status, open, events, letters, closings, record, .. } => {
            let events: Vec<_> = events.iter().map(|event| event.kind().name()).collect();
            let letters: Vec<_> = letters.iter().map(|letter| format!("{} {}", letter.state.name(), letter.id.0)).collect();
            let closings: Vec<_> = closings.iter().map(|closing| format!("{} {}", closing.state.name(), closing.id.0)).collect();
            let parked = record.parked.as_ref().map(|cause| cause.as_str().to_owned());
            let (id, status) = (order.id, status.name());
            format!("save {id} {status} open={open} {events:?} letters={letters:?} closes={closings:?} parked={parked:?}")
        }
        Write::Reserve { order, .. } => format!("reserve {}", order.id),
        Write::Release { step, undo } => format!("release {} {undo:?}", step.order),
        Write::HoldStock { step } => format!("hold {}", step.order),
        Write::ShipStock { step } => format!("ship {}", step.order),
        Write::SavePayment { payment, .. } => format!("payment {} {} {}", payment.order, payment.status.name(), payment.attempt),
        Write::SaveNotice { task, .. } => {
            format!(
                "notice {} {} {}/{} {} {}",
                task.order,
                task.id().0,
                task.kind.name(),
                task.channel.name(),
                task.status.name(),
                task.attempt
            )
        }
        Write::SaveAnalytics { source, seq, add, .. } => format!("analytics {} {seq} {}", source.0, add.len()),
        Write::ChangeProduct(write) => format!("product {} {:?}", write.id, write.change.stock),
        Write::KeepAnswer { .. } => "answer".to_owned(),
        Write::AddLetter(letter) => format!("letter {}", letter.id.0),
        Write::ParkStep { letter, event } => format!("park {} letter {}", event.order, letter.id.0),
        Write::MarkLetter { id, .. } => format!("mark {}", id.0),
        Write::CloseLetter(closing) => format!("close {} {}", closing.id.0, closing.state.name()),
        Write::Audit(entry) => format!("audit {} {}", entry.action, entry.subject),
        Write::Published { writer, seq } => format!("published {} {seq}", writer.0),
        Write::Consumed { role, places } => format!("consumed {role:?} {places:?}"),
        Write::ClaimLog { writer, .. } => format!("claim {}", writer.0),
        Write::EndExpired { leases } => format!("end {:?}", leases.iter().map(|(writer, _)| writer.0).collect::<Vec<_>>()),
        Write::KnowOrder { order } => format!("know {}", order.id),
        Write::HoldEvent { event } => format!("keep {} {}", event.order, event.kind().name()),
        Write::TakeShards { roles, shards } => format!("take {roles:?} {:?}", shards.iter().map(|shard| shard.0).collect::<Vec<_>>()),
        Write::ReleaseShards { roles, shards } => {
            format!("give {roles:?} {:?}", shards.iter().map(|shard| shard.0).collect::<Vec<_>>())
        }
    }
}
