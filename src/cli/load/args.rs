//! The options of `load`.

use super::setup::Gauge;
use crate::cli::client::KeyArg;
use clap::Args;
use std::path::PathBuf;

/// The number of orders when neither a number nor a duration is given.
pub(super) const DEFAULT_ORDERS: u64 = 10_000;

/// Load-tests a node: sends orders and measures the answers.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Closed loop (default): each connection sends its next order as soon as the last one is answered.\n\
    Open loop (--rate): orders are sent by the clock. A latency counts from the time when its order was due, so a stall of the node\n\
    shows in every order that was due during the stall.\n\n\
    Exit code: 0 the run completed, perhaps with errors (see the summary); 1 the node could not be reached for too long,\n    or orders were not settled in time (orders that wait for a person are listed, but are not a failure); 2 wrong usage.")]
pub(in crate::cli) struct LoadArgs {
    /// Node to load (http://HOST:PORT). Several nodes (repeat the option, or separate them by commas) share the connections; if one dies,
    /// the others get its connections
    #[arg(long, env = "ORDERMILL_URL", default_value = "http://127.0.0.1:8080", value_name = "URL", value_delimiter = ',',
        value_parser = crate::cli::client::base_url)]
    pub(super) url: Vec<String>,
    #[command(flatten)]
    pub(super) api: KeyArg,
    /// Number of orders to send (default 10,000; with --csv: each order of the file once)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) orders: Option<u64>,
    /// How long to send orders (30s, 5m, 1h)
    #[arg(long = "duration", value_name = "TIME", value_parser = crate::cli::parse_seconds)]
    pub(super) duration_s: Option<f64>,
    /// Connections, each with one request at a time
    #[arg(long, short, default_value_t = 64, value_name = "C", value_parser = positive)]
    pub(super) connections: usize,
    /// Open loop: send this many orders per second, whatever the node does
    #[arg(long, value_name = "R", value_parser = positive_rate)]
    pub(super) rate: Option<f64>,
    /// Number of products in the generated catalogue
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = positive)]
    pub(super) products: usize,
    /// Number of customers in the generated orders
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = positive)]
    pub(super) customers: usize,
    /// Number of items in each generated order
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = positive)]
    pub(super) items: usize,
    /// Put one product into every order, so that all orders compete for the same row
    #[arg(long)]
    pub(super) hot: bool,
    /// The same seed gives the same orders
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(super) seed: u64,
    /// Real orders instead of generated ones: a file of invoice lines (InvoiceNo,StockCode,Description,Quantity,InvoiceDate,
    /// UnitPrice,CustomerID,Country), sent with the prices of the file
    #[arg(long, value_name = "FILE")]
    pub(super) csv: Option<PathBuf>,
    /// Append the id of each accepted order to this file, synced before the order is counted (for `verify --record`); an order that was
    /// answered with 504 is recorded as `maybe ID`
    #[arg(long, value_name = "FILE")]
    pub(super) record: Option<PathBuf>,
    /// Follow this share of the orders (0 to 1) until they are settled, to measure the latency to CONFIRMED and to settled
    #[arg(long, default_value_t = 0.0, value_name = "SHARE", value_parser = share)]
    pub(super) sample: f64,
    /// Send an Idempotency-Key with each order, and send the order again with it when the answer was lost
    #[arg(long)]
    pub(super) idempotency: bool,
    /// Do not write the products to the catalogue first (because they are already there)
    #[arg(long)]
    pub(super) no_seed: bool,
    /// Only show what would be sent: read the file and name every invalid line, without contacting a node
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Do not wait until all orders are settled
    #[arg(long)]
    pub(super) no_settle: bool,
    /// Longest wait in seconds until all orders are settled, or wait for a person (as dead letters)
    #[arg(long = "settle-timeout", default_value_t = 120, value_name = "SECONDS")]
    pub(super) settle_timeout_s: u64,
    /// Where to read the number of open orders
    #[arg(long, value_enum, default_value_t = Gauge::Metrics)]
    pub(super) gauge: Gauge,
    /// Longest wait for an answer, in seconds
    #[arg(long = "timeout", default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) timeout_s: u64,
    /// End the run when no node could be reached for this many seconds
    #[arg(long = "give-up", default_value_t = 60, value_name = "SECONDS")]
    pub(super) give_up_s: u64,
    /// Print the summary as JSON
    #[arg(long)]
    pub(super) json: bool,
}

fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| *count > 0).ok_or_else(|| "must be a whole number above 0".to_owned())
}

fn positive_rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| rate.is_finite() && *rate > 0.0);
    rate.ok_or_else(|| "must be a number above 0".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| "must be from 0 to 1".to_owned())
}
