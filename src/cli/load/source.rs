//! Where the orders of a run come from, as request bodies. Order `number` is a function of the seed and its number, so a run can
//! be repeated and a request that is sent again is the same request.

use crate::cli::rng::{Rng, named_id};
use uuid::Uuid;

/// A product that a run needs in the node's catalogue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct CatalogueProduct {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) price: crate::domain::Money,
    pub(crate) available: i32,
}

/// What a generated order looks like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) seed: u64,
    pub(crate) products: usize,
    pub(crate) customers: usize,
    pub(crate) items: usize,
    pub(crate) hot: bool,
}

/// The orders of a run.
pub(crate) enum Source {
    /// Made up.
    Generated(Generator),
    /// Bodies made beforehand, taken in turn.
    Real(Vec<Box<[u8]>>),
}

/// Pre-rendered pieces that are put together to orders.
pub(crate) struct Generator {
    shape: Shape,
    /// `{"productId":"…","price":"…","quantity":` of each product.
    products: Vec<Box<[u8]>>,
    /// `{"customerId":"…","items":[` of each customer.
    customers: Vec<Box<[u8]>>,
}

impl Source {
    /// Appends the body of order `number` to `out`.
    pub(crate) fn write(&self, number: u64, out: &mut Vec<u8>) {
        match self {
            Self::Generated(generator) => generator.write(number, out),
            Self::Real(bodies) => {
                let count = u64::try_from(bodies.len()).unwrap_or(1).max(1);
                let body = usize::try_from(number % count).ok().and_then(|at| bodies.get(at));
                out.extend_from_slice(body.map(AsRef::as_ref).unwrap_or_default());
            }
        }
    }
}

impl Generator {
    pub(crate) fn new(shape: Shape) -> Self {
        let products = catalogue(shape.products, i32::MAX)
            .iter()
            .map(|product| format!(r#"{{"productId":"{}","price":"{}","quantity":"#, product.id, product.price).into_bytes().into())
            .collect();
        let customers = (0..shape.customers.max(1))
            .map(|at| {
                let id = named_id("load-customer", &at.to_string());
                format!(r#"{{"customerId":"{id}","items":["#).into_bytes().into()
            })
            .collect();
        Self { shape, products, customers }
    }

    fn write(&self, number: u64, out: &mut Vec<u8>) {
        let mut luck = Rng::of(self.shape.seed, number);
        out.extend_from_slice(luck.pick(&self.customers).map(AsRef::as_ref).unwrap_or_default());
        // Distinct products without a set: a random first one, then steps around the catalogue.
        let count = self.products.len();
        let mut at = if self.shape.hot { 0 } else { luck.below(count) };
        let stride = count / self.shape.items.max(1);
        for item in 0..self.shape.items.min(count) {
            if item > 0 {
                out.push(b',');
                at = (at + 1 + luck.below(stride)) % count.max(1);
            }
            out.extend_from_slice(self.products.get(at).map(AsRef::as_ref).unwrap_or_default());
            let quantity = u8::try_from(1 + luck.below(3)).unwrap_or(1);
            out.extend_from_slice(&[b'0' + quantity, b'}']);
        }
        out.extend_from_slice(b"]}");
    }
}

/// The generated catalogue. Prices are multiples of 0.50, so that no total ends in the cents that the sandbox takes as a wish
/// to decline or fail.
pub(crate) fn catalogue(products: usize, available: i32) -> Vec<CatalogueProduct> {
    (0..products)
        .map(|at| {
            let halves = 2 + i64::try_from(Rng::of(1, at as u64).below(198)).unwrap_or(0);
            CatalogueProduct {
                id: named_id("load-product", &at.to_string()),
                name: format!("Load product {at}"),
                price: crate::domain::Money::from_minor(halves * 50).unwrap_or_default(),
                available,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn shape(products: usize, items: usize, hot: bool) -> Shape {
        Shape { seed: 7, products, customers: 10, items, hot }
    }

    #[test]
    fn generated_orders_are_valid_json_with_distinct_products_of_the_catalogue() {
        let priced: std::collections::BTreeMap<String, String> =
            catalogue(50, 1).iter().map(|product| (product.id.to_string(), product.price.to_string())).collect();
        for (items, hot) in [(1, false), (2, false), (3, true), (50, false), (50, true), (60, false)] {
            let source = Source::Generated(Generator::new(shape(50, items, hot)));
            for number in 0..200 {
                let mut body = Vec::new();
                source.write(number, &mut body);
                let order: serde_json::Value = serde_json::from_slice(&body).unwrap();
                let lines = order["items"].as_array().unwrap();
                let ids: BTreeSet<&str> = lines.iter().map(|line| line["productId"].as_str().unwrap()).collect();
                assert_eq!(ids.len(), items.min(50));
                assert_eq!(lines.len(), items.min(50));
                for line in lines {
                    assert_eq!(priced[line["productId"].as_str().unwrap()], line["price"].as_str().unwrap());
                    assert!((1..=3).contains(&line["quantity"].as_u64().unwrap()));
                }
                if hot {
                    assert!(ids.contains(named_id("load-product", "0").to_string().as_str()));
                }
            }
        }
    }

    #[test]
    fn an_order_depends_on_seed_and_number_alone() {
        let body = |seed, number| {
            let mut body = Vec::new();
            Source::Generated(Generator::new(Shape { seed, ..shape(50, 2, false) })).write(number, &mut body);
            body
        };
        assert_eq!(body(1, 5), body(1, 5));
        assert_ne!(body(1, 5), body(1, 6));
        assert_ne!(body(1, 5), body(2, 5));
    }
}
