//! The client of the nodes' HTTP API that the commands share: JSON in and out, errors that say what to do next. Any node answers; one
//! that cannot be connected to is passed over for the next. Nothing is sent twice that a node may have taken.

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use futures_util::{Stream, StreamExt as _};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;
use sse_stream::{Sse, SseByteStream};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const ANSWER_LIMIT: Duration = Duration::from_secs(90);
/// The longest event of a stream, in bytes.
const MAX_EVENT_BYTES: usize = 1024 * 1024;

/// The access key.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct KeyArg {
    /// Access key, sent as a bearer token; a node without configured keys needs none
    #[arg(long, global = true, env = "ORDERMILL_KEY", hide_env_values = true, value_name = "KEY")]
    pub(crate) key: Option<String>,
}

/// Which node, and the key to it.
#[derive(Args, Clone, Debug)]
pub(crate) struct ApiArgs {
    /// The node to talk to; with several (repeat the option, or separate them by commas) the first that can be reached
    #[arg(long, global = true, env = "ORDERMILL_URL", default_value = "http://127.0.0.1:8080", value_name = "URL", value_delimiter = ',',
        value_parser = base_url)]
    pub(crate) url: Vec<String>,
    #[command(flatten)]
    pub(crate) access: KeyArg,
}

/// The address of a node: `https://mill.example/shop`, `10.0.0.7:8080` or `mill.example`; without a scheme it is http.
pub(crate) fn base_url(text: &str) -> Result<String, String> {
    let text = text.trim();
    let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let parsed = reqwest::Url::parse(&whole).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    parsed
        .map(|_| whole.trim_end_matches('/').to_owned())
        .ok_or_else(|| "must be the address of a node, such as http://127.0.0.1:8080 or 127.0.0.1:8080".to_owned())
}

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("cannot reach {url}: {cause}\nhint: is the node running? `ordermill serve` starts one; --url or ORDERMILL_URL names another")]
    Unreachable { url: String, cause: String },
    #[error("{0}")]
    Problem(Box<Problem>),
    #[error("{url} does not answer like an ordermill node: {what}")]
    Odd { url: String, what: String },
}

/// An error as the node tells it.
#[derive(Debug, Default)]
pub(crate) struct Problem {
    pub(crate) status: u16,
    title: String,
    detail: String,
    /// The broken fields, each with its reason.
    fields: Vec<String>,
    correlation: Option<String>,
}

/// A handle to the nodes.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    bases: Vec<String>,
    /// Which of them was reached last.
    present: Arc<AtomicUsize>,
    key: Option<String>,
}

/// What a request is made of; rendered for each node that it is tried at.
type Dress<'a> = &'a (dyn Fn(RequestBuilder) -> RequestBuilder + Sync);

impl Client {
    pub(crate) fn new(args: &ApiArgs) -> anyhow::Result<Self> {
        Self::made(args, |builder| builder)
    }

    /// Past the proxy that the environment may name: it does not know the way to this machine's own nodes.
    pub(crate) fn direct(args: &ApiArgs) -> anyhow::Result<Self> {
        Self::made(args, reqwest::ClientBuilder::no_proxy)
    }

    fn made(args: &ApiArgs, adapt: fn(reqwest::ClientBuilder) -> reqwest::ClientBuilder) -> anyhow::Result<Self> {
        // Only the first one in the process is taken; any later one is the same.
        drop(rustls::crypto::ring::default_provider().install_default());
        let agent = concat!("ordermill/", env!("CARGO_PKG_VERSION"));
        let builder = || adapt(reqwest::Client::builder().connect_timeout(CONNECT_LIMIT).user_agent(agent));
        // A machine without root certificates can still speak plain HTTP.
        let http = builder().build().or_else(|_| builder().tls_certs_only([]).build()).context("the HTTP client cannot be made")?;
        let bases = args.url.iter().map(|url| base_url(url)).collect::<Result<Vec<String>, String>>().map_err(anyhow::Error::msg)?;
        anyhow::ensure!(!bases.is_empty(), "give the address of a node by --url");
        Ok(Self { http, bases, present: Arc::default(), key: args.access.key.clone() })
    }

    /// The node that was reached last.
    pub(crate) fn url(&self) -> &str {
        self.base(0)
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, ApiError> {
        self.json(Method::GET, path, &|request| request).await
    }

    /// GET of what is no JSON.
    pub(crate) async fn text(&self, path: &str) -> Result<String, ApiError> {
        let response = self.checked(Method::GET, path, &|request| request.timeout(ANSWER_LIMIT)).await?;
        response.text().await.map_err(|error| unreachable(self.url(), &error))
    }

    /// GET of what may as well be answered with an error: whether it was not, and the answer.
    pub(crate) async fn look(&self, path: &str, limit: Duration) -> Result<(bool, Value), ApiError> {
        let response = self.send(Method::GET, path, &|request| request.timeout(limit)).await?;
        let status = response.status();
        let text = response.text().await.map_err(|error| unreachable(self.url(), &error))?;
        match serde_json::from_str(&text) {
            Ok(answer) => Ok((status.is_success(), answer)),
            Err(error) => Err(ApiError::Odd { url: self.url().to_owned(), what: format!("{status}, and no JSON ({error})") }),
        }
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, ApiError> {
        self.json(Method::POST, path, &|request| request.json(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Result<Value, ApiError> {
        self.json(Method::PUT, path, &|request| request.json(body)).await
    }

    /// PATCH of what must be there, whatever its version.
    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Result<Value, ApiError> {
        self.json(Method::PATCH, path, &|request| request.header("If-Match", "*").json(body)).await
    }

    pub(crate) async fn post_csv(&self, path: &str, body: String) -> Result<Value, ApiError> {
        self.json(Method::POST, path, &|request| request.header("Content-Type", "text/csv").body(body.clone())).await
    }

    /// Opens a stream of server-sent events, after the event `last`; none where nothing comes after it.
    pub(crate) async fn events(&self, path: &str, last: Option<&str>) -> Result<Option<Events>, ApiError> {
        let dress = |request: RequestBuilder| {
            let request = request.header("Accept", "text/event-stream");
            match last {
                Some(last) => request.header("Last-Event-ID", last),
                None => request,
            }
        };
        let response = self.checked(Method::GET, path, &dress).await?;
        let is_over = response.status() == reqwest::StatusCode::NO_CONTENT;
        Ok((!is_over).then(|| Events::of(self.url(), response.bytes_stream())))
    }

    /// The base address that is `after` places after the one that was reached last.
    fn base(&self, after: usize) -> &str {
        let at = (self.present.load(Ordering::Relaxed) + after) % self.bases.len().max(1);
        self.bases.get(at).map_or("", String::as_str)
    }

    async fn json(&self, method: Method, path: &str, dress: Dress<'_>) -> Result<Value, ApiError> {
        let response = self.checked(method, path, &|request| dress(request).timeout(ANSWER_LIMIT)).await?;
        let text = response.text().await.map_err(|error| unreachable(self.url(), &error))?;
        if text.trim().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).map_err(|error| ApiError::Odd { url: self.url().to_owned(), what: format!("no JSON ({error})") })
    }

    /// Sends to the first node that can be connected to.
    async fn send(&self, method: Method, path: &str, dress: Dress<'_>) -> Result<Response, ApiError> {
        let mut after = 0;
        loop {
            let base = self.base(after);
            let request = self.http.request(method.clone(), format!("{base}{path}"));
            let request = match &self.key {
                Some(key) => request.bearer_auth(key),
                None => request,
            };
            match dress(request).send().await {
                Ok(response) => {
                    self.present.fetch_add(after, Ordering::Relaxed);
                    return Ok(response);
                }
                Err(error) if error.is_connect() && after + 1 < self.bases.len() => after += 1,
                Err(error) => return Err(unreachable(base, &error)),
            }
        }
    }

    async fn checked(&self, method: Method, path: &str, dress: Dress<'_>) -> Result<Response, ApiError> {
        let response = self.send(method, path, dress).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = response.text().await.unwrap_or_default();
        Err(ApiError::Problem(Box::new(Problem::read(status.as_u16(), &text))))
    }
}

fn unreachable(url: &str, error: &reqwest::Error) -> ApiError {
    // The innermost cause ("connection refused") says more than the layers around it.
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    ApiError::Unreachable { url: url.to_owned(), cause: cause.to_string() }
}

impl ApiError {
    /// Whether the same may go well later: the node is away, starts, stops, or has too much to do.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Problem(problem) => problem.status >= 500 || problem.status == 429,
            Self::Unreachable { .. } | Self::Odd { .. } => true,
        }
    }

    /// The status that the node answered with.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Problem(problem) => Some(problem.status),
            Self::Unreachable { .. } | Self::Odd { .. } => None,
        }
    }
}

impl Problem {
    fn read(status: u16, text: &str) -> Self {
        let Ok(body) = serde_json::from_str::<Value>(text) else {
            return Self { status, detail: text.chars().take(200).collect(), ..Self::default() };
        };
        let field = |name: &str| text_at(&body, name).unwrap_or_default().to_owned();
        Self {
            status,
            title: field("title"),
            detail: field("detail"),
            fields: body.get("errors").map(broken_fields).unwrap_or_default(),
            correlation: text_at(&body, "correlationId").map(str::to_owned),
        }
    }
}

/// The broken fields of a problem: where and what.
fn broken_fields(errors: &Value) -> Vec<String> {
    let one = |error: &Value| match (text_at(error, "pointer"), text_at(error, "detail")) {
        (Some(pointer), Some(detail)) => format!("{pointer} {detail}"),
        (None, _) | (_, None) => error.to_string(),
    };
    errors.as_array().map(|errors| errors.iter().map(one).collect()).unwrap_or_default()
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the node answers {}", self.status)?;
        for part in [&self.title, &self.detail] {
            if !part.is_empty() {
                write!(f, ": {part}")?;
            }
        }
        for field in &self.fields {
            write!(f, "\n  {field}")?;
        }
        if let Some(correlation) = &self.correlation {
            write!(f, "\n  (correlation id {correlation})")?;
        }
        match self.status {
            401 => write!(f, "\nhint: the node wants a key: give --key or set ORDERMILL_KEY"),
            403 => write!(f, "\nhint: the key's role does not allow this; a key with the role operator may do all but set what is logged"),
            _ => Ok(()),
        }
    }
}

/// A stream of server-sent events.
pub(crate) struct Events {
    url: String,
    blocks: Pin<Box<dyn Stream<Item = Result<Sse, sse_stream::Error>> + Send>>,
    /// Bytes since the last event.
    pending: Arc<AtomicUsize>,
}

/// One server-sent event.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Event {
    pub(crate) id: Option<String>,
    pub(crate) name: String,
    pub(crate) data: Value,
}

impl Events {
    fn of<E>(url: &str, bytes: impl Stream<Item = Result<Bytes, E>> + Send + 'static) -> Self
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let pending = Arc::new(AtomicUsize::new(0));
        let count = pending.clone();
        let bounded = bytes.map(move |part| {
            let part = part.map_err(std::io::Error::other)?;
            let is_long = count.fetch_add(part.len(), Ordering::Relaxed) > MAX_EVENT_BYTES;
            if is_long { Err(std::io::Error::other("an event without end")) } else { Ok(part) }
        });
        Self { url: url.to_owned(), blocks: Box::pin(SseByteStream::new(bounded)), pending }
    }

    /// The next event with data; `None` when the node has ended the stream.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>, ApiError> {
        while let Some(block) = self.blocks.next().await {
            let block = block.map_err(|error| ApiError::Odd { url: self.url.clone(), what: error.to_string() })?;
            self.pending.store(0, Ordering::Relaxed);
            if let Some(event) = read_event(block) {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }
}

/// Blocks without data are no events.
fn read_event(block: Sse) -> Option<Event> {
    let data = serde_json::from_str(&block.data?).ok()?;
    Some(Event { id: block.id, name: block.event.unwrap_or_else(|| "message".to_owned()), data })
}

/// A text field.
pub(crate) fn text_at<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str)
}

/// A field as a person reads it; absent is `-`.
pub(crate) fn shown_at(value: &Value, name: &str) -> String {
    match value.get(name) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// The rows of a page or list.
pub(crate) fn rows_at<'a>(page: &'a Value, name: &str) -> &'a [Value] {
    page.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// A query string of the parts that are given.
pub(crate) fn query(parts: &[(&str, Option<String>)]) -> String {
    let mut out = String::new();
    for (name, value) in parts {
        if let Some(value) = value {
            out.push(if out.is_empty() { '?' } else { '&' });
            out.push_str(name);
            out.push('=');
            out.push_str(&encoded(value));
        }
    }
    out
}

/// Percent-encoded for a query or a path segment.
pub(crate) fn encoded(text: &str) -> String {
    const CODED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(text, &CODED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_all_fields_and_says_what_to_do() {
        let text = r#"{"type":"urn:x","title":"Invalid","detail":"2 fields","errors":[{"in":"body","pointer":"/a","detail":"is empty"},"b"],"correlationId":"c"}"#;
        let shown = Problem::read(422, text).to_string();
        assert_eq!(shown, "the node answers 422: Invalid: 2 fields\n  /a is empty\n  \"b\"\n  (correlation id c)");
        assert!(Problem::read(401, "").to_string().contains("ORDERMILL_KEY"));
        assert!(Problem::read(403, "").to_string().contains("a key with the role operator may do all but set what is logged"));
        assert_eq!(Problem::read(502, "<html>").to_string(), "the node answers 502: <html>");
    }

    #[tokio::test]
    async fn a_node_that_is_away_is_passed_over_once() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = format!("http://{}", listener.local_addr().unwrap());
        let away = {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            format!("http://{}/", listener.local_addr().unwrap())
        };
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                drop(tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 4096]).await);
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
                tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await.unwrap();
            }
        });
        let args = ApiArgs { url: vec![away.clone(), here.clone()], access: KeyArg::default() };
        let client = Client::new(&args).unwrap();
        assert_eq!(client.post("/x", &serde_json::json!({})).await.unwrap(), serde_json::json!({}));
        assert_eq!(client.url(), here);
        let nobody = Client::new(&ApiArgs { url: vec![away], access: KeyArg::default() }).unwrap();
        assert!(matches!(nobody.get("/x").await, Err(ApiError::Unreachable { .. })));
    }

    #[test]
    fn an_address_may_lack_its_scheme() {
        let cases = [
            ("127.0.0.1:8080", Some("http://127.0.0.1:8080")),
            ("localhost:8080/", Some("http://localhost:8080")),
            (" mill.example/shop/ ", Some("http://mill.example/shop")),
            ("https://mill.example", Some("https://mill.example")),
            ("[::1]:8080", Some("http://[::1]:8080")),
            ("ftp://mill.example", None),
            ("http://", None),
            ("", None),
            ("a b", None),
        ];
        for (text, want) in cases {
            assert_eq!(base_url(text).ok().as_deref(), want, "{text}");
        }
    }

    #[tokio::test]
    async fn events_are_read_whole_and_none_is_endless() {
        let parts = ["\u{feff}: hello\n\nid: 3\nevent: x\r\ndata: {\"a\":\nda", "ta: 1}\n\n", "id: 4\n\ndata: 7\n\ndata: {\"a\""];
        let bytes = futures_util::stream::iter(parts.map(|part| Ok::<_, std::io::Error>(Bytes::from(part))));
        let mut events = Events::of("http://node", bytes);
        let first = Event { id: Some("3".into()), name: "x".into(), data: serde_json::json!({"a": 1}) };
        assert_eq!(events.next().await.unwrap(), Some(first));
        let second = Event { id: None, name: "message".into(), data: serde_json::json!(7) };
        assert_eq!(events.next().await.unwrap(), Some(second));
        assert_eq!(events.next().await.unwrap(), None, "what is cut off is no event");
        let endless = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; 64 * 1024])));
        let told = Events::of("http://node", endless).next().await.unwrap_err().to_string();
        assert!(told.contains("without end"), "{told}");
    }

    #[test]
    fn queries_are_encoded_and_leave_out_what_is_not_given() {
        assert_eq!(query(&[("a", None), ("b", Some("x y&z".into())), ("c", Some("1".into()))]), "?b=x%20y%26z&c=1");
        assert_eq!(query(&[("a", None)]), "");
    }
}
