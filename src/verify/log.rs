//! Checks of the event log: in itself while it is read, and against each order's states after that.

use super::options::Options;
use super::report::{Check, Report};
use crate::db::{OrderAudit, Snapshot, StoreError};
use crate::domain::{
    AnalyticsRow, Channel, Event, EventBody, EventKind, NoticeKind, NoticeStatus, Order, OrderId, PaymentStatus, Role, Tally, Topic,
    WriterId,
};
use crate::verify::totals::Totals;
use std::collections::{BTreeMap, HashMap};

/// What the log tells, an order a line.
#[derive(Default)]
pub(super) struct Log {
    orders: HashMap<OrderId, Seen>,
    /// The analytics numbers that follow from what is counted.
    pub(super) numbers: BTreeMap<(i64, u8, Vec<u8>), i64>,
    /// The ends of the logs and how far they are counted.
    pub(super) ends: BTreeMap<WriterId, i64>,
    /// Sums of all time of what is in the log and not counted yet.
    pub(super) pending: Totals,
    tally: Tally,
}

/// The events of one order.
#[derive(Clone, Copy, Default)]
struct Seen {
    /// In all logs.
    all: Marks,
    /// In the log that is being read.
    here: Marks,
    writer: i64,
}

/// A set of events: a bit for each kind, and for each notice that was sent or given up.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Marks(u64);

impl Marks {
    fn kind(kind: EventKind) -> Self {
        Self(1 << kind.number())
    }

    fn sent(kind: NoticeKind, channel: Channel) -> Self {
        Self(1 << (22 + Self::place(kind, channel)))
    }

    fn given_up(kind: NoticeKind, channel: Channel) -> Self {
        Self(1 << (32 + Self::place(kind, channel)))
    }

    /// Of its notices that it ended unpaid an order has one at most: they share their place.
    fn place(kind: NoticeKind, channel: Channel) -> u8 {
        let kind = if kind.is_of_unpaid() { NoticeKind::Unavailable } else { kind };
        kind.number() * 2 + channel.number()
    }

    /// Of the answers that an order can accept, the last is the eighth.
    fn accepted(kind: EventKind) -> Self {
        Self(1 << (48 + kind.number().min(15)))
    }

    fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// So many increments may gather before they are summed.
const TALLY_ROWS: usize = 50_000;

/// Reads all logs.
pub(super) async fn read(snapshot: &mut dyn Snapshot, options: &Options, log: &mut Log, report: &mut Report) -> Result<(), StoreError> {
    let positions: HashMap<WriterId, i64> = snapshot.analytics_positions().await?.into_iter().collect();
    for row in snapshot.writers().await? {
        report.examine(Check::LogGaps);
        for number in snapshot.gaps(row.writer, u32::try_from(options.shown.max(1)).unwrap_or(u32::MAX)).await? {
            report.violate(Check::LogGaps, || format!("writer {}: number {number} is missing", row.writer.0));
        }
        log.ends.insert(row.writer, row.last_seq);
        let counted = positions.get(&row.writer).copied().unwrap_or(0);
        let mut after = 0;
        loop {
            let page = snapshot.events(row.writer, after, options.page).await?;
            let Some(last) = page.last() else { break };
            after = last.seq;
            for logged in &page {
                let place = || format!("writer {} number {}", row.writer.0, logged.seq);
                log.take(row.writer, &logged.event, &place, report);
                if logged.seq <= counted {
                    log.tally.count(logged);
                } else {
                    log.pending.count(logged);
                }
            }
            if log.tally.weight() > TALLY_ROWS {
                log.sum_up();
            }
        }
        if after > row.last_seq {
            report.violate(Check::LogGaps, || format!("writer {}: number {after} is past its end {}", row.writer.0, row.last_seq));
        }
    }
    log.sum_up();
    Ok(())
}

impl Log {
    fn sum_up(&mut self) {
        for AnalyticsRow { minute, metric, key, value } in self.tally.take() {
            *self.numbers.entry((minute, metric, key)).or_insert(0) += value;
        }
    }

    fn take(&mut self, writer: WriterId, event: &Event, place: &dyn Fn() -> String, report: &mut Report) {
        let kind = event.kind();
        let seen = self.orders.entry(event.order).or_default();
        if seen.writer != writer.0 {
            (seen.writer, seen.here) = (writer.0, Marks::default());
        }
        let mut mark = Marks::kind(kind);
        let mut is_once = true;
        match &event.body {
            EventBody::NotificationSent { kind, channel } => mark = Marks::sent(*kind, *channel),
            EventBody::NotificationFailed { kind, channel, last, .. } => {
                // A person may have it tried anew, and it may fail anew.
                is_once = false;
                if *last {
                    mark = Marks::given_up(*kind, *channel);
                }
            }
            // It may be parked anew.
            EventBody::StepParked { .. } => is_once = false,
            EventBody::AnswerAccepted { answer } => mark = Marks::accepted(answer.kind()),
            EventBody::OrderCreated(_)
            | EventBody::InventoryReserved { .. }
            | EventBody::InventoryInsufficient { .. }
            | EventBody::InventoryReleased { .. }
            | EventBody::InventoryShipped { .. }
            | EventBody::PaymentProcessed { .. }
            | EventBody::PaidInOtherCurrency { .. }
            | EventBody::PaymentFailed { .. }
            | EventBody::PaymentCancelled
            | EventBody::PaymentRefunded { .. }
            | EventBody::OrderConfirmed
            | EventBody::OrderCancelRequested { .. }
            | EventBody::OrderCancelled { .. }
            | EventBody::OrderFailed { .. }
            | EventBody::ShipmentHeld
            | EventBody::OrderShipped { .. } => {}
        }
        report.examine(Check::LogOnce);
        report.examine(Check::LogOrder);
        if is_once && seen.all.has(mark) {
            report.violate(Check::LogOnce, || format!("{}: {} of order {} again", place(), kind.name(), event.order));
        } else if seen.here.has(effects(kind)) {
            report.violate(Check::LogOrder, || format!("{}: {} of order {} after its effect", place(), kind.name(), event.order));
        }
        seen.all.add(mark);
        seen.here.add(mark);
    }

    /// Whether a role on another node may have told the order to park. Of what retention deleted nobody knows.
    pub(super) fn tells_of_parking(&self, order: &Order, options: &Options) -> bool {
        let seen = self.orders.get(&order.id).copied().unwrap_or_default().all;
        let is_told = [EventKind::PaymentParked, EventKind::InventoryParked].into_iter().any(|kind| seen.has(Marks::kind(kind)));
        is_told || options.log_since.is_some_and(|since| order.created_at < since)
    }

    /// Compares an order's states with its events.
    pub(super) fn check(&mut self, audit: &OrderAudit, options: &Options, report: &mut Report) {
        let order = &audit.stored.order;
        let seen = self.orders.remove(&order.id).unwrap_or_default().all;
        if options.log_since.is_some_and(|since| order.created_at < since) {
            return;
        }
        report.examine(Check::LogStates);
        for (what, is_state, mark) in states(audit, options) {
            match (is_state, seen.has(mark)) {
                (Some(true), false) => report.violate(Check::LogStates, || format!("order {}: {what} without its event", order.id)),
                (Some(false), true) => {
                    report.violate(Check::LogStates, || format!("order {}: an event {what} without its state", order.id))
                }
                (Some(true), true) | (Some(false), false) | (None, _) => {}
            }
        }
    }

    /// What is left are events of orders that do not exist.
    pub(super) fn check_rest(&mut self, report: &mut Report) {
        let mut unknown: Vec<OrderId> = self.orders.drain().map(|(order, _)| order).collect();
        unknown.sort_unstable();
        for order in unknown {
            report.violate(Check::LogStates, || format!("order {order}: events of an order that does not exist"));
        }
    }
}

/// What must not be in a log before an event of this kind: what rests on it.
fn effects(kind: EventKind) -> Marks {
    let of = |kinds: &[EventKind]| Marks(kinds.iter().fold(0, |marks, kind| marks | Marks::kind(*kind).0));
    match kind {
        EventKind::OrderCreated => Marks(u64::MAX ^ Marks::kind(EventKind::OrderCreated).0),
        EventKind::InventoryReserved => of(&[EventKind::PaymentProcessed, EventKind::PaymentFailed, EventKind::InventoryReleased]),
        EventKind::PaymentProcessed => of(&[EventKind::OrderConfirmed, EventKind::PaymentRefunded]),
        EventKind::PaymentFailed | EventKind::InventoryReleased => of(&[EventKind::OrderFailed]),
        EventKind::OrderConfirmed => of(&[EventKind::OrderShipped]),
        EventKind::OrderShipped => of(&[EventKind::InventoryShipped]),
        EventKind::ShipmentHeld => of(&[EventKind::OrderShipped]),
        EventKind::InventoryInsufficient
        | EventKind::InventoryShipped
        | EventKind::PaymentCancelled
        | EventKind::PaymentRefunded
        | EventKind::OrderCancelRequested
        | EventKind::OrderCancelled
        | EventKind::OrderFailed
        | EventKind::NotificationSent
        | EventKind::NotificationFailed
        | EventKind::AnswerAccepted
        | EventKind::PaymentParked
        | EventKind::InventoryParked => Marks::default(),
    }
}

/// Each state with its event: whether the order is in it (none: it may or may not), and the event's mark.
fn states<'a>(audit: &'a OrderAudit, options: &'a Options) -> impl Iterator<Item = (&'static str, Option<bool>, Marks)> + 'a {
    let has = |role: Role| !options.external.contains(&role);
    let history = &audit.stored.record.history;
    let told = EventKind::ALL
        .into_iter()
        .filter(move |kind| has(Role::Order) && kind.topic() == Topic::Order && *kind != EventKind::AnswerAccepted);
    let told = told.map(move |kind| {
        let is_state = history.iter().any(|entry| entry.event() == Some(kind));
        (kind.name(), Some(is_state), Marks::kind(kind))
    });
    // The history tells an answer as what it is. One of before there was this event has none.
    let accepted = EventKind::ALL.into_iter().filter(move |kind| kind.topic().role().is_some_and(|role| options.external.contains(&role)));
    let accepted = accepted.map(move |kind| {
        let is_state = history.iter().any(|entry| entry.event() == Some(kind));
        ("AnswerAccepted", (!is_state).then_some(false), Marks::accepted(kind))
    });
    let was_held = !(audit.held.is_empty() && audit.released.is_empty() && audit.shipped.is_empty());
    let stock = [
        (EventKind::InventoryReserved, Some(was_held)),
        (EventKind::InventoryReleased, (!audit.released.is_empty()).then_some(true)),
        (EventKind::InventoryShipped, (!audit.shipped.is_empty()).then_some(true)),
    ];
    let is = |statuses: &[PaymentStatus]| Some(audit.payment.as_ref().is_some_and(|payment| statuses.contains(&payment.status)));
    let payment = [
        (EventKind::PaymentProcessed, is(&[PaymentStatus::Charged, PaymentStatus::Refunded])),
        (EventKind::PaymentFailed, is(&[PaymentStatus::Failed])),
        (EventKind::PaymentCancelled, is(&[PaymentStatus::Cancelled])),
        (EventKind::PaymentRefunded, is(&[PaymentStatus::Refunded])),
    ];
    let stock = stock.into_iter().filter(move |_| has(Role::Inventory));
    let payment = payment.into_iter().filter(move |_| has(Role::Payment));
    let rows = stock.chain(payment).map(|(kind, is_state)| (kind.name(), is_state, Marks::kind(kind)));
    let pairs = NoticeKind::ALL.into_iter().flat_map(|kind| Channel::ALL.map(|channel| (kind, channel)));
    let notices = pairs.filter(move |_| has(Role::Notification)).flat_map(move |(kind, channel)| {
        let place = Marks::place(kind, channel);
        let row = audit.notices.iter().find(|row| Marks::place(row.kind, row.channel) == place).map(|row| row.status);
        let given_up = (row == Some(NoticeStatus::GivenUp)).then_some(true);
        [
            ("NotificationSent", Some(row == Some(NoticeStatus::Sent)), Marks::sent(kind, channel)),
            ("NotificationFailed (last)", given_up, Marks::given_up(kind, channel)),
        ]
    });
    told.chain(accepted).chain(rows).chain(notices)
}
