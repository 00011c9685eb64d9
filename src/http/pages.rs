//! Pages for people, and what a problem's `type` leads to. Embedded; nothing is loaded from elsewhere.
//!
//! Every page is the same shell; its script shows the view that the address names. Files are compressed once, and a browser that has
//! one asks only whether it has changed.

use crate::http::door::call::Call;
use crate::http::wire::problem::{Problem, ProblemKind};
use actix_web::http::StatusCode;
use actix_web::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderMap, IF_NONE_MATCH, LOCATION,
    REFERRER_POLICY, VARY, X_FRAME_OPTIONS,
};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use std::io::Write;
use std::sync::LazyLock;

/// No inline script or style, nothing from elsewhere, no frame.
const POLICY: &str =
    "default-src 'self'; object-src 'none'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// Name, type and text of each file.
const ASSETS: &[(&str, &str, &str)] = &[
    ("base.js", SCRIPT, include_str!("assets/base.js")),
    ("app.js", SCRIPT, include_str!("assets/app.js")),
    ("api.js", SCRIPT, include_str!("assets/api.js")),
    ("dom.js", SCRIPT, include_str!("assets/dom.js")),
    ("format.js", SCRIPT, include_str!("assets/format.js")),
    ("words.js", SCRIPT, include_str!("assets/words.js")),
    ("charts.js", SCRIPT, include_str!("assets/charts.js")),
    ("strip.js", SCRIPT, include_str!("assets/strip.js")),
    ("letters.js", SCRIPT, include_str!("assets/letters.js")),
    ("page-dashboard.js", SCRIPT, include_str!("assets/page-dashboard.js")),
    ("page-orders.js", SCRIPT, include_str!("assets/page-orders.js")),
    ("page-order.js", SCRIPT, include_str!("assets/page-order.js")),
    ("page-reports.js", SCRIPT, include_str!("assets/page-reports.js")),
    ("page-attention.js", SCRIPT, include_str!("assets/page-attention.js")),
    ("page-system.js", SCRIPT, include_str!("assets/page-system.js")),
    ("style.css", STYLE, include_str!("assets/style.css")),
    ("uplot.js", SCRIPT, include_str!("assets/uplot/uplot.js")),
    ("uplot.css", STYLE, include_str!("assets/uplot/uplot.css")),
    ("uplot-licence.txt", TEXT, include_str!("assets/uplot/LICENSE")),
];

/// The addresses in it are relative, for a proxy may have put the node under a path that it does not know of.
const SHELL_TEXT: &str = include_str!("assets/index.html");

static SHELL: LazyLock<Packed> = LazyLock::new(|| Packed::of(Bytes::from_static(SHELL_TEXT.as_bytes())));
/// For a page one level below.
static SHELL_BELOW: LazyLock<Packed> = LazyLock::new(|| Packed::of(SHELL_TEXT.replace("=\"./", "=\"../").into()));
static PACKED: LazyLock<Vec<(&'static str, &'static str, Packed)>> =
    LazyLock::new(|| ASSETS.iter().map(|(name, kind, text)| (*name, *kind, Packed::of(Bytes::from_static(text.as_bytes())))).collect());

/// A file as it is sent.
struct Packed {
    etag: String,
    plain: Bytes,
    gzip: Bytes,
}

impl Packed {
    fn of(plain: Bytes) -> Self {
        let etag = format!("\"{}\"", hex::encode(Sha256::digest(&plain).get(..9).unwrap_or_default()));
        let mut packer = GzEncoder::new(Vec::new(), Compression::best());
        let packed = packer.write_all(&plain).and_then(|()| packer.finish());
        Self { etag, plain, gzip: packed.map(Bytes::from).unwrap_or_default() }
    }

    /// The file, unless the browser has it.
    fn answer(&self, headers: &HeaderMap, mut response: HttpResponseBuilder) -> HttpResponse {
        let lists = |name, wanted: &str| {
            let value = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
            value.split(',').any(|part| part.split(';').next().is_some_and(|part| part.trim() == wanted))
        };
        response.insert_header((CACHE_CONTROL, "no-cache"));
        response.insert_header((VARY, "accept-encoding"));
        response.insert_header((ETAG, self.etag.clone()));
        if lists(IF_NONE_MATCH, &self.etag) {
            return response.status(StatusCode::NOT_MODIFIED).finish();
        }
        if lists(ACCEPT_ENCODING, "gzip") && !self.gzip.is_empty() {
            return response.insert_header((CONTENT_ENCODING, "gzip")).body(self.gzip.clone());
        }
        response.body(self.plain.clone())
    }
}

/// The events on Kafka; made from the types of the Kafka edge, and the committed copy is what is served.
const ASYNCAPI: &str = include_str!("../../contracts/asyncapi.json");

/// The document of the events.
pub(crate) async fn asyncapi() -> HttpResponse {
    HttpResponse::Ok().insert_header((CONTENT_TYPE, "application/json")).body(ASYNCAPI)
}

/// The shell of every page.
pub(crate) async fn shell(request: HttpRequest) -> HttpResponse {
    let is_below = request.path().trim_start_matches('/').contains('/');
    let shell = if is_below { &SHELL_BELOW } else { &SHELL };
    shell.answer(request.headers(), page(HttpResponse::Ok(), POLICY))
}

/// From the path under which the node is seen to its first page: relative addresses need the slash.
pub(crate) async fn to_front(call: Call) -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((LOCATION, format!("{}/", call.prefix.as_str()))).finish()
}

/// A file that pages load.
pub(crate) async fn asset(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let name = request.match_info().get("file").unwrap_or_default();
    let found = PACKED.iter().find(|(known, ..)| *known == name);
    let (_, kind, packed) = found.ok_or_else(|| Problem::not_found("no such file"))?;
    let mut response = HttpResponse::Ok();
    response.insert_header((CONTENT_TYPE, *kind));
    Ok(packed.answer(request.headers(), response))
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
