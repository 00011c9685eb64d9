//! Traces: finished spans, encoded where they end and sent by a thread of their own.
//!
//! A span is told whole, with its start and its end, when it has ended: none is held open, so nothing is lost with whoever would hold it,
//! and an order's trace may span minutes, nodes and restarts. Nobody waits: what finds no room is dropped and counted.
//! This room knows no orders; which spans there are is the business of those who tell them.

pub mod messaging;
pub mod names;
mod otlp;
mod sender;
mod span;

use crate::config::TelemetrySettings;
pub use sender::SenderError;
use sender::{Counts, Sender};
pub use span::{Link, Span, SpanKind, Value};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The bits of a trace's id that are random, the last seven bytes, as W3C trace context has it.
const RANDOM_BITS: u32 = 56;

/// What became of the spans so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SpanCounts {
    /// Those that the receiver has taken.
    pub sent: u64,
    /// Those that found no room.
    pub no_room: u64,
    /// Those that the receiver did not take in time.
    pub not_taken: u64,
    /// Those that the receiver refused.
    pub refused: u64,
    /// Those that wait, a batch on its way included.
    pub waiting: u64,
}

/// Where spans are told. Cheap to clone; turned off, it does nothing.
#[derive(Clone, Debug, Default)]
pub struct Tracer(Option<Arc<On>>);

#[derive(Debug)]
struct On {
    sender: Sender,
    /// Traces whose random bits are below it are sampled.
    below: u64,
    slow_us: Option<i64>,
    /// What the database is called in attributes.
    database: &'static str,
}

impl Tracer {
    /// Starts the thread that sends; turned off if the settings name no receiver. `node` is this node's name, `database` that of its kind
    /// of database.
    ///
    /// # Errors
    /// See [`SenderError`].
    pub fn start(settings: &TelemetrySettings, node: &str, database: &'static str) -> Result<Self, SenderError> {
        if settings.otlp_endpoint.is_empty() {
            return Ok(Self::default());
        }
        let sender = Sender::start(settings, node)?;
        let slow = (settings.trace_slow_ms > 0).then_some(settings.trace_slow_ms);
        let slow_us = slow.map(|ms| i64::try_from(ms.saturating_mul(1000)).unwrap_or(i64::MAX));
        Ok(Self(Some(Arc::new(On { sender, below: below(settings.trace_ratio), slow_us, database }))))
    }

    /// Whether spans are told at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Whether a trace is of the share that is sampled. Every node decides the same of the same trace.
    #[must_use]
    pub fn samples(&self, trace: &[u8; 16]) -> bool {
        self.0.as_ref().is_some_and(|on| random_bits(trace) < on.below)
    }

    /// The time from which an order is slow, in microseconds; none: no order is.
    #[must_use]
    pub fn slow_us(&self) -> Option<i64> {
        self.0.as_ref()?.slow_us
    }

    /// What the database is called.
    #[must_use]
    pub fn database(&self) -> &'static str {
        self.0.as_ref().map_or("", |on| on.database)
    }

    /// Tells a finished span.
    pub fn tell(&self, span: &Span<'_>) {
        if let Some(on) = &self.0 {
            on.sender.put(otlp::span(span));
        }
    }

    /// What became of the spans so far.
    #[must_use]
    pub fn counts(&self) -> SpanCounts {
        self.0.as_ref().map_or_else(SpanCounts::default, |on| {
            let Counts { told, sent, no_room, not_taken, refused } = on.sender.counts();
            let [sent, no_room, not_taken, refused] = [sent, no_room, not_taken, refused].map(|count| count.load(Ordering::SeqCst));
            let waiting = told.load(Ordering::SeqCst).saturating_sub(sent + not_taken + refused);
            SpanCounts { sent, no_room, not_taken, refused, waiting }
        })
    }

    /// Writes the counts into the metrics.
    pub fn publish(&self) {
        if self.is_on() {
            let counts = self.counts();
            metrics::counter!("ordermill_trace_spans_sent_total").absolute(counts.sent);
            for (reason, count) in [("no-room", counts.no_room), ("not-taken", counts.not_taken), ("refused", counts.refused)] {
                metrics::counter!("ordermill_trace_spans_dropped_total", "reason" => reason).absolute(count);
            }
        }
    }

    /// Sends what waits, one try each, at most for `limit`.
    pub async fn flush(&self, limit: Duration) {
        if let Some(on) = &self.0 {
            // What is not sent by then is lost with the process.
            drop(tokio::time::timeout(limit, on.sender.flush()).await);
        }
    }
}

/// A new id for a span that cannot be derived.
#[must_use]
pub fn new_span() -> [u8; 8] {
    uuid::Uuid::new_v4().as_u64_pair().1.to_be_bytes()
}

/// A new id for a trace of its own.
#[must_use]
pub fn new_trace() -> [u8; 16] {
    uuid::Uuid::new_v4().into_bytes()
}

/// The time of a span that begins or ends now, in microseconds since 1970.
#[must_use]
pub fn now_us() -> i64 {
    chrono::Utc::now().timestamp_micros()
}

fn random_bits(trace: &[u8; 16]) -> u64 {
    let low = u128::from_be_bytes(*trace) & ((1 << RANDOM_BITS) - 1);
    u64::try_from(low).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of 2^56, which is exact")]
fn below(ratio: f64) -> u64 {
    (ratio.clamp(0.0, 1.0) * 2f64.powi(56)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_traces_is_sampled() {
        let traces: Vec<[u8; 16]> = (0..10_000).map(|_| new_trace()).collect();
        let share = |ratio| traces.iter().filter(|trace| random_bits(trace) < below(ratio)).count();
        assert_eq!((share(0.0), share(1.0)), (0, traces.len()));
        assert!((800..1200).contains(&share(0.1)), "{}", share(0.1));
        // Who is sampled by a smaller share is sampled by a larger one.
        assert!(traces.iter().all(|trace| random_bits(trace) >= below(0.1) || random_bits(trace) < below(0.2)));
    }

    #[test]
    fn turned_off_it_does_nothing() {
        let tracer = Tracer::start(&TelemetrySettings::default(), "node", "sqlite").unwrap();
        assert!(!tracer.is_on() && !tracer.samples(&[0; 16]));
        let span = Span {
            trace: [1; 16],
            id: [2; 8],
            parent: None,
            name: "nothing",
            kind: SpanKind::Internal,
            began_us: 1,
            ended_us: 2,
            attributes: &[],
            links: &[],
            links_left_out: 0,
            error: None,
        };
        tracer.tell(&span);
        assert_eq!(tracer.counts(), SpanCounts::default());
    }
}
