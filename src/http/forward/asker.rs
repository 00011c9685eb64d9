//! Who asks, said by one node to another in place of the client's key: a statement of this one request to this one node, for a short
//! time. A key that was sent on could be caught by whoever gets a node to send requests to it; this is worth nothing elsewhere.

use crate::config::{AccessRole, ClusterKey, Purpose};
use crate::domain::{CustomerId, Text};
use crate::http::door::access::Caller;
use crate::http::door::call::Call;
use crate::http::door::state::HttpState;
use crate::http::forward::headers::ASKER;
use crate::http::wire::json::parse_uuid;
use crate::http::wire::problem::{Problem, ProblemKind};
use crate::http::wire::values::now;
use actix_web::dev::ServiceRequest;

/// The header's value for a request that goes to `target` at the node of address `node`; none without access keys.
pub(crate) fn header(call: &Call, method: &reqwest::Method, target: &reqwest::Url, node: &str) -> Option<String> {
    let access = &call.state.access;
    if !access.has_keys() {
        return None;
    }
    let until = now().plus_ms(call.state.settings.cluster.forward_proof_ms).0.to_string();
    let Caller { name, role, customer } = call.caller.as_ref();
    let customer = customer.map_or_else(|| "-".to_owned(), |customer| customer.to_string());
    let name: String = hex::encode(name.as_str());
    let asked = match target.query() {
        Some(query) => format!("{}?{query}", target.path()),
        None => target.path().to_owned(),
    };
    let proof = prove(access.cluster_key(), [&until, role.name(), &customer, &name, method.as_str(), &asked, node]);
    Some(format!("{until} {} {customer} {name} {proof}", role.name()))
}

fn prove(key: &ClusterKey, parts: [&str; 7]) -> String {
    key.prove(Purpose::Asker, &parts)
}

/// Whom another node vouches for in this request, if one does.
///
/// # Errors
/// 503: the statement is not this cluster's, not of this request to this node, or too old.
pub(crate) fn vouched(state: &HttpState, request: &ServiceRequest) -> Result<Option<Caller>, Problem> {
    let Some(value) = request.headers().get(ASKER).filter(|_| state.access.has_keys()) else { return Ok(None) };
    let caller = value.to_str().ok().and_then(|text| read(state, request, text));
    caller.map(Some).ok_or_else(|| {
        tracing::warn!("a request that another node has sent on was refused: do all nodes have the same access.keys, and the right time?");
        Problem::new(ProblemKind::Unavailable, "the other node's statement of who asks is not valid here; nothing was done")
    })
}

fn read(state: &HttpState, request: &ServiceRequest, text: &str) -> Option<Caller> {
    let mut parts = text.split(' ');
    let (until, role, customer, name, proof) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let uri = request.uri();
    let asked = uri.path_and_query().map_or("/", |path| path.as_str());
    let said = [until, role, customer, name, request.method().as_str(), asked, state.handle.url()];
    if !state.access.cluster_key().proves(Purpose::Asker, &said, proof) || until.parse::<i64>().ok()? < now().0 {
        return None;
    }
    Some(Caller {
        name: Text::new(&String::from_utf8(hex::decode(name).ok()?).ok()?).ok()?,
        role: AccessRole::ALL.into_iter().find(|known| known.name() == role)?,
        customer: if customer == "-" { None } else { Some(CustomerId(parse_uuid(customer)?)) },
    })
}
