//! The Kafka edge: what messages look like, what is taken from others, and how it fares on a broker.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a failing test may panic")]

mod compatibility;
mod consuming;
mod contracts;
mod envelope;
mod foreign;
mod grants;
mod listener;
mod nodes;
mod place;
#[path = "../support/process.rs"]
mod process;
mod publishing;
mod put_back;
#[path = "../support/recipe.rs"]
mod recipe;
mod recipes;
mod sample;
#[path = "../support/postgres.rs"]
mod server;
#[path = "../support/services.rs"]
mod services;
mod troubles;
mod world;
