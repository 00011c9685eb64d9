//! Stand-ins for all providers, in this process and in memory: deterministic for a given seed, bounded, and fast.
//!
//! They are idempotent, as the traits require. Their memory ends with the process and is bounded, so a key may be forgotten; in that case
//! the books answer so that the order can end. [`magic`] has the table of special amounts and addresses.

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

/// A provider outside ordermill.
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

    /// Its name for breakers and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Payment => crate::providers::call::PAYMENT_BREAKER,
            Self::Email => "email",
            Self::Sms => "sms",
        }
    }
}

/// A handle to the stand-ins: creates their providers, changes their behaviour while they run, and shows the calls they received.
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

    /// A party's current behaviour.
    #[must_use]
    pub fn behaviour(&self, party: Party) -> Behaviour {
        match party {
            Party::Payment => self.payment.lock().behaviour,
            Party::Email => self.email.lock().behaviour,
            Party::Sms => self.sms.lock().behaviour,
        }
    }

    /// Sets a party's behaviour.
    pub fn behave(&self, party: Party, behaviour: Behaviour) {
        match party {
            Party::Payment => self.payment.lock().behaviour = behaviour,
            Party::Email => self.email.lock().behaviour = behaviour,
            Party::Sms => self.sms.lock().behaviour = behaviour,
        }
    }

    /// Turns special amounts and addresses on or off.
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

    /// Totals of the payment stand-in since the start.
    #[must_use]
    pub fn payment_totals(&self) -> LedgerTotals {
        self.payment.lock().store.totals()
    }

    /// Every remembered notice with its address, once for each time it was sent; emails first.
    #[must_use]
    pub fn sent(&self) -> Vec<(NoticeId, String)> {
        let mut sent: Vec<_> = self.email.lock().store.sent.iter().cloned().collect();
        sent.extend(self.sms.lock().store.sent.iter().cloned());
        sent
    }

    /// Number of notices a party has sent since the start, remembered or not.
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
    /// Refunds a charge, for a call with or without a key.
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
