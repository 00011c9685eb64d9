//! A whole order on the wire: everything that its record says.

use crate::config::PathPrefix;
use crate::db::StoredOrder;
use crate::domain::{Address, Contact, Shortage, Text};
use crate::http::wire::orders::Links;
use crate::http::wire::owed::OwedView;
use crate::http::wire::values::{Amount, Status, Time};
use crate::saga::{NoticeFact, PaymentFact, StockFact, owed, table};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// One item of an order.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ItemView {
    /// The product's id.
    pub product_id: Uuid,
    /// Quantity.
    pub quantity: u32,
    /// Unit price.
    pub price: Amount,
}

/// An order's payment.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PaymentView {
    /// The payment's id.
    pub payment_id: Uuid,
    /// What the team calls it that runs the payment role, if that is another one (`cluster.external_roles`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub external_id: Option<String>,
    /// `PENDING`, `CHARGED`, `FAILED`, `CANCELLED` (nothing was or will be charged) or `REFUNDED`.
    #[schema(value_type = String)]
    pub status: &'static str,
    /// The amount charged, or to be charged.
    pub amount: Amount,
    /// The payment method.
    pub method: String,
    /// The provider's reason if it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
    /// When the answer came.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub at: Option<Time>,
    /// When it will be tried again, while the provider fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next_try_at: Option<Time>,
}

/// Stock that is or was held.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReservationView {
    /// The reservation.
    pub reservation_id: Uuid,
    /// The product's id.
    pub product_id: Uuid,
    /// Quantity.
    pub quantity: u32,
    /// `RESERVED`, `RELEASED` or `SHIPPED`.
    #[schema(value_type = String)]
    pub status: &'static str,
}

/// Stock that was not available.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ShortageView {
    /// The product's id.
    pub product_id: Uuid,
    /// `out-of-stock`, `price-mismatch`, `unknown-product` or `discontinued`.
    #[schema(value_type = String)]
    pub reason: &'static str,
    /// Quantity ordered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub requested: Option<u32>,
    /// Quantity that was available.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub available: Option<u32>,
    /// The catalogue's price.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub price: Option<Amount>,
}

/// A notice to the customer.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NoticeView {
    /// `CONFIRMATION`, `FAILURE`, `CANCELLATION` or `SHIPPING`; for an order cancelled unpaid `UNAVAILABLE`, `PRICE_CHANGED`, `EXPIRED` or
    /// `CALLED_OFF`.
    #[schema(value_type = String)]
    pub kind: &'static str,
    /// `EMAIL` or `SMS`.
    #[schema(value_type = String)]
    pub channel: &'static str,
    /// `PENDING`, `SENT` or `GIVEN_UP`.
    #[schema(value_type = String)]
    pub status: &'static str,
    /// When it happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub at: Option<Time>,
}

/// One entry of an order's history.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HistoryView {
    /// The order's status after it.
    pub status: Status,
    /// The event.
    #[schema(value_type = String, example = "InventoryReserved")]
    pub event: &'static str,
    /// When it happened.
    pub at: Time,
    /// What another team calls its event, if it is one's (`cluster.external_roles`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub external_id: Option<String>,
    /// What it calls the request that its event follows, where that is no UUID.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub external_correlation_id: Option<String>,
}

/// A shipment.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ShipmentView {
    /// The carrier.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub carrier: Option<String>,
    /// The tracking number.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub tracking_number: Option<String>,
    /// When the goods left.
    pub at: Time,
}

/// How to notify the customer about the order.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ContactView {
    /// Address for email.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub email: Option<String>,
    /// Number for SMS.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub phone: Option<String>,
    /// Language of the notices.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub locale: Option<String>,
}

/// Delivery address.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AddressView {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub street: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub city: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub region: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub postal_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub country: Option<String>,
}

/// A whole order.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OrderView {
    /// The order's id.
    pub order_id: Uuid,
    /// The customer.
    pub customer_id: Uuid,
    /// Its status.
    pub status: Status,
    /// Why it ended without goods.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
    /// Whether nothing more will happen to it by itself.
    pub settled: bool,
    /// Why it waits until a person closes its dead letter.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub parked: Option<String>,
    /// What it waits for at the payment provider, such as `the payment provider: circuit breaker open, next try at …`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub waits_for: Option<String>,
    /// The answers that it waits for; empty when it is settled. One that is parked waits for a person first.
    pub owes: Vec<OwedView>,
    /// What was ordered.
    pub items: Vec<ItemView>,
    /// The sum of price times quantity.
    pub total_amount: Amount,
    /// How the customer pays.
    pub payment_method: String,
    /// How to notify the customer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub contact: Option<ContactView>,
    /// Delivery address.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub shipping_address: Option<AddressView>,
    /// Its payment.
    pub payment: PaymentView,
    /// Stock that is or was held for it.
    pub reservations: Vec<ReservationView>,
    /// Stock that was not available.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shortages: Vec<ShortageView>,
    /// Notices to the customer.
    pub notifications: Vec<NoticeView>,
    /// The shipment.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub shipment: Option<ShipmentView>,
    /// What has happened, oldest first.
    pub history: Vec<HistoryView>,
    /// The correlation id of the request that placed it.
    pub correlation_id: Uuid,
    /// When it was accepted.
    pub created_at: Time,
    /// When it last changed.
    pub updated_at: Time,
    /// Links to the order's parts.
    pub links: Links,
}

impl OrderView {
    /// The order as it is stored, for who sees the node under `prefix`.
    pub(crate) fn of(stored: &StoredOrder, prefix: &PathPrefix) -> Self {
        let order = &*stored.order;
        let facts = &stored.record.facts;
        let item = |line: &crate::domain::OrderLine| ItemView {
            product_id: line.product.0,
            quantity: line.quantity.get(),
            price: Amount(line.price),
        };
        Self {
            order_id: order.id.0,
            customer_id: order.customer.0,
            status: stored.status.into(),
            reason: table::reason(facts),
            settled: !stored.open,
            parked: stored.record.parked.as_ref().map(ToString::to_string),
            waits_for: None,
            owes: Vec::new(),
            items: order.lines.iter().map(item).collect(),
            total_amount: Amount(order.total),
            payment_method: order.payment_method.to_string(),
            contact: order.contact.as_deref().map(contact),
            shipping_address: order.address.as_deref().map(address),
            payment: payment(stored),
            reservations: reservations(stored),
            shortages: match &facts.stock {
                Some((StockFact::Insufficient(shortages), _)) => shortages.iter().map(shortage).collect(),
                Some((StockFact::Reserved(_), _)) | None => Vec::new(),
            },
            notifications: notices(stored),
            shipment: facts.shipment.as_ref().map(|(shipment, at)| ShipmentView {
                carrier: text(shipment.carrier.as_ref()),
                tracking_number: text(shipment.tracking.as_ref()),
                at: Time(*at),
            }),
            history: history(stored),
            correlation_id: order.correlation.0,
            created_at: Time(order.created_at),
            updated_at: Time(stored.updated_at),
            links: Links::of(order.id, prefix),
        }
    }
}

fn text<const MAX: usize>(text: Option<&Text<MAX>>) -> Option<String> {
    text.map(ToString::to_string)
}

fn contact(contact: &Contact) -> ContactView {
    ContactView { email: text(contact.email.as_ref()), phone: text(contact.phone.as_ref()), locale: text(contact.locale.as_ref()) }
}

fn address(address: &Address) -> AddressView {
    AddressView {
        name: text(address.name.as_ref()),
        street: text(address.street.as_ref()),
        city: text(address.city.as_ref()),
        region: text(address.region.as_ref()),
        postal_code: text(address.postal_code.as_ref()),
        country: text(address.country.as_ref()),
    }
}

fn payment(stored: &StoredOrder) -> PaymentView {
    let (order, facts) = (&stored.order, &stored.record.facts);
    let mut view = PaymentView {
        payment_id: order.id.payment().0,
        external_id: stored.record.external_payment().map(str::to_owned),
        status: "PENDING",
        amount: Amount(order.total),
        method: order.payment_method.to_string(),
        reason: None,
        at: None,
        next_try_at: None,
    };
    match &facts.payment {
        Some((PaymentFact::Paid { amount, method }, at)) => {
            (view.status, view.amount, view.method, view.at) = ("CHARGED", Amount(*amount), method.to_string(), Some(Time(*at)));
        }
        Some((PaymentFact::Failed { reason }, at)) => {
            (view.status, view.reason, view.at) = ("FAILED", Some(reason.to_string()), Some(Time(*at)));
        }
        Some((PaymentFact::Cancelled, at)) => (view.status, view.at) = ("CANCELLED", Some(Time(*at))),
        // Stock that could not be had is never paid.
        None if facts.is_insufficient() => view.status = "CANCELLED",
        None => {}
    }
    if let Some(at) = facts.refunded {
        (view.status, view.at) = ("REFUNDED", Some(Time(at)));
    }
    view
}

fn reservations(stored: &StoredOrder) -> Vec<ReservationView> {
    let facts = &stored.record.facts;
    let Some((StockFact::Reserved(lines), _)) = &facts.stock else { return Vec::new() };
    let status = match (facts.stock_moved, facts.released) {
        (Some(_), _) => "SHIPPED",
        (None, Some(_)) => "RELEASED",
        (None, None) => "RESERVED",
    };
    let view = |(number, line): (u32, &crate::domain::ReservedLine)| ReservationView {
        reservation_id: stored.order.id.reservation(number).0,
        product_id: line.product.0,
        quantity: line.quantity.get(),
        status,
    };
    (0..).zip(lines).map(view).collect()
}

fn shortage(shortage: &Shortage) -> ShortageView {
    let (requested, available, price) = match shortage {
        Shortage::OutOfStock { requested, available, .. } => (Some(*requested), Some(*available), None),
        Shortage::PriceMismatch { price, .. } => (None, None, Some(Amount(*price))),
        Shortage::UnknownProduct { .. } | Shortage::Discontinued { .. } => (None, None, None),
    };
    ShortageView { product_id: shortage.product().0, reason: shortage.code(), requested, available, price }
}

fn notices(stored: &StoredOrder) -> Vec<NoticeView> {
    let facts = &stored.record.facts;
    let done = |fact: &NoticeFact| NoticeView {
        kind: fact.kind.name(),
        channel: fact.channel.name(),
        status: if fact.sent { "SENT" } else { "GIVEN_UP" },
        at: Some(Time(fact.at)),
    };
    let mut views: Vec<NoticeView> = facts.notices.iter().map(done).collect();
    let channels = stored.order.channels();
    if let Some(kind) = owed(facts, channels).notice {
        let missing = channels.iter().filter(|channel| !facts.has_notice(kind, *channel));
        views.extend(missing.map(|channel| NoticeView { kind: kind.name(), channel: channel.name(), status: "PENDING", at: None }));
    }
    views
}

/// An order's history on the wire.
#[must_use]
pub(crate) fn history(stored: &StoredOrder) -> Vec<HistoryView> {
    let view = |entry: &crate::saga::HistoryEntry| {
        let ids = entry.event().and_then(|kind| stored.record.external_ids(kind));
        let text = |id: Option<&crate::domain::Text<100>>| id.map(ToString::to_string);
        HistoryView {
            status: entry.status.into(),
            event: entry.event().map_or("Unknown", crate::domain::EventKind::name),
            at: Time(entry.at),
            external_id: text(ids.and_then(|ids| ids.event.as_ref())),
            external_correlation_id: text(ids.and_then(|ids| ids.correlation.as_ref())),
        }
    };
    stored.record.history.iter().map(view).collect()
}
