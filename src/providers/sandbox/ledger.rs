//! The payment stand-in's books. No time, no faults: those are its lane's.

use super::recent::Recent;
use crate::domain::{Money, Text};
use crate::providers::call::ProviderError;
use crate::providers::{Charge, ChargeKey, Found, Voided};

/// What the books say of one key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChargeState {
    /// The money was taken.
    Approved,
    /// It was not, and never will be.
    Declined,
    /// Nothing was or will be charged.
    Voided,
    /// The money was taken and given back.
    Refunded,
    /// Given back without being taken, as far as this stand-in remembers; nothing will be charged.
    RefundedUncharged,
}

/// One key of the books.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChargeAudit {
    /// Which charge.
    pub key: ChargeKey,
    /// Of how much; zero when it was voided or refunded unseen.
    pub amount: Money,
    /// What has become of it.
    pub state: ChargeState,
    /// Charge calls that reached the books; stops at 255, as the others do.
    pub charges: u8,
    /// Void calls.
    pub voids: u8,
    /// Refund calls.
    pub refunds: u8,
    /// How often money was given back.
    pub payouts: u8,
}

/// Sums since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LedgerTotals {
    /// Charges taken.
    pub approved: u64,
    /// Charges declined.
    pub declined: u64,
    /// Keys voided before a charge.
    pub voided: u64,
    /// Charges given back.
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

/// What a call that comes again gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Repeats {
    /// The first answer.
    Answered,
    /// A refusal.
    Refused,
}

/// Whether a call names itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keyed {
    /// By a key of its own: a repeat is known as one.
    Yes,
    /// Not: where repeats are refused, each is a call of its own.
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

    /// A charge that these books do not know may be one that they have forgotten (at a restart, or for its age): refusing it would
    /// leave its order without an end, so it is given back and marked.
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
