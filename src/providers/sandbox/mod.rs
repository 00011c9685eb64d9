//! Stand-ins for all parties, in this process and in memory: deterministic by their seed, bounded, and fast.
//!
//! Idempotent as the traits ask. What they remember ends with the process and at a bound, so a key may be forgotten; the books err
//! on the side that lets an order come to its end. [`magic`] is the table of amounts and addresses with a meaning.

mod lane;
mod ledger;
pub mod magic;
mod recent;
#[cfg(test)]
pub(super) mod tests;

pub use lane::{FLAKY_FAILURES, SLOW_MS, UNANSWERED_MS};
pub use ledger::{ChargeAudit, ChargeState, Keyed, LedgerTotals};

use crate::config::providers::{Behaviour, SandboxSettings};
use crate::domain::{Money, NoticeId};
use crate::providers::call::{Call, ProviderError};
use crate::providers::{Charge, ChargeKey, ChargeRequest, Email, Found, Mailer, PaymentProvider, Sms, Texter, Voided};
use lane::Lane;
use ledger::{Funds, Ledger, Repeats};
use magic::Magic;
use std::collections::VecDeque;

/// One of the outside parties.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Party {
    /// The payment provider.
    Payment,
    /// The mail server.
    Email,
    /// The SMS provider.
    Sms,
}

impl Party {
    /// All.
    pub const ALL: [Self; 3] = [Self::Payment, Self::Email, Self::Sms];

    /// The name of its breaker and in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Payment => crate::providers::call::PAYMENT_BREAKER,
            Self::Email => "email",
            Self::Sms => "sms",
        }
    }
}

/// A handle on the stand-ins: makes their providers, changes their behaviour while they run, and shows what they were asked.
#[derive(Clone, Debug)]
pub struct SandboxControl {
    payment: Lane<Ledger>,
    email: Lane<Post>,
    sms: Lane<Post>,
}

/// The payment stand-in.
#[derive(Clone, Debug)]
pub struct SandboxPayment(Lane<Ledger>);

/// The mail stand-in.
#[derive(Clone, Debug)]
pub struct SandboxMailer(Lane<Post>);

/// The SMS stand-in.
#[derive(Clone, Debug)]
pub struct SandboxTexter(Lane<Post>);

impl SandboxControl {
    /// Stand-ins that remember nothing yet.
    #[must_use]
    pub fn new(settings: &SandboxSettings) -> Self {
        Self {
            payment: Lane::new(Ledger::new(settings.max_charges), settings, 0),
            email: Lane::new(Post::new(settings.max_notices), settings, 1),
            sms: Lane::new(Post::new(settings.max_notices), settings, 2),
        }
    }

    /// The payment stand-in; all share one set of books.
    #[must_use]
    pub fn payment(&self) -> SandboxPayment {
        SandboxPayment(self.payment.clone())
    }

    /// The mail stand-in.
    #[must_use]
    pub fn mailer(&self) -> SandboxMailer {
        SandboxMailer(self.email.clone())
    }

    /// The SMS stand-in.
    #[must_use]
    pub fn texter(&self) -> SandboxTexter {
        SandboxTexter(self.sms.clone())
    }

    /// How a party answers now.
    #[must_use]
    pub fn behaviour(&self, party: Party) -> Behaviour {
        match party {
            Party::Payment => self.payment.lock().behaviour,
            Party::Email => self.email.lock().behaviour,
            Party::Sms => self.sms.lock().behaviour,
        }
    }

    /// From now on a party answers so.
    pub fn behave(&self, party: Party, behaviour: Behaviour) {
        match party {
            Party::Payment => self.payment.lock().behaviour = behaviour,
            Party::Email => self.email.lock().behaviour = behaviour,
            Party::Sms => self.sms.lock().behaviour = behaviour,
        }
    }

    /// From now on amounts and addresses have a meaning, or none.
    pub fn set_magic(&self, magic: bool) {
        self.payment.lock().magic = magic;
        self.email.lock().magic = magic;
        self.sms.lock().magic = magic;
    }

    /// Every charge remembered, by key.
    #[must_use]
    pub fn charges(&self) -> Vec<ChargeAudit> {
        self.payment.lock().store.audit()
    }

    /// Sums of the payment stand-in since the start.
    #[must_use]
    pub fn payment_totals(&self) -> LedgerTotals {
        self.payment.lock().store.totals()
    }

    /// Every notice remembered and where it went, a repeat as often as it was sent; emails first.
    #[must_use]
    pub fn sent(&self) -> Vec<(NoticeId, String)> {
        let mut sent: Vec<_> = self.email.lock().store.sent.iter().cloned().collect();
        sent.extend(self.sms.lock().store.sent.iter().cloned());
        sent
    }

    /// Notices sent since the start by a party, remembered or not.
    #[must_use]
    pub fn sent_total(&self, party: Party) -> u64 {
        match party {
            Party::Payment => 0,
            Party::Email => self.email.lock().store.total,
            Party::Sms => self.sms.lock().store.total,
        }
    }
}

impl PaymentProvider for SandboxPayment {
    fn charge(&self, request: ChargeRequest) -> Call<Charge> {
        let ChargeRequest { key, amount, .. } = request;
        // A repeat gets the answer that the first call did not.
        let magic = move |books: &Ledger| match Magic::of_amount(amount) {
            meaning if meaning.is_of_refund() || books.is_known(key) => Magic::None,
            meaning => meaning,
        };
        let repeats = self.repeats();
        self.0.call(key.order.0, magic, move |books, meaning| {
            let funds = if meaning == Magic::Decline { Funds::Insufficient } else { Funds::Enough };
            books.charge(key, amount, funds, repeats)
        })
    }

    fn find(&self, key: ChargeKey) -> Call<Found> {
        self.0.call(key.order.0, |_| Magic::None, move |books, _| Ok(books.find(key)))
    }

    fn void(&self, key: ChargeKey) -> Call<Voided> {
        let repeats = self.repeats();
        self.0.call(key.order.0, |_| Magic::None, move |books, _| books.void(key, repeats))
    }

    fn refund(&self, key: ChargeKey, amount: Money) -> Call<()> {
        self.refund_as(key, amount, Keyed::Yes)
    }
}

impl SandboxPayment {
    /// Gives a charge back, for a call with or without a key of its own.
    pub(in crate::providers) fn refund_as(&self, key: ChargeKey, amount: Money, keyed: Keyed) -> Call<()> {
        let repeats = self.repeats();
        let magic = move |books: &Ledger| match Magic::of_amount(books.amount(key).unwrap_or(amount)) {
            meaning if meaning.is_of_refund() => meaning,
            _not_of_refund => Magic::None,
        };
        self.0.call(key.order.0, magic, move |books, _| books.refund(key, amount, keyed, repeats))
    }

    /// Every charge remembered, by key.
    pub(in crate::providers) fn charges(&self) -> Vec<ChargeAudit> {
        self.0.lock().store.audit()
    }

    fn repeats(&self) -> Repeats {
        if self.0.lock().behaviour.strict { Repeats::Refused } else { Repeats::Answered }
    }
}

impl Mailer for SandboxMailer {
    fn send(&self, email: Email) -> Call<()> {
        let meaning = Magic::of_email(email.to.as_str());
        self.0.call(email.id.0, move |_| meaning, move |post, meaning| post.take(meaning, email.id, email.to.as_str()))
    }
}

impl Texter for SandboxTexter {
    fn send(&self, sms: Sms) -> Call<()> {
        let meaning = Magic::of_phone(sms.to.as_str());
        self.0.call(sms.id.0, move |_| meaning, move |post, meaning| post.take(meaning, sms.id, sms.to.as_str()))
    }
}

/// The notices that one stand-in took.
#[derive(Debug)]
struct Post {
    sent: VecDeque<(NoticeId, String)>,
    max: usize,
    total: u64,
}

impl Post {
    fn new(max: usize) -> Self {
        Self { sent: VecDeque::new(), max, total: 0 }
    }

    fn take(&mut self, meaning: Magic, id: NoticeId, to: &str) -> Result<(), ProviderError> {
        if meaning == Magic::Decline {
            return Err(ProviderError::rejected("no such address"));
        }
        self.total += 1;
        if self.max > 0 {
            if self.sent.len() >= self.max {
                self.sent.pop_front();
            }
            self.sent.push_back((id, to.to_owned()));
        }
        Ok(())
    }
}
