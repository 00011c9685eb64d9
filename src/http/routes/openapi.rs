//! The OpenAPI document, made from the handlers, and its pages.

use crate::http::door::access::Need;
use crate::http::door::call::Call;
use crate::http::handlers::{admin, analytics, dead_letters, import, live, node, orders, products};
use crate::http::live::order_events;
use crate::http::pages;
use crate::http::routes::ROUTES;
use crate::http::wire::problem::Problem;
use crate::http::wire::query::{LIMIT, LIMIT_MAX};
use crate::http::wire::values::{FieldProblem, Place, ProblemBody};
use actix_web::http::header::{CONTENT_TYPE, LOCATION};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};
use std::sync::{Arc, LazyLock};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, Ref, Response, ResponseBuilder};
use utoipa::{Modify, OpenApi};

/// Swagger UI sets styles in its elements; its scripts are files.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'";

/// Where the paths of the document begin, unless the node is seen under a path.
const SERVER: &str = r#""url": "/""#;

static DOCUMENT: LazyLock<String> = LazyLock::new(|| to_json(&Api::openapi()));
static CONFIG: LazyLock<Arc<utoipa_swagger_ui::Config<'static>>> =
    LazyLock::new(|| Arc::new(utoipa_swagger_ui::Config::from("../openapi.json").try_it_out_enabled(true)));

/// The API.
#[derive(OpenApi)]
#[openapi(
    info(title = "ordermill", description = "Takes orders and processes them. Errors are RFC 9457 problem details. /asyncapi.json describes the events on Kafka.", license(name = "Apache-2.0", identifier = "Apache-2.0")),
    paths(
        orders::place, orders::list, orders::show, orders::status, order_events::order_events, orders::cancel, orders::ship,
        products::list, products::show, products::corrections, products::put, products::patch, products::adjust, import::products,
        analytics::dashboard, analytics::metrics, analytics::reports, analytics::stream,
        dead_letters::list, dead_letters::act_on_many, dead_letters::groups, dead_letters::show, dead_letters::act,
        admin::turn_breaker, admin::breakers, admin::cluster, admin::actors, admin::log_level, admin::set_log_level,
        live::attention, live::stream, live::whoami,
        node::health, node::live, node::ready, node::info, node::metrics,
    ),
    // In the order in which readers look for them.
    tags((name = "orders", description = "Orders: place, show, cancel, ship"), (name = "stock", description = "Products and their stock"),
        (name = "analytics", description = "Business figures"), (name = "admin", description = "For operators"),
        (name = "node", description = "The node itself")),
    servers((url = "/", description = "the node that serves this document")),
    components(schemas(ProblemBody, FieldProblem, Place)),
    modifiers(&Extras),
)]
pub struct Api;

struct Extras;

impl Modify for Extras {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let bearer = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("an access key")).build());
        let components = api.components.get_or_insert_default();
        components.add_security_scheme("key", bearer);
        for item in api.paths.paths.values_mut() {
            let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete];
            for operation in operations.into_iter().flatten() {
                operation.responses.responses.insert("default".to_owned(), problem_response().into());
            }
        }
        api.security = Some(vec![utoipa::openapi::SecurityRequirement::new::<_, [&str; 0], &str>("key", [])]);
    }
}

fn problem_response() -> Response {
    let content = Content::new(Some(Ref::from_schema_name("Problem")));
    ResponseBuilder::new().description("a problem").content("application/problem+json", content).build()
}

/// The document as text, with what the attributes of the handlers leave out: what every request of a kind may bring or be refused by,
/// the body of every refusal, the bounds of every page.
fn to_json(api: &utoipa::openapi::OpenApi) -> String {
    let Ok(mut document) = serde_json::to_value(api) else { return String::new() };
    let paths = document.get_mut("paths").and_then(Value::as_object_mut);
    for (path, item) in paths.into_iter().flatten() {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            let route = ROUTES.iter().find(|route| route.path == path && route.method.as_str().eq_ignore_ascii_case(method));
            complete(operation, path, method, route.map_or(Need::Nothing, |route| route.need));
        }
    }
    serde_json::to_string_pretty(&document).unwrap_or_default()
}

fn complete(operation: &mut Value, path: &str, method: &str, need: Need) {
    if method == "post" {
        take_keys(operation);
    }
    for parameter in list(operation, "parameters") {
        of_parameter(parameter);
    }
    let brings_something = !list(operation, "parameters").is_empty() || operation.get("requestBody").is_some();
    let responses = operation.get_mut("responses").and_then(Value::as_object_mut);
    if let Some(responses) = responses {
        let mut refused = |status: &str, why: &str| {
            responses.entry(status).or_insert_with(|| json!({ "description": why }));
        };
        refused("403", "the key does not allow this; on a node without keys: the request came from another machine");
        if brings_something {
            refused("400", "something in the request is wrong; `errors` names every field");
        }
        if need != Need::Nothing {
            refused("401", "the access key is missing or unknown");
        }
        responses.iter_mut().for_each(|(status, response)| of_response(status, response));
    }
    if need == Need::Nothing
        && let Some(operation) = operation.as_object_mut()
    {
        operation.insert("security".to_owned(), json!([]));
    }
    for (type_, example) in EXAMPLES.iter().filter(|(known, ..)| *known == path).map(|(_, type_, text)| (type_, text)) {
        let content = operation.pointer_mut("/requestBody/content").and_then(|content| content.get_mut(*type_));
        if let Some(content) = content.and_then(Value::as_object_mut) {
            content.insert("example".to_owned(), serde_json::from_str(example).unwrap_or_else(|_| json!(example)));
        }
    }
}

/// Each takes an idempotency key; those that say nothing of their own about it do so as all do.
fn take_keys(operation: &mut Value) {
    let name = "Idempotency-Key";
    if list(operation, "parameters").iter().any(|parameter| parameter.get("name").and_then(Value::as_str) == Some(name)) {
        return;
    }
    let description = "with the same key and body, the first answer is repeated";
    let key = json!({"name": name, "in": "header", "description": description, "required": false, "schema": {"type": "string"}});
    if let Some(operation) = operation.as_object_mut() {
        let parameters = operation.entry("parameters").or_insert_with(|| json!([]));
        parameters.as_array_mut().into_iter().for_each(|parameters| parameters.push(key.clone()));
        let responses = operation.get_mut("responses").and_then(Value::as_object_mut);
        responses.into_iter().for_each(|responses| {
            responses.insert("422".to_owned(), json!({"description": "the key was used with another body"}));
        });
    }
}

/// One that is left out is not null.
fn of_parameter(parameter: &mut Value) {
    let is_limit = parameter.get("name").and_then(Value::as_str) == Some("limit");
    let Some(schema) = parameter.get_mut("schema") else { return };
    if let Some(one) = schema.get_mut("oneOf").and_then(Value::as_array_mut).filter(|of| of.len() == 2).map(|of| of.swap_remove(1)) {
        *schema = one;
    }
    let Some(schema) = schema.as_object_mut() else { return };
    let type_ = schema.get("type").and_then(Value::as_array).and_then(|types| types.iter().find(|type_| **type_ != "null"));
    if let Some(type_) = type_.cloned() {
        schema.insert("type".to_owned(), type_);
    }
    if is_limit {
        for (name, bound) in [("minimum", 1), ("maximum", LIMIT_MAX), ("default", LIMIT)] {
            schema.insert(name.to_owned(), json!(bound));
        }
    }
}

fn of_response(status: &str, response: &mut Value) {
    let Some(response) = response.as_object_mut() else { return };
    if response.get("description").and_then(Value::as_str).is_none_or(str::is_empty) {
        response.insert("description".to_owned(), json!("done"));
    }
    if status.starts_with(['4', '5']) && !response.contains_key("content") {
        let problem = json!({"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}});
        response.insert("content".to_owned(), problem);
    }
}

fn list<'a>(value: &'a mut Value, name: &str) -> &'a mut [Value] {
    value.get_mut(name).and_then(Value::as_array_mut).map_or(&mut [], Vec::as_mut_slice)
}

const JSON: &str = "application/json";

/// Bodies that are taken as they are, by the address that they are sent to; the page for trying the API shows them.
const EXAMPLES: [(&str, &str, &str); 9] = [
    (
        "/api/v1/orders",
        JSON,
        r#"{"customerId": "5e0a7c1e-0000-4000-8000-00000000c001", "paymentMethod": "CARD",
            "items": [{"productId": "5e0a7c1e-0000-4000-8000-000000000001", "quantity": 2, "price": "12.50"}],
            "contact": {"email": "ada@example.org"}}"#,
    ),
    ("/api/v1/orders/{id}/ship", JSON, r#"{"carrier": "Post", "trackingNumber": "RR123456785GB"}"#),
    ("/api/v1/products/{id}", JSON, r#"{"name": "Enamel mug", "price": "12.50"}"#),
    ("/api/v1/products/{id}/stock", JSON, r#"{"delta": 5, "reason": "delivery of Monday"}"#),
    (
        "/api/v1/products/import",
        "text/csv",
        "productId,name,price,availableQuantity\n5e0a7c1e-0000-4000-8000-000000000002,Canvas apron,27.50,40\n",
    ),
    ("/api/v1/admin/dlq", JSON, r#"{"action": "reprocess", "filter": {"cause": "payment-provider"}, "dryRun": true}"#),
    ("/api/v1/admin/dlq/{id}", JSON, r#"{"action": "reprocess", "note": "the provider works again"}"#),
    ("/api/v1/admin/breakers/{name}/{turn}", JSON, r#"{"note": "the provider works again"}"#),
    ("/api/v1/admin/log-level", JSON, r#"{"filter": "info,ordermill::http=debug"}"#),
];

/// The document as it is served, for the committed copy.
#[must_use]
pub fn text() -> &'static str {
    &DOCUMENT
}

/// Serves the document.
pub async fn document(call: Call) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.insert_header((CONTENT_TYPE, "application/json"));
    if call.prefix.is_empty() {
        return response.body(DOCUMENT.as_str());
    }
    response.body(DOCUMENT.replacen(SERVER, &format!(r#""url": "{}""#, call.prefix.as_str()), 1))
}

/// The pages stand under a folder, for their own relative addresses. This one is relative too: the node may be seen under a path that it
/// does not know of.
pub async fn to_docs() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((LOCATION, "docs/")).finish()
}

/// Serves the pages.
pub async fn docs(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let name = request.match_info().get("file").unwrap_or_default();
    let file = utoipa_swagger_ui::serve(name, CONFIG.clone()).ok().flatten();
    let file = file.ok_or_else(|| Problem::not_found("no such file"))?;
    let mut response = pages::page(HttpResponse::Ok(), POLICY);
    Ok(response.insert_header((CONTENT_TYPE, file.content_type)).body(file.bytes.into_owned()))
}
