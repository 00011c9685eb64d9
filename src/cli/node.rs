//! What the command line wants of the node itself, and the options that say which node. The composition root implements
//! [`Node`]; so no command knows how a node is put together.

use crate::domain::Role;
use clap::Args;
use std::path::PathBuf;

/// Settings given on the command line; they win over environment and file.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeArgs {
    /// Address to serve HTTP on; without configured keys a loopback address (default 127.0.0.1:8080)
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
    // Not a doc comment: it would become the help of the command.
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment would become help text")]
    pub database: DatabaseArgs,
    /// Kafka brokers; without them all roles work in this one process
    #[arg(long, value_name = "HOST:PORT,…")]
    pub kafka: Option<String>,
    /// Roles that this node hosts: order, inventory, payment, notification, analytics (default: all)
    #[arg(long, value_name = "ROLE,…")]
    pub roles: Option<String>,
    /// `check`: an order whose price is not the catalogue's is cancelled (default); `trust`: the client's prices are taken
    #[arg(long, value_name = "check|trust", value_parser = ["check", "trust"])]
    pub pricing: Option<String>,
}

/// The settings that every command needs which opens the database.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct DatabaseArgs {
    /// sqlite:PATH or postgres://USER:PASSWORD@HOST/NAME; made and brought up to date when missing (default: sqlite in
    /// ./ordermill-data/)
    #[arg(long, value_name = "URL")]
    pub database: Option<String>,
    /// Settings file (TOML); `ordermill config` prints all settings that are in force
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Makes the database or brings it up to date; lets logins in that serve nodes of some roles only.
#[derive(Args, Clone, Debug, Default)]
pub struct MigrateArgs {
    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// Lets an existing PostgreSQL login serve nodes that host these roles, and see no other role's tables (may be repeated)
    #[arg(long = "login", value_name = "LOGIN=ROLE,…")]
    pub logins: Vec<String>,
}

/// Checks every invariant on a live database: stock, money, events, orders, notices, analytics.
#[derive(Args, Clone, Debug, Default)]
pub struct VerifyArgs {
    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// Also check that each order id in this file (written by `load --record`) exists
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Accept orders that are still under way
    #[arg(long)]
    pub allow_open: bool,
    /// Roles that another team runs, which have no rows here (default: as the settings say)
    #[arg(long, value_name = "ROLE,…", value_delimiter = ',', value_parser = role)]
    pub external_roles: Vec<Role>,
    /// Also compare with the payment provider's own books, which `ordermill sandbox` shows at URL/charges
    #[arg(long, value_name = "URL")]
    pub provider: Option<String>,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

fn role(name: &str) -> Result<Role, String> {
    Role::from_name(name).ok_or_else(|| format!("must be one of {}", Role::ALL.map(Role::name).join(", ")))
}

/// Runs the stand-ins of the payment provider, of an SMTP server and of an SMS gateway as servers.
#[derive(Args, Clone, Debug)]
pub struct SandboxArgs {
    /// Address of the payment provider and the SMS gateway (HTTP), and of their page
    #[arg(long, default_value = "127.0.0.1:8090", value_name = "HOST:PORT")]
    pub listen: String,
    /// Address of the mail server
    #[arg(long, default_value = "127.0.0.1:8025", value_name = "HOST:PORT")]
    pub smtp: String,
    /// Settings file (TOML); its part about the sandbox is used
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// The node, as the commands use it. Each call blocks; none is made from within a runtime.
pub trait Node {
    /// Serves until it is told to stop.
    ///
    /// # Errors
    /// It could not start, or had to end.
    fn serve(&self, args: &NodeArgs) -> anyhow::Result<()>;
    /// Makes the database or brings it up to date.
    ///
    /// # Errors
    /// It cannot be reached or is from a later version.
    fn migrate(&self, args: &MigrateArgs) -> anyhow::Result<()>;
    /// Checks the invariants and prints the report; false when one is broken.
    ///
    /// # Errors
    /// The database cannot be read.
    fn verify(&self, args: &VerifyArgs) -> anyhow::Result<bool>;
    /// Serves the stand-ins until it is told to stop.
    ///
    /// # Errors
    /// They could not start.
    fn sandbox(&self, args: &SandboxArgs) -> anyhow::Result<()>;
    /// Prints the settings that are in force, secrets masked.
    ///
    /// # Errors
    /// They contradict each other or name an unknown key.
    fn config(&self, args: &NodeArgs) -> anyhow::Result<()>;
    /// Starts a node in this process and returns when it is ready.
    ///
    /// # Errors
    /// It could not start.
    fn start(&self, args: &NodeArgs) -> anyhow::Result<Box<dyn RunningNode>>;
}

/// A node in this process.
pub trait RunningNode {
    /// Where it listens: `127.0.0.1:8080`.
    fn address(&self) -> std::net::SocketAddr;
    /// Ends it in order; returns when it has ended.
    fn stop(self: Box<Self>);
}
