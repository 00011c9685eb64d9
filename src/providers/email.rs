//! The trait for mail servers.

use crate::domain::{CorrelationId, NoticeId, Text};
use crate::providers::call::Call;

/// Sends email. A repeat is another email, so the caller must know what was sent.
pub trait Mailer: Send + Sync {
    /// Sends one email.
    fn send(&self, email: Email) -> Call<()>;
}

/// One email; plain text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Email {
    /// The notice's id, from which the message id is made.
    pub id: NoticeId,
    /// The recipient.
    pub to: Text<254>,
    /// Its subject.
    pub subject: String,
    /// Its text.
    pub body: String,
    /// The correlation id of the request that caused it.
    pub correlation: CorrelationId,
}
