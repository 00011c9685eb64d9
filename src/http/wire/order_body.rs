//! An order as a client sends it: read field by field, so that every broken one is named, and turned into the domain's types.

use crate::domain::{Address, Contact, CustomerId, MAX_ITEMS, MailAddress, Money, Order, OrderError, OrderLine, ProductId, Quantity, Text};
use crate::http::wire::json::{At, Reader};
use crate::http::wire::problem::Problem;
use crate::saga::Shipment;
use sha2::{Digest, Sha256};
use std::collections::HashSet;

/// What an order without a payment method is paid by.
const PAYMENT_METHOD: &str = "CARD";

/// An order that keeps all rules of form.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct OrderBody {
    /// The customer.
    pub customer: CustomerId,
    /// The items.
    pub lines: Vec<OrderLine>,
    /// The sum.
    pub total: Money,
    /// How the customer pays.
    pub payment_method: Text<50>,
    /// Where to send notices.
    pub contact: Option<Box<Contact>>,
    /// Where to send the goods.
    pub address: Option<Box<Address>>,
}

impl OrderBody {
    /// Reads a body; what is broken stays in the reader.
    ///
    /// # Errors
    /// The body is not JSON.
    pub(crate) fn read(body: &[u8], reader: &mut Reader) -> Result<Option<Self>, Problem> {
        let fields = reader.body(body, &["customerId", "items", "paymentMethod", "contact", "shippingAddress"])?;
        let Some([customer, items, method, contact, address]) = fields else { return Ok(None) };
        let at = |name| At::Field(&At::Root, name);
        let customer = reader.required(customer, &at("customerId")).and_then(|raw| reader.uuid(raw, &at("customerId"))).map(CustomerId);
        let lines = reader.required(items, &at("items")).and_then(|raw| read_items(reader, raw));
        let payment_method = match method {
            Some(raw) => reader.text(raw, &at("paymentMethod")),
            None => Some(Text::lossy(PAYMENT_METHOD)),
        };
        let contact = contact.and_then(|raw| read_contact(reader, raw)).map(Box::new);
        let address = address.and_then(|raw| read_address(reader, raw)).map(Box::new);
        let (Some(customer), Some(lines), Some(payment_method)) = (customer, lines, payment_method) else { return Ok(None) };
        if !reader.errors.is_empty() {
            return Ok(None);
        }
        let total = match Order::total_of(&lines) {
            Ok(total) => total,
            Err(error) => {
                reader.fail(&total_error_at(error), error.to_string());
                return Ok(None);
            }
        };
        Ok(Some(Self { customer, lines, total, payment_method, contact, address }))
    }

    /// SHA-256 over what the body means, whatever its spelling.
    #[must_use]
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update([1]);
        hash.update(self.customer.0.as_bytes());
        hash.update(u32::try_from(self.lines.len()).unwrap_or(u32::MAX).to_be_bytes());
        for line in &self.lines {
            hash.update(line.product.0.as_bytes());
            hash.update(line.quantity.get().to_be_bytes());
            hash.update(line.price.minor().to_be_bytes());
        }
        let mut add = |text: Option<&str>| match text {
            Some(text) => {
                hash.update(u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
                hash.update(text.as_bytes());
            }
            None => hash.update(u32::MAX.to_be_bytes()),
        };
        add(Some(self.payment_method.as_str()));
        let contact = self.contact.as_deref().cloned().unwrap_or_default();
        add(contact.email.as_ref().map(Text::as_str));
        add(contact.phone.as_ref().map(Text::as_str));
        add(contact.locale.as_ref().map(Text::as_str));
        let address = self.address.as_deref().cloned().unwrap_or_default();
        add(address.name.as_ref().map(Text::as_str));
        for part in [&address.street, &address.city, &address.region] {
            add(part.as_ref().map(Text::as_str));
        }
        add(address.postal_code.as_ref().map(Text::as_str));
        add(address.country.as_ref().map(Text::as_str));
        hash.finalize().into()
    }
}

fn total_error_at(error: OrderError) -> At<'static> {
    match error {
        OrderError::ItemCount | OrderError::DuplicateProduct(_) | OrderError::FreeItem(_) | OrderError::TotalTooLarge => {
            At::Field(&At::Root, "items")
        }
    }
}

fn read_items(reader: &mut Reader, raw: &str) -> Option<Vec<OrderLine>> {
    let at_items = At::Field(&At::Root, "items");
    let mut lines = Vec::new();
    let mut products = Products::default();
    let mut take = |reader: &mut Reader, index: usize, raw: &str| {
        if index < MAX_ITEMS
            && let Some(line) = read_item(reader, raw, &At::Index(&at_items, index), &mut products)
        {
            lines.push(line);
        }
    };
    let count = reader.list(raw, &at_items, &mut take)?;
    if count == 0 || count > MAX_ITEMS {
        reader.fail(&at_items, format!("must have 1 to {MAX_ITEMS} items, not {count}"));
    }
    Some(lines)
}

fn read_item(reader: &mut Reader, raw: &str, at_item: &At<'_>, products: &mut Products) -> Option<OrderLine> {
    let [product, quantity, price] = reader.object(raw, &["productId", "quantity", "price"], at_item)?;
    let at = |name| At::Field(at_item, name);
    let product = reader.required(product, &at("productId")).and_then(|raw| reader.uuid(raw, &at("productId"))).map(ProductId);
    if product.is_some_and(|product| !products.add(product)) {
        reader.fail(&at("productId"), "repeats a product of an earlier item");
    }
    let count = reader.required(quantity, &at("quantity")).and_then(|raw| reader.integer(raw, &at("quantity")));
    let quantity = count.and_then(Quantity::new);
    if count.is_some() && quantity.is_none() {
        reader.fail(&at("quantity"), format!("must be 1 to {}", Quantity::MAX));
    }
    let price = reader.required(price, &at("price")).and_then(|raw| reader.money(raw, &at("price")));
    if price == Some(Money::ZERO) {
        reader.fail(&at("price"), "must be more than 0");
    }
    Some(OrderLine { product: product?, quantity: quantity?, price: price? })
}

/// The products that were named so far; the usual few without hashing.
#[derive(Default)]
struct Products {
    few: Vec<ProductId>,
    many: HashSet<ProductId>,
}

impl Products {
    const FEW: usize = 8;

    fn add(&mut self, product: ProductId) -> bool {
        if self.few.contains(&product) || self.many.contains(&product) {
            return false;
        }
        if self.few.len() < Self::FEW {
            self.few.push(product);
            return true;
        }
        self.many.insert(product)
    }
}

fn read_contact(reader: &mut Reader, raw: &str) -> Option<Contact> {
    let at_contact = At::Field(&At::Root, "contact");
    let at = |name| At::Field(&at_contact, name);
    let [email, phone, locale] = reader.object(raw, &["email", "phone", "locale"], &at_contact)?;
    let email: Option<Text<254>> = email.and_then(|raw| reader.text(raw, &at("email")));
    if let Some(Err(error)) = email.as_ref().map(|email| MailAddress::parse(email.as_str())) {
        reader.fail(&at("email"), error.to_string());
    }
    let phone: Option<Text<32>> = phone.and_then(|raw| reader.text(raw, &at("phone")));
    if phone.as_ref().is_some_and(|phone| !looks_like_phone(phone.as_str())) {
        reader.fail(&at("phone"), "must be a telephone number such as \"+49 30 123456\"");
    }
    let locale: Option<Text<35>> = locale.and_then(|raw| reader.text(raw, &at("locale")));
    if locale.as_ref().is_some_and(|locale| !looks_like_locale(locale.as_str())) {
        reader.fail(&at("locale"), "must be a language tag such as \"de-CH\"");
    }
    Some(Contact { email, phone, locale })
}

fn read_address(reader: &mut Reader, raw: &str) -> Option<Address> {
    let at_address = At::Field(&At::Root, "shippingAddress");
    let at = |name| At::Field(&at_address, name);
    let names = ["name", "street", "city", "region", "postalCode", "country"];
    let [name, street, city, region, postal_code, country] = reader.object(raw, &names, &at_address)?;
    Some(Address {
        name: name.and_then(|raw| reader.text(raw, &at("name"))),
        street: street.and_then(|raw| reader.text(raw, &at("street"))),
        city: city.and_then(|raw| reader.text(raw, &at("city"))),
        region: region.and_then(|raw| reader.text(raw, &at("region"))),
        postal_code: postal_code.and_then(|raw| reader.text(raw, &at("postalCode"))),
        country: country.and_then(|raw| reader.text(raw, &at("country"))),
    })
}

fn looks_like_phone(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let rest = text.strip_prefix('+').unwrap_or(text);
    (3..=20).contains(&digits) && rest.bytes().all(|b| b.is_ascii_digit() || matches!(b, b' ' | b'-' | b'.' | b'/' | b'(' | b')'))
}

fn looks_like_locale(text: &str) -> bool {
    text.split(['-', '_']).all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// Reads what a shipment's body says; an absent body says nothing.
///
/// # Errors
/// The body is not JSON, or fields are broken.
pub(crate) fn read_shipment(body: Option<&[u8]>) -> Result<Shipment, Problem> {
    let Some(body) = body else { return Ok(Shipment::default()) };
    let mut reader = Reader::default();
    let fields = reader.body(body, &["carrier", "trackingNumber"])?;
    let shipment = fields.map(|[carrier, tracking]| {
        let at = |name| At::Field(&At::Root, name);
        Shipment {
            carrier: carrier.and_then(|raw| reader.text(raw, &at("carrier"))),
            tracking: tracking.and_then(|raw| reader.text(raw, &at("trackingNumber"))),
        }
    });
    reader.errors.none_or(shipment)
}
