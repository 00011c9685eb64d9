//! What a hostile team says of the orders that it was asked about, in place of a role of ours: it does one thing, which it says first, and
//! then contradicts itself, repeats, is late or silent. Its books hold what it did.
#![allow(dead_code, unreachable_pub, reason = "each test target uses its own part")]

use ordermill::domain::{OrderStatus, Role};

/// What it says of an order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Say {
    Paid,
    /// Another amount than the total.
    PaidOther,
    Failed,
    Cancelled,
    Refunded,
    Reserved,
    /// Other goods than were ordered.
    ReservedOther,
    Insufficient,
    Released,
    Shipped,
}

/// When it says it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum When {
    /// As soon as it is asked.
    AtOnce,
    /// When the order is given up, or nearly.
    Late,
    /// When every order has ended.
    AtTheEnd,
}

/// What it does for `role`.
fn deeds(role: Role) -> &'static [Say] {
    match role {
        Role::Payment => &[Say::Paid, Say::Paid, Say::Paid, Say::PaidOther, Say::Failed, Say::Cancelled],
        Role::Inventory => &[Say::Reserved, Say::Reserved, Say::Reserved, Say::ReservedOther, Say::Insufficient],
        Role::Order | Role::Notification | Role::Analytics => panic!("nobody plays {}", role.name()),
    }
}

/// What it says besides, true or not.
fn talk(role: Role) -> &'static [Say] {
    match role {
        Role::Payment => &[Say::Paid, Say::PaidOther, Say::Failed, Say::Cancelled, Say::Refunded],
        Role::Inventory => &[Say::Reserved, Say::ReservedOther, Say::Insufficient, Say::Released, Say::Shipped],
        Role::Order | Role::Notification | Role::Analytics => panic!("nobody plays {}", role.name()),
    }
}

/// All that it will say of one order, in this order; `below` throws dice.
pub fn script(role: Role, mut below: impl FnMut(u64) -> u64) -> Vec<(When, Say)> {
    let one_of = |all: &[Say], below: &mut dyn FnMut(u64) -> u64| all[usize::try_from(below(all.len() as u64)).unwrap()];
    let first = match below(8) {
        0 => When::AtTheEnd,
        1 => When::Late,
        _ => When::AtOnce,
    };
    let mut script = Vec::new();
    if first < When::AtTheEnd {
        script.push((first, one_of(deeds(role), &mut below)));
    }
    for _ in 0..below(4) {
        let when = match below(3) {
            0 => When::AtOnce,
            1 => When::Late,
            _ => When::AtTheEnd,
        };
        script.push((when.max(first), one_of(talk(role), &mut below)));
    }
    let again: Vec<(When, Say)> = script.iter().filter(|_| below(4) == 0).copied().collect();
    script.extend(again);
    script.sort_by_key(|(when, _)| *when);
    script
}

/// What the team has in its books on one order.
#[derive(Clone, Default, Debug)]
pub struct Kept {
    /// What it did; none while it has done nothing.
    pub did: Option<Say>,
    /// It has told a person that it did nothing, and says nothing else before the end.
    pub closed: bool,
    /// How often a person had it undo what it did.
    pub undone: u32,
    /// What it has said.
    pub said: Vec<(When, Say)>,
}

impl Kept {
    /// When it says what it meant to say then.
    pub fn when(&self, meant: When) -> When {
        if self.closed { When::AtTheEnd } else { meant }
    }

    /// It says something.
    pub fn say(&mut self, when: When, say: Say) {
        if when < When::AtTheEnd && self.did.is_none() {
            self.did = Some(say);
        }
        self.said.push((when, say));
    }

    /// A person asks what it did. If that is nothing, it does nothing any more.
    pub fn asked(&mut self) -> Option<Say> {
        self.closed |= self.did.is_none();
        self.did
    }

    fn has_said(&self, say: Say) -> bool {
        self.said.iter().any(|(_, said)| *said == say)
    }

    /// Whether it did nothing else than it says.
    pub fn is_honest(&self) -> bool {
        self.did.is_some_and(|did| self.said.iter().all(|(_, say)| *say == did))
    }

    /// Whether it has done for the order what the order's end says, and no more. A person may have `accepted` other money or goods.
    pub fn agrees(&self, ended: OrderStatus, accepted: bool) -> bool {
        let is_undone = self.undone == 1 || (self.undone == 0 && (self.has_said(Say::Refunded) || self.has_said(Say::Released)));
        match (ended, self.did) {
            (OrderStatus::Confirmed | OrderStatus::Shipped, Some(Say::Paid | Say::Reserved)) => self.undone == 0,
            (OrderStatus::Confirmed | OrderStatus::Shipped, Some(Say::PaidOther | Say::ReservedOther)) => self.undone == 0 && accepted,
            (OrderStatus::Cancelled | OrderStatus::Failed, Some(Say::Paid | Say::PaidOther | Say::Reserved | Say::ReservedOther)) => {
                is_undone
            }
            (OrderStatus::Cancelled | OrderStatus::Failed, Some(Say::Failed | Say::Cancelled)) => self.undone == 0,
            // Nothing was held: to have that given back again changes nothing.
            (OrderStatus::Cancelled | OrderStatus::Failed, Some(Say::Insufficient) | None) => true,
            (
                OrderStatus::Pending
                | OrderStatus::InventoryReserved
                | OrderStatus::Confirmed
                | OrderStatus::Shipped
                | OrderStatus::PaymentFailed
                | OrderStatus::Failed
                | OrderStatus::Cancelling
                | OrderStatus::Refunding
                | OrderStatus::Cancelled,
                _,
            ) => false,
        }
    }

    /// What it said at the end that contradicts how the order had ended.
    pub fn contradictions(&self, ended: OrderStatus) -> impl Iterator<Item = Say> + '_ {
        let at_the_end = self.said.iter().filter(|(when, _)| *when == When::AtTheEnd).map(|(_, say)| *say);
        at_the_end.filter(move |say| self.contradicts(ended, *say))
    }

    fn contradicts(&self, ended: OrderStatus, say: Say) -> bool {
        let is_over = matches!(ended, OrderStatus::Cancelled | OrderStatus::Failed);
        let was_taken = matches!(self.did, Some(Say::Paid | Say::PaidOther));
        match say {
            Say::Paid | Say::PaidOther | Say::Failed => self.did != Some(say),
            // Of what was never done a person has said so.
            Say::Cancelled => !matches!(self.did, Some(Say::Cancelled) | None),
            Say::Refunded => !(was_taken && ended == OrderStatus::Cancelled),
            Say::Reserved | Say::ReservedOther => self.did != Some(say),
            Say::Insufficient => self.did != Some(say) && (self.did.is_some() || !is_over),
            Say::Released => !is_over,
            // It may have become a fact before.
            Say::Shipped => is_over && self.said.iter().filter(|(_, said)| *said == Say::Shipped).count() == 1,
        }
    }
}
