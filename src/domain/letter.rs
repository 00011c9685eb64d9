//! Dead letters: failed steps and messages that wait for a person.

use super::{Channel, NoticeKind, OrderId, Role, Shard, Text, Timestamp, ids::Derived};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use uuid::Uuid;

/// A dead letter's id. It is derived from what the dead letter is about, so that a repeated failure is a single dead letter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeadLetterId(pub Uuid);

/// The kind of thing that waits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum DeadLetterKind {
    /// A step of a saga that has used up its retries; the order is parked.
    Step,
    /// A notice that was given up.
    Notice,
    /// An answer that contradicts an earlier one, or came too late. If it must be undone, that happens by itself.
    Anomaly,
    /// A message from outside that could not be processed.
    Message,
}

impl DeadLetterKind {
    /// All values.
    pub const ALL: [Self; 4] = [Self::Step, Self::Notice, Self::Anomaly, Self::Message];

    /// The name on the wire and in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Step => "STEP",
            Self::Notice => "NOTICE",
            Self::Anomaly => "ANOMALY",
            Self::Message => "MESSAGE",
        }
    }

    /// The kind with that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    fn number(self) -> u32 {
        match self {
            Self::Step => 0,
            Self::Notice => 1,
            Self::Anomaly => 2,
            Self::Message => 3,
        }
    }
}

/// Whether a dead letter is open, or how it was closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum DeadLetterState {
    /// Waits for a person.
    Open,
    /// Tried again.
    Reprocessed,
    /// Skipped.
    Skipped,
    /// Its order was cancelled and undone.
    Compensated,
    /// Closed with nothing done.
    Discarded,
    /// A person did the failed step by hand.
    Done,
    /// Another team's answer was accepted.
    Accepted,
    /// Nothing was left to do: its order was cancelled, or the answer came after all.
    Superseded,
}

impl DeadLetterState {
    /// All values.
    pub const ALL: [Self; 8] =
        [Self::Open, Self::Reprocessed, Self::Skipped, Self::Compensated, Self::Discarded, Self::Done, Self::Accepted, Self::Superseded];

    /// The name on the wire and in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "OPEN",
            Self::Reprocessed => "REPROCESSED",
            Self::Skipped => "SKIPPED",
            Self::Compensated => "COMPENSATED",
            Self::Discarded => "DISCARDED",
            Self::Done => "DONE",
            Self::Accepted => "ACCEPTED",
            Self::Superseded => "SUPERSEDED",
        }
    }

    /// The state with that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// One dead letter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeadLetter {
    /// Its id.
    pub id: DeadLetterId,
    /// The kind of thing that waits.
    pub kind: DeadLetterKind,
    /// The role whose work failed.
    pub role: Role,
    /// The order it is about, if known.
    pub order: Option<OrderId>,
    /// That order's shard.
    pub shard: Option<Shard>,
    /// The step that failed: `charge`, `confirmation/EMAIL`, an event's name.
    pub step: Text<64>,
    /// A short code to group by: `provider-error`, `late-shipment`.
    pub cause: Text<64>,
    /// What happened in detail, for a person.
    pub detail: Text<1000>,
    /// Number of tries.
    pub tries: u32,
    /// Whether it is open, or how it was closed.
    pub state: DeadLetterState,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
    /// Where the message came from, and its content, as JSON.
    pub origin: Option<String>,
}

impl DeadLetter {
    /// An open dead letter about a step of an order. `number` distinguishes dead letters of the same kind and order.
    #[must_use]
    pub fn about(order: OrderId, shard: Shard, kind: DeadLetterKind, number: u32, role: Role, step: &str, now: Timestamp) -> Self {
        Self {
            id: DeadLetterId(order.derive(Derived::Event(0x4000_0000 | (kind.number() << 16) | number))),
            kind,
            role,
            order: Some(order),
            shard: Some(shard),
            step: Text::lossy(step),
            cause: Text::lossy("unknown"),
            detail: Text::lossy("-"),
            tries: 0,
            state: DeadLetterState::Open,
            created_at: now,
            closed_at: None,
            origin: None,
        }
    }

    /// An open dead letter about a notice of an order.
    #[must_use]
    pub fn about_notice((order, shard): (OrderId, Shard), kind: NoticeKind, channel: Channel, now: Timestamp) -> Self {
        let number = u32::from(kind.number()) * 2 + u32::from(channel.number());
        let step = format!("{}/{}", kind.name(), channel.name());
        Self::about(order, shard, DeadLetterKind::Notice, number, Role::Notification, &step, now)
    }

    /// Sets its cause (a short code), its detail (for a person) and the number of tries.
    #[must_use]
    pub fn because(mut self, cause: &str, detail: &str, tries: u32) -> Self {
        self.cause = Text::lossy(cause);
        self.detail = Text::lossy(detail);
        self.tries = tries;
        self
    }

    /// These dead letters by their orders, in the same sequence. Those of no order are left out.
    #[must_use]
    pub fn by_order(letters: Vec<Self>) -> HashMap<OrderId, Vec<Self>> {
        let mut by_order: HashMap<OrderId, Vec<Self>> = HashMap::new();
        for letter in letters {
            if let Some(order) = letter.order {
                by_order.entry(order).or_default().push(letter);
            }
        }
        by_order
    }
}

/// A person's decision that closes a dead letter, and is audited.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Closing {
    /// The dead letter.
    pub id: DeadLetterId,
    /// The state in which it is closed.
    pub state: DeadLetterState,
    /// Who closed it.
    pub by: Text<100>,
    /// The reason given.
    pub note: Option<Text<200>>,
    /// What the payment provider says, if the person overrides it; audited too.
    pub overrules: Option<String>,
    /// When.
    pub at: Timestamp,
}
