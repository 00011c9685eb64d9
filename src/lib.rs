//! ordermill: an order processor whose every order is a supervised actor that holds its saga.

pub mod actors;
pub mod cli;
pub mod config;
pub mod db;
pub mod domain;
pub mod http;
pub mod providers;
pub mod saga;
