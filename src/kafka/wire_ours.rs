//! Wire types of what ordermill's roles on different nodes tell each other besides the specification's events.

use super::wire::{Amount, Words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A step failed past its policy, and waits for a person: its order is to be parked.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct StepParked<'a> {
    /// The step: `charge`, `void`, `refund` or `store`.
    pub step: Words<'a>,
    /// A short code to group by.
    pub cause: Words<'a>,
    /// What happened in detail, for a person.
    #[serde(default)]
    pub detail: Words<'a>,
    /// Number of tries.
    #[serde(default)]
    pub tries: u32,
}

/// The order has recorded the answer of a role that another team runs.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnswerAccepted<'a> {
    /// The answer's kind: `PaymentProcessed`, `InventoryReserved`, …
    pub answer: Words<'a>,
    /// Amount charged or refunded; with `PaymentProcessed` and `PaymentRefunded`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
    /// The payment method; with `PaymentProcessed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_method: Option<Words<'a>>,
    /// The reason; with `PaymentFailed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Words<'a>>,
    /// What the team that runs the role calls its event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_event_id: Option<Words<'a>>,
    /// What it calls the payment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_payment_id: Option<Words<'a>>,
    /// What it calls the request that its event follows, where that is no UUID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_correlation_id: Option<Words<'a>>,
}
