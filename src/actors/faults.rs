//! Places where a test makes an actor fail in the middle of a step. Production has no plan and pays one comparison.

use crate::domain::OrderId;
use std::fmt;
use std::sync::Arc;

/// A place in an actor's work.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(missing_docs, reason = "an actor's name and the part of it that is about to run")]
pub enum Point {
    OrderStarted,
    OrderMessage,
    OrderStored,
    OrderTimer,
    StockKeeperStarted,
    StockKeeperMessage,
    PaymentGatewayStarted,
    PaymentGatewayMessage,
    PaymentGatewayCourse,
    NotifierStarted,
    NotifierMessage,
    NotifierCourse,
    RouterStarted,
    RouterMessage,
    SupervisorStarted,
    SupervisorMessage,
    SupervisorTimer,
    Journal,
    AnalyticsStarted,
    AnalyticsMessage,
    AnalyticsTimer,
}

/// Decides at each [`Point`] whether the actor panics there.
pub trait FaultPlan: Send + Sync {
    /// Called at `point`, for `order` where the work is one order's; panics when the plan says so.
    fn pass(&self, point: Point, order: Option<OrderId>);
}

/// The node's fault plan, if a test has one.
#[derive(Clone, Default)]
pub struct Faults(Option<Arc<dyn FaultPlan>>);

impl Faults {
    /// Fails where `plan` says.
    #[must_use]
    pub fn plan(plan: Arc<dyn FaultPlan>) -> Self {
        Self(Some(plan))
    }

    pub(crate) fn pass(&self, point: Point, order: Option<OrderId>) {
        if let Some(plan) = &self.0 {
            plan.pass(point, order);
        }
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Faults(planned)" } else { "Faults(none)" })
    }
}
