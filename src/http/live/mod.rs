//! Answers that wait for an order to change.

pub(crate) mod order_events;
pub(crate) mod wait;
