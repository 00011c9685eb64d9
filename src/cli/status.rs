//! `ordermill status`: what needs attention, as the strip on every page says it.

use super::client::{ApiArgs, Client, rows_at, shown_at, text_at};
use super::table::{Column, print_json, table};
use super::terminal;
use super::words::{age_at, attention};
use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::Value;

/// Where the API tells it.
pub(super) const PATH: &str = "/api/v1/admin/attention";

/// Shows what needs attention (needs the role operator): exit code 0 if nothing does, 1 if something does or the node cannot be reached
///
/// Parked orders, other dead letters, orders that stand still, shards without a node and lag are those of all nodes; breakers and
/// health are those of the node that answers.
#[derive(Args, Clone, Debug)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    api: ApiArgs,
    /// Print what the node answers, as JSON
    #[arg(long)]
    json: bool,
}

/// Whether nothing needs attention.
///
/// # Errors
/// The node cannot be reached or refuses.
pub(crate) async fn run(args: &StatusArgs) -> anyhow::Result<bool> {
    let answer = Client::new(&args.api)?.get(PATH).await?;
    let items = rows_at(&answer, "items");
    if args.json {
        print_json(&answer)?;
    } else {
        print!("{}", told(items, Utc::now(), terminal::width()));
    }
    Ok(items.is_empty())
}

fn told(items: &[Value], now: DateTime<Utc>, width: Option<usize>) -> String {
    if items.is_empty() {
        return "nothing needs attention\n".to_owned();
    }
    let row = |item: &Value| [shown_at(item, "level"), counted(item), age_at(item, "since", now), shown_at(item, "detail")];
    let columns = [Column::whole("LEVEL"), Column::whole("WHAT"), Column::number("OLDEST").spare(1), Column::text("DETAIL")];
    table(columns, &items.iter().map(row).collect::<Vec<_>>(), width)
}

/// `3 parked orders`, `200+ orders stand still`.
pub(super) fn counted(item: &Value) -> String {
    let count = item.get("count").and_then(Value::as_u64).unwrap_or(0);
    let has_more = item.get("more").and_then(Value::as_bool).unwrap_or(false);
    let name = attention(text_at(item, "kind").unwrap_or("-"), if has_more { u64::MAX } else { count });
    format!("{count}{} {name}", if has_more { "+" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_needs_attention_is_told_as_on_the_pages() {
        let now = DateTime::parse_from_rfc3339("2026-01-31T08:30:00Z").unwrap().to_utc();
        let items = [
            json!({"kind": "parked-orders", "level": "ERROR", "count": 3, "more": false, "since": "2026-01-31T08:25:00Z",
                "detail": "3 × payment-provider at charge"}),
            json!({"kind": "standing-orders", "level": "WARNING", "count": 1, "more": true, "detail": "x"}),
            json!({"kind": "news", "level": "WARNING", "count": 1, "more": false, "detail": "y"}),
        ];
        insta::assert_snapshot!(told(&items, now, None), @r"
        LEVEL    WHAT                   OLDEST  DETAIL
        ERROR    3 parked orders            5m  3 × payment-provider at charge
        WARNING  1+ orders stand still       -  x
        WARNING  1 news                      -  y
        ");
        assert_eq!(told(&[], now, Some(80)), "nothing needs attention\n");
    }
}
