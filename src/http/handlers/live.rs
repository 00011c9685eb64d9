//! What pages show, as one stream of server-sent events: attention, figures, a list of orders, one order. And who the caller is.
//!
//! Each event is the whole of its topic, sent when it has changed and at most a few times a second, so a slow page misses nothing that
//! still matters, and nothing is queued for it. An event's id says what has been sent of each topic; a stream that is resumed with it
//! repeats nothing.

use crate::config::AccessRole;
use crate::db::OrderFilter;
use crate::domain::{OrderId, Role};
use crate::http::door::call::{Call, seen};
use crate::http::handlers::orders;
use crate::http::live::wait;
use crate::http::wire::attention::AttentionView;
use crate::http::wire::caller::CallerView;
use crate::http::wire::problem::{Problem, ProblemKind};
use crate::http::wire::query::{Params, no_params};
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream;
use sha2::{Digest, Sha256};
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;

/// How long a disconnected page waits before it reconnects; and the time between two looks.
const RETRY: &str = "retry: 1000\n\n";
const EVERY: Duration = Duration::from_millis(400);
/// Looking takes at most this share of a stream's time.
const SHARE: u32 = 10;

/// Shows what the caller's key is for.
///
/// For pages: what they may show.
#[utoipa::path(get, operation_id = "showCaller", path = "/api/v1/whoami", tag = "node",
    responses((status = 200, description = "the caller", body = CallerView)))]
pub(crate) async fn whoami(call: Call, request: HttpRequest) -> Result<HttpResponse, Problem> {
    no_params(&request)?;
    let currency = call.state.settings.kafka.currency.clone();
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(CallerView {
        name: call.caller.name.to_string(),
        role: call.caller.role.name(),
        customer_id: call.caller.customer.map(|customer| customer.0),
        has_keys: call.state.access.has_keys(),
        currency: Some(currency).filter(|currency| !currency.is_empty()),
    }))
}

/// Shows what needs attention; empty while all is well.
///
/// Open dead letters, parked orders, orders that stand still, open breakers of the answering node, role shards without a node, lag.
#[utoipa::path(get, operation_id = "showAttention", path = "/api/v1/admin/attention", tag = "admin",
    responses((status = 200, description = "what needs attention", body = AttentionView)))]
pub(crate) async fn attention(call: Call, request: HttpRequest) -> Result<HttpResponse, Problem> {
    no_params(&request)?;
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(call.state.attention.view().await))
}

/// Streams what a page shows.
///
/// Each event is named after its topic and holds all of it: `attention` and `dashboard` (for operators), `orders` (the first page of the
/// list, with its filters) and `order` (one order). It is sent when it has changed, at most a few times a second. `elsewhere` names
/// topics that this node cannot answer because it does not host their role: ask for them with GET. `Last-Event-ID` resumes a stream: what was
/// sent and has not changed is not sent again.
#[utoipa::path(get, operation_id = "followPage", path = "/api/v1/live", tag = "node",
    params(("topics" = String, Query, description = "`attention`, `dashboard`, `orders`, `order`; separated by commas"),
        ("orderId" = Option<uuid::Uuid>, Query, description = "of the topic `order`"),
        ("customerId" = Option<uuid::Uuid>, Query, description = "of the topic `orders`, as in its list"),
        ("status" = Option<crate::http::wire::values::Status>, Query), ("from" = Option<String>, Query), ("to" = Option<String>, Query),
        ("limit" = Option<u32>, Query, description = "1 to 200, default 50"),
        ("Last-Event-ID" = Option<String>, Header, description = "the last event that was seen")),
    responses((status = 200, description = "a stream of events", body = String, content_type = "text/event-stream"),
        (status = 404, description = "no such order")))]
pub(crate) async fn stream(call: Call, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(&request, &[orders::FILTERS, &["topics", "orderId", "limit"]].concat());
    let topics = params.take("topics", |text| {
        let topics: Option<Vec<Topic>> = text.split(',').map(Topic::from_name).collect();
        topics.ok_or_else(|| "must be some of attention, dashboard, orders, order, separated by commas".to_owned())
    });
    let id = params.uuid("orderId").map(OrderId);
    let filter = orders::read_filter(&call, &mut params);
    let topics = params.done(topics)?.unwrap_or_default();
    let is_for_operators = topics.iter().any(|topic| matches!(topic, Topic::Attention | Topic::Dashboard));
    if is_for_operators && call.caller.role < AccessRole::Operator {
        return Err(Problem::new(ProblemKind::Forbidden, "attention and dashboard need the role operator"));
    }
    if !filter.customer.is_none_or(|customer| call.caller.sees(customer)) {
        return Err(Problem::new(ProblemKind::Forbidden, "this key can only see the orders of its own customerId"));
    }
    let hosted = call.state.settings.cluster.hosted();
    let (here, elsewhere): (Vec<_>, Vec<_>) = topics.into_iter().partition(|topic| topic.role().is_none_or(|role| hosted.has(role)));
    if let Some(id) = id.filter(|_| here.contains(&Topic::Order)) {
        seen(&call, wait::order(&call.state, id, None).await?)?;
    }
    let place = call.state.streams.clone().try_acquire_owned();
    let place = place.map_err(|_| Problem::new(ProblemKind::Overloaded, "too many live streams are open"))?;
    let names: Vec<&str> = elsewhere.iter().map(|topic| topic.name()).collect();
    let server = &call.state.settings.server;
    let page = LivePage {
        head: Some(format!("{RETRY}event: elsewhere\ndata: {}\n\n", serde_json::json!(names))),
        sent: here.into_iter().map(|topic| (topic, seen_before(request.headers(), topic))).collect(),
        order: id,
        filter,
        stopping: call.state.stopping.subscribe(),
        heartbeat: Duration::from_millis(server.heartbeat_ms),
        look_at: Instant::now(),
        end: Instant::now() + Duration::from_millis(server.stream_limit_ms),
        call,
        _place: place,
    };
    let events = stream::unfold(page, |mut page| async { page.next().await.map(|chunk| (Ok::<_, Infallible>(chunk), page)) });
    let mut response = HttpResponse::Ok();
    response.insert_header((CONTENT_TYPE, "text/event-stream"));
    response.insert_header((CACHE_CONTROL, "no-store"));
    // Else some proxies hold the events back.
    response.insert_header(("x-accel-buffering", "no"));
    Ok(response.streaming(events))
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Topic {
    Attention,
    Dashboard,
    Orders,
    Order,
}

impl Topic {
    fn from_name(name: &str) -> Option<Self> {
        [Self::Attention, Self::Dashboard, Self::Orders, Self::Order].into_iter().find(|topic| topic.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Attention => "attention",
            Self::Dashboard => "dashboard",
            Self::Orders => "orders",
            Self::Order => "order",
        }
    }

    /// The role whose rows it is read from.
    fn role(self) -> Option<Role> {
        match self {
            Self::Attention => None,
            Self::Dashboard => Some(Role::Analytics),
            Self::Orders | Self::Order => Some(Role::Order),
        }
    }
}

/// The mark of what was sent of a topic, in the id that a page has seen last.
fn seen_before(headers: &HeaderMap, topic: Topic) -> Option<String> {
    let last = headers.get("last-event-id")?.to_str().ok()?;
    last.split('.').find_map(|part| part.strip_prefix(topic.name())?.strip_prefix('-').map(str::to_owned))
}

struct LivePage {
    call: Call,
    /// What the stream begins with.
    head: Option<String>,
    /// The topics, and the mark of what was sent of each.
    sent: Vec<(Topic, Option<String>)>,
    order: Option<OrderId>,
    filter: OrderFilter,
    stopping: watch::Receiver<bool>,
    heartbeat: Duration,
    /// When to look again.
    look_at: Instant,
    end: Instant,
    _place: OwnedSemaphorePermit,
}

impl LivePage {
    /// What to send next; none at the stream's end or when the node stops.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(head) = self.head.take() {
            return Some(head.into());
        }
        let quiet_until = Instant::now() + self.heartbeat;
        loop {
            // An error means that the node is gone.
            let stops = tokio::time::timeout_at(self.look_at, self.stopping.wait_for(|stopping| *stopping)).await.is_ok();
            if stops || Instant::now() >= self.end {
                return None;
            }
            let start = Instant::now();
            let chunk = self.changes().await;
            self.look_at = Instant::now() + EVERY.max(start.elapsed() * SHARE);
            if !chunk.is_empty() {
                return Some(chunk.into());
            }
            if Instant::now() >= quiet_until {
                return Some(Bytes::from_static(b": still here\n\n"));
            }
        }
    }

    /// The topics that have changed. One that cannot be read now is looked at again: the page shows the last one meanwhile.
    async fn changes(&mut self) -> String {
        let mut chunk = String::new();
        for at in 0..self.sent.len() {
            let Some(topic) = self.sent.get(at).map(|(topic, _)| *topic) else { continue };
            let Ok(Some(json)) = self.read(topic).await else { continue };
            let mark = hex::encode(Sha256::digest(&json).get(..6).unwrap_or_default());
            let Some((_, sent)) = self.sent.get_mut(at) else { continue };
            if sent.as_ref() == Some(&mark) {
                continue;
            }
            *sent = Some(mark);
            let marks = self.sent.iter().filter_map(|(topic, mark)| Some(format!("{}-{}", topic.name(), mark.as_ref()?)));
            let id = marks.collect::<Vec<_>>().join(".");
            chunk.push_str(&format!("id: {id}\nevent: {}\ndata: {}\n\n", topic.name(), String::from_utf8_lossy(&json)));
        }
        chunk
    }

    async fn read(&self, topic: Topic) -> Result<Option<Bytes>, Problem> {
        let call = &self.call;
        let json = match topic {
            Topic::Attention => serde_json::to_vec(&call.state.attention.view().await),
            Topic::Dashboard => return Ok(Some(call.state.analytics.dashboard().await?.json)),
            Topic::Orders => serde_json::to_vec(&orders::page(call, self.filter).await?),
            Topic::Order => {
                let Some(id) = self.order else { return Ok(None) };
                let stored = seen(call, wait::order(&call.state, id, None).await?)?;
                serde_json::to_vec(&orders::whole(call, &stored).await?)
            }
        };
        Ok(json.ok().map(Bytes::from))
    }
}
