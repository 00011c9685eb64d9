//! Where the orders of a run come from, as request bodies. Order `number` is a function of the seed and its number, so a run can
//! be repeated and a request that is sent again is the same request.

use crate::cli::rng::{Rng, named_id};
use std::io::Write as _;
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

/// A request's bytes up to its body, made once; what changes is patched into its copy.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    head: Vec<u8>,
    length_at: usize,
    key_at: Option<usize>,
}

const LENGTH_DIGITS: usize = 8;
const BLANK_KEY: &str = "00000000-0000-0000-0000-000000000000";

impl Template {
    pub(crate) fn new(method: &str, path: &str, host: &str, key: Option<&str>, idempotent: bool) -> Self {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n");
        if let Some(key) = key {
            head.push_str(&format!("Authorization: Bearer {key}\r\n"));
        }
        let key_at = idempotent.then(|| {
            head.push_str("Idempotency-Key: ");
            let at = head.len();
            head.push_str(BLANK_KEY);
            head.push_str("\r\n");
            at
        });
        head.push_str("Content-Type: application/json\r\nContent-Length: ");
        let length_at = head.len();
        // Spaces before a value are allowed, so a length of any size fits the same place.
        head.push_str(&" ".repeat(LENGTH_DIGITS));
        head.push_str("\r\n\r\n");
        Self { head: head.into_bytes(), length_at, key_at }
    }

    /// A whole request into `out`: the head, the body that `write_body` appends, its length and the idempotency key.
    pub(crate) fn render(&self, out: &mut Vec<u8>, key: Uuid, write_body: impl FnOnce(&mut Vec<u8>)) {
        out.clear();
        out.extend_from_slice(&self.head);
        write_body(out);
        let length = out.len() - self.head.len();
        if let Some(mut digits) = out.get_mut(self.length_at..self.length_at + LENGTH_DIGITS) {
            // A slice that is too short would cut the number; 8 digits are 95 MiB, far above any body.
            drop(write!(digits, "{length:>LENGTH_DIGITS$}"));
        }
        if let Some(place) = self.key_at.and_then(|at| out.get_mut(at..at + BLANK_KEY.len())) {
            key.as_hyphenated().encode_lower(place);
        }
    }
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

    #[test]
    fn a_template_is_patched_in_place() {
        let template = Template::new("POST", "/x", "h:1", Some("secret"), true);
        let mut out = Vec::new();
        template.render(&mut out, Uuid::from_u128(1), |out| out.extend_from_slice(b"{}"));
        let want = "POST /x HTTP/1.1\r\nHost: h:1\r\nAuthorization: Bearer secret\r\nIdempotency-Key: 00000000-0000-0000-0000-000000000001\r\n\
                    Content-Type: application/json\r\nContent-Length:        2\r\n\r\n{}";
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }
}
