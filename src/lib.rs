//! ordermill: an order processor whose every order is a supervised actor that holds its saga.

pub mod actors;
pub mod db;
pub mod domain;
pub mod http;
pub mod saga;
