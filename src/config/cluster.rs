//! Which part of the work is this node's, and how it lives with the other nodes.

use super::{Settings, StoreUrl};
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

fn names(roles: Roles) -> String {
    roles.iter().map(Role::name).collect::<Vec<_>>().join(", ")
}

pub(super) fn check(settings: &Settings, problems: &mut Vec<String>) {
    let Settings { cluster, server, store, order, .. } = settings;
    let mut need = |holds: bool, problem: &str| {
        if !holds {
            problems.push(problem.to_owned());
        }
    };
    check_roles(settings, &mut need);
    need(cluster.external_answer_ms > 0, "cluster.external_answer_ms must be at least 1");
    need(cluster.tick_ms > 0, "cluster.tick_ms must be at least 1");
    need(cluster.tick_ms <= store.lease_ms / 2, "cluster.tick_ms must be at most half of store.lease_ms");
    need(cluster.handover_ms > 0, "cluster.handover_ms must be at least 1");
    need(cluster.redrive_far_first_ms > 0, "cluster.redrive_far_first_ms must be at least 1");
    need(
        cluster.redrive_far_first_ms <= cluster.redrive_far_most_ms,
        "cluster.redrive_far_first_ms must not be above cluster.redrive_far_most_ms",
    );
    need(cluster.forward_connect_ms > 0, "cluster.forward_connect_ms must be at least 1");
    need(
        cluster.forward_limit_ms > order.request_limit_ms,
        "cluster.forward_limit_ms must be above order.request_limit_ms: another node may take so long to say what became of a request",
    );
    need(cluster.forward_proof_ms >= 1_000, "cluster.forward_proof_ms must be at least 1000");
    need(
        cluster.forward_idle_ms < server.keep_alive_ms,
        "cluster.forward_idle_ms must be below server.keep_alive_ms: else requests are sent to connections that the other node closes",
    );
}

fn check_roles(settings: &Settings, need: &mut impl FnMut(bool, &str)) {
    let Settings { cluster, store, kafka, .. } = settings;
    let (external, elsewhere) = (cluster.external(), cluster.elsewhere());
    let both: Roles = cluster.hosted().iter().filter(|role| external.has(*role)).collect();
    need(!cluster.roles.is_empty(), "cluster.roles must name at least one role");
    need(both.is_empty(), &format!("cluster.external_roles: {} cannot be hosted here and by another team", names(both)));
    need(
        !external.has(Role::Order),
        "cluster.external_roles: order cannot be another team's, for it owns the orders that all others work for",
    );
    need(
        external.is_empty() || kafka.is_on(),
        &format!("cluster.external_roles: another team's {} is reached by Kafka: set kafka.brokers", names(external)),
    );
    need(
        elsewhere.is_empty() || kafka.is_on(),
        &format!("cluster.roles leaves out {}: without kafka.brokers there is no way to the nodes that host them", names(elsewhere)),
    );
    need(
        elsewhere.is_empty() || store.url_of(cluster.hosted()).is_none_or(StoreUrl::is_postgres),
        &format!("cluster.roles leaves out {}: a node on SQLite is alone; use postgres:// for several nodes", names(elsewhere)),
    );
}
