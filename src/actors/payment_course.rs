//! The long way of one payment: retries, unknown outcomes, open breakers, undo. Each decision is stored before anything rests
//! on it; a new attempt begins only after the last is known to have failed, and is stored before the provider hears of it.

use super::cell::CellRef;
use super::courses::Signal;
use super::faults::Point;
use super::inbox::{Ask, Inbound, park_command};
use super::order::CHARGE;
use super::payment_gateway::{ChargeCall, tell_again};
use crate::db::{Outcome, Write};
use crate::domain::{Event, EventBody, Order, OrderId, Payment, PaymentStatus, Role, Shard, Text, Timestamp};
use crate::providers::{Charge, ChargeKey, ChargeRequest, Found, ProviderError, Voided};
use crate::saga::by_hand::PROVIDER;
use std::sync::Arc;
use tokio::sync::oneshot;

/// The step of a void that fails.
pub(crate) const VOID: &str = "void";
/// The step of a refund that fails.
pub(crate) const REFUND: &str = "refund";

/// What a course is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Goal {
    /// Take the money. `ask_first`: it may have been tried before.
    Charge { ask_first: bool },
    /// Leave no money taken.
    Undo,
}

/// A first call that the actor has begun already.
pub(crate) enum Begun {
    Call(ChargeCall),
    Failed(ProviderError),
}

pub(crate) fn request(order: &Order, attempt: u32) -> ChargeRequest {
    ChargeRequest {
        key: ChargeKey { order: order.id, attempt },
        amount: order.total,
        method: order.payment_method.clone(),
        correlation: order.correlation,
    }
}

/// The row and the event that an answered charge makes.
pub(crate) fn charged(order: &Order, attempt: u32, charge: Charge, now: Timestamp) -> (Payment, Event) {
    match charge {
        Charge::Approved => {
            let body = EventBody::PaymentProcessed { amount: order.total, method: order.payment_method.clone() };
            (Payment::of(order, attempt, PaymentStatus::Charged, now), Event::of(order, now, body))
        }
        Charge::Declined { reason } => {
            let mut payment = Payment::of(order, attempt, PaymentStatus::Failed, now);
            payment.reason = Some(reason.clone());
            (payment, Event::of(order, now, EventBody::PaymentFailed { reason }))
        }
    }
}

/// Nothing more can be done here: the order is parked, the node is stopping, or the database has moved on.
struct GivenUp;

/// One order's course.
pub(crate) struct Course {
    pub(crate) cell: CellRef,
    pub(crate) id: OrderId,
    pub(crate) shard: Shard,
    pub(crate) signal: Signal,
}

impl Course {
    pub(crate) async fn run(self, order: Option<Arc<Order>>, goal: Goal, begun: Option<Begun>) {
        // What was given up is told where it was: by a dead letter, or by the order that asks again.
        let _ended = self.try_run(order, goal, begun).await;
    }

    async fn try_run(&self, order: Option<Arc<Order>>, goal: Goal, begun: Option<Begun>) -> Result<(), GivenUp> {
        self.cell.node.faults.pass(Point::PaymentGatewayCourse, Some(self.id));
        let order = match order {
            Some(order) => order,
            None => self.read(|reads, id| reads.known_order(id)).await?.ok_or(GivenUp)?,
        };
        match goal {
            Goal::Undo => self.undo(&order).await,
            Goal::Charge { ask_first } => self.charge(&order, ask_first, begun).await,
        }
    }

    async fn charge(&self, order: &Arc<Order>, mut ask_first: bool, mut begun: Option<Begun>) -> Result<(), GivenUp> {
        let mut attempt = 1;
        let mut failures = 0;
        // A call of this attempt may still arrive: then no other attempt may begin, whatever the later calls say.
        let mut may_arrive = ask_first;
        if ask_first {
            let row = self.read(|reads, id| reads.payment(id)).await?;
            if let Some(row) = row {
                if row.status != PaymentStatus::Trying {
                    tell_again(&self.cell, row.answer(order.shard, order.correlation));
                    return Ok(());
                }
                attempt = row.attempt;
                failures = attempt - 1;
            }
        }
        loop {
            // Else its new owner goes on.
            if begun.is_none() && !self.cell.owns(Role::Payment, self.shard) {
                return Err(GivenUp);
            }
            if self.signal.is_raised() && begun.is_none() {
                return self.undo(order).await;
            }
            let result = match begun.take() {
                Some(Begun::Call(call)) => call.await,
                Some(Begun::Failed(error)) => Err(error),
                None if ask_first => match self.ask(order, attempt).await {
                    Ok(Some(answer)) => Ok(answer),
                    Ok(None) => self.cell.node.providers.payment.charge(request(order, attempt)).await,
                    Err(error) => Err(error),
                },
                None => self.cell.node.providers.payment.charge(request(order, attempt)).await,
            };
            match result {
                Ok(charge) => return self.answered(order, attempt, charge).await,
                Err(ProviderError::Open { retry_in_ms } | ProviderError::Busy { retry_in_ms, .. }) => self.wait(retry_in_ms.max(1)).await,
                Err(ProviderError::Rejected { reason }) => {
                    let declined = Charge::Declined { reason: Text::lossy(&reason) };
                    return self.answered(order, attempt, declined).await;
                }
                Err(error @ (ProviderError::Failed { .. } | ProviderError::Deferred { .. } | ProviderError::Unknown { .. })) => {
                    failures += 1;
                    may_arrive |= matches!(error, ProviderError::Unknown { .. });
                    ask_first = may_arrive;
                    let Some(delay) = self.cell.node.settings.payment_retry.next(failures) else {
                        return self.park(order, CHARGE, &error, failures).await;
                    };
                    self.wait(delay).await;
                    if !ask_first && !self.signal.is_raised() {
                        attempt += 1;
                        let trying = Payment::of(order, attempt, PaymentStatus::Trying, self.cell.node.now());
                        self.store(order, trying, None).await?;
                    }
                }
            }
        }
    }

    /// What became of an attempt whose answer was lost; none if the provider never heard of it.
    async fn ask(&self, order: &Order, attempt: u32) -> Result<Option<Charge>, ProviderError> {
        let found = match self.cell.node.providers.payment.find(ChargeKey { order: order.id, attempt }).await {
            // A question that is refused says nothing of the charge.
            Err(ProviderError::Rejected { reason }) => return Err(ProviderError::Unknown { reason }),
            answer => answer?,
        };
        Ok(match found {
            Found::Approved { .. } => Some(Charge::Approved),
            Found::Declined { reason } => Some(Charge::Declined { reason }),
            Found::Voided => Some(Charge::Declined { reason: Text::lossy("voided") }),
            Found::NotFound => None,
        })
    }

    async fn answered(&self, order: &Arc<Order>, attempt: u32, charge: Charge) -> Result<(), GivenUp> {
        self.cell.node.faults.pass(Point::PaymentGatewayAnswered, Some(self.id));
        let (payment, event) = charged(order, attempt, charge, self.cell.node.now());
        self.store(order, payment, Some(event)).await?;
        if self.signal.is_raised() { self.undo(order).await } else { Ok(()) }
    }

    /// Leaves no money taken: voids by key, found or not, so that a late charge is refused; what was charged is given back.
    async fn undo(&self, order: &Arc<Order>) -> Result<(), GivenUp> {
        let row = self.read(|reads, id| reads.payment(id)).await?;
        let attempt = row.as_ref().map_or(1, |row| row.attempt);
        let key = ChargeKey { order: order.id, attempt };
        let status = row.as_ref().map(|row| row.status);
        match status {
            Some(PaymentStatus::Failed | PaymentStatus::Cancelled | PaymentStatus::Refunded) => {
                tell_again(&self.cell, row.and_then(|row| row.answer(order.shard, order.correlation)));
                return Ok(());
            }
            Some(PaymentStatus::Trying) | None => {
                let voided = self.insist(order, VOID, || self.cell.node.providers.payment.void(key)).await?;
                let now = self.cell.node.now();
                if voided == Voided::Voided {
                    let payment = Payment::of(order, attempt, PaymentStatus::Cancelled, now);
                    return self.store(order, payment, Some(Event::of(order, now, EventBody::PaymentCancelled))).await;
                }
                let (payment, event) = charged(order, attempt, Charge::Approved, now);
                self.store(order, payment, Some(event)).await?;
            }
            Some(PaymentStatus::Charged) => {}
        }
        self.insist(order, REFUND, || self.cell.node.providers.payment.refund(key, order.total)).await?;
        let now = self.cell.node.now();
        let refunded = Payment::of(order, attempt, PaymentStatus::Refunded, now);
        self.store(order, refunded, Some(Event::of(order, now, EventBody::PaymentRefunded { amount: order.total }))).await
    }

    /// Repeats an undo until it is done or past its policy: an undo is retried, never failed.
    async fn insist<T>(&self, order: &Order, step: &'static str, call: impl Fn() -> crate::providers::Call<T>) -> Result<T, GivenUp> {
        let mut failures = 0;
        loop {
            match call().await {
                Ok(answer) => return Ok(answer),
                Err(ProviderError::Open { retry_in_ms } | ProviderError::Busy { retry_in_ms, .. }) => {
                    super::cell::pause(retry_in_ms.max(1)).await;
                }
                Err(error) => {
                    failures += 1;
                    match self.cell.node.settings.payment_retry.next(failures) {
                        Some(delay) => super::cell::pause(delay).await,
                        None => return self.park(order, step, &error, failures).await,
                    }
                }
            }
        }
    }

    /// Waits for the next try, visibly.
    async fn wait(&self, ms: u64) {
        self.cell.node.remember_retry(self.id, self.cell.node.now().plus_ms(ms));
        self.signal.pause(ms).await;
    }

    async fn park<T>(&self, order: &Order, step: &'static str, error: &ProviderError, tries: u32) -> Result<T, GivenUp> {
        if !self.cell.owns(Role::Order, self.shard) {
            self.cell.park_far((order.id, order.correlation), Role::Payment, step, (PROVIDER, &error.to_string(), tries)).await;
            return Err(GivenUp);
        }
        let command = park_command(Role::Payment, step, PROVIDER, &error.to_string(), tries);
        let (reply, _nobody_waits) = oneshot::channel();
        if let Some(inbox) = self.cell.node.inbox_of(self.shard) {
            inbox.push(Inbound::Command(self.id, Ask { what: command, seen: None, reply }));
        }
        Err(GivenUp)
    }

    async fn store(&self, order: &Arc<Order>, payment: Payment, event: Option<Event>) -> Result<(), GivenUp> {
        let write = Write::SavePayment { payment, shard: order.shard, correlation: order.correlation, event, letter: None };
        match self.cell.node.journal.ask(write, None).await {
            Ok(Outcome::Done | Outcome::Recorded) => Ok(()),
            Ok(Outcome::Repeated(answers)) => {
                for answer in answers {
                    self.cell.again(answer);
                }
                Ok(())
            }
            Ok(Outcome::Refused(why)) => {
                super::check::broken("a payment was refused by the database", &why);
                Err(GivenUp)
            }
            Ok(
                Outcome::NotStored
                | Outcome::NotOurs
                | Outcome::KeyTaken { .. }
                | Outcome::Product(_)
                | Outcome::Answered { .. }
                | Outcome::Stock(_)
                | Outcome::Missing
                | Outcome::Taken(_),
            )
            | Err(_) => Err(GivenUp),
        }
    }

    /// Reads, again and again while the database is away.
    async fn read<T>(&self, ask: impl Fn(&Arc<dyn crate::db::Reads>, OrderId) -> ReadCall<T>) -> Result<T, GivenUp> {
        super::reading::insist(&self.cell.node, || ask(&self.cell.node.reads, self.id)).await.ok_or(GivenUp)
    }
}

type ReadCall<T> = futures_util::future::BoxFuture<'static, Result<T, crate::db::StoreError>>;
