//! The rare writes, each a statement or two at its turn: dead letters, audit, analytics, shards.

use super::batch::Log;
use super::error::Failure;
use super::statement::{Value, insert, run, select, sql};
use crate::db::read::AnalyticsRow;
use crate::db::write::Outcome;
use crate::domain::{DeadLetter, LetterId, LetterState, Marker, ProductId, Role, Shard, Text, Timestamp, WriterId};
use diesel::sql_types::{BigInt, Nullable};
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
sql!(
    /// Moves forward only: numbers that were counted are not counted again.
    MovePosition, "INSERT INTO analytics_positions (writer, seq) VALUES ",
    " ON CONFLICT (writer) DO UPDATE SET seq = excluded.seq WHERE excluded.seq > seq"
);
sql!(
    ShardOwner,
    "SELECT shards.writer, shards.after_writer, shards.after_seq, writers.alive, writers.last_seq \
     FROM shards LEFT JOIN writers ON writers.writer = shards.writer WHERE shards.role = ? AND shards.shard = ?"
        => (Nullable<BigInt>, Nullable<BigInt>, Nullable<BigInt>, Nullable<BigInt>, Nullable<BigInt>)
);
sql!(TakeShard, "UPDATE shards SET writer = ?, after_writer = NULL, after_seq = NULL WHERE role = ? AND shard = ?");
sql!(GiveShard, "UPDATE shards SET writer = NULL, after_writer = ?, after_seq = ? WHERE role = ? AND shard = ? AND writer = ?");

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

pub(super) fn save_analytics(conn: &mut SqliteConnection, add: &[AnalyticsRow], source: WriterId, seq: i64) -> Result<Outcome, Failure> {
    insert(conn, MovePosition, &[[Value::Int(source.0), Value::Int(seq)]])?;
    // An upsert whose condition fails changes no row; so the position tells whether these numbers are new.
    if changes(conn)? == 0 {
        return Ok(Outcome::Repeated(Vec::new()));
    }
    let rows: Vec<_> = add
        .iter()
        .map(|row| [Value::Int(row.minute), Value::Int(i64::from(row.metric)), Value::Blob(&row.key), Value::Int(row.value)])
        .collect();
    insert(conn, AddNumbers, &rows)?;
    Ok(Outcome::Done)
}

sql!(Changes, "SELECT changes()" => BigInt);

/// How many rows the last statement changed.
fn changes(conn: &mut SqliteConnection) -> Result<i64, Failure> {
    Ok(select::<_, i64, 0>(conn, Changes, [])?.into_iter().sum())
}

type OwnerRow = (Option<i64>, Option<i64>, Option<i64>, Option<i64>, Option<i64>);

/// Takes what is free or was a dead writer's; what this writer has already, or another that is alive, is passed over.
pub(super) fn take_shards(
    conn: &mut SqliteConnection,
    writer: WriterId,
    roles: &[Role],
    shards: &[Shard],
    log: &mut Log,
) -> Result<Vec<Marker>, Failure> {
    let mut taken = Vec::new();
    for &role in roles {
        for &shard in shards {
            let key = || [Value::Text(role.name()), Value::Int(i64::from(shard.0))];
            let Some(row) = select::<_, OwnerRow, 2>(conn, ShardOwner, key())?.into_iter().next() else { continue };
            let after = match row {
                (Some(_), _, _, Some(1), _) => continue,
                (Some(owner), _, _, _, last_seq) => Some((WriterId(owner), last_seq.unwrap_or(0))),
                (None, Some(before), Some(seq), _, _) => Some((WriterId(before), seq)),
                (None, _, _, _, _) => None,
            };
            let [role_name, number] = key();
            run(conn, TakeShard, [Value::Int(writer.0), role_name, number])?;
            let marker = Marker { role, shard, after };
            log.mark(marker);
            taken.push(marker);
        }
    }
    Ok(taken)
}

pub(super) fn release_shards(
    conn: &mut SqliteConnection,
    writer: WriterId,
    roles: &[Role],
    shards: &[Shard],
    last_seq: i64,
) -> Result<(), Failure> {
    for role in roles {
        for shard in shards {
            let number = Value::Int(i64::from(shard.0));
            run(conn, GiveShard, [Value::Int(writer.0), Value::Int(last_seq), Value::Text(role.name()), number, Value::Int(writer.0)])?;
        }
    }
    Ok(())
}
