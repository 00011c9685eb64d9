//! The rare writes, each a statement or two at its turn: dead letters, audit, analytics.

use super::error::Failure;
use super::statement::{Value, insert, run, select, sql};
use crate::db::read::AnalyticsRow;
use crate::db::write::Outcome;
use crate::domain::{DeadLetter, LetterId, LetterState, ProductId, Text, Timestamp, WriterId};
use diesel::sql_types::BigInt;
use diesel::sqlite::SqliteConnection;

sql!(
    /// A failure that comes again opens its letter again; an open one keeps its place in the list.
    PutLetter,
    "INSERT INTO dead_letters \
     (id, kind, role, order_id, shard, step, cause, detail, tries, state, created_at, closed_at, origin) VALUES ",
    " ON CONFLICT (id) DO UPDATE SET role = excluded.role, step = excluded.step, cause = excluded.cause, \
      detail = excluded.detail, tries = excluded.tries, state = excluded.state, \
      created_at = CASE dead_letters.state WHEN 'OPEN' THEN dead_letters.created_at ELSE excluded.created_at END, \
      closed_at = excluded.closed_at, origin = excluded.origin"
);
sql!(CloseLetter, "UPDATE dead_letters SET state = ?, closed_at = ? WHERE id = ? AND state = 'OPEN'");
sql!(AddAudit, "INSERT INTO audit_log (at, by_whom, action, subject, note) VALUES ");
sql!(
    AddNumbers,
    "INSERT INTO analytics (minute, metric, key, value) VALUES ",
    " ON CONFLICT (minute, metric, key) DO UPDATE SET value = value + excluded.value"
);
sql!(Position, "SELECT seq FROM analytics_positions WHERE writer = ?" => BigInt);
sql!(MovePosition, "INSERT INTO analytics_positions (writer, seq) VALUES ", " ON CONFLICT (writer) DO UPDATE SET seq = excluded.seq");

pub(super) fn add_letter(conn: &mut SqliteConnection, letter: &DeadLetter) -> Result<(), Failure> {
    let row = [
        Value::id(&letter.id.0),
        Value::Text(letter.kind.name()),
        Value::Text(letter.role.name()),
        letter.order.as_ref().map_or(Value::Null, |order| Value::id(&order.0)),
        Value::int_or_null(letter.shard.map(|shard| i64::from(shard.0))),
        Value::Text(letter.step.as_str()),
        Value::Text(letter.cause.as_str()),
        Value::Text(letter.detail.as_str()),
        Value::Int(i64::from(letter.tries)),
        Value::Text(letter.state.name()),
        Value::Int(letter.created_at.0),
        Value::int_or_null(letter.closed_at.map(|at| at.0)),
        Value::text_or_null(letter.origin.as_deref()),
    ];
    Ok(insert(conn, PutLetter, &[row])?)
}

pub(super) fn close_letter(
    conn: &mut SqliteConnection,
    id: LetterId,
    state: LetterState,
    by: &Text<100>,
    note: Option<&Text<200>>,
    at: Timestamp,
) -> Result<Outcome, Failure> {
    if run(conn, CloseLetter, [Value::Text(state.name()), Value::Int(at.0), Value::id(&id.0)])? == 0 {
        return Ok(Outcome::Missing);
    }
    let subject = id.0.as_hyphenated().to_string();
    let note = Value::text_or_null(note.map(|note| note.as_str()));
    insert(conn, AddAudit, &[[Value::Int(at.0), Value::Text(by.as_str()), Value::Text(state.name()), Value::Text(&subject), note]])?;
    Ok(Outcome::Done)
}

pub(super) fn audit_stock(
    conn: &mut SqliteConnection,
    product: ProductId,
    delta: i32,
    reason: &Text<200>,
    by: &Text<100>,
    at: Timestamp,
) -> Result<(), Failure> {
    let subject = product.to_string();
    let note = format!("{delta:+}: {reason}");
    let values = [Value::Int(at.0), Value::Text(by.as_str()), Value::Text("stock"), Value::Text(&subject), Value::Text(&note)];
    Ok(insert(conn, AddAudit, &[values])?)
}

/// Moves the position from where it is believed to stand; numbers that another has counted are not counted again.
pub(super) fn save_analytics(
    conn: &mut SqliteConnection,
    add: &[AnalyticsRow],
    source: WriterId,
    (after, seq): (i64, i64),
) -> Result<Outcome, Failure> {
    let stored = select::<_, i64, 1>(conn, Position, [Value::Int(source.0)])?;
    if stored.first().copied().unwrap_or(0) != after {
        return Ok(Outcome::Repeated(Vec::new()));
    }
    insert(conn, MovePosition, &[[Value::Int(source.0), Value::Int(seq)]])?;
    let rows: Vec<_> = add
        .iter()
        .map(|row| [Value::Int(row.minute), Value::Int(i64::from(row.metric)), Value::Blob(&row.key), Value::Int(row.value)])
        .collect();
    insert(conn, AddNumbers, &rows)?;
    Ok(Outcome::Done)
}
