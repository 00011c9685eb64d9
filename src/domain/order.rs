//! The order as the customer placed it. It never changes; the saga's facts record what happens to it.

use super::{Channels, CorrelationId, CustomerId, Money, OrderId, ProductId, Shard, Text, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// The most lines an order may have.
pub const MAX_ITEMS: usize = 1000;

/// The quantity of one product: 1 to 10,000.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Quantity(u16);

impl Quantity {
    /// The largest quantity of one product in an order.
    pub const MAX: u16 = 10_000;

    /// Checks a quantity; `None` outside 1 to [`Quantity::MAX`].
    #[must_use]
    pub fn new(count: i64) -> Option<Self> {
        let count = u16::try_from(count).ok()?;
        (1..=Self::MAX).contains(&count).then_some(Self(count))
    }

    /// The count.
    #[must_use]
    pub fn get(self) -> u32 {
        u32::from(self.0)
    }
}

/// One product of an order at the price that the customer saw.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OrderLine {
    /// The product.
    pub product: ProductId,
    /// The quantity.
    pub quantity: Quantity,
    /// Unit price.
    pub price: Money,
}

/// How to notify the customer about the order. Never logged.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Contact {
    /// Address for email.
    pub email: Option<Text<254>>,
    /// Number for SMS.
    pub phone: Option<Text<32>>,
    /// Language of the notices (BCP 47).
    pub locale: Option<Text<35>>,
}

/// Delivery address. Never logged.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Address {
    /// Recipient.
    pub name: Option<Text<200>>,
    /// Street and number.
    pub street: Option<Text<200>>,
    /// Town.
    pub city: Option<Text<200>>,
    /// State, province or county.
    pub region: Option<Text<200>>,
    /// Postal code.
    pub postal_code: Option<Text<32>>,
    /// Country.
    pub country: Option<Text<100>>,
}

/// An accepted order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Order {
    /// Its id.
    pub id: OrderId,
    /// Its shard.
    pub shard: Shard,
    /// The customer.
    pub customer: CustomerId,
    /// What was ordered: 1 to [`MAX_ITEMS`] lines, no product twice.
    pub lines: Vec<OrderLine>,
    /// The sum of price times quantity.
    pub total: Money,
    /// How the customer pays, as named by the client.
    pub payment_method: Text<50>,
    /// Where to send notices.
    pub contact: Option<Box<Contact>>,
    /// Where to send the goods.
    pub address: Option<Box<Address>>,
    /// The correlation id of the request that placed it.
    pub correlation: CorrelationId,
    /// When it was accepted.
    pub created_at: Timestamp,
}

/// Why lines are not a valid order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// No lines, or more than [`MAX_ITEMS`].
    #[error("must have 1 to {MAX_ITEMS} items")]
    ItemCount,
    /// A product is in two lines; the index of the second.
    #[error("repeats a product of an earlier item")]
    DuplicateProduct(usize),
    /// A price of zero; the index of the line.
    #[error("must be more than 0")]
    FreeItem(usize),
    /// The total is above the largest amount.
    #[error("total is more than 99999999.99")]
    TotalTooLarge,
}

impl Order {
    /// Checks the lines as a whole and returns their total.
    ///
    /// # Errors
    /// See [`OrderError`].
    pub fn total_of(lines: &[OrderLine]) -> Result<Money, OrderError> {
        if lines.is_empty() || lines.len() > MAX_ITEMS {
            return Err(OrderError::ItemCount);
        }
        if let Some(at) = first_duplicate(lines) {
            return Err(OrderError::DuplicateProduct(at));
        }
        let mut total = Money::ZERO;
        for (at, line) in lines.iter().enumerate() {
            if line.price == Money::ZERO {
                return Err(OrderError::FreeItem(at));
            }
            let sum = line.price.times(line.quantity.get()).and_then(|amount| total.plus(amount));
            total = sum.map_err(|_| OrderError::TotalTooLarge)?;
        }
        Ok(total)
    }

    /// The channels for notices to this customer: those for which an address was given; only email if none was.
    #[must_use]
    pub fn channels(&self) -> Channels {
        match &self.contact {
            Some(contact) => match (contact.email.is_some(), contact.phone.is_some()) {
                (true, true) => Channels::BOTH,
                (false, true) => Channels::SMS,
                (true | false, false) => Channels::EMAIL,
            },
            None => Channels::EMAIL,
        }
    }
}

fn first_duplicate(lines: &[OrderLine]) -> Option<usize> {
    if lines.len() <= 8 {
        return (1..lines.len())
            .find(|&at| lines.get(at).is_some_and(|line| lines.iter().take(at).any(|earlier| earlier.product == line.product)));
    }
    let mut seen = HashSet::with_capacity(lines.len());
    lines.iter().position(|line| !seen.insert(line.product))
}

/// The status of an order; a function of the saga's facts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum OrderStatus {
    /// Placed; waits for the stock's answer.
    Pending,
    /// Stock is held; waits for the payment's answer.
    InventoryReserved,
    /// Paid.
    Confirmed,
    /// Paid and sent.
    Shipped,
    /// Payment failed; waits for the stock's release.
    PaymentFailed,
    /// Payment failed; nothing is held any more.
    Failed,
    /// Being cancelled; waits for the release and the payment's answer.
    Cancelling,
    /// Being cancelled after it was paid; waits for release and refund.
    Refunding,
    /// Cancelled; nothing is held or charged any more.
    Cancelled,
}

impl OrderStatus {
    /// All values, in the sequence of their stored numbers.
    pub const ALL: [Self; 9] = [
        Self::Pending,
        Self::InventoryReserved,
        Self::Confirmed,
        Self::Shipped,
        Self::PaymentFailed,
        Self::Failed,
        Self::Cancelling,
        Self::Refunding,
        Self::Cancelled,
    ];

    /// The name on the wire and in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::InventoryReserved => "INVENTORY_RESERVED",
            Self::Confirmed => "CONFIRMED",
            Self::Shipped => "SHIPPED",
            Self::PaymentFailed => "PAYMENT_FAILED",
            Self::Failed => "FAILED",
            Self::Cancelling => "CANCELLING",
            Self::Refunding => "REFUNDING",
            Self::Cancelled => "CANCELLED",
        }
    }

    /// The status with that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}
