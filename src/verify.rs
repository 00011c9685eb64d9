//! Whether a database keeps the invariants: money, stock, orders, notices, the event log and the analytics numbers, checked over
//! one consistent snapshot, in pages, while the node works on.
//!
//! Promises that a database in which nothing is broken shows no violation at any moment, so of an order that is still open only
//! such things are asked as hold between any two transactions:
//!
//! | what | of open orders |
//! | --- | --- |
//! | record: status and debt follow from the facts | strict: they are stored together |
//! | facts against the roles' rows: what the order has heard is so | strict: a row is stored before the order hears of it |
//! | rows against facts: what a role did, the order knows | lenient: the answer may be on its way |
//! | events against states | strict: they are stored together |
//! | parked orders against open dead letters | strict, but lenient with those of another node: they may be on their way |
//! | sums of stock | strict: they are stored with the rows |
//! | nothing held, charged or told in vain | lenient: the undo may be on its way |
//!
//! It reads nothing but the [`Snapshot`] and, where it is given them, the payment provider's books, holds 50 bytes an order in memory, and changes nothing.

mod log;
mod numbers;
mod options;
mod orders;
mod parked;
mod provider;
mod report;
mod stock;
#[cfg(test)]
mod tests;
mod totals;

pub use options::{Expect, Options};
pub use report::{Check, CheckReport, Report};

use crate::db::{Snapshot, StoreError};
use crate::domain::{OrderId, Role, Timestamp};
use chrono::{DateTime, Utc};
use std::collections::HashSet;

/// Since when every event must be there: retention has deleted those of orders that are older than it. None: no order is.
///
/// # Errors
/// The database could not be read.
pub async fn log_since(snapshot: &mut dyn Snapshot, now: DateTime<Utc>, kept_ms: u64) -> Result<Option<Timestamp>, StoreError> {
    let kept_us = i64::try_from(kept_ms).unwrap_or(i64::MAX).saturating_mul(1000);
    let since = Timestamp(now.timestamp_micros().saturating_sub(kept_us));
    let oldest = snapshot.orders(None, 1).await?.first().map(|oldest| oldest.stored.order.created_at);
    Ok(oldest.filter(|oldest| *oldest < since).map(|_| since))
}

/// Checks everything.
///
/// # Errors
/// The database could not be read.
pub async fn verify(snapshot: &mut dyn Snapshot, options: &Options) -> Result<Report, StoreError> {
    let mut report = Report::new(options);
    let mut log = log::Log::default();
    log::read(snapshot, options, &mut log, &mut report).await?;
    let mut stock = stock::Sums::default();
    let mut books = options.provider.as_deref().map(provider::Books::of);
    let mut recorded = options.recorded.clone().unwrap_or_default();
    let mut told = totals::Totals::default();
    let mut after = None;
    loop {
        let page = snapshot.orders(after, options.page).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.stored.order.id);
        for audit in &page {
            let order = &audit.stored.order;
            let is_recorded = recorded.remove(&order.id);
            orders::check(audit, options, is_recorded, &mut report);
            if !options.external.contains(&Role::Order) {
                report.examine(Check::Parked);
                if let Some(what) = parked::broken(audit, options.expect, log.tells_of_parking(order, options)) {
                    report.violate(Check::Parked, || format!("order {}: {what}", order.id));
                }
            }
            stock.add(audit);
            if let Some(books) = &mut books {
                books.check(audit, options, &mut report);
            }
            log.check(audit, options, &mut report);
            told.tell(order, &audit.stored.record);
            report.examine(Check::Orphans);
        }
    }
    let mut lost: Vec<OrderId> = recorded.into_iter().collect();
    lost.sort_unstable();
    for id in lost {
        report.examine(Check::RecordedExist);
        report.violate(Check::RecordedExist, || format!("order {id} was answered with 202 and does not exist"));
    }
    if let Some(books) = books {
        books.check_rest(options, &mut report);
    }
    log.check_rest(&mut report);
    stock.check(snapshot, options, &mut report).await?;
    for row in snapshot.orphans(u32::try_from(options.shown.max(1)).unwrap_or(u32::MAX)).await? {
        report.violate(Check::Orphans, || format!("{row}: there is no such order"));
    }
    numbers::check(snapshot, &mut log, told, options, &mut report).await?;
    Ok(report)
}

/// Before the id of an order of which it is not known whether it was accepted.
const MAYBE: &str = "maybe ";

/// The order ids of a record file, one a line; those of orders that may exist or not (answered with 504, `maybe ID`) are left out. A
/// last line that the crash of its writer cut short is passed over: it was not counted as answered.
///
/// # Errors
/// The number of a line that is no order id.
pub fn read_record(text: &str) -> Result<HashSet<OrderId>, usize> {
    let mut ids = HashSet::new();
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    let (lines, cut) = text.split_at_checked(whole).unwrap_or((text, ""));
    for (at, line) in lines.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let line = line.trim();
        let (id, is_sure) = line.strip_prefix(MAYBE).map_or((line, true), |id| (id, false));
        let id = id.parse().map_err(|_| at + 1)?;
        if is_sure {
            ids.insert(id);
        }
    }
    ids.extend(cut.trim().parse::<OrderId>());
    Ok(ids)
}
