//! Dead letters.

use super::{Columns, count, role, shard, text};
use crate::db::failure::Failure;
use crate::db::plan::StoredLetter;
use crate::db::read::DeadLetterGroup;
use crate::domain::{DeadLetter, DeadLetterId, DeadLetterKind, DeadLetterState, OrderId};

/// `id, kind, role, order_id, shard, step, cause`, then `detail, tries, state, created_at, closed_at, origin`.
pub(in crate::db) type LetterRow<C> = (
    (<C as Columns>::Id, String, String, Option<<C as Columns>::Id>, Option<<C as Columns>::Small>, String, String),
    (String, <C as Columns>::Count, String, <C as Columns>::Time, Option<<C as Columns>::Time>, Option<String>),
);

/// A dead letter.
pub(in crate::db) fn letter<C: Columns>(row: LetterRow<C>) -> Result<DeadLetter, Failure> {
    let ((id, name, role_name, order, number, step, cause), (detail, tries, state_name, created_at, closed_at, origin)) = row;
    Ok(DeadLetter {
        id: DeadLetterId(id.into()),
        kind: kind(&name)?,
        role: role(&role_name)?,
        order: order.map(|order| OrderId(order.into())),
        shard: number.map(shard).transpose()?,
        step: text(&step)?,
        cause: text(&cause)?,
        detail: text(&detail)?,
        tries: count(tries)?,
        state: state(&state_name)?,
        created_at: C::time(created_at),
        closed_at: closed_at.map(C::time),
        origin,
    })
}

fn kind(name: &str) -> Result<DeadLetterKind, Failure> {
    DeadLetterKind::from_name(name).ok_or(Failure::Column("a letter's kind"))
}

fn state(name: &str) -> Result<DeadLetterState, Failure> {
    DeadLetterState::from_name(name).ok_or(Failure::Column("a letter's state"))
}

/// `kind, cause, step, count(*), min(created_at), max(created_at)`.
pub(in crate::db) type GroupRow<C> = (String, String, String, i64, <C as Columns>::Time, <C as Columns>::Time);

/// The open letters of one kind, cause and step.
pub(in crate::db) fn group<C: Columns>((name, cause, step, count, oldest, newest): GroupRow<C>) -> Result<DeadLetterGroup, Failure> {
    let count = u64::try_from(count).unwrap_or(0);
    Ok(DeadLetterGroup { kind: kind(&name)?, cause, step, count, oldest: C::time(oldest), newest: C::time(newest) })
}

/// `id, state, created_at`.
pub(in crate::db) type StoredLetterRow<C> = (<C as Columns>::Id, String, <C as Columns>::Time);

/// What a batch must know of a stored letter.
pub(in crate::db) fn stored_letter<C: Columns>((id, name, at): StoredLetterRow<C>) -> Result<(DeadLetterId, StoredLetter), Failure> {
    Ok((DeadLetterId(id.into()), StoredLetter { state: state(&name)?, created_at: C::time(at) }))
}
