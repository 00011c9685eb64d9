//! The analytics numbers against what is counted anew from the log.

use super::log::Log;
use super::{Check, Options, Report};
use crate::db::{Snapshot, StoreError};

/// What is stored counts each log up to its position; the rest of the log is not counted yet. Where retention has deleted
/// events, the stored numbers can only be compared from below: none is less than what is left makes.
pub(super) async fn check(snapshot: &mut dyn Snapshot, log: &mut Log, options: &Options, report: &mut Report) -> Result<(), StoreError> {
    for (writer, position) in snapshot.analytics_positions().await? {
        report.examine(Check::Analytics);
        let end = log.ends.get(&writer).copied().unwrap_or(0);
        if position > end {
            report.violate(Check::Analytics, || format!("writer {}: counted to {position}, its log ends at {end}", writer.0));
        }
    }
    let is_whole = options.log_since.is_none();
    for row in snapshot.analytics().await? {
        report.examine(Check::Analytics);
        let (minute, metric, value) = (row.minute, row.metric, row.value);
        let counted = log.numbers.remove(&(minute, metric, row.key.clone())).unwrap_or(0);
        if (is_whole && value != counted) || value < counted {
            let key = &row.key;
            report.violate(Check::Analytics, || {
                format!("metric {metric} of {key:02x?} at {minute}: {value} is stored, {counted} is counted")
            });
        }
    }
    for ((minute, metric, key), counted) in std::mem::take(&mut log.numbers) {
        if counted != 0 {
            report.violate(Check::Analytics, || {
                format!("metric {metric} of {key:02x?} at {minute}: nothing is stored, {counted} is counted")
            });
        }
    }
    Ok(())
}
