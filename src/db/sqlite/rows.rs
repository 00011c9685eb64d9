//! Rows back into the domain's types, shared by the writer's lookups and the readers.

use super::error::Failure;
use super::statement::{Id, Value, among, select, sql};
use crate::db::codec;
use crate::db::plan::{OrderStock, StepName, StockRow};
use crate::domain::{
    Channel, Failures, Money, NoticeKind, NoticeStatus, NoticeTask, OrderId, Payment, PaymentStatus, Product, ProductId, Quantity,
    ReservedLine, Shard, Text, Timestamp,
};
use diesel::sql_types::{BigInt, Binary, Nullable, Text as SqlText};
use diesel::sqlite::SqliteConnection;
use std::collections::HashMap;

pub(super) type ProductTypes = (Binary, SqlText, BigInt, BigInt, BigInt, BigInt, BigInt, BigInt);
pub(super) type ProductRow = (Id, String, i64, i64, i64, i64, i64, i64);
sql!(
    ProductsAmong,
    "SELECT id, name, price, available_quantity, reserved_quantity, shipped_quantity, supplied_quantity, discontinued \
     FROM products WHERE id IN " => ProductTypes
);

/// The products of these ids.
pub(super) fn products_among(conn: &mut SqliteConnection, keys: &[&[u8]]) -> Result<Vec<Product>, Failure> {
    among::<_, ProductRow>(conn, ProductsAmong, keys)?.into_iter().map(product).collect()
}

/// A product's row.
pub(super) fn product((Id(id), name, price, available, reserved, shipped, supplied, discontinued): ProductRow) -> Result<Product, Failure> {
    let count = |number: i64| i32::try_from(number).map_err(|_| Failure::Column("a product's quantity"));
    Ok(Product {
        id: ProductId(id),
        name: text(&name)?,
        price: money(price)?,
        available: count(available)?,
        reserved: count(reserved)?,
        shipped: count(shipped)?,
        supplied: count(supplied)?,
        discontinued: discontinued != 0,
    })
}

/// A text column.
pub(super) fn text<const MAX: usize>(text: &str) -> Result<Text<MAX>, Failure> {
    Text::new(text).map_err(|_| Failure::Column("a text"))
}

/// A text column that may be null.
pub(super) fn text_or_none<const MAX: usize>(value: Option<&str>) -> Result<Option<Text<MAX>>, Failure> {
    value.map(text).transpose()
}

/// An amount column.
pub(super) fn money(minor: i64) -> Result<Money, Failure> {
    Money::from_minor(minor).map_err(|_| Failure::Column("an amount"))
}

/// A shard column.
pub(super) fn shard(number: i64) -> Result<Shard, Failure> {
    u16::try_from(number).map(Shard).map_err(|_| Failure::Column("a shard"))
}

/// A counting column.
pub(super) fn count(number: i64) -> Result<u32, Failure> {
    u32::try_from(number).map_err(|_| Failure::Column("a count"))
}

pub(super) type PaymentTypes = (Binary, BigInt, BigInt, SqlText, SqlText, Nullable<SqlText>, BigInt, BigInt, Nullable<BigInt>);
type PaymentRow = (Id, i64, i64, String, String, Option<String>, i64, i64, Option<i64>);
sql!(
    PaymentsAmong,
    "SELECT order_id, attempt, amount, method, status, reason, updated_at, failures, failing_since FROM payments WHERE order_id IN "
        => PaymentTypes
);

/// The payments of these orders.
pub(super) fn payments_among(conn: &mut SqliteConnection, keys: &[&[u8]]) -> Result<HashMap<OrderId, Payment>, Failure> {
    let mut payments = HashMap::new();
    for row in among::<_, PaymentRow>(conn, PaymentsAmong, keys)? {
        let (Id(order), attempt, amount, method, status, reason, updated_at, failures, since) = row;
        let failures = count(failures)?;
        let payment = Payment {
            order: OrderId(order),
            attempt: count(attempt)?,
            amount: money(amount)?,
            method: text(&method)?,
            status: PaymentStatus::from_name(&status).ok_or(Failure::Column("a payment's status"))?,
            reason: text_or_none(reason.as_deref())?,
            failures: since.map(|since| Failures { count: failures, since: Timestamp(since) }),
            updated_at: Timestamp(updated_at),
        };
        payments.insert(payment.order, payment);
    }
    Ok(payments)
}

pub(super) type NoticeTypes = (Binary, SqlText, SqlText, SqlText, BigInt, Nullable<BigInt>, Nullable<SqlText>, BigInt, BigInt, BigInt);
pub(super) type NoticeRow = (Id, String, String, String, i64, Option<i64>, Option<String>, i64, i64, i64);
sql!(
    NoticesAmong,
    "SELECT order_id, kind, channel, status, attempt, next_try_at, reason, created_at, updated_at, shard \
     FROM notifications WHERE order_id IN " => NoticeTypes
);

/// The notices of these orders with their shards and the times of their last change, in the order of their ids, kinds and channels.
pub(super) fn notices_among(conn: &mut SqliteConnection, keys: &[&[u8]]) -> Result<Vec<(NoticeTask, Shard, Timestamp)>, Failure> {
    let rows = among::<_, NoticeRow>(conn, NoticesAmong, keys)?;
    let mut notices = rows.into_iter().map(notice).collect::<Result<Vec<_>, Failure>>()?;
    notices.sort_by_key(|(task, ..)| (task.order, task.kind, task.channel));
    Ok(notices)
}

/// A notice's row.
pub(super) fn notice(row: NoticeRow) -> Result<(NoticeTask, Shard, Timestamp), Failure> {
    let (Id(order), kind, channel, status, attempt, next_try_at, reason, created_at, updated_at, number) = row;
    let task = NoticeTask {
        order: OrderId(order),
        kind: NoticeKind::from_name(&kind).ok_or(Failure::Column("a notice's kind"))?,
        channel: Channel::from_name(&channel).ok_or(Failure::Column("a notice's channel"))?,
        status: NoticeStatus::from_name(&status).ok_or(Failure::Column("a notice's status"))?,
        attempt: count(attempt)?,
        next_try_at: next_try_at.map(Timestamp),
        reason: text_or_none(reason.as_deref())?,
        created_at: Timestamp(created_at),
    };
    Ok((task, shard(number)?, Timestamp(updated_at)))
}

type LineRow = (Id, Id, i64, String, i64);
sql!(
    ReservationsOf,
    "SELECT id, product_id, quantity, status, created_at FROM inventory_reservations \
     WHERE id BETWEEN ? AND ? AND order_id = ?" => (Binary, Binary, BigInt, SqlText, BigInt)
);
type StepRow = (String, i64, Option<Vec<u8>>);
sql!(StepsOf, "SELECT step, at, data FROM inventory_steps WHERE order_id = ?" => (SqlText, BigInt, Nullable<Binary>));

/// The rows of an order's reservation, in the order of its lines.
pub(super) fn reservations(conn: &mut SqliteConnection, order: OrderId) -> Result<Vec<(ReservedLine, StockRow, Timestamp)>, Failure> {
    let [first, last] = half_range(order.reservation(0).0);
    let values = [Value::Blob(&first), Value::Blob(&last), Value::id(&order.0)];
    let mut rows = HashMap::new();
    for (Id(id), product, quantity, status, at) in select::<_, LineRow, 3>(conn, ReservationsOf, values)? {
        let quantity = Quantity::new(quantity).ok_or(Failure::Column("a reservation's quantity"))?;
        let line = ReservedLine { product: ProductId(product.0), quantity };
        let status = StockRow::from_name(&status).ok_or(Failure::Column("a reservation's status"))?;
        rows.insert(id, (line, status, Timestamp(at)));
    }
    Ok((0..).map_while(|n| rows.remove(&order.reservation(n).0)).collect())
}

/// The stock keeper's rows of an order.
pub(super) fn order_stock(conn: &mut SqliteConnection, order: OrderId) -> Result<OrderStock, Failure> {
    let mut stock = OrderStock::default();
    for (line, status, at) in reservations(conn, order)? {
        stock.status = Some(status);
        stock.reserved_at = Some(at);
        stock.lines.push(line);
    }
    for (step, at, data) in select::<_, StepRow, 1>(conn, StepsOf, [Value::id(&order.0)])? {
        let step = StepName::from_name(&step).ok_or(Failure::Column("a stock step"))?;
        let shortages = match (step, data) {
            (StepName::Insufficient, data) => codec::decode_shortages(&data.unwrap_or_default()).map_err(Failure::codec("shortages"))?,
            (StepName::Released | StepName::Held | StepName::Shipped, _) => Vec::new(),
        };
        stock.step(step, Timestamp(at), shortages);
    }
    Ok(stock)
}

/// The first and last id that begin like this one: an order's derived ids share their first half.
fn half_range(id: uuid::Uuid) -> [[u8; 16]; 2] {
    let (high, _) = id.as_u64_pair();
    [0, u64::MAX].map(|low| uuid::Uuid::from_u64_pair(high, low).into_bytes())
}

/// The keys of orders, for a list in a statement.
pub(super) fn order_keys(orders: &[OrderId]) -> Vec<&[u8]> {
    orders.iter().map(|order| order.0.as_bytes().as_slice()).collect()
}
