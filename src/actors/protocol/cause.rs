//! What a step of a sampled order follows from: it travels with the step's write, for the step's span.

use crate::domain::{OrderId, Role, SpanId, Timestamp};

/// See the module. An order that is not sampled has none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Cause {
    /// Whose step it is.
    pub(crate) order: OrderId,
    /// The role that takes it.
    pub(crate) role: Role,
    /// The span of the step before.
    pub(crate) parent: SpanId,
    /// When the role took it up.
    pub(crate) began: Timestamp,
}
