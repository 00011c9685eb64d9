//! The outcome rows of the payment gateway and the notifier.

use crate::Case;
use crate::fixture::Fixture;
use crate::sample::{letter, notice, order, payment, place};
use ordermill::db::{Outcome, StepOutcome, Write};
use ordermill::domain::{Channel, EventKind, Failures, NoticeKind, NoticeStatus, NoticeTask, Order, PaymentStatus};
use std::sync::Arc;

pub(crate) const CASES: &[Case] = &[
    ("a payment is stored with its event and comes back whole", |f| Box::pin(stored(f))),
    ("of final payment answers the first stays, and is repeated", |f| Box::pin(first_stays(f))),
    ("a charge can be given back, once", |f| Box::pin(refunded(f))),
    ("attempts follow each other and repeat nothing while undecided", |f| Box::pin(attempts(f))),
    ("how often a payment has failed is counted beside what it is", |f| Box::pin(failures_counted(f))),
    ("a payment that is refused stores neither event nor letter", |f| Box::pin(refused_writes_nothing(f))),
    ("a notice is stored with its event, letter and next try", |f| Box::pin(notice_stored(f))),
    ("a notice that was sent or withdrawn stays so", |f| Box::pin(notice_stays(f))),
    ("a notice that was given up can be sent after all", |f| Box::pin(notice_revived(f))),
    ("notices of one order are told apart by kind and channel", |f| Box::pin(notices_apart(f))),
];

async fn placed(f: &mut Fixture, n: u64) -> Arc<Order> {
    let order = order(n);
    f.write(place(&order)).await;
    order
}

async fn stored(f: &mut Fixture) {
    for (n, status, kind) in [
        (1, PaymentStatus::Charged, EventKind::PaymentProcessed),
        (2, PaymentStatus::Failed, EventKind::PaymentFailed),
        (3, PaymentStatus::Cancelled, EventKind::PaymentCancelled),
    ] {
        let order = placed(f, n).await;
        assert_eq!(f.reads.payment(order.id).await.unwrap(), None);
        let write = payment(&order, 2, status);
        let Write::SavePayment { payment: wanted, .. } = write.clone() else { unreachable!() };
        assert_eq!(f.write(write).await, (Outcome::Step(StepOutcome::Done), vec![kind]));
        assert_eq!(f.reads.payment(order.id).await.unwrap(), Some(wanted));
    }
}

/// The kind of the one event that is repeated.
async fn repeated(f: &mut Fixture, write: Write) -> Vec<EventKind> {
    let (outcome, logged) = f.write(write).await;
    let Outcome::Step(StepOutcome::Repeated(events)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(logged, [], "a repeat logs nothing");
    events.iter().map(ordermill::domain::Event::kind).collect()
}

async fn first_stays(f: &mut Fixture) {
    let finals = [PaymentStatus::Charged, PaymentStatus::Failed, PaymentStatus::Cancelled];
    let kinds = [EventKind::PaymentProcessed, EventKind::PaymentFailed, EventKind::PaymentCancelled];
    let mut n = 0;
    for (first, kind) in finals.into_iter().zip(kinds) {
        for second in finals {
            n += 1;
            let order = placed(f, n).await;
            let write = payment(&order, 1, first);
            let Write::SavePayment { payment: kept, event: Some(told), .. } = write.clone() else { unreachable!() };
            f.write(write).await;
            let (outcome, _) = f.write(payment(&order, 2, second)).await;
            assert_eq!(outcome, Outcome::Step(StepOutcome::Repeated(vec![told])), "the very same event");
            assert_eq!(repeated(f, payment(&order, 1, PaymentStatus::Trying)).await, [kind]);
            assert_eq!(f.reads.payment(order.id).await.unwrap(), Some(kept));
        }
    }
}

async fn refunded(f: &mut Fixture) {
    let order = placed(f, 1).await;
    f.write(payment(&order, 1, PaymentStatus::Charged)).await;
    assert_eq!(
        f.write(payment(&order, 1, PaymentStatus::Refunded)).await,
        (Outcome::Step(StepOutcome::Done), vec![EventKind::PaymentRefunded])
    );
    assert_eq!(repeated(f, payment(&order, 1, PaymentStatus::Refunded)).await, [EventKind::PaymentRefunded]);
    assert_eq!(repeated(f, payment(&order, 1, PaymentStatus::Charged)).await, [EventKind::PaymentRefunded]);
    let failed = placed(f, 2).await;
    f.write(payment(&failed, 1, PaymentStatus::Failed)).await;
    assert_eq!(repeated(f, payment(&failed, 1, PaymentStatus::Refunded)).await, [EventKind::PaymentFailed]);
}

async fn attempts(f: &mut Fixture) {
    let order = placed(f, 1).await;
    assert_eq!(f.write(payment(&order, 2, PaymentStatus::Trying)).await, (Outcome::Step(StepOutcome::Done), vec![]));
    assert_eq!(repeated(f, payment(&order, 2, PaymentStatus::Trying)).await, [], "nothing is decided");
    assert_eq!(repeated(f, payment(&order, 1, PaymentStatus::Charged)).await, [], "an older attempt");
    assert_eq!(f.write(payment(&order, 3, PaymentStatus::Trying)).await, (Outcome::Step(StepOutcome::Done), vec![]));
    assert_eq!(
        f.write(payment(&order, 3, PaymentStatus::Charged)).await,
        (Outcome::Step(StepOutcome::Done), vec![EventKind::PaymentProcessed])
    );
    let committed = f.commit(vec![payment(&order, 3, PaymentStatus::Refunded), payment(&order, 4, PaymentStatus::Charged)]).await;
    assert!(
        matches!(committed.outcomes[..], [Outcome::Step(StepOutcome::Done), Outcome::Step(StepOutcome::Repeated(_))]),
        "also within one batch"
    );
}

async fn refused_writes_nothing(f: &mut Fixture) {
    let order = placed(f, 1).await;
    f.write(payment(&order, 1, PaymentStatus::Charged)).await;
    let Write::SavePayment { payment: late, shard, correlation, event, .. } = payment(&order, 1, PaymentStatus::Failed) else {
        unreachable!()
    };
    let unwanted = letter(&order, 1, "late", 5);
    let write = Write::SavePayment { payment: late, shard, correlation, event, letters: vec![unwanted.clone()], closing: None };
    assert_eq!(repeated(f, write).await, [EventKind::PaymentProcessed]);
    assert_eq!(f.reads.letter(unwanted.id).await.unwrap(), None);
    let wanted = letter(&order, 2, "lost", 5);
    let Write::SavePayment { payment: back, shard, correlation, event, .. } = payment(&order, 1, PaymentStatus::Refunded) else {
        unreachable!()
    };
    f.write(Write::SavePayment { payment: back, shard, correlation, event, letters: vec![wanted.clone()], closing: None }).await;
    assert_eq!(f.reads.letter(wanted.id).await.unwrap(), Some(wanted));
}

/// Counted beside what the payment is, which stays: nothing is told again.
async fn failures_counted(f: &mut Fixture) {
    let order = placed(f, 1).await;
    let failing = |status, attempt, count| {
        let mut write = payment(&order, attempt, status);
        if let Write::SavePayment { payment, event, .. } = &mut write {
            payment.failures = Some(Failures { count, since: crate::sample::at(700) });
            *event = None;
        }
        write
    };
    let stored = async |f: &Fixture| f.reads.payment(order.id).await.unwrap().unwrap();
    assert_eq!(f.write(failing(PaymentStatus::Trying, 1, 1)).await, (Outcome::Step(StepOutcome::Done), vec![]));
    assert_eq!(f.write(failing(PaymentStatus::Trying, 1, 2)).await, (Outcome::Step(StepOutcome::Done), vec![]));
    assert_eq!(stored(f).await.failures, Some(Failures { count: 2, since: crate::sample::at(700) }));
    assert_eq!(
        f.write(failing(PaymentStatus::Trying, 1, 2)).await,
        (Outcome::Step(StepOutcome::Repeated(vec![])), vec![]),
        "that is known"
    );
    assert_eq!(
        f.write(payment(&order, 1, PaymentStatus::Charged)).await,
        (Outcome::Step(StepOutcome::Done), vec![EventKind::PaymentProcessed])
    );
    assert_eq!(stored(f).await.failures, None);
    // A refund that fails; the charge is not told again, by whom ever.
    assert_eq!(f.write(failing(PaymentStatus::Charged, 1, 3)).await, (Outcome::Step(StepOutcome::Done), vec![]));
    let Outcome::Step(StepOutcome::Repeated(events)) = f.write(payment(&order, 1, PaymentStatus::Charged)).await.0 else {
        panic!("it is charged already")
    };
    assert_eq!(events.len(), 1);
    assert_eq!((stored(f).await.status, stored(f).await.failures.map(|failures| failures.count)), (PaymentStatus::Charged, Some(3)));
    let snapshot = f.reads.snapshot().await.unwrap().orders(None, 10).await.unwrap();
    assert_eq!(snapshot[0].payment, Some(stored(f).await));
}

async fn notice_stored(f: &mut Fixture) {
    let order = placed(f, 1).await;
    let mut task = NoticeTask::new(&order, NoticeKind::Confirmation, Channel::Sms, crate::sample::at(400));
    (task.attempt, task.next_try_at, task.reason) = (2, Some(crate::sample::at(900)), Some(crate::sample::text("busy")));
    let (shard, correlation) = (order.shard, order.correlation);
    let write = Write::SaveNotice { task: task.clone(), shard, correlation, event: None, letter: None, closing: None };
    assert_eq!(f.write(write).await, (Outcome::Step(StepOutcome::Done), vec![]));
    assert_eq!(f.reads.notices(order.id).await.unwrap(), vec![task.clone()]);
    (task.status, task.next_try_at) = (NoticeStatus::GivenUp, None);
    let event = task.answer(shard, correlation, crate::sample::at(901));
    let letter = letter(&order, 1, "smtp", 5);
    let write = Write::SaveNotice { task: task.clone(), shard, correlation, event, letter: Some(letter.clone()), closing: None };
    assert_eq!(f.write(write).await, (Outcome::Step(StepOutcome::Done), vec![EventKind::NotificationFailed]));
    assert_eq!(f.reads.notices(order.id).await.unwrap(), vec![task]);
    assert_eq!(f.reads.letter(letter.id).await.unwrap(), Some(letter));
}

async fn notice_stays(f: &mut Fixture) {
    let order = placed(f, 1).await;
    let make = |channel, status| notice(&order, NoticeKind::Confirmation, channel, status, 1);
    f.write(make(Channel::Email, NoticeStatus::Sent)).await;
    f.write(make(Channel::Sms, NoticeStatus::Withdrawn)).await;
    for late in NoticeStatus::ALL {
        let (outcome, logged) = f.write(make(Channel::Email, late)).await;
        let Outcome::Step(StepOutcome::Repeated(events)) = outcome else { panic!("{outcome:?}") };
        assert_eq!(events.iter().map(ordermill::domain::Event::kind).collect::<Vec<_>>(), [EventKind::NotificationSent]);
        assert_eq!(logged, []);
        assert_eq!(
            f.write(make(Channel::Sms, late)).await,
            (Outcome::Step(StepOutcome::Repeated(vec![])), vec![]),
            "nothing was told then"
        );
    }
    let stored: Vec<NoticeStatus> = f.reads.notices(order.id).await.unwrap().iter().map(|task| task.status).collect();
    assert_eq!(stored, [NoticeStatus::Sent, NoticeStatus::Withdrawn]);
}

async fn notice_revived(f: &mut Fixture) {
    let order = placed(f, 1).await;
    let make = |status, attempt| notice(&order, NoticeKind::Shipping, Channel::Email, status, attempt);
    f.write(make(NoticeStatus::GivenUp, 4)).await;
    // A notice that is put off untried (asked for twice, say) takes the place of nothing that is known …
    let Outcome::Step(StepOutcome::Repeated(events)) = f.write(make(NoticeStatus::Pending, 0)).await.0 else {
        panic!("it was revived by nobody")
    };
    assert_eq!(events.iter().map(ordermill::domain::Event::kind).collect::<Vec<_>>(), [EventKind::NotificationFailed]);
    // … but one that a person asked for has tried, and says why it waits.
    let mut asked_for = make(NoticeStatus::Pending, 0);
    if let Write::SaveNotice { task, .. } = &mut asked_for {
        task.reason = Some(ordermill::domain::Text::lossy("circuit breaker open"));
        task.created_at = crate::sample::at(9_000);
    }
    assert_eq!(f.write(asked_for.clone()).await.0, Outcome::Step(StepOutcome::Done));
    // It begins anew, and goes on from there.
    for _ in 0..2 {
        let begun: Vec<_> = f.reads.notices(order.id).await.unwrap().iter().map(|task| task.created_at).collect();
        assert_eq!(begun, [crate::sample::at(9_000)]);
        if let Write::SaveNotice { task, .. } = &mut asked_for {
            task.created_at = crate::sample::at(9_999);
        }
        assert_eq!(f.write(asked_for.clone()).await.0, Outcome::Step(StepOutcome::Done));
    }
    assert_eq!(f.write(make(NoticeStatus::Sent, 1)).await, (Outcome::Step(StepOutcome::Done), vec![EventKind::NotificationSent]));
}

async fn notices_apart(f: &mut Fixture) {
    let (first, second) = (placed(f, 1).await, placed(f, 2).await);
    let mut writes = Vec::new();
    for kind in NoticeKind::ALL {
        for channel in Channel::ALL {
            writes.push(notice(&first, kind, channel, NoticeStatus::Sent, 1));
        }
    }
    f.commit(writes).await;
    let stored = f.reads.notices(first.id).await.unwrap();
    assert_eq!(stored.len(), NoticeKind::ALL.len() * Channel::ALL.len());
    for kind in NoticeKind::ALL {
        for channel in Channel::ALL {
            assert_eq!(stored.iter().filter(|task| task.kind == kind && task.channel == channel).count(), 1);
        }
    }
    assert!(f.reads.notices(second.id).await.unwrap().is_empty());
}
