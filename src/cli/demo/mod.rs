//! `ordermill demo`: a node in this process, a shop's catalogue, and a stream of orders that customers of all kinds place. Shows
//! what ordermill does within a minute, with nothing installed and nothing left behind.

mod catalogue;
mod story;

use super::client::{ApiArgs, ApiError, Client, KeyArg, shown_at, text_at};
use super::interrupt::Interrupts;
use super::node::{DatabaseArgs, Node, NodeArgs};
use super::rng::Rng;
use super::table::printable;
use anyhow::{Context, bail};
use catalogue::{Catalogue, Product};
use clap::Args;
use serde_json::json;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use story::{Plan, Story};
use tokio::task::JoinSet;

const DEFAULT_LISTEN: &str = "127.0.0.1:8080";
/// Longest wait for the saga of the last order.
const FAREWELL: Duration = Duration::from_secs(15);
/// Most orders followed at the same time; beyond that the stream of orders waits.
const MAX_FOLLOWED: usize = 200;

/// Starts a node with a realistic shop and a stream of orders, and shows the dashboard's address and how each order ends.
#[derive(Args, Clone, Debug)]
pub(crate) struct DemoArgs {
    /// Address to serve on (default 127.0.0.1:8080, or a free port when that is taken)
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    #[command(flatten)]
    database: DatabaseArgs,
    /// Use running nodes instead of starting one (repeat the option, or separate them by commas; those that can be reached are used)
    #[arg(long, value_parser = super::client::base_url, value_name = "URL", value_delimiter = ',', conflicts_with_all = ["listen", "database", "config"])]
    url: Vec<String>,
    /// Orders per second
    #[arg(long, default_value_t = 3.0, value_name = "R", value_parser = rate)]
    rate: f64,
    /// End after this many orders
    #[arg(long, value_name = "N")]
    orders: Option<u64>,
    /// End after this time (30s, 5m)
    #[arg(long = "duration", value_name = "TIME", value_parser = super::parse_seconds)]
    duration_s: Option<f64>,
    /// The same seed gives the same customers and orders
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
}

fn rate(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|rate| (0.01..=1000.0).contains(rate)).ok_or_else(|| "must be from 0.01 to 1000".to_owned())
}

/// Runs the demo until it ends or Ctrl-C; false if no order could be placed.
///
/// # Errors
/// The node cannot be started, or does not take the catalogue.
pub(crate) fn run(args: &DemoArgs, node: &dyn Node) -> anyhow::Result<bool> {
    if !args.url.is_empty() {
        println!("dashboard   {}/", args.url.first().map_or("", |url| url.trim_end_matches('/')));
        return stream_of_orders(args, args.url.clone()).and_then(told);
    }
    let (listen, taken) = listen(args)?;
    let folder = Folder::new(args)?;
    let mut database = args.database.clone();
    if let Some(folder) = &folder {
        database.database = Some(format!("sqlite:{}", folder.0.join("ordermill.db").display()));
    }
    let running = node.start(&NodeArgs { listen: Some(listen), database, ..NodeArgs::default() })?;
    let url = format!("http://{}", running.address());
    println!("dashboard   {url}/");
    println!("API         {url}/docs");
    if taken {
        println!("            ({DEFAULT_LISTEN} is taken, so this is a free port)");
    }
    match &folder {
        Some(_) => println!("data        in a temporary folder, gone at the end (--database keeps it)"),
        None => println!("data        {}", args.database.database.as_deref().unwrap_or("as the settings say")),
    }
    let outcome = stream_of_orders(args, vec![url]);
    running.stop();
    outcome.and_then(told)
}

fn stream_of_orders(args: &DemoArgs, url: Vec<String>) -> anyhow::Result<Totals> {
    println!("{:.1} orders a second; Ctrl-C ends\n", args.rate);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(perform(args, url))
}

fn told(totals: Totals) -> anyhow::Result<bool> {
    print!("{}", totals.text());
    Ok(totals.placed > 0)
}

/// The address to listen on, and whether the usual one was taken. Another process may take the port between this look and the
/// node's own; then the node says so.
fn listen(args: &DemoArgs) -> anyhow::Result<(String, bool)> {
    if let Some(listen) = &args.listen {
        return Ok((listen.clone(), false));
    }
    if TcpListener::bind(DEFAULT_LISTEN).is_ok() {
        return Ok((DEFAULT_LISTEN.to_owned(), false));
    }
    let free = TcpListener::bind("127.0.0.1:0").context("no port is free")?;
    Ok((free.local_addr()?.to_string(), true))
}

/// A folder that is removed with its owner.
struct Folder(PathBuf);

impl Folder {
    /// None when the data is to be kept elsewhere.
    fn new(args: &DemoArgs) -> anyhow::Result<Option<Self>> {
        if args.database.database.is_some() || args.database.config.is_some() {
            return Ok(None);
        }
        let path = std::env::temp_dir().join(format!("ordermill-demo-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&path).with_context(|| format!("cannot make the folder {}", path.display()))?;
        Ok(Some(Self(path)))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("the folder {} could not be removed: {error}", self.0.display());
        }
    }
}

/// What has become of the orders.
#[derive(Default)]
struct Totals {
    placed: u64,
    refused: u64,
    /// By last seen status.
    ended: BTreeMap<String, u64>,
    started: Option<Instant>,
}

impl Totals {
    fn text(&self) -> String {
        let seconds = self.started.map_or(0.0, |started| started.elapsed().as_secs_f64());
        let mut out = format!("\n{} orders placed in {seconds:.0} s", self.placed);
        if self.refused > 0 {
            out.push_str(&format!(", {} refused by the node", self.refused));
        }
        out.push('\n');
        for (status, count) in &self.ended {
            out.push_str(&format!("{count:>6}  {status}\n"));
        }
        let under_way = self.placed.saturating_sub(self.ended.values().sum());
        if under_way > 0 {
            out.push_str(&format!("{under_way:>6}  still under way\n"));
        }
        out
    }
}

/// What the customers of the demo share.
struct Shop {
    client: Client,
    totals: Mutex<Totals>,
}

/// How far an order's plan is carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Progress {
    /// Nothing is to be done, or it was refused.
    Nothing,
    Waiting,
    Done,
}

async fn perform(args: &DemoArgs, url: Vec<String>) -> anyhow::Result<Totals> {
    let access = KeyArg { key: std::env::var("ORDERMILL_KEY").ok() };
    let client = Client::new(&ApiArgs { url, access })?;
    let catalogue = Catalogue::new();
    let mut interrupts = Interrupts::listen();
    for product in catalogue.all() {
        put(&client, product).await?;
    }
    let totals = Mutex::new(Totals { started: Some(Instant::now()), ..Totals::default() });
    let shop = Arc::new(Shop { client, totals });
    let mut customers = JoinSet::new();
    let end = args.duration_s.map(|seconds| tokio::time::Instant::now() + Duration::from_secs_f64(seconds));
    let mut luck = Rng::new(args.seed);
    let mut number = 0;
    while args.orders.is_none_or(|orders| number < orders) {
        let story = Story::of(args.seed, number, &catalogue);
        number += 1;
        customers.spawn(shop.clone().follow(story));
        while customers.len() >= MAX_FOLLOWED {
            customers.join_next().await;
        }
        // Customers come when they like: the gaps are those of independent arrivals.
        let share = 1.0 - f64::from(u32::try_from(luck.next() >> 32).unwrap_or(0)) / 4_294_967_296.0;
        let gap = Duration::from_secs_f64((-share.ln() / args.rate).min(30.0));
        tokio::select! {
            () = tokio::time::sleep(gap) => {}
            () = until(end) => break,
            () = interrupts.next() => break,
        }
    }
    println!("no more orders; those under way are waited for (Ctrl-C: not)");
    tokio::select! {
        () = async { while customers.join_next().await.is_some() {} } => {}
        () = tokio::time::sleep(FAREWELL) => {}
        () = interrupts.next() => {}
    }
    customers.shutdown().await;
    Ok(std::mem::take(&mut *shop.totals()))
}

async fn until(time: Option<tokio::time::Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

async fn put(client: &Client, product: &Product) -> anyhow::Result<()> {
    let body = json!({"name": product.name, "price": product.price.to_string(), "availableQuantity": product.stock});
    match client.put(&format!("/api/v1/products/{}?mode=set-stock", product.id), &body).await {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.status(), Some(401 | 403)) => {
            bail!("the settings name access keys: give one with the role admin by ORDERMILL_KEY, or run the demo without --config")
        }
        Err(error) => Err(error).context("the catalogue cannot be written"),
    }
}

impl Shop {
    /// Places an order, carries out its plan, and tells each end that it comes to.
    async fn follow(self: Arc<Self>, story: Story) {
        let placed = match self.client.post("/api/v1/orders", &story.body).await {
            Ok(answer) => answer,
            Err(error) => {
                self.totals().refused += 1;
                println!("{:<10} {}: {error}", "refused", story.customer);
                return;
            }
        };
        self.totals().placed += 1;
        let id = shown_at(&placed, "orderId");
        let about = format!("{id}  {:>9}  {}: {}", shown_at(&placed, "totalAmount"), story.customer, story.goods);
        let last = self.watch(&id, &about, &story).await.unwrap_or_else(|error| {
            println!("{:<10} {about}: {error}", "lost");
            "out of sight".to_owned()
        });
        *self.totals().ended.entry(last).or_default() += 1;
    }

    /// Follows the order until its plan has come to its end; returns its last status.
    async fn watch(&self, id: &str, about: &str, story: &Story) -> Result<String, ApiError> {
        let mut status = String::new();
        let events = self.client.events(&format!("/api/v1/orders/{id}/events"), None).await?;
        let Some(mut events) = events else { return Ok(status) };
        let due = tokio::time::sleep(story.patience);
        tokio::pin!(due);
        let mut progress = match story.plan {
            Plan::Ship | Plan::Cancel => Progress::Waiting,
            Plan::Keep | Plan::Decline | Plan::Scarce => Progress::Nothing,
        };
        loop {
            let may_act = progress == Progress::Waiting && (story.plan == Plan::Cancel || status == "CONFIRMED");
            tokio::select! {
                event = events.next() => {
                    let Some(event) = event? else { return Ok(status) };
                    let Some(new) = text_at(&event.data, "status").filter(|new| *new != status) else { continue };
                    status = new.to_owned();
                    self.tell(id, about, &status).await;
                }
                () = &mut due, if may_act => progress = self.act(id, story.plan).await?,
            }
            match status.as_str() {
                "SHIPPED" | "FAILED" | "CANCELLED" => return Ok(status),
                "CONFIRMED" if progress == Progress::Nothing => return Ok(status),
                _ => {}
            }
        }
    }

    /// Prints an end that an order has come to.
    async fn tell(&self, id: &str, about: &str, status: &str) {
        let reason = match status {
            "CONFIRMED" | "SHIPPED" => String::new(),
            "FAILED" | "CANCELLED" => {
                let now = self.client.get(&format!("/api/v1/orders/{id}/status")).await;
                let reason = now.ok().and_then(|now| text_at(&now, "reason").map(printable));
                reason.map(|reason| format!("  ({reason})")).unwrap_or_default()
            }
            _ => return,
        };
        println!("{status:<10} {about}{reason}");
    }

    async fn act(&self, id: &str, plan: Plan) -> Result<Progress, ApiError> {
        let done = match plan {
            Plan::Cancel => self.client.post(&format!("/api/v1/orders/{id}/cancel"), &json!({})).await,
            Plan::Ship => {
                let number = id.get(..8).unwrap_or_default().to_ascii_uppercase();
                let parcel = json!({"carrier": "Alpine Parcel", "trackingNumber": format!("AP{number}")});
                self.client.post(&format!("/api/v1/orders/{id}/ship"), &parcel).await
            }
            Plan::Keep | Plan::Decline | Plan::Scarce => return Ok(Progress::Nothing),
        };
        match done {
            Ok(_) => Ok(Progress::Done),
            // Too late to cancel, or dead before it could be sent.
            Err(error) if error.status() == Some(409) => Ok(Progress::Nothing),
            Err(error) => Err(error),
        }
    }

    fn totals(&self) -> MutexGuard<'_, Totals> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
