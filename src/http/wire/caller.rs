//! Who asks, on the wire.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// What a key is for, and what a page needs to know of the shop.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallerView {
    /// The key's name; `local` on a node without keys.
    pub name: String,
    /// `customer`, `operator` or `admin`.
    #[schema(value_type = String)]
    pub role: &'static str,
    /// The one customer whose orders the key sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub customer_id: Option<Uuid>,
    /// Whether the node has access keys.
    pub has_keys: bool,
    /// The currency of all amounts (`kafka.currency`), if it is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "EUR")]
    pub currency: Option<String>,
}
