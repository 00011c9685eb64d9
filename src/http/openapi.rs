//! The OpenAPI document, made from the handlers, and its pages.

use super::problem::Problem;
use super::wire::{FieldProblem, Place, ProblemBody};
use super::{admin, analytics, desk, import, node, orders, pages, sse, stock};
use actix_web::http::header::{CONTENT_TYPE, LOCATION};
use actix_web::{HttpRequest, HttpResponse};
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
        orders::place, orders::list, orders::show, orders::status, sse::order_events, orders::cancel, orders::ship,
        stock::list, stock::show, stock::corrections, stock::put, stock::patch, stock::adjust, import::products,
        analytics::dashboard, analytics::metrics, analytics::reports, analytics::stream,
        desk::list, desk::act_on_many, desk::groups, desk::show, desk::act,
        admin::breakers, admin::cluster, admin::actors, admin::log_level, admin::set_log_level,
        node::health, node::live, node::ready, node::info, node::metrics,
    ),
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

fn to_json(api: &utoipa::openapi::OpenApi) -> String {
    api.to_pretty_json().unwrap_or_default()
}

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
