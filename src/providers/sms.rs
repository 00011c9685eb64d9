//! What is asked of an SMS provider.

use crate::domain::{CorrelationId, NoticeId, Text};
use crate::providers::call::Call;

/// Sends text messages. A repeat is another message: whoever calls knows what was sent.
pub trait Texter: Send + Sync {
    /// MessageProcessor one message over.
    fn send(&self, sms: Sms) -> Call<()>;
}

/// One text message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sms {
    /// The notice; sent along as the idempotency key.
    pub id: NoticeId,
    /// Where it goes.
    pub to: Text<32>,
    /// Its text.
    pub body: String,
    /// The request that it goes back to.
    pub correlation: CorrelationId,
}
