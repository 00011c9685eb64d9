//! A catalogue as a table: every row is read, and of each broken one every broken column is named.

use super::{RowError, Sheet, SheetError};
use crate::domain::{Money, ProductId, Text};
use std::collections::HashMap;
use uuid::Uuid;

/// Each column with its other names; the first three must be there.
const COLUMNS: [&[&str]; 7] = [
    &["productId", "id"],
    &["name"],
    &["price"],
    &["availableQuantity"],
    &["discontinued"],
    // A list of products has these too; they follow from orders and change nothing.
    &["reservedQuantity"],
    &["shippedQuantity"],
];
const WANTED: [&str; 4] = ["productId", "name", "price", "availableQuantity"];

/// A product as a row tells it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProductRow {
    /// Which.
    pub id: ProductId,
    /// What it is called.
    pub name: Text<255>,
    /// What one costs.
    pub price: Money,
    /// How many there are, if the file says so.
    pub quantity: Option<i32>,
    /// Whether it is off sale, if the file says so.
    pub discontinued: Option<bool>,
}

/// What is wrong in a line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Broken {
    /// The line of the file, counted from 1.
    pub line: u64,
    /// The column; none: the whole row.
    pub column: Option<&'static str>,
    /// Why.
    pub reason: String,
}

/// A catalogue as a file has it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Products {
    /// The products, each once.
    pub rows: Vec<ProductRow>,
    /// What cannot be used, in the order of the file.
    pub broken: Vec<Broken>,
}

/// Whether a text is a table of products, by its first line.
#[must_use]
pub fn is_catalogue(text: &[u8]) -> bool {
    Sheet::open(text, &WANTED).is_ok_and(|sheet| COLUMNS.iter().take(3).all(|names| sheet.find(names).is_some()))
}

impl Products {
    /// Reads a whole file; no more than `most_broken` are named.
    ///
    /// # Errors
    /// Its first line is not that of a catalogue, or a quote is not closed.
    pub fn read(text: &[u8], most_broken: usize) -> Result<Self, SheetError> {
        let mut sheet = Sheet::open(text, &WANTED)?;
        let places = places(&sheet)?;
        let mut read = Self::default();
        let mut seen: HashMap<ProductId, u64> = HashMap::new();
        while read.broken.len() < most_broken
            && let Some(row) = sheet.next_row()?
        {
            let row = match row {
                Ok(row) => row,
                Err((line, error)) => {
                    read.broken.push(broken(line, &error, &sheet));
                    continue;
                }
            };
            let field = |column: usize| {
                let place = places.get(column).copied().flatten();
                place.and_then(|place| row.fields.get(place)).map(String::as_str)
            };
            let before = read.broken.len();
            let Some(product) = product(&sheet, &field, row.line, &mut read.broken) else { continue };
            if let Some(earlier) = seen.get(&product.id) {
                let reason = format!("is also in line {earlier}");
                read.broken.push(Broken { line: row.line, column: Some("productId"), reason });
            }
            if read.broken.len() == before {
                seen.insert(product.id, row.line);
                read.rows.push(product);
            }
        }
        Ok(read)
    }
}

type Places = [Option<usize>; COLUMNS.len()];

fn places(sheet: &Sheet<'_>) -> Result<Places, SheetError> {
    let known = |name: &str| COLUMNS.iter().any(|names| names.iter().any(|other| super::is_same(name, other)));
    let places = COLUMNS.map(|names| sheet.find(names));
    let missing: Vec<String> = COLUMNS
        .iter()
        .zip(places)
        .take(3)
        .filter(|(_, place)| place.is_none())
        .filter_map(|(names, _)| Some((*names.first()?).to_owned()))
        .collect();
    if !missing.is_empty() {
        return Err(SheetError::MissingColumns { missing, wanted: WANTED.join(",") });
    }
    // A column without a name is one too many that a spreadsheet has written; a row that has something there is told.
    let columns: Vec<String> =
        sheet.header().iter().filter(|name| !name.is_empty() && !known(name)).map(|name| format!("{name:?}")).collect();
    if !columns.is_empty() {
        let known: Vec<&str> = COLUMNS.iter().filter_map(|names| names.first().copied()).collect();
        return Err(SheetError::UnknownColumns { columns, known: known.join(",") });
    }
    for names in COLUMNS {
        let named = sheet.header().iter().filter(|column| names.iter().any(|name| super::is_same(column, name))).count();
        if named > 1 {
            return Err(SheetError::TwiceNamed(names.first().copied().unwrap_or_default().to_owned()));
        }
    }
    Ok(places)
}

/// What is wrong with a row that cannot be read; where it is about a column, that is named by its place and not once more.
fn broken(line: u64, error: &RowError, sheet: &Sheet<'_>) -> Broken {
    let whole = error.to_string();
    let RowError::NotUtf8 { column: name } = error else { return Broken { line, column: None, reason: whole } };
    let place = sheet.header().iter().position(|other| other == name);
    let column = COLUMNS.iter().find(|names| sheet.find(names) == place).and_then(|names| names.first().copied());
    let reason = whole.strip_prefix(name.as_str()).filter(|_| column.is_some()).map(|rest| rest.trim_start().to_owned());
    Broken { line, column, reason: reason.unwrap_or(whole) }
}

fn product<'f>(sheet: &Sheet<'_>, field: &dyn Fn(usize) -> Option<&'f str>, line: u64, broken: &mut Vec<Broken>) -> Option<ProductRow> {
    let mut fail = |column: &'static str, reason: String| broken.push(Broken { line, column: Some(column), reason });
    let id = field(0).and_then(parse_uuid);
    if id.is_none() {
        fail("productId", "must be a UUID such as \"0190c2f4-7b6a-7cc3-98c4-dc0c0c07398f\"".to_owned());
    }
    let name = Text::new(field(1).unwrap_or_default()).map_err(|error| fail("name", error.to_string())).ok();
    let price = match sheet.amount(field(2).unwrap_or_default()) {
        Ok(Money::ZERO) => {
            fail("price", "must be more than 0".to_owned());
            None
        }
        Ok(price) => Some(price),
        Err(error) => {
            fail("price", error.to_string());
            None
        }
    };
    let quantity = field(3).filter(|text| !text.is_empty()).map(|text| text.parse::<i32>().ok().filter(|count| *count >= 0));
    if quantity == Some(None) {
        fail("availableQuantity", format!("must be 0 to {}", i32::MAX));
    }
    let discontinued = field(4).filter(|text| !text.is_empty()).map(|text| match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "1" => Some(true),
        "false" | "no" | "0" => Some(false),
        _ => None,
    });
    if discontinued == Some(None) {
        fail("discontinued", "must be true or false".to_owned());
    }
    Some(ProductRow { id: ProductId(id?), name: name?, price: price?, quantity: quantity.flatten(), discontinued: discontinued.flatten() })
}

/// An id in its hyphenated form, and no other: what is shown is what was sent.
fn parse_uuid(text: &str) -> Option<Uuid> {
    if text.len() == 36 { Uuid::try_parse(text).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0190c2f4-7b6a-7cc3-98c4-dc0c0c07398f";

    fn told(text: &str) -> String {
        match Products::read(text.as_bytes(), 100) {
            Err(error) => error.to_string(),
            Ok(read) => {
                let place = |broken: &Broken| broken.column.map_or(broken.line.to_string(), |column| format!("{}/{column}", broken.line));
                let broken: Vec<String> = read.broken.iter().map(|broken| format!("{} {}", place(broken), broken.reason)).collect();
                broken.join("\n")
            }
        }
    }

    #[test]
    fn columns_stand_in_any_order_and_case() {
        let text = format!("\u{feff}NAME;Price;available_quantity;Id\r\n\"a, \"\"b\"\"\";1,5;3;{ID}\r\n");
        let read = Products::read(text.as_bytes(), 1).unwrap();
        let wanted = ProductRow {
            id: ProductId(Uuid::try_parse(ID).unwrap()),
            name: Text::new("a, \"b\"").unwrap(),
            price: Money::from_minor(150).unwrap(),
            quantity: Some(3),
            discontinued: None,
        };
        assert_eq!(read, Products { rows: vec![wanted], broken: Vec::new() });
        let read = Products::read(format!("id,name,price,discontinued\n{ID},n,1,TRUE\n").as_bytes(), 1).unwrap();
        assert_eq!((read.rows[0].quantity, read.rows[0].discontinued), (None, Some(true)));
    }

    #[test]
    fn every_broken_row_is_named_with_its_line() {
        let other = "0190c2f4-7b6a-7cc3-98c4-dc0c0c073990";
        for end in ["\n", "\r\n", "\r"] {
            let rows = [
                "productId,name,price,availableQuantity".to_owned(),
                "x,,1.999,-1".to_owned(),
                String::new(),
                format!("{ID},n,0,1"),
                format!("{ID},n,1,1"),
                format!("{ID},n,1,1"),
                "1,2".to_owned(),
                format!("{other},n,1,1,5"),
            ];
            assert_eq!(
                told(&rows.join(end)),
                "2/productId must be a UUID such as \"0190c2f4-7b6a-7cc3-98c4-dc0c0c07398f\"\n2/name is empty\n\
                 2/price has more than 2 decimal places\n2/availableQuantity must be 0 to 2147483647\n4/price must be more than 0\n\
                 6/productId is also in line 5\n7 has 2 fields: price, availableQuantity are missing\n\
                 8 has 5 fields, but the first line names 4 columns: \"5\" is beyond the last one",
                "{end:?}"
            );
        }
    }

    #[test]
    fn a_first_line_that_names_other_columns_is_told() {
        assert_eq!(
            told("id,name\n"),
            "the first line has no column price; it must name productId,name,price,availableQuantity, separated by , ; | or a tab"
        );
        assert!(
            told("id,name,price,colour\n")
                .starts_with("the first line names \"colour\", which is not a known column; the known columns are productId,")
        );
        assert_eq!(told("id,name,price,productId\n"), "the first line names the column productId twice");
    }
}
