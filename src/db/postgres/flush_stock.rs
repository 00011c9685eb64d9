//! The stock keeper's changes of one batch as statements.

use super::error::Failure;
use super::statement::{Value, amount, sql, time};
use crate::db::codec;
use crate::db::plan::{ChangedProduct, StockPlan, numbers};
use crate::db::postgres::script::{Script, int4};
use crate::domain::Product;

sql!(
    SaveStock,
    "UPDATE products SET available_quantity = n.available, reserved_quantity = n.reserved, shipped_quantity = n.shipped, \
     supplied_quantity = n.supplied FROM unnest(?, ?, ?, ?, ?) AS n (id, available, reserved, shipped, supplied) WHERE products.id = n.id"
);
sql!(
    PutProducts,
    "UPDATE products SET name = n.name, price = n.price, available_quantity = n.available, reserved_quantity = n.reserved, \
     shipped_quantity = n.shipped, supplied_quantity = n.supplied, discontinued = n.discontinued \
     FROM unnest(?, ?, ?, ?, ?, ?, ?, ?) AS n (id, name, price, available, reserved, shipped, supplied, discontinued) WHERE products.id = n.id"
);
sql!(
    /// Of a product that was not there; if another node has put it there since, the batch is decided again.
    NewProducts,
    "INSERT INTO products (id, name, price, available_quantity, reserved_quantity, shipped_quantity, supplied_quantity, \
     discontinued) SELECT * FROM unnest(?, ?, ?, ?, ?, ?, ?, ?)"
);
sql!(
    InsertReservations,
    "INSERT INTO inventory_reservations (id, order_id, product_id, quantity, status, created_at) SELECT * FROM unnest(?, ?, ?, ?, ?, ?)"
);
sql!(MoveReservations, "UPDATE inventory_reservations r SET status = n.status FROM unnest(?, ?) AS n (id, status) WHERE r.id = n.id");
sql!(InsertSteps, "INSERT INTO inventory_steps (order_id, step, at, data) SELECT * FROM unnest(?, ?, ?, ?)");

/// Adds what has changed.
pub(super) fn add(script: &mut Script, stock: &StockPlan) -> Result<(), Failure> {
    products(script, stock);
    let (new, moved) = stock.changed_reservations();
    script.add(new.len(), InsertReservations, || {
        [
            Value::Ids(new.iter().map(|row| row.id).collect()),
            Value::Ids(new.iter().map(|row| row.order.0).collect()),
            Value::Ids(new.iter().map(|row| row.line.product.0).collect()),
            Value::Int4s(new.iter().map(|row| int4(row.line.quantity.get())).collect()),
            Value::Names(new.iter().map(|row| row.status.name()).collect()),
            Value::Stamps(new.iter().map(|row| time(row.at)).collect()),
        ]
    });
    script.add(moved.len(), MoveReservations, || {
        let (ids, statuses) = moved.into_iter().map(|(id, status)| (id, status.name())).unzip();
        [Value::Ids(ids), Value::Names(statuses)]
    });
    let mut steps: Vec<_> = stock.new_steps().collect();
    steps.sort_unstable_by_key(|new| (new.order, new.step.name()));
    let encode = |shortages: &[_]| codec::encode_shortages(shortages).map_err(Failure::codec("shortages"));
    let data = steps.iter().map(|new| new.shortages.map(encode).transpose()).collect::<Result<_, _>>()?;
    script.add(steps.len(), InsertSteps, || {
        [
            Value::Ids(steps.iter().map(|new| new.order.0).collect()),
            Value::Names(steps.iter().map(|new| new.step.name()).collect()),
            Value::Times(steps.iter().map(|new| time(new.at)).collect()),
            Value::BlobsOrNull(data),
        ]
    });
    Ok(())
}

fn products(script: &mut Script, stock: &StockPlan) {
    let (mut counted, mut put, mut new) = (Vec::new(), Vec::new(), Vec::new());
    for ChangedProduct { product, is_stored, is_put } in stock.changed_products() {
        match (is_stored, is_put) {
            (false, _) => new.push(product),
            (true, true) => put.push(product),
            (true, false) => counted.push(product),
        }
    }
    let ids = |rows: &[&Product]| Value::Ids(rows.iter().map(|product| product.id.0).collect());
    let column =
        |rows: &[&Product], n: usize| Value::Int4s(rows.iter().map(|product| numbers(product).get(n).copied().unwrap_or(0)).collect());
    let whole = |rows: &[&Product]| {
        let names = rows.iter().map(|product| product.name.as_str().to_owned()).collect();
        let prices = rows.iter().map(|product| amount(product.price)).collect();
        let [available, reserved, shipped, supplied] = [0, 1, 2, 3].map(|n| column(rows, n));
        let discontinued = Value::Bools(rows.iter().map(|product| product.discontinued).collect());
        [ids(rows), Value::Texts(names), Value::Amounts(prices), available, reserved, shipped, supplied, discontinued]
    };
    script.add(counted.len(), SaveStock, || {
        let [available, reserved, shipped, supplied] = [0, 1, 2, 3].map(|n| column(&counted, n));
        [ids(&counted), available, reserved, shipped, supplied]
    });
    script.add(put.len(), PutProducts, || whole(&put));
    script.add(new.len(), NewProducts, || whole(&new));
}
