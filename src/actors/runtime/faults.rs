//! Places where a test makes an actor fail in the middle of a step. Production has no plan and pays one comparison.

use crate::domain::{Event, OrderId};
#[cfg(feature = "plants")]
use crate::plants::Plant;
use std::fmt;
use std::sync::Arc;

/// A place in an actor's work.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(missing_docs, reason = "an actor's name and the part of it that is about to run")]
pub enum Point {
    OrderStarted,
    OrderMessage,
    OrderSave,
    OrderStored,
    OrderTimer,
    StockKeeperStarted,
    StockKeeperMessage,
    PaymentGatewayStarted,
    PaymentGatewayMessage,
    PaymentGatewayCourse,
    PaymentGatewayAnswered,
    NotifierStarted,
    NotifierMessage,
    NotifierCourse,
    NotifierAnswered,
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

/// What becomes of an event on its way to the roles of its node. Any of it may happen: mailboxes are full or die, and Kafka repeats.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Delivery {
    /// It is delivered.
    Once,
    /// Nobody hears of it.
    Lost,
    /// It is delivered, and then again.
    Twice,
    /// It is delivered later, out of its order.
    Late {
        /// After so long, in milliseconds.
        ms: u64,
    },
}

/// Decides at each [`Point`] whether the actor panics there.
pub trait FaultPlan: Send + Sync {
    /// Called at `point`, for `order` where the work is one order's; panics when the plan says so.
    fn pass(&self, point: Point, order: Option<OrderId>);

    /// What becomes of this delivery.
    fn delivery(&self, _event: &Event) -> Delivery {
        Delivery::Once
    }

    /// The bug that the node has on purpose.
    #[cfg(feature = "plants")]
    fn plant(&self) -> Option<Plant> {
        None
    }
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

    pub(crate) fn delivery(&self, event: &Event) -> Delivery {
        self.0.as_ref().map_or(Delivery::Once, |plan| plan.delivery(event))
    }

    #[cfg(feature = "plants")]
    pub(crate) fn has(&self, plant: Plant) -> bool {
        self.0.as_ref().is_some_and(|plan| plan.plant() == Some(plant))
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
