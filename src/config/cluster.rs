//! Which part of the work is this node's, and how it lives with the other nodes.

use crate::domain::{Role, Roles};
use serde::{Deserialize, Serialize};

/// Which roles this node hosts, and how it lives with the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterSettings {
    /// The roles that this node hosts.
    pub roles: Vec<Role>,
    /// The roles that another team runs.
    pub external_roles: Vec<Role>,
    /// How long another team's role may owe an answer before its order is parked with a dead letter, in milliseconds.
    pub external_answer_ms: u64,
    /// How often the node looks who lives and who owns what, in milliseconds.
    pub tick_ms: u64,
    /// Longest wait for the end of what is under way in shards that are to be given away, in milliseconds.
    pub handover_ms: u64,
    /// First time that a missing answer of another node's role is asked for again, in milliseconds; then doubling.
    pub redrive_far_first_ms: u64,
    /// Longest time between two such questions, in milliseconds.
    pub redrive_far_most_ms: u64,
    /// Longest wait for a connection to another node, in milliseconds.
    pub forward_connect_ms: u64,
    /// Longest wait for another node's answer to a forwarded request, in milliseconds, beside what the request itself waits for.
    pub forward_limit_ms: u64,
    /// How long a node's word about who asks holds at the other node, in milliseconds.
    pub forward_proof_ms: u64,
    /// How long an unused connection to another node stays open, in milliseconds.
    pub forward_idle_ms: u64,
    /// Unused connections to each other node that stay open.
    pub forward_idle_connections: usize,
}

impl Default for ClusterSettings {
    fn default() -> Self {
        Self {
            roles: Role::ALL.to_vec(),
            external_roles: Vec::new(),
            external_answer_ms: 3_600_000,
            tick_ms: 500,
            handover_ms: 5_000,
            redrive_far_first_ms: 30_000,
            redrive_far_most_ms: 600_000,
            forward_connect_ms: 1_000,
            forward_limit_ms: 12_000,
            forward_proof_ms: 60_000,
            forward_idle_ms: 15_000,
            forward_idle_connections: 64,
        }
    }
}

impl ClusterSettings {
    /// The roles that this node hosts.
    #[must_use]
    pub fn hosted(&self) -> Roles {
        self.roles.iter().copied().collect()
    }

    /// The roles that another team runs.
    #[must_use]
    pub fn external(&self) -> Roles {
        self.external_roles.iter().copied().collect()
    }

    /// The roles that other nodes of ours host, and this one does not.
    #[must_use]
    pub fn elsewhere(&self) -> Roles {
        self.hosted().iter().chain(self.external().iter()).fold(Roles::ALL, Roles::without)
    }
}
