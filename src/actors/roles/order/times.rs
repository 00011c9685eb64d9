//! How long an order's steps took.

use super::OrderActor;
use super::late::micros;
use crate::actors::runtime::step_times::Step;
use crate::saga::PaymentFact;

impl OrderActor {
    /// What the way to CONFIRMED took, part by part.
    pub(super) fn time_confirmation(&self) {
        let facts = &self.record.facts;
        let (Some((_, reserved)), Some((PaymentFact::Paid { .. }, paid))) = (&facts.stock, &facts.payment) else { return };
        let times = &self.cell.node.times;
        times.record(Step::Reserve, micros(self.order.created_at, *reserved));
        times.record(Step::Pay, micros(*reserved, *paid));
        times.record(Step::Confirm, micros(self.order.created_at, *paid));
        if let Some(notice) = facts.notices.first() {
            times.record(Step::Notify, micros(*paid, notice.at));
        }
    }
}
