//! What a person can decide about a dead letter, and why it is not done.

use crate::domain::{Role, Shard};

/// What a person does with a dead letter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeadLetterAction {
    /// Try again: a parked order is driven on, a notice is sent again, a message is taken again.
    Reprocess,
    /// Pass over it: a parked order is driven on without a new try being counted; a message is passed over.
    Skip,
    /// Cancel the order and undo what was done.
    Compensate,
    /// Put it away; refused for a parked order.
    Discard,
    /// A person has done outside what had failed, and says so in the note: the order goes on, unless the payment provider says otherwise.
    Done,
    /// The same, whatever the payment provider says.
    Overrule,
    /// The order goes on with what another team's role said, though it is not what was ordered.
    Accept,
}

/// Why an action on a letter was not done.
#[derive(Debug, thiserror::Error)]
pub enum DeadLetterError {
    /// No such letter: 404.
    #[error("no such dead letter")]
    NotFound,
    /// It is closed already: 409.
    #[error("the dead letter is closed")]
    Closed,
    /// The action makes no sense for it: 409.
    #[error("{0}")]
    NotApplicable(&'static str),
    /// Done by hand needs a note that says what was done: 400.
    #[error("the note is missing: say what was done, and where")]
    NoNote,
    /// Its message, or the provider, failed again: 409.
    #[error("it failed again: {0}")]
    FailedAgain(String),
    /// What a person says was done, the payment provider says was not, or it cannot be asked: 409, and the letter stays open.
    #[error("{0}; nothing was changed: if it was done all the same, say so with \"override\": true")]
    Contradicted(String),
    /// What it asks is another node's to do, the owner of the order in this role: it takes the action, or 503.
    #[error("the order's owner is another node")]
    NotHere(Role, Shard),
    /// Not now: 503.
    #[error("the dead letter cannot be changed at the moment")]
    Unavailable,
}
