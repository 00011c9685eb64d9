//! Bugs on purpose, which the simulation must find. No program has them: the feature `plants` is switched on for tests alone, by the
//! package's dependency on itself. Whatever names a plant stands behind that feature; `tests/layering` checks this, and so does a build
//! without it.

/// A bug on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plant {
    /// An order is answered as stored before it is.
    AnswersBeforeCommit,
    /// A release of role shards does not close the journal to the writes that come after it.
    KeepsQueueAtHandOver,
    /// Shards are taken from writers that are alive.
    TakesFromTheLiving,
    /// Others are taken over though they had no time to renew their leases.
    WaitsForNoLease,
    /// A node whose writer was ended keeps its actors and what they rest on.
    LivesOnFenced,
    /// An order takes whatever another team's role says for a fact.
    BelievesEveryAnswer,
    /// The memory store overlooks the outcome row of a release, so that it is done again.
    ReleasesTwice,
    /// A batch is decided as if no idempotency key were stored.
    ForgetsKeys,
    /// A publisher is held up by no marker.
    PassesMarkers,
    /// A consumer counts an offset as done when it takes the message.
    CommitsWhatIsUnderWay,
}
