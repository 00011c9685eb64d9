//! The breakers of a node.

use super::breaker::{Breaker, Snapshot};

/// All breakers of a node.
#[derive(Clone, Debug, Default)]
pub struct Breakers(Vec<Breaker>);

impl Breakers {
    /// These.
    #[must_use]
    pub fn new(breakers: Vec<Breaker>) -> Self {
        Self(breakers)
    }

    /// What each does now.
    #[must_use]
    pub fn snapshots(&self) -> Vec<Snapshot> {
        self.0.iter().map(Breaker::snapshot).collect()
    }

    /// The breaker of that party.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Breaker> {
        self.0.iter().find(|breaker| breaker.name() == name)
    }
}
