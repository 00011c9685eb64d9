//! `ordermill products`: the catalogue and its stock, through a node's API.

use super::client::{ApiArgs, ApiError, Client, encoded, query, rows_at, shown_at, text_at};
use super::import::{self, ImportArgs};
use super::pages::pages;
use super::table::{Column, print_json, printable, table};
use super::terminal;
use super::words::moment_at;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

const PATH: &str = "/api/v1/products";
/// Products that are asked for by their ids in one request.
const NAMES: usize = 100;

/// Shows and changes products, imports them, and lists stock corrections.
#[derive(Args, Clone, Debug)]
pub(crate) struct ProductsArgs {
    #[command(flatten)]
    api: ApiArgs,
    /// Print the result as JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: ProductsCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum ProductsCommand {
    /// List products with prices and stock, by id
    List {
        /// Longest list to print
        #[arg(long, default_value_t = 50, value_name = "N")]
        limit: usize,
    },
    /// Show a product
    Show {
        /// Id of the product
        id: Uuid,
    },
    /// Change a product; what is not given stays as it is. With --name and --price, it is created if it does not exist
    Set(SetArgs),
    /// Create or replace products from a CSV file
    ///
    /// The first line says what the file is. `productId,name,price,availableQuantity` (in any sequence and case, separated by `,` `;` `|`
    /// or a tab) is a catalogue. `InvoiceNo,StockCode,…` is a file of invoice lines, whose products get their most frequent price. An
    /// invalid line is reported with its number and reason; the other lines are imported. The stock of existing products does not change
    /// unless you give --set-stock or --count. Exit code 0 if anything was imported.
    Import(ImportArgs),
    /// List manual stock corrections, newest first
    Corrections(CorrectionsArgs),
}

#[derive(Args, Clone, Debug)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true).args(["name", "price", "available", "counted", "add", "discontinued"]))]
struct SetArgs {
    /// Id of the product
    id: Uuid,
    /// Its name
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// Its unit price, such as 12.50
    #[arg(long, value_name = "AMOUNT")]
    price: Option<String>,
    /// The quantity that can be ordered from now on, whatever it is now
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..), conflicts_with_all = ["counted", "add"])]
    available: Option<i32>,
    /// The quantity counted on the shelf, including goods held for orders
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..), conflicts_with = "add")]
    counted: Option<i32>,
    /// Add this quantity, or take it out if it is negative; needs --reason, and nothing else can be changed with it
    #[arg(long, value_name = "N", allow_negative_numbers = true, requires = "reason", conflicts_with_all = ["name", "price", "discontinued"])]
    add: Option<i32>,
    /// Whether it is off sale
    #[arg(long, value_name = "true|false")]
    discontinued: Option<bool>,
    /// Why the stock changes, for the audit
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

#[derive(Args, Clone, Debug)]
struct CorrectionsArgs {
    /// Only this product
    product: Option<Uuid>,
    /// Longest list to print
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
    limit: u32,
    /// Continue after a page: the cursor that it ended with
    #[arg(long)]
    cursor: Option<String>,
}

/// Runs the command; false if an import came to nothing.
///
/// # Errors
/// A file cannot be read, or the node cannot be reached or refuses.
pub(crate) async fn run(args: &ProductsArgs) -> anyhow::Result<bool> {
    if let ProductsCommand::Import(file) = &args.command {
        return import::run(&args.api, file, args.json).await;
    }
    let client = Client::new(&args.api)?;
    let (answer, text): (Value, fn(&Value) -> String) = match &args.command {
        ProductsCommand::Import(_) => return Ok(false),
        ProductsCommand::Corrections(asked) => return corrections(&client, asked, args.json).await,
        ProductsCommand::List { limit } => (Value::Array(pages(&client, PATH, &[], *limit).await?), list_text),
        ProductsCommand::Show { id } => (client.get(&path(*id, "")).await?, show_text),
        ProductsCommand::Set(change) => (set(&client, change).await?, show_text),
    };
    if args.json {
        print_json(&answer)?;
    } else {
        print!("{}", text(&answer));
    }
    Ok(true)
}

fn path(id: Uuid, rest: &str) -> String {
    format!("{PATH}/{}{rest}", encoded(&id.to_string()))
}

async fn set(client: &Client, change: &SetArgs) -> Result<Value, ApiError> {
    let mut body = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(name.to_owned(), value);
        }
    };
    put("reason", change.reason.as_ref().map(|reason| json!(reason)));
    if let Some(delta) = change.add {
        put("delta", Some(json!(delta)));
        return client.post(&path(change.id, "/stock"), &Value::Object(body)).await;
    }
    put("name", change.name.as_ref().map(|name| json!(name)));
    put("price", change.price.as_ref().map(|price| json!(price)));
    put("availableQuantity", change.available.map(|count| json!(count)));
    put("countedQuantity", change.counted.map(|count| json!(count)));
    put("discontinued", change.discontinued.map(|is_off| json!(is_off)));
    match client.patch(&path(change.id, ""), &Value::Object(body.clone())).await {
        // 412: there is none that could have any version.
        Err(error) if matches!(error.status(), Some(404 | 412)) && change.name.is_some() && change.price.is_some() => {
            body.remove("reason");
            // All that is counted of a product that is new can be ordered.
            if let Some(counted) = body.remove("countedQuantity") {
                body.insert("availableQuantity".to_owned(), counted);
            }
            client.put(&path(change.id, ""), &Value::Object(body)).await
        }
        answer => answer,
    }
}

fn list_text(products: &Value) -> String {
    let rows = products.as_array().map(Vec::as_slice).unwrap_or_default();
    if rows.is_empty() {
        return "no products\n".to_owned();
    }
    let row = |row: &Value| {
        let [id, name, price, available, held] =
            ["productId", "name", "price", "availableQuantity", "reservedQuantity"].map(|name| shown_at(row, name));
        [id, name, price, available, held, state(row).to_owned()]
    };
    let columns = [
        Column::whole("PRODUCT"),
        Column::text("NAME"),
        Column::number("PRICE"),
        Column::number("AVAILABLE"),
        Column::number("HELD").spare(2),
        Column::whole("STATE").spare(1),
    ];
    table(columns, &rows.iter().map(row).collect::<Vec<_>>(), terminal::width())
}

fn state(product: &Value) -> &'static str {
    if product.get("discontinued").and_then(Value::as_bool).unwrap_or(false) { "discontinued" } else { "-" }
}

fn show_text(product: &Value) -> String {
    let lines = [
        ("product", "productId"),
        ("name", "name"),
        ("price", "price"),
        ("available", "availableQuantity"),
        ("held", "reservedQuantity"),
        ("shipped", "shippedQuantity"),
        ("discontinued", "discontinued"),
    ];
    lines.iter().map(|(title, name)| format!("{title:<12} {}\n", printable(&shown_at(product, name)))).collect()
}

async fn corrections(client: &Client, asked: &CorrectionsArgs, as_json: bool) -> anyhow::Result<bool> {
    let parts = [
        ("productId", asked.product.map(|product| product.to_string())),
        ("limit", Some(asked.limit.to_string())),
        ("cursor", asked.cursor.clone()),
    ];
    let page = client.get(&format!("{PATH}/corrections{}", query(&parts))).await?;
    if as_json {
        print_json(&page)?;
        return Ok(true);
    }
    let rows = rows_at(&page, "items");
    let names = names(client, rows.iter().filter_map(|row| text_at(row, "productId"))).await;
    let row = |row: &Value| {
        let id = shown_at(row, "productId");
        let name = name_of(&names, &id);
        [moment_at(row, "at"), id, name, shown_at(row, "by"), shown_at(row, "note")]
    };
    let columns =
        [Column::whole("AT"), Column::whole("PRODUCT").spare(2), Column::text("NAME"), Column::whole("BY").spare(1), Column::text("WHAT")];
    print!("{}", table(columns, &rows.iter().map(row).collect::<Vec<_>>(), terminal::width()));
    if let Some(cursor) = text_at(&page, "nextCursor") {
        println!("more: --cursor {cursor}");
    }
    Ok(true)
}

/// The names of products by their ids, as far as they can be had: a list of ids is better than none.
pub(super) async fn names<'a>(client: &Client, ids: impl Iterator<Item = &'a str>) -> BTreeMap<String, String> {
    let ids: Vec<&str> = ids.collect::<BTreeSet<_>>().into_iter().collect();
    let mut names = BTreeMap::new();
    for ids in ids.chunks(NAMES) {
        let Ok(page) = client.get(&format!("{PATH}{}", query(&[("ids", Some(ids.join(",")))]))).await else { break };
        names.extend(rows_at(&page, "items").iter().map(|row| (shown_at(row, "productId"), shown_at(row, "name"))));
    }
    names
}

/// A product's name; `-` if it is not known.
pub(super) fn name_of(names: &BTreeMap<String, String>, id: &str) -> String {
    names.get(id).cloned().unwrap_or_else(|| "-".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser, Debug)]
    struct CommandLine {
        #[command(flatten)]
        _args: ProductsArgs,
    }

    #[test]
    fn a_change_names_what_changes_and_a_delta_stands_alone() {
        let parses = |line: &str| {
            let line = line.replace("ID", "6f1d5c0e-8a0b-4c55-9d7e-21c40a8b77e3");
            CommandLine::try_parse_from(line.split_whitespace()).is_ok()
        };
        assert!(parses("products set ID --name Tea --price 2.50 --available 9 --json"));
        assert!(parses("products set ID --add -2 --reason broken"));
        assert!(parses("products set ID --discontinued true"));
        assert!(!parses("products set ID"));
        assert!(!parses("products set ID --reason x"));
        assert!(!parses("products set ID --add 2"));
        assert!(!parses("products set ID --add 2 --reason x --price 1"));
        assert!(!parses("products set ID --available 2 --counted 2"));
        assert!(!parses("products set ID --available -1"));
        assert!(!parses("products show Tea"));
    }

    #[test]
    fn a_product_is_shown_with_its_stock() {
        let product = json!({"productId": "p1", "name": "Tea", "price": "2.50", "availableQuantity": 9, "reservedQuantity": 1,
            "shippedQuantity": 0, "discontinued": true});
        insta::assert_snapshot!(show_text(&product), @r"
        product      p1
        name         Tea
        price        2.50
        available    9
        held         1
        shipped      0
        discontinued true
        ");
        insta::assert_snapshot!(list_text(&json!([product])), @r"
        PRODUCT  NAME  PRICE  AVAILABLE  HELD  STATE
        p1       Tea    2.50          9     1  discontinued
        ");
    }
}
