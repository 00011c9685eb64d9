//! The stand-ins on a paused clock.

use super::*;
use crate::domain::{CorrelationId, OrderId, Text};
use std::time::Duration;
use tokio::time::{Instant, timeout};

pub(in crate::providers) fn key(order: u8, attempt: u32) -> ChargeKey {
    ChargeKey { order: OrderId::from_parts(1, [order; 10]), attempt }
}

pub(in crate::providers) fn money(text: &str) -> Money {
    text.parse().unwrap()
}

pub(in crate::providers) fn charge_of(key: ChargeKey, amount: &str) -> ChargeRequest {
    ChargeRequest { key, amount: money(amount), method: Text::lossy("card"), correlation: CorrelationId::of(key.order.0) }
}

pub(in crate::providers) fn email_to(id: u8, to: &str) -> Email {
    let id = uuid::Uuid::from_bytes([id; 16]);
    Email {
        id: NoticeId(id),
        to: Text::lossy(to),
        subject: "Your ördér".to_owned(),
        body: "It is ön its way.\n.\nBye".to_owned(),
        correlation: CorrelationId::of(id),
    }
}

pub(in crate::providers) fn sms_to(id: u8, to: &str) -> Sms {
    let id = uuid::Uuid::from_bytes([id; 16]);
    Sms { id: NoticeId(id), to: Text::lossy(to), body: "Your order is on its way.".to_owned(), correlation: CorrelationId::of(id) }
}

pub(in crate::providers) fn sandbox() -> SandboxControl {
    SandboxControl::new(&SandboxSettings { max_notices: 100, ..SandboxSettings::default() })
}

fn declined(reason: &str) -> Charge {
    Charge::Declined { reason: Text::lossy(reason) }
}

/// An answer in one word, and the seconds that it took.
async fn ask<T: std::fmt::Debug>(call: Call<T>) -> String {
    let started = Instant::now();
    let word = match call.await {
        Ok(answer) => format!("{answer:?}"),
        Err(ProviderError::Failed { .. }) => "failed".to_owned(),
        Err(ProviderError::Unknown { .. }) => "unknown".to_owned(),
        Err(ProviderError::Rejected { .. }) => "rejected".to_owned(),
        Err(ProviderError::Deferred { .. }) => "deferred".to_owned(),
        Err(ProviderError::Busy { .. }) => "busy".to_owned(),
        Err(ProviderError::Open { .. }) => "open".to_owned(),
    };
    match started.elapsed().as_secs() {
        0 => word,
        seconds => format!("{word} after {seconds} s"),
    }
}

#[tokio::test(start_paused = true)]
async fn each_magic_amount_does_what_the_table_says() {
    let no = "Declined { reason: \"insufficient funds\" }";
    let yes = "Approved { refunded: false }";
    let cases: &[(&str, [&str; 3], &str)] = &[
        ("10.00", ["Approved"; 3], yes),
        ("10.01", [no; 3], no),
        ("10.02", ["unknown after 60 s", "Approved", "Approved"], yes),
        ("10.03", ["unknown after 60 s"; 3], "NotFound"),
        ("10.04", ["failed", "failed", "Approved"], yes),
        ("10.05", ["failed"; 3], "NotFound"),
        ("10.06", ["Approved after 10 s", "Approved", "Approved"], yes),
        ("10.07", ["Approved after 10 s", "Approved", "Approved"], yes),
        ("10.08", ["Approved"; 3], yes),
        ("10.09", ["Approved"; 3], yes),
    ];
    for (amount, answers, found) in cases {
        let payment = sandbox().payment();
        for (try_number, answer) in answers.iter().enumerate() {
            assert_eq!(ask(payment.charge(charge_of(key(1, 1), amount))).await, *answer, "{amount}, try {try_number}");
        }
        assert_eq!(ask(payment.find(key(1, 1))).await, *found, "{amount}");
    }
}

#[tokio::test(start_paused = true)]
async fn flaky_counts_the_order_not_the_attempt() {
    let payment = sandbox().payment();
    for (attempt, answer) in [(1, "failed"), (2, "failed"), (3, "Approved")] {
        assert_eq!(ask(payment.charge(charge_of(key(1, attempt), "9.04"))).await, answer, "attempt {attempt}");
    }
    assert_eq!(ask(payment.charge(charge_of(key(2, 1), "9.04"))).await, "failed", "another order");
}

#[tokio::test(start_paused = true)]
async fn refunds_fail_when_the_amount_says_so() {
    let cases = [("10.08", ["failed", "failed", "()", "()"]), ("10.09", ["failed"; 4]), ("10.04", ["rejected", "()", "()", "()"])];
    for (amount, answers) in cases {
        let payment = sandbox().payment();
        for _ in 0..3 {
            ask(payment.charge(charge_of(key(1, 1), amount))).await;
        }
        for (number, answer) in answers.into_iter().enumerate() {
            let asked = if answer == "rejected" { "10.14" } else { amount };
            assert_eq!(ask(payment.refund(key(1, 1), money(asked))).await, answer, "{amount}, refund {number}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_magic_amounts_and_addresses_mean_nothing() {
    let sandbox = SandboxControl::new(&SandboxSettings { magic: false, ..SandboxSettings::default() });
    for cents in 0..10 {
        assert_eq!(ask(sandbox.payment().charge(charge_of(key(cents, 1), &format!("1.0{cents}")))).await, "Approved", "{cents}");
    }
    assert_eq!(ask(sandbox.mailer().send(email_to(1, "bounce@x.test"))).await, "()");
    assert_eq!(ask(sandbox.texter().send(sms_to(1, "+490001"))).await, "()");
}

#[tokio::test]
async fn one_key_charges_once_and_ends_once() {
    let sandbox = sandbox();
    let payment = sandbox.payment();
    let (paid, voided, refused, foreign) = (key(1, 1), key(2, 1), key(3, 1), key(4, 1));
    for _ in 0..2 {
        assert_eq!(payment.charge(charge_of(paid, "5.00")).await, Ok(Charge::Approved));
        assert_eq!(payment.void(paid).await, Ok(Voided::AlreadyCharged));
    }
    assert!(matches!(payment.charge(charge_of(paid, "6.00")).await, Err(ProviderError::Rejected { .. })));
    assert_eq!(payment.find(paid).await, Ok(Found::Approved { refunded: false }));
    for _ in 0..2 {
        assert_eq!(payment.refund(paid, money("5.00")).await, Ok(()));
        assert_eq!(payment.find(paid).await, Ok(Found::Approved { refunded: true }));
        assert_eq!(payment.void(paid).await, Ok(Voided::AlreadyCharged));
        assert_eq!(payment.charge(charge_of(paid, "5.00")).await, Ok(Charge::Approved), "the first answer again");
    }
    for _ in 0..2 {
        assert_eq!(payment.void(voided).await, Ok(Voided::Voided));
        assert_eq!(payment.find(voided).await, Ok(Found::Voided));
        assert_eq!(payment.charge(charge_of(voided, "5.00")).await, Ok(declined("voided")));
    }
    assert!(matches!(payment.refund(voided, money("5.00")).await, Err(ProviderError::Rejected { .. })));
    assert_eq!(payment.charge(charge_of(refused, "5.01")).await, Ok(declined("insufficient funds")));
    assert_eq!(payment.void(refused).await, Ok(Voided::Voided));
    assert_eq!(payment.refund(foreign, money("5.00")).await, Ok(()));
    assert_eq!(payment.charge(charge_of(foreign, "5.00")).await, Ok(declined("refunded before")));
    assert_eq!(sandbox.payment_totals(), LedgerTotals { approved: 1, declined: 1, voided: 1, refunded: 1 });
    let audit = |key, amount, state, [charges, voids, refunds, payouts]: [u8; 4]| {
        let amount = money(amount);
        ChargeAudit { key, amount, state, charges, voids, refunds, payouts }
    };
    let want = [
        audit(paid, "5.00", ChargeState::Refunded, [5, 4, 2, 1]),
        audit(voided, "0.00", ChargeState::Voided, [2, 2, 1, 0]),
        audit(refused, "5.01", ChargeState::Declined, [1, 1, 0, 0]),
        audit(foreign, "0.00", ChargeState::RefundedUncharged, [1, 0, 1, 1]),
    ];
    assert_eq!(sandbox.charges(), want);
}

#[tokio::test]
async fn a_strict_stand_in_refuses_repeats_and_pays_out_for_each_call_without_a_key() {
    let sandbox = sandbox();
    sandbox.behave(Party::Payment, Behaviour { strict: true, ..Behaviour::default() });
    let (payment, paid, voided) = (sandbox.payment(), key(1, 1), key(2, 1));
    assert_eq!(ask(payment.charge(charge_of(paid, "5.00"))).await, "Approved");
    assert_eq!(ask(payment.charge(charge_of(paid, "5.00"))).await, "rejected");
    assert_eq!(payment.void(voided).await, Ok(Voided::Voided));
    assert!(matches!(payment.void(voided).await, Err(ProviderError::Rejected { .. })));
    assert_eq!(payment.refund(paid, money("5.00")).await, Ok(()));
    assert!(matches!(payment.refund(paid, money("5.00")).await, Err(ProviderError::Rejected { .. })));
    assert_eq!(payment.refund_as(paid, money("5.00"), Keyed::No).await, Ok(()));
    let payouts: Vec<u8> = payment.charges().iter().map(|charge| charge.payouts).collect();
    assert_eq!(payouts, [2, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_late_charge_is_refused_after_a_void_and_taken_though_nobody_waits() {
    for (void, found) in [(true, Found::Voided), (false, Found::Approved { refunded: false })] {
        let payment = sandbox().payment();
        let charge = timeout(Duration::from_secs(5), payment.charge(charge_of(key(1, 1), "1.07")));
        assert!(charge.await.is_err(), "given up");
        assert_eq!(payment.find(key(1, 1)).await, Ok(Found::NotFound));
        if void {
            assert_eq!(payment.void(key(1, 1)).await, Ok(Voided::Voided));
        }
        tokio::time::advance(Duration::from_secs(6)).await;
        tokio::task::yield_now().await;
        assert_eq!(payment.find(key(1, 1)).await, Ok(found));
    }
}

#[tokio::test(start_paused = true)]
async fn each_magic_address_does_what_the_table_says() {
    let cases: &[(&str, &str, [&str; 3], usize)] = &[
        ("ann@shop.test", "+49301234567", ["()"; 3], 3),
        ("bounce@shop.test", "+49300001", ["rejected"; 3], 0),
        ("timeout@shop.test", "+49300002", ["unknown after 60 s"; 3], 3),
        ("lost@shop.test", "+49300003", ["unknown after 60 s"; 3], 0),
        ("flaky@shop.test", "+49300004", ["failed", "failed", "()"], 1),
        ("fail@shop.test", "+49300005", ["failed"; 3], 0),
        ("slow@shop.test", "+49300006", ["() after 10 s"; 3], 3),
        ("late@shop.test", "+49300007", ["() after 10 s"; 3], 3),
    ];
    for (email, phone, answers, sent) in cases {
        let sandbox = sandbox();
        for answer in answers {
            assert_eq!(ask(sandbox.mailer().send(email_to(1, email))).await, *answer, "{email}");
            assert_eq!(ask(sandbox.texter().send(sms_to(2, phone))).await, *answer, "{phone}");
        }
        let of = |id: u8, to: &str| std::iter::repeat_n((NoticeId(uuid::Uuid::from_bytes([id; 16])), to.to_owned()), *sent);
        assert_eq!(sandbox.sent(), of(1, email).chain(of(2, phone)).collect::<Vec<_>>(), "{email}");
        assert_eq!(sandbox.sent_total(Party::Sms), *sent as u64);
    }
}

#[tokio::test(start_paused = true)]
async fn behaviour_changes_at_run_time_for_one_party_alone() {
    let sandbox = sandbox();
    sandbox.behave(Party::Email, Behaviour { error_rate: 1.0, ..Behaviour::default() });
    assert_eq!(ask(sandbox.mailer().send(email_to(1, "a@x.test"))).await, "failed");
    assert_eq!(ask(sandbox.texter().send(sms_to(1, "+49"))).await, "()");
    sandbox.behave(Party::Email, Behaviour { latency_ms: 3_000, ..Behaviour::default() });
    assert_eq!(ask(sandbox.mailer().send(email_to(1, "a@x.test"))).await, "() after 3 s");
    assert_eq!(sandbox.behaviour(Party::Email).latency_ms, 3_000);
    sandbox.behave(Party::Email, Behaviour::default());
    assert_eq!(ask(sandbox.mailer().send(email_to(1, "a@x.test"))).await, "()");
}

#[tokio::test(start_paused = true)]
async fn faults_and_jitter_come_at_their_rate_and_repeat_with_the_seed() {
    let run = async |seed| {
        let behaviour = Behaviour { jitter_ms: 2_000, error_rate: 0.2, timeout_rate: 0.4, ..Behaviour::default() };
        let sandbox = SandboxControl::new(&SandboxSettings { seed, behaviour, ..SandboxSettings::default() });
        let mut words = Vec::new();
        for order in 0..200 {
            words.push(ask(sandbox.payment().charge(charge_of(key(order, 1), "1.00"))).await);
        }
        (words, sandbox.charges().len())
    };
    let (words, charged) = run(1).await;
    let count = |word: &str| words.iter().filter(|answer| answer.starts_with(word)).count();
    let counts = (count("failed"), count("unknown"), count("Approved"));
    assert!((25..=55).contains(&counts.0) && (60..=100).contains(&counts.1) && (60..=100).contains(&counts.2), "{counts:?}");
    let unanswered = charged - counts.2;
    assert!(unanswered > counts.1 / 4 && unanswered < counts.1 * 3 / 4, "{unanswered} of {} took effect", counts.1);
    assert_eq!(run(1).await, (words.clone(), charged));
    assert_ne!(run(2).await.0, words);
}

#[tokio::test]
async fn what_is_remembered_is_bounded() {
    let sandbox = SandboxControl::new(&SandboxSettings { max_charges: 10, max_notices: 3, ..SandboxSettings::default() });
    for order in 0..100 {
        assert_eq!(sandbox.payment().charge(charge_of(key(order, 1), "1.00")).await, Ok(Charge::Approved));
        assert_eq!(sandbox.mailer().send(email_to(order, "a@x.test")).await, Ok(()));
    }
    assert!((5..=10).contains(&sandbox.charges().len()));
    assert_eq!(sandbox.sent().iter().map(|(id, _)| id.0.as_bytes()[0]).collect::<Vec<_>>(), [97, 98, 99]);
    assert_eq!((sandbox.payment_totals().approved, sandbox.sent_total(Party::Email)), (100, 100));
}
