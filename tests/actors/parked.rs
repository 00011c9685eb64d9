//! No parked state is without a way out: every step that can park is tried with every action, with the fault still there.

use crate::desk::letters;
use crate::planned::Planned;
use crate::support::{LIMIT, World1, line, new_order, put_product, run, stored, until};
use ordermill::actors::faults::Point;
use ordermill::actors::{Actors, Command, DeadLetterAction, DeadLetterError, NodeHandle};
use ordermill::config::providers::Behaviour;
use ordermill::domain::{CancelledBy, DeadLetter, DeadLetterKind, OrderId, OrderStatus, PaymentStatus, Text};
use ordermill::providers::sandbox::Party;
use ordermill::saga::Shipment;

const ACTIONS: [DeadLetterAction; 5] =
    [DeadLetterAction::Reprocess, DeadLetterAction::Skip, DeadLetterAction::Compensate, DeadLetterAction::Discard, DeadLetterAction::Done];

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
}

struct Place {
    /// Kept alive.
    _node: Actors,
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
    (Place { _node: node, handle, order }, letter)
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
        let note = (action == DeadLetterAction::Done).then_some("by telephone, no. 17");
        let acted = act(handle, &letter, action, note).await;
        if action == DeadLetterAction::Done {
            acted.unwrap_or_else(|error| panic!("{case}: {error}"));
            until(&format!("{case}: it is settled"), || is_settled(&place)).await;
            let (_, status, payment) = parked.told();
            assert_eq!(stored(handle, place.order).await.status, status, "{case}");
            let row = handle.reads().payment(place.order).await.unwrap();
            assert_eq!(row.map(|row| row.status), payment, "{case}");
        } else if action == DeadLetterAction::Discard {
            assert!(matches!(acted, Err(DeadLetterError::NotApplicable(_))), "{case}: {acted:?}");
        }
        // Whatever was done: the order settles, or a letter waits, about which a person can say that it is done.
        let is_seen = || async { is_settled(&place).await || !letters(handle, DeadLetterKind::Step).await.is_empty() };
        for _ in 0..3 {
            until(&format!("{case}: it is settled, or somebody is told"), is_seen).await;
            if is_settled(&place).await {
                break;
            }
            let letter = step_letter(handle).await;
            let done = act(handle, &letter, DeadLetterAction::Done, Some("seen to")).await;
            assert!(done.is_ok(), "{case}: {done:?} of {letter:?}");
            assert_eq!(handle.reads().audit(letter.id.0.to_string()).await.unwrap().last().unwrap().note.as_deref(), Some("seen to"));
        }
        until(&format!("{case}: it is settled in the end"), || is_settled(&place)).await;
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

#[test]
fn done_by_hand_needs_a_note() {
    run(|| async {
        let (place, letter) = park(Parked::RefundFails).await;
        assert!(matches!(act(&place.handle, &letter, DeadLetterAction::Done, None).await, Err(DeadLetterError::NoNote)));
        assert!(!is_settled(&place).await);
    });
}
