//! What was found.

use super::options::{Expect, Options};
use serde::Serialize;
use std::fmt;

/// One thing that must hold.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Check {
    /// The stored status is that of the facts.
    Status,
    /// An order is open exactly while something is owed.
    Open,
    /// The record's history begins with the order and ends at its status; nothing in it contradicts itself.
    History,
    /// A parked order has an open dead letter that says why, and an open dead letter of a step has a parked order.
    Parked,
    /// Every order has come to rest.
    Settled,
    /// Every order that was answered with 202 exists.
    RecordedExist,
    /// What is held, given back or has left is what the order knows, and nothing is held in vain.
    StockRows,
    /// Exactly one charge of its total for each confirmed or shipped order, none on others.
    Charges,
    /// What another team's role took or holds for an order that goes on is what was ordered, or a person accepted it.
    Answers,
    /// What the provider has taken and given back is what the orders say, both ways.
    Provider,
    /// No notice is sent twice, and none that its order gave no reason for.
    Notices,
    /// Available, reserved and shipped make what was supplied; nothing is negative.
    StockSums,
    /// What products have reserved and shipped is what orders hold and have got.
    StockHolders,
    /// Each writer's log has every number up to its end.
    LogGaps,
    /// No event is in the log twice.
    LogOnce,
    /// Of one order no event is before its cause.
    LogOrder,
    /// Each state has its event and each event its state.
    LogStates,
    /// No row of a role is without its order.
    Orphans,
    /// The analytics numbers are what is counted from the log, and with what is not counted yet what the orders tell.
    Analytics,
}

impl Check {
    /// All, in the order of the report.
    pub const ALL: [Self; 19] = [
        Self::Status,
        Self::Open,
        Self::History,
        Self::Parked,
        Self::Settled,
        Self::RecordedExist,
        Self::StockRows,
        Self::Charges,
        Self::Answers,
        Self::Provider,
        Self::Notices,
        Self::StockSums,
        Self::StockHolders,
        Self::LogGaps,
        Self::LogOnce,
        Self::LogOrder,
        Self::LogStates,
        Self::Orphans,
        Self::Analytics,
    ];

    /// A short name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Status => "orders.status",
            Self::Open => "orders.open",
            Self::History => "orders.history",
            Self::Parked => "orders.parked",
            Self::Settled => "orders.settled",
            Self::RecordedExist => "orders.recorded",
            Self::StockRows => "stock.rows",
            Self::Charges => "money.charges",
            Self::Answers => "orders.answers",
            Self::Provider => "money.provider",
            Self::Notices => "notices.once",
            Self::StockSums => "stock.sums",
            Self::StockHolders => "stock.holders",
            Self::LogGaps => "log.gaps",
            Self::LogOnce => "log.once",
            Self::LogOrder => "log.order",
            Self::LogStates => "log.states",
            Self::Orphans => "rows.orphans",
            Self::Analytics => "analytics.numbers",
        }
    }

    /// What it says.
    #[must_use]
    pub fn about(self) -> &'static str {
        match self {
            Self::Status => "the stored status follows from the facts",
            Self::Open => "an order is open exactly while something is owed",
            Self::History => "a history begins with the order and ends at its status",
            Self::Parked => "parked orders have an open dead letter that says why, and no other orders have one of a step",
            Self::Settled => "every order is settled",
            Self::RecordedExist => "every order that was answered with 202 exists",
            Self::StockRows => "stock rows match the order; no stock is held without need",
            Self::Answers => "another team's payments and reservations match the order, or a person accepted them",
            Self::Charges => "confirmed and shipped orders have exactly one charge, of their total; others have none",
            Self::Provider => "the provider's books have one charge per paid order, one payout per refund, and nothing else",
            Self::Notices => "no notice is sent twice or without a reason",
            Self::StockSums => "available + reserved + shipped = supplied, none negative",
            Self::StockHolders => "reserved and shipped quantities of products match the orders",
            Self::LogGaps => "each writer's log has no gaps",
            Self::LogOnce => "no event is in the log twice",
            Self::LogOrder => "no event of an order precedes its cause",
            Self::LogStates => "each state has its event and each event its state",
            Self::Orphans => "no role has a row without an order",
            Self::Analytics => "the analytics figures match the log and the orders",
        }
    }
}

/// What one check found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckReport {
    /// [`Check::name`]
    pub name: &'static str,
    /// [`Check::about`]
    pub about: &'static str,
    /// How many orders, products, events, writers or numbers were looked at.
    pub examined: u64,
    /// How many violations there are.
    pub violations: u64,
    /// The first of them.
    pub shown: Vec<String>,
    /// How much is not as it should be because a person decided so, knowing it.
    pub decided: u64,
    /// The first of that.
    pub decided_shown: Vec<String>,
}

impl CheckReport {
    fn of(check: Check) -> Self {
        let (name, about) = (check.name(), check.about());
        Self { name, about, examined: 0, violations: 0, shown: Vec::new(), decided: 0, decided_shown: Vec::new() }
    }
}

/// What all checks found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// One for each check that was made.
    pub checks: Vec<CheckReport>,
    /// What the topics have told and no log has; none where they were not read. A failover has lost it: no rule is broken by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told_and_lost: Option<Vec<String>>,
    #[serde(skip)]
    shown: usize,
}

impl Report {
    pub(super) fn new(options: &Options) -> Self {
        let is_made = |check: &Check| match check {
            Check::Settled => options.expect == Expect::Settled,
            Check::RecordedExist => options.recorded.is_some(),
            Check::Provider => options.provider.is_some(),
            Check::Status
            | Check::Open
            | Check::History
            | Check::Parked
            | Check::StockRows
            | Check::Charges
            | Check::Answers
            | Check::Notices
            | Check::StockSums
            | Check::StockHolders
            | Check::LogGaps
            | Check::LogOnce
            | Check::LogOrder
            | Check::LogStates
            | Check::Orphans
            | Check::Analytics => true,
        };
        Self { checks: Check::ALL.into_iter().filter(is_made).map(CheckReport::of).collect(), told_and_lost: None, shown: options.shown }
    }

    /// Whether nothing is broken: the exit code is 0.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.violations() == 0
    }

    /// All violations.
    #[must_use]
    pub fn violations(&self) -> u64 {
        self.checks.iter().map(|check| check.violations).sum()
    }

    /// What one check found; none when it was not made.
    #[must_use]
    pub fn of(&self, check: Check) -> Option<&CheckReport> {
        self.checks.iter().find(|report| report.name == check.name())
    }

    pub(super) fn examine(&mut self, check: Check) {
        if let Some(report) = self.get(check) {
            report.examined += 1;
        }
    }

    /// The text is made only if it is shown.
    pub(super) fn violate(&mut self, check: Check, text: impl FnOnce() -> String) {
        let shown = self.shown;
        if let Some(report) = self.get(check) {
            report.violations += 1;
            if report.shown.len() < shown {
                report.shown.push(text());
            }
        }
    }

    /// No violation: a person was told, and decided it all the same.
    pub(super) fn decided(&mut self, check: Check, text: impl FnOnce() -> String) {
        let shown = self.shown;
        if let Some(report) = self.get(check) {
            report.decided += 1;
            if report.decided_shown.len() < shown {
                report.decided_shown.push(text());
            }
        }
    }

    fn get(&mut self, check: Check) -> Option<&mut CheckReport> {
        self.checks.iter_mut().find(|report| report.name == check.name())
    }
}

/// One line a check, its violations below it, the verdict last.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for check in &self.checks {
            let mark = if check.violations == 0 { "ok  " } else { "FAIL" };
            writeln!(f, "{mark} {:<24} {:>10} examined  {}", check.name, check.examined, check.about)?;
            for text in &check.shown {
                writeln!(f, "       {text}")?;
            }
            let more = check.violations.saturating_sub(check.shown.len() as u64);
            if more > 0 {
                writeln!(f, "       and {more} more")?;
            }
            for text in &check.decided_shown {
                writeln!(f, "     - {text}")?;
            }
            let more = check.decided.saturating_sub(check.decided_shown.len() as u64);
            if more > 0 {
                writeln!(f, "     - and {more} more that a person decided")?;
            }
        }
        if let Some(told) = &self.told_and_lost {
            writeln!(f, "the topics tell {} events that the database does not have", told.len())?;
            for event in told {
                writeln!(f, "     - {event}")?;
            }
        }
        match self.violations() {
            0 => writeln!(f, "clean: every invariant holds"),
            count => writeln!(f, "{count} violations"),
        }
    }
}
