//! The stock keeper: turns events into stock steps. It decides nothing: the store does, all orders of a batch in one pass, and
//! its outcome rows are the deduplication, so the stock keeper has no state to lose.

use crate::actors::cell::CellRef;
use crate::actors::protocol::kind::ActorKind;
use crate::actors::protocol::messages::Deliver;
use crate::actors::protocol::ticket::StepOf;
use crate::actors::runtime::faults::Point;
use crate::db::{ReleaseReason, StepOutcome, StockStep, TypedWrite};
use crate::domain::{Event, EventBody, Role};
use actix::{Actor, Context, Handler};

/// See the module.
pub(crate) struct StockKeeper {
    cell: CellRef,
}

impl StockKeeper {
    pub(crate) fn new(cell: CellRef) -> Self {
        Self { cell }
    }

    fn step(&self, event: &Event) -> Option<TypedWrite<StepOutcome>> {
        let at = self.cell.node.now();
        let step = StockStep { order: event.order, shard: event.shard, correlation: event.correlation, at };
        match event.body.content() {
            EventBody::OrderCreated(order) => Some(TypedWrite::reserve(order.clone(), self.cell.node.settings.pricing, at)),
            EventBody::PaymentFailed { .. } | EventBody::PaymentCancelled => Some(TypedWrite::release(step, ReleaseReason::PaymentFailed)),
            EventBody::OrderCancelRequested { .. } => Some(TypedWrite::release(step, ReleaseReason::Cancelled)),
            EventBody::ShipmentHeld => Some(TypedWrite::hold_stock(step)),
            EventBody::OrderShipped { .. } => Some(TypedWrite::ship_stock(step)),
            EventBody::InventoryReserved { .. }
            | EventBody::InventoryInsufficient { .. }
            | EventBody::InventoryReleased { .. }
            | EventBody::InventoryShipped { .. }
            | EventBody::PaymentProcessed { .. }
            | EventBody::PaymentRefunded { .. }
            | EventBody::OrderConfirmed
            | EventBody::OrderCancelled { .. }
            | EventBody::OrderFailed { .. }
            | EventBody::NotificationSent { .. }
            | EventBody::NotificationFailed { .. }
            | EventBody::AnswerAccepted { .. }
            | EventBody::StepParked { .. }
            | EventBody::PaidInOtherCurrency { .. } => None,
        }
    }
}

impl Actor for StockKeeper {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(self.cell.node.role_mailbox());
        self.cell.count(ActorKind::StockKeeper, 1);
        self.cell.node.faults.pass(Point::StockKeeperStarted, None);
    }

    /// Runs also while a panic unwinds.
    fn stopped(&mut self, _ctx: &mut Self::Context) {
        self.cell.count(ActorKind::StockKeeper, -1);
        self.cell.report_end(ActorKind::StockKeeper);
    }
}

impl Handler<Deliver> for StockKeeper {
    type Result = ();
    fn handle(&mut self, deliver: Deliver, _ctx: &mut Self::Context) {
        let event = deliver.event.get();
        self.cell.node.faults.pass(Point::StockKeeperMessage, Some(event.order));
        if let Some(write) = self.step(event) {
            let cause = self.cell.node.cause(event, Role::Inventory);
            self.cell.submit(StepOf::Role(Role::Inventory, event.shard, event.order), write, cause);
        }
    }
}
