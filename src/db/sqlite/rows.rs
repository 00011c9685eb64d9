//! SQLite's columns, and the lookups that the writer and the readers share.

use super::error::Failure;
use super::statement::{Id, Value, among, select, sql};
use crate::db::decode::{self, Columns, StoredLine};
use crate::db::plan::OrderStock;
use crate::domain::{Money, NoticeTask, OrderId, Payment, Product, Timestamp};
use diesel::sql_types::{BigInt, Binary, Nullable, Text as SqlText};
use diesel::sqlite::SqliteConnection;
use std::collections::HashMap;
use uuid::Uuid;

/// The types of SQLite's columns: ids are blobs, everything that is a number is an `INTEGER`.
pub(super) struct SqliteColumns;

impl Columns for SqliteColumns {
    type Id = Id;
    type Amount = i64;
    type Time = i64;
    type Flag = i64;
    type Count = i64;
    type Small = i64;

    fn money(minor: i64) -> Option<Money> {
        Money::from_minor(minor).ok()
    }

    fn time(at: i64) -> Timestamp {
        Timestamp(at)
    }

    fn is_set(flag: i64) -> bool {
        flag != 0
    }
}

impl From<Id> for Uuid {
    fn from(Id(id): Id) -> Self {
        id
    }
}

pub(super) type ProductTypes = (Binary, SqlText, BigInt, BigInt, BigInt, BigInt, BigInt, BigInt);
pub(super) type ProductRow = decode::ProductRow<SqliteColumns>;
sql!(
    ProductsAmong,
    "SELECT id, name, price, available_quantity, reserved_quantity, shipped_quantity, supplied_quantity, discontinued \
     FROM products WHERE id IN " => ProductTypes
);

/// The products of these ids.
pub(super) fn products_among(conn: &mut SqliteConnection, keys: &[&[u8]]) -> Result<Vec<Product>, Failure> {
    products(among::<_, ProductRow>(conn, ProductsAmong, keys)?)
}

/// Rows of products.
pub(super) fn products(rows: Vec<ProductRow>) -> Result<Vec<Product>, Failure> {
    rows.into_iter().map(decode::product::<SqliteColumns>).collect()
}

type PaymentTypes = (Binary, BigInt, BigInt, SqlText, SqlText, Nullable<SqlText>, BigInt, BigInt, Nullable<BigInt>);
sql!(
    PaymentsAmong,
    "SELECT order_id, attempt, amount, method, status, reason, updated_at, failures, failing_since FROM payments WHERE order_id IN "
        => PaymentTypes
);

/// The payments of these orders.
pub(super) fn payments_among(conn: &mut SqliteConnection, keys: &[&[u8]]) -> Result<HashMap<OrderId, Payment>, Failure> {
    let rows = among::<_, decode::PaymentRow<SqliteColumns>>(conn, PaymentsAmong, keys)?;
    rows.into_iter().map(|row| decode::payment::<SqliteColumns>(row).map(|payment| (payment.order, payment))).collect()
}

pub(super) type NoticeTypes = (Binary, SqlText, SqlText, SqlText, BigInt, Nullable<BigInt>, Nullable<SqlText>, BigInt, BigInt);
pub(super) type NoticeRow = decode::NoticeRow<SqliteColumns>;
sql!(
    NoticesAmong,
    "SELECT order_id, kind, channel, status, attempt, next_try_at, reason, created_at, updated_at \
     FROM notifications WHERE order_id IN " => NoticeTypes
);

/// The notices of these orders with the times of their last change, in the order of their ids, kinds and channels.
pub(super) fn notices_among(conn: &mut SqliteConnection, keys: &[&[u8]]) -> Result<Vec<(NoticeTask, Timestamp)>, Failure> {
    decode::notices::<SqliteColumns>(among::<_, NoticeRow>(conn, NoticesAmong, keys)?)
}

sql!(
    ReservationsOf,
    "SELECT id, product_id, quantity, status, created_at FROM inventory_reservations \
     WHERE id BETWEEN ? AND ? AND order_id = ?" => (Binary, Binary, BigInt, SqlText, BigInt)
);
sql!(StepsOf, "SELECT step, at, data FROM inventory_steps WHERE order_id = ?" => (SqlText, BigInt, Nullable<Binary>));

/// The rows of an order's reservation, in the sequence of its lines.
pub(super) fn reservation(conn: &mut SqliteConnection, order: OrderId) -> Result<Vec<StoredLine>, Failure> {
    let [first, last] = decode::half_range(order);
    let values = [Value::id(&first), Value::id(&last), Value::id(&order.0)];
    let rows = select::<_, decode::LineRow<SqliteColumns>, 3>(conn, ReservationsOf, values)?;
    decode::reservation::<SqliteColumns>(order, rows)
}

/// The stock keeper's rows of an order.
pub(super) fn order_stock(conn: &mut SqliteConnection, order: OrderId) -> Result<OrderStock, Failure> {
    let mut stock = OrderStock::default();
    decode::reserve(&mut stock, reservation(conn, order)?);
    for row in select::<_, decode::StepRow<SqliteColumns>, 1>(conn, StepsOf, [Value::id(&order.0)])? {
        decode::step::<SqliteColumns>(&mut stock, row)?;
    }
    Ok(stock)
}

/// The keys of orders, for a list in a statement.
pub(super) fn order_keys(orders: &[OrderId]) -> Vec<&[u8]> {
    orders.iter().map(|order| order.0.as_bytes().as_slice()).collect()
}
