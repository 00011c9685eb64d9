//! The shapes of what clients send about orders, for the documents: bodies themselves are read field by field.
#![expect(dead_code, reason = "the shapes for the documents")]

use super::wire::Amount;
use super::wire_order::{AddressView, ContactView};
use utoipa::ToSchema;
use uuid::Uuid;

/// An order to place.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(super) struct OrderRequest {
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
pub(super) struct ItemRequest {
    /// Which product.
    pub product_id: Uuid,
    /// How many.
    #[schema(minimum = 1, maximum = 10000)]
    pub quantity: u32,
    /// Price of one, as text or number; more than 0, at most 2 decimal places.
    pub price: Amount,
}

/// The goods' way.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(super) struct ShipRequest {
    /// Who carries them.
    #[schema(max_length = 100)]
    pub carrier: Option<String>,
    /// The carrier's number.
    #[schema(max_length = 100)]
    pub tracking_number: Option<String>,
}
