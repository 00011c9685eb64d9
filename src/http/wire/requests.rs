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
    /// The customer.
    pub customer_id: Uuid,
    /// 1 to 1,000 items; no product twice; a total of at most 99,999,999.99.
    #[schema(min_items = 1, max_items = 1000)]
    pub items: Vec<ItemRequest>,
    /// How the customer pays; default `CARD`.
    #[schema(max_length = 50)]
    pub payment_method: Option<String>,
    /// How to notify the customer.
    pub contact: Option<ContactView>,
    /// Delivery address.
    pub shipping_address: Option<AddressView>,
}

/// One item of an order to place.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct ItemRequest {
    /// The product's id.
    pub product_id: Uuid,
    /// Quantity.
    #[schema(minimum = 1, maximum = 10000)]
    pub quantity: u32,
    /// Unit price, as a string or number; more than 0, with at most 2 decimal places.
    pub price: Amount,
}

/// A product to create, or whose name and price to change.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct ProductBody {
    /// Its name.
    #[schema(min_length = 1, max_length = 255, example = "Enamel mug")]
    pub name: String,
    /// Its unit price.
    #[schema(value_type = String, example = "12.50")]
    pub price: Amount,
    /// Available quantity of a new product (default 0). For an existing product it counts only with a `mode`.
    #[schema(minimum = 0, example = 100)]
    pub available_quantity: Option<i32>,
    /// Whether it is off sale; unchanged if absent.
    pub discontinued: Option<bool>,
}

/// Changes to a product.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct ProductPatch {
    /// Its name.
    #[schema(min_length = 1, max_length = 255)]
    pub name: Option<String>,
    /// Its unit price.
    #[schema(value_type = Option<String>, example = "13.00")]
    pub price: Option<Amount>,
    /// The new available quantity; needs `If-Match`.
    #[schema(minimum = 0)]
    pub available_quantity: Option<i32>,
    /// Quantity counted on the shelf, including goods held for orders.
    #[schema(minimum = 0)]
    pub counted_quantity: Option<i32>,
    /// Whether it is off sale.
    pub discontinued: Option<bool>,
    /// The reason, for the list of corrections.
    #[schema(min_length = 1, max_length = 200)]
    pub reason: Option<String>,
}

/// A change of stock.
#[derive(ToSchema)]
pub(crate) struct StockBody {
    /// Quantity to add to the available stock; negative to take out; not 0.
    #[schema(example = 5)]
    pub delta: i32,
    /// The reason, for the list of corrections.
    #[schema(min_length = 1, max_length = 200, example = "delivery of Monday")]
    pub reason: String,
}

/// The shipment.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct ShipRequest {
    /// The carrier.
    #[schema(max_length = 100)]
    pub carrier: Option<String>,
    /// The tracking number.
    #[schema(max_length = 100)]
    pub tracking_number: Option<String>,
}
