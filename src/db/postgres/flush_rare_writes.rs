//! The rare changes of one batch as statements: dead letters, audit, analytics, and what nodes tell each other.

use super::error::Failure;
use super::open::small;
use super::statement::{Value, sql, time};
use crate::db::codec;
use crate::db::plan::{Answers, Cluster, Handed, RareWrites};
use crate::db::postgres::script::{Script, int4};
use crate::db::write::KeptAnswer;
use crate::domain::{Event, Order};

sql!(
    PutLetters,
    "INSERT INTO dead_letters (id, kind, role, order_id, shard, step, cause, detail, tries, state, created_at, closed_at, origin) \
     SELECT * FROM unnest(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
     ON CONFLICT (id) DO UPDATE SET role = excluded.role, step = excluded.step, cause = excluded.cause, \
     detail = excluded.detail, tries = excluded.tries, state = excluded.state, created_at = excluded.created_at, \
     closed_at = excluded.closed_at, origin = excluded.origin"
);
sql!(
    CloseLetters,
    "UPDATE dead_letters SET state = n.state, closed_at = n.closed_at FROM unnest(?, ?, ?) AS n (id, state, closed_at) \
     WHERE dead_letters.id = n.id"
);
sql!(MarkLetters, "UPDATE dead_letters SET origin = n.origin FROM unnest(?, ?) AS n (id, origin) WHERE dead_letters.id = n.id");
sql!(AddAudit, "INSERT INTO audit_log (at, by_whom, action, subject, note) SELECT * FROM unnest(?, ?, ?, ?, ?)");
sql!(
    AddNumbers,
    "INSERT INTO analytics AS a (minute, metric, key, value) SELECT * FROM unnest(?, ?, ?, ?) \
     ON CONFLICT (minute, metric, key) DO UPDATE SET value = a.value + excluded.value"
);
sql!(MovePositions, "UPDATE analytics_positions a SET seq = n.seq FROM unnest(?, ?) AS n (writer, seq) WHERE a.writer = n.writer");
sql!(
    /// Of a log that nobody has counted; if another node has begun since, the batch is decided again.
    NewPositions, "INSERT INTO analytics_positions (writer, seq) SELECT * FROM unnest(?, ?)"
);
sql!(DropAnswers, "DELETE FROM answers WHERE key = ANY(?)");
sql!(
    /// If another node has kept one since, the batch is decided again.
    InsertAnswers, "INSERT INTO answers (key, body, answer, expires_at) SELECT * FROM unnest(?, ?, ?, ?)"
);
sql!(
    TakeShards,
    "UPDATE shards s SET writer = ?, after_writer = NULL, after_seq = NULL FROM unnest(?, ?) AS n (role, shard) \
     WHERE s.role = n.role AND s.shard = n.shard"
);
sql!(
    GiveShards,
    "UPDATE shards s SET writer = NULL, after_writer = ?, after_seq = n.seq FROM unnest(?, ?, ?) AS n (role, shard, seq) \
     WHERE s.role = n.role AND s.shard = n.shard"
);
sql!(
    MovePublished,
    "UPDATE writers SET published_seq = n.seq FROM unnest(?, ?) AS n (writer, seq) \
     WHERE writers.writer = n.writer AND published_seq < n.seq"
);
sql!(
    PutConsumed,
    "INSERT INTO consumed (role, topic, partition, next) SELECT * FROM unnest(?, ?, ?, ?) \
     ON CONFLICT (role, topic, partition) DO UPDATE SET next = excluded.next"
);
sql!(KnowOrders, "INSERT INTO known_orders (id, shard, created_at, details) SELECT * FROM unnest(?, ?, ?, ?) ON CONFLICT (id) DO NOTHING");
sql!(DropHeld, "DELETE FROM held_events WHERE order_id = ANY(?)");
sql!(
    HoldEvents,
    "INSERT INTO held_events (order_id, kind, shard, at, data) SELECT * FROM unnest(?, ?, ?, ?, ?) ON CONFLICT (order_id, kind) DO NOTHING"
);

/// Adds new answers.
pub(super) fn add_answers(script: &mut Script, answers: &Answers) -> Result<(), Failure> {
    let new: Vec<_> = answers.new_answers().collect();
    let expired: Vec<Vec<u8>> = new.iter().filter(|(.., is_stored)| *is_stored).map(|(key, ..)| key.to_vec()).collect();
    script.add(expired.len(), DropAnswers, || [Value::Blobs(expired)]);
    let encode = |kept: &KeptAnswer| codec::encode_answer(&kept.answer).map_err(Failure::codec("an answer"));
    let texts = new.iter().map(|(_, kept, _)| encode(kept)).collect::<Result<_, _>>()?;
    script.add(new.len(), InsertAnswers, || {
        [
            Value::Blobs(new.iter().map(|(key, ..)| key.to_vec()).collect()),
            Value::Blobs(new.iter().map(|(_, kept, _)| kept.body.clone()).collect()),
            Value::Blobs(texts),
            Value::Times(new.iter().map(|(_, kept, _)| time(kept.expires_at)).collect()),
        ]
    });
    Ok(())
}

/// Adds what has changed of letters, audit and analytics.
pub(super) fn add_rare_writes(script: &mut Script, rare: &RareWrites<'_>) {
    letters(script, rare);
    let closed: Vec<_> = rare.closed().collect();
    script.add(closed.len(), CloseLetters, || {
        [
            Value::Ids(closed.iter().map(|(id, ..)| id.0).collect()),
            Value::Names(closed.iter().map(|(_, state, _)| state.name()).collect()),
            Value::Times(closed.iter().map(|(.., at)| time(*at)).collect()),
        ]
    });
    let marked: Vec<_> = rare.marked().collect();
    script.add(marked.len(), MarkLetters, || {
        [
            Value::Ids(marked.iter().map(|(id, _)| id.0).collect()),
            Value::Texts(marked.iter().map(|(_, origin)| (*origin).to_owned()).collect()),
        ]
    });
    let audit = rare.audit();
    script.add(audit.len(), AddAudit, || {
        [
            Value::Times(audit.iter().map(|entry| time(entry.at)).collect()),
            Value::Texts(audit.iter().map(|entry| entry.by.clone()).collect()),
            Value::Texts(audit.iter().map(|entry| entry.action.clone()).collect()),
            Value::Texts(audit.iter().map(|entry| entry.subject.clone()).collect()),
            Value::TextsOrNull(audit.iter().map(|entry| entry.note.clone()).collect()),
        ]
    });
    let (moved, new): (Vec<_>, Vec<_>) = rare.positions().partition(|(.., stored)| stored.is_some());
    let columns = |rows: Vec<(crate::domain::WriterId, i64, Option<i64>)>| {
        let (sources, seqs) = rows.into_iter().map(|(source, seq, _)| (source.0, seq)).unzip();
        [Value::Ints(sources), Value::Ints(seqs)]
    };
    script.add(moved.len(), MovePositions, || columns(moved));
    script.add(new.len(), NewPositions, || columns(new));
    let numbers: Vec<_> = rare.numbers().collect();
    script.add(numbers.len(), AddNumbers, || {
        [
            Value::Ints(numbers.iter().map(|(minute, ..)| *minute).collect()),
            Value::Int2s(numbers.iter().map(|(_, metric, ..)| i16::from(*metric)).collect()),
            Value::Blobs(numbers.iter().map(|(_, _, key, _)| key.to_vec()).collect()),
            Value::Ints(numbers.iter().map(|(.., value)| *value).collect()),
        ]
    });
}

fn letters(script: &mut Script, rare: &RareWrites<'_>) {
    let letters: Vec<_> = rare.letters().collect();
    script.add(letters.len(), PutLetters, || {
        let rows = || letters.iter();
        [
            Value::Ids(rows().map(|letter| letter.id.0).collect()),
            Value::Names(rows().map(|letter| letter.kind.name()).collect()),
            Value::Names(rows().map(|letter| letter.role.name()).collect()),
            Value::IdsOrNull(rows().map(|letter| letter.order.map(|order| order.0)).collect()),
            Value::Int2sOrNull(rows().map(|letter| letter.shard.map(|shard| small(shard.0))).collect()),
            Value::Texts(rows().map(|letter| letter.step.as_str().to_owned()).collect()),
            Value::Texts(rows().map(|letter| letter.cause.as_str().to_owned()).collect()),
            Value::Texts(rows().map(|letter| letter.detail.as_str().to_owned()).collect()),
            Value::Int4s(rows().map(|letter| int4(letter.tries)).collect()),
            Value::Names(rows().map(|letter| letter.state.name()).collect()),
            Value::Times(rows().map(|letter| time(letter.created_at)).collect()),
            Value::TimesOrNull(rows().map(|letter| letter.closed_at.map(time)).collect()),
            Value::TextsOrNull(rows().map(|letter| letter.origin.clone()).collect()),
        ]
    });
}

/// Adds what has changed of shards, logs, and copies of orders.
pub(super) fn add_cluster(script: &mut Script, cluster: &Cluster<'_>, writer: i64) -> Result<(), Failure> {
    let (mut taken, mut given) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new(), Vec::new()));
    for (role, shard, handed) in cluster.handed() {
        match handed {
            Handed::Taken => {
                taken.0.push(role.name());
                taken.1.push(small(shard.0));
            }
            Handed::Left(seq) => {
                given.0.push(role.name());
                given.1.push(small(shard.0));
                given.2.push(seq);
            }
        }
    }
    script.add(taken.0.len(), TakeShards, || [Value::Int(writer), Value::Names(taken.0), Value::Int2s(taken.1)]);
    script.add(given.0.len(), GiveShards, || [Value::Int(writer), Value::Names(given.0), Value::Int2s(given.1), Value::Ints(given.2)]);
    let (logs, seqs): (Vec<_>, Vec<_>) = cluster.published().map(|(log, seq)| (log.0, seq)).unzip();
    script.add(logs.len(), MovePublished, || [Value::Ints(logs), Value::Ints(seqs)]);
    let consumed: Vec<_> = cluster.consumed().collect();
    script.add(consumed.len(), PutConsumed, || {
        [
            Value::Names(consumed.iter().map(|(role, ..)| role.name()).collect()),
            Value::Texts(consumed.iter().map(|(_, topic, ..)| (*topic).to_owned()).collect()),
            Value::Int4s(consumed.iter().map(|(.., partition, _)| *partition).collect()),
            Value::Ints(consumed.iter().map(|(.., next)| *next).collect()),
        ]
    });
    let copies: Vec<&Order> = cluster.copies().collect();
    let details = copies.iter().map(|order| codec::encode_order(order).map_err(Failure::codec("an order"))).collect::<Result<_, _>>()?;
    script.add(copies.len(), KnowOrders, || {
        [
            Value::Ids(copies.iter().map(|order| order.id.0).collect()),
            Value::Int2s(copies.iter().map(|order| small(order.shard.0)).collect()),
            Value::Times(copies.iter().map(|order| time(order.created_at)).collect()),
            Value::Blobs(details),
        ]
    });
    let told: Vec<_> = cluster.told().iter().map(|order| order.0).collect();
    script.add(told.len(), DropHeld, || [Value::Ids(told)]);
    let waiting: Vec<&Event> = cluster.waiting().collect();
    let data = waiting.iter().map(|event| codec::encode_event(event).map_err(Failure::codec("an event"))).collect::<Result<_, _>>()?;
    script.add(waiting.len(), HoldEvents, || {
        [
            Value::Ids(waiting.iter().map(|event| event.order.0).collect()),
            Value::Int2s(waiting.iter().map(|event| i16::from(event.kind().number())).collect()),
            Value::Int2s(waiting.iter().map(|event| small(event.shard.0)).collect()),
            Value::Times(waiting.iter().map(|event| time(event.at)).collect()),
            Value::Blobs(data),
        ]
    });
    Ok(())
}
