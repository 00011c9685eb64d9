//! The command line.
//!
//! Owns: the options, the commands that talk to a running node over HTTP, the load generator, the demo. Does not know: how a node
//! is put together; that is behind [`Node`]. Exit codes: 0 done, 1 failed (a check, an action, the node could not be reached),
//! 2 wrong usage.

mod breakers;
mod client;
mod demo;
mod dlq;
mod health;
mod import;
mod interrupt;
mod load;
mod node;
mod orders;
mod pages;
mod products;
mod report;
mod retail;
mod rng;
mod shell;
mod status;
mod table;
mod terminal;
mod top;
mod words;

pub use node::{BackupArgs, DatabaseArgs, MigrateArgs, Node, NodeArgs, RunningNode, SandboxArgs, VerifyArgs};

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use std::process::ExitCode;

/// The version with the commit that it was built from.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("BUILD_COMMIT"), ")");

/// Takes orders, reserves stock, takes payment, notifies the customer, and shows the business figures.
#[derive(Parser, Clone, Debug)]
#[command(
    name = "ordermill",
    version = VERSION,
    propagate_version = true,
    after_help = "Start with `ordermill demo`, or with `ordermill serve` and http://127.0.0.1:8080 in a browser.\n\n\
        Settings, later ones override earlier ones: defaults, --config FILE, ORDERMILL_… environment, flags.\n\
        status, top, report, orders, dlq, breakers, products, load and health talk to the node at ORDERMILL_URL with the access key\n\
        ORDERMILL_KEY. They take --url, --key and --json anywhere on the line; http:// may be left out.\n\
        Exit codes: 0 success; 1 failure, or (status) something needs attention; 2 wrong usage or wrong settings."
)]
struct Cli {
    #[command(flatten)]
    anywhere: Anywhere,
    #[command(subcommand)]
    command: Command,
}

/// Options that may also stand before the command; the commands that take them declare them under the same names.
#[derive(clap::Args, Clone, Debug)]
struct Anywhere {
    #[arg(long, global = true, hide = true, value_name = "URL", value_delimiter = ',', value_parser = client::base_url)]
    url: Vec<String>,
    #[arg(long, global = true, hide = true, value_name = "KEY")]
    key: Option<String>,
    #[arg(long, global = true, hide = true)]
    json: bool,
}

/// Wrong usage that is only noticed after the command has started: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

#[derive(Subcommand, Clone, Debug)]
enum Command {
    /// Run a node: HTTP API, dashboard and all roles
    Serve(NodeArgs),
    /// Create or upgrade the database, then exit
    Migrate(MigrateArgs),
    /// Run a demo: a node, a shop, a stream of orders and the dashboard, with nothing to install
    Demo(demo::DemoArgs),
    /// Show what needs attention; exit code 1 if something does
    Status(status::StatusArgs),
    /// Show what the node does, live: rates, slow steps, queues, oldest orders
    Top(top::TopArgs),
    /// Show orders, sales and refunds of a period
    Report(report::ReportArgs),
    /// Show, follow, cancel and ship orders
    Orders(orders::OrdersArgs),
    /// Resolve dead letters: failed steps and messages that wait for a person
    Dlq(dlq::DlqArgs),
    /// Show a node's circuit breakers; close, open or try one
    Breakers(breakers::BreakersArgs),
    /// Show, change and import products; list stock corrections
    Products(products::ProductsArgs),
    /// Load-test a node
    Load(Box<load::LoadArgs>),
    /// Check every invariant of a live database
    Verify(VerifyArgs),
    /// Copy a SQLite database to a new file while its node runs, and check the copy
    Backup(BackupArgs),
    /// Run stand-ins for the payment provider, SMTP server and SMS gateway
    Sandbox(SandboxArgs),
    /// Check that a node is ready, or alive (for container health checks)
    Health(health::HealthArgs),
    /// Print the effective settings, with secrets masked
    Config(NodeArgs),
    /// Print completions for a shell: bash, elvish, fish, powershell or zsh
    Completions(shell::CompletionsArgs),
    /// Write the man pages to a folder
    Man(shell::ManArgs),
}

/// Runs the command line of this process.
pub fn main(node: &dyn Node) -> ExitCode {
    end_with_the_reader();
    // A wrong usage or a request for help ends the process here, with exit code 2 or 0.
    let cli = Cli::parse();
    if let Some(name) = cli.command.takes_no(&cli.anywhere) {
        Cli::command().error(ErrorKind::ArgumentConflict, format!("this command does not take {name}")).exit();
    }
    match run(cli.command, node) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            if error.is::<Usage>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

impl Command {
    /// The name of a given option that this command does not take.
    fn takes_no(&self, given: &Anywhere) -> Option<&'static str> {
        let (url, key, json) = match self {
            Self::Status(_) | Self::Top(_) | Self::Report(_) | Self::Orders(_) | Self::Dlq(_) => (true, true, true),
            Self::Breakers(_) | Self::Products(_) | Self::Load(_) | Self::Health(_) => (true, true, true),
            Self::Demo(_) => (true, false, false),
            Self::Verify(_) | Self::Backup(_) => (false, false, true),
            Self::Serve(_) | Self::Migrate(_) | Self::Sandbox(_) | Self::Config(_) | Self::Completions(_) | Self::Man(_) => {
                (false, false, false)
            }
        };
        [(url, !given.url.is_empty(), "--url"), (key, given.key.is_some(), "--key"), (json, given.json, "--json")]
            .into_iter()
            .find_map(|(takes, is_given, name)| (is_given && !takes).then_some(name))
    }
}

/// Ends the command quietly when the reader of its output has closed the pipe (`| head`), where `println!` would panic.
fn end_with_the_reader() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let told = info.payload_as_str().unwrap_or_default();
        if told.starts_with("failed printing to stdout") && told.contains("Broken pipe") {
            std::process::exit(0);
        }
        usual(info);
    }));
}

fn run(command: Command, node: &dyn Node) -> anyhow::Result<bool> {
    match command {
        Command::Serve(args) => node.serve(&args).map(|()| true),
        Command::Migrate(args) => node.migrate(&args).map(|()| true),
        Command::Demo(args) => demo::run(&args, node),
        Command::Status(args) => in_runtime(status::run(&args)),
        Command::Top(args) => in_runtime(top::run(&args)),
        Command::Report(args) => in_runtime(report::run(&args)),
        Command::Orders(args) => in_runtime(orders::run(&args)),
        Command::Dlq(args) => in_runtime(dlq::run(&args)),
        Command::Breakers(args) => in_runtime(breakers::run(&args)),
        Command::Products(args) => in_runtime(products::run(&args)),
        Command::Load(args) => load::load(&args),
        Command::Verify(args) => node.verify(&args),
        Command::Backup(args) => node.back_up(&args),
        Command::Sandbox(args) => node.sandbox(&args).map(|()| true),
        Command::Health(args) => in_runtime(health::run(&args)),
        Command::Config(args) => node.config(&args).map(|()| true),
        Command::Completions(args) => {
            shell::completions(&args, Cli::command());
            Ok(true)
        }
        Command::Man(args) => shell::man(&args, Cli::command()).map(|()| true),
    }
}

fn in_runtime(command: impl Future<Output = anyhow::Result<bool>>) -> anyhow::Result<bool> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(command)
}

/// A time in seconds: `90`, `90s`, `5m`, `1h`, `500ms`.
fn parse_seconds(text: &str) -> Result<f64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..) {
        Some("" | "s") => 1.0,
        Some("ms") => 0.001,
        Some("m") => 60.0,
        Some("h") => 3600.0,
        _ => return Err("must be a time such as 30s, 5m or 1h".to_owned()),
    };
    let seconds = digits.parse::<f64>().ok().map(|count| count * unit);
    seconds.filter(|seconds| *seconds > 0.0 && *seconds < 1e8).ok_or_else(|| "must be a time above 0, such as 30s, 5m or 1h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_the_key_and_json_may_be_told_at_any_place() {
        let lines = [
            "ordermill --url a:1 --key k --json orders list",
            "ordermill orders --url a:1 --key k --json list",
            "ordermill orders list --url a:1 --key k --json",
            "ordermill --json orders --key k list --url http://a:1/",
        ];
        for line in lines {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            let told = format!("{:?}", cli.command);
            for want in ["url: [\"http://a:1\"]", "key: Some(\"k\")", "json: true"] {
                assert!(told.contains(want), "{line}: {told}");
            }
        }
        for line in ["ordermill --json dlq list", "ordermill --json load", "ordermill --json products import x", "ordermill verify --json"]
        {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert!(format!("{:?}", cli.command).contains("json: true"), "{line}");
            assert_eq!(cli.command.takes_no(&cli.anywhere), None);
        }
        let cli = Cli::try_parse_from(["ordermill", "--url", "a:1", "serve"]).unwrap();
        assert_eq!(cli.command.takes_no(&cli.anywhere), Some("--url"));
    }

    #[test]
    fn the_options_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn times_are_read_with_their_units() {
        let cases = [("90", Some(90.0)), ("2m", Some(120.0)), ("500ms", Some(0.5)), ("1h", Some(3600.0)), ("0", None), ("-1s", None)];
        for (text, want) in cases {
            assert_eq!(parse_seconds(text).ok(), want, "{text}");
        }
        assert!(parse_seconds("5 days").is_err());
    }
}
