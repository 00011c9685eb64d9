//! The actions on a dead letter, and their errors.

use crate::domain::{DeadLetterState, Role, Shard};

/// An action on a dead letter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeadLetterAction {
    /// Try again: a parked order continues, a notice is sent again, a message is processed again.
    Reprocess,
    /// Skip it: a parked order continues without counting a new try; a message is skipped.
    Skip,
    /// Cancel the order and undo what was done.
    Compensate,
    /// Close it and do nothing else; refused for a parked order.
    Discard,
    /// A person did the failed step by hand, and says so in the note: the order continues, unless the payment provider contradicts that.
    Done {
        /// It counts even if the payment provider contradicts it.
        overrules: bool,
    },
    /// Accept an external role's answer although it differs from the order; the order continues.
    Accept,
}

impl DeadLetterAction {
    /// The state in which it closes a dead letter.
    pub(super) fn closes_as(self) -> DeadLetterState {
        match self {
            Self::Reprocess => DeadLetterState::Reprocessed,
            Self::Skip => DeadLetterState::Skipped,
            Self::Compensate => DeadLetterState::Compensated,
            Self::Discard => DeadLetterState::Discarded,
            Self::Done { .. } => DeadLetterState::Done,
            Self::Accept => DeadLetterState::Accepted,
        }
    }
}

/// Why an action on a dead letter was not done.
#[derive(Debug, thiserror::Error)]
pub enum DeadLetterError {
    /// There is no such dead letter: 404.
    #[error("no such dead letter")]
    NotFound,
    /// The dead letter is closed already: 409.
    #[error("the dead letter is closed")]
    Closed,
    /// The action does not apply to it: 409.
    #[error("{0}")]
    NotApplicable(&'static str),
    /// Done by hand needs a note that says what was done: 400.
    #[error("the note is missing: say what was done, and where")]
    NoNote,
    /// Its message, or the provider, failed again: 409.
    #[error("it failed again: {0}")]
    FailedAgain(String),
    /// The payment provider contradicts the person, or cannot be asked: 409, and the dead letter stays open. The text says what was changed.
    #[error("{0}; if it was done anyway, send \"override\": true")]
    Contradicted(String),
    /// Another node must do it, the owner of the order in this role: the request is forwarded there, or answered with 503.
    #[error("the order's owner is another node")]
    NotHere(Role, Shard),
    /// Not possible at the moment: 503.
    #[error("the dead letter cannot be changed at the moment")]
    Unavailable,
}
