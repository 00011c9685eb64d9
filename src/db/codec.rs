//! The stored form of what is kept as a blob: a version byte, then postcard. A new form gets a new version; the old ones stay
//! readable, and fixture files hold them fast.

use super::write::Answer;
use crate::domain::{
    CorrelationId, Event, EventBody, EventKind, Marker, Money, Order, OrderId, OrderStatus, Role, Shard, Shortage, Text, Timestamp,
    TraceContext,
};
use crate::saga::{Facts, HistoryEntry, Record, sale};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The version that is written.
const VERSION: u8 = 1;
/// The version of a record that holds more than version 1 can.
const RECORD_VERSION: u8 = 2;
/// The version of a record with the reason given for the end of an unpaid order, after what version 2 holds.
const UNPAID_END_VERSION: u8 = 3;
/// The version of a record with what was paid in another currency, behind what version 3 holds, if that is there.
const FOREIGN_MONEY_VERSION: u8 = 4;
/// The version of a record with the ids of other teams, behind what version 4 holds, if that is there; and of an event with them.
const EXTERNAL_IDS_VERSION: u8 = 5;
/// The version of a record that is owed the payment's answer to its cancellation though there was not enough stock, with all that version 5
/// holds.
const OWES_VOID_VERSION: u8 = 6;
/// In place of an `OrderCreated` event's data: what it says is the order's own row, so nothing is stored twice.
const SEE_ORDER: [u8; 1] = [0];

/// Why a blob could not be read or made.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// Written by a newer version.
    #[error("its form {0} is not known to this version")]
    Version(u8),
    /// Not what was written.
    #[error("it does not parse: {0}")]
    Malformed(#[from] postcard::Error),
    /// Nothing is there.
    #[error("it is empty")]
    Empty,
    /// An `OrderCreated` event without its order.
    #[error("its order is missing")]
    NoOrder,
}

/// The blob of anything with a fixed stored form.
///
/// # Errors
/// It cannot be written as postcard.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    let mut blob = Vec::with_capacity(192);
    blob.push(VERSION);
    Ok(postcard::to_extend(value, blob)?)
}

/// What [`encode`] wrote.
///
/// # Errors
/// It is something else, or of a newer version.
pub fn decode<T: DeserializeOwned>(blob: &[u8]) -> Result<T, CodecError> {
    match blob.split_first() {
        Some((&VERSION, rest)) => Ok(postcard::from_bytes(rest)?),
        Some((&version, _)) => Err(CodecError::Version(version)),
        None => Err(CodecError::Empty),
    }
}

/// The same, with what stands behind it.
fn decode_part<T: DeserializeOwned>(blob: &[u8]) -> Result<(T, &[u8]), CodecError> {
    match blob.split_first() {
        Some((&VERSION, rest)) => Ok(postcard::take_from_bytes(rest)?),
        Some((&version, _)) => Err(CodecError::Version(version)),
        None => Err(CodecError::Empty),
    }
}

/// Puts a trace that cannot be derived behind a form. Versions that know no traces read no further than the form.
fn with_trace(mut blob: Vec<u8>, correlation: CorrelationId) -> Vec<u8> {
    if let Some(trace) = correlation.trace().filter(|trace| trace.is_kept) {
        blob.extend(trace.to_bytes());
    }
    blob
}

/// An order as it was placed.
///
/// # Errors
/// See [`encode`].
pub fn encode_order(order: &Order) -> Result<Vec<u8>, CodecError> {
    Ok(with_trace(encode(order)?, order.correlation))
}

/// What [`encode_order`] wrote.
///
/// # Errors
/// See [`decode`].
pub fn decode_order(blob: &[u8]) -> Result<Arc<Order>, CodecError> {
    let (mut order, behind): (Order, &[u8]) = decode_part(blob)?;
    order.correlation = order.correlation.traced(TraceContext::from_bytes(behind));
    Ok(Arc::new(order))
}

/// An owner's record of an order.
///
/// # Errors
/// See [`encode`].
pub fn encode_record(record: &Record) -> Result<Vec<u8>, CodecError> {
    if record.facts.owes_void {
        let kept = record.external.as_deref();
        let (money, ids) = (kept.and_then(|kept| kept.foreign_money.as_ref()), kept.map_or(&[][..], |kept| &kept.ids));
        let mut blob = Vec::with_capacity(256);
        blob.push(OWES_VOID_VERSION);
        return Ok(postcard::to_extend(&(record, &record.facts.unpaid_end, money, ids), blob)?);
    }
    if let Some(kept) = record.external.as_deref().filter(|kept| !kept.ids.is_empty()) {
        let mut blob = Vec::with_capacity(256);
        blob.push(EXTERNAL_IDS_VERSION);
        return Ok(postcard::to_extend(&(record, &record.facts.unpaid_end, &kept.foreign_money, &kept.ids), blob)?);
    }
    if let Some(money) = record.external.as_ref().and_then(|kept| kept.foreign_money.as_ref()) {
        let mut blob = Vec::with_capacity(192);
        blob.push(FOREIGN_MONEY_VERSION);
        return Ok(postcard::to_extend(&(record, &record.facts.unpaid_end, money), blob)?);
    }
    if let Some(reason) = &record.facts.unpaid_end {
        let mut blob = Vec::with_capacity(192);
        blob.push(UNPAID_END_VERSION);
        return Ok(postcard::to_extend(&(record, reason), blob)?);
    }
    if record.external.is_some() {
        let mut blob = Vec::with_capacity(192);
        blob.push(RECORD_VERSION);
        return Ok(postcard::to_extend(record, blob)?);
    }
    encode(&RecordV1Ref { facts: &record.facts, history: &record.history, parked: record.parked.as_ref() })
}

/// [`Record`] in its first form, as it is written while it suffices.
#[derive(Serialize)]
struct RecordV1Ref<'a> {
    facts: &'a Facts,
    history: &'a [HistoryEntry],
    parked: Option<&'a Text<64>>,
}

/// The same as it is read.
#[derive(Deserialize)]
struct RecordV1 {
    facts: Facts,
    history: Vec<HistoryEntry>,
    parked: Option<Text<64>>,
}

/// What [`encode_record`] or [`encode_record_with_room`] wrote; zeros after it are ignored.
///
/// # Errors
/// See [`decode`].
pub fn decode_record(blob: &[u8]) -> Result<Record, CodecError> {
    if let Some((&RECORD_VERSION, rest)) = blob.split_first() {
        return Ok(postcard::from_bytes(rest)?);
    }
    if let Some((&UNPAID_END_VERSION, rest)) = blob.split_first() {
        let (mut record, reason): (Record, Text<200>) = postcard::from_bytes(rest)?;
        record.facts.unpaid_end = Some(reason);
        return Ok(record);
    }
    if let Some((&FOREIGN_MONEY_VERSION, rest)) = blob.split_first() {
        let (mut record, reason, money): (Record, Option<Text<200>>, (Money, Text<20>)) = postcard::from_bytes(rest)?;
        record.facts.unpaid_end = reason;
        record.external.get_or_insert_default().foreign_money = Some(money);
        return Ok(record);
    }
    if let Some((&EXTERNAL_IDS_VERSION, rest)) = blob.split_first() {
        let (mut record, reason, foreign_money, ids): (Record, _, _, _) = postcard::from_bytes(rest)?;
        record.facts.unpaid_end = reason;
        let kept = record.external.get_or_insert_default();
        (kept.foreign_money, kept.ids) = (foreign_money, ids);
        return Ok(record);
    }
    if let Some((&OWES_VOID_VERSION, rest)) = blob.split_first() {
        let (mut record, reason, foreign_money, ids): (Record, _, _, _) = postcard::from_bytes(rest)?;
        (record.facts.unpaid_end, record.facts.owes_void) = (reason, true);
        if let Some(kept) = record.external.as_deref_mut() {
            (kept.foreign_money, kept.ids) = (foreign_money, ids);
        }
        return Ok(record);
    }
    let RecordV1 { facts, history, parked } = decode(blob)?;
    Ok(Record { facts, history, parked, external: None })
}

/// The same, padded with zeros, so that an order's row keeps its size while its record grows: a row of the same size is overwritten in
/// its place, a larger one splits its page. The status counts too, because its text is in the same row.
///
/// # Errors
/// See [`encode`].
pub fn encode_record_with_room(record: &Record, order: &Order, status: OrderStatus) -> Result<Vec<u8>, CodecError> {
    let mut blob = encode_record(record)?;
    let beside = status.name().len();
    let usual = 160 + 20 * order.lines.len().min(32);
    let needed = blob.len() + beside;
    let room = if needed <= usual { usual } else { needed.next_multiple_of(64) };
    blob.resize(room.saturating_sub(beside), 0);
    Ok(blob)
}

/// The shortages of an order that could not be had.
///
/// # Errors
/// See [`encode`].
pub fn encode_shortages(shortages: &[Shortage]) -> Result<Vec<u8>, CodecError> {
    encode(&shortages)
}

/// What [`encode_shortages`] wrote.
///
/// # Errors
/// See [`decode`].
pub fn decode_shortages(blob: &[u8]) -> Result<Vec<Shortage>, CodecError> {
    decode(blob)
}

/// A kept answer.
///
/// # Errors
/// See [`encode`].
pub fn encode_answer(answer: &Answer) -> Result<Vec<u8>, CodecError> {
    encode(answer)
}

/// What [`encode_answer`] wrote.
///
/// # Errors
/// See [`decode`].
pub fn decode_answer(blob: &[u8]) -> Result<Answer, CodecError> {
    decode(blob)
}

/// A taken shard's marker.
///
/// # Errors
/// See [`encode`].
pub fn encode_marker(marker: &Marker) -> Result<Vec<u8>, CodecError> {
    encode(marker)
}

/// What [`encode_marker`] wrote.
///
/// # Errors
/// See [`decode`].
pub fn decode_marker(blob: &[u8]) -> Result<Marker, CodecError> {
    decode(blob)
}

/// The roles of a writer, names with commas between.
#[must_use]
pub fn encode_roles(roles: &[Role]) -> String {
    let names: Vec<&str> = roles.iter().map(|role| role.name()).collect();
    names.join(",")
}

/// The part of an event that has no column of its own: correlation and body.
///
/// # Errors
/// See [`encode`].
pub fn encode_event(event: &Event) -> Result<Vec<u8>, CodecError> {
    if event.kind() == EventKind::OrderCreated {
        return Ok(SEE_ORDER.to_vec());
    }
    let mut blob = Vec::with_capacity(64);
    if let Some(ids) = &event.external_ids {
        blob.push(EXTERNAL_IDS_VERSION);
        return Ok(with_trace(postcard::to_extend(&(event.correlation, &event.body, ids), blob)?, event.correlation));
    }
    blob.push(VERSION);
    let blob = postcard::to_extend(&event.correlation, blob)?;
    Ok(with_trace(postcard::to_extend(&event.body, blob)?, event.correlation))
}

/// What an event in the log tells of a sale; the blobs are those of its order's row, where they were read.
///
/// # Errors
/// See [`decode`].
pub fn decode_sale(kind: EventKind, placed: Option<&[u8]>, record: Option<&[u8]>) -> Result<Option<Arc<Order>>, CodecError> {
    let (Some(placed), Some(record)) = (placed, record) else { return Ok(None) };
    let (order, record) = (decode_order(placed)?, decode_record(record)?);
    Ok(sale(&order, &record, kind))
}

/// The columns of an event's row.
#[derive(Clone, Copy, Debug)]
pub struct EventColumns {
    /// Which order.
    pub order: OrderId,
    /// Its shard.
    pub shard: Shard,
    /// When it became true.
    pub at: Timestamp,
}

/// What [`encode_event`] wrote, with the columns beside it; `placed` is the order's own blob, needed for `OrderCreated` alone.
///
/// # Errors
/// See [`decode`].
pub fn decode_event(columns: EventColumns, data: &[u8], placed: Option<&[u8]>) -> Result<Event, CodecError> {
    let EventColumns { order, shard, at } = columns;
    if data == SEE_ORDER {
        let placed = decode_order(placed.ok_or(CodecError::NoOrder)?)?;
        let correlation = placed.correlation;
        return Ok(Event { order, shard, correlation, at, body: EventBody::OrderCreated(placed), external_ids: None });
    }
    let (correlation, body, external_ids, behind): (CorrelationId, _, _, _) = match data.split_first() {
        Some((&EXTERNAL_IDS_VERSION, rest)) => {
            let ((correlation, body, ids), behind) = postcard::take_from_bytes(rest)?;
            (correlation, body, Some(ids), behind)
        }
        Some(_) | None => {
            let ((correlation, body), behind) = decode_part(data)?;
            (correlation, body, None, behind)
        }
    };
    let correlation = correlation.traced(TraceContext::from_bytes(behind));
    Ok(Event { order, shard, correlation, at, body, external_ids })
}
