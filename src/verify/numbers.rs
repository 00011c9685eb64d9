//! The analytics numbers against what is counted anew from the log, and against what the orders' records tell.

use super::log::Log;
use super::options::Options;
use super::report::{Check, Report};
use crate::db::{Snapshot, StoreError};
use crate::domain::analytics::SINCE;
use crate::domain::{Metric, Role};
use crate::verify::totals::{Totals, add};
use std::collections::BTreeMap;

/// What is stored counts each log up to its position; the rest of the log is not counted yet. Where retention has deleted
/// events, the stored numbers can be compared with the log only from below: none is less than what is left makes. The orders are
/// all there, so what they tell must always be what is stored and what the rest of the log adds.
pub(super) async fn check(
    snapshot: &mut dyn Snapshot,
    log: &mut Log,
    told: Totals,
    options: &Options,
    report: &mut Report,
) -> Result<(), StoreError> {
    let positions = snapshot.analytics_positions().await?;
    // Nobody has counted yet: there are no numbers that could be wrong.
    let is_counted = !positions.is_empty();
    for (writer, position) in positions {
        report.examine(Check::Analytics);
        let end = log.ends.get(&writer).copied().unwrap_or(0);
        if position > end {
            report.violate(Check::Analytics, || format!("writer {}: counted to {position}, its log ends at {end}", writer.0));
        }
    }
    let is_whole = options.log_since.is_none();
    let mut pending = std::mem::take(&mut log.pending);
    pending.sum_up(0);
    let (mut stored, mut since) = (pending.sums, None);
    for row in snapshot.analytics().await? {
        report.examine(Check::Analytics);
        if row.minute == SINCE {
            since = Some(row.value);
            continue;
        }
        add(&mut stored, &row);
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
    if is_counted && !options.external.contains(&Role::Order) {
        compare(stored, told, since, (&options.external, report));
    }
    Ok(())
}

/// What is stored or still in the log, against the orders.
fn compare(
    mut stored: BTreeMap<(u8, Vec<u8>), i64>,
    mut told: Totals,
    sales_since: Option<i64>,
    (external, report): (&[Role], &mut Report),
) {
    told.sum_up(0);
    let mut judge = |metric: u8, key: &[u8], counted: i64, told: i64| {
        let Some(metric) = Metric::from_code(metric) else { return };
        let is_wrong = match expected(metric, sales_since, external) {
            Expected::Nothing => return,
            Expected::SoMany => counted != told,
            Expected::AtLeast => counted < told,
        };
        report.examine(Check::Analytics);
        if is_wrong {
            report.violate(Check::Analytics, || format!("{metric:?} of {key:02x?}: {counted} is counted, the orders say {told}"));
        }
    };
    for ((metric, key), told) in told.sums {
        let counted = stored.remove(&(metric, key.clone())).unwrap_or(0);
        judge(metric, &key, counted, told);
    }
    for ((metric, key), counted) in stored {
        judge(metric, &key, counted, 0);
    }
}

/// What is counted, by what the orders tell.
enum Expected {
    /// They do not tell it.
    Nothing,
    /// What they tell, and no more.
    SoMany,
    /// What they tell, and perhaps more.
    AtLeast,
}

/// What only the order role's own events move is stored with the record; sales are not told where some were made before they were
/// counted. What other roles' events move is checked event by event against the roles' rows. Another team's role has none: its answers
/// count when the order accepts them, with the record, and what it told while it was still ours may be more.
fn expected(metric: Metric, sales_since: Option<i64>, external: &[Role]) -> Expected {
    let of_role = |role: Role| if external.contains(&role) { Expected::AtLeast } else { Expected::Nothing };
    match metric {
        Metric::OrdersPlaced
        | Metric::OrderValue
        | Metric::OrdersConfirmed
        | Metric::ConfirmMillis
        | Metric::OrdersShipped
        | Metric::OrdersFailed
        | Metric::OrdersCancelled
        | Metric::CancelsRequested => Expected::SoMany,
        Metric::Sales | Metric::SaleValue | Metric::SalesRefunded | Metric::RefundValue | Metric::UnitsSold | Metric::ProductSales => {
            if sales_since.is_none() {
                Expected::SoMany
            } else {
                Expected::Nothing
            }
        }
        Metric::StockReserved | Metric::StockInsufficient | Metric::StockReleased | Metric::StockShipped => of_role(Role::Inventory),
        Metric::PaymentsCharged | Metric::AmountCharged | Metric::PaymentsFailed | Metric::PaymentsCancelled | Metric::PaymentsRefunded => {
            of_role(Role::Payment)
        }
        // What was given back of a payment that nobody had told of is not known to the record.
        Metric::AmountRefunded | Metric::NoticesSent | Metric::NoticeTriesFailed | Metric::NoticesGivenUp | Metric::ShipmentsHeld => {
            Expected::Nothing
        }
    }
}
