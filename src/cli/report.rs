//! `ordermill report`: what was sold in a period, as the page of reports has it.

use super::client::{ApiArgs, Client, query, rows_at, shown_at};
use super::orders::when;
use super::table::{Column, print_json, table};
use super::terminal;
use clap::Args;
use serde_json::Value;

const PATH: &str = "/api/v1/analytics/reports";

/// Shows orders, sales and refunds of a period by hour, day or week (needs the role operator)
#[derive(Args, Clone, Debug)]
pub(crate) struct ReportArgs {
    #[command(flatten)]
    api: ApiArgs,
    /// Its start: 2026-11-23T17:10:00+01:00, a date (2026-11-23, UTC), or a time before now (1h, 7d); default: 24 hours, 30 days or 12
    /// weeks before the end
    #[arg(long, visible_alias = "since", value_name = "TIME", value_parser = when)]
    from: Option<String>,
    /// Its end, exclusive; default: now
    #[arg(long, visible_alias = "until", value_name = "TIME", value_parser = when)]
    to: Option<String>,
    /// Days and weeks start by the UTC offset of --from
    #[arg(long, default_value = "day", value_parser = ["hour", "day", "week"])]
    bucket: String,
    /// Print all figures as CSV
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Print all figures as JSON
    #[arg(long)]
    json: bool,
}

/// Prints the report.
///
/// # Errors
/// The node cannot be reached or refuses.
pub(crate) async fn run(args: &ReportArgs) -> anyhow::Result<bool> {
    let client = Client::new(&args.api)?;
    let format = args.csv.then(|| "csv".to_owned());
    let parts = [("from", args.from.clone()), ("to", args.to.clone()), ("bucket", Some(args.bucket.clone())), ("format", format)];
    let path = format!("{PATH}{}", query(&parts));
    if args.csv {
        print!("{}", client.text(&path).await?);
        return Ok(true);
    }
    let report = client.get(&path).await?;
    if args.json {
        print_json(&report)?;
    } else {
        print!("{}", text(&report, terminal::width()));
    }
    Ok(true)
}

fn text(report: &Value, width: Option<usize>) -> String {
    let names = ["start", "placed", "confirmed", "shipped", "failed", "cancelled", "grossSales", "refunds", "revenue"];
    let rows: Vec<_> = rows_at(report, "rows").iter().map(|row| names.map(|name| shown_at(row, name))).collect();
    let number = Column::number;
    let columns = [
        Column::whole("START"),
        number("PLACED"),
        number("CONFIRMED").spare(2),
        number("SHIPPED").spare(5),
        number("FAILED").spare(4),
        number("CANCELLED").spare(3),
        number("GROSS").spare(1),
        number("REFUNDED").spare(1),
        number("NET"),
    ];
    table(columns, &rows, width)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_report_has_gross_refunded_and_net_apart() {
        let report = json!({"rows": [{"start": "2026-01-31T00:00:00Z", "placed": 10, "confirmed": 9, "shipped": 8, "failed": 1, "cancelled": 0,
            "grossSales": "90.00", "refunds": "0.00", "revenue": "90.00"}]});
        insta::assert_snapshot!(text(&report, None), @r"
        START                 PLACED  CONFIRMED  SHIPPED  FAILED  CANCELLED  GROSS  REFUNDED    NET
        2026-01-31T00:00:00Z      10          9        8       1          0  90.00      0.00  90.00
        ");
    }
}
