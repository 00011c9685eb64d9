//! The calls to the payment provider, each with its span.

use super::task::PaymentTask;
use crate::actors::node::Node;
use crate::actors::node::traced::{Calling, followed, traced};
use crate::actors::protocol::cause::Cause;
use crate::domain::Order;
use crate::providers::{Call, Charge, ChargeKey, ChargeRequest, PAYMENT_BREAKER, ProviderError};
use std::sync::Arc;

/// Begins to take the money.
pub(super) fn charge(node: &Arc<Node>, order: &Order, attempt: u32, cause: Option<Cause>) -> Call<Charge> {
    let calling = node.calling((PAYMENT_BREAKER, "charge"), (order.id, order.correlation), cause);
    let request = ChargeRequest {
        key: ChargeKey { order: order.id, attempt },
        amount: order.total,
        method: order.payment_method.clone(),
        correlation: calling.as_ref().map_or(order.correlation, Calling::correlation),
    };
    traced(calling, node.providers.payment.charge(request))
}

impl PaymentTask {
    /// The same, within a task.
    pub(super) fn begin_charge(&self, order: &Order, attempt: u32) -> Call<Charge> {
        charge(&self.cell.node, order, attempt, self.cause)
    }

    /// The call with its span.
    pub(super) async fn call<T>(
        &self,
        what: &'static str,
        call: impl Future<Output = Result<T, ProviderError>>,
    ) -> Result<T, ProviderError> {
        let calling = self.cell.node.calling((PAYMENT_BREAKER, what), (self.id, self.correlation), self.cause);
        followed(calling, call).await
    }
}
