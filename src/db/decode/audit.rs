//! What a check of the whole database reads, and the audit log.

use super::{Columns, StoredLine};
use crate::db::plan::StockRow;
use crate::db::read::{Correction, OrderAudit, StoredOrder};
use crate::db::rows::AuditEntry;
use crate::domain::{DeadLetter, NoticeTask, OrderId, Payment};
use std::collections::HashMap;
use std::iter::Peekable;
use std::vec::IntoIter;

/// The rows of a page of orders, apart from the orders and their reservations.
pub(in crate::db) struct AuditParts {
    payments: HashMap<OrderId, Payment>,
    notices: Peekable<IntoIter<NoticeTask>>,
    letters: HashMap<OrderId, Vec<DeadLetter>>,
}

impl AuditParts {
    /// `notices` sorted by order.
    pub(in crate::db) fn new(
        payments: HashMap<OrderId, Payment>,
        notices: Vec<NoticeTask>,
        letters: HashMap<OrderId, Vec<DeadLetter>>,
    ) -> Self {
        Self { payments, notices: notices.into_iter().peekable(), letters }
    }

    /// All that is stored of one order. Orders are asked for in the order of their ids.
    pub(in crate::db) fn of(&mut self, stored: StoredOrder, lines: Vec<StoredLine>) -> OrderAudit {
        let id = stored.order.id;
        let mut audit = OrderAudit::of(stored);
        audit.payment = self.payments.remove(&id);
        audit.letters = self.letters.remove(&id).unwrap_or_default();
        while let Some(task) = self.notices.next_if(|task| task.order == id) {
            audit.notices.push(task);
        }
        for (line, status, _) in lines {
            match status {
                StockRow::Reserved => audit.held.push(line),
                StockRow::Released => audit.released.push(line),
                StockRow::Shipped => audit.shipped.push(line),
            }
        }
        audit
    }
}

/// `at, by_whom, action, subject, note`.
pub(in crate::db) type EntryRow<C> = (<C as Columns>::Time, String, String, String, Option<String>);

/// An entry of the audit log.
pub(in crate::db) fn entry<C: Columns>((at, by, action, subject, note): EntryRow<C>) -> AuditEntry {
    AuditEntry { at: C::time(at), by, action, subject, note }
}

/// `id`, then an entry.
pub(in crate::db) type CorrectionRow<C> = (i64, <C as Columns>::Time, String, String, String, Option<String>);

/// A correction of the stock.
pub(in crate::db) fn correction<C: Columns>((number, at, by, action, subject, note): CorrectionRow<C>) -> Correction {
    Correction { number, entry: entry::<C>((at, by, action, subject, note)) }
}
