//! Products and corrections of their stock as clients see them.

use crate::db::Correction;
use crate::domain::Product;
use crate::http::wire::precondition::etag;
use crate::http::wire::values::{Amount, Time};
use actix_web::HttpResponse;
use actix_web::http::header::ETAG;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// A product of the catalogue.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProductView {
    /// The product's id.
    pub product_id: Uuid,
    /// Its name.
    pub name: String,
    /// Its unit price.
    pub price: Amount,
    /// Quantity that can be ordered.
    pub available_quantity: i32,
    /// Quantity held for orders.
    pub reserved_quantity: i32,
    /// Quantity shipped.
    pub shipped_quantity: i32,
    /// Whether it is off sale: new orders for it are cancelled (`discontinued`), orders in progress continue.
    pub discontinued: bool,
}

impl From<&Product> for ProductView {
    fn from(product: &Product) -> Self {
        Self {
            product_id: product.id.0,
            name: product.name.to_string(),
            price: Amount(product.price),
            available_quantity: product.available,
            reserved_quantity: product.reserved,
            shipped_quantity: product.shipped,
            discontinued: product.discontinued,
        }
    }
}

/// A page of products.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProductPage {
    /// The products, by id.
    pub items: Vec<ProductView>,
    /// The `cursor` of the next page; absent on the last page.
    pub next_cursor: Option<String>,
}

/// A manual stock correction.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CorrectionView {
    /// The product's id.
    pub product_id: String,
    /// What was done, and why.
    #[schema(example = "-2: broken in the shelf")]
    pub note: Option<String>,
    /// Who did it: the name of the access key.
    pub by: String,
    /// When it happened.
    pub at: Time,
}

impl From<&Correction> for CorrectionView {
    fn from(correction: &Correction) -> Self {
        let entry = &correction.entry;
        Self { product_id: entry.subject.clone(), note: entry.note.clone(), by: entry.by.clone(), at: Time(entry.at) }
    }
}

/// A page of corrections, newest first.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CorrectionPage {
    /// The corrections.
    pub items: Vec<CorrectionView>,
    /// The `cursor` of the next page; absent on the last page.
    pub next_cursor: Option<String>,
}

/// A product as an answer.
pub(crate) fn shown(product: &Product) -> HttpResponse {
    HttpResponse::Ok().insert_header((ETAG, etag(product.revision()))).json(ProductView::from(product))
}
