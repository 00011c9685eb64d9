//! Payments and notices.

use super::{Columns, count, money, text, text_or_none};
use crate::db::failure::Failure;
use crate::domain::{Channel, Failures, NoticeKind, NoticeStatus, NoticeTask, OrderId, Payment, PaymentStatus, Timestamp};

/// `order_id, attempt, amount, method, status, reason, updated_at, failures, failing_since`.
pub(in crate::db) type PaymentRow<C> = (
    <C as Columns>::Id,
    <C as Columns>::Count,
    <C as Columns>::Amount,
    String,
    String,
    Option<String>,
    <C as Columns>::Time,
    <C as Columns>::Count,
    Option<<C as Columns>::Time>,
);

/// A payment.
pub(in crate::db) fn payment<C: Columns>(row: PaymentRow<C>) -> Result<Payment, Failure> {
    let (order, attempt, amount, method, status, reason, updated_at, failures, since) = row;
    let failures = count(failures)?;
    Ok(Payment {
        order: OrderId(order.into()),
        attempt: count(attempt)?,
        amount: money::<C>(amount)?,
        method: text(&method)?,
        status: PaymentStatus::from_name(&status).ok_or(Failure::Column("a payment's status"))?,
        reason: text_or_none(reason.as_deref())?,
        failures: since.map(|since| Failures { count: failures, since: C::time(since) }),
        updated_at: C::time(updated_at),
    })
}

/// `order_id, kind, channel, status, attempt, next_try_at, reason, created_at, updated_at`.
pub(in crate::db) type NoticeRow<C> = (
    <C as Columns>::Id,
    String,
    String,
    String,
    <C as Columns>::Count,
    Option<<C as Columns>::Time>,
    Option<String>,
    <C as Columns>::Time,
    <C as Columns>::Time,
);

/// A notice, and when it last changed.
pub(in crate::db) fn notice<C: Columns>(row: NoticeRow<C>) -> Result<(NoticeTask, Timestamp), Failure> {
    let (order, kind, channel, status, attempt, next_try_at, reason, created_at, updated_at) = row;
    let task = NoticeTask {
        order: OrderId(order.into()),
        kind: NoticeKind::from_name(&kind).ok_or(Failure::Column("a notice's kind"))?,
        channel: Channel::from_name(&channel).ok_or(Failure::Column("a notice's channel"))?,
        status: NoticeStatus::from_name(&status).ok_or(Failure::Column("a notice's status"))?,
        attempt: count(attempt)?,
        next_try_at: next_try_at.map(C::time),
        reason: text_or_none(reason.as_deref())?,
        created_at: C::time(created_at),
    };
    Ok((task, C::time(updated_at)))
}

/// Notices, sorted by order, kind and channel.
pub(in crate::db) fn notices<C: Columns>(rows: Vec<NoticeRow<C>>) -> Result<Vec<(NoticeTask, Timestamp)>, Failure> {
    let mut notices = rows.into_iter().map(notice::<C>).collect::<Result<Vec<_>, Failure>>()?;
    notices.sort_by_key(|(task, _)| (task.order, task.kind, task.channel));
    Ok(notices)
}
