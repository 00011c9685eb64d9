//! `ordermill orders`: looks at orders and commands them, through a node's API.

use super::client::{ApiArgs, ApiError, Client, encoded, query, rows_at, shown_at, text_at};
use super::interrupt::Interrupts;
use super::table::{print_json, printable, table};
use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::time::Duration;

/// A stream that was cut off is opened again after this time, as often as it gets further.
const REOPEN: Duration = Duration::from_secs(1);
/// So often without an event in between: a node that starts anew may read many orders first.
const MAX_REOPENS: u32 = 300;
/// The most rows that the API gives in one page.
const PAGE: usize = 200;

/// Shows, follows, cancels and ships orders.
#[derive(Args, Clone, Debug)]
pub(crate) struct OrdersArgs {
    #[command(flatten)]
    api: ApiArgs,
    /// Print what the node answers, as JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: OrdersCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum OrdersCommand {
    /// List orders, newest first
    List {
        /// Only orders of this customer
        #[arg(long, value_name = "ID", value_parser = id)]
        customer: Option<String>,
        /// Only orders in this status: PENDING, INVENTORY_RESERVED, CONFIRMED, SHIPPED, PAYMENT_FAILED, FAILED, CANCELLING, REFUNDING or
        /// CANCELLED
        #[arg(long, value_name = "STATUS", value_parser = status)]
        status: Option<String>,
        /// Only orders accepted at or after this time: 2026-11-23T17:10:00Z, a date (2026-11-23, UTC), or a time before now (90s, 30m, 1h,
        /// 7d)
        #[arg(long, visible_alias = "since", value_name = "TIME", value_parser = when)]
        from: Option<String>,
        /// Only orders accepted before this time
        #[arg(long, visible_alias = "until", value_name = "TIME", value_parser = when)]
        to: Option<String>,
        /// Longest list to print
        #[arg(long, default_value_t = 50, value_name = "N")]
        limit: usize,
    },
    /// Show an order: items, payment, stock, notices and history
    Show {
        /// Id of the order
        #[arg(value_parser = id)]
        id: String,
    },
    /// Follow an order until nothing more can happen to it (shipped, failed or cancelled), or until Ctrl-C
    Watch {
        /// Id of the order
        #[arg(value_parser = id)]
        id: String,
    },
    /// Cancel an order; its stock is released and its money refunded
    Cancel {
        /// Id of the order
        #[arg(value_parser = id)]
        id: String,
    },
    /// Mark an order as shipped
    Ship {
        /// Id of the order
        #[arg(value_parser = id)]
        id: String,
        /// The carrier
        #[arg(long, value_name = "NAME")]
        carrier: Option<String>,
        /// The tracking number
        #[arg(long, value_name = "NUMBER")]
        tracking: Option<String>,
    },
}

/// The node reads the times; here they are only looked at, so that a wrong one is a wrong usage.
fn when(text: &str) -> Result<String, String> {
    let now = crate::domain::Timestamp::from(chrono::Utc::now());
    crate::domain::When::parse(text, now).map(|_| text.to_owned()).ok_or_else(|| crate::domain::When::FORMS.to_owned())
}

fn id(text: &str) -> Result<String, String> {
    uuid::Uuid::parse_str(text).map(|id| id.to_string()).map_err(|_| "must be a UUID".to_owned())
}

fn status(name: &str) -> Result<String, String> {
    let name = name.to_ascii_uppercase();
    match crate::domain::OrderStatus::from_name(&name) {
        Some(_) => Ok(name),
        None => Err(format!("must be one of {}", crate::domain::OrderStatus::ALL.map(crate::domain::OrderStatus::name).join(", "))),
    }
}

/// Runs the command.
///
/// # Errors
/// The node cannot be reached or refuses.
pub(crate) async fn run(args: &OrdersArgs) -> anyhow::Result<bool> {
    let client = Client::new(&args.api)?;
    match &args.command {
        OrdersCommand::List { customer, status, from, to, limit } => {
            let filter = [("customerId", customer.clone()), ("status", status.clone()), ("from", from.clone()), ("to", to.clone())];
            let rows = pages(&client, "/api/v1/orders", &filter, *limit).await?;
            if args.json {
                return print_json(&Value::Array(rows)).map(|()| true);
            }
            print!("{}", list_text(&rows));
        }
        OrdersCommand::Show { id } => {
            let order = client.get(&path(id, "")).await?;
            if args.json {
                return print_json(&order).map(|()| true);
            }
            print!("{}", show_text(&order));
        }
        OrdersCommand::Watch { id } => return watch(&client, id, args.json).await,
        OrdersCommand::Cancel { id } => command(&client, id, "/cancel", json!({}), args.json).await?,
        OrdersCommand::Ship { id, carrier, tracking } => {
            let mut body = serde_json::Map::new();
            for (name, value) in [("carrier", carrier), ("trackingNumber", tracking)] {
                if let Some(value) = value {
                    body.insert(name.to_owned(), json!(value));
                }
            }
            command(&client, id, "/ship", Value::Object(body), args.json).await?;
        }
    }
    Ok(true)
}

fn path(id: &str, rest: &str) -> String {
    format!("/api/v1/orders/{}{rest}", encoded(id))
}

async fn command(client: &Client, id: &str, what: &str, body: Value, as_json: bool) -> anyhow::Result<()> {
    let answer = client.post(&path(id, what), &body).await?;
    if as_json {
        return print_json(&answer);
    }
    println!("{} is {}", shown_at(&answer, "orderId"), shown_at(&answer, "status"));
    Ok(())
}

/// The rows of a list, page after page, at most `limit`.
pub(crate) async fn pages(client: &Client, path: &str, filter: &[(&str, Option<String>)], limit: usize) -> Result<Vec<Value>, ApiError> {
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

fn list_text(rows: &[Value]) -> String {
    if rows.is_empty() {
        return "no orders\n".to_owned();
    }
    let cells = |row: &Value| ["orderId", "status", "totalAmount", "customerId", "createdAt"].map(|name| shown_at(row, name));
    table(["ORDER", "STATUS", "TOTAL", "CUSTOMER", "ACCEPTED"], &rows.iter().map(cells).collect::<Vec<_>>())
}

fn show_text(order: &Value) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: String| {
        if value != "-" {
            out.push_str(&format!("{name:<10} {}\n", printable(&value)));
        }
    };
    line("order", shown_at(order, "orderId"));
    line("status", shown_at(order, "status"));
    line("reason", shown_at(order, "reason"));
    line("parked", shown_at(order, "parked"));
    line("waits for", shown_at(order, "waitsFor"));
    line("settled", shown_at(order, "settled"));
    line("customer", shown_at(order, "customerId"));
    line("total", shown_at(order, "totalAmount"));
    line("accepted", shown_at(order, "createdAt"));
    if let Some(payment) = order.get("payment") {
        line("payment", ["status", "amount", "method", "reason"].map(|name| shown_at(payment, name)).join("  ").replace("  -", ""));
    }
    if let Some(shipment) = order.get("shipment") {
        let parts = ["carrier", "trackingNumber", "at"].map(|name| shown_at(shipment, name));
        line("shipment", parts.into_iter().filter(|part| part != "-").collect::<Vec<_>>().join("  "));
    }
    section::<3>(&mut out, order, "items", ["productId", "quantity", "price"]);
    section::<3>(&mut out, order, "reservations", ["productId", "quantity", "status"]);
    section::<4>(&mut out, order, "shortages", ["productId", "reason", "requested", "available"]);
    section::<4>(&mut out, order, "notifications", ["kind", "channel", "status", "at"]);
    section::<3>(&mut out, order, "history", ["at", "event", "status"]);
    out
}

/// A list within an order, if it has rows.
fn section<const N: usize>(out: &mut String, order: &Value, name: &str, columns: [&str; N]) {
    let rows: Vec<[String; N]> = rows_at(order, name).iter().map(|row| columns.map(|column| shown_at(row, column))).collect();
    if !rows.is_empty() {
        out.push_str(&format!("\n{name}\n{}", table(columns.map(|column| column), &rows)));
    }
}

/// Prints each event; opens the stream again, behind the last event, where it was cut off or its node went away.
async fn watch(client: &Client, id: &str, as_json: bool) -> anyhow::Result<bool> {
    let (mut last, mut reopens, mut interrupts) = (None::<String>, 0, Interrupts::listen());
    let (path, mut was_open) = (path(id, "/events"), false);
    loop {
        let opened = tokio::select! {
            opened = client.events(&path, last.as_deref()) => opened,
            () = interrupts.next() => return Ok(true),
        };
        let mut events = match opened {
            Ok(Some(events)) => Some(events),
            Ok(None) => return Ok(true),
            // Nothing was ever seen of it: the address may be wrong.
            Err(error) if !was_open || !error.is_passing() || reopens >= MAX_REOPENS => return Err(error.into()),
            Err(_) => None,
        };
        was_open = true;
        while let Some(stream) = &mut events {
            let event = tokio::select! {
                event = stream.next() => event,
                () = interrupts.next() => return Ok(true),
            };
            match event {
                Ok(Some(event)) if event.name == "end" => return Ok(true),
                Ok(Some(event)) => {
                    if as_json {
                        println!("{}", event.data);
                    } else {
                        let [at, what, status] = ["at", "event", "status"].map(|name| shown_at(&event.data, name));
                        println!("{at}  {what:<22} {status}");
                    }
                    last = event.id.or(last);
                    reopens = 0;
                }
                Ok(None) | Err(_) => break,
            }
        }
        reopens += 1;
        if reopens > MAX_REOPENS {
            bail!("the stream of order {id} is cut off again and again");
        }
        tokio::select! {
            () = tokio::time::sleep(REOPEN) => {}
            () = interrupts.next() => return Ok(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_shown_with_what_it_has() {
        let order = json!({
            "orderId": "o1", "customerId": "c1", "status": "CANCELLED", "reason": "out-of-stock", "settled": true,
            "totalAmount": "5.00", "createdAt": "t0", "payment": {"status": "CANCELLED", "amount": "5.00", "method": "CARD"},
            "items": [{"productId": "p1", "quantity": 2, "price": "2.50"}], "reservations": [],
            "shipment": {"carrier": "Postnord", "trackingNumber": null, "at": "t1"},
            "history": [{"at": "t0", "event": "OrderCreated", "status": "PENDING"}]
        });
        insta::assert_snapshot!(show_text(&order), @r"
        order      o1
        status     CANCELLED
        reason     out-of-stock
        settled    true
        customer   c1
        total      5.00
        accepted   t0
        payment    CANCELLED  5.00  CARD
        shipment   Postnord  t1

        items
        productId  quantity  price
        p1         2         2.50

        history
        at  event         status
        t0  OrderCreated  PENDING
        ");
    }

    #[test]
    fn an_order_that_waits_says_for_what() {
        let order = json!({
            "orderId": "o1", "status": "INVENTORY_RESERVED", "settled": false,
            "waitsFor": "the payment provider: circuit breaker open, next try at 2026-01-31T08:30:00Z"
        });
        insta::assert_snapshot!(show_text(&order), @r"
        order      o1
        status     INVENTORY_RESERVED
        waits for  the payment provider: circuit breaker open, next try at 2026-01-31T08:30:00Z
        settled    false
        ");
        let parked = json!({"orderId": "o1", "parked": "payment-provider"});
        insta::assert_snapshot!(show_text(&parked), @r"
        order      o1
        parked     payment-provider
        ");
    }

    #[test]
    fn a_status_is_taken_in_any_case_and_must_exist() {
        assert_eq!(status("confirmed"), Ok("CONFIRMED".to_owned()));
        assert!(status("DONE").unwrap_err().contains("PENDING"));
    }
}
