//! The commands that need a node or its database in this process: the composition root's side of the command line.

use crate::app;
use crate::cli::{DatabaseArgs, Node, NodeArgs, Running, SandboxArgs, VerifyArgs};
use crate::config::{Settings, Sources};
use anyhow::{Context, bail};
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

    fn migrate(&self, args: &DatabaseArgs) -> anyhow::Result<()> {
        let settings = database_settings(args)?;
        app::migrate(&settings)?;
        println!("{} is up to date", settings.store.url);
        Ok(())
    }

    fn verify(&self, _args: &VerifyArgs) -> anyhow::Result<bool> {
        bail!("verify is not wired yet")
    }

    fn sandbox(&self, _args: &SandboxArgs) -> anyhow::Result<()> {
        bail!("sandbox is not wired yet")
    }

    fn config(&self, args: &NodeArgs) -> anyhow::Result<()> {
        print!("{}", settings(args)?.render());
        Ok(())
    }

    fn start(&self, args: &NodeArgs) -> anyhow::Result<Box<dyn Running>> {
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

struct InProcess {
    address: SocketAddr,
    stop: tokio::sync::oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Running for InProcess {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn stop(self: Box<Self>) {
        drop(self.stop.send(()));
        if self.thread.join().is_err() {
            eprintln!("the node ended by a panic");
        }
    }
}

fn settings(args: &NodeArgs) -> anyhow::Result<Settings> {
    if args.kafka.is_some() || args.roles.is_some() {
        bail!("--kafka and --roles need a cluster on PostgreSQL, which this version does not have yet: all roles work in this one process");
    }
    let flags = [("server.listen", &args.listen), ("pricing.rule", &args.pricing), ("store.url", &args.database.database)];
    load(flags.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.clone()?))).collect(), &args.database.config)
}

fn database_settings(args: &DatabaseArgs) -> anyhow::Result<Settings> {
    load(args.database.iter().map(|url| ("store.url".to_owned(), url.clone())).collect(), &args.config)
}

fn load(flags: Vec<(String, String)>, file: &Option<PathBuf>) -> anyhow::Result<Settings> {
    Ok(Settings::load(&Sources { file: file.as_deref(), flags, ..Sources::from_env() })?)
}
