//! Counting: events in, increments out.

use super::{AnalyticsRow, DAYS, HOURS, Metric, MetricKey, PRODUCT_TOTAL, TOTAL};
use super::{asker_code, millis_since_placed, minute_of, reason_code, shortage_code};
use crate::domain::{EventBody, LoggedEvent, Order, OrderLine, ProductId};
use std::collections::{BTreeMap, HashMap};

/// The figures of one minute, without products: a slot for every (metric, one-byte key).
pub(super) type Slots = [i64; 512];

/// The index of a figure in [`Slots`]; codes are below 32, keys below 16.
pub(super) fn slot(metric: Metric, key: u8) -> usize {
    (usize::from(metric.code()) << 4) | usize::from(key & 15)
}

#[derive(Clone, Copy, Default, Debug)]
struct Sales {
    units: i64,
    value: i64,
}

/// Increments that were counted but not taken yet. Counting costs one or two additions per event: nothing is looked up while the minute
/// stays the same, and products are looked up only for sales.
#[derive(Debug)]
pub struct Tally {
    minute: i64,
    slots: Box<Slots>,
    is_used: bool,
    others: HashMap<i64, Box<Slots>>,
    products: HashMap<(i64, ProductId), Sales>,
}

impl Default for Tally {
    fn default() -> Self {
        Self { minute: 0, slots: Box::new([0; 512]), is_used: false, others: HashMap::new(), products: HashMap::new() }
    }
}

impl Tally {
    /// Counts one event. The caller ensures that each event is counted once.
    pub fn count(&mut self, logged: &LoggedEvent) {
        let event = &logged.event;
        let minute = minute_of(event.at);
        if minute != self.minute {
            self.turn_to(minute);
        }
        self.is_used = true;
        // Another team's answer is counted when its order has accepted it.
        match event.body.content() {
            EventBody::OrderCreated(order) => {
                self.add(Metric::OrdersPlaced, 0, 1);
                self.add(Metric::OrderValue, 0, order.total.minor());
            }
            EventBody::InventoryReserved { .. } => self.add(Metric::StockReserved, 0, 1),
            EventBody::InventoryInsufficient { shortages } => {
                self.add(Metric::StockInsufficient, shortages.first().map_or(0, shortage_code), 1);
            }
            EventBody::InventoryReleased { .. } => self.add(Metric::StockReleased, 0, 1),
            EventBody::InventoryShipped { .. } => self.add(Metric::StockShipped, 0, 1),
            EventBody::PaymentProcessed { amount, .. } => {
                self.add(Metric::PaymentsCharged, 0, 1);
                self.add(Metric::AmountCharged, 0, amount.minor());
            }
            EventBody::PaymentFailed { .. } => self.add(Metric::PaymentsFailed, 0, 1),
            EventBody::PaymentCancelled => self.add(Metric::PaymentsCancelled, 0, 1),
            EventBody::PaymentRefunded { amount } => {
                self.add(Metric::PaymentsRefunded, 0, 1);
                self.add(Metric::AmountRefunded, 0, amount.minor());
            }
            EventBody::OrderConfirmed => {
                self.add(Metric::OrdersConfirmed, 0, 1);
                self.add(Metric::ConfirmMillis, 0, millis_since_placed(event.order, event.at));
                if let Some(order) = &logged.sale {
                    self.add(Metric::Sales, 0, 1);
                    self.add(Metric::SaleValue, 0, order.total.minor());
                    self.add_lines(minute, order, 1);
                }
            }
            EventBody::OrderCancelRequested { by } => self.add(Metric::CancelsRequested, asker_code(*by), 1),
            EventBody::OrderCancelled { reason, .. } => {
                self.add(Metric::OrdersCancelled, reason_code(reason.as_str()), 1);
                if let Some(order) = &logged.sale {
                    self.add(Metric::SalesRefunded, 0, 1);
                    self.add(Metric::RefundValue, 0, order.total.minor());
                    self.add_lines(minute, order, -1);
                }
            }
            EventBody::OrderFailed { .. } => self.add(Metric::OrdersFailed, 0, 1),
            EventBody::ShipmentHeld => self.add(Metric::ShipmentsHeld, 0, 1),
            EventBody::OrderShipped { .. } => self.add(Metric::OrdersShipped, 0, 1),
            EventBody::NotificationSent { channel, .. } => self.add(Metric::NoticesSent, channel.number(), 1),
            EventBody::NotificationFailed { channel, last, .. } => {
                self.add(Metric::NoticeTriesFailed, channel.number(), 1);
                self.add(Metric::NoticesGivenUp, channel.number(), i64::from(*last));
            }
            EventBody::AnswerAccepted { .. } | EventBody::StepParked { .. } | EventBody::PaidInOtherCurrency { .. } => {}
        }
    }

    /// Whether nothing was counted since the last [`Tally::take`].
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.is_used && self.others.is_empty()
    }

    /// Roughly how many rows [`Tally::take`] would return, so that callers can keep a bound.
    #[must_use]
    pub fn weight(&self) -> usize {
        (self.others.len() + usize::from(self.is_used)) * Metric::ALL.len() + self.products.len() * 4
    }

    /// Takes the increments since the last take, sorted by key: by the minute, the hour, the day, and all-time.
    #[must_use]
    pub fn take(&mut self) -> Vec<AnalyticsRow> {
        let taken = std::mem::take(self);
        let mut sums: BTreeMap<(i64, usize), i64> = BTreeMap::new();
        let current = taken.is_used.then_some((taken.minute, taken.slots));
        for (minute, slots) in taken.others.into_iter().chain(current) {
            for (place, value) in slots.iter().enumerate().filter(|(_, value)| **value != 0) {
                for time in [minute, HOURS + minute / 60, TOTAL] {
                    let sum = sums.entry((time, place)).or_default();
                    *sum = sum.saturating_add(*value);
                }
            }
        }
        let mut rows: Vec<AnalyticsRow> = sums.into_iter().filter_map(|((time, place), value)| fixed_row(time, place, value)).collect();
        let mut totals: BTreeMap<ProductId, Sales> = BTreeMap::new();
        for ((day, product), sales) in taken.products {
            rows.extend(product_rows(DAYS + day, product, sales));
            totals.entry(product).or_default().add(sales);
        }
        rows.extend(totals.into_iter().flat_map(|(product, sales)| product_rows(PRODUCT_TOTAL, product, sales)));
        rows.sort_unstable();
        rows
    }

    fn add(&mut self, metric: Metric, key: u8, value: i64) {
        if let Some(sum) = self.slots.get_mut(slot(metric, key)) {
            *sum = sum.saturating_add(value);
        }
    }

    fn add_lines(&mut self, minute: i64, order: &Order, sign: i64) {
        for line in &order.lines {
            self.products.entry((minute / 1440, line.product)).or_default().add(Sales::of(line, sign));
        }
    }

    /// Events of different roles interleave around a full minute, so recent minutes are kept.
    fn turn_to(&mut self, minute: i64) {
        let slots = self.others.remove(&minute);
        let is_used = slots.is_some();
        let left = std::mem::replace(&mut self.slots, slots.unwrap_or_else(|| Box::new([0; 512])));
        if self.is_used {
            self.others.insert(self.minute, left);
        }
        self.minute = minute;
        self.is_used = is_used;
    }
}

impl Sales {
    fn of(line: &OrderLine, sign: i64) -> Self {
        let units = i64::from(line.quantity.get()).saturating_mul(sign);
        Self { units, value: line.price.minor().saturating_mul(units) }
    }

    fn add(&mut self, other: Self) {
        self.units = self.units.saturating_add(other.units);
        self.value = self.value.saturating_add(other.value);
    }
}

fn fixed_row(minute: i64, place: usize, value: i64) -> Option<AnalyticsRow> {
    let metric = Metric::from_code(u8::try_from(place >> 4).ok()?)?;
    let key = match metric.key() {
        MetricKey::Reason | MetricKey::Channel => vec![u8::try_from(place & 15).unwrap_or(0)],
        MetricKey::Nothing | MetricKey::Product => Vec::new(),
    };
    Some(AnalyticsRow { minute, metric: metric.code(), key, value })
}

fn product_rows(minute: i64, product: ProductId, sales: Sales) -> [AnalyticsRow; 2] {
    let row = |metric: Metric, value| AnalyticsRow { minute, metric: metric.code(), key: product.0.as_bytes().to_vec(), value };
    [row(Metric::UnitsSold, sales.units), row(Metric::ProductSales, sales.value)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        CancelledBy, Channel, CorrelationId, CustomerId, Event, Money, NoticeKind, OrderId, Quantity, Shard, Text, Timestamp,
    };
    use std::sync::Arc;
    use uuid::Uuid;

    const T0_MS: u64 = 1_700_000_000_000;

    fn at(ms: u64) -> Timestamp {
        Timestamp(i64::try_from((T0_MS + ms) * 1000).unwrap())
    }

    fn product(n: u128) -> ProductId {
        ProductId(Uuid::from_u128(n))
    }

    fn order(lines: &[(u128, i64, i64)]) -> Arc<Order> {
        let lines: Vec<OrderLine> = lines
            .iter()
            .map(|(id, quantity, price)| OrderLine {
                product: product(*id),
                quantity: Quantity::new(*quantity).unwrap(),
                price: Money::from_minor(*price).unwrap(),
            })
            .collect();
        Arc::new(Order {
            id: OrderId::from_parts(T0_MS, [1; 10]),
            shard: Shard(0),
            customer: CustomerId(Uuid::nil()),
            total: Order::total_of(&lines).unwrap(),
            lines,
            payment_method: Text::lossy("card"),
            contact: None,
            address: None,
            correlation: CorrelationId::of(Uuid::nil()),
            created_at: at(0),
        })
    }

    /// In these tests every order that is cancelled was a sale if it was paid.
    fn logged(order: &Arc<Order>, at: Timestamp, body: EventBody) -> LoggedEvent {
        let is_sale = matches!(&body, EventBody::OrderConfirmed | EventBody::OrderCancelled { was_paid: true, .. });
        LoggedEvent { seq: 1, event: Event::of(order, at, body), sale: is_sale.then(|| order.clone()) }
    }

    fn totals(rows: &[AnalyticsRow]) -> Vec<(Metric, Vec<u8>, i64)> {
        rows.iter()
            .filter(|row| row.minute == TOTAL)
            .map(|row| (Metric::from_code(row.metric).unwrap(), row.key.clone(), row.value))
            .collect()
    }

    fn check(bodies: Vec<EventBody>, want: &[(Metric, &[u8], i64)]) {
        let order = order(&[(1, 2, 500)]);
        let mut tally = Tally::default();
        for (nth, body) in (0..).zip(bodies) {
            tally.count(&logged(&order, at(nth * 10), body));
        }
        let want: Vec<_> = want.iter().map(|(metric, key, value)| (*metric, key.to_vec(), *value)).collect();
        assert_eq!(totals(&tally.take()), want);
    }

    fn paid() -> EventBody {
        EventBody::PaymentProcessed { amount: Money::from_minor(1000).unwrap(), method: Text::lossy("card") }
    }

    #[test]
    fn a_confirmed_order_counts_once_at_each_step() {
        check(
            vec![
                EventBody::OrderCreated(order(&[(1, 2, 500)])),
                EventBody::InventoryReserved { lines: vec![] },
                paid(),
                EventBody::OrderConfirmed,
                EventBody::NotificationSent { kind: NoticeKind::Confirmation, channel: Channel::Sms },
            ],
            &[
                (Metric::OrdersPlaced, &[], 1),
                (Metric::OrderValue, &[], 1000),
                (Metric::OrdersConfirmed, &[], 1),
                (Metric::ConfirmMillis, &[], 30),
                (Metric::StockReserved, &[], 1),
                (Metric::PaymentsCharged, &[], 1),
                (Metric::AmountCharged, &[], 1000),
                (Metric::NoticesSent, &[1], 1),
                (Metric::Sales, &[], 1),
                (Metric::SaleValue, &[], 1000),
            ],
        );
    }

    #[test]
    fn a_refunded_order_keeps_both_sums() {
        check(
            vec![
                paid(),
                EventBody::OrderConfirmed,
                EventBody::OrderCancelRequested { by: CancelledBy::Customer },
                EventBody::PaymentRefunded { amount: Money::from_minor(1000).unwrap() },
                EventBody::InventoryReleased { lines: vec![] },
                EventBody::OrderCancelled { reason: Text::lossy("cancelled-by-customer"), was_paid: true },
            ],
            &[
                (Metric::OrdersConfirmed, &[], 1),
                (Metric::ConfirmMillis, &[], 10),
                (Metric::OrdersCancelled, &[4], 1),
                (Metric::CancelsRequested, &[4], 1),
                (Metric::StockReleased, &[], 1),
                (Metric::PaymentsCharged, &[], 1),
                (Metric::AmountCharged, &[], 1000),
                (Metric::PaymentsRefunded, &[], 1),
                (Metric::AmountRefunded, &[], 1000),
                (Metric::Sales, &[], 1),
                (Metric::SaleValue, &[], 1000),
                (Metric::SalesRefunded, &[], 1),
                (Metric::RefundValue, &[], 1000),
            ],
        );
    }

    #[test]
    fn a_bogus_order_that_cannot_be_had_is_no_sale() {
        let (bogus, real) = (order(&[(9, 1, 9_999_999_999)]), order(&[(1, 2, 500)]));
        let mut tally = Tally::default();
        for (order, end) in [
            (&bogus, EventBody::OrderCancelled { reason: Text::lossy("unknown-product"), was_paid: false }),
            (&bogus, EventBody::OrderFailed { reason: Text::lossy("declined") }),
            (&real, EventBody::OrderConfirmed),
        ] {
            tally.count(&logged(order, at(0), EventBody::OrderCreated(order.clone())));
            tally.count(&logged(order, at(1), end));
        }
        let rows = tally.take();
        let numbers: super::super::Numbers = rows.iter().filter(|row| row.minute == TOTAL).collect();
        assert_eq!((numbers.of(Metric::OrdersPlaced), numbers.average_order_value(), numbers.revenue()), (3, Some(1000), 1000));
        let products: Vec<AnalyticsRow> = rows.into_iter().filter(|row| row.minute == PRODUCT_TOTAL).collect();
        let top: Vec<_> = super::super::top_products(&products, 5).into_iter().map(|sold| (sold.product, sold.units, sold.value)).collect();
        assert_eq!(top, [(product(1), 2, 1000)]);
    }

    #[test]
    fn failures_are_counted_by_reason_and_channel() {
        let failed = |attempt, last| EventBody::NotificationFailed {
            kind: NoticeKind::Failure,
            channel: Channel::Email,
            attempt,
            last,
            reason: Text::lossy("550"),
        };
        check(
            vec![
                EventBody::InventoryInsufficient { shortages: vec![crate::domain::Shortage::UnknownProduct { product: product(1) }] },
                EventBody::OrderCancelled { reason: Text::lossy("unknown-product"), was_paid: false },
                EventBody::OrderCancelled { reason: Text::lossy("another team's words"), was_paid: false },
                EventBody::OrderCancelled { reason: Text::lossy("discontinued"), was_paid: false },
                EventBody::PaymentFailed { reason: Text::lossy("declined") },
                EventBody::PaymentCancelled,
                EventBody::OrderFailed { reason: Text::lossy("declined") },
                EventBody::ShipmentHeld,
                EventBody::OrderShipped { carrier: None, tracking: None },
                EventBody::InventoryShipped { lines: vec![] },
                failed(1, false),
                failed(2, true),
            ],
            &[
                (Metric::OrdersShipped, &[], 1),
                (Metric::OrdersFailed, &[], 1),
                (Metric::OrdersCancelled, &[0], 1),
                (Metric::OrdersCancelled, &[3], 1),
                (Metric::OrdersCancelled, &[8], 1),
                (Metric::StockInsufficient, &[3], 1),
                (Metric::StockShipped, &[], 1),
                (Metric::PaymentsFailed, &[], 1),
                (Metric::PaymentsCancelled, &[], 1),
                (Metric::NoticeTriesFailed, &[0], 2),
                (Metric::NoticesGivenUp, &[0], 1),
                (Metric::ShipmentsHeld, &[], 1),
            ],
        );
    }

    #[test]
    fn minutes_hours_and_totals_agree_whatever_the_order_of_the_events() {
        let order = order(&[(1, 2, 500), (2, 1, 1)]);
        let times = [0, 59_000, 60_000, 30_000, 3_600_000, 61_000];
        let mut tally = Tally::default();
        for time in times {
            tally.count(&logged(&order, at(time), EventBody::OrderCreated(order.clone())));
            tally.count(&logged(&order, at(time), EventBody::OrderConfirmed));
        }
        assert!(!tally.is_empty());
        let rows = tally.take();
        assert!(tally.is_empty());
        let sum = |metric: Metric, times: std::ops::Range<i64>| -> i64 {
            rows.iter().filter(|row| row.metric == metric.code() && times.contains(&row.minute)).map(|row| row.value).sum()
        };
        let minutes = 0..i64::MAX;
        let hours = HOURS..HOURS + 100_000_000;
        for range in [minutes, hours, TOTAL..TOTAL + 1] {
            assert_eq!(sum(Metric::OrdersPlaced, range.clone()), 6);
            assert_eq!(sum(Metric::OrderValue, range.clone()), 6 * 1001);
            assert_eq!(sum(Metric::UnitsSold, range), 0);
        }
        for range in [DAYS..DAYS + 1_000_000, PRODUCT_TOTAL..PRODUCT_TOTAL + 1] {
            assert_eq!(sum(Metric::UnitsSold, range.clone()), 18);
            assert_eq!(sum(Metric::ProductSales, range.clone()), 6 * 1001);
            assert_eq!(sum(Metric::OrdersPlaced, range), 0);
        }
        assert!(rows.is_sorted());
        assert!(tally.take().is_empty());
    }
}
