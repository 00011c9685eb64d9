//! What stands before a handler: access keys, the body, correlation, answers that are kept, and what all threads share.

pub(crate) mod access;
pub(crate) mod body;
pub(crate) mod call;
pub(crate) mod correlation;
pub(crate) mod nodes;
pub(crate) mod once;
pub(crate) mod prefix;
pub(crate) mod state;
pub(crate) mod traced;
