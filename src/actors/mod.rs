//! Who runs what: the actors of a node and the [`Front`] by which the outside reaches them. actix lives here.
//!
//! A node has a few arbiters (threads); shard s lives on arbiter s modulo their number. On each arbiter a keeper (a plain task)
//! holds a cell: router, supervisor, stock keeper, payment gateway, notifier, and one actor per open order. One journal per
//! database and one analytics actor serve all cells.
//!
//! What is guaranteed: an event is delivered only after the transaction that holds it has committed; messages between two actors
//! keep their order; an actor handles one message at a time. What is not: any message may be lost with the actor that had it, or
//! for want of room, so nothing durable rests on a mailbox; the order actor asks again for what it is owed. Nobody awaits an
//! actor from within an actor: outcomes come back as messages.

mod acknowledged;
mod analytics;
mod asleep;
mod breakers;
mod cell;
mod check;
mod cluster;
mod courses;
mod death;
mod due;
pub mod faults;
mod front;
mod gathered;
mod group_commit;
mod hear;
mod inbox;
mod journal;
mod keeper;
mod letters;
mod live;
mod messages;
mod node;
mod notice_board;
mod notice_course;
mod notifier;
mod order;
mod ownership;
mod payment_course;
mod payment_gateway;
mod payment_trouble;
mod reading;
mod recent;
mod report;
mod retention;
mod router;
mod slow_commit;
mod start;
mod step_times;
mod stock_keeper;
mod stray;
mod supervisor;

pub use analytics::{Analytics, AnalyticsParts, AnalyticsSettings, Flush, Logged, Progress, Submit};
pub use breakers::BreakerTurn;
pub use cluster::{Cluster, Owner};
pub use death::watch_panics;
pub use front::{Command, CommandError, Front, NewOrder, PlaceError, Placed, WriteError};
pub use group_commit::Counter;
pub use hear::HearError;
pub use letters::{LetterAction, LetterAgain, LetterError};
pub use live::{Change, Live, Watch};
pub use node::{ActorKind, ActorSettings, RealWorld, Repeats, World};
pub use report::{ActorCount, ActorsReport};
pub use start::{Actors, Parts, Where};
pub use step_times::{Step, StepSummary, StepTimes};
