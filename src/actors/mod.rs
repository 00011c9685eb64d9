//! Who runs what: the actors of a node and the [`NodeHandle`] by which the outside reaches them. actix lives here.
//!
//! A node has a few arbiters (threads); shard s lives on arbiter s modulo their number. On each arbiter, an arbiter supervisor (a plain
//! task) holds a cell: router, supervisor, stock keeper, payment gateway, notifier, and one actor per open order. One journal per database
//! and one analytics actor serve all cells.
//!
//! What is guaranteed: an event is delivered only after the transaction that holds it has committed; messages between two actors
//! keep their order; an actor handles one message at a time. What is not: any message may be lost with the actor that had it, or
//! for want of room, so nothing durable rests on a mailbox; the order actor asks again for what it is owed. Nobody awaits an
//! actor from within an actor: outcomes come back as messages.

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
pub use node::cluster::{Cluster, Owner};
pub use node::{ActorSettings, RealWorld, World};
pub use protocol::command::CommandError;
pub use protocol::hooks::{Counter, DeadLetterAgain, Logged, Repeats, Submit};
pub use protocol::kind::ActorKind;
pub use roles::analytics::{Analytics, AnalyticsParts, AnalyticsSettings, Flush, Progress};
pub use runtime::death::watch_panics;
pub use runtime::faults;
pub use runtime::invariant;
pub use runtime::live::{Change, Live, Watch};
pub use runtime::step_times::{Step, StepSummary, StepTimes};
pub use start::{Actors, Parts, Where};
