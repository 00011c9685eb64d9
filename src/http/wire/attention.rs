//! What needs a person's attention, on the wire.

use crate::http::wire::values::Time;
use serde::Serialize;
use utoipa::ToSchema;

/// What needs attention; nothing while all is well.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, ToSchema)]
pub(crate) struct AttentionView {
    /// What needs attention, the worst first.
    pub items: Vec<AttentionItem>,
}

/// One thing that needs attention.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AttentionItem {
    /// `node` (the answering node is not ready), `shards` (no node owns them), `breaker`, `parked-orders`, `dead-letters` (other than those
    /// of parked orders), `standing-orders`, `waiting-notices`, `lag` (events that are not in Kafka yet) or
    /// `component` (one that `/health` does not call UP, or a database that cannot be read).
    #[schema(value_type = String)]
    pub kind: &'static str,
    /// `ERROR`: orders stand still until a person acts. `WARNING`: something is behind or waits.
    #[schema(value_type = String)]
    pub level: &'static str,
    /// How many there are.
    pub count: u64,
    /// Whether there are more than were counted.
    pub more: bool,
    /// Since when, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub since: Option<Time>,
    /// What it is about.
    pub detail: String,
}
