//! Reading the numbers: sums, rates, reports, best sellers.

use super::tally::{Slots, slot};
use super::{AnalyticsRow, HOURS, Metric, MetricKey};
use crate::domain::{OrderStatus, ProductId, Timestamp};
use std::collections::BTreeMap;
use std::fmt;

const HOUR_US: i64 = 3_600_000_000;

/// Sums of everything but products over some time.
#[derive(Clone, PartialEq, Eq)]
pub struct Numbers(Box<Slots>);

impl Default for Numbers {
    fn default() -> Self {
        Self(Box::new([0; 256]))
    }
}

impl fmt::Debug for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(Metric::ALL.into_iter().map(|metric| (metric, self.of(metric))).filter(|(_, sum)| *sum != 0)).finish()
    }
}

impl<'a> FromIterator<&'a AnalyticsRow> for Numbers {
    fn from_iter<I: IntoIterator<Item = &'a AnalyticsRow>>(rows: I) -> Self {
        let mut numbers = Self::default();
        rows.into_iter().for_each(|row| numbers.add(row));
        numbers
    }
}

impl Numbers {
    /// Adds a row, whatever its time; products' rows and metrics of newer versions are passed over.
    pub fn add(&mut self, row: &AnalyticsRow) {
        let Some(metric) = Metric::from_code(row.metric) else { return };
        if metric.key() == MetricKey::Product {
            return;
        }
        if let Some(sum) = self.0.get_mut(slot(metric, row.key.first().copied().unwrap_or(0))) {
            *sum = sum.saturating_add(row.value);
        }
    }

    /// The sum of a metric over all its keys.
    #[must_use]
    pub fn of(&self, metric: Metric) -> i64 {
        (0..8).map(|key| self.part(metric, key)).fold(0, i64::saturating_add)
    }

    /// The sum of a metric for one key.
    #[must_use]
    pub fn part(&self, metric: Metric, key: u8) -> i64 {
        self.0.get(slot(metric, key)).copied().unwrap_or(0)
    }

    /// Charged less refunded, in minor units.
    #[must_use]
    pub fn revenue(&self) -> i64 {
        self.of(Metric::AmountCharged).saturating_sub(self.of(Metric::AmountRefunded))
    }

    /// The mean total of the placed orders in minor units, rounded half up; none without orders.
    #[must_use]
    pub fn average_order_value(&self) -> Option<i64> {
        let placed = self.of(Metric::OrdersPlaced);
        (placed > 0).then(|| self.of(Metric::OrderValue).saturating_add(placed / 2) / placed)
    }

    /// Confirmed of placed.
    #[must_use]
    pub fn conversion(&self) -> Option<f64> {
        share(self.of(Metric::OrdersConfirmed), self.of(Metric::OrdersPlaced))
    }

    /// Charged of charged and failed; payments that were never begun are neither.
    #[must_use]
    pub fn payment_success(&self) -> Option<f64> {
        let charged = self.of(Metric::PaymentsCharged);
        share(charged, charged.saturating_add(self.of(Metric::PaymentsFailed)))
    }

    /// Sent of sent and given up.
    #[must_use]
    pub fn notification_success(&self) -> Option<f64> {
        let sent = self.of(Metric::NoticesSent);
        share(sent, sent.saturating_add(self.of(Metric::NoticesGivenUp)))
    }

    /// Mean milliseconds from acceptance to confirmation.
    #[must_use]
    pub fn average_confirm_ms(&self) -> Option<f64> {
        share(self.of(Metric::ConfirmMillis), self.of(Metric::OrdersConfirmed))
    }
}

/// How many orders are in each status, from the numbers of all time and, if known, the orders in progress counted in the database.
///
/// SHIPPED, FAILED and CANCELLED are what was entered: no order leaves them. PENDING, INVENTORY_RESERVED, PAYMENT_FAILED,
/// CANCELLING and REFUNDING always owe something, so they are among the open orders, which are few: `in_progress` is their count
/// in the database. CONFIRMED is the rest. Without `in_progress` CONFIRMED is the charges that are neither refunded nor shipped
/// (each paid order has exactly one), and the five others are told as their sum under PENDING.
#[must_use]
pub fn by_status(totals: &Numbers, in_progress: Option<&[(OrderStatus, u64)]>) -> Vec<(OrderStatus, u64)> {
    let shipped = totals.of(Metric::OrdersShipped);
    let ended = shipped + totals.of(Metric::OrdersFailed) + totals.of(Metric::OrdersCancelled);
    let not_ended = totals.of(Metric::OrdersPlaced).saturating_sub(ended).max(0);
    let counted = |status| in_progress.map(|counts| counts.iter().filter(|(of, _)| *of == status).map(|(_, count)| *count).sum::<u64>());
    let held_charges = totals.of(Metric::PaymentsCharged) - totals.of(Metric::PaymentsRefunded) - shipped;
    let all_in_progress = match in_progress {
        Some(counts) => counts.iter().filter(|(status, _)| is_in_progress(*status)).map(|(_, count)| *count).sum::<u64>(),
        None => count(not_ended - held_charges.clamp(0, not_ended)),
    };
    let of = |status| match status {
        OrderStatus::Pending => counted(status).unwrap_or(all_in_progress),
        OrderStatus::InventoryReserved | OrderStatus::PaymentFailed | OrderStatus::Cancelling | OrderStatus::Refunding => {
            counted(status).unwrap_or(0)
        }
        OrderStatus::Confirmed => count(not_ended).saturating_sub(all_in_progress),
        OrderStatus::Shipped => count(shipped),
        OrderStatus::Failed => count(totals.of(Metric::OrdersFailed)),
        OrderStatus::Cancelled => count(totals.of(Metric::OrdersCancelled)),
    };
    OrderStatus::ALL.into_iter().map(|status| (status, of(status))).collect()
}

fn is_in_progress(status: OrderStatus) -> bool {
    match status {
        OrderStatus::Pending
        | OrderStatus::InventoryReserved
        | OrderStatus::PaymentFailed
        | OrderStatus::Cancelling
        | OrderStatus::Refunding => true,
        OrderStatus::Confirmed | OrderStatus::Shipped | OrderStatus::Failed | OrderStatus::Cancelled => false,
    }
}

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

#[expect(clippy::cast_precision_loss, reason = "a share is shown with a few places")]
fn share(part: i64, whole: i64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// The steps of a report.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bucket {
    /// Full hours.
    Hour,
    /// UTC days.
    Day,
    /// UTC weeks, from Monday.
    Week,
}

impl Bucket {
    /// All.
    pub const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Week];

    /// The name in queries.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
        }
    }

    /// The bucket of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|bucket| bucket.name() == name)
    }

    /// How many hours it has.
    #[must_use]
    pub fn hours(self) -> i64 {
        match self {
            Self::Hour => 1,
            Self::Day => 24,
            Self::Week => 7 * 24,
        }
    }

    /// The first hour of the bucket that `hour` (since 1970) is in.
    #[must_use]
    pub fn start_of(self, hour: i64) -> i64 {
        // 1970-01-01 was a Thursday: the Monday of its week lies three days before.
        let shift = if self == Self::Week { 3 * 24 } else { 0 };
        (hour + shift).div_euclid(self.hours()) * self.hours() - shift
    }
}

/// One line of a report.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Period {
    /// When it begins.
    pub start: Timestamp,
    /// What was counted in it.
    pub numbers: Numbers,
}

/// The hours (since 1970) that a report from `from` to `to` (exclusive) covers: whole ones, the first and last included.
#[must_use]
pub fn hours_of(from: Timestamp, to: Timestamp) -> (i64, i64) {
    (from.0.div_euclid(HOUR_US), (to.0.saturating_add(HOUR_US - 1)).div_euclid(HOUR_US))
}

/// The hours from `from` to `to` (exclusive) in buckets, those in which nothing happened too. `rows` are rows of hours; others are
/// passed over. The first and last bucket hold only what lies in the range.
#[must_use]
pub fn report(rows: &[AnalyticsRow], from: i64, to: i64, bucket: Bucket) -> Vec<Period> {
    let mut periods = BTreeMap::new();
    let mut start = bucket.start_of(from);
    while start < to {
        periods.insert(start, Numbers::default());
        start += bucket.hours();
    }
    for row in rows {
        let hour = row.minute.saturating_sub(HOURS);
        if (from..to).contains(&hour)
            && let Some(numbers) = periods.get_mut(&bucket.start_of(hour))
        {
            numbers.add(row);
        }
    }
    periods.into_iter().map(|(hour, numbers)| Period { start: Timestamp(hour.saturating_mul(HOUR_US)), numbers }).collect()
}

/// What was ordered of a product.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProductSales {
    /// Which.
    pub product: ProductId,
    /// How many.
    pub units: i64,
    /// For how much, in minor units.
    pub value: i64,
}

/// The products of `rows` that were ordered for the most, at most `limit`.
#[must_use]
pub fn top_products(rows: &[AnalyticsRow], limit: usize) -> Vec<ProductSales> {
    let mut sales: BTreeMap<&[u8], (i64, i64)> = BTreeMap::new();
    for row in rows {
        let (units, value) = match Metric::from_code(row.metric) {
            Some(Metric::UnitsOrdered) => (row.value, 0),
            Some(Metric::ProductValue) => (0, row.value),
            Some(_) | None => continue,
        };
        let sum = sales.entry(row.key.as_slice()).or_default();
        *sum = (sum.0.saturating_add(units), sum.1.saturating_add(value));
    }
    let mut products: Vec<ProductSales> = sales
        .into_iter()
        .filter_map(|(key, (units, value))| Some(ProductSales { product: ProductId(uuid::Uuid::from_slice(key).ok()?), units, value }))
        .collect();
    products.sort_by_key(|sale| (std::cmp::Reverse((sale.value, sale.units)), sale.product));
    products.truncate(limit);
    products
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::analytics::TOTAL;

    fn row(minute: i64, metric: Metric, key: &[u8], value: i64) -> AnalyticsRow {
        AnalyticsRow { minute, metric: metric.code(), key: key.to_vec(), value }
    }

    fn hour(text: &str) -> i64 {
        Timestamp::parse(text).unwrap().0 / HOUR_US
    }

    fn check(from: &str, to: &str, bucket: Bucket, placed_at: &[&str], want: &[(&str, i64)]) {
        let rows: Vec<_> = placed_at.iter().map(|at| row(HOURS + hour(at), Metric::OrdersPlaced, &[], 1)).collect();
        let (from, to) = hours_of(Timestamp::parse(from).unwrap(), Timestamp::parse(to).unwrap());
        let got: Vec<_> = report(&rows, from, to, bucket)
            .into_iter()
            .map(|period| (period.start.to_string()[..13].to_owned(), period.numbers.of(Metric::OrdersPlaced)))
            .collect();
        let want: Vec<_> = want.iter().map(|(start, count)| ((*start).to_owned(), *count)).collect();
        assert_eq!(got, want);
    }

    #[test]
    fn hours_include_the_first_and_last_and_the_empty_ones() {
        let placed = ["2024-02-29T22:59:59Z", "2024-02-29T23:00:00Z", "2024-03-01T01:30:00Z", "2024-03-01T02:00:00Z"];
        let want = [("2024-02-29T23", 1), ("2024-03-01T00", 0), ("2024-03-01T01", 1)];
        check("2024-02-29T23:10:00Z", "2024-03-01T01:00:01Z", Bucket::Hour, &placed, &want);
    }

    #[test]
    fn days_are_utc_days() {
        let placed = ["2024-03-30T23:59:59Z", "2024-03-31T00:00:00Z", "2024-03-31T23:00:00Z", "2024-04-01T00:00:00Z"];
        let want = [("2024-03-30T00", 1), ("2024-03-31T00", 2)];
        check("2024-03-30T00:00:00Z", "2024-04-01T00:00:00Z", Bucket::Day, &placed, &want);
    }

    #[test]
    fn weeks_begin_on_monday() {
        let placed = ["2025-12-28T23:00:00Z", "2025-12-29T00:00:00Z", "2026-01-04T23:59:00Z", "2026-01-05T00:00:00Z"];
        let want = [("2025-12-22T00", 1), ("2025-12-29T00", 2), ("2026-01-05T00", 1)];
        check("2025-12-28T00:00:00Z", "2026-01-06T00:00:00Z", Bucket::Week, &placed, &want);
    }

    #[test]
    fn rates_have_no_value_without_a_base() {
        let none = Numbers::default();
        assert_eq!((none.average_order_value(), none.conversion(), none.payment_success()), (None, None, None));
        let rows = [
            row(TOTAL, Metric::OrdersPlaced, &[], 4),
            row(TOTAL, Metric::OrderValue, &[], 1002),
            row(TOTAL, Metric::OrdersConfirmed, &[], 3),
            row(TOTAL, Metric::PaymentsCharged, &[], 3),
            row(TOTAL, Metric::PaymentsFailed, &[], 1),
            row(TOTAL, Metric::NoticesSent, &[0], 2),
            row(TOTAL, Metric::NoticesSent, &[1], 1),
            row(TOTAL, Metric::NoticesGivenUp, &[1], 1),
            row(TOTAL, Metric::AmountCharged, &[], 900),
            row(TOTAL, Metric::AmountRefunded, &[], 300),
        ];
        let numbers: Numbers = rows.iter().collect();
        assert_eq!(numbers.average_order_value(), Some(251));
        assert_eq!(numbers.conversion(), Some(0.75));
        assert_eq!(numbers.payment_success(), Some(0.75));
        assert_eq!(numbers.notification_success(), Some(0.75));
        assert_eq!(numbers.revenue(), 600);
    }

    #[test]
    fn the_statuses_sum_up_to_the_placed_orders() {
        let rows = [
            row(TOTAL, Metric::OrdersPlaced, &[], 20),
            row(TOTAL, Metric::OrdersShipped, &[], 3),
            row(TOTAL, Metric::OrdersFailed, &[], 2),
            row(TOTAL, Metric::OrdersCancelled, &[1], 1),
            row(TOTAL, Metric::OrdersCancelled, &[4], 3),
            row(TOTAL, Metric::PaymentsCharged, &[], 10),
            row(TOTAL, Metric::PaymentsRefunded, &[], 2),
        ];
        let totals: Numbers = rows.iter().collect();
        let counted =
            [(OrderStatus::Pending, 1), (OrderStatus::InventoryReserved, 2), (OrderStatus::Refunding, 1), (OrderStatus::Confirmed, 9)];
        let numbers = |in_progress| by_status(&totals, in_progress).into_iter().map(|(_, count)| count).collect::<Vec<_>>();
        assert_eq!(numbers(Some(&counted)), [1, 2, 7, 3, 0, 2, 0, 1, 4]);
        assert_eq!(numbers(None), [6, 0, 5, 3, 0, 2, 0, 0, 4]);
    }

    #[test]
    fn the_best_sellers_come_first() {
        let key = |n: u128| uuid::Uuid::from_u128(n).as_bytes().to_vec();
        let rows: Vec<_> = [(1, 5, 500), (2, 1, 900), (3, 9, 900)]
            .into_iter()
            .flat_map(|(id, units, value)| [row(-2, Metric::UnitsOrdered, &key(id), units), row(-2, Metric::ProductValue, &key(id), value)])
            .collect();
        let top: Vec<_> = top_products(&rows, 2).into_iter().map(|sale| (sale.product.0.as_u128(), sale.units, sale.value)).collect();
        assert_eq!(top, [(3, 9, 900), (2, 1, 900)]);
    }
}
