//! How long the steps of orders take, from the order's acceptance.

use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The longest time that is told apart: an hour, in microseconds.
const LONGEST_US: u64 = 3_600_000_000;

/// Times by step (`accepted`, `confirmed`, `settled`); cheap to clone, usable from any thread.
#[derive(Clone, Default)]
pub struct StepTimes {
    steps: Arc<Mutex<BTreeMap<&'static str, Histogram<u64>>>>,
}

impl StepTimes {
    /// Records that an order reached `step` after `micros` microseconds.
    pub fn record(&self, step: &'static str, micros: i64) {
        let micros = u64::try_from(micros).unwrap_or(0).clamp(1, LONGEST_US);
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(histogram) = steps.get_mut(step) {
            histogram.saturating_record(micros);
        } else if let Ok(mut histogram) = Histogram::new_with_bounds(1, LONGEST_US, 2) {
            histogram.saturating_record(micros);
            steps.insert(step, histogram);
        }
    }

    /// Per step: how many, and the time in microseconds below which each of `quantiles` of them are.
    #[must_use]
    pub fn read(&self, quantiles: &[f64]) -> Vec<(&'static str, u64, Vec<u64>)> {
        let steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        steps
            .iter()
            .map(|(step, histogram)| {
                let values = quantiles.iter().map(|quantile| histogram.value_at_quantile(*quantile)).collect();
                (*step, histogram.len(), values)
            })
            .collect()
    }
}
