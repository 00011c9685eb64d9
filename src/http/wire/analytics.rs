//! What the analytics answer on the wire.

use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;
use uuid::Uuid;

/// What the dashboard shows: all-time totals, the last hour by the minute, and what needs attention.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Dashboard {
    /// When they were read. The figures lag the orders by a few seconds at most.
    #[schema(format = DateTime)]
    pub(crate) as_of: String,
    /// The figures.
    #[serde(flatten)]
    pub(crate) numbers: DashboardNumbers,
}

/// The dashboard's figures.
#[derive(Clone, PartialEq, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DashboardNumbers {
    /// The orders.
    pub(crate) orders: OrderNumbers,
    /// The sales.
    pub(crate) sales: SalesNumbers,
    /// Net sales: `sales.gross` minus `sales.refunded`.
    #[schema(example = "1234.50")]
    pub(crate) revenue: String,
    /// The sum of the totals of all placed orders, including those that were never paid.
    #[schema(example = "1500.00")]
    pub(crate) order_value: String,
    /// The mean total of a sale, including sales refunded later.
    #[schema(example = "19.99")]
    pub(crate) average_order_value: Option<String>,
    /// Share of placed orders that were confirmed.
    #[schema(example = 0.97)]
    pub(crate) conversion: Option<f64>,
    /// Mean milliseconds from an order's acceptance to its confirmation.
    pub(crate) average_confirm_ms: Option<f64>,
    /// The payments.
    pub(crate) payments: PaymentNumbers,
    /// The notices.
    pub(crate) notifications: NotificationNumbers,
    /// The inventory role's answers.
    pub(crate) stock: StockNumbers,
    /// The products with the highest sales, less refunds; updated every few seconds.
    pub(crate) top_products: Vec<TopProduct>,
    /// The products with the least available stock.
    pub(crate) low_stock: Vec<LowStock>,
    /// The last hour by the minute; the last point is still growing.
    pub(crate) time_series: Vec<Point>,
}

/// All-time sales. A sale is a confirmed order: it was paid, and its stock was not refused. Orders that are pending, declined, cancelled
/// before payment, or without sufficient stock are not sales.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SalesNumbers {
    /// The number of them.
    pub(crate) count: i64,
    /// The sum of the totals of all sales.
    pub(crate) gross: String,
    /// Number of sales that were later cancelled and refunded.
    pub(crate) refunded_count: i64,
    /// The sum of the totals of the refunded sales.
    pub(crate) refunded: String,
    /// `gross` minus `refunded`.
    pub(crate) net: String,
    /// Since when sales are counted; absent if that is all time. A database of an older version whose log no longer held all events counts
    /// them from its first start with this version.
    #[schema(format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) since: Option<String>,
}

/// All-time orders.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OrderNumbers {
    /// Orders accepted.
    pub(crate) placed: i64,
    /// Orders confirmed at some time.
    pub(crate) confirmed: i64,
    /// Orders shipped.
    pub(crate) shipped: i64,
    /// Orders that failed because they were not paid.
    pub(crate) failed: i64,
    /// Orders cancelled.
    pub(crate) cancelled: i64,
    /// Number of orders in each status at present.
    pub(crate) by_status: BTreeMap<String, u64>,
    /// Whether `byStatus` distinguishes the orders in progress; if not, PENDING includes all of them.
    pub(crate) by_status_exact: bool,
    /// Cancelled orders by reason.
    pub(crate) cancelled_by_reason: BTreeMap<String, i64>,
}

/// All-time payments.
#[derive(Clone, PartialEq, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PaymentNumbers {
    /// Payments charged.
    pub(crate) charged: i64,
    /// Payments that failed for good.
    pub(crate) failed: i64,
    /// Payments cancelled before a charge.
    pub(crate) cancelled: i64,
    /// Payments refunded.
    pub(crate) refunded: i64,
    /// The total charged.
    pub(crate) amount_charged: String,
    /// The total refunded.
    pub(crate) amount_refunded: String,
    /// Charged, as a share of charged and failed.
    pub(crate) success_rate: Option<f64>,
}

/// All-time notices.
#[derive(Clone, PartialEq, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NotificationNumbers {
    /// Notices sent.
    pub(crate) sent: i64,
    /// Failed tries.
    pub(crate) failed_tries: i64,
    /// Notices given up.
    pub(crate) given_up: i64,
    /// Sent, as a share of sent and given up.
    pub(crate) success_rate: Option<f64>,
    /// The same figures by channel.
    pub(crate) by_channel: BTreeMap<String, ChannelNumbers>,
}

/// Notices of one channel.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ChannelNumbers {
    /// Notices sent.
    pub(crate) sent: i64,
    /// Failed tries.
    pub(crate) failed_tries: i64,
    /// Notices given up.
    pub(crate) given_up: i64,
}

/// All-time answers of the inventory role, in orders.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StockNumbers {
    /// Stock reserved.
    pub(crate) reserved: i64,
    /// Insufficient stock.
    pub(crate) insufficient: i64,
    /// Stock released.
    pub(crate) released: i64,
    /// Stock shipped.
    pub(crate) shipped: i64,
    /// Insufficient stock, by reason.
    pub(crate) insufficient_by_reason: BTreeMap<String, i64>,
}

/// A best-selling product.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TopProduct {
    /// The product's id.
    pub(crate) product_id: Uuid,
    /// Its name, if it is in the catalogue.
    pub(crate) name: Option<String>,
    /// Units sold, minus those refunded.
    pub(crate) units: i64,
    /// Sales of it, minus refunds.
    pub(crate) value: String,
}

/// A product that is low on stock.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LowStock {
    /// The product's id.
    pub(crate) product_id: Uuid,
    /// Its name.
    pub(crate) name: String,
    /// Quantity that can be ordered.
    pub(crate) available_quantity: i32,
    /// Quantity held for orders.
    pub(crate) reserved_quantity: i32,
}

/// The figures of one period.
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
    /// Net sales: `grossSales` minus `refunds`; negative if more was refunded than sold.
    pub(crate) revenue: String,
    /// The sum of the totals of the placed orders, including those that were never paid.
    pub(crate) order_value: String,
    /// The mean total of the sales.
    pub(crate) average_order_value: Option<String>,
    /// Confirmed orders relative to placed ones; above 1 if orders of an earlier period are confirmed.
    pub(crate) conversion: Option<f64>,
    /// Payments charged.
    pub(crate) payments_charged: i64,
    /// Payments failed.
    pub(crate) payments_failed: i64,
    /// Payments refunded.
    pub(crate) payments_refunded: i64,
    /// Notices sent.
    pub(crate) notices_sent: i64,
    /// Notices given up.
    pub(crate) notices_given_up: i64,
    /// The sum of the totals of the orders confirmed in this period.
    pub(crate) gross_sales: String,
    /// The sum of the totals of confirmed orders cancelled in this period.
    pub(crate) refunds: String,
    /// Orders whose stock was reserved.
    pub(crate) stock_reserved: i64,
    /// Orders without sufficient stock.
    pub(crate) stock_insufficient: i64,
}

/// A report.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// Its start, inclusive.
    #[schema(format = DateTime)]
    pub(crate) from: String,
    /// Its end, exclusive.
    #[schema(format = DateTime)]
    pub(crate) to: String,
    /// `hour`, `day` or `week`.
    pub(crate) bucket: String,
    /// The buckets, oldest first, including empty ones.
    pub(crate) rows: Vec<Point>,
}

/// The state of a node.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SystemMetrics {
    /// When it was read.
    #[schema(format = DateTime)]
    pub(crate) as_of: String,
    /// Work of all nodes over the last minutes.
    pub(crate) throughput: Throughput,
    /// Failure rates of all nodes over the same period; absent if nothing was tried.
    pub(crate) error_rates: ErrorRates,
    /// How long the steps take on this node.
    pub(crate) latencies: Vec<Latency>,
    /// Length of the period that `latencies` cover, in seconds.
    pub(crate) latency_window_seconds: u64,
    /// The queues of this node.
    pub(crate) queues: Vec<QueueDepth>,
    /// Orders of this node that wait for stock or payment.
    pub(crate) open_orders: u64,
    /// Limit on such orders.
    pub(crate) open_orders_limit: u64,
    /// The orders that have been open the longest, oldest first; of all nodes.
    pub(crate) oldest_orders: Vec<OldOrder>,
}

/// An order that has been open for long.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OldOrder {
    /// The order's id.
    pub(crate) order_id: Uuid,
    /// Its status.
    #[schema(value_type = String)]
    pub(crate) status: &'static str,
    /// When it was accepted.
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
    /// When it last changed.
    #[schema(format = DateTime)]
    pub(crate) updated_at: String,
    /// Why it waits until a person closes its dead letter.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) parked: Option<String>,
}

/// Work per second.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Throughput {
    /// Length of the period, in seconds.
    pub(crate) window_seconds: i64,
    /// Orders accepted per second.
    pub(crate) placed_per_second: f64,
    /// Orders confirmed per second.
    pub(crate) confirmed_per_second: f64,
    /// Payments answered per second.
    pub(crate) payments_per_second: f64,
    /// Notices sent per second.
    pub(crate) notices_per_second: f64,
}

/// Shares from 0 to 1.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ErrorRates {
    /// Orders without sufficient stock, as a share of the inventory role's answers.
    pub(crate) stock: Option<f64>,
    /// Failed payments, as a share of the payments answered.
    pub(crate) payments: Option<f64>,
    /// Failed tries to send a notice, as a share of all tries.
    pub(crate) notifications: Option<f64>,
}

/// How long a step takes.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Latency {
    /// `answer`, `reserve`, `pay`, `confirm`, `notify` or `commit`.
    pub(crate) step: String,
    /// Number of measurements.
    pub(crate) count: u64,
    /// Median, in milliseconds.
    pub(crate) p50_ms: f64,
    /// 90th percentile, in milliseconds.
    pub(crate) p90_ms: f64,
    /// 99th percentile, in milliseconds.
    pub(crate) p99_ms: f64,
    /// The longest, in milliseconds.
    pub(crate) max_ms: f64,
}

/// Queue of the actors of one kind.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct QueueDepth {
    /// The kind.
    pub(crate) kind: String,
    /// Its length.
    pub(crate) waiting: u64,
    /// Its limit.
    pub(crate) capacity: u64,
}
