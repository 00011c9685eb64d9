//! Takes a catalogue as CSV: every row is read before the first is written, and every broken one is named.

use super::body;
use super::gate::Call;
use super::json::{NOT_A_UUID, parse_uuid};
use super::problem::{FieldErrors, Problem, ProblemKind};
use super::stock::{NewProduct, product_of};
use super::wire::Place;
use crate::domain::{Money, ProductId, Text};
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use csv::{ByteRecord, ReaderBuilder};
use futures_util::{StreamExt, stream};
use serde::Serialize;
use std::collections::HashSet;
use std::time::Duration;
use utoipa::ToSchema;

/// Products whose writes are under way at the same time: enough for whole transactions, few enough to leave room for orders.
const AT_ONCE: usize = 256;

const COLUMNS: [&str; 4] = ["productId", "name", "price", "availableQuantity"];

/// What became of an import.
#[derive(Serialize, ToSchema)]
pub(super) struct ImportView {
    /// Products that were created or replaced.
    pub imported: usize,
}

/// Creates or replaces products from CSV with the columns `productId,name,price,availableQuantity`.
#[utoipa::path(post, path = "/api/v1/products/import", tag = "stock",
    request_body(content = String, content_type = "text/csv", description = "a header line, then one product a line"),
    responses((status = 200, description = "all were stored", body = ImportView)))]
pub(super) async fn products(call: Call, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    let bytes = body::csv(&call.state, &request, payload).await?;
    let rows = read(&bytes)?;
    drop(bytes);
    let (all, mut imported) = (rows.len(), 0);
    let limit = Duration::from_millis(call.state.settings.order.request_limit_ms);
    let front = &call.state.front;
    let writes = rows.into_iter().map(|(id, product)| async move {
        let outcome = front.write(product.into_write(id), limit).await?;
        product_of(outcome)
    });
    let mut writes = stream::iter(writes).buffer_unordered(AT_ONCE);
    while let Some(written) = writes.next().await {
        if let Err(problem) = written {
            let detail = format!("{imported} of {all} products are known to be stored, then: {problem}; send the file again");
            return Err(Problem::new(problem.kind(), detail));
        }
        imported += 1;
    }
    tracing::info!(products = imported, by = call.caller.name.as_str(), "products were imported");
    Ok(HttpResponse::Ok().json(ImportView { imported }))
}

fn read(bytes: &[u8]) -> Result<Vec<(ProductId, NewProduct)>, Problem> {
    // A byte order mark is what some spreadsheets put in front.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(bytes);
    let malformed = |error: &csv::Error| Problem::new(ProblemKind::MalformedBody, format!("the body is not CSV: {error}"));
    let header = reader.byte_headers().map_err(|error| malformed(&error))?.clone();
    let places = places(&header)?;
    let mut rows = Vec::new();
    let mut errors = FieldErrors::default();
    let mut seen = HashSet::new();
    let mut record = ByteRecord::new();
    while reader.read_byte_record(&mut record).map_err(|error| malformed(&error))? {
        let line = record.position().map_or(0, csv::Position::line);
        if record.len() != header.len() {
            errors.add(Place::Body, format!("/{line}"), format!("has {} columns, not {}", record.len(), header.len()));
            continue;
        }
        if let Some((id, product)) = read_row(&record, places, line, &mut errors) {
            if !seen.insert(id) {
                errors.add(Place::Body, format!("/{line}/productId"), "stands in an earlier line too");
            }
            rows.push((id, product));
        }
        if errors.is_full() {
            break;
        }
    }
    errors.none_or(Some(rows))
}

fn places(header: &ByteRecord) -> Result<[usize; 4], Problem> {
    let mut errors = FieldErrors::default();
    for name in header {
        if !COLUMNS.iter().any(|known| known.as_bytes() == name) {
            let shown: String = String::from_utf8_lossy(name).chars().take(100).collect();
            errors.add(Place::Body, "/1".to_owned(), format!("{shown:?} is not a known column"));
        }
    }
    let places = COLUMNS.map(|column| header.iter().position(|name| name == column.as_bytes()));
    let [Some(id), Some(name), Some(price), Some(available)] = places else {
        errors.add(Place::Body, "/1".to_owned(), format!("must be the header {}", COLUMNS.join(",")));
        return Err(errors.into_problem());
    };
    if header.len() != COLUMNS.len() && errors.is_empty() {
        errors.add(Place::Body, "/1".to_owned(), "names a column twice");
    }
    errors.none_or(Some([id, name, price, available]))
}

fn read_row(record: &ByteRecord, places: [usize; 4], line: u64, errors: &mut FieldErrors) -> Option<(ProductId, NewProduct)> {
    let [id, name, price, available] = places.map(|place| record.get(place).and_then(|field| std::str::from_utf8(field).ok()));
    let mut fail = |column: &str, detail: String| errors.add(Place::Body, format!("/{line}/{column}"), detail);
    let id = id.and_then(parse_uuid);
    if id.is_none() {
        fail("productId", NOT_A_UUID.to_owned());
    }
    let name = match name.map(Text::new) {
        Some(Ok(name)) => Some(name),
        Some(Err(error)) => {
            fail("name", error.to_string());
            None
        }
        None => {
            fail("name", "is not UTF-8".to_owned());
            None
        }
    };
    let price = match price.unwrap_or_default().parse::<Money>() {
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
    let available = available.and_then(|text| text.parse::<i32>().ok()).filter(|count| *count >= 0);
    if available.is_none() {
        fail("availableQuantity", format!("must be 0 to {}", i32::MAX));
    }
    Some((ProductId(id?), NewProduct { name: name?, price: price?, available: available? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0190c2f4-7b6a-7cc3-98c4-dc0c0c07398f";

    fn told(csv: &str) -> Vec<String> {
        read(csv.as_bytes()).err().map(|problem| problem.lines()).unwrap_or_default()
    }

    #[test]
    fn columns_may_stand_in_any_order_and_names_may_be_quoted() {
        let rows = read(format!("\u{feff}name, price,availableQuantity,productId\r\n\"a, \"\"b\"\"\", 1.5,3,{ID}\r\n").as_bytes()).unwrap();
        let (id, product) = rows.first().unwrap();
        assert_eq!((id.to_string().as_str(), product.name.as_str(), product.price.minor(), product.available), (ID, "a, \"b\"", 150, 3));
    }

    #[test]
    fn every_broken_row_is_named() {
        let head = "productId,name,price,availableQuantity\n";
        assert_eq!(
            told(&format!("{head}x,,1.999,-1\n{ID},n,0,1\n{ID},n,1,1\n{ID},n,1,1\n1,2\n")),
            [
                format!("/2/productId {NOT_A_UUID}"),
                "/2/name is empty".to_owned(),
                "/2/price has more than 2 decimal places".to_owned(),
                "/2/availableQuantity must be 0 to 2147483647".to_owned(),
                "/3/price must be more than 0".to_owned(),
                "/5/productId stands in an earlier line too".to_owned(),
                "/6 has 2 columns, not 4".to_owned(),
            ]
        );
        assert_eq!(told("id,name\n"), ["/1 \"id\" is not a known column", "/1 must be the header productId,name,price,availableQuantity"]);
        assert_eq!(told(""), ["/1 must be the header productId,name,price,availableQuantity"]);
        assert_eq!(told(&format!("{head}{ID},\"unclosed,1,1\n")).len(), 1);
    }
}
