//! The event log, and the figures counted from it.

use super::{Columns, shard};
use crate::db::codec::{self, EventColumns};
use crate::db::failure::Failure;
use crate::db::read::LogEntry;
use crate::db::rows::AnalyticsRow;
use crate::domain::{Event, LoggedEvent, OrderId};

/// The topic and kind in the row of a marker, which is no event.
pub(in crate::db) const MARKER: u8 = 255;

/// The columns `shard` and `at` of an event; `placed` is the blob of its order, needed for `OrderCreated` alone.
pub(in crate::db) fn event<C: Columns>(
    order: OrderId,
    (number, at): (C::Small, C::Time),
    data: &[u8],
    placed: Option<&[u8]>,
) -> Result<Event, Failure> {
    let columns = EventColumns { order, shard: shard(number)?, at: C::time(at) };
    codec::decode_event(columns, data, placed).map_err(Failure::codec("an event"))
}

/// `seq, topic, shard, order_id, at, data`, then `details` and `record` of the order, where they are wanted.
pub(in crate::db) type EventRow<C> = (
    i64,
    <C as Columns>::Small,
    <C as Columns>::Small,
    Option<<C as Columns>::Id>,
    <C as Columns>::Time,
    Vec<u8>,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
);

/// An event or a marker.
pub(in crate::db) fn log_entry<C: Columns>(row: EventRow<C>) -> Result<LogEntry, Failure> {
    let (seq, topic, number, order, at, data, placed, record) = row;
    if topic.into() == i64::from(MARKER) {
        let marker = codec::decode_marker(&data).map_err(Failure::codec("a marker"))?;
        return Ok(LogEntry::Marker { seq, marker });
    }
    let order = OrderId(order.ok_or(Failure::Column("an event's order"))?.into());
    let event = event::<C>(order, (number, at), &data, placed.as_deref())?;
    let sale = codec::decode_sale(event.kind(), placed.as_deref(), record.as_deref()).map_err(Failure::codec("a sale's order"))?;
    Ok(LogEntry::Event(LoggedEvent { seq, event, sale }))
}

/// The events among the rows of a log.
pub(in crate::db) fn logged_events<C: Columns>(rows: Vec<EventRow<C>>) -> Result<Vec<LoggedEvent>, Failure> {
    rows.into_iter().map(log_entry::<C>).filter_map(|entry| entry.map(LogEntry::into_event).transpose()).collect()
}

/// `minute, metric, key, value`.
pub(in crate::db) type AnalyticsColumns<C> = (i64, <C as Columns>::Small, Vec<u8>, i64);

/// A figure.
pub(in crate::db) fn analytics<C: Columns>((minute, metric, key, value): AnalyticsColumns<C>) -> Result<AnalyticsRow, Failure> {
    let metric = u8::try_from(metric.into()).map_err(|_| Failure::Column("a metric"))?;
    Ok(AnalyticsRow { minute, metric, key, value })
}
