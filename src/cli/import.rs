//! `ordermill products import`: puts a catalogue into a running node. Each line is checked here first, so one bad line costs that
//! line and not the file.

use super::client::{ApiArgs, Client};
use super::retail::{Retail, RetailProduct, is_retail};
use super::table::{print_json, printable};
use crate::sheet::{Broken, ProductRow, Products};
use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};
use std::io::Read;
use std::path::PathBuf;

/// Products per request: far below the node's limit on a body.
const BATCH: usize = 5000;
/// Invalid lines that are shown one by one.
const MAX_SHOWN: usize = 50;

#[derive(Args, Clone, Debug)]
pub(super) struct ImportArgs {
    /// The file; `-` for standard input
    file: PathBuf,
    /// For a file of invoices: available quantity of each new product
    #[arg(long, default_value_t = 1_000_000, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    stock: i32,
    /// Set the available quantity, also of existing products
    #[arg(long, conflicts_with = "count")]
    set_stock: bool,
    /// Quantities are counts from the shelf, including goods held for orders
    #[arg(long)]
    count: bool,
    /// Only check the file; exit code 1 if a line is invalid
    #[arg(long)]
    dry_run: bool,
}

/// A catalogue read from a file.
#[derive(Debug, Default, PartialEq, Eq)]
struct Catalogue {
    products: Vec<ProductRow>,
    /// Line number and reason.
    refused: Vec<(u64, String)>,
}

/// Runs the command; false if nothing was imported, or if a check found an invalid line.
///
/// # Errors
/// The file cannot be read, or the node cannot be reached or refuses.
pub(super) async fn run(api: &ApiArgs, import: &ImportArgs, as_json: bool) -> anyhow::Result<bool> {
    let mut text = Vec::new();
    if import.file.as_os_str() == "-" {
        std::io::stdin().lock().read_to_end(&mut text).context("cannot read the standard input")?;
    } else {
        text = std::fs::read(&import.file).with_context(|| format!("cannot read {}", import.file.display()))?;
    }
    let catalogue = read(&text, import.stock)?;
    let client = Client::new(api)?;
    let mode = match (import.set_stock, import.count) {
        (true, _) => "?mode=set-stock",
        (false, true) => "?mode=count",
        (false, false) => "",
    };
    let mut imported = 0;
    if !import.dry_run {
        for batch in catalogue.products.chunks(BATCH) {
            let answer = client.post_csv(&format!("/api/v1/products/import{mode}"), to_csv(batch)?).await;
            let answer = answer.with_context(|| format!("{imported} products were imported, then"))?;
            imported += answer.get("imported").and_then(Value::as_u64).unwrap_or(0);
        }
    }
    report(&catalogue, imported, (import, as_json), client.url())?;
    let is_clean = catalogue.refused.is_empty() && !catalogue.products.is_empty();
    Ok(imported > 0 || import.dry_run && is_clean)
}

fn report(catalogue: &Catalogue, imported: u64, (import, as_json): (&ImportArgs, bool), url: &str) -> anyhow::Result<()> {
    if as_json {
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

fn to_csv(products: &[ProductRow]) -> anyhow::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["productId", "name", "price", "availableQuantity", "discontinued"])?;
    for product in products {
        let quantity = product.quantity.map(|quantity| quantity.to_string()).unwrap_or_default();
        let discontinued = product.discontinued.map(|is_off| is_off.to_string()).unwrap_or_default();
        writer.write_record([product.id.to_string(), product.name.to_string(), product.price.to_string(), quantity, discontinued])?;
    }
    Ok(String::from_utf8(writer.into_inner().context("CSV cannot be written")?)?)
}

fn read(text: &[u8], stock: i32) -> anyhow::Result<Catalogue> {
    if is_retail(text) {
        let retail = Retail::read(text)?;
        let product = |product: RetailProduct| ProductRow {
            id: product.id,
            name: product.name,
            price: product.price,
            quantity: Some(stock),
            discontinued: None,
        };
        return Ok(Catalogue {
            products: retail.products.into_iter().map(product).collect(),
            refused: retail.refused.into_iter().map(|line| (line.number, line.reason.to_string())).collect(),
        });
    }
    let Products { rows, broken } = Products::read(text, usize::MAX)?;
    let mut refused: Vec<(u64, String)> = Vec::new();
    for Broken { line, column, reason } in broken {
        let reason = column.map_or_else(|| reason.clone(), |column| format!("{column} {reason}"));
        match refused.last_mut().filter(|(last, _)| *last == line) {
            Some((_, reasons)) => *reasons = format!("{reasons}; {reason}"),
            None => refused.push((line, reason)),
        }
    }
    Ok(Catalogue { products: rows, refused })
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
            catalogue.products.iter().map(|product| format!("{} {} x{:?}", product.name, product.price, product.quantity)).collect();
        assert_eq!(shown, ["Tea, green 2.50 xSome(10)", "Cup 1.00 xSome(0)"]);
        let refused: Vec<String> = catalogue.refused.iter().map(|(line, reason)| format!("{line}: {reason}")).collect();
        insta::assert_snapshot!(refused.join("\n"), @r#"
        3: productId is also in line 2
        4: productId must be a UUID such as "0190c2f4-7b6a-7cc3-98c4-dc0c0c07398f"
        5: price must be more than 0
        6: name is empty
        7: availableQuantity must be 0 to 2147483647
        8: has 1 fields: id, price, availableQuantity are missing
        "#);
        let sent = to_csv(&catalogue.products).unwrap();
        assert_eq!(sent.lines().nth(1), Some(format!("{ID},\"Tea, green\",2.50,10,").as_str()));
    }

    #[test]
    fn a_file_of_invoices_gives_its_products() {
        let text = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n1,TEA,TEA SET,1,d,2.00,77,F\nC1,TEA,T,-1,d,2.00,77,F\n";
        let catalogue = read(text.as_bytes(), 7).unwrap();
        assert_eq!(catalogue.products.len(), 1);
        assert_eq!(catalogue.products[0].quantity, Some(7));
        assert_eq!(catalogue.refused, [(3, "cancellation of an earlier invoice".to_owned())]);
        assert!(read(b"a,b\n1,2\n", 7).is_err());
    }
}
