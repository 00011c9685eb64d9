//! Orders: place, see, list, cancel, ship.

use crate::actors::{Command, CommandError, NewOrder, PlaceError, Placed};
use crate::config::AccessRole;
use crate::db::{IdempotencyKey, OrderFilter, StoredOrder};
use crate::domain::{CancelledBy, CustomerId, OrderId, OrderStatus, Role};
use crate::http::door::call::{Call, seen};
use crate::http::door::once::Once;
use crate::http::door::state::HttpState;
use crate::http::door::{body, once};
use crate::http::forward::promise::promised;
use crate::http::forward::route as forward;
use crate::http::live::wait;
use crate::http::live::wait::Wait;
use crate::http::wire::json::Reader;
use crate::http::wire::order::OrderView;
use crate::http::wire::order_body::{OrderBody, read_shipment};
use crate::http::wire::orders::{CommandAccepted, OrderAccepted, OrderPage, OrderStatusView, OrderSummary};
use crate::http::wire::owed::{InProgress, owes};
use crate::http::wire::precondition;
use crate::http::wire::precondition::etag;
use crate::http::wire::problem::{Problem, ProblemKind};
use crate::http::wire::query::{Params, cursor, idempotency_key, no_params, parse_wait, path_id, preferred_wait};
use crate::http::wire::requests::{OrderRequest, ShipRequest};
use crate::http::wire::values::{Status, Time, now};
use actix_web::http::StatusCode;
use actix_web::http::header::{ETAG, HeaderName, LOCATION};
use actix_web::web::{Bytes, Payload};
use actix_web::{HttpRequest, HttpResponse};
use std::time::Duration;
use uuid::Uuid;

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// What the cursors of the list of orders are marked with.
const ORDERS: u8 = b'o';

type Answer = Result<HttpResponse, Problem>;

/// Places an order.
///
/// 202 means that the order is on disk; stock, payment and notices follow. With an `Idempotency-Key` the request can be repeated safely: it
/// is the same order.
#[utoipa::path(post, operation_id = "placeOrder", path = "/api/v1/orders", tag = "orders", request_body = OrderRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "with the same key and body, the first answer is repeated"),
        ("Prefer" = Option<String>, Header, description = "wait=30: answer when the order is settled, or after 30 seconds")),
    responses((status = 202, description = "the order is stored; Location is its address", body = OrderAccepted),
        (status = 409, description = "the first request with this key is still in progress"),
        (status = 422, description = "the key was used with another body"),
        (status = 503, description = "nothing was stored; repeat after Retry-After seconds"),
        (status = 504, description = "the outcome is not known yet; look up orderId later")))]
pub(crate) async fn place(call: Call, request: HttpRequest, payload: Payload) -> Answer {
    no_params(&request)?;
    let state = &call.state;
    let bytes = body::json(state, &request, payload).await?;
    let mut reader = Reader::default();
    let order = OrderBody::read(&bytes, &mut reader)?;
    let key = idempotency_key(request.headers(), &mut reader.errors);
    let order = reader.errors.none_or(order)?;
    if !call.caller.sees(order.customer) {
        return Err(Problem::new(ProblemKind::Forbidden, "this key can only order for its own customerId"));
    }
    let key = key.map(|key| IdempotencyKey {
        key: once::key_hash(call.caller.name.as_str(), "POST /api/v1/orders", &key),
        body: order.fingerprint(),
        expires_at: now().plus_ms(state.settings.order.key_expiry_ms),
    });
    let OrderBody { customer, lines, total, payment_method, contact, address } = order;
    let order = NewOrder { customer, lines, total, payment_method, contact, address, correlation: call.correlation };
    let promised = promised(state, request.headers())?;
    let placed = match state.handle.place_as(promised, order, key, request_limit(state)).await {
        Err(PlaceError::NotHere) => return forward::place(&call, &request, bytes).await,
        placed => placed?,
    };
    match preferred_wait(request.headers()).and_then(|wait| Wait::begin(state, wait).ok()) {
        Some(wait) => accepted_after(&call, &placed, &wait).await,
        None => Ok(accepted(&call, &placed, OrderStatus::Pending, None)),
    }
}

async fn accepted_after(call: &Call, placed: &Placed, wait: &Wait) -> Answer {
    // The order is stored whatever happens now: when it cannot be read, the answer is the first one.
    let stored = wait::order(&call.state, placed.order.id, Some(wait)).await.ok().flatten();
    let status = stored.map_or(OrderStatus::Pending, |stored| stored.status);
    Ok(accepted(call, placed, status, Some(wait.applied())))
}

fn accepted(call: &Call, placed: &Placed, status: OrderStatus, waited: Option<Duration>) -> HttpResponse {
    let view = OrderAccepted::of(&placed.order, status.into(), &call.prefix);
    let mut response = HttpResponse::Accepted();
    response.insert_header((LOCATION, view.links.whole.to_string()));
    if placed.replayed {
        response.insert_header((once::REPLAYED, "true"));
    }
    if let Some(waited) = waited {
        response.insert_header((PREFERENCE_APPLIED, format!("wait={}", waited.as_secs())));
    }
    response.json(view)
}

/// Shows a whole order.
///
/// Items, payment, reservations, notices and history. Send the `ETag` as `If-Match` with a command on the order.
#[utoipa::path(get, operation_id = "showOrder", path = "/api/v1/orders/{id}", tag = "orders", params(("id" = Uuid, Path)),
    responses((status = 200, description = "the order", body = OrderView), (status = 404, description = "no such order")))]
pub(crate) async fn show(call: Call, request: HttpRequest) -> Answer {
    no_params(&request)?;
    let id = OrderId(path_id(&request)?);
    let stored = seen(&call, wait::order(&call.state, id, None).await?)?;
    let revision = stored.record.revision();
    let waits_for = waits_for(&call, &stored);
    // What it waits for changes without a new revision.
    if waits_for.is_none() && precondition::is_known(request.headers(), revision) {
        return Ok(HttpResponse::NotModified().insert_header((ETAG, etag(revision))).finish());
    }
    Ok(HttpResponse::Ok().insert_header((ETAG, etag(revision))).json(whole(&call, &stored).await?))
}

/// An order with what it waits for.
///
/// # Errors
/// What the roles have stored about it cannot be read.
pub(crate) async fn whole(call: &Call, stored: &StoredOrder) -> Result<OrderView, Problem> {
    let (handle, cluster, id) = (&call.state.handle, &call.state.settings.cluster, stored.order.id);
    let mut view = OrderView::of(stored, &call.prefix);
    view.payment.next_try_at = handle.next_payment_try(id).map(Time);
    view.waits_for = waits_for(call, stored);
    if stored.open {
        let mut roles = InProgress { next_payment_try: handle.next_payment_try(id), ..InProgress::default() };
        // A node may have no right to read what a role has stored that it does not host.
        if cluster.hosted().has(Role::Payment) {
            roles.payment = handle.reads().payment(id).await?;
        }
        if cluster.hosted().has(Role::Notification) {
            roles.notices = handle.reads().notices(id).await?;
        }
        view.owes = owes(stored, cluster.external(), &roles);
        // An error is in the words of a provider, or of the operator who did the step by hand.
        if call.caller.role < AccessRole::Operator {
            view.owes.iter_mut().for_each(|owed| owed.last_error = None);
        }
    }
    Ok(view)
}

/// Shows an order's status.
///
/// With `wait` the answer comes when the order is settled, or when that time is over.
#[utoipa::path(get, operation_id = "showOrderStatus", path = "/api/v1/orders/{id}/status", tag = "orders",
    params(("id" = Uuid, Path), ("wait" = Option<String>, Query, description = "30s, 500ms or 30: answer when the order is settled, or after this time")),
    responses((status = 200, description = "its status", body = OrderStatusView), (status = 404, description = "no such order")))]
pub(crate) async fn status(call: Call, request: HttpRequest) -> Answer {
    let id = OrderId(path_id(&request)?);
    let mut params = Params::of(&request, &["wait"]);
    let wait = params.take("wait", |text| parse_wait(text).ok_or_else(|| "must be a time such as 30s or 500ms".to_owned()));
    let wait = params.done(wait)?;
    let wait = wait.filter(|wait| !wait.is_zero()).map(|wait| Wait::begin(&call.state, wait)).transpose()?;
    if wait.is_some() {
        // Nobody waits for an order that is another's.
        seen(&call, wait::order(&call.state, id, None).await?)?;
        if let Some(answer) = forward::follow(&call, &request, id).await {
            return Ok(answer);
        }
    }
    let stored = seen(&call, wait::order(&call.state, id, wait.as_ref()).await?)?;
    let mut view = OrderStatusView::from(&stored);
    view.waits_for = waits_for(&call, &stored);
    Ok(HttpResponse::Ok().json(view))
}

/// What an order waits for at the payment provider; one that is parked waits for a person.
fn waits_for(call: &Call, stored: &StoredOrder) -> Option<String> {
    let handle = &call.state.handle;
    stored.record.parked.is_none().then(|| handle.waits_for(stored.order.id, stored.status)).flatten()
}

/// Lists orders, newest first.
///
/// A request examines at most 10,000 orders. With a filter, a page may hold fewer than `limit`, or none, although more follow: continue
/// with `nextCursor` until there is none.
#[utoipa::path(get, operation_id = "listOrders", path = "/api/v1/orders", tag = "orders",
    params(("customerId" = Option<Uuid>, Query), ("status" = Option<Status>, Query),
        ("from" = Option<String>, Query, description = "accepted at or after this time: RFC 3339, a date (UTC), or a time before now such as `1h` or `7d`"),
        ("to" = Option<String>, Query, description = "accepted before this time; in the form of `from`"),
        ("limit" = Option<u32>, Query, description = "1 to 200, default 50"), ("cursor" = Option<String>, Query)),
    responses((status = 200, description = "a page", body = OrderPage)))]
pub(crate) async fn list(call: Call, request: HttpRequest) -> Answer {
    let mut params = Params::of(&request, &[FILTERS, &["limit", "cursor"]].concat());
    let filter = read_filter(&call, &mut params);
    let filter = OrderFilter { before: params.cursor(ORDERS).map(|bytes| OrderId(Uuid::from_bytes(bytes))), ..filter };
    let filter = params.done(filter)?;
    Ok(HttpResponse::Ok().json(page(&call, filter).await?))
}

/// The parameters that choose among the orders.
pub(crate) const FILTERS: &[&str] = &["customerId", "status", "from", "to"];

/// Which orders a request wants to see.
pub(crate) fn read_filter(call: &Call, params: &mut Params) -> OrderFilter {
    let now = now();
    let limit = params.limit();
    let customer = params.uuid("customerId").map(CustomerId);
    OrderFilter {
        customer: customer.or(call.caller.customer),
        status: params.take("status", |text| OrderStatus::from_name(text).ok_or_else(|| format!("must be one of {}", status_names()))),
        from: params.when("from", now).map(|when| when.at),
        to: params.when("to", now).map(|when| when.at),
        limit,
        ..OrderFilter::default()
    }
}

/// A page of orders, as far as the caller may see them.
///
/// # Errors
/// 403: they are another customer's.
pub(crate) async fn page(call: &Call, filter: OrderFilter) -> Result<OrderPage, Problem> {
    if !filter.customer.is_none_or(|customer| call.caller.sees(customer)) {
        return Err(Problem::new(ProblemKind::Forbidden, "this key can only see the orders of its own customerId"));
    }
    let page = call.state.handle.reads().orders(filter).await?;
    let next_cursor = page.next.map(|id| cursor(ORDERS, id.0.as_bytes()));
    let mut items: Vec<OrderSummary> = page.rows.iter().map(Into::into).collect();
    let handle = &call.state.handle;
    for (item, row) in items.iter_mut().zip(&page.rows) {
        // Of an order that is parked, or another node's, there is no next try here.
        item.waits_for = handle.next_payment_try(row.id).and_then(|_| handle.waits_for(row.id, row.status));
    }
    Ok(OrderPage { items, next_cursor })
}

fn status_names() -> String {
    OrderStatus::ALL.map(OrderStatus::name).join(", ")
}

/// Cancels an order.
///
/// Reserved stock is released and payments are refunded; then the order is CANCELLED.
#[utoipa::path(post, operation_id = "cancelOrder", path = "/api/v1/orders/{id}/cancel", tag = "orders",
    params(("id" = Uuid, Path), ("If-Match" = Option<String>, Header, description = "the ETag of the version that was read, or *")),
    responses((status = 202, description = "stored", body = CommandAccepted), (status = 404, description = "no such order"),
        (status = 409, description = "too late: its payment has failed, or it is shipped, failed or cancelled"),
        (status = 412, description = "it has changed since it was read")))]
pub(crate) async fn cancel(call: Call, request: HttpRequest, payload: Payload) -> Answer {
    no_params(&request)?;
    let id = OrderId(path_id(&request)?);
    let bytes = body::optional_json(&call.state, &request, payload).await?;
    if let Some(bytes) = &bytes {
        let mut reader = Reader::default();
        let fields = reader.body::<0>(bytes, &[])?;
        reader.errors.none_or(fields)?;
    }
    let by = match call.caller.role {
        AccessRole::Customer => CancelledBy::Customer,
        AccessRole::Operator | AccessRole::Admin => CancelledBy::Operator,
    };
    command(&call, &request, bytes.unwrap_or_default(), (id, Command::Cancel { by })).await
}

/// Marks an order as shipped.
///
/// A repeat with the same carrier and tracking number is accepted; with different ones it is answered with 409.
#[utoipa::path(post, operation_id = "shipOrder", path = "/api/v1/orders/{id}/ship", tag = "orders", request_body = Option<ShipRequest>,
    params(("id" = Uuid, Path), ("If-Match" = Option<String>, Header, description = "the ETag of the version that was read, or *")),
    responses((status = 202, description = "stored", body = CommandAccepted), (status = 404, description = "no such order"),
        (status = 409, description = "it has failed or is cancelled (or being cancelled), or was shipped with a different carrier or tracking number"),
        (status = 412, description = "it has changed since it was read")))]
pub(crate) async fn ship(call: Call, request: HttpRequest, payload: Payload) -> Answer {
    no_params(&request)?;
    let id = OrderId(path_id(&request)?);
    let bytes = body::optional_json(&call.state, &request, payload).await?;
    let shipment = read_shipment(bytes.as_deref())?;
    command(&call, &request, bytes.unwrap_or_default(), (id, Command::Ship(shipment))).await
}

async fn command(call: &Call, request: &HttpRequest, body: Bytes, (id, command): (OrderId, Command)) -> Answer {
    if call.caller.customer.is_some() {
        seen(call, wait::order(&call.state, id, None).await?)?;
    }
    let seen = precondition::seen(request)?;
    let once = Once::of(call, request, &body)?;
    if let Some(answer) = Once::answered(once.as_ref(), call).await? {
        return Ok(answer);
    }
    let told = match call.state.handle.command_if(id, command.clone(), seen, request_limit(&call.state)).await {
        Err(CommandError::Rejected(rejection)) if once.is_some() => {
            done_before(call, id, &command).await?.ok_or(CommandError::Rejected(rejection))
        }
        told => told,
    };
    let status: Status = match told {
        Ok(status) => status.into(),
        Err(CommandError::NotHere) => return forward::to_owner(call, request, body, (Role::Order, id), None).await,
        Err(error) => return Err(Problem::from(error).about(id)),
    };
    Ok(Once::keep(once, call, StatusCode::ACCEPTED, &CommandAccepted::of(id, status, &call.prefix)).await)
}

/// What a command has come to that is sent again under its key, though its answer was not kept: the node died in between.
async fn done_before(call: &Call, id: OrderId, command: &Command) -> Result<Option<OrderStatus>, Problem> {
    let stored = wait::order(&call.state, id, None).await?;
    let done = stored.filter(|stored| {
        let facts = &stored.record.facts;
        match command {
            Command::Cancel { by } => {
                let is_cancelled = matches!(stored.status, OrderStatus::Cancelling | OrderStatus::Refunding | OrderStatus::Cancelled);
                is_cancelled && facts.cancel.is_some_and(|(who, _)| who == *by)
            }
            Command::Ship(shipment) => facts.shipment.as_ref().is_some_and(|(known, _)| known == shipment),
        }
    });
    Ok(done.map(|stored| stored.status))
}

fn request_limit(state: &HttpState) -> Duration {
    Duration::from_millis(state.settings.order.request_limit_ms)
}
