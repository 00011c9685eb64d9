//! The connections of this node to others.

use crate::config::Settings;
use reqwest::Client;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The connections of this node to others, shared by all its HTTP threads.
pub(crate) struct NodeClient {
    pub(crate) client: Client,
    /// This node.
    pub(crate) name: String,
    turn: AtomicUsize,
}

impl NodeClient {
    /// Connects to nobody yet.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub(crate) fn new(settings: &Settings, name: &str) -> Result<Self, reqwest::Error> {
        // Taken once in a process; any later one is the same.
        drop(rustls::crypto::ring::default_provider().install_default());
        let cluster = &settings.cluster;
        let builder = || {
            Client::builder()
                .connect_timeout(Duration::from_millis(cluster.forward_connect_ms))
                .pool_idle_timeout(Duration::from_millis(cluster.forward_idle_ms))
                .pool_max_idle_per_host(cluster.forward_idle_connections)
                .redirect(reqwest::redirect::Policy::none())
                // A proxy for the outside world is none for the nodes.
                .no_proxy()
                .http1_only()
        };
        // A machine without root certificates can still speak plain HTTP to other nodes, or have none.
        let client = builder().build().or_else(|_| builder().tls_certs_only([]).build())?;
        Ok(Self { client, name: name.to_owned(), turn: AtomicUsize::new(0) })
    }

    /// A number that grows: whose turn it is.
    pub(crate) fn turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }
}
