//! A node under load.

use super::wire::Template;
use std::net::SocketAddr;

/// A node under load.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    /// As the Host header names it.
    pub(crate) host: String,
    /// The request that places an order there.
    pub(crate) orders: Template,
}
