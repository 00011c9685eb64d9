//! Orders, and the keys and answers of requests.

use super::{Columns, money};
use crate::db::codec;
use crate::db::failure::Failure;
use crate::db::plan::StoredKey;
use crate::db::read::{OrderRow, StoredOrder};
use crate::db::write::KeptAnswer;
use crate::domain::{CustomerId, Order, OrderId, OrderStatus};
use std::sync::Arc;

/// `status, updated_at, open, details, record`.
pub(in crate::db) type StoredRow<C> = (String, <C as Columns>::Time, <C as Columns>::Flag, Vec<u8>, Vec<u8>);

/// An order as its owner stored it.
pub(in crate::db) fn stored<C: Columns>((name, updated_at, open, details, record): StoredRow<C>) -> Result<StoredOrder, Failure> {
    Ok(StoredOrder {
        order: placed(&details)?,
        record: codec::decode_record(&record).map_err(Failure::codec("a record"))?,
        status: status(&name)?,
        open: C::is_set(open),
        updated_at: C::time(updated_at),
    })
}

/// The blob of an order as it was placed.
pub(in crate::db) fn placed(details: &[u8]) -> Result<Arc<Order>, Failure> {
    codec::decode_order(details).map_err(Failure::codec("an order"))
}

/// The name of an order's status.
pub(in crate::db) fn status(name: &str) -> Result<OrderStatus, Failure> {
    OrderStatus::from_name(name).ok_or(Failure::Column("an order's status"))
}

/// `id, customer_id, status, total_amount, created_at, updated_at`.
pub(in crate::db) type ListedRow<C> =
    (<C as Columns>::Id, <C as Columns>::Id, String, <C as Columns>::Amount, <C as Columns>::Time, <C as Columns>::Time);

/// An order as lists show it.
pub(in crate::db) fn listed<C: Columns>((id, customer, name, total, created_at, updated_at): ListedRow<C>) -> Result<OrderRow, Failure> {
    Ok(OrderRow {
        id: OrderId(id.into()),
        customer: CustomerId(customer.into()),
        status: status(&name)?,
        total: money::<C>(total)?,
        created_at: C::time(created_at),
        updated_at: C::time(updated_at),
    })
}

/// `key, body, order_id, expires_at`.
pub(in crate::db) type KeyRow<C> = (Vec<u8>, Vec<u8>, <C as Columns>::Id, <C as Columns>::Time);

/// An idempotency key and the order that holds it.
pub(in crate::db) fn stored_key<C: Columns>((key, body, order, at): KeyRow<C>) -> (Vec<u8>, StoredKey) {
    (key, StoredKey { body, order: OrderId(order.into()), expires_at: C::time(at) })
}

/// `key, body, answer, expires_at`.
pub(in crate::db) type AnswerRow<C> = (Vec<u8>, Vec<u8>, Vec<u8>, <C as Columns>::Time);

/// A kept answer under its key.
pub(in crate::db) fn kept_answer<C: Columns>((key, body, answer, at): AnswerRow<C>) -> Result<(Vec<u8>, KeptAnswer), Failure> {
    let answer = codec::decode_answer(&answer).map_err(Failure::codec("an answer"))?;
    Ok((key, KeptAnswer { body, answer, expires_at: C::time(at) }))
}
