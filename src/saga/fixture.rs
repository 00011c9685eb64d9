//! An order for unit tests.

use crate::domain::{CorrelationId, CustomerId, Money, Order, OrderId, OrderLine, ProductId, Quantity, Shard, Text, Timestamp};
use std::sync::Arc;
use uuid::Uuid;

pub(super) fn order() -> Arc<Order> {
    let price = Money::from_minor(250).unwrap();
    Arc::new(Order {
        id: OrderId::from_parts(1_700_000_000_000, [3; 10]),
        shard: Shard(0),
        customer: CustomerId(Uuid::nil()),
        lines: vec![OrderLine { product: ProductId(Uuid::nil()), quantity: Quantity::new(4).unwrap(), price }],
        total: Money::from_minor(1000).unwrap(),
        payment_method: Text::lossy("card"),
        contact: None,
        address: None,
        correlation: CorrelationId::of(Uuid::nil()),
        created_at: Timestamp(1_700_000_000_000_000),
    })
}
