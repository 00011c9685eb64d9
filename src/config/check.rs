//! Checks of the settings as a whole.

use super::settings::{ConfigError, Settings};
use super::{StoreSettings, StoreUrl};
use crate::domain::{Role, Roles};

impl Settings {
    /// Checks the settings as a whole.
    ///
    /// # Errors
    /// Every combination that cannot work.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut problems = Vec::new();
        self.server.check(&mut problems);
        self.access.check(&mut problems);
        self.kafka.check(&mut problems);
        check_store(self, &mut problems);
        check_work(self, &mut problems);
        check_cluster(self, &mut problems);
        if self.access.keys.is_empty() && !self.server.is_loopback() {
            problems.push(format!(
                "server.listen is {}, which others can reach, and no access keys are set: set access.keys, or listen on 127.0.0.1",
                self.server.listen
            ));
        }
        if problems.is_empty() { Ok(()) } else { Err(ConfigError(problems)) }
    }
}

fn check_store(settings: &Settings, problems: &mut Vec<String>) {
    let mut need = |holds: bool, problem: &str| {
        if !holds {
            problems.push(problem.to_owned());
        }
    };
    let store = &settings.store;
    need(store.url.is_known(), "store.url must be sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE");
    for role in Role::ALL {
        let url = store.role_urls.of(role);
        need(
            url.expose().is_empty() || url.is_postgres(),
            &format!("store.role_urls.{} must be postgres://USER:PASSWORD@HOST/DATABASE, or empty for store.url", role.name()),
        );
    }
    need(crate::domain::Shards::new(store.shards).is_some(), "store.shards must be 1 to 1024");
    need(store.readers > 0, "store.readers must be at least 1");
    need(store.checkpoint_kib >= 64, "store.checkpoint_kib must be at least 64");
    need(store.log_limit_kib >= store.checkpoint_kib, "store.log_limit_kib must not be below store.checkpoint_kib");
    need(
        store.audit_retention_ms >= store.letter_retention_ms,
        "store.audit_retention_ms must not be below store.letter_retention_ms: a letter is shown with what was done to it",
    );
    let order = &settings.order;
    need(
        store.copy_retention_ms > order.expiry_ms.max(order.payment_deadline_ms),
        "store.copy_retention_ms must be above order.expiry_ms and order.payment_deadline_ms: a role still needs the order until then",
    );
    need(store.lease_ms >= 1_000, "store.lease_ms must be at least 1000");
    if settings.database().is_postgres() {
        check_postgres(store, &mut need);
    }
}

fn check_postgres(store: &StoreSettings, need: &mut impl FnMut(bool, &str)) {
    let postgres = &store.postgres;
    need(postgres.connect_timeout_ms > 0, "store.postgres.connect_timeout_ms must be at least 1");
    need(postgres.statement_limit_ms > 0, "store.postgres.statement_limit_ms must be at least 1");
    need((1..store.lease_ms).contains(&postgres.idle_transaction_ms), "store.postgres.idle_transaction_ms must be below store.lease_ms");
    need((1..store.lease_ms).contains(&postgres.lock_wait_ms), "store.postgres.lock_wait_ms must be below store.lease_ms");
    need(
        (1_000..store.lease_ms).contains(&postgres.silence_ms),
        "store.postgres.silence_ms must be at least 1000 and below store.lease_ms",
    );
}

fn check_work(settings: &Settings, problems: &mut Vec<String>) {
    let mut need = |holds: bool, problem: &str| {
        if !holds {
            problems.push(problem.to_owned());
        }
    };
    let Settings { order, journal, actors, notification, telemetry, analytics, .. } = settings;
    need(order.open_limit > 0, "order.open_limit must be at least 1");
    need(order.request_limit_ms > 0, "order.request_limit_ms must be at least 1");
    need(order.redrive_first_ms > 0, "order.redrive_first_ms must be at least 1");
    need(order.redrive_first_ms <= order.redrive_most_ms, "order.redrive_first_ms must not be above order.redrive_most_ms");
    need(order.expiry_ms > 0 && order.payment_deadline_ms > 0, "order.expiry_ms and order.payment_deadline_ms must be at least 1");
    need(telemetry.sample_ms > 0, "telemetry.sample_ms must be at least 1");
    need((0.0..=1.0).contains(&telemetry.trace_ratio), "telemetry.trace_ratio must be 0 to 1");
    need(telemetry.trace_queue > 0, "telemetry.trace_queue must be at least 1");
    need(telemetry.trace_batch > 0, "telemetry.trace_batch must be at least 1");
    need(telemetry.trace_timeout_ms > 0, "telemetry.trace_timeout_ms must be at least 1");
    need(journal.max_batch > 0, "journal.max_batch must be at least 1");
    need(journal.slow_commit_ms > 0, "journal.slow_commit_ms must be at least 1");
    need(journal.stuck_commit_ms >= journal.slow_commit_ms, "journal.stuck_commit_ms must not be below journal.slow_commit_ms");
    need(journal.queue_limit >= journal.max_batch, "journal.queue_limit must not be below journal.max_batch");
    need(actors.restart_window_ms > 0, "actors.restart_window_ms must be at least 1");
    need(notification.calls > 0, "notification.calls must be at least 1");
    need(order.payment_calls > 0, "order.payment_calls must be at least 1");
    need(order.payment_give_up_ms > 0, "order.payment_give_up_ms must be at least 1");
    need(
        order.payment_retry_first_ms <= order.payment_retry_most_ms,
        "order.payment_retry_first_ms must not be above order.payment_retry_most_ms",
    );
    need(
        notification.retry_first_ms <= notification.retry_most_ms,
        "notification.retry_first_ms must not be above notification.retry_most_ms",
    );
    need(
        notification.patience_first_ms <= notification.patience_most_ms,
        "notification.patience_first_ms must not be above notification.patience_most_ms",
    );
    need(analytics.top > 0, "analytics.top must be at least 1");
}

fn names(roles: Roles) -> String {
    roles.iter().map(Role::name).collect::<Vec<_>>().join(", ")
}

fn check_cluster(settings: &Settings, problems: &mut Vec<String>) {
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
