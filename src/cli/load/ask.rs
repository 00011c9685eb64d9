//! Asks a node something.

use super::node::Node;
use super::wire::{Broken, Head, Template, Wire};
use anyhow::{Context, bail};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The first node that a connection can be made to, else the first.
pub(crate) async fn first_reachable(nodes: &[Node]) -> Option<&Node> {
    for node in nodes {
        if matches!(timeout(Duration::from_secs(5), TcpStream::connect(node.address)).await, Ok(Ok(_))) {
            return Some(node);
        }
    }
    nodes.first()
}

/// The body of a `GET`.
pub(crate) async fn answer_of(node: &Node, path: &str, key: Option<&str>) -> anyhow::Result<Vec<u8>> {
    let request = Template::new(Method::GET, path, &node.host, key)?.request();
    let (head, body) = timeout(Duration::from_secs(10), once(node, request)).await.context("no answer")??;
    if head.status != StatusCode::OK {
        bail!("{} answers {} to {path}", node.address, head.status.as_u16());
    }
    Ok(body)
}

pub(crate) async fn once(node: &Node, request: Request<Full<Bytes>>) -> Result<(Head, Vec<u8>), Broken> {
    let mut wire = Wire::connect(node.address).await?;
    let head = wire.exchange(request).await?;
    Ok((head, wire.body().to_vec()))
}
