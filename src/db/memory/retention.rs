//! Deleting what is old, by the rules of the databases on disk.

use super::selects::of_order;
use super::tables::{Entry, NoticeRow, Tables};
use crate::db::store::{Deleted, Publishing, Retention};
use crate::domain::{DeadLetter, DeadLetterKind, DeadLetterState, NoticeStatus, OrderId, Role, Timestamp, WriterId};
use std::collections::{BTreeMap, HashSet};

pub(super) fn delete_old(tables: &mut Tables, retention: &Retention) -> Deleted {
    let limit = retention.limit as usize;
    let mut deleted = Deleted::default();
    let writers: Vec<WriterId> = tables.writers.keys().copied().collect();
    for writer in &writers {
        deleted.events += delete_events(tables, *writer, retention, limit - deleted.events.min(limit));
    }
    deleted.keys = delete(&mut tables.keys, limit, |_, row| row.expires_at < retention.keys_before);
    deleted.keys += delete(&mut tables.answers, limit, |_, kept| kept.expires_at < retention.keys_before);
    if deleted.events + deleted.keys >= limit {
        return deleted;
    }
    let is_old =
        |letter: &DeadLetter| letter.state != DeadLetterState::Open && letter.closed_at.is_some_and(|at| at < retention.letters_before);
    deleted.letters = delete(&mut tables.letters, limit, |_, letter| is_old(letter));
    let old = tables.audit.iter().take(limit).take_while(|entry| entry.at < retention.audit_before).count();
    deleted.audit = tables.audit.drain(..old).count();
    let end = OrderId::first_at(retention.copies_before);
    let is_step = |letter: &&DeadLetter| letter.kind == DeadLetterKind::Step && matches!(letter.role, Role::Payment | Role::Inventory);
    let open = tables.letters.values().filter(is_step).filter(|letter| letter.state == DeadLetterState::Open);
    let parked: HashSet<OrderId> = open.filter_map(|letter| letter.order).collect();
    let notices = &tables.notices;
    deleted.copies = delete(&mut tables.known, limit, |id, order| {
        let is_pending = |(_, row): (&_, &NoticeRow)| row.task.status == NoticeStatus::Pending;
        let is_old = *id < end && order.created_at < retention.copies_before;
        is_old && !notices.range(of_order(*id)).any(is_pending) && !parked.contains(id)
    });
    deleted.held = delete_held(tables, retention.held_before, limit);
    for writer in writers.into_iter().filter(|writer| is_over(tables, *writer, retention)).take(limit).collect::<Vec<_>>() {
        tables.log.retain(|(log, _), _| *log != writer);
        tables.positions.remove(&writer);
        tables.writers.remove(&writer);
        deleted.writers += 1;
    }
    deleted
}

/// From the front of a log only, so that what is left has no gaps; its last number stays.
fn delete_events(tables: &mut Tables, writer: WriterId, retention: &Retention, limit: usize) -> usize {
    let Some(row) = tables.writers.get(&writer) else { return 0 };
    let published = if retention.publishing == Publishing::On { row.published_seq } else { i64::MAX };
    let counted = tables.positions.get(&writer).copied().unwrap_or(0);
    let end = counted.min(published).min(row.last_seq - 1);
    if end < 1 {
        return 0;
    }
    let handle = tables.log.range((writer, 1)..=(writer, end)).take(limit);
    let events = handle.filter_map(|((_, seq), entry)| match entry {
        Entry::Event(event) => Some((*seq, event.at)),
        // Markers go with the events behind them.
        Entry::Marker(_) => None,
    });
    let Some((last, _)) = events.take_while(|(_, at)| *at < retention.events_before).last() else { return 0 };
    let before = tables.log.len();
    tables.log.retain(|(log, seq), _| *log != writer || *seq > last);
    before - tables.log.len()
}

/// Whether a writer has ended long ago, and nobody needs it any more.
fn is_over(tables: &Tables, writer: WriterId, retention: &Retention) -> bool {
    let Some(row) = tables.writers.get(&writer) else { return false };
    let is_published = retention.publishing == Publishing::Off || row.published_seq >= row.last_seq;
    let is_counted = row.last_seq == 0 || tables.positions.get(&writer).is_some_and(|seq| *seq >= row.last_seq);
    let is_named =
        tables.shards.values().any(|entry| entry.writer == Some(writer) || entry.after.is_some_and(|(before, _)| before == writer));
    let is_needed = |((_, seq), entry): (&(WriterId, i64), &Entry)| match entry {
        Entry::Event(event) => *seq < row.last_seq || event.at >= retention.events_before,
        Entry::Marker(_) => false,
    };
    let has_events = tables.log.range((writer, 0)..=(writer, i64::MAX)).any(is_needed);
    !row.alive && row.lease_until < retention.events_before && is_published && is_counted && !is_named && !has_events
}

fn delete_held(tables: &mut Tables, before: Timestamp, limit: usize) -> usize {
    let mut deleted = 0;
    for events in tables.held.values_mut() {
        events.retain(|event| {
            let is_old = event.at < before && deleted < limit;
            deleted += usize::from(is_old);
            !is_old
        });
    }
    tables.held.retain(|_, events| !events.is_empty());
    deleted
}

fn delete<K: Ord + Copy, V>(table: &mut BTreeMap<K, V>, limit: usize, is_old: impl Fn(&K, &V) -> bool) -> usize {
    let old: Vec<K> = table.iter().filter(|(key, row)| is_old(key, row)).map(|(key, _)| *key).take(limit).collect();
    old.iter().for_each(|key| drop(table.remove(key)));
    old.len()
}
