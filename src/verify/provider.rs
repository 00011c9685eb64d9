//! Checks of the payments against the payment provider's own books: what nobody here recorded shows only there.

use super::options::{Expect, Options};
use super::report::{Check, Report};
use crate::db::OrderAudit;
use crate::domain::{BookedCharge, OrderId, Payment, PaymentStatus, Text};
use std::collections::BTreeMap;

/// The provider's books, by order.
pub(super) struct Books {
    of: BTreeMap<OrderId, Vec<BookedCharge>>,
}

impl Books {
    pub(super) fn of(charges: &[BookedCharge]) -> Self {
        let mut of: BTreeMap<OrderId, Vec<BookedCharge>> = BTreeMap::new();
        for charge in charges {
            of.entry(charge.order).or_default().push(*charge);
        }
        Self { of }
    }

    /// An order that is still open is passed over: its call may be on its way. What a person decided against the provider's word is
    /// told and breaks nothing.
    pub(super) fn check(&mut self, audit: &OrderAudit, options: &Options, report: &mut Report) {
        let id = audit.stored.order.id;
        let booked = self.of.remove(&id).unwrap_or_default();
        let payment = audit.payment.as_ref();
        if audit.stored.open && options.expect == Expect::Live {
            return;
        }
        report.examine(Check::Provider);
        let name = audit.stored.status.name();
        let Some(row) = payment.filter(|row| row.is_by_hand()) else {
            for wrong in contradictions(payment, &booked) {
                report.violate(Check::Provider, || format!("order {id} ({name}): {wrong}"));
            }
            return;
        };
        let reason = row.reason.as_ref().map_or("", Text::as_str);
        for wrong in taken_beside(row, &booked) {
            let text = || format!("order {id} ({name}): {wrong}; decided {reason}");
            if row.is_overruled() { report.decided(Check::Provider, text) } else { report.violate(Check::Provider, text) }
        }
        if let Some(wrong) = open_key(row, &booked) {
            report.violate(Check::Provider, || format!("order {id} ({name}): {wrong}; decided {reason}"));
        }
    }

    /// Charges of orders that do not exist. A live database may have got orders since it was looked at.
    pub(super) fn check_rest(self, options: &Options, report: &mut Report) {
        for (id, booked) in self.of {
            let taken = booked.iter().filter(|charge| charge.status == PaymentStatus::Charged).count();
            if taken > 0 && options.expect == Expect::Settled {
                report.examine(Check::Provider);
                report.violate(Check::Provider, || format!("order {id} does not exist, and the provider has {taken} charges of it"));
            }
        }
    }
}

/// A person says that money was taken or given back past the provider, or that none was taken: then none is with the provider.
fn taken_beside(row: &Payment, booked: &[BookedCharge]) -> Vec<String> {
    let said = row.status.name();
    let taken = booked.iter().filter(|charge| charge.status == PaymentStatus::Charged);
    taken.map(|charge| format!("a person says {said}, and the provider has attempt {} of {}", charge.attempt, charge.amount)).collect()
}

/// A key that the provider has never heard of may still be charged by a call that is late. What is given back was charged before.
fn open_key(row: &Payment, booked: &[BookedCharge]) -> Option<String> {
    let is_closed = booked.iter().any(|charge| charge.attempt == row.attempt) || row.status == PaymentStatus::Refunded;
    (!is_closed).then(|| format!("a person says {}, and attempt {} could still be charged", row.status.name(), row.attempt))
}

fn contradictions(payment: Option<&Payment>, booked: &[BookedCharge]) -> Vec<String> {
    let mut wrong = Vec::new();
    let is_said = |charge: &BookedCharge, status| payment.is_some_and(|row| row.status == status && row.attempt == charge.attempt);
    for charge in booked {
        let attempt = charge.attempt;
        if charge.status == PaymentStatus::Charged && !is_said(charge, PaymentStatus::Charged) {
            wrong.push(format!("attempt {attempt} of {} was charged, and no row says so", charge.amount));
        }
        if charge.payouts > 1 {
            wrong.push(format!("attempt {attempt} was given back {} times", charge.payouts));
        }
        if charge.payouts > 0 && is_said(charge, PaymentStatus::Charged) {
            wrong.push(format!("attempt {attempt} was given back, and its row says that it is charged"));
        }
    }
    let Some(row) = payment else { return wrong };
    let own = booked.iter().find(|charge| charge.attempt == row.attempt);
    match (row.status, own) {
        (PaymentStatus::Charged, Some(charge)) if charge.status == PaymentStatus::Charged && charge.amount != row.amount => {
            wrong.push(format!("{} was charged, not {}", charge.amount, row.amount));
        }
        (PaymentStatus::Charged, Some(charge)) if charge.status == PaymentStatus::Charged => {}
        (PaymentStatus::Charged, _) => {
            wrong.push(format!("attempt {} is said to be charged, and the provider knows nothing of it", row.attempt))
        }
        (PaymentStatus::Refunded, Some(charge)) if charge.payouts == 0 && charge.status == PaymentStatus::Charged => {
            wrong.push(format!("attempt {} is said to be given back, and was not", row.attempt));
        }
        (PaymentStatus::Refunded, Some(_)) => {}
        (PaymentStatus::Refunded, None) => {
            wrong.push(format!("attempt {} is said to be given back, and the provider knows nothing of it", row.attempt));
        }
        (PaymentStatus::Trying | PaymentStatus::Failed | PaymentStatus::Cancelled, _) => {}
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Money, Text, Timestamp};
    use PaymentStatus::{Cancelled, Charged, Failed, Refunded};

    fn booked(attempt: u32, minor: i64, status: PaymentStatus, payouts: u32) -> BookedCharge {
        BookedCharge { order: OrderId::from_parts(1, [1; 10]), attempt, amount: Money::from_minor(minor).unwrap(), status, payouts }
    }

    fn row(attempt: u32, status: PaymentStatus) -> Payment {
        Payment {
            order: OrderId::from_parts(1, [1; 10]),
            attempt,
            amount: Money::from_minor(500).unwrap(),
            method: Text::lossy("card"),
            status,
            reason: None,
            failures: None,
            updated_at: Timestamp(0),
        }
    }

    #[test]
    fn what_a_person_decided_is_compared_too() {
        let beside = |row: Payment, books: &[BookedCharge]| (taken_beside(&row, books).len(), open_key(&row, books).is_some());
        assert_eq!(beside(row(1, Charged), &[booked(1, 0, Cancelled, 0)]), (0, false));
        assert_eq!(beside(row(1, Charged), &[booked(1, 500, Charged, 0)]), (1, false));
        assert_eq!(beside(row(2, Charged), &[booked(1, 500, Failed, 0)]), (0, true));
        assert_eq!(beside(row(1, Cancelled), &[booked(1, 500, Charged, 0)]), (1, false));
        assert_eq!(beside(row(1, Refunded), &[booked(1, 500, Charged, 0)]), (1, false));
        assert_eq!(beside(row(1, Refunded), &[]), (0, false));
    }

    #[test]
    fn books_and_rows_are_compared_both_ways() {
        let check = |row: Option<Payment>, books: &[BookedCharge]| contradictions(row.as_ref(), books).len();
        assert_eq!(check(Some(row(1, Charged)), &[booked(1, 500, Charged, 0)]), 0);
        assert_eq!(check(Some(row(2, Charged)), &[booked(1, 500, Failed, 0), booked(2, 500, Charged, 0)]), 0);
        assert_eq!(check(Some(row(1, Refunded)), &[booked(1, 500, Refunded, 1)]), 0);
        assert_eq!(check(Some(row(1, Cancelled)), &[booked(1, 0, Cancelled, 0)]), 0);
        assert_eq!(check(None, &[]), 0);
        // A second charge that nobody recorded.
        assert_eq!(check(Some(row(1, Charged)), &[booked(1, 500, Charged, 0), booked(2, 500, Charged, 0)]), 1);
        assert_eq!(check(Some(row(1, Failed)), &[booked(1, 500, Charged, 0)]), 1);
        assert_eq!(check(None, &[booked(1, 500, Charged, 0)]), 1);
        assert_eq!(check(Some(row(1, Charged)), &[booked(1, 400, Charged, 0)]), 1);
        assert_eq!(check(Some(row(1, Charged)), &[]), 1);
        assert_eq!(check(Some(row(1, Refunded)), &[booked(1, 500, Refunded, 2)]), 1);
        assert_eq!(check(Some(row(1, Refunded)), &[booked(1, 500, Charged, 0)]), 2);
        assert_eq!(check(Some(row(1, Refunded)), &[]), 1);
        assert_eq!(check(Some(row(1, Charged)), &[booked(1, 500, Refunded, 1)]), 2);
    }
}
