//! Asks a node something.

use super::node::Node;
use super::wire::{Broken, Head, Wire};
use anyhow::{Context, bail};
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
    let access = key.map(|key| format!("Authorization: Bearer {key}\r\n")).unwrap_or_default();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{access}\r\n", node.host);
    let (head, body) = timeout(Duration::from_secs(10), once(node, request.as_bytes())).await.context("no answer")??;
    if head.status != 200 {
        bail!("{} answers {} to {path}", node.address, head.status);
    }
    Ok(body)
}

pub(crate) async fn once(node: &Node, request: &[u8]) -> Result<(Head, Vec<u8>), Broken> {
    let mut wire = Wire::new(TcpStream::connect(node.address).await?);
    let head = wire.exchange(request).await?;
    Ok((head, wire.body().to_vec()))
}
