//! Other teams that run the payment or the inventory in our place, and are hostile; and the person at the desk who asks them.

use crate::broker::Broker;
use crate::chance::Chance;
use crate::chaos::Chaos;
use crate::life::{Fleet, pause};
use crate::talk::{self, Kept, Say, When};
use ordermill::actors::{DeadLetterAction, World};
use ordermill::db::{DeadLetterFilter, OrderAudit, Reads};
use ordermill::domain::{
    DeadLetter, DeadLetterId, DeadLetterState, Event, EventBody, Money, Order, OrderId, OrderStatus, ReservedLine, Role, Roles, Shortage,
    Text,
};
use ordermill::saga::{PaymentFact, external};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

/// The teams, and what they have in their books.
#[derive(Default)]
pub struct Teams {
    pub roles: Roles,
    books: RefCell<BTreeMap<(Role, OrderId), Kept>>,
    /// What is to be said when all has ended.
    rest: RefCell<Vec<(Role, Arc<Order>, Say)>>,
    /// How many orders are still spoken of, and whether no other will be.
    talking: Cell<usize>,
    has_ended: Cell<bool>,
    /// Letters about an undo that was done.
    undone: RefCell<BTreeSet<DeadLetterId>>,
    /// Orders for which other money or other goods were accepted.
    accepted: RefCell<BTreeSet<(Role, OrderId)>>,
    /// What a team did by word of mouth.
    done: RefCell<BTreeSet<(Role, OrderId)>>,
}

impl Teams {
    /// Which roles are other teams' in this seed, where Kafka is at all.
    pub fn of(seed: u64, has_bus: bool) -> Self {
        let mut chance = Chance::new(seed, 6);
        let some = [&[Role::Payment][..], &[Role::Inventory], &[Role::Payment, Role::Inventory]];
        let roles = if has_bus && chance.hits(3000) { chance.pick(&some).iter().copied().collect() } else { Roles::default() };
        Self { roles, ..Self::default() }
    }

    /// The roles that are ours.
    pub fn ours(&self) -> Vec<Role> {
        Role::ALL.into_iter().filter(|role| !self.roles.has(*role)).collect()
    }

    /// Whether all that was meant to be said by now was said, and heard.
    pub fn are_quiet(&self, broker: Option<&Broker>) -> bool {
        self.talking.get() == 0 && broker.is_none_or(|broker| broker.is_heard(self.roles))
    }

    fn kept<T>(&self, role: Role, order: OrderId, act: impl FnOnce(&mut Kept) -> T) -> T {
        act(self.books.borrow_mut().entry((role, order)).or_default())
    }

    fn say(&self, fleet: &Fleet, role: Role, order: &Arc<Order>, when: When, say: Say, chance: &mut Chance) {
        let Some(broker) = &fleet.ground.broker else { return };
        if self.kept(role, order.id, |kept| kept.when(when)) != when {
            return self.rest.borrow_mut().push((role, order.clone(), say));
        }
        self.kept(role, order.id, |kept| kept.say(when, say));
        fleet.ground.chaos.tell(|| format!("another team's {}: {say:?} {} {when:?}", role.name(), order.id));
        // Their clock may be wrong.
        let now = fleet.ground.world.now().plus_ms(chance.pick(&[0, 0, 60_000]));
        broker.say(Event::of(order, now, body(say, order)), chance);
    }
}

fn body(say: Say, order: &Order) -> EventBody {
    let lines = || -> Vec<ReservedLine> { order.lines.iter().map(ReservedLine::from).collect() };
    let method = Text::lossy("theirs");
    match say {
        Say::Paid => EventBody::PaymentProcessed { amount: order.total, method },
        Say::PaidOther => EventBody::PaymentProcessed { amount: Money::from_minor(1).unwrap(), method },
        Say::Failed => EventBody::PaymentFailed { reason: Text::lossy("first card declined") },
        Say::Cancelled => EventBody::PaymentCancelled,
        Say::Refunded => EventBody::PaymentRefunded { amount: order.total },
        Say::Reserved => EventBody::InventoryReserved { lines: lines() },
        Say::ReservedOther => EventBody::InventoryReserved { lines: [lines(), lines()].concat() },
        Say::Insufficient => {
            EventBody::InventoryInsufficient { shortages: vec![Shortage::UnknownProduct { product: order.lines[0].product }] }
        }
        Say::Released => EventBody::InventoryReleased { lines: lines() },
        Say::Shipped => EventBody::InventoryShipped { lines: lines() },
    }
}

/// Answers each order that one of the teams is asked about, once.
pub async fn play(fleet: Rc<Fleet>, teams: Rc<Teams>, broker: Broker, seed: u64) {
    let mut chance = Chance::new(seed, 7);
    let mut heard = 0;
    let mut asked: BTreeSet<(Role, OrderId)> = BTreeSet::new();
    loop {
        let changed = broker.changes.notified();
        for event in broker.heard(&mut heard) {
            let role = if matches!(event.body, EventBody::OrderCreated(_)) {
                Role::Inventory
            } else if matches!(event.body, EventBody::InventoryReserved { .. }) {
                Role::Payment
            } else {
                continue;
            };
            if teams.roles.has(role) && !teams.has_ended.get() && asked.insert((role, event.order)) {
                teams.talking.set(teams.talking.get() + 1);
                let order = order_of(&fleet.ground.chaos, event.order);
                let own = Chance::new(seed, 50_000 + 1000 * chance.below(1000) + asked.len() as u64);
                actix::spawn(answer(fleet.clone(), teams.clone(), role, order, own));
            }
        }
        changed.await;
    }
}

fn order_of(chaos: &Chaos, id: OrderId) -> Arc<Order> {
    chaos.ask(|database| database.order(id)).expect("what is told of an order is stored after it").order
}

async fn answer(fleet: Rc<Fleet>, teams: Rc<Teams>, role: Role, order: Arc<Order>, mut chance: Chance) {
    let mut is_late = false;
    for (when, say) in talk::script(role, |end| chance.below(end)) {
        match when {
            When::AtOnce => pause(chance.delay_ms(3000)).await,
            When::Late if !std::mem::replace(&mut is_late, true) => pause(10_000 + chance.below(40_000)).await,
            When::Late => pause(chance.delay_ms(3000)).await,
            When::AtTheEnd => {
                teams.rest.borrow_mut().push((role, order.clone(), say));
                continue;
            }
        }
        teams.say(&fleet, role, &order, when, say, &mut chance);
    }
    teams.talking.set(teams.talking.get() - 1);
}

/// Whether a team has, and for which role, what this letter is about.
fn role_of(letter: &DeadLetter) -> Role {
    match letter.role {
        Role::Payment => Role::Payment,
        Role::Order | Role::Inventory | Role::Notification | Role::Analytics => Role::Inventory,
    }
}

/// What a person does about a letter of such a role, having asked the team; none where it is no such letter.
pub fn decide(teams: &Teams, chaos: &Chaos, letter: &DeadLetter) -> Option<DeadLetterAction> {
    let (order, role) = (letter.order?, role_of(letter));
    let is_even = order.0.as_bytes()[15] % 2 == 0;
    match letter.cause.as_str() {
        "amount-mismatch" | "reservation-mismatch" if is_even => {
            teams.accepted.borrow_mut().insert((role, order));
            Some(DeadLetterAction::Accept)
        }
        "amount-mismatch" | "reservation-mismatch" => Some(DeadLetterAction::Compensate),
        "external-role" => {
            if teams.undone.borrow_mut().insert(letter.id) {
                teams.kept(role, order, |kept| kept.undone += 1);
            }
            Some(DeadLetterAction::Done { overrules: false })
        }
        "answer-overdue" if letter.step.as_str() == "shipment-answer" || teams.done.borrow().contains(&(role, order)) => {
            Some(DeadLetterAction::Done { overrules: false })
        }
        "answer-overdue" if teams.kept(role, order, Kept::asked).is_some() => Some(DeadLetterAction::Reprocess),
        "answer-overdue" => {
            let is_dying = chaos.ask(|database| database.order(order)).is_some_and(|stored| stored.record.facts.cancel.is_some());
            if is_dying && role == Role::Payment {
                return Some(DeadLetterAction::Done { overrules: false });
            }
            if !is_even {
                return Some(DeadLetterAction::Compensate);
            }
            // What the letter says is made true first.
            let deed = if role == Role::Payment { Say::Paid } else { Say::Reserved };
            teams.kept(role, order, |kept| kept.did = Some(deed));
            teams.done.borrow_mut().insert((role, order));
            Some(DeadLetterAction::Done { overrules: false })
        }
        _ => None,
    }
}

/// Says all that was kept back. What one of the teams is asked by that is not answered any more.
pub fn say_the_rest(fleet: &Fleet, teams: &Teams, chance: &mut Chance) {
    teams.has_ended.set(true);
    for (role, order, say) in teams.rest.take() {
        teams.say(fleet, role, &order, When::AtTheEnd, say, chance);
    }
}

/// The teams' books and the orders agree.
pub fn agree(teams: &Teams, orders: &[OrderAudit]) -> Vec<String> {
    let mut broken = Vec::new();
    for (role, audit) in teams.roles.iter().flat_map(|role| orders.iter().map(move |audit| (role, audit))) {
        let (id, status) = (audit.stored.order.id, audit.stored.status);
        let kept = teams.kept(role, id, |kept| kept.clone());
        if !kept.agrees(status, teams.accepted.borrow().contains(&(role, id))) {
            broken.push(format!("order {id} is {}, and the {} team has {kept:?}: {:#?}", status.name(), role.name(), audit.stored.record));
        }
    }
    broken
}

/// What was said at the end has moved no order from where it was, and each contradiction of it is a letter.
pub fn nothing_moved(teams: &Teams, chaos: &Chaos, before: &[OrderAudit], after: &[OrderAudit]) -> Vec<String> {
    let filter = DeadLetterFilter { state: Some(DeadLetterState::Open), limit: 100_000, ..DeadLetterFilter::default() };
    let letters = chaos.ask(|database| database.letters(filter)).rows;
    let told: BTreeSet<(OrderId, &str)> = letters
        .iter()
        .filter(|letter| letter.cause.as_str() == external::CONTRADICTION)
        .filter_map(|letter| Some((letter.order?, letter.step.as_str())))
        .collect();
    let mut broken = Vec::new();
    let ended: BTreeMap<OrderId, &OrderAudit> = before.iter().map(|audit| (audit.stored.order.id, audit)).collect();
    for audit in after {
        let (order, now) = (&audit.stored.order, audit.stored.status);
        let Some(was) = ended.get(&order.id).map(|audit| audit.stored.status) else { continue };
        if was != now {
            broken.push(format!("order {} was {} and is {}", order.id, was.name(), now.name()));
        }
    }
    for ((role, id), kept) in teams.books.borrow().iter() {
        let Some(before) = ended.get(id) else { continue };
        let facts = &before.stored.record.facts;
        // Where nothing was known, what is said then is the first answer.
        let is_known = match role {
            Role::Payment => {
                matches!(facts.payment, Some((PaymentFact::Paid { .. } | PaymentFact::Failed { .. } | PaymentFact::Cancelled, _)))
            }
            Role::Order | Role::Inventory | Role::Notification | Role::Analytics => facts.stock.is_some(),
        };
        // What left unpaid, or without stock, is a person's business of another kind.
        if !is_known || (facts.shipment.is_some() && before.stored.status != OrderStatus::Shipped) {
            continue;
        }
        for say in kept.contradictions(before.stored.status) {
            let name = body(say, &before.stored.order).kind().name();
            if !told.contains(&(*id, name)) {
                broken
                    .push(format!("order {id} is {} and {name} was said, of which no letter tells: {kept:?}", before.stored.status.name()));
            }
        }
    }
    broken
}
