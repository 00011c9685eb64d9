//! Who runs what: the actors of a node and the [`Front`] by which the outside reaches them. actix lives here.

mod front;
mod live;

pub use front::{
    ActorCount, ActorsReport, Command, CommandError, Front, LetterAction, LetterError, NewOrder, PlaceError, Placed, WriteError,
};
pub use live::{Change, Live, Watch};
