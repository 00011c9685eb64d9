//! What is asked of the journal, and what it answers: each request with the outcomes of its own group of writes.

use crate::actors::protocol::fate::Fate;
use crate::actors::runtime::invariant;
use crate::db::{Group, Outcome, Request, Write};
use futures_util::future::BoxFuture;
use std::sync::Arc;

/// What became of a write, as its group tells it. The database gives every write an outcome of its group.
pub(crate) fn of_group<O: Group>(fate: Fate<Outcome>) -> Fate<O> {
    match fate {
        Fate::Stored(outcome) => O::of(outcome).map_or_else(
            || {
                invariant::violated("a write got an outcome of another group", "journal");
                Fate::Recorded
            },
            Fate::Stored,
        ),
        Fate::Recorded => Fate::Recorded,
        Fate::NotStored => Fate::NotStored,
        Fate::NotOurs => Fate::NotOurs,
        Fate::Refused(why) => Fate::Refused(why),
    }
}

/// Submits writes to the journal and answers when their fate is known: there is no limit on the wait, because a save that may still be
/// stored later must not be counted again meanwhile. A journal that ends with the write in hand answers [`Fate::Recorded`] once its
/// writer is known to write no more.
#[derive(Clone)]
pub struct Submit(Arc<dyn Fn(Write) -> BoxFuture<'static, Fate<Outcome>> + Send + Sync>);

impl Submit {
    /// Submits by this function.
    #[must_use]
    pub fn new(submit: impl Fn(Write) -> BoxFuture<'static, Fate<Outcome>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(submit))
    }

    /// Submits at once; the future tells what became of it.
    pub fn ask<R: Request>(&self, request: R) -> impl Future<Output = Fate<R::Outcome>> + Send + use<R> {
        let fate = (self.0)(request.into_write());
        async move { of_group(fate.await) }
    }
}
