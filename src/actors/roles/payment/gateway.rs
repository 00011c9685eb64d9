//! The payment gateway: charges when the stock is held, undoes when the order is to end. One step per order is under way at a
//! time; orders interleave. What was decided is in its rows; a repeat is answered from them.

use crate::actors::cell::CellRef;
use crate::actors::protocol::cause::Cause;
use crate::actors::protocol::kind::ActorKind;
use crate::actors::protocol::messages::{Alarm, Deliver};
use crate::actors::protocol::ticket::StepOf;
use crate::actors::roles::payment::calls;
use crate::actors::roles::payment::task;
use crate::actors::roles::payment::task::{Begun, Goal};
use crate::actors::runtime::faults::Point;
use crate::actors::runtime::tasks::{Ended, Signal, Tasks, at_once};
use crate::db::TypedWrite;
use crate::domain::{CorrelationId, EventBody, Order, OrderId, Role, Shard};
use crate::providers::Charge;
use actix::{Actor, AsyncContext, Context, Handler, StreamHandler};
use std::sync::Arc;

/// One order's turn.
pub(crate) struct Turn {
    shard: Shard,
    correlation: CorrelationId,
    order: Option<Arc<Order>>,
    goal: Goal,
    cause: Option<Cause>,
}

/// See the module.
pub(crate) struct PaymentGateway {
    cell: CellRef,
    tasks: Tasks<OrderId, Turn>,
}

impl PaymentGateway {
    pub(crate) fn new(cell: CellRef) -> Self {
        let tasks = Tasks::new(cell.node.settings.payment_calls);
        Self { cell, tasks }
    }

    fn take(&mut self, deliver: &Deliver) {
        let event = deliver.event.get();
        let goal = match event.body.content() {
            EventBody::InventoryReserved { .. } => Goal::Charge { ask_first: deliver.repeat },
            EventBody::OrderCancelRequested { .. } => {
                if self.tasks.raise(&event.order) {
                    return;
                }
                Goal::Undo
            }
            EventBody::OrderCreated(_)
            | EventBody::InventoryInsufficient { .. }
            | EventBody::InventoryReleased { .. }
            | EventBody::InventoryShipped { .. }
            | EventBody::PaymentProcessed { .. }
            | EventBody::PaymentFailed { .. }
            | EventBody::PaymentCancelled
            | EventBody::PaymentRefunded { .. }
            | EventBody::OrderConfirmed
            | EventBody::OrderCancelled { .. }
            | EventBody::OrderFailed { .. }
            | EventBody::ShipmentHeld
            | EventBody::OrderShipped { .. }
            | EventBody::NotificationSent { .. }
            | EventBody::NotificationFailed { .. }
            | EventBody::AnswerAccepted { .. }
            | EventBody::StepParked { .. }
            | EventBody::PaidInOtherCurrency { .. } => return,
        };
        let cause = self.cell.node.cause(event, Role::Payment);
        let turn = Turn { shard: event.shard, correlation: event.correlation, order: deliver.order.clone(), goal, cause };
        if let Some((turn, signal)) = self.tasks.admit(event.order, turn) {
            self.begin(event.order, turn, signal);
        }
    }

    /// A provider that answers at once is done with here; the rest is a task.
    fn begin(&mut self, id: OrderId, turn: Turn, signal: Signal) {
        let mut begun = None;
        if let (Some(order), Goal::Charge { ask_first: false }) = (&turn.order, turn.goal)
            && !signal.is_raised()
        {
            let mut call = calls::charge(&self.cell.node, order, 1, turn.cause);
            match at_once(&mut call) {
                Some(Ok(charge)) => {
                    self.decided(order, charge, turn.cause);
                    return self.ended(id);
                }
                Some(Err(error)) => begun = Some(Begun::Failed(error)),
                None => begun = Some(Begun::Call(call)),
            }
        }
        self.run(id, turn, begun, signal);
    }

    fn decided(&self, order: &Arc<Order>, charge: Charge, cause: Option<Cause>) {
        self.cell.node.faults.pass(Point::PaymentGatewayAnswered, Some(order.id));
        let now = self.cell.node.now();
        let (payment, event) = task::charged(order, 1, charge, now);
        let write = TypedWrite::save_payment(order, payment, Some(event), Vec::new(), None);
        self.cell.submit(StepOf::Role(Role::Payment, order.shard, order.id), write, cause);
    }

    fn run(&mut self, id: OrderId, turn: Turn, begun: Option<Begun>, signal: Signal) {
        let Turn { shard, correlation, cause, .. } = turn;
        let task = task::PaymentTask { cell: self.cell.clone(), id, shard, correlation, signal, cause };
        self.tasks.launch(id, task.run(turn.order, turn.goal, begun));
    }

    fn ended(&mut self, id: OrderId) {
        self.cell.node.forget_retry(id);
        if let Some((id, turn, signal)) = self.tasks.end(&id) {
            self.run(id, turn, None, signal);
        }
        self.cell.node.set_waiting(ActorKind::PaymentGateway, self.cell.index, self.tasks.len());
    }

    /// One order's task has panicked: the others go on, and this order is driven again.
    fn panicked(&self, id: OrderId, cause: &str) {
        self.cell.node.counters.stats(ActorKind::PaymentGateway).restarted(cause);
        tracing::error!(actor = "payment-gateway", order.id = %id, cause = %cause, "a payment's task panicked; its order is driven again");
        self.cell.wake_after(self.cell.node.settings.restart_backoff.after(1), id, Alarm::Nudge);
    }
}

impl Actor for PaymentGateway {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(self.cell.node.role_mailbox());
        let ended = self.tasks.stream();
        ctx.add_stream(ended);
        self.cell.count(ActorKind::PaymentGateway, 1);
        self.cell.node.faults.pass(Point::PaymentGatewayStarted, None);
    }

    /// Runs also while a panic unwinds.
    fn stopped(&mut self, _ctx: &mut Self::Context) {
        self.cell.count(ActorKind::PaymentGateway, -1);
        self.cell.report_end(ActorKind::PaymentGateway);
    }
}

impl StreamHandler<Ended<OrderId>> for PaymentGateway {
    fn handle(&mut self, Ended { key, panic }: Ended<OrderId>, _ctx: &mut Self::Context) {
        if let Some(cause) = panic {
            self.panicked(key, &cause);
        }
        self.ended(key);
    }
}

impl Handler<Deliver> for PaymentGateway {
    type Result = ();
    fn handle(&mut self, deliver: Deliver, _ctx: &mut Self::Context) {
        self.cell.node.faults.pass(Point::PaymentGatewayMessage, Some(deliver.event.get().order));
        self.take(&deliver);
    }
}
