//! Requests that another node must answer.

pub(crate) mod asker;
pub(crate) mod headers;
pub(crate) mod prefix;
pub(crate) mod promise;
pub(crate) mod route;
pub(crate) mod send;
