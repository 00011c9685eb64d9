//! The id that one node promises for an order which another one places.
//!
//! Only nodes may choose ids: a client that could would name an order that exists. So the id comes with a proof by the cluster's key.

use crate::config::Purpose;
use crate::domain::OrderId;
use crate::http::door::access::Access;
use crate::http::door::state::HttpState;
use crate::http::forward::headers::PROMISED;
use crate::http::wire::json::parse_uuid;
use crate::http::wire::problem::{Problem, ProblemKind};
use actix_web::http::header::HeaderMap;

/// The header's value.
pub(crate) fn header(access: &Access, order: OrderId) -> String {
    let id = order.to_string();
    let proof = access.cluster_key().prove(Purpose::PromisedId, &[&id]);
    format!("{id} {proof}")
}

/// The id that another node has promised for the order of this request, if any.
///
/// # Errors
/// 503: the proof is not this cluster's.
pub(crate) fn promised(state: &HttpState, headers: &HeaderMap) -> Result<Option<OrderId>, Problem> {
    let Some(value) = headers.get(PROMISED) else { return Ok(None) };
    let parts = value.to_str().ok().and_then(|text| text.split_once(' '));
    let promise = parts.and_then(|(id, proof)| Some((OrderId(parse_uuid(id)?), proof)));
    let proven = promise.filter(|(order, given)| state.access.cluster_key().proves(Purpose::PromisedId, &[&order.to_string()], given));
    match proven {
        Some((order, _)) => Ok(Some(order)),
        None => {
            tracing::warn!("a promised order id was refused: do all nodes have the same access.keys?");
            Err(Problem::new(ProblemKind::Unavailable, "the id promised for this order was not made by a node; nothing was stored"))
        }
    }
}
