//! The outside parties: payment provider, mail server, SMS provider. A trait, a stand-in and a real client each, behind a breaker.
//!
//! Promises: a call says whether the caller may try again, must ask first, or must give up ([`ProviderError`]). Time is tokio's, so all
//! of it runs on a paused clock. It keeps no state that an order rests on: what was asked for and answered is the caller's to store.

mod breaker;
mod breakers;
mod email;
mod guarded;
mod http;
mod paced;
mod payment;
pub mod sandbox;
pub mod server;
mod sms;
mod smtp;
mod wire;

pub use breaker::{Breaker, CallEnd, Circuit, CircuitState, Permit, SUSPECT_WAIT_MS, Snapshot, TRIAL_RETRY_MS};
pub use breakers::Breakers;
pub use email::{Email, Mailer};
pub use guarded::Guarded;
pub use http::{HttpPayment, HttpTexter};
pub use paced::Paced;
pub use payment::{Charge, ChargeKey, ChargeRequest, Found, NoChargeKey, PaymentProvider, Voided};
pub use sms::{Sms, Texter};
pub use smtp::SmtpMailer;

use crate::config::providers::{HttpParty, MailParty, ProviderSettings};
use futures_util::future::BoxFuture;
use sandbox::{Party, SandboxControl};
use std::error::Error;
use std::sync::Arc;

/// The name of the payment provider's breaker.
pub const PAYMENT_BREAKER: &str = "payment";

/// One call to a provider, under way once it is polled.
pub type Call<T> = BoxFuture<'static, Result<T, ProviderError>>;

/// Why a call has no answer, by what the caller does next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// Known not done: may be tried again.
    #[error("failed: {reason}")]
    Failed {
        /// The provider's word, or ours.
        reason: String,
        /// See [`ProviderError::away`].
        away: bool,
    },
    /// Done or not: ask by key before anything else. A notice may have been sent.
    #[error("outcome unknown: {reason}")]
    Unknown {
        /// What was lost.
        reason: String,
        /// See [`ProviderError::away`].
        away: bool,
    },
    /// Refused for its content: trying again is useless.
    #[error("rejected: {reason}")]
    Rejected {
        /// The provider's word, or ours.
        reason: String,
    },
    /// Not taken for now, for a reason of its own, though the party is well (a full mailbox, greylisting): may be tried again, later.
    #[error("not taken for now: {reason}")]
    Deferred {
        /// The provider's word.
        reason: String,
    },
    /// The party takes nothing for now (too many connections or calls): nothing was done, no attempt is burnt, nothing has failed, and
    /// whatever else is for it waits too.
    #[error("busy, next try in {retry_in_ms} ms: {reason}")]
    Busy {
        /// When to try again.
        retry_in_ms: u64,
        /// The provider's word, or ours.
        reason: String,
    },
    /// The breaker is open: nothing was sent, and no attempt is burnt.
    #[error("circuit breaker open, next try in {retry_in_ms} ms")]
    Open {
        /// When to try again.
        retry_in_ms: u64,
    },
}

impl ProviderError {
    /// Known not done.
    pub fn failed(reason: impl Into<String>) -> Self {
        Self::Failed { reason: reason.into(), away: false }
    }

    /// Done or not.
    pub fn unknown(reason: impl Into<String>) -> Self {
        Self::Unknown { reason: reason.into(), away: false }
    }

    /// The party was not reached, did not answer, or lets nobody in: as far as this call tells, that has nothing to do with what was
    /// asked.
    #[must_use]
    pub fn away(mut self) -> Self {
        if let Self::Failed { away, .. } | Self::Unknown { away, .. } = &mut self {
            *away = true;
        }
        self
    }

    /// Whether it says nothing about what was asked.
    #[must_use]
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Failed { away: true, .. } | Self::Unknown { away: true, .. })
    }

    /// Refused for its content.
    pub fn rejected(reason: impl Into<String>) -> Self {
        Self::Rejected { reason: reason.into() }
    }
}

/// A setting with which no provider can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {reason}")]
pub struct SetupError {
    /// Its name.
    pub setting: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

/// All parties as the settings have them, each behind its own breaker.
#[derive(Clone)]
pub struct Providers {
    /// Takes and gives back money.
    pub payment: Arc<dyn PaymentProvider>,
    /// Sends email.
    pub email: Arc<dyn Mailer>,
    /// Sends text messages.
    pub sms: Arc<dyn Texter>,
    /// The breakers of all three.
    pub breakers: Breakers,
    /// The stand-ins, if any party is one.
    pub sandbox: Option<SandboxControl>,
}

impl Providers {
    /// Makes them; nothing connects before it is called.
    ///
    /// # Errors
    /// A setting with which a provider cannot be made.
    pub fn from_settings(settings: &ProviderSettings) -> Result<Self, SetupError> {
        check(settings)?;
        let ProviderSettings { payment, email, sms, breaker, sandbox } = settings;
        let control = SandboxControl::new(sandbox);
        let breakers = Party::ALL.map(|party| Breaker::new(party.name(), *breaker));
        let [for_payment, for_email, for_sms] = breakers.clone();
        let stand_in = payment.provider == HttpParty::Sandbox || email.provider == MailParty::Sandbox || sms.provider == HttpParty::Sandbox;
        Ok(Self {
            payment: match payment.provider {
                HttpParty::Sandbox => Arc::new(Guarded::new(control.payment(), for_payment, payment.timeout_ms)),
                HttpParty::Http => Arc::new(Guarded::new(HttpPayment::new(payment)?, for_payment, payment.timeout_ms)),
            },
            email: match email.provider {
                MailParty::Sandbox => Arc::new(Guarded::new(control.mailer(), for_email, email.timeout_ms)),
                MailParty::Smtp => {
                    let mailer = Guarded::new(SmtpMailer::new(email)?, for_email, email.longest_ms());
                    Arc::new(Paced::new(mailer, email.max_connections, email.per_second))
                }
            },
            sms: match sms.provider {
                HttpParty::Sandbox => Arc::new(Guarded::new(control.texter(), for_sms, sms.timeout_ms)),
                HttpParty::Http => {
                    let texter = Guarded::new(HttpTexter::new(sms)?, for_sms, sms.timeout_ms);
                    Arc::new(Paced::new(texter, sms.max_calls, sms.per_second))
                }
            },
            breakers: Breakers::new(breakers.into()),
            sandbox: stand_in.then_some(control),
        })
    }
}

fn check(settings: &ProviderSettings) -> Result<(), SetupError> {
    let ProviderSettings { payment, email, sms, breaker, sandbox } = settings;
    let positive = [
        ("payment.timeout_ms", payment.timeout_ms),
        ("email.timeout_ms", email.timeout_ms),
        ("email.connect_timeout_ms", email.connect_timeout_ms),
        ("email.text_timeout_ms", email.text_timeout_ms),
        ("sms.timeout_ms", sms.timeout_ms),
        ("breaker.failures", u64::from(breaker.failures)),
        ("breaker.window_ms", breaker.window_ms),
    ];
    if let Some((setting, _)) = positive.into_iter().find(|(_, value)| *value == 0) {
        return Err(SetupError { setting, reason: "must be more than 0".to_owned() });
    }
    let shares = [
        ("sandbox.behaviour.error_rate", sandbox.behaviour.error_rate),
        ("sandbox.behaviour.timeout_rate", sandbox.behaviour.timeout_rate),
    ];
    match shares.into_iter().find(|(_, share)| !(0.0..=1.0).contains(share)) {
        Some((setting, _)) => Err(SetupError { setting, reason: "must be 0 to 1".to_owned() }),
        None => Ok(()),
    }
}

/// Names the cryptography of TLS unless the program has done so: without it a client cannot be made.
fn install_tls() {
    // Refused only when another thread has just installed one, which serves as well.
    let _installed = rustls::crypto::ring::default_provider().install_default();
}

/// An error and what lies under it, in one line.
fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        // Some errors tell their cause themselves.
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = cause.source();
    }
    text
}
