//! The rows of the rare writes of one batch: dead letters, audit, analytics. Read before it is decided, written after.

use super::error::Failure;
use super::rows::SqliteColumns;
use super::statement::{Value, among, insert, run, select, sql};
use crate::db::plan::{Answers, Needs, RareWrites, Stored};
use crate::db::write::KeptAnswer;
use crate::db::{codec, decode};
use diesel::sql_types::{BigInt, Binary, Text};
use diesel::sqlite::SqliteConnection;
use std::collections::HashMap;

sql!(LettersAmong, "SELECT id, state, created_at FROM dead_letters WHERE id IN " => (Binary, Text, BigInt));
sql!(
    PutLetters,
    "INSERT INTO dead_letters \
     (id, kind, role, order_id, shard, step, cause, detail, tries, state, created_at, closed_at, origin) VALUES ",
    " ON CONFLICT (id) DO UPDATE SET role = excluded.role, step = excluded.step, cause = excluded.cause, \
      detail = excluded.detail, tries = excluded.tries, state = excluded.state, created_at = excluded.created_at, \
      closed_at = excluded.closed_at, origin = excluded.origin"
);
sql!(CloseLetter, "UPDATE dead_letters SET state = ?, closed_at = ? WHERE id = ?");
sql!(MarkLetter, "UPDATE dead_letters SET origin = ? WHERE id = ?");
sql!(AddAudit, "INSERT INTO audit_log (at, by_whom, action, subject, note) VALUES ");
sql!(
    AddNumbers,
    "INSERT INTO analytics (minute, metric, key, value) VALUES ",
    " ON CONFLICT (minute, metric, key) DO UPDATE SET value = value + excluded.value"
);
sql!(AnswersAmong, "SELECT key, body, answer, expires_at FROM answers WHERE key IN " => (Binary, Binary, Binary, BigInt));
sql!(DeleteAnswer, "DELETE FROM answers WHERE key = ?");
sql!(InsertAnswers, "INSERT INTO answers (key, body, answer, expires_at) VALUES ");
sql!(Position, "SELECT seq FROM analytics_positions WHERE writer = ?" => BigInt);
sql!(LogEnd, "SELECT last_seq FROM writers WHERE writer = ?" => BigInt);
sql!(MovePosition, "INSERT INTO analytics_positions (writer, seq) VALUES ", " ON CONFLICT (writer) DO UPDATE SET seq = excluded.seq");
/// Reads what the batch's rare writes are about.
pub(super) fn load(conn: &mut SqliteConnection, needs: &Needs<'_>, stored: &mut Stored) -> Result<(), Failure> {
    let keys: Vec<&[u8]> = needs.letters.iter().map(|id| id.0.as_bytes().as_slice()).collect();
    let letters = among::<_, decode::StoredLetterRow<SqliteColumns>>(conn, LettersAmong, &keys)?;
    stored.letters = letters.into_iter().map(decode::stored_letter::<SqliteColumns>).collect::<Result<_, Failure>>()?;
    let keys: Vec<&[u8]> = needs.answers.iter().map(|key| key.key.as_slice()).collect();
    stored.answers = answers_among(conn, &keys)?;
    for source in &needs.sources {
        let seq = select::<_, i64, 1>(conn, Position, [Value::Int(source.0)])?;
        stored.positions.extend(seq.first().map(|seq| (*source, *seq)));
        let end = select::<_, i64, 1>(conn, LogEnd, [Value::Int(source.0)])?;
        stored.ends.extend(end.first().map(|end| (*source, *end)));
    }
    Ok(())
}

/// The answers that are kept under these keys, expired ones among them.
pub(super) fn answers_among(conn: &mut SqliteConnection, keys: &[&[u8]]) -> Result<HashMap<Vec<u8>, KeptAnswer>, Failure> {
    let rows = among::<_, decode::AnswerRow<SqliteColumns>>(conn, AnswersAmong, keys)?;
    rows.into_iter().map(decode::kept_answer::<SqliteColumns>).collect()
}

/// Writes new answers.
pub(super) fn flush_answers(conn: &mut SqliteConnection, answers: &Answers) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for (key, kept, is_stored) in answers.new_answers() {
        if is_stored {
            run(conn, DeleteAnswer, [Value::Blob(key)])?;
        }
        let answer = codec::encode_answer(&kept.answer).map_err(Failure::codec("an answer"))?;
        rows.push([Value::Blob(key), Value::Blob(&kept.body), Value::Bytes(answer), Value::Int(kept.expires_at.0)]);
    }
    Ok(insert(conn, InsertAnswers, &rows)?)
}

/// Writes what has changed.
pub(super) fn flush(conn: &mut SqliteConnection, desk: &RareWrites<'_>) -> Result<(), Failure> {
    let letters: Vec<_> = desk
        .letters()
        .map(|letter| {
            [
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
            ]
        })
        .collect();
    insert(conn, PutLetters, &letters)?;
    for (id, state, at) in desk.closed() {
        run(conn, CloseLetter, [Value::Text(state.name()), Value::Int(at.0), Value::id(&id.0)])?;
    }
    for (id, origin) in desk.marked() {
        run(conn, MarkLetter, [Value::Text(origin), Value::id(&id.0)])?;
    }
    let audit: Vec<_> = desk
        .audit()
        .iter()
        .map(|entry| {
            let note = Value::text_or_null(entry.note.as_deref());
            [Value::Int(entry.at.0), Value::Text(&entry.by), Value::Text(&entry.action), Value::Text(&entry.subject), note]
        })
        .collect();
    insert(conn, AddAudit, &audit)?;
    let positions: Vec<_> = desk.positions().map(|(source, seq, _)| [Value::Int(source.0), Value::Int(seq)]).collect();
    insert(conn, MovePosition, &positions)?;
    let numbers: Vec<_> = desk
        .numbers()
        .map(|(minute, metric, key, value)| [Value::Int(minute), Value::Int(i64::from(metric)), Value::Blob(key), Value::Int(value)])
        .collect();
    insert(conn, AddNumbers, &numbers)?;
    Ok(())
}
