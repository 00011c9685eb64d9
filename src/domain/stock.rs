//! Stock: what there is of each product, and the decision whether an order can have its lines.

use super::{Line, Money, ProductId, Shortage, Text};
use std::collections::BTreeMap;

/// Whether an order's prices must equal the catalogue's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pricing {
    /// The catalogue's price rules; an order with another price is cancelled.
    Check,
    /// The client's prices are taken.
    Trust,
}

/// A product of the catalogue with its stock. Always `available + reserved + shipped == supplied`, none negative.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Product {
    /// Which.
    pub id: ProductId,
    /// What it is called.
    pub name: Text<255>,
    /// What one costs.
    pub price: Money,
    /// How many can be ordered.
    pub available: i32,
    /// How many are held for orders.
    pub reserved: i32,
    /// How many have left.
    pub shipped: i32,
    /// How many were ever put in, less those taken out by hand.
    pub supplied: i32,
}

/// Why a change of stock was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StockError {
    /// No such product.
    #[error("no such product")]
    Unknown,
    /// The change would take more than is available.
    #[error("only {available} are available")]
    BelowZero {
        /// How many there are.
        available: i32,
    },
    /// The count would leave the range of a 32-bit integer.
    #[error("the stock would be too large")]
    TooLarge,
}

impl Product {
    /// A product of which `available` were just put in.
    #[must_use]
    pub fn new(id: ProductId, name: Text<255>, price: Money, available: i32) -> Self {
        Self { id, name, price, available, reserved: 0, shipped: 0, supplied: available }
    }

    /// Puts `delta` into the available stock, or takes it out.
    ///
    /// # Errors
    /// See [`StockError`]; nothing has changed then.
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

    /// Gives a held quantity back to the available stock.
    pub fn release(&mut self, quantity: i32) {
        self.reserved -= quantity;
        self.available += quantity;
    }

    /// Moves a held quantity out of the house.
    pub fn ship(&mut self, quantity: i32) {
        self.reserved -= quantity;
        self.shipped += quantity;
    }
}

/// Whether an order gets its stock: all of its lines or none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReserveDecision {
    /// Every line is held; the products were changed.
    Reserved,
    /// Nothing is held, and why.
    Insufficient(Vec<Shortage>),
}

/// Decides one order against the products that it touches; the orders of a batch are decided in the order of their arrival.
/// A product missing from `products` is not in the catalogue.
pub fn reserve(products: &mut BTreeMap<ProductId, Product>, lines: &[Line], pricing: Pricing) -> ReserveDecision {
    let mut shortages = Vec::new();
    for line in lines {
        match products.get(&line.product) {
            None => shortages.push(Shortage::UnknownProduct { product: line.product }),
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

fn quantity(line: &Line) -> i32 {
    i32::try_from(line.quantity.get()).unwrap_or(i32::MAX)
}
