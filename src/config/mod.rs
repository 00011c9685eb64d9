//! What can be set, one file a concern: the types, their defaults (`config/default.toml` says the same with unit and comment) and how
//! they are put together: defaults < file < `ORDERMILL_SECTION__KEY` environment < flags. An unknown key is an error that names the
//! nearest known one.

pub mod access;
mod check;
mod cluster;
mod cluster_key;
mod foreign;
pub mod kafka;
mod load;
mod path_prefix;
pub mod postgres;
pub mod providers;
pub mod server;
mod settings;
mod store;
mod work;

pub use access::{AccessKey, AccessRole, AccessSettings};
pub use cluster::ClusterSettings;
pub use cluster_key::{ClusterKey, Purpose};
pub use kafka::{Compression, KafkaSettings, Properties};
pub use load::{Sources, default_file};
pub use path_prefix::PathPrefix;
pub use postgres::PostgresSettings;
pub use providers::{ProviderSettings, Secret};
pub use server::ServerSettings;
pub use settings::{ConfigError, Settings};
pub use store::{RoleUrls, StoreSettings, StoreUrl};
pub use work::{
    ActorSettings, AnalyticsSettings, JournalSettings, LogFormat, NotificationSettings, OrderSettings, PricingRule, PricingSettings,
    TelemetrySettings,
};
