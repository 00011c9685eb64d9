//! What the connections of one run share.

use super::follow::Followers;
use super::pace::{Ticket, Tickets};
use super::record::Recorder;
use super::source::Source;
use super::tally::{End, Tally, Trouble};
use crate::cli::load::node::Node;
use crate::cli::load::scan::text_field;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use uuid::Uuid;

/// One run.
pub(crate) struct Run {
    /// Different in each run: idempotency keys are made of it.
    pub(crate) id: Uuid,
    pub(crate) nodes: Vec<Node>,
    pub(crate) source: Source,
    pub(crate) tickets: Tickets,
    pub(crate) idempotent: bool,
    pub(crate) timeout: Duration,
    pub(crate) give_up: Duration,
    pub(crate) stop: Stop,
    pub(crate) recorder: Option<Arc<Recorder>>,
    pub(crate) followers: Option<Arc<Followers>>,
    tally: Mutex<Tally>,
    under_way: AtomicI64,
    failure: Mutex<Option<String>>,
}

/// What a run is made of.
pub(crate) struct Parts {
    pub(crate) nodes: Vec<Node>,
    pub(crate) source: Source,
    pub(crate) tickets: Tickets,
    pub(crate) idempotent: bool,
    pub(crate) timeout: Duration,
    pub(crate) give_up: Duration,
    pub(crate) recorder: Option<Arc<Recorder>>,
    pub(crate) followers: Option<Arc<Followers>>,
}

impl Run {
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        let Parts { nodes, source, tickets, idempotent, timeout, give_up, recorder, followers } = parts;
        Arc::new(Self {
            id: Uuid::new_v4(),
            nodes,
            source,
            tickets,
            idempotent,
            timeout,
            give_up,
            stop: Stop::new(),
            recorder,
            followers,
            tally: Mutex::new(Tally::new()),
            under_way: AtomicI64::new(0),
            failure: Mutex::default(),
        })
    }

    /// The counts; never held across an await, and uncontended on the one thread.
    pub(crate) fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An order was accepted: its latency, its record, its follower. It is counted by [`Run::ended`] or, recorded, by the sync.
    pub(crate) fn accepted(&self, ticket: Ticket, body: &[u8]) -> End {
        let mut tally = self.tally();
        tally.accepted_us.record(ticket.intended.elapsed());
        let Some(id) = text_field(body, b"\"orderId\":") else {
            tally.trouble(Trouble::WithoutId);
            return End::Unknown;
        };
        drop(tally);
        if let Some(recorder) = &self.recorder {
            recorder.take(id);
        }
        if let Some(followers) = &self.followers {
            followers.consider(ticket, id);
        }
        End::Accepted
    }

    /// A 504: the order that it names may exist.
    pub(crate) fn unresolved(&self, body: &[u8]) {
        let id = text_field(body, b"\"orderId\":");
        self.tally().trouble(if id.is_some() { Trouble::Unresolved } else { Trouble::Unnamed });
        if let (Some(recorder), Some(id)) = (&self.recorder, id) {
            recorder.take_maybe(id);
        }
    }

    /// Whether a node was lost in this run: then its orders may be nobody's for a while.
    pub(crate) fn has_lost_a_node(&self) -> bool {
        let tally = self.tally();
        tally.counts.resets + tally.counts.no_connection + tally.counts.timeouts > 0
    }

    /// Counts an order's end; an accepted one is counted by the recorder, if there is one.
    pub(crate) fn ended(&self, end: End) {
        if end == End::Accepted && self.recorder.is_some() {
            return;
        }
        self.tally().end(end);
    }

    /// Requests that are sent and not answered.
    pub(crate) fn under_way(&self, change: i64) {
        self.under_way.fetch_add(change, Ordering::Relaxed);
    }

    /// How many of them there are now.
    pub(crate) fn now_under_way(&self) -> u64 {
        u64::try_from(self.under_way.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// Ends the run for a reason that makes it fail.
    pub(crate) fn fail(&self, reason: String) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert(reason);
        self.end();
    }

    /// Why the run failed.
    pub(crate) fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends no more orders; those under way are waited for.
    pub(crate) fn end(&self) {
        self.tickets.stop();
        self.stop.set();
    }

    /// Since the first order was due.
    pub(crate) fn elapsed(&self) -> Duration {
        Instant::now().saturating_duration_since(self.tickets.started())
    }
}

/// A flag that can be awaited.
pub(crate) struct Stop(watch::Sender<bool>);

impl Stop {
    fn new() -> Self {
        Self(watch::channel(false).0)
    }

    fn set(&self) {
        self.0.send_replace(true);
    }

    /// Waits; false when the run was stopped before or meanwhile.
    pub(crate) async fn sleep(&self, time: Duration) -> bool {
        let mut stopped = self.0.subscribe();
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => false,
            () = tokio::time::sleep(time) => true,
        }
    }
}
