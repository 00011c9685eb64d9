//! The HTTP server: where it listens and its limits.

use super::path_prefix::{PathPrefix, network};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// What the node's own paths begin with: no prefix does, so that a path with a prefix is told from one without.
pub const OWN_PATHS: [&str; 15] = [
    "api",
    "assets",
    "asyncapi.json",
    "attention",
    "docs",
    "health",
    "info",
    "livez",
    "metrics",
    "openapi.json",
    "orders",
    "problems",
    "readyz",
    "reports",
    "system",
];

/// The HTTP server. Every limit is there so that no client can take the node from the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerSettings {
    /// Address and port.
    pub listen: String,
    /// The address at which other nodes reach this one; empty: `http://` and `listen`.
    pub public_url: String,
    /// The path under which clients see this node, such as `/shop`; empty: none.
    pub base_path: String,
    /// Addresses and networks of the proxies whose `X-Forwarded-Prefix` counts.
    pub trusted_proxies: Vec<String>,
    /// HTTP threads; 0: half the cores, at least one.
    pub workers: usize,
    /// Maximum open connections; beyond that, new ones wait in the system's queue.
    pub max_connections: usize,
    /// Maximum requests in progress; beyond that, 503.
    pub max_requests: usize,
    /// Maximum requests that wait for an order to settle; beyond that, 503 (a POST is answered without waiting).
    pub max_waiting: usize,
    /// Maximum live streams; beyond that, 503.
    pub max_streams: usize,
    /// Longest body, in bytes.
    pub body_limit_bytes: usize,
    /// Longest CSV import, in bytes.
    pub import_limit_bytes: usize,
    /// Longest time a client may take to send a request's head, in milliseconds.
    pub header_timeout_ms: u64,
    /// Longest time a client may take to send a request's body, in milliseconds.
    pub body_timeout_ms: u64,
    /// How long an idle connection stays open, in milliseconds.
    pub keep_alive_ms: u64,
    /// Longest time to close a connection, in milliseconds.
    pub disconnect_timeout_ms: u64,
    /// How long a stopping node waits for requests in progress, in milliseconds.
    pub shutdown_timeout_ms: u64,
    /// How long a stopping node reports not ready but still serves requests, so that load balancers notice first, in milliseconds.
    pub drain_ms: u64,
    /// Longest `wait`, in milliseconds.
    pub wait_limit_ms: u64,
    /// How long a live stream may be silent before a comment is sent, so that no proxy closes it, in milliseconds.
    pub heartbeat_ms: u64,
    /// Longest life of a live stream, in milliseconds.
    pub stream_limit_ms: u64,
    /// Retry-After of a 503, in seconds.
    pub retry_after_s: u32,
    /// Whether `/metrics` is served without a key.
    pub open_metrics: bool,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            public_url: String::new(),
            base_path: String::new(),
            trusted_proxies: Vec::new(),
            workers: 0,
            max_connections: 20_000,
            max_requests: 20_000,
            max_waiting: 10_000,
            max_streams: 1_000,
            body_limit_bytes: 262_144,
            import_limit_bytes: 16_777_216,
            header_timeout_ms: 10_000,
            body_timeout_ms: 30_000,
            keep_alive_ms: 75_000,
            disconnect_timeout_ms: 2_000,
            shutdown_timeout_ms: 20_000,
            drain_ms: 0,
            wait_limit_ms: 55_000,
            heartbeat_ms: 15_000,
            stream_limit_ms: 3_600_000,
            retry_after_s: 1,
            open_metrics: true,
        }
    }
}

impl ServerSettings {
    /// Whether only this machine can reach the address.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        if let Ok(address) = self.listen.parse::<SocketAddr>() {
            return address.ip().is_loopback();
        }
        let host = self.listen.rsplit_once(':').map_or(self.listen.as_str(), |(host, _)| host);
        host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    /// The path under which clients see this node; none as well where [`Settings::check`](super::Settings::check) refuses it.
    #[must_use]
    pub fn prefix(&self) -> PathPrefix {
        PathPrefix::parse(&self.base_path).unwrap_or_default()
    }

    /// The proxies whose `X-Forwarded-Prefix` counts.
    #[must_use]
    pub fn proxies(&self) -> Vec<IpNet> {
        self.trusted_proxies.iter().filter_map(|text| network(text)).collect()
    }

    /// HTTP threads for this machine.
    #[must_use]
    pub fn worker_count(&self) -> usize {
        if self.workers > 0 {
            return self.workers;
        }
        // The actors and the database share the cores: on two cores one HTTP thread was measured to be better than two.
        std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1))
    }

    pub(super) fn check(&self, problems: &mut Vec<String>) {
        let has_port = self.listen.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        if !has_port {
            problems.push(format!("server.listen is \"{}\": it must be HOST:PORT, such as 127.0.0.1:8080", self.listen));
        }
        let url = &self.public_url;
        let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        if !url.is_empty() && host.is_none_or(|host| host.is_empty() || host.contains(['/', '?', '#', ' '])) {
            problems.push(format!("server.public_url is \"{url}\": it must be http:// or https:// and HOST:PORT, nothing more"));
        }
        let first = self.base_path.split('/').nth(1).unwrap_or_default();
        if PathPrefix::parse(&self.base_path).is_none() || OWN_PATHS.contains(&first) {
            problems.push(format!(
                "server.base_path is \"{}\": it must be a path such as /shop, of letters, digits and -._~, and begin with no path of the node's own",
                self.base_path
            ));
        }
        for text in self.trusted_proxies.iter().filter(|text| network(text).is_none()) {
            problems
                .push(format!("server.trusted_proxies has \"{text}\": it must be an address or a network, such as 10.0.0.7 or 10.0.0.0/8"));
        }
        let positive = [
            ("max_connections", self.max_connections),
            ("max_requests", self.max_requests),
            ("body_limit_bytes", self.body_limit_bytes),
            ("import_limit_bytes", self.import_limit_bytes),
        ];
        for (name, value) in positive {
            if value == 0 {
                problems.push(format!("server.{name} must be at least 1"));
            }
        }
        // The HTTP library's clock for these is up to half a second behind, and a deadline that is past when it is set never fires.
        let timers = [
            ("header_timeout_ms", self.header_timeout_ms, 1_000),
            ("keep_alive_ms", self.keep_alive_ms, 1_000),
            ("disconnect_timeout_ms", self.disconnect_timeout_ms, 1_000),
            ("body_timeout_ms", self.body_timeout_ms, 1),
            ("heartbeat_ms", self.heartbeat_ms, 1),
            ("stream_limit_ms", self.stream_limit_ms, 1),
        ];
        for (name, value, least) in timers {
            if value < least {
                problems.push(format!("server.{name} must be at least {least}"));
            }
        }
        if self.workers > 1024 {
            problems.push("server.workers must be at most 1024".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_told_from_the_rest() {
        let cases = [
            ("127.0.0.1:8080", true),
            ("127.9.9.9:1", true),
            ("[::1]:8080", true),
            ("localhost:80", true),
            ("0.0.0.0:8080", false),
            ("[::]:8080", false),
            ("10.0.0.1:80", false),
            ("example.com:80", false),
        ];
        for (listen, want) in cases {
            let settings = ServerSettings { listen: listen.to_owned(), ..ServerSettings::default() };
            assert_eq!(settings.is_loopback(), want, "{listen}");
        }
    }
}
