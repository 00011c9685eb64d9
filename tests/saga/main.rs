//! The saga under every interleaving: roles as small machines with one outcome row a step, a network that delays, repeats and
//! loses, commands at any moment. Whatever happened, once everything is delivered the order ends where its commands and the
//! roles' outcomes say, nothing is owed, and money and stock are where they belong.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failing test may panic")]
#![expect(clippy::wildcard_enum_match_arm, reason = "an event that nobody sends to a role fails the test")]

mod any;
mod parked;

use ordermill::domain::{
    CancelledBy, Channel, Contact, CorrelationId, CustomerId, Event, EventBody, EventKind, Money, NoticeKind, Order, OrderId, OrderLine,
    OrderStatus, ProductId, Quantity, ReservedLine, Role, Shard, Shortage, Text, Timestamp,
};
use ordermill::saga::policy::{Deadlines, deadline};
use ordermill::saga::step::{self, answer, cancel, compensate, redrive, ship};
use ordermill::saga::{Effects, Facts, Record, Shipment, invariants, owed, settled, status};
use proptest::prelude::*;
use proptest::sample::Index;
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// What the world outside of the order will say.
#[derive(Clone, Copy, Debug)]
struct Scenario {
    has_stock: bool,
    pays: bool,
    /// Whether notices arrive, or are given up.
    tells: bool,
    both_channels: bool,
}

/// What happens next.
#[derive(Clone, Debug)]
enum Action {
    /// One message in flight arrives.
    Deliver(Index),
    /// One arrives and stays in flight, to arrive again.
    Repeat(Index),
    /// One is lost.
    Lose(Index),
    /// The order asks again for what it is owed.
    Redrive,
    Cancel,
    Ship,
    /// The deadline, if one is armed, falls due.
    Expire,
}

fn scenarios() -> impl Strategy<Value = Scenario> {
    let odds = (prop::bool::weighted(0.8), prop::bool::weighted(0.6), any::<bool>(), any::<bool>());
    odds.prop_map(|(has_stock, pays, tells, both_channels)| Scenario { has_stock, pays, tells, both_channels })
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        8 => any::<Index>().prop_map(Action::Deliver),
        2 => any::<Index>().prop_map(Action::Repeat),
        1 => any::<Index>().prop_map(Action::Lose),
        1 => Just(Action::Redrive),
        1 => Just(Action::Cancel),
        1 => Just(Action::Ship),
        1 => Just(Action::Expire),
    ];
    prop::collection::vec(action, 0..60)
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Goods {
    InStock,
    Held,
    Shipped,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Purse {
    Untouched,
    Charged,
    Failed,
    Cancelled,
    Refunded,
}

/// Everything around one order.
struct World {
    scenario: Scenario,
    order: Arc<Order>,
    record: Record,
    net: Vec<(Role, Event)>,
    told: Vec<EventKind>,
    letters: Vec<String>,
    now: i64,
    cancelled: bool,
    shipped: bool,
    goods: Goods,
    kept: bool,
    stock_answers: BTreeMap<&'static str, EventBody>,
    money: Purse,
    charges: u32,
    refunds: u32,
    notices: BTreeMap<(NoticeKind, Channel), Option<EventBody>>,
}

impl World {
    fn new(scenario: Scenario) -> Self {
        let order = order(scenario.both_channels);
        let record = step::placed(&order);
        let mut world = Self {
            scenario,
            record,
            net: Vec::new(),
            told: Vec::new(),
            letters: Vec::new(),
            now: 1,
            cancelled: false,
            shipped: false,
            goods: Goods::InStock,
            kept: false,
            stock_answers: BTreeMap::new(),
            money: Purse::Untouched,
            charges: 0,
            refunds: 0,
            notices: BTreeMap::new(),
            order,
        };
        world.told.push(EventKind::OrderCreated);
        world.send(EventBody::OrderCreated(world.order.clone()));
        world
    }

    fn now(&mut self) -> Timestamp {
        self.now += 1;
        Timestamp(self.now)
    }

    /// To every role that takes it.
    fn send(&mut self, body: EventBody) {
        let at = self.now();
        for role in takers(body.kind()) {
            self.net.push((*role, Event::of(&self.order, at, body.clone())));
        }
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Deliver(index) | Action::Lose(index) | Action::Repeat(index) if !self.net.is_empty() => {
                let at = index.index(self.net.len());
                let (role, event) = if matches!(action, Action::Repeat(_)) { self.net[at].clone() } else { self.net.swap_remove(at) };
                if !matches!(action, Action::Lose(_)) {
                    self.deliver(role, &event);
                }
            }
            Action::Deliver(_) | Action::Lose(_) | Action::Repeat(_) => {}
            Action::Redrive => self.redrive(),
            Action::Cancel => self.cancel(CancelledBy::Customer),
            Action::Ship => {
                let admitted = self.step(|order, record, now, effects| ship(order, record, Shipment::default(), now, effects).is_ok());
                self.shipped |= admitted;
            }
            Action::Expire => {
                let deadlines = Deadlines { expiry_ms: 1, payment_ms: 2 };
                if let Some((_, by)) = deadline(&self.record, deadlines) {
                    self.cancel(by);
                }
            }
        }
    }

    fn cancel(&mut self, by: CancelledBy) {
        let admitted = self.step(|order, record, now, effects| cancel(order, record, by, now, effects).is_ok());
        self.cancelled |= admitted;
    }

    fn redrive(&mut self) {
        let events: Vec<Event> = redrive(&self.order, &self.record.facts);
        assert_eq!(events.is_empty(), settled(&self.record.facts, self.order.channels()), "what is owed is asked for");
        if self.record.parked.is_none() {
            for event in events {
                let role_events = takers(event.kind()).iter().map(|role| (*role, event.clone()));
                self.net.extend(role_events);
            }
        }
    }

    /// One step of the order, with what must hold of every step.
    fn step(&mut self, take: impl FnOnce(&Order, &mut Record, Timestamp, &mut Effects) -> bool) -> bool {
        let before = self.record.clone();
        let now = self.now();
        let mut effects = Effects::default();
        let admitted = take(&self.order, &mut self.record, now, &mut effects);
        assert!(grows(&before.facts, &self.record.facts), "facts only grow: {:?} to {:?}", before.facts, self.record.facts);
        assert!(effects.changed || before == self.record, "a change is told, so that it is stored");
        assert!(self.record.history.starts_with(&before.history), "history only grows");
        assert_eq!(self.record.history.last().unwrap().status, status(&self.record.facts), "history ends at the status");
        assert_eq!(invariants::check(&self.order, &self.record), Ok(()));
        for event in effects.events {
            assert!(!self.told.contains(&event.kind()), "{} is told once", event.kind().name());
            self.told.push(event.kind());
            self.send(event.body);
        }
        self.letters.extend(effects.letters.into_iter().map(|letter| letter.cause.as_str().to_owned()));
        admitted
    }

    fn deliver(&mut self, role: Role, event: &Event) {
        let answers = match role {
            Role::Order => {
                self.step(|order, record, now, effects| {
                    answer(order, record, event, now, effects);
                    true
                });
                return;
            }
            Role::Inventory => self.stock_keeper(&event.body),
            Role::Payment => self.payment_gateway(&event.body),
            Role::Notification => self.notifier(&event.body),
            Role::Analytics => Vec::new(),
        };
        for body in answers {
            self.send(body);
        }
    }

    fn stock_keeper(&mut self, body: &EventBody) -> Vec<EventBody> {
        let lines: Vec<ReservedLine> = self.order.lines.iter().map(ReservedLine::from).collect();
        let held = if self.goods == Goods::Held { lines.clone() } else { Vec::new() };
        let rows = &mut self.stock_answers;
        let (step, answer, then) = match body {
            EventBody::OrderCreated(_) => {
                if let Some(answer) = rows.get("reserve").or(rows.get("release")) {
                    return vec![answer.clone()];
                }
                let short = || vec![Shortage::UnknownProduct { product: lines[0].product }];
                match self.scenario.has_stock {
                    true => ("reserve", EventBody::InventoryReserved { lines }, Goods::Held),
                    false => ("reserve", EventBody::InventoryInsufficient { shortages: short() }, self.goods),
                }
            }
            EventBody::PaymentFailed { .. } | EventBody::PaymentCancelled | EventBody::OrderCancelRequested { .. } => {
                if let Some(answer) = rows.get("release").or(rows.get("ship")) {
                    return vec![answer.clone()];
                }
                if self.kept && !matches!(body, EventBody::OrderCancelRequested { .. }) {
                    return Vec::new();
                }
                ("release", EventBody::InventoryReleased { lines: held }, Goods::InStock)
            }
            EventBody::ShipmentHeld => {
                self.kept = true;
                return Vec::new();
            }
            EventBody::OrderShipped { .. } => {
                if let Some(answer) = rows.get("ship") {
                    return vec![answer.clone()];
                }
                let to = if held.is_empty() { self.goods } else { Goods::Shipped };
                ("ship", EventBody::InventoryShipped { lines: held }, to)
            }
            other => panic!("not for stock: {other:?}"),
        };
        self.goods = then;
        rows.insert(step, answer.clone());
        vec![answer]
    }

    fn payment_gateway(&mut self, body: &EventBody) -> Vec<EventBody> {
        let amount = self.order.total;
        let paid = EventBody::PaymentProcessed { amount, method: self.order.payment_method.clone() };
        let failed = EventBody::PaymentFailed { reason: Text::lossy("declined") };
        let is_undo = matches!(body, EventBody::OrderCancelRequested { .. });
        let (money, answer) = match (self.money, is_undo) {
            (Purse::Untouched, true) => (Purse::Cancelled, EventBody::PaymentCancelled),
            (Purse::Untouched, false) if self.scenario.pays => {
                self.charges += 1;
                (Purse::Charged, paid)
            }
            (Purse::Untouched, false) => (Purse::Failed, failed),
            (Purse::Charged, true) => {
                self.refunds += 1;
                (Purse::Refunded, EventBody::PaymentRefunded { amount })
            }
            (Purse::Charged, false) => (Purse::Charged, paid),
            (Purse::Failed, _) => (Purse::Failed, failed),
            (Purse::Cancelled, _) => (Purse::Cancelled, EventBody::PaymentCancelled),
            (Purse::Refunded, _) => (Purse::Refunded, EventBody::PaymentRefunded { amount }),
        };
        self.money = money;
        vec![answer]
    }

    fn notifier(&mut self, body: &EventBody) -> Vec<EventBody> {
        let kind = match body {
            EventBody::PaymentProcessed { .. } => NoticeKind::Confirmation,
            EventBody::PaymentFailed { .. } | EventBody::OrderFailed { .. } => NoticeKind::Failure,
            EventBody::OrderShipped { .. } => NoticeKind::Shipping,
            EventBody::OrderCancelled { was_paid, reason } => NoticeKind::of_cancellation(reason.as_str(), *was_paid),
            EventBody::OrderCancelRequested { .. } => {
                for channel in Channel::ALL {
                    self.notices.entry((NoticeKind::Confirmation, channel)).or_insert(None);
                }
                return Vec::new();
            }
            other => panic!("not for the notifier: {other:?}"),
        };
        let tells = self.scenario.tells;
        let told = |channel| match tells {
            true => EventBody::NotificationSent { kind, channel },
            false => EventBody::NotificationFailed { kind, channel, attempt: 4, last: true, reason: Text::lossy("no such address") },
        };
        let channels = self.order.channels();
        channels.iter().filter_map(|channel| self.notices.entry((kind, channel)).or_insert_with(|| Some(told(channel))).clone()).collect()
    }

    /// Delivers everything and asks again until nothing is owed; a person ends what is parked.
    fn heal(&mut self) {
        for _ in 0..50 {
            while !self.net.is_empty() {
                let (role, event) = self.net.remove(0);
                self.deliver(role, &event);
            }
            if self.record.parked.is_some() {
                let admitted = self.step(|order, record, now, effects| compensate(order, record, now, effects).is_ok());
                self.cancelled |= admitted;
                if !admitted {
                    assert_eq!(status(&self.record.facts), OrderStatus::Failed, "only what has ended cannot be ended");
                    self.record.parked = None;
                }
            } else if settled(&self.record.facts, self.order.channels()) {
                return;
            } else {
                self.redrive();
            }
        }
        panic!("owed for ever: {:?} of {:?}", owed(&self.record.facts, self.order.channels()), self.record.facts);
    }

    /// What the outcomes and the admitted commands come to, whatever the order of things was.
    fn expected(&self) -> OrderStatus {
        let is_insufficient = self.record.facts.is_insufficient();
        match (is_insufficient || self.cancelled, self.scenario.pays, self.shipped) {
            (true, _, _) => OrderStatus::Cancelled,
            (false, false, _) => OrderStatus::Failed,
            (false, true, true) => OrderStatus::Shipped,
            (false, true, false) => OrderStatus::Confirmed,
        }
    }

    fn check_end(&self) {
        let facts = &self.record.facts;
        let end = status(facts);
        assert_eq!(end, self.expected());
        let (money, goods) = match end {
            OrderStatus::Confirmed => (true, Goods::Held),
            OrderStatus::Shipped => (true, Goods::Shipped),
            OrderStatus::Failed | OrderStatus::Cancelled => (false, Goods::InStock),
            open => panic!("settled in {open:?}"),
        };
        assert_eq!((self.money == Purse::Charged, self.goods), (money, goods), "money and stock of {end:?}");
        assert!(self.charges <= 1 && self.refunds <= self.charges, "charged once, given back once");
        let told = |kind| self.told.iter().filter(|told| **told == kind).count();
        let ends = [
            (OrderStatus::Confirmed, EventKind::OrderConfirmed),
            (OrderStatus::Shipped, EventKind::OrderShipped),
            (OrderStatus::Failed, EventKind::OrderFailed),
            (OrderStatus::Cancelled, EventKind::OrderCancelled),
        ];
        for (status, kind) in ends {
            let ever = self.record.history.iter().any(|entry| entry.status == status) || (status == end);
            let passed = status == OrderStatus::Confirmed && end == OrderStatus::Shipped;
            assert_eq!(told(kind), usize::from(ever || passed), "{status:?} and {}", kind.name());
        }
        let is_dead = matches!(end, OrderStatus::Failed | OrderStatus::Cancelled);
        assert!(!self.shipped || !is_dead || !self.letters.is_empty(), "goods that left for a dead order are a person's business");
        let was_told = |kind| self.notices.keys().any(|(noticed, _)| *noticed == kind);
        assert_eq!(was_told(NoticeKind::Cancellation), end == OrderStatus::Cancelled && facts.was_ever_paid());
        let of_unpaid = self.notices.keys().map(|(kind, _)| *kind).filter(|kind| kind.is_of_unpaid());
        let of_unpaid: std::collections::BTreeSet<NoticeKind> = of_unpaid.collect();
        assert!(of_unpaid.len() <= 1, "told twice why it ended: {of_unpaid:?}");
        let was_ever_cancelled_unpaid = facts.unpaid_end.is_some();
        assert_eq!(!of_unpaid.is_empty(), was_ever_cancelled_unpaid, "{of_unpaid:?}");
        assert!(end != OrderStatus::Cancelled || facts.was_ever_paid() || was_ever_cancelled_unpaid, "it ended and nobody was told why");
        assert_eq!(was_told(NoticeKind::Shipping), end == OrderStatus::Shipped);
    }
}

/// Who takes an event of this kind.
fn takers(kind: EventKind) -> &'static [Role] {
    match kind {
        EventKind::OrderCreated | EventKind::ShipmentHeld => &[Role::Inventory],
        EventKind::InventoryReserved => &[Role::Order, Role::Payment],
        EventKind::InventoryInsufficient
        | EventKind::InventoryReleased
        | EventKind::InventoryShipped
        | EventKind::PaymentRefunded
        | EventKind::NotificationSent
        | EventKind::NotificationFailed => &[Role::Order],
        EventKind::PaymentProcessed => &[Role::Order, Role::Notification],
        EventKind::PaymentFailed => &[Role::Order, Role::Inventory, Role::Notification],
        EventKind::PaymentCancelled => &[Role::Order, Role::Inventory],
        EventKind::OrderConfirmed => &[],
        EventKind::OrderCancelRequested => &[Role::Inventory, Role::Payment, Role::Notification],
        EventKind::OrderCancelled | EventKind::OrderFailed => &[Role::Notification],
        EventKind::OrderShipped => &[Role::Inventory, Role::Notification],
        EventKind::AnswerAccepted | EventKind::PaymentParked | EventKind::InventoryParked => panic!("nothing is elsewhere"),
    }
}

fn order(both_channels: bool) -> Arc<Order> {
    let price = Money::from_minor(1000).unwrap();
    let line = OrderLine { product: ProductId(Uuid::from_u128(1)), quantity: Quantity::new(2).unwrap(), price };
    let phone = both_channels.then(|| Text::lossy("+491234"));
    Arc::new(Order {
        id: OrderId::from_parts(1_700_000_000_000, [9; 10]),
        shard: Shard(3),
        customer: CustomerId(Uuid::from_u128(2)),
        lines: vec![line],
        total: price.times(2).unwrap(),
        payment_method: Text::lossy("CARD"),
        contact: Some(Box::new(Contact { email: Some(Text::lossy("a@example.org")), phone, locale: None })),
        address: None,
        correlation: CorrelationId::of(Uuid::from_u128(3)),
        created_at: Timestamp(1),
    })
}

/// Whether `after` keeps every fact of `before`.
fn grows(before: &Facts, after: &Facts) -> bool {
    fn kept<T: PartialEq>(before: &Option<T>, after: &Option<T>) -> bool {
        before.is_none() || before == after
    }
    kept(&before.stock, &after.stock)
        && kept(&before.payment, &after.payment)
        && kept(&before.released, &after.released)
        && kept(&before.refunded, &after.refunded)
        && kept(&before.cancel, &after.cancel)
        && kept(&before.shipment, &after.shipment)
        && kept(&before.stock_moved, &after.stock_moved)
        && kept(&before.stray_reservation, &after.stray_reservation)
        && kept(&before.stray_charge, &after.stray_charge)
        && after.notices.starts_with(&before.notices)
        && (!before.undo_asked || after.undo_asked)
        && (!before.owes_void || after.owes_void)
        && kept(&before.unpaid_end, &after.unpaid_end)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, ..ProptestConfig::default() })]

    #[test]
    fn every_interleaving_ends_where_the_commands_and_outcomes_say(scenario in scenarios(), actions in actions()) {
        let mut world = World::new(scenario);
        for action in &actions {
            world.act(action);
        }
        world.heal();
        world.check_end();
    }

    #[test]
    fn an_order_that_settled_stays_so_whatever_is_repeated(scenario in scenarios(), before in actions(), after in actions()) {
        let mut world = World::new(scenario);
        for action in &before {
            world.act(action);
        }
        world.heal();
        let end = world.record.facts.clone();
        for event in [EventBody::OrderCreated(world.order.clone())].into_iter().chain(world.stock_answers.clone().into_values()) {
            world.send(event);
        }
        for action in after.iter().filter(|action| !matches!(action, Action::Cancel | Action::Ship | Action::Expire)) {
            world.act(action);
        }
        world.heal();
        prop_assert_eq!(status(&end), status(&world.record.facts));
        world.check_end();
    }
}
