//! The path under which a proxy has put a node.

use ipnet::IpNet;
use std::net::IpAddr;
use std::sync::Arc;

/// Longest one, in bytes.
const LONGEST: usize = 200;

/// What stands before every path of a node, as clients see it: nothing, or such as `/shop`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathPrefix(Option<Arc<str>>);

impl PathPrefix {
    /// The prefix that is written like that; one slash at its end is overlooked. None: it is none. It becomes part of links, so that it
    /// must neither name a host (`//host`) nor need an escape.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let path = text.strip_suffix('/').unwrap_or(text);
        if path.is_empty() {
            return Some(Self::default());
        }
        let is_one = path.len() <= LONGEST && path.strip_prefix('/')?.split('/').all(is_segment);
        is_one.then(|| Self(Some(path.into())))
    }

    /// As it stands in a link.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

fn is_segment(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    !matches!(text, "" | "." | "..") && text.bytes().all(is_plain)
}

/// The network that is written like that: `10.0.0.0/8`, or one address.
pub(super) fn network(text: &str) -> Option<IpNet> {
    text.parse::<IpAddr>().map(IpNet::from).or_else(|_| text.parse()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_a_plain_path() {
        for (text, want) in [
            ("", Some("")),
            ("/", Some("")),
            ("/shop", Some("/shop")),
            ("/shop/", Some("/shop")),
            ("/a/b-c_d.e~f/2", Some("/a/b-c_d.e~f/2")),
            ("shop", None),
            ("//", None),
            ("//evil.example", None),
            ("/a//b", None),
            ("/a/../b", None),
            ("/.", None),
            ("/a?b", None),
            ("/a\"b", None),
            ("/a%2fb", None),
            ("/ä", None),
            (&format!("/{}", "a".repeat(LONGEST)), None),
        ] {
            assert_eq!(PathPrefix::parse(text).as_ref().map(PathPrefix::as_str), want, "{text}");
        }
    }

    #[test]
    fn a_network_is_a_range_or_one_address() {
        for (text, inside, outside) in [
            ("10.0.0.7", "10.0.0.7", "10.0.0.8"),
            ("10.0.0.0/8", "10.9.9.9", "11.0.0.0"),
            ("2001:db8::/32", "2001:db8::7", "2001:db9::7"),
            ("::1", "::1", "::2"),
        ] {
            let network = network(text).unwrap();
            let has = |ip: &str| network.contains(&ip.parse::<IpAddr>().unwrap());
            assert!(has(inside) && !has(outside), "{text}");
        }
        assert!(["", "proxy", "10.0.0.0/33", "10.0.0", "10.0.0.7:80"].iter().all(|text| network(text).is_none()));
    }
}
