//! The demo's shop. Prices are multiples of 0.50, so no usual total ends in the cents that the sandbox takes as a wish; the two
//! at the end make a total that ends in .01 when they are bought together, which the sandbox declines.

use crate::cli::rng::named_id;
use crate::domain::{Money, ProductId};

/// A product of the shop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Product {
    pub(super) id: ProductId,
    pub(super) name: &'static str,
    pub(super) price: Money,
    pub(super) stock: i32,
}

/// The shop's goods by how they sell.
#[derive(Clone, Debug)]
pub(super) struct Catalogue {
    /// Always there.
    pub(super) usual: Vec<Product>,
    /// Few, and soon sold out.
    pub(super) scarce: Vec<Product>,
    /// Together they end in .01.
    pub(super) declined: [Product; 2],
}

const USUAL_STOCK: i32 = 2_000;
const SCARCE_STOCK: i32 = 1;

/// Name and price in halves.
const USUAL: &[(&str, i64)] = &[
    ("Anchor Enamel Mug", 25),
    ("Beech Chopping Board", 58),
    ("Beeswax Candle, Pair", 29),
    ("Bicycle Bell, Brass", 37),
    ("Bird Feeder, Cedar", 49),
    ("Bread Knife", 64),
    ("Brush and Dustpan, Horsehair", 61),
    ("Bud Vase, Smoke Glass", 23),
    ("Canvas Apron", 55),
    ("Cast Iron Skillet 26 cm", 98),
    ("Coffee Dripper, Porcelain", 45),
    ("Coffee Grinder, Hand", 118),
    ("Cotton Throw, Herringbone", 119),
    ("Desk Lamp, Green", 158),
    ("Doormat, Coir", 47),
    ("Enamel Pie Dish", 27),
    ("Espresso Cups, Set of 4", 67),
    ("Felt Slippers", 78),
    ("Field Notebook, 3 Pack", 25),
    ("Fountain Pen, Medium", 69),
    ("Garden Trowel, Ash Handle", 39),
    ("Glass Storage Jar 1 l", 19),
    ("Hand Soap, Rosemary", 17),
    ("Hanging Planter, Terracotta", 41),
    ("Hot Water Bottle, Knitted", 52),
    ("Ink Bottle, Blue Black", 22),
    ("Kitchen Scale", 77),
    ("Leather Key Ring", 24),
    ("Linen Napkins, Set of 4", 56),
    ("Linen Tea Towel", 21),
    ("Loose Leaf Tea, Assam 250 g", 26),
    ("Luggage Strap", 31),
    ("Marble Pestle and Mortar", 73),
    ("Measuring Jug", 20),
    ("Merino Scarf", 94),
    ("Milk Jug, Speckled", 33),
    ("Oak Picture Frame A4", 46),
    ("Oil Can, Copper", 88),
    ("Pepper Mill, Walnut", 76),
    ("Picnic Blanket", 109),
    ("Plant Mister, Brass", 42),
    ("Pocket Torch", 35),
    ("Recycled Glass Tumbler", 13),
    ("Rolling Pin", 30),
    ("Salad Servers, Olive Wood", 40),
    ("Salt Cellar", 28),
    ("Sewing Kit", 32),
    ("Shaving Brush", 57),
    ("Stoneware Bowl, Large", 51),
    ("Storm Kettle", 128),
    ("Teapot, Cast Iron", 106),
    ("Toolbox, Steel", 66),
    ("Umbrella, Beech Crook", 114),
    ("Wall Clock, Station", 139),
    ("Watering Can 5 l", 54),
    ("Wool Socks", 34),
];

const SCARCE: &[(&str, i64)] = &[
    ("Hand-thrown Tea Bowl, Signed", 178),
    ("Harbour at Dusk, Numbered Print", 290),
    ("Telescope, Brass, 1954", 699),
    ("Typewriter, Restored", 498),
];

impl Catalogue {
    pub(super) fn new() -> Self {
        let product = |name: &'static str, cents: i64, stock: i32| Product {
            id: ProductId(named_id("demo-product", name)),
            name,
            price: Money::from_minor(cents).unwrap_or_default(),
            stock,
        };
        let all = |goods: &[(&'static str, i64)], stock| goods.iter().map(|(name, halves)| product(name, halves * 50, stock)).collect();
        Self {
            usual: all(USUAL, USUAL_STOCK),
            scarce: all(SCARCE, SCARCE_STOCK),
            declined: [product("Sticker Sheet, Alpine Flowers", 291, USUAL_STOCK), product("Postcard, Funicular", 110, USUAL_STOCK)],
        }
    }

    /// All products.
    pub(super) fn all(&self) -> impl Iterator<Item = &Product> {
        self.usual.iter().chain(&self.scarce).chain(&self.declined)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_shop_is_believable_and_its_cents_mean_nothing_by_chance() {
        let catalogue = Catalogue::new();
        let ids: BTreeSet<_> = catalogue.all().map(|product| product.id).collect();
        assert_eq!(ids.len(), catalogue.all().count(), "no product twice");
        assert!(ids.len() >= 60);
        for product in catalogue.usual.iter().chain(&catalogue.scarce) {
            assert_eq!(product.price.minor() % 50, 0, "{}", product.name);
            assert!(product.price > Money::ZERO);
        }
        let [sticker, postcard] = catalogue.declined;
        assert_eq!((sticker.price.minor() + postcard.price.minor()) % 100, 1);
    }
}
