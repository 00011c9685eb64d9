//! What the program and its repository tell people about themselves: version, scripts, guides, settings.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a failing test may panic")]

mod clients;
mod dashboards;
mod docker;
mod end_to_end;
mod kubernetes;
mod links;
mod logs;
mod model;
#[path = "../support/process.rs"]
mod process;
mod proxies;
mod release;
mod runbook;
mod scripts;
mod settings;
mod version;
