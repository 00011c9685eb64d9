//! The outside parties: payment provider, mail server, SMS provider. A trait, a stand-in and a real client each, behind a breaker.
//!
//! Promises: a call says whether the caller may try again, must ask first, or must give up ([`ProviderError`]). Time is tokio's, so all
//! of it runs on a paused clock. It keeps no state that an order rests on: what was asked for and answered is the caller's to store.

mod email;
mod payment;
mod sms;

pub use email::{Email, Mailer};
pub use payment::{Charge, ChargeKey, ChargeRequest, Found, NoChargeKey, PaymentProvider, Voided};
pub use sms::{Sms, Texter};

use futures_util::future::BoxFuture;

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
    },
    /// Done or not: ask by key before anything else. A notice may have been sent.
    #[error("outcome unknown: {reason}")]
    Unknown {
        /// What was lost.
        reason: String,
    },
    /// Refused for its content: trying again is useless.
    #[error("rejected: {reason}")]
    Rejected {
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
        Self::Failed { reason: reason.into() }
    }

    /// Done or not.
    pub fn unknown(reason: impl Into<String>) -> Self {
        Self::Unknown { reason: reason.into() }
    }

    /// Refused for its content.
    pub fn rejected(reason: impl Into<String>) -> Self {
        Self::Rejected { reason: reason.into() }
    }
}
