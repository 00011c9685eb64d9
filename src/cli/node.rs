//! What the command line needs from the node, and the options that configure a node. The composition root implements [`Node`], so no
//! command knows how a node is put together.

use crate::domain::Role;
use clap::Args;
use std::path::PathBuf;

/// Settings from the command line; they override the environment and the file.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeArgs {
    /// Address to serve HTTP on (default 127.0.0.1:8080); must be a loopback address if no access keys are configured
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
    // Not a doc comment: it would become the help of the command.
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment would become help text")]
    pub database: DatabaseArgs,
    /// Kafka brokers; without them all roles run in this process
    #[arg(long, value_name = "HOST:PORT,…")]
    pub kafka: Option<String>,
    /// Roles that this node hosts: order, inventory, payment, notification, analytics (default: all)
    #[arg(long, value_name = "ROLE,…")]
    pub roles: Option<String>,
    /// `check` (default): cancel an order whose price differs from the catalogue; `trust`: accept the client's prices
    #[arg(long, value_name = "check|trust", value_parser = ["check", "trust"])]
    pub pricing: Option<String>,
}

/// Settings for every command that opens the database.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct DatabaseArgs {
    /// sqlite:PATH or postgres://USER:PASSWORD@HOST/NAME; created and upgraded as needed (default: SQLite in ./ordermill-data/)
    #[arg(long, value_name = "URL")]
    pub database: Option<String>,
    /// Settings file (TOML); `ordermill config` prints all effective settings
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Creates or upgrades the database, and grants rights to logins of nodes that host only some roles.
#[derive(Args, Clone, Debug, Default)]
pub struct MigrateArgs {
    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// Grant an existing PostgreSQL login what a node with these roles needs; it sees no other role's tables (may be repeated)
    #[arg(long = "login", value_name = "LOGIN=ROLE,…")]
    pub logins: Vec<String>,
}

/// Copies a SQLite database to a new file while its node runs, and checks the copy.
#[derive(Args, Clone, Debug)]
pub struct BackupArgs {
    /// The copy; must not exist yet
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    // Not a doc comment: it would become the help of the command.
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment would become help text")]
    pub database: DatabaseArgs,
    /// Roles that another team runs, which have no rows in this database (default: from the settings)
    #[arg(long, value_name = "ROLE,…", value_delimiter = ',', value_parser = role)]
    pub external_roles: Vec<Role>,
    /// Print the report of the check as JSON
    #[arg(long)]
    pub json: bool,
}

/// Checks every invariant of a live database: stock, money, events, orders, notices, analytics.
#[derive(Args, Clone, Debug, Default)]
pub struct VerifyArgs {
    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// Also check that every order id in this file (written by `load --record`) exists
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Accept orders that are still in progress
    #[arg(long)]
    pub allow_open: bool,
    /// Roles that another team runs, which have no rows in this database (default: from the settings)
    #[arg(long, value_name = "ROLE,…", value_delimiter = ',', value_parser = role)]
    pub external_roles: Vec<Role>,
    /// Also compare with the payment provider's books, which `ordermill sandbox` shows at URL/charges
    #[arg(long, value_name = "URL")]
    pub provider: Option<String>,
    /// Also list what the Kafka topics have told in the last HOURS and the database does not have, as after a failover that lost commits
    #[arg(long, value_name = "HOURS", num_args = 0..=1, default_missing_value = "24")]
    pub topics: Option<u32>,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

fn role(name: &str) -> Result<Role, String> {
    Role::from_name(name).ok_or_else(|| format!("must be one of {}", Role::ALL.map(Role::name).join(", ")))
}

/// Runs stand-ins for the payment provider, an SMTP server and an SMS gateway.
#[derive(Args, Clone, Debug)]
pub struct SandboxArgs {
    /// Address of the payment provider, the SMS gateway and their page (HTTP)
    #[arg(long, default_value = "127.0.0.1:8090", value_name = "HOST:PORT")]
    pub listen: String,
    /// Address of the mail server
    #[arg(long, default_value = "127.0.0.1:8025", value_name = "HOST:PORT")]
    pub smtp: String,
    /// Settings file (TOML); only its sandbox section is used
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// The node as the commands use it. Every call blocks and must not be made inside an async runtime.
pub trait Node {
    /// Serves until it is asked to stop.
    ///
    /// # Errors
    /// The node could not start, or had to end.
    fn serve(&self, args: &NodeArgs) -> anyhow::Result<()>;
    /// Creates or upgrades the database.
    ///
    /// # Errors
    /// The database cannot be reached or is from a later version.
    fn migrate(&self, args: &MigrateArgs) -> anyhow::Result<()>;
    /// Checks the invariants and prints the report; false if one is violated.
    ///
    /// # Errors
    /// The database cannot be read.
    fn verify(&self, args: &VerifyArgs) -> anyhow::Result<bool>;
    /// Copies the database and checks the copy; false if one of its invariants is violated.
    ///
    /// # Errors
    /// The database cannot be read, or the copy not written.
    fn back_up(&self, args: &BackupArgs) -> anyhow::Result<bool>;
    /// Serves the stand-ins until it is asked to stop.
    ///
    /// # Errors
    /// They could not start.
    fn sandbox(&self, args: &SandboxArgs) -> anyhow::Result<()>;
    /// Prints the effective settings, with secrets masked.
    ///
    /// # Errors
    /// They contradict each other or name an unknown key.
    fn config(&self, args: &NodeArgs) -> anyhow::Result<()>;
    /// Starts a node in this process and returns once it is ready.
    ///
    /// # Errors
    /// It could not start.
    fn start(&self, args: &NodeArgs) -> anyhow::Result<Box<dyn RunningNode>>;
}

/// A node in this process.
pub trait RunningNode {
    /// The address it listens on, such as `127.0.0.1:8080`.
    fn address(&self) -> std::net::SocketAddr;
    /// Stops it cleanly; returns once it has stopped.
    fn stop(self: Box<Self>);
}
