//! The HTTP server: routes, wire types, access, problems. Owns what a client sees and nothing of what is true: every answer rests on
//! what [`NodeHandle`](crate::actors::NodeHandle) and its reads say is stored.
//!
//! Promises: no request makes a 5xx by its content; every refusal is a problem (RFC 9457) that names every broken field; nothing a
//! client does slowly, hugely or often takes the node from the others. Knows nothing of actors' insides or the database.
//!
//! Start reading at [`routes`]: the one list of what is served and which role each route needs.

mod door;
mod forward;
mod gate;
mod handlers;
mod live;
mod numbers;
mod offers;
mod open_files;
mod operations;
mod pages;
pub mod routes;
mod server;
mod wire;

pub use door::access::{Access, BadKey, Caller, Need};
pub use door::call::Call;
pub use door::state::{HttpParts, HttpState, ServeError};
pub use gate::Gate;
pub use operations::{Component, Health, NodeInfo, Operations};
pub use routes::openapi;
pub use server::serve;
pub use wire::problem::{FieldErrors, Problem, ProblemKind};
pub use wire::values::{Amount, FieldProblem, Place, Status, Time};
