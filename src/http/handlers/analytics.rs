//! The business' numbers over HTTP: dashboard, metrics, reports, and the dashboard as a stream.
//!
//! Everything is read from sums (totals, an hour of minutes, hours), so an answer costs the same with ten orders as with a million.
//! It counts nothing itself and knows nothing of who counts.

#[cfg(test)]
mod tests;

use crate::domain::Timestamp;
use crate::domain::analytics::{Bucket, Span, minute_of};
use crate::http::door::call::Call;
use crate::http::numbers::board::{Board, Shown, unwritten};
use crate::http::wire::analytics::{Dashboard, Report, SystemMetrics};
use crate::http::wire::problem::{Problem, ProblemKind};
use crate::http::wire::query::{Params, no_params};
use crate::http::wire::values::{self, Place};
use actix_web::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;

/// The longest report, in minutes: a year and a month.
const REPORT_MINUTES_MAX: i64 = 400 * 24 * 60;
/// How often a stream looks for new numbers.
const STREAM_EVERY: Duration = Duration::from_secs(1);

/// What the dashboard shows.
///
/// Everything that the page at `/` shows, in one answer.
#[utoipa::path(get, operation_id = "showDashboard", path = "/api/v1/analytics/dashboard", tag = "analytics", responses((status = 200, body = Dashboard)))]
pub(crate) async fn dashboard(call: Call, request: HttpRequest) -> Result<HttpResponse, Problem> {
    no_params(&request)?;
    let shown = call.state.analytics.dashboard().await?;
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).content_type("application/json").body(shown.json))
}

/// The node's throughput, error rates, latencies and queues.
///
/// For the answering node.
#[utoipa::path(get, operation_id = "showSystemMetrics", path = "/api/v1/analytics/metrics", tag = "analytics", responses((status = 200, body = SystemMetrics)))]
pub(crate) async fn metrics(call: Call, request: HttpRequest) -> Result<HttpResponse, Problem> {
    no_params(&request)?;
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(call.state.analytics.metrics().await?))
}

/// A report on a period, by hour, day or week.
///
/// Orders, sales, payments and notices, as JSON, or as CSV for a spreadsheet.
#[utoipa::path(get, operation_id = "showReport", path = "/api/v1/analytics/reports", tag = "analytics",
    params(
        ("from" = Option<String>, Query, description = "RFC 3339, a date (UTC), or a time before now such as `1h` or `7d`; seconds are dropped; default: 24 hours, 30 days or 12 weeks before `to`"),
        ("to" = Option<String>, Query, description = "the end, exclusive, in the form of `from`; default: now; at most 400 days after `from`"),
        ("bucket" = Option<String>, Query, description = "`hour` (UTC), `day` (default) or `week` (from Monday). Days and weeks start by the UTC offset of `from`; of the first and last one, only the part in the range is counted"),
        ("format" = Option<String>, Query, description = "`json` (default) or `csv`")),
    responses((status = 200, content((Report = "application/json"), (String = "text/csv")))))]
pub(crate) async fn reports(call: Call, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let wanted = Wanted::of(&request, values::now())?;
    let report = call.state.analytics.report(&wanted.span).await?;
    let mut response = HttpResponse::Ok();
    response.insert_header((CACHE_CONTROL, "no-store"));
    match wanted.format {
        Format::Json => Ok(response.json(report)),
        Format::Csv => {
            let name = format!("attachment; filename=\"ordermill-{}.csv\"", report.bucket);
            let body = crate::http::numbers::view::csv(&report.rows).map_err(|error| unwritten(&error))?;
            Ok(response.content_type("text/csv; charset=utf-8").insert_header((CONTENT_DISPOSITION, name)).body(body))
        }
    }
}

/// The dashboard as server-sent events: now, and at most once a second while it changes.
///
/// For pages that stay open.
#[utoipa::path(get, operation_id = "followDashboard", path = "/api/v1/analytics/stream", tag = "analytics",
    responses((status = 200, description = "events named `dashboard`", body = Dashboard, content_type = "text/event-stream")))]
pub(crate) async fn stream(call: Call, request: HttpRequest) -> Result<HttpResponse, Problem> {
    no_params(&request)?;
    let place = call.state.streams.clone().try_acquire_owned();
    let place = place.map_err(|_| Problem::new(ProblemKind::Overloaded, "too many live streams are open"))?;
    let server = &call.state.settings.server;
    let looking = Looking {
        board: call.state.analytics.clone(),
        stopping: call.state.stopping.subscribe(),
        first: Some(call.state.analytics.dashboard().await?),
        version: 0,
        heartbeat: Duration::from_millis(server.heartbeat_ms),
        end: Instant::now() + Duration::from_millis(server.stream_limit_ms),
        _place: place,
    };
    let events = stream::unfold(looking, |mut looking| async { looking.next().await.map(|event| (Ok::<_, Infallible>(event), looking)) });
    let mut response = HttpResponse::Ok();
    response.insert_header((CONTENT_TYPE, "text/event-stream"));
    response.insert_header((CACHE_CONTROL, "no-store"));
    // Else some proxies hold the events back.
    response.insert_header(("x-accel-buffering", "no"));
    Ok(response.streaming(events))
}

/// One open stream.
struct Looking {
    board: Arc<Board>,
    stopping: watch::Receiver<bool>,
    first: Option<Shown>,
    version: u64,
    heartbeat: Duration,
    end: Instant,
    _place: OwnedSemaphorePermit,
}

impl Looking {
    /// What to send next; none at the stream's end or when the node stops.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(shown) = self.first.take() {
            return Some(self.event(&shown));
        }
        let quiet_until = Instant::now() + self.heartbeat;
        loop {
            // An error means that the node is gone.
            let stops = tokio::time::timeout(STREAM_EVERY, self.stopping.wait_for(|stopping| *stopping)).await.is_ok();
            if stops || Instant::now() >= self.end {
                return None;
            }
            // A store that cannot be read now is looked at again: the client sees the last numbers meanwhile.
            if let Ok(shown) = self.board.dashboard().await
                && shown.version != self.version
            {
                return Some(self.event(&shown));
            }
            if Instant::now() >= quiet_until {
                return Some(Bytes::from_static(b": still here\n\n"));
            }
        }
    }

    fn event(&mut self, shown: &Shown) -> Bytes {
        self.version = shown.version;
        let head: &[u8] = b"event: dashboard\ndata: ";
        [head, &shown.json, b"\n\n"].concat().into()
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Format {
    Json,
    Csv,
}

/// A report as a client wants it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Wanted {
    span: Span,
    format: Format,
}

impl Wanted {
    fn of(request: &HttpRequest, now: Timestamp) -> Result<Self, Problem> {
        let mut params = Params::of(request, &["from", "to", "bucket", "format"]);
        let bucket = params.take("bucket", |name| Bucket::from_name(name).ok_or_else(|| "must be hour, day or week".to_owned()));
        let bucket = bucket.unwrap_or(Bucket::Day);
        let format = params.take("format", |name| match name {
            "json" => Ok(Format::Json),
            "csv" => Ok(Format::Csv),
            _ => Err("must be json or csv".to_owned()),
        });
        let (to, from) = (params.when("to", now), params.when("from", now));
        let offset = from.or(to).map_or(0, |when| i64::from(when.offset_minutes));
        // Both ends are cut off alike, so that reports that follow each other neither overlap nor leave a gap; the minute that is
        // running is in a report up to now.
        let to = to.map_or(minute_of(now) + 1, |to| minute_of(to.at));
        let back = match bucket {
            Bucket::Hour => 24 * 60,
            Bucket::Day => 30 * 24 * 60,
            Bucket::Week => 12 * 7 * 24 * 60,
        };
        let from = from.map_or((to - back).max(0), |from| minute_of(from.at));
        if params.errors.is_empty() && from >= to {
            params.errors.add(Place::Query, "/to".to_owned(), "must be at least a minute after from");
        }
        if params.errors.is_empty() && to - from > REPORT_MINUTES_MAX {
            params.errors.add(Place::Query, "/from".to_owned(), "must be at most 400 days before to");
        }
        params.done(Self { span: Span { from, to, bucket, offset }, format: format.unwrap_or(Format::Json) })
    }
}
