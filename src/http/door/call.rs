//! A request that was let in.

use crate::config::PathPrefix;
use crate::db::StoredOrder;
use crate::domain::CorrelationId;
use crate::http::door::access::Caller;
use crate::http::door::state::HttpState;
use crate::http::wire::problem::{Problem, ProblemKind};
use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use std::future::{Ready, ready};
use std::sync::Arc;

/// What a handler knows of the request that it answers.
#[derive(Clone)]
pub struct Call {
    /// The node.
    pub state: Arc<HttpState>,
    /// Who sent it.
    pub caller: Arc<Caller>,
    /// The request.
    pub correlation: CorrelationId,
    /// What links begin with, as the sender sees this node.
    pub prefix: PathPrefix,
}

impl FromRequest for Call {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let call = request.extensions().get::<Self>().cloned();
        ready(call.ok_or_else(|| Problem::new(ProblemKind::Internal, "a route stands outside of the gate")))
    }
}

/// The order, if the caller may know that it exists.
///
/// # Errors
/// 404.
pub(crate) fn seen(call: &Call, stored: Option<StoredOrder>) -> Result<StoredOrder, Problem> {
    stored.filter(|stored| call.caller.sees(stored.order.customer)).ok_or_else(|| Problem::not_found("there is no such order"))
}
