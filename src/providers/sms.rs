//! The trait for SMS providers.

use crate::domain::{CorrelationId, NoticeId, Text};
use crate::providers::call::Call;

/// Sends text messages. A repeat is another message, so the caller must know what was sent.
pub trait Texter: Send + Sync {
    /// Sends one message.
    fn send(&self, sms: Sms) -> Call<()>;
}

/// One text message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sms {
    /// The notice's id, which is also the idempotency key.
    pub id: NoticeId,
    /// The recipient.
    pub to: Text<32>,
    /// Its text.
    pub body: String,
    /// The correlation id of the request that caused it.
    pub correlation: CorrelationId,
}
