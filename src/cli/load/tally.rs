//! What a run counts. Nothing is folded away: every order ends in exactly one of `accepted`, `refused`, `unknown` or `not_sent`,
//! and every try that came to nothing is counted besides.

use hdrhistogram::Histogram;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// The longest latency that is distinguished, in microseconds.
const MAX_LATENCY_US: u64 = 3_600_000_000;

/// How one order ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// 202.
    Accepted,
    /// A final answer other than 202.
    Refused(Cause, String),
    /// The request was sent and its outcome is not known: a reset, a timeout, a 504. The order may exist.
    Unknown,
    /// The run ended before the order could be sent.
    NotSent,
}

/// What a refusal is grouped by.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub(crate) struct Cause {
    pub(crate) status: u16,
    /// The problem's type, as the node names it.
    pub(crate) kind: String,
}

/// A try that came to nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Trouble {
    /// 503 with Retry-After: waited for and sent again.
    Busy,
    /// 504 with the order's id: stored or not, the node does not know yet.
    Unresolved,
    /// 504 that does not say which order.
    Unnamed,
    /// 409 to a request sent again: the first one is still in progress.
    InProgress,
    /// The connection broke between request and answer.
    Reset,
    /// No answer within the limit.
    Timeout,
    /// What came was no HTTP answer.
    Malformed,
    /// No connection could be made.
    NoConnection,
    /// A connection at rest was closed by the node; nothing was under way.
    ClosedIdle,
    /// A 202 without an order id.
    WithoutId,
}

/// The counts of one run.
#[derive(Clone, Default, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Counts {
    /// Answered with 202 and, with `--record`, synced to the file.
    pub(crate) accepted: u64,
    /// Final answers other than 202.
    pub(crate) refused: u64,
    /// Sent, outcome not known.
    pub(crate) unknown: u64,
    /// Not sent because the run ended.
    pub(crate) not_sent: u64,
    /// 503 with Retry-After, waited for and sent again.
    pub(crate) busy: u64,
    /// 504 answers that name the order.
    pub(crate) unresolved: u64,
    /// 504 answers that do not.
    pub(crate) unnamed: u64,
    /// 409 answers to requests sent again.
    pub(crate) in_progress: u64,
    /// Connections that broke between request and answer.
    pub(crate) resets: u64,
    /// Requests without an answer in time.
    pub(crate) timeouts: u64,
    /// Answers that were no HTTP.
    pub(crate) malformed: u64,
    /// Connections that could not be made.
    pub(crate) no_connection: u64,
    /// Connections at rest that the node closed.
    pub(crate) closed_idle: u64,
    /// 202 answers without an order id.
    pub(crate) without_id: u64,
    /// Requests sent again under their idempotency key.
    pub(crate) sent_again: u64,
    /// Of the accepted, those whose answer repeated an earlier one under the same key.
    pub(crate) replayed: u64,
}

/// All refusals of one cause.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Refusal {
    #[serde(flatten)]
    pub(crate) cause: Cause,
    pub(crate) count: u64,
    /// The first such answer.
    pub(crate) example: String,
}

/// Counts and latencies of a run while it goes on.
pub(crate) struct Tally {
    pub(crate) counts: Counts,
    pub(crate) accepted_us: Latency,
    pub(crate) confirmed_us: Latency,
    pub(crate) settled_us: Latency,
    refusals: BTreeMap<Cause, (u64, String)>,
}

/// Latencies in microseconds to three digits.
pub(crate) struct Latency(Option<Histogram<u64>>);

/// The percentiles of a latency, in milliseconds.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Percentiles {
    pub(crate) count: u64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    #[serde(rename = "p99.9")]
    pub(crate) p99_9: f64,
    pub(crate) max: f64,
}

impl Latency {
    fn new() -> Self {
        // The bounds are constants that the histogram takes; without one nothing is shown.
        Self(Histogram::new_with_bounds(1, MAX_LATENCY_US, 3).ok())
    }

    pub(crate) fn record(&mut self, latency: Duration) {
        if let Some(histogram) = &mut self.0 {
            histogram.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(MAX_LATENCY_US).max(1));
        }
    }

    pub(crate) fn percentiles(&self) -> Option<Percentiles> {
        let histogram = self.0.as_ref().filter(|histogram| !histogram.is_empty())?;
        let at = |quantile: f64| to_ms(histogram.value_at_quantile(quantile));
        Some(Percentiles {
            count: histogram.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            max: to_ms(histogram.max()),
        })
    }
}

fn to_ms(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64() * 1000.0
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            counts: Counts::default(),
            accepted_us: Latency::new(),
            confirmed_us: Latency::new(),
            settled_us: Latency::new(),
            refusals: BTreeMap::new(),
        }
    }

    pub(crate) fn trouble(&mut self, trouble: Trouble) {
        let counts = &mut self.counts;
        let count = match trouble {
            Trouble::Busy => &mut counts.busy,
            Trouble::Unresolved => &mut counts.unresolved,
            Trouble::Unnamed => &mut counts.unnamed,
            Trouble::InProgress => &mut counts.in_progress,
            Trouble::Reset => &mut counts.resets,
            Trouble::Timeout => &mut counts.timeouts,
            Trouble::Malformed => &mut counts.malformed,
            Trouble::NoConnection => &mut counts.no_connection,
            Trouble::ClosedIdle => &mut counts.closed_idle,
            Trouble::WithoutId => &mut counts.without_id,
        };
        *count += 1;
    }

    /// Counts how an order ended.
    pub(crate) fn end(&mut self, end: End) {
        match end {
            End::Accepted => self.counts.accepted += 1,
            End::Unknown => self.counts.unknown += 1,
            End::NotSent => self.counts.not_sent += 1,
            End::Refused(cause, example) => {
                self.counts.refused += 1;
                self.refusals.entry(cause).or_insert((0, example)).0 += 1;
            }
        }
    }

    pub(crate) fn refusals(&self) -> Vec<Refusal> {
        self.refusals
            .iter()
            .map(|(cause, (count, example))| Refusal { cause: cause.clone(), count: *count, example: example.clone() })
            .collect()
    }
}

impl Counts {
    /// Orders that have ended, one way or another.
    pub(crate) fn ended(&self) -> u64 {
        self.accepted + self.refused + self.unknown + self.not_sent
    }

    /// What no node may do, whatever happens to it or to another one: all but 503 with Retry-After, 504 with the order's id and
    /// connections that break or cannot be made.
    pub(crate) fn unexpected(&self) -> u64 {
        self.refused + self.timeouts + self.malformed + self.without_id + self.unnamed
    }

    /// Tries that came to nothing, 503 with Retry-After and connections closed at rest aside.
    pub(crate) fn errors(&self) -> u64 {
        self.refused + self.unknown + self.resets + self.timeouts + self.malformed + self.no_connection + self.without_id
    }
}
