//! Reads the numbers for the handlers, the dashboard at most once a second however many look at it.

use super::wire::{Dashboard, DashboardNumbers, LowStock, Point, QueueDepth, Report, SystemMetrics, TopProduct};
use super::{AnalyticsError, view};
use crate::actors::{ActorsReport, Front, StepTimes};
use crate::db::{Reads, StoreError};
use crate::domain::analytics::{Bucket, HOURS, Numbers, PRODUCT_TOTAL, TOTAL, minute_of, report, top_products};
use crate::domain::{AnalyticsRow, OrderStatus, Timestamp};
use actix_web::web::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Minutes of the dashboard's time series.
const SERIES_MINUTES: i64 = 60;
/// Minutes over which throughput and error rates are told.
const RATE_MINUTES: i64 = 5;
/// Orders of a page while the orders in progress are counted.
const PAGE: u32 = 200;

/// What the handlers need beside the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AnalyticsView {
    /// A product with at most so many available is low on stock.
    pub low_stock: i32,
    /// Products in lists.
    pub top: u32,
    /// Milliseconds for which a dashboard is shown again as it is.
    pub refresh_ms: u64,
    /// Milliseconds for which the list of best sellers is: it reads every product's sums.
    pub top_refresh_ms: u64,
    /// Streams at once.
    pub streams: usize,
    /// With more open orders than this the orders in progress are told as one number.
    pub in_progress: u32,
}

impl Default for AnalyticsView {
    fn default() -> Self {
        Self { low_stock: 10, top: 10, refresh_ms: 1000, top_refresh_ms: 10_000, streams: 100, in_progress: 600 }
    }
}

/// How the node's actors fare, as [`Front::report`] tells it.
pub type Queues = Arc<dyn Fn() -> ActorsReport + Send + Sync>;

/// The analytics as the handlers use them; shared by all workers.
pub struct AnalyticsApi {
    reads: Arc<dyn Reads>,
    queues: Queues,
    times: Arc<StepTimes>,
    view: AnalyticsView,
    board: Mutex<Board>,
    streams: Arc<Semaphore>,
}

/// The dashboard as it was last read.
#[derive(Default)]
struct Board {
    read_at: Option<Instant>,
    numbers: DashboardNumbers,
    shown: Shown,
    top_read_at: Option<Instant>,
    top: Vec<TopProduct>,
}

/// A dashboard as it is sent; a new version has other numbers.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Shown {
    pub(super) version: u64,
    pub(super) json: Bytes,
}

impl AnalyticsApi {
    /// From its parts.
    #[must_use]
    pub fn new(reads: Arc<dyn Reads>, queues: Queues, times: Arc<StepTimes>, view: AnalyticsView) -> Self {
        let streams = Arc::new(Semaphore::new(view.streams));
        Self { reads, queues, times, view, board: Mutex::default(), streams }
    }

    /// From a node's front.
    #[must_use]
    pub fn of(front: Front, times: Arc<StepTimes>, view: AnalyticsView) -> Self {
        Self::new(front.reads().clone(), Arc::new(move || front.report()), times, view)
    }

    /// Ends the open streams within a second, and admits no more; for a node that stops.
    pub fn close(&self) {
        self.streams.close();
    }

    pub(super) fn admit_stream(&self) -> Option<OwnedSemaphorePermit> {
        self.streams.clone().try_acquire_owned().ok()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.streams.is_closed()
    }

    /// The dashboard, at most [`AnalyticsView::refresh_ms`] old.
    pub(super) async fn dashboard(&self) -> Result<Shown, AnalyticsError> {
        // Held while reading: who comes meanwhile gets the same answer instead of reading the same.
        let mut board = self.board.lock().await;
        if is_fresh(board.read_at, self.view.refresh_ms) {
            return Ok(board.shown.clone());
        }
        let now = now();
        let mut numbers = self.read(now).await?;
        if !is_fresh(board.top_read_at, self.view.top_refresh_ms) {
            board.top = self.top().await?;
            board.top_read_at = Some(Instant::now());
        }
        numbers.top_products.clone_from(&board.top);
        board.read_at = Some(Instant::now());
        if board.shown.version == 0 || numbers != board.numbers {
            let dashboard = Dashboard { as_of: now.to_string(), numbers };
            let json = serde_json::to_vec(&dashboard).map_err(AnalyticsError::Encode)?.into();
            board.shown = Shown { version: board.shown.version + 1, json };
            board.numbers = dashboard.numbers;
        }
        Ok(board.shown.clone())
    }

    async fn read(&self, now: Timestamp) -> Result<DashboardNumbers, StoreError> {
        let totals: Numbers = self.reads.analytics(TOTAL, TOTAL + 1).await?.iter().collect();
        let minute = minute_of(now);
        let minutes = self.reads.analytics(minute - SERIES_MINUTES + 1, minute + 1).await?;
        let low_stock = self.reads.low_stock(self.view.low_stock, self.view.top).await?;
        let in_progress = self.in_progress().await?;
        let mut numbers = view::dashboard(&totals, in_progress.as_deref());
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
            if seen >= self.view.in_progress {
                return Ok(None);
            }
        }
    }

    async fn top(&self) -> Result<Vec<TopProduct>, StoreError> {
        let rows = self.reads.analytics(PRODUCT_TOTAL, PRODUCT_TOTAL + 1).await?;
        let mut top = Vec::new();
        for sales in top_products(&rows, usize::try_from(self.view.top).unwrap_or(0)) {
            let product = self.reads.product(sales.product).await?;
            let name = product.map(|product| product.name.to_string());
            top.push(TopProduct { product_id: sales.product.0, name, units: sales.units, value: view::amount(sales.value) });
        }
        Ok(top)
    }

    /// How the node fares.
    pub(super) async fn metrics(&self) -> Result<SystemMetrics, AnalyticsError> {
        let now = now();
        let minute = minute_of(now);
        let first = minute - RATE_MINUTES + 1;
        let numbers: Numbers = self.reads.analytics(first, minute + 1).await?.iter().collect();
        let seconds = now.0.div_euclid(1_000_000) - first * 60;
        let (window, latencies) = self.times.summary();
        let actors = (self.queues)();
        let depth = |actor: crate::actors::ActorCount| QueueDepth { kind: actor.kind, waiting: actor.waiting, capacity: actor.capacity };
        Ok(SystemMetrics {
            as_of: now.to_string(),
            throughput: view::throughput(&numbers, seconds),
            error_rates: view::error_rates(&numbers),
            latencies: latencies.iter().map(view::latency).collect(),
            latency_window_seconds: window.as_secs(),
            queues: actors.actors.into_iter().map(depth).collect(),
            open_orders: actors.open_orders,
            open_orders_limit: actors.open_orders_limit,
            consumer_lag: Vec::new(),
        })
    }

    /// The hours from `from` to `to` (exclusive) in buckets.
    pub(super) async fn report(&self, from: i64, to: i64, bucket: Bucket) -> Result<Report, AnalyticsError> {
        let rows = self.reads.analytics(HOURS + from, HOURS + to).await?;
        let periods = report(&rows, from, to, bucket);
        let hour = |hour: i64| Timestamp(hour.saturating_mul(3_600_000_000)).to_string();
        Ok(Report {
            from: hour(from),
            to: hour(to),
            bucket: bucket.name().to_owned(),
            rows: periods.iter().map(|period| view::point(period.start, &period.numbers)).collect(),
        })
    }
}

pub(super) fn now() -> Timestamp {
    chrono::Utc::now().into()
}

fn is_fresh(read_at: Option<Instant>, for_ms: u64) -> bool {
    read_at.is_some_and(|at| at.elapsed() < Duration::from_millis(for_ms))
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
