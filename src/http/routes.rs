//! The one list of what is served: method, address, the role it needs, and the handler.

use super::access::Need;
use super::gate::Gate;
use super::problem::{Problem, ProblemKind};
use super::{HttpState, admin, analytics, desk, import, node, openapi, orders, pages, sse, stock};
use crate::config::AccessRole::{Admin, Customer, Operator};
use actix_web::http::Method;
use actix_web::http::header::HeaderValue;
use actix_web::web::{self, ServiceConfig};
use actix_web::{Route, guard};
use std::sync::Arc;

/// One route.
pub struct Entry {
    /// Its method; `GET` answers `HEAD` too.
    pub method: Method,
    /// Its address.
    pub path: &'static str,
    /// What it needs.
    pub need: Need,
    /// Makes its handler.
    pub handler: fn() -> Route,
}

const fn entry(method: Method, path: &'static str, need: Need, handler: fn() -> Route) -> Entry {
    Entry { method, path, need, handler }
}

const CUSTOMER: Need = Need::Role(Customer);
const OPERATOR: Need = Need::Role(Operator);
const ADMIN: Need = Need::Role(Admin);

/// All routes. The busiest stand first: they are looked through in this order. Fixed addresses stand before those with an id.
pub const ROUTES: &[Entry] = &[
    entry(Method::POST, "/api/v1/orders", CUSTOMER, || web::to(orders::place)),
    entry(Method::GET, "/api/v1/orders", CUSTOMER, || web::to(orders::list)),
    entry(Method::GET, "/api/v1/orders/{id}/status", CUSTOMER, || web::to(orders::status)),
    entry(Method::GET, "/api/v1/orders/{id}", CUSTOMER, || web::to(orders::show)),
    entry(Method::GET, "/api/v1/orders/{id}/events", CUSTOMER, || web::to(sse::order_events)),
    entry(Method::POST, "/api/v1/orders/{id}/cancel", CUSTOMER, || web::to(orders::cancel)),
    entry(Method::POST, "/api/v1/orders/{id}/ship", OPERATOR, || web::to(orders::ship)),
    entry(Method::GET, "/api/v1/products", CUSTOMER, || web::to(stock::list)),
    entry(Method::POST, "/api/v1/products/import", OPERATOR, || web::to(import::products)),
    entry(Method::GET, "/api/v1/products/{id}", CUSTOMER, || web::to(stock::show)),
    entry(Method::PUT, "/api/v1/products/{id}", OPERATOR, || web::to(stock::put)),
    entry(Method::POST, "/api/v1/products/{id}/stock", OPERATOR, || web::to(stock::adjust)),
    entry(Method::GET, "/api/v1/analytics/dashboard", OPERATOR, || web::to(analytics::dashboard)),
    entry(Method::GET, "/api/v1/analytics/metrics", OPERATOR, || web::to(analytics::metrics)),
    entry(Method::GET, "/api/v1/analytics/reports", OPERATOR, || web::to(analytics::reports)),
    entry(Method::GET, "/api/v1/analytics/stream", OPERATOR, || web::to(analytics::stream)),
    entry(Method::GET, "/api/v1/admin/dlq", ADMIN, || web::to(desk::list)),
    entry(Method::POST, "/api/v1/admin/dlq", ADMIN, || web::to(desk::act_on_many)),
    entry(Method::GET, "/api/v1/admin/dlq/groups", ADMIN, || web::to(desk::groups)),
    entry(Method::GET, "/api/v1/admin/dlq/{id}", ADMIN, || web::to(desk::show)),
    entry(Method::POST, "/api/v1/admin/dlq/{id}", ADMIN, || web::to(desk::act)),
    entry(Method::GET, "/api/v1/admin/breakers", ADMIN, || web::to(admin::breakers)),
    entry(Method::GET, "/api/v1/admin/cluster", ADMIN, || web::to(admin::cluster)),
    entry(Method::GET, "/api/v1/admin/actors", ADMIN, || web::to(admin::actors)),
    entry(Method::GET, "/api/v1/admin/log-level", ADMIN, || web::to(admin::log_level)),
    entry(Method::PUT, "/api/v1/admin/log-level", ADMIN, || web::to(admin::set_log_level)),
    entry(Method::GET, "/health", Need::Nothing, || web::to(node::health)),
    entry(Method::GET, "/health/live", Need::Nothing, || web::to(node::live)),
    entry(Method::GET, "/health/ready", Need::Nothing, || web::to(node::ready)),
    entry(Method::GET, "/livez", Need::Nothing, || web::to(node::live)),
    entry(Method::GET, "/readyz", Need::Nothing, || web::to(node::ready)),
    entry(Method::GET, "/info", Need::Nothing, || web::to(node::info)),
    entry(Method::GET, "/metrics", Need::Metrics, || web::to(node::metrics)),
    entry(Method::GET, "/openapi.json", Need::Nothing, || web::to(openapi::document)),
    entry(Method::GET, "/asyncapi.json", Need::Nothing, || web::to(pages::asyncapi)),
    entry(Method::GET, "/docs", Need::Nothing, || web::to(openapi::to_docs)),
    entry(Method::GET, "/docs/{file:.*}", Need::Nothing, || web::to(openapi::docs)),
    entry(Method::GET, "/problems/{kind}", Need::Nothing, || web::to(pages::problem)),
    entry(Method::GET, "/", Need::Nothing, || web::to(pages::dashboard)),
    entry(Method::GET, "/assets/{file}", Need::Nothing, || web::to(pages::asset)),
];

/// Puts all routes into an application; what is no route is a problem too.
pub fn configure(config: &mut ServiceConfig, state: &Arc<HttpState>) {
    add(config, state, ROUTES);
    config.default_service(web::to(no_route).wrap(Gate::new(state.clone(), Need::Nothing, "unmatched")));
}

fn add(config: &mut ServiceConfig, state: &Arc<HttpState>, routes: &'static [Entry]) {
    for (at, first) in routes.iter().enumerate() {
        if routes.iter().take(at).any(|earlier| earlier.path == first.path) {
            continue;
        }
        let mut resource = web::resource(first.path);
        let mut allow = Vec::new();
        for entry in routes.iter().filter(|entry| entry.path == first.path) {
            let gate = Gate::new(state.clone(), entry.need, entry.path);
            let route = (entry.handler)();
            let route = if entry.method == Method::GET {
                allow.extend(["GET", "HEAD"]);
                route.guard(guard::Any(guard::Get()).or(guard::Head()))
            } else {
                allow.push(entry.method.as_str());
                route.method(entry.method.clone())
            };
            resource = resource.route(route.wrap(gate));
        }
        let allow = HeaderValue::from_str(&allow.join(", ")).unwrap_or_else(|_| HeaderValue::from_static("GET"));
        let refuse = move || {
            let problem = Problem::method(allow.clone());
            async move { Err::<actix_web::HttpResponse, _>(problem) }
        };
        let gate = Gate::new(state.clone(), Need::Nothing, first.path);
        config.service(resource.default_service(web::to(refuse).wrap(gate)));
    }
}

async fn no_route() -> Result<actix_web::HttpResponse, Problem> {
    Err(Problem::new(ProblemKind::NoRoute, "the API begins at /api/v1; /docs describes it"))
}
