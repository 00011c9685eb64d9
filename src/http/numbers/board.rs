//! Reads the numbers for the handlers, the dashboard at most once a second however many look at it.

use crate::actors::{ActorCount, ActorsReport, NodeHandle, StepSummary};
use crate::config::Settings;
use crate::db::{Reads, StoreError, StoredOrder};
use crate::domain::analytics::{HOURS, Numbers, PRODUCT_TOTAL, SINCE, Span, TOTAL, minute_of, report, top_products};
use crate::domain::{AnalyticsRow, Metric, OrderStatus, Timestamp};
use crate::http::numbers::view;
use crate::http::wire::analytics::{Dashboard, DashboardNumbers, LowStock, OldOrder, Point, QueueDepth, Report, SystemMetrics, TopProduct};
use crate::http::wire::problem::{Problem, ProblemKind};
use crate::http::wire::values::now;
use actix_web::web::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Minutes of the dashboard's time series.
const SERIES_MINUTES: i64 = 60;
/// Period of throughput and error rates, in minutes.
const RATE_MINUTES: i64 = 5;
/// Orders of a page while the orders in progress are counted.
const PAGE: u32 = 200;
/// The oldest open orders that the metrics name.
const OLDEST: u32 = 20;

/// With more open orders than this, the orders in progress are reported as one number.
const IN_PROGRESS_MAX: u32 = 600;
/// How long a dashboard is reused.
const REFRESH: Duration = Duration::from_secs(1);
/// How long the list of best sellers is reused, because it reads every product's sums.
const TOP_REFRESH: Duration = Duration::from_secs(10);

/// The state of the node's actors, and the durations of their steps with the period that they cover.
pub(crate) type Watch = Arc<dyn Fn() -> (ActorsReport, Duration, Vec<StepSummary>) + Send + Sync>;

/// Reads the numbers; shared by all HTTP threads.
pub(crate) struct Board {
    reads: Arc<dyn Reads>,
    watch: Watch,
    low_stock: i32,
    top: u32,
    last: Mutex<Last>,
}

/// The dashboard as it was last read.
#[derive(Default)]
struct Last {
    read_at: Option<Instant>,
    numbers: DashboardNumbers,
    shown: Shown,
    top_read_at: Option<Instant>,
    top: Vec<TopProduct>,
}

/// A dashboard as it is sent; a new version has other numbers.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Shown {
    pub(crate) version: u64,
    pub(crate) json: Bytes,
}

impl Board {
    /// Of a node.
    pub(crate) fn of(handle: &NodeHandle, settings: &Settings) -> Self {
        let (reads, handle) = (handle.reads().clone(), handle.clone());
        let watch = move || {
            let (window, times) = handle.times().summary();
            (handle.report(), window, times)
        };
        Self::new(reads, Arc::new(watch), settings.analytics.low_stock, settings.analytics.top)
    }

    pub(crate) fn new(reads: Arc<dyn Reads>, watch: Watch, low_stock: i32, top: u32) -> Self {
        Self { reads, watch, low_stock, top, last: Mutex::default() }
    }

    /// The dashboard, at most [`REFRESH`] old.
    pub(crate) async fn dashboard(&self) -> Result<Shown, Problem> {
        // Held while reading: who comes meanwhile gets the same answer instead of reading the same.
        let mut last = self.last.lock().await;
        if is_fresh(last.read_at, REFRESH) {
            return Ok(last.shown.clone());
        }
        let now = now();
        let mut numbers = self.read(now).await?;
        // Reading an empty list costs nothing, and the first sale should be seen at once.
        if last.top.is_empty() || !is_fresh(last.top_read_at, TOP_REFRESH) {
            last.top = self.top().await?;
            last.top_read_at = Some(Instant::now());
        }
        numbers.top_products.clone_from(&last.top);
        last.read_at = Some(Instant::now());
        if last.shown.version == 0 || numbers != last.numbers {
            let dashboard = Dashboard { as_of: now.to_string(), numbers };
            let json = serde_json::to_vec(&dashboard).map_err(|error| unwritten(&error))?.into();
            last.shown = Shown { version: last.shown.version + 1, json };
            last.numbers = dashboard.numbers;
        }
        Ok(last.shown.clone())
    }

    async fn read(&self, now: Timestamp) -> Result<DashboardNumbers, StoreError> {
        let totals: Numbers = self.reads.analytics(TOTAL, TOTAL + 1).await?.iter().collect();
        let minute = minute_of(now);
        let minutes = self.reads.analytics(minute - SERIES_MINUTES + 1, minute + 1).await?;
        let low_stock = self.reads.low_stock(self.low_stock, self.top).await?;
        let in_progress = self.in_progress().await?;
        let mut numbers = view::dashboard(&totals, in_progress.as_deref());
        numbers.sales.since = self.sales_since().await?;
        numbers.time_series = series(&minutes, minute);
        numbers.low_stock = low_stock
            .into_iter()
            .map(|product| LowStock {
                product_id: product.id.0,
                name: product.name.to_string(),
                available_quantity: product.available,
                reserved_quantity: product.reserved,
            })
            .collect();
        Ok(numbers)
    }

    /// The open orders by status; none when they are too many to be counted for this.
    async fn in_progress(&self) -> Result<Option<Vec<(OrderStatus, u64)>>, StoreError> {
        let shards: Vec<_> = self.reads.shards().all().collect();
        let mut counts: BTreeMap<OrderStatus, u64> = BTreeMap::new();
        let (mut after, mut seen) = (None, 0);
        loop {
            let orders = self.reads.open_orders(shards.clone(), after, PAGE).await?;
            orders.iter().for_each(|stored| *counts.entry(stored.status).or_default() += 1);
            let found = u32::try_from(orders.len()).unwrap_or(u32::MAX);
            seen += found;
            after = orders.last().map(|stored| stored.order.id);
            if found < PAGE {
                return Ok(Some(counts.into_iter().collect()));
            }
            if seen >= IN_PROGRESS_MAX {
                return Ok(None);
            }
        }
    }

    async fn top(&self) -> Result<Vec<TopProduct>, StoreError> {
        let rows = self.reads.analytics(PRODUCT_TOTAL, PRODUCT_TOTAL + 1).await?;
        let mut top = Vec::new();
        for sales in top_products(&rows, usize::try_from(self.top).unwrap_or(0)) {
            let product = self.reads.product(sales.product).await?;
            let name = product.map(|product| product.name.to_string());
            top.push(TopProduct { product_id: sales.product.0, name, units: sales.units, value: view::amount(sales.value) });
        }
        Ok(top)
    }

    /// The state of a node.
    pub(crate) async fn metrics(&self) -> Result<SystemMetrics, Problem> {
        let now = now();
        let minute = minute_of(now);
        let first = minute - RATE_MINUTES + 1;
        let numbers: Numbers = self.reads.analytics(first, minute + 1).await?.iter().collect();
        let seconds = now.0.div_euclid(1_000_000) - first * 60;
        let (actors, window, latencies) = (self.watch)();
        let depth = |actor: ActorCount| QueueDepth { kind: actor.kind, waiting: actor.waiting, capacity: actor.capacity };
        Ok(SystemMetrics {
            as_of: now.to_string(),
            throughput: view::throughput(&numbers, seconds),
            error_rates: view::error_rates(&numbers),
            latencies: latencies.iter().map(view::latency).collect(),
            latency_window_seconds: window.as_secs(),
            queues: actors.actors.into_iter().map(depth).collect(),
            open_orders: actors.open_orders,
            open_orders_limit: actors.open_orders_limit,
            oldest_orders: self.oldest().await?,
        })
    }

    async fn oldest(&self) -> Result<Vec<OldOrder>, StoreError> {
        let orders = self.reads.open_orders(self.reads.shards().all().collect(), None, OLDEST).await?;
        let view = |stored: &StoredOrder| OldOrder {
            order_id: stored.order.id.0,
            status: stored.status.name(),
            created_at: stored.order.created_at.to_string(),
            updated_at: stored.updated_at.to_string(),
            parked: stored.record.parked.as_ref().map(ToString::to_string),
        };
        Ok(orders.iter().map(view).collect())
    }

    /// What was counted in a time, in buckets.
    pub(crate) async fn report(&self, span: &Span) -> Result<Report, Problem> {
        let hours = span.hours();
        let mut rows = self.reads.analytics(HOURS + hours.start, HOURS + hours.end).await?;
        for hour in span.cut_hours() {
            rows.extend(self.reads.analytics(hour * 60, hour * 60 + 60).await?);
        }
        let time = |minute: i64| Timestamp(minute.saturating_mul(60_000_000)).to_string();
        Ok(Report {
            from: time(span.from),
            to: time(span.to),
            bucket: span.bucket.name().to_owned(),
            rows: report(&rows, span).iter().map(|period| view::point(period.start, &period.numbers)).collect(),
        })
    }

    /// Since when sales are counted, where that is not all time.
    async fn sales_since(&self) -> Result<Option<String>, StoreError> {
        let rows = self.reads.analytics(SINCE, SINCE + 1).await?;
        let since = rows.iter().find(|row| row.metric == Metric::Sales.code()).map(|row| Timestamp(row.value).to_string());
        Ok(since)
    }
}

/// An answer that cannot be written is a bug.
pub(crate) fn unwritten(error: &dyn std::error::Error) -> Problem {
    tracing::error!(%error, "an answer of the analytics could not be written");
    Problem::new(ProblemKind::Internal, "the answer could not be written; the node's log says why")
}

fn is_fresh(read_at: Option<Instant>, period: Duration) -> bool {
    read_at.is_some_and(|at| at.elapsed() < period)
}

/// The minutes up to `last`, those in which nothing happened too.
fn series(rows: &[AnalyticsRow], last: i64) -> Vec<Point> {
    let mut minutes: BTreeMap<i64, Numbers> = (last - SERIES_MINUTES + 1..=last).map(|minute| (minute, Numbers::default())).collect();
    for row in rows {
        if let Some(numbers) = minutes.get_mut(&row.minute) {
            numbers.add(row);
        }
    }
    minutes.iter().map(|(minute, numbers)| view::point(Timestamp(minute.saturating_mul(60_000_000)), numbers)).collect()
}
