//! The stand-ins as servers, for nodes and teams that talk to them over the network: HTTP for payment and SMS, SMTP for email.
//!
//! Each server takes its listener, the stand-ins and a future that ends it, so tests can use any free port. They have no access control and
//! no TLS: they are not for a public address.

mod http;
mod smtp;
#[cfg(test)]
mod tests;

pub use http::serve_http;
pub use smtp::serve_smtp;
