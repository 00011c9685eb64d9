//! `--sample`: some orders are followed to the saga's end by their event stream, on connections of their own.

use super::connection::text_field;
use super::pace::Ticket;
use super::tally::Tally;
use super::wire::{Broken, Wire};
use crate::cli::rng::Rng;
use serde::Serialize;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// So many orders are followed at once; one that is chosen beyond them is counted as not followed.
const MAX_FOLLOWED: usize = 256;
/// A stream keeps at most so much of an event that has not ended.
const MAX_EVENT_BYTES: usize = 1024 * 1024;

/// How the followed orders fared.
#[derive(Clone, Default, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Followed {
    /// Followed until settled.
    pub(crate) settled: u64,
    /// Of those, confirmed.
    pub(crate) confirmed: u64,
    /// Chosen while too many others were followed.
    pub(crate) passed_over: u64,
    /// The stream broke or ended before the order was settled.
    pub(crate) lost: u64,
}

/// Follows a share of the orders.
pub(crate) struct Followers {
    share: f64,
    seed: u64,
    address: SocketAddr,
    /// The request but for the order's id.
    before_id: String,
    after_id: String,
    limit: Duration,
    active: AtomicUsize,
    idle: Mutex<Vec<Wire>>,
    outcome: Mutex<Outcome>,
}

struct Outcome {
    followed: Followed,
    tally: Tally,
}

/// What a stream has told of its order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Seen {
    confirmed: bool,
    settled: bool,
}

impl Followers {
    pub(crate) fn new(share: f64, seed: u64, address: SocketAddr, host: &str, key: Option<&str>, limit: Duration) -> Arc<Self> {
        let access = key.map(|key| format!("Authorization: Bearer {key}\r\n")).unwrap_or_default();
        Arc::new(Self {
            share,
            seed,
            address,
            before_id: "GET /api/v1/orders/".to_owned(),
            after_id: format!("/events HTTP/1.1\r\nHost: {host}\r\n{access}Accept: text/event-stream\r\n\r\n"),
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
        let request = format!("{}{}{}", self.before_id, String::from_utf8_lossy(id), self.after_id);
        let followers = self.clone();
        tokio::spawn(async move {
            let settled = matches!(timeout(followers.limit, followers.follow(ticket, &request)).await, Ok(Ok(true)));
            let mut outcome = lock(&followers.outcome);
            if settled {
                outcome.followed.settled += 1;
            } else {
                outcome.followed.lost += 1;
            }
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

    async fn follow(&self, ticket: Ticket, request: &str) -> Result<bool, Broken> {
        let pooled = lock(&self.idle).pop().filter(Wire::is_reusable);
        let mut wire = match pooled {
            Some(wire) => wire,
            None => Wire::new(TcpStream::connect(self.address).await?),
        };
        if wire.open(request.as_bytes()).await?.status != 200 {
            return Ok(false);
        }
        let (mut text, mut seen) = (Vec::new(), Seen::default());
        loop {
            let more = wire.read_more(&mut text).await?;
            let before = seen;
            seen.take(&mut text);
            if !more {
                // The node ends the stream when nothing is owed any more.
                seen.settled = true;
            }
            self.note(ticket, before, seen);
            if seen.settled || text.len() > MAX_EVENT_BYTES {
                break;
            }
        }
        if wire.is_reusable() {
            lock(&self.idle).push(wire);
        }
        Ok(seen.settled)
    }

    fn note(&self, ticket: Ticket, before: Seen, now: Seen) {
        let mut outcome = lock(&self.outcome);
        if now.confirmed && !before.confirmed {
            outcome.followed.confirmed += 1;
            outcome.tally.confirmed_us.record(ticket.intended.elapsed());
        }
        if now.settled && !before.settled {
            outcome.tally.settled_us.record(ticket.intended.elapsed());
        }
    }
}

impl Seen {
    /// Reads the whole lines of `text` and leaves the rest.
    fn take(&mut self, text: &mut Vec<u8>) {
        let Some(end) = text.iter().rposition(|byte| *byte == b'\n') else { return };
        for line in text.drain(..=end).collect::<Vec<_>>().split(|byte| *byte == b'\n') {
            if let Some(data) = line.strip_prefix(b"data:") {
                self.confirmed |= text_field(data, b"\"status\":") == Some(b"CONFIRMED");
                self.settled |= data.windows(14).any(|window| window == b"\"settled\":true");
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_in_pieces() {
        let mut seen = Seen::default();
        let mut text = b"event: x\ndata: {\"status\":\"PEND".to_vec();
        seen.take(&mut text);
        assert_eq!((seen, text.as_slice()), (Seen::default(), &b"data: {\"status\":\"PEND"[..]));
        text.extend_from_slice(b"ING\"}\n\ndata:{\"status\":\"CONFIRMED\",\"settled\":false}\n\n");
        seen.take(&mut text);
        assert_eq!(seen, Seen { confirmed: true, settled: false });
        text.extend_from_slice(b"data: {\"status\":\"CONFIRMED\",\"settled\":true}\n");
        seen.take(&mut text);
        assert!(seen.settled && text.is_empty());
    }
}
