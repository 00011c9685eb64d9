//! PostgreSQL's columns and rows, shared by the writer's lookups and the readers.

use super::error::Failure;
use super::statement::{Time, timestamp};
use crate::db::decode::{self, Columns, StoredLine};
use crate::db::plan::OrderStock;
use crate::domain::{Money, OrderId, Product, Timestamp};
use diesel::sql_types::{
    Binary, Bool, Integer, Nullable, Numeric, SmallInt, Text as SqlText, Timestamp as SqlTimestamp, Timestamptz, Uuid as SqlUuid,
};
use rust_decimal::Decimal;
use std::collections::HashMap;
use uuid::Uuid;

/// The types of PostgreSQL's columns.
pub(super) struct PgColumns;

impl Columns for PgColumns {
    type Id = Uuid;
    type Amount = Decimal;
    type Time = Time;
    type Flag = bool;
    type Count = i32;
    type Small = i16;

    fn money(mut amount: Decimal) -> Option<Money> {
        amount.rescale(2);
        i64::try_from(amount.mantissa()).ok().and_then(|minor| Money::from_minor(minor).ok())
    }

    fn time(at: Time) -> Timestamp {
        timestamp(at)
    }

    fn is_set(flag: bool) -> bool {
        flag
    }
}

pub(super) type ProductTypes = (SqlUuid, SqlText, Numeric, Integer, Integer, Integer, Integer, Bool);
pub(super) type ProductRow = decode::ProductRow<PgColumns>;

/// Rows of products.
pub(super) fn products(rows: Vec<ProductRow>) -> Result<Vec<Product>, Failure> {
    rows.into_iter().map(decode::product::<PgColumns>).collect()
}

pub(super) type PaymentTypes =
    (SqlUuid, Integer, Numeric, SqlText, SqlText, Nullable<SqlText>, Timestamptz, Integer, Nullable<Timestamptz>);
pub(super) type PaymentRow = decode::PaymentRow<PgColumns>;

pub(super) type NoticeTypes =
    (SqlUuid, SqlText, SqlText, SqlText, Integer, Nullable<Timestamptz>, Nullable<SqlText>, Timestamptz, Timestamptz);
pub(super) type NoticeRow = decode::NoticeRow<PgColumns>;

pub(super) type AnswerRow = decode::AnswerRow<PgColumns>;

/// An order, and a line of its reservation.
pub(super) type LineTypes = (SqlUuid, (SqlUuid, SqlUuid, Integer, SqlText, SqlTimestamp));
pub(super) type LineRow = (Uuid, decode::LineRow<PgColumns>);

/// The reservations of orders, each in the sequence of its lines.
pub(super) fn reservations(rows: Vec<LineRow>) -> Result<HashMap<OrderId, Vec<StoredLine>>, Failure> {
    let mut found: HashMap<OrderId, Vec<decode::LineRow<PgColumns>>> = HashMap::new();
    for (order, line) in rows {
        found.entry(OrderId(order)).or_default().push(line);
    }
    found.into_iter().map(|(order, lines)| Ok((order, decode::reservation::<PgColumns>(order, lines)?))).collect()
}

/// An order, and one of the stock keeper's steps for it.
pub(super) type StepTypes = (SqlUuid, (SqlText, Timestamptz, Nullable<Binary>));
pub(super) type StepRow = (Uuid, decode::StepRow<PgColumns>);

/// The stock keeper's outcomes, by order.
pub(super) fn order_stock(lines: Vec<LineRow>, steps: Vec<StepRow>) -> Result<HashMap<OrderId, OrderStock>, Failure> {
    let mut found: HashMap<OrderId, OrderStock> = HashMap::new();
    for (order, lines) in reservations(lines)? {
        decode::reserve(found.entry(order).or_default(), lines);
    }
    for (order, row) in steps {
        decode::step::<PgColumns>(found.entry(OrderId(order)).or_default(), row)?;
    }
    Ok(found)
}

pub(super) type HeldTypes = (SqlUuid, SmallInt, Timestamptz, Binary);
pub(super) type HeldRow = (Uuid, i16, Time, Vec<u8>);
