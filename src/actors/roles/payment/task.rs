//! The long way of one payment: retries, unknown outcomes, open breakers, undo. Each decision is stored before anything rests
//! on it; a new attempt begins only after the last is known to have failed, and is stored before the provider hears of it. A call
//! whose outcome is unknown, or that was refused, is asked for before it is repeated; what is stored is read again after any loss of
//! the shard.

use crate::actors::cell::CellRef;
use crate::actors::protocol::cause::Cause;
use crate::actors::protocol::command::{Ask, park_command};
use crate::actors::protocol::fate::Fate;
use crate::actors::protocol::inbound::Inbound;
use crate::actors::roles::payment::trouble::Trouble;
use crate::actors::runtime::faults::Point;
use crate::actors::runtime::pause::pause;
use crate::actors::runtime::tasks::Signal;
use crate::db::{StepOutcome, TypedWrite};
use crate::domain::{
    CorrelationId, DeadLetter, Event, EventBody, Failures, Order, OrderId, Payment, PaymentStatus, Role, Shard, Text, Timestamp,
};
use crate::providers::{Breaker, Call, Charge, ChargeKey, Found, PAYMENT_BREAKER, PaymentProvider, ProviderError, Voided};
use crate::saga::park::{CHARGE, PROVIDER, REFUND, STORE, VOID, WRITE_REFUSED};
use crate::saga::superseded;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// What a task is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Goal {
    /// Take the money. `ask_first`: it may have been tried before.
    Charge { ask_first: bool },
    /// Leave no money taken.
    Undo,
}

/// A first call that the actor has begun already.
pub(crate) enum Begun {
    Call(Call<Charge>),
    Failed(ProviderError),
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

/// What a task is doing.
#[derive(Clone, Copy)]
pub(super) enum At<'a> {
    /// A step of its order. If it is given up, the order is parked. The row, if any, keeps how often it has failed.
    Step(&'static str, Option<&'a Payment>),
    /// Refunding this attempt's charge, which the row does not record. That is not a step of the order.
    Stray(u32),
}

/// Nothing more can be done here: the order is parked, the node is stopping, or the shard is another's.
pub(super) struct GivenUp;

/// What became of a write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stored {
    /// It is stored.
    Done,
    /// Something else had been stored before: it is to be read, and nothing may rest on what was to be written.
    Otherwise,
}

/// The state of a charge.
struct Attempt {
    number: u32,
    /// Ask what became of it before the next call.
    ask_first: bool,
    /// A call of it may still arrive: then no other attempt may begin, whatever the later calls say.
    may_arrive: bool,
    /// Another task may have tried it, and given it up.
    is_resumed: bool,
}

impl Attempt {
    fn is_doubtful(&mut self) {
        (self.ask_first, self.may_arrive) = (true, true);
    }
}

/// One order's task.
pub(crate) struct PaymentTask {
    pub(crate) cell: CellRef,
    pub(crate) id: OrderId,
    pub(crate) shard: Shard,
    pub(crate) correlation: CorrelationId,
    pub(crate) signal: Signal,
    pub(crate) cause: Option<Cause>,
}

impl PaymentTask {
    pub(crate) async fn run(self, order: Option<Arc<Order>>, goal: Goal, begun: Option<Begun>) {
        // Whatever gave up has already reported it with a dead letter, or the order asks again.
        let _ended = self.try_run(order, goal, begun).await;
    }

    async fn try_run(&self, order: Option<Arc<Order>>, goal: Goal, begun: Option<Begun>) -> Result<(), GivenUp> {
        self.cell.node.faults.pass(Point::PaymentGatewayCourse, Some(self.id));
        let order = match order {
            Some(order) => order,
            None => match self.read(|reads, id| reads.known_order(id)).await? {
                Some(order) => order,
                // Its copy has been deleted; what was paid is given back all the same.
                None => {
                    let row = self.read(|reads, id| reads.payment(id)).await?.ok_or(GivenUp)?;
                    Arc::new(row.order_of_row(self.shard, self.correlation))
                }
            },
        };
        match goal {
            Goal::Undo => self.undo(&order).await,
            Goal::Charge { ask_first } => self.charge(&order, ask_first, begun).await,
        }
    }

    pub(super) fn provider(&self) -> &dyn PaymentProvider {
        &*self.cell.node.providers.payment
    }

    async fn charge(&self, order: &Arc<Order>, ask_first: bool, mut begun: Option<Begun>) -> Result<(), GivenUp> {
        let mut losses = self.cell.losses();
        let mut trouble = Trouble::default();
        let mut attempt = Attempt { number: 1, ask_first, may_arrive: ask_first, is_resumed: ask_first };
        // What is stored must be read first: another may have charged.
        let mut is_stale = ask_first;
        loop {
            if begun.is_none() {
                // Otherwise the new owner continues.
                if !self.cell.owns(Role::Payment, self.shard) {
                    return Err(GivenUp);
                }
                if is_stale || losses != self.cell.losses() {
                    losses = self.cell.losses();
                    is_stale = false;
                    attempt.is_doubtful();
                    attempt.is_resumed = true;
                    let Some((number, failures)) = self.stored_attempt(order).await? else { return Ok(()) };
                    attempt.number = number;
                    trouble.resume(failures, self.clocks());
                    trouble.failures = trouble.failures.max(number.saturating_sub(1));
                    continue;
                }
                if self.signal.is_raised() {
                    return self.undo(order).await;
                }
            }
            let result = match begun.take() {
                Some(Begun::Call(call)) => call.await,
                Some(Begun::Failed(error)) => Err(error),
                None => self.ask_and_charge(order, &attempt).await,
            };
            let error = match result {
                Ok(charge) => return self.answered(order, &attempt, charge).await,
                // It may have been refused for being the second one.
                Err(ProviderError::Rejected { reason }) => match self.refused(order, &attempt, &reason).await {
                    Ok(charge) => return self.answered(order, &attempt, charge).await,
                    Err(error) => {
                        attempt.ask_first = true;
                        error
                    }
                },
                Err(error) => error,
            };
            if let ProviderError::Open { retry_in_ms } | ProviderError::Busy { retry_in_ms, .. } = error {
                let row = self.trying(order, attempt.number);
                self.wait_for_provider(order, At::Step(CHARGE, Some(&row)), retry_in_ms, &trouble, Some(&self.signal)).await?;
                continue;
            }
            if matches!(error, ProviderError::Unknown { .. }) {
                attempt.is_doubtful();
            }
            let row = self.trying(order, attempt.number);
            is_stale =
                self.stumble(order, At::Step(CHARGE, Some(&row)), error, &mut trouble, Some(&self.signal)).await? == Stored::Otherwise;
            if !is_stale && !attempt.ask_first && !self.signal.is_raised() && losses == self.cell.losses() {
                let next = tried(self.trying(order, attempt.number + 1), CHARGE, &trouble);
                match self.store(order, next, None, Vec::new()).await? {
                    Stored::Done => attempt.number += 1,
                    Stored::Otherwise => is_stale = true,
                }
            }
        }
    }

    fn trying(&self, order: &Order, attempt: u32) -> Payment {
        Payment::of(order, attempt, PaymentStatus::Trying, self.cell.node.now())
    }

    /// The time on the cell's steady clock and on the wall clock.
    fn clocks(&self) -> (u64, Timestamp) {
        (self.cell.steady_ms(), self.cell.node.now())
    }

    /// The number of the attempt to continue with, and how often it has failed; none if the payment is decided and its answer was repeated.
    async fn stored_attempt(&self, order: &Order) -> Result<Option<(u32, Option<Failures>)>, GivenUp> {
        // What was written just now may be on its way to the rows.
        self.cell.node.journal.passed().await;
        let Some(row) = self.read(|reads, id| reads.payment(id)).await? else { return Ok(Some((1, None))) };
        if row.status == PaymentStatus::Trying {
            return Ok(Some((row.attempt, row.failures_of(CHARGE))));
        }
        self.cell.tell_again(row.answer(order.shard, order.correlation));
        Ok(None)
    }

    async fn ask_and_charge(&self, order: &Order, attempt: &Attempt) -> Result<Charge, ProviderError> {
        if attempt.ask_first
            && let Some(answer) = self.ask(order, attempt.number).await?
        {
            return Ok(answer);
        }
        self.begin_charge(order, attempt.number).await
    }

    /// A refused charge: what the provider says of its key is the answer. Where it knows nothing of it, and an earlier call may still
    /// arrive, the key is voided first.
    async fn refused(&self, order: &Order, attempt: &Attempt, reason: &str) -> Result<Charge, ProviderError> {
        if let Some(answer) = self.ask(order, attempt.number).await? {
            return Ok(answer);
        }
        let declined = Charge::Declined { reason: Text::lossy(reason) };
        if !attempt.may_arrive {
            return Ok(declined);
        }
        match self.void(ChargeKey { order: order.id, attempt: attempt.number }, false).await? {
            Voided::Voided => Ok(declined),
            Voided::AlreadyCharged => Ok(Charge::Approved),
        }
    }

    /// What became of an attempt whose answer was lost; none if the provider never heard of it.
    async fn ask(&self, order: &Order, attempt: u32) -> Result<Option<Charge>, ProviderError> {
        Ok(match self.call("ask", self.provider().ask(ChargeKey { order: order.id, attempt })).await? {
            Found::Approved { refunded: false } => Some(Charge::Approved),
            // Whoever gave it back, there, did so after it was taken: the order is not paid.
            Found::Approved { refunded: true } => Some(Charge::Declined { reason: Text::lossy("given back by the provider") }),
            Found::Declined { reason } => Some(Charge::Declined { reason }),
            Found::Voided => Some(Charge::Declined { reason: Text::lossy("voided") }),
            Found::NotFound => None,
        })
    }

    async fn answered(&self, order: &Arc<Order>, attempt: &Attempt, charge: Charge) -> Result<(), GivenUp> {
        self.cell.node.faults.pass(Point::PaymentGatewayAnswered, Some(self.id));
        let is_taken = charge == Charge::Approved;
        let (payment, event) = charged(order, attempt.number, charge, self.cell.node.now());
        let over = if attempt.is_resumed { superseded::of_payment(order, payment.status, payment.updated_at) } else { Vec::new() };
        if self.store(order, payment, Some(event), over).await? == Stored::Otherwise && is_taken {
            self.give_back_stray(order, attempt.number).await?;
        }
        if self.signal.is_raised() { self.undo(order).await } else { Ok(()) }
    }

    /// Leaves no money taken: voids by key, found or not, so that a late charge is refused; what was charged is given back. What is
    /// stored is read before each call, for while one waits another node, or a person, may have done it.
    async fn undo(&self, order: &Arc<Order>) -> Result<(), GivenUp> {
        let mut trouble = Trouble::default();
        loop {
            if !self.cell.owns(Role::Payment, self.shard) {
                return Err(GivenUp);
            }
            self.cell.node.journal.passed().await;
            let row = self.read(|reads, id| reads.payment(id)).await?;
            let key = ChargeKey { order: order.id, attempt: row.as_ref().map_or(1, |row| row.attempt) };
            let step = if row.as_ref().is_some_and(|row| row.status == PaymentStatus::Charged) { REFUND } else { VOID };
            trouble.resume(row.as_ref().and_then(|row| row.failures_of(step)), self.clocks());
            let undone = match &row {
                Some(row) if matches!(row.status, PaymentStatus::Failed | PaymentStatus::Cancelled | PaymentStatus::Refunded) => {
                    self.cell.tell_again(row.answer(order.shard, order.correlation));
                    return Ok(());
                }
                Some(row) if row.status == PaymentStatus::Charged && row.is_by_hand() => {
                    let how = "the charge was made by hand: refund it by hand too, then close this dead letter as done";
                    return self.park(order, At::Step(REFUND, None), (PROVIDER, how, 0)).await;
                }
                Some(row) if row.status == PaymentStatus::Charged => {
                    self.call("refund", self.provider().give_back(key, order.total)).await.map(|()| PaymentStatus::Refunded)
                }
                Some(_) | None => self.void(key, trouble.failures > 0).await.map(undone_by_void),
            };
            let status = match undone {
                Ok(status) => status,
                Err(error) => {
                    let is_charged = |row: &Payment| row.status == PaymentStatus::Charged;
                    let kept = row.filter(is_charged).unwrap_or_else(|| self.trying(order, key.attempt));
                    self.stumble(order, At::Step(step, Some(&kept)), error, &mut trouble, None).await?;
                    continue;
                }
            };
            // Stored or not: what is stored now says whether that was all.
            let payment = Payment::of(order, key.attempt, status, self.cell.node.now());
            let event = payment.answer(order.shard, order.correlation);
            let over = superseded::of_payment(order, status, payment.updated_at);
            if self.store(order, payment, event, over).await? == Stored::Done && status != PaymentStatus::Charged {
                return Ok(());
            }
        }
    }

    async fn void(&self, key: ChargeKey, ask_first: bool) -> Result<Voided, ProviderError> {
        if ask_first && let Some(known) = self.call("ask", self.provider().ask(key)).await?.voided() {
            return Ok(known);
        }
        let found = self.call("void", self.provider().close(key)).await?;
        found.voided().ok_or_else(|| ProviderError::unknown("it does not know the key that it has voided"))
    }

    /// After a call that failed: waits for the next try, or parks the order when it was tried often or long enough.
    pub(super) async fn stumble(
        &self,
        order: &Order,
        at: At<'_>,
        error: ProviderError,
        trouble: &mut Trouble,
        signal: Option<&Signal>,
    ) -> Result<Stored, GivenUp> {
        if let ProviderError::Open { retry_in_ms } | ProviderError::Busy { retry_in_ms, .. } = error {
            self.wait_for_provider(order, at, retry_in_ms, trouble, signal).await?;
            return Ok(Stored::Done);
        }
        let detail = error.to_string();
        let settings = &self.cell.node.settings;
        let before = trouble.to_store();
        trouble.add(error, self.clocks(), self.breaker().map(Breaker::answered));
        let left = trouble.left(self.cell.steady_ms(), settings.payment_give_up_ms).unwrap_or(u64::MAX);
        match trouble.next(settings.payment_retry, left) {
            Some(delay) => {
                let stored = if trouble.to_store() == before { Stored::Done } else { self.keep_failures(order, at, trouble).await? };
                self.cell.node.remember_retry(self.id, self.cell.node.now().plus_ms(delay));
                match signal {
                    Some(signal) => signal.pause(delay).await,
                    None => pause(delay).await,
                }
                Ok(stored)
            }
            None => self.park(order, at, (PROVIDER, &detail, trouble.calls())).await,
        }
    }

    /// Stores how often the step has failed, so that its next owner, perhaps another node, does not start counting again.
    async fn keep_failures(&self, order: &Order, at: At<'_>, trouble: &Trouble) -> Result<Stored, GivenUp> {
        let At::Step(step, Some(row)) = at else { return Ok(Stored::Done) };
        self.store(order, tried(row.clone(), step, trouble), None, Vec::new()).await
    }

    fn breaker(&self) -> Option<&Breaker> {
        self.cell.node.providers.breakers.find(PAYMENT_BREAKER)
    }

    /// The breaker is open, or the provider is busy. A payment that has not failed yet waits until that is over; one that has waits only
    /// for a limited time.
    async fn wait_for_provider(
        &self,
        order: &Order,
        at: At<'_>,
        retry_in_ms: u64,
        trouble: &Trouble,
        signal: Option<&Signal>,
    ) -> Result<(), GivenUp> {
        let node = &self.cell.node;
        let left = trouble.left(self.cell.steady_ms(), node.settings.payment_give_up_ms);
        if left == Some(0) {
            let last = trouble.last.as_ref().map(ToString::to_string).unwrap_or_default();
            let detail = format!("{last}; then the circuit breaker of the provider was open for too long");
            return self.park(order, at, (PROVIDER, &detail, trouble.calls())).await;
        }
        let ms = left.map_or(retry_in_ms, |left| retry_in_ms.min(left)).max(1);
        node.remember_retry(self.id, node.now().plus_ms(ms));
        let through = async {
            match self.breaker() {
                Some(breaker) => breaker.lets_through(Duration::from_millis(ms)).await,
                None => pause(ms).await,
            }
        };
        // Biased, so that a simulation repeats it.
        match signal {
            Some(signal) => tokio::select! {
                biased;
                () = through => {}
                () = signal.raised() => {}
            },
            None => through.await,
        }
        Ok(())
    }

    /// Cause, detail and tries tell why.
    async fn park<T>(&self, order: &Order, at: At<'_>, (cause, detail, tries): (&str, &str, u32)) -> Result<T, GivenUp> {
        // Its next owner is asked for it, and goes on trying. Stray money is nobody else's.
        if matches!(at, At::Step(..)) && !self.cell.owns(Role::Payment, self.shard) {
            return Err(GivenUp);
        }
        let step = match at {
            At::Step(step, row) => {
                // When a person has it tried again, it is tried as often again.
                if let Some(row) = row {
                    let failures = Some(Failures { count: 0, since: self.cell.node.now() });
                    let stored = Box::pin(self.store(order, Payment { failures, ..row.clone() }, None, Vec::new())).await?;
                    // It has been decided meanwhile: an order that still waits for an answer asks again.
                    if stored == Stored::Otherwise {
                        return Err(GivenUp);
                    }
                }
                step
            }
            At::Stray(attempt) => {
                self.keep_stray(order, attempt, (cause, detail, tries)).await?;
                return Err(GivenUp);
            }
        };
        if !self.cell.owns(Role::Order, self.shard) {
            self.cell.park_far((order.id, order.correlation), Role::Payment, step, (cause, detail, tries)).await;
            return Err(GivenUp);
        }
        let command = park_command(Role::Payment, step, cause, detail, tries);
        let (reply, _nobody_waits) = oneshot::channel();
        if let Some(inbox) = self.cell.node.inbox_of(self.shard) {
            inbox.push(Inbound::Command(self.id, Ask { what: command, seen: None, closing: None, reply }));
        }
        Err(GivenUp)
    }

    /// `over`: dead letters about steps that end with it.
    async fn store(&self, order: &Order, payment: Payment, event: Option<Event>, over: Vec<DeadLetter>) -> Result<Stored, GivenUp> {
        let write = TypedWrite::save_payment(order, payment, event, over, None);
        match self.cell.node.journal.ask_for(self.cause, write).await {
            Ok(Fate::Stored(StepOutcome::Done)) => Ok(Stored::Done),
            // Its batch is stored, but not how this write was decided: what is stored says it.
            Ok(Fate::Recorded) => Ok(Stored::Otherwise),
            Ok(Fate::Stored(StepOutcome::Repeated(answers))) => {
                for answer in answers {
                    self.cell.again(answer);
                }
                Ok(Stored::Otherwise)
            }
            Ok(Fate::Refused(why)) => self.park(order, At::Step(STORE, None), (WRITE_REFUSED, &why, 1)).await,
            Ok(Fate::NotStored | Fate::NotOurs) | Err(_) => Err(GivenUp),
        }
    }

    /// Reads, again and again while the database is away.
    pub(super) async fn read<T>(&self, ask: impl Fn(&Arc<dyn crate::db::Reads>, OrderId) -> ReadCall<T>) -> Result<T, GivenUp> {
        self.cell.node.read_until_ok(|| ask(&self.cell.node.reads, self.id)).await.map_err(|_| GivenUp)
    }
}

/// The row with how often its step has failed, and why the last time.
fn tried(mut row: Payment, step: &str, trouble: &Trouble) -> Payment {
    row.failures = trouble.to_store();
    if row.status == PaymentStatus::Trying {
        let last = trouble.last.as_ref().map(ToString::to_string).unwrap_or_default();
        row.reason = Some(Text::lossy(&format!("{step}: {last}")));
    }
    row
}

/// What a void leaves: nothing taken, or a charge that is to be given back.
fn undone_by_void(voided: Voided) -> PaymentStatus {
    match voided {
        Voided::Voided => PaymentStatus::Cancelled,
        Voided::AlreadyCharged => PaymentStatus::Charged,
    }
}

pub(super) type ReadCall<T> = futures_util::future::BoxFuture<'static, Result<T, crate::db::StoreError>>;
