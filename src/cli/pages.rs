//! Lists that the API gives page by page.

use super::client::{ApiError, Client, query, rows_at, text_at};
use serde_json::Value;

/// The most rows that the API gives in one page.
const PAGE: usize = 200;

/// The rows of a list, page after page, at most `limit`.
pub(super) async fn pages(client: &Client, path: &str, filter: &[(&str, Option<String>)], limit: usize) -> Result<Vec<Value>, ApiError> {
    let (mut rows, mut cursor) = (Vec::new(), None);
    while rows.len() < limit {
        let size = (limit - rows.len()).min(PAGE);
        let mut parts = filter.to_vec();
        parts.push(("limit", Some(size.to_string())));
        parts.push(("cursor", cursor.take()));
        let page = client.get(&format!("{path}{}", query(&parts))).await?;
        rows.extend_from_slice(rows_at(&page, "items"));
        cursor = text_at(&page, "nextCursor").map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    Ok(rows)
}
