//! What can be set, one file a concern: the types, their defaults (`config/default.toml` says the same with unit and comment) and how
//! they are put together: defaults < file < `ORDERMILL_SECTION__KEY` environment < flags. An unknown key is an error that names the
//! nearest known one.

pub mod access;
mod cluster;
mod cluster_key;
mod foreign;
pub mod kafka;
mod load;
pub mod postgres;
pub mod providers;
pub mod server;
mod store;
mod work;

pub use access::{AccessKey, AccessRole, AccessSettings};
pub use cluster::ClusterSettings;
pub use cluster_key::{ClusterKey, Purpose};
pub use kafka::{Compression, KafkaSettings, Properties};
pub use load::{Sources, default_file};
pub use postgres::PostgresSettings;
pub use providers::{ProviderSettings, Secret};
pub use server::ServerSettings;
pub use store::{RoleUrls, StoreSettings, StoreUrl};
pub use work::{
    ActorSettings, AnalyticsSettings, JournalSettings, LogFormat, NotificationSettings, OrderSettings, PricingRule, PricingSettings,
    TelemetrySettings,
};

use serde::{Deserialize, Serialize};

/// All settings of a node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The front door.
    pub server: ServerSettings,
    /// Who may come in.
    pub access: AccessSettings,
    /// Where the data is.
    pub store: StoreSettings,
    /// The life of an order.
    pub order: OrderSettings,
    /// The group commit.
    pub journal: JournalSettings,
    /// The actors.
    pub actors: ActorSettings,
    /// The other nodes.
    pub cluster: ClusterSettings,
    /// Whose prices count.
    pub pricing: PricingSettings,
    /// The business's numbers.
    pub analytics: AnalyticsSettings,
    /// Notices to customers.
    pub notification: NotificationSettings,
    /// Logs, traces, metrics.
    pub telemetry: TelemetrySettings,
    /// Kafka.
    pub kafka: KafkaSettings,
    /// The outside parties.
    pub providers: ProviderSettings,
}

/// Settings that cannot be used; every line is one thing to mend.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigError(pub Vec<String>);

impl Settings {
    /// Puts the settings together and checks them as a whole.
    ///
    /// # Errors
    /// Every unknown key, wrong type and bad combination, each with where it came from.
    pub fn load(sources: &Sources<'_>) -> Result<Self, ConfigError> {
        let settings = load::read(sources)?;
        settings.check()?;
        Ok(settings)
    }

    /// Checks the settings as a whole.
    ///
    /// # Errors
    /// Every combination that cannot work.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut problems = Vec::new();
        self.server.check(&mut problems);
        self.access.check(&mut problems);
        self.kafka.check(&mut problems);
        store::check(self, &mut problems);
        work::check(self, &mut problems);
        cluster::check(self, &mut problems);
        if self.access.keys.is_empty() && !self.server.is_loopback() {
            problems.push(format!(
                "server.listen is {}, which others can reach, and no access keys are set: set access.keys, or listen on 127.0.0.1",
                self.server.listen
            ));
        }
        if problems.is_empty() { Ok(()) } else { Err(ConfigError(problems)) }
    }

    /// The database of this node, by its roles.
    #[must_use]
    pub fn database(&self) -> &StoreUrl {
        self.store.url_of(self.cluster.hosted()).unwrap_or(&self.store.url)
    }

    /// The settings of a node on the one database of its roles.
    ///
    /// # Errors
    /// Its roles have several.
    pub fn at_its_database(mut self) -> Result<Self, ConfigError> {
        let Some(url) = self.store.url_of(self.cluster.hosted()).cloned() else {
            let why =
                "cluster.roles: these roles have different databases (store.role_urls), and a node works on one: start a node for each";
            return Err(ConfigError(vec![why.to_owned()]));
        };
        self.store.url = url;
        Ok(self)
    }

    /// What is in force, as TOML, secrets masked.
    #[must_use]
    pub fn render(&self) -> String {
        load::render(self)
    }
}
