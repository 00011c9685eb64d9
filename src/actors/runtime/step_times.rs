//! How long the steps of the orders take, on this node, lately.

use hdrhistogram::Histogram;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A timed step.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Step {
    /// From the order's arrival until it is stored.
    Answer,
    /// From the order's acceptance to the stock's answer.
    Reserve,
    /// From the stock's answer to the payment's.
    Pay,
    /// From the order's acceptance until it is confirmed.
    Confirm,
    /// From a notice's task until it is sent or given up.
    Notify,
    /// One transaction of the journal.
    Commit,
}

impl Step {
    /// All, in the order of [`StepTimes`]' places.
    pub const ALL: [Self; 6] = [Self::Answer, Self::Reserve, Self::Pay, Self::Confirm, Self::Notify, Self::Commit];

    /// The name in reports and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Reserve => "reserve",
            Self::Pay => "pay",
            Self::Confirm => "confirm",
            Self::Notify => "notify",
            Self::Commit => "commit",
        }
    }
}

/// What was measured of one step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StepSummary {
    /// Which step.
    pub step: Step,
    /// How many were measured.
    pub count: u64,
    /// Median, in microseconds.
    pub p50_us: u64,
    /// 90th percentile, in microseconds.
    pub p90_us: u64,
    /// 99th percentile, in microseconds.
    pub p99_us: u64,
    /// The longest.
    pub max_us: u64,
}

/// The longest time that is distinguished: an hour, the default payment deadline.
const MOST_US: u64 = 3_600_000_000;

/// How long measurements count: they are forgotten one to two of these after they were made, if somebody looks.
const WINDOW: Duration = Duration::from_secs(60);

/// Histograms of the steps' times (to 1 %). Recording costs an uncontended lock, some 30 ns; it never waits for a reader longer
/// than that takes to count one histogram through.
#[derive(Debug)]
pub struct StepTimes {
    steps: [Mutex<Window>; Step::ALL.len()],
}

#[derive(Debug)]
struct Window {
    since: Instant,
    current: Option<Histogram<u64>>,
    previous: Option<(Instant, Histogram<u64>)>,
}

impl Default for StepTimes {
    fn default() -> Self {
        let now = Instant::now();
        Self { steps: std::array::from_fn(|_| Mutex::new(Window { since: now, current: None, previous: None })) }
    }
}

impl StepTimes {
    /// Records the duration of `step`, in microseconds.
    pub fn record(&self, step: Step, micros: u64) {
        let Some(window) = self.steps.get(step as usize) else { return };
        let mut window = window.lock().unwrap_or_else(PoisonError::into_inner);
        if window.current.is_none() {
            window.current = histogram();
        }
        if let Some(histogram) = &mut window.current {
            histogram.saturating_record(micros);
        }
    }

    /// The steps that were measured lately, and since when.
    #[must_use]
    pub fn summary(&self) -> (Duration, Vec<StepSummary>) {
        let now = Instant::now();
        let mut longest = Duration::ZERO;
        let mut summaries = Vec::with_capacity(Step::ALL.len());
        for (step, window) in Step::ALL.into_iter().zip(&self.steps) {
            let mut window = window.lock().unwrap_or_else(PoisonError::into_inner);
            window.turn(now);
            let since = window.previous.as_ref().map_or(window.since, |(since, _)| *since);
            longest = longest.max(now - since);
            let Some(mut times) = window.current.clone().or_else(histogram) else { continue };
            if let Some((_, previous)) = &window.previous {
                // Both have the same bounds, so nothing can be out of range.
                let _ = times.add(previous);
            }
            drop(window);
            if !times.is_empty() {
                summaries.push(summarize(step, &times));
            }
        }
        (longest, summaries)
    }
}

impl Window {
    fn turn(&mut self, now: Instant) {
        if now - self.since >= WINDOW {
            self.previous = self.current.take().map(|histogram| (self.since, histogram));
            self.since = now;
        }
    }
}

fn histogram() -> Option<Histogram<u64>> {
    Histogram::new_with_bounds(1, MOST_US, 2).ok()
}

fn summarize(step: Step, times: &Histogram<u64>) -> StepSummary {
    let at = |quantile| times.value_at_quantile(quantile);
    StepSummary { step, count: times.len(), p50_us: at(0.5), p90_us: at(0.9), p99_us: at(0.99), max_us: times.max() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_its_place() {
        for (place, step) in Step::ALL.into_iter().enumerate() {
            assert_eq!(step as usize, place);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn old_times_are_forgotten() {
        let times = StepTimes::default();
        for micros in 1..=100 {
            times.record(Step::Pay, micros * 1000);
        }
        times.record(Step::Commit, 2 * MOST_US);
        let (_, summaries) = times.summary();
        let close = |got: u64, want: u64| got.abs_diff(want) * 100 <= want;
        assert_eq!(
            summaries.iter().map(|summary| (summary.step, summary.count)).collect::<Vec<_>>(),
            [(Step::Pay, 100), (Step::Commit, 1)]
        );
        assert!(close(summaries[0].p50_us, 50_000) && close(summaries[0].p99_us, 99_000), "{summaries:?}");
        assert!(close(summaries[1].max_us, MOST_US), "{summaries:?}");
        tokio::time::advance(WINDOW).await;
        times.record(Step::Pay, 7);
        assert_eq!(times.summary().1.len(), 2);
        tokio::time::advance(WINDOW).await;
        assert!(times.summary().1.is_empty());
        times.record(Step::Pay, 7);
        assert_eq!(times.summary().1.len(), 1);
    }
}
