//! No parked state is without a way out: every step that can park is tried with every action, with the fault still there.

use crate::desk::letters;
use crate::planned::Planned;
use crate::support::{LIMIT, World1, line, new_order, put_product, run, stored, until};
use ordermill::actors::faults::Point;
use ordermill::actors::{Actors, Command, DeadLetterAction, DeadLetterError, NodeHandle};
use ordermill::config::providers::Behaviour;
use ordermill::db::{Reads, ReleaseReason, StockStep, Write};
use ordermill::domain::{
    BookedCharge, CancelledBy, CorrelationId, DeadLetter, DeadLetterKind, Money, OrderId, OrderStatus, PaymentStatus, Text,
};
use ordermill::providers::sandbox::{ChargeState, Party};
use ordermill::providers::{Charge, ChargeKey, ChargeRequest, PaymentProvider, ProviderError};
use ordermill::saga::Shipment;
use ordermill::verify::{Check, Expect, Options, Report, verify};

const ACTIONS: [DeadLetterAction; 6] = [
    DeadLetterAction::Reprocess,
    DeadLetterAction::Skip,
    DeadLetterAction::Compensate,
    DeadLetterAction::Discard,
    DeadLetterAction::Done { overrules: false },
    DeadLetterAction::Done { overrules: true },
];

/// What parks.
#[derive(Clone, Copy, Debug)]
enum Parked {
    ChargeFails,
    ChargeIsLost,
    VoidFails,
    RefundFails,
    ShippedUnpaid,
    ActorDies,
}

impl Parked {
    const ALL: [Self; 6] =
        [Self::ChargeFails, Self::ChargeIsLost, Self::VoidFails, Self::RefundFails, Self::ShippedUnpaid, Self::ActorDies];

    fn price(self) -> i64 {
        match self {
            Self::ChargeFails => 1005,
            Self::ChargeIsLost => 1003,
            Self::RefundFails => 1009,
            Self::ShippedUnpaid => 1001,
            Self::VoidFails | Self::ActorDies => 1000,
        }
    }

    /// Step, and how the order ends once a person has said `done` to it at once.
    fn told(self) -> (&'static str, OrderStatus, Option<PaymentStatus>) {
        match self {
            Self::ChargeFails | Self::ChargeIsLost => ("charge", OrderStatus::Confirmed, Some(PaymentStatus::Charged)),
            Self::VoidFails => ("void", OrderStatus::Cancelled, Some(PaymentStatus::Cancelled)),
            Self::RefundFails => ("refund", OrderStatus::Cancelled, Some(PaymentStatus::Refunded)),
            Self::ShippedUnpaid => ("release", OrderStatus::Cancelled, Some(PaymentStatus::Failed)),
            Self::ActorDies => ("order-actor", OrderStatus::Confirmed, Some(PaymentStatus::Charged)),
        }
    }

    /// The provider says that it was not done, or cannot be asked.
    fn is_denied(self) -> bool {
        match self {
            Self::VoidFails | Self::RefundFails => true,
            Self::ChargeFails | Self::ChargeIsLost | Self::ShippedUnpaid | Self::ActorDies => false,
        }
    }
}

struct Place {
    /// Kept alive.
    _node: Actors,
    world: World1,
    handle: NodeHandle,
    order: OrderId,
}

async fn act(handle: &NodeHandle, letter: &DeadLetter, action: DeadLetterAction, note: Option<&str>) -> Result<(), DeadLetterError> {
    handle.act(letter.id, action, Text::lossy("desk"), note.map(Text::lossy), LIMIT).await
}

async fn step_letter(handle: &NodeHandle) -> DeadLetter {
    until("there is a letter about a step", || async { !letters(handle, DeadLetterKind::Step).await.is_empty() }).await;
    letters(handle, DeadLetterKind::Step).await.remove(0)
}

/// An order that is parked so, with its letter.
async fn park(parked: Parked) -> (Place, DeadLetter) {
    let plan = Planned::at(Point::OrderMessage);
    let mut world = World1::new(41);
    world.faults = plan.faults();
    let sandbox = world.sandbox().clone();
    let node = world.start().await;
    let handle = node.handle().clone();
    put_product(&handle, 1, parked.price(), 10).await;
    match parked {
        Parked::ShippedUnpaid => sandbox.behave(Party::Payment, Behaviour { latency_ms: 1000, ..Behaviour::default() }),
        Parked::VoidFails => sandbox.behave(Party::Payment, Behaviour { error_rate: 1.0, ..Behaviour::default() }),
        Parked::ActorDies => plan.arm(100_000),
        Parked::ChargeFails | Parked::ChargeIsLost | Parked::RefundFails => {}
    }
    let order = handle.place(new_order(vec![line(1, 1, parked.price())]), None, LIMIT).await.unwrap().order.id;
    match parked {
        Parked::RefundFails => {
            until("it is paid", || async { stored(&handle, order).await.status == OrderStatus::Confirmed }).await;
            handle.command(order, Command::Cancel { by: CancelledBy::Customer }, LIMIT).await.unwrap();
        }
        Parked::VoidFails => {
            let letter = step_letter(&handle).await;
            act(&handle, &letter, DeadLetterAction::Compensate, None).await.unwrap();
        }
        Parked::ShippedUnpaid => drop(handle.command(order, Command::Ship(Shipment::default()), LIMIT).await.unwrap()),
        Parked::ActorDies => {
            until("it is parked", || async { stored(&handle, order).await.record.parked.is_some() }).await;
            plan.arm(0);
        }
        Parked::ChargeFails | Parked::ChargeIsLost => {}
    }
    let letter = step_letter(&handle).await;
    assert_eq!(letter.step.as_str(), parked.told().0, "{letter:?}");
    (Place { _node: node, world, handle, order }, letter)
}

async fn is_settled(place: &Place) -> bool {
    let stored = stored(&place.handle, place.order).await;
    !stored.open && stored.record.parked.is_none()
}

fn check(parked: Parked, action: DeadLetterAction) {
    run(move || async move {
        let (place, letter) = park(parked).await;
        let handle = &place.handle;
        let case = format!("{parked:?}, {action:?}");
        let is_done = matches!(action, DeadLetterAction::Done { .. });
        let note = is_done.then_some("by telephone, no. 17");
        let acted = act(handle, &letter, action, note).await;
        if action == (DeadLetterAction::Done { overrules: false }) && parked.is_denied() {
            assert!(matches!(acted, Err(DeadLetterError::Contradicted(_))), "{case}: {acted:?}");
            assert_eq!(step_letter(handle).await.id, letter.id, "{case}: it stays open");
        } else if is_done {
            acted.unwrap_or_else(|error| panic!("{case}: {error}"));
            until(&format!("{case}: it is settled"), || is_settled(&place)).await;
            let (_, status, payment) = parked.told();
            assert_eq!(stored(handle, place.order).await.status, status, "{case}");
            let row = handle.reads().payment(place.order).await.unwrap();
            assert_eq!(row.map(|row| row.status), payment, "{case}");
        } else if action == DeadLetterAction::Discard {
            assert!(matches!(acted, Err(DeadLetterError::NotApplicable(_))), "{case}: {acted:?}");
        }
        assert_eq!(found_of_parked(&place).await, Vec::<String>::new(), "{case}");
        // Whatever was done: the order settles, or a letter waits, about which a person can say that it is done.
        let is_seen = || async { is_settled(&place).await || !letters(handle, DeadLetterKind::Step).await.is_empty() };
        for _ in 0..3 {
            until(&format!("{case}: it is settled, or somebody is told"), is_seen).await;
            if is_settled(&place).await {
                break;
            }
            let letter = step_letter(handle).await;
            let done = act(handle, &letter, DeadLetterAction::Done { overrules: true }, Some("seen to")).await;
            assert!(done.is_ok(), "{case}: {done:?} of {letter:?}");
            assert_eq!(handle.reads().audit(letter.id.0.to_string()).await.unwrap().last().unwrap().note.as_deref(), Some("seen to"));
        }
        until(&format!("{case}: it is settled in the end"), || is_settled(&place)).await;
        assert_eq!(found_of_parked(&place).await, Vec::<String>::new(), "{case}");
    });
}

/// Parked orders against open letters, at this moment.
async fn found_of_parked(place: &Place) -> Vec<String> {
    let mut snapshot = place.world.database.snapshot().await.unwrap();
    let report = verify(snapshot.as_mut(), &Options::default()).await.unwrap();
    report.of(Check::Parked).unwrap().shown.clone()
}

/// The stock was given back meanwhile, so that there is nothing left to compensate: the order goes on to its notice.
#[test]
fn goods_that_left_unpaid_are_done_by_hand_also_when_their_order_has_ended() {
    run(|| async {
        let (place, letter) = park(Parked::ShippedUnpaid).await;
        let (handle, id) = (&place.handle, place.order);
        let stored_order = stored(handle, id).await.order;
        let step = StockStep { order: id, shard: stored_order.shard, correlation: stored_order.correlation, at: stored_order.created_at };
        handle.write(Write::Release { step, undo: ReleaseReason::Cancelled }, LIMIT).await.unwrap();
        until("it has failed", || async { stored(handle, id).await.status == OrderStatus::Failed }).await;
        let late = act(handle, &letter, DeadLetterAction::Compensate, None).await;
        assert!(matches!(late, Err(DeadLetterError::NotApplicable(_))), "{late:?}");
        act(handle, &letter, DeadLetterAction::Done { overrules: false }, Some("paid at the counter")).await.unwrap();
        assert_eq!(found_of_parked(&place).await, Vec::<String>::new());
        until("it is settled", || is_settled(&place)).await;
    });
}

#[test]
fn every_parked_step_has_a_way_out_whatever_a_person_tries_first() {
    for parked in Parked::ALL {
        for action in ACTIONS {
            check(parked, action);
        }
    }
}

/// What the provider has of the order's payments, and its row.
async fn money(place: &Place) -> (Vec<(u32, ChargeState)>, Option<PaymentStatus>) {
    let books = place.world.sandbox().charges().iter().map(|charge| (charge.key.attempt, charge.state)).collect();
    (books, place.handle.reads().payment(place.order).await.unwrap().map(|row| row.status))
}

/// A charge of the row's attempt, as by a call that was late.
async fn late_charge(place: &Place, minor: i64) -> ChargeKey {
    let (key, charge) = late_call(place, minor).await;
    assert_eq!(charge, Ok(Charge::Approved));
    key
}

async fn late_call(place: &Place, minor: i64) -> (ChargeKey, Result<Charge, ProviderError>) {
    let attempt = place.handle.reads().payment(place.order).await.unwrap().map_or(1, |row| row.attempt);
    let key = ChargeKey { order: place.order, attempt };
    let (amount, correlation) = (Money::from_minor(minor).unwrap(), CorrelationId::of(place.order.0));
    let charge = ChargeRequest { key, amount, method: Text::lossy("card"), correlation };
    (key, place.world.sandbox().payment().charge(charge).await)
}

#[test]
fn a_charge_that_the_provider_has_is_not_put_away_as_void() {
    run(|| async {
        let (place, letter) = park(Parked::VoidFails).await;
        place.world.sandbox().behave(Party::Payment, Behaviour::default());
        let key = late_charge(&place, 1000).await;
        let said =
            act(&place.handle, &letter, DeadLetterAction::Done { overrules: false }, Some("never charged")).await.unwrap_err().to_string();
        assert!(said.contains(&format!("{key} is charged")), "{said}");
        assert_eq!(stored(&place.handle, place.order).await.status, OrderStatus::Cancelling);
        act(&place.handle, &letter, DeadLetterAction::Reprocess, None).await.unwrap();
        until("it is settled", || is_settled(&place)).await;
        assert_eq!(money(&place).await, (vec![(key.attempt, ChargeState::Refunded)], Some(PaymentStatus::Refunded)));
    });
}

#[test]
fn the_key_of_a_charge_that_was_done_by_hand_is_closed() {
    run(|| async {
        for parked in [Parked::ChargeFails, Parked::ChargeIsLost] {
            let (place, letter) = park(parked).await;
            act(&place.handle, &letter, DeadLetterAction::Done { overrules: false }, Some("paid at the counter")).await.unwrap();
            until("it is settled", || is_settled(&place)).await;
            let (books, row) = money(&place).await;
            assert_eq!(row, Some(PaymentStatus::Charged), "{parked:?}");
            assert!(!books.is_empty() && books.iter().all(|(_, state)| *state == ChargeState::Voided), "{parked:?}: {books:?}");
            let attempt = place.handle.reads().payment(place.order).await.unwrap().unwrap().attempt;
            assert!(books.iter().any(|(of, _)| *of == attempt), "{parked:?}: {books:?}");
        }
    });
}

/// What a person decides while the provider cannot be asked leaves a letter, and that closes the key.
#[test]
fn a_key_that_could_not_be_closed_is_a_letter_of_its_own() {
    run(|| async {
        let (place, letter) = park(Parked::ChargeFails).await;
        let sandbox = place.world.sandbox();
        sandbox.behave(Party::Payment, Behaviour { error_rate: 1.0, ..Behaviour::default() });
        act(&place.handle, &letter, DeadLetterAction::Done { overrules: true }, Some("paid at the counter")).await.unwrap();
        until("it is settled", || is_settled(&place)).await;
        assert!(verified(&place).await.violations() > 0, "a call that is late could still charge");
        let open = step_letter(&place.handle).await;
        assert!(open.step.as_str() == "stray-refund" && open.detail.as_str().contains("may still be charged"), "{open:?}");
        sandbox.behave(Party::Payment, Behaviour::default());
        sandbox.set_magic(false);
        let key = late_charge(&place, 1005).await;
        let done = act(&place.handle, &open, DeadLetterAction::Done { overrules: false }, Some("all is well")).await;
        assert!(matches!(done, Err(DeadLetterError::Contradicted(_))), "{done:?}");
        act(&place.handle, &open, DeadLetterAction::Reprocess, None).await.unwrap();
        assert!(verified(&place).await.is_sound(), "{}", verified(&place).await);
        let (books, row) = money(&place).await;
        assert!(books.contains(&(key.attempt, ChargeState::Refunded)), "{books:?}");
        assert_eq!(row, Some(PaymentStatus::Charged), "at the counter");
    });
}

/// The same if a person says that nothing was charged, before anything is; also of money that was given back by hand later.
#[test]
fn done_closes_a_key_under_which_nothing_is_charged_yet() {
    for is_refunded in [false, true] {
        run(move || async move {
            let (place, letter) = park(Parked::ChargeFails).await;
            let (handle, sandbox) = (&place.handle, place.world.sandbox());
            let overrule = DeadLetterAction::Done { overrules: true };
            sandbox.behave(Party::Payment, Behaviour { error_rate: 1.0, ..Behaviour::default() });
            act(handle, &letter, overrule, Some("paid at the counter")).await.unwrap();
            until("it is settled", || is_settled(&place)).await;
            let open = step_letter(handle).await;
            if is_refunded {
                handle.command(place.order, Command::Cancel { by: CancelledBy::Customer }, LIMIT).await.unwrap();
                let refund =
                    || async { letters(handle, DeadLetterKind::Step).await.into_iter().find(|letter| letter.step.as_str() == "refund") };
                until("the refund is a person's", || async { refund().await.is_some() }).await;
                act(handle, &refund().await.unwrap(), overrule, Some("given back at the counter")).await.unwrap();
                until("it is settled", || is_settled(&place)).await;
            }
            sandbox.behave(Party::Payment, Behaviour::default());
            sandbox.set_magic(false);
            act(handle, &open, DeadLetterAction::Done { overrules: false }, Some("all is well")).await.unwrap();
            let (key, charge) = late_call(&place, 1005).await;
            assert!(matches!(charge, Ok(Charge::Declined { .. })), "{charge:?}");
            assert_eq!(money(&place).await.0.last(), Some(&(key.attempt, ChargeState::Voided)));
            assert!(verified(&place).await.is_sound(), "{}", verified(&place).await);
        });
    }
}

/// `verify --provider`.
async fn verified(place: &Place) -> Report {
    let status = |state| match state {
        ChargeState::Approved => PaymentStatus::Charged,
        ChargeState::Declined => PaymentStatus::Failed,
        ChargeState::Voided => PaymentStatus::Cancelled,
        ChargeState::Refunded | ChargeState::RefundedUncharged => PaymentStatus::Refunded,
    };
    let books = place.world.sandbox().charges().into_iter().map(|charge| BookedCharge {
        order: charge.key.order,
        attempt: charge.key.attempt,
        amount: charge.amount,
        status: status(charge.state),
        payouts: charge.payouts.into(),
    });
    let mut snapshot = place.world.database.snapshot().await.unwrap();
    let options = Options { expect: Expect::Settled, provider: Some(books.collect()), ..Options::default() };
    verify(snapshot.as_mut(), &options).await.unwrap()
}

#[test]
fn a_person_may_overrule_the_provider_and_it_is_told() {
    run(|| async {
        let (place, letter) = park(Parked::RefundFails).await;
        let said = act(&place.handle, &letter, DeadLetterAction::Done { overrules: false }, Some("by bank transfer"))
            .await
            .unwrap_err()
            .to_string();
        assert!(said.contains(&format!("{}:1 is charged", place.order)) && said.contains("override"), "{said}");
        assert_eq!(stored(&place.handle, place.order).await.status, OrderStatus::Refunding, "nothing was changed");
        act(&place.handle, &letter, DeadLetterAction::Done { overrules: true }, Some("by bank transfer")).await.unwrap();
        until("it is settled", || is_settled(&place)).await;
        assert_eq!(stored(&place.handle, place.order).await.status, OrderStatus::Cancelled);
        let audit = place.handle.reads().audit(letter.id.0.to_string()).await.unwrap();
        let told: Vec<_> = audit.iter().map(|entry| (entry.action.as_str(), entry.note.as_deref().unwrap_or_default())).collect();
        assert!(told[0].0 == "override" && told[0].1.contains("is charged"), "{told:?}");
        assert_eq!(told.last(), Some(&("DONE", "by bank transfer")));
        let report = verified(&place).await;
        assert!(report.is_sound(), "{report}");
        let decided = &report.of(Check::Provider).unwrap().decided_shown;
        assert!(decided.len() == 1 && decided[0].contains(&place.order.to_string()) && decided[0].contains("by bank transfer"), "{report}");
    });
}

/// The provider has given it back, whatever failed here.
#[test]
fn a_refund_that_the_provider_knows_is_the_providers() {
    run(|| async {
        let (place, letter) = park(Parked::RefundFails).await;
        place.world.sandbox().set_magic(false);
        let key = ChargeKey { order: place.order, attempt: 1 };
        assert_eq!(place.world.sandbox().payment().refund(key, Money::from_minor(1009).unwrap()).await, Ok(()));
        act(&place.handle, &letter, DeadLetterAction::Done { overrules: false }, Some("at their desk")).await.unwrap();
        until("it is settled", || is_settled(&place)).await;
        assert_eq!(money(&place).await, (vec![(1, ChargeState::Refunded)], Some(PaymentStatus::Refunded)));
        let row = place.handle.reads().payment(place.order).await.unwrap().unwrap();
        assert!(!row.is_by_hand(), "its word, not the person's: {row:?}");
        let report = verified(&place).await;
        assert!(report.is_sound() && report.of(Check::Provider).unwrap().decided == 0, "{report}");
    });
}

#[test]
fn done_by_hand_needs_a_note() {
    run(|| async {
        let (place, letter) = park(Parked::RefundFails).await;
        assert!(matches!(
            act(&place.handle, &letter, DeadLetterAction::Done { overrules: false }, None).await,
            Err(DeadLetterError::NoNote)
        ));
        assert!(!is_settled(&place).await);
    });
}
