//! The stock keeper's writes of one batch: every product and every order's outcome rows are read once, changed in memory in the
//! order of arrival, and written once.

use super::error::Failure;
use super::rows::{self, OrderStock, StockRow};
use super::statement::{Id, Value, among, insert, run, sql};
use crate::db::codec;
use crate::db::write::{Outcome, StockStep, Undo, Write};
use crate::domain::{
    Event, EventBody, Money, Order, OrderId, Pricing, Product, ProductId, ReserveDecision, ReservedLine, StockError, Text, Timestamp,
    reserve,
};
use diesel::sql_types::Binary;
use diesel::sqlite::SqliteConnection;
use std::collections::{BTreeMap, HashMap};
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
     (id, name, available_quantity, reserved_quantity, price, shipped_quantity, supplied_quantity) VALUES ",
    " ON CONFLICT (id) DO UPDATE SET name = excluded.name, available_quantity = excluded.available_quantity, \
      reserved_quantity = excluded.reserved_quantity, price = excluded.price, shipped_quantity = excluded.shipped_quantity, \
      supplied_quantity = excluded.supplied_quantity"
);

/// What became of a stock step.
pub(super) enum Answer {
    /// Done now, with its event if it has one.
    New(Option<Event>),
    /// Done before, or forbidden by what was done before: the stored answers.
    Repeated(Vec<Event>),
}

/// The numbers of a product as its row has them.
type Numbers = [i32; 4];

fn numbers(product: &Product) -> Numbers {
    [product.available, product.reserved, product.shipped, product.supplied]
}

/// The products and outcome rows that a batch touches.
#[derive(Default)]
pub(super) struct StockDesk {
    products: BTreeMap<ProductId, Product>,
    stored: HashMap<ProductId, Numbers>,
    orders: HashMap<OrderId, Touched>,
}

/// One order's outcomes, and what of them is not stored yet.
#[derive(Default)]
struct Touched {
    stock: OrderStock,
    /// The status that the stored reservation rows have; none while no rows are stored.
    rows: Option<StockRow>,
    steps: Vec<(&'static str, Timestamp)>,
}

impl StockDesk {
    /// Reads all that `writes` may touch.
    pub(super) fn load(conn: &mut SqliteConnection, writes: &[Write]) -> Result<Self, Failure> {
        let mut desk = Self::default();
        let mut needs = Needs::of(writes);
        if needs.is_nothing() {
            return Ok(desk);
        }
        for order in needs.known_orders(conn)? {
            let stock = rows::order_stock(conn, order)?;
            needs.products.extend(stock.lines.iter().map(|line| line.product.0));
            desk.orders.insert(order, Touched { rows: stock.status, stock, steps: Vec::new() });
        }
        needs.products.sort_unstable();
        needs.products.dedup();
        let keys: Vec<&[u8]> = needs.products.iter().map(|id| id.as_bytes().as_slice()).collect();
        for product in rows::products_among(conn, &keys)? {
            desk.stored.insert(product.id, numbers(&product));
            desk.products.insert(product.id, product);
        }
        Ok(desk)
    }

    pub(super) fn reserve(&mut self, order: &Order, pricing: Pricing, at: Timestamp) -> Answer {
        let touched = self.orders.entry(order.id).or_default();
        let step = StockStep { order: order.id, shard: order.shard, correlation: order.correlation, at };
        if let Some(answer) = answer(&touched.stock).or_else(|| released(&touched.stock)) {
            return Answer::Repeated(vec![told(&step, answer)]);
        }
        let body = match reserve(&mut self.products, &order.lines, pricing) {
            ReserveDecision::Reserved => {
                let lines: Vec<ReservedLine> = order.lines.iter().map(ReservedLine::from).collect();
                touched.stock.lines.clone_from(&lines);
                touched.stock.status = Some(StockRow::Reserved);
                touched.stock.reserved_at = Some(at);
                if touched.stock.shipped.is_some() {
                    // The goods left before their reservation was recorded: what is held now is out of the house already.
                    move_lines(&mut self.products, &mut touched.stock, StockRow::Shipped);
                }
                EventBody::InventoryReserved { lines }
            }
            ReserveDecision::Insufficient(shortages) => {
                touched.stock.insufficient = Some((shortages.clone(), at));
                touched.steps.push((rows::INSUFFICIENT, at));
                EventBody::InventoryInsufficient { shortages }
            }
        };
        Answer::New(Some(Event::of(order, at, body)))
    }

    pub(super) fn release(&mut self, step: &StockStep, undo: Undo) -> Answer {
        let touched = self.orders.entry(step.order).or_default();
        let stock = &mut touched.stock;
        if let Some(answer) = released(stock).or_else(|| shipped(stock)) {
            return Answer::Repeated(vec![told(step, answer)]);
        }
        if stock.held.is_some() && undo == Undo::PaymentFailed {
            return Answer::Repeated(Vec::new());
        }
        let lines = move_lines(&mut self.products, stock, StockRow::Released);
        stock.released = Some(step.at);
        touched.steps.push((rows::RELEASED, step.at));
        Answer::New(Some(told(step, (step.at, EventBody::InventoryReleased { lines }))))
    }

    pub(super) fn hold(&mut self, step: &StockStep) -> Answer {
        let touched = self.orders.entry(step.order).or_default();
        let stock = &mut touched.stock;
        if stock.held.is_some() {
            return Answer::Repeated(Vec::new());
        }
        stock.held = Some(step.at);
        touched.steps.push((rows::HELD, step.at));
        Answer::New(None)
    }

    pub(super) fn ship(&mut self, step: &StockStep) -> Answer {
        let touched = self.orders.entry(step.order).or_default();
        let stock = &mut touched.stock;
        if let Some(answer) = shipped(stock) {
            return Answer::Repeated(vec![told(step, answer)]);
        }
        let lines = move_lines(&mut self.products, stock, StockRow::Shipped);
        stock.shipped = Some(step.at);
        touched.steps.push((rows::SHIPPED, step.at));
        Answer::New(Some(told(step, (step.at, EventBody::InventoryShipped { lines }))))
    }

    pub(super) fn adjust(&mut self, id: ProductId, delta: i32) -> Outcome {
        let Some(product) = self.products.get_mut(&id) else { return Outcome::Stock(StockError::Unknown) };
        match product.adjust(delta) {
            Ok(()) => Outcome::Product(product.clone()),
            Err(error) => Outcome::Stock(error),
        }
    }

    /// Creates or changes a product, in its row at once: there are few of these.
    pub(super) fn put(
        &mut self,
        conn: &mut SqliteConnection,
        id: ProductId,
        name: &Text<255>,
        price: Money,
        available: i32,
    ) -> Result<Outcome, Failure> {
        let product = match self.products.get(&id) {
            Some(stored) => {
                // What is held or has left was supplied too.
                let Some(supplied) = stored.reserved.checked_add(stored.shipped).and_then(|gone| gone.checked_add(available)) else {
                    return Ok(Outcome::Stock(StockError::TooLarge));
                };
                Product { name: name.clone(), price, available, supplied, ..stored.clone() }
            }
            None => Product::new(id, name.clone(), price, available),
        };
        let [available, reserved, shipped, supplied] = numbers(&product).map(|n| Value::Int(i64::from(n)));
        let (key, price) = (Value::id(&id.0), Value::Int(price.minor()));
        let row = [key, Value::Text(name.as_str()), available, reserved, price, shipped, supplied];
        insert(conn, PutProduct, &[row])?;
        self.stored.insert(id, numbers(&product));
        self.products.insert(id, product.clone());
        Ok(Outcome::Product(product))
    }

    /// Writes what has changed.
    pub(super) fn flush(&self, conn: &mut SqliteConnection) -> Result<(), Failure> {
        for (id, product) in &self.products {
            let now = numbers(product);
            if self.stored.get(id) != Some(&now) {
                let [available, reserved, shipped, supplied] = now.map(|n| Value::Int(i64::from(n)));
                run(conn, SaveStock, [available, reserved, shipped, supplied, Value::id(&id.0)])?;
            }
        }
        self.flush_reservations(conn)?;
        self.flush_steps(conn)
    }

    fn flush_reservations(&self, conn: &mut SqliteConnection) -> Result<(), Failure> {
        let mut new = Vec::new();
        for (order, touched) in &self.orders {
            let Some(status) = touched.stock.status else { continue };
            let lines = (0..).zip(&touched.stock.lines).map(|(n, line)| (order.reservation(n).0, order, line, status, touched));
            match touched.rows {
                None => new.extend(lines),
                Some(stored) if stored != status => {
                    for (id, ..) in lines {
                        run(conn, MoveReservation, [Value::Text(status.name()), Value::id(&id)])?;
                    }
                }
                Some(_) => {}
            }
        }
        new.sort_unstable_by_key(|(id, ..)| *id);
        let rows: Vec<_> = new
            .iter()
            .map(|(id, order, line, status, touched)| {
                [
                    Value::id(id),
                    Value::id(&order.0),
                    Value::id(&line.product.0),
                    Value::Int(i64::from(line.quantity.get())),
                    Value::Text(status.name()),
                    Value::Int(touched.stock.reserved_at.unwrap_or(Timestamp(0)).0),
                ]
            })
            .collect();
        insert(conn, InsertReservations, &rows)?;
        Ok(())
    }

    fn flush_steps(&self, conn: &mut SqliteConnection) -> Result<(), Failure> {
        let mut rows = Vec::new();
        for (order, touched) in &self.orders {
            for (step, at) in &touched.steps {
                let data = match &touched.stock.insufficient {
                    Some((shortages, _)) if *step == rows::INSUFFICIENT => {
                        Value::Bytes(codec::encode_shortages(shortages).map_err(Failure::codec("shortages"))?)
                    }
                    Some(_) | None => Value::Null,
                };
                rows.push([Value::id(&order.0), Value::Text(step), Value::Int(at.0), data]);
            }
        }
        insert(conn, InsertSteps, &rows)?;
        Ok(())
    }
}

/// Takes the held lines of an order to where `to` says; none are held when they were moved before or never held.
fn move_lines(products: &mut BTreeMap<ProductId, Product>, stock: &mut OrderStock, to: StockRow) -> Vec<ReservedLine> {
    if stock.status != Some(StockRow::Reserved) {
        return Vec::new();
    }
    for line in &stock.lines {
        if let Some(product) = products.get_mut(&line.product) {
            let quantity = i32::try_from(line.quantity.get()).unwrap_or(i32::MAX);
            match to {
                StockRow::Reserved => {}
                StockRow::Released => product.release(quantity),
                StockRow::Shipped => product.ship(quantity),
            }
        }
    }
    stock.status = Some(to);
    stock.lines.clone()
}

/// What a stored row says and since when, as the event that told it.
type Told = (Timestamp, EventBody);

fn told(step: &StockStep, (at, body): Told) -> Event {
    Event { order: step.order, shard: step.shard, correlation: step.correlation, at, body }
}

/// The stock's answer.
fn answer(stock: &OrderStock) -> Option<Told> {
    let reserved = stock.reserved_at.map(|at| (at, EventBody::InventoryReserved { lines: stock.lines.clone() }));
    reserved.or_else(|| {
        let (shortages, at) = stock.insufficient.clone()?;
        Some((at, EventBody::InventoryInsufficient { shortages }))
    })
}

fn released(stock: &OrderStock) -> Option<Told> {
    stock.released.map(|at| (at, EventBody::InventoryReleased { lines: lines_in(stock, StockRow::Released) }))
}

fn shipped(stock: &OrderStock) -> Option<Told> {
    stock.shipped.map(|at| (at, EventBody::InventoryShipped { lines: lines_in(stock, StockRow::Shipped) }))
}

fn lines_in(stock: &OrderStock, status: StockRow) -> Vec<ReservedLine> {
    if stock.status == Some(status) { stock.lines.clone() } else { Vec::new() }
}

/// What must be read before the batch is decided.
#[derive(Default)]
struct Needs {
    /// Orders to be reserved: rarely seen before, so only looked for.
    reserve: Vec<OrderId>,
    /// Orders of which rows are to be expected.
    undo: Vec<OrderId>,
    products: Vec<Uuid>,
}

impl Needs {
    fn of(writes: &[Write]) -> Self {
        let mut needs = Self::default();
        for write in writes {
            match write {
                Write::Reserve { order, .. } => {
                    needs.reserve.push(order.id);
                    needs.products.extend(order.lines.iter().map(|line| line.product.0));
                }
                Write::Release { step, .. } | Write::HoldStock { step } | Write::ShipStock { step } => needs.undo.push(step.order),
                Write::PutProduct { id, .. } | Write::AdjustStock { id, .. } => needs.products.push(id.0),
                Write::Place { .. }
                | Write::Save { .. }
                | Write::SavePayment { .. }
                | Write::SaveNotice { .. }
                | Write::AddLetter(_)
                | Write::CloseLetter { .. }
                | Write::SaveAnalytics { .. }
                | Write::Published { .. }
                | Write::ClaimLog { .. }
                | Write::EndExpired
                | Write::KnowOrder { .. }
                | Write::HoldEvent { .. }
                | Write::TakeShards { .. }
                | Write::ReleaseShards { .. } => {}
            }
        }
        needs
    }

    fn is_nothing(&self) -> bool {
        self.reserve.is_empty() && self.undo.is_empty() && self.products.is_empty()
    }

    /// The orders of which rows are stored.
    fn known_orders(&self, conn: &mut SqliteConnection) -> Result<Vec<OrderId>, Failure> {
        let first_lines: Vec<Uuid> = self.reserve.iter().map(|order| order.reservation(0).0).collect();
        let keys: Vec<&[u8]> = first_lines.iter().map(|id| id.as_bytes().as_slice()).collect();
        let mut known: Vec<Uuid> = among::<_, Id>(conn, ReservedAmong, &keys)?.into_iter().map(|Id(id)| id).collect();
        let keys: Vec<&[u8]> = self.reserve.iter().map(|order| order.0.as_bytes().as_slice()).collect();
        known.extend(among::<_, Id>(conn, StepsAmong, &keys)?.into_iter().map(|Id(id)| id));
        known.extend(self.undo.iter().map(|order| order.0));
        known.sort_unstable();
        known.dedup();
        Ok(known.into_iter().map(OrderId).collect())
    }
}
