//! What all HTTP threads share.

use crate::actors::NodeHandle;
use crate::config::Settings;
use crate::http::door::access::{Access, BadKey};
use crate::http::door::nodes::NodeClient;
use crate::http::door::prefix::Prefixes;
use crate::http::numbers::attention::Attention;
use crate::http::numbers::board::Board;
use crate::http::operations::{NodeInfo, Operations};
use metrics_exporter_prometheus::PrometheusHandle;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{Semaphore, watch};

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Others could reach the node, and no keys are set.
    #[error("{0} can be reached from other machines and no access keys are set: set access.keys, or listen on 127.0.0.1")]
    Open(std::net::SocketAddr),
    /// An access key.
    #[error("access.keys: {0}")]
    Key(#[from] BadKey),
    /// Other nodes could not be called.
    #[error("no HTTP client for the other nodes: {0}")]
    Client(#[from] reqwest::Error),
    /// The socket cannot be used.
    #[error("the socket cannot be used: {0}")]
    Socket(#[from] std::io::Error),
}

/// What the HTTP server is made of.
pub struct HttpParts {
    /// The actors and the reads.
    pub handle: NodeHandle,
    /// All settings.
    pub settings: Arc<Settings>,
    /// What else of the node can be asked and set.
    pub operations: Arc<dyn Operations>,
    /// What `/metrics` renders; none: 404.
    pub metrics: Option<PrometheusHandle>,
    /// About the node.
    pub node: NodeInfo,
}

/// What all HTTP threads share.
pub struct HttpState {
    /// The actors and the reads.
    pub handle: NodeHandle,
    /// All settings.
    pub settings: Arc<Settings>,
    /// What else of the node can be asked and set.
    pub operations: Arc<dyn Operations>,
    /// About the node.
    pub node: NodeInfo,
    pub(crate) access: Access,
    pub(crate) prefixes: Prefixes,
    pub(crate) analytics: Arc<Board>,
    pub(crate) attention: Arc<Attention>,
    pub(crate) nodes: NodeClient,
    pub(crate) metrics: Option<PrometheusHandle>,
    pub(crate) in_progress: AtomicUsize,
    pub(crate) waiting: Arc<Semaphore>,
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) stopping: watch::Sender<bool>,
}

impl HttpState {
    /// Puts the parts together.
    ///
    /// # Errors
    /// An access key cannot be used, or there is no way to call other nodes.
    pub fn new(parts: HttpParts) -> Result<Self, ServeError> {
        let server = &parts.settings.server;
        Ok(Self {
            analytics: Arc::new(Board::of(&parts.handle, &parts.settings)),
            attention: Arc::new(Attention::of(&parts.handle, &parts.operations, &parts.settings)),
            access: Access::new(&parts.settings.access, server.open_metrics)?,
            prefixes: Prefixes::of_settings(server),
            nodes: NodeClient::new(&parts.settings, &parts.node.name)?,
            in_progress: AtomicUsize::new(0),
            waiting: Arc::new(Semaphore::new(server.max_waiting.min(Semaphore::MAX_PERMITS))),
            streams: Arc::new(Semaphore::new(server.max_streams.min(Semaphore::MAX_PERMITS))),
            stopping: watch::Sender::new(false),
            handle: parts.handle,
            settings: parts.settings,
            operations: parts.operations,
            metrics: parts.metrics,
            node: parts.node,
        })
    }

    /// From now on the node is not ready, live streams end and waits are answered; requests are still served.
    pub fn drain(&self) {
        self.stopping.send_replace(true);
    }

    /// Whether [`HttpState::drain`] was called.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Requests in progress (health, metrics and administration aside).
    #[must_use]
    pub fn in_progress(&self) -> usize {
        self.in_progress.load(Ordering::Relaxed)
    }
}
