//! A call to a provider, and why it has no answer.

use futures_util::future::BoxFuture;
use std::error::Error;

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

    /// The party answers others, so it has to do with what was asked.
    #[must_use]
    pub fn not_away(mut self) -> Self {
        if let Self::Failed { away, .. } | Self::Unknown { away, .. } = &mut self {
            *away = false;
        }
        self
    }

    /// Without these addresses of the recipient: parties like to repeat them in their answer; reasons are stored and logged, addresses are
    /// not.
    #[must_use]
    pub fn without(mut self, addresses: &[&str]) -> Self {
        match &mut self {
            Self::Failed { reason, .. }
            | Self::Unknown { reason, .. }
            | Self::Rejected { reason }
            | Self::Deferred { reason }
            | Self::Busy { reason, .. } => {
                for address in addresses.iter().filter(|address| !address.is_empty()) {
                    *reason = reason.replace(address, "the recipient");
                }
            }
            Self::Open { .. } => {}
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

/// Names the cryptography of TLS unless the program has done so: without it a client cannot be made.
pub(super) fn install_tls() {
    // Refused only when another thread has just installed one, which serves as well.
    let _installed = rustls::crypto::ring::default_provider().install_default();
}

/// An error and what lies under it, in one line.
pub(super) fn error_chain(error: &dyn Error) -> String {
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
