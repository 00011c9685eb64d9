//! The front door: routes, wire types, access, problems. Owns what a client sees and nothing of what is true: every answer rests on
//! what [`Front`] and its reads say is stored.
//!
//! Promises: no request makes a 5xx by its content; every refusal is a problem (RFC 9457) that names every broken field; nothing a
//! client does slowly, hugely or often takes the node from the others. Knows nothing of actors' insides or the database.
//!
//! Start reading at [`routes`]: the one list of what is served and which role each route needs.

pub mod access;
mod admin;
mod analytics;
mod body;
mod correlation;
mod desk;
mod forward;
mod gate;
mod import;
mod json;
mod node;
mod once;
mod open_files;
pub mod openapi;
mod order_body;
mod orders;
mod pages;
mod precondition;
mod problem;
mod query;
pub mod routes;
mod server;
mod sse;
mod stock;
mod wait;
mod wire;
mod wire_desk;
mod wire_order;
mod wire_orders;
mod wire_requests;

pub use access::{Access, BadKey, Caller, Need};
pub use gate::{Call, Gate};
pub use node::{Component, Fares, NodeInfo, Operations};
pub use problem::{FieldErrors, Problem, ProblemKind};
pub use server::{ServeError, serve};
pub use wire::{Amount, FieldProblem, Place, Status, Time};

use crate::actors::Front;
use crate::config::Settings;
use crate::domain::Timestamp;
use metrics_exporter_prometheus::PrometheusHandle;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{Semaphore, watch};

/// What the front door is made of.
pub struct HttpParts {
    /// The actors and the reads.
    pub front: Front,
    /// All settings.
    pub settings: Arc<Settings>,
    /// What else of the node can be asked and set.
    pub operations: Arc<dyn Operations>,
    /// What `/metrics` renders; none: 404.
    pub metrics: Option<PrometheusHandle>,
    /// Who the node is.
    pub node: NodeInfo,
}

/// What all HTTP threads share.
pub struct HttpState {
    /// The actors and the reads.
    pub front: Front,
    /// All settings.
    pub settings: Arc<Settings>,
    /// What else of the node can be asked and set.
    pub operations: Arc<dyn Operations>,
    /// Who the node is.
    pub node: NodeInfo,
    access: Access,
    analytics: Arc<analytics::Board>,
    line: forward::Line,
    metrics: Option<PrometheusHandle>,
    in_progress: AtomicUsize,
    waiting: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    stopping: watch::Sender<bool>,
}

impl HttpState {
    /// Puts the parts together.
    ///
    /// # Errors
    /// An access key cannot be used, or there is no way to call other nodes.
    pub fn new(parts: HttpParts) -> Result<Self, ServeError> {
        let server = &parts.settings.server;
        Ok(Self {
            analytics: Arc::new(analytics::Board::of(&parts.front, &parts.settings)),
            access: Access::new(&parts.settings.access, server.open_metrics)?,
            line: forward::Line::new(&parts.settings, &parts.node.name)?,
            in_progress: AtomicUsize::new(0),
            waiting: Arc::new(Semaphore::new(server.max_waiting.min(Semaphore::MAX_PERMITS))),
            streams: Arc::new(Semaphore::new(server.max_streams.min(Semaphore::MAX_PERMITS))),
            stopping: watch::Sender::new(false),
            front: parts.front,
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

fn now() -> Timestamp {
    Timestamp::from(chrono::Utc::now())
}
