//! Who starts the actors of an arbiter, restarts them, and brings them what is theirs.

pub(crate) mod arbiter_supervisor;
pub(crate) mod asleep;
pub(crate) mod health;
pub(crate) mod ownership;
pub(crate) mod router;
pub(crate) mod supervisor;
