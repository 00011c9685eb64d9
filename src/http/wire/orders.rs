//! Orders on the wire.

use crate::config::PathPrefix;
use crate::db::{OrderRow, StoredOrder};
use crate::domain::{Order, OrderId};
use crate::http::wire::values::{Amount, Status, Time};
use crate::saga::table;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// Links to an order's parts.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Links {
    /// The whole order.
    #[serde(rename = "self")]
    #[schema(value_type = String, example = "/api/v1/orders/0190c2f4-7b6a-7cc3-98c4-dc0c0c07398f")]
    pub whole: OrderLink,
    /// Its status.
    #[schema(value_type = String)]
    pub status: OrderLink,
    /// Its events, live.
    #[schema(value_type = String)]
    pub events: OrderLink,
    /// Cancels it (POST).
    #[schema(value_type = String)]
    pub cancel: OrderLink,
}

/// An address under an order's.
#[derive(Clone)]
pub(crate) struct OrderLink {
    prefix: PathPrefix,
    order: OrderId,
    part: &'static str,
}

impl std::fmt::Display for OrderLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/api/v1/orders/{}{}", self.prefix.as_str(), self.order, self.part)
    }
}

impl Serialize for OrderLink {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Links {
    /// The links of an order, for who sees the node under `prefix`.
    pub(crate) fn of(order: OrderId, prefix: &PathPrefix) -> Self {
        let to = |part| OrderLink { prefix: prefix.clone(), order, part };
        Self { whole: to(""), status: to("/status"), events: to("/events"), cancel: to("/cancel") }
    }
}

/// The answer to a placed order.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OrderAccepted {
    /// The order's id.
    pub order_id: Uuid,
    /// Its status.
    pub status: Status,
    /// The sum of price times quantity.
    pub total_amount: Amount,
    /// The correlation id of the request that placed it.
    pub correlation_id: Uuid,
    /// When it was accepted.
    pub created_at: Time,
    /// Links to the order's parts.
    pub links: Links,
}

impl OrderAccepted {
    /// The answer for an order of this status.
    #[must_use]
    pub(crate) fn of(order: &Order, status: Status, prefix: &PathPrefix) -> Self {
        Self {
            order_id: order.id.0,
            status,
            total_amount: Amount(order.total),
            correlation_id: order.correlation.0,
            created_at: Time(order.created_at),
            links: Links::of(order.id, prefix),
        }
    }
}

/// An order's status.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OrderStatusView {
    /// The order's id.
    pub order_id: Uuid,
    /// Its status.
    pub status: Status,
    /// Why it ended without goods.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
    /// Whether nothing more will happen to it by itself.
    pub settled: bool,
    /// What it waits for at the payment provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub waits_for: Option<String>,
    /// When it last changed.
    pub updated_at: Time,
}

impl From<&StoredOrder> for OrderStatusView {
    fn from(stored: &StoredOrder) -> Self {
        Self {
            order_id: stored.order.id.0,
            status: stored.status.into(),
            reason: table::reason(&stored.record.facts),
            settled: !stored.open,
            waits_for: None,
            updated_at: Time(stored.updated_at),
        }
    }
}

/// The answer to a command.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CommandAccepted {
    /// The order's id.
    pub order_id: Uuid,
    /// Its status after the command.
    pub status: Status,
    /// Links to the order's parts.
    pub links: Links,
}

impl CommandAccepted {
    /// The answer for an order of this status.
    #[must_use]
    pub(crate) fn of(id: OrderId, status: Status, prefix: &PathPrefix) -> Self {
        Self { order_id: id.0, status, links: Links::of(id, prefix) }
    }
}

/// An order in a list.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OrderSummary {
    /// The order's id.
    pub order_id: Uuid,
    /// The customer.
    pub customer_id: Uuid,
    /// Its status.
    pub status: Status,
    /// Its total.
    pub total_amount: Amount,
    /// When it was accepted.
    pub created_at: Time,
    /// When it last changed.
    pub updated_at: Time,
    /// What it waits for at the payment provider, as far as the answering node knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub waits_for: Option<String>,
}

impl From<&OrderRow> for OrderSummary {
    fn from(row: &OrderRow) -> Self {
        Self {
            order_id: row.id.0,
            customer_id: row.customer.0,
            status: row.status.into(),
            total_amount: Amount(row.total),
            created_at: Time(row.created_at),
            updated_at: Time(row.updated_at),
            waits_for: None,
        }
    }
}

/// A page of orders, newest first.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OrderPage {
    /// The orders. With a filter there may be fewer than `limit`, or none, although more follow.
    pub items: Vec<OrderSummary>,
    /// The `cursor` of the next page; absent only on the last page.
    pub next_cursor: Option<String>,
}
