//! Checks of one order: its record in itself, and against what the roles have stored of it.

use super::options::{Expect, Options};
use super::report::{Check, Report};
use crate::db::OrderAudit;
use crate::domain::{EventKind, NoticeKind, NoticeStatus, OrderStatus, PaymentStatus, ReservedLine, Role};
use crate::saga::{Facts, PaymentFact, StockFact, invariants, settled, status, table};

/// What every check of an order asks.
struct View<'a> {
    audit: &'a OrderAudit,
    facts: &'a Facts,
    /// By the facts, whatever is stored.
    status: OrderStatus,
    /// By the facts, whatever is stored.
    is_settled: bool,
}

pub(super) fn check(audit: &OrderAudit, options: &Options, is_recorded: bool, report: &mut Report) {
    let facts = &audit.stored.record.facts;
    let order = &audit.stored.order;
    let view = View { audit, facts, status: status(facts), is_settled: settled(facts, order.channels()) };
    if is_recorded {
        report.examine(Check::RecordedExist);
    }
    let has = |role: Role| !options.external.contains(&role);
    let found = [
        (Check::Status, has(Role::Order), view.stored_status()),
        (Check::Open, has(Role::Order), view.stored_open()),
        (Check::History, has(Role::Order), view.history()),
        (Check::Settled, options.expect == Expect::Settled, view.unsettled()),
        (Check::StockRows, has(Role::Inventory), view.stock()),
        (Check::Charges, has(Role::Payment), view.money()),
        (Check::Answers, has(Role::Order), view.answers(&options.external)),
        (Check::Notices, has(Role::Notification), view.notices()),
    ];
    for (check, is_made, broken) in found {
        if !is_made {
            continue;
        }
        report.examine(check);
        if let Some(what) = broken {
            report.violate(check, || format!("order {} ({}): {what}", order.id, view.status.name()));
        }
    }
}

impl View<'_> {
    fn stored_status(&self) -> Option<String> {
        let stored = self.audit.stored.status;
        (stored != self.status).then(|| format!("stored as {}", stored.name()))
    }

    fn stored_open(&self) -> Option<String> {
        let owed = table::owed(self.facts, self.audit.stored.order.channels());
        (self.audit.stored.open == self.is_settled).then(|| format!("stored as open = {}, but owed is {owed:?}", self.audit.stored.open))
    }

    fn history(&self) -> Option<String> {
        let record = &self.audit.stored.record;
        if let Err(broken) = invariants::check(&self.audit.stored.order, record) {
            return Some(broken.to_owned());
        }
        if record.history.first().and_then(|entry| entry.event()) != Some(EventKind::OrderCreated) {
            return Some("its history does not begin with OrderCreated".to_owned());
        }
        let last = record.history.last().map(|entry| entry.status);
        (last != Some(self.status)).then(|| format!("its history ends at {}", last.map_or("nothing", OrderStatus::name)))
    }

    fn unsettled(&self) -> Option<String> {
        let parked = self.audit.stored.record.parked.as_ref();
        (!self.is_settled).then(|| match parked {
            Some(cause) => format!("parked: {cause}"),
            None => format!("owed: {:?}", table::owed(self.facts, self.audit.stored.order.channels())),
        })
    }

    fn stock(&self) -> Option<String> {
        let OrderAudit { stored, held, released, shipped, .. } = self.audit;
        let wanted: Vec<ReservedLine> = stored.order.lines.iter().map(ReservedLine::from).collect();
        let rows: Vec<&Vec<ReservedLine>> = [held, released, shipped].into_iter().filter(|lines| !lines.is_empty()).collect();
        if rows.len() > 1 || rows.iter().any(|lines| !same_lines(lines, &wanted)) {
            return Some("its stock rows do not match its lines, all in one state".to_owned());
        }
        let has_rows = !rows.is_empty();
        match &self.facts.stock {
            Some((StockFact::Reserved(_), _)) if !has_rows => return Some("it knows a reservation that has no rows".to_owned()),
            Some((StockFact::Reserved(lines), _)) if !same_lines(lines, &wanted) => {
                return Some("it knows a reservation of other lines".to_owned());
            }
            Some((StockFact::Insufficient(_), _)) if has_rows && self.facts.stray_reservation.is_none() && self.is_settled => {
                return Some("its stock could not be had, and it has rows".to_owned());
            }
            Some((StockFact::Reserved(_) | StockFact::Insufficient(_), _)) | None => {}
        }
        if !held.is_empty() && (self.facts.released.is_some() || self.facts.stock_moved.is_some()) {
            return Some("it knows that nothing is held any more, and something is".to_owned());
        }
        if !released.is_empty() && matches!(self.status, OrderStatus::Confirmed | OrderStatus::Shipped) {
            return Some("its stock was given back".to_owned());
        }
        if !shipped.is_empty() && self.status != OrderStatus::Shipped {
            return Some("its stock has left".to_owned());
        }
        if self.is_settled && !held.is_empty() && self.status != OrderStatus::Confirmed {
            return Some("stock is held without need".to_owned());
        }
        None
    }

    fn money(&self) -> Option<String> {
        let payment = self.audit.payment.as_ref();
        let row = payment.map(|payment| payment.status);
        let total = self.audit.stored.order.total;
        let name = row.map_or("missing", PaymentStatus::name);
        if matches!(self.status, OrderStatus::Confirmed | OrderStatus::Shipped) && row != Some(PaymentStatus::Charged) {
            return Some(format!("its payment is {name}"));
        }
        let is_known = match &self.facts.payment {
            Some((PaymentFact::Paid { .. }, _)) => matches!(row, Some(PaymentStatus::Charged | PaymentStatus::Refunded)),
            Some((PaymentFact::Failed { .. }, _)) => row == Some(PaymentStatus::Failed),
            Some((PaymentFact::Cancelled, _)) => row == Some(PaymentStatus::Cancelled),
            None => true,
        };
        if !is_known && self.facts.stray_charge.is_none() {
            return Some(format!("its payment is {name}, which is not what it knows"));
        }
        if self.facts.refunded.is_some() && row != Some(PaymentStatus::Refunded) {
            return Some(format!("it knows of a refund, and its payment is {name}"));
        }
        if let Some((PaymentFact::Paid { amount, .. }, _)) = &self.facts.payment
            && *amount != total
        {
            return Some(format!("it knows a charge of {amount}, its total is {total}"));
        }
        if let Some(payment) = payment.filter(|payment| payment.amount != total) {
            return Some(format!("its payment is of {}, its total is {total}", payment.amount));
        }
        let is_dead = table::is_dead(self.status);
        if self.is_settled && is_dead && matches!(row, Some(PaymentStatus::Charged | PaymentStatus::Trying)) {
            return Some(format!("it is over, and its payment is {name}"));
        }
        None
    }

    /// Our own roles' rows are compared elsewhere.
    fn answers(&self, external: &[Role]) -> Option<String> {
        if !matches!(self.status, OrderStatus::Confirmed | OrderStatus::Shipped) {
            return None;
        }
        let OrderAudit { stored, .. } = self.audit;
        let kept = stored.record.external.as_deref();
        if let Some((PaymentFact::Paid { amount, .. }, _)) = &self.facts.payment
            && external.contains(&Role::Payment)
            && *amount != stored.order.total
            && kept.is_none_or(|kept| kept.payment_accepted.is_none())
        {
            return Some(format!("{amount} were paid, its total is {}, and nobody accepted that", stored.order.total));
        }
        if let Some((amount, currency)) = kept.and_then(|kept| kept.foreign_money.as_ref().filter(|_| kept.payment_accepted.is_none())) {
            return Some(format!(
                "{amount} {currency} were paid, its total is {} of another currency, and nobody accepted that",
                stored.order.total
            ));
        }
        let ordered: Vec<ReservedLine> = stored.order.lines.iter().map(ReservedLine::from).collect();
        if let Some((StockFact::Reserved(lines), _)) = &self.facts.stock
            && external.contains(&Role::Inventory)
            && !crate::saga::external::same_lines(lines, &ordered)
            && kept.is_none_or(|kept| kept.stock_accepted.is_none())
        {
            return Some("other lines are held than were ordered, and nobody accepted that".to_owned());
        }
        None
    }

    fn notices(&self) -> Option<String> {
        let rows = &self.audit.notices;
        for (at, row) in rows.iter().enumerate() {
            if rows.iter().take(at).any(|earlier| (earlier.kind, earlier.channel) == (row.kind, row.channel)) {
                return Some(format!("two notices {}/{}", row.kind.name(), row.channel.name()));
            }
            if row.status == NoticeStatus::Sent && self.is_settled && !self.gives_reason_for(row.kind) {
                return Some(format!("{} was told without a reason", row.kind.name()));
            }
        }
        for fact in &self.facts.notices {
            let row = rows.iter().find(|row| (row.kind, row.channel) == (fact.kind, fact.channel)).map(|row| row.status);
            // One that was given up may have been sent, or be tried again, at a person's wish; or it could not be stored at all.
            if fact.sent && row != Some(NoticeStatus::Sent) {
                let name = row.map_or("missing", NoticeStatus::name);
                return Some(format!("it knows a notice {}/{} whose row is {name}", fact.kind.name(), fact.channel.name()));
            }
        }
        None
    }

    fn gives_reason_for(&self, kind: NoticeKind) -> bool {
        match kind {
            NoticeKind::Confirmation => self.facts.was_ever_paid(),
            NoticeKind::Failure => matches!(self.facts.payment, Some((PaymentFact::Failed { .. } | PaymentFact::Cancelled, _))),
            NoticeKind::Cancellation => self.status == OrderStatus::Cancelled && self.facts.was_ever_paid(),
            NoticeKind::Shipping => self.status == OrderStatus::Shipped,
            // Also of one whose charge came to light later, and was given back.
            NoticeKind::Unavailable | NoticeKind::PriceChanged | NoticeKind::Expired | NoticeKind::CalledOff => {
                self.status == OrderStatus::Cancelled
            }
        }
    }
}

/// A store may keep an order's lines in another order than the customer.
fn same_lines(some: &[ReservedLine], others: &[ReservedLine]) -> bool {
    if some == others {
        return true;
    }
    let sorted = |lines: &[ReservedLine]| {
        let mut lines: Vec<_> = lines.iter().map(|line| (line.product, line.quantity)).collect();
        lines.sort_unstable();
        lines
    };
    some.len() == others.len() && sorted(some) == sorted(others)
}
