//! What clients send and get: types, parsing, problems. No state, no IO.

pub(crate) mod analytics;
pub(crate) mod attention;
pub(crate) mod caller;
pub(crate) mod dead_letters;
pub(crate) mod json;
pub(crate) mod order;
pub(crate) mod order_body;
pub(crate) mod orders;
pub(crate) mod owed;
pub(crate) mod precondition;
pub(crate) mod problem;
pub(crate) mod products;
pub(crate) mod query;
pub(crate) mod requests;
pub(crate) mod values;
