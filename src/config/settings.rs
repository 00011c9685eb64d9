//! All settings of a node.

use super::providers::MailParty;
use super::{
    AccessSettings, ActorSettings, AnalyticsSettings, ClusterSettings, JournalSettings, KafkaSettings, NotificationSettings, OrderSettings,
    PricingSettings, ProviderSettings, ServerSettings, StoreSettings, StoreUrl, TelemetrySettings,
};
use serde::{Deserialize, Serialize};

/// All settings of a node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The HTTP server.
    pub server: ServerSettings,
    /// Access.
    pub access: AccessSettings,
    /// The database.
    pub store: StoreSettings,
    /// Orders.
    pub order: OrderSettings,
    /// The journal.
    pub journal: JournalSettings,
    /// The actors.
    pub actors: ActorSettings,
    /// Several nodes.
    pub cluster: ClusterSettings,
    /// Prices.
    pub pricing: PricingSettings,
    /// Business figures.
    pub analytics: AnalyticsSettings,
    /// Notices to customers.
    pub notification: NotificationSettings,
    /// Logs and metrics.
    pub telemetry: TelemetrySettings,
    /// Kafka.
    pub kafka: KafkaSettings,
    /// Providers.
    pub providers: ProviderSettings,
}

/// Settings that cannot be used; every line is one thing to mend.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigError(pub Vec<String>);

impl Settings {
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

    /// The domain of the address of a customer who gave no contact; none when mail to it would go through a real server for nothing.
    #[must_use]
    pub fn customer_domain(&self) -> Option<String> {
        let domain = &self.notification.customer_domain;
        let is_nowhere = domain.is_empty() || domain == "invalid" || domain.ends_with(".invalid");
        let is_real = self.providers.email.provider == MailParty::Smtp;
        (!(is_real && is_nowhere)).then(|| domain.clone())
    }
}
