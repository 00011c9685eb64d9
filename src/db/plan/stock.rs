//! The stock keeper's writes of one batch: each product and each order's outcomes are loaded once, changed in memory in the sequence
//! of arrival, and returned once as the rows that have changed.

use crate::db::rows::AuditEntry;
use crate::db::write::{ProductWrite, ReleaseReason, StockStep};
use crate::domain::{
    Event, EventBody, Order, OrderId, Pricing, Product, ProductId, ReserveDecision, ReservedLine, Shortage, StockError, Timestamp, reserve,
};
use std::collections::{BTreeMap, HashMap, HashSet};
use uuid::Uuid;

/// A step of the stock keeper that has a row of its own; a successful reservation's rows are its lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StepName {
    Insufficient,
    Released,
    Held,
    Shipped,
}

impl StepName {
    /// The name in the database.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Insufficient => "INSUFFICIENT",
            Self::Released => "RELEASED",
            Self::Held => "HELD",
            Self::Shipped => "SHIPPED",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [Self::Insufficient, Self::Released, Self::Held, Self::Shipped].into_iter().find(|step| step.name() == name)
    }
}

/// Where the lines of a reservation are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StockRow {
    /// Held for the order.
    Reserved,
    /// Given back.
    Released,
    /// Gone.
    Shipped,
}

impl StockRow {
    /// The name in the database.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Reserved => "RESERVED",
            Self::Released => "RELEASED",
            Self::Shipped => "SHIPPED",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [Self::Reserved, Self::Released, Self::Shipped].into_iter().find(|row| row.name() == name)
    }
}

/// All outcomes of the stock keeper for one order.
#[derive(Clone, Debug, Default)]
pub(crate) struct OrderStock {
    /// The lines that are or were held, in the order's order.
    pub(crate) lines: Vec<ReservedLine>,
    /// Where they are; none while none were held.
    pub(crate) status: Option<StockRow>,
    pub(crate) reserved_at: Option<Timestamp>,
    pub(crate) insufficient: Option<(Vec<Shortage>, Timestamp)>,
    pub(crate) released: Option<Timestamp>,
    pub(crate) held: Option<Timestamp>,
    pub(crate) shipped: Option<Timestamp>,
}

impl OrderStock {
    /// Takes in what a step's row says.
    pub(crate) fn step(&mut self, step: StepName, at: Timestamp, shortages: Vec<Shortage>) {
        match step {
            StepName::Insufficient => self.insufficient = Some((shortages, at)),
            StepName::Released => self.released = Some(at),
            StepName::Held => self.held = Some(at),
            StepName::Shipped => self.shipped = Some(at),
        }
    }
}

/// What became of a stock step.
pub(super) enum Answer {
    /// Done now, with its event if it has one.
    New(Option<Event>),
    /// Done before, or forbidden by what was done before: the stored answers.
    Repeated(Vec<Event>),
}

/// The numbers of a product as its row has them: available, reserved, shipped, supplied.
pub(in crate::db) type Numbers = [i32; 4];

/// The numbers of a product.
pub(in crate::db) fn numbers(product: &Product) -> Numbers {
    [product.available, product.reserved, product.shipped, product.supplied]
}

/// A line of a new reservation.
pub(in crate::db) struct NewReservation {
    pub(in crate::db) id: Uuid,
    pub(in crate::db) order: OrderId,
    pub(in crate::db) line: ReservedLine,
    pub(in crate::db) status: StockRow,
    pub(in crate::db) at: Timestamp,
}

/// A new outcome.
pub(in crate::db) struct NewStep<'a> {
    pub(in crate::db) order: OrderId,
    pub(in crate::db) step: StepName,
    pub(in crate::db) at: Timestamp,
    /// Of [`StepName::Insufficient`].
    pub(in crate::db) shortages: Option<&'a [Shortage]>,
}

/// A product that has changed.
pub(in crate::db) struct ChangedProduct<'a> {
    pub(in crate::db) product: &'a Product,
    /// Whether it has a row.
    pub(in crate::db) is_stored: bool,
    /// Whether what is not a number of it is to be written too.
    pub(in crate::db) is_put: bool,
}

/// The products and outcome rows that a batch touches.
#[derive(Default)]
pub(in crate::db) struct StockPlan {
    products: BTreeMap<ProductId, Product>,
    stored: HashMap<ProductId, Numbers>,
    puts: HashSet<ProductId>,
    orders: HashMap<OrderId, Touched>,
}

/// One order's outcomes, and what of them is not stored yet.
#[derive(Default)]
struct Touched {
    stock: OrderStock,
    /// The status that the stored reservation rows have; none while no rows are stored.
    rows: Option<StockRow>,
    steps: Vec<(StepName, Timestamp)>,
}

impl StockPlan {
    pub(super) fn new(products: Vec<Product>, orders: HashMap<OrderId, OrderStock>) -> Self {
        Self {
            stored: products.iter().map(|product| (product.id, numbers(product))).collect(),
            products: products.into_iter().map(|product| (product.id, product)).collect(),
            puts: HashSet::new(),
            orders: orders.into_iter().map(|(order, stock)| (order, Touched { rows: stock.status, stock, steps: Vec::new() })).collect(),
        }
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
                touched.steps.push((StepName::Insufficient, at));
                EventBody::InventoryInsufficient { shortages }
            }
        };
        Answer::New(Some(Event::of(order, at, body)))
    }

    pub(super) fn release(&mut self, step: &StockStep, undo: ReleaseReason) -> Answer {
        let touched = self.orders.entry(step.order).or_default();
        let stock = &mut touched.stock;
        if let Some(answer) = released(stock).or_else(|| shipped(stock)) {
            return Answer::Repeated(vec![told(step, answer)]);
        }
        if stock.held.is_some() && undo == ReleaseReason::PaymentFailed {
            return Answer::Repeated(Vec::new());
        }
        let lines = move_lines(&mut self.products, stock, StockRow::Released);
        stock.released = Some(step.at);
        touched.steps.push((StepName::Released, step.at));
        Answer::New(Some(told(step, (step.at, EventBody::InventoryReleased { lines }))))
    }

    pub(super) fn hold(&mut self, step: &StockStep) -> Answer {
        let touched = self.orders.entry(step.order).or_default();
        let stock = &mut touched.stock;
        if stock.held.is_some() {
            return Answer::Repeated(Vec::new());
        }
        stock.held = Some(step.at);
        touched.steps.push((StepName::Held, step.at));
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
        touched.steps.push((StepName::Shipped, step.at));
        Answer::New(Some(told(step, (step.at, EventBody::InventoryShipped { lines }))))
    }

    /// Creates or changes a product: it as it is now, and what the audit says.
    pub(super) fn change(&mut self, write: &ProductWrite) -> Result<(Product, Vec<AuditEntry>), StockError> {
        let stored = self.products.get(&write.id);
        if !write.condition.admits(stored.map(Product::revision)) {
            return Err(StockError::Stale);
        }
        let product = write.change.apply(write.id, stored)?;
        let audit = write.audit(stored, &product);
        let of_orders = |product: &Product| (product.name.clone(), product.price, product.discontinued);
        if stored.map(of_orders) != Some(of_orders(&product)) {
            self.puts.insert(write.id);
        }
        self.products.insert(write.id, product.clone());
        Ok((product, audit))
    }

    /// The products that have changed, in the order of their ids.
    pub(in crate::db) fn changed_products(&self) -> impl Iterator<Item = ChangedProduct<'_>> {
        self.products.values().filter_map(|product| {
            let stored = self.stored.get(&product.id).copied();
            let is_put = self.puts.contains(&product.id);
            (is_put || stored != Some(numbers(product))).then_some(ChangedProduct { product, is_stored: stored.is_some(), is_put })
        })
    }

    /// The lines of new reservations, in the order of their ids, and the rows of older ones that have moved.
    pub(in crate::db) fn changed_reservations(&self) -> (Vec<NewReservation>, Vec<(Uuid, StockRow)>) {
        let (mut new, mut moved) = (Vec::new(), Vec::new());
        for (order, touched) in &self.orders {
            let Some(status) = touched.stock.status else { continue };
            let at = touched.stock.reserved_at.unwrap_or(Timestamp(0));
            let lines = (0..).zip(&touched.stock.lines);
            match touched.rows {
                None => {
                    new.extend(lines.map(|(n, line)| NewReservation { id: order.reservation(n).0, order: *order, line: *line, status, at }))
                }
                Some(stored) if stored != status => moved.extend(lines.map(|(n, _)| (order.reservation(n).0, status))),
                Some(_) => {}
            }
        }
        new.sort_unstable_by_key(|row| row.id);
        moved.sort_unstable_by_key(|(id, _)| *id);
        (new, moved)
    }

    /// The orders' outcomes as the batch leaves them, where there are any.
    pub(in crate::db) fn changed_orders(&self) -> impl Iterator<Item = (OrderId, &OrderStock)> {
        self.orders
            .iter()
            .filter(|(_, touched)| touched.rows != touched.stock.status || !touched.steps.is_empty())
            .map(|(id, touched)| (*id, &touched.stock))
    }

    /// The outcomes that are not stored yet.
    pub(in crate::db) fn new_steps(&self) -> impl Iterator<Item = NewStep<'_>> {
        self.orders.iter().flat_map(|(order, touched)| {
            touched.steps.iter().map(|&(step, at)| {
                let shortages = touched.stock.insufficient.as_ref().map(|(shortages, _)| shortages.as_slice());
                NewStep { order: *order, step, at, shortages: shortages.filter(|_| step == StepName::Insufficient) }
            })
        })
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

/// What a stored row says, as the event that announced it, and since when.
type Told = (Timestamp, EventBody);

fn told(step: &StockStep, (at, body): Told) -> Event {
    Event { order: step.order, shard: step.shard, correlation: step.correlation, at, body, external_ids: None }
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
