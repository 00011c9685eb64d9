//! `ordermill products import`: puts a catalogue into a running node. Each line is checked here first, so one bad line costs that
//! line and not the file.

use super::client::{ApiArgs, Client};
use super::lines::Lines;
use super::retail::{Retail, is_retail_header};
use super::table::{print_json, printable};
use crate::domain::{Money, ProductId, Text};
use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::PathBuf;

/// So many products go into one request: far below the node's bound on a body.
const BATCH: usize = 5000;
/// So many refused lines are shown one by one.
const MAX_SHOWN: usize = 50;

/// The catalogue.
#[derive(Args, Clone, Debug)]
pub(crate) struct ProductsArgs {
    #[command(flatten)]
    api: ApiArgs,
    #[command(subcommand)]
    command: ProductsCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum ProductsCommand {
    /// Create or replace products from a CSV file
    ///
    /// The first line decides what the file is: `id,name,price,availableQuantity` is a catalogue; `InvoiceNo,StockCode,…` is a
    /// file of invoice lines, whose products are taken at their most frequent price. A line that cannot be used is reported
    /// with its number and reason, and the rest is imported. Exit code 0 if anything was.
    Import(ImportArgs),
}

#[derive(Args, Clone, Debug)]
struct ImportArgs {
    /// The file; `-` is the standard input
    file: PathBuf,
    /// Of a file of invoices: how many of each product there are
    #[arg(long, default_value_t = 1_000_000, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    stock: i32,
    /// Only check the file
    #[arg(long)]
    dry_run: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// A catalogue as a file has it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Catalogue {
    products: Vec<NewProduct>,
    /// Line number and reason.
    refused: Vec<(u64, String)>,
}

#[derive(Debug, PartialEq, Eq)]
struct NewProduct {
    id: ProductId,
    name: Text<255>,
    price: Money,
    available: i32,
}

/// Does what is asked; false when nothing was imported.
///
/// # Errors
/// The file cannot be read, or the node cannot be reached or refuses.
pub(crate) async fn run(args: &ProductsArgs) -> anyhow::Result<bool> {
    let ProductsCommand::Import(import) = &args.command;
    let text = if import.file.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin()).context("cannot read the standard input")?.into_bytes()
    } else {
        std::fs::read(&import.file).with_context(|| format!("cannot read {}", import.file.display()))?
    };
    let catalogue = read(&text, import.stock)?;
    let client = Client::new(&args.api)?;
    let mut imported = 0;
    if !import.dry_run {
        for batch in catalogue.products.chunks(BATCH) {
            let answer = client.post_csv("/api/v1/products/import", to_csv(batch)?).await;
            let answer = answer.with_context(|| format!("{imported} products were imported, then"))?;
            imported += answer.get("imported").and_then(Value::as_u64).unwrap_or(0);
        }
    }
    report(&catalogue, imported, import, client.url())?;
    Ok(imported > 0 || import.dry_run && !catalogue.products.is_empty())
}

fn report(catalogue: &Catalogue, imported: u64, import: &ImportArgs, url: &str) -> anyhow::Result<()> {
    if import.json {
        let refused: Vec<Value> = catalogue.refused.iter().map(|(line, reason)| json!({"line": line, "reason": reason})).collect();
        return print_json(&json!({"usable": catalogue.products.len(), "imported": imported, "refused": refused}));
    }
    for (line, reason) in catalogue.refused.iter().take(MAX_SHOWN) {
        println!("line {line} refused: {}", printable(reason));
    }
    if let Some(more) = catalogue.refused.len().checked_sub(MAX_SHOWN).filter(|more| *more > 0) {
        println!("… and {more} more lines refused (--json shows all)");
    }
    if import.dry_run {
        println!("{} products could be imported, {} lines refused; nothing was sent", catalogue.products.len(), catalogue.refused.len());
    } else {
        println!("{imported} products imported into {url}, {} lines refused", catalogue.refused.len());
    }
    Ok(())
}

fn to_csv(products: &[NewProduct]) -> anyhow::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["productId", "name", "price", "availableQuantity"])?;
    for product in products {
        let fields = [product.id.to_string(), product.name.to_string(), product.price.to_string(), product.available.to_string()];
        writer.write_record(fields)?;
    }
    Ok(String::from_utf8(writer.into_inner().context("CSV cannot be written")?)?)
}

fn read(text: &[u8], stock: i32) -> anyhow::Result<Catalogue> {
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    let header = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if is_retail_header(&String::from_utf8_lossy(header)) {
        let retail = Retail::read(text)?;
        let products = retail.products.into_iter();
        return Ok(Catalogue {
            products: products
                .map(|product| NewProduct { id: product.id, name: product.name, price: product.price, available: stock })
                .collect(),
            refused: retail.refused.into_iter().map(|line| (line.number, line.reason.to_string())).collect(),
        });
    }
    read_catalogue(text)
}

fn read_catalogue(text: &[u8]) -> anyhow::Result<Catalogue> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(text);
    let header = reader.byte_headers().context("the first line cannot be read")?.clone();
    let find = |names: &[&str]| header.iter().position(|field| names.iter().any(|name| field == name.as_bytes()));
    let found = [find(&["id", "productId"]), find(&["name"]), find(&["price"]), find(&["availableQuantity"])];
    let [Some(id), Some(name), Some(price), Some(available)] = found else {
        bail!("the first line must name the columns id,name,price,availableQuantity (or be that of a file of invoices)");
    };
    let (mut catalogue, mut seen, mut lines) = (Catalogue::default(), HashMap::new(), Lines::of(text));
    for record in reader.byte_records() {
        let record = record.context("the file cannot be read")?;
        let line = lines.number(record.position());
        let product = if record.len() == header.len() {
            product([id, name, price, available].map(|at| record.get(at)))
        } else {
            Err(format!("has {} fields, not {}", record.len(), header.len()))
        };
        let product = product.and_then(|product| match seen.insert(product.id, line) {
            Some(earlier) => {
                seen.insert(product.id, earlier);
                Err(format!("the product is in line {earlier} already"))
            }
            None => Ok(product),
        });
        match product {
            Ok(product) => catalogue.products.push(product),
            Err(reason) => catalogue.refused.push((line, reason)),
        }
    }
    Ok(catalogue)
}

fn product(fields: [Option<&[u8]>; 4]) -> Result<NewProduct, String> {
    let [id, name, price, available] = fields.map(|field| std::str::from_utf8(field.unwrap_or_default()).map_err(|_| "is no UTF-8"));
    let price: Money = price?.parse().map_err(|error| format!("price {error}"))?;
    if price == Money::ZERO {
        return Err("price must be more than 0".to_owned());
    }
    Ok(NewProduct {
        id: id?.parse().map_err(|_| "id is no UUID".to_owned())?,
        name: Text::new(name?).map_err(|error| format!("name {error}"))?,
        price,
        available: available?
            .parse()
            .ok()
            .filter(|count| *count >= 0)
            .ok_or("availableQuantity is no whole number from 0 to 2147483647")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "6f1d5c0e-8a0b-4c55-9d7e-21c40a8b77e3";

    #[test]
    fn bad_lines_are_refused_and_the_rest_is_taken() {
        let text = format!(
            "\u{feff}name,id,price,availableQuantity\r\n\"Tea, green\",{ID},2.50,10\r\nCup,{ID},1.00,1\r\n\
             Cup,x,1.00,1\r\nCup,00000000-0000-0000-0000-000000000001,0,1\r\n,00000000-0000-0000-0000-000000000002,1,1\r\n\
             Cup,00000000-0000-0000-0000-000000000003,1,-1\r\nCup\r\n\r\nCup,00000000-0000-0000-0000-000000000004,1,0\r\n"
        );
        let catalogue = read(text.as_bytes(), 7).unwrap();
        let shown: Vec<String> =
            catalogue.products.iter().map(|product| format!("{} {} x{}", product.name, product.price, product.available)).collect();
        assert_eq!(shown, ["Tea, green 2.50 x10", "Cup 1.00 x0"]);
        let refused: Vec<String> = catalogue.refused.iter().map(|(line, reason)| format!("{line}: {reason}")).collect();
        insta::assert_snapshot!(refused.join("\n"), @r"
        3: the product is in line 2 already
        4: id is no UUID
        5: price must be more than 0
        6: name is empty
        7: availableQuantity is no whole number from 0 to 2147483647
        8: has 1 fields, not 4
        ");
        let sent = to_csv(&catalogue.products).unwrap();
        assert_eq!(sent.lines().nth(1), Some(format!("{ID},\"Tea, green\",2.50,10").as_str()));
    }

    #[test]
    fn a_file_of_invoices_gives_its_products() {
        let text = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n1,TEA,TEA SET,1,d,2.00,77,F\nC1,TEA,T,-1,d,2.00,77,F\n";
        let catalogue = read(text.as_bytes(), 7).unwrap();
        assert_eq!(catalogue.products.len(), 1);
        assert_eq!(catalogue.products[0].available, 7);
        assert_eq!(catalogue.refused, [(3, "cancellation of an earlier invoice".to_owned())]);
        assert!(read(b"a,b\n1,2\n", 7).is_err());
    }
}
