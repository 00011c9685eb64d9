//! Who runs what: the actors of a node and the [`Front`] by which the outside reaches them. actix lives here.

mod analytics;
mod front;
mod live;
mod step_times;

pub use analytics::{Analytics, AnalyticsParts, AnalyticsSettings, Flush, Logged, Progress, Submit};
pub use front::{
    ActorCount, ActorsReport, Command, CommandError, Front, LetterAction, LetterError, NewOrder, PlaceError, Placed, WriteError,
};
pub use live::{Change, Live, Watch};
pub use step_times::{Step, StepSummary, StepTimes};
