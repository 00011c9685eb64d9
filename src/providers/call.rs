//! Calls to a provider, and their errors.

use futures_util::future::BoxFuture;
use std::error::Error;

/// The name of the payment provider's breaker.
pub const PAYMENT_BREAKER: &str = "payment";

/// One call to a provider; it starts when it is polled.
pub type Call<T> = BoxFuture<'static, Result<T, ProviderError>>;

/// Why a call has no answer; the variants differ in what the caller does next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// Known not done: may be tried again.
    #[error("failed: {reason}")]
    Failed {
        /// The provider's reason, or ours.
        reason: String,
        /// See [`ProviderError::away`].
        away: bool,
    },
    /// It may have been done: ask about the key before anything else. A notice may have been sent.
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
        /// The provider's reason, or ours.
        reason: String,
    },
    /// Not accepted for now, for a reason of the call itself although the party works (a full mailbox, greylisting): may be tried again
    /// later.
    #[error("not taken for now: {reason}")]
    Deferred {
        /// The provider's reason.
        reason: String,
    },
    /// The party accepts nothing for now (too many connections or calls): nothing was done, it does not count as a try or a failure, and
    /// other calls wait too.
    #[error("busy, next try in {retry_in_ms} ms: {reason}")]
    Busy {
        /// When to try again.
        retry_in_ms: u64,
        /// The provider's reason, or ours.
        reason: String,
    },
    /// The breaker is open: nothing was sent, and it does not count as a try.
    #[error("circuit breaker open, next try in {retry_in_ms} ms")]
    Open {
        /// When to try again.
        retry_in_ms: u64,
    },
}

impl ProviderError {
    /// An error of a call that was known not to be done.
    pub fn failed(reason: impl Into<String>) -> Self {
        Self::Failed { reason: reason.into(), away: false }
    }

    /// An error of a call that may have been done.
    pub fn unknown(reason: impl Into<String>) -> Self {
        Self::Unknown { reason: reason.into(), away: false }
    }

    /// Marks the error as one that says nothing about the request: the party was not reached, did not answer, or lets nobody in.
    #[must_use]
    pub fn away(mut self) -> Self {
        if let Self::Failed { away, .. } | Self::Unknown { away, .. } = &mut self {
            *away = true;
        }
        self
    }

    /// Removes that mark: the party answers others, so the failure may be due to the request.
    #[must_use]
    pub fn not_away(mut self) -> Self {
        if let Self::Failed { away, .. } | Self::Unknown { away, .. } = &mut self {
            *away = false;
        }
        self
    }

    /// Removes these addresses of the recipient from the reason. Parties often repeat them in their answers; reasons are stored and logged,
    /// addresses must not be.
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

    /// Whether the error says nothing about the request; see [`ProviderError::away`].
    #[must_use]
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Failed { away: true, .. } | Self::Unknown { away: true, .. })
    }

    /// An error of a call that was refused for its content.
    pub fn rejected(reason: impl Into<String>) -> Self {
        Self::Rejected { reason: reason.into() }
    }
}

/// A setting with which a provider cannot be created.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {reason}")]
pub struct SetupError {
    /// Its name.
    pub setting: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

/// Installs the cryptography provider for TLS, unless the program has done so; without one, no client can be created.
pub(super) fn install_tls() {
    // Refused only when another thread has just installed one, which serves as well.
    let _installed = rustls::crypto::ring::default_provider().install_default();
}

/// An error and its causes, in one line.
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
