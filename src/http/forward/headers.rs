//! What nodes say to each other in a request that is sent on.

use actix_web::http::header::HeaderName;

/// Names the node that has sent a request on.
pub(crate) const FORWARDED: HeaderName = HeaderName::from_static("ordermill-forwarded");

/// The statement: when it ends, role, customer, the key's name in hexadecimal digits, and the proof.
pub(crate) const ASKER: HeaderName = HeaderName::from_static("ordermill-asker");

/// The path under which the client sees the node that it asked, and its proof.
pub(crate) const PREFIX: HeaderName = HeaderName::from_static("ordermill-prefix");

/// The promised id and its proof.
pub(crate) const PROMISED: HeaderName = HeaderName::from_static("ordermill-promised-id");
