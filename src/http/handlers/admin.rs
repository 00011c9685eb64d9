//! What operators of the node itself see and set: breakers, nodes and shards, actors, what is logged.

use crate::actors::{ActorsReport, BreakerTurn};
use crate::domain::Role;
use crate::http::door::body;
use crate::http::door::call::Call;
use crate::http::door::once::Once;
use crate::http::wire::json::{At, Reader};
use crate::http::wire::problem::Problem;
use crate::http::wire::query::no_params;
use crate::http::wire::values::{Place, Time};
use actix_web::http::StatusCode;
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;

/// The circuit breakers of this node.
#[derive(Serialize, ToSchema)]
pub(crate) struct BreakersView {
    /// One breaker per provider.
    pub breakers: Vec<BreakerView>,
}

/// One circuit breaker.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BreakerView {
    /// The provider.
    #[schema(value_type = String)]
    pub provider: &'static str,
    /// `CLOSED`, `OPEN` or `HALF_OPEN`.
    #[schema(value_type = String)]
    pub state: &'static str,
    /// Failures in the window.
    pub failures: u32,
    /// Milliseconds until the next call may be tried; 0 while it is closed.
    pub retry_in_ms: u64,
    /// Whether a person opened it. It then stays open until a person closes it or asks for a trial.
    pub opened_by_hand: bool,
    /// How often it has opened since the node started.
    pub opened_total: u64,
}

/// The reason for setting a breaker.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape for the documents; bodies are read field by field")]
pub(crate) struct TurnBody {
    /// The reason, for the audit.
    pub note: Option<String>,
}

/// The nodes and what they own.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClusterView {
    /// The node that answers.
    pub node: String,
    /// How many shards the store has.
    pub shards: u16,
    /// Shards of each role that no node owns, not counting roles that another team runs.
    pub free_shards: u64,
    /// The writers, live ones first.
    pub writers: Vec<WriterView>,
}

/// A writer: a node's registration in the database.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WriterView {
    /// Its number.
    pub writer: i64,
    /// The node that runs it.
    pub node: String,
    /// That node's address.
    pub url: String,
    /// Whether it may still write.
    pub alive: bool,
    /// The roles that it hosts.
    #[schema(value_type = Vec<String>)]
    pub roles: Vec<&'static str>,
    /// When its lease ends, after which others may take over.
    pub lease_until: Time,
    /// How long that is from now, in milliseconds; negative if it has passed.
    pub lease_left_ms: i64,
    /// Number of its transactions.
    pub commits: i64,
    /// The number of the last event in its log.
    pub last_seq: i64,
    /// Events of its log that are not in Kafka yet; absent without Kafka.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub unpublished: Option<i64>,
    /// The writer that publishes its log instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub published_by: Option<i64>,
    /// The shards that it owns.
    pub owns: Vec<OwnedView>,
}

/// The shards that a writer owns for one role.
#[derive(Serialize, ToSchema)]
pub(crate) struct OwnedView {
    /// The role.
    #[schema(value_type = String)]
    pub role: &'static str,
    /// The shards.
    pub shards: Vec<u16>,
}

/// What the node logs.
#[derive(Serialize, ToSchema)]
pub(crate) struct LogLevel {
    /// A level, or directives such as `info,ordermill::http=debug`.
    pub filter: String,
}

/// The circuit breakers of this node.
///
/// A breaker is open while its provider fails. Orders that wait for it continue when it closes.
#[utoipa::path(get, operation_id = "listBreakers", path = "/api/v1/admin/breakers", tag = "admin",
    responses((status = 200, description = "the breakers of this node", body = BreakersView)))]
pub(crate) async fn breakers(call: Call, request: HttpRequest) -> Result<HttpResponse, Problem> {
    no_params(&request)?;
    Ok(HttpResponse::Ok().json(breakers_view(&call)))
}

fn breakers_view(call: &Call) -> BreakersView {
    let views = call.state.handle.breakers().snapshots().into_iter().map(|breaker| BreakerView {
        provider: breaker.name,
        state: breaker.state.name(),
        failures: breaker.failures_in_window,
        retry_in_ms: breaker.retry_in_ms,
        opened_by_hand: breaker.by_hand,
        opened_total: breaker.opened_total,
    });
    BreakersView { breakers: views.collect() }
}

/// Closes, opens or tries a circuit breaker of this node. Audited.
///
/// `trial` lets the next call through, whose outcome closes or opens the breaker.
#[utoipa::path(post, operation_id = "turnBreaker", path = "/api/v1/admin/breakers/{name}/{turn}", tag = "admin", request_body = TurnBody,
    params(("name" = String, Path, description = "payment, email or sms"), ("turn" = String, Path, description = "close, open or trial")),
    responses((status = 200, description = "the node's breakers after the change", body = BreakersView), (status = 404, description = "no such breaker")))]
pub(crate) async fn turn_breaker(call: Call, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    no_params(&request)?;
    let part = |name| request.match_info().get(name).unwrap_or_default().to_owned();
    let turn = BreakerTurn::from_name(&part("turn")).ok_or_else(|| Problem::not_found("the action must be close, open or trial"))?;
    let bytes = body::json(&call.state, &request, payload).await?;
    let once = Once::of(&call, &request, &bytes)?;
    if let Some(answer) = Once::answered(once.as_ref(), &call).await? {
        return Ok(answer);
    }
    let mut reader = Reader::default();
    let at = At::Field(&At::Root, "note");
    let note = reader.body(&bytes, &["note"])?.map(|[note]| note.and_then(|raw| reader.text::<200>(raw, &at)));
    let note = reader.errors.none_or(note)?;
    let limit = Duration::from_millis(call.state.settings.order.request_limit_ms);
    let is_known = call.state.handle.turn_breaker(&part("name"), turn, call.caller.name.clone(), note, limit).await?;
    if !is_known {
        return Err(Problem::not_found("there is no such breaker; the breakers are payment, email and sms"));
    }
    Ok(Once::keep(once, &call, StatusCode::OK, &breakers_view(&call)).await)
}

/// The actors of this node.
///
/// How many there are, and how many messages wait for them.
#[utoipa::path(get, operation_id = "listActors", path = "/api/v1/admin/actors", tag = "admin",
    responses((status = 200, description = "the actors of this node", body = ActorsReport)))]
pub(crate) async fn actors(call: Call, request: HttpRequest) -> Result<HttpResponse, Problem> {
    no_params(&request)?;
    Ok(HttpResponse::Ok().json(call.state.handle.report()))
}

/// The nodes, their shards, and how far they are behind.
///
/// Each run of a node: whether it is alive, what it owns, and how much it still has to publish.
#[utoipa::path(get, operation_id = "showCluster", path = "/api/v1/admin/cluster", tag = "admin",
    responses((status = 200, description = "the nodes", body = ClusterView)))]
pub(crate) async fn cluster(call: Call, request: HttpRequest) -> Result<HttpResponse, Problem> {
    no_params(&request)?;
    let reads = call.state.handle.reads();
    let (mut writers, rows) = futures_util::future::try_join(reads.writers(), reads.shard_rows()).await?;
    writers.sort_by_key(|writer| (!writer.alive, std::cmp::Reverse(writer.writer)));
    let owned_by = |writer| {
        let of_role = |role: Role| {
            let rows = rows.iter().filter(|row| row.role == role && row.writer == Some(writer));
            let mut shards: Vec<u16> = rows.map(|row| row.shard.0).collect();
            shards.sort_unstable();
            (!shards.is_empty()).then(|| OwnedView { role: role.name(), shards })
        };
        Role::ALL.into_iter().filter_map(of_role).collect()
    };
    let external = call.state.settings.cluster.external();
    let free = rows.iter().filter(|row| row.writer.is_none() && !external.has(row.role)).count();
    let has_kafka = call.state.settings.kafka.is_on();
    let views = writers.into_iter().map(|row| WriterView {
        owns: owned_by(row.writer),
        writer: row.writer.0,
        node: row.node,
        url: row.url,
        alive: row.alive,
        roles: row.roles.iter().map(|role| role.name()).collect(),
        lease_until: Time(row.lease_until),
        lease_left_ms: row.lease_left_ms,
        commits: row.commits,
        last_seq: row.last_seq,
        unpublished: has_kafka.then(|| row.last_seq.saturating_sub(row.published_seq)),
        published_by: row.publisher.map(|writer| writer.0),
    });
    let view = ClusterView {
        node: call.state.node.name.clone(),
        shards: reads.shards().count(),
        free_shards: free.try_into().unwrap_or(u64::MAX),
        writers: views.collect(),
    };
    Ok(HttpResponse::Ok().json(view))
}

/// What the node logs.
///
/// The directives in effect on this node.
#[utoipa::path(get, operation_id = "showLogLevel", path = "/api/v1/admin/log-level", tag = "admin",
    responses((status = 200, description = "what the node logs", body = LogLevel)))]
pub(crate) async fn log_level(call: Call, request: HttpRequest) -> Result<HttpResponse, Problem> {
    no_params(&request)?;
    Ok(HttpResponse::Ok().json(LogLevel { filter: call.state.operations.log_filter() }))
}

/// Sets what this node logs, until it stops.
///
/// A filter that matches nothing known is refused.
#[utoipa::path(put, operation_id = "setLogLevel", path = "/api/v1/admin/log-level", tag = "admin", request_body = LogLevel,
    responses((status = 200, description = "what the node logs after the change", body = LogLevel)))]
pub(crate) async fn set_log_level(call: Call, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    no_params(&request)?;
    let bytes = body::json(&call.state, &request, payload).await?;
    let mut reader = Reader::default();
    let at = At::Field(&At::Root, "filter");
    let filter = reader.body(&bytes, &["filter"])?.and_then(|[filter]| {
        let raw = reader.required(filter, &at)?;
        reader.text::<1000>(raw, &at)
    });
    let filter = reader.errors.none_or(filter)?;
    let set = call.state.operations.set_log_filter(filter.as_str());
    set.map_err(|why| Problem::field(Place::Body, "/filter", why))?;
    tracing::info!(filter = filter.as_str(), by = call.caller.name.as_str(), "what is logged was set");
    Ok(HttpResponse::Ok().json(LogLevel { filter: call.state.operations.log_filter() }))
}
