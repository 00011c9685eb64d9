//! What goes over the wire: request and response types, apart from the domain's.

use crate::domain::{Money, OrderStatus, Timestamp};
use serde::{Serialize, Serializer};
use std::borrow::Cow;
use utoipa::ToSchema;
use uuid::Uuid;

/// An amount: a decimal string with two decimal places.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ToSchema)]
#[schema(value_type = String, example = "19.99", pattern = r"^\d{1,8}\.\d{2}$")]
pub struct Amount(pub Money);

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A point in time: RFC 3339, UTC.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2026-11-23T17:10:00.000000Z")]
pub struct Time(pub Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// An order's status.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "each is documented in the domain's type of the same name")]
pub enum Status {
    Pending,
    InventoryReserved,
    Confirmed,
    Shipped,
    PaymentFailed,
    Failed,
    Cancelling,
    Refunding,
    Cancelled,
}

impl From<OrderStatus> for Status {
    fn from(status: OrderStatus) -> Self {
        match status {
            OrderStatus::Pending => Self::Pending,
            OrderStatus::InventoryReserved => Self::InventoryReserved,
            OrderStatus::Confirmed => Self::Confirmed,
            OrderStatus::Shipped => Self::Shipped,
            OrderStatus::PaymentFailed => Self::PaymentFailed,
            OrderStatus::Failed => Self::Failed,
            OrderStatus::Cancelling => Self::Cancelling,
            OrderStatus::Refunding => Self::Refunding,
            OrderStatus::Cancelled => Self::Cancelled,
        }
    }
}

/// The part of a request that a field is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// The body; the pointer is a JSON pointer.
    Body,
    /// The address.
    Path,
    /// The query.
    Query,
    /// A header.
    Header,
}

/// An invalid field.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct FieldProblem {
    /// The part of the request.
    #[serde(rename = "in")]
    pub place: Place,
    /// The field, as a JSON pointer such as `/items/0/price`.
    #[schema(example = "/items/0/price")]
    pub pointer: String,
    /// What is wrong with it.
    #[schema(value_type = String, example = "has more than 2 decimal places")]
    pub detail: Cow<'static, str>,
}

/// Problem details (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProblemBody<'a> {
    /// The kind of problem; stable.
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "/problems/invalid-request")]
    pub kind: &'a str,
    /// The kind of problem, for people.
    pub title: &'a str,
    /// The status of the answer.
    pub status: u16,
    /// What happened, for people.
    pub detail: &'a str,
    /// The path of the request.
    pub instance: &'a str,
    /// The request's correlation id.
    pub correlation_id: Uuid,
    /// The order that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub order_id: Option<Uuid>,
    /// Every invalid field.
    #[serde(skip_serializing_if = "<[FieldProblem]>::is_empty")]
    pub errors: &'a [FieldProblem],
}

/// The wall clock.
pub(crate) fn now() -> Timestamp {
    Timestamp::from(chrono::Utc::now())
}
