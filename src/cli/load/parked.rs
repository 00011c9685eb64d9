//! The orders that wait for a person: each is parked, with a dead letter. However long a run waits, they do not settle by themselves.

use super::ask::{answer_of, first_reachable};
use super::node::Node;
use crate::cli::client::{encoded, query, rows_at, text_at};
use serde_json::Value;
use std::collections::BTreeSet;

const LETTERS: &str = "/api/v1/admin/dlq";
/// Where more are open than these, some are surely under way.
const MOST: u64 = 1_000;

/// Whether all `open` orders wait for a person.
pub(crate) async fn are_all(nodes: &[Node], key: Option<&str>, open: u64) -> anyhow::Result<bool> {
    let Some(node) = first_reachable(nodes).await.filter(|_| open <= MOST) else { return Ok(false) };
    let orders = of_letters(node, key).await?;
    if u64::try_from(orders.len()).is_ok_and(|orders| orders < open) {
        return Ok(false);
    }
    // A letter may have outlived what its order waited for.
    let mut parked = 0;
    for order in orders {
        let shown = get(node, key, &format!("/api/v1/orders/{}", encoded(&order))).await?;
        parked += u64::from(shown.get("settled") == Some(&Value::Bool(false)) && text_at(&shown, "parked").is_some());
    }
    Ok(parked >= open)
}

/// The orders of the open letters about steps.
async fn of_letters(node: &Node, key: Option<&str>) -> anyhow::Result<BTreeSet<String>> {
    let (mut orders, mut cursor) = (BTreeSet::new(), None);
    loop {
        let filter = [("state", Some("OPEN".to_owned())), ("kind", Some("STEP".to_owned())), ("limit", Some("200".to_owned()))];
        let parts = [filter.as_slice(), &[("cursor", cursor)]].concat();
        let page = get(node, key, &format!("{LETTERS}{}", query(&parts))).await?;
        orders.extend(rows_at(&page, "items").iter().filter_map(|letter| text_at(letter, "orderId")).map(str::to_owned));
        cursor = text_at(&page, "nextCursor").map(str::to_owned);
        if cursor.is_none() {
            return Ok(orders);
        }
    }
}

async fn get(node: &Node, key: Option<&str>, path: &str) -> anyhow::Result<Value> {
    Ok(serde_json::from_slice(&answer_of(node, path, key).await?)?)
}
