//! Real orders: invoices of a shop as a table with the columns `InvoiceNo,StockCode,Description,Quantity,UnitPrice,CustomerID`;
//! others beside them (`InvoiceDate`, `Country`, …) are passed over. Pure: text in, orders and a catalogue out.
//!
//! An invoice becomes an order, its lines of one product at one price become one line. A product's catalogue price is its most
//! frequent one (of equals the first seen). Orders keep the prices of the file, so under `pricing = check` the node cancels those
//! that sold at another price; [`Retail::mispriced`] says how many that will be. A line that cannot be used is refused with its
//! number and reason, and the rest goes on. Ids are made of the codes (UUIDv5), so each reading gives the same ones.

use super::rng::named_id;
use crate::domain::{CustomerId, MAX_ITEMS, Money, MoneyError, OrderLine, ProductId, Quantity, Text};
use crate::sheet::{Row as Fields, RowError, Sheet, SheetError};
use std::collections::{BTreeMap, HashMap};
use std::fmt;

const COLUMNS: [&str; 6] = ["InvoiceNo", "StockCode", "Description", "Quantity", "UnitPrice", "CustomerID"];

/// What a file of invoices holds.
#[derive(Debug, Default)]
pub(crate) struct Retail {
    /// One for each product that was ordered, by code.
    pub(crate) products: Vec<RetailProduct>,
    /// One for each invoice with a usable line, in the order of the file.
    pub(crate) orders: Vec<RetailOrder>,
    pub(crate) refused: Vec<RefusedLine>,
}

/// A product as the invoices show it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct RetailProduct {
    pub(crate) id: ProductId,
    pub(crate) name: Text<255>,
    pub(crate) price: Money,
    /// How many the orders of the file take together.
    pub(crate) ordered: u64,
}

/// An invoice as an order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct RetailOrder {
    pub(crate) invoice: String,
    pub(crate) customer: CustomerId,
    pub(crate) lines: Vec<OrderLine>,
    pub(crate) total: Money,
}

/// A line that was not used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct RefusedLine {
    /// Counted from 1, the header included.
    pub(crate) number: u64,
    pub(crate) reason: Refused,
}

/// Why a line was not used.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Refused {
    /// The row itself: too few fields, too many, not UTF-8.
    Unreadable(RowError),
    /// The invoice takes an earlier one back.
    Cancellation,
    NoInvoice,
    NoProduct,
    NoCustomer,
    BadQuantity,
    NegativeQuantity,
    /// 0, or above the most of one product in an order.
    QuantityOutOfBounds,
    BadPrice(MoneyErrorKind),
    ZeroPrice,
    /// The invoice has this product at another price.
    TwoPrices,
    /// The invoice is another customer's.
    TwoCustomers,
    TooManyLines,
    TotalTooLarge,
}

/// [`MoneyError`] with an order, to group by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum MoneyErrorKind {
    NotANumber,
    TooPrecise,
    Negative,
    TooLarge,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreadable(error) => return error.fmt(f),
            Self::Cancellation => "cancellation of an earlier invoice",
            Self::NoInvoice => "no invoice number",
            Self::NoProduct => "no stock code",
            Self::NoCustomer => "no customer",
            Self::BadQuantity => "quantity is no whole number",
            Self::NegativeQuantity => "negative quantity",
            Self::QuantityOutOfBounds => "quantity of the product in the order is not 1 to 10,000",
            Self::BadPrice(MoneyErrorKind::NotANumber) => "price is no decimal number",
            Self::BadPrice(MoneyErrorKind::TooPrecise) => "price has more than 2 decimal places",
            Self::BadPrice(MoneyErrorKind::Negative) => "negative price",
            Self::BadPrice(MoneyErrorKind::TooLarge) => "price is more than 99999999.99",
            Self::ZeroPrice => "zero price",
            Self::TwoPrices => "the invoice has the same product at another price",
            Self::TwoCustomers => "the invoice is another customer's",
            Self::TooManyLines => "the invoice has more than 1,000 products",
            Self::TotalTooLarge => "the order's total would be more than 99999999.99",
        })
    }
}

/// Whether a text is a table of invoices, by its first line.
pub(crate) fn is_retail(text: &[u8]) -> bool {
    Sheet::open(text, &COLUMNS).is_ok_and(|sheet| COLUMNS.iter().take(2).all(|column| sheet.find(&[column]).is_some()))
}

impl Retail {
    /// Reads a whole file.
    pub(crate) fn read(text: &[u8]) -> Result<Self, SheetError> {
        let mut sheet = Sheet::open(text, &COLUMNS)?;
        let columns = Columns::find(&sheet)?;
        let mut reading = Reading::default();
        while let Some(row) = sheet.next_row()? {
            let (number, taken) = match row {
                Ok(fields) => (fields.line, reading.take(&columns.row(&fields), &sheet)),
                Err((line, error)) => (line, Err(Refused::Unreadable(error))),
            };
            if let Err(reason) = taken {
                reading.refused.push(RefusedLine { number, reason });
            }
        }
        Ok(reading.finish())
    }

    /// How many orders have a total by which the payment's stand-in does something else than to charge.
    pub(crate) fn magic(&self) -> usize {
        self.orders.iter().filter(|order| (1..=9).contains(&(order.total.minor() % 100))).count()
    }

    /// Whether an order has a line at another price than the catalogue's.
    pub(crate) fn mispriced(&self) -> usize {
        let prices: HashMap<ProductId, Money> = self.products.iter().map(|product| (product.id, product.price)).collect();
        let differs = |line: &OrderLine| prices.get(&line.product) != Some(&line.price);
        self.orders.iter().filter(|order| order.lines.iter().any(differs)).count()
    }

    /// How many lines were refused for each reason, with the number of the first.
    pub(crate) fn refusals(&self) -> BTreeMap<Refused, (u64, u64)> {
        let mut by_reason = BTreeMap::new();
        for line in &self.refused {
            by_reason.entry(line.reason.clone()).or_insert((0, line.number)).0 += 1;
        }
        by_reason
    }
}

impl RetailOrder {
    /// The order as a request's body.
    pub(crate) fn body(&self) -> String {
        let lines = self
            .lines
            .iter()
            .map(|line| format!(r#"{{"productId":"{}","quantity":{},"price":"{}"}}"#, line.product, line.quantity.get(), line.price));
        format!(r#"{{"customerId":"{}","items":[{}]}}"#, self.customer, lines.collect::<Vec<_>>().join(","))
    }
}

/// Where each column is.
struct Columns([usize; COLUMNS.len()]);

/// A line's fields.
struct Row<'a> {
    invoice: &'a str,
    code: &'a str,
    description: &'a str,
    quantity: &'a str,
    price: &'a str,
    customer: &'a str,
}

impl Columns {
    fn find(sheet: &Sheet<'_>) -> Result<Self, SheetError> {
        let places = COLUMNS.map(|column| sheet.find(&[column]));
        let missing = COLUMNS.iter().zip(places).filter(|(_, place)| place.is_none());
        let missing: Vec<String> = missing.map(|(column, _)| (*column).to_owned()).collect();
        if missing.is_empty() {
            return Ok(Self(places.map(Option::unwrap_or_default)));
        }
        Err(SheetError::MissingColumns { missing, wanted: COLUMNS.join(",") })
    }

    fn row<'a>(&self, fields: &'a Fields) -> Row<'a> {
        let [invoice, code, description, quantity, price, customer] =
            self.0.map(|at| fields.fields.get(at).map(String::as_str).unwrap_or_default());
        Row { invoice, code, description, quantity, price, customer }
    }
}

#[derive(Default)]
struct Reading {
    orders: Vec<RetailOrder>,
    by_invoice: HashMap<String, usize>,
    products: BTreeMap<String, Seen>,
    refused: Vec<RefusedLine>,
}

#[derive(Default)]
struct Seen {
    name: Option<Text<255>>,
    /// How often each price was seen, in the order of first sight.
    prices: Vec<(Money, u64)>,
    ordered: u64,
}

impl Reading {
    fn take(&mut self, row: &Row<'_>, sheet: &Sheet<'_>) -> Result<(), Refused> {
        let (quantity, price) = check(row, sheet)?;
        let product = ProductId(named_id("retail-product", row.code));
        let customer = CustomerId(named_id("retail-customer", row.customer));
        match self.by_invoice.get(row.invoice).and_then(|at| self.orders.get_mut(*at)) {
            Some(order) if order.customer != customer => return Err(Refused::TwoCustomers),
            Some(order) => add(order, product, quantity, price)?,
            None => {
                let mut order = RetailOrder { invoice: row.invoice.to_owned(), customer, lines: Vec::new(), total: Money::ZERO };
                add(&mut order, product, quantity, price)?;
                self.by_invoice.insert(row.invoice.to_owned(), self.orders.len());
                self.orders.push(order);
            }
        }
        self.products.entry(row.code.to_owned()).or_default().note(row.description, price, quantity);
        Ok(())
    }

    fn finish(self) -> Retail {
        let products = self.products.into_iter().map(|(code, seen)| seen.product(&code)).collect();
        Retail { products, orders: self.orders, refused: self.refused }
    }
}

impl Seen {
    fn note(&mut self, description: &str, price: Money, quantity: Quantity) {
        if let Ok(name) = Text::new(description) {
            self.name.get_or_insert(name);
        }
        self.ordered += u64::from(quantity.get());
        match self.prices.iter_mut().find(|(known, _)| *known == price) {
            Some((_, count)) => *count += 1,
            None => self.prices.push((price, 1)),
        }
    }

    fn product(self, code: &str) -> RetailProduct {
        // `max_by_key` takes the last of equals; the first seen is meant.
        let price = self.prices.iter().rev().max_by_key(|(_, count)| *count).map(|(price, _)| *price);
        RetailProduct {
            id: ProductId(named_id("retail-product", code)),
            name: self.name.unwrap_or_else(|| Text::lossy(code)),
            price: price.unwrap_or_default(),
            ordered: self.ordered,
        }
    }
}

/// What can be said of a line by itself.
fn check(row: &Row<'_>, sheet: &Sheet<'_>) -> Result<(Quantity, Money), Refused> {
    if row.invoice.is_empty() {
        return Err(Refused::NoInvoice);
    }
    if row.invoice.starts_with(['C', 'c']) {
        return Err(Refused::Cancellation);
    }
    if row.code.is_empty() {
        return Err(Refused::NoProduct);
    }
    let quantity: i64 = row.quantity.parse().map_err(|_| Refused::BadQuantity)?;
    if quantity < 0 {
        return Err(Refused::NegativeQuantity);
    }
    if row.customer.is_empty() {
        return Err(Refused::NoCustomer);
    }
    let quantity = Quantity::new(quantity).ok_or(Refused::QuantityOutOfBounds)?;
    let price = sheet.amount(row.price).map_err(|error| Refused::BadPrice(kind_of(error)))?;
    if price == Money::ZERO { Err(Refused::ZeroPrice) } else { Ok((quantity, price)) }
}

fn kind_of(error: MoneyError) -> MoneyErrorKind {
    match error {
        MoneyError::NotANumber => MoneyErrorKind::NotANumber,
        MoneyError::TooPrecise => MoneyErrorKind::TooPrecise,
        MoneyError::Negative => MoneyErrorKind::Negative,
        MoneyError::TooLarge => MoneyErrorKind::TooLarge,
    }
}

/// Adds to an order, or leaves it as it is.
fn add(order: &mut RetailOrder, product: ProductId, quantity: Quantity, price: Money) -> Result<(), Refused> {
    let fresh = price.times(quantity.get()).and_then(|amount| order.total.plus(amount));
    let total = fresh.map_err(|_| Refused::TotalTooLarge)?;
    let count = order.lines.len();
    match order.lines.iter_mut().find(|line| line.product == product) {
        Some(line) if line.price != price => return Err(Refused::TwoPrices),
        Some(line) => {
            let sum = i64::from(line.quantity.get()) + i64::from(quantity.get());
            line.quantity = Quantity::new(sum).ok_or(Refused::QuantityOutOfBounds)?;
        }
        None if count >= MAX_ITEMS => return Err(Refused::TooManyLines),
        None => order.lines.push(OrderLine { product, quantity, price }),
    }
    order.total = total;
    Ok(())
}

#[cfg(test)]
#[path = "retail_tests.rs"]
mod tests;
