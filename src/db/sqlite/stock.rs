//! The stock keeper's rows of one batch: what is read before it is decided, and what is written after.

use super::error::Failure;
use super::rows;
use super::statement::{Id, Value, among, insert, run, sql};
use crate::db::codec;
use crate::db::plan::{Needs, StockPlan, Stored, numbers};
use crate::db::sqlite::rows::order_keys;
use crate::domain::OrderId;
use diesel::sql_types::Binary;
use diesel::sqlite::SqliteConnection;
use uuid::Uuid;

sql!(ReservedAmong, "SELECT order_id FROM inventory_reservations WHERE id IN " => Binary);
sql!(StepsAmong, "SELECT DISTINCT order_id FROM inventory_steps WHERE order_id IN " => Binary);
sql!(InsertReservations, "INSERT INTO inventory_reservations (id, order_id, product_id, quantity, status, created_at) VALUES ");
sql!(MoveReservation, "UPDATE inventory_reservations SET status = ? WHERE id = ?");
sql!(InsertSteps, "INSERT INTO inventory_steps (order_id, step, at, data) VALUES ");
sql!(
    SaveStock,
    "UPDATE products SET available_quantity = ?, reserved_quantity = ?, shipped_quantity = ?, supplied_quantity = ? WHERE id = ?"
);
sql!(
    PutProduct,
    "INSERT INTO products \
     (id, name, available_quantity, reserved_quantity, price, shipped_quantity, supplied_quantity, discontinued) VALUES ",
    " ON CONFLICT (id) DO UPDATE SET name = excluded.name, available_quantity = excluded.available_quantity, \
      reserved_quantity = excluded.reserved_quantity, price = excluded.price, shipped_quantity = excluded.shipped_quantity, \
      supplied_quantity = excluded.supplied_quantity, discontinued = excluded.discontinued"
);

/// Reads the products and outcomes that the batch may touch.
pub(super) fn load(conn: &mut SqliteConnection, needs: &Needs<'_>, stored: &mut Stored) -> Result<(), Failure> {
    if needs.is_without_stock() {
        return Ok(());
    }
    let mut products: Vec<Uuid> = needs.products.iter().map(|product| product.0).collect();
    for order in known_orders(conn, needs)? {
        let stock = rows::order_stock(conn, order)?;
        products.extend(stock.lines.iter().map(|line| line.product.0));
        stored.stock.insert(order, stock);
    }
    products.sort_unstable();
    products.dedup();
    let keys: Vec<&[u8]> = products.iter().map(|id| id.as_bytes().as_slice()).collect();
    stored.products = rows::products_among(conn, &keys)?;
    Ok(())
}

/// The orders of which rows are stored.
fn known_orders(conn: &mut SqliteConnection, needs: &Needs<'_>) -> Result<Vec<OrderId>, Failure> {
    let first_lines: Vec<Uuid> = needs.reserve.iter().map(|order| order.reservation(0).0).collect();
    let keys: Vec<&[u8]> = first_lines.iter().map(|id| id.as_bytes().as_slice()).collect();
    let mut known: Vec<Uuid> = among::<_, Id>(conn, ReservedAmong, &keys)?.into_iter().map(|Id(id)| id).collect();
    known.extend(among::<_, Id>(conn, StepsAmong, &order_keys(&needs.reserve))?.into_iter().map(|Id(id)| id));
    known.extend(needs.undo.iter().map(|order| order.0));
    known.sort_unstable();
    known.dedup();
    Ok(known.into_iter().map(OrderId).collect())
}

/// Writes what has changed.
pub(super) fn flush(conn: &mut SqliteConnection, stock: &StockPlan) -> Result<(), Failure> {
    for changed in stock.changed_products() {
        let product = changed.product;
        let [available, reserved, shipped, supplied] = numbers(product).map(|n| Value::Int(i64::from(n)));
        let id = Value::id(&product.id.0);
        if changed.is_put {
            let price = Value::Int(product.price.minor());
            let discontinued = Value::Int(i64::from(product.discontinued));
            let row = [id, Value::Text(product.name.as_str()), available, reserved, price, shipped, supplied, discontinued];
            insert(conn, PutProduct, &[row])?;
        } else {
            run(conn, SaveStock, [available, reserved, shipped, supplied, id])?;
        }
    }
    flush_reservations(conn, stock)?;
    flush_steps(conn, stock)
}

fn flush_reservations(conn: &mut SqliteConnection, stock: &StockPlan) -> Result<(), Failure> {
    let (new, moved) = stock.changed_reservations();
    for (id, status) in &moved {
        run(conn, MoveReservation, [Value::Text(status.name()), Value::id(id)])?;
    }
    let rows: Vec<_> = new
        .iter()
        .map(|row| {
            [
                Value::id(&row.id),
                Value::id(&row.order.0),
                Value::id(&row.line.product.0),
                Value::Int(i64::from(row.line.quantity.get())),
                Value::Text(row.status.name()),
                Value::Int(row.at.0),
            ]
        })
        .collect();
    Ok(insert(conn, InsertReservations, &rows)?)
}

fn flush_steps(conn: &mut SqliteConnection, stock: &StockPlan) -> Result<(), Failure> {
    let steps: Vec<_> = stock.new_steps().collect();
    let mut rows = Vec::with_capacity(steps.len());
    for new in &steps {
        let data = match new.shortages {
            Some(shortages) => Value::Bytes(codec::encode_shortages(shortages).map_err(Failure::codec("shortages"))?),
            None => Value::Null,
        };
        rows.push([Value::id(&new.order.0), Value::Text(new.step.name()), Value::Int(new.at.0), data]);
    }
    Ok(insert(conn, InsertSteps, &rows)?)
}
