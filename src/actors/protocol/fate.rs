//! What the journal says of a write.

use std::sync::Arc;

/// What became of a write: whether its transaction is stored, and if so, what the database decided about the write.
#[derive(Clone, PartialEq, Debug)]
pub enum Fate<T> {
    /// Its transaction is stored, with this outcome.
    Stored(T),
    /// Its transaction is stored, but the outcome is unknown because the reply to COMMIT was lost: load again.
    Recorded,
    /// It is known not to be stored.
    NotStored,
    /// It is known not to be stored: its shard does not belong to this node, or not any more.
    NotOurs,
    /// The database rejects this single write; the text says why.
    Refused(Arc<str>),
}

impl<T> Fate<T> {
    /// Its name in logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Stored(_) => "done",
            Self::Recorded => "recorded",
            Self::NotStored => "not-stored",
            Self::NotOurs => "not-ours",
            Self::Refused(_) => "refused",
        }
    }
}
