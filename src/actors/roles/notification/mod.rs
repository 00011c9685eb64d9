//! The notification role: tells the customer, at most once per order, kind and channel.

pub(crate) mod board;
pub(crate) mod notifier;
pub(crate) mod task;
