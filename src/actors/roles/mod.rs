//! The service roles and the order: each with its actor and its long-running task. They know nothing of each other.

pub(crate) mod analytics;
pub(crate) mod inventory;
pub(crate) mod notification;
pub(crate) mod order;
pub(crate) mod payment;
