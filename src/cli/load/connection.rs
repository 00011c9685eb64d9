//! One connection of the generator: it takes an order, sends it until its end is known, counts that end, and takes the next.

use super::pace::Ticket;
use super::run::Run;
use super::tally::{Cause, End, Trouble};
use super::wire::{Head, Wire};
use crate::cli::load::scan::text_field;
use crate::cli::rng::Rng;
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::timeout;
use uuid::Uuid;

/// A node that comes back is found within this time.
const MAX_RECONNECT: Duration = Duration::from_millis(1000);
const FIRST_RECONNECT: Duration = Duration::from_millis(20);
/// A longer Retry-After is cut: the run is a measurement, not a client that can come back tomorrow.
const MAX_RETRY_AFTER_S: u64 = 30;
const MAX_EXAMPLE_CHARS: usize = 300;
/// A request whose first sending is still in progress on the node is sent again after this time.
const IN_PROGRESS_WAIT: Duration = Duration::from_millis(200);

/// One connection and its buffers.
pub(crate) struct Connection {
    run: Arc<Run>,
    /// Which of the run's nodes it talks to; the next one when this one is lost.
    target: usize,
    wire: Option<Wire>,
}

/// What becomes of a request after one try.
enum Tried {
    Ended(End),
    /// Known not to be stored; to be sent again after this time.
    TurnedAway(Duration),
    /// Stored or not; to be sent again under its key after this time.
    Lost(Duration),
}

impl Connection {
    pub(crate) fn new(run: Arc<Run>, number: usize) -> Self {
        let target = number % run.nodes.len().max(1);
        Self { run, target, wire: None }
    }

    /// Sends orders until there are no more.
    pub(crate) async fn run(mut self) {
        while let Some(ticket) = self.run.tickets.next().await {
            let end = self.place(ticket).await;
            self.run.ended(end);
        }
    }

    async fn place(&mut self, ticket: Ticket) -> End {
        let run = self.run.clone();
        let key = Uuid::from_u128(run.id.as_u128() ^ u128::from(Rng::of(0, ticket.number).next()));
        let mut first_sent: Option<Instant> = None;
        let mut was_lost = false;
        loop {
            let unfinished = if was_lost { End::Unknown } else { End::NotSent };
            if !self.connect().await {
                return unfinished;
            }
            let Some(node) = run.nodes.get(self.target) else { return unfinished };
            let mut body = Vec::with_capacity(512);
            run.source.write(ticket.number, &mut body);
            let request = node.orders.with_json(body, run.idempotent.then_some(key));
            if was_lost {
                run.tally().counts.sent_again += 1;
            }
            let may_repeat = run.idempotent && first_sent.get_or_insert_with(Instant::now).elapsed() < run.give_up;
            let wait = match self.send(ticket, request, may_repeat).await {
                Tried::Ended(end) => return end,
                Tried::TurnedAway(wait) => wait,
                Tried::Lost(wait) => {
                    was_lost = true;
                    wait
                }
            };
            if !run.stop.sleep(wait).await {
                return if was_lost { End::Unknown } else { End::NotSent };
            }
        }
    }

    async fn send(&mut self, ticket: Ticket, request: Request<Full<Bytes>>, may_repeat: bool) -> Tried {
        let Some(wire) = &mut self.wire else { return Tried::Ended(End::NotSent) };
        let run = &self.run;
        run.under_way(1);
        let answer = timeout(run.timeout, wire.exchange(request)).await;
        run.under_way(-1);
        let trouble = match answer {
            Ok(Ok(head)) => return answered(run, ticket, head, wire.body(), may_repeat),
            Ok(Err(error)) if error.is_malformed() => Trouble::Malformed,
            Ok(Err(_)) => Trouble::Reset,
            Err(_) => Trouble::Timeout,
        };
        self.wire = None;
        run.tally().trouble(trouble);
        self.target = self.next_target();
        if may_repeat { Tried::Lost(FIRST_RECONNECT) } else { Tried::Ended(End::Unknown) }
    }

    /// Makes sure that there is a connection; false when the run ended before there was one.
    async fn connect(&mut self) -> bool {
        if let Some(wire) = &mut self.wire {
            if wire.is_reusable().await {
                return true;
            }
            self.run.tally().trouble(Trouble::ClosedIdle);
            self.wire = None;
        }
        let began = Instant::now();
        let mut wait = FIRST_RECONNECT;
        loop {
            let Some(node) = self.run.nodes.get(self.target) else { return false };
            match timeout(self.run.timeout, Wire::connect(node.address)).await {
                Ok(Ok(wire)) => {
                    self.wire = Some(wire);
                    return true;
                }
                Ok(Err(_)) | Err(_) => self.run.tally().trouble(Trouble::NoConnection),
            }
            if began.elapsed() > self.run.give_up {
                let others = if self.run.nodes.len() > 1 { "nor any other node " } else { "" };
                self.run.fail(format!("{} {others}could not be reached for {} s", node.address, self.run.give_up.as_secs()));
            }
            self.target = self.next_target();
            if !self.run.stop.sleep(wait).await {
                return false;
            }
            wait = (wait * 2).min(MAX_RECONNECT);
        }
    }

    fn next_target(&self) -> usize {
        (self.target + 1) % self.run.nodes.len().max(1)
    }
}

fn answered(run: &Run, ticket: Ticket, head: Head, body: &[u8], may_repeat: bool) -> Tried {
    match (head.status.as_u16(), head.retry_after_s) {
        (202, _) => {
            run.tally().counts.replayed += u64::from(head.replayed);
            Tried::Ended(run.accepted(ticket, body))
        }
        (503, Some(seconds)) => {
            run.tally().trouble(Trouble::Busy);
            // At least a little, so that a node that says 0 is not asked in a tight loop.
            Tried::TurnedAway(Duration::from_secs(seconds.min(MAX_RETRY_AFTER_S)).max(FIRST_RECONNECT))
        }
        (504, _) => {
            run.unresolved(body);
            if may_repeat { Tried::Lost(IN_PROGRESS_WAIT) } else { Tried::Ended(End::Unknown) }
        }
        (409, _) if may_repeat => {
            run.tally().trouble(Trouble::InProgress);
            Tried::Lost(IN_PROGRESS_WAIT)
        }
        (status, _) => {
            let kind = text_field(body, b"\"type\":").unwrap_or_default();
            let example = String::from_utf8_lossy(body).chars().take(MAX_EXAMPLE_CHARS).collect();
            Tried::Ended(End::Refused(Cause { status, kind: String::from_utf8_lossy(kind).into_owned() }, example))
        }
    }
}
