//! Where the data is.

use super::PostgresSettings;
use crate::domain::{Role, Roles};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;

/// Where the data is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSettings {
    /// `sqlite:PATH` or `postgres://…`; created and migrated as needed.
    pub url: StoreUrl,
    /// Addresses for nodes of one role, used instead of `url`.
    pub role_urls: RoleUrls,
    /// Number of shards, 1 to 1024; fixed when the store is created.
    pub shards: u16,
    /// Number of connections for reading.
    pub readers: u32,
    /// SQLite: how much of the write-ahead log a checkpoint moves into the database file at a time, in KiB.
    pub checkpoint_kib: u32,
    /// SQLite: size at which the write-ahead log restarts, in KiB.
    pub log_limit_kib: u32,
    /// How long after a node's last sign of life other nodes take over its orders, in milliseconds.
    pub lease_ms: u64,
    /// How long published and counted events are kept, in milliseconds.
    pub event_retention_ms: u64,
    /// How long closed dead letters are kept, in milliseconds.
    pub letter_retention_ms: u64,
    /// How long the audit of manual actions is kept, in milliseconds.
    pub audit_retention_ms: u64,
    /// How long copies of orders that another node owns are kept, in milliseconds.
    pub copy_retention_ms: u64,
    /// How long an event from Kafka waits for its order, in milliseconds.
    pub held_retention_ms: u64,
    /// Settings for a PostgreSQL server.
    pub postgres: PostgresSettings,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            url: StoreUrl("sqlite:./ordermill-data/ordermill.db".to_owned()),
            role_urls: RoleUrls::default(),
            shards: 24,
            readers: 4,
            checkpoint_kib: 8_192,
            log_limit_kib: 32_768,
            lease_ms: 6_000,
            event_retention_ms: 604_800_000,
            letter_retention_ms: 7_776_000_000,
            audit_retention_ms: 63_072_000_000,
            copy_retention_ms: 15_552_000_000,
            held_retention_ms: 604_800_000,
            postgres: PostgresSettings::default(),
        }
    }
}

impl StoreSettings {
    /// The database of a node that hosts these roles; `None` where they have several, for a node works on one.
    #[must_use]
    pub fn url_of(&self, roles: Roles) -> Option<&StoreUrl> {
        let url_of = |role| match self.role_urls.of(role) {
            none if none.0.is_empty() => &self.url,
            own => own,
        };
        let mut urls = roles.iter().map(url_of);
        let first = urls.next().unwrap_or(&self.url);
        urls.all(|url| url == first).then_some(first)
    }
}

/// A database's address for each role, such as with a login that sees that role's tables alone; empty: `url`. One file of settings
/// then does for the nodes of all roles.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RoleUrls {
    /// For nodes that take orders.
    pub order: StoreUrl,
    /// For stock keepers.
    pub inventory: StoreUrl,
    /// For payment gateways.
    pub payment: StoreUrl,
    /// For notifiers.
    pub notification: StoreUrl,
    /// For nodes that run analytics.
    pub analytics: StoreUrl,
}

impl RoleUrls {
    pub(super) fn of(&self, role: Role) -> &StoreUrl {
        match role {
            Role::Order => &self.order,
            Role::Inventory => &self.inventory,
            Role::Payment => &self.payment,
            Role::Notification => &self.notification,
            Role::Analytics => &self.analytics,
        }
    }
}

/// A database's address; printed without its password.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct StoreUrl(String);

impl StoreUrl {
    /// Takes the address.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self(url.to_owned())
    }

    /// The address with its password, for the connection.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it is a PostgreSQL server's.
    #[must_use]
    pub fn is_postgres(&self) -> bool {
        self.0.starts_with("postgres://") || self.0.starts_with("postgresql://")
    }

    pub(super) fn is_known(&self) -> bool {
        self.is_postgres() || self.0.strip_prefix("sqlite:").is_some_and(|path| !path.is_empty())
    }

    fn masked(&self) -> String {
        let Some((scheme, rest)) = self.0.split_once("://") else { return self.0.clone() };
        // A password may have any sign but that which ends it.
        let is_user = |at: &usize| !rest.get(..*at).unwrap_or_default().contains('/');
        let end = rest.find('@').filter(is_user).map(|first| {
            let slash = rest.get(first..).and_then(|rest| rest.find('/')).map_or(rest.len(), |slash| first + slash);
            rest.get(..slash).and_then(|handle| handle.rfind('@')).unwrap_or(first)
        });
        let (user, rest) = end.map_or(("", rest), |end| rest.split_at(end));
        let user = user.split_once(':').map_or_else(|| user.to_owned(), |(name, _)| format!("{name}:***"));
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
        let query = query.map(|query| {
            let parts = query.split('&').map(|part| if part.starts_with("password=") { "password=***" } else { part });
            format!("?{}", parts.collect::<Vec<_>>().join("&"))
        });
        format!("{scheme}://{user}{rest}{}", query.unwrap_or_default())
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}
impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}
impl Serialize for StoreUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.masked())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_address_is_shown_without_its_password() {
        let cases = [
            ("sqlite:./data/x.db", "sqlite:./data/x.db"),
            ("postgres://u:p@ss@h:5432/d", "postgres://u:***@h:5432/d"),
            ("postgres://u@h/d", "postgres://u@h/d"),
            ("postgres://u:pa?ss@h/d?x=1", "postgres://u:***@h/d?x=1"),
            ("postgres://h/d?user=u&password=h@sh", "postgres://h/d?user=u&password=***"),
            ("postgres://h/d?user=u&password=hush&x=1", "postgres://h/d?user=u&password=***&x=1"),
        ];
        for (url, want) in cases {
            assert_eq!(StoreUrl::new(url).to_string(), want);
        }
    }

    #[test]
    fn a_role_may_have_an_address_of_its_own() {
        let mut store = StoreSettings { url: StoreUrl::new("postgres://all@h/d"), ..StoreSettings::default() };
        store.role_urls.payment = StoreUrl::new("postgres://payment@h/d");
        store.role_urls.notification = StoreUrl::new("postgres://payment@h/d");
        let of = |roles: &[Role]| store.url_of(roles.iter().copied().collect()).map(StoreUrl::expose);
        assert_eq!(of(&[Role::Payment]), Some("postgres://payment@h/d"));
        assert_eq!(of(&[Role::Payment, Role::Notification]), Some("postgres://payment@h/d"));
        assert_eq!(of(&[Role::Order, Role::Inventory]), Some("postgres://all@h/d"));
        assert_eq!(of(&[Role::Order, Role::Payment]), None, "a node works on one database");
        assert_eq!(of(&Role::ALL), None);
    }
}
