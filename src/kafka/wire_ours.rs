//! Wire types of what ordermill's roles on different nodes tell each other besides the specification's events.

use super::wire::{Amount, Words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The order has recorded the answer of a role that another team runs.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnswerAccepted<'a> {
    /// The answer's kind: `PaymentProcessed`, `InventoryReserved`, …
    pub answer: Words<'a>,
    /// Amount charged or given back; with `PaymentProcessed` and `PaymentRefunded`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
    /// How it was paid; with `PaymentProcessed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_method: Option<Words<'a>>,
    /// Why; with `PaymentFailed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Words<'a>>,
}
