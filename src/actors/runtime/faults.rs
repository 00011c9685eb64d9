//! Places where a test makes an actor fail in the middle of a step. Production has no plan and pays one comparison.

use crate::domain::{Event, OrderId};
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

/// A bug on purpose: the simulation must find it. Only debug builds have it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plant {
    /// An order is answered as stored before it is.
    AnswerBeforeCommit,
    /// A release does not close its role shards to the writes that come after it.
    KeepsQueueAtHandOver,
    /// Shards are taken from writers that are alive.
    TakesFromTheLiving,
    /// Others are taken over though they had no time to renew their leases.
    WaitsForNoLease,
    /// A node whose writer was ended keeps its actors and what they rest on.
    LivesOnFenced,
    /// An order takes whatever another team's role says for a fact.
    BelievesEveryAnswer,
}

/// Decides at each [`Point`] whether the actor panics there.
pub trait FaultPlan: Send + Sync {
    /// Called at `point`, for `order` where the work is one order's; panics when the plan says so.
    fn pass(&self, point: Point, order: Option<OrderId>);

    /// What becomes of this delivery.
    fn delivery(&self, _event: &Event) -> Delivery {
        Delivery::Once
    }

    /// Whether the node has this bug.
    fn has(&self, _plant: Plant) -> bool {
        false
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

    pub(crate) fn has(&self, plant: Plant) -> bool {
        cfg!(debug_assertions) && self.0.as_ref().is_some_and(|plan| plan.has(plant))
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
