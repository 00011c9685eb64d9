//! One HTTP/1.1 connection to a node, over plain `http://`.

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::io;
use std::net::SocketAddr;
use tokio::net::TcpStream;
use uuid::Uuid;

const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The head of an answer, as far as it matters here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) retry_after_s: Option<u64>,
    pub(crate) replayed: bool,
}

/// Why there is no whole answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("the connection was closed before the answer was whole")]
    Closed,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("{0}")]
    Unexpected(&'static str),
}

impl Broken {
    /// Whether something answered that is no node: to ask again is no use.
    pub(crate) fn is_malformed(&self) -> bool {
        match self {
            Self::Closed | Self::Io(_) => false,
            Self::Http(error) => error.is_parse(),
            Self::Unexpected(_) => true,
        }
    }
}

/// What every request of a kind says: method, path, headers.
#[derive(Clone, Debug)]
pub(crate) struct Template(Parts);

impl Template {
    /// # Errors
    /// The path, the host or the access key holds a character that a request cannot.
    pub(crate) fn new(method: Method, path: &str, host: &str, key: Option<&str>) -> anyhow::Result<Self> {
        let mut request = Request::builder().method(method).uri(path).header(HOST, host);
        if let Some(key) = key {
            let mut access = HeaderValue::try_from(format!("Bearer {key}"))?;
            access.set_sensitive(true);
            request = request.header(AUTHORIZATION, access);
        }
        Ok(Self(request.body(())?.into_parts().0))
    }

    /// A request without a body.
    pub(crate) fn request(&self) -> Request<Full<Bytes>> {
        Request::from_parts(self.0.clone(), Full::default())
    }

    /// A request with a JSON body, under a key if there is one.
    pub(crate) fn with_json(&self, body: Vec<u8>, key: Option<Uuid>) -> Request<Full<Bytes>> {
        let mut parts = self.0.clone();
        parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let mut text = Uuid::encode_buffer();
        if let Some(key) = key.and_then(|key| HeaderValue::from_str(key.as_hyphenated().encode_lower(&mut text)).ok()) {
            parts.headers.insert(IDEMPOTENCY_KEY, key);
        }
        Request::from_parts(parts, Full::from(body))
    }
}

/// A connection and the body of the answer that it read last.
pub(crate) struct Wire {
    sender: http1::SendRequest<Full<Bytes>>,
    body: Vec<u8>,
}

impl Wire {
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self, Broken> {
        let stream = TcpStream::connect(address).await?;
        // Without it the kernel may hold a request back for the acknowledgement of the one before; not fatal where unsupported.
        drop(stream.set_nodelay(true));
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Ends with its sender; what goes wrong is told by the exchange that meets it.
        tokio::spawn(connection);
        Ok(Self { sender, body: Vec::new() })
    }

    /// Waits until another request can be sent; false when the connection is closed.
    pub(crate) async fn is_reusable(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }

    /// Sends a request and reads the whole answer; its body is then in [`Wire::body`].
    pub(crate) async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Head, Broken> {
        self.body.clear();
        let (head, mut incoming) = self.open(request).await?;
        while let Some(piece) = next(&mut incoming).await? {
            if self.body.len() + piece.len() > MAX_BODY_BYTES {
                return Err(Broken::Unexpected("the body is too large"));
            }
            self.body.extend_from_slice(&piece);
        }
        Ok(head)
    }

    /// The body that [`Wire::exchange`] read last.
    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    /// Sends a request and reads the head of the answer; its body follows by [`next`].
    pub(crate) async fn open(&mut self, request: Request<Full<Bytes>>) -> Result<(Head, Incoming), Broken> {
        let (answer, incoming) = self.sender.send_request(request).await?.into_parts();
        let header = |name| answer.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        // A date is legal too; whoever sends one is asked again after a second.
        let retry_after_s = header(RETRY_AFTER).map(|value| value.parse().unwrap_or(1));
        let replayed = header(IDEMPOTENCY_REPLAYED).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        Ok((Head { status: answer.status, retry_after_s, replayed }, incoming))
    }
}

/// The next piece of a body; none when it is whole.
pub(crate) async fn next(incoming: &mut Incoming) -> Result<Option<Bytes>, Broken> {
    while let Some(frame) = incoming.frame().await {
        if let Ok(piece) = frame?.into_data() {
            return Ok(Some(piece));
        }
    }
    Ok(None)
}
