//! The books of the payment stand-in. Time and faults belong to its lane.

use super::recent::Recent;
use crate::domain::{Money, Text};
use crate::providers::call::ProviderError;
use crate::providers::{Charge, ChargeKey, Found, Voided};

/// The state of one key in the books.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChargeState {
    /// The money was taken.
    Approved,
    /// The money was not taken, and never will be under this key.
    Declined,
    /// Nothing was or will be charged.
    Voided,
    /// The money was taken and refunded.
    Refunded,
    /// Refunded without being taken, as far as this stand-in remembers; nothing will be charged.
    RefundedUncharged,
}

/// One key in the books.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChargeAudit {
    /// The charge's key.
    pub key: ChargeKey,
    /// The amount; zero if it was voided or refunded without a known charge.
    pub amount: Money,
    /// Its state.
    pub state: ChargeState,
    /// Charge calls that reached the books; like the other counts, it stops at 255.
    pub charges: u8,
    /// Void calls.
    pub voids: u8,
    /// Refund calls.
    pub refunds: u8,
    /// How often money was paid out in refunds.
    pub payouts: u8,
}

/// Totals since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LedgerTotals {
    /// Charges taken.
    pub approved: u64,
    /// Charges declined.
    pub declined: u64,
    /// Keys voided before a charge.
    pub voided: u64,
    /// Charges refunded.
    pub refunded: u64,
}

/// The books.
#[derive(Debug)]
pub(super) struct Ledger {
    entries: Recent<ChargeKey, Entry>,
    totals: LedgerTotals,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    amount: Money,
    state: ChargeState,
    charges: u8,
    voids: u8,
    refunds: u8,
    payouts: u8,
}

impl Entry {
    fn new(amount: Money, state: ChargeState) -> Self {
        Self { amount, state, charges: 0, voids: 0, refunds: 0, payouts: 0 }
    }
}

/// The answer to a repeated call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Repeats {
    /// The first answer.
    Answered,
    /// A refusal.
    Refused,
}

/// Whether a call carries a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keyed {
    /// Yes: a repeat is recognised.
    Yes,
    /// No: if repeats are refused, each call counts as a new one.
    No,
}

/// Whether the account has the money.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Funds {
    Enough,
    Insufficient,
}

impl Ledger {
    pub(super) fn new(max_charges: usize) -> Self {
        Self { entries: Recent::new(max_charges), totals: LedgerTotals::default() }
    }

    pub(super) fn charge(&mut self, key: ChargeKey, amount: Money, funds: Funds, repeats: Repeats) -> Result<Charge, ProviderError> {
        let first = match funds {
            Funds::Enough => ChargeState::Approved,
            Funds::Insufficient => ChargeState::Declined,
        };
        let entry = self.entries.entry(key, Entry::new(amount, first));
        if entry.charges == 0 {
            match entry.state {
                ChargeState::Approved => self.totals.approved += 1,
                ChargeState::Declined => self.totals.declined += 1,
                ChargeState::Voided | ChargeState::Refunded | ChargeState::RefundedUncharged => {}
            }
        }
        entry.charges = entry.charges.saturating_add(1);
        if entry.charges > 1 && repeats == Repeats::Refused {
            return Err(ProviderError::rejected("this key was used before"));
        }
        match entry.state {
            ChargeState::Approved | ChargeState::Refunded if entry.amount != amount => {
                Err(ProviderError::rejected("this key was used for another amount"))
            }
            ChargeState::Approved | ChargeState::Refunded => Ok(Charge::Approved),
            ChargeState::Declined => Ok(Charge::Declined { reason: insufficient_funds() }),
            ChargeState::Voided => Ok(Charge::Declined { reason: Text::lossy("voided") }),
            ChargeState::RefundedUncharged => Ok(Charge::Declined { reason: Text::lossy("refunded before") }),
        }
    }

    pub(super) fn find(&self, key: ChargeKey) -> Found {
        match self.entries.get(key).map(|entry| entry.state) {
            Some(ChargeState::Approved) => Found::Approved { refunded: false },
            Some(ChargeState::Refunded) => Found::Approved { refunded: true },
            Some(ChargeState::Declined) => Found::Declined { reason: insufficient_funds() },
            Some(ChargeState::Voided | ChargeState::RefundedUncharged) => Found::Voided,
            None => Found::NotFound,
        }
    }

    pub(super) fn void(&mut self, key: ChargeKey, repeats: Repeats) -> Result<Voided, ProviderError> {
        let entry = self.entries.entry(key, Entry::new(Money::ZERO, ChargeState::Voided));
        if entry.state == ChargeState::Voided && entry.voids == 0 {
            self.totals.voided += 1;
        }
        entry.voids = entry.voids.saturating_add(1);
        if entry.voids > 1 && repeats == Repeats::Refused {
            return Err(ProviderError::rejected("already voided"));
        }
        Ok(match entry.state {
            ChargeState::Approved | ChargeState::Refunded => Voided::AlreadyCharged,
            ChargeState::Declined | ChargeState::Voided | ChargeState::RefundedUncharged => Voided::Voided,
        })
    }

    /// Refunds a charge. One that these books do not know may be one that they have forgotten (at a restart, or because of its age).
    /// Refusing it would leave its order stuck, so it is refunded and marked.
    pub(super) fn refund(&mut self, key: ChargeKey, amount: Money, keyed: Keyed, repeats: Repeats) -> Result<(), ProviderError> {
        let entry = self.entries.entry(key, Entry::new(Money::ZERO, ChargeState::RefundedUncharged));
        entry.refunds = entry.refunds.saturating_add(1);
        if entry.refunds > 1 && entry.payouts > 0 && repeats == Repeats::Refused {
            if keyed == Keyed::Yes {
                return Err(ProviderError::rejected("already refunded"));
            }
            entry.payouts = entry.payouts.saturating_add(1);
            return Ok(());
        }
        match entry.state {
            ChargeState::Approved if entry.amount != amount => Err(ProviderError::rejected("the charge was of another amount")),
            ChargeState::Approved => {
                entry.state = ChargeState::Refunded;
                entry.payouts = 1;
                self.totals.refunded += 1;
                Ok(())
            }
            ChargeState::RefundedUncharged => {
                entry.payouts = 1;
                Ok(())
            }
            ChargeState::Refunded => Ok(()),
            ChargeState::Declined | ChargeState::Voided => Err(ProviderError::rejected("nothing was charged")),
        }
    }

    pub(super) fn is_known(&self, key: ChargeKey) -> bool {
        self.entries.get(key).is_some()
    }

    pub(super) fn amount(&self, key: ChargeKey) -> Option<Money> {
        self.entries.get(key).map(|entry| entry.amount)
    }

    pub(super) fn totals(&self) -> LedgerTotals {
        self.totals
    }

    pub(super) fn audit(&self) -> Vec<ChargeAudit> {
        let audit = |(key, entry): (ChargeKey, Entry)| {
            let Entry { amount, state, charges, voids, refunds, payouts } = entry;
            ChargeAudit { key, amount, state, charges, voids, refunds, payouts }
        };
        let mut all: Vec<_> = self.entries.iter().map(audit).collect();
        all.sort_unstable_by_key(|charge| charge.key);
        all
    }
}

fn insufficient_funds() -> Text<200> {
    Text::lossy("insufficient funds")
}
