//! The business' numbers: which event moves which, how they are kept, how they are read.
//!
//! Every number is a sum of increments, each of which follows from one event of the log alone, so the same numbers come out
//! whoever counts and in whatever order. Four kinds of rows share one axis, told apart by [`AnalyticsRow::minute`]:
//!
//! | `minute` | what |
//! | --- | --- |
//! | 0 and above | the minute since 1970 of [`Event::at`](super::Event::at); everything but products |
//! | [`HOURS`] + hour since 1970 | the same, by the hour: reports read these |
//! | [`DAYS`] + day since 1970 | products, by the day: by the minute they would be as many as the order lines |
//! | [`TOTAL`] | everything but products, of all time |
//! | [`PRODUCT_TOTAL`] | products, of all time |
//! | [`SINCE`] | since when a metric is counted, where that is not all time |
//!
//! **A sale** is an order that was confirmed, which is when it is paid and its stock is not refused. Its total counts in full
//! (gross) in the minute of `OrderConfirmed`. A confirmed order that is cancelled later is a refunded sale, and its total counts as
//! refunded in the minute of `OrderCancelled`; net is gross less refunded. Orders that are pending, declined, cancelled before they
//! were paid, or that could not be had are placed orders and no sales. All of this is told by the order role's own events, so it
//! is the same whoever runs the other roles.
//!
//! The status of an order is not counted: it is a function of facts that no single event tells (a payment that fails after a
//! cancel request changes nothing). What an order has *entered* is: placed, confirmed, shipped, failed, cancelled, each told by
//! exactly one event of the order role. [`by_status`] says how the numbers of the moment follow.

mod report;
mod tally;

pub use report::{Bucket, Numbers, Period, ProductSales, Span, by_status, report, top_products};
pub use tally::Tally;

use super::{CancelledBy, OrderId, Shortage, Timestamp};
use serde::{Deserialize, Serialize};

/// One number of the analytics: `value` for `metric` about `key` in the time that `minute` names.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct AnalyticsRow {
    /// Minutes since 1970, or one of the other times of the [module's](self) table.
    pub minute: i64,
    /// What is counted: a [`Metric::code`].
    pub metric: u8,
    /// Of what: empty, one code, or a product id's bytes; see [`Metric::key`].
    pub key: Vec<u8>,
    /// The sum or count.
    pub value: i64,
}

/// The `minute` of the sums of all time.
pub const TOTAL: i64 = -1;
/// The `minute` of the products' sums of all time.
pub const PRODUCT_TOTAL: i64 = -2;
/// The `minute` of rows whose value is not a sum, but since when their metric is counted, in microseconds since 1970. A database that
/// was made by an older version and whose log no longer held all has one for [`Metric::Sales`], which stands for all of a sale.
pub const SINCE: i64 = -3;
/// `minute` = this + the hour since 1970: the sums of an hour.
pub const HOURS: i64 = -1_000_000_000;
/// `minute` = this + the day since 1970: the products' sums of a day.
pub const DAYS: i64 = -2_000_000_000;

/// What is counted. The codes are stored and never change; none is above 31. 23 and 24 were units and value of what was ordered of a
/// product, sold or not, and are not used again.
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
    /// Orders that failed for want of payment: `OrderFailed`.
    OrdersFailed = 6,
    /// Orders cancelled, by reason: `OrderCancelled`.
    OrdersCancelled = 7,
    /// Requests to undo an order, by who asked: `OrderCancelRequested`.
    CancelsRequested = 8,
    /// Orders whose stock was held: `InventoryReserved`.
    StockReserved = 9,
    /// Orders whose stock could not be had, by the first line's reason: `InventoryInsufficient`.
    StockInsufficient = 10,
    /// Orders whose stock was given back, or forbidden: `InventoryReleased`.
    StockReleased = 11,
    /// Orders whose stock was booked out: `InventoryShipped`.
    StockShipped = 12,
    /// Charges that succeeded: `PaymentProcessed`.
    PaymentsCharged = 13,
    /// Their amounts in minor units.
    AmountCharged = 14,
    /// Charges that failed for good: `PaymentFailed`.
    PaymentsFailed = 15,
    /// Payments that never were: `PaymentCancelled`.
    PaymentsCancelled = 16,
    /// Charges given back: `PaymentRefunded`.
    PaymentsRefunded = 17,
    /// Their amounts in minor units.
    AmountRefunded = 18,
    /// Notices that went out, by channel: `NotificationSent`.
    NoticesSent = 19,
    /// Tries to send a notice that failed, the last ones too, by channel: `NotificationFailed`.
    NoticeTriesFailed = 20,
    /// Notices given up, by channel: `NotificationFailed` with `last`.
    NoticesGivenUp = 21,
    /// Shipments held because they left before payment: `ShipmentHeld`.
    ShipmentsHeld = 22,
    /// Sales: `OrderConfirmed`.
    Sales = 25,
    /// Their totals in minor units.
    SaleValue = 26,
    /// Sales that were undone: `OrderCancelled` of an order that had been confirmed.
    SalesRefunded = 27,
    /// Their totals in minor units.
    RefundValue = 28,
    /// Units of a product in the lines of sales, less those of sales that were undone.
    UnitsSold = 29,
    /// Price times quantity of the same lines, in minor units, less those of sales that were undone.
    ProductSales = 30,
}

/// What the key of a metric's rows is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MetricKey {
    /// Nothing: the key is empty.
    Nothing,
    /// One byte, the place in [`REASONS`].
    Reason,
    /// One byte, [`Channel::number`](super::Channel::number).
    Channel,
    /// The product id's 16 bytes.
    Product,
}

impl Metric {
    /// All.
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

    /// The metric of that number.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.code() == code)
    }

    /// What its rows' keys are.
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

/// Why orders end, in the order of their stored codes. The first is for texts that are none of the others.
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

/// The code of a reason as [`OrderCancelled`](super::EventBody::OrderCancelled) tells it.
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

/// Milliseconds from the acceptance of an order, as its id tells it, to `at`; 0 for ids that are not time-ordered.
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
