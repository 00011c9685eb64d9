//! The analytics actor: counts the committed events of the log in its order, each once, and stores the sums.
//!
//! Owns the increments that are counted but not stored, and the position in each writer's log that they reach. Promises: numbers
//! and position are stored in one transaction, so whatever is lost (a list that found the mailbox full, this actor by a panic, the
//! node) is read from the log and counted then; nothing is counted twice. Memory is bounded by [`AnalyticsSettings`]. It knows
//! nothing of what the numbers are for.
//!
//! Repeats (deliveries of the re-drive) are not in the log a second time and must not be sent here.

mod log_tracker;
mod share;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_void;

use crate::actors::journal::submit::Submit;
use crate::actors::protocol::fate::Fate;
use crate::actors::protocol::hooks::Logged;
use crate::actors::runtime::faults::{Faults, Point};
use crate::db::{CountOutcome, Reads, StoreError, TypedWrite, WriterRow};
use crate::domain::WriterId;
use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, WrapFuture};
use log_tracker::{Bounds, Increment, LogTracker, Saved, Stretch};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

/// Store now what is counted, without waiting for the interval; [`Progress`] tells when it is done.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Flush;

/// How far the counting is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// Whether all that is known to be in the logs is counted and stored.
    pub is_complete: bool,
    /// Saves since the node started.
    pub saves: u64,
}

/// The limits of the analytics actor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AnalyticsSettings {
    /// Milliseconds between two saves.
    pub flush_ms: u64,
    /// With more increments than this to save, …
    pub busy_rows: usize,
    /// … this many milliseconds pass between two saves: orders wait for each save, and most increments are to the same numbers.
    pub busy_flush_ms: u64,
    /// Milliseconds between two looks for logs of writers that have ended.
    pub recheck_ms: u64,
    /// Lists that may wait in the mailbox.
    pub mailbox_lists: usize,
    /// Events read at once from the log.
    pub page_events: u32,
    /// Events of lists that wait in memory until a gap before them is read.
    pub held_events: usize,
    /// Increments of one log in memory; past it counting waits for a save. A save is one write of the journal's batch, so this
    /// also bounds how long it keeps the orders' writes waiting.
    pub pending_rows: usize,
}

impl Default for AnalyticsSettings {
    fn default() -> Self {
        Self {
            flush_ms: 1000,
            busy_rows: 500,
            busy_flush_ms: 10_000,
            recheck_ms: 30_000,
            mailbox_lists: 1024,
            page_events: 2000,
            held_events: 20_000,
            pending_rows: 10_000,
        }
    }
}

/// What every incarnation of the actor shares: its ways to the store, and what must outlive a panic.
#[derive(Clone)]
pub struct AnalyticsParts {
    reads: Arc<dyn Reads>,
    submit: Submit,
    settings: AnalyticsSettings,
    /// The node's writer, which changes when it is fenced.
    own: watch::Receiver<WriterId>,
    /// Held by a save until its outcome is known, even if the actor that began it is gone: positions are loaded only then.
    gate: Arc<Semaphore>,
    faults: Faults,
    progress: Arc<watch::Sender<Progress>>,
}

impl AnalyticsParts {
    /// The parts; `own` tells the writer of this node, whose lists come.
    #[must_use]
    pub fn new(reads: Arc<dyn Reads>, submit: Submit, own: watch::Receiver<WriterId>, settings: AnalyticsSettings) -> Self {
        Self {
            reads,
            submit,
            settings,
            own,
            gate: Arc::new(Semaphore::new(1)),
            faults: Faults::default(),
            progress: Arc::new(watch::Sender::new(Progress::default())),
        }
    }

    /// Fails where `faults` say.
    #[must_use]
    pub fn failing(self, faults: Faults) -> Self {
        Self { faults, ..self }
    }

    /// How far the counting is; lives on when the actor is restarted.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }
}

/// The actor. A new one (also after a panic) begins with what is stored.
pub struct Analytics {
    parts: AnalyticsParts,
    tracker: LogTracker,
    must_load: bool,
    is_reading: bool,
    is_saving: bool,
    /// Set by a failed read, until the next interval.
    rests: bool,
    /// Since the last interval that saved.
    waited_ms: u64,
}

type Positions = (Vec<(WriterId, i64)>, Vec<WriterRow>);

impl Analytics {
    /// A fresh actor.
    #[must_use]
    pub fn new(parts: AnalyticsParts) -> Self {
        let bounds = Bounds { held_events: parts.settings.held_events, pending_rows: parts.settings.pending_rows };
        Self { parts, tracker: LogTracker::new(bounds), must_load: true, is_reading: false, is_saving: false, rests: false, waited_ms: 0 }
    }

    /// Begins what can be done now: loading, reading the next stretch, saving when memory is full.
    fn drive(&mut self, ctx: &mut Context<Self>) {
        if !self.is_reading && !self.rests {
            if self.must_load {
                self.load(ctx);
            } else if let Some(stretch) = self.tracker.behind() {
                self.read(stretch, ctx);
            }
        }
        if self.tracker.is_full() {
            self.tracker.mark_due();
            self.save(ctx);
        }
        let is_complete = !self.must_load && !self.is_reading && self.tracker.is_complete();
        self.parts.progress.send_if_modified(|progress| std::mem::replace(&mut progress.is_complete, is_complete) != is_complete);
    }

    fn load(&mut self, ctx: &mut Context<Self>) {
        self.is_reading = true;
        let (reads, gate) = (self.parts.reads.clone(), self.parts.gate.clone());
        let load = async move {
            let _no_save_is_under_way = gate.acquire_owned().await;
            Ok((reads.analytics_positions().await?, reads.writers().await?))
        };
        ctx.spawn(load.into_actor(self).map(|loaded: Result<Positions, StoreError>, act, ctx| {
            act.is_reading = false;
            match loaded {
                Ok((positions, writers)) => {
                    let own = *act.parts.own.borrow_and_update();
                    // A writer that began meanwhile is not among those that were read.
                    let is_old = !writers.iter().any(|row| row.writer == own);
                    act.must_load = !act.tracker.loaded(&positions, &writers, own) || is_old;
                    act.rests |= act.must_load;
                }
                Err(error) => act.rest("the analytics positions could not be read; trying again", &error),
            }
            act.drive(ctx);
        }));
    }

    fn read(&mut self, stretch: Stretch, ctx: &mut Context<Self>) {
        self.is_reading = true;
        let limit = self.parts.settings.page_events.max(1);
        let page = self.parts.reads.events(stretch.writer, stretch.after, limit);
        ctx.spawn(page.into_actor(self).map(move |page, act, ctx| {
            act.is_reading = false;
            match page {
                Ok(events) => {
                    let is_last = u32::try_from(events.len()).is_ok_and(|found| found < limit);
                    act.tracker.paged(stretch, &events, is_last);
                }
                Err(error) => act.rest("the event log could not be read for the analytics; trying again", &error),
            }
            act.drive(ctx);
        }));
    }

    fn rest(&mut self, what: &'static str, error: &StoreError) {
        tracing::warn!(error = %error, "{what}");
        self.rests = true;
    }

    /// Begins the next save, if one is due and none is under way.
    fn save(&mut self, ctx: &mut Context<Self>) {
        if self.is_saving {
            return;
        }
        // Taken: a save of an earlier incarnation is still under way.
        let Ok(permit) = self.parts.gate.clone().try_acquire_owned() else { return };
        let Some(increment) = self.tracker.next_save() else { return };
        self.is_saving = true;
        let fate = submit(&self.parts.submit, increment, permit);
        ctx.spawn(fate.into_actor(self).map(|fate, act, ctx| {
            act.is_saving = false;
            // No answer: the task that awaited it has failed.
            let saved = fate.map_or(Saved::Unclear, |fate| verdict(&fate));
            act.must_load |= !act.tracker.saved(saved);
            if saved == Saved::Yes {
                act.parts.progress.send_modify(|progress| progress.saves += 1);
                act.save(ctx);
            }
            act.drive(ctx);
        }));
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        let settings = self.parts.settings;
        self.waited_ms = self.waited_ms.saturating_add(settings.flush_ms.max(1));
        if self.tracker.pending_rows() <= settings.busy_rows || self.waited_ms >= settings.busy_flush_ms {
            return self.flush(ctx);
        }
        self.rests = false;
        self.drive(ctx);
    }

    fn flush(&mut self, ctx: &mut Context<Self>) {
        self.parts.faults.pass(Point::AnalyticsTimer, None);
        self.waited_ms = 0;
        self.rests = false;
        // A new writer may have nothing to say, and its first list may be lost.
        self.must_load |= self.tracker.follows() || self.parts.own.has_changed().unwrap_or(false);
        self.tracker.mark_due();
        self.save(ctx);
        self.drive(ctx);
    }
}

/// Submits the increment in a task of its own, which holds the gate until its fate is known, whatever becomes of the actor.
fn submit(submit: &Submit, increment: Increment, permit: OwnedSemaphorePermit) -> oneshot::Receiver<Fate<CountOutcome>> {
    let (sender, receiver) = oneshot::channel();
    let fate = submit.ask(TypedWrite::save_analytics(increment.add, increment.source, (increment.after, increment.seq)));
    actix_rt::spawn(async move {
        let fate = fate.await;
        drop(permit);
        // Nobody listens when the actor is gone; the next one loads what is stored.
        let _ = sender.send(fate);
    });
    receiver
}

fn verdict(fate: &Fate<CountOutcome>) -> Saved {
    match fate {
        Fate::Stored(CountOutcome::Done) => Saved::Yes,
        Fate::NotStored | Fate::NotOurs => Saved::No,
        Fate::Refused(cause) => {
            tracing::error!(cause = %cause, "the database refuses the analytics numbers; trying again");
            Saved::No
        }
        Fate::Stored(CountOutcome::Missing) => {
            tracing::error!(
                "the database is older than what was counted of another node's log; the analytics are counted again from what is stored"
            );
            Saved::Void
        }
        Fate::Stored(CountOutcome::Repeated) | Fate::Recorded => Saved::Unclear,
    }
}

impl Actor for Analytics {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.parts.faults.pass(Point::AnalyticsStarted, None);
        let settings = self.parts.settings;
        ctx.set_mailbox_capacity(settings.mailbox_lists);
        ctx.run_interval(Duration::from_millis(settings.flush_ms.max(1)), Self::tick);
        ctx.run_interval(Duration::from_millis(settings.recheck_ms.max(1)), |act, ctx| {
            act.must_load = true;
            act.drive(ctx);
        });
        self.drive(ctx);
    }
}

impl Handler<Logged> for Analytics {
    type Result = ();

    fn handle(&mut self, list: Logged, ctx: &mut Context<Self>) {
        self.parts.faults.pass(Point::AnalyticsMessage, None);
        self.must_load |= !self.tracker.take(list);
        self.drive(ctx);
    }
}

impl Handler<Flush> for Analytics {
    type Result = ();

    fn handle(&mut self, _: Flush, ctx: &mut Context<Self>) {
        self.flush(ctx);
    }
}
