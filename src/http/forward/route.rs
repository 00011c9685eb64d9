//! Requests that another node must answer: an order's commands and live views belong to its owner, a role's routes to a node that
//! hosts the role. This node sends such a request on, once, and gives the answer back as it comes.
//!
//! Promises: a request that came from another node is never sent on again; the caller's key stays here, and the other node is told
//! who asks, provably; the correlation id and what else a client can set reach the other node, which judges it itself; one that may have been taken is never sent a second time. So nothing is
//! done twice, and a client that is told 503 knows that nothing was done. An order is placed elsewhere under an id that this node has
//! chosen: if the answer is lost, the client can still be told which order to ask for.

use crate::actors::Owner;
use crate::domain::{OrderId, Role, Shard};
use crate::http::door::body;
use crate::http::door::call::Call;
use crate::http::door::state::HttpState;
use crate::http::forward::headers::FORWARDED;
use crate::http::forward::send::{self, ForwardedRequest, Lost};
use crate::http::wire::problem::{Problem, ProblemKind};
use crate::http::wire::query::{asked_wait, path_id};
use actix_web::http::Method;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::{Bytes, Payload};
use actix_web::{HttpRequest, HttpResponse};
use std::time::Duration;

/// A node that does not accept a request may just have died: how many nodes are tried before the client must retry.
const TRIES: usize = 2;

/// Sends a request for a role that this node does not host to one that does.
///
/// # Errors
/// 404 where another team has the role; 503, 504 as [`Lost`].
pub(crate) async fn to_host(call: &Call, request: &HttpRequest, payload: Payload, role: Role) -> Result<HttpResponse, Problem> {
    if call.state.settings.cluster.external().has(role) {
        return Err(Problem::new(ProblemKind::NotFound, format!("the {} role is run by another team", role.name())));
    }
    let body = body::any(&call.state, request, payload).await?;
    learn(call).await?;
    let is_read = request.method() == Method::GET || request.method() == Method::HEAD;
    match path_id(request).map(OrderId) {
        Ok(order) if role == Role::Order && !is_read => return to_owner(call, request, body, (role, order), None).await,
        Ok(order) if role == Role::Order => {
            if let Some(answer) = follow(call, request, order).await {
                return Ok(answer);
            }
        }
        Ok(_) | Err(_) if role == Role::Order && !is_read => return place(call, request, body).await,
        Ok(_) | Err(_) => {}
    }
    let cluster = call.state.handle.cluster();
    let mut hosts: Vec<&str> = cluster.reachable_hosts(role).map(|row| row.url.as_str()).collect();
    if !hosts.is_empty() {
        let first = call.state.nodes.turn() % hosts.len();
        hosts.rotate_left(first);
    }
    let mut lost = not_taken(format!("no node that hosts {} can be reached", role.name()));
    for url in hosts.into_iter().take(TRIES) {
        lost = match send(call, request, &ForwardedRequest::new(request, body.clone()), url).await {
            Err(Lost::NotTaken) => lost,
            Err(Lost::Unknown) if is_read => not_taken("the connection to the node that answers this was lost".to_owned()),
            Err(Lost::Unknown) => return Err(unknown(None)),
            Err(Lost::Loop) => return Err(looped()),
            Ok(answer) => return Ok(answer),
        };
    }
    Err(lost)
}

/// Sends a request on to the owner of an order; `path` where it is another one than the request's.
///
/// # Errors
/// 503, 504 as [`Lost`].
pub(crate) async fn to_owner(
    call: &Call,
    request: &HttpRequest,
    body: Bytes,
    (role, order): (Role, OrderId),
    path: Option<&str>,
) -> Result<HttpResponse, Problem> {
    let shard = call.state.handle.reads().shards().of(order);
    to_shard(call, request, body, (role, shard), path).await.map_err(|problem| problem.about(order))
}

/// The same for a shard's owner.
///
/// # Errors
/// 503, 504 as [`Lost`].
pub(crate) async fn to_shard(
    call: &Call,
    request: &HttpRequest,
    body: Bytes,
    (role, shard): (Role, Shard),
    path: Option<&str>,
) -> Result<HttpResponse, Problem> {
    learn(call).await?;
    let mut tried: Option<String> = None;
    for _ in 0..TRIES {
        let url = match call.state.handle.owner(role, shard) {
            Owner::Other { url, .. } if tried.as_ref() != Some(&url) => url,
            Owner::Other { .. } | Owner::Nobody | Owner::Me => break,
        };
        let mut forwarded = ForwardedRequest::new(request, body.clone());
        forwarded.path = path;
        match send(call, request, &forwarded, &url).await {
            Ok(answer) => return Ok(answer),
            Err(Lost::NotTaken) => tried = Some(url),
            Err(Lost::Unknown) => return Err(unknown(None)),
            Err(Lost::Loop) => return Err(looped()),
        }
    }
    Err(not_taken("the node that owns the order cannot be reached at the moment; nothing was stored".to_owned()))
}

/// Has another node place an order.
///
/// # Errors
/// 503, 504 as [`Lost`].
pub(crate) async fn place(call: &Call, request: &HttpRequest, body: Bytes) -> Result<HttpResponse, Problem> {
    learn(call).await?;
    for _ in 0..TRIES {
        let Some((order, url)) = call.state.handle.promise() else { break };
        let mut forwarded = ForwardedRequest::new(request, body.clone());
        forwarded.promise = Some(crate::http::forward::promise::header(&call.state.access, order));
        match send(call, request, &forwarded, &url).await {
            Ok(answer) => return Ok(answer),
            Err(Lost::NotTaken) => {}
            Err(Lost::Unknown) => return Err(unknown(Some(order))),
            Err(Lost::Loop) => return Err(looped()),
        }
    }
    Err(not_taken("no node accepts orders at the moment; nothing was stored".to_owned()))
}

/// A node that has just started learns in a moment who answers what; a proxy that asks no health address sends requests already.
///
/// # Errors
/// 503: it has not learnt it within the limit of a request.
async fn learn(call: &Call) -> Result<(), Problem> {
    let limit = Duration::from_millis(call.state.settings.order.request_limit_ms);
    let learnt = tokio::time::timeout(limit, call.state.handle.knows_the_others()).await;
    learnt
        .map_err(|_| not_taken("this node has just started and does not know yet which nodes accept orders; nothing was stored".to_owned()))
}

/// The owner's answer to who looks at an order and waits for it to change. None where there is no other owner, or where it is lost:
/// what is stored can be read here too, only later.
pub(crate) async fn follow(call: &Call, request: &HttpRequest, order: OrderId) -> Option<HttpResponse> {
    let shard = call.state.handle.reads().shards().of(order);
    let Owner::Other { url, .. } = call.state.handle.owner(Role::Order, shard) else { return None };
    let mut stopping = call.state.stopping.subscribe();
    let forwarded = ForwardedRequest::new(request, Bytes::new());
    tokio::select! {
        answer = send(call, request, &forwarded, &url) => {
            // An owner that has only just lost the order, or is full, knows no more than this node does.
            answer.ok().filter(|answer| !answer.status().is_server_error())
        }
        _ = stopping.wait_for(|stopping| *stopping) => None,
    }
}

async fn send(call: &Call, request: &HttpRequest, forwarded: &ForwardedRequest<'_>, url: &str) -> Result<HttpResponse, Lost> {
    let state = &call.state;
    let sent = if request.headers().contains_key(&FORWARDED) {
        Err(Lost::Loop)
    } else {
        send::send(call, forwarded, url, limit(state, request)).await
    };
    let outcome = match &sent {
        Ok(_) => "answered",
        Err(Lost::NotTaken) => "not-taken",
        Err(Lost::Unknown) => "unknown",
        Err(Lost::Loop) => "loop",
    };
    metrics::counter!("ordermill_requests_forwarded_total", "outcome" => outcome).increment(1);
    sent
}

/// How long the head of the answer may take.
fn limit(state: &HttpState, request: &HttpRequest) -> Duration {
    let server = &state.settings.server;
    let wait = asked_wait(request).min(Duration::from_millis(server.wait_limit_ms));
    let is_import = request.headers().get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/csv"));
    let work = if is_import { server.body_timeout_ms } else { 0 };
    wait + Duration::from_millis(state.settings.cluster.forward_limit_ms + work)
}

fn not_taken(detail: String) -> Problem {
    Problem::new(ProblemKind::Unavailable, detail)
}

fn looped() -> Problem {
    not_taken("this is moving from one node to another; nothing was stored".to_owned())
}

fn unknown(order: Option<OrderId>) -> Problem {
    let problem = Problem::new(
        ProblemKind::OutcomeUnknown,
        "the connection to the node that took the request was lost; check the result before you repeat the request",
    );
    match order {
        Some(order) => problem.about(order),
        None => problem,
    }
}
