//! The commands that need a node or its database in this process: the composition root's side of the command line.

use crate::app;
use crate::cli::{BackupArgs, DatabaseArgs, MigrateArgs, Node, NodeArgs, RunningNode, SandboxArgs, Usage, VerifyArgs};
use crate::config::{ConfigError, RoleUrls, Settings, Sources, StoreUrl};
use crate::domain::{Role, Roles};
use crate::verify::{self, Expect};
use anyhow::{Context, anyhow};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::JoinHandle;

/// The node of this process.
pub struct Local;

impl Node for Local {
    fn serve(&self, args: &NodeArgs) -> anyhow::Result<()> {
        Ok(app::serve(settings(args)?)?)
    }

    fn migrate(&self, args: &MigrateArgs) -> anyhow::Result<()> {
        let settings = database_settings(&args.database)?;
        let logins: Vec<(&str, Roles)> = args.logins.iter().map(|text| login(text)).collect::<anyhow::Result<_>>()?;
        app::migrate(&settings)?;
        println!("{} is up to date", settings.store.url);
        for (name, roles) in logins {
            app::grant(&settings, name, roles)?;
            let roles: Vec<&str> = roles.iter().map(Role::name).collect();
            println!("{name} may serve nodes of {}", roles.join(", "));
        }
        Ok(())
    }

    fn verify(&self, args: &VerifyArgs) -> anyhow::Result<bool> {
        let settings = database_settings(&args.database)?;
        let recorded = match &args.record {
            Some(path) => {
                let text = std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
                let ids = verify::read_record(&text).map_err(|line| anyhow!("{}:{line}: not an order id", path.display()))?;
                Some(ids)
            }
            None => None,
        };
        let expect = if args.allow_open { Expect::Live } else { Expect::Settled };
        let mut report =
            check(&settings, verify::Options { recorded, ..options(expect, &args.external_roles, &settings) }, args.provider.as_deref())?;
        if let Some(hours) = args.topics {
            if !settings.kafka.is_on() {
                return Err(Usage("--topics needs the brokers: set kafka.brokers".to_owned()).into());
            }
            let runtime = app::database_runtime(&settings)?;
            let reads = app::open_reads(&settings, &runtime)?;
            report.told_and_lost = Some(runtime.block_on(app::told_and_lost(&settings, &*reads, hours))?);
        }
        show(&report, args.json)
    }

    fn back_up(&self, args: &BackupArgs) -> anyhow::Result<bool> {
        let settings = database_settings(&args.database)?;
        app::back_up(&settings, &args.file)?;
        let file = args.file.display();
        let mut copied = settings.clone();
        copied.store.url = StoreUrl::new(&format!("sqlite:{file}"));
        let report =
            check(&copied, options(Expect::Live, &args.external_roles, &settings), None).with_context(|| format!("the copy {file}"))?;
        eprintln!("{} was copied to {file}; the check of the copy:", settings.store.url);
        show(&report, args.json)
    }

    fn sandbox(&self, args: &SandboxArgs) -> anyhow::Result<()> {
        let settings = load(Vec::new(), &args.config)?;
        Ok(app::sandbox(&settings, &args.listen, &args.smtp)?)
    }

    fn config(&self, args: &NodeArgs) -> anyhow::Result<()> {
        print!("{}", settings(args)?.render());
        Ok(())
    }

    fn start(&self, args: &NodeArgs) -> anyhow::Result<Box<dyn RunningNode>> {
        let settings = settings(args)?;
        let (started, start) = mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("node".to_owned()).spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                match app::Node::start(settings).await {
                    Ok(node) => {
                        // Whoever started it may be gone; then it stops at once.
                        drop(started.send(Ok(node.address())));
                        drop(stopped.await);
                        node.stop().await;
                    }
                    Err(error) => drop(started.send(Err(error))),
                }
            });
        })?;
        let address = start.recv().context("the node ended at its start")??;
        Ok(Box::new(InProcess { address, stop, thread }))
    }
}

fn options(expect: Expect, external: &[Role], settings: &Settings) -> verify::Options {
    let external = if external.is_empty() { settings.cluster.external_roles.clone() } else { external.to_vec() };
    verify::Options { expect, external, ..verify::Options::default() }
}

/// Checks the invariants of the database that the settings name; with the books of the provider at `provider`.
fn check(settings: &Settings, options: verify::Options, provider: Option<&str>) -> anyhow::Result<verify::Report> {
    let runtime = app::database_runtime(settings)?;
    let reads = app::open_reads(settings, &runtime)?;
    runtime.block_on(async {
        let mut snapshot = reads.snapshot().await.context("the database cannot be read")?;
        // After the snapshot has begun: what settled before is in both.
        let provider = match provider {
            Some(url) => Some(app::provider_books(settings, url).await.with_context(|| format!("the payment provider at {url}"))?),
            None => None,
        };
        let log_since = verify::log_since(snapshot.as_mut(), chrono::Utc::now(), settings.store.event_retention_ms).await?;
        Ok(verify::verify(snapshot.as_mut(), &verify::Options { log_since, provider, ..options }).await?)
    })
}

/// Prints a report. Says whether no invariant is violated.
fn show(report: &verify::Report, json: bool) -> anyhow::Result<bool> {
    if json {
        println!("{}", serde_json::to_string_pretty(report)?);
    } else {
        print!("{report}");
    }
    Ok(report.is_sound())
}

/// `LOGIN=ROLE,…`
fn login(text: &str) -> anyhow::Result<(&str, Roles)> {
    let usage = |text: String| anyhow::Error::new(Usage(text));
    let parts = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, roles) = parts.ok_or_else(|| usage("--login takes LOGIN=ROLE,…".to_owned()))?;
    let role = |name: &str| Role::from_name(name.trim()).ok_or_else(|| usage(format!("--login: there is no role {name:?}")));
    Ok((name, roles.split(',').map(role).collect::<anyhow::Result<_>>()?))
}

struct InProcess {
    address: SocketAddr,
    stop: tokio::sync::oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl RunningNode for InProcess {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn stop(self: Box<Self>) {
        // The node may have ended by itself.
        let _ended = self.stop.send(());
        if self.thread.join().is_err() {
            eprintln!("the node ended by a panic");
        }
    }
}

fn settings(args: &NodeArgs) -> anyhow::Result<Settings> {
    let flags = [
        ("server.listen", &args.listen),
        ("pricing.rule", &args.pricing),
        ("store.url", &args.database.database),
        ("kafka.brokers", &args.kafka),
        ("cluster.roles", &args.roles),
    ];
    let mut flags: Vec<_> = flags.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.clone()?))).collect();
    if args.database.database.is_some() {
        flags.extend(Role::ALL.map(|role| (format!("store.role_urls.{}", role.name()), String::new())));
    }
    load(flags, &args.database.config)?.at_its_database().map_err(usage)
}

fn usage(error: ConfigError) -> anyhow::Error {
    Usage(error.to_string()).into()
}

/// The settings of a command that works on a whole database.
fn database_settings(args: &DatabaseArgs) -> anyhow::Result<Settings> {
    let settings = load(args.database.iter().map(|url| ("store.url".to_owned(), url.clone())).collect(), &args.config)?;
    let is_named = args.database.is_some() || settings.store.url.is_postgres() || settings.store.role_urls == RoleUrls::default();
    anyhow::ensure!(
        is_named,
        "store.role_urls names a database per role, but store.url names no server: say with --database which one to use, with a login \
         that may see all tables"
    );
    Ok(settings)
}

fn load(flags: Vec<(String, String)>, file: &Option<PathBuf>) -> anyhow::Result<Settings> {
    Settings::load(&Sources { file: file.as_deref(), flags, ..Sources::from_env() }).map_err(usage)
}
