//! Reading the figures: sums, rates, reports, best sellers.

use super::tally::{Slots, slot};
use super::{AnalyticsRow, HOURS, Metric, MetricKey};
use crate::domain::{OrderStatus, ProductId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

const MINUTE_US: i64 = 60_000_000;

/// The sums over a period, of everything but products.
#[derive(Clone, PartialEq, Eq)]
pub struct Numbers(Box<Slots>);

impl Default for Numbers {
    fn default() -> Self {
        Self(Box::new([0; 512]))
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
    /// Adds a row, whatever its period. Skips product rows and metrics of newer versions.
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
        (0..16).map(|key| self.part(metric, key)).fold(0, i64::saturating_add)
    }

    /// The sum of a metric for one key.
    #[must_use]
    pub fn part(&self, metric: Metric, key: u8) -> i64 {
        self.0.get(slot(metric, key)).copied().unwrap_or(0)
    }

    /// Net sales: total of the sales minus total of the refunded ones, in minor units.
    #[must_use]
    pub fn revenue(&self) -> i64 {
        self.of(Metric::SaleValue).saturating_sub(self.of(Metric::RefundValue))
    }

    /// The mean total of the sales, including those refunded later, in minor units, rounded half up; `None` without sales.
    #[must_use]
    pub fn average_order_value(&self) -> Option<i64> {
        let sales = self.of(Metric::Sales);
        (sales > 0).then(|| self.of(Metric::SaleValue).saturating_add(sales / 2) / sales)
    }

    /// Confirmed orders as a share of placed ones.
    #[must_use]
    pub fn conversion(&self) -> Option<f64> {
        share(self.of(Metric::OrdersConfirmed), self.of(Metric::OrdersPlaced))
    }

    /// Charged payments as a share of charged and failed ones; payments that were never started are neither.
    #[must_use]
    pub fn payment_success(&self) -> Option<f64> {
        let charged = self.of(Metric::PaymentsCharged);
        share(charged, charged.saturating_add(self.of(Metric::PaymentsFailed)))
    }

    /// Notices sent, as a share of sent and given up.
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

/// The number of orders in each status, from the all-time figures and, if known, the orders in progress as counted in the database.
///
/// SHIPPED, FAILED and CANCELLED are the orders that entered these statuses, because no order leaves them. Orders in PENDING,
/// INVENTORY_RESERVED, PAYMENT_FAILED, CANCELLING and REFUNDING always owe something, so they are among the open orders, which are few:
/// `in_progress` is their count in the database. CONFIRMED is the rest. Without `in_progress`, CONFIRMED is what was confirmed and neither
/// cancelled nor shipped, and the other five are reported as one sum under PENDING.
#[must_use]
pub fn by_status(totals: &Numbers, in_progress: Option<&[(OrderStatus, u64)]>) -> Vec<(OrderStatus, u64)> {
    let shipped = totals.of(Metric::OrdersShipped);
    let ended = shipped + totals.of(Metric::OrdersFailed) + totals.of(Metric::OrdersCancelled);
    let not_ended = totals.of(Metric::OrdersPlaced).saturating_sub(ended).max(0);
    let counted = |status| in_progress.map(|counts| counts.iter().filter(|(of, _)| *of == status).map(|(_, count)| *count).sum::<u64>());
    let confirmed = totals.of(Metric::OrdersConfirmed) - totals.of(Metric::SalesRefunded) - shipped;
    let all_in_progress = match in_progress {
        Some(counts) => counts.iter().filter(|(status, _)| is_in_progress(*status)).map(|(_, count)| *count).sum::<u64>(),
        None => count(not_ended - confirmed.clamp(0, not_ended)),
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

/// The length of a report's rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bucket {
    /// Full hours, UTC.
    Hour,
    /// Days.
    Day,
    /// Weeks, from Monday.
    Week,
}

impl Bucket {
    /// All values.
    pub const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Week];

    /// Its name in queries.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
        }
    }

    /// The bucket with that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|bucket| bucket.name() == name)
    }

    /// Its length in minutes.
    #[must_use]
    pub fn minutes(self) -> i64 {
        match self {
            Self::Hour => 60,
            Self::Day => 24 * 60,
            Self::Week => 7 * 24 * 60,
        }
    }

    /// The first minute of the bucket that contains `minute` (since 1970), if days start `offset` minutes before those of UTC.
    #[must_use]
    pub fn start_of(self, minute: i64, offset: i64) -> i64 {
        let shift = match self {
            Self::Hour => 0,
            Self::Day => offset,
            // 1970-01-01 was a Thursday: the Monday of its week lies three days before.
            Self::Week => offset + 3 * 24 * 60,
        };
        (minute + shift).div_euclid(self.minutes()) * self.minutes() - shift
    }
}

/// The period of a report, and the length of its rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// The first minute, since 1970.
    pub from: i64,
    /// The end, exclusive.
    pub to: i64,
    /// The length of its rows.
    pub bucket: Bucket,
    /// How many minutes before UTC's days and weeks start: the offset of their time zone.
    pub offset: i64,
}

/// One row of a report.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Period {
    /// When it starts.
    pub start: Timestamp,
    /// Its figures.
    pub numbers: Numbers,
}

impl Span {
    /// The hours (since 1970) that it covers, in part or whole.
    #[must_use]
    pub fn hours(&self) -> std::ops::Range<i64> {
        self.from.div_euclid(60)..(self.to + 59).div_euclid(60)
    }

    /// The hours that are not entirely in the span and in a single bucket, whose minutes must be read. For days or weeks there are at most
    /// two more of them than buckets.
    #[must_use]
    pub fn cut_hours(&self) -> BTreeSet<i64> {
        let mut cuts: Vec<i64> = vec![self.from, self.to];
        if self.bucket != Bucket::Hour {
            cuts.extend(self.starts().filter(|start| (self.from..self.to).contains(start)));
        }
        cuts.retain(|minute| minute % 60 != 0);
        cuts.into_iter().map(|minute| minute.div_euclid(60)).collect()
    }

    fn starts(&self) -> impl Iterator<Item = i64> {
        let first = self.bucket.start_of(self.from, self.offset);
        let to = self.to;
        (0..).map(move |nth| first + nth * self.bucket.minutes()).take_while(move |start| *start < to)
    }
}

/// The buckets of `span`, including empty ones. `rows` are rows of its hours, and of the minutes of its [`Span::cut_hours`]; others are
/// skipped. The first and last bucket hold only what lies in the span.
#[must_use]
pub fn report(rows: &[AnalyticsRow], span: &Span) -> Vec<Period> {
    let mut periods: BTreeMap<i64, Numbers> = span.starts().map(|start| (start, Numbers::default())).collect();
    let cut = span.cut_hours();
    for row in rows {
        let minute = if row.minute >= 0 {
            if cut.contains(&row.minute.div_euclid(60)) { row.minute } else { continue }
        } else {
            let hour = row.minute.saturating_sub(HOURS);
            if cut.contains(&hour) { continue } else { hour.saturating_mul(60) }
        };
        if (span.from..span.to).contains(&minute)
            && let Some(numbers) = periods.get_mut(&span.bucket.start_of(minute, span.offset))
        {
            numbers.add(row);
        }
    }
    periods.into_iter().map(|(minute, numbers)| Period { start: Timestamp(minute.saturating_mul(MINUTE_US)), numbers }).collect()
}

/// A product's sales minus its refunds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProductSales {
    /// The product.
    pub product: ProductId,
    /// The quantity.
    pub units: i64,
    /// Their value in minor units.
    pub value: i64,
}

/// The products in `rows` with the highest sales, at most `limit` of them.
#[must_use]
pub fn top_products(rows: &[AnalyticsRow], limit: usize) -> Vec<ProductSales> {
    let mut sales: BTreeMap<&[u8], (i64, i64)> = BTreeMap::new();
    for row in rows {
        let (units, value) = match Metric::from_code(row.metric) {
            Some(Metric::UnitsSold) => (row.value, 0),
            Some(Metric::ProductSales) => (0, row.value),
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
    use crate::domain::analytics::{TOTAL, minute_of};

    fn row(minute: i64, metric: Metric, key: &[u8], value: i64) -> AnalyticsRow {
        AnalyticsRow { minute, metric: metric.code(), key: key.to_vec(), value }
    }

    fn minute(text: &str) -> i64 {
        minute_of(Timestamp::parse(text).unwrap())
    }

    /// Rows of all hours and all minutes, as they are stored; which of them count is the report's business.
    fn check(from: &str, to: &str, offset: i64, bucket: Bucket, placed_at: &[&str], want: &[(&str, i64)]) {
        let minutes = placed_at.iter().map(|at| minute(at));
        let rows = minutes.flat_map(|minute| [minute, HOURS + minute / 60].map(|time| row(time, Metric::OrdersPlaced, &[], 1)));
        let rows: Vec<_> = rows.collect();
        let span = Span { from: minute(from), to: minute(to), bucket, offset };
        let got: Vec<_> = report(&rows, &span)
            .into_iter()
            .map(|period| (period.start.to_string()[..16].to_owned(), period.numbers.of(Metric::OrdersPlaced)))
            .collect();
        let want: Vec<_> = want.iter().map(|(start, count)| ((*start).to_owned(), *count)).collect();
        assert_eq!(got, want);
    }

    #[test]
    fn hours_include_the_empty_ones_and_of_the_first_and_last_what_lies_in_the_range() {
        let placed = [
            "2024-02-29T22:59:59Z",
            "2024-02-29T23:09:59Z",
            "2024-02-29T23:10:00Z",
            "2024-03-01T01:00:30Z",
            "2024-03-01T01:01:00Z",
            "2024-03-01T01:30:00Z",
        ];
        let want = [("2024-02-29T23:00", 1), ("2024-03-01T00:00", 0), ("2024-03-01T01:00", 1)];
        check("2024-02-29T23:10:00Z", "2024-03-01T01:01:00Z", 0, Bucket::Hour, &placed, &want);
    }

    #[test]
    fn days_are_utc_days() {
        let placed = ["2024-03-30T23:59:59Z", "2024-03-31T00:00:00Z", "2024-03-31T23:00:00Z", "2024-04-01T00:00:00Z"];
        let want = [("2024-03-30T00:00", 1), ("2024-03-31T00:00", 2)];
        check("2024-03-30T00:00:00Z", "2024-04-01T00:00:00Z", 0, Bucket::Day, &placed, &want);
    }

    #[test]
    fn days_of_an_offset_of_half_an_hour_are_whole_and_do_not_overlap() {
        let placed = [
            "2024-03-30T18:29:59Z",
            "2024-03-30T18:30:00Z",
            "2024-03-30T23:00:00Z",
            "2024-03-31T18:29:59Z",
            "2024-03-31T18:30:00Z",
            "2024-04-01T18:29:59Z",
            "2024-04-01T18:30:00Z",
        ];
        let (first, second, end) = ("2024-03-31T00:00:00+05:30", "2024-04-01T00:00:00+05:30", "2024-04-02T00:00:00+05:30");
        let days = [("2024-03-30T18:30", 3), ("2024-03-31T18:30", 2)];
        check(first, end, 330, Bucket::Day, &placed, &days);
        check(first, second, 330, Bucket::Day, &placed, &days[..1]);
        check(second, end, 330, Bucket::Day, &placed, &days[1..]);
    }

    #[test]
    fn weeks_begin_on_monday() {
        let placed = ["2025-12-28T23:00:00Z", "2025-12-29T00:00:00Z", "2026-01-04T23:59:00Z", "2026-01-05T00:00:00Z"];
        let want = [("2025-12-22T00:00", 1), ("2025-12-29T00:00", 2), ("2026-01-05T00:00", 1)];
        check("2025-12-28T00:00:00Z", "2026-01-06T00:00:00Z", 0, Bucket::Week, &placed, &want);
        let want = [("2025-12-21T23:00", 0), ("2025-12-28T23:00", 2), ("2026-01-04T23:00", 2)];
        check("2025-12-28T00:00:00+01:00", "2026-01-06T00:00:00+01:00", 60, Bucket::Week, &placed, &want);
    }

    #[test]
    fn rates_have_no_value_without_a_base() {
        let none = Numbers::default();
        assert_eq!((none.average_order_value(), none.conversion(), none.payment_success()), (None, None, None));
        let rows = [
            row(TOTAL, Metric::OrdersPlaced, &[], 4),
            row(TOTAL, Metric::OrderValue, &[], 9_999_999_999),
            row(TOTAL, Metric::Sales, &[], 2),
            row(TOTAL, Metric::SaleValue, &[], 501),
            row(TOTAL, Metric::SalesRefunded, &[], 1),
            row(TOTAL, Metric::RefundValue, &[], 200),
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
        assert_eq!(numbers.revenue(), 301);
    }

    #[test]
    fn the_statuses_sum_up_to_the_placed_orders() {
        let rows = [
            row(TOTAL, Metric::OrdersPlaced, &[], 20),
            row(TOTAL, Metric::OrdersShipped, &[], 3),
            row(TOTAL, Metric::OrdersFailed, &[], 2),
            row(TOTAL, Metric::OrdersCancelled, &[1], 1),
            row(TOTAL, Metric::OrdersCancelled, &[4], 3),
            row(TOTAL, Metric::OrdersConfirmed, &[], 10),
            row(TOTAL, Metric::SalesRefunded, &[], 2),
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
            .flat_map(|(id, units, value)| [row(-2, Metric::UnitsSold, &key(id), units), row(-2, Metric::ProductSales, &key(id), value)])
            .collect();
        let top: Vec<_> = top_products(&rows, 2).into_iter().map(|sale| (sale.product.0.as_u128(), sale.units, sale.value)).collect();
        assert_eq!(top, [(3, 9, 900), (2, 1, 900)]);
    }
}
