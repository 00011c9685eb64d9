//! The one list of what is served: method, address, the access that it needs, the role that answers it, and the handler.

pub mod openapi;

use crate::config::AccessRole::{Admin, Customer, Operator};
use crate::domain::Role;
use crate::http::door::access::Need;
use crate::http::door::state::HttpState;
use crate::http::gate::Gate;
use crate::http::handlers::{admin, analytics, dead_letters, import, live, node, orders, products};
use crate::http::live::order_events;
use crate::http::pages;
use crate::http::wire::problem::{Problem, ProblemKind};
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
    /// The role that answers it; a node that does not host it sends the request on to one that does. None: every node.
    pub role: Option<Role>,
    /// Makes its handler.
    pub handler: fn() -> Route,
}

const fn entry(method: Method, path: &'static str, need: Need, role: Option<Role>, handler: fn() -> Route) -> Entry {
    Entry { method, path, need, role, handler }
}

const CUSTOMER: Need = Need::Role(Customer);
const OPERATOR: Need = Need::Role(Operator);
const ADMIN: Need = Need::Role(Admin);

const ORDER: Option<Role> = Some(Role::Order);
const INVENTORY: Option<Role> = Some(Role::Inventory);
const ANALYTICS: Option<Role> = Some(Role::Analytics);
/// What a node answers for itself, or reads where every node can.
const EVERY: Option<Role> = None;

/// All routes. The busiest stand first: they are looked through in this order. Fixed addresses stand before those with an id.
pub const ROUTES: &[Entry] = &[
    entry(Method::POST, "/api/v1/orders", CUSTOMER, ORDER, || web::to(orders::place)),
    entry(Method::GET, "/api/v1/orders", CUSTOMER, ORDER, || web::to(orders::list)),
    entry(Method::GET, "/api/v1/orders/{id}/status", CUSTOMER, ORDER, || web::to(orders::status)),
    entry(Method::GET, "/api/v1/orders/{id}", CUSTOMER, ORDER, || web::to(orders::show)),
    entry(Method::GET, "/api/v1/orders/{id}/events", CUSTOMER, ORDER, || web::to(order_events::order_events)),
    entry(Method::POST, "/api/v1/orders/{id}/cancel", CUSTOMER, ORDER, || web::to(orders::cancel)),
    entry(Method::POST, "/api/v1/orders/{id}/ship", OPERATOR, ORDER, || web::to(orders::ship)),
    entry(Method::GET, "/api/v1/products", CUSTOMER, INVENTORY, || web::to(products::list)),
    entry(Method::POST, "/api/v1/products/import", OPERATOR, INVENTORY, || web::to(import::products)),
    entry(Method::GET, "/api/v1/products/corrections", OPERATOR, INVENTORY, || web::to(products::corrections)),
    entry(Method::GET, "/api/v1/products/{id}", CUSTOMER, INVENTORY, || web::to(products::show)),
    entry(Method::PUT, "/api/v1/products/{id}", OPERATOR, INVENTORY, || web::to(products::put)),
    entry(Method::PATCH, "/api/v1/products/{id}", OPERATOR, INVENTORY, || web::to(products::patch)),
    entry(Method::POST, "/api/v1/products/{id}/stock", OPERATOR, INVENTORY, || web::to(products::adjust)),
    entry(Method::GET, "/api/v1/analytics/dashboard", OPERATOR, ANALYTICS, || web::to(analytics::dashboard)),
    entry(Method::GET, "/api/v1/analytics/metrics", OPERATOR, ANALYTICS, || web::to(analytics::metrics)),
    entry(Method::GET, "/api/v1/analytics/reports", OPERATOR, ANALYTICS, || web::to(analytics::reports)),
    entry(Method::GET, "/api/v1/analytics/stream", OPERATOR, ANALYTICS, || web::to(analytics::stream)),
    entry(Method::GET, "/api/v1/admin/dlq", OPERATOR, EVERY, || web::to(dead_letters::list)),
    entry(Method::POST, "/api/v1/admin/dlq", OPERATOR, EVERY, || web::to(dead_letters::act_on_many)),
    entry(Method::GET, "/api/v1/admin/dlq/groups", OPERATOR, EVERY, || web::to(dead_letters::groups)),
    entry(Method::GET, "/api/v1/admin/dlq/{id}", OPERATOR, EVERY, || web::to(dead_letters::show)),
    entry(Method::POST, "/api/v1/admin/dlq/{id}", OPERATOR, EVERY, || web::to(dead_letters::act)),
    entry(Method::GET, "/api/v1/admin/breakers", OPERATOR, EVERY, || web::to(admin::breakers)),
    entry(Method::POST, "/api/v1/admin/breakers/{name}/{turn}", OPERATOR, EVERY, || web::to(admin::turn_breaker)),
    entry(Method::GET, "/api/v1/admin/cluster", OPERATOR, EVERY, || web::to(admin::cluster)),
    entry(Method::GET, "/api/v1/admin/actors", OPERATOR, EVERY, || web::to(admin::actors)),
    entry(Method::GET, "/api/v1/admin/attention", OPERATOR, EVERY, || web::to(live::attention)),
    entry(Method::GET, "/api/v1/live", CUSTOMER, EVERY, || web::to(live::stream)),
    entry(Method::GET, "/api/v1/whoami", CUSTOMER, EVERY, || web::to(live::whoami)),
    entry(Method::GET, "/api/v1/admin/log-level", OPERATOR, EVERY, || web::to(admin::log_level)),
    entry(Method::PUT, "/api/v1/admin/log-level", ADMIN, EVERY, || web::to(admin::set_log_level)),
    entry(Method::GET, "/health", Need::Nothing, EVERY, || web::to(node::health)),
    entry(Method::GET, "/health/live", Need::Nothing, EVERY, || web::to(node::live)),
    entry(Method::GET, "/health/ready", Need::Nothing, EVERY, || web::to(node::ready)),
    entry(Method::GET, "/livez", Need::Nothing, EVERY, || web::to(node::live)),
    entry(Method::GET, "/readyz", Need::Nothing, EVERY, || web::to(node::ready)),
    entry(Method::GET, "/info", Need::Nothing, EVERY, || web::to(node::info)),
    entry(Method::GET, "/metrics", Need::Metrics, EVERY, || web::to(node::metrics)),
    entry(Method::GET, "/openapi.json", Need::Nothing, EVERY, || web::to(openapi::document)),
    entry(Method::GET, "/asyncapi.json", Need::Nothing, EVERY, || web::to(pages::asyncapi)),
    entry(Method::GET, "/docs", Need::Nothing, EVERY, || web::to(openapi::to_docs)),
    entry(Method::GET, "/docs/{file:.*}", Need::Nothing, EVERY, || web::to(openapi::docs)),
    entry(Method::GET, "/problems/{kind}", Need::Nothing, EVERY, || web::to(pages::problem)),
    entry(Method::GET, "/", Need::Nothing, EVERY, || web::to(pages::shell)),
    entry(Method::GET, "/orders", Need::Nothing, EVERY, || web::to(pages::shell)),
    entry(Method::GET, "/orders/{id}", Need::Nothing, EVERY, || web::to(pages::shell)),
    entry(Method::GET, "/reports", Need::Nothing, EVERY, || web::to(pages::shell)),
    entry(Method::GET, "/attention", Need::Nothing, EVERY, || web::to(pages::shell)),
    entry(Method::GET, "/system", Need::Nothing, EVERY, || web::to(pages::shell)),
    entry(Method::GET, "/assets/{file}", Need::Nothing, EVERY, || web::to(pages::asset)),
];

/// Puts all routes into an application; what is no route is a problem too.
pub fn configure(config: &mut ServiceConfig, state: &Arc<HttpState>) {
    add(config, state, ROUTES);
    let prefix = state.settings.server.prefix();
    if !prefix.is_empty() {
        let gate = Gate::open(state.clone(), "/");
        config.service(web::resource(prefix.as_str()).route(web::get().to(pages::to_front).wrap(gate)).default_service(unmatched(state)));
    }
    config.default_service(unmatched(state));
}

fn unmatched(state: &Arc<HttpState>) -> Route {
    web::to(no_route).wrap(Gate::open(state.clone(), "unmatched"))
}

fn add(config: &mut ServiceConfig, state: &Arc<HttpState>, routes: &'static [Entry]) {
    for (at, first) in routes.iter().enumerate() {
        if routes.iter().take(at).any(|earlier| earlier.path == first.path) {
            continue;
        }
        let mut resource = web::resource(first.path);
        let mut allow = Vec::new();
        for entry in routes.iter().filter(|entry| entry.path == first.path) {
            let gate = Gate::new(state.clone(), entry.need, entry.role, entry.path);
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
        let gate = Gate::open(state.clone(), first.path);
        config.service(resource.default_service(web::to(refuse).wrap(gate)));
    }
}

async fn no_route() -> Result<actix_web::HttpResponse, Problem> {
    Err(Problem::new(ProblemKind::NoRoute, "the API starts at /api/v1; see /docs"))
}
