//! What HTTP asks of the rest of the node.

use crate::domain::Timestamp;

/// What a node can be asked and set beside its actors and its database; the composition root knows who answers.
pub trait Operations: Send + Sync {
    /// The parts that the node needs, beside its actors: database, Kafka.
    fn components(&self) -> Vec<Component>;

    /// Writes the numbers of these parts into the metrics; called when somebody reads them.
    fn publish(&self);

    /// What is logged now.
    fn log_filter(&self) -> String;

    /// Sets what is logged from now on: a level or directives.
    ///
    /// # Errors
    /// Why the filter cannot be understood.
    fn set_log_filter(&self, filter: &str) -> Result<(), String>;
}

/// The health of a component.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Health {
    /// It works.
    Up,
    /// It does not, and the node works without it for now.
    Degraded,
    /// It does not, and the node is not ready.
    Down,
}

impl Health {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Up => "UP",
            Self::Degraded => "DEGRADED",
            Self::Down => "DOWN",
        }
    }
}

/// One part that a node needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Component {
    /// Its name: `database`, `kafka`.
    pub name: String,
    /// Whether it works.
    pub health: Health,
    /// What is wrong with it, or how far it is behind.
    pub detail: Option<String>,
}

/// About a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeInfo {
    /// Its name.
    pub name: String,
    /// The version of the program.
    pub version: &'static str,
    /// The commit that it was built from.
    pub commit: &'static str,
    /// The roles that it hosts.
    pub roles: Vec<String>,
    /// `sqlite`, `postgres` or `memory`.
    pub database: String,
    /// When it started.
    pub started_at: Timestamp,
}
