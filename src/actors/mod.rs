//! The actors of a node, and the [`NodeHandle`] through which the outside reaches them. Only this module uses actix.
//!
//! A node has a few arbiters (threads); shard s lives on arbiter s modulo their number. On each arbiter, an arbiter supervisor (a plain
//! task) holds a cell: router, supervisor, stock keeper, payment gateway, notifier, and one actor per open order. One journal per database
//! and one analytics actor serve all cells.
//!
//! Guaranteed: an event is delivered only after its transaction has committed; messages between two actors stay in sequence; an actor
//! handles one message at a time. Not guaranteed: any message may be lost with its actor or because a mailbox is full, so nothing durable
//! depends on a mailbox, and the order actor asks again for missing answers. No actor awaits another actor: outcomes come back as messages.

pub(crate) mod api;
pub(crate) mod cell;
pub(crate) mod journal;
pub(crate) mod node;
pub(crate) mod protocol;
pub(crate) mod roles;
pub(crate) mod runtime;
pub(crate) mod start;
pub(crate) mod supervision;
pub(crate) mod writer;

pub use api::breakers::BreakerTurn;
pub use api::decision::{DeadLetterAction, DeadLetterError};
pub use api::handle::{Command, NewOrder, NodeHandle, PlaceError, Placed, WriteError};
pub use api::inbound::InboundError;
pub use api::report::{ActorCount, ActorsReport};
pub use journal::submit::Submit;
pub use node::cluster::{Cluster, Owner};
pub(crate) use node::traced::sampled;
pub use node::{ActorSettings, RealWorld, World};
pub use protocol::command::CommandError;
pub use protocol::fate::Fate;
pub use protocol::hooks::{Counter, DeadLetterAgain, Logged, Repeats};
pub use protocol::kind::ActorKind;
pub use roles::analytics::{Analytics, AnalyticsParts, AnalyticsSettings, Flush, Progress};
pub use runtime::death::watch_panics;
pub use runtime::faults;
pub use runtime::invariant;
pub use runtime::live::{Change, Live, Watch};
pub use runtime::step_times::{Step, StepSummary, StepTimes};
pub use start::{Actors, Parts, Where};
pub use writer::lost::COMMITS_LOST;
