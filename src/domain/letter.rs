//! Dead letters: what went past its policy and waits for a person.

use super::{OrderId, Role, Shard, Text, Timestamp, ids::Derived};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A dead letter's id; derived from what it is about, so that a repeated failure is one letter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeadLetterId(pub Uuid);

/// What kind of thing waits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum DeadLetterKind {
    /// A step of a saga failed past its policy; the order is parked.
    Step,
    /// A notice was given up.
    Notice,
    /// A fact that contradicts an earlier one, or came too late; its undo, if it owes one, goes on.
    Anomaly,
    /// A message from outside that could not be processed.
    Message,
}

impl DeadLetterKind {
    /// All.
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

    /// The kind of that name.
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

/// Whether a letter still waits; the closed ones say how they were closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum DeadLetterState {
    /// Waits for a person.
    Open,
    /// Tried again.
    Reprocessed,
    /// Passed over.
    Skipped,
    /// Its order was cancelled and undone.
    Compensated,
    /// Put away, nothing done.
    Discarded,
    /// A person did what had failed, outside.
    Done,
    /// What another team's role said was accepted.
    Accepted,
    /// Nothing was left to do: its order was cancelled, or the answer came after all.
    Superseded,
}

impl DeadLetterState {
    /// All.
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

    /// The state of that name.
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
    /// What kind of thing waits.
    pub kind: DeadLetterKind,
    /// Whose work it was.
    pub role: Role,
    /// Which order it is about, if known.
    pub order: Option<OrderId>,
    /// That order's shard.
    pub shard: Option<Shard>,
    /// The step that failed: `charge`, `confirmation/EMAIL`, an event's name.
    pub step: Text<64>,
    /// A short code to group by: `provider-error`, `late-shipment`.
    pub cause: Text<64>,
    /// What exactly happened, for a person.
    pub detail: Text<1000>,
    /// How often it was tried.
    pub tries: u32,
    /// Whether it still waits.
    pub state: DeadLetterState,
    /// When it was put here.
    pub created_at: Timestamp,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
    /// Where a message came from and what it said, as JSON.
    pub origin: Option<String>,
}

impl DeadLetter {
    /// An open letter about a step of an order. `number` tells letters of one kind and order apart.
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

    /// With its cause (a short code) and detail (for a person).
    #[must_use]
    pub fn because(mut self, cause: &str, detail: &str, tries: u32) -> Self {
        self.cause = Text::lossy(cause);
        self.detail = Text::lossy(detail);
        self.tries = tries;
        self
    }
}
