//! The business figures: which event changes which figure, how they are stored, and how they are read.
//!
//! Every figure is a sum of increments, each of which follows from a single event of the log. So the figures are the same whoever counts,
//! and in whatever sequence. The rows share one axis, distinguished by [`AnalyticsRow::minute`]:
//!
//! | `minute` | contents |
//! | --- | --- |
//! | 0 and above | the minute since 1970 of [`Event::at`](super::Event::at); everything but products |
//! | [`HOURS`] + hour since 1970 | the same, by the hour: reports read these |
//! | [`DAYS`] + day since 1970 | products, by the day: by the minute there would be as many rows as order lines |
//! | [`TOTAL`] | all-time sums of everything but products |
//! | [`PRODUCT_TOTAL`] | all-time sums of products |
//! | [`SINCE`] | since when a metric is counted, if that is not all time |
//!
//! **A sale** is a confirmed order: it is paid and its stock was not refused. Its total counts in full (gross) in the minute of
//! `OrderConfirmed`. A confirmed order that is cancelled later is a refunded sale; its total counts as refunded in the minute of
//! `OrderCancelled`. Net is gross minus refunded. Orders that are pending, declined, cancelled before payment, or without sufficient stock
//! are placed orders, not sales. All of this follows from the order role's own events, so it is the same whoever runs the other roles.
//!
//! The current status of an order is not counted, because it depends on facts that no single event contains (a payment that fails after a
//! cancel request changes nothing). What is counted is each status that an order *enters*: placed, confirmed, shipped, failed, cancelled,
//! each announced by exactly one event of the order role. [`by_status`] computes the current numbers from them.

mod report;
mod tally;

pub use report::{Bucket, Numbers, Period, ProductSales, Span, by_status, report, top_products};
pub use tally::Tally;

use super::{CancelledBy, OrderId, Shortage, Timestamp};
use serde::{Deserialize, Serialize};

/// One stored figure: `value` of `metric` for `key` in the period that `minute` names.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct AnalyticsRow {
    /// Minutes since 1970, or one of the other times of the [module's](self) table.
    pub minute: i64,
    /// What is counted: a [`Metric::code`].
    pub metric: u8,
    /// What it is about: empty, one code, or a product id's bytes; see [`Metric::key`].
    pub key: Vec<u8>,
    /// The sum or count.
    pub value: i64,
}

/// The `minute` of the all-time sums.
pub const TOTAL: i64 = -1;
/// The `minute` of the products' all-time sums.
pub const PRODUCT_TOTAL: i64 = -2;
/// The `minute` of rows whose value is not a sum but the time since which their metric is counted, in microseconds since 1970. A database
/// that was created by an older version and whose log no longer held all events has such a row for [`Metric::Sales`], which applies to all
/// sales metrics.
pub const SINCE: i64 = -3;
/// `minute` = this + the hour since 1970: the sums of an hour.
pub const HOURS: i64 = -1_000_000_000;
/// `minute` = this + the day since 1970: the products' sums of a day.
pub const DAYS: i64 = -2_000_000_000;

/// What is counted. The codes are stored and never change; none is above 31. 23 and 24 were units and value of a product in all orders,
/// sold or not, and are not reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Metric {
    /// Orders accepted: `OrderCreated`.
    OrdersPlaced = 1,
    /// Their totals in minor units.
    OrderValue = 2,
    /// Orders paid: `OrderConfirmed`.
    OrdersConfirmed = 3,
    /// Milliseconds from the acceptance of an order (the time in its id) to `OrderConfirmed`, summed.
    ConfirmMillis = 4,
    /// Orders sent: `OrderShipped`.
    OrdersShipped = 5,
    /// Orders that failed because they were not paid: `OrderFailed`.
    OrdersFailed = 6,
    /// Orders cancelled, by reason: `OrderCancelled`.
    OrdersCancelled = 7,
    /// Requests to undo an order, by who asked: `OrderCancelRequested`.
    CancelsRequested = 8,
    /// Orders whose stock was held: `InventoryReserved`.
    StockReserved = 9,
    /// Orders without sufficient stock, by the first line's reason: `InventoryInsufficient`.
    StockInsufficient = 10,
    /// Orders whose stock was released, or whose reservation was forbidden: `InventoryReleased`.
    StockReleased = 11,
    /// Orders whose stock was shipped: `InventoryShipped`.
    StockShipped = 12,
    /// Charges that succeeded: `PaymentProcessed`.
    PaymentsCharged = 13,
    /// Their amounts in minor units.
    AmountCharged = 14,
    /// Charges that failed for good: `PaymentFailed`.
    PaymentsFailed = 15,
    /// Payments cancelled before a charge: `PaymentCancelled`.
    PaymentsCancelled = 16,
    /// Charges refunded: `PaymentRefunded`.
    PaymentsRefunded = 17,
    /// Their amounts in minor units.
    AmountRefunded = 18,
    /// Notices sent, by channel: `NotificationSent`.
    NoticesSent = 19,
    /// Failed tries to send a notice, including the last ones, by channel: `NotificationFailed`.
    NoticeTriesFailed = 20,
    /// Notices given up, by channel: `NotificationFailed` with `last`.
    NoticesGivenUp = 21,
    /// Shipments held because they left before payment: `ShipmentHeld`.
    ShipmentsHeld = 22,
    /// Sales: `OrderConfirmed`.
    Sales = 25,
    /// Their totals in minor units.
    SaleValue = 26,
    /// Sales refunded: `OrderCancelled` of a confirmed order.
    SalesRefunded = 27,
    /// Their totals in minor units.
    RefundValue = 28,
    /// Units of a product in the lines of sales, minus those of refunded sales.
    UnitsSold = 29,
    /// Price times quantity of the same lines, in minor units, minus those of refunded sales.
    ProductSales = 30,
}

/// What the key in a metric's rows holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MetricKey {
    /// Nothing: the key is empty.
    Nothing,
    /// One byte, the index in [`REASONS`].
    Reason,
    /// One byte, [`Channel::number`](super::Channel::number).
    Channel,
    /// The product id's 16 bytes.
    Product,
}

impl Metric {
    /// All values.
    pub const ALL: [Self; 28] = [
        Self::OrdersPlaced,
        Self::OrderValue,
        Self::OrdersConfirmed,
        Self::ConfirmMillis,
        Self::OrdersShipped,
        Self::OrdersFailed,
        Self::OrdersCancelled,
        Self::CancelsRequested,
        Self::StockReserved,
        Self::StockInsufficient,
        Self::StockReleased,
        Self::StockShipped,
        Self::PaymentsCharged,
        Self::AmountCharged,
        Self::PaymentsFailed,
        Self::PaymentsCancelled,
        Self::PaymentsRefunded,
        Self::AmountRefunded,
        Self::NoticesSent,
        Self::NoticeTriesFailed,
        Self::NoticesGivenUp,
        Self::ShipmentsHeld,
        Self::Sales,
        Self::SaleValue,
        Self::SalesRefunded,
        Self::RefundValue,
        Self::UnitsSold,
        Self::ProductSales,
    ];

    /// The stored number.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The metric with that number.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.code() == code)
    }

    /// What the keys of its rows hold.
    #[must_use]
    pub fn key(self) -> MetricKey {
        match self {
            Self::OrdersCancelled | Self::CancelsRequested | Self::StockInsufficient => MetricKey::Reason,
            Self::NoticesSent | Self::NoticeTriesFailed | Self::NoticesGivenUp => MetricKey::Channel,
            Self::UnitsSold | Self::ProductSales => MetricKey::Product,
            Self::OrdersPlaced
            | Self::OrderValue
            | Self::OrdersConfirmed
            | Self::ConfirmMillis
            | Self::OrdersShipped
            | Self::OrdersFailed
            | Self::StockReserved
            | Self::StockReleased
            | Self::StockShipped
            | Self::PaymentsCharged
            | Self::AmountCharged
            | Self::PaymentsFailed
            | Self::PaymentsCancelled
            | Self::PaymentsRefunded
            | Self::AmountRefunded
            | Self::ShipmentsHeld
            | Self::Sales
            | Self::SaleValue
            | Self::SalesRefunded
            | Self::RefundValue => MetricKey::Nothing,
        }
    }
}

/// The reasons for which orders end, in the sequence of their stored codes. The first stands for any other text.
pub const REASONS: [&str; 9] = [
    "other",
    "out-of-stock",
    "price-mismatch",
    "unknown-product",
    "cancelled-by-customer",
    "cancelled-by-operator",
    "expired",
    "payment-deadline",
    "discontinued",
];

/// The code of a reason as [`OrderCancelled`](super::EventBody::OrderCancelled) gives it.
#[must_use]
pub fn reason_code(reason: &str) -> u8 {
    match reason {
        "out-of-stock" => 1,
        "price-mismatch" => 2,
        "unknown-product" => 3,
        "cancelled-by-customer" => 4,
        "cancelled-by-operator" => 5,
        "expired" => 6,
        "payment-deadline" => 7,
        "discontinued" => 8,
        _ => 0,
    }
}

fn shortage_code(shortage: &Shortage) -> u8 {
    match shortage {
        Shortage::OutOfStock { .. } => 1,
        Shortage::PriceMismatch { .. } => 2,
        Shortage::UnknownProduct { .. } => 3,
        Shortage::Discontinued { .. } => 8,
    }
}

fn asker_code(by: CancelledBy) -> u8 {
    match by {
        CancelledBy::Customer => 4,
        CancelledBy::Operator => 5,
        CancelledBy::Expiry => 6,
        CancelledBy::PaymentDeadline => 7,
    }
}

/// The minute since 1970 in which an event of this time counts; times before 1970 count in the first.
#[must_use]
pub fn minute_of(at: Timestamp) -> i64 {
    at.0.div_euclid(60_000_000).max(0)
}

/// Milliseconds from the acceptance of an order, taken from its id, to `at`; 0 for ids that are not time-ordered.
#[must_use]
pub fn millis_since_placed(order: OrderId, at: Timestamp) -> i64 {
    if order.0.get_version_num() != 7 {
        return 0;
    }
    let placed_ms = i64::try_from(order.0.as_u64_pair().0 >> 16).unwrap_or(i64::MAX);
    at.0.div_euclid(1000).saturating_sub(placed_ms).max(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Money, ProductId};

    #[test]
    fn codes_are_distinct_and_lead_back() {
        for metric in Metric::ALL {
            assert_eq!(Metric::from_code(metric.code()), Some(metric));
            assert!(metric.code() < 32);
        }
        assert_eq!(Metric::from_code(0), None);
    }

    #[test]
    fn every_reason_has_its_code() {
        for (code, reason) in REASONS.iter().enumerate() {
            assert_eq!(usize::from(reason_code(reason)), code, "{reason}");
        }
        let product = ProductId(uuid::Uuid::nil());
        let shortages = [
            Shortage::OutOfStock { product, requested: 1, available: 0 },
            Shortage::PriceMismatch { product, asked: Money::ZERO, price: Money::ZERO },
            Shortage::UnknownProduct { product },
            Shortage::Discontinued { product },
        ];
        for shortage in shortages {
            assert_eq!(shortage_code(&shortage), reason_code(shortage.code()));
        }
        for by in [CancelledBy::Customer, CancelledBy::Operator, CancelledBy::Expiry, CancelledBy::PaymentDeadline] {
            assert_eq!(asker_code(by), reason_code(by.name()));
        }
    }
}
