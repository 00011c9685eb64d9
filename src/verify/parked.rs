//! Parked orders and the dead letters about steps, against each other: what is not driven on must be seen by a person, and what a person is
//! asked about must be waiting for that.
//!
//! An order that is parked has an open dead letter of that cause. It may be closed a moment earlier: a payment that is decided, by a person
//! or by the step's next owner, closes it, and the order hears of the payment after that.
//!
//! An open dead letter about a step has an order that is parked for its cause, or whose answer is disputed, except for
//!
//! - stray money, on which no step of the order depends;
//! - letters of earlier versions, which had one number for all steps of a role: only a person closes those;
//! - letters of a role on another node, until the order has heard of them. At rest it has.

use super::options::Expect;
use crate::db::OrderAudit;
use crate::domain::DeadLetter;
use crate::saga::dispute::{Dispute, is_disputed};
use crate::saga::park::{PROVIDER, WRITE_REFUSED, is_of_old_form, is_of_strays};

/// What is broken, if anything. `is_told` says that a role on another node may have told the order to park.
pub(super) fn broken(audit: &OrderAudit, expect: Expect, is_told: bool) -> Option<String> {
    if let Some(cause) = audit.stored.record.parked.as_ref()
        && !audit.letters.iter().any(|letter| letter.cause == *cause && !is_stray(letter))
        && !is_answered(audit, cause.as_str())
    {
        return Some(format!("parked: {cause}, and no open dead letter says so"));
    }
    if is_told && expect == Expect::Live {
        return None;
    }
    let idle = audit.letters.iter().find(|letter| !has_parked(audit, letter))?;
    let parked = audit.stored.record.parked.as_ref().map_or_else(|| "not parked".to_owned(), |cause| format!("parked: {cause}"));
    Some(format!("{parked}, and dead letter {} ({}, {}) is open", idle.id.0, idle.step, idle.cause))
}

fn has_parked(audit: &OrderAudit, letter: &DeadLetter) -> bool {
    let record = &audit.stored.record;
    let is_disputed = Dispute::of_cause(letter.cause.as_str()).is_some_and(|dispute| is_disputed(record, dispute));
    is_disputed || is_of_strays(letter) || is_of_old_form(letter) || record.parked.as_ref() == Some(&letter.cause)
}

fn is_stray(letter: &DeadLetter) -> bool {
    is_of_strays(letter) && !is_of_old_form(letter)
}

/// Whether the payment's row has the answer that unparks the order.
fn is_answered(audit: &OrderAudit, cause: &str) -> bool {
    let is_news = audit.payment.as_ref().is_some_and(|payment| audit.stored.record.facts.misses(payment.status));
    is_news && [PROVIDER, WRITE_REFUSED].contains(&cause)
}
