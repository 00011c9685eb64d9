//! Pages for people: the dashboard and what a problem's `type` leads to. Embedded; nothing is loaded from elsewhere.

use crate::http::wire::problem::{Problem, ProblemKind};
use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_FRAME_OPTIONS};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};

const DASHBOARD: &str = include_str!("assets/dashboard.html");
const ASSETS: [(&str, &str, &str); 2] = [
    ("dashboard.js", "text/javascript; charset=utf-8", include_str!("assets/dashboard.js")),
    ("dashboard.css", "text/css; charset=utf-8", include_str!("assets/dashboard.css")),
];

/// The events on Kafka; made from the types of the Kafka edge, and the committed copy is what is served.
const ASYNCAPI: &str = include_str!("../../contracts/asyncapi.json");

/// The document of the events.
pub(crate) async fn asyncapi() -> HttpResponse {
    HttpResponse::Ok().insert_header((CONTENT_TYPE, "application/json")).body(ASYNCAPI)
}

/// The dashboard.
pub(crate) async fn dashboard() -> HttpResponse {
    page(HttpResponse::Ok(), "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'")
        .body(DASHBOARD)
}

/// A part of the dashboard.
pub(crate) async fn asset(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let name = request.match_info().get("file").unwrap_or_default();
    let (_, kind, text) = ASSETS.into_iter().find(|(known, _, _)| *known == name).ok_or_else(|| Problem::not_found("no such file"))?;
    Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, kind)).insert_header((CACHE_CONTROL, "no-cache")).body(text))
}

/// What a problem's `type` means.
pub(crate) async fn problem(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let path = request.path();
    let kind = ProblemKind::ALL.into_iter().find(|kind| kind.uri() == path).ok_or_else(|| Problem::not_found("no such problem"))?;
    let text = format!("{}\n\nStatus {}. The detail of each answer says what happened.\n", kind.title(), kind.status());
    Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, "text/plain; charset=utf-8")).body(text))
}

/// An HTML page that loads what `policy` allows.
pub(crate) fn page(mut response: HttpResponseBuilder, policy: &'static str) -> HttpResponseBuilder {
    response.insert_header((CONTENT_TYPE, "text/html; charset=utf-8"));
    response.insert_header((CONTENT_SECURITY_POLICY, policy));
    response.insert_header((X_FRAME_OPTIONS, "DENY"));
    response.insert_header((REFERRER_POLICY, "no-referrer"));
    response.insert_header((CACHE_CONTROL, "no-cache"));
    response
}
