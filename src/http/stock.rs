//! Products and their stock.

use super::gate::Call;
use super::json::{At, Reader};
use super::problem::{Problem, ProblemKind};
use super::query::{Params, cursor, path_id};
use super::wire::{Amount, Place};
use super::{body, now};
use crate::actors::WriteError;
use crate::db::{Outcome, Write};
use crate::domain::{Money, Product, ProductId, StockError, Text};
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;
use uuid::Uuid;

/// What the cursors of the list of products are marked with.
const PRODUCTS: u8 = b'p';

/// A product of the catalogue.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProductView {
    /// Which.
    pub product_id: Uuid,
    /// What it is called.
    pub name: String,
    /// What one costs.
    pub price: Amount,
    /// How many can be ordered.
    pub available_quantity: i32,
    /// How many are held for orders.
    pub reserved_quantity: i32,
    /// How many have left.
    pub shipped_quantity: i32,
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
        }
    }
}

/// A page of products.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProductPage {
    /// The products, by id.
    pub items: Vec<ProductView>,
    /// The `cursor` of the next page; none on the last.
    pub next_cursor: Option<String>,
}

/// A product to create or replace.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "the shape for the documents; bodies are read field by field")]
pub(super) struct ProductBody {
    /// What it is called, 1 to 255 characters.
    pub name: String,
    /// What one costs.
    pub price: Amount,
    /// How many can be ordered from now on.
    #[schema(minimum = 0)]
    pub available_quantity: i32,
}

/// A change of stock.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape for the documents; bodies are read field by field")]
pub(super) struct StockBody {
    /// How many more (or, below zero, fewer) can be ordered.
    pub delta: i32,
    /// Why, for the audit; 1 to 200 characters.
    pub reason: String,
}

/// What a product is set to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct NewProduct {
    /// What it is called.
    pub name: Text<255>,
    /// What one costs.
    pub price: Money,
    /// How many can be ordered.
    pub available: i32,
}

impl NewProduct {
    /// The write that sets the product `id` to this.
    #[must_use]
    pub(super) fn into_write(self, id: ProductId) -> Write {
        Write::PutProduct { id, name: self.name, price: self.price, available: self.available }
    }
}

/// A page of products, by id.
#[utoipa::path(get, path = "/api/v1/products", tag = "stock",
    params(("limit" = Option<u32>, Query, description = "1 to 200, default 50"), ("cursor" = Option<String>, Query)),
    responses((status = 200, description = "a page", body = ProductPage)))]
pub(super) async fn list(call: Call, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(&request, &["limit", "cursor"]);
    let limit = params.limit();
    let after = params.cursor(PRODUCTS).map(|bytes| ProductId(Uuid::from_bytes(bytes)));
    params.done(())?;
    let mut rows = call.state.front.reads().products(after, limit + 1).await?;
    let shown = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = rows.len() > shown;
    rows.truncate(shown);
    let next_cursor = rows.last().filter(|_| has_more).map(|product| cursor(PRODUCTS, product.id.0.as_bytes()));
    Ok(HttpResponse::Ok().json(ProductPage { items: rows.iter().map(Into::into).collect(), next_cursor }))
}

/// One product.
#[utoipa::path(get, path = "/api/v1/products/{id}", tag = "stock", params(("id" = Uuid, Path)),
    responses((status = 200, description = "the product", body = ProductView), (status = 404, description = "no such product")))]
pub(super) async fn show(call: Call, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let id = ProductId(path_id(&request)?);
    let product = call.state.front.reads().product(id).await?.ok_or_else(no_such_product)?;
    Ok(HttpResponse::Ok().json(ProductView::from(&product)))
}

/// Creates a product, or replaces its name, price and available quantity.
#[utoipa::path(put, path = "/api/v1/products/{id}", tag = "stock", params(("id" = Uuid, Path)), request_body = ProductBody,
    responses((status = 200, description = "the product as it is now", body = ProductView)))]
pub(super) async fn put(call: Call, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    let id = ProductId(path_id(&request)?);
    let bytes = body::json(&call.state, &request, payload).await?;
    let mut reader = Reader::default();
    let product = read_product(&mut reader, &bytes)?;
    let product = reader.errors.none_or(product)?;
    write(&call, product.into_write(id)).await
}

/// Puts stock in, or takes it out.
#[utoipa::path(post, path = "/api/v1/products/{id}/stock", tag = "stock", params(("id" = Uuid, Path)), request_body = StockBody,
    responses((status = 200, description = "the product as it is now", body = ProductView),
        (status = 409, description = "fewer are available"), (status = 404, description = "no such product")))]
pub(super) async fn adjust(call: Call, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    let id = ProductId(path_id(&request)?);
    let bytes = body::json(&call.state, &request, payload).await?;
    let mut reader = Reader::default();
    let fields = reader.body(&bytes, &["delta", "reason"])?;
    let change = fields.and_then(|[delta, reason]| {
        let at = |name| At::Field(&At::Root, name);
        let delta = reader.required(delta, &at("delta")).and_then(|raw| reader.integer(raw, &at("delta")));
        let reason = reader.required(reason, &at("reason")).and_then(|raw| reader.text(raw, &at("reason")));
        let small = delta.and_then(|delta| i32::try_from(delta).ok()).filter(|delta| *delta != 0);
        if delta.is_some() && small.is_none() {
            reader.fail(&at("delta"), "must be a 32-bit whole number other than 0");
        }
        Some((small?, reason?))
    });
    let (delta, reason) = reader.errors.none_or(change)?;
    write(&call, Write::AdjustStock { id, delta, reason, by: call.caller.name.clone(), at: now() }).await
}

fn read_product(reader: &mut Reader, bytes: &[u8]) -> Result<Option<NewProduct>, Problem> {
    let fields = reader.body(bytes, &["name", "price", "availableQuantity"])?;
    let Some([name, price, available]) = fields else { return Ok(None) };
    let at = |name| At::Field(&At::Root, name);
    let name = reader.required(name, &at("name")).and_then(|raw| reader.text(raw, &at("name")));
    let price = reader.required(price, &at("price")).and_then(|raw| reader.money(raw, &at("price")));
    if price == Some(Money::ZERO) {
        reader.fail(&at("price"), "must be more than 0");
    }
    let count = reader.required(available, &at("availableQuantity")).and_then(|raw| reader.integer(raw, &at("availableQuantity")));
    let available = count.and_then(|count| i32::try_from(count).ok()).filter(|count| *count >= 0);
    if count.is_some() && available.is_none() {
        reader.fail(&at("availableQuantity"), format!("must be 0 to {}", i32::MAX));
    }
    Ok(name.zip(price).zip(available).map(|((name, price), available)| NewProduct { name, price, available }))
}

async fn write(call: &Call, write: Write) -> Result<HttpResponse, Problem> {
    let limit = Duration::from_millis(call.state.settings.order.request_limit_ms);
    let outcome = call.state.front.write(write, limit).await?;
    product_of(outcome).map(|product| HttpResponse::Ok().json(ProductView::from(&product)))
}

/// The product that a write of it has made, or why it was not made.
///
/// # Errors
/// The stock's refusal, or the database's.
pub(super) fn product_of(outcome: Outcome) -> Result<Product, Problem> {
    match outcome {
        Outcome::Product(product) => Ok(product),
        Outcome::Stock(StockError::Unknown) | Outcome::Missing => Err(no_such_product()),
        Outcome::Stock(error @ StockError::BelowZero { .. }) => Err(Problem::new(ProblemKind::Conflict, error.to_string())),
        Outcome::Stock(error @ StockError::TooLarge) => Err(Problem::field(Place::Body, "/delta", error.to_string())),
        Outcome::NotStored | Outcome::NotOurs => Err(WriteError::NotStored.into()),
        Outcome::Refused(why) => Err(WriteError::Refused(why).into()),
        Outcome::Recorded => Err(WriteError::Unknown.into()),
        Outcome::Done | Outcome::Repeated(_) | Outcome::KeyTaken { .. } | Outcome::Taken(_) => {
            Err(Problem::new(ProblemKind::Internal, "the store gave an answer that a product's write does not have"))
        }
    }
}

fn no_such_product() -> Problem {
    Problem::not_found("there is no such product")
}
