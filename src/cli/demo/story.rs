//! What the demo's customers do: each order is a function of the seed and its number.

use super::catalogue::{Catalogue, Product};
use crate::cli::rng::{Rng, named_id};
use serde_json::{Value, json};
use std::time::Duration;

/// What is meant to become of an order; the node decides what does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Plan {
    /// Bought and kept.
    Keep,
    /// Bought, and sent after some time.
    Ship,
    /// The bank declines.
    Decline,
    /// Something scarce, so soon out of stock.
    Scarce,
    /// The customer changes their mind after some time.
    Cancel,
}

/// One order to come.
#[derive(Clone, Debug)]
pub(super) struct Story {
    pub(super) plan: Plan,
    pub(super) customer: String,
    /// What was bought, in words.
    pub(super) goods: String,
    /// The request's body.
    pub(super) body: Value,
    /// How long after the order's acceptance its plan is carried out.
    pub(super) patience: Duration,
}

const FIRST: &[&str] = &[
    "Ada", "Amir", "Anja", "Bea", "Carlos", "Chen", "Dora", "Elif", "Emil", "Femi", "Greta", "Hugo", "Ines", "Ivan", "Jun", "Kofi", "Lena",
    "Mina", "Nora", "Omar", "Paula", "Ravi", "Sofia", "Tom", "Uma", "Vera", "Wim", "Yuki", "Zoe",
];
const LAST: &[&str] = &[
    "Almeida", "Berg", "Costa", "Demir", "Eriksen", "Fischer", "Garcia", "Haddad", "Ito", "Jensen", "Kaya", "Larsen", "Moreau", "Novak",
    "Okafor", "Patel", "Quinn", "Rossi", "Sato", "Tanaka", "Urban", "Vogel", "Weber", "Young", "Zhou",
];
const TOWNS: &[(&str, &str, &str)] = &[
    ("12 Harbour Street", "Bristol", "United Kingdom"),
    ("Lindenweg 4", "Leipzig", "Germany"),
    ("27 rue des Tanneurs", "Lyon", "France"),
    ("Via Garibaldi 8", "Torino", "Italy"),
    ("Calle Mayor 31", "Zaragoza", "Spain"),
    ("Storgata 5", "Bergen", "Norway"),
];
const METHODS: &[&str] = &["CARD", "CARD", "CARD", "PAYPAL", "INVOICE"];

impl Story {
    /// Order `number` of the demo with this seed.
    pub(super) fn of(seed: u64, number: u64, catalogue: &Catalogue) -> Self {
        let mut luck = Rng::of(seed, number);
        let plan = match luck.below(100) {
            0..8 => Plan::Decline,
            8..15 => Plan::Scarce,
            15..22 => Plan::Cancel,
            22..80 => Plan::Ship,
            _ => Plan::Keep,
        };
        let lines = lines_of(plan, &mut luck, catalogue);
        let first = luck.pick(FIRST).copied().unwrap_or("Ada");
        let last = luck.pick(LAST).copied().unwrap_or("Berg");
        let goods: Vec<String> = lines
            .iter()
            .map(|(product, quantity)| if *quantity == 1 { product.name.to_owned() } else { format!("{quantity} x {}", product.name) })
            .collect();
        let patience_ms = match plan {
            // Some are cancelled before they are paid, most after.
            Plan::Cancel => luck.below(1500),
            Plan::Ship => 1500 + luck.below(5000),
            Plan::Keep | Plan::Decline | Plan::Scarce => 0,
        };
        Self {
            plan,
            customer: format!("{first} {last}"),
            goods: goods.join(" + "),
            body: body(first, last, &lines, &mut luck),
            patience: Duration::from_millis(u64::try_from(patience_ms).unwrap_or(0)),
        }
    }
}

fn lines_of<'a>(plan: Plan, luck: &mut Rng, catalogue: &'a Catalogue) -> Vec<(&'a Product, u32)> {
    let mut lines: Vec<(&Product, u32)> = Vec::new();
    match plan {
        Plan::Scarce => lines.extend(luck.pick(&catalogue.scarce).map(|product| (product, 1))),
        Plan::Decline => lines.extend(catalogue.declined.iter().map(|product| (product, 1))),
        Plan::Keep | Plan::Ship | Plan::Cancel => {}
    }
    for _ in 0..=luck.below(3) {
        let Some(product) = luck.pick(&catalogue.usual) else { continue };
        // An even number of each, so that a declined total keeps its cents; else one of most things.
        let quantity = match (plan, luck.below(5)) {
            (Plan::Decline, _) => 2,
            (Plan::Keep | Plan::Ship | Plan::Scarce | Plan::Cancel, 0) => 2,
            (Plan::Keep | Plan::Ship | Plan::Scarce | Plan::Cancel, _) => 1,
        };
        if lines.iter().all(|(chosen, _)| chosen.id != product.id) {
            lines.push((product, quantity));
        }
    }
    lines
}

fn body(first: &str, last: &str, lines: &[(&Product, u32)], luck: &mut Rng) -> Value {
    let items: Vec<Value> = lines
        .iter()
        .map(|(product, quantity)| json!({"productId": product.id.to_string(), "quantity": quantity, "price": product.price.to_string()}))
        .collect();
    let email = format!("{}.{}@example.test", first.to_ascii_lowercase(), last.to_ascii_lowercase());
    let mut contact = json!({"email": email, "locale": "en"});
    if let (true, Some(contact)) = (luck.chance(0.25), contact.as_object_mut()) {
        contact.insert("phone".to_owned(), json!(format!("+4477009{:05}", 10_100 + luck.below(80_000))));
    }
    let (street, city, country) = luck.pick(TOWNS).copied().unwrap_or_default();
    json!({
        "customerId": named_id("demo-customer", &format!("{first} {last}")).to_string(),
        "items": items,
        "paymentMethod": luck.pick(METHODS).copied().unwrap_or("CARD"),
        "contact": contact,
        "shippingAddress": {"name": format!("{first} {last}"), "street": street, "city": city, "country": country}
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Money;

    fn total_of(body: &Value) -> i64 {
        let line = |item: &Value| item["price"].as_str().unwrap().parse::<Money>().unwrap().minor() * item["quantity"].as_i64().unwrap();
        body["items"].as_array().unwrap().iter().map(line).sum()
    }

    #[test]
    fn only_those_meant_to_be_declined_end_in_a_magic_total() {
        let catalogue = Catalogue::new();
        let mut plans = Vec::new();
        for number in 0..2000 {
            let story = Story::of(1, number, &catalogue);
            let cents = total_of(&story.body) % 100;
            if story.plan == Plan::Decline {
                assert_eq!(cents, 1, "{story:?}");
            } else {
                assert!(cents == 0 || cents == 50, "{story:?}");
            }
            if !plans.contains(&story.plan) {
                plans.push(story.plan);
            }
        }
        assert_eq!(plans.len(), 5, "{plans:?}");
    }

    #[test]
    fn the_same_seed_tells_the_same_story() {
        let catalogue = Catalogue::new();
        let body = |seed| Story::of(seed, 3, &catalogue).body;
        assert_eq!(body(1), body(1));
        assert_ne!(body(1), body(2));
    }
}
