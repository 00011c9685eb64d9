//! What the analytics answer on the wire.

use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;
use uuid::Uuid;

/// What the dashboard shows: sums of all time, the last hour by the minute, and what needs attention.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Dashboard {
    /// When it was read; the numbers are at most some seconds behind the orders.
    #[schema(format = DateTime)]
    pub(crate) as_of: String,
    /// The numbers.
    #[serde(flatten)]
    pub(crate) numbers: DashboardNumbers,
}

/// The dashboard's numbers.
#[derive(Clone, PartialEq, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DashboardNumbers {
    /// The orders.
    pub(crate) orders: OrderNumbers,
    /// The sales.
    pub(crate) sales: SalesNumbers,
    /// Net sales: `sales.gross` less `sales.refunded`.
    #[schema(example = "1234.50")]
    pub(crate) revenue: String,
    /// The sum of the totals of all placed orders, also of those that were never paid.
    #[schema(example = "1500.00")]
    pub(crate) order_value: String,
    /// The mean total of a sale, those refunded later too.
    #[schema(example = "19.99")]
    pub(crate) average_order_value: Option<String>,
    /// Confirmed orders of all placed.
    #[schema(example = 0.97)]
    pub(crate) conversion: Option<f64>,
    /// Mean milliseconds from an order's acceptance to its confirmation.
    pub(crate) average_confirm_ms: Option<f64>,
    /// The payments.
    pub(crate) payments: PaymentNumbers,
    /// The notices.
    pub(crate) notifications: NotificationNumbers,
    /// The stock's answers.
    pub(crate) stock: StockNumbers,
    /// The products that were sold for the most, refunded sales taken off; renewed every few seconds.
    pub(crate) top_products: Vec<TopProduct>,
    /// The scarcest products.
    pub(crate) low_stock: Vec<LowStock>,
    /// The last hour, by the minute; the last point is still growing.
    pub(crate) time_series: Vec<Point>,
}

/// Sales of all time. A sale is an order that was confirmed: it is paid, and its stock was not refused. Orders that are pending,
/// declined, cancelled before they were paid, or that could not be had are none.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SalesNumbers {
    /// How many.
    pub(crate) count: i64,
    /// The sum of their totals.
    pub(crate) gross: String,
    /// How many of them were cancelled later and given back.
    pub(crate) refunded_count: i64,
    /// The sum of the totals of those.
    pub(crate) refunded: String,
    /// `gross` less `refunded`.
    pub(crate) net: String,
    /// Since when sales are counted; absent when that is all time. A database of an older version whose log no longer held all
    /// events counts them from its first start with this one.
    #[schema(format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) since: Option<String>,
}

/// Orders of all time.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OrderNumbers {
    /// Accepted.
    pub(crate) placed: i64,
    /// Ever confirmed.
    pub(crate) confirmed: i64,
    /// Shipped.
    pub(crate) shipped: i64,
    /// Failed for want of payment.
    pub(crate) failed: i64,
    /// Cancelled.
    pub(crate) cancelled: i64,
    /// How many orders are in each status now.
    pub(crate) by_status: BTreeMap<String, u64>,
    /// Whether `byStatus` tells the orders in progress apart; else PENDING is all of them.
    pub(crate) by_status_exact: bool,
    /// Cancelled orders by reason.
    pub(crate) cancelled_by_reason: BTreeMap<String, i64>,
}

/// Payments of all time.
#[derive(Clone, PartialEq, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PaymentNumbers {
    /// Charged.
    pub(crate) charged: i64,
    /// Failed for good.
    pub(crate) failed: i64,
    /// Never begun.
    pub(crate) cancelled: i64,
    /// Given back.
    pub(crate) refunded: i64,
    /// The sum charged.
    pub(crate) amount_charged: String,
    /// The sum given back.
    pub(crate) amount_refunded: String,
    /// Charged of charged and failed.
    pub(crate) success_rate: Option<f64>,
}

/// Notices of all time.
#[derive(Clone, PartialEq, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NotificationNumbers {
    /// Sent.
    pub(crate) sent: i64,
    /// Tries that failed.
    pub(crate) failed_tries: i64,
    /// Given up.
    pub(crate) given_up: i64,
    /// Sent of sent and given up.
    pub(crate) success_rate: Option<f64>,
    /// The same by channel.
    pub(crate) by_channel: BTreeMap<String, ChannelNumbers>,
}

/// Notices of one channel.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ChannelNumbers {
    /// Sent.
    pub(crate) sent: i64,
    /// Tries that failed.
    pub(crate) failed_tries: i64,
    /// Given up.
    pub(crate) given_up: i64,
}

/// The stock's answers of all time, in orders.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StockNumbers {
    /// Held.
    pub(crate) reserved: i64,
    /// Could not be had.
    pub(crate) insufficient: i64,
    /// Given back.
    pub(crate) released: i64,
    /// Booked out.
    pub(crate) shipped: i64,
    /// Could not be had, by reason.
    pub(crate) insufficient_by_reason: BTreeMap<String, i64>,
}

/// A product that sells.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TopProduct {
    /// Which.
    pub(crate) product_id: Uuid,
    /// Its name, if it is in the catalogue.
    pub(crate) name: Option<String>,
    /// Units sold, less those refunded.
    pub(crate) units: i64,
    /// For how much, less what was refunded.
    pub(crate) value: String,
}

/// A product that runs out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LowStock {
    /// Which.
    pub(crate) product_id: Uuid,
    /// Its name.
    pub(crate) name: String,
    /// How many can be ordered.
    pub(crate) available_quantity: i32,
    /// How many are held for orders.
    pub(crate) reserved_quantity: i32,
}

/// What was counted in some time.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Point {
    /// When it begins.
    #[schema(format = DateTime)]
    pub(crate) start: String,
    /// Orders accepted.
    pub(crate) placed: i64,
    /// Orders confirmed.
    pub(crate) confirmed: i64,
    /// Orders shipped.
    pub(crate) shipped: i64,
    /// Orders failed.
    pub(crate) failed: i64,
    /// Orders cancelled.
    pub(crate) cancelled: i64,
    /// Net sales: `grossSales` less `refunds`; below zero where more was given back than sold.
    pub(crate) revenue: String,
    /// The sum of the totals of the placed orders, also of those that were never paid.
    pub(crate) order_value: String,
    /// The mean total of the sales.
    pub(crate) average_order_value: Option<String>,
    /// Confirmed of placed; above 1 where orders of an earlier time are confirmed.
    pub(crate) conversion: Option<f64>,
    /// Payments charged.
    pub(crate) payments_charged: i64,
    /// Payments failed.
    pub(crate) payments_failed: i64,
    /// Payments given back.
    pub(crate) payments_refunded: i64,
    /// Notices sent.
    pub(crate) notices_sent: i64,
    /// Notices given up.
    pub(crate) notices_given_up: i64,
    /// The sum of the totals of the orders that were confirmed in this time.
    pub(crate) gross_sales: String,
    /// The sum of the totals of confirmed orders that were cancelled in this time.
    pub(crate) refunds: String,
}

/// A report.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// The first minute in it.
    #[schema(format = DateTime)]
    pub(crate) from: String,
    /// Its end, exclusive.
    #[schema(format = DateTime)]
    pub(crate) to: String,
    /// `hour`, `day` or `week`.
    pub(crate) bucket: String,
    /// The buckets, oldest first, empty ones too.
    pub(crate) rows: Vec<Point>,
}

/// The state of the node.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SystemMetrics {
    /// When it was read.
    #[schema(format = DateTime)]
    pub(crate) as_of: String,
    /// Work of all nodes over the last minutes.
    pub(crate) throughput: Throughput,
    /// Failures of all nodes over the same time; none where nothing was tried.
    pub(crate) error_rates: ErrorRates,
    /// How long the steps take on this node.
    pub(crate) latencies: Vec<Latency>,
    /// The seconds that `latencies` cover.
    pub(crate) latency_window_seconds: u64,
    /// What waits on this node.
    pub(crate) queues: Vec<QueueDepth>,
    /// Orders of this node that owe stock or payment.
    pub(crate) open_orders: u64,
    /// The most of them.
    pub(crate) open_orders_limit: u64,
}

/// Work per second.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Throughput {
    /// Over so many seconds.
    pub(crate) window_seconds: i64,
    /// Orders accepted a second.
    pub(crate) placed_per_second: f64,
    /// Orders confirmed a second.
    pub(crate) confirmed_per_second: f64,
    /// Payments answered a second.
    pub(crate) payments_per_second: f64,
    /// Notices sent a second.
    pub(crate) notices_per_second: f64,
}

/// Shares from 0 to 1.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ErrorRates {
    /// Orders whose stock could not be had, of all the stock's answers.
    pub(crate) stock: Option<f64>,
    /// Payments failed of payments answered.
    pub(crate) payments: Option<f64>,
    /// Tries to send a notice that failed, of all tries.
    pub(crate) notifications: Option<f64>,
}

/// How long a step takes.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Latency {
    /// `answer`, `reserve`, `pay`, `confirm`, `notify` or `commit`.
    pub(crate) step: String,
    /// How many were measured.
    pub(crate) count: u64,
    /// Half took at most so many milliseconds.
    pub(crate) p50_ms: f64,
    /// Nine of ten.
    pub(crate) p90_ms: f64,
    /// 99 of 100.
    pub(crate) p99_ms: f64,
    /// The longest.
    pub(crate) max_ms: f64,
}

/// What waits for the actors of a kind.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct QueueDepth {
    /// The kind.
    pub(crate) kind: String,
    /// How much waits.
    pub(crate) waiting: u64,
    /// How much may wait.
    pub(crate) capacity: u64,
}
