//! Rows that both reads and snapshots ask for.

use super::tables::{Entry, Tables};
use crate::db::AnalyticsRow;
use crate::domain::{Event, LoggedEvent, NoticeTask, OrderId, WriterId};
use crate::saga::sale;
use std::ops::{Bound, RangeInclusive};

pub(super) fn from<T>(after: Option<T>) -> Bound<T> {
    after.map_or(Bound::Unbounded, Bound::Excluded)
}

pub(super) fn count(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// The keys of an order's notices.
pub(super) fn of_order(order: OrderId) -> RangeInclusive<(OrderId, u8, u8)> {
    (order, 0, 0)..=(order, u8::MAX, u8::MAX)
}

pub(super) fn notices_of(tables: &Tables, order: OrderId) -> Vec<NoticeTask> {
    tables.notices.range(of_order(order)).map(|(_, row)| row.task.clone()).collect()
}

pub(super) fn events_of(tables: &Tables, writer: WriterId, after: i64, limit: u32) -> Vec<LoggedEvent> {
    let rows = tables.log.range((Bound::Excluded((writer, after)), Bound::Included((writer, i64::MAX))));
    rows.filter_map(|((_, seq), entry)| match entry {
        Entry::Event(event) => Some(logged(tables, *seq, event)),
        Entry::Marker(_) => None,
    })
    .take(count(limit))
    .collect()
}

pub(super) fn logged(tables: &Tables, seq: i64, event: &Event) -> LoggedEvent {
    let sale = tables.orders.get(&event.order).and_then(|stored| sale(&stored.order, &stored.record, event.kind()));
    LoggedEvent { seq, event: event.clone(), sale }
}

pub(super) fn analytics_of(tables: &Tables) -> Vec<AnalyticsRow> {
    let rows = tables.analytics.iter();
    rows.map(|((minute, metric, key), value)| AnalyticsRow { minute: *minute, metric: *metric, key: key.clone(), value: *value }).collect()
}

pub(super) fn positions_of(tables: &Tables) -> Vec<(WriterId, i64)> {
    tables.positions.iter().map(|(writer, seq)| (*writer, *seq)).collect()
}
