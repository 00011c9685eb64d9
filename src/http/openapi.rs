//! The OpenAPI document, made from the handlers, and its pages.

use crate::http::handlers::{admin, analytics, dead_letters, import, node, orders, products};
use crate::http::live::order_events;
use crate::http::pages;
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

static DOCUMENT: LazyLock<String> = LazyLock::new(|| to_json(&Api::openapi()));
static CONFIG: LazyLock<Arc<utoipa_swagger_ui::Config<'static>>> =
    LazyLock::new(|| Arc::new(utoipa_swagger_ui::Config::from("/openapi.json").try_it_out_enabled(true)));

/// The API.
#[derive(OpenApi)]
#[openapi(
    info(title = "ordermill", description = "Takes orders and sees them through. Errors are RFC 9457 problem details.", license(name = "Apache-2.0", identifier = "Apache-2.0")),
    paths(
        orders::place, orders::list, orders::show, orders::status, order_events::order_events, orders::cancel, orders::ship,
        products::list, products::show, products::corrections, products::put, products::patch, products::adjust, import::products,
        analytics::dashboard, analytics::metrics, analytics::reports, analytics::stream,
        dead_letters::list, dead_letters::act_on_many, dead_letters::groups, dead_letters::show, dead_letters::act,
        admin::turn_breaker, admin::breakers, admin::cluster, admin::actors, admin::log_level, admin::set_log_level,
        node::health, node::live, node::ready, node::info, node::metrics,
    ),
    // In the order in which readers look for them.
    tags((name = "orders", description = "Orders: place, see, cancel, ship"), (name = "stock", description = "Products and their stock"),
        (name = "analytics", description = "Numbers for the business"), (name = "admin", description = "For who runs the nodes"),
        (name = "node", description = "The node itself")),
    external_docs(url = "/asyncapi.json", description = "The events on Kafka (AsyncAPI)"),
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
                // Handlers of different parts have the same names; in the document ids are unique.
                let tag = operation.tags.iter().flatten().next().cloned().unwrap_or_default();
                operation.operation_id = operation.operation_id.take().map(|id| format!("{tag}_{id}"));
            }
        }
        api.security = Some(vec![utoipa::openapi::SecurityRequirement::new::<_, [&str; 0], &str>("key", [])]);
    }
}

fn problem_response() -> Response {
    let content = Content::new(Some(Ref::from_schema_name("Problem")));
    ResponseBuilder::new().description("a problem").content("application/problem+json", content).build()
}

/// The document as text, with what the attributes of the handlers leave out: every response has a description, every refusal the body of
/// a problem, every page its bounds.
fn to_json(api: &utoipa::openapi::OpenApi) -> String {
    let Ok(mut document) = serde_json::to_value(api) else { return String::new() };
    let paths = document.get_mut("paths").and_then(Value::as_object_mut);
    let operations = paths.into_iter().flat_map(|paths| paths.iter_mut());
    for (path, operation) in operations
        .flat_map(|(path, item)| item.as_object_mut().map(|item| (path, item)))
        .flat_map(|(path, item)| item.values_mut().map(move |operation| (path, operation)))
    {
        complete(path, operation);
    }
    serde_json::to_string_pretty(&document).unwrap_or_default()
}

fn complete(path: &str, operation: &mut Value) {
    for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
        if parameter.get("name").and_then(Value::as_str) == Some("limit")
            && let Some(schema) = parameter.get_mut("schema").and_then(Value::as_object_mut)
        {
            schema.extend([
                ("minimum".to_owned(), json!(1)),
                ("maximum".to_owned(), json!(LIMIT_MAX)),
                ("default".to_owned(), json!(LIMIT)),
            ]);
        }
    }
    let responses = operation.get_mut("responses").and_then(Value::as_object_mut).into_iter().flatten();
    for (status, response) in responses {
        let Some(response) = response.as_object_mut() else { continue };
        if response.get("description").and_then(Value::as_str).is_none_or(str::is_empty) {
            response.insert("description".to_owned(), json!("done"));
        }
        if status.starts_with(['4', '5']) && !response.contains_key("content") {
            let problem = json!({"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}});
            response.insert("content".to_owned(), problem);
        }
    }
    let example = EXAMPLES.iter().find(|(known, _)| *known == path).and_then(|(_, text)| serde_json::from_str::<Value>(text).ok());
    let body = operation.pointer_mut("/requestBody/content/application~1json").and_then(Value::as_object_mut);
    if let (Some(example), Some(body)) = (example, body) {
        body.insert("example".to_owned(), example);
    }
}

/// Bodies that are taken as they are, by the address that they are sent to; the page for trying the API shows them.
const EXAMPLES: [(&str, &str); 5] = [
    (
        "/api/v1/orders",
        r#"{"customerId": "5e0a7c1e-0000-4000-8000-00000000c001", "paymentMethod": "CARD",
            "items": [{"productId": "5e0a7c1e-0000-4000-8000-000000000001", "quantity": 2, "price": "12.50"}],
            "contact": {"email": "ada@example.org"}}"#,
    ),
    ("/api/v1/orders/{id}/ship", r#"{"carrier": "Post", "trackingNumber": "RR123456785GB"}"#),
    ("/api/v1/products/{id}", r#"{"name": "Enamel mug", "price": "12.50"}"#),
    ("/api/v1/products/{id}/stock", r#"{"delta": 5, "reason": "delivery of Monday"}"#),
    ("/api/v1/admin/dlq", r#"{"action": "reprocess", "filter": {"cause": "payment-provider"}, "dryRun": true}"#),
];

/// The document as it is served, for the committed copy.
#[must_use]
pub fn text() -> &'static str {
    &DOCUMENT
}

/// Serves the document.
pub async fn document() -> HttpResponse {
    HttpResponse::Ok().insert_header((CONTENT_TYPE, "application/json")).body(DOCUMENT.as_str())
}

/// The pages stand under a folder, for their own relative addresses.
pub async fn to_docs() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((LOCATION, "/docs/")).finish()
}

/// Serves the pages.
pub async fn docs(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let name = request.match_info().get("file").unwrap_or_default();
    let file = utoipa_swagger_ui::serve(name, CONFIG.clone()).ok().flatten();
    let file = file.ok_or_else(|| Problem::not_found("no such file"))?;
    let mut response = pages::page(HttpResponse::Ok(), POLICY);
    Ok(response.insert_header((CONTENT_TYPE, file.content_type)).body(file.bytes.into_owned()))
}
