//! The front door.

pub mod analytics;
