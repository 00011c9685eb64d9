//! What the analytics answer on the wire.

use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;
use uuid::Uuid;

/// What the dashboard shows: sums of all time, the last hour by the minute, and what needs attention.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct Dashboard {
    /// When it was read; the numbers are at most some seconds behind the orders.
    #[schema(format = DateTime)]
    pub(in crate::http) as_of: String,
    /// The numbers.
    #[serde(flatten)]
    pub(in crate::http) numbers: DashboardNumbers,
}

/// The dashboard's numbers.
#[derive(Clone, PartialEq, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct DashboardNumbers {
    /// The orders.
    pub(in crate::http) orders: OrderNumbers,
    /// The sales.
    pub(in crate::http) sales: SalesNumbers,
    /// Net sales: `sales.gross` less `sales.refunded`.
    #[schema(example = "1234.50")]
    pub(in crate::http) revenue: String,
    /// The sum of the totals of all placed orders, also of those that were never paid.
    #[schema(example = "1500.00")]
    pub(in crate::http) order_value: String,
    /// The mean total of a sale, those refunded later too.
    #[schema(example = "19.99")]
    pub(in crate::http) average_order_value: Option<String>,
    /// Confirmed orders of all placed.
    #[schema(example = 0.97)]
    pub(in crate::http) conversion: Option<f64>,
    /// Mean milliseconds from an order's acceptance to its confirmation.
    pub(in crate::http) average_confirm_ms: Option<f64>,
    /// The payments.
    pub(in crate::http) payments: PaymentNumbers,
    /// The notices.
    pub(in crate::http) notifications: NotificationNumbers,
    /// The stock's answers.
    pub(in crate::http) stock: StockNumbers,
    /// The products that were sold for the most, refunded sales taken off; renewed every few seconds.
    pub(in crate::http) top_products: Vec<TopProduct>,
    /// The scarcest products.
    pub(in crate::http) low_stock: Vec<LowStock>,
    /// The last hour, by the minute; the last point is still growing.
    pub(in crate::http) time_series: Vec<Point>,
}

/// Sales of all time. A sale is an order that was confirmed: it is paid, and its stock was not refused. Orders that are pending,
/// declined, cancelled before they were paid, or that could not be had are none.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct SalesNumbers {
    /// How many.
    pub(in crate::http) count: i64,
    /// The sum of their totals.
    pub(in crate::http) gross: String,
    /// How many of them were cancelled later and given back.
    pub(in crate::http) refunded_count: i64,
    /// The sum of the totals of those.
    pub(in crate::http) refunded: String,
    /// `gross` less `refunded`.
    pub(in crate::http) net: String,
    /// Since when sales are counted; absent when that is all time. A database of an older version whose log no longer held all
    /// events counts them from its first start with this one.
    #[schema(format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(in crate::http) since: Option<String>,
}

/// Orders of all time.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct OrderNumbers {
    /// Accepted.
    pub(in crate::http) placed: i64,
    /// Ever confirmed.
    pub(in crate::http) confirmed: i64,
    /// Shipped.
    pub(in crate::http) shipped: i64,
    /// Failed for want of payment.
    pub(in crate::http) failed: i64,
    /// Cancelled.
    pub(in crate::http) cancelled: i64,
    /// How many orders are in each status now.
    pub(in crate::http) by_status: BTreeMap<String, u64>,
    /// Whether `byStatus` tells the orders in progress apart; else PENDING is all of them.
    pub(in crate::http) by_status_exact: bool,
    /// Cancelled orders by reason.
    pub(in crate::http) cancelled_by_reason: BTreeMap<String, i64>,
}

/// Payments of all time.
#[derive(Clone, PartialEq, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct PaymentNumbers {
    /// Charged.
    pub(in crate::http) charged: i64,
    /// Failed for good.
    pub(in crate::http) failed: i64,
    /// Never begun.
    pub(in crate::http) cancelled: i64,
    /// Given back.
    pub(in crate::http) refunded: i64,
    /// The sum charged.
    pub(in crate::http) amount_charged: String,
    /// The sum given back.
    pub(in crate::http) amount_refunded: String,
    /// Charged of charged and failed.
    pub(in crate::http) success_rate: Option<f64>,
}

/// Notices of all time.
#[derive(Clone, PartialEq, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct NotificationNumbers {
    /// Sent.
    pub(in crate::http) sent: i64,
    /// Tries that failed.
    pub(in crate::http) failed_tries: i64,
    /// Given up.
    pub(in crate::http) given_up: i64,
    /// Sent of sent and given up.
    pub(in crate::http) success_rate: Option<f64>,
    /// The same by channel.
    pub(in crate::http) by_channel: BTreeMap<String, ChannelNumbers>,
}

/// Notices of one channel.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct ChannelNumbers {
    /// Sent.
    pub(in crate::http) sent: i64,
    /// Tries that failed.
    pub(in crate::http) failed_tries: i64,
    /// Given up.
    pub(in crate::http) given_up: i64,
}

/// The stock's answers of all time, in orders.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct StockNumbers {
    /// Held.
    pub(in crate::http) reserved: i64,
    /// Could not be had.
    pub(in crate::http) insufficient: i64,
    /// Given back.
    pub(in crate::http) released: i64,
    /// Booked out.
    pub(in crate::http) shipped: i64,
    /// Could not be had, by reason.
    pub(in crate::http) insufficient_by_reason: BTreeMap<String, i64>,
}

/// A product that sells.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct TopProduct {
    /// Which.
    pub(in crate::http) product_id: Uuid,
    /// Its name, if it is in the catalogue.
    pub(in crate::http) name: Option<String>,
    /// Units sold, less those refunded.
    pub(in crate::http) units: i64,
    /// For how much, less what was refunded.
    pub(in crate::http) value: String,
}

/// A product that runs out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct LowStock {
    /// Which.
    pub(in crate::http) product_id: Uuid,
    /// Its name.
    pub(in crate::http) name: String,
    /// How many can be ordered.
    pub(in crate::http) available_quantity: i32,
    /// How many are held for orders.
    pub(in crate::http) reserved_quantity: i32,
}

/// What was counted in some time.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct Point {
    /// When it begins.
    #[schema(format = DateTime)]
    pub(in crate::http) start: String,
    /// Orders accepted.
    pub(in crate::http) placed: i64,
    /// Orders confirmed.
    pub(in crate::http) confirmed: i64,
    /// Orders shipped.
    pub(in crate::http) shipped: i64,
    /// Orders failed.
    pub(in crate::http) failed: i64,
    /// Orders cancelled.
    pub(in crate::http) cancelled: i64,
    /// Net sales: `grossSales` less `refunds`; below zero where more was given back than sold.
    pub(in crate::http) revenue: String,
    /// The sum of the totals of the placed orders, also of those that were never paid.
    pub(in crate::http) order_value: String,
    /// The mean total of the sales.
    pub(in crate::http) average_order_value: Option<String>,
    /// Confirmed of placed; above 1 where orders of an earlier time are confirmed.
    pub(in crate::http) conversion: Option<f64>,
    /// Payments charged.
    pub(in crate::http) payments_charged: i64,
    /// Payments failed.
    pub(in crate::http) payments_failed: i64,
    /// Payments given back.
    pub(in crate::http) payments_refunded: i64,
    /// Notices sent.
    pub(in crate::http) notices_sent: i64,
    /// Notices given up.
    pub(in crate::http) notices_given_up: i64,
    /// The sum of the totals of the orders that were confirmed in this time.
    pub(in crate::http) gross_sales: String,
    /// The sum of the totals of confirmed orders that were cancelled in this time.
    pub(in crate::http) refunds: String,
}

/// A report.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct Report {
    /// The first minute in it.
    #[schema(format = DateTime)]
    pub(in crate::http) from: String,
    /// Its end, exclusive.
    #[schema(format = DateTime)]
    pub(in crate::http) to: String,
    /// `hour`, `day` or `week`.
    pub(in crate::http) bucket: String,
    /// The buckets, oldest first, empty ones too.
    pub(in crate::http) rows: Vec<Point>,
}

/// How the node fares.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct SystemMetrics {
    /// When it was read.
    #[schema(format = DateTime)]
    pub(in crate::http) as_of: String,
    /// Work of all nodes over the last minutes.
    pub(in crate::http) throughput: Throughput,
    /// Failures of all nodes over the same time; none where nothing was tried.
    pub(in crate::http) error_rates: ErrorRates,
    /// How long the steps take on this node.
    pub(in crate::http) latencies: Vec<Latency>,
    /// The seconds that `latencies` cover.
    pub(in crate::http) latency_window_seconds: u64,
    /// What waits on this node.
    pub(in crate::http) queues: Vec<QueueDepth>,
    /// Orders of this node that owe stock or payment.
    pub(in crate::http) open_orders: u64,
    /// The most of them.
    pub(in crate::http) open_orders_limit: u64,
    /// Records of Kafka that wait; empty without Kafka.
    pub(in crate::http) consumer_lag: Vec<ConsumerLag>,
}

/// Work per second.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct Throughput {
    /// Over so many seconds.
    pub(in crate::http) window_seconds: i64,
    /// Orders accepted a second.
    pub(in crate::http) placed_per_second: f64,
    /// Orders confirmed a second.
    pub(in crate::http) confirmed_per_second: f64,
    /// Payments answered a second.
    pub(in crate::http) payments_per_second: f64,
    /// Notices sent a second.
    pub(in crate::http) notices_per_second: f64,
}

/// Shares from 0 to 1.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct ErrorRates {
    /// Orders whose stock could not be had, of all the stock's answers.
    pub(in crate::http) stock: Option<f64>,
    /// Payments failed of payments answered.
    pub(in crate::http) payments: Option<f64>,
    /// Tries to send a notice that failed, of all tries.
    pub(in crate::http) notifications: Option<f64>,
}

/// How long a step takes.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct Latency {
    /// `answer`, `reserve`, `pay`, `confirm`, `notify`, `undo` or `commit`.
    pub(in crate::http) step: String,
    /// How many were measured.
    pub(in crate::http) count: u64,
    /// Half took at most so many milliseconds.
    pub(in crate::http) p50_ms: f64,
    /// Nine of ten.
    pub(in crate::http) p90_ms: f64,
    /// 99 of 100.
    pub(in crate::http) p99_ms: f64,
    /// The longest.
    pub(in crate::http) max_ms: f64,
}

/// What waits for the actors of a kind.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct QueueDepth {
    /// The kind.
    pub(in crate::http) kind: String,
    /// How much waits.
    pub(in crate::http) waiting: u64,
    /// How much may wait.
    pub(in crate::http) capacity: u64,
}

/// What waits in a partition.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct ConsumerLag {
    /// The topic.
    pub(in crate::http) topic: String,
    /// The partition.
    pub(in crate::http) partition: i32,
    /// Records that are not taken yet.
    pub(in crate::http) records: i64,
}
