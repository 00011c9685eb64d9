//! Checks of the products: their sums in themselves, and against what the orders hold and have got.

use super::options::Options;
use super::report::{Check, Report};
use crate::db::{OrderAudit, Snapshot, StoreError};
use crate::domain::{ProductId, ReservedLine, Role};
use std::collections::HashMap;

/// What the orders hold and have got of each product.
#[derive(Default)]
pub(super) struct Sums {
    of: HashMap<ProductId, Sum>,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Sum {
    held: i64,
    shipped: i64,
}

impl Sums {
    pub(super) fn add(&mut self, audit: &OrderAudit) {
        let quantity = |line: &ReservedLine| i64::from(line.quantity.get());
        for line in &audit.held {
            self.of.entry(line.product).or_default().held += quantity(line);
        }
        for line in &audit.shipped {
            self.of.entry(line.product).or_default().shipped += quantity(line);
        }
    }

    pub(super) async fn check(mut self, snapshot: &mut dyn Snapshot, options: &Options, report: &mut Report) -> Result<(), StoreError> {
        if options.external.contains(&Role::Inventory) {
            return Ok(());
        }
        for product in snapshot.products().await? {
            report.examine(Check::StockSums);
            let parts = [product.available, product.reserved, product.shipped].map(i64::from);
            if parts.iter().any(|part| *part < 0) || parts.iter().sum::<i64>() != i64::from(product.supplied) {
                let [available, reserved, shipped] = parts;
                report.violate(Check::StockSums, || {
                    format!("product {}: {available} + {reserved} + {shipped} is not {}, or negative", product.id, product.supplied)
                });
            }
            report.examine(Check::StockHolders);
            let orders = self.of.remove(&product.id).unwrap_or_default();
            let stored = Sum { held: i64::from(product.reserved), shipped: i64::from(product.shipped) };
            if stored != orders {
                report.violate(Check::StockHolders, || format!("product {}: it says {stored:?}, the orders {orders:?}", product.id));
            }
        }
        for (product, orders) in self.of {
            report.violate(Check::StockHolders, || format!("product {product}: not in the catalogue, the orders {orders:?}"));
        }
        Ok(())
    }
}
