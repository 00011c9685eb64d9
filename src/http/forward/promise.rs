//! The id that one node promises for an order which another one places.
//!
//! Only nodes may choose ids: a client that could would name an order that exists. So the id comes with a proof that nobody can make
//! who does not know all access keys' hashes, which all nodes have in their settings. Without keys only this machine can reach the
//! node, and may do everything anyway.

use crate::domain::OrderId;
use crate::http::HttpState;
use crate::http::access::Access;
use crate::http::json::parse_uuid;
use crate::http::problem::{Problem, ProblemKind};
use actix_web::http::header::{HeaderMap, HeaderName};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The promised id and its proof.
pub(super) const PROMISED: HeaderName = HeaderName::from_static("ordermill-promised-id");

/// The header's value.
pub(super) fn header(access: &Access, order: OrderId) -> String {
    format!("{order} {}", proof(access, order))
}

/// The id that another node has promised for the order of this request, if any.
///
/// # Errors
/// 503: the proof is not this cluster's.
pub(in crate::http) fn promised(state: &HttpState, headers: &HeaderMap) -> Result<Option<OrderId>, Problem> {
    let Some(value) = headers.get(PROMISED) else { return Ok(None) };
    let parts = value.to_str().ok().and_then(|text| text.split_once(' '));
    let promise = parts.and_then(|(id, proof)| Some((OrderId(parse_uuid(id)?), proof)));
    let proven = promise.filter(|(order, given)| bool::from(proof(&state.access, *order).as_bytes().ct_eq(given.as_bytes())));
    match proven {
        Some((order, _)) => Ok(Some(order)),
        None => {
            tracing::warn!("a promised order id was refused: do all nodes have the same access.keys?");
            Err(Problem::new(ProblemKind::Unavailable, "the id that was promised for this order is not a node's; nothing was stored"))
        }
    }
}

fn proof(access: &Access, order: OrderId) -> String {
    let mut hash = Sha256::new();
    hash.update("ordermill promised id\n");
    hash.update(access.fingerprint());
    hash.update(order.0.as_bytes());
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
