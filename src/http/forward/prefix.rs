//! The path under which a client sees the node that it asked, told to the node that answers: it makes the links, and need not trust the
//! proxies that the first one does.

use crate::config::{PathPrefix, Purpose};
use crate::http::door::access::Access;
use crate::http::door::state::HttpState;
use crate::http::forward::headers::PREFIX;
use actix_web::dev::ServiceRequest;

/// The header's value; none where there is nothing to tell.
pub(crate) fn header(access: &Access, prefix: &PathPrefix) -> Option<String> {
    let text = prefix.as_str();
    (!prefix.is_empty()).then(|| format!("{text} {}", access.cluster_key().prove(Purpose::Prefix, &[text])))
}

/// What links in the answer to this request begin with: as another node says, provably, or as this one sees it.
pub(crate) fn of(state: &HttpState, request: &ServiceRequest) -> PathPrefix {
    let told = request.headers().get(PREFIX).and_then(|value| value.to_str().ok()).and_then(|text| {
        let (prefix, proof) = text.split_once(' ')?;
        state.access.cluster_key().proves(Purpose::Prefix, &[prefix], proof).then(|| PathPrefix::parse(prefix)).flatten()
    });
    told.unwrap_or_else(|| state.prefixes.of(request.headers(), request.peer_addr()))
}
