//! The composition root: the one place that knows every concrete type, and in which order a node starts and stops.
//!
//! Start: settings, database (locked, migrated), actors (a writer, its shards, their open orders), HTTP. Stop: not ready, no new
//! orders, requests in progress end, what is in commit ends, the writer is ended, exit. A second signal exits at once.

mod database;
mod edge;
mod sampler;
mod watchdog;

use crate::actors::faults::Faults;
use crate::actors::{self, Actors, Parts, RealWorld, Where};
use crate::config::providers::{PaymentSettings, ProviderSettings};
use crate::config::{ConfigError, Settings};
use crate::db::{Reads, StoreError};
use crate::domain::{BookedCharge, Role, Roles};
use crate::http::{self, Component, Health, HttpParts, HttpState, NodeInfo, Operations};
use crate::providers::sandbox::SandboxControl;
use crate::providers::{HttpPayment, ProviderError, Providers, SetupError, server};
use crate::saga::policy::{Backoff, Deadlines, Patience, RestartLimit, Retry};
use crate::telemetry::traces::{SenderError, Tracer};
use crate::telemetry::{Telemetry, TelemetryError};
use actix_web::dev::ServerHandle;
use edge::{Edge, EdgeError, EdgeParts};
pub use edge::{ToldError, told_and_lost};
use sampler::Sampler;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::runtime::Runtime;
use url::Url;

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The settings cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database cannot be used.
    #[error("database")]
    Store(#[from] StoreError),
    /// A provider cannot be made.
    #[error("provider")]
    Provider(#[from] SetupError),
    /// Logs or metrics.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// Traces.
    #[error(transparent)]
    Traces(#[from] SenderError),
    /// The address cannot be listened on.
    #[error("cannot listen on {0}")]
    Listen(String, #[source] std::io::Error),
    /// Kafka.
    #[error("kafka")]
    Edge(#[from] EdgeError),
    /// The HTTP server.
    #[error(transparent)]
    Serve(#[from] http::ServeError),
    /// A thread or runtime.
    #[error("no runtime")]
    Runtime(#[source] std::io::Error),
}

/// The exit code of a node whose disk has failed it (EX_IOERR of sysexits.h).
const HALTED: i32 = 74;
/// How long the last spans get at a stop.
const FLUSH_TRACES: Duration = Duration::from_secs(2);
/// How long the actors get at a stop while the database answers no commit.
const STOP_WITHOUT_COMMITS: Duration = Duration::from_secs(2);

/// A node that runs in this process, on the actix system that started it.
pub struct Node {
    address: SocketAddr,
    actors: Actors,
    edge: Option<Arc<Edge>>,
    server: ServerHandle,
    ended: tokio::task::JoinHandle<std::io::Result<()>>,
    state: Arc<HttpState>,
    settings: Arc<Settings>,
    sampler: tokio::task::JoinHandle<()>,
    _database: DatabaseRuntime,
    /// Dropped, it ends the watchdog.
    _watchdog: watchdog::Watchdog,
}

/// The database's threads. A runtime must not be dropped plainly where others are awaited: a failed start would panic instead of
/// telling its cause.
struct DatabaseRuntime(Option<Runtime>);

impl Drop for DatabaseRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Node {
    /// Starts a node; returns when it listens. It is ready when `/health/ready` says so.
    ///
    /// # Errors
    /// See [`AppError`].
    pub async fn start(settings: Settings) -> Result<Self, AppError> {
        let settings = Arc::new(settings);
        let telemetry = telemetry(&settings)?;
        let listen = &settings.server.listen;
        let listener = TcpListener::bind(listen).map_err(|error| AppError::Listen(listen.clone(), error))?;
        let address = listener.local_addr().map_err(|error| AppError::Listen(listen.clone(), error))?;
        let runtime = database_runtime(&settings)?;
        let handle = runtime.handle().clone();
        let database = DatabaseRuntime(Some(runtime));
        let (store, reads) = database::open(&settings, &handle).await?;
        let url = public_url(&settings, address);
        let name = format!("{}-{}", hostname(), std::process::id());
        let edge_parts = EdgeParts::build(&settings)?;
        let tracer = Tracer::start(&settings.telemetry, &name, database_name(&settings))?;
        let roles = settings.cluster.hosted();
        let hosted: Vec<Role> = roles.iter().collect();
        let parts = Parts {
            settings: actor_settings(&settings),
            analytics: actors::AnalyticsSettings {
                flush_ms: settings.analytics.save_ms,
                busy_rows: usize::try_from(settings.analytics.busy_changes).unwrap_or(usize::MAX),
                busy_flush_ms: settings.analytics.busy_save_ms,
                ..actors::AnalyticsSettings::default()
            },
            world: Arc::new(RealWorld),
            store,
            reads,
            providers: Providers::from_settings(&named(&settings))?,
            faults: Faults::default(),
            roles,
            publish: edge_parts.as_ref().map(EdgeParts::publish),
            repeats: edge_parts.as_ref().map(EdgeParts::repeats),
            name: name.clone(),
            url,
            tracer: tracer.clone(),
        };
        let actors = Actors::start(parts, Where::Threads).await?;
        let edge = edge_parts.map(|edge_parts| edge_parts.start(&settings, actors.handle(), &hosted)).transpose()?.map(Arc::new);
        let losses = Arc::default();
        let sampler = Sampler::start(actors.handle().reads().clone(), roles, &settings, Arc::clone(&losses));
        let operations = Arc::new(NodeOperations { telemetry, handle: actors.handle().clone(), edge: edge.clone(), losses });
        let state = Arc::new(HttpState::new(HttpParts {
            handle: actors.handle().clone(),
            settings: settings.clone(),
            operations,
            metrics: Some(telemetry.metrics.clone()),
            node: NodeInfo {
                name,
                version: env!("CARGO_PKG_VERSION"),
                commit: env!("BUILD_COMMIT"),
                roles: hosted.iter().map(|role| role.name().to_owned()).collect(),
                database: if settings.store.url.is_postgres() { "postgres" } else { "sqlite" }.to_owned(),
                started_at: chrono::Utc::now().into(),
            },
        })?);
        let (serving, server) = http::serve(listener, state.clone())?;
        let ended = actix_web::rt::spawn(serving);
        let watchdog = watchdog::watch(actors.handle().clone()).map_err(AppError::Runtime)?;
        Ok(Self { address, actors, edge, server, ended, state, settings, sampler, _database: database, _watchdog: watchdog })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The way to its actors.
    #[must_use]
    pub fn handle(&self) -> &actors::NodeHandle {
        self.actors.handle()
    }

    /// Ends it in order.
    pub async fn stop(self) {
        let server = &self.settings.server;
        self.state.drain();
        self.sampler.abort();
        tokio::time::sleep(Duration::from_millis(server.drain_ms)).await;
        // Requests in progress get their limit; those that still run then are cut off.
        self.server.stop(true).await;
        if let Ok(Err(error)) = self.ended.await {
            tracing::warn!(error = %error, "the HTTP server ended with an error");
        }
        if let Some(edge) = self.edge {
            edge.stop(Duration::from_millis(server.shutdown_timeout_ms) / 2).await;
        }
        // A database that answers no commit now will not store what is left either; the next start goes on from what is stored.
        let limit = if self.actors.handle().slow_commit().is_some() {
            STOP_WITHOUT_COMMITS
        } else {
            Duration::from_millis(server.shutdown_timeout_ms)
        };
        let tracer = self.actors.handle().tracer().clone();
        self.actors.stop(limit).await;
        tracer.flush(FLUSH_TRACES).await;
    }
}

/// Serves until the first SIGTERM or SIGINT, then stops in order; a second one exits at once.
///
/// # Errors
/// See [`AppError`].
pub fn serve(settings: Settings) -> Result<(), AppError> {
    actix_web::rt::System::new().block_on(async move {
        let node = Node::start(settings).await?;
        tracing::info!(address = %node.address(), "listening on http://{}", node.address());
        let handle = node.handle().clone();
        actix_web::rt::spawn(async move {
            let why = handle.halted().await;
            tracing::error!(error = %why, "the node ends at once");
            std::process::exit(HALTED);
        });
        stop_signal().await;
        tracing::info!("stopping; a second signal exits at once");
        actix_web::rt::spawn(async {
            stop_signal().await;
            std::process::exit(130);
        });
        node.stop().await;
        Ok(())
    })
}

/// Serves the stand-ins of the payment provider and the SMS gateway on `listen` (HTTP), of the mail server on `smtp`, until a
/// signal.
///
/// # Errors
/// See [`AppError`].
pub fn sandbox(settings: &Settings, listen: &str, smtp: &str) -> Result<(), AppError> {
    telemetry(settings)?;
    let control = SandboxControl::new(&settings.providers.sandbox);
    let http = TcpListener::bind(listen).map_err(|error| AppError::Listen(listen.to_owned(), error))?;
    actix_web::rt::System::new().block_on(async move {
        let bound = tokio::net::TcpListener::bind(smtp).await.map_err(|error| AppError::Listen(smtp.to_owned(), error))?;
        tracing::info!("payment and SMS on http://{listen}, mail on {smtp}");
        let mailer = Arc::new(control.mailer());
        let both = futures_util::future::try_join(
            server::serve_http(http, control, stop_signal()),
            server::serve_smtp(bound, mailer, stop_signal()),
        );
        both.await.map(drop).map_err(|error| AppError::Listen(listen.to_owned(), error))
    })
}

/// The charges of the payment provider at `url`, as its own books have them.
///
/// # Errors
/// It cannot be reached, or shows no books.
pub async fn provider_books(settings: &Settings, url: &str) -> Result<Vec<BookedCharge>, ProviderError> {
    let payment = PaymentSettings { url: url.to_owned(), ..settings.providers.payment.clone() };
    HttpPayment::new(&payment).map_err(|error| ProviderError::rejected(error.to_string()))?.books().await
}

async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(mut terminate), Ok(mut interrupt)) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!(error = %error, "signals cannot be received; stop the node with SIGKILL");
            std::future::pending::<()>().await;
        }
    }
}

/// Makes the database or brings it up to date.
///
/// # Errors
/// See [`AppError`].
pub fn migrate(settings: &Settings) -> Result<(), AppError> {
    let runtime = database_runtime(settings)?;
    runtime.block_on(database::open(settings, runtime.handle()))?;
    Ok(())
}

/// Copies the database to a new file, beside a node that writes.
///
/// # Errors
/// See [`AppError`].
pub fn back_up(settings: &Settings, copy: &Path) -> Result<(), AppError> {
    Ok(database::back_up(settings, copy)?)
}

/// Lets a login of the database serve nodes that host `roles`, and those only.
///
/// # Errors
/// See [`AppError`].
pub fn grant(settings: &Settings, login: &str, roles: Roles) -> Result<(), AppError> {
    let runtime = database_runtime(settings)?;
    Ok(runtime.block_on(database::grant(settings, login, roles))?)
}

/// The database's reading side alone, for a look at a live database.
///
/// # Errors
/// See [`AppError`].
pub fn open_reads(settings: &Settings, runtime: &Runtime) -> Result<Arc<dyn Reads>, AppError> {
    Ok(runtime.block_on(database::open_reads(settings, runtime.handle()))?)
}

/// Database work has threads of its own: a future of it that is dropped on an arbiter would panic there.
///
/// # Errors
/// No threads.
pub fn database_runtime(settings: &Settings) -> Result<Runtime, AppError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(settings.store.readers.max(1) as usize + 4)
        .thread_name("database")
        .enable_all()
        .build()
        .map_err(AppError::Runtime)
}

fn actor_settings(settings: &Settings) -> actors::ActorSettings {
    let order = &settings.order;
    let notification = &settings.notification;
    let cluster = &settings.cluster;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    actors::ActorSettings {
        arbiters: if settings.actors.arbiters == 0 { (cores / 2).max(1) } else { settings.actors.arbiters },
        open_limit: order.open_limit,
        max_batch: settings.journal.max_batch,
        queue_limit: settings.journal.queue_limit,
        redrive: Backoff { first_ms: order.redrive_first_ms, most_ms: order.redrive_most_ms },
        redrive_far: Backoff { first_ms: cluster.redrive_far_first_ms, most_ms: cluster.redrive_far_most_ms },
        cluster_tick_ms: cluster.tick_ms,
        handover_ms: cluster.handover_ms,
        external_roles: cluster.external(),
        external_answer_ms: cluster.external_answer_ms,
        lazy_save_ms: order.lazy_save_ms,
        deadlines: Deadlines { expiry_ms: order.expiry_ms, payment_ms: order.payment_deadline_ms },
        restart_limit: RestartLimit { restarts: settings.actors.restart_limit, window_ms: settings.actors.restart_window_ms },
        payment_retry: Retry {
            retries: order.payment_retries,
            backoff: Backoff { first_ms: order.payment_retry_first_ms, most_ms: order.payment_retry_most_ms },
        },
        payment_give_up_ms: order.payment_give_up_ms,
        payment_calls: order.payment_calls,
        notice_retry: Retry {
            retries: notification.retries,
            backoff: Backoff { first_ms: notification.retry_first_ms, most_ms: notification.retry_most_ms },
        },
        notice_patience: Patience {
            longest_ms: notification.patience_ms,
            backoff: Backoff { first_ms: notification.patience_first_ms, most_ms: notification.patience_most_ms },
        },
        notice_calls: notification.calls,
        customer_domain: settings.customer_domain(),
        pricing: settings.pricing.rule.into(),
        lease_ms: settings.store.lease_ms,
        slow_commit_ms: settings.journal.slow_commit_ms,
        stuck_commit_ms: settings.journal.stuck_commit_ms,
        cluster_key: crate::config::ClusterKey::of(&settings.access),
        keep_events_ms: settings.store.event_retention_ms,
        keep_letters_ms: settings.store.letter_retention_ms,
        keep_audit_ms: settings.store.audit_retention_ms,
        keep_copies_ms: settings.store.copy_retention_ms,
        keep_held_ms: settings.store.held_retention_ms,
        ..actors::ActorSettings::default()
    }
}

/// The database as OpenTelemetry names it.
fn database_name(settings: &Settings) -> &'static str {
    if settings.store.url.is_postgres() { "postgresql" } else { "sqlite" }
}

/// Where other nodes reach this one.
fn public_url(settings: &Settings, address: SocketAddr) -> String {
    match settings.server.public_url.as_str() {
        "" if address.ip().is_unspecified() => format!("http://{}:{}", hostname(), address.port()),
        "" => format!("http://{address}"),
        url => url.to_owned(),
    }
}

/// The providers' settings, with the name by which this machine greets mail servers: many refuse one that is no name, or not the
/// machine's own.
fn named(settings: &Settings) -> ProviderSettings {
    let mut providers = settings.providers.clone();
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    providers.email.hello = providers.email.hello.or_else(|| mail_name(&settings.server.public_url, &hostname(), &hosts));
    providers
}

/// The host of the public address; else the machine's full name, as it says itself or `/etc/hosts` does. None where there is no such name.
fn mail_name(public_url: &str, hostname: &str, hosts: &str) -> Option<String> {
    let is_full = |name: &&str| name.contains('.') && name.parse::<std::net::IpAddr>().is_err();
    let url = Url::parse(public_url).ok();
    let of_url = url.as_ref().and_then(Url::domain).filter(is_full);
    let listed = || {
        let lines = hosts.lines().filter_map(|line| line.split('#').next()).map(|line| line.split_whitespace().skip(1));
        lines.filter(|names| names.clone().any(|name| name == hostname)).flatten().find(is_full)
    };
    of_url.or_else(|| Some(hostname).filter(is_full)).or_else(listed).map(str::to_owned)
}

fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Logs and metrics belong to the process: the first node sets them up, later ones of the same process share them.
fn telemetry(settings: &Settings) -> Result<&'static Telemetry, AppError> {
    static TELEMETRY: OnceLock<Telemetry> = OnceLock::new();
    if let Some(telemetry) = TELEMETRY.get() {
        return Ok(telemetry);
    }
    let started = Telemetry::start(&settings.telemetry)?;
    Ok(TELEMETRY.get_or_init(|| started))
}

/// What the HTTP server can ask and set beside the actors.
struct NodeOperations {
    telemetry: &'static Telemetry,
    handle: actors::NodeHandle,
    edge: Option<Arc<Edge>>,
    /// Dead letters about lost commits that no person has closed.
    losses: Arc<AtomicU64>,
}

impl Operations for NodeOperations {
    fn components(&self) -> Vec<Component> {
        let trouble = self.handle.not_ready().into_iter().find_map(|why| why.strip_prefix("database: ").map(str::to_owned));
        let slow = self.handle.slow_commit().map(|age| format!("a commit has not been answered for {} s", age.as_secs()));
        let losses = self.losses.load(Ordering::Relaxed);
        // The node that has lost them is gone; whoever looks next hears of it until a person has dealt with it.
        let lost =
            (losses > 0).then(|| format!("it has lost commits that were answered; open dead letters about it (commits-lost): {losses}"));
        let wrong = slow.or(lost);
        let health = match (&trouble, &wrong) {
            (Some(_), _) => Health::Down,
            (None, Some(_)) => Health::Degraded,
            (None, None) => Health::Up,
        };
        let database = Component { name: "database".to_owned(), health, detail: trouble.or(wrong) };
        std::iter::once(database).chain(self.edge.as_ref().map(|edge| edge.component())).collect()
    }

    fn publish(&self) {
        self.telemetry.publish_process();
        self.handle.tracer().publish();
        if let Some(edge) = &self.edge {
            edge.publish();
        }
    }

    fn log_filter(&self) -> String {
        self.telemetry.log_filter()
    }

    fn set_log_filter(&self, filter: &str) -> Result<(), String> {
        self.telemetry.set_log_filter(filter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_servers_are_greeted_by_a_real_name() {
        let hosts = "127.0.0.1 localhost localhost.localdomain\n10.0.0.7 mill-7 mill-7.shop.example # ours\n";
        for (url, hostname, name) in [
            ("https://orders.shop.example:8443/x", "mill-7", Some("orders.shop.example")),
            ("http://me@orders.shop.example", "mill-7", Some("orders.shop.example")),
            ("http://[2001:db8::7]:8080", "mill-7", Some("mill-7.shop.example")),
            ("http://10.0.0.7:8080", "mill-7", Some("mill-7.shop.example")),
            ("", "mill-7", Some("mill-7.shop.example")),
            ("", "mill-8.shop.example", Some("mill-8.shop.example")),
            ("http://mill-9:8080", "mill-9", None),
        ] {
            assert_eq!(mail_name(url, hostname, hosts).as_deref(), name, "{url} {hostname}");
        }
    }
}
