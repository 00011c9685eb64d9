//! ordermill: an order processor in which each order is a supervised actor that runs its saga.
//!
//! | module | what it owns |
//! | --- | --- |
//! | [`domain`] | the nouns: ids, money, orders, stock, events, analytics; pure |
//! | [`saga`] | the rules: the transition table, policies, invariants; pure |
//! | [`actors`] | what runs where: supervisor, order, router, journal, roles |
//! | [`db`] | durable state: the store's traits and implementations |
//! | [`providers`] | payment, email, SMS, each behind a circuit breaker |
//! | [`verify`] | the invariants, checked over one snapshot of a database |
//! | [`http`] | the HTTP server |
//! | [`kafka`] | the connection to other nodes and teams: topics, publisher, consumer |
//! | [`config`], [`telemetry`] | settings; logs, metrics and traces |
//! | [`app`] | the composition root |
//! | [`cli`], [`command`] | the command line, and its side of the composition root |

pub mod actors;
pub mod app;
pub mod cli;
pub mod command;
pub mod config;
pub mod db;
pub mod domain;
pub mod http;
pub mod kafka;
#[cfg(feature = "plants")]
pub mod plants;
pub mod providers;
pub mod saga;
pub mod sheet;
pub mod telemetry;
pub mod verify;
