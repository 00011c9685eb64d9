//! Takes a catalogue as CSV: every row is read before the first is written, and every broken one is named. Reading is the work of a
//! blocking thread: a large file takes a while, and a worker has other clients.

use crate::actors::WriteError;
use crate::db::ProductWrite;
use crate::domain::{IfMissing, ProductChange};
use crate::http::door::body;
use crate::http::door::call::Call;
use crate::http::door::once::Once;
use crate::http::handlers::products::{Mode, product_of};
use crate::http::wire::problem::{FieldErrors, MAX_FIELDS, Problem, ProblemKind};
use crate::http::wire::query::Params;
use crate::http::wire::values::{Place, now};
use crate::sheet::{Broken, ProductRow, Products};
use actix_web::http::StatusCode;
use actix_web::web::{self, Payload};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::{StreamExt, stream};
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;

/// Products whose writes are under way at the same time: enough for whole transactions, few enough to leave room for orders.
const AT_ONCE: usize = 256;

/// The result of an import.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ImportView {
    /// Products that were created or changed.
    pub imported: usize,
    /// Products in the file.
    pub usable: usize,
    /// Whether the file was only checked.
    pub dry_run: bool,
}

/// Creates products from CSV, or changes their names and prices.
///
/// The first line names the columns: `productId`, `name`, `price`, and optionally `availableQuantity` and `discontinued`, in any sequence
/// and case, separated by `,` `;` `|` or a tab. The stock of existing products does not change unless `mode` says what the quantities are:
/// `count` for quantities counted on the shelf, `set-stock` for new available quantities.
#[utoipa::path(post, operation_id = "importProducts", path = "/api/v1/products/import", tag = "stock",
    params(("mode" = Option<String>, Query, description = "set-stock or count"),
        ("dryRun" = Option<bool>, Query, description = "true: only check the file"),
        ("Idempotency-Key" = Option<String>, Header, description = "with the same key and body, each row is imported once and the first answer is repeated")),
    request_body(content = String, content_type = "text/csv", description = "a header line, then one product per line"),
    responses((status = 200, description = "all products were stored", body = ImportView),
        (status = 409, description = "for some product, fewer were counted than are held for orders"),
        (status = 422, description = "the key was used with another body")))]
pub(crate) async fn products(call: Call, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(&request, &["mode", "dryRun"]);
    let mode = Mode::of(&mut params);
    let dry_run = params.take("dryRun", |text| text.parse::<bool>().map_err(|_| "must be true or false".to_owned())).unwrap_or(false);
    params.done(())?;
    let bytes = body::csv(&call.state, &request, payload).await?;
    let once = Once::of(&call, &request, &bytes)?;
    if let Some(answer) = Once::answered(once.as_ref(), &call).await? {
        return Ok(answer);
    }
    let rows =
        web::block(move || read(&bytes)).await.map_err(|_| Problem::new(ProblemKind::Overloaded, "too many files are being read"))??;
    let usable = rows.len();
    if dry_run {
        return Ok(HttpResponse::Ok().json(ImportView { imported: 0, usable, dry_run }));
    }
    let imported = write_all(&call, rows, mode, once.as_ref()).await?;
    tracing::info!(products = imported, by = call.caller.name.as_str(), "products were imported");
    Ok(Once::keep(once, &call, StatusCode::OK, &ImportView { imported, usable, dry_run }).await)
}

async fn write_all(call: &Call, rows: Vec<ProductRow>, mode: Mode, once: Option<&Once>) -> Result<usize, Problem> {
    let (all, mut imported) = (rows.len(), 0);
    let limit = Duration::from_millis(call.state.settings.order.request_limit_ms);
    let handle = &call.state.handle;
    let writes = rows.into_iter().map(|row| async move {
        let (id, stock) = (row.id, mode.change(row.quantity));
        let change = ProductChange {
            name: Some(row.name),
            price: Some(row.price),
            stock,
            discontinued: row.discontinued,
            if_missing: IfMissing::Create,
        };
        // A row that is sent again must not set a stock anew that orders have taken of; names and prices may be set twice.
        let key = once.filter(|_| mode != Mode::First).map(|once| once.part(id.0));
        let write = ProductWrite { key, ..ProductWrite::of(id, change, call.caller.name.clone(), now()) };
        let outcome = handle.write(write, limit).await?;
        let product = outcome.ok_or_else(|| WriteError::Unknown.into()).and_then(product_of);
        product.map_err(|problem| Problem::new(problem.kind(), format!("product {id}: {problem}")))
    });
    let mut writes = stream::iter(writes).buffer_unordered(AT_ONCE);
    while let Some(written) = writes.next().await {
        if let Err(problem) = written {
            let detail = format!("{imported} of {all} products are known to be stored, then: {problem}; send the file again");
            return Err(Problem::new(problem.kind(), detail));
        }
        imported += 1;
    }
    Ok(imported)
}

fn read(bytes: &[u8]) -> Result<Vec<ProductRow>, Problem> {
    let read =
        Products::read(bytes, MAX_FIELDS).map_err(|error| Problem::field(Place::Body, format!("/{}", error.line()), error.to_string()))?;
    let mut errors = FieldErrors::default();
    for Broken { line, column, reason } in read.broken {
        let pointer = column.map_or_else(|| format!("/{line}"), |column| format!("/{line}/{column}"));
        errors.add(Place::Body, pointer, reason);
    }
    errors.none_or(Some(read.rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_broken_row_is_named_with_its_line_however_lines_end() {
        for end in ["\n", "\r\n", "\r"] {
            let text =
                ["\u{feff}ID;Name;Price;availableQuantity", "", "x;n;1,50;1", "0190c2f4-7b6a-7cc3-98c4-dc0c0c07398f;n;0;1"].join(end);
            let lines = read(text.as_bytes()).err().map(|problem| problem.lines()).unwrap_or_default();
            let wanted = [format!("/3/productId {}", crate::http::wire::json::NOT_A_UUID), "/4/price must be more than 0".to_owned()];
            assert_eq!(lines, wanted, "{end:?}");
        }
    }
}
