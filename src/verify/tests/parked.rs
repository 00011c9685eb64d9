//! Parked orders and the dead letters about steps.

use super::world::{World, at, order, rested};
use super::{append, found, planted, strict};
use crate::db::memory::Tables;
use crate::domain::{DeadLetter, DeadLetterKind, DeadLetterState, Event, EventBody, OrderId, Role, Text};
use crate::saga::park::{CHARGE, PROVIDER, RESTART_LIMIT, STORE, WRITE_REFUSED, key_letter, step_letter};
use crate::verify::{Check, Options};

/// An open letter about a step of the order, stored.
fn put_letter(tables: &mut Tables, letter: DeadLetter) {
    tables.letters.insert(letter.id, letter);
}

fn charge_letter(tables: &Tables, order: OrderId) -> DeadLetter {
    let shard = tables.orders[&order].order.shard;
    step_letter(order, shard, Role::Payment, CHARGE, at(9)).because(PROVIDER, "it failed", 4)
}

fn parked(tables: &mut Tables, order: OrderId, cause: &str) {
    tables.orders.get_mut(&order).unwrap().record.parked = Some(Text::lossy(cause));
}

#[tokio::test]
async fn a_parked_order_that_nobody_is_asked_about_is_found() {
    planted(Check::Parked, |tables, rested| parked(tables, rested.confirmed, PROVIDER)).await;
    // Closed letters, letters of other causes and letters of stray money ask nobody about it.
    planted(Check::Parked, |tables, rested| {
        parked(tables, rested.confirmed, PROVIDER);
        let letter = charge_letter(tables, rested.confirmed);
        put_letter(tables, DeadLetter { state: DeadLetterState::Skipped, ..letter });
    })
    .await;
    planted(Check::Parked, |tables, rested| {
        parked(tables, rested.confirmed, PROVIDER);
        let shard = tables.orders[&rested.confirmed].order.shard;
        put_letter(tables, key_letter(rested.confirmed, shard, 1, at(9)).because(PROVIDER, "it failed", 4));
    })
    .await;
}

#[tokio::test]
async fn an_open_letter_of_a_step_whose_order_is_not_parked_is_found() {
    planted(Check::Parked, |tables, rested| {
        let letter = charge_letter(tables, rested.confirmed);
        put_letter(tables, letter);
    })
    .await;
    planted(Check::Parked, |tables, rested| {
        let shard = tables.orders[&rested.confirmed].order.shard;
        put_letter(tables, step_letter(rested.confirmed, shard, Role::Inventory, STORE, at(9)).because(WRITE_REFUSED, "why", 1));
        parked(tables, rested.confirmed, PROVIDER);
        let letter = charge_letter(tables, rested.confirmed);
        put_letter(tables, letter);
    })
    .await;
}

#[tokio::test]
async fn letters_that_need_no_parked_order_are_not_missed_one() {
    let rested = rested().await;
    rested.world.database.raw(|tables| {
        let shard = tables.orders[&rested.confirmed].order.shard;
        put_letter(tables, key_letter(rested.confirmed, shard, 1, at(9)).because(PROVIDER, "the money of a stray charge", 4));
        let of_old_form = DeadLetter::about(rested.shipped, shard, DeadLetterKind::Step, 0, Role::Payment, CHARGE, at(9));
        put_letter(tables, of_old_form.because(PROVIDER, "of an earlier version", 4));
        parked(tables, rested.failed, PROVIDER);
        let letter = charge_letter(tables, rested.failed);
        put_letter(tables, letter);
    });
    assert_eq!(found(&rested.world.verify(&Options::default()).await), Vec::<&str>::new());
}

#[tokio::test]
async fn what_unparks_an_order_may_be_on_its_way_to_it() {
    let mut world = World::new().await;
    world.patience = 2;
    let id = world.place(1, 1).await;
    // The payment is stored, and the order has not heard of it: a person has booked it, which closed the letter.
    world.database.raw(|tables| parked(tables, id, PROVIDER));
    assert_eq!(found(&world.verify(&Options::default()).await), Vec::<&str>::new());
    world.database.raw(|tables| parked(tables, id, RESTART_LIMIT));
    assert_eq!(found(&world.verify(&Options::default()).await), [Check::Parked.name()]);
}

#[tokio::test]
async fn what_parks_an_order_may_be_on_its_way_from_another_node() {
    let rested = rested().await;
    rested.world.database.raw(|tables| {
        let letter = charge_letter(tables, rested.confirmed);
        let DeadLetter { role, step, cause, detail, tries, .. } = letter.clone();
        append(tables, Event::of(&order(1, 2), at(9), EventBody::StepParked { role, step, cause, detail, tries }));
        put_letter(tables, letter);
    });
    assert_eq!(found(&rested.world.verify(&Options::default()).await), Vec::<&str>::new());
    assert_eq!(found(&rested.world.verify(&strict()).await), [Check::Parked.name()], "at rest it has heard of it");
}
