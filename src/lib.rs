//! ordermill: an order processor whose every order is a supervised actor that holds its saga.
//!
//! | module | what it owns |
//! | --- | --- |
//! | [`domain`] | the nouns: ids, money, order, stock, events, analytics; pure |
//! | [`saga`] | the verbs: the transition table, policies, invariants; pure |
//! | [`actors`] | who runs what: supervisor, order, router, journal, roles |
//! | [`db`] | durable truth: the store's traits and its implementations |
//! | [`providers`] | payment, email, SMS, each behind a circuit breaker |
//! | [`verify`] | the invariants, checked over one snapshot of a database |
//! | [`http`] | the HTTP server |
//! | [`kafka`] | the edge to other nodes and teams: topics, publisher, consumer |
//! | [`config`], [`telemetry`] | settings; logs and metrics |
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
pub mod providers;
pub mod saga;
pub mod sheet;
pub mod telemetry;
pub mod verify;
