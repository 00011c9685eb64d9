//! Who may come in: bearer keys with a role each, kept as SHA-256 and compared in constant time.
//!
//! Without keys the node is for this machine alone: it listens on loopback, everybody there may do everything, and a request that
//! a web page of another site made a browser send is refused (its `Host` or `Origin` says so).

use crate::config::{AccessKey, AccessRole, AccessSettings, ClusterKey};
use crate::domain::{CustomerId, Text};
use crate::http::wire::problem::{Problem, ProblemKind};
use actix_web::http::Uri;
use actix_web::http::header::{AUTHORIZATION, FORWARDED, HOST, HeaderMap, HeaderName, ORIGIN, X_FORWARDED_FOR};
use sha2::{Digest, Sha256};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use subtle::ConstantTimeEq;

const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// What a route needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// Nothing: health, documents, pages.
    Nothing,
    /// An operator's key, unless the metrics are open.
    Metrics,
    /// At least this role.
    Role(AccessRole),
}

/// Who sent a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caller {
    /// The key holder's name.
    pub name: Text<100>,
    /// What it may do.
    pub role: AccessRole,
    /// The one customer whose orders a customer's key sees.
    pub customer: Option<CustomerId>,
}

impl Caller {
    /// Whether it may see what belongs to `customer`.
    #[must_use]
    pub fn sees(&self, customer: CustomerId) -> bool {
        self.customer.is_none_or(|own| own == customer)
    }
}

/// The keys of a node.
pub struct Access {
    keys: Vec<([u8; 32], Arc<Caller>)>,
    local: Arc<Caller>,
    open_metrics: bool,
    cluster_key: ClusterKey,
}

/// A key that cannot be used; `Settings::check` finds it first.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("access key {0} cannot be used")]
pub struct BadKey(String);

impl Access {
    /// The keys of the settings, hashed.
    ///
    /// # Errors
    /// A key has no usable name or hash.
    pub fn new(settings: &AccessSettings, open_metrics: bool) -> Result<Self, BadKey> {
        let keys = settings.keys.iter().map(|key| take_key(key).ok_or_else(|| BadKey(key.name.clone()))).collect::<Result<_, _>>()?;
        let keys: Vec<([u8; 32], Arc<Caller>)> = keys;
        let local = Arc::new(Caller { name: Text::lossy("local"), role: AccessRole::Admin, customer: None });
        Ok(Self { keys, local, open_metrics, cluster_key: ClusterKey::of(settings) })
    }

    /// Whether there are keys; without, only loopback may be listened on.
    #[must_use]
    pub fn has_keys(&self) -> bool {
        !self.keys.is_empty()
    }

    /// What the nodes prove themselves to each other by.
    #[must_use]
    pub(crate) fn cluster_key(&self) -> &ClusterKey {
        &self.cluster_key
    }

    /// Who sent a request, if it may use a route that needs `need`.
    ///
    /// # Errors
    /// 401 without a valid key, 403 with too small a role or from another site.
    pub fn admit(&self, headers: &HeaderMap, need: Need) -> Result<Arc<Caller>, Problem> {
        if !self.has_keys() {
            return from_this_machine(headers).map(|()| self.local.clone());
        }
        let Some(role) = self.role(need) else { return Ok(self.local.clone()) };
        let caller = self.caller(headers)?;
        may(&caller, role)?;
        Ok(caller)
    }

    /// The same for a caller whom another node has let in and vouches for.
    ///
    /// # Errors
    /// 403 with too small a role.
    pub(crate) fn admit_vouched(&self, caller: Caller, need: Need) -> Result<Arc<Caller>, Problem> {
        self.role(need).map_or(Ok(()), |role| may(&caller, role))?;
        Ok(Arc::new(caller))
    }

    /// The role that is needed; none where no key is.
    fn role(&self, need: Need) -> Option<AccessRole> {
        match need {
            Need::Nothing => None,
            Need::Metrics if self.open_metrics => None,
            Need::Metrics => Some(AccessRole::Operator),
            Need::Role(role) => Some(role),
        }
    }

    fn caller(&self, headers: &HeaderMap) -> Result<Arc<Caller>, Problem> {
        let unauthorized = |detail: &'static str| Problem::new(ProblemKind::Unauthorized, detail);
        let Some(value) = headers.get(AUTHORIZATION) else {
            return Err(unauthorized("send an access key as \"Authorization: Bearer KEY\""));
        };
        let key = value.as_bytes().split_at_checked(7).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer ")).map(|(_, key)| key);
        let Some(key) = key else { return Err(unauthorized("the Authorization header is not \"Bearer KEY\"")) };
        let hash: [u8; 32] = Sha256::digest(key.trim_ascii()).into();
        // All are compared, whichever matches: the time says nothing about the keys.
        let mut found = None;
        for (known, caller) in &self.keys {
            if bool::from(known.ct_eq(&hash)) {
                found = Some(caller);
            }
        }
        found.cloned().ok_or_else(|| unauthorized("the access key is unknown"))
    }
}

fn may(caller: &Caller, role: AccessRole) -> Result<(), Problem> {
    if caller.role < role {
        return Err(Problem::new(ProblemKind::Forbidden, format!("this needs the role {}", role.name())));
    }
    Ok(())
}

fn take_key(key: &AccessKey) -> Option<([u8; 32], Arc<Caller>)> {
    let customer = key.customer_id.map(CustomerId);
    if (key.role == AccessRole::Customer) != customer.is_some() {
        return None;
    }
    Some((key.hash()?, Arc::new(Caller { name: Text::new(&key.name).ok()?, role: key.role, customer })))
}

/// A browser on this machine may have been told by any site to send this: then `Origin` names that site, or (when the site made its
/// own name point here) `Host` does. A proxy on this machine may bring it from elsewhere: most proxies say so.
fn from_this_machine(headers: &HeaderMap) -> Result<(), Problem> {
    let refuse = || Problem::new(ProblemKind::Forbidden, "without access keys, only requests from and to this machine are accepted");
    if let Some(host) = headers.get(HOST) {
        let name = host.to_str().map_err(|_| refuse())?;
        if !is_loopback_name(name.parse::<Uri>().ok().as_ref().and_then(Uri::host).unwrap_or(name)) {
            return Err(refuse());
        }
    }
    if let Some(origin) = headers.get(ORIGIN) {
        let uri = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok()).ok_or_else(refuse)?;
        if !uri.host().is_some_and(is_loopback_name) {
            return Err(refuse());
        }
    }
    if !came_from_here(headers) {
        return Err(refuse());
    }
    Ok(())
}

/// Whether all that proxies say of their clients names this machine. It is only ever a reason to refuse.
fn came_from_here(headers: &HeaderMap) -> bool {
    let values = |name| headers.get_all(name).map(|value| value.to_str().unwrap_or("for=unreadable"));
    let listed =
        [X_FORWARDED_FOR, X_REAL_IP].into_iter().flat_map(|name| values(name).flat_map(|value| value.split(',')).collect::<Vec<_>>());
    let standard = values(FORWARDED).flat_map(|value| value.split([',', ';'])).filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then_some(value)
    });
    listed.chain(standard).all(|client| is_this_machine(client.trim().trim_matches('"')))
}

/// `127.0.0.1`, `[::1]`, each with or without a port.
fn is_this_machine(client: &str) -> bool {
    let bare = client.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(client);
    let address = bare.parse::<IpAddr>().or_else(|_| client.parse::<SocketAddr>().map(|address| address.ip()));
    address.is_ok_and(|ip| ip.to_canonical().is_loopback())
}

fn is_loopback_name(name: &str) -> bool {
    let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || address.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;
    use actix_web::http::header::{HeaderName, HeaderValue};
    use uuid::Uuid;

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().fold(HeaderMap::new(), |mut all, (name, value)| {
            all.append(name.clone(), HeaderValue::from_static(value));
            all
        })
    }

    fn access() -> Access {
        let key = |name: &str, role, customer_id, sha256: Option<&str>, key: Option<&str>| AccessKey {
            name: name.to_owned(),
            role,
            customer_id,
            sha256: sha256.map(str::to_owned),
            key: key.map(Secret::new),
        };
        // echo -n operator-key-0123456 | sha256sum
        let hash: String = hex::encode(Sha256::digest(b"operator-key-0123456"));
        let keys = vec![
            key("alice", AccessRole::Customer, Some(Uuid::from_u128(7)), None, Some("customer-key-0123456")),
            key("ops", AccessRole::Operator, None, Some(&hash), None),
            key("root", AccessRole::Admin, None, None, Some("admin-key-0123456789")),
        ];
        Access::new(&AccessSettings { keys }, false).unwrap()
    }

    #[test]
    fn each_role_may_do_what_the_ones_before_it_may() {
        let access = access();
        let senders = [
            ("", [200, 401, 401, 401, 401]),
            ("Bearer wrong", [200, 401, 401, 401, 401]),
            ("Basic admin-key-0123456789", [200, 401, 401, 401, 401]),
            ("Bearer customer-key-0123456", [200, 403, 200, 403, 403]),
            ("bearer operator-key-0123456", [200, 200, 200, 200, 403]),
            ("Bearer  admin-key-0123456789", [200, 200, 200, 200, 200]),
        ];
        let needs = [Need::Nothing, Need::Metrics].into_iter().chain(AccessRole::ALL.map(Need::Role));
        let needs: Vec<Need> = needs.collect();
        for (sender, want) in senders {
            let headers = if sender.is_empty() { HeaderMap::new() } else { headers(&[(AUTHORIZATION, sender)]) };
            let got: Vec<u16> =
                needs.iter().map(|need| access.admit(&headers, *need).map_or_else(|p| p.kind().status().as_u16(), |_| 200)).collect();
            assert_eq!(got, want, "{sender:?}");
        }
    }

    #[test]
    fn a_customers_key_is_bound_to_its_customer() {
        let caller = access().admit(&headers(&[(AUTHORIZATION, "Bearer customer-key-0123456")]), Need::Role(AccessRole::Customer)).unwrap();
        assert!(caller.sees(CustomerId(Uuid::from_u128(7))) && !caller.sees(CustomerId(Uuid::from_u128(8))));
    }

    #[test]
    fn without_keys_only_this_machine_is_served() {
        let access = Access::new(&AccessSettings::default(), true).unwrap();
        let cases: &[(&[(HeaderName, &'static str)], bool)] = &[
            (&[], true),
            (&[(HOST, "127.0.0.1:8080")], true),
            (&[(HOST, "localhost:8080")], true),
            (&[(HOST, "[::1]:8080")], true),
            (&[(HOST, "evil.example:8080")], false),
            (&[(HOST, "127.0.0.1.evil.example")], false),
            (&[(HOST, "127.0.0.1:8080"), (ORIGIN, "http://127.0.0.1:8080")], true),
            (&[(HOST, "127.0.0.1:8080"), (ORIGIN, "https://evil.example")], false),
            (&[(HOST, "127.0.0.1:8080"), (ORIGIN, "null")], false),
            (&[(X_FORWARDED_FOR, "127.0.0.1, ::1")], true),
            (&[(X_FORWARDED_FOR, "203.0.113.7, 127.0.0.1")], false),
            (&[(X_FORWARDED_FOR, "127.0.0.1"), (X_FORWARDED_FOR, "203.0.113.7")], false),
            (&[(X_FORWARDED_FOR, "unknown")], false),
            (&[(X_REAL_IP, "203.0.113.7")], false),
            (&[(FORWARDED, "for=127.0.0.1;proto=https, for=\"[::1]:4711\"")], true),
            (&[(FORWARDED, "proto=https;For=\"203.0.113.7:80\"")], false),
            (&[(FORWARDED, "for=_hidden")], false),
        ];
        for (pairs, want) in cases {
            assert_eq!(access.admit(&headers(pairs), Need::Role(AccessRole::Admin)).is_ok(), *want, "{pairs:?}");
        }
    }
}
