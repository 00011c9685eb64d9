//! Dead letters that need no attention any more, because the order was cancelled or the answer came after all. Pure.

use super::dispute::{Dispute, is_disputed};
use super::park::{EXTERNAL, Effects, SHIPPED_UNPAID, numbers_of};
use super::undo::Undo;
use super::{Record, awaited, status, table};
use crate::domain::{CancelledBy, DeadLetter, DeadLetterKind, DeadLetterState, Order, Role, Timestamp};

/// The number of dead letters about goods that left unpaid.
const UNPAID: u32 = 1;

/// The dead letters about steps of the order that may be open, according to its record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Letters {
    open: Vec<u32>,
    is_cancelled: bool,
    /// The length of the history.
    told: usize,
}

impl Letters {
    /// The dead letters for this record.
    #[must_use]
    pub fn of(record: &Record) -> Self {
        let mut open: Vec<u32> = match record.parked.as_ref().map(|cause| cause.as_str()) {
            None => Vec::new(),
            Some(EXTERNAL) => Undo::ALL.map(Undo::number).to_vec(),
            Some(awaited::OVERDUE) => awaited::NUMBERS.to_vec(),
            Some(SHIPPED_UNPAID) => vec![UNPAID],
            Some(cause) => Dispute::of_cause(cause).map_or_else(|| numbers_of(cause).to_vec(), |dispute| vec![dispute.number()]),
        };
        open.extend(Dispute::ALL.into_iter().filter(|dispute| is_disputed(record, *dispute)).map(Dispute::number));
        Self { open, is_cancelled: record.facts.cancel.is_some(), told: record.history.len() }
    }

    /// Closes dead letters that were open before and have become pointless. A person's decision closes its dead letter itself.
    pub fn look(&self, order: &Order, record: &Record, now: Timestamp, effects: &mut Effects) {
        let still = Self::of(record);
        let why = match record.facts.cancel {
            Some((by, _)) if !self.is_cancelled => cancelled(by),
            Some(_) | None if table::is_dead(status(&record.facts)) => "the order has ended otherwise: nothing is left to do".to_owned(),
            Some(_) | None if self.told == record.history.len() => {
                "the order continues: what fails again opens its dead letter again".to_owned()
            }
            Some(_) | None => "the answer has come after all: nothing is left to do".to_owned(),
        };
        for number in self.open.iter().filter(|number| !still.open.contains(number)) {
            let letter = DeadLetter::about(order.id, order.shard, DeadLetterKind::Step, *number, Role::Order, "-", now);
            let is_told = effects.letters.iter().any(|told| told.id == letter.id);
            if !is_told && effects.closings.iter().all(|decided| decided.id != letter.id) {
                effects.letters.push(close(letter, &why, now));
                effects.changed = true;
            }
        }
    }
}

fn cancelled(by: CancelledBy) -> String {
    format!("the order was cancelled ({}), and what was done is undone: nothing is left to do here", by.name())
}

/// Closes the open dead letter with this id, if there is one, and records why.
pub(super) fn close(letter: DeadLetter, why: &str, now: Timestamp) -> DeadLetter {
    let letter = letter.because("superseded", why, 0);
    DeadLetter { state: DeadLetterState::Superseded, closed_at: Some(now), ..letter }
}
