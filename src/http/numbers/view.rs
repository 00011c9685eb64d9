//! From numbers to what is shown.

use crate::actors::StepSummary;
use crate::domain::analytics::{Numbers, REASONS, by_status};
use crate::domain::{Channel, Metric, OrderStatus, Timestamp};
use crate::http::wire::analytics::{
    ChannelNumbers, DashboardNumbers, ErrorRates, Latency, NotificationNumbers, OrderNumbers, PaymentNumbers, Point, SalesNumbers,
    StockNumbers, Throughput,
};
use std::collections::BTreeMap;

/// An amount of minor units as a decimal with two places; sums go beyond what one order can have, and below zero.
pub(crate) fn amount(minor: i64) -> String {
    let sign = if minor < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", minor.unsigned_abs() / 100, minor.unsigned_abs() % 100)
}

/// To four places.
pub(crate) fn rounded(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

/// The dashboard's sums; what is not in the totals is left empty.
pub(crate) fn dashboard(totals: &Numbers, in_progress: Option<&[(OrderStatus, u64)]>) -> DashboardNumbers {
    DashboardNumbers {
        orders: orders(totals, in_progress),
        sales: SalesNumbers {
            count: totals.of(Metric::Sales),
            gross: amount(totals.of(Metric::SaleValue)),
            refunded_count: totals.of(Metric::SalesRefunded),
            refunded: amount(totals.of(Metric::RefundValue)),
            net: amount(totals.revenue()),
            since: None,
        },
        revenue: amount(totals.revenue()),
        order_value: amount(totals.of(Metric::OrderValue)),
        average_order_value: totals.average_order_value().map(amount),
        conversion: totals.conversion().map(rounded),
        average_confirm_ms: totals.average_confirm_ms().map(rounded),
        payments: PaymentNumbers {
            charged: totals.of(Metric::PaymentsCharged),
            failed: totals.of(Metric::PaymentsFailed),
            cancelled: totals.of(Metric::PaymentsCancelled),
            refunded: totals.of(Metric::PaymentsRefunded),
            amount_charged: amount(totals.of(Metric::AmountCharged)),
            amount_refunded: amount(totals.of(Metric::AmountRefunded)),
            success_rate: totals.payment_success().map(rounded),
        },
        notifications: notifications(totals),
        stock: StockNumbers {
            reserved: totals.of(Metric::StockReserved),
            insufficient: totals.of(Metric::StockInsufficient),
            released: totals.of(Metric::StockReleased),
            shipped: totals.of(Metric::StockShipped),
            insufficient_by_reason: reasons(totals, Metric::StockInsufficient),
        },
        ..DashboardNumbers::default()
    }
}

fn orders(totals: &Numbers, in_progress: Option<&[(OrderStatus, u64)]>) -> OrderNumbers {
    OrderNumbers {
        placed: totals.of(Metric::OrdersPlaced),
        confirmed: totals.of(Metric::OrdersConfirmed),
        shipped: totals.of(Metric::OrdersShipped),
        failed: totals.of(Metric::OrdersFailed),
        cancelled: totals.of(Metric::OrdersCancelled),
        by_status: by_status(totals, in_progress).into_iter().map(|(status, count)| (status.name().to_owned(), count)).collect(),
        by_status_exact: in_progress.is_some(),
        cancelled_by_reason: reasons(totals, Metric::OrdersCancelled),
    }
}

fn notifications(totals: &Numbers) -> NotificationNumbers {
    let channel = |channel: Channel| ChannelNumbers {
        sent: totals.part(Metric::NoticesSent, channel.number()),
        failed_tries: totals.part(Metric::NoticeTriesFailed, channel.number()),
        given_up: totals.part(Metric::NoticesGivenUp, channel.number()),
    };
    NotificationNumbers {
        sent: totals.of(Metric::NoticesSent),
        failed_tries: totals.of(Metric::NoticeTriesFailed),
        given_up: totals.of(Metric::NoticesGivenUp),
        success_rate: totals.notification_success().map(rounded),
        by_channel: Channel::ALL.into_iter().map(|of| (of.name().to_owned(), channel(of))).collect(),
    }
}

/// A metric by reason; reasons that never came are left out.
fn reasons(numbers: &Numbers, metric: Metric) -> BTreeMap<String, i64> {
    let counts = (0..).zip(REASONS).map(|(code, reason)| (reason.to_owned(), numbers.part(metric, code)));
    counts.filter(|(_, count)| *count != 0).collect()
}

/// What was counted in the time that starts at `start`.
pub(crate) fn point(start: Timestamp, numbers: &Numbers) -> Point {
    Point {
        start: start.to_string(),
        placed: numbers.of(Metric::OrdersPlaced),
        confirmed: numbers.of(Metric::OrdersConfirmed),
        shipped: numbers.of(Metric::OrdersShipped),
        failed: numbers.of(Metric::OrdersFailed),
        cancelled: numbers.of(Metric::OrdersCancelled),
        revenue: amount(numbers.revenue()),
        order_value: amount(numbers.of(Metric::OrderValue)),
        average_order_value: numbers.average_order_value().map(amount),
        conversion: numbers.conversion().map(rounded),
        payments_charged: numbers.of(Metric::PaymentsCharged),
        payments_failed: numbers.of(Metric::PaymentsFailed),
        payments_refunded: numbers.of(Metric::PaymentsRefunded),
        notices_sent: numbers.of(Metric::NoticesSent),
        notices_given_up: numbers.of(Metric::NoticesGivenUp),
        gross_sales: amount(numbers.of(Metric::SaleValue)),
        refunds: amount(numbers.of(Metric::RefundValue)),
        stock_reserved: numbers.of(Metric::StockReserved),
        stock_insufficient: numbers.of(Metric::StockInsufficient),
    }
}

/// Work per second over the last `seconds`.
pub(crate) fn throughput(numbers: &Numbers, seconds: i64) -> Throughput {
    let per_second = |count: i64| rounded(ratio(count, seconds.max(1)));
    Throughput {
        window_seconds: seconds,
        placed_per_second: per_second(numbers.of(Metric::OrdersPlaced)),
        confirmed_per_second: per_second(numbers.of(Metric::OrdersConfirmed)),
        payments_per_second: per_second(numbers.of(Metric::PaymentsCharged) + numbers.of(Metric::PaymentsFailed)),
        notices_per_second: per_second(numbers.of(Metric::NoticesSent)),
    }
}

/// The shares of failures.
pub(crate) fn error_rates(numbers: &Numbers) -> ErrorRates {
    let rate = |bad: Metric, good: Metric| {
        let (bad, good) = (numbers.of(bad), numbers.of(good));
        (bad + good > 0).then(|| rounded(ratio(bad, bad + good)))
    };
    ErrorRates {
        stock: rate(Metric::StockInsufficient, Metric::StockReserved),
        payments: rate(Metric::PaymentsFailed, Metric::PaymentsCharged),
        notifications: rate(Metric::NoticeTriesFailed, Metric::NoticesSent),
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with four places")]
fn ratio(part: i64, whole: i64) -> f64 {
    part as f64 / whole as f64
}

/// A step's times in milliseconds.
pub(crate) fn latency(summary: &StepSummary) -> Latency {
    let ms = |micros: u64| ratio(i64::try_from(micros).unwrap_or(i64::MAX), 1000);
    Latency {
        step: summary.step.name().to_owned(),
        count: summary.count,
        p50_ms: ms(summary.p50_us),
        p90_ms: ms(summary.p90_us),
        p99_ms: ms(summary.p99_us),
        max_ms: ms(summary.max_us),
    }
}

/// The columns of a report as CSV, in order.
pub(crate) const CSV_COLUMNS: [&str; 19] = [
    "start",
    "placed",
    "confirmed",
    "shipped",
    "failed",
    "cancelled",
    "revenue",
    "orderValue",
    "averageOrderValue",
    "conversion",
    "paymentsCharged",
    "paymentsFailed",
    "paymentsRefunded",
    "noticesSent",
    "noticesGivenUp",
    "grossSales",
    "refunds",
    "stockReserved",
    "stockInsufficient",
];

/// A report as CSV (RFC 4180) with a header; what has no value is empty.
///
/// # Errors
/// A row could not be written.
pub(crate) fn csv(points: &[Point]) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    writer.write_record(CSV_COLUMNS)?;
    for point in points {
        writer.write_record([
            point.start.clone(),
            point.placed.to_string(),
            point.confirmed.to_string(),
            point.shipped.to_string(),
            point.failed.to_string(),
            point.cancelled.to_string(),
            point.revenue.clone(),
            point.order_value.clone(),
            point.average_order_value.clone().unwrap_or_default(),
            point.conversion.map(|rate| rate.to_string()).unwrap_or_default(),
            point.payments_charged.to_string(),
            point.payments_failed.to_string(),
            point.payments_refunded.to_string(),
            point.notices_sent.to_string(),
            point.notices_given_up.to_string(),
            point.gross_sales.clone(),
            point.refunds.clone(),
            point.stock_reserved.to_string(),
            point.stock_insufficient.to_string(),
        ])?;
    }
    writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))
}
