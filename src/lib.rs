//! ordermill: an order processor whose every order is a supervised actor that holds its saga.
pub mod config;
pub mod domain;
pub mod providers;
