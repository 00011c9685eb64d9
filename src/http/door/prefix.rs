//! The path under which a client sees this node: that of the settings, or what a trusted proxy says in `X-Forwarded-Prefix`.
//!
//! It stands in links and decides nothing: who may come in, and who it is, no proxy can say. Links have neither scheme nor host, so that
//! nothing else of what a proxy says is needed.

use crate::config::{PathPrefix, ServerSettings};
use actix_web::http::Uri;
use actix_web::http::header::{HeaderMap, HeaderName};
use ipnet::IpNet;
use std::net::SocketAddr;

pub(crate) const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// Whom to believe, and what holds else.
pub(crate) struct Prefixes {
    own: PathPrefix,
    proxies: Vec<IpNet>,
}

impl Prefixes {
    pub(crate) fn of_settings(server: &ServerSettings) -> Self {
        Self { own: server.prefix(), proxies: server.proxies() }
    }

    /// The path under which the sender of this request sees the node; `peer` is who sent it here.
    pub(crate) fn of(&self, headers: &HeaderMap, peer: Option<SocketAddr>) -> PathPrefix {
        if self.proxies.is_empty() {
            return self.own.clone();
        }
        // An IPv4 address of a socket for both kinds is one of IPv6.
        let is_trusted = |peer: SocketAddr| self.proxies.iter().any(|proxy| proxy.contains(&peer.ip().to_canonical()));
        let said = peer.filter(|peer| is_trusted(*peer)).and_then(|_| said(headers));
        said.unwrap_or_else(|| self.own.clone())
    }
}

/// What the proxies say: each one that has taken a part off the path adds it.
fn said(headers: &HeaderMap) -> Option<PathPrefix> {
    let mut all = String::new();
    for value in headers.get_all(&X_FORWARDED_PREFIX) {
        for part in value.to_str().ok()?.split(',') {
            all.push_str(PathPrefix::parse(part.trim())?.as_str());
        }
    }
    headers.contains_key(&X_FORWARDED_PREFIX).then(|| PathPrefix::parse(&all)).flatten()
}

/// The address without the prefix; none where it has none.
pub(crate) fn without(prefix: &PathPrefix, uri: &Uri) -> Option<Uri> {
    let rest = uri.path_and_query()?.as_str().strip_prefix(prefix.as_str())?;
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(rest.parse().ok().filter(|_| rest.starts_with('/'))?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_where_a_part_of_the_path_does() {
        let shop = PathPrefix::parse("/shop").unwrap();
        for (uri, want) in [
            ("/shop/api/v1/orders?limit=1", Some("/api/v1/orders?limit=1")),
            ("/shop/", Some("/")),
            ("http://a.example/shop/x", Some("http://a.example/x")),
            ("/shop//evil.example", Some("//evil.example")),
            ("/shop", None),
            ("/shop?x", None),
            ("/shopping/x", None),
            ("/api/v1/orders", None),
        ] {
            let got = without(&shop, &uri.parse().unwrap()).map(|uri| uri.to_string());
            assert_eq!(got.as_deref(), want, "{uri}");
        }
    }
}
