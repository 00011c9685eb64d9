//! What customers, carriers and operators do, as a seed has it, and what they were answered.

use crate::chance::Chance;
use crate::chaos::Cut;
use crate::life::{Fleet, Node, pause};
use crate::support::{line, product};
use ordermill::actors::{Command, CommandError, NewOrder, NodeHandle, PlaceError};
use ordermill::db::{IdempotencyKey, Store, Write};
use ordermill::domain::{
    CancelledBy, Contact, CorrelationId, CustomerId, Money, Order, OrderId, OrderLine, OrderStatus, Role, Text, Timestamp,
};
use ordermill::saga::Shipment;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use uuid::Uuid;

/// Products 0 to 9 cost 10.00 to 10.09, so that their sum has a meaning to the payment stand-in; number 10 is scarce.
const PRODUCTS: u128 = 11;
const SCARCE: u128 = 10;

/// What the answer to a request to place an order was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 202, or a replay of it.
    Accepted(OrderId),
    /// 503 or 422: this request's own order does not exist.
    Refused,
    /// 504, or the line was cut.
    Unknown,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub correlation: CorrelationId,
    /// Requests with one key are one order.
    pub key: Option<u64>,
    pub answer: Answer,
}

/// What was asked of an order, and admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admitted {
    Cancel,
    Ship,
}

/// Everything that was answered.
#[derive(Default)]
pub struct Book {
    pub attempts: RefCell<Vec<Attempt>>,
    pub admitted: RefCell<Vec<(OrderId, Admitted)>>,
    /// What the catalogue was given of each product.
    pub supplied: RefCell<Vec<i32>>,
}

const LIMIT: Duration = Duration::from_secs(30);

/// Fills the catalogue; nothing fails yet.
pub async fn supply(fleet: &Fleet, book: &Book, chance: &mut Chance) {
    if fleet.ground.teams.roles.has(Role::Inventory) {
        return;
    }
    for number in 0..PRODUCTS {
        let available = if number == SCARCE { i32::try_from(chance.below(6)).unwrap() } else { 1000 };
        book.supplied.borrow_mut().push(available);
        let price = Money::from_minor(1000 + i64::try_from(number).unwrap() % 10).unwrap();
        let write = move || Write::product(product(number), Text::lossy("thing"), price, available);
        let supplied = |handle: NodeHandle| async move { handle.write(write(), LIMIT).await };
        while !matches!(fleet.ask(chance, supplied, Result::is_err).await, Some(Ok(_))) {}
    }
}

fn contents(chance: &mut Chance) -> Vec<OrderLine> {
    let mut lines = vec![line(0, 1 + i64::try_from(chance.below(3)).unwrap(), 1000)];
    match chance.below(10) {
        // A total with a meaning.
        0..=4 => {
            let number = 1 + chance.below(9);
            lines.push(line(u128::from(number), 1, 1000 + i64::try_from(number).unwrap()));
        }
        5 | 6 => lines.push(line(SCARCE, 1 + i64::try_from(chance.below(2)).unwrap(), 1000)),
        7 => match chance.below(4) {
            0 => lines.push(line(1, 1, 999)),
            1 => lines.push(line(77, 1, 1000)),
            _ => {}
        },
        _ => {}
    }
    lines
}

fn contact(chance: &mut Chance) -> Option<Box<Contact>> {
    let words = ["a", "b", "c", "bounce", "timeout", "lost", "flaky", "fail", "slow", "late"];
    let email = format!("{}@shop.test", chance.pick(&words));
    let phone = format!("+4930000{}", if chance.hits(5000) { 1234 } else { 1 + chance.below(7) });
    let (has_email, has_phone) = chance.pick(&[(false, false), (true, false), (false, true), (true, true)]);
    (has_email || has_phone).then(|| {
        Box::new(Contact { email: has_email.then(|| Text::lossy(&email)), phone: has_phone.then(|| Text::lossy(&phone)), locale: None })
    })
}

/// One customer: places an order at some time, perhaps twice at once under one key, and is answered or not.
pub async fn customer(fleet: Rc<Fleet>, book: Rc<Book>, seed: u64, number: u64, span_ms: u64) {
    let mut chance = Chance::new(seed, 100 + number);
    pause(chance.below(span_ms)).await;
    let lines = contents(&mut chance);
    let contact = contact(&mut chance);
    let key = chance.hits(3000).then(|| if chance.hits(3000) { 1000 } else { number });
    let requests = if key.is_some() { 1 + chance.below(3) } else { 1 };
    let all = (0..requests).map(|request| {
        let correlation = CorrelationId::of(Uuid::from_u128(u128::from(number) * 100 + u128::from(request)));
        let new = NewOrder {
            customer: CustomerId(Uuid::from_u128(u128::from(number))),
            total: Order::total_of(&lines).unwrap(),
            lines: lines.clone(),
            payment_method: Text::lossy("card"),
            contact: contact.clone(),
            address: None,
            correlation,
        };
        let delay = if chance.hits(5000) { 0 } else { chance.below(10_000) };
        place(fleet.clone(), book.clone(), new, key, delay, Chance::new(seed, 10_000 + number * 10 + request))
    });
    futures_util::future::join_all(all.collect::<Vec<_>>()).await;
}

async fn place(fleet: Rc<Fleet>, book: Rc<Book>, new: NewOrder, key: Option<u64>, delay_ms: u64, mut chance: Chance) {
    pause(delay_ms).await;
    let correlation = new.correlation;
    let sent_key = key.map(|number| IdempotencyKey {
        key: [u8::try_from(number % 251).unwrap(); 32],
        body: [u8::try_from(new.total.minor() % 251).unwrap(); 32],
        expires_at: Timestamp(i64::MAX),
    });
    let placing = |handle: NodeHandle| {
        let (new, key) = (new.clone(), sent_key.clone());
        async move { handle.place(new, key, LIMIT).await }
    };
    let answer = fleet.ask(&mut chance, placing, |answer| matches!(answer, Err(PlaceError::NotHere))).await;
    let answer = match answer {
        None | Some(Err(PlaceError::Unknown(_))) => Answer::Unknown,
        Some(Ok(placed)) => Answer::Accepted(placed.order.id),
        Some(Err(
            PlaceError::Overloaded
            | PlaceError::NotHere
            | PlaceError::NotStored
            | PlaceError::Refused
            | PlaceError::KeyReused
            | PlaceError::KeyInProgress,
        )) => Answer::Refused,
    };
    fleet.ground.chaos.tell(|| format!("request {} key {key:?}: {answer:?}", correlation.0.as_u128()));
    book.attempts.borrow_mut().push(Attempt { correlation, key, answer });
}

/// Somebody gives commands to orders that were accepted.
pub async fn commander(fleet: Rc<Fleet>, book: Rc<Book>, seed: u64, number: u64, span_ms: u64) {
    let mut chance = Chance::new(seed, 1000 + number);
    for _ in 0..1 + chance.below(6) {
        pause(chance.below(span_ms / 3)).await;
        let orders: Vec<OrderId> = book.attempts.borrow().iter().filter_map(|attempt| accepted(&attempt.answer)).collect();
        if orders.is_empty() {
            continue;
        }
        let order = chance.pick(&orders);
        let admitted = if chance.hits(6000) { Admitted::Cancel } else { Admitted::Ship };
        let command = match admitted {
            Admitted::Cancel => Command::Cancel { by: CancelledBy::Customer },
            Admitted::Ship => Command::Ship(Shipment::default()),
        };
        let commanding = |handle: NodeHandle| {
            let command = command.clone();
            async move { handle.command(order, command, LIMIT).await }
        };
        let answer: Option<Result<OrderStatus, CommandError>> =
            fleet.ask(&mut chance, commanding, |answer| matches!(answer, Err(CommandError::NotHere))).await;
        fleet.ground.chaos.tell(|| format!("{admitted:?} {order}: {answer:?}"));
        if let Some(Ok(_)) = answer {
            book.admitted.borrow_mut().push((order, admitted));
        }
    }
}

pub fn accepted(answer: &Answer) -> Option<OrderId> {
    match answer {
        Answer::Accepted(order) => Some(*order),
        Answer::Refused | Answer::Unknown => None,
    }
}

/// Somebody pulls plugs: crashes, stops, fences and cuts off nodes, puts them to sleep, turns their clocks, takes the database away
/// from all at once, and gives nodes writes that they cannot do.
pub async fn vandal(fleet: Rc<Fleet>, seed: u64, span_ms: u64) {
    let mut chance = Chance::new(seed, 2);
    let deeds = chance.below(4 + 4 * fleet.nodes.len() as u64);
    for _ in 0..deeds {
        pause(chance.below(2 * span_ms / (deeds + 1))).await;
        let node = fleet.nodes[usize::try_from(chance.below(fleet.nodes.len() as u64)).unwrap()].clone();
        do_harm(&fleet, node, &mut chance).await;
    }
}

async fn do_harm(fleet: &Rc<Fleet>, node: Rc<Node>, chance: &mut Chance) {
    let chaos = &fleet.ground.chaos;
    let how = chance.pick(&[Cut::Fails, Cut::Hangs]);
    let ms = chance.pick(&[1000, 5000, 10_000, 20_000]);
    let ms = ms / 2 + chance.below(ms);
    match chance.below(12) {
        0 | 1 => chaos.crash(node.index),
        2 => node.stop(),
        3 | 4 => drop(actix::spawn(async move { node.sleep(ms).await })),
        5 | 6 => chaos.cut(node.index, ms, how),
        7 => fleet.nodes.iter().for_each(|node| chaos.cut(node.index, ms, how)),
        8 => {
            let writers = chaos.ask(|database| ordermill::db::Reads::writers(database));
            if let Some(row) = writers.into_iter().rfind(|row| row.alive && crate::auditor::node_of(row) == node.index) {
                chaos.tell(|| format!("writer {} is fenced", row.writer.0));
                fleet.ground.database.store().end_writer(row.writer).await.expect("nothing fails");
                chaos.fenced(node.index);
            }
        }
        9 => node.jump(chance.pick(&[-600_000, -1500, 1500, 600_000])),
        _ => {
            let bad = Write::product(product(5), Text::lossy("bad"), Money::from_minor(1).unwrap(), -1);
            let _refused = node.ask(|handle| async move { handle.write(bad, LIMIT).await }).await;
        }
    }
}
