//! `--sample`: some orders are followed to the saga's end on connections of their own. The event stream tells when an order is
//! CONFIRMED; it goes on after that (the goods may leave weeks later), so that nothing is owed any more is asked for beside it, by
//! a status request that waits. Any node answers; when one is lost, another is asked.

use super::pace::Ticket;
use super::tally::Tally;
use super::wire::{Broken, Template, Wire, next};
use crate::cli::load::node::Node;
use crate::cli::load::scan::text_field;
use crate::cli::rng::Rng;
use hyper::Method;
use serde::Serialize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::timeout;

/// So many orders are followed at once; one that is chosen beyond them is counted as not followed.
const MAX_FOLLOWED: usize = 128;
/// A stream keeps at most so much of an event that has not ended.
const MAX_EVENT_BYTES: usize = 1024 * 1024;
/// Between two nodes that are asked about the same order.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// How the followed orders fared.
#[derive(Clone, Default, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Followed {
    /// Followed until confirmed.
    pub(crate) confirmed: u64,
    /// Followed until settled, confirmed or not.
    pub(crate) settled: u64,
    /// Chosen while too many others were followed.
    pub(crate) passed_over: u64,
    /// A connection broke before the order was settled, or the time was up.
    pub(crate) lost: u64,
}

/// Follows a share of the orders.
pub(crate) struct Followers {
    share: f64,
    seed: u64,
    nodes: Vec<Node>,
    key: Option<String>,
    /// Whose turn it is.
    turn: AtomicUsize,
    limit: Duration,
    active: AtomicUsize,
    idle: Mutex<Vec<Connection>>,
    outcome: Mutex<Outcome>,
}

/// A connection to one of the nodes.
struct Connection {
    wire: Wire,
    host: String,
}

struct Outcome {
    followed: Followed,
    tally: Tally,
}

impl Followers {
    pub(crate) fn new(share: f64, seed: u64, nodes: &[Node], key: Option<&str>, limit: Duration) -> Arc<Self> {
        Arc::new(Self {
            share,
            seed,
            nodes: nodes.to_vec(),
            key: key.map(str::to_owned),
            turn: AtomicUsize::new(0),
            limit,
            active: AtomicUsize::new(0),
            idle: Mutex::default(),
            outcome: Mutex::new(Outcome { followed: Followed::default(), tally: Tally::new() }),
        })
    }

    /// Follows this order if it is one of the chosen.
    pub(crate) fn consider(self: &Arc<Self>, ticket: Ticket, id: &[u8]) {
        if !Rng::of(self.seed ^ 0x5a, ticket.number).chance(self.share) {
            return;
        }
        if self.active.fetch_add(1, Ordering::Relaxed) >= MAX_FOLLOWED {
            self.active.fetch_sub(1, Ordering::Relaxed);
            lock(&self.outcome).followed.passed_over += 1;
            return;
        }
        let (followers, id) = (self.clone(), String::from_utf8_lossy(id).into_owned());
        tokio::spawn(async move {
            let seen = AtomicBool::new(false);
            let confirmed = followers.retry_until_ok(|| followers.confirmed(ticket, &id, &seen));
            let settled = followers.retry_until_ok(|| followers.settled(ticket, &id, &seen));
            let follow = async { tokio::join!(confirmed, settled) };
            let (confirmed, settled) = timeout(followers.limit, follow).await.unwrap_or((Ok(false), Ok(false)));
            let mut outcome = lock(&followers.outcome);
            outcome.followed.confirmed += u64::from(matches!(confirmed, Ok(true)));
            let is_settled = matches!(settled, Ok(true));
            outcome.followed.settled += u64::from(is_settled);
            outcome.followed.lost += u64::from(confirmed.is_err() || !is_settled);
            followers.active.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// Orders that are being followed now.
    pub(crate) fn active(&self) -> usize {
        self.active.load(Ordering::Relaxed)
    }

    /// The result, with the latencies to CONFIRMED and to settled.
    pub(crate) fn result<T>(&self, read: impl FnOnce(&Followed, &Tally) -> T) -> T {
        let outcome = lock(&self.outcome);
        read(&outcome.followed, &outcome.tally)
    }

    /// Asks again, at another node, where a connection breaks. One node that is lost is the run's own trouble.
    async fn retry_until_ok<F: Future<Output = Result<bool, Broken>>>(&self, ask: impl Fn() -> F) -> Result<bool, Broken> {
        loop {
            match ask().await {
                Err(error) if self.nodes.len() > 1 && !error.is_malformed() => tokio::time::sleep(ASK_AGAIN).await,
                told => return told,
            }
        }
    }

    /// Reads the order's events up to CONFIRMED; false when it ends otherwise.
    async fn confirmed(&self, ticket: Ticket, id: &str, seen: &AtomicBool) -> Result<bool, Broken> {
        let Connection { mut wire, host } = self.connect().await?;
        let (head, mut events) = wire.open(self.asks(&format!("/api/v1/orders/{id}/events"), &host)?.request()).await?;
        match head.status.as_u16() {
            200 => {}
            // Nobody's at the moment.
            503 => return Err(Broken::Closed),
            _ => return Err(Broken::Unexpected("no event stream")),
        }
        let mut text = Vec::new();
        loop {
            let piece = next(&mut events).await?;
            let more = piece.is_some();
            text.extend_from_slice(&piece.unwrap_or_default());
            match take_outcome(&mut text) {
                Some(true) => {
                    self.note_confirmed(ticket, seen);
                    return Ok(true);
                }
                Some(false) => return Ok(false),
                // With several nodes a stream ends also because its node stops.
                None if !more && self.nodes.len() > 1 => return Err(Broken::Closed),
                None if !more => return Ok(false),
                None if text.len() > MAX_EVENT_BYTES => return Err(Broken::Unexpected("an event without end")),
                None => {}
            }
        }
    }

    /// Asks until the order is settled.
    async fn settled(&self, ticket: Ticket, id: &str, seen: &AtomicBool) -> Result<bool, Broken> {
        let Connection { mut wire, host } = self.connect().await?;
        let asks = self.asks(&format!("/api/v1/orders/{id}/status?wait=30s"), &host)?;
        loop {
            match wire.exchange(asks.request()).await?.status.as_u16() {
                200 => {}
                503 => return Err(Broken::Closed),
                _ => return Ok(false),
            }
            if wire.body().windows(SETTLED.len()).any(|window| window == SETTLED) {
                if text_field(wire.body(), b"\"status\":") == Some(b"CONFIRMED") {
                    self.note_confirmed(ticket, seen);
                }
                lock(&self.outcome).tally.settled_us.record(ticket.intended.elapsed());
                lock(&self.idle).push(Connection { wire, host });
                return Ok(true);
            }
        }
    }

    /// Whichever of the two connections hears of it first.
    fn note_confirmed(&self, ticket: Ticket, seen: &AtomicBool) {
        if !seen.swap(true, Ordering::Relaxed) {
            lock(&self.outcome).tally.confirmed_us.record(ticket.intended.elapsed());
        }
    }

    async fn connect(&self) -> Result<Connection, Broken> {
        while let Some(mut pooled) = self.idle() {
            if pooled.wire.is_reusable().await {
                return Ok(pooled);
            }
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.nodes.len().max(1);
        let node = self.nodes.get(turn).ok_or(Broken::Closed)?;
        Ok(Connection { wire: Wire::connect(node.address).await?, host: node.host.clone() })
    }

    fn idle(&self) -> Option<Connection> {
        lock(&self.idle).pop()
    }

    fn asks(&self, path: &str, host: &str) -> Result<Template, Broken> {
        Template::new(Method::GET, path, host, self.key.as_deref()).map_err(|_| Broken::Unexpected("an id that no path can hold"))
    }
}

const SETTLED: &[u8] = b"\"settled\":true";

/// Takes the whole lines out of `text` (its events have one line of data each, so that no parser need hold them whole); whether they tell that the order is confirmed, or that it has ended otherwise.
fn take_outcome(text: &mut Vec<u8>) -> Option<bool> {
    let end = text.iter().rposition(|byte| *byte == b'\n')?;
    let lines: Vec<u8> = text.drain(..=end).collect();
    lines.split(|byte| *byte == b'\n').find_map(|line| match text_field(line.strip_prefix(b"data:")?, b"\"status\":")? {
        b"CONFIRMED" => Some(true),
        b"FAILED" | b"CANCELLED" => Some(false),
        _ => None,
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_in_pieces() {
        let mut text = b"event: x\ndata: {\"status\":\"PEND".to_vec();
        assert_eq!(take_outcome(&mut text), None);
        assert_eq!(text, b"data: {\"status\":\"PEND");
        text.extend_from_slice(b"ING\"}\n\ndata:{\"status\":\"CONFIRMED\"}\n\ndata:");
        assert_eq!(take_outcome(&mut text), Some(true));
        assert_eq!(text, b"data:");
        text.extend_from_slice(b"{\"status\":\"FAILED\"}\n");
        assert_eq!(take_outcome(&mut text), Some(false));
    }
}
