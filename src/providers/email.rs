//! What is asked of a mail server.

use crate::domain::{CorrelationId, NoticeId, Text};
use crate::providers::call::Call;

/// Sends email. A repeat is another email: whoever calls knows what was sent.
pub trait Mailer: Send + Sync {
    /// MessageProcessor one email over.
    fn send(&self, email: Email) -> Call<()>;
}

/// One email; plain text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Email {
    /// The notice; the email's message id is made of it.
    pub id: NoticeId,
    /// Where it goes.
    pub to: Text<254>,
    /// Its subject.
    pub subject: String,
    /// Its text.
    pub body: String,
    /// The request that it goes back to.
    pub correlation: CorrelationId,
}
