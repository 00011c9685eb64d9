//! Wire types of the topics: what each event looks like as JSON. The specification's fields, camelCase, and ours as optional ones.
//!
//! What is written and what is taken differ: written is every field that is known, always in one form (an amount as a decimal string
//! with two places, a time as RFC 3339 UTC); taken is whatever holds the fields that a role needs, unknown ones passed over. The
//! JSON Schemas under `contracts/` are made from these types, once for each side.

use crate::domain::{Money, MoneyError, Timestamp};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use std::borrow::Cow;
use std::fmt;
use uuid::Uuid;

/// A text, borrowed while it is written.
pub type Words<'a> = Cow<'a, str>;

/// An amount: written as `"19.99"`, taken also as a JSON number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Amount(pub Money);

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AmountVisitor).map(Self)
    }
}

struct AmountVisitor;

impl Visitor<'_> for AmountVisitor {
    type Value = Money;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an amount such as \"19.99\"")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Money, E> {
        text.parse().map_err(|error: MoneyError| E::custom(format_args!("the amount {error}")))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Money, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Money, E> {
        self.visit_str(&number.to_string())
    }

    /// The shortest text that reads as this number is what stood there, for every amount within bounds.
    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Money, E> {
        self.visit_str(&number.to_string())
    }
}

impl JsonSchema for Amount {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Amount".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        if generator.contract().is_serialize() {
            json_schema!({ "type": "string", "pattern": r"^[0-9]{1,8}\.[0-9]{2}$" })
        } else {
            json_schema!({ "type": ["string", "number"] })
        }
    }
}

/// A time: written as RFC 3339 in UTC; what is taken is the business of `times`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Time(pub Timestamp);

impl Default for Time {
    fn default() -> Self {
        Self(Timestamp(0))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl JsonSchema for Time {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        if generator.contract().is_serialize() {
            json_schema!({ "type": "string", "format": "date-time" })
        } else {
            json_schema!({ "type": ["string", "number", "array"] })
        }
    }
}

/// An id that is ours to write and another team's to choose: written as a UUID, taken as any text or number. Nothing here rests on one of
/// another team, so none is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ident {
    /// Ours.
    Uuid(Uuid),
    /// Another team's, such as `pi_3Mt`.
    Text(String),
}

impl Default for Ident {
    fn default() -> Self {
        Self::Uuid(Uuid::nil())
    }
}

impl From<Uuid> for Ident {
    fn from(id: Uuid) -> Self {
        Self::Uuid(id)
    }
}

impl Serialize for Ident {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Uuid(id) => id.serialize(serializer),
            Self::Text(text) => serializer.serialize_str(text),
        }
    }
}

impl<'de> Deserialize<'de> for Ident {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Label(text) = Label::deserialize(deserializer)?;
        Ok(text.parse().map_or_else(|_| Self::Text(text.into_owned()), Self::Uuid))
    }
}

impl JsonSchema for Ident {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Ident".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        if generator.contract().is_serialize() { Uuid::json_schema(generator) } else { Label::json_schema(generator) }
    }
}

/// A text, taken also from a number: a parcel's number may have no letters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Label<'a>(pub Words<'a>);

impl Serialize for Label<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Label<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Self(text.into())),
            Value::Number(number) => Ok(Self(number.to_string().into())),
            other @ (Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) => {
                Err(D::Error::custom(format_args!("must be a string or a number, not {other}")))
            }
        }
    }
}

impl JsonSchema for Label<'_> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Label".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        if generator.contract().is_serialize() {
            json_schema!({ "type": "string" })
        } else {
            json_schema!({ "type": ["string", "number"] })
        }
    }
}

/// One event: what all have, and what its kind has besides.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Message<B> {
    /// Id of the event; a repeat has the same id.
    #[serde(default)]
    pub event_id: Ident,
    /// Id of the order; the record key is this id in lower case with hyphens.
    pub order_id: Uuid,
    /// When it happened.
    #[serde(default)]
    pub timestamp: Time,
    /// Correlation id of the request that placed the order.
    #[serde(default)]
    pub correlation_id: Ident,
    /// What its kind has.
    #[serde(flatten)]
    pub body: B,
}

/// An item of an order.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// Id of the product.
    pub product_id: Uuid,
    /// Quantity.
    #[schemars(range(min = 1, max = 10_000))]
    pub quantity: i64,
    /// Unit price.
    pub price: Amount,
}

/// How to notify the customer about the order.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContactPart<'a> {
    /// Address for email.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<Words<'a>>,
    /// Number for SMS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<Words<'a>>,
    /// Language of the notices (BCP 47).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<Words<'a>>,
}

/// Delivery address.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AddressPart<'a> {
    /// Recipient.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Words<'a>>,
    /// Street and number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub street: Option<Words<'a>>,
    /// Town.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<Words<'a>>,
    /// State, province or county.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Words<'a>>,
    /// Postal code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postal_code: Option<Words<'a>>,
    /// Country.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<Words<'a>>,
}

/// The order was accepted.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderCreated<'a> {
    /// Id of the customer.
    pub customer_id: Uuid,
    /// The items; no product twice.
    #[schemars(length(min = 1, max = 1000))]
    pub items: Vec<Item>,
    /// The sum of price times quantity.
    pub total_amount: Amount,
    /// The payment method.
    #[serde(default = "card")]
    pub payment_method: Words<'a>,
    /// How to notify the customer about the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<ContactPart<'a>>,
    /// Delivery address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipping_address: Option<AddressPart<'a>>,
}

fn card() -> Words<'static> {
    "CARD".into()
}

/// A reserved line.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reservation {
    /// Id of the product.
    pub product_id: Uuid,
    /// Quantity.
    #[schemars(range(min = 1, max = 10_000))]
    pub quantity: i64,
    /// Id of the reservation.
    #[serde(default)]
    pub reservation_id: Ident,
}

/// The order's stock is held.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct InventoryReserved {
    /// The held lines.
    pub reservations: Vec<Reservation>,
}

/// Stock lines that have changed; none when nothing was held. They are not called reservations: to a reader of the specification
/// that is what tells an `InventoryReserved`.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct StockMoved {
    /// The lines.
    #[serde(default, alias = "reservations")]
    pub items: Vec<Reservation>,
}

/// Why a line is not available.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Short<'a> {
    /// Id of the product.
    pub product_id: Uuid,
    /// `out-of-stock`, `price-mismatch`, `unknown-product` or `discontinued`.
    #[serde(default = "out_of_stock")]
    pub reason: Words<'a>,
    /// Quantity ordered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested: Option<u32>,
    /// Quantity available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available: Option<u32>,
    /// The price in the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_price: Option<Amount>,
    /// The price in the catalogue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Amount>,
}

fn out_of_stock() -> Words<'static> {
    "out-of-stock".into()
}

/// The order's stock cannot be had.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct InventoryInsufficient<'a> {
    /// Every line that is not available.
    #[serde(default)]
    pub shortages: Vec<Short<'a>>,
}

/// The charge succeeded.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaymentProcessed<'a> {
    /// Id of the payment.
    #[serde(default)]
    pub payment_id: Ident,
    /// Amount charged.
    pub amount: Amount,
    /// The payment method.
    #[serde(default = "card")]
    pub payment_method: Words<'a>,
    /// Currency (ISO 4217), if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Words<'a>>,
}

/// The charge failed for good.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaymentFailed<'a> {
    /// Id of the payment.
    #[serde(default)]
    pub payment_id: Ident,
    /// The provider's reason.
    #[serde(default)]
    pub reason: Words<'a>,
}

/// Nothing was or ever will be charged.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaymentCancelled {
    /// Id of the payment.
    #[serde(default)]
    pub payment_id: Ident,
}

/// The charge was given back.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRefunded {
    /// Id of the payment.
    #[serde(default)]
    pub payment_id: Ident,
    /// Amount refunded.
    pub amount: Amount,
}

/// An event that says nothing besides its kind.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct Plain {}

/// An event with a reason.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct Reasoned<'a> {
    /// The reason.
    #[serde(default)]
    pub reason: Words<'a>,
}

/// The order is undone, or could not be had.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderCancelled<'a> {
    /// The reason.
    #[serde(default)]
    pub reason: Words<'a>,
    /// Whether the order had been paid.
    #[serde(default)]
    pub was_paid: bool,
}

/// The goods are on their way.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderShipped<'a> {
    /// The carrier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carrier: Option<Words<'a>>,
    /// The tracking number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracking_number: Option<Label<'a>>,
}

/// A notice went out.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NotificationSent<'a> {
    /// Id of the notice.
    #[serde(default)]
    pub notification_id: Ident,
    /// `CONFIRMATION`, `FAILURE`, `CANCELLATION`, `SHIPPING`; if cancelled unpaid `UNAVAILABLE`, `PRICE_CHANGED`, `EXPIRED`, `CALLED_OFF`.
    pub kind: Words<'a>,
    /// `EMAIL` or `SMS`.
    pub channel: Words<'a>,
}

/// A try to send a notice failed.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NotificationFailed<'a> {
    /// Id of the notice.
    #[serde(default)]
    pub notification_id: Ident,
    /// `CONFIRMATION`, `FAILURE`, `CANCELLATION`, `SHIPPING`; if cancelled unpaid `UNAVAILABLE`, `PRICE_CHANGED`, `EXPIRED`, `CALLED_OFF`.
    pub kind: Words<'a>,
    /// `EMAIL` or `SMS`.
    pub channel: Words<'a>,
    /// Number of the try, from 1.
    #[serde(default = "first")]
    pub attempt: u32,
    /// Whether the notice is given up.
    #[serde(rename = "final", default)]
    pub last: bool,
    /// The provider's reason.
    #[serde(default)]
    pub reason: Words<'a>,
}

fn first() -> u32 {
    1
}
