//! The business' numbers over HTTP: dashboard, metrics, reports, and the dashboard as a stream.
//!
//! Everything is read from sums (totals, an hour of minutes, hours), so an answer costs the same with ten orders as with a million.
//! It counts nothing itself and knows nothing of who counts.

mod board;
#[cfg(test)]
mod tests;
mod view;
mod wire;

pub use board::{AnalyticsApi, AnalyticsView, Queues};
pub use wire::*;

use crate::db::StoreError;
use crate::domain::Timestamp;
use crate::domain::analytics::{Bucket, hours_of};
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, ContentEncoding};
use actix_web::web::{Bytes, Data, Query, ServiceConfig, get};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use futures_util::stream;
use std::time::Duration;

/// The longest report, in hours: a year and a month.
const REPORT_HOURS_MAX: i64 = 400 * 24;
/// How often a stream looks for new numbers.
const STREAM_EVERY: Duration = Duration::from_secs(1);
/// A stream without new numbers says so after so many looks, so that proxies keep it open.
const STREAM_IDLE_LOOKS: u32 = 15;

/// The routes; they need the key of an operator.
pub const ROUTES: [&str; 4] =
    ["/api/v1/analytics/dashboard", "/api/v1/analytics/metrics", "/api/v1/analytics/reports", "/api/v1/analytics/stream"];

/// Adds the routes as they are, for a server that has no route list of its own.
pub fn routes(api: Data<AnalyticsApi>) -> impl FnOnce(&mut ServiceConfig) {
    move |config| {
        let [dashboard_at, metrics_at, reports_at, stream_at] = ROUTES;
        config.app_data(api);
        config.route(dashboard_at, get().to(dashboard)).route(metrics_at, get().to(metrics));
        config.route(reports_at, get().to(reports)).route(stream_at, get().to(stream));
    }
}

/// The part of the OpenAPI document that describes these routes.
#[derive(utoipa::OpenApi)]
#[openapi(paths(dashboard, metrics, reports, stream), components(schemas(Dashboard, SystemMetrics, Report)))]
pub struct AnalyticsDoc;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AnalyticsError {
    /// Parameters that break their rules, each with what is wrong: 400.
    #[error("the query breaks a rule")]
    Query(Vec<(&'static str, String)>),
    /// As many streams are open as may be, or the node stops: 503.
    #[error("too many streams are open")]
    Streams,
    /// The numbers cannot be read now: 503.
    #[error("the numbers cannot be read now")]
    Store(#[from] StoreError),
    /// A bug: 500.
    #[error("the answer could not be written")]
    Encode(#[source] serde_json::Error),
    /// A bug: 500.
    #[error("the answer could not be written")]
    Csv(#[from] csv::Error),
}

impl AnalyticsError {
    fn kind(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Query(_) => (StatusCode::BAD_REQUEST, "/problems/invalid-request", "The request breaks a rule"),
            Self::Streams => (StatusCode::SERVICE_UNAVAILABLE, "/problems/overloaded", "Too much is under way"),
            Self::Store(_) => (StatusCode::SERVICE_UNAVAILABLE, "/problems/unavailable", "This cannot be done now"),
            Self::Encode(_) | Self::Csv(_) => (StatusCode::INTERNAL_SERVER_ERROR, "/problems/internal-error", "Something went wrong here"),
        }
    }
}

impl ResponseError for AnalyticsError {
    fn status_code(&self) -> StatusCode {
        self.kind().0
    }

    fn error_response(&self) -> HttpResponse {
        let (status, kind, title) = self.kind();
        let errors: Vec<_> = match self {
            Self::Query(errors) => errors.as_slice(),
            Self::Streams | Self::Store(_) | Self::Encode(_) | Self::Csv(_) => &[],
        }
        .iter()
        .map(|(name, detail)| serde_json::json!({ "in": "query", "pointer": name, "detail": detail }))
        .collect();
        let body = serde_json::json!({
            "type": kind, "title": title, "status": status.as_u16(), "detail": self.to_string(), "errors": errors,
        });
        HttpResponse::build(status).insert_header((CONTENT_TYPE, "application/problem+json")).body(body.to_string())
    }
}

/// What the dashboard shows.
///
/// # Errors
/// The numbers cannot be read.
#[utoipa::path(get, path = "/api/v1/analytics/dashboard", tag = "analytics", responses((status = 200, body = Dashboard)))]
pub async fn dashboard(api: Data<AnalyticsApi>) -> Result<HttpResponse, AnalyticsError> {
    let shown = api.dashboard().await?;
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).content_type("application/json").body(shown.json))
}

/// How the node fares: throughput, error rates, latencies, queues.
///
/// # Errors
/// The numbers cannot be read.
#[utoipa::path(get, path = "/api/v1/analytics/metrics", tag = "analytics", responses((status = 200, body = SystemMetrics)))]
pub async fn metrics(api: Data<AnalyticsApi>) -> Result<HttpResponse, AnalyticsError> {
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(api.metrics().await?))
}

/// What happened in a time, by the hour, day or week.
///
/// # Errors
/// The query breaks a rule, or the numbers cannot be read.
#[utoipa::path(
    get,
    path = "/api/v1/analytics/reports",
    tag = "analytics",
    params(
        ("from" = Option<String>, Query, description = "RFC 3339 or a date (UTC), rounded down to the hour; default: 24 hours, 30 days or 12 weeks before `to`"),
        ("to" = Option<String>, Query, description = "the end, exclusive, rounded up to the hour; default: now; at most 400 days after `from`"),
        ("bucket" = Option<String>, Query, description = "`hour`, `day` (UTC; default) or `week` (UTC, from Monday)"),
        ("format" = Option<String>, Query, description = "`json` (default) or `csv`"),
    ),
    responses((status = 200, content((Report = "application/json"), (String = "text/csv"))), (status = 400, description = "the query breaks a rule"))
)]
pub async fn reports(api: Data<AnalyticsApi>, request: HttpRequest) -> Result<HttpResponse, AnalyticsError> {
    let wanted = Wanted::parse(request.query_string(), board::now()).map_err(AnalyticsError::Query)?;
    let report = api.report(wanted.from, wanted.to, wanted.bucket).await?;
    let mut response = HttpResponse::Ok();
    response.insert_header((CACHE_CONTROL, "no-store"));
    match wanted.format {
        Format::Json => Ok(response.json(report)),
        Format::Csv => {
            let name = format!("attachment; filename=\"ordermill-{}.csv\"", report.bucket);
            let body = view::csv(&report.rows)?;
            Ok(response.content_type("text/csv; charset=utf-8").insert_header((CONTENT_DISPOSITION, name)).body(body))
        }
    }
}

/// The dashboard as server-sent events: now, and at most once a second while it changes.
///
/// # Errors
/// Too many streams are open, or the numbers cannot be read.
#[utoipa::path(
    get,
    path = "/api/v1/analytics/stream",
    tag = "analytics",
    responses((status = 200, description = "events named `dashboard`, each a Dashboard", content_type = "text/event-stream"))
)]
pub async fn stream(api: Data<AnalyticsApi>) -> Result<HttpResponse, AnalyticsError> {
    let place = api.admit_stream().ok_or(AnalyticsError::Streams)?;
    let first = api.dashboard().await?;
    let start = Looking { api, version: 0, first: Some(first), _place: place };
    let events =
        stream::unfold(start, |mut looking| async move { looking.next().await.map(|event| (Ok::<_, AnalyticsError>(event), looking)) });
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((CACHE_CONTROL, "no-store"))
        // A compressor would hold the events back.
        .insert_header(ContentEncoding::Identity)
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(events))
}

/// One open stream.
struct Looking {
    api: Data<AnalyticsApi>,
    version: u64,
    first: Option<board::Shown>,
    _place: tokio::sync::OwnedSemaphorePermit,
}

impl Looking {
    /// What to send next; none when the node stops.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(shown) = self.first.take() {
            return Some(self.event(&shown));
        }
        for _ in 0..STREAM_IDLE_LOOKS {
            tokio::time::sleep(STREAM_EVERY).await;
            if self.api.is_closed() {
                return None;
            }
            // A store that cannot be read now is looked at again: the client sees the last numbers meanwhile.
            if let Ok(shown) = self.api.dashboard().await
                && shown.version != self.version
            {
                return Some(self.event(&shown));
            }
        }
        Some(Bytes::from_static(b": nothing new\n\n"))
    }

    fn event(&mut self, shown: &board::Shown) -> Bytes {
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

/// A report as a client wants it; hours since 1970.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Wanted {
    from: i64,
    to: i64,
    bucket: Bucket,
    format: Format,
}

impl Wanted {
    fn parse(query: &str, now: Timestamp) -> Result<Self, Vec<(&'static str, String)>> {
        let mut errors = Vec::new();
        let pairs = Query::<Vec<(String, String)>>::from_query(query).map(Query::into_inner).unwrap_or_default();
        let (mut from, mut to, mut bucket, mut format) = (None, None, Bucket::Day, Format::Json);
        for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
            match name.as_str() {
                "from" => from = time(value).map_err(|detail| errors.push(("from", detail))).ok(),
                "to" => to = time(value).map_err(|detail| errors.push(("to", detail))).ok(),
                "bucket" => match Bucket::from_name(value) {
                    Some(known) => bucket = known,
                    None => errors.push(("bucket", "must be hour, day or week".to_owned())),
                },
                "format" => match value.as_str() {
                    "json" => format = Format::Json,
                    "csv" => format = Format::Csv,
                    _ => errors.push(("format", "must be json or csv".to_owned())),
                },
                _ => errors.push(("", format!("{} is not a known parameter", name.escape_debug()))),
            }
        }
        let to = to.unwrap_or(now);
        let back_hours = match bucket {
            Bucket::Hour => 24,
            Bucket::Day => 30 * 24,
            Bucket::Week => 12 * 7 * 24,
        };
        let from = from.unwrap_or(Timestamp(to.0.saturating_sub(back_hours * 3_600_000_000)));
        let (from, to) = hours_of(from, to);
        if errors.is_empty() && from >= to {
            errors.push(("to", "must be after from".to_owned()));
        }
        if errors.is_empty() && to - from > REPORT_HOURS_MAX {
            errors.push(("from", "must be at most 400 days before to".to_owned()));
        }
        if errors.is_empty() { Ok(Self { from, to, bucket, format }) } else { Err(errors) }
    }
}

/// RFC 3339, or a date as its first moment in UTC; in years that reports can have.
fn time(text: &str) -> Result<Timestamp, String> {
    // An unescaped + of an offset arrives as a space.
    let text = text.replace(' ', "+");
    let parsed = Timestamp::parse(&text).or_else(|_| Timestamp::parse(&format!("{text}T00:00:00Z")));
    let in_range = |at: &Timestamp| (0..=253_402_300_799_999_999).contains(&at.0);
    parsed.ok().filter(in_range).ok_or_else(|| "must be a time such as 2026-01-31T00:00:00Z or a date such as 2026-01-31".to_owned())
}
