//! Stock: the quantities of each product, and the decision whether an order gets its lines.

use super::{Money, OrderLine, ProductId, Shortage, Text};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Whether an order's prices must equal the catalogue's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pricing {
    /// The catalogue's price counts; an order with a different price is cancelled.
    Check,
    /// The client's prices count.
    Trust,
}

/// A product of the catalogue with its stock. Invariant: `available + reserved + shipped == supplied`, none negative.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Product {
    /// Its id.
    pub id: ProductId,
    /// Its name.
    pub name: Text<255>,
    /// Its unit price.
    pub price: Money,
    /// Quantity that can be ordered.
    pub available: i32,
    /// Quantity held for orders.
    pub reserved: i32,
    /// Quantity shipped.
    pub shipped: i32,
    /// Quantity ever supplied, minus what was taken out by hand.
    pub supplied: i32,
    /// Whether it is off sale: no new order gets it, whatever is available; orders that hold some continue.
    pub discontinued: bool,
}

/// A version of a product or an order that a client has seen; it changes whenever anything that clients see changes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Revision(pub u64);

/// The condition under which a change of a product is made.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Condition {
    /// Nothing.
    #[default]
    None,
    /// The product exists.
    Exists,
    /// The product does not exist.
    Absent,
    /// The product has one of these revisions.
    Is(Vec<Revision>),
}

impl Condition {
    /// Whether a product with this revision (`None`: no product) meets the condition.
    #[must_use]
    pub fn admits(&self, current: Option<Revision>) -> bool {
        match self {
            Self::None => true,
            Self::Exists => current.is_some(),
            Self::Absent => current.is_none(),
            Self::Is(seen) => current.is_some_and(|current| seen.contains(&current)),
        }
    }
}

/// A change of a product's stock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StockChange {
    /// Nothing.
    Keep,
    /// Sets the available quantity of a new product. An existing product keeps its stock, because orders have taken from it in the
    /// meantime.
    First(i32),
    /// Sets the available quantity.
    Set(i32),
    /// Sets the quantity counted on the shelf: what is held for orders is included, and the rest becomes available.
    Counted(i32),
    /// Adds to the available quantity, or takes from it.
    Add(i32),
}

/// What a change does if the product does not exist.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IfMissing {
    /// Creates the product, if the change has a name and a price.
    Create,
    /// Refuses the change.
    Refuse,
}

/// A person's change of a product; fields that are `None` stay as they are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProductChange {
    /// Its name.
    pub name: Option<Text<255>>,
    /// Its unit price.
    pub price: Option<Money>,
    /// The change of its stock.
    pub stock: StockChange,
    /// Whether it is off sale.
    pub discontinued: Option<bool>,
    /// What to do if the product does not exist.
    pub if_missing: IfMissing,
}

impl ProductChange {
    /// A change that changes nothing.
    #[must_use]
    pub fn nothing() -> Self {
        Self { name: None, price: None, stock: StockChange::Keep, discontinued: None, if_missing: IfMissing::Refuse }
    }

    /// The product after the change. A negative stock is not checked where it is set: every database rejects it.
    ///
    /// # Errors
    /// See [`StockError`].
    pub fn apply(&self, id: ProductId, stored: Option<&Product>) -> Result<Product, StockError> {
        let mut product = match (stored, self.if_missing, &self.name, self.price) {
            (Some(stored), ..) => stored.clone(),
            (None, IfMissing::Create, Some(name), Some(price)) => {
                let mut product = Product::new(id, name.clone(), price, 0);
                if let StockChange::First(available) = self.stock {
                    product.set_available(available)?;
                }
                product
            }
            (None, IfMissing::Create, _, _) | (None, IfMissing::Refuse, ..) => return Err(StockError::Unknown),
        };
        if let Some(name) = &self.name {
            product.name.clone_from(name);
        }
        product.price = self.price.unwrap_or(product.price);
        product.discontinued = self.discontinued.unwrap_or(product.discontinued);
        match self.stock {
            StockChange::Keep | StockChange::First(_) => {}
            StockChange::Set(available) => product.set_available(available)?,
            StockChange::Counted(counted) if counted < product.reserved => {
                return Err(StockError::CountBelowReserved { counted, reserved: product.reserved });
            }
            StockChange::Counted(counted) => product.set_available(counted - product.reserved)?,
            StockChange::Add(delta) => product.adjust(delta)?,
        }
        Ok(product)
    }

    /// What the person did, for the audit: one line for each change that neither the catalogue nor orders show.
    #[must_use]
    pub fn told(&self, stored: Option<&Product>, now: &Product) -> Vec<String> {
        let mut told = Vec::new();
        let before = stored.map_or(0, |stored| stored.available);
        match self.stock {
            StockChange::Add(delta) => told.push(format!("{delta:+}")),
            StockChange::Set(_) | StockChange::Counted(_) if stored.is_none_or(|stored| stored.available == now.available) => {}
            StockChange::Set(available) => told.push(format!("{:+} set to {available}", i64::from(available) - i64::from(before))),
            StockChange::Counted(counted) => {
                let held = now.reserved;
                told.push(format!("{:+} counted {counted}, {held} of them held", i64::from(now.available) - i64::from(before)));
            }
            StockChange::Keep | StockChange::First(_) => {}
        }
        if stored.is_some_and(|stored| stored.discontinued) != now.discontinued {
            told.push(if now.discontinued { "discontinued" } else { "on sale again" }.to_owned());
        }
        told
    }
}

/// Why a change of stock was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StockError {
    /// The product does not exist.
    #[error("no such product")]
    Unknown,
    /// The change would take more than is available.
    #[error("only {available} are available")]
    BelowZero {
        /// The available quantity.
        available: i32,
    },
    /// Fewer were counted than are held for orders.
    #[error("{counted} were counted but {reserved} are held for orders: count again, or cancel orders first")]
    CountBelowReserved {
        /// The quantity counted.
        counted: i32,
        /// The quantity held.
        reserved: i32,
    },
    /// The product is not in the state that the condition requires.
    #[error("the product has changed since it was read")]
    Stale,
    /// The quantity would leave the range of a 32-bit integer.
    #[error("the stock would be too large")]
    TooLarge,
}

impl Product {
    /// A new product with `available` in stock.
    #[must_use]
    pub fn new(id: ProductId, name: Text<255>, price: Money, available: i32) -> Self {
        Self { id, name, price, available, reserved: 0, shipped: 0, supplied: available, discontinued: false }
    }

    /// Its revision.
    #[must_use]
    pub fn revision(&self) -> Revision {
        let mut hash = Sha256::new();
        hash.update(self.id.0.as_bytes());
        hash.update(self.name.as_str());
        hash.update(self.price.minor().to_be_bytes());
        for count in [self.available, self.reserved, self.shipped, i32::from(self.discontinued)] {
            hash.update(count.to_be_bytes());
        }
        let digest: [u8; 32] = hash.finalize().into();
        Revision(digest.first_chunk().map_or(0, |first| u64::from_be_bytes(*first)))
    }

    /// Sets the available quantity; what is held or shipped counts as supplied too.
    fn set_available(&mut self, available: i32) -> Result<(), StockError> {
        let supplied = self.reserved.checked_add(self.shipped).and_then(|gone| gone.checked_add(available));
        self.supplied = supplied.ok_or(StockError::TooLarge)?;
        self.available = available;
        Ok(())
    }

    /// Adds `delta` to the available stock, or takes it out if negative.
    ///
    /// # Errors
    /// See [`StockError`]; nothing has changed in that case.
    pub fn adjust(&mut self, delta: i32) -> Result<(), StockError> {
        let available = self.available.checked_add(delta).ok_or(StockError::TooLarge)?;
        let supplied = self.supplied.checked_add(delta).ok_or(StockError::TooLarge)?;
        if available < 0 {
            return Err(StockError::BelowZero { available: self.available });
        }
        self.available = available;
        self.supplied = supplied;
        Ok(())
    }

    /// Moves a held quantity back to the available stock.
    pub fn release(&mut self, quantity: i32) {
        self.reserved -= quantity;
        self.available += quantity;
    }

    /// Moves a held quantity to the shipped stock.
    pub fn ship(&mut self, quantity: i32) {
        self.reserved -= quantity;
        self.shipped += quantity;
    }
}

/// Whether an order gets its stock: all of its lines or none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReserveDecision {
    /// Every line is held, and the products were changed.
    Reserved,
    /// Nothing is held, for these reasons.
    Insufficient(Vec<Shortage>),
}

/// Decides one order against the products that it touches. Orders of a batch are decided in the sequence of their arrival. A product
/// missing from `products` is not in the catalogue.
pub fn reserve(products: &mut BTreeMap<ProductId, Product>, lines: &[OrderLine], pricing: Pricing) -> ReserveDecision {
    let mut shortages = Vec::new();
    for line in lines {
        match products.get(&line.product) {
            None => shortages.push(Shortage::UnknownProduct { product: line.product }),
            Some(product) if product.discontinued => shortages.push(Shortage::Discontinued { product: line.product }),
            Some(product) if pricing == Pricing::Check && product.price != line.price => {
                shortages.push(Shortage::PriceMismatch { product: line.product, asked: line.price, price: product.price });
            }
            Some(product) if product.available < quantity(line) => shortages.push(Shortage::OutOfStock {
                product: line.product,
                requested: line.quantity.get(),
                available: u32::try_from(product.available).unwrap_or(0),
            }),
            Some(_) => {}
        }
    }
    if !shortages.is_empty() {
        return ReserveDecision::Insufficient(shortages);
    }
    for line in lines {
        if let Some(product) = products.get_mut(&line.product) {
            product.available -= quantity(line);
            product.reserved += quantity(line);
        }
    }
    ReserveDecision::Reserved
}

fn quantity(line: &OrderLine) -> i32 {
    i32::try_from(line.quantity.get()).unwrap_or(i32::MAX)
}
