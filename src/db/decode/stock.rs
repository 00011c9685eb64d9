//! Products, reservations and the stock keeper's steps.

use super::{Columns, money, text};
use crate::db::codec;
use crate::db::failure::Failure;
use crate::db::plan::{OrderStock, StepName, StockRow};
use crate::domain::{OrderId, Product, ProductId, Quantity, ReservedLine, Timestamp};
use std::collections::HashMap;
use uuid::Uuid;

/// `id, name, price, available_quantity, reserved_quantity, shipped_quantity, supplied_quantity, discontinued`.
pub(in crate::db) type ProductRow<C> = (
    <C as Columns>::Id,
    String,
    <C as Columns>::Amount,
    <C as Columns>::Count,
    <C as Columns>::Count,
    <C as Columns>::Count,
    <C as Columns>::Count,
    <C as Columns>::Flag,
);

/// A product.
pub(in crate::db) fn product<C: Columns>(row: ProductRow<C>) -> Result<Product, Failure> {
    let (id, name, price, available, reserved, shipped, supplied, discontinued) = row;
    let quantity = |number: C::Count| i32::try_from(number.into()).map_err(|_| Failure::Column("a product's quantity"));
    Ok(Product {
        id: ProductId(id.into()),
        name: text(&name)?,
        price: money::<C>(price)?,
        available: quantity(available)?,
        reserved: quantity(reserved)?,
        shipped: quantity(shipped)?,
        supplied: quantity(supplied)?,
        discontinued: C::is_set(discontinued),
    })
}

/// `id, product_id, quantity, status, created_at`.
pub(in crate::db) type LineRow<C> = (<C as Columns>::Id, <C as Columns>::Id, <C as Columns>::Count, String, <C as Columns>::Time);

/// A line of a reservation, its status, and since when it has been held.
pub(in crate::db) type StoredLine = (ReservedLine, StockRow, Timestamp);

/// The reservation of one order, in the sequence of its lines.
pub(in crate::db) fn reservation<C: Columns>(order: OrderId, rows: Vec<LineRow<C>>) -> Result<Vec<StoredLine>, Failure> {
    let mut lines: HashMap<Uuid, StoredLine> = HashMap::with_capacity(rows.len());
    for (id, product, quantity, status, at) in rows {
        let quantity = Quantity::new(quantity.into()).ok_or(Failure::Column("a reservation's quantity"))?;
        let line = ReservedLine { product: ProductId(product.into()), quantity };
        let status = StockRow::from_name(&status).ok_or(Failure::Column("a reservation's status"))?;
        lines.insert(id.into(), (line, status, C::time(at)));
    }
    Ok((0..).map_while(|n| lines.remove(&order.reservation(n).0)).collect())
}

/// Adds a reservation to an order's stock.
pub(in crate::db) fn reserve(stock: &mut OrderStock, lines: Vec<StoredLine>) {
    for (line, status, at) in lines {
        (stock.status, stock.reserved_at) = (Some(status), Some(at));
        stock.lines.push(line);
    }
}

/// `step, at, data`.
pub(in crate::db) type StepRow<C> = (String, <C as Columns>::Time, Option<Vec<u8>>);

/// Adds one of the stock keeper's steps to an order's stock.
pub(in crate::db) fn step<C: Columns>(stock: &mut OrderStock, (name, at, data): StepRow<C>) -> Result<(), Failure> {
    let step = StepName::from_name(&name).ok_or(Failure::Column("a stock step"))?;
    let shortages = match step {
        StepName::Insufficient => codec::decode_shortages(&data.unwrap_or_default()).map_err(Failure::codec("shortages"))?,
        StepName::Released | StepName::Held | StepName::Shipped => Vec::new(),
    };
    stock.step(step, C::time(at), shortages);
    Ok(())
}

/// The first and the last id that the lines of an order's reservation may have: they share their first half.
pub(in crate::db) fn half_range(order: OrderId) -> [Uuid; 2] {
    let (high, _) = order.reservation(0).0.as_u64_pair();
    [0, u64::MAX].map(|low| Uuid::from_u64_pair(high, low))
}
