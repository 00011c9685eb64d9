//! An order's events as server-sent events: its history so far, then live.
//!
//! The id of an event is its index in the history, so a client that comes back misses nothing. Nothing is queued for a slow client:
//! what it has not read yet is read from the store when it is ready for it.

use crate::actors::Watch;
use crate::db::StoredOrder;
use crate::domain::{OrderId, OrderStatus, Role};
use crate::http::door::call::{Call, seen};
use crate::http::door::state::HttpState;
use crate::http::forward::route as forward;
use crate::http::live::wait;
use crate::http::live::wait::LOOK_AGAIN;
use crate::http::wire::order::{HistoryView, history};
use crate::http::wire::problem::{Problem, ProblemKind};
use crate::http::wire::query::{no_params, path_id};
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream;
use serde::Serialize;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;
use utoipa::ToSchema;
use uuid::Uuid;

/// How long a disconnected client waits before it reconnects.
const RETRY: &str = "retry: 2000\n\n";

/// One event of an order.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OrderEventView {
    /// The order's id.
    pub order_id: Uuid,
    /// The event.
    #[serde(flatten)]
    pub entry: HistoryView,
}

/// Streams the order's history, then new events, until nothing more can happen.
///
/// `Last-Event-ID` resumes a stream that was cut off.
#[utoipa::path(get, operation_id = "followOrder", path = "/api/v1/orders/{id}/events", tag = "orders",
    params(("id" = Uuid, Path), ("Last-Event-ID" = Option<u32>, Header, description = "the last event that was seen")),
    responses((status = 200, description = "a stream of events; the last one, `end`, says that nothing more can happen", body = OrderEventView, content_type = "text/event-stream"),
        (status = 204, description = "all events have been sent, and nothing more can happen"), (status = 404, description = "no such order")))]
pub(crate) async fn order_events(call: Call, request: HttpRequest) -> Result<HttpResponse, Problem> {
    no_params(&request)?;
    let id = OrderId(path_id(&request)?);
    if let Some(answer) = follow(&call, &request, id).await? {
        return Ok(answer);
    }
    let place = call.state.streams.clone().try_acquire_owned();
    let place = place.map_err(|_| Problem::new(ProblemKind::Overloaded, "too many live streams are open"))?;
    let watch = call.state.handle.live().watch(id);
    let stored = seen(&call, wait::order(&call.state, id, None).await?)?;
    let next = next_of(request.headers());
    if is_over(&stored) && next >= stored.record.history.len() {
        return Ok(HttpResponse::NoContent().finish());
    }
    let events = Events::new(&call.state, id, watch, next, place);
    let stream = stream::unfold(events, |mut events| async { events.next().await.map(|chunk| (Ok::<_, Infallible>(chunk), events)) });
    let mut response = HttpResponse::Ok();
    response.insert_header((CONTENT_TYPE, "text/event-stream"));
    response.insert_header((CACHE_CONTROL, "no-store"));
    // Else some proxies hold the events back.
    response.insert_header(("x-accel-buffering", "no"));
    Ok(response.streaming(stream))
}

/// The stream of the order's owner, where that is another node. Who may not see the order learns nothing of where it is.
async fn follow(call: &Call, request: &HttpRequest, id: OrderId) -> Result<Option<HttpResponse>, Problem> {
    if call.state.handle.owns(Role::Order, call.state.handle.reads().shards().of(id)) {
        return Ok(None);
    }
    seen(call, wait::order(&call.state, id, None).await?)?;
    Ok(forward::follow(call, request, id).await)
}

fn next_of(headers: &HeaderMap) -> usize {
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()).and_then(|text| text.parse::<usize>().ok());
    last.map_or(0, |last| last.saturating_add(1))
}

/// Whether nothing more can happen to an order.
fn is_over(stored: &StoredOrder) -> bool {
    let is_last = match stored.status {
        OrderStatus::Shipped | OrderStatus::Failed | OrderStatus::Cancelled => true,
        OrderStatus::Pending
        | OrderStatus::InventoryReserved
        | OrderStatus::Confirmed
        | OrderStatus::PaymentFailed
        | OrderStatus::Cancelling
        | OrderStatus::Refunding => false,
    };
    is_last && !stored.open
}

struct Events {
    state: Arc<HttpState>,
    id: OrderId,
    watch: Watch,
    stopping: watch::Receiver<bool>,
    next: usize,
    end: Instant,
    started: bool,
    ended: bool,
    _place: OwnedSemaphorePermit,
}

impl Events {
    fn new(state: &Arc<HttpState>, id: OrderId, watch: Watch, next: usize, place: OwnedSemaphorePermit) -> Self {
        let end = Instant::now() + Duration::from_millis(state.settings.server.stream_limit_ms);
        let (state, stopping) = (state.clone(), state.stopping.subscribe());
        Self { state, id, watch, stopping, next, end, started: false, ended: false, _place: place }
    }

    /// The next piece of the stream; none at its end.
    async fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        if !self.started {
            self.started = true;
            let chunk = format!("{RETRY}{}", self.unseen().await.unwrap_or_default());
            return Some(chunk.into());
        }
        let heartbeat = Duration::from_millis(self.state.settings.server.heartbeat_ms);
        let mut quiet_until = Instant::now() + heartbeat;
        loop {
            if *self.stopping.borrow_and_update() || Instant::now() >= self.end {
                return None;
            }
            // Who lives on another node tells nothing here: then the order is looked at now and then.
            let shard = self.state.handle.reads().shards().of(self.id);
            let is_told = self.state.handle.owns(Role::Order, shard);
            let look_again = if is_told { quiet_until } else { quiet_until.min(Instant::now() + LOOK_AGAIN) };
            tokio::select! {
                change = self.watch.changed() => {
                    if change.is_none() {
                        tokio::time::sleep_until(look_again).await;
                    }
                }
                () = tokio::time::sleep_until(look_again.min(self.end)) => {}
                _ = self.stopping.changed() => continue,
            };
            let is_quiet = Instant::now() >= quiet_until;
            match self.unseen().await {
                Some(chunk) => return Some(chunk.into()),
                None if is_quiet => return Some(Bytes::from_static(b": still here\n\n")),
                None => quiet_until = quiet_until.max(Instant::now()),
            }
        }
    }

    /// The events that were not sent yet; none when there are none, or when they cannot be read now.
    async fn unseen(&mut self) -> Option<String> {
        let stored = self.state.handle.reads().order(self.id).await.ok().flatten()?;
        let mut chunk = String::new();
        for (index, entry) in history(&stored).into_iter().enumerate().skip(self.next) {
            let event = entry.event;
            let data = serde_json::to_string(&OrderEventView { order_id: self.id.0, entry }).unwrap_or_default();
            chunk.push_str(&format!("id: {index}\nevent: {event}\ndata: {data}\n\n"));
            self.next = index + 1;
        }
        if is_over(&stored) {
            self.ended = true;
            chunk.push_str("event: end\ndata: {}\n\n");
        }
        (!chunk.is_empty()).then_some(chunk)
    }
}
