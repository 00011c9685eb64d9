//! `ordermill orders`: looks at orders and commands them, through a node's API.

use super::client::{ApiArgs, Client, encoded, rows_at, shown_at, text_at};
use super::interrupt::Interrupts;
use super::pages::pages;
use super::products::{name_of, names};
use super::table::{Column, print_json, printable, table};
use super::terminal;
use super::words::moment_at;
use anyhow::bail;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// A stream that was cut off is opened again after this time, as often as it gets further.
const REOPEN: Duration = Duration::from_secs(1);
/// So often without an event in between: a node that starts anew may read many orders first.
const MAX_REOPENS: u32 = 300;

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
        /// Only orders in this status
        #[arg(long, value_name = "STATUS", ignore_case = true, value_parser = statuses())]
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
pub(super) fn when(text: &str) -> Result<String, String> {
    let now = crate::domain::Timestamp::from(chrono::Utc::now());
    crate::domain::When::parse(text, now).map(|_| text.to_owned()).ok_or_else(|| crate::domain::When::FORMS.to_owned())
}

fn id(text: &str) -> Result<String, String> {
    uuid::Uuid::parse_str(text).map(|id| id.to_string()).map_err(|_| "must be a UUID".to_owned())
}

/// The statuses, in any case; named, so that help and completions list them.
fn statuses() -> impl TypedValueParser<Value = String> {
    let names = crate::domain::OrderStatus::ALL.map(crate::domain::OrderStatus::name);
    PossibleValuesParser::new(names).map(|name| name.to_ascii_uppercase())
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
            print!("{}", list_text(&rows, terminal::width()));
        }
        OrdersCommand::Show { id } => {
            let order = client.get(&path(id, "")).await?;
            if args.json {
                return print_json(&order).map(|()| true);
            }
            let names = names(&client, product_ids(&order)).await;
            print!("{}", show_text(&order, &names, terminal::width()));
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

fn list_text(rows: &[Value], width: Option<usize>) -> String {
    if rows.is_empty() {
        return "no orders\n".to_owned();
    }
    let columns = [
        Column::whole("ORDER"),
        Column::whole("STATUS"),
        Column::number("TOTAL"),
        Column::whole("ACCEPTED").spare(1),
        Column::whole("CUSTOMER").spare(3),
        Column::text("WAITS FOR").spare(2),
    ];
    let row = |row: &Value| {
        let [id, status, total, customer, waits] =
            ["orderId", "status", "totalAmount", "customerId", "waitsFor"].map(|name| shown_at(row, name));
        [id, status, total, moment_at(row, "createdAt"), customer, waits]
    };
    table(columns, &rows.iter().map(row).collect::<Vec<_>>(), width)
}

/// The products that an order names.
fn product_ids(order: &Value) -> impl Iterator<Item = &str> {
    let rows = ["items", "reservations", "shortages"].into_iter().flat_map(|name| rows_at(order, name));
    rows.filter_map(|row| text_at(row, "productId"))
}

/// A whole order; `names` are those of its products.
fn show_text(order: &Value, names: &BTreeMap<String, String>, width: Option<usize>) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: String| {
        if value != "-" && !value.is_empty() {
            out.push_str(&format!("{name:<10} {}\n", printable(&value)));
        }
    };
    let parts = |value: Option<&Value>, names: &[&str]| {
        let parts = names.iter().map(|name| value.map_or_else(|| "-".to_owned(), |value| shown_at(value, name)));
        parts.filter(|part| part != "-").collect::<Vec<_>>().join("  ")
    };
    line("order", shown_at(order, "orderId"));
    line("status", shown_at(order, "status"));
    line("reason", shown_at(order, "reason"));
    line("parked", shown_at(order, "parked"));
    line("waits for", shown_at(order, "waitsFor"));
    line("settled", shown_at(order, "settled"));
    line("customer", shown_at(order, "customerId"));
    line("contact", parts(order.get("contact"), &["email", "phone", "locale"]));
    line("address", parts(order.get("shippingAddress"), &["name", "street", "postalCode", "city", "region", "country"]));
    line("total", shown_at(order, "totalAmount"));
    line("accepted", shown_at(order, "createdAt"));
    line("payment", parts(order.get("payment"), &["status", "amount", "method", "reason"]));
    line("shipment", shipment(order.get("shipment")));
    let mut section = |title: &str, table: String| {
        if table.lines().count() > 1 {
            out.push_str(&format!("\n{title}\n{table}"));
        }
    };
    let name = Some(names);
    section("owes", rows_of(order, "owes", ["answer", "role", "tries", "lastError", "nextTryAt"].map(Column::text), None, width));
    let lines = |last| [Column::whole("productId"), Column::text("name"), Column::number("quantity"), last];
    section("items", rows_of(order, "items", lines(Column::number("price")), name, width));
    section("reservations", rows_of(order, "reservations", lines(Column::whole("status")), name, width));
    let shortage = ["productId", "name", "reason", "requested", "available"];
    section("shortages", rows_of(order, "shortages", shortage.map(Column::text), name, width));
    section("notifications", rows_of(order, "notifications", ["kind", "channel", "status", "at"].map(Column::whole), None, width));
    section("history", rows_of(order, "history", ["at", "event", "status"].map(Column::whole), None, width));
    out
}

/// Who carries the goods, under which number, and when they left.
fn shipment(shipment: Option<&Value>) -> String {
    let Some(shipment) = shipment else { return "-".to_owned() };
    let [carrier, number, at] = ["carrier", "trackingNumber", "at"].map(|name| shown_at(shipment, name));
    let carrier = if carrier == "-" { "carrier unknown".to_owned() } else { carrier };
    [carrier, number, at].into_iter().filter(|part| part != "-").collect::<Vec<_>>().join("  ")
}

/// A list within an order, with the products' names if there are any.
fn rows_of<const N: usize>(
    order: &Value,
    list: &str,
    columns: [Column<'_>; N],
    names: Option<&BTreeMap<String, String>>,
    width: Option<usize>,
) -> String {
    let cell = |row: &Value, column: &str| match names {
        Some(names) if column == "name" => name_of(names, &shown_at(row, "productId")),
        _ => shown_at(row, column),
    };
    let rows: Vec<[String; N]> = rows_at(order, list).iter().map(|row| columns.map(|column| cell(row, column.title()))).collect();
    table(columns, &rows, width)
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
    use clap::Parser;

    #[derive(Parser, Debug)]
    struct CommandLine {
        #[command(flatten)]
        args: OrdersArgs,
    }

    #[test]
    fn a_list_names_what_an_order_waits_for() {
        let rows = [
            json!({"orderId": "o1", "status": "PENDING", "totalAmount": "5.00", "customerId": "c1", "createdAt": "2026-01-31T08:30:00.5Z"}),
            json!({"orderId": "o2", "status": "INVENTORY_RESERVED", "totalAmount": "15.00", "customerId": "c1", "waitsFor": "the provider"}),
        ];
        insta::assert_snapshot!(list_text(&rows, None), @r"
        ORDER  STATUS              TOTAL  ACCEPTED              CUSTOMER  WAITS FOR
        o1     PENDING              5.00  2026-01-31T08:30:00Z  c1        -
        o2     INVENTORY_RESERVED  15.00  -                     c1        the provider
        ");
    }

    #[test]
    fn an_order_is_shown_with_what_it_has() {
        let order = json!({
            "orderId": "o1", "customerId": "c1", "status": "CANCELLED", "reason": "out-of-stock", "settled": true,
            "totalAmount": "5.00", "createdAt": "t0", "contact": {"email": "ada@example.org"}, "payment": {"status": "CANCELLED", "amount": "5.00", "method": "CARD"},
            "items": [{"productId": "p1", "quantity": 2, "price": "2.50"}], "reservations": [],
            "shipment": {"carrier": "Postnord", "trackingNumber": null, "at": "t1"},
            "history": [{"at": "t0", "event": "OrderCreated", "status": "PENDING"}]
        });
        let names = BTreeMap::from([("p1".to_owned(), "Enamel mug".to_owned())]);
        insta::assert_snapshot!(show_text(&order, &names, None), @r"
        order      o1
        status     CANCELLED
        reason     out-of-stock
        settled    true
        customer   c1
        contact    ada@example.org
        total      5.00
        accepted   t0
        payment    CANCELLED  5.00  CARD
        shipment   Postnord  t1

        items
        productId  name        quantity  price
        p1         Enamel mug         2   2.50

        history
        at  event         status
        t0  OrderCreated  PENDING
        ");
    }

    #[test]
    fn an_order_that_waits_says_for_what() {
        let order = json!({
            "orderId": "o1", "status": "INVENTORY_RESERVED", "settled": false,
            "waitsFor": "the payment provider: circuit breaker open, next try at 2026-01-31T08:30:00Z",
            "owes": [{"answer": "CHARGE", "role": "payment", "tries": 2, "lastError": "timed out", "nextTryAt": "t9"}]
        });
        insta::assert_snapshot!(show_text(&order, &BTreeMap::new(), None), @r"
        order      o1
        status     INVENTORY_RESERVED
        waits for  the payment provider: circuit breaker open, next try at 2026-01-31T08:30:00Z
        settled    false

        owes
        answer  role     tries  lastError  nextTryAt
        CHARGE  payment  2      timed out  t9
        ");
        let parked = json!({"orderId": "o1", "parked": "payment-provider"});
        insta::assert_snapshot!(show_text(&parked, &BTreeMap::new(), None), @r"
        order      o1
        parked     payment-provider
        ");
    }

    #[test]
    fn a_status_is_taken_in_any_case_and_must_exist() {
        let parsed = |line: &str| CommandLine::try_parse_from(line.split(' ')).map(|line| format!("{:?}", line.args.command));
        assert!(parsed("orders list --status confirmed").unwrap().contains("CONFIRMED"));
        assert!(parsed("orders list --status DONE").unwrap_err().to_string().contains("PENDING"));
    }
}
