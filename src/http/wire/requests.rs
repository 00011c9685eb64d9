//! The shapes of what clients send about orders, for the documents: bodies themselves are read field by field.
#![expect(dead_code, reason = "the shapes for the documents")]

use crate::http::wire::order::{AddressView, ContactView};
use crate::http::wire::values::Amount;
use utoipa::ToSchema;
use uuid::Uuid;

/// An order to place.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct OrderRequest {
    /// Who orders.
    pub customer_id: Uuid,
    /// What: 1 to 1,000 items, no product twice, at most 99,999,999.99 in all.
    #[schema(min_items = 1, max_items = 1000)]
    pub items: Vec<ItemRequest>,
    /// How the customer pays; default `CARD`.
    #[schema(max_length = 50)]
    pub payment_method: Option<String>,
    /// Where the customer wants to hear of it.
    pub contact: Option<ContactView>,
    /// Where the goods go.
    pub shipping_address: Option<AddressView>,
}

/// One line of an order to place.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct ItemRequest {
    /// Which product.
    pub product_id: Uuid,
    /// How many.
    #[schema(minimum = 1, maximum = 10000)]
    pub quantity: u32,
    /// Price of one, as text or number; more than 0, at most 2 decimal places.
    pub price: Amount,
}

/// A product to create, or to give another name and price.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct ProductBody {
    /// What it is called.
    #[schema(min_length = 1, max_length = 255, example = "Enamel mug")]
    pub name: String,
    /// What one costs.
    #[schema(value_type = String, example = "12.50")]
    pub price: Amount,
    /// How many of a new product can be ordered (0 unless given); of one that is there only with a `mode`.
    #[schema(minimum = 0, example = 100)]
    pub available_quantity: Option<i32>,
    /// Whether it is off sale; stays unless given.
    pub discontinued: Option<bool>,
}

/// What of a product changes.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct ProductPatch {
    /// What it is called.
    #[schema(min_length = 1, max_length = 255)]
    pub name: Option<String>,
    /// What one costs.
    #[schema(value_type = Option<String>, example = "13.00")]
    pub price: Option<Amount>,
    /// How many can be ordered from now on; needs `If-Match`.
    #[schema(minimum = 0)]
    pub available_quantity: Option<i32>,
    /// How many lie in the shelf, those held for orders among them.
    #[schema(minimum = 0)]
    pub counted_quantity: Option<i32>,
    /// Whether it is off sale.
    pub discontinued: Option<bool>,
    /// Why, for the list of corrections.
    #[schema(min_length = 1, max_length = 200)]
    pub reason: Option<String>,
}

/// A change of stock.
#[derive(ToSchema)]
pub(crate) struct StockBody {
    /// How many more (or, below zero, fewer) can be ordered; not 0.
    #[schema(example = 5)]
    pub delta: i32,
    /// Why, for the list of corrections.
    #[schema(min_length = 1, max_length = 200, example = "delivery of Monday")]
    pub reason: String,
}

/// The goods' way.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct ShipRequest {
    /// Who carries them.
    #[schema(max_length = 100)]
    pub carrier: Option<String>,
    /// The carrier's number.
    #[schema(max_length = 100)]
    pub tracking_number: Option<String>,
}
