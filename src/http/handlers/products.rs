//! Products and their stock. A change of name or price leaves the stock as it is, for orders have taken of it since it was read; the
//! stock is changed by a delta, by a count of the shelf, or set where that is asked for.

use crate::actors::WriteError;
use crate::db::{Answer, Answered, CorrectionFilter, ProductOutcome, ProductWrite};
use crate::domain::{Condition, IfMissing, Money, Product, ProductChange, ProductId, StockChange, StockError};
use crate::http::door::call::Call;
use crate::http::door::once::Once;
use crate::http::door::{body, once};
use crate::http::wire::json::{At, Reader, parse_uuid};
use crate::http::wire::precondition;
use crate::http::wire::precondition::etag;
use crate::http::wire::problem::{Problem, ProblemKind};
use crate::http::wire::products::{CorrectionPage, ProductPage, ProductView, shown};
use crate::http::wire::query::{Params, cursor, no_params, path_id};
use crate::http::wire::requests::{ProductBody, ProductPatch, StockBody};
use crate::http::wire::values::{Place, now};
use actix_web::http::header::ETAG;
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use std::time::Duration;
use uuid::Uuid;

/// What the cursors of the list of products are marked with.
const PRODUCTS: u8 = b'p';
/// What the cursors of the list of corrections are marked with.
const CORRECTIONS: u8 = b's';
/// Most products that are asked for by their ids.
const IDS_MAX: usize = 200;

/// What a product's quantity in a request means.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Mode {
    /// That of a new product.
    #[default]
    First,
    /// What can be ordered from now on.
    Set,
    /// What lies in the shelf.
    Count,
}

impl Mode {
    pub(crate) fn of(params: &mut Params) -> Self {
        let mode = params.take("mode", |text| match text {
            "set-stock" => Ok(Self::Set),
            "count" => Ok(Self::Count),
            _ => Err("must be set-stock or count; without a mode the stock of an existing product does not change".to_owned()),
        });
        mode.unwrap_or_default()
    }

    pub(crate) fn change(self, quantity: Option<i32>) -> StockChange {
        match (self, quantity) {
            (Self::First, quantity) => StockChange::First(quantity.unwrap_or(0)),
            (Self::Set | Self::Count, None) => StockChange::Keep,
            (Self::Set, Some(quantity)) => StockChange::Set(quantity),
            (Self::Count, Some(quantity)) => StockChange::Counted(quantity),
        }
    }
}

/// Lists products, by id.
///
/// Continue with `nextCursor` until there is none. With `ids`, it is these products, those that there are.
#[utoipa::path(get, operation_id = "listProducts", path = "/api/v1/products", tag = "stock",
    params(("ids" = Option<String>, Query, description = "only these products, separated by commas; at most 200"), ("limit" = Option<u32>, Query, description = "1 to 200, default 50"), ("cursor" = Option<String>, Query)),
    responses((status = 200, description = "a page", body = ProductPage)))]
pub(crate) async fn list(call: Call, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(&request, &["ids", "limit", "cursor"]);
    let limit = params.limit();
    let ids = params.take("ids", |text| {
        let ids: Option<Vec<Uuid>> = text.split(',').take(IDS_MAX + 1).map(parse_uuid).collect();
        ids.filter(|ids| ids.len() <= IDS_MAX).ok_or_else(|| format!("must be at most {IDS_MAX} UUIDs, separated by commas"))
    });
    let after = params.cursor(PRODUCTS).map(|bytes| ProductId(Uuid::from_bytes(bytes)));
    params.done(())?;
    if let Some(ids) = ids {
        let reads = call.state.handle.reads();
        let found = futures_util::future::try_join_all(ids.into_iter().map(|id| reads.product(ProductId(id)))).await?;
        let items = found.iter().flatten().map(Into::into).collect();
        return Ok(HttpResponse::Ok().json(ProductPage { items, next_cursor: None }));
    }
    let mut rows = call.state.handle.reads().products(after, limit + 1).await?;
    let shown = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = rows.len() > shown;
    rows.truncate(shown);
    let next_cursor = rows.last().filter(|_| has_more).map(|product| cursor(PRODUCTS, product.id.0.as_bytes()));
    Ok(HttpResponse::Ok().json(ProductPage { items: rows.iter().map(Into::into).collect(), next_cursor }))
}

/// Shows one product, with its ETag.
///
/// Send the `ETag` as `If-Match` with a change.
#[utoipa::path(get, operation_id = "showProduct", path = "/api/v1/products/{id}", tag = "stock", params(("id" = Uuid, Path)),
    responses((status = 200, description = "the product", body = ProductView), (status = 404, description = "no such product")))]
pub(crate) async fn show(call: Call, request: HttpRequest) -> Result<HttpResponse, Problem> {
    no_params(&request)?;
    let id = ProductId(path_id(&request)?);
    let product = call.state.handle.reads().product(id).await?.ok_or_else(no_such_product)?;
    if precondition::is_known(request.headers(), product.revision()) {
        return Ok(HttpResponse::NotModified().insert_header((ETAG, etag(product.revision()))).finish());
    }
    Ok(shown(&product))
}

/// Lists manual stock corrections, newest first.
///
/// Who changed the stock of which product by how much, when and why.
#[utoipa::path(get, operation_id = "listStockCorrections", path = "/api/v1/products/corrections", tag = "stock",
    params(("productId" = Option<Uuid>, Query, description = "only this product"),
        ("limit" = Option<u32>, Query, description = "1 to 200, default 50"), ("cursor" = Option<String>, Query)),
    responses((status = 200, description = "a page", body = CorrectionPage)))]
pub(crate) async fn corrections(call: Call, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(&request, &["productId", "limit", "cursor"]);
    let limit = params.limit();
    let product = params.uuid("productId").map(ProductId);
    let before = params.cursor::<8>(CORRECTIONS).map(i64::from_be_bytes);
    params.done(())?;
    let mut rows = call.state.handle.reads().corrections(CorrectionFilter { product, before, limit: limit + 1 }).await?;
    let shown = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = rows.len() > shown;
    rows.truncate(shown);
    let next_cursor = rows.last().filter(|_| has_more).map(|last| cursor(CORRECTIONS, &last.number.to_be_bytes()));
    Ok(HttpResponse::Ok().json(CorrectionPage { items: rows.iter().map(Into::into).collect(), next_cursor }))
}

/// Creates a product, or changes its name and price.
///
/// The stock of an existing product does not change, whatever `availableQuantity` says, because orders have taken from it since it was
/// read. With `mode=count`, `availableQuantity` is the quantity counted on the shelf, including reserved goods; with `mode=set-stock` it is
/// the new available quantity. A product may be sent back as it was read: `productId`, `reservedQuantity` and `shippedQuantity` are
/// accepted and change nothing.
#[utoipa::path(put, operation_id = "putProduct", path = "/api/v1/products/{id}", tag = "stock", request_body = ProductBody,
    params(("id" = Uuid, Path), ("mode" = Option<String>, Query, description = "set-stock or count"),
        ("If-Match" = Option<String>, Header, description = "the ETag of the version that was read, or *"),
        ("If-None-Match" = Option<String>, Header, description = "*: only if there is no such product")),
    responses((status = 200, description = "the product after the change", body = ProductView),
        (status = 409, description = "fewer were counted than are held for orders"),
        (status = 412, description = "it has changed since it was read")))]
pub(crate) async fn put(call: Call, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    let id = ProductId(path_id(&request)?);
    let mut params = Params::of(&request, &["mode"]);
    let mode = Mode::of(&mut params);
    params.done(())?;
    let bytes = body::json(&call.state, &request, payload).await?;
    let mut reader = Reader::default();
    let condition = precondition::condition(&request, &mut reader.errors);
    let change = read_product(&mut reader, &bytes, id, mode)?;
    let change = reader.errors.none_or(change)?;
    write(&call, ProductWrite { condition, ..ProductWrite::of(id, change, call.caller.name.clone(), now()) }).await
}

/// Changes single fields of a product (JSON merge patch); absent fields do not change.
///
/// `availableQuantity` needs `If-Match`, because orders take from it all the time.
#[utoipa::path(patch, operation_id = "patchProduct", path = "/api/v1/products/{id}", tag = "stock", request_body = ProductPatch,
    params(("id" = Uuid, Path), ("If-Match" = Option<String>, Header,
        description = "the ETag of the version that was read, or *; required with availableQuantity")),
    responses((status = 200, description = "the product after the change", body = ProductView), (status = 404, description = "no such product"),
        (status = 409, description = "fewer were counted than are held for orders"),
        (status = 412, description = "it has changed since it was read"),
        (status = 428, description = "availableQuantity is set without If-Match")))]
pub(crate) async fn patch(call: Call, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    no_params(&request)?;
    let id = ProductId(path_id(&request)?);
    let bytes = body::json(&call.state, &request, payload).await?;
    let mut reader = Reader::default();
    let condition = precondition::condition(&request, &mut reader.errors);
    let patch = read_patch(&mut reader, &bytes)?;
    let (change, reason) = reader.errors.none_or(patch)?;
    if matches!(change.stock, StockChange::Set(_)) && condition == Condition::None {
        let detail = "orders may have taken from the stock since it was read: send If-Match with the product's ETag (* to set it whatever it \
                      is), or countedQuantity, or POST a delta to its /stock";
        return Err(Problem::new(ProblemKind::PreconditionRequired, detail));
    }
    write(&call, ProductWrite { condition, reason, ..ProductWrite::of(id, change, call.caller.name.clone(), now()) }).await
}

/// Adds stock, or takes it out.
///
/// Adds `delta` to the available quantity, which cannot become negative.
#[utoipa::path(post, operation_id = "adjustStock", path = "/api/v1/products/{id}/stock", tag = "stock", request_body = StockBody,
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header, description = "with the same key and body, the first answer is repeated"),
        ("If-Match" = Option<String>, Header, description = "the ETag of the version that was read, or *")),
    responses((status = 200, description = "the product after the change", body = ProductView),
        (status = 404, description = "no such product"), (status = 409, description = "fewer are available"),
        (status = 412, description = "it has changed since it was read"), (status = 422, description = "the key was used with another body")))]
pub(crate) async fn adjust(call: Call, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    no_params(&request)?;
    let id = ProductId(path_id(&request)?);
    let bytes = body::json(&call.state, &request, payload).await?;
    let mut reader = Reader::default();
    let condition = precondition::condition(&request, &mut reader.errors);
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
    let key = Once::of(&call, &request, &bytes)?.map(Once::into_key);
    let change = ProductChange { stock: StockChange::Add(delta), ..ProductChange::nothing() };
    let of = ProductWrite::of(id, change, call.caller.name.clone(), now());
    write(&call, ProductWrite { condition, key, reason: Some(reason), ..of }).await
}

type Patch = (ProductChange, Option<crate::domain::Text<200>>);

fn read_product(reader: &mut Reader, bytes: &[u8], id: ProductId, mode: Mode) -> Result<Option<ProductChange>, Problem> {
    let names = ["name", "price", "availableQuantity", "discontinued", "productId", "reservedQuantity", "shippedQuantity"];
    let fields = reader.body(bytes, &names)?;
    let Some([name, price, available, discontinued, same, _reserved, _shipped]) = fields else { return Ok(None) };
    let at = |name| At::Field(&At::Root, name);
    let name = reader.required(name, &at("name")).and_then(|raw| reader.text(raw, &at("name")));
    let price = reader.required(price, &at("price")).and_then(|raw| read_price(reader, raw));
    let available = available.and_then(|raw| read_count(reader, raw, "availableQuantity"));
    let discontinued = discontinued.and_then(|raw| reader.flag(raw, &at("discontinued")));
    if same.and_then(|raw| reader.uuid(raw, &at("productId"))).is_some_and(|same| same != id.0) {
        reader.fail(&at("productId"), "differs from the product in the path");
    }
    if mode != Mode::First && available.is_none() {
        reader.fail(&at("availableQuantity"), "is required with a mode");
    }
    let stock = mode.change(available);
    Ok(Some(ProductChange { name, price, stock, discontinued, if_missing: IfMissing::Create }))
}

fn read_patch(reader: &mut Reader, bytes: &[u8]) -> Result<Option<Patch>, Problem> {
    let fields = reader.body(bytes, &["name", "price", "availableQuantity", "countedQuantity", "discontinued", "reason"])?;
    let Some([name, price, available, counted, discontinued, reason]) = fields else { return Ok(None) };
    let at = |name| At::Field(&At::Root, name);
    let is_empty = [name, price, available, counted, discontinued].iter().all(Option::is_none);
    if is_empty && reader.errors.is_empty() {
        reader.fail(&At::Root, "must contain name, price, availableQuantity, countedQuantity or discontinued; none of them can be removed");
    }
    if available.is_some() && counted.is_some() {
        reader.fail(&at("countedQuantity"), "cannot be combined with availableQuantity");
    }
    let available = available.and_then(|raw| read_count(reader, raw, "availableQuantity")).map(StockChange::Set);
    let counted = counted.and_then(|raw| read_count(reader, raw, "countedQuantity")).map(StockChange::Counted);
    let change = ProductChange {
        name: name.and_then(|raw| reader.text(raw, &at("name"))),
        price: price.and_then(|raw| read_price(reader, raw)),
        stock: available.or(counted).unwrap_or(StockChange::Keep),
        discontinued: discontinued.and_then(|raw| reader.flag(raw, &at("discontinued"))),
        if_missing: IfMissing::Refuse,
    };
    Ok(Some((change, reason.and_then(|raw| reader.text(raw, &at("reason"))))))
}

fn read_price(reader: &mut Reader, raw: &str) -> Option<Money> {
    let at = At::Field(&At::Root, "price");
    let price = reader.money(raw, &at)?;
    if price == Money::ZERO {
        reader.fail(&at, "must be more than 0");
    }
    Some(price)
}

fn read_count(reader: &mut Reader, raw: &str, name: &str) -> Option<i32> {
    let at = At::Field(&At::Root, name);
    let count = reader.integer(raw, &at)?;
    let small = i32::try_from(count).ok().filter(|count| *count >= 0);
    if small.is_none() {
        reader.fail(&at, format!("must be 0 to {}", i32::MAX));
    }
    small
}

async fn write(call: &Call, write: ProductWrite) -> Result<HttpResponse, Problem> {
    let limit = Duration::from_millis(call.state.settings.order.request_limit_ms);
    let outcome = call.state.handle.write(write, limit).await?.ok_or(WriteError::Unknown)?;
    if let ProductOutcome::Answered(Answered { answer, same_body }) = &outcome {
        return once::replay(answer, *same_body);
    }
    product_of(outcome).map(|product| shown(&product))
}

/// The product that a write of it has made, or why it was not made.
///
/// # Errors
/// The stock's refusal, or the database's.
pub(crate) fn product_of(outcome: ProductOutcome) -> Result<Product, Problem> {
    match outcome {
        ProductOutcome::Done(product) => Ok(product),
        ProductOutcome::Answered(Answered { answer: Answer::Product(product), same_body: true }) => Ok(product),
        ProductOutcome::Answered(_) => {
            Err(Problem::new(ProblemKind::KeyReused, "send another Idempotency-Key, or the same body as before"))
        }
        ProductOutcome::Refused(StockError::Unknown) => Err(no_such_product()),
        ProductOutcome::Refused(StockError::Stale) => Err(precondition::stale()),
        ProductOutcome::Refused(error @ (StockError::BelowZero { .. } | StockError::CountBelowReserved { .. })) => {
            Err(Problem::new(ProblemKind::Conflict, error.to_string()))
        }
        ProductOutcome::Refused(error @ StockError::TooLarge) => Err(Problem::field(Place::Body, "", error.to_string())),
    }
}

fn no_such_product() -> Problem {
    Problem::not_found("there is no such product")
}
