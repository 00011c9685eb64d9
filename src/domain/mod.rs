//! The nouns of the business. Pure: no IO, no clock, no randomness; callers pass in `now` and random bits.
//!
//! Everything here is valid by construction: a [`Quantity`], a [`Money`] or an [`Order`] that exists is within its bounds, so the rest of
//! the program need not validate it again.

pub mod analytics;
mod channel;
mod email;
mod event;
mod external_ids;
mod ids;
mod letter;
mod log;
mod money;
mod notice;
mod order;
mod payment;
mod role;
mod shard;
mod stock;
mod text;
mod time;
mod topic;
mod trace;

pub use crate::domain::channel::{Channel, Channels, NoticeKind};
pub use analytics::{AnalyticsRow, Metric, Tally};
pub use email::{MailAddress, MailAddressError};
pub use event::{CancelledBy, Event, EventBody, EventKind, ReservedLine, Shortage};
pub use external_ids::ExternalIds;
pub use ids::{CorrelationId, CustomerId, EventId, NoticeId, OrderId, PaymentId, ProductId, ReservationId, WriterId};
pub use letter::{Closing, DeadLetter, DeadLetterId, DeadLetterKind, DeadLetterState};
pub use log::{LoggedEvent, Marker};
pub use money::{MAX_AMOUNT, Money, MoneyError};
pub use notice::{NoticeStatus, NoticeTask};
pub use order::{Address, Contact, MAX_ITEMS, Order, OrderError, OrderLine, OrderStatus, Quantity};
pub use payment::{BY_HAND, BookedCharge, Failures, OVERRULED, Payment, PaymentStatus};
pub use role::{Role, RoleShards, Roles};
pub use shard::{Shard, Shards, murmur2};
pub use stock::{Condition, IfMissing, Pricing, Product, ProductChange, ReserveDecision, Revision, StockChange, StockError, reserve};
pub use text::{Text, TextError};
pub use time::{Timestamp, When};
pub use topic::Topic;
pub use trace::{SpanId, TraceContext, TraceId};
