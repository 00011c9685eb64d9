//! What a run tells a person: a progress line while it goes on, a summary at its end.

use super::follow::Followed;
use super::tally::{Counts, Percentiles, Refusal};
use serde::Serialize;
use std::io::{IsTerminal, Write as _};
use std::time::Duration;

/// The result of a run; its fields are the `--json` summary.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// `closed` or `open`.
    pub(crate) r#loop: &'static str,
    pub(crate) connections: usize,
    pub(crate) rate: Option<f64>,
    pub(crate) seed: u64,
    /// From the first order's due time to the last answer.
    pub(crate) seconds: f64,
    pub(crate) counts: Counts,
    /// Of these, what no node may do, whatever happens to it: all but 503 with Retry-After, 504 with an order id and lost connections.
    pub(crate) unexpected: u64,
    pub(crate) accepted_per_second: f64,
    /// From the first order's due time until no order was open but those that wait for a person; absent when that was not seen.
    pub(crate) settled_seconds: Option<f64>,
    pub(crate) settled_per_second: Option<f64>,
    /// Orders still open at the end of the wait.
    pub(crate) open_at_end: Option<u64>,
    /// Of these, those that wait for a person, where nothing else was open.
    pub(crate) parked_at_end: Option<u64>,
    /// From an order's due time (closed loop: its sending) to the 202.
    pub(crate) accepted_ms: Option<Percentiles>,
    /// To CONFIRMED and to settled, of the sample.
    pub(crate) confirmed_ms: Option<Percentiles>,
    pub(crate) settled_ms: Option<Percentiles>,
    pub(crate) sample: Option<Followed>,
    pub(crate) refusals: Vec<Refusal>,
    /// CPU that this program used for an accepted order.
    pub(crate) generator_cpu_us_per_order: Option<f64>,
    pub(crate) notes: Vec<String>,
    pub(crate) failure: Option<String>,
}

impl Report {
    /// The summary for a person.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        let counts = &self.counts;
        let mut line = |text: String| {
            out.push_str(&text);
            out.push('\n');
        };
        let rate = self.rate.map(|rate| format!(" at {rate}/s")).unwrap_or_default();
        line(format!("{} loop{rate}, {} connections, seed {}", self.r#loop, self.connections, self.seed));
        line(format!("accepted   {:>10} in {:.2} s   {:>9.0} orders/s", grouped(counts.accepted), self.seconds, self.accepted_per_second));
        match (self.settled_per_second, self.settled_seconds, self.open_at_end) {
            (Some(rate), Some(seconds), open) => {
                let settled = counts.accepted.saturating_sub(open.unwrap_or(0));
                line(format!("settled    {:>10} in {seconds:.2} s   {rate:>9.0} orders/s", grouped(settled)));
                if let Some(parked) = open.filter(|open| *open > 0) {
                    line(format!("parked     {:>10}: they wait for a person (ordermill dlq list)", grouped(parked)));
                }
            }
            (_, _, Some(open)) => line(format!("settled    not all: {} orders are still open", grouped(open))),
            _ => line("settled    not known".to_owned()),
        }
        let latencies = [("202", self.accepted_ms), ("CONFIRMED", self.confirmed_ms), ("settled", self.settled_ms)];
        if latencies.iter().any(|(_, shown)| shown.is_some()) {
            line(format!("{:<10} {:>10} {:>10} {:>10} {:>10} {:>10}  ms", "latency to", "p50", "p90", "p99", "p99.9", "max"));
        }
        for (name, shown) in latencies {
            if let Some(Percentiles { p50, p90, p99, p99_9, max, count }) = shown {
                line(format!("{name:<10} {p50:>10.2} {p90:>10.2} {p99:>10.2} {p99_9:>10.2} {max:>10.2}  of {}", grouped(count)));
            }
        }
        for (name, count) in self.troubles() {
            line(format!("{:>10}  {name}", grouped(count)));
        }
        for refusal in &self.refusals {
            line(format!("{:>10}  answered {} {}: {}", grouped(refusal.count), refusal.cause.status, refusal.cause.kind, refusal.example));
        }
        if let Some(micros) = self.generator_cpu_us_per_order {
            line(format!("generator  {micros:.1} µs of CPU per accepted order"));
        }
        for note in &self.notes {
            line(format!("note: {note}"));
        }
        if let Some(failure) = &self.failure {
            line(format!("failed: {failure}"));
        }
        out
    }

    fn troubles(&self) -> Vec<(&'static str, u64)> {
        let Counts {
            accepted: _,
            refused,
            unknown,
            not_sent,
            busy,
            unresolved,
            unnamed,
            in_progress,
            resets,
            timeouts,
            malformed,
            no_connection,
            closed_idle,
            without_id,
            sent_again,
            replayed,
        } = self.counts;
        let mut all = vec![
            ("orders refused (by answer below)", refused),
            ("orders of unknown outcome: sent, not answered for certain", unknown),
            ("orders not sent before the end of the run", not_sent),
            ("times 503 with Retry-After (waited for, sent again)", busy),
            ("times 504 with the order's id (the node did not know yet)", unresolved),
            ("times 504 without an order id", unnamed),
            ("times 409 for a request sent again while its first was in progress", in_progress),
            ("connections broken between request and answer", resets),
            ("requests without an answer in time", timeouts),
            ("answers that were no HTTP", malformed),
            ("connections that could not be made", no_connection),
            ("connections at rest closed by the node", closed_idle),
            ("answers 202 without an order id", without_id),
            ("requests sent again under their idempotency key", sent_again),
            ("answers that repeated an earlier one under the same key", replayed),
        ];
        if let Some(sample) = &self.sample {
            all.push(("sampled orders passed over: too many were followed", sample.passed_over));
            all.push(("sampled orders whose stream ended early", sample.lost));
        }
        all.retain(|(_, count)| *count > 0);
        all
    }
}

/// Thousands grouped by commas.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The progress of a run on standard error: one line rewritten on a terminal, else a line now and then.
pub(crate) struct Progress {
    terminal: bool,
    silent: bool,
    lines: u32,
}

/// One moment of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) elapsed: Duration,
    /// From 0 to 1, when the end is known.
    pub(crate) share: Option<f64>,
    pub(crate) accepted: u64,
    /// Accepted a second since the moment before.
    pub(crate) now_per_second: f64,
    pub(crate) errors: u64,
    pub(crate) busy: u64,
    pub(crate) latency: Option<Percentiles>,
}

/// Without a terminal one line is written for so many moments.
const MOMENTS_A_LINE: u32 = 20;
const BAR: usize = 24;

impl Progress {
    pub(crate) fn new(silent: bool) -> Self {
        Self { terminal: std::io::stderr().is_terminal(), silent, lines: 0 }
    }

    pub(crate) fn show(&mut self, moment: &Moment) {
        self.lines += 1;
        if self.silent {
            return;
        }
        // A closed standard error is no reason to end a run.
        if self.terminal {
            drop(write!(std::io::stderr(), "\r\x1b[2K{}", line_of(moment)));
        } else if self.lines.is_multiple_of(MOMENTS_A_LINE) {
            drop(writeln!(std::io::stderr(), "{}", line_of(moment)));
        }
    }

    /// A line of its own, kept.
    pub(crate) fn say(&self, text: &str) {
        if !self.silent {
            let clear = if self.terminal { "\r\x1b[2K" } else { "" };
            drop(writeln!(std::io::stderr(), "{clear}{text}"));
        }
    }

    /// Leaves the rewritten line.
    pub(crate) fn end(&self) {
        if self.terminal && !self.silent && self.lines > 0 {
            drop(writeln!(std::io::stderr()));
        }
    }
}

fn line_of(moment: &Moment) -> String {
    let mut out = String::new();
    if let Some(share) = moment.share {
        let full = ((share.clamp(0.0, 1.0) * BAR as f64) as usize).min(BAR);
        out = format!("[{}{}] {:>3.0}%  ", "#".repeat(full), "-".repeat(BAR - full), share.clamp(0.0, 1.0) * 100.0);
    }
    let latency = moment.latency.map(|latency| format!("  p50 {:.1} p99 {:.1} ms", latency.p50, latency.p99)).unwrap_or_default();
    let errors = if moment.errors > 0 { format!("  errors {}", grouped(moment.errors)) } else { String::new() };
    let busy = if moment.busy > 0 { format!("  503 {}", grouped(moment.busy)) } else { String::new() };
    out + &format!(
        "{:>5.1} s  {} accepted  {:.0}/s{latency}{busy}{errors}",
        moment.elapsed.as_secs_f64(),
        grouped(moment.accepted),
        moment.now_per_second
    )
}
