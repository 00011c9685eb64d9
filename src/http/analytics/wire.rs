//! What the analytics answer on the wire.

use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;
use uuid::Uuid;

/// What the dashboard shows: sums of all time, the last hour by the minute, and what needs attention.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Dashboard {
    /// When it was read; the numbers are at most some seconds behind the orders.
    #[schema(format = DateTime)]
    pub as_of: String,
    /// The numbers.
    #[serde(flatten)]
    pub numbers: DashboardNumbers,
}

/// The dashboard's numbers.
#[derive(Clone, PartialEq, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DashboardNumbers {
    /// The orders.
    pub orders: OrderNumbers,
    /// Charged less refunded.
    #[schema(example = "1234.50")]
    pub revenue: String,
    /// The sum of all orders' totals.
    #[schema(example = "1500.00")]
    pub order_value: String,
    /// The mean total of an order.
    #[schema(example = "19.99")]
    pub average_order_value: Option<String>,
    /// Confirmed orders of all placed.
    #[schema(example = 0.97)]
    pub conversion: Option<f64>,
    /// Mean milliseconds from an order's acceptance to its confirmation.
    pub average_confirm_ms: Option<f64>,
    /// The payments.
    pub payments: PaymentNumbers,
    /// The notices.
    pub notifications: NotificationNumbers,
    /// The stock's answers.
    pub stock: StockNumbers,
    /// The products that were ordered for the most; renewed every few seconds.
    pub top_products: Vec<TopProduct>,
    /// The scarcest products.
    pub low_stock: Vec<LowStock>,
    /// The last hour, by the minute; the last point is still growing.
    pub time_series: Vec<Point>,
}

/// Orders of all time.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderNumbers {
    /// Accepted.
    pub placed: i64,
    /// Ever confirmed.
    pub confirmed: i64,
    /// Shipped.
    pub shipped: i64,
    /// Failed for want of payment.
    pub failed: i64,
    /// Cancelled.
    pub cancelled: i64,
    /// How many orders are in each status now.
    pub by_status: BTreeMap<String, u64>,
    /// Whether `byStatus` tells the orders in progress apart; else PENDING is all of them.
    pub by_status_exact: bool,
    /// Cancelled orders by reason.
    pub cancelled_by_reason: BTreeMap<String, i64>,
}

/// Payments of all time.
#[derive(Clone, PartialEq, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaymentNumbers {
    /// Charged.
    pub charged: i64,
    /// Failed for good.
    pub failed: i64,
    /// Never begun.
    pub cancelled: i64,
    /// Given back.
    pub refunded: i64,
    /// The sum charged.
    pub amount_charged: String,
    /// The sum given back.
    pub amount_refunded: String,
    /// Charged of charged and failed.
    pub success_rate: Option<f64>,
}

/// Notices of all time.
#[derive(Clone, PartialEq, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NotificationNumbers {
    /// Sent.
    pub sent: i64,
    /// Tries that failed.
    pub failed_tries: i64,
    /// Given up.
    pub given_up: i64,
    /// Sent of sent and given up.
    pub success_rate: Option<f64>,
    /// The same by channel.
    pub by_channel: BTreeMap<String, ChannelNumbers>,
}

/// Notices of one channel.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChannelNumbers {
    /// Sent.
    pub sent: i64,
    /// Tries that failed.
    pub failed_tries: i64,
    /// Given up.
    pub given_up: i64,
}

/// The stock's answers of all time, in orders.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StockNumbers {
    /// Held.
    pub reserved: i64,
    /// Could not be had.
    pub insufficient: i64,
    /// Given back.
    pub released: i64,
    /// Booked out.
    pub shipped: i64,
    /// Could not be had, by reason.
    pub insufficient_by_reason: BTreeMap<String, i64>,
}

/// A product that sells.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TopProduct {
    /// Which.
    pub product_id: Uuid,
    /// Its name, if it is in the catalogue.
    pub name: Option<String>,
    /// Units ordered.
    pub units: i64,
    /// For how much.
    pub value: String,
}

/// A product that runs out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LowStock {
    /// Which.
    pub product_id: Uuid,
    /// Its name.
    pub name: String,
    /// How many can be ordered.
    pub available_quantity: i32,
    /// How many are held for orders.
    pub reserved_quantity: i32,
}

/// What was counted in some time.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Point {
    /// When it begins.
    #[schema(format = DateTime)]
    pub start: String,
    /// Orders accepted.
    pub placed: i64,
    /// Orders confirmed.
    pub confirmed: i64,
    /// Orders shipped.
    pub shipped: i64,
    /// Orders failed.
    pub failed: i64,
    /// Orders cancelled.
    pub cancelled: i64,
    /// Charged less refunded.
    pub revenue: String,
    /// The sum of the orders' totals.
    pub order_value: String,
    /// The mean total of an order.
    pub average_order_value: Option<String>,
    /// Confirmed of placed; above 1 where orders of an earlier time are confirmed.
    pub conversion: Option<f64>,
    /// Payments charged.
    pub payments_charged: i64,
    /// Payments failed.
    pub payments_failed: i64,
    /// Payments given back.
    pub payments_refunded: i64,
    /// Notices sent.
    pub notices_sent: i64,
    /// Notices given up.
    pub notices_given_up: i64,
}

/// A report.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The first hour in it.
    #[schema(format = DateTime)]
    pub from: String,
    /// Its end, exclusive.
    #[schema(format = DateTime)]
    pub to: String,
    /// `hour`, `day` or `week`.
    pub bucket: String,
    /// The buckets, oldest first, empty ones too.
    pub rows: Vec<Point>,
}

/// How the node fares.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SystemMetrics {
    /// When it was read.
    #[schema(format = DateTime)]
    pub as_of: String,
    /// Work of all nodes over the last minutes.
    pub throughput: Throughput,
    /// Failures of all nodes over the same time; none where nothing was tried.
    pub error_rates: ErrorRates,
    /// How long the steps take on this node.
    pub latencies: Vec<Latency>,
    /// The seconds that `latencies` cover.
    pub latency_window_seconds: u64,
    /// What waits on this node.
    pub queues: Vec<QueueDepth>,
    /// Orders of this node that owe stock or payment.
    pub open_orders: u64,
    /// The most of them.
    pub open_orders_limit: u64,
    /// Records of Kafka that wait; empty without Kafka.
    pub consumer_lag: Vec<ConsumerLag>,
}

/// Work per second.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Throughput {
    /// Over so many seconds.
    pub window_seconds: i64,
    /// Orders accepted a second.
    pub placed_per_second: f64,
    /// Orders confirmed a second.
    pub confirmed_per_second: f64,
    /// Payments answered a second.
    pub payments_per_second: f64,
    /// Notices sent a second.
    pub notices_per_second: f64,
}

/// Shares from 0 to 1.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorRates {
    /// Orders whose stock could not be had, of all the stock's answers.
    pub stock: Option<f64>,
    /// Payments failed of payments answered.
    pub payments: Option<f64>,
    /// Tries to send a notice that failed, of all tries.
    pub notifications: Option<f64>,
}

/// How long a step takes.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Latency {
    /// `answer`, `reserve`, `pay`, `confirm`, `notify`, `undo` or `commit`.
    pub step: String,
    /// How many were measured.
    pub count: u64,
    /// Half took at most so many milliseconds.
    pub p50_ms: f64,
    /// Nine of ten.
    pub p90_ms: f64,
    /// 99 of 100.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

/// What waits for the actors of a kind.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueueDepth {
    /// The kind.
    pub kind: String,
    /// How much waits.
    pub waiting: u64,
    /// How much may wait.
    pub capacity: u64,
}

/// What waits in a partition.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerLag {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Records that are not taken yet.
    pub records: i64,
}
