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
    /// How long an external role may owe an answer before its order is parked with a dead letter, in milliseconds.
    pub external_answer_ms: u64,
    /// How often the node checks which nodes are alive and which shards they own, in milliseconds.
    pub tick_ms: u64,
    /// Longest wait for work in progress in shards that are to be given away, in milliseconds.
    pub handover_ms: u64,
    /// When an order first asks again for a missing answer of another node's role, in milliseconds; then doubling.
    pub redrive_far_first_ms: u64,
    /// Longest such interval, in milliseconds.
    pub redrive_far_most_ms: u64,
    /// Longest wait for a connection to another node, in milliseconds.
    pub forward_connect_ms: u64,
    /// Longest wait for another node's answer to a forwarded request, not counting the request's own `wait`, in milliseconds.
    pub forward_limit_ms: u64,
    /// How long the signed statement of who asks is valid at the other node, in milliseconds.
    pub forward_proof_ms: u64,
    /// How long an idle connection to another node stays open, in milliseconds.
    pub forward_idle_ms: u64,
    /// Maximum idle connections kept open to each other node.
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
