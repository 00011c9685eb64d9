//! Rows back into the domain's types, shared by the writer's lookups and the readers.

use super::error::Failure;
use super::statement::{Time, timestamp};
use crate::db::codec::{self, EventColumns};
use crate::db::plan::{OrderStock, StepName, StockRow};
use crate::db::write::KeptAnswer;
use crate::domain::{
    Channel, Event, Failures, Money, NoticeKind, NoticeStatus, NoticeTask, OrderId, OrderStatus, Payment, PaymentStatus, Product,
    ProductId, Quantity, ReservedLine, Role, Shard, Text, Timestamp,
};
use diesel::sql_types::{
    Binary, Bool, Integer, Nullable, Numeric, SmallInt, Text as SqlText, Timestamp as SqlTimestamp, Timestamptz, Uuid as SqlUuid,
};
use rust_decimal::Decimal;
use std::collections::HashMap;
use uuid::Uuid;

/// An amount column.
pub(super) fn money(mut amount: Decimal) -> Result<Money, Failure> {
    amount.rescale(2);
    i64::try_from(amount.mantissa()).ok().and_then(|minor| Money::from_minor(minor).ok()).ok_or(Failure::Column("an amount"))
}

/// A text column.
pub(super) fn text<const MAX: usize>(text: &str) -> Result<Text<MAX>, Failure> {
    Text::new(text).map_err(|_| Failure::Column("a text"))
}

/// A text column that may be null.
pub(super) fn text_or_none<const MAX: usize>(value: Option<&str>) -> Result<Option<Text<MAX>>, Failure> {
    value.map(text).transpose()
}

/// A shard column.
pub(super) fn shard(number: i16) -> Result<Shard, Failure> {
    u16::try_from(number).map(Shard).map_err(|_| Failure::Column("a shard"))
}

/// A counting column.
pub(super) fn count(number: i32) -> Result<u32, Failure> {
    u32::try_from(number).map_err(|_| Failure::Column("a count"))
}

/// A status column of an order.
pub(super) fn order_status(name: &str) -> Result<OrderStatus, Failure> {
    OrderStatus::from_name(name).ok_or(Failure::Column("an order's status"))
}

/// A role column.
pub(super) fn role(name: &str) -> Result<Role, Failure> {
    Role::from_name(name).ok_or(Failure::Column("a role"))
}

pub(super) type ProductTypes = (SqlUuid, SqlText, Numeric, Integer, Integer, Integer, Integer, Bool);
pub(super) type ProductRow = (Uuid, String, Decimal, i32, i32, i32, i32, bool);

/// A product's row.
pub(super) fn product((id, name, price, available, reserved, shipped, supplied, discontinued): ProductRow) -> Result<Product, Failure> {
    Ok(Product { id: ProductId(id), name: text(&name)?, price: money(price)?, available, reserved, shipped, supplied, discontinued })
}

pub(super) type AnswerRow = (Vec<u8>, Vec<u8>, Vec<u8>, Time);

/// A kept answer's row.
pub(super) fn kept_answer((key, body, answer, at): AnswerRow) -> Result<(Vec<u8>, KeptAnswer), Failure> {
    let answer = codec::decode_answer(&answer).map_err(Failure::codec("an answer"))?;
    Ok((key, KeptAnswer { body, answer, expires_at: timestamp(at) }))
}

pub(super) type PaymentTypes =
    (SqlUuid, Integer, Numeric, SqlText, SqlText, Nullable<SqlText>, Timestamptz, Integer, Nullable<Timestamptz>);
pub(super) type PaymentRow = (Uuid, i32, Decimal, String, String, Option<String>, Time, i32, Option<Time>);

/// A payment's row.
pub(super) fn payment(row: PaymentRow) -> Result<Payment, Failure> {
    let (order, attempt, amount, method, status, reason, updated_at, failures, since) = row;
    let failures = count(failures)?;
    Ok(Payment {
        order: OrderId(order),
        attempt: count(attempt)?,
        amount: money(amount)?,
        method: text(&method)?,
        status: PaymentStatus::from_name(&status).ok_or(Failure::Column("a payment's status"))?,
        reason: text_or_none(reason.as_deref())?,
        failures: since.map(|since| Failures { count: failures, since: timestamp(since) }),
        updated_at: timestamp(updated_at),
    })
}

pub(super) type NoticeTypes =
    (SqlUuid, SqlText, SqlText, SqlText, Integer, Nullable<Timestamptz>, Nullable<SqlText>, Timestamptz, Timestamptz);
pub(super) type NoticeRow = (Uuid, String, String, String, i32, Option<Time>, Option<String>, Time, Time);

/// A notice's row, with the time of its last change.
pub(super) fn notice(row: NoticeRow) -> Result<(NoticeTask, Timestamp), Failure> {
    let (order, kind, channel, status, attempt, next_try_at, reason, created_at, updated_at) = row;
    let task = NoticeTask {
        order: OrderId(order),
        kind: NoticeKind::from_name(&kind).ok_or(Failure::Column("a notice's kind"))?,
        channel: Channel::from_name(&channel).ok_or(Failure::Column("a notice's channel"))?,
        status: NoticeStatus::from_name(&status).ok_or(Failure::Column("a notice's status"))?,
        attempt: count(attempt)?,
        next_try_at: next_try_at.map(timestamp),
        reason: text_or_none(reason.as_deref())?,
        created_at: timestamp(created_at),
    };
    Ok((task, timestamp(updated_at)))
}

/// Notices in the order of their orders, kinds and channels.
pub(super) fn notices(rows: Vec<NoticeRow>) -> Result<Vec<(NoticeTask, Timestamp)>, Failure> {
    let mut notices = rows.into_iter().map(notice).collect::<Result<Vec<_>, Failure>>()?;
    notices.sort_by_key(|(task, _)| (task.order, task.kind, task.channel));
    Ok(notices)
}

pub(super) type LineTypes = (SqlUuid, SqlUuid, SqlUuid, Integer, SqlText, SqlTimestamp);
pub(super) type LineRow = (Uuid, Uuid, Uuid, i32, String, Time);

/// A line of a reservation, where it is, and since when it was held.
pub(super) type StoredLine = (ReservedLine, StockRow, Timestamp);

/// The reservations of orders, each in the order of its lines.
pub(super) fn reservations(rows: Vec<LineRow>) -> Result<HashMap<OrderId, Vec<StoredLine>>, Failure> {
    let mut found: HashMap<OrderId, HashMap<Uuid, StoredLine>> = HashMap::new();
    for (order, id, product, quantity, status, at) in rows {
        let quantity = Quantity::new(i64::from(quantity)).ok_or(Failure::Column("a reservation's quantity"))?;
        let status = StockRow::from_name(&status).ok_or(Failure::Column("a reservation's status"))?;
        let line = ReservedLine { product: ProductId(product), quantity };
        found.entry(OrderId(order)).or_default().insert(id, (line, status, timestamp(at)));
    }
    let in_order = |(order, mut lines): (OrderId, HashMap<Uuid, StoredLine>)| {
        (order, (0..).map_while(|n| lines.remove(&order.reservation(n).0)).collect())
    };
    Ok(found.into_iter().map(in_order).collect())
}

pub(super) type StepTypes = (SqlUuid, SqlText, Timestamptz, Nullable<Binary>);
pub(super) type StepRow = (Uuid, String, Time, Option<Vec<u8>>);

/// The stock keeper's outcomes, by order.
pub(super) fn order_stock(lines: Vec<LineRow>, steps: Vec<StepRow>) -> Result<HashMap<OrderId, OrderStock>, Failure> {
    let mut found: HashMap<OrderId, OrderStock> = HashMap::new();
    for (order, lines) in reservations(lines)? {
        let stock = found.entry(order).or_default();
        for (line, status, at) in lines {
            (stock.status, stock.reserved_at) = (Some(status), Some(at));
            stock.lines.push(line);
        }
    }
    for (order, step, at, data) in steps {
        let step = StepName::from_name(&step).ok_or(Failure::Column("a stock step"))?;
        let shortages = match step {
            StepName::Insufficient => codec::decode_shortages(&data.unwrap_or_default()).map_err(Failure::codec("shortages"))?,
            StepName::Released | StepName::Held | StepName::Shipped => Vec::new(),
        };
        found.entry(OrderId(order)).or_default().step(step, timestamp(at), shortages);
    }
    Ok(found)
}

/// The first and the last id that the lines of an order's reservation may have: they share their first half.
pub(super) fn half_range(order: OrderId) -> [Uuid; 2] {
    let (high, _) = order.reservation(0).0.as_u64_pair();
    [0, u64::MAX].map(|low| Uuid::from_u64_pair(high, low))
}

pub(super) type HeldTypes = (SqlUuid, SmallInt, Timestamptz, Binary);
pub(super) type HeldRow = (Uuid, i16, Time, Vec<u8>);

/// An event that waited for its order.
pub(super) fn held((order, number, at, data): HeldRow) -> Result<Event, Failure> {
    event(order, number, at, &data, None)
}

/// An event's columns; `placed` is its order's own blob, needed for `OrderCreated` alone.
pub(super) fn event(order: Uuid, number: i16, at: Time, data: &[u8], placed: Option<&[u8]>) -> Result<Event, Failure> {
    let columns = EventColumns { order: OrderId(order), shard: shard(number)?, at: timestamp(at) };
    codec::decode_event(columns, data, placed).map_err(Failure::codec("an event"))
}
