//! What a role elsewhere says of its steps that fail, heard late, twice, and in any order: an order that is parked has an open letter,
//! which is that of what it is parked for, and letters of other steps stay as they are.

use super::*;
use ordermill::domain::{DeadLetterId, DeadLetterState};
use ordermill::saga::park::step_letter;
use std::collections::HashMap;

/// The letters as the store keeps them.
#[derive(Default)]
struct Letters(HashMap<DeadLetterId, (String, DeadLetterState)>);

impl Letters {
    fn take(&mut self, effects: Effects) {
        for letter in effects.letters {
            if letter.state == DeadLetterState::Superseded {
                if let Some((_, state)) = self.0.get_mut(&letter.id) {
                    *state = letter.state;
                }
            } else {
                self.0.insert(letter.id, (format!("{}/{}", letter.role.name(), letter.step.as_str()), letter.state));
            }
        }
    }

    fn open(&self) -> Vec<&str> {
        let mut open: Vec<&str> =
            self.0.values().filter(|(_, state)| *state == DeadLetterState::Open).map(|(name, _)| name.as_str()).collect();
        open.sort_unstable();
        open
    }
}

struct World {
    order: Arc<Order>,
    record: Record,
    letters: Letters,
}

impl World {
    /// Its stock is held, and its payment owed.
    fn reserved() -> Self {
        let order = order(false);
        let mut world = Self { record: step::placed(&order), order, letters: Letters::default() };
        let lines = world.order.lines.iter().map(ReservedLine::from).collect();
        world.hear(EventBody::InventoryReserved { lines });
        world
    }

    fn hear(&mut self, body: EventBody) {
        let mut effects = Effects::default();
        answer(&self.order, &mut self.record, &Event::of(&self.order, Timestamp(9), body), Timestamp(9), &mut effects);
        self.letters.take(effects);
    }

    /// The role has kept its letter, and says so to the order.
    fn parks(&mut self, (role, step, cause): (Role, &str, &str)) {
        let letter = step_letter(self.order.id, self.order.shard, role, step, Timestamp(9)).because(cause, "why", 4);
        self.letters.take(Effects { letters: vec![letter], ..Effects::default() });
        self.hears_that((role, step, cause));
    }

    fn hears_that(&mut self, (role, step, cause): (Role, &str, &str)) {
        let (step, cause) = (Text::lossy(step), Text::lossy(cause));
        self.hear(EventBody::StepParked { role, step, cause, detail: Text::lossy("why"), tries: 4 });
    }

    fn cancel(&mut self) {
        let mut effects = Effects::default();
        let letters = ordermill::saga::superseded::Letters::of(&self.record);
        cancel(&self.order, &mut self.record, CancelledBy::Customer, Timestamp(9), &mut effects).unwrap();
        letters.look(&self.order, &self.record, Timestamp(9), &mut effects);
        self.letters.take(effects);
    }
}

const CHARGE: (Role, &str, &str) = (Role::Payment, "charge", "payment-provider");
const VOID: (Role, &str, &str) = (Role::Payment, "void", "payment-provider");
const STRAY: (Role, &str, &str) = (Role::Payment, "stray-refund", "payment-provider");
const PAY: (Role, &str, &str) = (Role::Payment, "store", "write-refused");
const STOCK: (Role, &str, &str) = (Role::Inventory, "store", "write-refused");

/// Each sequence of these, up to this length.
fn sequences(of: &[(Role, &'static str, &'static str)], length: usize) -> Vec<Vec<(Role, &'static str, &'static str)>> {
    let mut all = vec![Vec::new()];
    for _ in 0..length {
        let longer = all.iter().flat_map(|before: &Vec<_>| of.iter().map(|one| [before.clone(), vec![*one]].concat()));
        let longer: Vec<_> = longer.collect();
        all.extend(longer);
    }
    all
}

#[test]
fn a_late_or_repeated_word_about_one_step_leaves_the_letter_of_another_alone() {
    for repeats in sequences(&[CHARGE, VOID, STRAY], 4) {
        let mut world = World::reserved();
        world.parks(CHARGE);
        world.cancel();
        assert!(world.letters.open().is_empty(), "the charge is owed by nobody any more");
        world.parks(VOID);
        for word in &repeats {
            world.hears_that(*word);
        }
        let parked = world.record.parked.as_ref().map(Text::as_str);
        assert_eq!((parked, world.letters.open()), (Some("payment-provider"), vec!["payment/void"]), "{repeats:?}");
    }
}

#[test]
fn the_words_of_two_roles_leave_each_others_letters_alone() {
    for words in sequences(&[PAY, STOCK], 4) {
        let mut world = World::reserved();
        world.cancel();
        for word in &words {
            world.parks(*word);
        }
        let mut said: Vec<_> = words.iter().map(|(role, step, _)| format!("{}/{step}", role.name())).collect();
        said.sort_unstable();
        said.dedup();
        assert_eq!(world.letters.open(), said, "{words:?}");
        assert_eq!(world.record.parked.is_some(), !words.is_empty(), "{words:?}");
        // The stock's answer comes after all; what was said of it is repeated.
        world.hear(EventBody::InventoryReleased { lines: Vec::new() });
        world.hears_that(STOCK);
        assert!(world.record.parked.is_none() || !world.letters.open().is_empty(), "{words:?}: nobody can close what it is parked for");
    }
}

/// Stray money is no step of the order.
#[test]
fn an_order_hears_of_stray_money_and_does_nothing() {
    let mut world = World::reserved();
    let paid = EventBody::PaymentProcessed { amount: world.order.total, method: world.order.payment_method.clone() };
    world.hear(paid);
    let before = world.record.clone();
    world.parks(STRAY);
    assert_eq!((world.record, world.letters.open()), (before, vec!["payment/stray-refund"]));
}

/// Its letter has a number of its own, too.
#[test]
fn the_letter_of_an_order_whose_actor_kept_dying_is_closed_when_it_is_cancelled() {
    let mut world = World::reserved();
    let letter = ordermill::saga::park::restarts_letter(world.order.id, world.order.shard, Timestamp(9));
    world.record.parked = Some(Text::lossy("restart-limit"));
    world.letters.take(Effects { letters: vec![letter], ..Effects::default() });
    world.cancel();
    assert_eq!((world.record.parked.clone(), world.letters.open()), (None, vec![]));
}
