//! The node itself: is it alive, ready, who is it, its metrics.

use crate::http::door::call::Call;
use crate::http::door::state::HttpState;
use crate::http::operations::{Component, Health};
use crate::http::wire::problem::Problem;
use crate::http::wire::values::{self, Time};
use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;
use utoipa::ToSchema;

/// The health of a node.
#[derive(Serialize, ToSchema)]
pub(crate) struct HealthView {
    /// `UP`, `DEGRADED` (it works, but something waits for a component) or `DOWN`.
    #[schema(value_type = String)]
    pub status: &'static str,
    /// Its components.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub components: BTreeMap<String, ComponentView>,
    /// Why it is not ready.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

/// The health of a component.
#[derive(Serialize, ToSchema)]
pub(crate) struct ComponentView {
    /// `UP`, `DEGRADED` or `DOWN`.
    #[schema(value_type = String)]
    pub status: &'static str,
    /// What is wrong with it, or how far it is behind.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub detail: Option<String>,
}

/// About a node.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InfoView {
    /// Its name.
    pub node: String,
    /// The version of the program.
    #[schema(value_type = String)]
    pub version: &'static str,
    /// The commit that it was built from.
    #[schema(value_type = String)]
    pub commit: &'static str,
    /// The roles that it hosts.
    pub roles: Vec<String>,
    /// Its kind of database.
    pub database: String,
    /// When it started.
    pub started_at: Time,
    /// How long it has been running, in seconds.
    pub uptime_s: u64,
}

/// Shows the health of the node's components.
///
/// 503 if the node cannot work. If something waits for a component such as a provider, the status is DEGRADED, answered with 200.
#[utoipa::path(get, operation_id = "showHealth", path = "/health", tag = "node", responses(
    (status = 200, description = "everything works", body = HealthView), (status = 503, description = "something does not work", body = HealthView)))]
pub(crate) async fn health(call: Call) -> HttpResponse {
    let state = &call.state;
    let mut components: BTreeMap<String, ComponentView> = state.operations.components().into_iter().map(view).collect();
    for breaker in state.handle.breakers().snapshots() {
        let silent = || breaker.is_silent.then(|| "has answered none of the last calls".to_owned());
        let detail = state.handle.breaker_note(&breaker, None).or_else(silent);
        // An open breaker holds payments or notices up; the node itself works.
        components.insert(breaker.name.to_owned(), ComponentView { status: if detail.is_some() { "DEGRADED" } else { "UP" }, detail });
    }
    let reasons = not_ready(state);
    components.insert("cluster".to_owned(), cluster(state));
    let actors = ComponentView { status: up(reasons.is_empty()), detail: None };
    components.insert("actors".to_owned(), actors);
    let is_up = components.values().all(|component| component.status != "DOWN");
    let is_whole = components.values().all(|component| component.status == "UP");
    let status = if is_up && !is_whole { Health::Degraded.name() } else { up(is_up) };
    answer(is_up, HealthView { status, components, reasons })
}

/// What this node has of the work, and who else there is.
fn cluster(state: &HttpState) -> ComponentView {
    let (handle, role_shards) = (&state.handle, state.handle.role_shards().borrow().clone());
    let nodes = handle.cluster().writers.iter().filter(|writer| writer.alive).count();
    let shards = handle.reads().shards().count();
    let owned = state.settings.cluster.hosted().iter().map(|role| format!("{} {}", role.name(), role_shards.shards_of(role).len()));
    let detail = format!("nodes: {nodes}; of {shards} shards here: {}", owned.collect::<Vec<_>>().join(", "));
    ComponentView { status: up(!role_shards.is_empty()), detail: Some(detail) }
}

/// Whether the process is alive; checks nothing else.
///
/// For service managers, which restart a process that hangs.
#[utoipa::path(get, operation_id = "isLive", path = "/health/live", tag = "node", responses((status = 200, description = "the process is alive", body = HealthView)))]
pub(crate) async fn live() -> HttpResponse {
    answer(true, HealthView { status: "UP", components: BTreeMap::new(), reasons: Vec::new() })
}

/// Whether the node accepts orders.
///
/// For load balancers; a 503 names the reasons.
#[utoipa::path(get, operation_id = "isReady", path = "/health/ready", tag = "node", responses(
    (status = 200, description = "the node accepts orders", body = HealthView), (status = 503, description = "the node does not accept orders; the body says why", body = HealthView)))]
pub(crate) async fn ready(call: Call) -> HttpResponse {
    let reasons = not_ready(&call.state);
    answer(reasons.is_empty(), HealthView { status: up(reasons.is_empty()), components: BTreeMap::new(), reasons })
}

fn not_ready(state: &HttpState) -> Vec<String> {
    let mut reasons = state.handle.not_ready();
    let down = state.operations.components().into_iter().filter(|component| component.health == Health::Down);
    reasons.extend(down.map(|component| format!("{} is down", component.name)));
    if state.is_draining() {
        reasons.push("the node is stopping".to_owned());
    }
    reasons
}

fn view(component: Component) -> (String, ComponentView) {
    (component.name, ComponentView { status: component.health.name(), detail: component.detail })
}

fn up(is_up: bool) -> &'static str {
    if is_up { "UP" } else { "DOWN" }
}

fn answer(is_up: bool, view: HealthView) -> HttpResponse {
    let mut response = if is_up { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    response.insert_header((CACHE_CONTROL, "no-store")).json(view)
}

/// About the node.
///
/// Its name, version, roles and start time.
#[utoipa::path(get, operation_id = "showInfo", path = "/info", tag = "node", responses((status = 200, description = "about the node", body = InfoView)))]
pub(crate) async fn info(call: Call) -> HttpResponse {
    let node = &call.state.node;
    HttpResponse::Ok().json(InfoView {
        node: node.name.clone(),
        version: node.version,
        commit: node.commit,
        roles: node.roles.clone(),
        database: node.database.clone(),
        started_at: Time(node.started_at),
        uptime_s: Duration::from_millis(values::now().ms_since(node.started_at)).as_secs(),
    })
}

/// The metrics in Prometheus format.
///
/// Every metric has a HELP line.
#[utoipa::path(get, operation_id = "showMetrics", path = "/metrics", tag = "node", responses((status = 200, description = "the metrics", body = String, content_type = "text/plain")))]
pub(crate) async fn metrics(call: Call) -> Result<HttpResponse, Problem> {
    let Some(handle) = call.state.metrics.clone() else { return Err(Problem::not_found("this node has no metrics")) };
    let in_progress = u32::try_from(call.state.in_progress()).unwrap_or(u32::MAX);
    call.state.handle.publish();
    call.state.operations.publish();
    metrics::gauge!("http_server_active_requests").set(in_progress);
    // Rendering takes a lock and some milliseconds: off the thread that takes orders.
    let text = actix_web::web::block(move || handle.render()).await;
    let text = text.map_err(|_| Problem::new(crate::http::wire::problem::ProblemKind::Unavailable, "the metrics cannot be read now"))?;
    Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")).body(text))
}
