//! What a role elsewhere says of its steps that fail, heard late, twice, and in any order: an order that is parked has an open letter,
//! which is that of what it is parked for, and letters of other steps stay as they are.

use super::*;
use ordermill::domain::{Closing, DeadLetterId, DeadLetterState};
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

    /// All in one step, as an actor takes what came while it stored.
    fn hears_at_once(&mut self, inputs: &[Input]) {
        let mut effects = Effects::default();
        let letters = ordermill::saga::superseded::Letters::of(&self.record);
        let now = Timestamp(9);
        for input in inputs {
            let body = match input {
                Input::Parked((role, step, cause)) => {
                    let (step, cause) = (Text::lossy(step), Text::lossy(cause));
                    EventBody::StepParked { role: *role, step, cause, detail: Text::lossy("why"), tries: 4 }
                }
                Input::Paid => EventBody::PaymentProcessed { amount: self.order.total, method: self.order.payment_method.clone() },
                Input::Cancel => {
                    cancel(&self.order, &mut self.record, CancelledBy::Customer, now, &mut effects).unwrap();
                    continue;
                }
            };
            answer(&self.order, &mut self.record, &Event::of(&self.order, now, body), now, &mut effects);
        }
        letters.look(&self.order, &self.record, now, &mut effects);
        self.letters.take(effects);
    }

    fn cancel(&mut self) {
        let mut effects = Effects::default();
        let letters = ordermill::saga::superseded::Letters::of(&self.record);
        cancel(&self.order, &mut self.record, CancelledBy::Customer, Timestamp(9), &mut effects).unwrap();
        letters.look(&self.order, &self.record, Timestamp(9), &mut effects);
        self.letters.take(effects);
    }
}

#[derive(Clone, Copy, Debug)]
enum Input {
    Parked((Role, &'static str, &'static str)),
    Paid,
    Cancel,
}

/// What opens a letter and what makes it pointless may come in one step; the role has stored its letter by then.
#[test]
fn a_letter_that_is_pointless_at_the_end_of_its_step_is_not_open() {
    let (charge, void) = (Input::Parked(CHARGE), Input::Parked(VOID));
    let cases: [(&[Input], Vec<&str>); 6] = [
        (&[charge], vec!["payment/charge"]),
        (&[charge, Input::Paid], vec![]),
        (&[charge, Input::Cancel], vec![]),
        (&[Input::Cancel, charge], vec![]),
        (&[charge, Input::Cancel, void], vec!["payment/void"]),
        (&[charge, Input::Cancel, void, charge], vec!["payment/void"]),
    ];
    for (inputs, open) in cases {
        for before in [false, true] {
            let mut world = World::reserved();
            if before {
                // It is parked for the charge already.
                world.parks(CHARGE);
            } else if inputs.iter().any(|input| matches!(input, Input::Parked(CHARGE))) {
                let letter = step_letter(world.order.id, world.order.shard, Role::Payment, "charge", Timestamp(9));
                world.letters.take(Effects { letters: vec![letter], ..Effects::default() });
            }
            world.hears_at_once(inputs);
            assert_eq!(world.letters.open(), open, "{inputs:?}, {before}");
            assert_eq!(world.record.parked.is_some(), !open.is_empty(), "{inputs:?}, {before}");
        }
    }
}

/// A person closes the letter in the step in which the failure is told once more.
#[test]
fn a_decision_is_not_undone_by_the_letter_of_its_own_step() {
    let mut world = World::reserved();
    let mut effects = Effects::default();
    let letters = ordermill::saga::superseded::Letters::of(&world.record);
    let letter = step_letter(world.order.id, world.order.shard, Role::Payment, "charge", Timestamp(9)).because(CHARGE.2, "why", 4);
    ordermill::saga::park::park(&mut world.record, letter.clone(), &mut effects);
    ordermill::saga::step::compensate(&world.order, &mut world.record, Timestamp(9), &mut effects).unwrap();
    let (state, by) = (DeadLetterState::Compensated, Text::lossy("ann"));
    effects.closings.push(Closing { id: letter.id, state, by, note: None, overrules: None, at: Timestamp(9) });
    letters.look(&world.order, &world.record, Timestamp(9), &mut effects);
    assert_eq!((effects.letters, effects.closings.len()), (vec![], 1));
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

/// Nobody tries what failed while the order is parked for something else; once that has ended, it fails anew, or does not.
#[test]
fn what_fails_while_the_order_is_parked_for_something_else_leaves_no_letter_behind() {
    for (first, then, open) in [(STOCK, VOID, "inventory/store"), (VOID, STOCK, "payment/void")] {
        let mut world = World::reserved();
        world.cancel();
        world.parks(first);
        world.parks(then);
        assert_eq!(world.record.parked.as_ref().map(Text::as_str), Some(first.2));
        assert_eq!(world.letters.open(), [open]);
        let mut effects = Effects::default();
        let letters = ordermill::saga::superseded::Letters::of(&world.record);
        ordermill::saga::step::unpark(&mut world.record, Some(first.2), &mut effects).unwrap();
        letters.look(&world.order, &world.record, Timestamp(9), &mut effects);
        world.letters.take(effects);
        assert!(world.letters.open().is_empty() && world.record.parked.is_none());
        world.parks(then);
        assert_eq!((world.record.parked.as_ref().map(Text::as_str), world.letters.open().len()), (Some(then.2), 1), "it failed anew");
    }
}

/// The role has stored its letter, and what it told of it is lost: the order, which has asked again, closes it once nothing is owed.
#[test]
fn a_letter_of_which_the_order_never_heard_is_closed_when_its_step_is_done() {
    let keeps = |world: &mut World, (role, step, cause): (Role, &str, &str)| {
        let letter = step_letter(world.order.id, world.order.shard, role, step, Timestamp(9)).because(cause, "why", 4);
        world.letters.take(Effects { letters: vec![letter], ..Effects::default() });
    };
    let paid = |world: &World| EventBody::PaymentProcessed { amount: world.order.total, method: world.order.payment_method.clone() };
    for (lost, is_cancelled) in [(CHARGE, false), (PAY, false), (CHARGE, true), (VOID, true), (STOCK, true)] {
        let mut world = World::reserved();
        if is_cancelled && lost != CHARGE {
            world.cancel();
        }
        keeps(&mut world, lost);
        let letters = ordermill::saga::superseded::Letters::of(&world.record).and_of_far_steps(&world.order, &world.record.facts);
        let (now, mut effects) = (Timestamp(9), Effects::default());
        if is_cancelled && lost == CHARGE {
            cancel(&world.order, &mut world.record, CancelledBy::Customer, now, &mut effects).unwrap();
        } else {
            let body = match lost {
                VOID => EventBody::PaymentCancelled,
                STOCK => EventBody::InventoryReleased { lines: Vec::new() },
                _ => paid(&world),
            };
            answer(&world.order, &mut world.record, &Event::of(&world.order, now, body), now, &mut effects);
        }
        letters.look(&world.order, &world.record, now, &mut effects);
        world.letters.take(effects);
        assert!(world.letters.open().is_empty(), "{lost:?}, {is_cancelled}: {:?}", world.letters.open());
    }
    // What is still owed is still told.
    let mut world = World::reserved();
    keeps(&mut world, PAY);
    let letters = ordermill::saga::superseded::Letters::of(&world.record).and_of_far_steps(&world.order, &world.record.facts);
    let (now, mut effects) = (Timestamp(9), Effects::default());
    ordermill::saga::step::ship(&world.order, &mut world.record, Shipment::default(), now, &mut effects).unwrap();
    letters.look(&world.order, &world.record, now, &mut effects);
    world.letters.take(effects);
    assert_eq!(world.letters.open(), ["payment/store"]);
}
